//! Reads values from CBOR, from the bytes of a file. Nothing in them is trusted.

use cbor4ii::core::dec::{self, Decode, IgnoredAny, Read, Reference};
use cbor4ii::core::utils::SliceReader;
use cbor4ii::core::{major, marker, types};
use serde::de::{
    DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::{Deserialize, Deserializer};

use super::{Error, Level, NUMBER, SOME};
use crate::codec::Room;

pub(super) fn from_bytes<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let _level = Level::enter()?;
    let mut reader = Reader { data: SliceReader::new(bytes), failure: None };
    let value = Room::for_types_up_to(size_of::<T>()).at_start(|| T::deserialize(&mut reader));
    match (reader.failure.take(), reader.rest()) {
        (Some(failure), _) => Err(failure),
        (None, 0) => value,
        (None, _) => value.and(Err(Error("there is more data than the value takes".to_owned()))),
    }
}

/// True if a value begins like one that has others inside.
pub(super) fn has_parts(bytes: &[u8]) -> bool {
    let starts = [major::ARRAY << 5 | marker::START, major::MAP << 5 | marker::START, VARIANT];
    bytes.first().is_some_and(|first| starts.contains(first))
}

struct Reader<'de> {
    data: SliceReader<'de>,
    /// The first failure after which the place of the next value is unknown. No type may hide it.
    failure: Option<Error>,
}

/// An integer as it is written.
enum Integer {
    Unsigned(u64),
    Signed(i64),
    Large(u128),
    Small(i128),
}

impl<'de> Reader<'de> {
    /// Keeps a failure that no type may pass over.
    fn keep(&mut self, failure: Error) -> Error {
        let said = Error(failure.0.clone());
        self.failure.get_or_insert(failure);
        said
    }

    fn refuse<R>(&mut self, why: &str) -> Result<R, Error> {
        Err(self.keep(Error(why.to_owned())))
    }

    /// The number of bytes left.
    fn rest(&mut self) -> usize {
        let Ok(rest) = self.data.fill(usize::MAX);
        rest.as_ref().len()
    }

