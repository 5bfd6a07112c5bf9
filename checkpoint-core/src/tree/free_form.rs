//! Values in text or bytes of a state that describe themselves: maps and sets in them may come in
//! another order.

use std::collections::hash_map::DefaultHasher;
use std::fmt;
use std::hash::{Hash, Hasher as _};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::state::self_describing;

/// A hash that is equal for equal values, in any order of their members, if the text is a list or
/// an object of JSON.
pub(super) fn of_text(text: &str) -> Option<u64> {
    let is_whole = text.starts_with(['{', '[']);
    is_whole.then(|| serde_json::from_str::<Print>(text).ok().map(|print| print.0)).flatten()
}

/// The same for bytes, if they are a value with parts in the self-describing form.
pub(super) fn of_bytes(bytes: &[u8]) -> Option<u64> {
    self_describing::read_whole::<Print>(bytes).map(|print| print.0)
}

struct Print(u64);

impl<'de> Deserialize<'de> for Print {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Print, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

fn of(value: impl Hash) -> Print {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    Print(hasher.finish())
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Print;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Print, E> {
        Ok(of(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Print, E> {
        Ok(of(value))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Print, E> {
        Ok(of(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Print, E> {
        Ok(of(value))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Print, E> {
        Ok(of(value))
    }

    fn visit_f32<E>(self, value: f32) -> Result<Print, E> {
        Ok(of(value.to_bits()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Print, E> {
        Ok(of(value.to_bits()))
    }

    /// A string in the text may hold such a text again.
    fn visit_str<E>(self, value: &str) -> Result<Print, E> {
        Ok(of_text(value).map_or_else(|| of(value), Print))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Print, E> {
        Ok(of_bytes(value).map_or_else(|| of(value), Print))
    }

    fn visit_none<E>(self) -> Result<Print, E> {
        Ok(of("none"))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Print, D::Error> {
        Print::deserialize(deserializer).map(|inner| of(("some", inner.0)))
    }

    fn visit_unit<E>(self) -> Result<Print, E> {
        Ok(of(()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Print, A::Error> {
        let (mut count, mut sum) = (0_u64, 0_u64);
        while let Some(Print(element)) = sequence.next_element()? {
            count += 1;
            sum = sum.wrapping_add(element);
        }
        Ok(of(("sequence", count, sum)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Print, A::Error> {
        // A variant with content is a map that tells its length.
        let is_variant = map.size_hint().is_some();
        let (mut count, mut sum) = (0_u64, 0_u64);
        while let Some((Print(key), Print(value))) = map.next_entry()? {
            count += 1;
            sum = sum.wrapping_add(of((key, value)).0);
        }
        Ok(of((if is_variant { "variant" } else { "map" }, count, sum)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_and_a_map_of_one_entry_are_two_values() {
        let (variant, map) = ([0xa1, 0x61, b'a', 1], [0xbf, 0x61, b'a', 1, 0xff]);
        assert!(of_bytes(&variant).is_some() && of_bytes(&map).is_some());
        assert_ne!(of_bytes(&variant), of_bytes(&map));
    }
}
