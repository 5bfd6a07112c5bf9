//! Writes values, in step with the forms in which they will be read.

mod array;
mod forms;
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
mod grids;

use std::fmt::{Display, Write as _};

use serde::{Serialize, Serializer};

use super::forms::{Entries, Expected, Form, Forms, Id, Slot};
use super::leaf::Leaf;
use super::observed::{Observed, Style};
use super::parts::{Counted, Fixed, Frame, Label, Pairs, Source};
use super::stack::Room;
use super::{Failure, Result, leaves, partial, too_deep};
use crate::arrays::{self, ArraySink, Kind};
use crate::base::limits::VALUE_DEPTH;
use crate::schema::path::{self, Step};

/// Appends values, counts their elements, and keeps track of its place in the state.
///
/// The schema tells how the value will be read. The writer compares the values of a type's
/// `Serialize` with it, so that no value is written that could not be read again, or that would be
/// read as another one.
pub(super) struct Writer<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) elements: u64,
    /// The number of values around the one that is being written.
    depth: u32,
    /// The places of the values with parts that are being written. The first one, that of the whole
    /// state, is in nothing.
    around: Vec<Frame>,
    /// The names of parts that the forms do not have.
    labels: Vec<Label>,
    arrays: &'a mut dyn ArraySink,
    room: Room,
    pub(super) forms: &'a Forms,
    /// The entries of the forms.
    slots: &'a [Slot],
    pub(super) observed: Observed,
    /// The form and the kind of the rows of the last array that fitted.
    fitting: Option<(Id, Kind)>,
    /// The first failure, with its place. A type may continue after it, but all that is written
    /// then is worthless.
    failure: Option<Failure>,
}

