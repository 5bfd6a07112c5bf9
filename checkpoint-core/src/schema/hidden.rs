//! Names of fields and variants of other crates' types that are not known.
//!
//! Aliases hide the name that a field or a variant really has. Such a member gets a name that no
//! type gives: it begins with a zero byte. The lengths of all possible names follow, then another
//! zero byte, its number, and these names: `\0` `8 5` `\0` `2 of celerity|speed`. A variant without
//! a known name has `\0` `\0` `variant 2`. A type that gives a name with a zero byte itself is
//! refused, so no other name is ever taken for a hidden one.

use super::{Body, Fields, Type};

/// The mark of a hidden name. No other name has it.
const MARK: char = '\0';

/// The reason to refuse a type that gives such a name itself.
const RESERVED: &str = "a field or a variant has a name with a zero byte, which no name in a state may have; give it \
                        another with #[serde(rename = \"…\")]";

/// The name of the member with this number, which has one of these names.
pub(crate) fn name(number: usize, names: &[&str]) -> String {
    let lengths: Vec<String> = names.iter().map(|name| name.len().to_string()).collect();
    format!("{MARK}{}{MARK}{number} of {}", lengths.join(" "), names.join("|"))
}

/// The name of the variant with this number, if nothing is known of its own name.
pub(crate) fn unknown(number: impl std::fmt::Display) -> String {
    format!("{MARK}{MARK}variant {number}")
}

/// True if no type may give this name.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.contains(MARK)
}

/// Stands for a type that gives such a name.
pub(crate) fn refused() -> Body {
    Body::Struct(Fields::Newtype(Type::Unsupported(RESERVED.to_owned())))
}

/// The body, if it gives no such name.
pub(crate) fn allowed(body: Body) -> Body {
    let is_refused = match &body {
        Body::Struct(fields) => has_reserved(fields),
        Body::Enum(variants) => {
            variants.iter().any(|variant| is_reserved(&variant.name) || has_reserved(&variant.fields))
        }
    };
    if is_refused { refused() } else { body }
}

fn has_reserved(fields: &Fields) -> bool {
    matches!(fields, Fields::Named(fields) if fields.iter().any(|field| is_reserved(&field.name)))
}

/// True if the real name is not known.
pub(crate) fn is_hidden(name: &str) -> bool {
    name.starts_with(MARK)
}

/// All possible names; the name itself if nothing hides it.
pub(crate) fn names(name: &str) -> impl Iterator<Item = &str> {
    let (lengths, text) = parts(name).unwrap_or_default();
    let mut rest = text.split_once(" of ").map(|(_, names)| names);
    // A forged name ends at a length that leads nowhere.
    let hidden = lengths.split(' ').map_while(move |length| {
        let names = rest?;
        let found = names.get(..length.parse().ok()?)?;
        rest = names.get(found.len() + 1..);
        Some(found)
    });
    hidden.chain((!is_hidden(name)).then_some(name))
}

/// The name for people. Each member of a type has a different one.
pub(crate) fn label(name: &str) -> &str {
    parts(name).map_or(name, |(_, text)| text)
}

/// The name for people, without the number.
pub(crate) fn shown(name: &str) -> &str {
    match parts(name) {
        Some((_, text)) => text.split_once(" of ").map_or(text, |(_, names)| names),
        None => name,
    }
}

/// A name that both may have.
pub(crate) fn common<'a>(one: &'a str, other: &str) -> Option<&'a str> {
    names(one).find(|name| names(other).any(|other| other == *name))
}

/// The lengths, and the text for people.
fn parts(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(MARK)?.split_once(MARK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_several_that_it_may_be() {
        let hidden = name(2, &["celerity", "speed"]);
        assert_eq!((shown(&hidden), label(&hidden)), ("celerity|speed", "2 of celerity|speed"));
        assert!(is_hidden(&hidden) && is_reserved(&hidden));
        assert_eq!(names(&hidden).collect::<Vec<_>>(), ["celerity", "speed"]);
        for plain in ["speed", "2 of celerity|speed", "speed of light", "a|b", "2 of", "", "é"] {
            assert_eq!((shown(plain), label(plain)), (plain, plain));
            assert!(!is_hidden(plain) && !is_reserved(plain));
            assert_eq!(names(plain).collect::<Vec<_>>(), [plain]);
        }
        assert_eq!(common(&hidden, "speed"), Some("speed"));
        assert_eq!(common(&hidden, &name(0, &["a", "speed"])), Some("speed"));
        assert_eq!(common(&hidden, "velocity"), None);
    }

    #[test]
    fn any_names_can_be_among_those_that_it_may_be() {
        let any = ["", "a|b", " of ", "2 of a", "|", "é of ü|", "8 5"];
        for start in 0..any.len() {
            for end in start + 1..=any.len() {
                let hidden = name(7, &any[start..end]);
                assert_eq!(names(&hidden).collect::<Vec<_>>(), any[start..end]);
            }
        }
    }

    #[test]
    fn a_variant_without_a_name_is_no_other() {
        let nameless = unknown(3);
        assert_eq!((shown(&nameless), label(&nameless)), ("variant 3", "variant 3"));
        assert!(is_hidden(&nameless));
        assert_eq!(names(&nameless).count(), 0);
        assert_eq!(common(&nameless, &nameless), None);
    }

    #[test]
    fn a_forged_name_is_no_name() {
        for forged in ["^", "^^", "^9^9 of a", "^x^0 of a", "^1 1^0 of é", "^1 1 1^0 of a|b", "^1^"] {
            let forged = &forged.replace('^', "\0");
            assert!(is_hidden(forged));
            assert!(names(forged).count() < 3, "{forged:?}");
            let _ = (shown(forged), label(forged));
        }
    }
}
