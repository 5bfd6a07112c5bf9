//! The rows of an array one by one, for a visitor that is not a `Vec`'s.
//!
//! Each row is given as the array's own type, and as nothing else. A visitor that wants another
//! type refuses them. A visitor that wants text, bytes or a length never takes the numbers for one.

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{Failure, Result};
use crate::arrays::Kind;
use crate::schema::Element;

/// A sequence of rows.
pub(super) struct Rows {
    kind: Kind,
    bytes: Vec<u8>,
    taken: usize,
    failed: bool,
}

impl Rows {
    pub(super) fn new(kind: Kind, bytes: Vec<u8>) -> Rows {
        Rows { kind, bytes, taken: 0, failed: false }
    }

    /// True if every row was taken.
    pub(super) fn ended(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// True if the array was not of the requested type, whatever its visitor made of that.
    pub(super) fn failed(&self) -> bool {
        self.failed
    }

    #[cold]
    fn refuse(&mut self, why: impl std::fmt::Display) -> Failure {
        self.failed = true;
        Failure::custom(why)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        let bytes = self.bytes.get(self.taken..).and_then(<[u8]>::first_chunk).copied();
        self.taken += N;
        bytes.ok_or_else(|| self.refuse("an array ends in the middle of a number"))
    }
}

impl<'de> SeqAccess<'de> for &mut Rows {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        if self.ended() {
            return Ok(None);
        }
        // A type that passes over a failure would be given the same row again, without an end.
        if self.failed {
            return Err(Failure::custom("an array was read on behind a failure"));
        }
        let (Kind { inner, element }, before) = (self.kind, self.taken);
        let row = seed.deserialize(Row { rows: self, inner, element })?;
        if self.taken == before {
            return Err(self.refuse("the type reads nothing of a row"));
        }
        Ok(Some(row))
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.kind.row()).ok().map(|row| (self.bytes.len() - self.taken) / row)
    }
}

/// One row, or a part of one.
struct Row<'a> {
    rows: &'a mut Rows,
    /// The lengths of its dimensions.
    inner: &'static [u64],
    /// The type of its numbers.
    element: Element,
}

impl Row<'_> {
    /// The row, if it is a number of this type.
    fn only(self, element: Element) -> Result<Self> {
        if self.inner.is_empty() && self.element == element {
            return Ok(self);
        }
        let [found, wanted] = [self.element, element].map(Element::descr);
        Err(self.rows.refuse(format!("an array of {found} where {wanted} belongs")))
    }
}

impl<'de> Deserializer<'de> for Row<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Row { rows, inner, element } = self;
        if let [length, inner @ ..] = inner {
            return Members { rows, inner, element, left: *length }.taken_by(visitor);
        }
        match element {
            // serde sees a complex number as a pair of floats.
            Element::Complex32 => {
                Members { rows, inner: &[], element: Element::F32, left: 2 }.taken_by(visitor)
            }
            Element::Complex64 => {
                Members { rows, inner: &[], element: Element::F64, left: 2 }.taken_by(visitor)
            }
            Element::Bool => match rows.number()? {
                [0] => visitor.visit_bool(false),
                [1] => visitor.visit_bool(true),
                [byte] => Err(rows.refuse(format!("a bool is 0 or 1, not {byte}"))),
            },
            Element::U8 => visitor.visit_u8(u8::from_le_bytes(rows.number()?)),
            // serde sees the bits of a 16-bit float as an integer.
            Element::U16 | Element::F16 | Element::Bf16 => {
                visitor.visit_u16(u16::from_le_bytes(rows.number()?))
            }
            Element::U32 => visitor.visit_u32(u32::from_le_bytes(rows.number()?)),
            Element::U64 => visitor.visit_u64(u64::from_le_bytes(rows.number()?)),
            Element::U128 => visitor.visit_u128(u128::from_le_bytes(rows.number()?)),
            Element::I128 => visitor.visit_i128(i128::from_le_bytes(rows.number()?)),
            Element::I8 => visitor.visit_i8(i8::from_le_bytes(rows.number()?)),
            Element::I16 => visitor.visit_i16(i16::from_le_bytes(rows.number()?)),
            Element::I32 => visitor.visit_i32(i32::from_le_bytes(rows.number()?)),
            Element::I64 => visitor.visit_i64(i64::from_le_bytes(rows.number()?)),
            Element::F32 => visitor.visit_f32(f32::from_le_bytes(rows.number()?)),
            Element::F64 => visitor.visit_f64(f64::from_le_bytes(rows.number()?)),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match (self.inner, self.element) {
            ([], Element::U128) => visitor.visit_i128(i128::from_le_bytes(self.rows.number()?)),
            _ => self.deserialize_any(visitor),
        }
    }

    // serde's floats take integers too. Forged integers in the place of floats are refused, as a
    // `Vec` refuses them.
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.only(Element::F32)?.deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.only(Element::F64)?.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        match self {
            // The header does not tell a number from a row of one.
            Row { rows, inner: [], element } if length == 1 => {
                Members { rows, inner: &[], element, left: 1 }.taken_by(visitor)
            }
            row => row.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 u128 char str string bytes byte_buf option unit unit_struct seq map enum
        identifier ignored_any
    }
}

