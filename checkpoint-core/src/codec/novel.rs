//! Forms of values that no schema shows, and that no save before had.
//!
//! A field that describes its values may hold any form of them: another variant, another key, a
//! larger number. So may a part whose form could not be found out. A type that decides what to read
//! while it reads may refuse a form that it writes. So such forms are noted while a state is
//! encoded, and a save with one is read back if none was before.

use std::collections::HashSet;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::hashed::IsHashed;
use crate::base::lasting::{self, Lasting, Restore};
use crate::base::limits::{NOVEL_FORMS, NOVEL_KEYS, NOVEL_LENGTH, NOVEL_MEMBERS};

thread_local! {
    /// The forms in the state that this thread encodes.
    static NOTED: Lasting<Noted> = const { lasting::nothing() };
}

/// Forms, each as the hash of its place and kind.
type Forms = HashSet<u64, IsHashed>;

/// The forms in a state, or in several.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// The sets of fields or keys. They can be many, and leave room for the others.
    sets: Forms,
    /// The lengths of lists, of maps, of bytes and of texts.
    lengths: Forms,
    /// The other forms in fields that describe their values.
    described: Forms,
    /// Those in parts of unknown form.
    parts: Forms,
    /// The names of types in fields that describe their values. No encoding has them: they tell two
    /// values of one encoding apart.
    names: Forms,
    /// The types of the fields that describe their values.
    roots: Forms,
    /// True if the state was borrowed for its save: its fields are of other types than those of the
    /// state that a load gives.
    is_borrowed: bool,
    /// True if it depends on the order of the values which of those in fields are here.
    is_partial: bool,
    /// The same of the names.
    has_some_names: bool,
}

impl Noted {
    fn each(&self) -> [&Forms; 5] {
        [&self.sets, &self.lengths, &self.described, &self.parts, &self.names]
    }

    fn each_mut(&mut self) -> [&mut Forms; 5] {
        [&mut self.sets, &mut self.lengths, &mut self.described, &mut self.parts, &mut self.names]
    }

    /// True if a field describes its values.
    pub(crate) fn has_described(&self) -> bool {
        !self.described.is_empty()
    }

    /// Adds a form at this place.
    fn add(&mut self, kind: u8, place: Place) {
        let forms = match kind {
            KEYS => &mut self.sets,
            LENGTH => &mut self.lengths,
            NAME => &mut self.names,
            _ if place.is_described => &mut self.described,
            _ => &mut self.parts,
        };
        let form = place.with(kind.into()).hash;
        if forms.len() < NOVEL_FORMS {
            forms.insert(form);
        } else if place.is_described && !forms.contains(&form) {
            match kind {
                LENGTH => {}
                NAME => self.has_some_names = true,
                _ => self.is_partial = true,
            }
        }
    }
}

/// The forms in the states of one type.
#[derive(Debug, Default)]
pub(super) struct Met(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// Those of states that were read back.
    known: Noted,
    /// Those of the last state.
    last: Noted,
    /// True once it was told that there are too many.
    is_told: bool,
}

