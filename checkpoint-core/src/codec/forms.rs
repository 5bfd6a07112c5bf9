//! The schema of the program as a table. The writer walks through it in step with the values that
//! it is given.
//!
//! A [`Form`] is the meaning of the bytes of a value to a reader. It has no names of structs, and
//! no wrappers, because they take no space.

mod expected;
mod name;
mod table;

pub(super) use self::expected::{Entries, Expected, Slot};
use self::name::Name;
use super::leaf::Leaf;
use super::novel::{Met, Noted};
use super::stack::Room;
use crate::arrays::Kind;
use crate::schema::Element;
#[cfg(test)]
use crate::schema::{Schema, Type};

/// A place in the table. From [`Id::FREE`] on, it is a part that is observed, because the schema
/// does not describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(pub(super) u32);

impl Id {
    /// The first place of the observed parts.
    pub(super) const FREE: u32 = 1 << 31;

    /// The place of the observed part of this number.
    pub(super) fn free(number: usize) -> Id {
        Id(u32::try_from(number).unwrap_or(Id::FREE - 1).saturating_add(Id::FREE))
    }

    fn of(place: usize) -> Id {
        // A schema of 2^31 types would not fit into a manifest.
        Id(u32::try_from(place).unwrap_or(Id::FREE - 1))
    }
}

/// The form of the values of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Leaf(Leaf),
    Option(Id),
    Seq(Id),
    /// Fixed arrays of these elements, all in one sequence. The list of fixed arrays has their
    /// lengths at this place.
    Grid {
        element: Id,
        place: u32,
    },
    /// The entry of the key, which the entry of the value follows, and both as one value.
    Map {
        first: u32,
        pair: Id,
    },
    /// The first entry, and their number. They may have names.
    Product {
        first: u32,
        count: u32,
    },
    Repeated(Id, u64),
    /// The first variant, and their number. A variant is an entry with the form of its content.
    Enum {
        first: u32,
        count: u32,
    },
    /// A wrapper around another form, while the table is made.
    Same(Id),
    /// An unknown form: the written values are observed.
    Free,
    /// A wrapper around itself, or a type that is refused before a save. No value has it.
    Never,
}

/// The lengths of fixed arrays.
#[derive(Debug)]
pub(super) struct Lengths {
    /// The lengths of the dimensions of one array, outermost first.
    lengths: Vec<u64>,
    /// True for any number of arrays, false for one.
    is_vec: bool,
}

impl Lengths {
    /// The number of elements of one array.
    fn of_one(&self) -> u64 {
        self.lengths.iter().fold(1, |product, length| product.saturating_mul(*length))
    }

    /// True if this number of elements makes such arrays.
    pub(super) fn takes(&self, count: u64) -> bool {
        let one = self.of_one();
        if self.is_vec { one > 0 && count.is_multiple_of(one) } else { count == one }
    }

    pub(super) fn describe(&self) -> String {
        let words = if self.is_vec { "fixed arrays" } else { "a fixed array" };
        format!("{words} of {:?} values", self.lengths)
    }

    /// The dimensions of this number of elements.
    pub(super) fn dimensions(&self, count: u64) -> Vec<u64> {
        let arrays = self.is_vec.then(|| count / self.of_one().max(1));
        arrays.into_iter().chain(self.lengths.iter().copied()).collect()
    }
}

/// The forms of all types in a schema.
#[derive(Debug)]
pub(crate) struct Forms {
    forms: Vec<Form>,
    /// The same forms, packed for the writer.
    expected: Vec<Expected>,
    entries: Vec<Id>,
    /// The names of the entries.
    names: Vec<Name>,
    grids: Vec<Lengths>,
    root: Id,
    /// The form of a `u8`.
    byte: Id,
    /// The number of parts with an unknown form.
    unknown: usize,
    room: Room,
    met: Met,
}

impl Forms {
    /// The forms of a state of an unknown type.
    #[cfg(test)]
    pub(crate) fn unknown() -> Forms {
        Forms::of(&Schema { root: Type::Opaque("anything".to_owned()), types: Vec::new() })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// The number of parts with an unknown form.
    pub(super) fn unknown_parts(&self) -> usize {
        self.unknown
    }

    pub(super) fn byte(&self) -> Id {
        self.byte
    }

    pub(crate) fn room(&self) -> Room {
        self.room
    }

    /// Adds the forms of values that no schema shows, of one state.
    pub(super) fn learn(&self, noted: Noted) {
        self.met.learn(noted);
    }

    /// Notes that the last state was borrowed for its save, as a value of another type.
    pub(super) fn is_borrowed(&self) {
        self.met.is_borrowed();
    }

    /// Returns the forms of the last state, among those that no schema shows, and forgets them.
    pub(crate) fn take_noted(&self) -> Noted {
        self.met.take_last()
    }

    /// True if the last state had one of them that none had which was
    /// [read back](Forms::accept).
    pub(crate) fn has_new(&self) -> bool {
        self.met.has_new()
    }

    /// True if the last state had those of this one, in fields that describe their values.
    pub(crate) fn has_same(&self, saved: &Noted) -> bool {
        self.met.has_same(saved)
    }

    /// Takes those of a state for known: it was read back. Returns true if from now on some new
    /// ones are not looked for any more.
    pub(crate) fn accept(&self, noted: Noted) -> bool {
        self.met.accept(noted)
    }

    /// The form at a place.
    #[inline]
    pub(super) fn get(&self, id: Id) -> &Form {
        self.forms.get(id.0 as usize).unwrap_or(&Form::Free)
    }

    /// The fixed arrays at a place in their list.
    pub(super) fn grid(&self, place: u32) -> Option<&Lengths> {
        self.grids.get(place as usize)
    }

    /// The place in their list, if the form is one of fixed arrays.
    pub(super) fn grid_at(&self, id: Id) -> Option<u32> {
        match self.get(id) {
            Form::Grid { place, .. } => Some(*place),
            _ => None,
        }
    }

    /// The form at a place, packed together with the place.
    #[inline]
    pub(super) fn expect(&self, id: Id) -> Expected {
        self.expected.get(id.0 as usize).copied().unwrap_or(Expected::free(id))
    }

    /// All entries, before any of their names was seen.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.entries.iter().map(|id| Slot::unseen(self.expect(*id))).collect()
    }

