//! Writes values with parts: sequences, maps, tuples, structs and variants.

use std::slice::Iter;

use serde::{Serialize, ser};

use super::forms::{Entries, Expected, Id, Slot};
use super::writer::{WAY_OUT, Writer};
use super::{Failure, Result};
use crate::schema::path::Step;

/// A sequence or a map while it is written. Its length is the number of written elements, whatever
/// was announced.
pub(super) struct Counted<'w, 'a> {
    pub(super) writer: &'w mut Writer<'a>,
    pub(super) length_at: usize,
    pub(super) announced: u64,
    pub(super) written: u64,
    /// The frame at its start.
    pub(super) frame: Frame,
    /// True if the stack is looked at before each part.
    pub(super) looks: bool,
    /// The place of the fixed arrays that the elements make, if they do.
    pub(super) grid: Option<u32>,
    /// The form of the keys.
    pub(super) key: Id,
    /// The form of the values, or of the elements.
    pub(super) value: Expected,
}

impl Counted<'_, '_> {
    #[inline]
    pub(super) fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let frame = self.frame.at(self.written);
        self.written += 1;
        self.writer.part(self.value, frame, self.looks, value)
    }

    #[inline]
    pub(super) fn finish(self) -> Result<()> {
        let Counted { writer, length_at, announced, written, frame, grid, .. } = self;
        writer.leave(frame);
        if let Some(grid) = grid {
            writer.check_count(grid, written)?;
        }
        writer.elements = writer.elements.saturating_add(written);
        if written == announced { Ok(()) } else { writer.correct(length_at, written) }
    }
}

