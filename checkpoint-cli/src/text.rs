//! Writes numbers and times for people, and tables with aligned columns.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anstyle::{AnsiColor, Style};

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();

/// A length: three digits and a unit.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS[0];
    for larger in &UNITS[1..] {
        if value < 999.5 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    match value {
        value if value < 9.995 => format!("{value:.2} {unit}"),
        value if value < 99.95 => format!("{value:.1} {unit}"),
        value => format!("{value:.0} {unit}"),
    }
}

/// A count of something, with an s for the plural.
pub(crate) fn count(count: usize, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {one}{plural}")
}

/// A duration.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        seconds if seconds < 0.001 => format!("{:.0} µs", seconds * 1e6),
        seconds if seconds < 0.0995 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 0.9995 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 9.995 => format!("{seconds:.2} s"),
        seconds if seconds < 99.95 => format!("{seconds:.1} s"),
        _ => age(duration),
    }
}

/// An age, in its two greatest units.
pub(crate) fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// The age of a time, by the clock of this machine, which may be behind that of another.
pub(crate) fn age_of(time: SystemTime) -> String {
    SystemTime::now().duration_since(time).map_or_else(|_| "in the future".to_owned(), age)
}

/// The last second that RFC 3339 can express, in the year 9999.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// A time in the form of RFC 3339. One that it cannot express counts as the nearest that it can.
pub(crate) fn time(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(LATEST);
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + since).to_string()
}

/// Times in JSON: RFC 3339 text in UTC.
pub(crate) mod rfc3339 {
    use std::time::SystemTime;

    use serde::Serializer;

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::time(*time))
    }

    #[allow(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn optional<S: Serializer>(
        time: &Option<SystemTime>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }
}

/// Durations in JSON: seconds, to the microsecond.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::Serializer;

    fn rounded(duration: Duration) -> f64 {
        (duration.as_secs_f64() * 1e6).round() / 1e6
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(rounded(*duration))
    }

    #[allow(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn optional<S: Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }
}

/// Text from a file, without characters that control a terminal or reorder the text.
pub(crate) fn plain(text: &str) -> String {
    checkpointed_core::inspect::plain(text).into_owned()
}

/// A cell of a table: its text, and its style.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    pub(crate) fn left(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), ..Cell::default() }
    }

    pub(crate) fn right(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), right: true, ..Cell::default() }
    }

    pub(crate) fn styled(mut self, style: Style) -> Cell {
        self.style = style;
        self
    }
}

/// The number of columns of a line, if it is known: that of the terminal, or that in `COLUMNS`.
fn room() -> Option<usize> {
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into()))
}

/// Narrows the widest columns of text until all fit. Numbers are never cut, and some of each text
/// remains.
fn narrow(widths: &mut [Option<usize>], is_right: impl Fn(usize) -> bool, room: usize) {
    const LEAST: usize = 8;
    loop {
        let columns = widths.iter().flatten().count();
        let all = widths.iter().flatten().sum::<usize>() + 2 * columns.saturating_sub(1);
        let texts = widths.iter_mut().enumerate().filter(|(column, _)| !is_right(*column));
        let widest = texts.filter_map(|(_, width)| width.as_mut()).max();
        match widest {
            Some(width) if all > room && *width > LEAST => *width -= 1,
            _ => return,
        }
    }
}

/// The beginning of a text, with a sign that more follows.
fn cut(text: &str, width: usize) -> String {
    match text.char_indices().nth(width) {
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// Writes rows, cut to fit a narrow terminal. A column with nothing but its title is left out.
pub(crate) fn table(output: &mut dyn Write, titles: &[&str], rows: &[Vec<Cell>]) -> io::Result<()> {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let widest = cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0);
        (widest > 0).then(|| widest.max(titles.get(column).map_or(0, |title| title.chars().count())))
    };
    let mut widths: Vec<Option<usize>> = (0..titles.len()).map(width).collect();
    let is_right = |column: usize| rows.iter().filter_map(|row| row.get(column)).any(|cell| cell.right);
    if let Some(room) = room() {
        narrow(&mut widths, is_right, room);
    }
    let titles = titles.iter().enumerate().map(|(column, title)| Cell {
        text: (*title).to_owned(),
        style: DIM,
        right: is_right(column),
    });
    let titles = [titles.collect()];
    for row in titles.iter().chain(rows) {
        let mut gap = "";
        let mut owed = 0;
        for (cell, width) in row.iter().zip(&widths) {
            let Some(width) = width else { continue };
            let text = cut(&cell.text, *width);
            let blank = width - text.chars().count();
            let (before, after) = if cell.right { (blank, 0) } else { (0, blank) };
            let style = cell.style;
            // A line has no blanks at its end.
            write!(output, "{gap}{:owed$}{:before$}{style}{text}{style:#}", "", "")?;
            gap = "  ";
            owed = after;
        }
        writeln!(output)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_three_digits_and_a_unit() {
        for (length, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.00 KiB"),
            (1_048_576, "1.00 MiB"),
            (268_435_456, "256 MiB"),
            (1_048_000, "1.00 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(length), text);
        }
    }

    #[test]
    fn times_have_the_unit_that_fits() {
        for (micros, text) in [
            (250, "250 µs"),
            (7_300, "7.3 ms"),
            (120_000, "120 ms"),
            (1_500_000, "1.50 s"),
            (75_000_000, "75.0 s"),
            (3_725_000_000, "1 h 02 min"),
            (200_000_000_000, "2 d 7 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn every_time_is_told() {
        let epoch = SystemTime::UNIX_EPOCH;
        for (time, expected) in [
            (epoch.checked_sub(Duration::from_secs(1)), "1970-01-01T00:00:00Z"),
            (epoch.checked_add(Duration::from_secs(60)), "1970-01-01T00:01:00Z"),
            (epoch.checked_add(Duration::from_secs(1 << 50)), "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(time.map(super::time).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_table_is_cut_to_the_width_of_the_terminal() {
        let mut widths = [Some(10), None, Some(40), Some(12)];
        narrow(&mut widths, |column| column == 0, 50);
        assert_eq!(widths, [Some(10), None, Some(24), Some(12)]);
        narrow(&mut widths, |column| column == 0, 5);
        assert_eq!(widths, [Some(10), None, Some(8), Some(8)], "something is left of each");
        assert_eq!((cut("kept as", 7).as_str(), cut("kept as", 5).as_str()), ("kept as", "kept…"));
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        assert_eq!(plain("a\u{1b}[31mb\n\u{202e}c"), "a\\u{1b}[31mb\\n\\u{202e}c");
    }
}
