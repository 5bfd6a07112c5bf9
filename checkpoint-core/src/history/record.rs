//! One line of the history.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize};

use crate::outcome::SaveReason;
use crate::store::Retention;

/// An event in the history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The time, by the clock of the machine.
    #[serde(with = "crate::container::time")]
    pub time: SystemTime,
    /// The time since the start of the run. In the file, all durations are in seconds.
    #[serde(with = "seconds")]
    pub at: Duration,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// A summary of the files before this one.
    Summary {
        /// The number of runs.
        runs: u64,
        /// The number of failed runs.
        failures: u64,
        /// The total time of all runs.
        #[serde(with = "seconds")]
        observed: Duration,
        /// The time of work that the restarts repeated.
        #[serde(with = "seconds")]
        lost: Duration,
    },
    /// A program opened the directory.
    Start {
        /// The name of the machine.
        host: String,
        /// The number of the process.
        process: u32,
        /// The schedule of its saves, in words.
        schedule: String,
        /// The generations that it keeps; `None` if a later version wrote it in an unknown form.
        #[serde(deserialize_with = "lenient", default)]
        retention: Option<Retention>,
    },
    /// A sign of life: the run continues, and nothing else was written for a while.
    Alive,
    /// The run before this one has no recorded end.
    Died {
        /// The time until its last sign of life.
        #[serde(with = "seconds")]
        ran: Duration,
    },
    /// A state was loaded.
    Restart {
        /// The generation.
        generation: u64,
        /// The work that is repeated because the run before this one failed, as a lower bound. It
        /// lasts from the loaded save to the last sign of life of that run; from the start of that
        /// run, if an earlier one made the save.
        #[serde(with = "seconds::optional", default, skip_serializing_if = "Option::is_none")]
        lost: Option<Duration>,
    },
    /// A state was saved.
    Save {
        /// The generation.
        generation: u64,
        /// The length of the file.
        bytes: u64,
        /// The number of bytes that were written to it, if that is fewer: the save wrote over an
        /// older file that had the others already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written: Option<u64>,
        /// The time that the program waited.
        #[serde(with = "seconds")]
        stall: Duration,
        /// The time until the save was on the disk.
        #[serde(with = "seconds")]
        total: Duration,
        /// The interval that the schedule aims for from here on.
        #[serde(with = "seconds::optional", default, skip_serializing_if = "Option::is_none")]
        interval: Option<Duration>,
        /// The kind of its reason.
        reason: ReasonKind,
        /// The reason, in words.
        why: String,
    },
    /// A save failed.
    Failure {
        /// The generation that the save was for.
        generation: u64,
        /// The message of the error.
        error: String,
    },
    /// The program removed all generations after one.
    Discard {
        /// The newest that stays.
        generation: u64,
    },
    /// A program or a user went back to a generation.
    Rewind {
        /// The newest since then.
        generation: u64,
    },
    /// The run ended.
    End(End),
}

/// The kind of the reason of a save; a program gets more from [`SaveReason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReasonKind {
    /// The program asked for it.
    Asked,
    /// The schedule required it.
    Due,
    /// The program was to stop.
    Stopping,
    /// The run ended.
    Finishing,
}

impl From<&SaveReason> for ReasonKind {
    fn from(reason: &SaveReason) -> ReasonKind {
        match reason {
            SaveReason::Asked => ReasonKind::Asked,
            SaveReason::Due(_) => ReasonKind::Due,
            SaveReason::Stopping(_) => ReasonKind::Stopping,
            SaveReason::Finishing => ReasonKind::Finishing,
        }
    }
}

/// An unknown retention does not invalidate its record: the run has begun in any case.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Retention>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(Retention::deserialize(value).ok())
}

/// The fields of a record that a later version can be expected to keep.
#[derive(Deserialize)]
struct Outline {
    #[serde(with = "crate::container::time")]
    time: SystemTime,
    #[serde(with = "seconds")]
    at: Duration,
    event: String,
}

/// Reads a line that is no valid record. An end of an unknown kind is still an end: otherwise its
/// run would count as failed.
pub(super) fn end_in(line: &[u8]) -> Option<Record> {
    let Outline { time, at, event } = serde_json::from_slice(line).ok()?;
    (event == "end").then_some(Record { time, at, event: Event::End(End::Closed) })
}

/// The end of a run. None of these is a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", content = "by", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum End {
    /// The program finished its work.
    Completed,
    /// The program was asked to stop, for this reason.
    Stopped(String),
    /// The program closed the directory without a reason, and not by a panic. Also stands for ends
    /// that only a later version of this library knows.
    Closed,
}

/// Durations as seconds, to the microsecond.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};
    use serde_json::Number;

    use crate::schedule::interval::duration;

    pub(crate) fn rounded(duration: Duration) -> f64 {
        (duration.as_secs_f64() * 1e6).round() / 1e6
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(rounded(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        duration_of(&Number::deserialize(deserializer)?)
    }

    /// The duration of so many seconds. A record comes by way of serde's buffers, from which no
    /// `f64` can be read where a package of the program has switched on the feature
    /// `arbitrary_precision` of `serde_json`: a number of JSON can.
    fn duration_of<E: serde::de::Error>(seconds: &Number) -> Result<Duration, E> {
        // The longest duration is written as a slightly larger number.
        seconds.as_f64().map(duration).ok_or_else(|| E::custom("number out of range"))
    }

    /// The same, for an optional duration.
    pub(crate) mod optional {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serializer};
        use serde_json::Number;

        #[allow(clippy::ref_option, reason = "serde calls it so")]
        pub(crate) fn serialize<S: Serializer>(
            duration: &Option<Duration>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match duration {
                Some(duration) => serializer.serialize_some(&super::rounded(*duration)),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Duration>, D::Error> {
            Option::<Number>::deserialize(deserializer)?.as_ref().map(super::duration_of).transpose()
        }
    }
}
