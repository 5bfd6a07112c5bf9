#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub use checkpointed_core::*;

#[cfg(feature = "derive")]
pub use checkpointed_derive::{Checkpoint, checkpointed};

#[doc(hidden)]
pub use checkpointed_core::__private;

// Its example runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../docs/evolution.md")]
struct Evolution;