    /// Goes one value deeper, with the stack that the result needs.
    fn inside<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        let _level = Level::enter().map_err(|error| self.keep(error))?;
        self.with_room(read)
    }

    /// Reads a value with the stack that it needs. If it is refused before it is read, its end is
    /// unknown.
    fn with_room<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R, Error>) -> Result<R, Error> {
        let before = self.rest();
        let room = Room::for_types_up_to(size_of::<R>());
        match room.before(size_of::<R>(), || read(self)) {
            Err(error) if self.rest() == before => Err(self.keep(error)),
            value => value,
        }
    }

    fn peek(&mut self) -> Result<u8, Error> {
        let Ok(next) = self.data.fill(1);
        match next.as_ref().first().copied() {
            Some(byte) => Ok(byte),
            None => self.refuse("the data ends before the value is complete"),
        }
    }

    fn take<T: Decode<'de>>(&mut self) -> Result<T, Error> {
        T::decode(&mut self.data).map_err(|error| self.keep(Error(error.to_string())))
    }

    /// Passes over the next byte if it is this one.
    fn skip(&mut self, byte: u8) -> Result<bool, Error> {
        let is_there = self.peek()? == byte;
        if is_there {
            self.data.advance(1);
        }
        Ok(is_there)
    }

    /// The tag that comes next, which is not passed over.
    fn tag(&mut self) -> Result<u64, Error> {
        let Ok(next) = self.data.fill(9);
        let mut ahead = SliceReader::new(match next {
            Reference::Long(bytes) => bytes,
            Reference::Short(_) => &[],
        });
        types::Tag::tag(&mut ahead).map_err(|error| self.keep(Error(error.to_string())))
    }

    /// Passes over the mark of a `Some`, if that is next.
    fn skip_some(&mut self) -> Result<bool, Error> {
        if dec::if_major(self.peek()?) != major::TAG || self.tag()? != SOME {
            return Ok(false);
        }
        types::Tag::tag(&mut self.data).map_err(|error| self.keep(Error(error.to_string())))?;
        Ok(true)
    }

    fn integer(&mut self) -> Result<Integer, Error> {
        if dec::if_major(self.peek()?) == major::UNSIGNED {
            return self.take().map(Integer::Unsigned);
        }
        if dec::if_major(self.peek()?) == major::TAG && self.tag()? == 2 {
            return self.take().map(Integer::Large);
        }
        let number: i128 = self.take()?;
        Ok(i64::try_from(number).map_or(Integer::Small(number), Integer::Signed))
    }

    fn is_integer(&mut self) -> Result<bool, Error> {
        Ok(match dec::if_major(self.peek()?) {
            major::UNSIGNED | major::NEGATIVE => true,
            major::TAG => matches!(self.tag()?, 2 | 3),
            _ => false,
        })
    }

    /// Refuses an integer that comes next, if a float of so many digits rounds it.
    fn exact_in_float(&mut self, digits: u32, float: &str) -> Result<(), Error> {
        if !self.is_integer()? {
            return Ok(());
        }
        let Ok(next) = self.data.fill(usize::MAX);
        let here = match next {
            Reference::Long(bytes) => bytes,
            Reference::Short(_) => &[],
        };
        let (magnitude, sign) = match self.integer()? {
            Integer::Unsigned(number) => (number.into(), ""),
            Integer::Signed(number) => (u128::from(number.unsigned_abs()), if number < 0 { "-" } else { "" }),
            Integer::Large(number) => (number, ""),
            Integer::Small(number) => (number.unsigned_abs(), "-"),
        };
        // The digits from the first to the last that is 1.
        let significant = magnitude.checked_shr(magnitude.trailing_zeros()).unwrap_or(0);
        if u128::BITS - significant.leading_zeros() > digits {
            return Err(Error(format!("{sign}{magnitude} is no value of {float}")));
        }
        self.data = SliceReader::new(here);
        Ok(())
    }

    fn array<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.inside(|reader| {
            if !reader.skip(major::ARRAY << 5 | marker::START)? {
                return reader.refuse("a sequence announces its length, which this form never does");
            }
            let value = visitor.visit_seq(Parts(reader));
            reader.ended(value)
        })
    }

    fn map<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.inside(|reader| {
            // This is a variant that the type reads as a map, as it would read anything.
            if reader.skip(VARIANT)? {
                let mut entry = OneEntry { reader: &mut *reader, has_key: true, has_value: true };
                let value = visitor.visit_map(&mut entry);
                return match (value, entry.has_value) {
                    (Ok(_), true) => reader.refuse("there is more in a variant than the type takes"),
                    (Err(error), _) => Err(reader.keep(error)),
                    (value, false) => value,
                };
            }
            if !reader.skip(major::MAP << 5 | marker::START)? {
                return reader.refuse("a map announces its length, which this form never does");
            }
            if reader.is_number() && !super::has_any_precision() {
                return reader.refuse(
                    "a number was saved by a program in which the feature `arbitrary_precision` of `serde_json` was on; \
                     switch it on in this program too",
                );
            }
            let value = visitor.visit_map(Parts(&mut *reader));
            reader.ended(value)
        })
    }

    /// True if the map whose entries come next stands for a number of `serde_json`.
    fn is_number(&mut self) -> bool {
        let Ok(next) = self.data.fill(9 + NUMBER.len());
        <&str>::decode(&mut SliceReader::new(next.as_ref())).is_ok_and(|name| name == NUMBER)
    }

    /// Passes over the mark of the end behind the parts of a value. If the mark is not next, the
    /// value failed.
    fn ended<R>(&mut self, value: Result<R, Error>) -> Result<R, Error> {
        match (value, self.skip(marker::BREAK)?) {
            (value, true) => value,
            (Ok(_), false) => self.refuse("there are more elements than the type takes"),
            (Err(error), false) => Err(self.keep(error)),
        }
    }
}

