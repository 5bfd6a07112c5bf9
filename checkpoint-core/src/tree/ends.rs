//! Where values end that were passed over: whoever goes through a state asks for the end of a value
//! at each level around it, and would pass over the innermost ones once for each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::walk::Place;
use crate::schema::Type;

/// Values that take fewer steps to pass over are passed over again.
pub(super) const WORTH_IT: u64 = 64;

/// The ends that are known.
#[derive(Debug)]
pub(super) struct Ends(Mutex<Known>);

/// The same, while one walk has them.
#[derive(Debug, Default)]
pub(super) struct Known {
    ends: HashMap<(Place, Key), Place>,
    /// How many more are kept: a forged state has any number of values that take no bytes.
    left: usize,
    /// How many steps all walks took.
    #[cfg(test)]
    pub(super) steps: u64,
}

/// A type, which has a place in the schema that is not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Definition(usize),
    Inline(usize),
}

fn key(ty: &Type) -> Key {
    match ty {
        Type::Named(place) => Key::Definition(*place),
        ty => Key::Inline(std::ptr::from_ref(ty).addr()),
    }
}

impl Ends {
    /// None are known; of a state of so many bytes, so many will be kept.
    pub(super) fn new(bytes: u64) -> Ends {
        let left = usize::try_from(bytes / 8).unwrap_or(usize::MAX).saturating_add(4096);
        Ends(Mutex::new(Known { left, ..Known::default() }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The end of a value of this type that begins there.
    pub(super) fn get(&self, start: Place, ty: &Type) -> Option<Place> {
        if self.ends.is_empty() {
            return None;
        }
        self.ends.get(&(start, key(ty))).copied()
    }

    pub(super) fn note(&mut self, start: Place, ty: &Type, end: Place) {
        if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
            self.ends.insert((start, key(ty)), end);
        }
    }
}
