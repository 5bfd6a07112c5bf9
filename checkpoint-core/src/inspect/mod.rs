//! What tools ask about checkpoints of which they know no Rust type. The command `ckpt` only prints what the functions here
//! find out, so that any other tool can find out the same.

mod overview;
mod steps;

pub use overview::{GenerationOverview, Kind, Overview, holder, overview, pin, unpin};
pub use steps::{StepOverview, StepVersion, redo, steps, undo_redo};

pub use crate::store::{Keeping, Retention};
