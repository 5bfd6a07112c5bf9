//! Writes HTML that is also XML, and escapes its content.

use std::fmt::{self, Display, Write};

/// Text from a program, a file or a user, made harmless: nothing in it is markup, and nothing can
/// hide or reorder the text around it.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => formatter.write_str("&amp;")?,
                '<' => formatter.write_str("&lt;")?,
                '>' => formatter.write_str("&gt;")?,
                '"' => formatter.write_str("&quot;")?,
                '\'' => formatter.write_str("&#39;")?,
                '\n' | '\t' => formatter.write_char(' ')?,
                other if is_unfit(other) => formatter.write_char('\u{fffd}')?,
                other => formatter.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// True for a character that XML forbids, or that changes the direction of the text after it.
fn is_unfit(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        || matches!(character, '\u{fffe}' | '\u{ffff}')
}

/// The escaped text, cut to this number of characters. The rest is in its tooltip.
pub(super) fn shortened(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => Text(text).to_string(),
        Some((end, _)) => {
            let (start, all) = (text.get(..end).unwrap_or_default(), text.chars().take(2000));
            format!("<span title=\"{}\">{}…</span>", Text(&all.collect::<String>()), Text(start.trim_end()))
        }
    }
}

/// Puts values into a template, in the place of `{{name}}`. The content of a value is not searched
/// for names.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut pieces = template.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or_default();
        debug_assert!(values.iter().any(|(known, _)| *known == name), "the template asks for {name}");
        page.extend(values.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value));
        page.push_str(rest);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_text_holds_is_markup() {
        assert_eq!(Text("<b>\"'&").to_string(), "&lt;b&gt;&quot;&#39;&amp;");
        assert_eq!(Text("a\0b\u{202e}c\nd").to_string(), "a\u{fffd}b\u{fffd}c d");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("größe", 5), "größe");
        assert_eq!(shortened("größer", 4), "<span title=\"größer\">größ…</span>");
    }

    #[test]
    fn a_value_that_looks_like_a_place_stays_as_it_is() {
        assert_eq!(fill("a {{x}} {{y}}.", &[("x", "{{y}}"), ("y", "1")]), "a {{y}} 1.");
    }
}
