//! What every layer may use: the machine, threads, panics, text and times.

pub(crate) mod host;
pub(crate) mod panics;
pub(crate) mod text;
pub(crate) mod threads;
pub(crate) mod time;
