//! Values with parts while they are written: sequences, maps, tuples, structs and variants.

use serde::{Serialize, ser};

use super::forms::Id;
use super::writer::{WAY_OUT, Writer};
use super::{Failure, Result};
use crate::state::path::Step;

/// The forms of the elements: of keys and of values, which are the same in a sequence.
pub(super) struct Elements {
    pub(super) key: Id,
    pub(super) value: Id,
}

/// A sequence or a map while it is written: its length is what was written, whatever was announced.
pub(super) struct Counted<'w, 'a> {
    pub(super) writer: &'w mut Writer<'a>,
    pub(super) length_at: usize,
    pub(super) announced: u64,
    pub(super) written: u64,
    pub(super) elements: Elements,
}

impl Counted<'_, '_> {
    #[inline]
    pub(super) fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.step(Step::Index(self.written));
        self.written += 1;
        self.writer.next = self.elements.value;
        self.writer.value(value)
    }

    #[inline]
    pub(super) fn finish(self) -> Result<()> {
        self.writer.frames.pop();
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
        self.writer.step(Step::Index(self.written));
        self.written += 1;
        let from = self.writer.bytes.len();
        self.writer.next = self.elements.key;
        self.writer.value(key)?;
        let to = self.writer.bytes.len();
        self.writer.step(Step::Key { from, to, type_name: std::any::type_name::<T> });
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.next = self.elements.value;
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

/// A value with parts that is being written. What is known of it is in this list and not in serde's own objects: these
/// are moved about, from one place in memory to the next, for each value.
pub(super) struct Frame {
    /// The part that is written, or was written last.
    pub(super) step: Step,
    pub(super) name: &'static str,
    pub(super) announced: u32,
    pub(super) written: u32,
    pub(super) parts: Parts,
}

impl Frame {
    /// Of a sequence or a map, of which no more than the step is kept here.
    pub(super) fn of_elements() -> Frame {
        Frame { step: Step::Index(0), name: "", announced: 0, written: 0, parts: Parts::Repeated(Id(0)) }
    }
}

impl Writer<'_> {
    /// Notes which part of the innermost value is written next.
    #[inline]
    fn step(&mut self, step: Step) {
        if let Some(frame) = self.frames.last_mut() {
            frame.step = step;
        }
    }

    /// Goes to the next part of the innermost product, which has no name.
    #[inline]
    fn next_member(&mut self) {
        let Some(frame) = self.frames.last_mut() else { return };
        let number = frame.written;
        frame.written += 1;
        frame.step = Step::Index(number.into());
        self.next = match frame.parts {
            Parts::Listed { first, .. } => self.entry(first.saturating_add(number)),
            Parts::Repeated(form) => form,
            Parts::Free(id) => self.observed.part(id, number as usize, ""),
        };
    }

    /// Goes to the next part of the innermost product, which has this name. `false` where another one will be read.
    #[inline]
    fn next_field(&mut self, name: &'static str) -> bool {
        let Some(frame) = self.frames.last_mut() else { return false };
        let number = frame.written;
        frame.written += 1;
        frame.step = Step::Field(name);
        self.next = match frame.parts {
            Parts::Listed { first, count } if number < count => match self.named(first + number, name) {
                Some(form) => form,
                None => return false,
            },
            Parts::Listed { .. } => return false,
            Parts::Repeated(form) => form,
            Parts::Free(id) => self.observed.part(id, number as usize, name),
        };
        true
    }

    /// Another field is written than will be read.
    #[cold]
    fn other_name(&mut self, name: &'static str) -> Failure {
        let Some(Frame { name: owner, written, parts, .. }) = self.frames.pop() else { return lost() };
        let Parts::Listed { first, count } = parts else { return lost() };
        let number = written.saturating_sub(1);
        let why = if number < count {
            let read = self.forms.name(first + number);
            format!("the Serialize of `{owner}` writes the field `{name}` where its Deserialize reads {read}")
        } else {
            format!(
                "the Serialize of `{owner}` writes the field `{name}`, which its Deserialize does not read"
            )
        };
        Failure::new(format!("{why}, so it could not be loaded; {WAY_OUT}"))
    }

    /// Fewer or more parts are written than were announced, or than will be read.
    #[cold]
    fn other_number(&mut self) -> Failure {
        let Some(Frame { name, announced, written, parts, .. }) = self.frames.pop() else { return lost() };
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

    #[cold]
    fn skipped(&mut self, field: &'static str) -> Failure {
        let owner = self.frames.pop().map_or("", |frame| frame.name);
        Failure::new(format!(
            "the field `{field}` of `{owner}` was left out (skip_serializing_if), and a checkpoint without it could \
             not be read again; drop that attribute, or write #[serde(with = \"checkpointed::self_describing\")] on \
             the field that holds the value"
        ))
    }
}

fn lost() -> Failure {
    Failure::new("a value was ended that was not begun")
}

/// A tuple, a struct, or a variant with fields while it is written: it holds exactly what was announced.
pub(super) struct Fixed<'w, 'a> {
    pub(super) writer: &'w mut Writer<'a>,
}

impl Fixed<'_, '_> {
    #[inline]
    fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.writer.next_member();
        self.writer.value(value)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        if !self.writer.next_field(name) {
            return Err(self.writer.other_name(name));
        }
        self.writer.value(value)
    }

    #[inline]
    fn finish(self) -> Result<()> {
        // Looked at where it is: a copy of it would wait for each of its parts.
        let is_whole = self.writer.frames.last().is_some_and(|frame| match frame.parts {
            Parts::Listed { count, .. } => frame.written == count && frame.written == frame.announced,
            _ => frame.written == frame.announced,
        });
        if is_whole {
            self.writer.frames.truncate(self.writer.frames.len() - 1);
            return Ok(());
        }
        Err(self.writer.other_number())
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
                Err(self.writer.skipped(field))
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
