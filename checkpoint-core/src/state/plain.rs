//! [`Plain`]: any serde type as a state.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Checkpoint, Types};
use crate::schema::Type;
use crate::trace;

/// Makes a state of any type that implements serde's traits, such as one from another crate.
///
/// Only the state itself needs it: a *field* of such a type needs nothing. The schema is found out
/// from the requests of its `Deserialize` implementation.
///
/// A `Deserialize` may pass over an error, and use a default for a value that was read to its end.
/// Any other failure makes the load an error, because the next value could not be found.
///
/// ```no_run
/// use checkpointed::{Checkpointer, Plain};
/// use std::ops::Range;
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// let mut checkpoints = Checkpointer::<Plain<Range<u32>>>::open("range.ckpt")?;
/// checkpoints.save(&Plain(3..7))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Plain<T>(
    /// The value itself.
    pub T,
);

impl<T: Serialize + DeserializeOwned + 'static> Checkpoint for Plain<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        types.import::<T>(trace::trace::<T>)
    }
}
