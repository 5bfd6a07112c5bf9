//! Where in the state the value is that is being encoded, and the name that an array gets from that.

/// One step from a value into a part of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// Into a field.
    Field(&'static str),
    /// Into an element, or a field without a name.
    Index(u64),
    /// Into the value of a map whose key was encoded as these bytes; the type of the key tells what they mean.
    Key { from: usize, to: usize, type_name: &'static str },
}

/// A name that is longer than this says nothing to anybody, and would not fit the file format when it is very long.
const LONGEST: usize = 1000;

/// A folder or a file has a name of at most 255 bytes, of which `.npy`, and what keeps equal names apart, need some.
const LONGEST_STEP: usize = 200;

/// The name of the entry for an array at the end of these steps: the steps with `/` between them, and `.npy`.
///
/// Letters, digits, `_`, `-` and `.` stand for themselves; every other byte is written as `%` and two hexadecimal digits. So
/// is the first dot of a step that begins with one: no name leads out of a folder that it is unpacked into. And so is the
/// last of one that ends in `.npy`: numpy leaves that ending out, and would take one array for the other.
pub(super) fn name(steps: &[Step], encoded: &[u8]) -> String {
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
                key(encoded.get(*from..*to).unwrap_or_default(), type_name, &mut name);
            }
        }
        shorten(&mut name, start);
    }
    if name.is_empty() {
        name.push_str("state");
    }
    if name.len() > LONGEST {
        name.truncate(LONGEST);
    }
    name + ".npy"
}

/// One step of a name, as [`name`] writes that of a field or of a key that is text.
pub(crate) fn path_step(text: &str) -> String {
    let mut step = String::new();
    escape(text.as_bytes(), &mut step);
    shorten(&mut step, 0);
    step
}

/// Cuts the step that begins at `start` where it is too long, and adds the CRC-32 of the whole step: two long keys that
/// begin alike still differ. No `~` comes from a field or a key, so no short step is like it.
fn shorten(name: &mut String, start: usize) {
    let Some(step) = name.get(start..).filter(|step| step.len() > LONGEST_STEP) else { return };
    let hash = crc32fast::hash(step.as_bytes());
    // All of it is ASCII. Not between a `%` and its digits.
    let mut kept = LONGEST_STEP;
    while name
        .get(start..start + kept)
        .is_some_and(|step| step.bytes().rev().take(2).any(|byte| byte == b'%'))
    {
        kept -= 1;
    }
    name.truncate(start + kept);
    name.push_str(&format!("~{hash:08x}"));
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
            // Not the first, and not one that would make the step look like the name of an array.
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
    use super::*;

    fn of_key(key: &str) -> String {
        let mut encoded = (key.len() as u64).to_le_bytes().to_vec();
        encoded.extend_from_slice(key.as_bytes());
        let to = encoded.len();
        name(&[Step::Field("table"), Step::Key { from: 0, to, type_name: "alloc::string::String" }], &encoded)
    }

    #[test]
    fn a_name_is_the_path_of_the_field() {
        let steps = [Step::Field("model"), Step::Field("layers"), Step::Index(2), Step::Field("weights")];
        assert_eq!(name(&steps, &[]), "model/layers/2/weights.npy");
        assert_eq!(name(&[], &[]), "state.npy");
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
    fn a_step_that_is_too_long_for_a_file_is_shortened_and_stays_apart_from_others() {
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

    #[test]
    fn keys_that_are_numbers_are_written_as_such() {
        let of = |bytes: &[u8], type_name| name(&[Step::Key { from: 0, to: bytes.len(), type_name }], bytes);
        assert_eq!(of(&7_u64.to_le_bytes(), "u64"), "7.npy");
        assert_eq!(of(&(-7_i32).to_le_bytes(), "&i32"), "-7.npy");
        assert_eq!(of(&i128::MIN.to_le_bytes(), "i128"), format!("{}.npy", i128::MIN));
        assert_eq!(of(&0_u64.to_le_bytes(), "u64"), "0.npy");
    }
}
