//! Reads and writes times and durations in the forms that people use.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Parses a duration such as `2h`, `90min`, `1h 30m` or `3600s`, as in the environment variables.
///
/// ```
/// use checkpointed::inspect::parse_duration;
/// use std::time::Duration;
///
/// assert_eq!(parse_duration("1h 30m"), Some(Duration::from_secs(5400)));
/// assert_eq!(parse_duration("90"), None);
/// ```
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    // humantime panics at some sums beyond the longest duration, so the parts are added here.
    let ends_part = |place: usize| text[..place].trim_end().ends_with(char::is_alphabetic);
    let digits = text.char_indices().filter(|(_, character)| character.is_ascii_digit());
    let mut begins: Vec<usize> = digits.map(|(place, _)| place).filter(|place| ends_part(*place)).collect();
    begins.insert(0, 0);
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    let parts = begins.iter().zip(ends).map(|(begin, end)| &text[*begin..end]);
    parts
        .map(|part| humantime::parse_duration(part).ok())
        .try_fold(Duration::ZERO, |sum, part| sum.checked_add(part?))
}

/// Writes a time as a date; as a number of seconds where it has no date.
pub(crate) fn date(at: SystemTime) -> String {
    /// The first second of the year 10000, beyond the last date that humantime can write.
    const END: u64 = 253_402_300_800;
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) if since.as_secs() < END => humantime::format_rfc3339_seconds(at).to_string(),
        Ok(since) => format!("Unix second {}", since.as_secs()),
        Err(_) => "before 1970".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("2h", 7200),
            ("90min", 5400),
            ("3600s", 3600),
            ("1h 30m", 5400),
            ("2 days", 172_800),
            (" 1h3 0m1.5min ", 5490),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "5", "in 2h", "2 hours from now", "-2h", "18446744073709551615s 1000ms"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn any_time_has_a_date() {
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(0)), "1970-01-01T00:00:00Z");
        assert_eq!(date(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), "Unix second 253402300800");
        assert_eq!(date(UNIX_EPOCH - Duration::from_secs(1)), "before 1970");
    }
}
