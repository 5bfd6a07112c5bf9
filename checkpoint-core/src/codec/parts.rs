//! Values with parts while they are written: sequences, maps, tuples, structs and variants.

use serde::{Serialize, ser};

use super::forms::{Expected, Id};
use super::observed::Style;
use super::writer::{WAY_OUT, Writer};
use super::{Failure, Result};
use crate::schema::path::Step;

/// A sequence or a map while it is written: its length is what was written, whatever was announced.
pub(super) struct Counted<'w, 'a> {
    pub(super) writer: &'w mut Writer<'a>,
    pub(super) length_at: usize,
    pub(super) announced: u64,
    pub(super) written: u64,
    /// The form of the keys.
    pub(super) key: Id,
    /// The form of the values, or of the elements.
    pub(super) value: Expected,
}

impl Counted<'_, '_> {
    #[inline]
    pub(super) fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.frame.number = self.written;
        self.written += 1;
        self.writer.next = self.value;
        self.writer.value(value)
    }

    #[inline]
    pub(super) fn finish(self) -> Result<()> {
        let Counted { writer, length_at, announced, written, .. } = self;
        writer.leave();
        writer.elements = writer.elements.saturating_add(written);
        if written == announced { Ok(()) } else { writer.correct(length_at, written) }
    }
}

impl Writer<'_> {
    /// Fewer or more parts are written than were announced, or than will be read.
    #[cold]
    fn other_number(&self, name: &str, parts: Parts, announced: u32, written: u32) -> Failure {
        if let Parts::Listed { first, count } = parts
            && written == announced
            && written < count
        {
            let missing = self.forms.name(first + written);
            return Failure::new(format!(
                "the Serialize of `{name}` does not write the field {missing}, which its Deserialize reads, so it \
                 could not be loaded; {WAY_OUT}"
            ));
        }
        Failure::new(format!(
            "{name} announced {announced} fields and wrote {written}, so it could not be read again"
        ))
    }

    /// Writes the true length of a sequence over the announced one.
    #[cold]
    fn correct(&mut self, length_at: usize, written: u64) -> Result<()> {
        let length = written.to_le_bytes();
        match self.bytes.get_mut(length_at..length_at + length.len()) {
            Some(place) => {
                place.copy_from_slice(&length);
                Ok(())
            }
            None => Err(Failure::new("a sequence lost its length")),
        }
    }
}

impl ser::SerializeSeq for Counted<'_, '_> {
    type Ok = ();
    type Error = Failure;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl ser::SerializeMap for Counted<'_, '_> {
    type Ok = ();
    type Error = Failure;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.writer.frame = Frame { number: self.written, ..Frame::ELEMENTS };
        self.written += 1;
        let from = self.writer.bytes.len();
        self.writer.go_to(self.key);
        self.writer.value(key)?;
        let to = self.writer.bytes.len();
        self.writer.frame.part = Part::Value { from, to, key: std::any::type_name::<T> };
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.next = self.value;
        self.writer.value(value)
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.finish()
    }
}

/// The forms of the parts of a product.
#[derive(Clone, Copy)]
pub(super) enum Parts {
    /// The first entry and their number.
    Listed { first: u32, count: u32 },
    /// All parts have the same.
    Repeated(Id),
    /// It is observed.
    Free(Id),
}

/// A value with parts that is being written: what tells which part it is at. The path of an array is made of these.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    /// The number of the part that is written, or was written last.
    pub(super) number: u64,
    pub(super) part: Part,
}

