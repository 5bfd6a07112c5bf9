//! Power cuts, simulated: what a save asked of the disk is recorded, and every state that a power cut could leave is
//! made from the record and loaded.
//!
//! [`disk`] records. [`image`] is a state of a disk. [`cut`] makes all states that a power cut may leave, by these rules:
//!
//! - What was not synced since it was written may be there or not, each sector by itself: old, new, anything that was
//!   written in between, or zero where the file grew. The length of the file is any that it had since the sync.
//! - A name that was created, renamed or removed since the last sync of its directory may have changed or not, each
//!   change by itself: also a rename whose file has no data yet, and data whose rename is missing. A rename is atomic.
//! - What was synced is there. A sync of a file says nothing of its name, nor one of a directory of its own name.
//!
//! [`scenarios`] are programs; [`check`] says what a load must give in each of these states; [`campaign`] runs them,
//! then lets the program start again in such a state, and cuts the power once more. [`mutants`] are protocols with a
//! fault in them, by which all this is tested itself. [`interleavings`] are the orders in which a program, the thread that
//! saves for it, and readers may go on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod campaign;
mod check;
mod cut;
mod disk;
mod image;
#[cfg(shuttle)]
mod interleavings;
pub(crate) mod mutants;
mod scenarios;
mod tests;
