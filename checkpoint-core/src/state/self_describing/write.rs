//! Writes values as CBOR.

use std::fmt::{Display, Write as _};

use cbor4ii::core::enc::{Encode, Write};
use cbor4ii::core::utils::BufWriter;
use cbor4ii::core::{major, marker, types};
use serde::{Serialize, Serializer, ser};

use super::{DEPTH, Error, Level, NUMBER, SOME};
use crate::codec::{Keys, Lengthy, Named, Place, Room, partial};

pub(super) fn to_bytes<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let _level = Level::enter()?;
    let (output, place) = (BufWriter::new(Vec::new()), Place::of_field::<T>("cbor"));
    let mut writer = Writer { output, place, failure: None };
    let room = Room::for_types_up_to(size_of_val(value));
    let written = check_whole(value).and_then(|()| room.at_start(|| value.serialize(&mut writer)));
    match writer.failure {
        Some(failure) => Err(failure),
        None => written.map(|()| writer.output.into_inner()),
    }
}

/// Refuses a value of which serde writes only a part.
fn check_whole<T: ?Sized>(value: &T) -> Result<(), Error> {
    partial(value).map_or(Ok(()), |partial| Err(Error(partial.refusal().to_owned())))
}

/// Writes a value inside of another one, with the stack that it needs.
fn write_inside<T: Serialize + ?Sized>(value: &T, writer: &mut Writer) -> Result<(), Error> {
    check_whole(value)?;
    Room::at_level(DEPTH.get(), size_of_val(value), || value.serialize(writer))
}

/// The length in bytes of the longest key that counts as a name.
const NAME: usize = 64;

/// The kinds of values that a reader may tell apart.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Integer,
    LargeInteger,
    Single,
    Double,
    Text,
    Char,
    Bytes,
    None,
    Some,
    Unit,
    Sequence,
    Map,
    Variant,
}

struct Writer {
    output: BufWriter,
    /// The place of the next value.
    place: Place,
    /// The first failure of a part. A type may continue after it, but all that is written then is
    /// worthless.
    failure: Option<Error>,
}

impl Writer {
    /// Keeps the failure of a part.
    fn kept<R>(&mut self, written: Result<R, Error>) -> Result<R, Error> {
        written.map_err(|error| {
            let said = Error(error.0.clone());
            self.failure.get_or_insert(error);
            said
        })
    }

    fn leaf(&mut self, kind: Kind, value: impl Encode) -> Result<(), Error> {
        self.place.holds(kind as u8);
        self.put(value)
    }

    fn put(&mut self, value: impl Encode) -> Result<(), Error> {
        value.encode(&mut self.output).map_err(|error| Error(error.to_string()))
    }

    fn begin(&mut self) -> Result<Parts<'_>, Error> {
        let (level, around) = (Level::enter()?, self.place);
        Ok(Parts { writer: self, around, count: 0, _level: level, _variant: None })
    }

    fn begin_array(&mut self) -> Result<Parts<'_>, Error> {
        let parts = self.begin()?;
        types::Array::unbounded(&mut parts.writer.output).map_err(|error| Error(error.to_string()))?;
        parts.writer.place.holds(Kind::Sequence as u8);
        Ok(parts)
    }

    fn begin_map(&mut self) -> Result<Parts<'_>, Error> {
        let parts = self.begin()?;
        parts.writer.put_map()?;
        Ok(parts)
    }

    fn put_map(&mut self) -> Result<(), Error> {
        types::Map::unbounded(&mut self.output).map_err(|error| Error(error.to_string()))?;
        self.place.holds(Kind::Map as u8);
        Ok(())
    }

    /// Writes the number of such a text, if each build of `serde_json` makes that text of it.
    fn number(&mut self, text: &str) -> Option<Result<(), Error>> {
        let of_float = |float| serde_json::Number::from_f64(float).map(|number| number.to_string());
        match (text.parse::<u64>(), text.parse::<i64>(), text.parse::<f64>()) {
            (Ok(number), ..) if number.to_string() == text => Some(self.serialize_u64(number)),
            (_, Ok(number), _) if number.to_string() == text => Some(self.serialize_i64(number)),
            (.., Ok(number)) if of_float(number).as_deref() == Some(text) => Some(self.serialize_f64(number)),
            _ => None,
        }
    }

    /// A variant with content is a map from its name to the content, whose place is left behind.
    fn begin_variant(&mut self, name: &str, variant: &str) -> Result<Level, Error> {
        let level = Level::enter()?;
        self.place.is_named(name);
        self.place = self.place.under(variant.as_bytes());
        self.place.holds(Kind::Variant as u8);
        types::Map::bounded(1, &mut self.output).map_err(|error| Error(error.to_string()))?;
        self.put(variant)?;
        Ok(level)
    }
}

