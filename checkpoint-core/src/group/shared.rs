//! [`Shared`]: a value that all members of a group have alike.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize};

use crate::arrays::ArrayPool;
use crate::schema::{Body, Fields, Type};
use crate::state::{Checkpoint, Types};
use crate::tree::SHARED;

/// A value that all members of a group have alike, such as the step or the parameters.
///
/// Each save compares it: if the members differ, the save is an error for all of them. A group
/// of any size loads it.
///
/// ```
/// use checkpointed::group::Shared;
///
/// let mut step = Shared(41_u64);
/// *step += 1;
/// assert_eq!(*step, 42);
/// ```
///
/// Maps may have their entries in any order. A `HashSet` has another order on each member, and so
/// counts as different: use a `BTreeSet`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename = "group::Shared")]
pub struct Shared<T>(
    /// The value itself.
    pub T,
);

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Shared<T> {
        Shared(value)
    }
}

impl<T: Checkpoint> Checkpoint for Shared<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        types.define_derived::<Self>(SHARED, 1, |types| Body::Struct(Fields::Newtype(T::schema(types))))
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        self.0.lend_arrays(pool);
    }
}
