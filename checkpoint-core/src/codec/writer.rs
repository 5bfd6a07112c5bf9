//! Writes values, in step with the forms in which they will be read.

mod array;
mod forms;
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
mod grids;

use std::fmt::{Display, Write as _};

use serde::{Serialize, Serializer};

use super::forms::{Expected, Form, Forms, Id, Slot};
use super::leaf::Leaf;
use super::observed::{Observed, Style};
use super::parts::{Counted, Fixed, Frame, Label, Pairs, Source};
use super::stack::Room;
use super::{Failure, Result, leaves, too_deep};
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
    /// The innermost value with parts that is being written.
    pub(super) frame: Frame,
    /// The values around it. The first frame stands for the outside of the state.
    around: Vec<Frame>,
    /// The names of parts that the forms do not have.
    labels: Vec<Label>,
    arrays: &'a mut dyn ArraySink,
    room: Room,
    pub(super) forms: &'a Forms,
    /// The form of the value that comes next.
    pub(super) next: Expected,
    /// The entries of the forms.
    slots: Vec<Slot>,
    pub(super) observed: Observed,
    /// The form and the kind of the rows of the last array that fitted.
    fitting: Option<(Id, Kind)>,
    /// The first failure, with its place. A type may continue after it, but all that is written then
    /// is worthless.
    failure: Option<Failure>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>, forms: &'a Forms, arrays: &'a mut dyn ArraySink) -> Writer<'a> {
        Writer {
            bytes,
            elements: 0,
            depth: 0,
            frame: Frame::ELEMENTS,
            around: Vec::new(),
            labels: Vec::new(),
            fitting: None,
            arrays,
            room: forms.room(),
            forms,
            next: forms.expect(forms.root()),
            slots: forms.slots(),
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

    /// Writes any value.
    #[inline]
    pub(super) fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
        if let Some(grid) = arrays::grid(value) {
            return self.write_grid(grid);
        }
        if self.room.is_due(self.depth, size_of_val(value)) {
            return self.value_with_room(value);
        }
        value.serialize(&mut *self).map_err(|failure| self.note(failure))
    }

    /// Writes the only part of a value, which has no frame.
    #[inline]
    fn inner<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.depth += 1;
        self.value(value)?;
        self.depth -= 1;
        Ok(())
    }

    /// Writes a value after a look at the depth and at the stack.
    #[inline(never)]
    fn value_with_room<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if self.depth >= VALUE_DEPTH {
            return Err(self.note(too_deep()));
        }
        let written = self.room.before(size_of_val(value), || value.serialize(&mut *self));
        written.map_err(|failure| self.note(failure))
    }

    /// Begins a value with parts.
    #[inline(always)]
    fn enter(&mut self, frame: Frame) {
        self.depth += 1;
        self.around.push(std::mem::replace(&mut self.frame, frame));
    }

    /// Begins a value with parts that have no names in the forms.
    fn enter_labelled(&mut self) {
        self.enter(Frame::labelled(self.labels.len()));
        self.labels.push(Label::Unnamed);
    }

    /// Names the next part of such a value.
    pub(super) fn label(&mut self, label: Label) {
        if let Some(last) = self.labels.last_mut() {
            *last = label;
        }
    }

    /// Ends a value with parts.
    #[inline(always)]
    pub(super) fn leave(&mut self) {
        if self.frame.is_labelled() {
            self.drop_label();
        }
        // A type may end a value again after a failure.
        if let Some(frame) = self.around.pop() {
            self.frame = frame;
            self.depth -= 1;
        }
    }

    /// Apart, because most values have no label.
    #[inline(never)]
    fn drop_label(&mut self) {
        self.labels.pop();
    }

    /// The path from the state to the value that is being written.
    fn steps(&self) -> Vec<Step> {
        let name = |entry: u32| self.slots.get(entry as usize).map_or("", |slot| slot.known);
        let inside = (!self.around.is_empty()).then_some(&self.frame);
        self.around.iter().skip(1).chain(inside).map(|frame| frame.step(name, &self.labels)).collect()
    }

    /// Keeps the first failure, with its place.
    #[cold]
    pub(super) fn note(&mut self, failure: Failure) -> Failure {
        if self.failure.is_some() {
            return failure;
        }
        let place = path::place(self.steps().iter(), self.bytes);
        failure.at(&place).noted(&mut self.failure)
    }

    /// Goes to an entry, if this is its name.
    #[inline(always)]
    pub(super) fn go_to_named(&mut self, entry: u32, name: &'static str) -> bool {
        match self.slots.get(entry as usize) {
            Some(slot) if std::ptr::eq(slot.known, name) => {
                self.next = slot.expected;
                true
            }
            _ => self.go_to_first_named(entry, name),
        }
    }

    #[cold]
    fn go_to_first_named(&mut self, entry: u32, name: &'static str) -> bool {
        let is_named = self.forms.is_named(entry, name);
        match self.slots.get_mut(entry as usize) {
            Some(slot) if is_named => {
                slot.known = name;
                self.next = slot.expected;
                true
            }
            _ => false,
        }
    }

    /// The form of an entry, whatever its name.
    #[inline]
    pub(super) fn entry(&self, entry: u32) -> Expected {
        self.slots.get(entry as usize).map_or(Expected::free(Id(Id::FREE)), |slot| slot.expected)
    }

    /// Goes to a form.
    #[inline]
    pub(super) fn go_to(&mut self, id: Id) {
        self.next = self.forms.expect(id);
    }

    // Always inlined, as is all that a value with parts passes through: a result that is put together
    // in memory from pieces is slow to read as a whole.
    #[inline(always)]
    fn begin_fixed(&mut self, name: &'static str, style: Style, length: usize) -> Result<Fixed<'_, 'a>> {
        // The count of written values stops at the last number, which no type may announce.
        let Some(announced) = u32::try_from(length).ok().filter(|count| *count < u32::MAX) else {
            return Err(too_long(name, length));
        };
        let parts = self.product(style, length)?;
        match (style, parts.source) {
            (Style::Fields(_), Source::Entries) => self.enter(Frame::listed(parts.entries.first())),
            (Style::Fields(_), Source::Repeated(_) | Source::Free(_)) => self.enter_labelled(),
            _ => self.enter(Frame::ELEMENTS),
        }
        let frame = self.frame;
        Ok(Fixed { writer: self, name, parts, frame, announced, written: 0 })
    }

    #[inline]
    fn begin_counted(
        &mut self,
        length: Option<usize>,
        grid: Option<u32>,
        (key, value): (Id, Id),
    ) -> Result<Counted<'_, 'a>> {
        let announced = length.unwrap_or(0) as u64;
        let length_at = self.bytes.len();
        leaves::append(self.bytes, &announced.to_le_bytes())?;
        let value = self.forms.expect(value);
        let frame = self.frame;
        Ok(Counted { writer: self, length_at, announced, written: 0, frame, grid, key, value })
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
            self.leaf(Leaf::$leaf)?;
            leaves::write(self.bytes, value)
        }
    )*};
}

