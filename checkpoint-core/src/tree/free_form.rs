//! Values in text or bytes of a state that describe themselves: maps and sets in them may come in
//! another order.

use std::borrow::Cow;
use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::state::self_describing;

/// A hash that is equal for equal values, with the members of lists and objects in any order, if
/// the text is a list or an object of JSON. If `in_order`, the order of lists counts.
pub(super) fn of_text(text: &str, in_order: bool) -> Option<u64> {
    if in_order { text_print::<true>(text) } else { text_print::<false>(text) }
}

/// The same for bytes, if they are a value with parts in the self-describing form.
pub(super) fn of_bytes(bytes: &[u8], in_order: bool) -> Option<u64> {
    if in_order { bytes_print::<true>(bytes) } else { bytes_print::<false>(bytes) }
}

fn text_print<const IN_ORDER: bool>(text: &str) -> Option<u64> {
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::from_str::<Print<IN_ORDER>>(&with_large_integers_as_text(text)).ok().map(|print| print.0)
}

fn bytes_print<const IN_ORDER: bool>(bytes: &[u8]) -> Option<u64> {
    self_describing::read_whole::<Print<IN_ORDER>>(bytes).map(|print| print.0)
}

/// The JSON with each integer that has no type of 64 bits as a text: as a number it would be read
/// as the nearest float.
fn with_large_integers_as_text(text: &str) -> Cow<'_, str> {
    let mut exact = String::new();
    let (mut rest, mut copied) = (text, 0);
    while let Some(start) = rest.find(['"', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        let found = rest.get(start..).unwrap_or_default();
        let length = if found.starts_with('"') { string_length(found) } else { number_length(found) };
        let (token, behind) = found.split_at_checked(length).unwrap_or((found, ""));
        if is_large_integer(token) {
            let place = text.len() - found.len();
            exact.push_str(text.get(copied..place).unwrap_or_default());
            exact.extend(["\"\\u0000", token, "\""]);
            copied = place + token.len();
        }
        rest = behind;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    exact.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(exact)
}

/// The length of the string that a text of JSON begins with.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// The length of the number that a text of JSON begins with.
fn number_length(text: &str) -> usize {
    text.find(|letter: char| !letter.is_ascii_digit() && !"+-.eE".contains(letter)).unwrap_or(text.len())
}

fn is_large_integer(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    let is_integer = digits.starts_with(|first: char| ('1'..='9').contains(&first))
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_integer && token.parse::<i64>().is_err() && token.parse::<u64>().is_err()
}

/// The hash of a value. If `IN_ORDER`, the order of sequences counts; that of maps never does.
struct Print<const IN_ORDER: bool>(u64);

impl<'de, const IN_ORDER: bool> Deserialize<'de> for Print<IN_ORDER> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any::<IN_ORDER>)
    }
}

fn hash_of(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

struct Any<const IN_ORDER: bool>;

macro_rules! leaves {
    ($($method:ident($value:ident: $type:ty) => $hashed:expr;)*) => {$(
        fn $method<E>(self, $value: $type) -> Result<Self::Value, E> {
            Ok(Print(hash_of($hashed)))
        }
    )*};
}

impl<'de, const IN_ORDER: bool> Visitor<'de> for Any<IN_ORDER> {
    type Value = Print<IN_ORDER>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    leaves! {
        visit_bool(value: bool) => value;
        visit_i64(value: i64) => value;
        visit_i128(value: i128) => value;
        visit_u64(value: u64) => value;
        visit_u128(value: u128) => value;
        visit_f32(value: f32) => value.to_bits();
        visit_f64(value: f64) => value.to_bits();
    }

    /// A string in the text may hold such a text again.
    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Print(text_print::<IN_ORDER>(value).unwrap_or_else(|| hash_of(value))))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Self::Value, E> {
        Ok(Print(bytes_print::<IN_ORDER>(value).unwrap_or_else(|| hash_of(value))))
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Print(hash_of("none")))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        Print::<IN_ORDER>::deserialize(deserializer).map(|inner| Print(hash_of(("some", inner.0))))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Print(hash_of(())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let (mut count, mut sum) = (0_u64, 0_u64);
        while let Some(Print::<IN_ORDER>(element)) = sequence.next_element()? {
            count += 1;
            sum = if IN_ORDER { hash_of((sum, element)) } else { sum.wrapping_add(element) };
        }
        Ok(Print(hash_of(("sequence", count, sum))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        // A variant with content is a map that tells its length.
        let is_variant = map.size_hint().is_some();
        let (mut count, mut sum) = (0_u64, 0_u64);
        while let Some((Print::<IN_ORDER>(key), Print::<IN_ORDER>(value))) = map.next_entry()? {
            count += 1;
            sum = sum.wrapping_add(hash_of((key, value)));
        }
        Ok(Print(hash_of((if is_variant { "variant" } else { "map" }, count, sum))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_and_a_map_of_one_entry_are_two_values() {
        let (variant, map) = ([0xa1, 0x61, b'a', 1], [0xbf, 0x61, b'a', 1, 0xff]);
        assert!(of_bytes(&variant, false).is_some() && of_bytes(&map, false).is_some());
        assert_ne!(of_bytes(&variant, false), of_bytes(&map, false));
    }
}
