//! Reading values: bincode's deserializer, which refuses lengths that no data stands behind.

use bincode::ErrorKind;
use bincode::de::read::SliceReader;
use serde::de::value::U32Deserializer;
use serde::de::{DeserializeSeed, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, de};

use super::rows::Rows;
use super::{DEEPEST, OUT_OF_BAND, Options, Result, options, refusal, too_deep};
use crate::state::arrays::{self, ArraySource, Kind, Reference};

/// Reads values, and counts the elements that lengths announce.
pub(super) struct Reader<'de, 'a> {
    values: bincode::Deserializer<SliceReader<'de>, Options>,
    elements: u64,
    depth: u32,
    arrays: &'a mut dyn ArraySource,
}

impl<'de, 'a> Reader<'de, 'a> {
    /// Reads from `bytes`, whose sequences announce up to `elements` elements altogether.
    pub(super) fn new(bytes: &'de [u8], elements: u64, arrays: &'a mut dyn ArraySource) -> Reader<'de, 'a> {
        Reader { values: bincode::Deserializer::from_slice(bytes, options()), elements, depth: 0, arrays }
    }

    pub(super) fn ended(mut self) -> bool {
        // bincode keeps the number of bytes that are left to itself; asking for one more tells.
        u8::deserialize(&mut self.values).is_err()
    }

    #[inline]
    fn number(&mut self) -> Result<u64> {
        u64::deserialize(&mut self.values)
    }

    #[inline]
    fn admit(&mut self, length: u64) -> Result<usize> {
        match (self.elements.checked_sub(length), usize::try_from(length)) {
            (Some(left), Ok(length)) => {
                self.elements = left;
                Ok(length)
            }
            _ => Err(refusal(format!("a sequence announces {length} elements, more than there is data for"))),
        }
    }

    /// A `Vec` takes the whole array; anything else that wants a sequence gets its rows one by one.
    fn read_array<V: Visitor<'de>>(&mut self, visitor: V, kind: Option<Kind>) -> Result<V::Value> {
        let array = Reference { number: self.number()?, rows: self.number()? };
        if let Some(kind) = kind {
            let values = kind.read(self.arrays, array).map_err(refusal)?;
            return arrays::owned(values)
                .ok_or_else(|| refusal(format!("array {} is of another type", array.number)));
        }
        let (kind, bytes) = self.arrays.bytes(array).map_err(refusal)?;
        let mut rows = Rows::new(kind, bytes);
        let value = visitor.visit_seq(&mut rows)?;
        if rows.ended() {
            Ok(value)
        } else {
            Err(refusal(format!("array {} is longer than the value", array.number)))
        }
    }

    #[inline]
    fn read_elements<V: Visitor<'de>>(&mut self, length: u64, visitor: V) -> Result<V::Value> {
        let left = self.admit(length)?;
        visitor.visit_seq(Elements { reader: self, left })
    }

    /// For a visitor of ours that makes a `Vec`, whatever its own type.
    #[cold]
    fn read_rows<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.number()? {
            OUT_OF_BAND => self.read_array(visitor, arrays::vec_kind::<V::Value>()),
            length => self.read_elements(length, visitor),
        }
    }

    /// Bytes, which may have been written as a sequence of `u8`, and so as an array.
    fn read_bytes(&mut self) -> Result<Vec<u8>> {
        let length = self.number()?;
        if length == OUT_OF_BAND {
            let array = Reference { number: self.number()?, rows: self.number()? };
            let (kind, bytes) = self.arrays.bytes(array).map_err(refusal)?;
            return match (kind.dtype.descr, kind.inner) {
                ("|u1", []) => Ok(bytes),
                _ => Err(refusal(format!("array {} does not hold bytes", array.number))),
            };
        }
        let length = self.admit(length)?;
        let mut bytes = Vec::new();
        for _ in 0..length / 16 {
            bytes.extend_from_slice(&u128::deserialize(&mut self.values)?.to_le_bytes());
        }
        for _ in 0..length % 16 {
            bytes.push(u8::deserialize(&mut self.values)?);
        }
        Ok(bytes)
    }

    /// Goes one value deeper, as far as was allowed when it was written.
    #[inline]
    fn deeper<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        if self.depth == DEEPEST {
            return Err(too_deep());
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }
}

macro_rules! read_with_bincode {
    ($($method:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.values.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de, '_> {
    type Error = bincode::Error;

    read_with_bincode! {
        deserialize_any;
        deserialize_ignored_any;
        deserialize_identifier;
        deserialize_bool;
        deserialize_u8;
        deserialize_u16;
        deserialize_u32;
        deserialize_u64;
        deserialize_u128;
        deserialize_i8;
        deserialize_i16;
        deserialize_i32;
        deserialize_i64;
        deserialize_i128;
        deserialize_f32;
        deserialize_f64;
        deserialize_char;
        deserialize_str;
        deserialize_string;
        deserialize_unit;
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_byte_buf(self.read_bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_byte_buf(self.read_bytes()?)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match u8::deserialize(&mut self.values)? {
            0 => visitor.visit_none(),
            1 => self.deeper(|reader| visitor.visit_some(reader)),
            tag => Err(ErrorKind::InvalidTagEncoding(tag.into()).into()),
        }
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        if name == arrays::ROWS {
            return self.read_rows(visitor);
        }
        self.deeper(|reader| visitor.visit_newtype_struct(reader))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let length = self.number()?;
        if length == OUT_OF_BAND {
            return self.read_array(visitor, arrays::visitor_reads::<V>());
        }
        self.read_elements(length, visitor)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let length = self.number()?;
        let left = self.admit(length)?;
        visitor.visit_map(Elements { reader: self, left })
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        let value = visitor.visit_seq(Elements { reader: self, left: length })?;
        #[cfg(feature = "nalgebra")]
        if length == 3 && arrays::contradicts(&value) {
            return Err(refusal("a matrix has other dimensions than its elements".to_owned()));
        }
        Ok(value)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Elements<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    left: usize,
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de, '_> {
    type Error = bincode::Error;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.reader.deeper(|reader| seed.deserialize(reader)).map(Some)
            }
            None => Ok(None),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::MapAccess<'de> for Elements<'_, 'de, '_> {
    type Error = bincode::Error;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        de::SeqAccess::next_element_seed(self, seed)
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        self.reader.deeper(|reader| seed.deserialize(reader))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> de::EnumAccess<'de> for &mut Reader<'de, '_> {
    type Error = bincode::Error;
    type Variant = Self;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self)> {
        let index: U32Deserializer<bincode::Error> = u32::deserialize(&mut self.values)?.into_deserializer();
        Ok((seed.deserialize(index)?, self))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Reader<'de, '_> {
    type Error = bincode::Error;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        self.deeper(|reader| seed.deserialize(reader))
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_tuple(length, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }
}
