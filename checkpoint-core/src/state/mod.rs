//! State → parts: what a state is, what it looks like, and its bytes.

pub mod adapter;
mod field;
pub mod fixed;
mod implementations;
pub mod json;
mod migrate;
mod plain;
pub mod self_describing;
mod types;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use field::derived;
pub use field::{Probe, ViaCheckpoint, ViaParts, ViaSerde, told, traced};
pub use implementations::{PartSchema, Parts, ShortArray};
pub use plain::Plain;
pub use types::Types;

use crate::arrays::ArrayPool;
use crate::schema::Type;

/// A type that can be saved to a checkpoint and restored from one.
///
/// Put `#[checkpointed]` on a struct or an enum, and it is one. It is implemented for scalars, strings, and the
/// collections, tuples and arrays of the standard library; [`Plain`] wraps any other serde type. `Arc` and `Rc` are
/// stored with what they point to: what was shared is a copy each after a load.
///
/// ```
/// use checkpointed::{Checkpoint, Plain};
///
/// fn can_be_saved<T: Checkpoint>() {}
/// can_be_saved::<Vec<(u64, Option<String>)>>();
/// can_be_saved::<Plain<std::ops::Range<u32>>>();
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be saved to a checkpoint",
    label = "not a `Checkpoint`",
    note = "put `#[checkpointed]` on the type if it is yours; wrap it in `checkpointed::Plain` if it comes from another crate and implements serde's traits",
    note = "a fixed array longer than 32 is written out in the type of a field, such as `[f64; 64]`; behind an alias the field needs `#[serde(with = \"checkpointed::fixed\")]`"
)]
pub trait Checkpoint: Serialize + DeserializeOwned + 'static {
    /// What the manifest calls the state: a name of the author's, never a module path. Empty for types that have
    /// no name of their own, such as `Vec<f64>`.
    const NAME: &'static str;

    /// Raised by the author when the meaning of the state changes.
    const VERSION: u32 = 1;

    /// Adds what the type looks like to `types`, and returns how to refer to it.
    fn schema(types: &mut Types) -> Type;

    /// Gives up the memory of large arrays, because the state is about to be replaced.
    #[doc(hidden)]
    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        let _ = pool;
    }
}
