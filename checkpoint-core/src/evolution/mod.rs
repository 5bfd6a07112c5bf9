//! A state with a type that changed since the save: finds the differences, and reads the state
//! despite them.
//!
//! ```text
//! program: the schema of the program, and its migrations
//!    │
//!    ▼
//! compare: the differences, and the plan ──▶ resolve: reads by names
//! ```

mod compare;
mod migrated;
mod program;
mod resolve;

#[cfg(test)]
pub(crate) use compare::differences;
pub(crate) use compare::{
    Choice, Chosen, Compared, Matched, Own, compare, fields_of, matching, opaque, other_version, unsupported,
};
pub use compare::{Difference, DifferenceKind};
pub use migrated::Migrated;
pub(crate) use program::{Key, Migration, Program, Told};
pub(crate) use resolve::{Conversion, decode_by_schema, is_of_migration, is_value};
