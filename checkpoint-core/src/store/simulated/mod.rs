//! Simulated power cuts: the operations of a save on the disk are recorded. Every state that a
//! power cut could leave is made from the record, and loaded.
//!
//! [`disk`] records. [`image`] is a state of a disk. [`cut`] makes all states that a power cut may
//! leave, by these rules:
//!
//! - Bytes that were not synced since they were written may be there or not, each sector by itself:
//!   old, new, anything that was written in between, or zero where the file grew. The length of the
//!   file is any that it had since the sync.
//! - A name that was created, renamed or removed since the last sync of its directory may have
//!   changed or not, each change by itself: also a rename whose file has no data yet, and data
//!   whose rename is missing. A rename is atomic.
//! - Synced bytes are there. A sync of a file does not sync its name, nor a sync of a directory its
//!   own name.
//!
//! [`scenarios`] are programs; [`check`] knows the right results of a load in each of these states;
//! [`campaign`] runs them, then lets the program start again in such a state, and cuts the power
//! once more. [`mutants`] are protocols with a fault in them: they test all this itself.
//! [`interleavings`] are the orders in which a program, the thread that saves for it, and readers
//! can run. [`groups`] are machines that save together, whose power is cut one by one. [`rewinds`]
//! and [`group_rewinds`] are rewinds that are cut short.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod campaign;
mod check;
mod cut;
mod disk;
#[cfg(all(feature = "group", feature = "inspect"))]
mod group_rewinds;
#[cfg(feature = "group")]
mod groups;
mod image;
#[cfg(shuttle)]
mod interleavings;
pub(crate) mod mutants;
mod outputs;
mod rewinds;
mod scenarios;
mod tests;

#[cfg(feature = "scopes")]
pub(crate) use self::cut::Random;
