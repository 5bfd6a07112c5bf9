//! The outcome of a save.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::stop_reason::StopReason;
use crate::schedule::Due;

/// A completed save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Saved {
    /// The number of the new generation: larger than that of any generation before it, mostly by
    /// one.
    pub generation: u64,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// The number of bytes that were written to it: fewer where the save wrote over an older file
    /// that had the others already.
    pub written: u64,
    /// The time that the save took, from its beginning until it was on the disk.
    pub duration: Duration,
    /// The time that the program waited for it: all of `duration`, or only the copy of the state
    /// for a save in the background.
    pub stall: Duration,
}

/// A save that was started in the background.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SaveStarted {
    /// The number of the generation that is being written.
    pub generation: u64,
    /// The time that the program waited: for the copy of the state, and for the previous save if
    /// that was still running.
    pub stall: Duration,
}

/// The reason of a save. A program can send it to other processes, which then
/// [save](crate::Checkpointer::save_because) for the same reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SaveReason {
    /// The program asked for it.
    Asked,
    /// The schedule required it.
    Due(Due),
    /// The program has to stop.
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

/// The decision of [`save_if_due`](crate::Checkpointer::save_if_due).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// No save: it is not time yet.
    NotDue,
    /// The state was saved.
    Saved {
        /// The completed save.
        saved: Saved,
        /// The reason of the save.
        reason: SaveReason,
    },
    /// A save was started in the background.
    Started {
        /// The started save.
        started: SaveStarted,
        /// The reason of the save.
        reason: SaveReason,
    },
    /// A due save failed, and the program continues, as
    /// [`on_failed_save`](crate::Builder::on_failed_save) asks. In the background it is a save that
    /// was started earlier.
    #[non_exhaustive]
    Failed {
        /// The message of the error.
        message: String,
        /// The number of failed saves in a row, with this one.
        times: u32,
    },
}

impl Decision {
    /// Returns true if the state was saved: it is acknowledged.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        matches!(self, Decision::Saved { .. })
    }

    /// Returns true if a save was started in the background. It is not acknowledged yet.
    #[must_use]
    pub fn is_started(&self) -> bool {
        matches!(self, Decision::Started { .. })
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

/// The progress of a checkpointer, as told to
/// [`Builder::on_progress`](crate::Builder::on_progress).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// A save begins.
    Started {
        /// The generation of the save.
        generation: u64,
        /// The reason of the save.
        reason: SaveReason,
    },
    /// More of the save was handed to the operating system. The writing thread reports it every few
    /// MiB.
    Writing {
        /// The generation of the save.
        generation: u64,
        /// The number of bytes so far.
        bytes: u64,
    },
    /// The save is on the disk.
    Saved(Saved),
    /// The save failed. Earlier saves are untouched.
    Failed {
        /// The generation of the save.
        generation: u64,
        /// The message of the error.
        message: String,
    },
}
