//! A value of the writer, as a self-describing deserializer.

use serde::de::value::SeqDeserializer;
use serde::de::{Deserializer, Error as _, IgnoredAny, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::access::check_related;
use super::cursor::{Cursor, Failure, Sequence};
use super::migration::Arrived;
use super::number::Number;
use super::other::Other;
use crate::arrays::{self, Kind};
use crate::base::text::{listed, shortened};
use crate::codec::bytes::{Count, Flag};
use crate::schema::{Body, Fields, Float16, Grid, Schema, Type, Variant, hidden};

/// The next value, which was written as `ty`.
pub(super) struct Value<'r, 'a> {
    pub(super) cursor: &'r mut Cursor<'a>,
    pub(super) ty: &'a Type,
    /// The program's type at this place.
    pub(super) other: Other<'a>,
}

impl<'a> Value<'_, 'a> {
    fn guarded<R>(self, read: impl FnOnce(Value<'_, 'a>) -> Result<R, Failure>) -> Result<R, Failure> {
        let Value { cursor, ty, other } = self;
        cursor.guard(|cursor| read(Value { cursor, ty, other }))
    }

    fn bare(mut self) -> Result<Self, Failure> {
        self.ty = self.cursor.bare(self.ty)?;
        self.other = self.other.bare();
        Ok(self)
    }

    /// The value inside any options around it, as in JSON; `None` if an option is empty.
    fn present(self) -> Result<Option<Self>, Failure> {
        let mut value = self.bare()?;
        while matches!(value.ty, Type::Option(_)) {
            if !value.enter_option()? {
                return Ok(None);
            }
            value = value.bare()?;
        }
        Ok(Some(value))
    }

    /// Goes into an option that the program may not have. False if it is empty, or no option.
    pub(super) fn enter_option(&mut self) -> Result<bool, Failure> {
        let Type::Option(inner) = self.ty else { return Ok(false) };
        if !self.cursor.flag(Flag::Option)? {
            return Ok(false);
        }
        self.ty = inner;
        self.other = self.other.without_option();
        Ok(true)
    }

    fn number(&mut self) -> Result<Option<Number>, Failure> {
        let cursor = &mut *self.cursor;
        Ok(Some(match self.ty {
            Type::U8 => Number::Unsigned(u8::from_le_bytes(cursor.take()?).into()),
            Type::U16 => Number::Unsigned(u16::from_le_bytes(cursor.take()?).into()),
            Type::U32 => Number::Unsigned(u32::from_le_bytes(cursor.take()?).into()),
            Type::U64 => Number::Unsigned(u64::from_le_bytes(cursor.take()?).into()),
            Type::U128 => Number::Unsigned(u128::from_le_bytes(cursor.take()?)),
            Type::I8 => Number::Signed(i8::from_le_bytes(cursor.take()?).into()),
            Type::I16 => Number::Signed(i16::from_le_bytes(cursor.take()?).into()),
            Type::I32 => Number::Signed(i32::from_le_bytes(cursor.take()?).into()),
            Type::I64 => Number::Signed(i64::from_le_bytes(cursor.take()?).into()),
            Type::I128 => Number::Signed(i128::from_le_bytes(cursor.take()?)),
            Type::F32 => Number::Single(f32::from_le_bytes(cursor.take()?)),
            Type::F64 => Number::Double(f64::from_le_bytes(cursor.take()?)),
            ty => match cursor.float16(ty)? {
                Some(float) => Number::Single(float.value(u16::from_le_bytes(cursor.take()?))),
                None => return Ok(None),
            },
        }))
    }

    /// Gives another number as a float of 16 bits: as the integer that holds its bits.
    fn float16<V: Visitor<'a>>(self, float: Float16, visitor: V) -> Result<V::Value, Failure> {
        let Some(mut value) = self.present()? else { return visitor.visit_none() };
        if value.cursor.float16(value.ty)? == Some(float) {
            let bits = u16::from_le_bytes(value.cursor.take()?);
            return visitor.visit_newtype_struct(IntoDeserializer::<Failure>::into_deserializer(bits));
        }
        match value.number()? {
            Some(number) => {
                let bits = number.to_float16(float)?;
                visitor.visit_newtype_struct(IntoDeserializer::<Failure>::into_deserializer(bits))
            }
            None => value.deserialize_any(visitor),
        }
    }

    /// Reads bytes. They may have been written as a sequence of `u8`, and so as an array.
    fn bytes(self) -> Result<&'a [u8], Failure> {
        match self.cursor.elements()? {
            Count::Here(length) => self.cursor.take_slice(length),
            Count::Apart(array) => {
                let bytes = self.cursor.array(array, &Type::U8)?;
                Ok(self.cursor.keep(bytes))
            }
        }
    }

    /// Reads a sequence, for a visitor that makes a `Vec` of this kind, or for an unknown visitor.
    fn sequence<V: Visitor<'a>>(
        self,
        element: &'a Type,
        kind: Option<Kind>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let Value { cursor, other, .. } = self;
        let (length, is_apart) = match cursor.begin_sequence(element, kind, is_ignored::<V>())? {
            Sequence::Here(length) => (length, false),
            Sequence::Rows(length) => (length, true),
            Sequence::Skipped => return visitor.visit_unit(),
            Sequence::Vec(kind, array) => return kind.read(cursor.arrays, array).map_err(Failure::caused),
        };
        let value = cursor.read_uniform(element, other, length, visitor)?;
        if is_apart {
            cursor.end_array()?;
        }
        Ok(value)
    }

    /// Reads a value without parts, and looks for the parts of another one. Reads nothing of a
    /// sequence of bytes that is ignored: it may be an array.
    fn form(self, is_ignored: bool) -> Result<Form<'a>, Failure> {
        let Some(mut value) = self.present()? else { return Ok(Form::Empty) };
        if let Some(number) = value.number()? {
            return Ok(Form::Number(number));
        }
        let Value { cursor, ty, other } = &mut value;
        let parts = match ty {
            Type::Unit => return Ok(Form::Unit),
            Type::Bool => return Ok(Form::Bool(cursor.flag(Flag::Bool)?)),
            Type::Char => return Ok(Form::Char(cursor.character()?)),
            Type::String => return Ok(Form::Text(cursor.text()?)),
            Type::Bytes if is_ignored => Parts::Sequence(&Type::U8),
            Type::Bytes => return Ok(Form::Bytes(value.bytes()?)),
            Type::Seq(element) => Parts::Sequence(element),
            Type::Grid(grid) if is_ignored => Parts::Sequence(&grid.element),
            Type::Grid(grid) => Parts::Grid(grid),
            Type::Map(key, ty) => Parts::Entries(key, ty),
            Type::Tuple(types) => Parts::Members(types),
            Type::Array(element, length) => Parts::Uniform(element, *length),
            named => match cursor.definition(named)?.map(|definition| &definition.body) {
                Some(Body::Enum(variants)) => Parts::Variant(variants),
                Some(Body::Struct(fields)) => Parts::Fields(fields),
                None => return Err(unknown(cursor.schema(), named)),
            },
        };
        Ok(Form::Parts(parts, *other))
    }

    /// Reads a variant without content as its name, as in JSON. `None` if it is no variant.
    fn name(&mut self) -> Result<Option<&'a str>, Failure> {
        let definition = self.cursor.definition(self.ty)?;
        let Some(Body::Enum(variants)) = definition.map(|definition| &definition.body) else {
            return Ok(None);
        };
        let variant = self.cursor.variant(variants)?;
        match variant.fields {
            Fields::Unit => certain(&variant.name).map(Some),
            _ => Err(Failure::custom(format!(
                "the variant `{}` holds more than its name",
                hidden::label(&variant.name)
            ))),
        }
    }

    /// True if it is bytes, or a sequence of bytes, which has the same encoding.
    fn is_bytes(&self) -> Result<bool, Failure> {
        Ok(match self.ty {
            Type::Bytes => true,
            Type::Seq(element) => matches!(self.cursor.bare(element)?, Type::U8),
            _ => false,
        })
    }
}

