//! Checks that JSON keeps a value: a serializer that writes nothing, and refuses any value that
//! would come back as another one.

use std::fmt;

use crate::base::limits::VALUE_DEPTH_IN_JSON;
use serde::ser;
use serde::{Serialize, Serializer};

pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<(), Error> {
    value.serialize(Checker { depth: 0 }).map(drop)
}

/// The refusal of a value that JSON cannot keep, and the way out.
pub(super) fn lost(what: impl fmt::Display) -> Error {
    Error(format!(
        "{what}, so JSON would not keep the value: write #[serde(with = \"checkpointed::self_describing\")] in the place \
         of `json`"
    ))
}

/// The kind of text that a value becomes. Keys of different kinds might be taken for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Null,
    String,
    Integer,
    Float,
    Bool,
    /// A list or an object.
    Parts,
}

#[derive(Clone, Copy)]
struct Checker {
    depth: u32,
}

impl Checker {
    fn inside(self) -> Result<Checker, Error> {
        if self.depth == VALUE_DEPTH_IN_JSON {
            return Err(lost(format_args!("values are nested more than {VALUE_DEPTH_IN_JSON} deep")));
        }
        Ok(Checker { depth: self.depth + 1 })
    }

    fn parts(self) -> Result<Parts, Error> {
        Ok(Parts { inside: self.inside()?, keys: None, has_key: false })
    }
}

fn finite(number: f64) -> Result<Text, Error> {
    if number.is_finite() {
        Ok(Text::Float)
    } else {
        Err(lost(format_args!("{number} is no number in JSON")))
    }
}

macro_rules! text {
    ($($method:ident($($type:ty),*) => $text:ident;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<Text, Error> {
            Ok(Text::$text)
        }
    )*};
}

impl Serializer for Checker {
    type Ok = Text;
    type Error = Error;
    type SerializeSeq = Parts;
    type SerializeTuple = Parts;
    type SerializeTupleStruct = Parts;
    type SerializeTupleVariant = Parts;
    type SerializeMap = Parts;
    type SerializeStruct = Parts;
    type SerializeStructVariant = Parts;

    text! {
        serialize_bool(bool) => Bool;
        serialize_i8(i8) => Integer;
        serialize_i16(i16) => Integer;
        serialize_i32(i32) => Integer;
        serialize_i64(i64) => Integer;
        serialize_i128(i128) => Integer;
        serialize_u8(u8) => Integer;
        serialize_u16(u16) => Integer;
        serialize_u32(u32) => Integer;
        serialize_u64(u64) => Integer;
        serialize_u128(u128) => Integer;
        serialize_char(char) => String;
        serialize_str(&str) => String;
        serialize_none() => Null;
        serialize_unit() => Null;
        serialize_unit_struct(&'static str) => Null;
        serialize_unit_variant(&'static str, u32, &'static str) => String;
    }

    fn serialize_f32(self, number: f32) -> Result<Text, Error> {
        finite(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<Text, Error> {
        finite(number)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<Text, Error> {
        self.inside().map(|_| Text::Parts)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Text, Error> {
        match value.serialize(self)? {
            Text::Null => Err(lost("a `Some` that holds null is the same as `None`")),
            text => Ok(text),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Text, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<Text, Error> {
        value.serialize(self.inside()?).map(|_| Text::Parts)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts, Error> {
        self.parts()
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts, Error> {
        self.parts()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts, Error> {
        self.parts()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts, Error> {
        self.inside()?.parts()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts, Error> {
        self.parts()
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts, Error> {
        self.parts()
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Parts, Error> {
        self.inside()?.parts()
    }
}

/// A list or an object.
struct Parts {
    inside: Checker,
    /// The kind of the keys so far.
    keys: Option<Text>,
    /// True if a key is there and its value is still to come.
    has_key: bool,
}

/// The map has half an entry.
fn half(is_key: bool) -> Error {
    let half = if is_key { "a key without its value" } else { "a value without its key" };
    Error(format!("the Serialize of a map writes {half}, so it could not be read again; mend that code"))
}

impl Parts {
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(self.inside).map(drop)
    }
}

macro_rules! parts {
    ($($trait:ident::$method:ident($($name:ty)?);)*) => {$(
        impl ser::$trait for Parts {
            type Ok = Text;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), Error> {
                self.part(value)
            }

            fn end(self) -> Result<Text, Error> {
                Ok(Text::Parts)
            }
        }
    )*};
}

parts! {
    SerializeSeq::serialize_element();
    SerializeTuple::serialize_element();
    SerializeTupleStruct::serialize_field();
    SerializeTupleVariant::serialize_field();
    SerializeStruct::serialize_field(&'static str);
    SerializeStructVariant::serialize_field(&'static str);
}

impl ser::SerializeMap for Parts {
    type Ok = Text;
    type Error = Error;

    /// All keys become text, so keys of two kinds cannot be told apart. `serde_json` says which
    /// kinds can become text.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        if std::mem::replace(&mut self.has_key, true) {
            return Err(half(true));
        }
        let kind = key.serialize(self.inside)?;
        match self.keys.replace(kind) {
            Some(other) if other != kind => Err(lost("a map has keys of more than one kind")),
            _ => Ok(()),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::replace(&mut self.has_key, false) {
            return Err(half(false));
        }
        self.part(value)
    }

    fn end(self) -> Result<Text, Error> {
        if self.has_key { Err(half(true)) } else { Ok(Text::Parts) }
    }
}

/// The reason why JSON cannot keep a value.
#[derive(Debug)]
pub(super) struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl ser::Error for Error {
    fn custom<M: fmt::Display>(message: M) -> Error {
        Error(message.to_string())
    }
}