/// The members of a row that has dimensions.
struct Members<'a> {
    rows: &'a mut Rows,
    inner: &'static [u64],
    element: Element,
    left: u64,
}

impl Members<'_> {
    /// Gives them to a visitor that is to take them all: behind members that were left, the next
    /// row would begin in the middle of this one.
    fn taken_by<'de, V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let value = visitor.visit_seq(&mut self);
        match (value, self.left) {
            (value, 0) => value,
            (Ok(_), left) => Err(self.rows.refuse(format!("the type leaves {left} members of a row"))),
            (Err(failure), _) => {
                self.rows.failed = true;
                Err(failure)
            }
        }
    }
}

impl<'de> SeqAccess<'de> for &mut Members<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                seed.deserialize(Row { rows: self.rows, inner: self.inner, element: self.element }).map(Some)
            }
            None => Ok(None),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::arrays;

    struct Lenient<T>(Option<T>);

    impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Lenient<T>, D::Error> {
            Ok(Lenient(T::deserialize(deserializer).ok()))
        }
    }

    struct Nothing;

    impl<'de> Deserialize<'de> for Nothing {
        fn deserialize<D: Deserializer<'de>>(_: D) -> std::result::Result<Nothing, D::Error> {
            Ok(Nothing)
        }
    }

    #[test]
    fn a_row_that_is_passed_over_does_not_come_again_forever() {
        let kind = arrays::vec_kind::<Vec<f64>>().unwrap();
        let mut rows = Rows::new(kind, vec![0; 32]);
        assert!((&mut rows).next_element::<Lenient<f32>>().is_err() && rows.failed());
        let mut rows = Rows::new(arrays::vec_kind::<Vec<bool>>().unwrap(), vec![2, 2]);
        let first: Lenient<bool> = (&mut rows).next_element().unwrap().unwrap();
        assert!(first.0.is_none() && rows.failed());
        assert!((&mut rows).next_element::<Lenient<bool>>().is_err());
        let mut rows = Rows::new(kind, vec![0; 32]);
        assert!((&mut rows).next_element::<Nothing>().is_err() && rows.failed());
    }

    #[test]
    fn a_row_of_which_members_are_left_is_refused() {
        let kind = arrays::vec_kind::<Vec<[f64; 3]>>().unwrap();
        let rows = || Rows::new(kind, vec![0; 48]);
        let mut whole = rows();
        assert!((&mut whole).next_element::<(f64, f64, f64)>().unwrap().is_some() && !whole.failed());
        let mut pairs = rows();
        assert!((&mut pairs).next_element::<(f64, f64)>().is_err() && pairs.failed());
        // A type may pass over its own refusal.
        let mut lenient = rows();
        let row = (&mut lenient).next_element::<Lenient<Positive>>().unwrap().unwrap();
        assert!(row.0.is_none() && lenient.failed());
    }

    /// Refuses a row at its first number.
    struct Positive;

    impl<'de> Deserialize<'de> for Positive {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Positive, D::Error> {
            struct First;
            impl<'de> Visitor<'de> for First {
                type Value = Positive;
                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a positive number")
                }
                fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> std::result::Result<Positive, A::Error> {
                    match row.next_element::<f64>()? {
                        Some(number) if number > 0.0 => Ok(Positive),
                        _ => Err(A::Error::custom("it is not positive")),
                    }
                }
            }
            deserializer.deserialize_seq(First)
        }
    }
}
