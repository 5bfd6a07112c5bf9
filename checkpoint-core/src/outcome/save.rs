//! What a save came to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stop_reason::StopReason;
use crate::schedule::Due;

/// What a save wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Saved {
    /// The number of the new generation: one more than the last.
    pub generation: u64,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// How long the save took, from its beginning until it was on the disk.
    pub duration: Duration,
    /// How long the program waited for it: all of that, or in the background only for the copy of the state.
    pub stall: Duration,
}

/// What a save in the background began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveStarted {
    /// The number of the generation that is being written.
    pub generation: u64,
    /// How long the program waited: for the copy of the state, and for the save before it where that went on.
    pub stall: Duration,
}

/// Why a state was saved. It can be sent to other processes, to
/// [save](crate::Checkpointer::save_because) for the same reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SaveReason {
    /// The program asked for it.
    Asked,
    /// The schedule wanted it.
    Due(Due),
    /// The program is to stop.
    Stopping(StopReason),
    /// The run ends.
    Finishing,
}

impl fmt::Display for SaveReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaveReason::Asked => formatter.write_str("asked for"),
            SaveReason::Due(due) => due.fmt(formatter),
            SaveReason::Stopping(reason) => write!(formatter, "stopping: {reason}"),
            SaveReason::Finishing => formatter.write_str("finishing"),
        }
    }
}

/// What [`save_if_due`](crate::Checkpointer::save_if_due) did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// Nothing: it is not time yet.
    NotDue,
    /// It saved.
    Saved {
        /// What it wrote.
        saved: Saved,
        /// The reason of the save.
        reason: SaveReason,
    },
    /// It began to save in the background.
    Started {
        /// What it started.
        started: SaveStarted,
        /// The reason of the save.
        reason: SaveReason,
    },
    /// A save failed that was merely due, and the program is to go on, as
    /// [`on_failed_save`](crate::Builder::on_failed_save) wants it. In the background it is one that was begun earlier.
    #[non_exhaustive]
    Failed {
        /// What the error says.
        message: String,
        /// How many saves have failed since the last one that did not; this one counts.
        times: u32,
    },
}

impl Decision {
    /// Whether a save was made or begun.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        matches!(self, Decision::Saved { .. } | Decision::Started { .. })
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::NotDue => formatter.write_str("not due"),
            Decision::Saved { saved, reason } => {
                write!(formatter, "saved generation {}: {reason}", saved.generation)
            }
            Decision::Started { started, reason } => {
                write!(formatter, "began to save generation {}: {reason}", started.generation)
            }
            Decision::Failed { message, times } => {
                write!(formatter, "a save failed, {times} in a row now: {message}")
            }
        }
    }
}

/// What a checkpointer tells while it works, see [`Builder::on_progress`](crate::Builder::on_progress).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// A save begins.
    Started {
        /// The generation that it is to be.
        generation: u64,
        /// The reason of the save.
        reason: SaveReason,
    },
    /// Some more of it was handed to the operating system; told every few MiB, by the thread that writes.
    Writing {
        /// The generation that it is to be.
        generation: u64,
        /// How many bytes so far.
        bytes: u64,
    },
    /// It is on the disk.
    Saved(Saved),
    /// It failed. What was saved before is untouched.
    Failed {
        /// The generation that it was to be.
        generation: u64,
        /// What the error says.
        message: String,
    },
}
