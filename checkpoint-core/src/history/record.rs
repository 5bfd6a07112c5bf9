//! One line of the history.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Deserializer, Serialize};

use crate::outcome::SaveReason;
use crate::store::Retention;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// When, by the clock of the machine.
    #[serde(with = "crate::container::time")]
    pub time: SystemTime,
    /// How long after the start of the run. In the file in seconds, as all durations.
    #[serde(with = "seconds")]
    pub at: Duration,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Event {
    /// What the files before this one said, in short.
    Summary {
        /// How many runs there were.
        runs: u64,
        /// How many of them failed.
        failures: u64,
        /// How long all of them went on.
        #[serde(with = "seconds")]
        observed: Duration,
        /// How much work their restarts repeated.
        #[serde(with = "seconds")]
        lost: Duration,
    },
    /// A program opened the directory.
    Start {
        /// The machine.
        host: String,
        /// The process.
        process: u32,
        /// When it saves, in words.
        schedule: String,
        /// Which generations it keeps; `None` where that is not understood.
        #[serde(deserialize_with = "lenient", default)]
        retention: Option<Retention>,
    },
    /// The run goes on: a sign of life, where nothing else was written for a while.
    Alive,
    /// The run before this one never said that it ended.
    Died {
        /// How long it ran, at least: until its last sign of life.
        #[serde(with = "seconds")]
        ran: Duration,
    },
    /// A state was loaded.
    Restart {
        /// Which.
        generation: u64,
        /// The work of the run before this one that is done once more, if that run failed, at least: from the save that was
        /// loaded, or from its start where an earlier run made that save, to its last sign of life.
        #[serde(with = "seconds::optional", default, skip_serializing_if = "Option::is_none")]
        lost: Option<Duration>,
    },
    /// A state was saved.
    Save {
        /// As which generation.
        generation: u64,
        /// The length of the file.
        bytes: u64,
        /// How long the program waited.
        #[serde(with = "seconds")]
        stall: Duration,
        /// How long it took until it was on the disk.
        #[serde(with = "seconds")]
        total: Duration,
        /// The interval that the schedule aims for from now on.
        #[serde(with = "seconds::optional", default, skip_serializing_if = "Option::is_none")]
        interval: Option<Duration>,
        /// Which kind of reason it had.
        reason: ReasonKind,
        /// The reason, in words.
        why: String,
    },
    /// A save failed.
    Failure {
        /// Which generation it was to be.
        generation: u64,
        /// What the error said.
        error: String,
    },
    /// The program removed all generations after one.
    Discard {
        /// The newest that stays.
        generation: u64,
    },
    /// The run ended.
    End(End),
}

/// Which kind of reason a save had; [`SaveReason`] says more to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ReasonKind {
    /// The program asked for it.
    Asked,
    /// The schedule wanted it.
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

/// What is not understood costs no more than itself: the run has begun all the same.
fn lenient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Retention>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(Retention::deserialize(value).ok())
}

/// As much of a record as a later version can be expected to keep.
#[derive(Deserialize)]
struct Outline {
    #[serde(with = "crate::container::time")]
    time: SystemTime,
    #[serde(with = "seconds")]
    at: Duration,
    event: String,
}

/// What can be made of a line that is not a record: of an end of which nothing else is known, that it was one. Else the run
/// would be taken for one that failed.
pub(super) fn end_in(line: &[u8]) -> Option<Record> {
    let Outline { time, at, event } = serde_json::from_slice(line).ok()?;
    (event == "end").then_some(Record { time, at, event: Event::End(End::Closed) })
}

/// How a run ended. None of these is a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", content = "by", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum End {
    /// It came to its end.
    Completed,
    /// It was told to stop, and by what.
    Stopped(String),
    /// The directory was closed without a word on why, and not by a panic; or in a way that only a later version of this
    /// library knows.
    Closed,
}

/// Durations as seconds, to the microsecond.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    use crate::schedule::interval::duration;

    pub(crate) fn rounded(duration: Duration) -> f64 {
        (duration.as_secs_f64() * 1e6).round() / 1e6
    }

    pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(rounded(*duration))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        // The longest duration is rounded to more than that.
        f64::deserialize(deserializer).map(duration)
    }

    /// The same, where there may be none.
    pub(crate) mod optional {
        use std::time::Duration;

        use serde::{Deserialize, Deserializer, Serializer};

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
            Ok(Option::<f64>::deserialize(deserializer)?.map(super::duration))
        }
    }
}
