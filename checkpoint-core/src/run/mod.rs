//! One run of a program over a checkpoint directory: opening, loading, saving, its end.

pub(crate) mod builder;
pub(crate) mod checkpointer;
pub(crate) mod configuration;
pub(crate) mod embedded;
pub(crate) mod failures;
pub(crate) mod finished;
pub(crate) mod going_back;
#[cfg(all(test, unix))]
mod hostile;
pub(crate) mod in_memory;
pub(crate) mod lifecycle;
pub(crate) mod mirror;
pub(crate) mod mirroring;
mod opening;
pub(crate) mod options;
pub(crate) mod read_back;
pub(crate) mod reader;
pub(crate) mod save;
pub(crate) mod saver;
pub(crate) mod stamp;
pub(crate) mod standing;
pub(crate) mod watcher;
