//! Reads values. A length that the data cannot hold is refused.

use serde::Deserializer;
use serde::de::value::U32Deserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};
use typed_arena::Arena;

use super::bytes::{self, Count, Flag};
use super::rows::Rows;
use super::stack::Room;
use super::{Failure, Result, leaves, too_deep};
use crate::arrays::{self, ArrayPool, ArraySource, Cause, Kind, Reference};
use crate::base::limits::VALUE_DEPTH;
use crate::schema::Element;

/// Reads values, and counts the elements that lengths announce.
///
/// A type may pass over a failure, and take a default for a value that it could not read. It then
/// reads on, so the reader must be at the start of the next value. That holds after a value that
/// was read whole, and that its visitor then refused. Every other failure is kept, and all that was
/// read is worthless.
///
/// Visitors borrow from the input, or from the arena, which keeps the bytes of arrays.
pub(crate) struct Reader<'de, 'a> {
    bytes: &'de [u8],
    arena: &'de Arena<Vec<u8>>,
    elements: u64,
    depth: u32,
    room: Room,
    arrays: &'a mut dyn ArraySource,
    /// The first failure after which the place is unknown, or the value is not the saved one.
    failure: Option<Failure>,
}

impl<'de, 'a> Reader<'de, 'a> {
    /// Reads from `bytes`. All sequences together may announce up to `elements` elements.
    pub(crate) fn new(
        bytes: &'de [u8],
        arena: &'de Arena<Vec<u8>>,
        elements: u64,
        room: Room,
        arrays: &'a mut dyn ArraySource,
    ) -> Reader<'de, 'a> {
        Reader { bytes, arena, elements, depth: 0, room, arrays, failure: None }
    }

    /// The value, if no failure was kept, the bytes that were not read, and the number of elements
    /// that may still be announced.
    pub(crate) fn end<T>(self, value: Result<T>) -> (Result<T>, &'de [u8], u64) {
        (self.failure.map_or(value, Err), self.bytes, self.elements)
    }

    /// Keeps the refusal of a source of arrays.
    #[cold]
    fn note(&mut self, cause: Cause) -> Failure {
        self.keep(Failure::caused(cause))
    }

    /// Keeps a failure that no type may pass over.
    #[cold]
    fn keep(&mut self, failure: Failure) -> Failure {
        failure.noted(&mut self.failure)
    }

    /// Takes a part from the front of the bytes.
    #[inline]
    fn front<R>(&mut self, take: impl FnOnce(&mut &'de [u8]) -> Result<R>) -> Result<R> {
        take(&mut self.bytes).map_err(|failure| self.keep(failure))
    }

    /// Keeps the failure of a value, unless it was read whole.
    #[inline]
    fn whole<R>(&mut self, value: Result<R>, is_whole: bool) -> Result<R> {
        match value {
            Err(failure) if !is_whole => Err(self.keep(failure)),
            value => value,
        }
    }

    /// Counts the elements that a sequence announces.
    #[inline]
    fn admit(&mut self, length: u64) -> Result<usize> {
        match (self.elements.checked_sub(length), usize::try_from(length)) {
            (Some(left), Ok(length)) => {
                self.elements = left;
                Ok(length)
            }
            _ => Err(self.keep(Failure::new(format!(
                "a sequence announces {length} elements, more than there is data for"
            )))),
        }
    }

    /// Gives the whole array to a `Vec`, and its rows one by one to any other visitor of a
    /// sequence.
    fn read_array<V: Visitor<'de>>(
        &mut self,
        array: Reference,
        visitor: V,
        kind: Option<Kind>,
    ) -> Result<V::Value> {
        if let Some(kind) = kind {
            return kind.read(self.arrays, array).map_err(|cause| self.note(cause));
        }
        let (kind, bytes) = self.arrays.bytes(array).map_err(|cause| self.note(cause))?;
        let mut rows = Rows::new(kind, bytes);
        match visitor.visit_seq(&mut rows) {
            Ok(_) if rows.failed() => {
                Err(self.keep(Failure::new(format!("array {} is not what the value reads", array.number))))
            }
            Ok(_) if !rows.ended() => {
                let why = format!("array {} is longer than the value", array.number);
                Err(self.keep(Failure::new(why)))
            }
            value => self.whole(value, rows.ended() && !rows.failed()),
        }
    }

