//! [`StopReason`]: why a run is to stop before its end.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::signal::Signal;
use crate::base::time::date;

/// The reason to stop a run before its end.
///
/// Displays as text for people: `the signal SIGTERM (15)`, `the deadline 2026-11-23T14:00:00Z of
/// SLURM_JOB_END_TIME`.
/// A program can send it to other processes, which then [stop](crate::Checkpointer::stop) for the
/// same reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StopReason {
    /// The program received a signal.
    Signal(Signal),
    /// The run has nearly used up the time that the program gave it.
    #[non_exhaustive]
    TimeLimit {
        /// The time that the program gave it.
        limit: Duration,
    },
    /// The job is about to be ended from outside.
    #[non_exhaustive]
    Deadline {
        /// The time of the end.
        at: SystemTime,
        /// The source of that time: `SLURM_JOB_END_TIME`, `scontrol`, `PBS` or
        /// `CHECKPOINT_DEADLINE`.
        source: Cow<'static, str>,
    },
    /// A user or a program put a file named `halt` into the checkpoint directory.
    #[non_exhaustive]
    Halt {
        /// The first line of the file, without control characters for terminals, and shortened if
        /// it is long. Often empty.
        message: String,
    },
    /// A user or a program put a file named `requeue` into the checkpoint directory: the program
    /// must be started again, for example on another machine.
    #[non_exhaustive]
    Requeue {
        /// The first line of the file, as in [`Halt`](StopReason::Halt).
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
