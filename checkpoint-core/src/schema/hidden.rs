//! Names of fields and variants of other crates' types, where aliases hide which of several it is.
//!
//! Such a name is the number of the field or the variant, and all the names that it may be: `2 of celerity|speed`.

/// The name of that number, which is one of these.
pub(crate) fn name(number: usize, names: &[&str]) -> String {
    format!("{number} of {}", names.join("|"))
}

/// All names that it may be; the name itself if nothing hides it.
pub(crate) fn names(name: &str) -> impl Iterator<Item = &str> {
    let (hidden, plain) = match alternatives(name) {
        Some(names) => (Some(names.split('|')), None),
        None => (None, Some(name)),
    };
    hidden.into_iter().flatten().chain(plain)
}

/// Whether it is not known which name it is.
pub(crate) fn is_hidden(name: &str) -> bool {
    alternatives(name).is_some()
}

/// The name for people: without its number.
pub(crate) fn shown(name: &str) -> &str {
    alternatives(name).unwrap_or(name)
}

/// Whether both may be the same name, and which that is.
pub(crate) fn common<'a>(one: &'a str, other: &str) -> Option<&'a str> {
    names(one).find(|name| names(other).any(|other| other == *name))
}

fn alternatives(name: &str) -> Option<&str> {
    let (number, names) = name.split_once(" of ")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_from_several_that_it_may_be() {
        let hidden = name(2, &["celerity", "speed"]);
        assert_eq!((shown(&hidden), is_hidden(&hidden)), ("celerity|speed", true));
        assert_eq!(names(&hidden).collect::<Vec<_>>(), ["celerity", "speed"]);
        for plain in ["speed", "speed of light", "a|b", "2 of", ""] {
            assert_eq!((shown(plain), is_hidden(plain)), (plain, false));
            assert_eq!(names(plain).collect::<Vec<_>>(), [plain]);
        }
        assert_eq!(common(&hidden, "speed"), Some("speed"));
        assert_eq!(common(&hidden, &name(0, &["a", "speed"])), Some("speed"));
        assert_eq!(common(&hidden, "velocity"), None);
    }
}