impl<'a> Writer<'a> {
    /// A writer with the slots of these forms.
    pub(super) fn new(
        bytes: &'a mut Vec<u8>,
        forms: &'a Forms,
        slots: &'a [Slot],
        arrays: &'a mut dyn ArraySink,
    ) -> Writer<'a> {
        Writer {
            bytes,
            elements: 0,
            depth: 0,
            around: Vec::new(),
            labels: Vec::new(),
            fitting: None,
            arrays,
            room: forms.room(),
            forms,
            slots,
            observed: Observed::new(forms.unknown_parts()),
            failure: None,
        }
    }

    /// The number of elements of all sequences, and the observed forms.
    pub(super) fn end(self) -> Result<(u64, Observed)> {
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok((self.elements, self.observed)),
        }
    }

    /// Writes the whole state.
    pub(super) fn root<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.value(self.forms.expect(self.forms.root()), Frame::ELEMENTS, value)
    }

    /// The place of the whole state.
    #[cfg(test)]
    pub(super) fn outermost(&mut self) -> Place<'_, 'a> {
        let next = self.forms.expect(self.forms.root());
        Place { writer: self, next, frame: Frame::ELEMENTS }
    }

    /// Writes any value at a place.
    #[inline]
    pub(super) fn value<T: Serialize + ?Sized>(
        &mut self,
        next: Expected,
        frame: Frame,
        value: &T,
    ) -> Result<()> {
        let looks = self.looks();
        self.part(next, frame, looks, value)
    }

    /// True if a look at the depth and at the stack is due before the next value, whatever its
    /// size.
    #[inline]
    pub(super) fn looks(&self) -> bool {
        self.room.is_due(self.depth, 0)
    }

    /// Writes any value at a place. `looks` is the result of [`looks`](Writer::looks), which is the
    /// same for all parts of a value.
    #[inline]
    pub(super) fn part<T: Serialize + ?Sized>(
        &mut self,
        next: Expected,
        frame: Frame,
        looks: bool,
        value: &T,
    ) -> Result<()> {
        #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
        if let Some(grid) = arrays::grid(value) {
            return self.write_grid(next, frame, grid).map_err(|failure| self.note(frame, failure));
        }
        if let Some(partial) = partial(value) {
            let written = partial.write(Place { writer: self, next, frame });
            return written.map_err(|failure| self.note(frame, failure));
        }
        if looks || Room::is_large(size_of_val(value)) {
            return self.value_with_room(next, frame, value);
        }
        let written = value.serialize(Place { writer: self, next, frame });
        written.map_err(|failure| self.note(frame, failure))
    }

    /// Writes a value after a look at the depth and at the stack.
    #[inline(never)]
    fn value_with_room<T: Serialize + ?Sized>(
        &mut self,
        next: Expected,
        frame: Frame,
        value: &T,
    ) -> Result<()> {
        if self.depth >= VALUE_DEPTH {
            return Err(self.note(frame, too_deep()));
        }
        let room = self.room;
        let written =
            room.before(size_of_val(value), || value.serialize(Place { writer: self, next, frame }));
        written.map_err(|failure| self.note(frame, failure))
    }

    /// Begins a value with parts, which is at this place.
    #[inline(always)]
    fn enter(&mut self, place: Frame) {
        self.depth += 1;
        self.around.push(place);
    }

    /// Makes a frame for a value with parts that have no names in the forms.
    fn labelled(&mut self) -> Frame {
        let frame = Frame::labelled(self.labels.len());
        self.labels.push(Label::Unnamed);
        frame
    }

    /// Names the next part of such a value.
    pub(super) fn label(&mut self, label: Label) {
        if let Some(last) = self.labels.last_mut() {
            *last = label;
        }
    }

    /// Ends a value with parts that have this frame. Returns its place.
    #[inline(always)]
    pub(super) fn leave(&mut self, parts: Frame) -> Frame {
        if parts.is_labelled() {
            self.drop_label();
        }
        // A type may end a value again after a failure.
        let Some(place) = self.around.pop() else { return Frame::ELEMENTS };
        self.depth -= 1;
        place
    }

    /// Apart, because most values have no label.
    #[inline(never)]
    fn drop_label(&mut self) {
        self.labels.pop();
    }

    /// The path from the state to a place.
    fn steps(&self, place: Frame) -> Vec<Step> {
        let name = |entry: u32| self.slots.get(entry as usize).map_or("", |slot| slot.known.get());
        let frames = self.around.iter().chain([&place]).skip(1);
        frames.map(|frame| frame.step(name, &self.labels)).collect()
    }

    /// Keeps the first failure, with its place.
    #[cold]
    pub(super) fn note(&mut self, place: Frame, failure: Failure) -> Failure {
        if self.failure.is_some() {
            return failure;
        }
        let place = path::place(self.steps(place).iter(), self.bytes);
        failure.at(&place).noted(&mut self.failure)
    }

    /// The form of an entry, if this is its name.
    #[inline(always)]
    pub(super) fn named(&self, entry: u32, name: &'static str) -> Option<Expected> {
        let slot = self.slots.get(entry as usize)?;
        if slot.is_known_as(name) { Some(slot.expected) } else { self.first_named(entry, name) }
    }

    #[cold]
    fn first_named(&self, entry: u32, name: &'static str) -> Option<Expected> {
        let slot = self.slots.get(entry as usize).filter(|_| self.forms.is_named(entry, name))?;
        slot.known.set(name);
        Some(slot.expected)
    }

    /// The form of an entry, whatever its name.
    #[inline]
    pub(super) fn entry(&self, entry: u32) -> Expected {
        self.slots.get(entry as usize).map_or(Expected::free(Id(Id::FREE)), |slot| slot.expected)
    }

    /// The slots of entries.
    #[inline]
    fn slots_of(&self, entries: Entries) -> &'a [Slot] {
        let first = entries.first() as usize;
        self.slots.get(first..first + entries.count() as usize).unwrap_or_default()
    }

    /// Compares a value without parts with the form that will be read.
    #[inline]
    pub(super) fn leaf(&mut self, next: Expected, leaf: Leaf) -> Result<()> {
        if next.is_leaf(leaf) { Ok(()) } else { self.other_leaf(next, leaf) }
    }
}