    fn entry(&self, place: u32) -> Id {
        self.entries.get(place as usize).copied().unwrap_or(Id(Id::FREE))
    }

    /// True if an entry may have this name.
    pub(super) fn is_named(&self, place: u32, name: &str) -> bool {
        match self.names.get(place as usize) {
            Some(Name::Any) => true,
            Some(Name::Exactly(known)) => **known == *name,
            Some(Name::OneOf(names)) => names.iter().any(|known| **known == *name),
            Some(Name::Unclear(_)) | None => false,
        }
    }

    /// True if the name of an entry is known for sure.
    pub(super) fn is_certain(&self, place: u32) -> bool {
        matches!(self.names.get(place as usize), Some(Name::Exactly(_)))
    }

    /// True if this may be the name of this or of another entry.
    pub(super) fn is_unclear(&self, place: u32, name: &str) -> bool {
        match self.names.get(place as usize) {
            Some(Name::Unclear(names)) => names.iter().any(|known| **known == *name),
            _ => false,
        }
    }

    /// The name of an entry in messages.
    pub(super) fn name(&self, place: u32) -> String {
        match self.names.get(place as usize) {
            Some(Name::Exactly(name)) => format!("`{name}`"),
            Some(Name::OneOf(names) | Name::Unclear(names)) => {
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
            }
            Some(Name::Any) | None => "a value without a name".to_owned(),
        }
    }

    /// The form inside a product of one value, which takes no space.
    pub(super) fn within(&self, form: &Form) -> Option<Id> {
        match *form {
            Form::Product { first, count: 1 } => Some(self.entry(first)),
            Form::Repeated(element, 1) => Some(element),
            _ => None,
        }
    }

    /// The forms of the parts of a pair.
    pub(super) fn pair(&self, id: Id) -> Option<(Id, Id)> {
        match *self.get(id) {
            Form::Product { first, count: 2 } => Some((self.entry(first), self.entry(first + 1))),
            Form::Repeated(element, 2) => Some((element, element)),
            ref form => self.pair(self.within(form)?),
        }
    }

    /// The words for a form in messages.
    pub(super) fn describe(&self, id: Id) -> String {
        let words = match *self.get(id) {
            Form::Leaf(leaf) => return leaf.name().to_owned(),
            Form::Option(_) => "an option",
            Form::Seq(_) => "a sequence",
            Form::Grid { place, .. } => return self.grid(place).map(Lengths::describe).unwrap_or_default(),
            Form::Map { .. } => "a map",
            Form::Product { count, .. } => return format!("{count} values"),
            Form::Repeated(_, length) => return format!("{length} values"),
            Form::Enum { .. } => "an enum",
            Form::Free | Form::Same(_) | Form::Never => "a value that cannot be",
        };
        words.to_owned()
    }

    /// True if rows of this kind fit a form. Passes the first part with an unknown form to
    /// `observe`, with the remaining dimensions.
    pub(super) fn fits(&self, id: Id, kind: &Kind, observe: &mut dyn FnMut(Id, &[u64])) -> bool {
        self.fits_rows(id, (kind.inner, kind.element), false, observe)
    }

    /// True if rows that fit have exactly the dimensions of the form.
    pub(super) fn has_rows(&self, id: Id, kind: &Kind) -> bool {
        self.fits_rows(id, (kind.inner, kind.element), true, &mut |_, _| {})
    }

    /// Compares rows with a form. Dimensions of length 1 take no space. If `is_strict` is false,
    /// there may be more or fewer of them.
    fn fits_rows(
        &self,
        id: Id,
        (dimensions, number): (&[u64], Element),
        is_strict: bool,
        observe: &mut dyn FnMut(Id, &[u64]),
    ) -> bool {
        let form = *self.get(id);
        if form == Form::Free {
            observe(id, dimensions);
            return true;
        }
        match (dimensions, form, number.float()) {
            // serde sees a complex number as a pair of floats.
            ([], _, Some(float)) => self.fits_rows(id, (&[2], float), is_strict, observe),
            ([length, inner @ ..], Form::Repeated(element, count), _) if count == *length => {
                self.fits_rows(element, (inner, number), is_strict, observe)
            }
            ([length, inner @ ..], Form::Product { first, count }, _) if u64::from(count) == *length => {
                let mut parts = (first..first + count).map(|place| self.entry(place));
                parts.all(|part| self.fits_rows(part, (inner, number), is_strict, observe))
            }
            ([], Form::Leaf(leaf), None) => Leaf::of_element(number) == leaf,
            _ if is_strict => false,
            ([1, inner @ ..], _, _) => self.fits_rows(id, (inner, number), false, observe),
            _ => self
                .within(&form)
                .is_some_and(|within| self.fits_rows(within, (dimensions, number), false, observe)),
        }
    }
}
