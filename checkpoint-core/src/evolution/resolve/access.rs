//! Gives access to the inside of a value of the writer: elements, entries, fields and variants.

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    Deserialize as _, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::cursor::{Cursor, Failure, Step};
use super::other::Other;
use super::value::{Value, certain, is_ignored};
use crate::base::text::listed;
use crate::schema::{Field, Fields, Type, Variant, hidden};

/// Elements of one type.
pub(super) struct Uniform<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    ty: &'a Type,
    other: Other<'a>,
    taken: u64,
    length: u64,
}

/// Members, each of a type of its own.
struct Numbered<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    types: &'a [Type],
    other: Other<'a>,
    taken: usize,
}

/// Fields with names.
struct Named<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    fields: &'a [Field],
    other: Other<'a>,
}

/// Keys and values.
struct Entries<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    key: &'a Type,
    ty: &'a Type,
    other: Other<'a>,
    left: u64,
    /// True if a value comes next.
    has_value: bool,
}

/// Refuses a value that its visitor did not read whole: the rest would shift everything behind it.
pub(super) fn check_whole(is_whole: bool) -> Result<(), Failure> {
    if is_whole { Ok(()) } else { Err(Failure::new("it is longer than the value in this program")) }
}

impl<'a> Cursor<'a> {
    pub(super) fn read_uniform<V: Visitor<'a>>(
        &mut self,
        ty: &'a Type,
        other: Other<'a>,
        length: u64,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let mut elements = Uniform { cursor: self, ty, other, taken: 0, length };
        let value = visitor.visit_seq(&mut elements)?;
        check_whole(elements.taken == length)?;
        Ok(value)
    }

    pub(super) fn read_members<V: Visitor<'a>>(
        &mut self,
        types: &'a [Type],
        other: Other<'a>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let mut members = Numbered { cursor: self, types, other, taken: 0 };
        let value = visitor.visit_seq(&mut members)?;
        check_whole(members.taken == types.len())?;
        Ok(value)
    }

    pub(super) fn read_entries<V: Visitor<'a>>(
        &mut self,
        key: &'a Type,
        ty: &'a Type,
        other: Other<'a>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let left = self.length()?;
        let mut entries = Entries { cursor: self, key, ty, other, left, has_value: false };
        let value = visitor.visit_map(&mut entries)?;
        check_whole(entries.left == 0 && !entries.has_value)?;
        Ok(value)
    }

    pub(super) fn read_fields<V: Visitor<'a>>(
        &mut self,
        fields: &'a Fields,
        other: Other<'a>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match fields {
            Fields::Unit => visitor.visit_unit(),
            Fields::Newtype(ty) => {
                let other = other.inside_newtype();
                self.deeper(|cursor| Value { cursor, ty, other }.deserialize_any(visitor))
            }
            Fields::Tuple(types) => self.read_members(types, other, visitor),
            Fields::Named(fields) => {
                let mut named = Named { cursor: self, fields, other };
                let value = visitor.visit_map(&mut named)?;
                check_whole(named.fields.is_empty())?;
                Ok(value)
            }
        }
    }

    pub(super) fn read_variant<V: Visitor<'a>>(
        &mut self,
        variants: &'a [Variant],
        other: Other<'a>,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let variant = self.variant(variants)?;
        let (name, other) = match is_ignored::<V>() {
            true => (hidden::label(&variant.name), other),
            false => other.variant(&variant.name)?,
        };
        visitor.visit_enum(EnumValue { cursor: self, variant, name, other })
    }
}

fn without_key() -> Failure {
    Failure::custom("a value was asked for without its key")
}

/// Refuses a struct that shares no name with the reader's. The two are unrelated, but a reader with
/// a default for each of its fields would accept it.
///
/// `known` are the names of the reader, with its aliases.
pub(super) fn check_related(fields: &[Field], known: &[&str]) -> Result<(), Failure> {
    if fields.is_empty() || known.is_empty() || fields.iter().any(|field| known.contains(&&*field.name)) {
        return Ok(());
    }
    let fields: Vec<&str> = fields.iter().map(|field| hidden::label(&field.name)).collect();
    Err(Failure::custom(format!(
        "not one field is in both: {} in the checkpoint, {} in this program",
        listed(&fields),
        listed(known)
    )))
}

impl<'a> SeqAccess<'a> for &mut Uniform<'_, 'a> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        if self.taken == self.length {
            return Ok(None);
        }
        let step = Step::Element(self.taken);
        let (ty, other) = (self.ty, self.other.element(usize::try_from(self.taken).unwrap_or(usize::MAX)));
        self.taken += 1;
        self.cursor.visit(step, ty, other, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.length - self.taken).ok()
    }
}