/// The place of one value: its form, and its part of the value around it.
///
/// It is the serializer of that value. It goes by value, and no other code keeps a reference to it:
/// so the compiler keeps it in registers. Only a value with parts notes its place in the writer.
pub(super) struct Place<'w, 'a> {
    writer: &'w mut Writer<'a>,
    next: Expected,
    frame: Frame,
}

impl<'w, 'a> Place<'w, 'a> {
    /// Writes a value without parts.
    #[inline(always)]
    fn leaf<const N: usize>(self, leaf: Leaf, bytes: [u8; N]) -> Result<()> {
        self.writer.leaf(self.next, leaf)?;
        leaves::append(self.writer.bytes, bytes)
    }

    /// Writes the only part of a value, which has no frame.
    #[inline]
    fn inner<T: Serialize + ?Sized>(self, next: Expected, value: &T) -> Result<()> {
        let Place { writer, frame, .. } = self;
        writer.depth += 1;
        writer.value(next, frame, value)?;
        writer.depth -= 1;
        Ok(())
    }

    // Always inlined, as is all that a value with parts passes through: a result that is put
    // together in memory from pieces is slow to read as a whole.
    #[inline(always)]
    fn begin_fixed(self, name: &'static str, style: Style, length: usize) -> Result<Fixed<'w, 'a>> {
        let Place { writer, next, frame: place } = self;
        // The count of written values stops at the last number, which no type may announce.
        let Some(announced) = u32::try_from(length).ok().filter(|count| *count < u32::MAX) else {
            return Err(too_long(name, length));
        };
        let parts = writer.product(next, style, length)?;
        let frame = match (style, parts.source) {
            (Style::Fields(_), Source::Entries) => Frame::listed(parts.entries.first()),
            (Style::Fields(_), Source::Repeated(_) | Source::Free(_)) => writer.labelled(),
            _ => Frame::ELEMENTS,
        };
        writer.enter(place);
        let (slots, looks) = (writer.slots_of(parts.entries).iter(), writer.looks());
        Ok(Fixed { writer, name, parts, slots, frame, looks, announced, written: 0 })
    }

    /// Begins a sequence or a map, with its parts in this frame.
    #[inline]
    fn begin_counted(
        self,
        length: Option<usize>,
        frame: Frame,
        grid: Option<u32>,
        (key, value): (Id, Id),
    ) -> Result<Counted<'w, 'a>> {
        let Place { writer, frame: place, .. } = self;
        let announced = length.unwrap_or(0) as u64;
        let length_at = writer.bytes.len();
        leaves::append(writer.bytes, announced.to_le_bytes())?;
        writer.enter(place);
        let (value, looks) = (writer.forms.expect(value), writer.looks());
        Ok(Counted { writer, length_at, announced, written: 0, frame, looks, grid, key, value })
    }
}

#[cold]
fn too_long(name: &str, length: usize) -> Failure {
    Failure::new(format!(
        "{name} has {length} values, more than one may have; keep them in a Vec, or write \
         #[serde(with = \"checkpointed::self_describing\")] on its field"
    ))
}

/// The advice for a type that would not be read as it is written.
pub(super) const WAY_OUT: &str =
    "make the two agree, or write #[serde(with = \"checkpointed::self_describing\")] on its field";

macro_rules! write_numbers {
    ($($method:ident($type:ty) $leaf:ident;)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<()> {
            self.leaf(Leaf::$leaf, value.to_le_bytes())
        }
    )*};
}

impl<'w, 'a> Serializer for Place<'w, 'a> {
    type Ok = ();
    type Error = Failure;
    type SerializeSeq = Counted<'w, 'a>;
    type SerializeTuple = Fixed<'w, 'a>;
    type SerializeTupleStruct = Fixed<'w, 'a>;
    type SerializeTupleVariant = Fixed<'w, 'a>;
    type SerializeMap = Pairs<'w, 'a>;
    type SerializeStruct = Fixed<'w, 'a>;
    type SerializeStructVariant = Fixed<'w, 'a>;

