//! A value of any type, written and read by the schema of the type.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use checkpointed::schema::{Body, Fields, Schema, Type, Variant};
use serde::de::{DeserializeSeed, EnumAccess, Error as _, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde::ser::{
    SerializeMap as _, SerializeSeq as _, SerializeStruct as _, SerializeStructVariant as _,
    SerializeTuple as _, SerializeTupleStruct as _, SerializeTupleVariant as _,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Floats as bits, so that NaN equals itself.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Unit,
    Bool(bool),
    Char(char),
    Text(String),
    Bytes(Vec<u8>),
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    U128(u128),
    I8(i8),
    I16(i16),
    I32(i32),
    I64(i64),
    I128(i128),
    F32(f32),
    F64(f64),
    Option(Option<Box<Value>>),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
    Variant(usize, Box<Value>),
    /// `Vec`s that are arrays of a checkpoint.
    Floats(Vec<f64>),
    Octets(Vec<u8>),
    Rows(Vec<[f32; 3]>),
    Integers(Vec<i64>),
}

impl Value {
    /// Describes the value fully, without the names of types.
    pub(crate) fn told(&self, text: &mut String) {
        let list = |text: &mut String, values: &[Value]| {
            text.push('[');
            values.iter().for_each(|value| {
                value.told(text);
                text.push(',');
            });
            text.push(']');
        };
        let all = |values: &mut dyn Iterator<Item = Value>| values.collect::<Vec<_>>();
        match self {
            Value::Unit => list(text, &[]),
            // What holds nothing is written alike: a text, bytes, a sequence.
            Value::Text(value) if value.is_empty() => list(text, &[]),
            Value::F32(value) => text.push_str(&format!("f32 {:x}", value.to_bits())),
            Value::F64(value) => text.push_str(&format!("f64 {:x}", value.to_bits())),
            Value::Option(None) => text.push_str("None"),
            Value::Option(Some(value)) => {
                text.push_str("Some ");
                value.told(text);
            }
            Value::List(values) => list(text, values),
            Value::Map(entries) => entries.iter().for_each(|(key, value)| {
                text.push('{');
                key.told(text);
                text.push(':');
                value.told(text);
                text.push('}');
            }),
            Value::Variant(number, value) => {
                text.push_str(&format!("variant {number} "));
                value.told(text);
            }
            Value::Floats(values) => list(text, &all(&mut values.iter().copied().map(Value::F64))),
            Value::Octets(values) | Value::Bytes(values) => {
                list(text, &all(&mut values.iter().copied().map(Value::U8)))
            }
            Value::Integers(values) => list(text, &all(&mut values.iter().copied().map(Value::I64))),
            Value::Rows(rows) => {
                let row = |row: &[f32; 3]| Value::List(row.map(Value::F32).into());
                list(text, &all(&mut rows.iter().map(row)));
            }
            scalar => text.push_str(&format!("{scalar:?}")),
        }
    }
}

/// Texts that live for ever, as serde requires: each once.
fn kept(text: &str) -> &'static str {
    static KEPT: Mutex<BTreeMap<String, &'static str>> = Mutex::new(BTreeMap::new());
    KEPT.lock().unwrap().entry(text.to_owned()).or_insert_with(|| text.to_owned().leak())
}

fn names<'n>(names: impl Iterator<Item = &'n str>) -> &'static [&'static str] {
    static KEPT: Mutex<BTreeMap<Vec<&'static str>, &'static [&'static str]>> = Mutex::new(BTreeMap::new());
    let names: Vec<&'static str> = names.map(kept).collect();
    KEPT.lock().unwrap().entry(names.clone()).or_insert_with(|| names.leak())
}

/// A value, to be written as this type.
pub(crate) struct Written<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) ty: &'a Type,
    pub(crate) value: &'a Value,
}

