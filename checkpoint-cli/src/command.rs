//! The commands, each in a file of its own.

pub(crate) mod list;
pub(crate) mod show;