    write_numbers! {
        serialize_u8(u8) U8;
        serialize_u16(u16) U16;
        serialize_u32(u32) U32;
        serialize_u64(u64) U64;
        serialize_u128(u128) U128;
        serialize_i8(i8) I8;
        serialize_i16(i16) I16;
        serialize_i32(i32) I32;
        serialize_i64(i64) I64;
        serialize_i128(i128) I128;
        serialize_f32(f32) F32;
        serialize_f64(f64) F64;
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        self.leaf(Leaf::Bool, [u8::from(value)])
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.writer.leaf(self.next, Leaf::Char)?;
        leaves::append_all(self.writer.bytes, value.encode_utf8(&mut [0; 4]).as_bytes())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        self.writer.text(self.next, Leaf::String, value.as_bytes())
    }

    /// Does as serde's default, but without the panic if the type's `Display` fails.
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        let mut text = String::new();
        match write!(text, "{value}") {
            Ok(()) => self.serialize_str(&text),
            Err(_) => Err(Failure::new("its Serialize writes the text of its Display, and that fails")),
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.writer.text(self.next, Leaf::Bytes, value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        self.leaf(Leaf::Unit, [])
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.leaf(Leaf::Unit, [])
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.writer.option(self.next)?;
        leaves::append(self.writer.bytes, [0])
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let inner = self.writer.option(self.next)?;
        leaves::append(self.writer.bytes, [1])?;
        let inner = self.writer.forms.expect(inner);
        self.inner(inner, value)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<()> {
        let mut next = self.next;
        if *self.writer.forms.get(next.id()) == Form::Free {
            next = Expected::free(self.writer.observed.newtype(next.id(), name));
        }
        self.inner(next, value)
    }

    #[inline]
    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<()> {
        let content = self.writer.variant(self.next, name, index, variant)?;
        self.writer.leaf(content, Leaf::Unit)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        let content = self.writer.variant(self.next, name, index, variant)?;
        self.inner(content, value)
    }

    #[inline]
    fn collect_seq<I>(self, sequence: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        if let Some(array) = arrays::view(&sequence) {
            return self.writer.write_array(self.next, self.frame, array);
        }
        if let Some(arrays::Whole(array)) = arrays::whole(&sequence) {
            return self.writer.write_array(self.next, self.frame, array.clone());
        }
        let elements = sequence.into_iter();
        let length = match elements.size_hint() {
            (least, Some(most)) if least == most => Some(least),
            _ => None,
        };
        let mut counted = self.serialize_seq(length)?;
        for element in elements {
            counted.element(&element)?;
        }
        counted.finish()
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Counted<'w, 'a>> {
        let (element, grid) = match self.next.seq() {
            Some(element) => (element, None),
            None => {
                let (sequence, element) = self.writer.other_seq(self.next)?;
                (element, self.writer.forms.grid_at(sequence.id()))
            }
        };
        self.begin_counted(length, Frame::ELEMENTS, grid, (element, element))
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Pairs<'w, 'a>> {
        let parts = self.writer.map(self.next)?;
        let frame = self.writer.labelled();
        self.begin_counted(length, frame, None, parts).map(Pairs::new)
    }

    #[inline(always)]
    fn serialize_tuple(self, length: usize) -> Result<Fixed<'w, 'a>> {
        self.begin_fixed("a tuple", Style::Tuple, length)
    }

    #[inline(always)]
    fn serialize_tuple_struct(self, name: &'static str, length: usize) -> Result<Fixed<'w, 'a>> {
        self.begin_fixed(name, Style::Members(name), length)
    }

    #[inline(always)]
    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Fixed<'w, 'a>> {
        self.begin_fixed(name, Style::Fields(name), length)
    }

    #[inline(always)]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fixed<'w, 'a>> {
        let next = self.writer.variant(self.next, name, index, variant)?;
        Place { next, ..self }.begin_fixed(variant, Style::Members(variant), length)
    }

    #[inline(always)]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fixed<'w, 'a>> {
        let next = self.writer.variant(self.next, name, index, variant)?;
        Place { next, ..self }.begin_fixed(variant, Style::Fields(variant), length)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}