macro_rules! put {
    ($($method:ident($type:ty) => $kind:ident;)*) => {$(
        fn $method(self, value: $type) -> Result<(), Error> {
            self.leaf(Kind::$kind, value)
        }
    )*};
}

macro_rules! put_integer {
    ($($method:ident($type:ty) => $kind:ident;)*) => {$(
        fn $method(self, value: $type) -> Result<(), Error> {
            self.place.holds_integer(Kind::$kind as u8, value);
            self.put(value)
        }
    )*};
}

impl<'w> Serializer for &'w mut Writer {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'w>;
    type SerializeTuple = Members<'w>;
    type SerializeTupleStruct = Members<'w>;
    type SerializeTupleVariant = Members<'w>;
    type SerializeMap = Pairs<'w>;
    type SerializeStruct = Fields<'w>;
    type SerializeStructVariant = Fields<'w>;

    put! {
        serialize_bool(bool) => Bool;
        serialize_f32(f32) => Single;
        serialize_f64(f64) => Double;
    }

    put_integer! {
        serialize_i8(i8) => Integer;
        serialize_i16(i16) => Integer;
        serialize_i32(i32) => Integer;
        serialize_i64(i64) => Integer;
        serialize_i128(i128) => LargeInteger;
        serialize_u8(u8) => Integer;
        serialize_u16(u16) => Integer;
        serialize_u32(u32) => Integer;
        serialize_u64(u64) => Integer;
        serialize_u128(u128) => LargeInteger;
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.place.has_text(value);
        self.leaf(Kind::Text, value)
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.leaf(Kind::Char, &*value.encode_utf8(&mut [0; 4]))
    }

    /// Does as serde's default, but without the panic if the type's `Display` fails.
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        let mut text = String::new();
        match write!(text, "{value}") {
            Ok(()) => self.serialize_str(&text),
            Err(_) => Err(super::display_fails()),
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.place.has_length(Lengthy::Bytes, value.len());
        self.leaf(Kind::Bytes, types::Bytes(value))
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.leaf(Kind::None, types::Null)
    }

    /// Writes the content alone, as other formats do. A mark comes first if the content could be
    /// taken for `None`, as serde's buffers take a unit.
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        self.place.holds(Kind::Some as u8);
        // It takes no byte, but some stack.
        let _level = Level::enter()?;
        let start = self.output.buffer().len();
        write_inside(value, self)?;
        let mut mark = BufWriter::new(Vec::new());
        types::Tag(SOME, types::Nothing).encode(&mut mark).map_err(|error| Error(error.to_string()))?;
        let mut mark = mark.into_inner();
        let content = self.output.buffer().get(start..).unwrap_or_default();
        if matches!(content, [marker::NULL | marker::UNDEFINED]) || content.starts_with(&mark) {
            mark.extend_from_slice(content);
            let mut all = std::mem::replace(&mut self.output, BufWriter::new(Vec::new())).into_inner();
            all.truncate(start);
            all.append(&mut mark);
            self.output = BufWriter::new(all);
        }
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.leaf(Kind::Unit, types::Undefined)
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Error> {
        self.place.is_named(name);
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, name: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.place.is_named(name);
        self.place.under(variant.as_bytes()).holds(Kind::Unit as u8);
        self.put(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.place.is_named(name);
        check_whole(value)?;
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let around = self.place;
        let _level = self.begin_variant(name, variant)?;
        write_inside(value, self)?;
        self.place = around;
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'w>, Error> {
        self.begin_array()
    }

    fn serialize_tuple(self, announced: usize) -> Result<Members<'w>, Error> {
        Ok(Members { parts: self.begin_array()?, announced, written: 0 })
    }

    fn serialize_tuple_struct(self, name: &'static str, announced: usize) -> Result<Members<'w>, Error> {
        self.place.is_named(name);
        self.serialize_tuple(announced)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        announced: usize,
    ) -> Result<Members<'w>, Error> {
        let around = self.place;
        let level = self.begin_variant(name, variant)?;
        let parts = Parts { _variant: Some(level), around, ..self.begin_array()? };
        Ok(Members { parts, announced, written: 0 })
    }

    fn serialize_map(self, announced: Option<usize>) -> Result<Pairs<'w>, Error> {
        Ok(Pairs { parts: self.begin_map()?, value: None, names: Named::of(announced) })
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'w>, Error> {
        if name == NUMBER {
            return Ok(Fields { parts: self.begin()?, keys: Keys::default(), number: Number::Expected });
        }
        self.place.is_named(name);
        Ok(Fields { parts: self.begin_map()?, keys: Keys::default(), number: Number::No })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields<'w>, Error> {
        let around = self.place;
        let level = self.begin_variant(name, variant)?;
        let parts = Parts { _variant: Some(level), around, ..self.begin_map()? };
        Ok(Fields { parts, keys: Keys::default(), number: Number::No })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a value. A mark ends them: no number is announced, so none can be false.
struct Parts<'w> {
    writer: &'w mut Writer,
    /// The place that the writer goes back to.
    around: Place,
    /// The number of elements or entries so far.
    count: usize,
    _level: Level,
    _variant: Option<Level>,
}

