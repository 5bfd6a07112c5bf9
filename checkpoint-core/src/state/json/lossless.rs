//! Checks that JSON keeps a value: a serializer that writes nothing, and refuses any value that
//! would come back as another one.

use std::cell::Cell;
use std::fmt::{self, Write as _};

use crate::base::limits::{OPTION_DEPTH_IN_JSON, VALUE_DEPTH_IN_JSON};
use crate::codec::{Keys, Lengthy, Named, Place, Room, partial};
use serde::ser;
use serde::{Serialize, Serializer};

/// The length in bytes of the longest key that counts as a name.
const NAME: usize = 64;

/// The name that `serde_json` gives a text of JSON, and its only field.
const RAW: &str = "$serde_json::private::RawValue";

/// Returns the number of levels of values inside each other.
pub(super) fn check<T: Serialize + ?Sized>(value: &T) -> Result<u32, Error> {
    let (failure, levels) = (Cell::new(None), Cell::new(0));
    let place = Place::of_field::<T>("json");
    let checker = Checker { depth: 0, options: 0, place, key: None, failure: &failure, levels: &levels };
    let room = Room::for_types_up_to(size_of_val(value));
    let checked = check_whole(value).and_then(|()| room.at_start(|| value.serialize(checker)));
    failure.take().map_or_else(|| checked.map(|_| levels.get()), Err)
}

/// Refuses a value of which serde writes only a part as text.
fn check_whole<T: ?Sized>(value: &T) -> Result<(), Error> {
    match partial(value) {
        Some(partial) if !partial.is_whole_as_text() => Err(Error(partial.refusal().to_owned())),
        _ => Ok(()),
    }
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
    /// A text of one character. As a key it is a text as any other.
    Char,
    Integer,
    /// An integer of 128 bits: serde's buffers have none.
    LargeInteger,
    Single,
    Double,
    Bool,
    List,
    Object,
}

#[derive(Clone, Copy)]
struct Checker<'k> {
    /// The number of lists and objects around the value.
    depth: u32,
    /// The number of options around it: they take stack, and no text.
    options: u32,
    place: Place,
    /// Takes the place of the value whose key this is, where the key counts as a name.
    key: Option<&'k Cell<Option<Place>>>,
    /// The first failure of a part. A type may continue after it, but what is written then is not
    /// the value.
    failure: &'k Cell<Option<Error>>,
    /// The most levels so far.
    levels: &'k Cell<u32>,
}

impl<'k> Checker<'k> {
    /// Keeps the failure of a part.
    fn kept<R>(self, checked: Result<R, Error>) -> Result<R, Error> {
        checked.map_err(|error| {
            let said = Error(error.0.clone());
            let first = self.failure.take().unwrap_or(error);
            self.failure.set(Some(first));
            said
        })
    }

    fn inside(self) -> Result<Checker<'k>, Error> {
        if self.depth == VALUE_DEPTH_IN_JSON {
            return Err(lost(format_args!("values are nested more than {VALUE_DEPTH_IN_JSON} deep")));
        }
        Ok(Checker { depth: self.depth + 1, ..self }.counted())
    }

    fn inside_option(self) -> Result<Checker<'k>, Error> {
        if self.options == OPTION_DEPTH_IN_JSON {
            return Err(lost(format_args!("options are nested more than {OPTION_DEPTH_IN_JSON} deep")));
        }
        Ok(Checker { options: self.options + 1, ..self }.counted())
    }

    /// The number of levels around the value.
    fn level(self) -> u32 {
        self.depth + self.options
    }

    fn counted(self) -> Checker<'k> {
        self.levels.set(self.levels.get().max(self.level()));
        self
    }

    /// Checks a value inside of another one, with the stack that it needs.
    fn check<T: Serialize + ?Sized>(self, value: &T) -> Result<Text, Error> {
        check_whole(value)?;
        Room::at_level(self.level(), size_of_val(value), || value.serialize(self))
    }

    /// The place of the value behind this text, if that is a key, and counts as a name.
    fn is_key(self, text: &str) {
        if let Some(value) = self.key
            && text.len() <= NAME
        {
            value.set(Some(self.place.under(text.as_bytes())));
        }
    }

    fn parts(self, text: Text, announced: Option<usize>) -> Result<Parts<'k>, Error> {
        self.is(text);
        Ok(Parts {
            inside: self.inside()?,
            count: 0,
            kind: None,
            names: Named::of(announced),
            has_key: false,
            value: self.place,
        })
    }

    fn members(self, announced: usize) -> Result<Members<'k>, Error> {
        self.is(Text::List);
        Ok(Members { inside: self.inside()?, announced, written: 0 })
    }

    fn fields(self) -> Result<Fields<'k>, Error> {
        self.is(Text::Object);
        Ok(Fields { inside: self.inside()?, keys: Keys::default(), is_raw: false, text: Text::Object })
    }

    /// A variant with content is an object from its name to the content.
    fn variant(self, ty: &str, name: &str) -> Result<Checker<'k>, Error> {
        self.place.is_named(ty);
        self.is(Text::Object);
        let place = self.place.under(name.as_bytes());
        Ok(Checker { place, ..self.inside()? })
    }

    /// Notes a value of this kind.
    fn is(self, text: Text) -> Text {
        self.place.holds(text as u8);
        text
    }

    /// Checks a float. An `f64` that an `f32` holds too has the form of an `f32`: the text may be
    /// the same.
    fn finite(self, number: f64, width: Text) -> Result<Text, Error> {
        if number.is_finite() {
            #[allow(clippy::cast_possible_truncation, reason = "the comparison finds what is cut")]
            let is_short = f64::from(number as f32) == number;
            self.is(if is_short { Text::Single } else { Text::Double });
            Ok(width)
        } else {
            Err(lost(format_args!("{number} is no number in JSON")))
        }
    }
}

