//! The commands, each in a file of its own.

pub(crate) mod branch;
pub(crate) mod check;
pub(crate) mod copy;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod group;
pub(crate) mod halt;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod manual;
pub(crate) mod mirror;
pub(crate) mod pin;
pub(crate) mod prune;
pub(crate) mod redo;
pub(crate) mod report;
pub(crate) mod rewind;
pub(crate) mod show;
pub(crate) mod steps;
pub(crate) mod verify;
pub(crate) mod watch;