impl<'w, 'a> Serializer for &'w mut Writer<'a> {
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
        self.leaf(Leaf::Bool)?;
        leaves::write(self.bytes, value)
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.leaf(Leaf::Char)?;
        leaves::write(self.bytes, value)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        self.text(Leaf::String, value.as_bytes())
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
        self.text(Leaf::Bytes, value)
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        self.leaf(Leaf::Unit)
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<()> {
        self.leaf(Leaf::Unit)
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.option()?;
        leaves::append(self.bytes, &[0])
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let inner = self.option()?;
        self.go_to(inner);
        leaves::append(self.bytes, &[1])?;
        self.inner(value)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<()> {
        if *self.forms.get(self.next.id()) == Form::Free {
            let inner = self.observed.newtype(self.next.id(), name);
            self.next = Expected::free(inner);
        }
        self.inner(value)
    }

    #[inline]
    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<()> {
        self.variant(name, index, variant)?;
        self.leaf(Leaf::Unit)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        self.variant(name, index, variant)?;
        self.inner(value)
    }

    #[inline]
    fn collect_seq<I>(self, sequence: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: Serialize,
    {
        if let Some(array) = arrays::view(&sequence) {
            return self.write_array(array);
        }
        if let Some(arrays::Whole(array)) = arrays::whole(&sequence) {
            return self.write_array(array.clone());
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
            None => (self.other_seq()?, self.forms.grid_at(self.next.id())),
        };
        self.enter(Frame::ELEMENTS);
        self.begin_counted(length, grid, (element, element))
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Pairs<'w, 'a>> {
        let parts = self.map()?;
        self.enter_labelled();
        self.begin_counted(length, None, parts).map(Pairs::new)
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
        self.variant(name, index, variant)?;
        self.begin_fixed(variant, Style::Members(variant), length)
    }

    #[inline(always)]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Fixed<'w, 'a>> {
        self.variant(name, index, variant)?;
        self.begin_fixed(variant, Style::Fields(variant), length)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}
