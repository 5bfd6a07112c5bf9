//! Types of other crates, kept in the shapes that programs use: as a field, in `Vec<(T, u16)>`, both
//! also of a state that has changed since, and as the state itself.
//!
//! Each of the [`trials`] is a few types of one crate with some values. `tests/table.rs` tries them
//! all, holds that what is saved is loaded, and compares the outcomes with the table in docs/types.md.

pub mod row;
pub mod same;
pub mod table;
mod types;

pub use types::{State, states, trials};
