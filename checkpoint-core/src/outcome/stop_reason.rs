//! [`StopReason`]: why a run is to stop before its end.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use crate::base::time::date;

/// Why a run is to stop before its end.
///
/// Its text is for people: `the signal SIGTERM (15)`, `the deadline 2026-11-23T14:00:00Z of SLURM_JOB_END_TIME`.
/// It can be sent to other processes, to [stop](crate::Checkpointer::stop) for the same reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody sent a signal.
    Signal(Signal),
    /// The run has nearly had the time that the program gave it.
    #[non_exhaustive]
    TimeLimit {
        /// That time.
        limit: Duration,
    },
    /// The job is about to be ended from outside.
    #[non_exhaustive]
    Deadline {
        /// When.
        at: SystemTime,
        /// Who says so: `SLURM_JOB_END_TIME`, `scontrol`, `PBS` or `CHECKPOINT_DEADLINE`.
        source: Cow<'static, str>,
    },
    /// Somebody put a file named `halt` into the checkpoint directory.
    #[non_exhaustive]
    Halt {
        /// The first line of the file, without what a terminal would take for a command, and cut if long; often empty.
        message: String,
    },
    /// A user or a program put a file named `requeue` into the checkpoint directory: the program is to be started again, as
    /// on another machine.
    #[non_exhaustive]
    Requeue {
        /// As that of [`Halt`](StopReason::Halt).
        message: String,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopReason::Signal(signal) => write!(formatter, "the signal {signal} ({})", signal.number()),
            StopReason::TimeLimit { limit } => {
                write!(formatter, "the time limit of {}", humantime::format_duration(*limit))
            }
            StopReason::Deadline { at, source } => {
                write!(formatter, "the deadline {} of {source}", date(*at))
            }
            StopReason::Halt { message } if message.is_empty() => formatter.write_str("the halt file"),
            StopReason::Halt { message } => write!(formatter, "the halt file: {message}"),
            StopReason::Requeue { message } if message.is_empty() => formatter.write_str("the requeue file"),
            StopReason::Requeue { message } => write!(formatter, "the requeue file: {message}"),
        }
    }
}