impl Met {
    fn forms(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the forms of the last state that was encoded.
    pub(super) fn learn(&self, noted: Noted) {
        self.forms().last = noted;
    }

    /// Notes that the last state was borrowed for its save.
    pub(super) fn is_borrowed(&self) {
        self.forms().last.is_borrowed = true;
    }

    /// Returns the forms of the last state that was encoded, and forgets them.
    pub(super) fn take_last(&self) -> Noted {
        std::mem::take(&mut self.forms().last)
    }

    /// True if the last state had a form that none before it had which was read back.
    pub(super) fn has_new(&self) -> bool {
        let Seen { known, last, .. } = &*self.forms();
        // A type whose keys are always new is not read back for ever.
        known.each().into_iter().zip(last.each()).any(|(known, last)| looks(known) && !last.is_subset(known))
    }

    /// True if the last state had the forms of this one, and its names of types, in its fields that
    /// describe their values. Two values of one encoding may differ in these alone. A part of
    /// unknown form may come back in another one: an array in the order of its elements. A state
    /// that was borrowed for its save may have fields of other types: their forms do not compare.
    /// Nor do those of a value that keeps its bytes, and reads them later.
    pub(super) fn has_same(&self, saved: &Noted) -> bool {
        let last = &self.forms().last;
        let are_others = saved.is_borrowed && saved.roots != last.roots;
        let are_unread = last.roots.is_empty() && !saved.roots.is_empty();
        if are_others || are_unread || saved.is_partial || last.is_partial {
            return true;
        }
        let has_same_names = saved.has_some_names || last.has_some_names || saved.names == last.names;
        has_same_names && saved.sets == last.sets && saved.described == last.described
    }

    /// Takes the forms of a state for known: it was read back. Returns true, once, if some new
    /// forms are not looked for any more: there are too many.
    pub(super) fn accept(&self, noted: Noted) -> bool {
        let Seen { known, is_told, .. } = &mut *self.forms();
        let mut is_full = false;
        let Noted { sets, lengths, described, parts, names, .. } = noted;
        for (known, noted) in known.each_mut().into_iter().zip([sets, lengths, described, parts, names]) {
            let looked = looks(known);
            known.extend(noted);
            is_full |= looked && !looks(known);
        }
        is_full && !std::mem::replace(is_told, true)
    }
}

/// True if there is room for more of these.
fn looks(known: &Forms) -> bool {
    known.len() < NOVEL_FORMS
}

/// Notes that a variant of this form is written with another number than its own, because of its
/// name: a type may give names to numbers that it does not read so.
pub(super) fn is_renumbered(form: usize) {
    Place::ROOT.under(b"variant").with(form as u64).holds(NUMBER);
}

/// Does `encode`, and returns the forms in the state that it encodes.
pub(super) fn noting<R>(encode: impl FnOnce() -> R) -> (R, Noted) {
    let scope = Restore::set(&NOTED, Noted::default());
    let encoded = encode();
    (encoded, scope.take().unwrap_or_default())
}

/// The kinds of forms that are no values.
const LEFT_OUT: u8 = u8::MAX;
const KEYS: u8 = u8::MAX - 1;
const MEMBERS: u8 = u8::MAX - 2;
const LENGTH: u8 = u8::MAX - 3;
const NAME: u8 = u8::MAX - 4;
const NUMBER: u8 = u8::MAX - 5;

/// Longer lengths that types have: those of digests, keys and signatures.
const LONGER: [usize; 2] = [48, 64];

/// The first numbers of the ranges of integers, after the first one. A reader gets numbers of
/// different ranges as different types.
const RANGES: [i128; 4] = [-(1 << 63), 0, 1 << 63, 1 << 64];

/// The steps from a place to one without a name. No name has such a length.
const ELEMENT: u64 = u64::MAX;
const KEY: u64 = u64::MAX - 1;

/// The fields of one struct, or the keys of one map that count as names, in any order. A type may
/// need one, or refuse one that comes twice: so each set of them is a form.
#[derive(Debug, Default)]
pub(crate) struct Keys(u64);

impl Keys {
    /// Adds the one whose value is at this place.
    pub(crate) fn add(&mut self, place: Place) {
        self.0 = self.0.wrapping_add(mixed(place.hash));
    }

    /// Notes them as those of the struct or the map at this place.
    pub(crate) fn end_at(self, place: Place) {
        place.with(self.0).holds(KEYS);
    }
}

/// Mixes each bit of a hash into all others. Names of one length differ in few bits of their
/// hashes: the sum of these alone would be the same for other names with the same bits.
fn mixed(hash: u64) -> u64 {
    let mut hash = hash ^ (hash >> 33);
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = hash.wrapping_mul(factor);
        hash ^= hash >> 33;
    }
    hash
}

/// The keys of one map, while it is written. Those of a long map are data, and no names.
#[derive(Debug)]
pub(crate) struct Named {
    keys: Keys,
    /// The length of the map, if that is known in advance.
    announced: Option<usize>,
    count: usize,
}

impl Named {
    /// The keys of a map that announces this length.
    pub(crate) fn of(announced: Option<usize>) -> Named {
        Named { keys: Keys::default(), announced, count: 0 }
    }

    /// True if no key counts as a name.
    fn is_data(&self) -> bool {
        self.announced.is_some_and(|length| length > NOVEL_KEYS)
    }

    /// Adds a key that counts as a name, of a value at this place. Returns the place for what is
    /// noted of that value, in the map at `around`.
    pub(crate) fn add(&mut self, place: Place, around: Place) -> Place {
        if self.is_data() {
            return around.element();
        }
        // The set has all keys: one of them may be that of a field.
        self.keys.add(place);
        self.count += 1;
        if self.count <= NOVEL_KEYS {
            return place;
        }
        // Their order tells which are the first.
        lasting::look(&NOTED, |noted| {
            if let Some(noted) = noted {
                noted.is_partial = true;
            }
        });
        around.element()
    }

    /// Notes them as those of the map at this place.
    pub(crate) fn end_at(self, place: Place) {
        if !self.is_data() {
            self.keys.end_at(place);
        }
    }
}

/// A value with a length.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Lengthy {
    List,
    Map,
    Bytes,
    Text,
}

/// The place of values in a field, or in a part of unknown form, by the names on the way to them.
/// All elements of a sequence are at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    hash: u64,
    /// The number of places that the members of the tuples around it have.
    members: u32,
    /// True in a field that describes its values.
    is_described: bool,
}

