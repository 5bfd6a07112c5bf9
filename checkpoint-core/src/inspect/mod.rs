//! Looking into checkpoints without the program that wrote them.
//!
//! A checkpoint describes itself: its manifest has the schema of the state, and the schema says what the bytes are. So
//! any checkpoint can be [opened](File::open) and walked through, one [`Node`] after the other, down to the single number;
//! the arrays are read only when they are asked for, and then in pieces. The command `ckpt` is built on this, and anything
//! else can be.
//!
//! ```
//! use checkpointed_core::inspect::{File, Found, Limits, Number, Value};
//! use checkpointed_core::Checkpointer;
//!
//! # fn main() -> Result<(), checkpointed_core::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("run.ckpt");
//! let mut checkpoints = Checkpointer::<(u64, Vec<f64>)>::open(&path)?;
//! checkpoints.save(&(7, vec![0.5, 1.5]))?;
//!
//! let file = File::open(path.join("00000000000000000001.ckpt"))?;
//! assert_eq!(file.root().type_name(), "(u64, Vec<f64>)");
//! let Found::Node(step) = file.find("0")? else { unreachable!() };
//! assert!(matches!(step.value()?, Value::Number(Number::Unsigned(7))));
//! let Found::Node(energies) = file.find("1")? else { unreachable!() };
//! let Value::Array(array) = energies.value()? else { unreachable!() };
//! assert_eq!(array.shape(), [2]);
//! assert_eq!(array.summary(&Limits::default())?.statistics.mean, Some(1.0));
//! # Ok(())
//! # }
//! ```

mod array;
mod comparison;
mod copying;
mod element;
mod ends;
mod export;
mod file;
mod free_form;
mod json;
mod layout;
mod members;
mod node;
mod outline;
mod overview;
mod pruning;
mod sameness;
mod statistics;
mod steps;
mod summary;
mod timeline;
mod verification;
mod walk;

pub use array::Array;
pub use comparison::{Change, Comparison, Difference, ElementChange, ElementsChange};
pub use copying::{Copied, copy};
pub use element::{Element, Number};
pub use export::{write_npy, write_npz, write_safetensors};
pub use file::{File, Found, Header, Part};
pub use members::{Label, Member, Members};
pub use node::{Node, Value};
pub use outline::{Content, Limits, Outline, OutlineArray, OutlineMember};
pub use overview::{GenerationOverview, Kind, Overview, holder, overview, pin, unpin};
pub use pruning::{Pruned, Pruning, prune};
pub(crate) use sameness::same_values;
pub use statistics::{ArraySummary, Profile, Statistics};
pub use steps::{StepOverview, StepVersion, redo, steps, undo_redo};
pub use summary::{
    Description, FailedSave, KeptGeneration, PastRestart, PastRun, PastSave, RunEnd, Summary, Totals, summary,
};
pub use verification::{Condition, PartVerdict, Verdict, restart, verify, verify_directory};

pub use crate::base::text::plain;
pub use crate::store::{CopyWay, Keeping, Retention};