    #[inline]
    fn read_elements<V: Visitor<'de>>(&mut self, length: u64, visitor: V) -> Result<V::Value> {
        let count = self.admit(length)?;
        match self.visit_parts(count, visitor) {
            (value, 0) => value,
            (Ok(_), left) => Err(self.keep(unread(left))),
            (Err(failure), _) => Err(self.keep(failure)),
        }
    }

    /// Reads a map that was written as an array of pairs. A pair has the bytes of a key and of its
    /// value. Only a part of unknown form is written so.
    #[cold]
    fn read_pairs<V: Visitor<'de>>(&mut self, array: Reference, visitor: V) -> Result<V::Value> {
        let (_, bytes) = self.arrays.bytes(array).map_err(|cause| self.note(cause))?;
        let bytes = self.arena.alloc(bytes);
        let mut arrays = NoneInside(self.arrays.pool());
        let mut pairs = Reader::new(bytes, self.arena, array.rows, self.room, &mut arrays);
        pairs.depth = self.depth;
        let value = pairs.read_entries(array.rows, visitor);
        let is_whole = pairs.failure.is_none() && pairs.bytes.is_empty();
        match pairs.end(value) {
            (Ok(_), rest, _) if !rest.is_empty() => {
                let why = format!("array {} is longer than the value", array.number);
                Err(self.keep(Failure::new(why)))
            }
            (value, ..) => self.whole(value, is_whole),
        }
    }

    #[inline]
    fn read_entries<V: Visitor<'de>>(&mut self, length: u64, visitor: V) -> Result<V::Value> {
        let mut left = self.admit(length)?;
        let value = self.deeper(|reader| {
            let mut entries = Entries { left, has_value: false, reader };
            let value = visitor.visit_map(&mut entries);
            left = entries.left + usize::from(entries.has_value);
            value
        });
        match (value, left) {
            (value, 0) => value,
            (Ok(_), left) => Err(self.keep(unread(left))),
            (Err(failure), _) => Err(self.keep(failure)),
        }
    }

    /// Reads a `Vec` for a visitor of this library, whatever the type of that visitor.
    #[cold]
    fn read_rows<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value> {
        match self.front(bytes::count)? {
            Count::Here(length) => self.read_elements(length, visitor),
            Count::Apart(array) => self.read_array(array, visitor, arrays::vec_kind::<V::Value>()),
        }
    }

    /// Reads bytes. They may have been written as a sequence of `u8`, and so as an array.
    fn read_bytes(&mut self) -> Result<Bytes<'de>> {
        let length = match self.front(bytes::count)? {
            Count::Here(length) => length,
            Count::Apart(array) => return self.read_bytes_apart(array),
        };
        self.admit(length)?;
        self.front(|bytes| bytes::slice(bytes, length)).map(Bytes::Here)
    }

    fn read_bytes_apart(&mut self, array: Reference) -> Result<Bytes<'de>> {
        let (kind, bytes) = self.arrays.bytes(array).map_err(|cause| self.note(cause))?;
        match (kind.element, kind.inner) {
            (Element::U8, []) => Ok(Bytes::Apart(bytes)),
            _ => Err(self.keep(Failure::new(format!("array {} does not hold bytes", array.number)))),
        }
    }

    /// Reads a part of a value. Keeps the failure of a part that was refused before any of it was
    /// read.
    #[inline]
    fn part<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let before = self.bytes.len();
        // The schema may not have the type of a large part.
        let value = if Room::is_large(size_of::<R>()) { self.part_with_room(read) } else { read(self) };
        match value {
            Err(failure) if self.bytes.len() == before => Err(self.keep(failure)),
            value => value,
        }
    }

    #[inline(never)]
    fn part_with_room<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.room.before(size_of::<R>(), || read(self))
    }

    /// Reads the parts of a value, which are one level deeper. The writer refuses deeper values.
    #[inline]
    fn deeper<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        if self.room.is_due(self.depth, size_of::<R>()) {
            return self.deeper_with_room(read);
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    /// Reads the parts of a value after a look at the depth and at the stack.
    #[inline(never)]
    fn deeper_with_room<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        if self.depth >= VALUE_DEPTH {
            return Err(self.keep(too_deep()));
        }
        self.depth += 1;
        let value = self.room.before(size_of::<R>(), || read(self));
        self.depth -= 1;
        value
    }

    /// Reads the only part of a value.
    #[inline]
    fn inner<R>(&mut self, read: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.deeper(|reader| reader.part(read))
    }

    /// Passes this number of parts to a visitor. Returns the number that it leaves, too.
    #[inline]
    fn visit_parts<V: Visitor<'de>>(&mut self, count: usize, visitor: V) -> (Result<V::Value>, usize) {
        let mut left = count;
        let value = self.deeper(|reader| {
            let mut parts = Elements { left: count, reader };
            let value = visitor.visit_seq(&mut parts);
            left = parts.left;
            value
        });
        (value, left)
    }
}

/// The arrays that the numbers of an array refer to: none.
struct NoneInside<'a>(&'a mut ArrayPool);

impl NoneInside<'_> {
    fn refused<R>() -> std::result::Result<R, Cause> {
        Err("an array refers to another one".into())
    }
}

impl ArraySource for NoneInside<'_> {
    fn pool(&mut self) -> &mut ArrayPool {
        self.0
    }

    fn check(&mut self, _: Reference, _: Kind) -> std::result::Result<(), Cause> {
        NoneInside::refused()
    }

    fn fill(&mut self, _: Reference, _: &mut [u8]) -> std::result::Result<(), Cause> {
        NoneInside::refused()
    }

    fn bytes(&mut self, _: Reference) -> std::result::Result<(Kind, Vec<u8>), Cause> {
        NoneInside::refused()
    }

    fn skip(&mut self, _: Reference) -> std::result::Result<(), Cause> {
        NoneInside::refused()
    }
}

