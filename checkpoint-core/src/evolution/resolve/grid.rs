//! Reads fixed arrays longer than serde knows: one sequence in the checkpoint, nested sequences for
//! another type, as in JSON.

use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::access::check_whole;
use super::cursor::{Cursor, Failure, Step};
use super::other::Other;
use crate::arrays::Reference;
use crate::codec::bytes::Count;
use crate::schema::{Grid, Type};

impl<'a> Cursor<'a> {
    /// Reads the one sequence as the fixed array, or as a `Vec` of fixed arrays.
    pub(super) fn read_grid<V: Visitor<'a>>(
        &mut self,
        grid: &'a Grid,
        other: Other<'a>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let leaf = &*grid.element;
        let (array, length, inner) = self.begin_grid(grid)?;
        if let Some(array) = array {
            self.begin_array(array, leaf)?;
        }
        let value = Members { cursor: self, leaf, other, inner, taken: 0, length }.read(visitor)?;
        if array.is_some() {
            self.end_array()?;
        }
        Ok(value)
    }

    /// Reads the number of elements, or the reference to the array that holds them. Returns the
    /// array, the number of members, and the lengths of each.
    fn begin_grid(&mut self, grid: &'a Grid) -> Result<(Option<Reference>, u64, &'a [u64]), Failure> {
        let lengths = &*grid.lengths;
        let (leaves, array) = match self.elements()? {
            Count::Here(length) => (length, None),
            Count::Apart(array) => (array.rows, Some(array)),
        };
        let one = lengths.iter().try_fold(1_u64, |product, length| product.checked_mul(*length));
        let arrays = one.filter(|one| *one > 0 && leaves.is_multiple_of(*one)).map(|one| leaves / one);
        match (arrays, lengths.split_first()) {
            (Some(length), _) if grid.is_vec => Ok((array, length, lengths)),
            (Some(1), Some((length, inner))) => Ok((array, *length, inner)),
            _ => Err(Failure::custom(format!("{leaves} elements are no whole number of arrays"))),
        }
    }
}

/// The members of an array: arrays of these lengths themselves, or leaves.
struct Members<'r, 's, 'a> {
    cursor: &'r mut Cursor<'a>,
    leaf: &'a Type,
    /// The type that the program has in the place of all of them.
    other: Other<'a>,
    inner: &'s [u64],
    taken: u64,
    length: u64,
}

impl<'a> Members<'_, '_, 'a> {
    fn read<V: Visitor<'a>>(mut self, visitor: V) -> Result<V::Value, Failure> {
        let value = visitor.visit_seq(&mut self)?;
        check_whole(self.taken == self.length)?;
        Ok(value)
    }
}

impl<'a> SeqAccess<'a> for &mut Members<'_, '_, 'a> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        if self.taken == self.length {
            return Ok(None);
        }
        let step = Step::Element(self.taken);
        let (leaf, other) =
            (self.leaf, self.other.element(usize::try_from(self.taken).unwrap_or(usize::MAX)));
        self.taken += 1;
        let Some((length, inner)) = self.inner.split_first() else {
            return self.cursor.visit(step, leaf, other, seed).map(Some);
        };
        self.cursor.enter(step);
        let length = *length;
        let value = self.cursor.guard(|cursor| {
            cursor.deeper(|cursor| {
                seed.deserialize(Member(Members { cursor, leaf, other, inner, taken: 0, length }))
            })
        })?;
        self.cursor.leave();
        Ok(Some(value))
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.length - self.taken).ok()
    }
}

/// A member that is an array itself.
struct Member<'r, 's, 'a>(Members<'r, 's, 'a>);

impl<'a> Deserializer<'a> for Member<'_, '_, 'a> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Members { cursor, leaf, other, inner, taken, length } = self.0;
        cursor.guard(|cursor| Members { cursor, leaf, other, inner, taken, length }.read(visitor))
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>> bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}
