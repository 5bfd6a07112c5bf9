//! Writes values as CBOR.

use cbor4ii::core::enc::{Encode, Write};
use cbor4ii::core::utils::BufWriter;
use cbor4ii::core::{marker, types};
use serde::{Serialize, Serializer, ser};

use super::{Error, Level, SOME};

pub(super) fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let _level = Level::enter()?;
    let mut writer = Writer { output: BufWriter::new(Vec::new()) };
    value.serialize(&mut writer)?;
    Ok(writer.output.into_inner())
}

struct Writer {
    output: BufWriter,
}

impl Writer {
    fn put(&mut self, value: impl Encode) -> Result<(), Error> {
        value.encode(&mut self.output).map_err(|error| Error(error.to_string()))
    }

    fn begin_array(&mut self) -> Result<Parts<'_>, Error> {
        let level = Level::enter()?;
        types::Array::unbounded(&mut self.output).map_err(|error| Error(error.to_string()))?;
        Ok(Parts { writer: self, _level: level, _variant: None })
    }

    fn begin_map(&mut self) -> Result<Parts<'_>, Error> {
        let level = Level::enter()?;
        types::Map::unbounded(&mut self.output).map_err(|error| Error(error.to_string()))?;
        Ok(Parts { writer: self, _level: level, _variant: None })
    }

    /// A variant with content is a map from its name to the content.
    fn begin_variant(&mut self, variant: &str) -> Result<Level, Error> {
        let level = Level::enter()?;
        types::Map::bounded(1, &mut self.output).map_err(|error| Error(error.to_string()))?;
        self.put(variant)?;
        Ok(level)
    }
}

macro_rules! put {
    ($($method:ident($type:ty);)*) => {$(
        fn $method(self, value: $type) -> Result<(), Error> {
            self.put(value)
        }
    )*};
}

impl<'w> Serializer for &'w mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'w>;
    type SerializeTuple = Parts<'w>;
    type SerializeTupleStruct = Parts<'w>;
    type SerializeTupleVariant = Parts<'w>;
    type SerializeMap = Pairs<'w>;
    type SerializeStruct = Parts<'w>;
    type SerializeStructVariant = Parts<'w>;

    put! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_str(&str);
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.put(&*value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.put(types::Bytes(value))
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.put(types::Null)
    }

    /// Writes the content alone, as other formats do. A mark comes first if the content could be
    /// taken for `None`.
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        // It takes no byte, but some stack.
        let _level = Level::enter()?;
        let start = self.output.buffer().len();
        value.serialize(&mut *self)?;
        let mut mark = BufWriter::new(Vec::new());
        types::Tag(SOME, types::Nothing).encode(&mut mark).map_err(|error| Error(error.to_string()))?;
        let mut mark = mark.into_inner();
        let content = self.output.buffer().get(start..).unwrap_or_default();
        if content == [marker::NULL] || content.starts_with(&mark) {
            mark.extend_from_slice(content);
            let mut all = std::mem::replace(&mut self.output, BufWriter::new(Vec::new())).into_inner();
            all.truncate(start);
            all.append(&mut mark);
            self.output = BufWriter::new(all);
        }
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.put(types::Undefined)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.put(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let _level = self.begin_variant(variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'w>, Error> {
        self.begin_array()
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'w>, Error> {
        self.begin_array()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'w>, Error> {
        self.begin_array()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'w>, Error> {
        let level = self.begin_variant(variant)?;
        Ok(Parts { _variant: Some(level), ..self.begin_array()? })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Pairs<'w>, Error> {
        Ok(Pairs { parts: self.begin_map()?, has_key: false })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'w>, Error> {
        self.begin_map()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'w>, Error> {
        let level = self.begin_variant(variant)?;
        Ok(Parts { _variant: Some(level), ..self.begin_map()? })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a value. A mark ends them: no number is announced, so none can be false.
struct Parts<'w> {
    writer: &'w mut Writer,
    _level: Level,
    _variant: Option<Level>,
}

impl Parts<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(&mut *self.writer)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        self.writer.put(name)?;
        self.part(value)
    }

    fn end(self) -> Result<(), Error> {
        self.writer.output.push(&[marker::BREAK]).map_err(|error| Error(error.to_string()))
    }
}

macro_rules! parts {
    ($($trait:ident::$method:ident;)*) => {$(
        impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.part(value)
            }

            fn end(self) -> Result<(), Error> {
                self.end()
            }
        }
    )*};
}

parts! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

/// The keys and values of a map. serde leaves it to the type to write them by turns.
struct Pairs<'w> {
    parts: Parts<'w>,
    has_key: bool,
}

impl Pairs<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, is_key: bool, value: &T) -> Result<(), Error> {
        if self.has_key == is_key {
            return Err(half(is_key));
        }
        self.has_key = is_key;
        self.parts.part(value)
    }
}

/// The map has half an entry.
fn half(is_key: bool) -> Error {
    let half = if is_key { "a key without its value" } else { "a value without its key" };
    Error(format!("the Serialize of a map writes {half}, so it could not be read again; mend that code"))
}

impl ser::SerializeMap for Pairs<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.part(true, key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.part(false, value)
    }

    fn end(self) -> Result<(), Error> {
        if self.has_key { Err(half(true)) } else { self.parts.end() }
    }
}

macro_rules! fields {
    ($($trait:ident;)*) => {$(
        impl ser::$trait for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.field(name, value)
            }

            fn end(self) -> Result<(), Error> {
                self.end()
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}
