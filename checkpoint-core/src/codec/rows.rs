//! The rows of an array one by one, for a visitor that is not a `Vec`'s.
//!
//! They are given as what the array's own type says, and nothing else: a visitor that wants another type refuses
//! them, and one that wants text, bytes or a length never gets to interpret the numbers as such.

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::{Failure, Result};
use crate::arrays::Kind;

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

    /// Whether every row was taken.
    pub(super) fn ended(&self) -> bool {
        self.taken == self.bytes.len()
    }

    /// Whether the array was not what it was asked for, whatever its visitor made of that.
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
        let Kind { inner, dtype, .. } = self.kind;
        seed.deserialize(Row { rows: self, inner, descr: dtype.descr }).map(Some)
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
    descr: &'static str,
}

impl Row<'_> {
    /// The row, if it is a number of this type.
    fn only(self, descr: &str) -> Result<Self> {
        match (self.inner, self.descr) {
            ([], found) if found == descr => Ok(self),
            (_, found) => Err(self.rows.refuse(format!("an array of {found} where {descr} belongs"))),
        }
    }
}

impl<'de> Deserializer<'de> for Row<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let Row { rows, inner, descr } = self;
        if let [length, inner @ ..] = inner {
            return visitor.visit_seq(Members { rows, inner, descr, left: *length });
        }
        match descr {
            // A complex number is, to serde, a pair of floats.
            "<c8" => visitor.visit_seq(Members { rows, inner: &[], descr: "<f4", left: 2 }),
            "<c16" => visitor.visit_seq(Members { rows, inner: &[], descr: "<f8", left: 2 }),
            "|b1" => match rows.number()? {
                [0] => visitor.visit_bool(false),
                [1] => visitor.visit_bool(true),
                [byte] => Err(rows.refuse(format!("a bool is 0 or 1, not {byte}"))),
            },
            "|u1" => visitor.visit_u8(u8::from_le_bytes(rows.number()?)),
            // A 16-bit float is, to serde, the number of its bits.
            "<u2" | "<f2" | "|V2" => visitor.visit_u16(u16::from_le_bytes(rows.number()?)),
            "<u4" => visitor.visit_u32(u32::from_le_bytes(rows.number()?)),
            "<u8" => visitor.visit_u64(u64::from_le_bytes(rows.number()?)),
            "|V16" => visitor.visit_u128(u128::from_le_bytes(rows.number()?)),
            "|i1" => visitor.visit_i8(i8::from_le_bytes(rows.number()?)),
            "<i2" => visitor.visit_i16(i16::from_le_bytes(rows.number()?)),
            "<i4" => visitor.visit_i32(i32::from_le_bytes(rows.number()?)),
            "<i8" => visitor.visit_i64(i64::from_le_bytes(rows.number()?)),
            "<f4" => visitor.visit_f32(f32::from_le_bytes(rows.number()?)),
            "<f8" => visitor.visit_f64(f64::from_le_bytes(rows.number()?)),
            other => Err(rows.refuse(format!("an array of {other} can only be loaded whole"))),
        }
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match (self.inner, self.descr) {
            ([], "|V16") => visitor.visit_i128(i128::from_le_bytes(self.rows.number()?)),
            _ => self.deserialize_any(visitor),
        }
    }

    // serde's floats take integers too. Forged integers in the place of floats are refused, as they are by a `Vec`.
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.only("<f4")?.deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.only("<f8")?.deserialize_any(visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        match self {
            // The header does not tell a number from a row of one.
            Row { rows, inner: [], descr } if length == 1 => {
                visitor.visit_seq(Members { rows, inner: &[], descr, left: 1 })
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
    descr: &'static str,
    left: u64,
}

impl<'de> SeqAccess<'de> for Members<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                seed.deserialize(Row { rows: self.rows, inner: self.inner, descr: self.descr }).map(Some)
            }
            None => Ok(None),
        }
    }
}
