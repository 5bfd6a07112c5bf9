//! Forms of values that no schema shows, and that no save before had.
//!
//! A field that describes its values may hold any form of them: another variant, another key, a
//! larger number. So may a part whose form could not be found out. A type that decides what to read
//! while it reads may refuse a form that it writes. So such forms are noted while a state is
//! encoded, and a save with one is read back if none was before.

use std::any::type_name;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::hashed::IsHashed;
use crate::base::lasting::{self, Lasting, Restore};
use crate::base::limits::{NOVEL_FORMS, NOVEL_MEMBERS};

thread_local! {
    /// The forms in the state that this thread encodes.
    static NOTED: Lasting<Forms> = const { lasting::nothing() };
}

/// Forms, each as the hash of its place and kind.
pub(super) type Forms = HashSet<u64, IsHashed>;

/// The forms in the states of one type.
#[derive(Debug, Default)]
pub(super) struct Met(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Those of states that were read back.
    known: Forms,
    /// The others of the last state.
    new: Forms,
}

impl Met {
    fn forms(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the forms of the last state that was encoded.
    pub(super) fn learn(&self, noted: Forms) {
        let mut forms = self.forms();
        // A type whose keys are always new is not read back for ever.
        let looks = |form: &u64| forms.known.len() < most(*form);
        let new = noted.into_iter().filter(|form| looks(form) && !forms.known.contains(form)).collect();
        forms.new = new;
    }

    /// True if the last state had a form that none before it had which was read back.
    pub(super) fn has_new(&self) -> bool {
        !self.forms().new.is_empty()
    }

    /// Takes the forms of the last state for known: it was read back.
    pub(super) fn accept(&self) {
        let mut forms = self.forms();
        let new = std::mem::take(&mut forms.new);
        forms.known.extend(new);
    }
}

/// The number of forms from which on one like this is not looked at. Sets of fields can be many,
/// and leave room for the others.
fn most(form: u64) -> usize {
    if form & IS_SET == IS_SET { NOVEL_FORMS / 2 } else { NOVEL_FORMS }
}

/// The bit that tells a set of fields or of keys from other forms.
const IS_SET: u64 = 1;

/// Does `encode`, and returns the forms in the state that it encodes.
pub(super) fn noting<R>(encode: impl FnOnce() -> R) -> (R, Forms) {
    let scope = Restore::set(&NOTED, Forms::default());
    let encoded = encode();
    (encoded, scope.take().unwrap_or_default())
}

/// The kinds of forms that are no values.
const LEFT_OUT: u8 = u8::MAX;
const KEYS: u8 = u8::MAX - 1;
const MEMBERS: u8 = u8::MAX - 2;

/// The first numbers of the ranges of integers, after the first one. A reader gets numbers of
/// different ranges as different types.
const RANGES: [i128; 4] = [-(1 << 63), 0, 1 << 63, 1 << 64];

/// The fields of one struct, or the keys of one map that count as names, in any order. A type may
/// need one, or refuse one that comes twice: so each set of them is a form.
#[derive(Debug, Default)]
pub(crate) struct Keys(u64);

impl Keys {
    /// Adds the one whose value is at this place.
    pub(crate) fn add(&mut self, place: Place) {
        self.0 = self.0.wrapping_add(place.hash);
    }

    /// Notes them as those of the struct or the map at this place.
    pub(crate) fn end_at(self, place: Place) {
        place.with(self.0).holds(KEYS);
    }
}

/// The place of values in a field, or in a part of unknown form, by the names on the way to them.
/// All elements of a sequence are at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    hash: u64,
    /// The number of places that the members of the tuples around it have.
    members: usize,
}

impl Place {
    const ROOT: Place = Place { hash: 0, members: 1 };

    /// The place of a whole field of type `T`, in a form of this name.
    pub(crate) fn of_field<T: ?Sized>(form: &str) -> Place {
        Place::ROOT.under(form.as_bytes()).under(type_name::<T>().as_bytes())
    }

    /// The place of the part of this number whose form could not be found out.
    pub(super) fn of_part(number: usize) -> Place {
        Place::ROOT.under(b"part").with(number as u64)
    }

    /// The place under this name.
    pub(crate) fn under(self, name: &[u8]) -> Place {
        let mut place = self.with(name.len() as u64);
        for word in name.chunks(8) {
            let mut bytes = [0; 8];
            bytes[..word.len()].copy_from_slice(word);
            place = place.with(u64::from_le_bytes(bytes));
        }
        place
    }

    /// The place of an element of a sequence.
    pub(crate) fn element(self) -> Place {
        self.under(b"[]")
    }

    /// The place of the member of this number, of as many as a tuple here announces. Those of long
    /// tuples share one place, as elements do: the number of forms has a limit.
    pub(crate) fn member(self, number: usize, announced: usize) -> Place {
        let members = self.members.saturating_mul(announced);
        if number >= announced || members > NOVEL_MEMBERS {
            return self.element();
        }
        Place { members, ..self.element().with(number as u64) }
    }

    /// Mixes a number in. The factor is the one that the golden ratio gives for 64 bits.
    fn with(self, number: u64) -> Place {
        let hash = (self.hash.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Place { hash, ..self }
    }

    /// Notes that a tuple of so many members is here.
    pub(crate) fn has_members(self, count: usize) {
        self.with(count as u64).holds(MEMBERS);
    }

    /// Notes that an integer of this kind is here.
    pub(crate) fn holds_integer(self, kind: u8, number: impl TryInto<i128>) {
        let range = number
            .try_into()
            .map_or(RANGES.len() + 1, |number| RANGES.into_iter().filter(|first| number >= *first).count());
        self.with(range as u64).holds(kind);
    }

    /// Notes that a field was left out here.
    pub(crate) fn is_left_out(self) {
        self.holds(LEFT_OUT);
    }

    /// Notes that a value of this kind is here, if a state is encoded.
    pub(crate) fn holds(self, kind: u8) {
        lasting::look(&NOTED, |noted| {
            let hash = self.with(kind.into()).hash;
            let form = if kind == KEYS { hash | IS_SET } else { hash & !IS_SET };
            if let Some(noted) = noted.as_mut().filter(|noted| noted.len() < most(form)) {
                noted.insert(form);
            }
        });
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn sets_of_fields_leave_room_for_other_forms() {
        let met = Met::default();
        let set = |number: u64| Keys(number).end_at(Place::ROOT);
        let ((), noted) = noting(|| (0..10_000).for_each(set));
        assert!(noted.len() <= NOVEL_FORMS / 2, "{}", noted.len());
        met.learn(noted);
        assert!(met.has_new());
        met.accept();
        // Those of later states too.
        met.learn(noting(|| (10_000..20_000).for_each(set)).1);
        assert!(!met.has_new());
        let more = || {
            (20_000..30_000).for_each(set);
            Place::ROOT.holds(1);
        };
        met.learn(noting(more).1);
        assert!(met.has_new());
    }
}
