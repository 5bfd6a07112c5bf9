//! State → parts: the definition of a state, its schema, and its bytes.

pub mod adapter;
mod borrowed;
pub(crate) mod expected;
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

pub use borrowed::Borrowed;
pub use expected::ExpectedSchema;
pub(crate) use field::derived;
pub use field::{Probe, ViaCheckpoint, ViaParts, ViaSerde, told, traced};
pub use implementations::{PartSchema, Parts, ShortArray};
pub use plain::Plain;
pub use types::Types;

use crate::arrays::ArrayPool;
use crate::schema::Type;

/// A type that can be saved to a checkpoint and restored from one.
///
/// Put `#[checkpointed]` on a struct or an enum to make it one. The trait is implemented for
/// scalars, strings, and the collections, tuples and arrays of the standard library; [`Plain`]
/// wraps any other serde type. `Arc` and `Rc` are stored with their content: after a load, each
/// pointer has a copy of its own.
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
    /// The name of the state in the manifest. The author chooses it; it is never a module path. It
    /// is empty for types that have no name of their own, such as `Vec<f64>`.
    const NAME: &'static str;

    /// The version of the state. The author raises it when the meaning of the state changes.
    const VERSION: u32 = 1;

    /// Adds the type's schema to `types`, and returns a reference to it.
    fn schema(types: &mut Types) -> Type;

    /// Gives up the memory of large arrays, because the state is about to be replaced.
    #[doc(hidden)]
    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        let _ = pool;
    }
}