/// A value of the writer, read, or its parts, which come next.
enum Form<'a> {
    /// An empty option.
    Empty,
    Unit,
    Bool(bool),
    Char(char),
    Number(Number),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// The parts, and the program's type in the place of the value.
    Parts(Parts<'a>, Other<'a>),
}

/// The parts of a value.
enum Parts<'a> {
    Sequence(&'a Type),
    Uniform(&'a Type, u64),
    Grid(&'a Grid),
    Entries(&'a Type, &'a Type),
    Members(&'a [Type]),
    Fields(&'a Fields),
    Variant(&'a [Variant]),
}

fn unknown(schema: &Schema, ty: &Type) -> Failure {
    Failure::new(format!(
        "the form of `{}` is not known, so what was saved with it loads only into the type that it was saved from; a \
         type that is to change is stored with #[serde(with = \"checkpointed::self_describing\")] on its field, or on \
         the field that holds it, before the first save",
        schema.describe(ty)
    ))
}

/// The name of a variant or a field, for a reader that takes it for a text.
///
/// # Errors
/// Aliases hide the name.
pub(super) fn certain(name: &str) -> Result<&str, Failure> {
    let names: Vec<&str> = hidden::names(name).collect();
    match names[..] {
        [only] => Ok(only),
        _ => Err(unclear(name)),
    }
}

/// The failure of a name that aliases hide.
pub(super) fn unclear(name: &str) -> Failure {
    let names: Vec<&str> = hidden::names(name).collect();
    let which = if names.is_empty() {
        format!("the name of {} is not known", shortened(hidden::label(name)))
    } else {
        format!("it is one of {}; which one is not known, because aliases hide it", listed(&names))
    };
    Failure::new(format!(
        "{which}: load the value into the type that it was saved from, and convert it there"
    ))
}

/// True if the reader ignores the value.
pub(super) fn is_ignored<V>() -> bool {
    typeid::of::<V>() == typeid::of::<IgnoredAny>()
}

macro_rules! exact {
    ($($deserialize:ident => $visit:ident($type:ident);)*) => {$(
        /// Gives the type that was asked for, or refuses an integer that does not fit it: a visitor
        /// may cut a wider one, or need not take it.
        fn $deserialize<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
            self.guarded(|value| {
                let Some(mut value) = value.present()? else { return visitor.visit_none() };
                match value.number()? {
                    Some(number) => match number.to_integer::<$type>(stringify!($type))? {
                        Some(integer) => visitor.$visit(integer),
                        None => number.visit(visitor),
                    },
                    None => value.deserialize_any(visitor),
                }
            })
        }
    )*};
}

impl<'a> Deserializer<'a> for Value<'_, 'a> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Value { cursor, ty, other } = self;
        cursor.guard(|cursor| {
            let (parts, other) = match (Value { cursor, ty, other }).form(is_ignored::<V>())? {
                Form::Empty => return visitor.visit_none(),
                Form::Unit => return visitor.visit_unit(),
                Form::Bool(value) => return visitor.visit_bool(value),
                Form::Char(value) => return visitor.visit_char(value),
                Form::Number(value) => return value.visit(visitor),
                Form::Text(value) => return visitor.visit_borrowed_str(value),
                Form::Bytes(value) => return visitor.visit_borrowed_bytes(value),
                Form::Parts(parts, other) => (parts, other),
            };
            match parts {
                Parts::Sequence(element) => {
                    let kind = arrays::visitor_reads::<V>();
                    Value { cursor, ty, other }.sequence(element, kind, visitor)
                }
                Parts::Uniform(element, length) => cursor.read_uniform(element, other, length, visitor),
                Parts::Grid(grid) => cursor.read_grid(grid, other, visitor),
                Parts::Entries(key, ty) => cursor.read_entries(key, ty, other, visitor),
                Parts::Members(types) => cursor.read_members(types, other, visitor),
                Parts::Fields(fields) => cursor.read_fields(fields, other, visitor),
                Parts::Variant(variants) => cursor.read_variant(variants, other, visitor),
            }
        })
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.guarded(|value| {
            let Value { cursor, ty, other } = value;
            let other = other.inside_option();
            match cursor.bare(ty)? {
                Type::Unit => visitor.visit_none(),
                Type::Option(ty) => {
                    if cursor.flag(Flag::Option)? {
                        cursor.deeper(|cursor| visitor.visit_some(Value { cursor, ty, other }))
                    } else {
                        visitor.visit_none()
                    }
                }
                // The newtypes around the value may have a version.
                _ => visitor.visit_some(Value { cursor, ty, other }),
            }
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.guarded(|value| {
            if name == arrays::ROWS {
                let Some(value) = value.present()? else { return visitor.visit_none() };
                return match value.ty {
                    Type::Seq(element) => value.sequence(element, arrays::vec_kind::<V::Value>(), visitor),
                    _ => value.deserialize_any(visitor),
                };
            }
            let value = match value.arrived::<V>(true)? {
                Arrived::Present(value) => value,
                Arrived::Older(value, conversion) => {
                    return value
                        .convert(conversion, |reader| reader.deserialize_newtype_struct(name, visitor));
                }
                Arrived::Nothing => return visitor.visit_none(),
            };
            let definition = value.cursor.definition(value.ty)?;
            if let Some(float) = Float16::named(name)
                && definition.and_then(Float16::of) != Some(float)
            {
                return value.float16(float, visitor);
            }
            let ty = value.inside_newtype::<V>();
            let other = value.other.inside_newtype();
            value.cursor.deeper(|cursor| visitor.visit_newtype_struct(Value { cursor, ty, other }))
        })
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.guarded(|value| {
            let value = match value.arrived::<V>(false)? {
                Arrived::Present(value) => value,
                Arrived::Older(value, conversion) => {
                    return value
                        .convert(conversion, |reader| reader.deserialize_struct(name, known, visitor));
                }
                Arrived::Nothing => return visitor.visit_none(),
            };
            let Some(value) = value.present()? else { return visitor.visit_none() };
            let body = value.cursor.definition(value.ty)?.map(|definition| &definition.body);
            if let Some(Body::Struct(Fields::Named(fields))) = body {
                check_related(fields, known)?;
            }
            value.deserialize_any(visitor)
        })
    }

    fn deserialize_enum<V: Visitor<'a>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.guarded(|value| {
            let value = match value.arrived::<V>(false)? {
                Arrived::Present(value) => value,
                Arrived::Older(value, conversion) => {
                    return value
                        .convert(conversion, |reader| reader.deserialize_enum(name, variants, visitor));
                }
                Arrived::Nothing => return visitor.visit_none(),
            };
            match value.present()? {
                Some(value) if matches!(value.ty, Type::String) => {
                    let text = IntoDeserializer::<Failure>::into_deserializer(value.cursor.text()?);
                    text.deserialize_enum(name, variants, visitor)
                }
                Some(value) => value.deserialize_any(visitor),
                None => visitor.visit_none(),
            }
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.guarded(|value| match value.arrived::<V>(false)? {
            Arrived::Present(value) => value.deserialize_any(visitor),
            Arrived::Older(value, conversion) => {
                value.convert(conversion, |reader| reader.deserialize_tuple_struct(name, length, visitor))
            }
            Arrived::Nothing => visitor.visit_none(),
        })
    }

    fn deserialize_unit_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.guarded(|value| match value.arrived::<V>(false)? {
            Arrived::Present(value) => value.deserialize_any(visitor),
            Arrived::Older(value, conversion) => {
                value.convert(conversion, |reader| reader.deserialize_unit_struct(name, visitor))
            }
            Arrived::Nothing => visitor.visit_none(),
        })
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

    fn deserialize_f32<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.guarded(|value| {
            let Some(mut value) = value.present()? else { return visitor.visit_none() };
            match value.number()? {
                Some(number) => visitor.visit_f32(number.to_f32()?),
                None => value.deserialize_any(visitor),
            }
        })
    }

    fn deserialize_f64<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.guarded(|value| {
            let Some(mut value) = value.present()? else { return visitor.visit_none() };
            match value.number()? {
                Some(number) => visitor.visit_f64(number.to_f64()?),
                None => value.deserialize_any(visitor),
            }
        })
    }

    fn deserialize_str<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.guarded(|value| {
            let Some(mut value) = value.present()? else { return visitor.visit_none() };
            match value.name()? {
                Some(name) => visitor.visit_borrowed_str(name),
                None => value.deserialize_any(visitor),
            }
        })
    }

    fn deserialize_string<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.guarded(|value| {
            let Some(mut value) = value.present()? else { return visitor.visit_none() };
            match value.name()? {
                Some(name) => visitor.visit_string(name.to_owned()),
                None if matches!(value.ty, Type::String) => {
                    visitor.visit_string(value.cursor.text()?.to_owned())
                }
                None => value.deserialize_any(visitor),
            }
        })
    }

    fn deserialize_bytes<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.guarded(|value| match value.present()? {
            Some(value) if value.is_bytes()? => visitor.visit_borrowed_bytes(value.bytes()?),
            Some(value) => value.deserialize_any(visitor),
            None => visitor.visit_none(),
        })
    }

    fn deserialize_byte_buf<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.guarded(|value| match value.present()? {
            Some(value) if value.is_bytes()? => visitor.visit_byte_buf(value.bytes()?.to_vec()),
            Some(value) => value.deserialize_any(visitor),
            None => visitor.visit_none(),
        })
    }

    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.guarded(|value| match value.present()? {
            Some(value) if matches!(value.ty, Type::Bytes) => {
                let bytes = value.bytes()?;
                let mut elements = SeqDeserializer::<_, Failure>::new(bytes.iter().copied());
                let sequence = visitor.visit_seq(&mut elements)?;
                elements.end()?;
                Ok(sequence)
            }
            Some(value) => value.deserialize_any(visitor),
            None => visitor.visit_none(),
        })
    }

    // Foreign types must choose the form that they chose at the save.
    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>> bool char unit tuple map identifier ignored_any
    }
}