/// Bytes of the input, or of an array that was kept elsewhere.
enum Bytes<'de> {
    Here(&'de [u8]),
    Apart(Vec<u8>),
}

#[cold]
fn undecided(request: &str) -> Failure {
    Failure::new(format!(
        "a type decides while reading what comes next ({request}), which the bytes cannot tell; write \
         #[serde(with = \"checkpointed::self_describing\")] on its field"
    ))
}

macro_rules! read_numbers {
    ($($method:ident $visit:ident $type:ident;)*) => {$(
        #[inline]
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            visitor.$visit(self.front(leaves::read::<$type>)?)
        }
    )*};
}

macro_rules! refuse {
    ($($method:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value> {
            Err(self.keep(undecided(stringify!($method))))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de, '_> {
    type Error = Failure;

    read_numbers! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_u128 visit_u128 u128;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_i128 visit_i128 i128;
        deserialize_f32 visit_f32 f32;
        deserialize_f64 visit_f64 f64;
    }

    refuse! {
        deserialize_any;
        deserialize_ignored_any;
        deserialize_identifier;
    }

    #[inline]
    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_bool(self.front(|bytes| bytes::flag(bytes, Flag::Bool))?)
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_char(self.front(bytes::character)?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.front(bytes::text)?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_string(self.front(bytes::text)?.to_owned())
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.read_bytes()? {
            Bytes::Here(bytes) => visitor.visit_borrowed_bytes(bytes),
            Bytes::Apart(bytes) => visitor.visit_borrowed_bytes(self.arena.alloc(bytes)),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.read_bytes()? {
            Bytes::Here(bytes) => visitor.visit_byte_buf(bytes.to_vec()),
            Bytes::Apart(bytes) => visitor.visit_byte_buf(bytes),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self.front(|bytes| bytes::flag(bytes, Flag::Option))? {
            self.inner(|reader| visitor.visit_some(reader))
        } else {
            visitor.visit_none()
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
        self.inner(|reader| visitor.visit_newtype_struct(reader))
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.front(bytes::count)? {
            Count::Here(length) => self.read_elements(length, visitor),
            Count::Apart(array) => self.read_array(array, visitor, arrays::visitor_reads::<V>()),
        }
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.front(bytes::count)? {
            Count::Here(length) => self.read_entries(length, visitor),
            Count::Apart(array) => self.read_pairs(array, visitor),
        }
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        let (value, left) = self.visit_parts(length, visitor);
        #[cfg(feature = "nalgebra")]
        if length == 3 && value.as_ref().is_ok_and(arrays::contradicts) {
            let why = "a matrix has other dimensions than its elements";
            return Err(self.keep(Failure::new(why)));
        }
        self.whole(value, left == 0)
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
        let mut before = None;
        let value = visitor.visit_enum(Choice { reader: self, content: &mut before });
        // A variant without content is refused too: it looks like one that was not read.
        let is_whole = before.is_some_and(|before| before != self.bytes.len());
        self.whole(value, is_whole)
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

/// The failure of a visitor that stops early. The rest would be read as the next value.
#[cold]
fn unread(left: usize) -> Failure {
    Failure::new(format!("its Deserialize leaves {left} elements unread"))
}

impl<'de> de::SeqAccess<'de> for &mut Elements<'_, 'de, '_> {
    type Error = Failure;

    #[inline]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.reader.part(|reader| seed.deserialize(reader)).map(Some)
            }
            None => Ok(None),
        }
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Entries<'r, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    left: usize,
    /// True if a value comes next.
    has_value: bool,
}

impl<'de> de::MapAccess<'de> for &mut Entries<'_, 'de, '_> {
    type Error = Failure;

    #[inline]
    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        match self.left.checked_sub(1) {
            _ if self.has_value => {
                Err(self.reader.keep(Failure::new("its Deserialize leaves a value unread")))
            }
            Some(left) => {
                (self.left, self.has_value) = (left, true);
                self.reader.part(|reader| seed.deserialize(reader)).map(Some)
            }
            None => Ok(None),
        }
    }

    #[inline]
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        if !self.has_value {
            return Err(self.reader.keep(Failure::new("its Deserialize asks for a value without its key")));
        }
        self.has_value = false;
        self.reader.part(|reader| seed.deserialize(reader))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Choice<'r, 'c, 'de, 'a> {
    reader: &'r mut Reader<'de, 'a>,
    /// The number of bytes from the start of the content of the variant to the end.
    content: &'c mut Option<usize>,
}

impl<'r, 'de, 'a> de::EnumAccess<'de> for Choice<'r, '_, 'de, 'a> {
    type Error = Failure;
    type Variant = &'r mut Reader<'de, 'a>;

    #[inline]
    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self::Variant)> {
        let Choice { reader, content } = self;
        let index = reader.front(leaves::read::<u32>)?;
        *content = Some(reader.bytes.len());
        let index: U32Deserializer<Failure> = index.into_deserializer();
        Ok((seed.deserialize(index)?, reader))
    }
}

impl<'de> de::VariantAccess<'de> for &mut Reader<'de, '_> {
    type Error = Failure;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value> {
        self.inner(|reader| seed.deserialize(reader))
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