/// A map of one entry: a variant that holds something.
const VARIANT: u8 = major::MAP << 5 | 1;

macro_rules! exact {
    ($($deserialize:ident => $visit:ident($type:ty);)*) => {$(
        /// Gives the type that was asked for, or refuses an integer that does not fit it: a visitor
        /// may cut a wider one, or need not take it.
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            if !self.is_integer()? {
                return self.deserialize_any(visitor);
            }
            let number = self.integer()?;
            let exact = match number {
                Integer::Unsigned(number) => <$type>::try_from(number).ok(),
                Integer::Signed(number) => <$type>::try_from(number).ok(),
                Integer::Large(number) => <$type>::try_from(number).ok(),
                Integer::Small(number) => <$type>::try_from(number).ok(),
            };
            match exact {
                Some(exact) => visitor.$visit(exact),
                None => Err(number.refused_as(stringify!($type))),
            }
        }
    )*};
}

impl Integer {
    fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Integer::Unsigned(number) => visitor.visit_u64(number),
            Integer::Signed(number) => visitor.visit_i64(number),
            Integer::Large(number) => visitor.visit_u128(number),
            Integer::Small(number) => visitor.visit_i128(number),
        }
    }

    fn refused_as(&self, ty: &str) -> Error {
        let number = match self {
            Integer::Unsigned(number) => number.to_string(),
            Integer::Signed(number) => number.to_string(),
            Integer::Large(number) => number.to_string(),
            Integer::Small(number) => number.to_string(),
        };
        Error::invalid_value(Unexpected::Other(&format!("integer `{number}`")), &ty)
    }
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let first = self.peek()?;
        if self.is_integer()? {
            return self.integer()?.visit(visitor);
        }
        match (dec::if_major(first), first) {
            (major::BYTES, _) => {
                self.take().and_then(|types::Bytes(bytes)| visitor.visit_borrowed_bytes(bytes))
            }
            (major::STRING, _) => self.take().and_then(|text| visitor.visit_borrowed_str(text)),
            (major::ARRAY, _) => self.array(visitor),
            (major::MAP, _) => self.map(visitor),
            (major::TAG, _) if self.skip_some()? => self.inside(|reader| visitor.visit_some(reader)),
            (_, marker::FALSE | marker::TRUE) => self.take().and_then(|flag| visitor.visit_bool(flag)),
            (_, marker::NULL) => {
                self.data.advance(1);
                visitor.visit_none()
            }
            (_, marker::UNDEFINED) => {
                self.data.advance(1);
                visitor.visit_unit()
            }
            (_, marker::F32) => self.take().and_then(|number| visitor.visit_f32(number)),
            (_, marker::F64) => self.take().and_then(|number| visitor.visit_f64(number)),
            _ => self.refuse(&format!("no value of this form begins with the byte {first:#04x}")),
        }
    }

    exact! {
        deserialize_i8 => visit_i8(i8);
        deserialize_i16 => visit_i16(i16);
        deserialize_i32 => visit_i32(i32);
        deserialize_i64 => visit_i64(i64);
        deserialize_i128 => visit_i128(i128);
        deserialize_u8 => visit_u8(u8);
        deserialize_u16 => visit_u16(u16);
        deserialize_u32 => visit_u32(u32);
        deserialize_u64 => visit_u64(u64);
        deserialize_u128 => visit_u128(u128);
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.peek()? == marker::F64 {
            let number: f64 = self.take()?;
            #[allow(clippy::cast_possible_truncation, reason = "the next line compares")]
            let is_exact = number.is_nan() || f64::from(number as f32) == number;
            return if is_exact {
                visitor.visit_f64(number)
            } else {
                Err(Error(format!("{number} is no value of f32")))
            };
        }
        self.exact_in_float(f32::MANTISSA_DIGITS, "f32")?;
        self.deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.exact_in_float(f64::MANTISSA_DIGITS, "f64")?;
        self.deserialize_any(visitor)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if dec::if_major(self.peek()?) != major::STRING {
            return self.deserialize_any(visitor);
        }
        let text: &'de str = self.take()?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => visitor.visit_char(character),
            _ => visitor.visit_borrowed_str(text),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.skip(marker::NULL)? {
            return visitor.visit_none();
        }
        self.skip_some()?;
        self.inside(|reader| visitor.visit_some(reader))
    }

    /// One type may write `None`, and another may read it as a unit.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.skip(marker::NULL)? {
            return visitor.visit_unit();
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        let before = self.rest();
        match visitor.visit_newtype_struct(&mut *self) {
            Err(error) if self.rest() == before => Err(self.keep(error)),
            value => value,
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let is_empty = ![VARIANT, major::MAP << 5 | marker::START].contains(&self.peek()?);
        // The name of a variant alone is no level when it is written either.
        if is_empty {
            return self.with_room(|reader| visitor.visit_enum(Empty(reader)));
        }
        self.inside(|reader| {
            if reader.skip(VARIANT)? {
                return visitor.visit_enum(Holding(&mut *reader)).map_err(|error| reader.keep(error));
            }
            // Some types write a variant by hand like this.
            reader.data.advance(1);
            let value = visitor.visit_enum(Holding(&mut *reader));
            reader.ended(value)
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.take::<IgnoredAny>()?;
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        bool str string bytes byte_buf seq tuple tuple_struct map struct identifier
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The elements of a sequence, or the entries of a map, up to the mark of their end.
struct Parts<'r, 'de>(&'r mut Reader<'de>);

impl<'de> Parts<'_, 'de> {
    fn part<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        // A type that passes over a failure would be given the same bytes again, without an end.
        if let Some(failure) = &self.0.failure {
            return Err(Error(failure.0.clone()));
        }
        if self.0.peek()? == marker::BREAK {
            return Ok(None);
        }
        let before = self.0.rest();
        let part = seed.deserialize(&mut *self.0)?;
        if self.0.rest() == before {
            return self.0.refuse("the type reads nothing of an element");
        }
        Ok(Some(part))
    }
}

impl<'de> SeqAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.part(seed)
    }
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.part(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        match self.part(seed)? {
            Some(value) => Ok(value),
            None => self.0.refuse("a key has no value"),
        }
    }
}