impl Writer<'_> {
    /// The failure of a value with fewer or more parts than were announced, or than will be read.
    #[cold]
    pub(super) fn other_number(&self, name: &str, entries: Entries, announced: u32, written: u32) -> Failure {
        if written == announced
            && let Some(entry) = entries.get(written)
        {
            let missing = self.forms.name(entry);
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

/// A map while it is written. serde leaves it to the type that keys and values alternate.
pub(super) struct Pairs<'w, 'a> {
    counted: Counted<'w, 'a>,
    has_key: bool,
}

impl<'w, 'a> Pairs<'w, 'a> {
    #[inline]
    pub(super) fn new(counted: Counted<'w, 'a>) -> Pairs<'w, 'a> {
        Pairs { counted, has_key: false }
    }

    /// The failure of a map with half an entry.
    #[cold]
    fn half(&mut self) -> Failure {
        let half = if self.has_key { "a key without its value" } else { "a value without its key" };
        let place = self.counted.writer.leave(self.counted.frame);
        let why =
            format!("the Serialize of a map writes {half}, so it could not be read again; mend that code");
        self.counted.writer.note(place, Failure::new(why))
    }
}

impl ser::SerializeMap for Pairs<'_, '_> {
    type Ok = ();
    type Error = Failure;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        if self.has_key {
            return Err(self.half());
        }
        self.has_key = true;
        let Counted { writer, frame, looks, written, key: form, .. } = &mut self.counted;
        let frame = frame.at(*written);
        writer.label(Label::Unnamed);
        *written += 1;
        let from = writer.bytes.len();
        writer.part(writer.forms.expect(*form), frame, *looks, key)?;
        let to = writer.bytes.len();
        writer.label(Label::Key { from, to, type_name: std::any::type_name::<T> });
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if !self.has_key {
            return Err(self.half());
        }
        self.has_key = false;
        let Counted { writer, frame, looks, written, value: form, .. } = &mut self.counted;
        // The key was counted.
        writer.part(*form, frame.at(written.saturating_sub(1)), *looks, value)
    }

    #[inline]
    fn end(mut self) -> Result<()> {
        if self.has_key { Err(self.half()) } else { self.counted.finish() }
    }
}

/// The forms of the parts of a product.
#[derive(Clone, Copy)]
pub(super) struct Parts {
    /// The entries of the parts. There are none if the forms are elsewhere.
    pub(super) entries: Entries,
    pub(super) source: Source,
}

/// The place that has the forms of the parts of a product.
#[derive(Clone, Copy)]
pub(super) enum Source {
    /// Each part has its entry.
    Entries,
    /// All parts have the same form.
    Repeated(Expected),
    /// The product is observed.
    Free(Id),
}

impl Parts {
    #[inline(always)]
    pub(super) fn listed(entries: Entries) -> Parts {
        Parts { entries, source: Source::Entries }
    }

    pub(super) fn repeated(form: Expected) -> Parts {
        Parts { entries: Entries::NONE, source: Source::Repeated(form) }
    }

    pub(super) fn free(product: Id) -> Parts {
        Parts { entries: Entries::NONE, source: Source::Free(product) }
    }
}

/// The place within a value with parts that is being written. Frames make the path of an array.
///
/// It is one number, because it goes with each value: the number of the part, and above it the
/// place of its name.
#[derive(Clone, Copy)]
pub(super) struct Frame(u64);

/// The place of the names of the parts of a value.
#[derive(Clone, Copy)]
enum Names {
    /// The parts are elements, or have no names.
    Nowhere,
    /// In the entries from this one on.
    Listed(u32),
    /// In this label, one at a time.
    Labelled(u32),
}

/// The name of a part that is being written, if the forms do not have it.
#[derive(Clone, Copy)]
pub(super) enum Label {
    /// No name yet.
    Unnamed,
    /// The field of this name.
    Field(&'static str),
    /// The value of a map with the key that was encoded as these bytes.
    Key { from: usize, to: usize, type_name: fn() -> &'static str },
}

impl Frame {
    const NUMBER: u64 = u32::MAX as u64;
    const PLACE: u32 = (1 << 30) - 1;
    const LISTED: u64 = 1 << 62;
    const LABELLED: u64 = 1 << 63;

    pub(super) const ELEMENTS: Frame = Frame(0);

    /// The frame of a value that has the names of its parts in the entries from this one on.
    #[inline]
    pub(super) fn listed(first: u32) -> Frame {
        Frame(Frame::LISTED | u64::from(first & Frame::PLACE) << 32)
    }

    /// The frame of a value that has the names of its parts in a label.
    pub(super) fn labelled(place: usize) -> Frame {
        let place = u32::try_from(place).unwrap_or(Frame::PLACE).min(Frame::PLACE);
        Frame(Frame::LABELLED | u64::from(place) << 32)
    }

    #[inline]
    pub(super) fn is_labelled(self) -> bool {
        self.0 & Frame::LABELLED != 0
    }

    /// The frame of a value at its start, moved to the part of this number. All parts beyond 2^32
    /// have the last number.
    #[inline]
    pub(super) fn at(self, number: u64) -> Frame {
        Frame(self.0 | number.min(Frame::NUMBER))
    }

    #[allow(clippy::cast_possible_truncation, reason = "the bits above are masked")]
    fn names(self) -> Names {
        let place = (self.0 >> 32) as u32 & Frame::PLACE;
        match self.0 {
            bits if bits & Frame::LABELLED != 0 => Names::Labelled(place),
            bits if bits & Frame::LISTED != 0 => Names::Listed(place),
            _ => Names::Nowhere,
        }
    }

    /// The step into the part. `name` has the names of the entries, and `labels` has the others.
    pub(super) fn step(self, name: impl Fn(u32) -> &'static str, labels: &[Label]) -> Step {
        let number = self.0 & Frame::NUMBER;
        match self.names() {
            Names::Nowhere => Step::Index(number),
            Names::Listed(first) => {
                let number = u32::try_from(number).unwrap_or(u32::MAX);
                Step::Field(name(first.saturating_add(number)))
            }
            Names::Labelled(place) => match labels.get(place as usize) {
                Some(Label::Field(name)) => Step::Field(name),
                Some(Label::Key { from, to, type_name }) => {
                    Step::Key { from: *from, to: *to, type_name: *type_name }
                }
                Some(Label::Unnamed) | None => Step::Index(number),
            },
        }
    }
}

/// A tuple, a struct, or a variant with fields while it is written. It has as many parts as were
/// announced.
pub(super) struct Fixed<'w, 'a> {
    pub(super) writer: &'w mut Writer<'a>,
    pub(super) name: &'static str,
    pub(super) parts: Parts,
    /// The slots of the entries that were not written yet.
    pub(super) slots: Iter<'a, Slot>,
    /// The frame at its start.
    pub(super) frame: Frame,
    /// True if the stack is looked at before each part.
    pub(super) looks: bool,
    pub(super) announced: u32,
    pub(super) written: u32,
}

impl Fixed<'_, '_> {
    #[inline(always)]
    fn member<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let number = self.written;
        self.written = number.saturating_add(1);
        let next = match (self.slots.next(), self.parts.source) {
            (Some(slot), _) => slot.expected,
            (None, Source::Repeated(form)) => form,
            (None, source) => self.writer.unlisted(source, number),
        };
        self.writer.part(next, self.frame.at(number.into()), self.looks, value)
    }

    #[inline(always)]
    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
        let number = self.written;
        self.written = number.saturating_add(1);
        let next = match self.slots.next() {
            Some(slot) if slot.is_known_as(name) => slot.expected,
            _ => {
                let Parts { entries, source } = self.parts;
                self.writer.other_named(self.name, entries, source, number, name)?
            }
        };
        self.writer.part(next, self.frame.at(number.into()), self.looks, value)
    }

    #[inline(always)]
    fn finish(self) -> Result<()> {
        // Moves the fields one by one: a copy of the whole would wait until all are in memory.
        let Fixed { writer, name, parts: Parts { entries, source }, frame, announced, written, .. } = self;
        writer.leave(frame);
        let is_whole =
            written == announced && (written == entries.count() || !matches!(source, Source::Entries));
        if is_whole { Ok(()) } else { Err(writer.other_number(name, entries, announced, written)) }
    }
}

impl Writer<'_> {
    /// The form of a part of a product whose parts have no entries. A part beyond the last entry
    /// has no form; the number of parts is refused at the end.
    #[inline(never)]
    fn unlisted(&mut self, source: Source, number: u32) -> Expected {
        match source {
            Source::Entries => Expected::free(Id(Id::FREE)),
            Source::Repeated(form) => form,
            Source::Free(id) => Expected::free(self.observed.part(id, number as usize, "")),
        }
    }

    /// The form of a field that has another entry, has none, or is seen for the first time. Refuses
    /// one that is not the one that will be read.
    #[inline(never)]
    fn other_named(
        &mut self,
        owner: &str,
        entries: Entries,
        source: Source,
        number: u32,
        name: &'static str,
    ) -> Result<Expected> {
        let form = match source {
            Source::Entries => {
                let named = entries.get(number).and_then(|entry| self.named(entry, name));
                return named.ok_or_else(|| {
                    // Parts with entries have no label.
                    let place = self.leave(Frame::ELEMENTS);
                    let failure = self.unlike_read(owner, entries, number, name);
                    self.note(place, failure)
                });
            }
            Source::Repeated(form) => form,
            Source::Free(id) => Expected::free(self.observed.part(id, number as usize, name)),
        };
        self.label(Label::Field(name));
        Ok(form)
    }

    pub(super) fn unlike_read(&self, owner: &str, entries: Entries, number: u32, name: &str) -> Failure {
        let why = match entries.get(number) {
            Some(entry) => {
                let read = self.forms.name(entry);
                format!(
                    "the Serialize of `{owner}` writes the field `{name}` where its Deserialize reads {read}"
                )
            }
            None => format!(
                "the Serialize of `{owner}` writes the field `{name}`, which its Deserialize does not read"
            ),
        };
        Failure::new(format!("{why}, so it could not be loaded; {WAY_OUT}"))
    }

    #[cold]
    fn skipped(&mut self, owner: &str, parts: Frame, field: &str) -> Failure {
        let place = self.leave(parts);
        let why = format!(
            "the field `{field}` of `{owner}` was left out (skip_serializing_if), and a checkpoint without it could \
             not be read again; drop that attribute, or write #[serde(with = \"checkpointed::self_describing\")] on \
             the field that holds the value"
        );
        self.note(place, Failure::new(why))
    }
}

macro_rules! write_members {
    ($($trait:ident::$method:ident;)*) => {$(
        impl ser::$trait for Fixed<'_, '_> {
            type Ok = ();
            type Error = Failure;

            #[inline(always)]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.member(value)
            }

            #[inline(always)]
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

            #[inline(always)]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.field(name, value)
            }

            #[inline]
            fn skip_field(&mut self, field: &'static str) -> Result<()> {
                Err(self.writer.skipped(self.name, self.frame, field))
            }

            #[inline(always)]
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