macro_rules! text {
    ($($method:ident($($type:ty),*) => $text:ident;)*) => {$(
        fn $method(self, $(_: $type),*) -> Result<Text, Error> {
            Ok(self.is(Text::$text))
        }
    )*};
}

macro_rules! integer {
    ($($method:ident($type:ty) => $text:ident;)*) => {$(
        fn $method(self, number: $type) -> Result<Text, Error> {
            self.place.holds_integer(Text::$text as u8, number);
            Ok(Text::$text)
        }
    )*};
}

impl<'k> Serializer for Checker<'k> {
    type Ok = Text;
    type Error = Error;
    type SerializeSeq = Parts<'k>;
    type SerializeTuple = Members<'k>;
    type SerializeTupleStruct = Members<'k>;
    type SerializeTupleVariant = Members<'k>;
    type SerializeMap = Parts<'k>;
    type SerializeStruct = Fields<'k>;
    type SerializeStructVariant = Fields<'k>;

    text! {
        serialize_bool(bool) => Bool;
        serialize_none() => Null;
        serialize_unit() => Null;
    }

    integer! {
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

    fn serialize_unit_struct(self, name: &'static str) -> Result<Text, Error> {
        self.place.is_named(name);
        self.serialize_unit()
    }

    fn serialize_str(self, text: &str) -> Result<Text, Error> {
        self.is_key(text);
        self.place.has_text(text);
        Ok(self.is(Text::String))
    }

    fn serialize_char(self, character: char) -> Result<Text, Error> {
        self.is_key(character.encode_utf8(&mut [0; 4]));
        self.is(Text::Char);
        Ok(Text::String)
    }

    /// Does as serde's default, but without the panic if the type's `Display` fails.
    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<Text, Error> {
        let mut text = String::new();
        match write!(text, "{value}") {
            Ok(()) => self.serialize_str(&text),
            Err(_) => Err(Error("its Serialize writes the text of its Display, and that fails".to_owned())),
        }
    }

    fn serialize_unit_variant(self, ty: &'static str, _: u32, name: &'static str) -> Result<Text, Error> {
        self.is_key(name);
        self.place.is_named(ty);
        self.place.under(name.as_bytes()).holds(Text::String as u8);
        Ok(self.is(Text::String))
    }

    fn serialize_f32(self, number: f32) -> Result<Text, Error> {
        self.finite(number.into(), Text::Single)
    }

    fn serialize_f64(self, number: f64) -> Result<Text, Error> {
        self.finite(number, Text::Double)
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Text, Error> {
        self.place.has_length(Lengthy::Bytes, bytes.len());
        self.inside().map(|_| self.is(Text::List))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Text, Error> {
        match self.inside_option()?.check(value)? {
            Text::Null => Err(lost("a `Some` that holds null is the same as `None`")),
            text => Ok(text),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Text, Error> {
        self.place.is_named(name);
        check_whole(value)?;
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        ty: &'static str,
        _: u32,
        name: &'static str,
        value: &T,
    ) -> Result<Text, Error> {
        self.variant(ty, name)?.check(value).map(|_| Text::Object)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'k>, Error> {
        self.parts(Text::List, None)
    }

    fn serialize_tuple(self, announced: usize) -> Result<Members<'k>, Error> {
        self.members(announced)
    }

    fn serialize_tuple_struct(self, name: &'static str, announced: usize) -> Result<Members<'k>, Error> {
        self.place.is_named(name);
        self.members(announced)
    }

    fn serialize_tuple_variant(
        self,
        ty: &'static str,
        _: u32,
        name: &'static str,
        announced: usize,
    ) -> Result<Members<'k>, Error> {
        self.variant(ty, name)?.members(announced)
    }

    fn serialize_map(self, announced: Option<usize>) -> Result<Parts<'k>, Error> {
        self.parts(Text::Object, announced)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Fields<'k>, Error> {
        self.place.is_named(name);
        Ok(Fields { is_raw: name == RAW, ..self.fields()? })
    }

    fn serialize_struct_variant(
        self,
        ty: &'static str,
        _: u32,
        name: &'static str,
        _: usize,
    ) -> Result<Fields<'k>, Error> {
        self.variant(ty, name)?.fields()
    }
}

/// A list or an object.
struct Parts<'k> {
    inside: Checker<'k>,
    /// The number of elements or entries so far.
    count: usize,
    /// The kind of the keys so far.
    kind: Option<Text>,
    /// Those that count as names.
    names: Named,
    /// True if a key is there and its value is still to come.
    has_key: bool,
    /// The place of that value.
    value: Place,
}

/// The map has half an entry.
fn half(is_key: bool) -> Error {
    let half = if is_key { "a key without its value" } else { "a value without its key" };
    Error(format!("the Serialize of a map writes {half}, so it could not be read again; mend that code"))
}

impl Checker<'_> {
    /// Checks a part, with this place.
    fn at<T: Serialize + ?Sized>(self, place: Place, value: &T) -> Result<(), Error> {
        self.kept(Checker { place, ..self }.check(value).map(drop))
    }
}