/// The only entry of a map.
struct OneEntry<'r, 'de> {
    reader: &'r mut Reader<'de>,
    has_key: bool,
    has_value: bool,
}

impl<'de> MapAccess<'de> for OneEntry<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        if !std::mem::take(&mut self.has_key) {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        if !std::mem::take(&mut self.has_value) {
            return self.reader.refuse("a value was asked for without its key");
        }
        seed.deserialize(&mut *self.reader)
    }

    /// Other maps of this form do not tell their lengths: so a variant is known from them.
    fn size_hint(&self) -> Option<usize> {
        Some(usize::from(self.has_key))
    }
}

/// A variant that holds something.
struct Holding<'r, 'de>(&'r mut Reader<'de>);

impl<'de> EnumAccess<'de> for Holding<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self.0)?, self))
    }
}

impl<'de> VariantAccess<'de> for Holding<'_, 'de> {
    type Error = Error;

    /// The variant is not empty; a type that expects an empty one may still accept it.
    fn unit_variant(self) -> Result<(), Error> {
        <()>::deserialize(self.0)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.0)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.0.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_any(visitor)
    }
}

/// A variant that holds nothing: its name.
struct Empty<'r, 'de>(&'r mut Reader<'de>);

impl<'de> EnumAccess<'de> for Empty<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        Ok((seed.deserialize(&mut *self.0)?, self))
    }
}

impl<'de> VariantAccess<'de> for Empty<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(empty())
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(empty())
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(empty())
    }
}

fn empty() -> Error {
    Error::custom("the variant holds nothing where the type wants it to")
}
