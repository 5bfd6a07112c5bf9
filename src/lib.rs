//! placeholder
pub use checkpointed_core::*;
#[cfg(feature = "derive")]
pub use checkpointed_derive::{Checkpoint, checkpointed};
