//! The place in the state of the value that is being encoded, and the name that an array gets from
//! it.

use crate::base::limits::{ARRAY_NAME_READ, ARRAY_NAME_STEP, ARRAY_NAME_WRITTEN};
use crate::base::text::shortened;

/// One step from a value into a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Into a field.
    Field(&'static str),
    /// Into an element, or a field without a name.
    Index(u64),
    /// Into the value of a map. Its key was encoded as these bytes, and has this type.
    Key { from: usize, to: usize, type_name: fn() -> &'static str },
}

/// The name of the entry for an array at the end of these steps: the steps with `/` between them,
/// and `.npy`.
///
/// Letters, digits, `_`, `-` and `.` stand for themselves; every other byte is written as `%` and
/// two hexadecimal digits. A dot at the beginning of a step is written like that, so that no name
/// leads out of a folder that it is unpacked into. So is the last dot of a step that ends in
/// `.npy`: numpy leaves that ending out, and would take one array for the other.
pub(crate) fn name<'s>(steps: impl Iterator<Item = &'s Step>, encoded: &[u8]) -> String {
    let mut name = String::new();
    for step in steps {
        if !name.is_empty() {
            name.push('/');
        }
        let start = name.len();
        match step {
            Step::Field(field) => escape(field.as_bytes(), &mut name),
            Step::Index(index) => name.push_str(&index.to_string()),
            Step::Key { from, to, type_name } => {
                key(encoded.get(*from..*to).unwrap_or_default(), type_name(), &mut name);
            }
        }
        shorten(&mut name, start);
    }
    if name.is_empty() {
        name.push_str("state");
    }
    shorten_path(&mut name);
    name + ".npy"
}

/// Cuts a path that is too long behind one of its steps, and adds the CRC-32 of the whole path:
/// paths that begin alike still differ.
fn shorten_path(name: &mut String) {
    if name.len() <= ARRAY_NAME_WRITTEN {
        return;
    }
    let hash = hash_of(name);
    // A step is far shorter than that, so there is a `/`.
    let room = name.get(..=ARRAY_NAME_WRITTEN - hash.len()).and_then(|start| start.rfind('/'));
    name.truncate(room.unwrap_or_default());
    name.push_str(&hash);
}

/// The end of a step, or of a path, that was cut. No `~` comes from a field or a key, so no uncut
/// one looks like it.
fn hash_of(whole: &str) -> String {
    format!("~{:08x}", crc32fast::hash(whole.as_bytes()))
}

/// True if an array may have this name: no step of it is empty or begins with a dot, and nothing in
/// it has a meaning to a file system or a terminal. [`name`] makes only such names.
///
/// The first version of this library cut a path at its greatest length. If the cut was just behind
/// a `/`, the last step is nothing but `.npy`.
pub(crate) fn is_array_name(name: &str) -> bool {
    const WAS_CUT: usize = ARRAY_NAME_WRITTEN + ".npy".len();
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.%~/".contains(&byte);
    let whole = match name.strip_suffix("/.npy") {
        Some(start) if name.len() == WAS_CUT => start,
        _ => name,
    };
    name.len() <= ARRAY_NAME_READ
        && name.ends_with(".npy")
        && name.bytes().all(letters)
        && whole.split('/').all(|step| !step.is_empty() && !step.starts_with('.'))
}

/// The place at the end of these steps, for a message. Empty if there are none.
pub(crate) fn place<'s>(steps: impl Iterator<Item = &'s Step>, encoded: &[u8]) -> String {
    let mut place = String::new();
    for step in steps {
        match step {
            Step::Field(field) if place.is_empty() => place.push_str(field),
            Step::Field(field) => place.extend([".", field]),
            Step::Index(index) => place.push_str(&format!("[{index}]")),
            Step::Key { from, to, type_name } => {
                let mut text = String::new();
                key(encoded.get(*from..*to).unwrap_or_default(), type_name(), &mut text);
                place.extend(["[", &shortened(&text), "]"]);
            }
        }
    }
    shortened(&place).into_owned()
}

/// One step of a name, as [`name`] writes a field or a key that is text.
pub(crate) fn path_step(text: &str) -> String {
    let mut step = String::new();
    escape(text.as_bytes(), &mut step);
    shorten(&mut step, 0);
    step
}