impl<'a> Written<'a> {
    fn of(&self, ty: &'a Type, value: &'a Value) -> Written<'a> {
        Written { schema: self.schema, ty, value }
    }

    fn list(&self) -> &'a [Value] {
        match self.value {
            Value::List(values) => values,
            _ => &[],
        }
    }

    fn variant<S: Serializer>(
        &self,
        name: &'static str,
        variants: &'a [Variant],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let Value::Variant(number, content) = self.value else {
            unreachable!("the value is made for the type")
        };
        let (index, variant) = (u32::try_from(*number).unwrap(), &variants[*number]);
        let variant_name = kept(&variant.name);
        let content = self.of(self.ty, content);
        match &variant.fields {
            Fields::Unit => serializer.serialize_unit_variant(name, index, variant_name),
            Fields::Newtype(ty) => {
                serializer.serialize_newtype_variant(name, index, variant_name, &self.of(ty, content.value))
            }
            Fields::Tuple(types) => {
                let mut tuple = serializer.serialize_tuple_variant(name, index, variant_name, types.len())?;
                for (ty, value) in types.iter().zip(content.list()) {
                    tuple.serialize_field(&self.of(ty, value))?;
                }
                tuple.end()
            }
            Fields::Named(fields) => {
                let mut written =
                    serializer.serialize_struct_variant(name, index, variant_name, fields.len())?;
                for (field, value) in fields.iter().zip(content.list()) {
                    written.serialize_field(kept(&field.name), &self.of(&field.ty, value))?;
                }
                written.end()
            }
        }
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.ty, self.value) {
            (_, Value::Bool(value)) => serializer.serialize_bool(*value),
            (_, Value::Char(value)) => serializer.serialize_char(*value),
            (_, Value::Text(value)) => serializer.serialize_str(value),
            (_, Value::Bytes(value)) => serializer.serialize_bytes(value),
            (_, Value::U8(value)) => serializer.serialize_u8(*value),
            (_, Value::U16(value)) => serializer.serialize_u16(*value),
            (_, Value::U32(value)) => serializer.serialize_u32(*value),
            (_, Value::U64(value)) => serializer.serialize_u64(*value),
            (_, Value::U128(value)) => serializer.serialize_u128(*value),
            (_, Value::I8(value)) => serializer.serialize_i8(*value),
            (_, Value::I16(value)) => serializer.serialize_i16(*value),
            (_, Value::I32(value)) => serializer.serialize_i32(*value),
            (_, Value::I64(value)) => serializer.serialize_i64(*value),
            (_, Value::I128(value)) => serializer.serialize_i128(*value),
            (_, Value::F32(value)) => serializer.serialize_f32(*value),
            (_, Value::F64(value)) => serializer.serialize_f64(*value),
            (Type::Seq(_), Value::Floats(values)) => values.serialize(serializer),
            (Type::Seq(_), Value::Octets(values)) => values.serialize(serializer),
            (Type::Seq(_), Value::Rows(values)) => values.serialize(serializer),
            (Type::Seq(_), Value::Integers(values)) => values.serialize(serializer),
            (Type::Unit, _) => serializer.serialize_unit(),
            (Type::Option(_), Value::Option(None)) => serializer.serialize_none(),
            (Type::Option(ty), Value::Option(Some(value))) => serializer.serialize_some(&self.of(ty, value)),
            (Type::Seq(ty), Value::List(values)) => {
                let mut sequence = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    sequence.serialize_element(&self.of(ty, value))?;
                }
                sequence.end()
            }
            (Type::Map(key_type, value_type), Value::Map(entries)) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    map.serialize_entry(&self.of(key_type, key), &self.of(value_type, value))?;
                }
                map.end()
            }
            (Type::Tuple(types), Value::List(values)) => {
                let mut tuple = serializer.serialize_tuple(values.len())?;
                for (ty, value) in types.iter().zip(values) {
                    tuple.serialize_element(&self.of(ty, value))?;
                }
                tuple.end()
            }
            (Type::Array(ty, _), Value::List(values)) => {
                let mut tuple = serializer.serialize_tuple(values.len())?;
                for value in values {
                    tuple.serialize_element(&self.of(ty, value))?;
                }
                tuple.end()
            }
            (Type::Named(place), value) => {
                let definition = &self.schema.types[*place];
                let name = kept(&definition.name);
                match &definition.body {
                    Body::Struct(Fields::Unit) => serializer.serialize_unit_struct(name),
                    Body::Struct(Fields::Newtype(ty)) => {
                        serializer.serialize_newtype_struct(name, &self.of(ty, value))
                    }
                    Body::Struct(Fields::Tuple(types)) => {
                        let mut tuple = serializer.serialize_tuple_struct(name, types.len())?;
                        for (ty, value) in types.iter().zip(self.list()) {
                            tuple.serialize_field(&self.of(ty, value))?;
                        }
                        tuple.end()
                    }
                    Body::Struct(Fields::Named(fields)) => {
                        let mut written = serializer.serialize_struct(name, fields.len())?;
                        for (field, value) in fields.iter().zip(self.list()) {
                            written.serialize_field(kept(&field.name), &self.of(&field.ty, value))?;
                        }
                        written.end()
                    }
                    Body::Enum(variants) => self.variant(name, variants, serializer),
                }
            }
            (ty, value) => unreachable!("{value:?} is made for {ty:?}"),
        }
    }
}