impl ser::SerializeSeq for Parts<'_> {
    type Ok = Text;
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.count += 1;
        self.inside.at(self.inside.place.element(), value)
    }

    fn end(self) -> Result<Text, Error> {
        self.inside.place.has_length(Lengthy::List, self.count);
        Ok(Text::List)
    }
}

/// The members of a tuple.
struct Members<'k> {
    inside: Checker<'k>,
    announced: usize,
    written: usize,
}

macro_rules! members {
    ($($trait:ident::$method:ident;)*) => {$(
        impl ser::$trait for Members<'_> {
            type Ok = Text;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                let place = self.inside.place.member(self.written, self.announced);
                self.written += 1;
                self.inside.at(place, value)
            }

            fn end(self) -> Result<Text, Error> {
                self.inside.place.has_members(self.written);
                Ok(Text::List)
            }
        }
    )*};
}

members! {
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

/// The fields of a struct.
struct Fields<'k> {
    inside: Checker<'k>,
    /// Those that are written.
    keys: Keys,
    /// True if it stands for a text of JSON, which its only field has.
    is_raw: bool,
    /// What it becomes.
    text: Text,
}

macro_rules! fields {
    ($($trait:ident;)*) => {$(
        impl ser::$trait for Fields<'_> {
            type Ok = Text;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                if self.is_raw && serde_json::to_value(value).is_ok_and(|text| text == "null") {
                    self.text = self.inside.is(Text::Null);
                }
                let place = self.inside.place.under(name.as_bytes());
                self.keys.add(place);
                self.inside.at(place, value)
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), Error> {
                self.inside.place.under(name.as_bytes()).is_left_out();
                Ok(())
            }

            fn end(self) -> Result<Text, Error> {
                self.keys.end_at(self.inside.place);
                Ok(self.text)
            }
        }
    )*};
}

fields! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Parts<'_> {
    type Ok = Text;
    type Error = Error;

    /// All keys become text, so keys of two kinds cannot be told apart. `serde_json` makes text of
    /// the same kinds, but a type may pass over its refusal.
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        if std::mem::replace(&mut self.has_key, true) {
            return self.inside.kept(Err(half(true)));
        }
        self.count += 1;
        let (name, around) = (Cell::new(None), self.inside.place);
        let checker = Checker { place: around.key(), key: Some(&name), ..self.inside };
        let kind = self.inside.kept(checker.check(key))?;
        self.value = match name.get() {
            Some(place) => self.names.add(place, around),
            None => around.element(),
        };
        let other = self.kind.replace(kind);
        self.inside.kept(match kind {
            Text::Null | Text::List | Text::Object => {
                Err(lost("key must be a string, a number or a truth value"))
            }
            _ if other.is_some_and(|other| other != kind) => {
                Err(lost("a map has keys of more than one kind"))
            }
            _ => Ok(()),
        })
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::replace(&mut self.has_key, false) {
            return self.inside.kept(Err(half(false)));
        }
        self.inside.at(self.value, value)
    }

    fn end(self) -> Result<Text, Error> {
        if self.has_key {
            return Err(half(true));
        }
        self.names.end_at(self.inside.place);
        self.inside.place.has_length(Lengthy::Map, self.count);
        Ok(Text::Object)
    }
}

/// The reason why JSON cannot keep a value.
#[derive(Debug)]
pub(super) struct Error(pub(super) String);

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
