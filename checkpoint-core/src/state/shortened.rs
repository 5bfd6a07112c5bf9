//! Names and descriptions of which nobody reads more: those of a forged schema have any length, and are in many messages.

use std::borrow::Cow;

/// As many letters are kept.
const MOST: usize = 200;

/// The text, or its beginning and `…`.
pub(crate) fn shortened(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// A list of names, of which the first are named.
pub(crate) fn listed(names: &[&str]) -> String {
    const NAMED: usize = 20;
    let mut list = names.iter().take(NAMED).map(|name| shortened(name)).collect::<Vec<_>>().join(", ");
    if names.len() > NAMED {
        list += &format!(" and {} more", names.len() - NAMED);
    }
    list
}
