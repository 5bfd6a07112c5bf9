//! One checkpoint as a tree of values, without the program that wrote it.
//!
//! `file` opens a checkpoint and leads to its root, a [`Node`]. `walk` finds the beginning of each
//! value in the bytes of the state; `layout` and `ends` spare it steps. A node holds a number, a
//! text, an [`Array`], or [`Members`], each a node again. Tools and the read-back of a save build
//! on these: `outline` and `json` show a tree, `comparison` compares two, `sameness` tells whether
//! two have the same values, and `export` copies arrays out. `field` is a value as it was encoded.
//! `shards` finds the blocks of arrays that the members of a group share.

mod array;
mod comparison;
mod element;
mod ends;
mod export;
mod field;
mod file;
mod free_form;
mod json;
mod layout;
mod members;
mod node;
mod numbers;
mod outline;
mod sameness;
#[cfg(feature = "group")]
mod shards;
mod statistics;
mod walk;

pub use array::Array;
pub use comparison::{Change, Comparison, Difference, ElementChange, ElementsChange};
pub use element::Number;
pub use export::{write_npy, write_npz, write_safetensors};
pub use file::{File, Found, Header, Part};
pub use members::{Label, Member, Members};
pub(crate) use node::check;
pub use node::{Node, Value};
pub use outline::{Content, Limits, Outline, OutlineArray, OutlineMember};
#[cfg(feature = "scopes")]
pub(crate) use sameness::same_in_order;
pub(crate) use sameness::same_values;
#[cfg(feature = "group")]
pub(crate) use shards::{
    Asked, BlockData, SHARDED, SHARDED_FIELDS, SHARED, ShardedValue, Survey, is_sharded, neither, survey,
};
pub use statistics::{ArraySummary, Profile, Statistics};
