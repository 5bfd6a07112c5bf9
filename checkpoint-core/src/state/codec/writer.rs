//! Writing values: bincode's serializer, made strict.

use serde::{Serialize, Serializer, ser};

use super::{DEEPEST, OUT_OF_BAND, Result, options, refusal, too_deep};
use crate::state::arrays::{self, Array, ArraySink};
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use crate::state::arrays::{Grid, Lengths};
use crate::state::path::{self, Step};

/// Appends values, counts their elements, and notes where it is.
pub(super) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    elements: u64,
    depth: u32,
    /// From the state to the value that is being written.
    path: Vec<Step>,
    arrays: &'a mut dyn ArraySink,
}

impl<'a> Writer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>, arrays: &'a mut dyn ArraySink) -> Writer<'a> {
        Writer { bytes, elements: 0, depth: 0, path: Vec::new(), arrays }
    }

    /// How many elements the sequences written so far have, altogether.
    pub(super) fn elements(&self) -> u64 {
        self.elements
    }

    /// Writes any value.
    #[inline]
    pub(super) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
        if let Some(grid) = arrays::grid(value) {
            return self.write_grid(grid);
        }
        if self.depth == DEEPEST {
            return Err(too_deep());
        }
        self.depth += 1;
        value.serialize(&mut *self)?;
        self.depth -= 1;
        Ok(())
    }

    /// As the array's own type serializes it.
    #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
    fn write_grid(&mut self, grid: Grid<'_>) -> Result<()> {
        match grid.lengths {
            #[cfg(feature = "ndarray")]
            Lengths::Before { version, lengths } => {
                self.serialize_u8(version)?;
                self.write_lengths(&lengths)?;
                self.write_array(grid.array)
            }
            #[cfg(feature = "nalgebra")]
            Lengths::After(lengths) => {
                self.write_array(grid.array)?;
                self.write_lengths(&lengths)
            }
        }
    }

    #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
    fn write_lengths(&mut self, lengths: &[u64]) -> Result<()> {
        lengths.iter().try_for_each(|length| self.serialize_u64(*length))
    }

    /// An array has the bytes that bincode gives its elements, one after the other: what stays here is copied.
    fn write_array(&mut self, array: Array<'_>) -> Result<()> {
        let rows = array.rows();
        if self.arrays.takes(array.bytes.len()) {
            let number = self.arrays.put(path::name(&self.path, self.bytes), array).map_err(refusal)?;
            self.serialize_u64(OUT_OF_BAND)?;
            self.serialize_u64(number)?;
            return self.serialize_u64(rows);
        }
        self.elements = self.elements.saturating_add(rows);
        self.serialize_u64(rows)?;
        self.bytes.extend_from_slice(array.bytes);
        Ok(())
    }

    /// Notes which part of the sequence or map is written next.
    #[inline]
    fn step(&mut self, step: Step) {
        if let Some(last) = self.path.last_mut() {
            *last = step;
        }
    }
}

/// Values without parts are bincode's business.
macro_rules! write_with_bincode {
    ($($method:ident($($argument:ident: $type:ty),*);)*) => {$(
        #[inline]
        fn $method(self, $($argument: $type),*) -> Result<()> {
            bincode::Serializer::new(&mut *self.bytes, options()).$method($($argument),*)
        }
    )*};
}

impl<'w, 'a> Serializer for &'w mut Writer<'a> {
    type Ok = ();
    type Error = bincode::Error;
    type SerializeSeq = Counted<'w, 'a>;
    type SerializeTuple = Fixed<'w, 'a>;
    type SerializeTupleStruct = Fixed<'w, 'a>;
    type SerializeTupleVariant = Fixed<'w, 'a>;
    type SerializeMap = Counted<'w, 'a>;
    type SerializeStruct = Fixed<'w, 'a>;
    type SerializeStructVariant = Fixed<'w, 'a>;

