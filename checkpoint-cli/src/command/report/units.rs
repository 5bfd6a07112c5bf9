//! Numbers for people: durations, sizes, times, each with its unit.

use std::time::{Duration, SystemTime};

/// The last second with a date, in the year 9999.
const LATEST: f64 = 253_402_300_799.0;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes three significant digits, without trailing zeros after the point.
fn three_digits(value: f64) -> String {
    let text = match value.abs() {
        size if size >= 99.95 => return format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A duration, given in seconds.
pub(super) fn seconds(seconds: f64) -> String {
    const UNITS: [(f64, &str); 7] = [
        (365.25 * 86_400.0, "years"),
        (86_400.0, "d"),
        (3600.0, "h"),
        (60.0, "min"),
        (1.0, "s"),
        (1e-3, "ms"),
        (1e-6, "µs"),
    ];
    if seconds == 0.0 {
        return "0 s".to_owned();
    }
    if seconds >= 1e12 {
        return "for ever".to_owned();
    }
    // 36 hours are clearer than 1.5 days, and 90 seconds than 1.5 minutes.
    let from = |unit: f64| if unit >= 86_400.0 { 2.0 * unit } else { unit };
    let (unit, name) =
        UNITS.into_iter().find(|(unit, _)| seconds.abs() >= from(*unit) * 0.999_5).unwrap_or((1e-6, "µs"));
    format!("{} {name}", three_digits(seconds / unit))
}

pub(super) fn duration(duration: Duration) -> String {
    seconds(duration.as_secs_f64())
}

/// A size, given in bytes.
pub(super) fn bytes(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB"] {
        if value < 1023.5 {
            return format!("{} {unit}", three_digits(value));
        }
        value /= 1024.0;
    }
    format!("{} PiB", three_digits(value))
}

/// A part of the whole, from 0 to 1, as a percentage.
pub(super) fn share(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.01 => "below 0.01 %".to_owned(),
        percent => format!("{} %", three_digits(percent)),
    }
}

/// A number of any size.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if !size.is_finite() => value.to_string(),
        size if !(1e-3..1e6).contains(&size) => {
            let text = format!("{value:.2e}");
            match text.split_once('e') {
                Some((digits, power)) if digits.contains('.') => {
                    format!("{}e{power}", digits.trim_end_matches('0').trim_end_matches('.'))
                }
                _ => text,
            }
        }
        size if size < 1.0 => format!("{value:.4}").trim_end_matches('0').to_owned(),
        size if size < 1000.0 => three_digits(value),
        _ => format!("{value:.0}"),
    }
}

/// A whole number in groups of three digits.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A time as seconds since 1970.
pub(super) fn epoch(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The parts of a time in UTC: year, month, day, and the clock to the second. A time without a date
/// counts as the nearest one with a date.
fn parts(seconds: f64) -> (String, String, String, String) {
    let since = Duration::try_from_secs_f64(seconds.clamp(0.0, LATEST)).unwrap_or_default();
    let text = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string();
    let part = |from: usize, until: usize| text.get(from..until).unwrap_or_default().to_owned();
    (part(0, 4), part(5, 7), part(8, 10), part(11, 19))
}

/// Writes a time in seconds since 1970 as `7 Nov`.
pub(super) fn day(seconds: f64) -> String {
    let (_, month, day, _) = parts(seconds);
    let month = month.parse::<usize>().ok().and_then(|month| MONTHS.get(month.wrapping_sub(1)));
    format!("{} {}", day.trim_start_matches('0'), month.copied().unwrap_or_default())
}

/// Writes it as `7 Nov 2026`.
pub(super) fn date(seconds: f64) -> String {
    format!("{} {}", day(seconds), parts(seconds).0)
}

/// Writes it as `14:05:09`, or without the seconds.
pub(super) fn clock(seconds: f64, with_seconds: bool) -> String {
    let mut clock = parts(seconds).3;
    clock.truncate(if with_seconds { 8 } else { 5 });
    clock
}

/// Writes it as `2026-11-07 14:05`, which sorts and aligns.
pub(super) fn minute(seconds: f64) -> String {
    let (year, month, day, _) = parts(seconds);
    format!("{year}-{month}-{day} {}", clock(seconds, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_the_unit_that_a_person_would_take() {
        let expected = [
            (0.0, "0 s"),
            (0.000_012, "12 µs"),
            (0.250, "250 ms"),
            (0.999_9, "1 s"),
            (59.0, "59 s"),
            (90.0, "1.5 min"),
            (36.0 * 3600.0, "36 h"),
            (86_400.0 * 20.0, "20 d"),
            (f64::MAX, "for ever"),
        ];
        for (value, text) in expected {
            assert_eq!(seconds(value), text);
        }
    }

    #[test]
    fn sizes_counts_shares_and_times() {
        assert_eq!((bytes(0.0).as_str(), bytes(1536.0).as_str()), ("0 B", "1.5 KiB"));
        assert_eq!(bytes(1024.0 * 1024.0 - 1.0), "1 MiB");
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((share(0.004_2).as_str(), share(1e-9).as_str()), ("0.42 %", "below 0.01 %"));
        assert_eq!(
            (date(1_794_000_000.0).as_str(), minute(0.0).as_str()),
            ("6 Nov 2026", "1970-01-01 00:00")
        );
        assert_eq!(date(f64::MAX), "31 Dec 9999");
        assert_eq!((number(0.25).as_str(), number(1e-7).as_str()), ("0.25", "1e-7"));
    }
}
