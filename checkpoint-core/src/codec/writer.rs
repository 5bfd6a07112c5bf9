//! Writing values, in step with the forms in which they will be read.

use std::fmt::{Display, Write as _};

use serde::{Serialize, Serializer};

use super::forms::{Entries, Expected, Form, Forms, Id, Slot};
use super::leaf::Leaf;
use super::observed::{Observed, Style};
use super::parts::{Counted, Fixed, Frame, Label, Pairs, Parts};
use super::stack::Room;
use super::{Failure, OUT_OF_BAND, Result, leaves, too_deep};
use crate::arrays::{self, Array, ArraySink, Kind};
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use crate::arrays::{Grid, Lengths};
use crate::base::limits::VALUE_DEPTH;
use crate::schema::path::{self, Step};

/// Appends values, counts their elements, and notes where it is.
///
/// The schema says how the value will be read. What a type's `Serialize` hands over is held against that, so that
/// nothing is written which could not be read again, or would be read as something else.
pub(super) struct Writer<'a> {
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) elements: u64,
    depth: u32,
    /// The innermost value with parts that is being written, …
    pub(super) frame: Frame,
    /// … and those around it, behind one that stands for what is around the state.
    around: Vec<Frame>,
    /// The names of their parts that the forms do not have.
    labels: Vec<Label>,
    arrays: &'a mut dyn ArraySink,
    room: Room,
    pub(super) forms: &'a Forms,
    /// The form of the value that comes next.
    pub(super) next: Expected,
    /// The entries of the forms.
    slots: Vec<Slot>,
    pub(super) observed: Observed,
    /// The form and the kind of the rows of the last array, which fit.
    fitting: Option<(Id, Kind)>,
    /// The first failure, and where it was. A type may go on after it, but what is written then is worth nothing.
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

    /// How many elements the sequences have altogether, and the forms that were observed.
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
        let depth = self.depth;
        self.depth = depth + 1;
        match value.serialize(&mut *self) {
            Ok(()) => {
                self.depth = depth;
                Ok(())
            }
            Err(failure) => Err(self.note(failure)),
        }
    }

    /// Writes a value after a look at the depth and at the stack.
    #[inline(never)]
    fn value_with_room<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        if self.depth >= VALUE_DEPTH {
            return Err(self.note(too_deep()));
        }
        self.depth += 1;
        match self.room.before(size_of_val(value), || value.serialize(&mut *self)) {
            Ok(()) => {
                self.depth -= 1;
                Ok(())
            }
            Err(failure) => Err(self.note(failure)),
        }
    }

    /// Begins a value with parts.
    #[inline(always)]
    fn enter(&mut self, frame: Frame) {
        self.around.push(std::mem::replace(&mut self.frame, frame));
    }

    /// Begins a value whose parts the forms do not name.
    fn enter_labelled(&mut self) {
        self.enter(Frame::labelled(self.labels.len()));
        self.labels.push(Label::Unnamed);
    }

    /// Names the part that comes next of such a value.
    pub(super) fn label(&mut self, label: Label) {
        if let Some(last) = self.labels.last_mut() {
            *last = label;
        }
    }

    /// Ends it.
    #[inline(always)]
    pub(super) fn leave(&mut self) {
        if self.frame.is_labelled() {
            self.labels.pop();
        }
        if let Some(frame) = self.around.pop() {
            self.frame = frame;
        }
    }

    /// The way from the state to the value that is being written.
    fn steps(&self) -> Vec<Step> {
        let name = |entry: u32| self.slots.get(entry as usize).map_or("", |slot| slot.known);
        let inside = (!self.around.is_empty()).then_some(&self.frame);
        self.around.iter().skip(1).chain(inside).map(|frame| frame.step(name, &self.labels)).collect()
    }

    /// Notes where a failure is.
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

    /// What is written is not what would be read.
    #[cold]
    pub(super) fn mismatch(&self, written: &str) -> Failure {
        differs(written, &self.forms.describe(self.next.id()))
    }

    /// Goes into a product of one value, which takes no space. `false` where there is none.
    fn go_within(&mut self) -> bool {
        match self.forms.within(self.forms.get(self.next.id())) {
            Some(within) => {
                self.go_to(within);
                true
            }
            None => false,
        }
    }

    #[inline]
    fn leaf(&mut self, leaf: Leaf) -> Result<()> {
        if self.next.is_leaf(leaf) { Ok(()) } else { self.other_leaf(leaf) }
    }

    #[cold]
    fn other_leaf(&mut self, leaf: Leaf) -> Result<()> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => {
                self.observed.leaf(self.next.id(), leaf);
                Ok(())
            }
            Form::Leaf(expected) if expected == leaf => Ok(()),
            // A float of 16 bits hands over its bits.
            Form::Leaf(Leaf::F16 | Leaf::Bf16) if leaf == Leaf::U16 => Ok(()),
            Form::Product { count: 0, .. } | Form::Repeated(_, 0) if leaf == Leaf::Unit => Ok(()),
            _ if self.go_within() => self.other_leaf(leaf),
            _ => Err(self.mismatch(leaf.name())),
        }
    }

    /// A text or bytes, which are both a length and so many bytes.
    fn text(&mut self, leaf: Leaf, bytes: &[u8]) -> Result<()> {
        if !self.next.is_leaf(leaf) {
            self.other_text(leaf, bytes)?;
        }
        // Some readers count them as elements.
        self.elements = self.elements.saturating_add(bytes.len() as u64);
        leaves::write_bytes(self.bytes, bytes)
    }

    #[cold]
    fn other_text(&mut self, leaf: Leaf, bytes: &[u8]) -> Result<()> {
        let form = *self.forms.get(self.next.id());
        match form {
            // Every text is bytes, and bytes may be a text.
            Form::Leaf(Leaf::Bytes) => Ok(()),
            Form::Leaf(Leaf::String) if str::from_utf8(bytes).is_ok() => Ok(()),
            Form::Seq(element) if *self.forms.get(element) == Form::Leaf(Leaf::U8) => Ok(()),
            Form::Grid { element, place } if *self.forms.get(element) == Form::Leaf(Leaf::U8) => {
                self.check_count(place, bytes.len() as u64)
            }
            Form::Product { count: 1, .. } | Form::Repeated(_, 1) if self.go_within() => {
                self.other_text(leaf, bytes)
            }
            _ => self.other_leaf(leaf),
        }
    }

    #[inline]
    fn option(&mut self) -> Result<Id> {
        match self.next.option() {
            Some(inner) => Ok(inner),
            None => self.other_option(),
        }
    }

    #[cold]
    fn other_option(&mut self) -> Result<Id> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => Ok(self.observed.option(self.next.id())),
            Form::Option(inner) => Ok(inner),
            _ if self.go_within() => self.other_option(),
            _ => Err(self.mismatch("an option")),
        }
    }

    /// The form of the elements of a sequence.
    #[inline]
    fn seq(&mut self) -> Result<Id> {
        match self.next.seq() {
            Some(element) => Ok(element),
            None => self.other_seq(),
        }
    }

    #[cold]
    fn other_seq(&mut self) -> Result<Id> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => Ok(self.observed.seq(self.next.id())),
            Form::Seq(element) | Form::Grid { element, .. } => Ok(element),
            Form::Leaf(Leaf::Bytes) => Ok(self.forms.byte()),
            Form::Map { pair, .. } => Ok(pair),
            _ if self.go_within() => self.other_seq(),
            _ => Err(self.mismatch("a sequence")),
        }
    }

    /// Checks that so many elements are the fixed arrays that will be read.
    #[cold]
    pub(super) fn check_count(&self, grid: u32, count: u64) -> Result<()> {
        match self.forms.grid(grid) {
            Some(grid) if !grid.takes(count) => Err(differs(&format!("{count} values"), &grid.describe())),
            _ => Ok(()),
        }
    }

    /// The forms of the keys and of the values of a map.
    fn map(&mut self) -> Result<(Id, Id)> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => Ok(self.observed.map(self.next.id())),
            Form::Map { first, .. } => Ok((self.entry(first).id(), self.entry(first + 1).id())),
            Form::Seq(element) if *self.forms.get(element) == Form::Free => {
                self.observed.product(element, Style::Tuple, 2);
                Ok((self.observed.part(element, 0, ""), self.observed.part(element, 1, "")))
            }
            Form::Seq(element) => self.forms.pair(element).ok_or_else(|| self.mismatch("a map")),
            _ if self.go_within() => self.map(),
            _ => Err(self.mismatch("a map")),
        }
    }

    /// The forms of the parts of a product.
    #[inline(always)]
    fn product(&mut self, style: Style, length: usize) -> Result<Parts> {
        match self.next.product_of(length) {
            Some(entries) => Ok(Parts::Listed(entries)),
            None => self.other_product(style, length),
        }
    }

    #[cold]
    fn other_product(&mut self, style: Style, length: usize) -> Result<Parts> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => {
                self.observed.product(self.next.id(), style, length);
                Ok(Parts::Free(self.next.id()))
            }
            Form::Repeated(element, count) if count == length as u64 => Ok(Parts::Repeated(element)),
            // Which name is missing or too many is found when they are written.
            Form::Product { first, count }
                if matches!(style, Style::Fields(_)) && count > 0 && self.forms.is_certain(first) =>
            {
                Ok(Parts::Listed(Entries::new(first, count)))
            }
            Form::Leaf(Leaf::Unit) if length == 0 => Ok(Parts::Repeated(self.next.id())),
            _ if self.go_within() => self.product(style, length),
            // A product of one value takes no space.
            _ if length == 1 => Ok(Parts::Repeated(self.next.id())),
            _ => Err(self.mismatch(&format!("{length} values"))),
        }
    }

    /// Writes which variant it is: the number that the reader has for that name. Then comes its content.
    #[inline(always)]
    fn variant(&mut self, owner: &'static str, index: u32, name: &'static str) -> Result<()> {
        if let Some(entry) = self.next.variant(index)
            && self.go_to_named(entry, name)
        {
            return leaves::write(self.bytes, index);
        }
        self.other_variant(owner, index, name)
    }

    #[cold]
    fn other_variant(&mut self, owner: &'static str, index: u32, name: &'static str) -> Result<()> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => {
                leaves::write(self.bytes, index)?;
                let content = self.observed.variant(self.next.id(), owner, index, name);
                self.next = Expected::free(content);
                Ok(())
            }
            Form::Enum { first, count } => {
                let of_name = |index: &u32| self.forms.is_named(first + index, name);
                match (0..count).find(of_name) {
                    Some(index) => {
                        leaves::write(self.bytes, index)?;
                        self.next = self.entry(first + index);
                        Ok(())
                    }
                    None if (0..count).any(|index| self.forms.is_unclear(first + index, name)) => {
                        Err(Failure::new(format!(
                            "its Serialize writes the variant `{name}`, and aliases hide which number that is for its \
                             Deserialize; write #[serde(with = \"checkpointed::self_describing\")] on its field"
                        )))
                    }
                    None => Err(Failure::new(format!(
                        "its Serialize writes the variant `{name}`, which its Deserialize does not read, so it could \
                         not be loaded; {WAY_OUT}"
                    ))),
                }
            }
            _ if self.go_within() => self.variant(owner, index, name),
            _ => Err(self.mismatch(&format!("the variant `{name}` of an enum"))),
        }
    }

    /// As the array's own type serializes it.
    #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
    fn write_grid(&mut self, grid: Grid<'_>) -> Result<()> {
        let names = match grid.lengths {
            #[cfg(feature = "ndarray")]
            Lengths::Before { .. } => Some(["v", "dim", "data"]),
            #[cfg(feature = "nalgebra")]
            Lengths::After(_) => None,
        };
        let style = if names.is_some() { Style::Fields("Array") } else { Style::Tuple };
        let parts = match self.product(style, 3).and_then(|parts| self.named_as_read(parts, names)) {
            Ok(parts) => parts,
            Err(failure) => return Err(self.note(failure)),
        };
        let [first, second, third] = [0_u32, 1, 2].map(|number| {
            let name = names.map_or("", |names| names.get(number as usize).copied().unwrap_or_default());
            self.part(parts, number, name)
        });
        let written = match grid.lengths {
            #[cfg(feature = "ndarray")]
            Lengths::Before { version, lengths, is_counted } => {
                self.go_to(first);
                self.value(&version)?;
                self.go_to(second);
                self.write_lengths(&lengths, is_counted)?;
                self.go_to(third);
                self.write_array(grid.array)
            }
            #[cfg(feature = "nalgebra")]
            Lengths::After(lengths) => {
                self.go_to(first);
                let written = self.write_array(grid.array);
                for (part, length) in [second, third].into_iter().zip(lengths) {
                    self.go_to(part);
                    match length {
                        Some(length) => self.value(&length)?,
                        None => self.value(&())?,
                    }
                }
                written
            }
        };
        written.map_err(|failure| self.note(failure))
    }

    /// Checks that the reader asks for exactly these parts of an array of another crate.
    #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
    fn named_as_read(&mut self, parts: Parts, names: Option<[&'static str; 3]>) -> Result<Parts> {
        const OWNER: &str = "Array";
        let (Parts::Listed(entries), Some(names)) = (parts, names) else { return Ok(parts) };
        for (number, name) in (0..).zip(names) {
            if !entries.get(number).is_some_and(|entry| self.go_to_named(entry, name)) {
                return Err(self.unlike_read(OWNER, parts, number, name));
            }
        }
        if entries.count() == 3 { Ok(parts) } else { Err(self.other_number(OWNER, parts, 3, 3)) }
    }

    /// The form of a part of an array of another crate.
    #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
    fn part(&mut self, parts: Parts, number: u32, name: &'static str) -> Id {
        match parts {
            Parts::Listed(entries) => self.entry(entries.first().saturating_add(number)).id(),
            Parts::Repeated(form) => form,
            Parts::Free(id) => self.observed.part(id, number as usize, name),
        }
    }

    /// The lengths of the dimensions, as a tuple, or as a sequence where their number is not part of the type.
    #[cfg(feature = "ndarray")]
    fn write_lengths(&mut self, lengths: &[u64], is_counted: bool) -> Result<()> {
        let next = self.next;
        let mut written = || {
            if is_counted {
                let element = self.seq()?;
                self.elements = self.elements.saturating_add(lengths.len() as u64);
                leaves::write(self.bytes, lengths.len() as u64)?;
                return lengths.iter().try_for_each(|length| {
                    self.go_to(element);
                    self.serialize_u64(*length)
                });
            }
            let parts = self.product(Style::Tuple, lengths.len())?;
            (0..).zip(lengths).try_for_each(|(number, length)| {
                let part = self.part(parts, number, "");
                self.go_to(part);
                self.serialize_u64(*length)
            })
        };
        let written = written();
        self.next = next;
        written.map_err(|failure| self.note(failure))
    }

    /// Checks that the rows of arrays of this kind are of this form. Returns false if they have the
    /// same bytes but other dimensions of length 1.
    fn fit(&mut self, element: Id, kind: &Kind) -> Result<bool> {
        let (observed, mut is_known) = (&mut self.observed, true);
        let mut observe = |id, dimensions: &[u64]| {
            is_known = false;
            observed.rows(id, dimensions, kind.dtype.element());
        };
        if !self.forms.fits(element, kind, &mut observe) {
            self.go_to(element);
            return Err(self.mismatch(&kind.describe()));
        }
        let is_as_read = self.forms.has_rows(element, kind);
        self.fitting = (is_known && is_as_read).then_some((element, *kind));
        Ok(is_as_read)
    }

    /// True if every reader of the next form also looks for its elements in an array. A reader of a
    /// map does not.
    fn may_be_apart(&self) -> bool {
        !matches!(self.forms.get(self.next.id()), Form::Map { .. })
    }

    /// An array has the bytes that its elements have, one after the other: what stays here is copied.
    fn write_array(&mut self, mut array: Array<'_>) -> Result<()> {
        let element = self.seq()?;
        let is_as_read =
            self.fitting.is_some_and(|(form, kind)| form == element && kind.is_surely(&array.kind))
                || self.fit(element, &array.kind)?;
        let rows = array.rows();
        if let Form::Grid { place, .. } = *self.forms.get(self.next.id()) {
            self.check_count(place, rows)?;
            array.outer = self.forms.grid(place).map(|grid| grid.dimensions(rows));
        }
        if is_as_read && self.may_be_apart() && self.arrays.takes(array.bytes.len()) {
            let put = self.arrays.put(path::name(self.steps().iter(), self.bytes), array);
            let number = put.map_err(|cause| self.note(Failure::caused(cause)))?;
            return [OUT_OF_BAND, number, rows]
                .into_iter()
                .try_for_each(|value| leaves::write(self.bytes, value));
        }
        self.elements = self.elements.saturating_add(rows);
        leaves::write(self.bytes, rows)?;
        leaves::append(self.bytes, array.bytes)
    }

    // Always inlined, as all that a value with parts goes through: a result that is put together in
    // memory from pieces is slow to read as a whole.
    #[inline(always)]
    fn begin_fixed(&mut self, name: &'static str, style: Style, length: usize) -> Result<Fixed<'_, 'a>> {
        // The count of written values stops at the last number, which no type may announce.
        let Some(announced) = u32::try_from(length).ok().filter(|count| *count < u32::MAX) else {
            return Err(too_long(name, length));
        };
        let parts = self.product(style, length)?;
        match (style, &parts) {
            (Style::Fields(_), Parts::Listed(entries)) => self.enter(Frame::listed(entries.first())),
            (Style::Fields(_), Parts::Repeated(_) | Parts::Free(_)) => self.enter_labelled(),
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
fn differs(written: &str, read: &str) -> Failure {
    Failure::new(format!(
        "its Serialize writes {written} where its Deserialize reads {read}, so it could not be loaded; {WAY_OUT} \
         (also where its form depends on its data, in a way that no sample showed)"
    ))
}

#[cold]
fn too_long(name: &str, length: usize) -> Failure {
    Failure::new(format!(
        "{name} has {length} values, more than one may have; keep them in a Vec, or write \
         #[serde(with = \"checkpointed::self_describing\")] on its field"
    ))
}

/// What can be done about a type that would not be read as it is written.
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
        self.value(value)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<()> {
        if *self.forms.get(self.next.id()) == Form::Free {
            let inner = self.observed.newtype(self.next.id(), name);
            self.next = Expected::free(inner);
        }
        self.value(value)
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
        self.value(value)
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