    write_with_bincode! {
        serialize_bool(value: bool);
        serialize_u8(value: u8);
        serialize_u16(value: u16);
        serialize_u32(value: u32);
        serialize_u64(value: u64);
        serialize_u128(value: u128);
        serialize_i8(value: i8);
        serialize_i16(value: i16);
        serialize_i32(value: i32);
        serialize_i64(value: i64);
        serialize_i128(value: i128);
        serialize_f32(value: f32);
        serialize_f64(value: f64);
        serialize_char(value: char);
        serialize_str(value: &str);
        serialize_bytes(value: &[u8]);
        serialize_unit();
        serialize_none();
        serialize_unit_struct(name: &'static str);
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str);
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.serialize_u8(1)?;
        self.value(value)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<()> {
        self.value(value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        self.serialize_u32(index)?;
        self.value(value)
    }

    #[inline]
    fn collect_seq<I>(self, sequence: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        if let Some(array) = arrays::view(&sequence) {
            return self.write_array(array);
        }
        if let Some(arrays::Whole(array)) = arrays::whole(&sequence) {
            return self.write_array(array.clone());
        }
        let elements = sequence.into_iter();
        let length = match elements.size_hint() {
            (least, Some(most)) if least == most => Some(least),
            _ => None,
        };
        let mut counted = self.serialize_seq(length)?;
        for element in elements {
            ser::SerializeSeq::serialize_element(&mut counted, &element)?;
        }
        counted.finish()
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Counted<'w, 'a>> {
        let announced = length.unwrap_or(0) as u64;
        let length_at = self.bytes.len();
        self.serialize_u64(announced)?;
        self.path.push(Step::Index(0));
        Ok(Counted { writer: self, length_at, announced, written: 0 })
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Counted<'w, 'a>> {
        self.serialize_seq(length)
    }

    #[inline]
    fn serialize_tuple(self, length: usize) -> Result<Fixed<'w, 'a>> {
        Ok(Fixed { writer: self, name: "a tuple", announced: length, written: 0 })
    }

    #[inline]
    fn serialize_tuple_struct(self, name: &'static str, length: usize) -> Result<Fixed<'w, 'a>> {
        Ok(Fixed { writer: self, name, announced: length, written: 0 })
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Fixed<'w, 'a>> {
        Ok(Fixed { writer: self, name, announced: length, written: 0 })
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fixed<'w, 'a>> {
        self.serialize_u32(index)?;
        Ok(Fixed { writer: self, name: variant, announced: length, written: 0 })
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fixed<'w, 'a>> {
        self.serialize_tuple_variant(name, index, variant, length)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// A sequence or a map while it is written: its length is what was written, whatever was announced.
pub(super) struct Counted<'w, 'a> {
    writer: &'w mut Writer<'a>,
    length_at: usize,
    announced: u64,
    written: u64,
}

impl Counted<'_, '_> {
    #[inline]
    fn finish(self) -> Result<()> {
        self.writer.path.pop();
        self.writer.elements = self.writer.elements.saturating_add(self.written);
        if self.written == self.announced {
            return Ok(());
        }
        self.correct()
    }

    /// Writes the true length over the announced one.
    #[cold]
    fn correct(self) -> Result<()> {
        let length = self.written.to_le_bytes();
        match self.writer.bytes.get_mut(self.length_at..self.length_at + length.len()) {
            Some(place) => {
                place.copy_from_slice(&length);
                Ok(())
            }
            None => Err(refusal("a sequence lost its length".to_owned())),
        }
    }
}

impl ser::SerializeSeq for Counted<'_, '_> {
    type Ok = ();
    type Error = bincode::Error;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.step(Step::Index(self.written));
        self.written += 1;
        self.writer.value(value)
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeMap for Counted<'_, '_> {
    type Ok = ();
    type Error = bincode::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.written += 1;
        let from = self.writer.bytes.len();
        self.writer.value(key)?;
        let to = self.writer.bytes.len();
        self.writer.step(Step::Key { from, to, type_name: std::any::type_name::<T>() });
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.value(value)
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.finish()
    }
}

/// A tuple, a struct, or a variant with fields while it is written: it holds exactly what was announced.
pub(super) struct Fixed<'w, 'a> {
    writer: &'w mut Writer<'a>,
    name: &'static str,
    announced: usize,
    written: usize,
}

impl Fixed<'_, '_> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, step: Step, value: &T) -> Result<()> {
        self.written += 1;
        self.writer.path.push(step);
        self.writer.value(value)?;
        self.writer.path.pop();
        Ok(())
    }

    #[inline]
    fn finish(self) -> Result<()> {
        if self.written == self.announced {
            return Ok(());
        }
        Err(refusal(format!(
            "{} announced {} fields and wrote {}, so it could not be read again",
            self.name, self.announced, self.written
        )))
    }

    #[cold]
    fn skip(&self, field: &'static str) -> Result<()> {
        Err(refusal(format!(
            "the field `{field}` of `{}` was left out (skip_serializing_if), and a checkpoint without it could not \
             be read again; drop that attribute, or write #[serde(with = \"checkpointed::self_describing\")] on \
             the field that holds the value",
            self.name
        )))
    }
}

macro_rules! write_fixed {
    ($($trait:ident::$method:ident;)*) => {$(
        impl ser::$trait for Fixed<'_, '_> {
            type Ok = ();
            type Error = bincode::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.write(Step::Index(self.written as u64), value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

write_fixed! {
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! write_named {
    ($($trait:ident;)*) => {$(
        impl ser::$trait for Fixed<'_, '_> {
            type Ok = ();
            type Error = bincode::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.write(Step::Field(name), value)
            }

            #[inline]
            fn skip_field(&mut self, field: &'static str) -> Result<()> {
                self.skip(field)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

write_named! {
    SerializeStruct;
    SerializeStructVariant;
}
