//! The base of every layer: the machine, memory, threads, panics, callbacks, warnings, text and
//! times.

pub(crate) mod callback;
pub(crate) mod file_system;
pub(crate) mod hashed;
#[cfg(test)]
pub(crate) mod heard;
pub(crate) mod host;
pub(crate) mod lasting;
pub(crate) mod limits;
pub(crate) mod panics;
pub(crate) mod streaming;
pub(crate) mod text;
pub(crate) mod threads;
pub(crate) mod ticker;
pub(crate) mod time;
pub(crate) mod warnings;
