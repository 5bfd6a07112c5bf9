//! Text from other programs, made harmless for terminals and readers, and short.
//!
//! A forged schema has names and descriptions of any length, and many messages contain them.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// Escapes as `\u{…}` every character that a terminal obeys, or that changes the order of reading.
///
/// ```
/// use checkpointed::inspect::plain;
///
/// assert_eq!(plain("a good name"), "a good name");
/// assert_eq!(plain("red\u{1b}[31m"), r"red\u{1b}[31m");
/// assert_eq!(plain("txt.\u{202e}exe"), r"txt.\u{202e}exe");
/// ```
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        push(&mut plain, character);
    }
    Cow::Owned(plain)
}

/// True for a character that a terminal obeys, and for an invisible one that changes how others are
/// read.
///
/// The directions come from Unicode Standard Annex 9, section 2. The separators of lines and
/// paragraphs, U+2028 and U+2029, would break a line of a log; the tags from U+E0000 on are
/// invisible.
pub(crate) fn is_command(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

fn push(text: &mut String, character: char) {
    match character {
        '\n' => text.push_str("\\n"),
        '\r' => text.push_str("\\r"),
        '\t' => text.push_str("\\t"),
        _ if is_command(character) => text.extend(character.escape_unicode()),
        _ => text.push(character),
    }
}

/// Displays text as [`plain`] does, but keeps its line ends, for messages of several lines.
pub(crate) fn shown(text: impl fmt::Display) -> Shown<impl fmt::Display> {
    Shown(text)
}

/// See [`shown`].
pub(crate) struct Shown<D>(D);

impl<D: fmt::Display> fmt::Display for Shown<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(formatter), "{}", self.0)
    }
}

/// Escapes everything that is written through it.
struct Escaping<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.split_inclusive('\n').try_for_each(|line| match line.strip_suffix('\n') {
            Some(line) => writeln!(self.0, "{}", plain(line)),
            None => self.0.write_str(&plain(line)),
        })
    }
}

/// The number of letters that are kept.
const KEPT: usize = 200;

/// The text, or its beginning and `…`.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(KEPT) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// A list of names that spells out the first of them.
pub(crate) fn listed(names: &[&str]) -> String {
    const NAMED: usize = 20;
    let mut list = names.iter().take(NAMED).map(|name| shortened(name)).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        list += &format!(" and {} more", names.len() - NAMED);
    }
    list
}

/// The number of letters to add, remove or replace that make one name the other. Of long names,
/// only the beginning counts.
///
/// Source: V. Levenshtein, Soviet Physics Doklady 10 (1966).
pub(crate) fn distance(one: &str, other: &str) -> usize {
    const COMPARED: usize = 40;
    let other: Vec<char> = other.chars().take(COMPARED).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (number, letter) in one.chars().take(COMPARED).enumerate() {
        // The distance without this letter of `one`, and without the one of `other` too.
        let (mut left, mut before) = (number + 1, number);
        for (place, wanted) in other.iter().enumerate() {
            let above = row.get(place + 1).copied().unwrap_or(usize::MAX - 1);
            let best = (before + usize::from(letter != *wanted)).min(left + 1).min(above + 1);
            if let Some(cell) = row.get_mut(place) {
                *cell = left;
            }
            (left, before) = (best, above);
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_of_names_counts_their_changes() {
        let cases = [
            ("", "", 0),
            ("abc", "", 3),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("été", "ete", 2),
            ("layers", "layer", 1),
        ];
        for (one, other, expected) in cases {
            assert_eq!(distance(one, other), expected, "{one} {other}");
            assert_eq!(distance(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn characters_that_reverse_text_are_escaped() {
        for harmless in ["", "a b", "été", "מזל", "بخت", "🙂‍↔️", "[ ]", "\\u{202e}"] {
            assert_eq!(plain(harmless), harmless);
            assert_eq!(shown(harmless).to_string(), harmless);
        }
        let commands =
            ['\u{7}', '\u{1b}', '\u{9b}', '\u{61c}', '\u{200f}', '\u{2029}', '\u{202e}', '\u{2069}'];
        for command in commands {
            let text = format!("a{command}b");
            assert_eq!(plain(&text), format!("a\\u{{{:x}}}b", u32::from(command)));
            assert_eq!(shown(&text).to_string(), plain(&text));
        }
        assert_eq!(plain("one\ntwo\tthree\r"), "one\\ntwo\\tthree\\r");
        assert_eq!(shown("one\n\ntwo\r\n").to_string(), "one\n\ntwo\\r\n");
    }
}
