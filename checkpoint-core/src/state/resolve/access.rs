//! What is inside a value of the writer: elements, entries, fields and variants.

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::cursor::{Cursor, Failure, Step};
use super::value::Value;
use crate::state::schema::{Field, Fields, Type, Variant};
use crate::state::shortened::listed;
/// Elements of one type.
pub(super) struct Uniform<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    ty: &'a Type,
    taken: u64,
    length: u64,
}

/// Members of a type each.
struct Numbered<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    types: &'a [Type],
    taken: usize,
}

/// Fields with names.
struct Named<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    fields: &'a [Field],
}

/// Keys and values.
struct Entries<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    key: &'a Type,
    ty: &'a Type,
    left: u64,
}

/// What a visitor leaves unread would shift everything behind it.
fn whole<R>(value: R, is_whole: bool) -> Result<R, Failure> {
    if is_whole { Ok(value) } else { Err(Failure::custom("it is longer than the value in this program")) }
}

impl<'a> Cursor<'a> {
    pub(super) fn read_uniform<'de, V: Visitor<'de>>(
        &mut self,
        ty: &'a Type,
        length: u64,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let mut elements = Uniform { cursor: self, ty, taken: 0, length };
        let value = visitor.visit_seq(&mut elements)?;
        whole(value, elements.taken == length)
    }

    pub(super) fn read_members<'de, V: Visitor<'de>>(
        &mut self,
        types: &'a [Type],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let mut members = Numbered { cursor: self, types, taken: 0 };
        let value = visitor.visit_seq(&mut members)?;
        whole(value, members.taken == types.len())
    }

    pub(super) fn read_entries<'de, V: Visitor<'de>>(
        &mut self,
        key: &'a Type,
        ty: &'a Type,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let left = self.length()?;
        let mut entries = Entries { cursor: self, key, ty, left };
        let value = visitor.visit_map(&mut entries)?;
        whole(value, entries.left == 0)
    }

    pub(super) fn read_fields<'de, V: Visitor<'de>>(
        &mut self,
        fields: &'a Fields,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match fields {
            Fields::Unit => visitor.visit_unit(),
            Fields::Newtype(ty) => self.deeper(|cursor| Value { cursor, ty }.deserialize_any(visitor)),
            Fields::Tuple(types) => self.read_members(types, visitor),
            Fields::Named(fields) => {
                let mut named = Named { cursor: self, fields };
                let value = visitor.visit_map(&mut named)?;
                whole(value, named.fields.is_empty())
            }
        }
    }

    pub(super) fn read_variant<'de, V: Visitor<'de>>(
        &mut self,
        variants: &'a [Variant],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let variant = self.variant(variants)?;
        visitor.visit_enum(EnumValue { cursor: self, variant })
    }

    /// Which variant it is.
    pub(super) fn variant(&mut self, variants: &'a [Variant]) -> Result<&'a Variant, Failure> {
        let index = u32::from_le_bytes(self.take()?);
        let found = usize::try_from(index).ok().and_then(|index| variants.get(index));
        found.ok_or_else(|| Failure::custom(format!("there is no variant {index}")))
    }
}

/// Two structs of which no name is in both have nothing to do with each other, though a reader that has a default for
/// each of its fields would take one for the other.
///
/// `known` are the names of the reader, with its aliases.
pub(super) fn check_related(fields: &[Field], known: &[&str]) -> Result<(), Failure> {
    if fields.is_empty() || known.is_empty() || fields.iter().any(|field| known.contains(&&*field.name)) {
        return Ok(());
    }
    let fields: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
    Err(Failure::custom(format!(
        "not one field is in both: {} in the checkpoint, {} in this program",
        listed(&fields),
        listed(known)
    )))
}

impl<'de> SeqAccess<'de> for &mut Uniform<'_, '_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        if self.taken == self.length {
            return Ok(None);
        }
        let step = Step::Element(self.taken);
        self.taken += 1;
        self.cursor.visit(step, self.ty, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.length - self.taken).ok()
    }
}

impl<'de> SeqAccess<'de> for &mut Numbered<'_, '_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(ty) = self.types.get(self.taken) else { return Ok(None) };
        let step = Step::Member(self.taken as u64);
        self.taken += 1;
        self.cursor.visit(step, ty, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.types.len() - self.taken)
    }
}

impl<'de> MapAccess<'de> for &mut Named<'_, '_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(field) = self.fields.first() else { return Ok(None) };
        let name: StrDeserializer<'_, Failure> = field.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let Some((field, rest)) = self.fields.split_first() else {
            return Err(Failure::custom("a value was asked for without its key"));
        };
        self.fields = rest;
        self.cursor.visit(Step::Field(&field.name), &field.ty, seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

impl<'de> MapAccess<'de> for &mut Entries<'_, '_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        self.cursor.visit(Step::Key, self.key, seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        self.cursor.visit(Step::Entry, self.ty, seed)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

/// A variant, by its name.
struct EnumValue<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    variant: &'a Variant,
}

impl<'de, 'r, 'a> EnumAccess<'de> for EnumValue<'r, 'a> {
    type Error = Failure;
    type Variant = Content<'r, 'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'r, 'a>), Failure> {
        let EnumValue { cursor, variant } = self;
        let name: StrDeserializer<'_, Failure> = variant.name.as_str().into_deserializer();
        let chosen = seed.deserialize(name)?;
        cursor.enter(Step::Variant(&variant.name));
        Ok((chosen, Content { cursor, fields: &variant.fields }))
    }
}

/// What a variant holds.
struct Content<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    fields: &'a Fields,
}

impl Content<'_, '_> {
    fn read<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Content { cursor, fields } = self;
        let value = cursor.guard(|cursor| cursor.deeper(|cursor| cursor.read_fields(fields, visitor)))?;
        cursor.leave();
        Ok(value)
    }
}

impl<'de> VariantAccess<'de> for Content<'_, '_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        <()>::deserialize(self)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        let Fields::Newtype(ty) = self.fields else { return seed.deserialize(self) };
        let value = self.cursor.deeper(|cursor| seed.deserialize(Value { cursor, ty }))?;
        self.cursor.leave();
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.read(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if let Fields::Named(fields) = self.fields {
            check_related(fields, known)?;
        }
        self.read(visitor)
    }
}

/// The content as a value of its own, for a variant that holds one value in the reader.
impl<'de> Deserializer<'de> for Content<'_, '_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.read(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.struct_variant(known, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}