/// Reads a value of this type.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) schema: &'a Schema,
    pub(crate) ty: &'a Type,
}

/// Reads values of these types, one each.
struct Several<'a> {
    schema: &'a Schema,
    types: Vec<&'a Type>,
}

impl<'a> Reading<'a> {
    fn of(&self, ty: &'a Type) -> Reading<'a> {
        Reading { schema: self.schema, ty }
    }

    fn several(&self, types: impl Iterator<Item = &'a Type>) -> Several<'a> {
        Several { schema: self.schema, types: types.collect() }
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.ty {
            Type::Unit => deserializer.deserialize_unit(self),
            Type::Bool => deserializer.deserialize_bool(self),
            Type::Char => deserializer.deserialize_char(self),
            Type::String => deserializer.deserialize_string(self),
            Type::Bytes => deserializer.deserialize_byte_buf(self),
            Type::U8 => deserializer.deserialize_u8(self),
            Type::U16 => deserializer.deserialize_u16(self),
            Type::U32 => deserializer.deserialize_u32(self),
            Type::U64 => deserializer.deserialize_u64(self),
            Type::U128 => deserializer.deserialize_u128(self),
            Type::I8 => deserializer.deserialize_i8(self),
            Type::I16 => deserializer.deserialize_i16(self),
            Type::I32 => deserializer.deserialize_i32(self),
            Type::I64 => deserializer.deserialize_i64(self),
            Type::I128 => deserializer.deserialize_i128(self),
            Type::F32 => deserializer.deserialize_f32(self),
            Type::F64 => deserializer.deserialize_f64(self),
            Type::Option(_) => deserializer.deserialize_option(self),
            Type::Seq(element) => match &**element {
                Type::F64 => Vec::deserialize(deserializer).map(Value::Floats),
                Type::U8 => Vec::deserialize(deserializer).map(Value::Octets),
                Type::I64 => Vec::deserialize(deserializer).map(Value::Integers),
                Type::Array(inner, 3) if **inner == Type::F32 => {
                    Vec::deserialize(deserializer).map(Value::Rows)
                }
                _ => deserializer.deserialize_seq(self),
            },
            Type::Map(..) => deserializer.deserialize_map(self),
            Type::Tuple(types) => deserializer.deserialize_tuple(types.len(), self.several(types.iter())),
            Type::Array(ty, length) => {
                let types = std::iter::repeat_n(&**ty, usize::try_from(*length).unwrap());
                deserializer.deserialize_tuple(types.len(), self.several(types))
            }
            Type::Named(place) => {
                let definition = &self.schema.types[*place];
                let name = kept(&definition.name);
                match &definition.body {
                    Body::Struct(Fields::Unit) => deserializer.deserialize_unit_struct(name, self),
                    Body::Struct(Fields::Newtype(_)) => deserializer.deserialize_newtype_struct(name, self),
                    Body::Struct(Fields::Tuple(types)) => {
                        let several = self.several(types.iter());
                        deserializer.deserialize_tuple_struct(name, types.len(), several)
                    }
                    Body::Struct(Fields::Named(fields)) => {
                        let several = self.several(fields.iter().map(|field| &field.ty));
                        let names = names(fields.iter().map(|field| field.name.as_str()));
                        deserializer.deserialize_struct(name, names, several)
                    }
                    Body::Enum(variants) => {
                        let names = names(variants.iter().map(|variant| variant.name.as_str()));
                        deserializer.deserialize_enum(name, names, self)
                    }
                }
            }
            other => Err(D::Error::custom(format!("no such type is made: {other:?}"))),
        }
    }
}

macro_rules! visit {
    ($($method:ident($ty:ty) $kind:ident;)*) => {$(
        fn $method<E: serde::de::Error>(self, value: $ty) -> Result<Value, E> {
            Ok(Value::$kind(value))
        }
    )*};
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a {:?}", self.ty)
    }

    visit! {
        visit_bool(bool) Bool;
        visit_char(char) Char;
        visit_string(String) Text;
        visit_byte_buf(Vec<u8>) Bytes;
        visit_u8(u8) U8;
        visit_u16(u16) U16;
        visit_u32(u32) U32;
        visit_u64(u64) U64;
        visit_u128(u128) U128;
        visit_i8(i8) I8;
        visit_i16(i16) I16;
        visit_i32(i32) I32;
        visit_i64(i64) I64;
        visit_i128(i128) I128;
        visit_f32(f32) F32;
        visit_f64(f64) F64;
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_bytes<E: serde::de::Error>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_owned()))
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Unit)
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Value, E> {
        Ok(Value::Option(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let Type::Option(ty) = self.ty else { return Err(D::Error::custom("no option was asked for")) };
        self.of(ty).deserialize(deserializer).map(|value| Value::Option(Some(Box::new(value))))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.ty {
            Type::Named(place) => match &self.schema.types[*place].body {
                Body::Struct(Fields::Newtype(ty)) => self.of(ty).deserialize(deserializer),
                _ => Err(D::Error::custom("no newtype was asked for")),
            },
            _ => Err(D::Error::custom("no newtype was asked for")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let Type::Seq(ty) = self.ty else { return Err(A::Error::custom("no sequence was asked for")) };
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(self.of(ty))? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Type::Map(key, value) = self.ty else { return Err(A::Error::custom("no map was asked for")) };
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry_seed(self.of(key), self.of(value))? {
            entries.push(entry);
        }
        Ok(Value::Map(entries))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let Type::Named(place) = self.ty else { return Err(A::Error::custom("no enum was asked for")) };
        let Body::Enum(variants) = &self.schema.types[*place].body else {
            return Err(A::Error::custom("no enum was asked for"));
        };
        let (number, content) = access.variant_seed(VariantNumber)?;
        let Some(variant) = variants.get(number) else { return Err(A::Error::custom("no such variant")) };
        let value = match &variant.fields {
            Fields::Unit => content.unit_variant().map(|()| Value::Unit),
            Fields::Newtype(ty) => content.newtype_variant_seed(self.of(ty)),
            Fields::Tuple(types) => content.tuple_variant(types.len(), self.several(types.iter())),
            Fields::Named(fields) => {
                let names = names(fields.iter().map(|field| field.name.as_str()));
                content.struct_variant(names, self.several(fields.iter().map(|field| &field.ty)))
            }
        }?;
        Ok(Value::Variant(number, Box::new(value)))
    }
}

impl<'de> Visitor<'de> for Several<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.types)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        for (number, ty) in self.types.iter().enumerate() {
            let reading = Reading { schema: self.schema, ty };
            let value = sequence.next_element_seed(reading)?;
            values.push(value.ok_or_else(|| A::Error::invalid_length(number, &"more"))?);
        }
        Ok(Value::List(values))
    }
}

/// The number of a variant, as serde's derives read it.
struct VariantNumber;

impl<'de> DeserializeSeed<'de> for VariantNumber {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for VariantNumber {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the number of a variant")
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<usize, E> {
        usize::try_from(number).map_err(E::custom)
    }
}