/// What part of a value has that number.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// An element, or one without a name.
    Element,
    /// The field whose name is in the entries from this one on.
    Listed(u32),
    /// The field of this name.
    Field(&'static str),
    /// The value of a map whose key was encoded as these bytes.
    Value { from: usize, to: usize, key: fn() -> &'static str },
}

impl Frame {
    pub(super) const ELEMENTS: Frame = Frame { number: 0, part: Part::Element };

    /// Of a product.
    #[inline]
    pub(super) fn of(parts: &Parts, style: Style) -> Frame {
        let part = match (style, parts) {
            (Style::Fields(_), Parts::Listed { first, .. }) => Part::Listed(*first),
            _ => Part::Element,
        };
        Frame { number: 0, part }
    }

    /// The step into the part. `name` has the names of the entries.
    pub(super) fn step(&self, name: impl Fn(u32) -> &'static str) -> Step {
        match self.part {
            Part::Element => Step::Index(self.number),
            Part::Listed(first) => {
                let number = u32::try_from(self.number).unwrap_or(u32::MAX);
                Step::Field(name(first.saturating_add(number)))
            }
            Part::Field(name) => Step::Field(name),
            Part::Value { from, to, key } => Step::Key { from, to, type_name: key },
        }
    }
}

/// A tuple, a struct, or a variant with fields while it is written: it holds exactly what was announced.
pub(super) struct Fixed<'w, 'a> {
    pub(super) writer: &'w mut Writer<'a>,
    pub(super) name: &'static str,
    pub(super) parts: Parts,
    pub(super) announced: u32,
    pub(super) written: u32,
}

impl Fixed<'_, '_> {
    #[inline]
    fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let (writer, number) = (&mut *self.writer, self.written);
        self.written += 1;
        writer.frame.number = number.into();
        match self.parts {
            Parts::Listed { first, .. } => writer.next = writer.entry(first.saturating_add(number)),
            Parts::Repeated(form) => writer.go_to(form),
            Parts::Free(id) => {
                writer.next = Expected::free(writer.observed.part(id, number as usize, ""));
            }
        }
        writer.value(value)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        let number = self.written;
        self.written += 1;
        self.writer.frame.number = number.into();
        match self.parts {
            Parts::Listed { first, count } => {
                if number >= count || !self.writer.go_to_named(first + number, name) {
                    return Err(self.other_name(name));
                }
            }
            Parts::Repeated(form) => {
                self.writer.frame.part = Part::Field(name);
                self.writer.go_to(form);
            }
            Parts::Free(id) => {
                self.writer.frame.part = Part::Field(name);
                self.writer.next = Expected::free(self.writer.observed.part(id, number as usize, name));
            }
        }
        self.writer.value(value)
    }

    #[inline]
    fn finish(self) -> Result<()> {
        // One by one: a copy of the whole would wait until each of them is in memory.
        let Fixed { writer, name, parts, announced, written } = self;
        writer.leave();
        let is_whole = match parts {
            Parts::Listed { count, .. } => written == count && written == announced,
            Parts::Repeated(_) | Parts::Free(_) => written == announced,
        };
        if is_whole { Ok(()) } else { Err(writer.other_number(name, parts, announced, written)) }
    }

    /// Another field is written than will be read.
    #[cold]
    fn other_name(&mut self, name: &'static str) -> Failure {
        self.writer.leave();
        let owner = self.name;
        let number = self.written.saturating_sub(1);
        let why = match self.parts {
            Parts::Listed { first, count } if number < count => {
                let read = self.writer.forms.name(first + number);
                format!(
                    "the Serialize of `{owner}` writes the field `{name}` where its Deserialize reads {read}"
                )
            }
            _ => format!(
                "the Serialize of `{owner}` writes the field `{name}`, which its Deserialize does not read"
            ),
        };
        Failure::new(format!("{why}, so it could not be loaded; {WAY_OUT}"))
    }

    #[cold]
    fn skipped(&mut self, field: &'static str) -> Failure {
        self.writer.leave();
        let owner = self.name;
        Failure::new(format!(
            "the field `{field}` of `{owner}` was left out (skip_serializing_if), and a checkpoint without it could \
             not be read again; drop that attribute, or write #[serde(with = \"checkpointed::self_describing\")] on \
             the field that holds the value"
        ))
    }
}

macro_rules! write_members {
    ($($trait:ident::$method:ident;)*) => {$(
        impl ser::$trait for Fixed<'_, '_> {
            type Ok = ();
            type Error = Failure;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.member(value)
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

write_members! {
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! write_fields {
    ($($trait:ident;)*) => {$(
        impl ser::$trait for Fixed<'_, '_> {
            type Ok = ();
            type Error = Failure;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.field(name, value)
            }

            #[inline]
            fn skip_field(&mut self, field: &'static str) -> Result<()> {
                Err(self.skipped(field))
            }

            #[inline]
            fn end(self) -> Result<()> {
                self.finish()
            }
        }
    )*};
}

write_fields! {
    SerializeStruct;
    SerializeStructVariant;
}
