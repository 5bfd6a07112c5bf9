//! Types of other crates, saved and loaded in the shapes that programs use: as a field, and in
//! `Vec<(T, u16)>`, both also in a state that has changed since, and as the state itself.
//!
//! Each of the [`trials`] has a few types of one crate with some values. `tests/table.rs` tries
//! them all, checks that each saved value is loaded, and compares the outcomes with the table in
//! docs/types.md.

pub mod row;
pub mod same;
pub mod table;
mod types;

pub use types::{State, states, trials};