impl Parts<'_> {
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let written = write_inside(value, self.writer);
        self.writer.kept(written)
    }

    /// Writes a value with this place.
    fn at<T: Serialize + ?Sized>(&mut self, place: Place, value: &T) -> Result<(), Error> {
        let here = std::mem::replace(&mut self.writer.place, place);
        self.part(value)?;
        self.writer.place = here;
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        self.writer.place = self.around;
        self.writer.output.push(&[marker::BREAK]).map_err(|error| Error(error.to_string()))
    }
}

impl ser::SerializeSeq for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.count += 1;
        self.at(self.writer.place.element(), value)
    }

    fn end(self) -> Result<(), Error> {
        self.writer.place.has_length(Lengthy::List, self.count);
        self.end()
    }
}

/// The members of a tuple.
struct Members<'w> {
    parts: Parts<'w>,
    announced: usize,
    written: usize,
}

macro_rules! members {
    ($($trait:ident::$method:ident;)*) => {$(
        impl ser::$trait for Members<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                let place = self.parts.writer.place.member(self.written, self.announced);
                self.written += 1;
                self.parts.at(place, value)
            }

            fn end(self) -> Result<(), Error> {
                self.parts.writer.place.has_members(self.written);
                self.parts.end()
            }
        }
    )*};
}

members! {
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

/// The keys and values of a map. serde leaves it to the type to write them by turns.
struct Pairs<'w> {
    parts: Parts<'w>,
    /// The place of the value that is still to come behind its key.
    value: Option<Place>,
    /// The keys that count as names.
    names: Named,
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
        if self.value.is_some() {
            return self.parts.writer.kept(Err(half(true)));
        }
        let (start, around) = (self.parts.writer.output.buffer().len(), self.parts.writer.place);
        self.parts.count += 1;
        self.parts.at(around.key(), key)?;
        let key = self.parts.writer.output.buffer().get(start..).unwrap_or_default();
        let is_name = key.len() <= NAME && key.first().is_some_and(|first| first >> 5 == major::STRING);
        let value = if is_name { self.names.add(around.key().under(key), around) } else { around.element() };
        self.value = Some(value);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let Some(place) = self.value.take() else { return self.parts.writer.kept(Err(half(false))) };
        self.parts.at(place, value)
    }

    fn end(self) -> Result<(), Error> {
        if self.value.is_some() {
            return Err(half(true));
        }
        self.names.end_at(self.parts.writer.place);
        self.parts.writer.place.has_length(Lengthy::Map, self.parts.count);
        self.parts.end()
    }
}

/// The fields of a struct.
struct Fields<'w> {
    parts: Parts<'w>,
    /// Those that are written.
    keys: Keys,
    number: Number,
}

/// The way in which a struct stands for a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Number {
    /// It does not.
    No,
    /// Its only field is the text of one.
    Expected,
    /// The number is written in the place of the struct.
    Written,
}

impl Fields<'_> {
    /// Writes the number that the struct stands for, or the beginning of the map that keeps its
    /// text. Returns true if the field is written with that.
    fn number<T: Serialize + ?Sized>(&mut self, text: &T) -> Result<bool, Error> {
        if self.number == Number::Written {
            return Err(Error("a number of JSON has more than one text; mend its Serialize".to_owned()));
        }
        let writer = &mut *self.parts.writer;
        let text = serde_json::to_value(text).ok();
        match text.as_ref().and_then(serde_json::Value::as_str).and_then(|text| writer.number(text)) {
            Some(written) => {
                self.number = Number::Written;
                written.map(|()| true)
            }
            None => {
                self.number = Number::No;
                writer.put_map().map(|()| false)
            }
        }
    }
}

macro_rules! fields {
    ($($trait:ident;)*) => {$(
        impl ser::$trait for Fields<'_> {
            type Ok = ();
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                if self.number != Number::No {
                    let number = self.number(value);
                    if self.parts.writer.kept(number)? {
                        return Ok(());
                    }
                }
                let written = self.parts.writer.put(name);
                self.parts.writer.kept(written)?;
                let place = self.parts.writer.place.under(name.as_bytes());
                self.keys.add(place);
                self.parts.at(place, value)
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), Error> {
                self.parts.writer.place.under(name.as_bytes()).is_left_out();
                Ok(())
            }

            fn end(self) -> Result<(), Error> {
                match self.number {
                    Number::No => {}
                    Number::Expected => self.parts.writer.put_map()?,
                    Number::Written => return Ok(()),
                }
                self.keys.end_at(self.parts.writer.place);
                self.parts.end()
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}
