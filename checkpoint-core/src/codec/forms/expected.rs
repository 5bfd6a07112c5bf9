//! Forms packed into two machine words, for the writer.

use std::cell::Cell;

use super::{Form, Id, Leaf};

/// A form together with its place. The writer compares each value with one. It is two words,
/// because a copy that is put together from smaller pieces is slow to read.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Expected {
    /// The place, and above it the kind of the form, with the type of a leaf.
    head: u64,
    /// The first entry or the place of the parts, and above it their number.
    parts: u64,
}

/// Successive entries: the first, and their number, in one word.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Entries(u64);

#[allow(clippy::cast_possible_truncation, reason = "the word holds two numbers of 32 bits")]
impl Entries {
    pub(in crate::codec) const NONE: Entries = Entries(0);

    #[inline]
    pub(in crate::codec) fn new(first: u32, count: u32) -> Entries {
        Entries(u64::from(count) << 32 | u64::from(first))
    }

    #[inline]
    pub(in crate::codec) fn first(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(in crate::codec) fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The entry of this number.
    #[inline]
    pub(in crate::codec) fn get(self, number: u32) -> Option<u32> {
        (number < self.count()).then(|| self.first() + number)
    }
}

/// The kinds of forms that a writer recognises in one comparison.
mod kind {
    pub(super) const OTHER: u32 = 0;
    pub(super) const LEAF: u32 = 1;
    pub(super) const OPTION: u32 = 2;
    pub(super) const SEQ: u32 = 3;
    pub(super) const PRODUCT: u32 = 4;
    pub(super) const ENUM: u32 = 5;
    pub(super) const REPEATED: u32 = 6;
}

#[allow(clippy::cast_possible_truncation, reason = "each word holds two numbers of 32 bits")]
impl Expected {
    pub(super) fn new(id: Id, form: Form) -> Expected {
        let (kind, parts) = match form {
            Form::Leaf(leaf) => (kind::LEAF | (leaf as u32) << 8, 0),
            Form::Option(inner) => (kind::OPTION, u64::from(inner.0)),
            Form::Seq(element) => (kind::SEQ, u64::from(element.0)),
            Form::Product { first, count } => (kind::PRODUCT, Entries::new(first, count).0),
            Form::Enum { first, count } => (kind::ENUM, Entries::new(first, count).0),
            Form::Repeated(element, count) => match u32::try_from(count) {
                Ok(count) => (kind::REPEATED, Entries::new(element.0, count).0),
                Err(_) => (kind::OTHER, 0),
            },
            _ => (kind::OTHER, 0),
        };
        Expected { head: u64::from(kind) << 32 | u64::from(id.0), parts }
    }

    /// The form of an observed part.
    pub(in crate::codec) fn free(id: Id) -> Expected {
        Expected::new(id, Form::Free)
    }

    /// The place.
    #[inline]
    pub(in crate::codec) fn id(self) -> Id {
        Id(self.head as u32)
    }

    #[inline]
    fn is(self, kind: u32) -> bool {
        (self.head >> 32) as u32 == kind
    }

    #[inline]
    pub(in crate::codec) fn is_leaf(self, leaf: Leaf) -> bool {
        self.is(kind::LEAF | (leaf as u32) << 8)
    }

    /// The form inside an option.
    #[inline]
    pub(in crate::codec) fn option(self) -> Option<Id> {
        self.is(kind::OPTION).then_some(Id(self.parts as u32))
    }

    /// The form of the elements of a sequence.
    #[inline]
    pub(in crate::codec) fn seq(self) -> Option<Id> {
        self.is(kind::SEQ).then_some(Id(self.parts as u32))
    }

    /// The entries of a product of this number of parts.
    #[inline]
    pub(in crate::codec) fn product_of(self, length: usize) -> Option<Entries> {
        (self.is(kind::PRODUCT) && self.parts >> 32 == length as u64).then_some(Entries(self.parts))
    }

    /// The form of each part of a product of this number of equal parts.
    #[inline]
    pub(in crate::codec) fn repeated(self, length: usize) -> Option<Id> {
        (self.is(kind::REPEATED) && self.parts >> 32 == length as u64).then_some(Id(self.parts as u32))
    }

    /// The entry of the variant of this number of an enum.
    #[inline]
    pub(in crate::codec) fn variant(self, index: u32) -> Option<u32> {
        if self.is(kind::ENUM) { Entries(self.parts).get(index) } else { None }
    }
}

/// A part of a product, or a variant, while a state is written.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Slot {
    /// The name that it was found to have.
    pub(in crate::codec) known: Cell<&'static str>,
    pub(in crate::codec) expected: Expected,
}

impl Slot {
    /// An entry before its name was seen.
    pub(super) fn unseen(expected: Expected) -> Slot {
        Slot { known: Cell::new(UNSEEN), expected }
    }

    /// True if this name was found before. Compares addresses, which suffices.
    #[inline]
    pub(in crate::codec) fn is_known_as(&self, name: &'static str) -> bool {
        std::ptr::eq(self.known.get(), name)
    }
}

/// Stands for a name that was not seen yet, and is at the address of no other.
static UNSEEN: &str = "\0unseen";