/// Cuts the step that begins at `start` if it is too long, and adds the CRC-32 of the whole step:
/// two long keys that begin alike still differ.
fn shorten(name: &mut String, start: usize) {
    let Some(step) = name.get(start..).filter(|step| step.len() > ARRAY_NAME_STEP) else { return };
    let hash = hash_of(step);
    // All of it is ASCII. It is never cut between a `%` and its digits.
    let mut kept = ARRAY_NAME_STEP;
    while name
        .get(start..start + kept)
        .is_some_and(|step| step.bytes().rev().take(2).any(|byte| byte == b'%'))
    {
        kept -= 1;
    }
    name.truncate(start + kept);
    name.push_str(&hash);
}

fn key(bytes: &[u8], type_name: &str, name: &mut String) {
    let text =
        bytes.split_first_chunk().filter(|(length, text)| u64::from_le_bytes(**length) == text.len() as u64);
    let mut number = [0; 16];
    match (text, number.get_mut(..bytes.len())) {
        (Some((_, text)), _) if !is_integer(type_name) => escape(text, name),
        (_, Some(low)) => {
            low.copy_from_slice(bytes);
            let number = u128::from_le_bytes(number);
            let unused = 128 - 8 * bytes.len();
            if type_name.trim_start_matches('&').starts_with('i') && unused < 128 {
                let number = (number << unused).cast_signed() >> unused;
                name.push_str(&number.to_string());
            } else {
                name.push_str(&number.to_string());
            }
        }
        _ => escape(bytes, name),
    }
}