impl Place {
    const ROOT: Place = Place { hash: 0, members: 1, is_described: false };

    /// The place of a whole field of type `T`, in a form of this name. Two types may share a name:
    /// those of two versions of one crate do.
    pub(crate) fn of_field<T: ?Sized>(form: &str) -> Place {
        let ty = IsHashed::default().hash_one(typeid::of::<T>());
        lasting::look(&NOTED, |noted| {
            if let Some(noted) = noted {
                noted.roots.insert(ty);
            }
        });
        Place { is_described: true, ..Place::ROOT.under(form.as_bytes()).with(ty) }
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
        self.with(ELEMENT)
    }

    /// The place of the keys of a map.
    pub(crate) fn key(self) -> Place {
        self.with(KEY)
    }

    /// The place of the member of this number, of as many as a tuple here announces. Those of long
    /// tuples share one place, as elements do: the number of forms has a limit.
    pub(crate) fn member(self, number: usize, announced: usize) -> Place {
        let members = self.members.saturating_mul(u32::try_from(announced).unwrap_or(u32::MAX));
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

    /// Notes that a list, a map or bytes of this length are here. A type may take a list for a
    /// tuple or for a struct, and bytes for an identifier, if the length is right. Longer ones
    /// share a form, but for a few: a list that grows with each save is not read back for ever.
    pub(crate) fn has_length(self, of: Lengthy, length: usize) {
        let length = if LONGER.contains(&length) { length } else { length.min(NOVEL_LENGTH + 1) };
        self.with(of as u64).with(length as u64).holds(LENGTH);
    }

    /// Notes the length of a text here: a type may take it for a character.
    pub(crate) fn has_text(self, text: &str) {
        self.has_length(Lengthy::Text, text.chars().take(2).count());
    }

    /// Notes that a value of a type with this name is here.
    pub(crate) fn is_named(self, name: &str) {
        if self.is_described {
            self.under(name.as_bytes()).holds(NAME);
        }
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
            if let Some(noted) = noted {
                noted.add(kind, self);
            }
        });
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    const FIELD: Place = Place { is_described: true, ..Place::ROOT };

    #[test]
    fn sets_of_fields_leave_room_for_other_forms() {
        let met = Met::default();
        let set = |number: u64| Keys(number).end_at(FIELD);
        let ((), noted) = noting(|| (0..10_000).for_each(set));
        assert_eq!(noted.sets.len(), NOVEL_FORMS);
        met.learn(noted);
        assert!(met.has_new());
        assert!(met.accept(met.take_last()));
        // Those of later states too.
        met.learn(noting(|| (10_000..20_000).for_each(set)).1);
        assert!(!met.has_new());
        let more = || {
            (20_000..30_000).for_each(set);
            FIELD.holds(1);
        };
        met.learn(noting(more).1);
        assert!(met.has_new());
        assert!(!met.accept(met.take_last()), "it is said once");
    }

    #[test]
    fn other_forms_leave_room_for_sets_of_fields() {
        let met = Met::default();
        let form = |number: u64| FIELD.with(number).holds(1);
        met.learn(noting(|| (0..10_000).for_each(form)).1);
        assert!(met.accept(met.take_last()));
        met.learn(noting(|| Keys(1).end_at(FIELD)).1);
        assert!(met.has_new());
    }

    #[test]
    fn two_sets_of_names_have_two_forms() {
        let sum = |names: &[&str]| {
            let mut keys = Keys::default();
            names.iter().for_each(|name| keys.add(FIELD.under(name.as_bytes())));
            keys.0
        };
        let names = |from: char| (0..26_u8).map(move |number| format!("{from}{}", char::from(b'a' + number)));
        let all: Vec<String> = ('0'..='9').flat_map(names).collect();
        let mut sums = HashSet::new();
        for (number, one) in all.iter().enumerate() {
            for other in &all[..number] {
                assert!(sums.insert(sum(&[one, other])), "{one} {other}");
                assert_eq!(sum(&[one, other]), sum(&[other, one]));
            }
        }
    }

    #[test]
    fn no_name_is_that_of_an_element_or_a_key() {
        assert_ne!(FIELD.under(b"[]"), FIELD.element());
        assert_ne!(FIELD.under(b"key"), FIELD.key());
        assert_ne!(FIELD.element(), FIELD.key());
    }

    #[test]
    fn two_types_of_one_name_have_places_of_their_own() {
        use std::any::type_name;
        let (first, first_name) = {
            struct Options;
            (Place::of_field::<Options>("cbor"), type_name::<Options>())
        };
        let (second, second_name) = {
            struct Options;
            (Place::of_field::<Options>("cbor"), type_name::<Options>())
        };
        assert_eq!(first_name, second_name);
        assert_ne!(first, second);
    }
}
