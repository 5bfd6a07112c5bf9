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
        self.writer.path.pop();
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

impl Writer<'_> {
    #[cold]
    fn free_part(&mut self, id: Id, number: u32, name: &'static str) -> Id {
        self.observed.part(id, number as usize, name)
    }

    /// Notes which part of the innermost value is written next.
    #[inline]
    fn step(&mut self, step: Step) {
        if let Some(last) = self.path.last_mut() {
            *last = step;
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

impl Parts {
    /// The form of a part, whatever its name.
    #[inline]
    pub(super) fn get(self, writer: &mut Writer<'_>, number: u32, name: &'static str) -> Id {
        match self {
            Parts::Listed { first, .. } => writer.entry(first.saturating_add(number)),
            Parts::Repeated(next) => next,
            Parts::Free(id) => writer.free_part(id, number, name),
        }
    }
}

/// A tuple, a struct, or a variant with fields while it is written: it holds exactly what was announced.
pub(super) struct Fixed<'w, 'a> {
    pub(super) writer: &'w mut Writer<'a>,
    pub(super) name: &'static str,
    pub(super) announced: u32,
    pub(super) written: u32,
    pub(super) parts: Parts,
}

impl Fixed<'_, '_> {
    #[inline]
    fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let number = self.written;
        self.written += 1;
        self.writer.next = self.parts.get(self.writer, number, "");
        self.writer.step(Step::Index(number.into()));
        self.writer.value(value)
    }

    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        let number = self.written;
        self.written += 1;
        self.writer.next = match self.parts {
            Parts::Listed { first, count } if number < count => {
                match self.writer.named(first + number, name) {
                    Some(next) => next,
                    None => return Err(self.other_name(name, number)),
                }
            }
            Parts::Listed { .. } => return Err(self.other_name(name, number)),
            parts => parts.get(self.writer, number, name),
        };
        self.writer.step(Step::Field(name));
        self.writer.value(value)
    }

    /// Another field is written than will be read.
    #[cold]
    fn other_name(&mut self, name: &'static str, number: u32) -> Failure {
        self.writer.path.pop();
        let Parts::Listed { first, count } = self.parts else { return self.shorter() };
        let owner = self.name;
        let why = if number < count {
            let read = self.writer.forms.name(first + number);
            format!("the Serialize of `{owner}` writes the field `{name}` where its Deserialize reads {read}")
        } else {
            format!(
                "the Serialize of `{owner}` writes the field `{name}`, which its Deserialize does not read"
            )
        };
        Failure::new(format!("{why}, so it could not be loaded; {WAY_OUT}"))
    }

    #[inline]
    fn finish(self) -> Result<()> {
        self.writer.path.pop();
        let is_whole = match self.parts {
            Parts::Listed { count, .. } => self.written == count,
            _ => true,
        };
        if is_whole && self.written == self.announced { Ok(()) } else { Err(self.shorter()) }
    }

    #[cold]
    fn shorter(&self) -> Failure {
        let (name, written) = (self.name, self.written);
        if let Parts::Listed { first, count } = self.parts
            && written == self.announced
            && written < count
        {
            let missing = self.writer.forms.name(first + written);
            return Failure::new(format!(
                "the Serialize of `{name}` does not write the field {missing}, which its Deserialize reads, so it \
                 could not be loaded; {WAY_OUT}"
            ));
        }
        Failure::new(format!(
            "{name} announced {} fields and wrote {written}, so it could not be read again",
            self.announced
        ))
    }

    #[cold]
    fn skip(&mut self, field: &'static str) -> Result<()> {
        self.writer.path.pop();
        Err(Failure::new(format!(
            "the field `{field}` of `{}` was left out (skip_serializing_if), and a checkpoint without it could not \
             be read again; drop that attribute, or write #[serde(with = \"checkpointed::self_describing\")] on \
             the field that holds the value",
            self.name
        )))
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
                self.skip(field)
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