fn is_integer(type_name: &str) -> bool {
    let digits = type_name.trim_start_matches('&').strip_prefix(['i', 'u']);
    digits.is_some_and(|digits| digits == "size" || digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn escape(bytes: &[u8], name: &mut String) {
    for (place, byte) in bytes.iter().enumerate() {
        match byte {
            // Not the first dot, and not one that would make the step look like the name of an
            // array.
            b'.' if place > 0 && bytes.get(place..) != Some(b".npy") => name.push('.'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => name.push(char::from(*byte)),
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if bytes.is_empty() {
        name.push('%');
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::any::type_name;

    use super::*;

    fn of_key(key: &str) -> String {
        let mut encoded = (key.len() as u64).to_le_bytes().to_vec();
        encoded.extend_from_slice(key.as_bytes());
        let to = encoded.len();
        let steps = [Step::Field("table"), Step::Key { from: 0, to, type_name: type_name::<String> }];
        name(steps.iter(), &encoded)
    }

    #[test]
    fn a_name_is_the_path_of_the_field() {
        let steps = [Step::Field("model"), Step::Field("layers"), Step::Index(2), Step::Field("weights")];
        assert_eq!(name(steps.iter(), &[]), "model/layers/2/weights.npy");
        assert_eq!(name([].iter(), &[]), "state.npy");
        assert_eq!(of_key("alpha_1-b.c"), "table/alpha_1-b.c.npy");
    }

    #[test]
    fn no_key_leads_out_of_the_archive_or_into_another_step() {
        assert_eq!(of_key(".."), "table/%2E..npy");
        assert_eq!(of_key("../../etc/passwd"), "table/%2E.%2F..%2Fetc%2Fpasswd.npy");
        assert_eq!(of_key("a/b\\c:d\0"), "table/a%2Fb%5Cc%3Ad%00.npy");
        assert_eq!(of_key(""), "table/%.npy");
        assert_eq!(of_key("é%"), "table/%C3%A9%25.npy");
        assert_eq!(of_key("a.npy"), "table/a%2Enpy.npy");
    }

    #[test]
    fn a_step_too_long_for_a_file_is_cut_and_stays_unique() {
        assert_eq!(of_key(&"a".repeat(200)), format!("table/{}.npy", "a".repeat(200)));
        let long = of_key(&"a".repeat(201));
        let hash = crc32fast::hash("a".repeat(201).as_bytes());
        assert_eq!(long, format!("table/{}~{hash:08x}.npy", "a".repeat(200)));
        assert_ne!(long, of_key(&"a".repeat(202)));
        let escaped = of_key(&("a".to_owned() + &"é".repeat(300)));
        assert!(escaped.split('/').all(|step| step.len() <= 255), "{escaped}");
        let (kept, _) = escaped.split_once('~').unwrap();
        assert!(kept.ends_with("%C3") || kept.ends_with("%A9"), "{kept}");
    }

    /// Paths of 900 to 1100 bytes with last steps that begin and end at every place.
    fn long_paths() -> Vec<String> {
        let mut paths = Vec::new();
        for length in 900..1100 {
            for last in [1, 2, 3, 4, 5, 199, 200, 201, 300] {
                let first = "x".repeat((length - last) % 190 + 1);
                let mut names = vec![first];
                let mut written = names[0].len();
                while written + last + 1 < length {
                    let step = "y".repeat((length - written - last - 1).min(180));
                    written += step.len() + 1;
                    names.push(step);
                }
                names.push(if last % 2 == 0 { "z" } else { "é" }.repeat(last));
                let mut encoded = Vec::new();
                let keys: Vec<Step> = names
                    .iter()
                    .map(|key| {
                        let from = encoded.len();
                        encoded.extend((key.len() as u64).to_le_bytes());
                        encoded.extend(key.as_bytes());
                        Step::Key { from, to: encoded.len(), type_name: type_name::<String> }
                    })
                    .collect();
                paths.push(name(keys.iter(), &encoded));
            }
        }
        paths
    }

    #[test]
    fn a_path_of_any_length_becomes_a_name_that_a_reader_takes() {
        let paths = long_paths();
        for path in &paths {
            assert!(is_array_name(path), "{path}");
            assert!(path.len() <= ARRAY_NAME_WRITTEN + 4, "{path}");
            assert!(path.split('/').all(|step| step.len() <= 255), "{path}");
        }
        let cut = paths.iter().filter(|path| path.len() > 900 && path.contains('~'));
        assert!(cut.count() > 500, "most of them are too long");
    }

    #[test]
    fn a_long_path_is_cut_behind_a_step_and_stays_apart_from_others() {
        let deep = |steps: usize| name(vec![Step::Field("next"); steps].iter(), &[]);
        assert_eq!(deep(200), format!("{}.npy", ["next"; 200].join("/")));
        assert_eq!(deep(200).len(), 999 + 4);
        let cut = deep(201);
        let hash = crc32fast::hash(["next"; 201].join("/").as_bytes());
        assert_eq!(cut, format!("{}~{hash:08x}.npy", ["next"; 198].join("/")));
        let names: std::collections::HashSet<String> = (201..2048).map(deep).collect();
        assert_eq!(names.len(), 2048 - 201);
        assert!(names.iter().all(|name| is_array_name(name)));
    }

    #[test]
    fn names_that_the_first_version_cut_anywhere_are_still_read() {
        let cut = |path: &str| format!("{}.npy", &path[..1000]);
        for step in ["next", "nodes/0", "a%C3%A9", "x"] {
            let path = format!("{step}/").repeat(1000);
            for start in 0..step.len() + 1 {
                let name = cut(&path[start..]);
                let is_whole = !name.starts_with('/');
                assert_eq!(is_array_name(&name), is_whole, "{name}");
            }
        }
        // A step without a name is allowed only at the length where a path was cut.
        for other in ["a/.npy", "a//.npy", ".npy", "a/.b.npy", "/a.npy", "a//b.npy", "a/../b.npy"] {
            assert!(!is_array_name(other), "{other}");
        }
        let shorter = format!("{}/.npy", "a".repeat(998));
        assert!(!is_array_name(&shorter));
        assert!(is_array_name(&format!("{}/.npy", "a".repeat(999))));
    }

    #[test]
    fn keys_that_are_numbers_are_written_as_such() {
        let of =
            |bytes: &[u8], type_name| name([Step::Key { from: 0, to: bytes.len(), type_name }].iter(), bytes);
        assert_eq!(of(&7_u64.to_le_bytes(), type_name::<u64>), "7.npy");
        assert_eq!(of(&(-7_i32).to_le_bytes(), type_name::<&i32>), "-7.npy");
        assert_eq!(of(&i128::MIN.to_le_bytes(), type_name::<i128>), format!("{}.npy", i128::MIN));
        assert_eq!(of(&0_u64.to_le_bytes(), type_name::<u64>), "0.npy");
    }
}
