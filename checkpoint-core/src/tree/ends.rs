//! The ends of values that were passed over. A reader of a whole state asks for the end of a value
//! at each level around it, and would pass over the innermost values once for each level.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::walk::Place;
use crate::schema::Type;

/// Values that take fewer steps are not noted, but passed over again.
pub(super) const WORTH_IT: u64 = 64;

/// The ends that are known.
#[derive(Debug)]
pub(super) struct Ends(Mutex<Known>);

/// The same, locked for one walk.
#[derive(Debug, Default)]
pub(super) struct Known {
    ends: HashMap<(Place, Key), Place>,
    /// The number of ends that may still be kept: a forged state has any number of values that take
    /// no bytes.
    left: usize,
    /// The number of steps of all walks.
    #[cfg(test)]
    pub(super) steps: u64,
}

/// A type. Its place in the schema is fixed.
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
    /// No ends yet. The number of ends to be kept depends on the number of bytes of the state.
    pub(super) fn new(bytes: u64) -> Ends {
        let left = usize::try_from(bytes / 8).unwrap_or(usize::MAX).saturating_add(4096);
        Ends(Mutex::new(Known { left, ..Known::default() }))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The end of a value of this type that begins at `start`.
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
