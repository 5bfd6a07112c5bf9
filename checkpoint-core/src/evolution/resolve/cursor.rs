//! The place of a reading in the bytes and in the schema, and the rest of its limits.

use serde::de::{DeserializeSeed, Error as _};
use typed_arena::Arena;

use super::migration::Plan;
use super::other::{Other, Same};
use super::value::{Value, is_ignored};
use crate::arrays::{ArraySource, Kind, Reference};
use crate::base::limits::{TYPE_WRAPPERS, VALUE_DEPTH_BY_NAME};
use crate::base::text::shortened;
use crate::codec::bytes::{self, Count, Flag};
use crate::codec::{self, Reader, Room, allowed_elements, most_values};
use crate::evolution::Program;
use crate::schema::{Body, Definition, Element, Fields, Float16, Schema, Type, Variant, hidden};

pub(super) type Failure = codec::Failure;

/// One step from a value of the writer into a part of it.
#[derive(Clone, Copy)]
pub(super) enum Step<'a> {
    Field(&'a str),
    Member(u64),
    Element(u64),
    Key,
    /// The value of a map's entry.
    Entry,
    Variant(&'a str),
}

/// The elements of an array outside the encoded state, while they are read one by one.
struct Rows {
    bytes: Vec<u8>,
    taken: usize,
}

/// The elements of a sequence that was begun.
pub(super) enum Sequence {
    /// This number of elements follows in the bytes of the state.
    Here(u64),
    /// This number of rows of an array follows, up to its end.
    Rows(u64),
    /// The array makes a `Vec` of this kind.
    Vec(Kind, Reference),
    Skipped,
}

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// The rows that are read instead of `bytes`.
    rows: Option<Rows>,
    schema: &'a Schema,
    program: Option<&'a Program>,
    /// The types that are the same on both sides.
    same: Same<'a>,
    plan: &'a Plan,
    /// Keeps bytes that are not in `bytes`, so that they can be lent to the state.
    arena: &'a Arena<Vec<u8>>,
    room: Room,
    pub(super) arrays: &'a mut dyn ArraySource,
    /// The number of further values without bytes that may be read.
    empty: u64,
    /// The number of further elements that sequences may announce.
    elements: u64,
    depth: u32,
    /// The path from the state to the value. After a failure it stays at the place of that failure.
    path: Vec<Step<'a>>,
    /// The first failure, with its path.
    failure: Option<Failure>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        (schema, program): (&'a Schema, Option<&'a Program>),
        (plan, room): (&'a Plan, Room),
        arena: &'a Arena<Vec<u8>>,
        arrays: &'a mut dyn ArraySource,
    ) -> Cursor<'a> {
        let allowed = allowed_elements(bytes.len());
        Cursor {
            bytes,
            rows: None,
            schema,
            program,
            same: Same::new(schema, program),
            plan,
            arena,
            room,
            arrays,
            // Fields and members count too.
            empty: most_values(bytes.len()),
            elements: allowed,
            depth: 0,
            path: Vec::new(),
            failure: None,
        }
    }

    /// Returns the value, if everything was read and nothing failed. A type may go on after a
    /// failure, but then it takes the next bytes for something else, or a default for what changed.
    pub(super) fn end<T>(self, decoded: Result<T, Failure>) -> Result<T, Failure> {
        match (decoded, self.failure) {
            (_, Some(failure)) | (Err(failure), None) => Err(failure),
            (Ok(_), None) if !self.bytes.is_empty() => {
                Err(Failure::new("there is more data than the value takes"))
            }
            (Ok(value), None) => Ok(value),
        }
    }

    /// Adds the place to a failure.
    pub(super) fn guard<R>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        match read(self) {
            Ok(value) => Ok(value),
            Err(failure) => Err(self.located(failure)),
        }
    }

    #[cold]
    fn located(&mut self, failure: Failure) -> Failure {
        match &self.failure {
            Some(_) => failure,
            None => failure.at(&self.place()).noted(&mut self.failure),
        }
    }

    pub(super) fn schema(&self) -> &'a Schema {
        self.schema
    }

    pub(super) fn program(&self) -> Option<&'a Program> {
        self.program
    }

    pub(super) fn plan(&self) -> &'a Plan {
        self.plan
    }

    pub(super) fn arena(&self) -> &'a Arena<Vec<u8>> {
        self.arena
    }

    /// Keeps bytes while the state is decoded.
    pub(super) fn keep(&self, bytes: Vec<u8>) -> &'a [u8] {
        self.arena.alloc(bytes)
    }

    /// The way from the state to the value, in words.
    fn place(&self) -> String {
        let mut path = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(&shortened(hidden::label(name))),
                Step::Field(name) => path.extend([".", &shortened(hidden::label(name))]),
                Step::Member(number) => path.push_str(&format!(".{number}")),
                Step::Element(number) => path.push_str(&format!("[{number}]")),
                Step::Key => path.push_str("[key]"),
                Step::Entry => path.push_str("[]"),
                Step::Variant(name) => path.extend(["::", &shortened(hidden::label(name))]),
            }
        }
        path
    }

    pub(super) fn enter(&mut self, step: Step<'a>) {
        self.path.push(step);
    }

    pub(super) fn leave(&mut self) {
        self.path.pop();
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        self.front(bytes::array)
    }

    pub(super) fn flag(&mut self, what: Flag) -> Result<bool, Failure> {
        self.front(|bytes| bytes::flag(bytes, what))
    }

    pub(super) fn character(&mut self) -> Result<char, Failure> {
        self.front(bytes::character)
    }

    /// Reads the number of a variant, and returns the variant.
    pub(super) fn variant(&mut self, variants: &'a [Variant]) -> Result<&'a Variant, Failure> {
        self.front(|bytes| bytes::variant(bytes, variants))
    }

    /// Reads a text. The rows of an array have none.
    pub(super) fn text(&mut self) -> Result<&'a str, Failure> {
        if self.rows.is_some() {
            return Err(bytes::ends());
        }
        let text = bytes::text(&mut self.bytes)?;
        self.admit(text.len() as u64)?;
        Ok(text)
    }

    /// Takes from the front: of the rows of an array while those are read, otherwise of the state.
    fn front<R>(&mut self, take: impl FnOnce(&mut &[u8]) -> Result<R, Failure>) -> Result<R, Failure> {
        let Some(rows) = &mut self.rows else { return take(&mut self.bytes) };
        let mut rest = rows.bytes.get(rows.taken..).unwrap_or_default();
        let taken = take(&mut rest);
        rows.taken = rows.bytes.len() - rest.len();
        taken
    }

    /// Takes the bytes of a text or the like. The rows of an array have none.
    pub(super) fn take_slice(&mut self, length: u64) -> Result<&'a [u8], Failure> {
        if self.rows.is_some() { Err(bytes::ends()) } else { bytes::slice(&mut self.bytes, length) }
    }

    pub(super) fn length(&mut self) -> Result<u64, Failure> {
        let length = self.front(bytes::length)?;
        self.admit(length)?;
        Ok(length)
    }

    /// Reads the number of elements of a sequence, or the reference to the array that holds them.
    pub(super) fn elements(&mut self) -> Result<Count, Failure> {
        let count = self.front(bytes::count)?;
        match count {
            Count::Here(length) => self.admit(length)?,
            Count::Apart(_) if self.rows.is_some() => {
                return Err(Failure::custom("an array refers to another one"));
            }
            Count::Apart(_) => {}
        }
        Ok(count)
    }

    fn admit(&mut self, length: u64) -> Result<(), Failure> {
        self.elements = self.elements.checked_sub(length).ok_or_else(|| {
            Failure::custom(format!("a sequence announces {length} elements, more than there is data for"))
        })?;
        Ok(())
    }

    /// Reads one value that is inside another. The schema may nest without end while the bytes do
    /// not, so both the depth and the number of values without bytes are bounded.
    pub(super) fn visit<S: DeserializeSeed<'a>>(
        &mut self,
        step: Step<'a>,
        ty: &'a Type,
        other: Other<'a>,
        seed: S,
    ) -> Result<S::Value, Failure> {
        let before = self.position();
        self.enter(step);
        let value = self.guard(|cursor| {
            let value = cursor.deeper(|cursor| cursor.read(ty, other, seed))?;
            cursor.count_empty(before)?;
            Ok(value)
        })?;
        self.leave();
        Ok(value)
    }

    /// Counts a value without bytes, if nothing was read since this position.
    fn count_empty(&mut self, before: (usize, usize)) -> Result<(), Failure> {
        if self.position() == before {
            self.empty = self
                .empty
                .checked_sub(1)
                .ok_or_else(|| Failure::new("there are too many values that take no space"))?;
        }
        Ok(())
    }

    /// Reads a value. A value of a type that is the same on both sides is read by position, as if
    /// nothing had changed.
    pub(super) fn read<S: DeserializeSeed<'a>>(
        &mut self,
        ty: &'a Type,
        other: Other<'a>,
        seed: S,
    ) -> Result<S::Value, Failure> {
        // A value that the program ignores is skipped by means of the schema.
        if is_ignored::<S::Value>() || !self.is_same(ty, other) {
            return seed.deserialize(Value { cursor: self, ty, other });
        }
        self.guard(|cursor| {
            let (elements, room) = (cursor.elements, cursor.room);
            let mut reader = Reader::new(cursor.bytes, cursor.arena, elements, room, cursor.arrays);
            let value = seed.deserialize(&mut reader);
            let (value, bytes, elements) = reader.end(value);
            (cursor.bytes, cursor.elements) = (bytes, elements);
            value
        })
    }

    /// True if a value of this type is in the bytes as the program writes its own.
    fn is_same(&mut self, ty: &'a Type, other: Other<'a>) -> bool {
        self.rows.is_none() && other.ty().is_some_and(|program| self.same.is_same(ty, program))
    }

    /// A position that changes with every byte read. While rows are read, it counts the bytes of
    /// the rows.
    fn position(&self) -> (usize, usize) {
        (self.bytes.len(), self.rows.as_ref().map_or(0, |rows| rows.taken))
    }

    pub(super) fn deeper<R>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        self.descend()?;
        let is_due = self.room.is_due(self.depth, size_of::<R>());
        let value = if is_due { self.room.before(size_of::<R>(), || read(self)) } else { read(self) };
        self.depth -= 1;
        value
    }

    fn descend(&mut self) -> Result<(), Failure> {
        if self.depth == VALUE_DEPTH_BY_NAME {
            return Err(Failure::custom(format!("values are nested more than {VALUE_DEPTH_BY_NAME} deep")));
        }
        self.depth += 1;
        Ok(())
    }

    /// Reads all bytes of an array. Its rows must be of this type.
    pub(super) fn array(&mut self, array: Reference, ty: &'a Type) -> Result<Vec<u8>, Failure> {
        let (kind, bytes) = self.arrays.bytes(array).map_err(Failure::caused)?;
        let length = |lengths: &[u64]| lengths.iter().product::<u64>();
        // An array without rows does not tell how long they are. The header does not describe some
        // rows fully: it lacks the sign of wide integers, and the meaning of two floats.
        let is_other = self.row(ty)?.is_some_and(|(descr, lengths)| {
            kind.element.descr() != descr || (array.rows > 0 && length(kind.inner) != length(&lengths))
        });
        if is_other {
            return Err(Failure::custom(format!("array {} is of another type", array.number)));
        }
        Ok(bytes)
    }

    /// Begins to read a sequence, for a visitor that makes a `Vec` of this kind, for one that
    /// ignores it, or for an unknown one.
    pub(super) fn begin_sequence(
        &mut self,
        element: &'a Type,
        kind: Option<Kind>,
        is_ignored: bool,
    ) -> Result<Sequence, Failure> {
        let array = match self.elements()? {
            Count::Here(length) => return Ok(Sequence::Here(length)),
            Count::Apart(array) => array,
        };
        if is_ignored {
            self.arrays.skip(array).map_err(Failure::caused)?;
            return Ok(Sequence::Skipped);
        }
        if let Some(kind) = kind
            && self.is_vec_of(kind, element)?
        {
            return Ok(Sequence::Vec(kind, array));
        }
        self.begin_array(array, element)?;
        Ok(Sequence::Rows(array.rows))
    }

    /// Reads from the bytes of an array, up to [`end_array`](Self::end_array).
    pub(super) fn begin_array(&mut self, array: Reference, ty: &'a Type) -> Result<(), Failure> {
        let bytes = self.array(array, ty)?;
        self.rows = Some(Rows { bytes, taken: 0 });
        Ok(())
    }

    /// Goes back to the bytes of the state. Checks that the array was read whole.
    pub(super) fn end_array(&mut self) -> Result<(), Failure> {
        match self.rows.take() {
            Some(rows) if rows.taken == rows.bytes.len() => Ok(()),
            _ => Err(Failure::new("the array is longer than the value")),
        }
    }

    /// True if a sequence with elements of this type has the same rows as a `Vec` of this kind.
    fn is_vec_of(&self, kind: Kind, element: &'a Type) -> Result<bool, Failure> {
        let row = self.row(element)?;
        Ok(row.is_some_and(|(descr, lengths)| kind.element.descr() == descr && kind.inner == lengths))
    }

    /// The header's name for rows of this type, and the lengths of their dimensions. `None` if
    /// there may be several names for it, or none.
    fn row(&self, ty: &'a Type) -> Result<Option<(&'static str, Vec<u64>)>, Failure> {
        let mut lengths = Vec::new();
        let mut ty = self.bare(ty)?;
        while let Type::Array(element, length) = ty {
            if lengths.len() == 8 {
                return Ok(None);
            }
            lengths.push(*length);
            ty = self.bare(element)?;
        }
        let element = match Element::of(ty) {
            // Signed and unsigned integers of 128 bits have the same name.
            Some(Element::U128 | Element::I128) => return Ok(None),
            Some(element) => element,
            None => match self.float16(ty)? {
                Some(float) => float.element(),
                None => return Ok(None),
            },
        };
        let descr = element.descr();
        // Two floats may be a complex number.
        if descr.starts_with("<f") && lengths.last() == Some(&2) {
            return Ok(None);
        }
        Ok(Some((descr, lengths)))
    }

    /// The float of 16 bits that this type wraps, if it is one.
    pub(super) fn float16(&self, ty: &Type) -> Result<Option<Float16>, Failure> {
        Ok(self.definition(ty)?.and_then(Float16::of))
    }

    /// The type without the newtypes around it. A float of 16 bits does not count as a newtype.
    pub(super) fn bare(&self, mut ty: &'a Type) -> Result<&'a Type, Failure> {
        // A forged schema may have any number of them, or a cycle, and every value would cost that
        // time.
        for _ in 0..=TYPE_WRAPPERS {
            match self.definition(ty)? {
                Some(definition @ Definition { body: Body::Struct(Fields::Newtype(inner)), .. })
                    if Float16::of(definition).is_none() =>
                {
                    ty = inner;
                }
                _ => return Ok(ty),
            }
        }
        Err(Failure::custom(format!("the schema has more than {TYPE_WRAPPERS} newtypes around each other")))
    }

    pub(super) fn definition(&self, ty: &Type) -> Result<Option<&'a Definition>, Failure> {
        let Type::Named(place) = ty else { return Ok(None) };
        let found = self.schema.types.get(*place);
        found.map(Some).ok_or_else(|| Failure::custom("the schema refers to a type that it does not have"))
    }
}