impl<'a> SeqAccess<'a> for &mut Numbered<'_, 'a> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(ty) = self.types.get(self.taken) else { return Ok(None) };
        let (step, other) = (Step::Member(self.taken as u64), self.other.element(self.taken));
        self.taken += 1;
        self.cursor.visit(step, ty, other, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.types.len() - self.taken)
    }
}

impl<'a> MapAccess<'a> for &mut Named<'_, 'a> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some(field) = self.fields.first() else { return Ok(None) };
        let name = &*field.name;
        let key = self.cursor.guard(|_| match hidden::is_hidden(name) {
            true => seed.deserialize(Hidden(name)),
            false => seed.deserialize(BorrowedStrDeserializer::<Failure>::new(name)),
        });
        key.map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let Some((field, rest)) = self.fields.split_first() else {
            return self.cursor.guard(|_| Err(without_key()));
        };
        self.fields = rest;
        self.cursor.visit(Step::Field(&field.name), &field.ty, self.other.field(&field.name), seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.fields.len())
    }
}

/// The name of a field that aliases hide. A struct does not know it, and a map takes it for a text.
struct Hidden<'a>(&'a str);

impl<'a> Deserializer<'a> for Hidden<'a> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(certain(self.0)?)
    }

    fn deserialize_identifier<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_ignored_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        <V: Visitor<'a>> bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum
    }
}

impl<'a> MapAccess<'a> for &mut Entries<'_, 'a> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        if self.has_value {
            return self
                .cursor
                .guard(|_| Err(Failure::custom("a key was asked for before the value of the last")));
        }
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        (self.left, self.has_value) = (left, true);
        let (ty, other) = (self.key, self.other.key());
        self.cursor.visit(Step::Key, ty, other, seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'a>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        if !self.has_value {
            return self.cursor.guard(|_| Err(without_key()));
        }
        self.has_value = false;
        self.cursor.visit(Step::Entry, self.ty, self.other.entry(), seed)
    }

    fn size_hint(&self) -> Option<usize> {
        usize::try_from(self.left).ok()
    }
}

/// A variant, selected by its name.
struct EnumValue<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    variant: &'a Variant,
    /// The reader's name of the variant.
    name: &'a str,
    other: Other<'a>,
}

impl<'r, 'a> EnumAccess<'a> for EnumValue<'r, 'a> {
    type Error = Failure;
    type Variant = Content<'r, 'a>;

    fn variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<(S::Value, Content<'r, 'a>), Failure> {
        let EnumValue { cursor, variant, name, other } = self;
        let chosen = cursor.guard(|_| seed.deserialize(BorrowedStrDeserializer::<Failure>::new(name)))?;
        cursor.enter(Step::Variant(&variant.name));
        Ok((chosen, Content { cursor, fields: &variant.fields, other }))
    }
}

/// The content of a variant.
struct Content<'r, 'a> {
    cursor: &'r mut Cursor<'a>,
    fields: &'a Fields,
    other: Other<'a>,
}

impl<'a> Content<'_, 'a> {
    fn read<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Content { cursor, fields, other } = self;
        let value =
            cursor.guard(|cursor| cursor.deeper(|cursor| cursor.read_fields(fields, other, visitor)))?;
        cursor.leave();
        Ok(value)
    }
}

impl<'a> VariantAccess<'a> for Content<'_, 'a> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        <()>::deserialize(self)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'a>>(self, seed: S) -> Result<S::Value, Failure> {
        let Fields::Newtype(ty) = self.fields else { return seed.deserialize(self) };
        let other = self.other.inside_newtype();
        let value = self.cursor.guard(|cursor| cursor.deeper(|cursor| cursor.read(ty, other, seed)))?;
        self.cursor.leave();
        Ok(value)
    }

    fn tuple_variant<V: Visitor<'a>>(self, _: usize, visitor: V) -> Result<V::Value, Failure> {
        self.read(visitor)
    }

    fn struct_variant<V: Visitor<'a>>(
        self,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        if let Fields::Named(fields) = self.fields {
            self.cursor.guard(|_| check_related(fields, known))?;
        }
        self.read(visitor)
    }
}

/// The content as a value of its own, for a variant that holds one value in the reader.
impl<'a> Deserializer<'a> for Content<'_, 'a> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, Failure> {
        self.read(visitor)
    }

    fn deserialize_struct<V: Visitor<'a>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.struct_variant(known, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
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
        <V: Visitor<'a>> bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}
