//! Inspects checkpoints without the program that wrote them.
//!
//! A checkpoint describes itself: its manifest has the schema of the state, and the schema gives
//! the bytes their meaning. So any checkpoint can be [opened](File::open) and walked through, one
//! [`Node`] after the other, down to the single number. Arrays are read only on request, and then
//! in pieces. The command `ckpt` is built on this module, and other tools can be.
//!
//! ```
//! use checkpointed::inspect::{File, Found, Limits, Number, Value};
//! use checkpointed::{Checkpointer, Protection};
//!
//! # fn main() -> Result<(), checkpointed::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("run.ckpt");
//! let mut checkpoints = Checkpointer::<(u64, Vec<f64>)>::open(&path)?;
//! checkpoints.save(&(7, vec![0.5, 1.5]))?;
//!
//! let file = File::open(path.join("00000000000000000001.ckpt"), &Protection::new())?;
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

mod checking;
mod copying;
mod importing;
mod mirroring;
mod newest;
mod overview;
mod pruning;
mod rewinding;
mod subject;
mod transfer;
mod verification;

pub use checking::{Check, CheckedField, FieldOutcome, check};
pub use copying::{Copied, branch, copy};
pub use importing::{ImportReport, Imported, ImportedArray, import};
pub use mirroring::{Mirrored, mirror};
pub use newest::{newest, newest_in};
pub use overview::{GenerationOverview, Kind, Overview, SetAside, holder, overview, overview_in, pin, unpin};
pub use pruning::{Pruned, Pruning, prune, prune_in};
#[cfg(all(test, feature = "group"))]
pub(crate) use rewinding::rewind_on;
pub use rewinding::{remove_rewound, rewind};
pub use transfer::{copy_between, copy_from, copy_to};
pub use verification::{
    Condition, PartVerdict, Verdict, restart, verify, verify_directory, verify_in, verify_one_in,
};

pub use crate::base::text::plain;
pub use crate::base::time::parse_duration;
#[cfg(feature = "group")]
#[cfg_attr(docsrs, doc(cfg(feature = "group")))]
pub use crate::group::{GroupArray, GroupCost, GroupFile};
pub use crate::schema::element::Element;
pub use crate::store::{ByAge, CopyWay, Keeping, Retention};
pub use crate::tree::{
    Array, ArraySummary, Change, Comparison, Content, Difference, ElementChange, ElementsChange, File, Found,
    Header, Label, Limits, Member, Members, Node, Number, Outline, OutlineArray, OutlineMember, Part,
    Profile, Statistics, Value, write_npy, write_npz, write_safetensors,
};

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
