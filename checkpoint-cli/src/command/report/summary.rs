//! What happened in a checkpoint directory, as sums and as series over time: what `ckpt report` draws.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use checkpointed_core::history::ReasonKind;
use checkpointed_core::schedule::{ASSUMED_MTBF, Experience};
use checkpointed_core::{Error, Protection, history, inspect};
use serde::Serialize;

use super::timeline;
use crate::generation::Generation;
use crate::text::{rfc3339, seconds};

/// The history of a checkpoint directory and what is in it, in numbers.
///
/// In JSON, times are RFC 3339 text in UTC, and durations are seconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// The sums.
    pub(crate) totals: Totals,
    /// The runs of which there are records, oldest first.
    pub(crate) runs: Vec<PastRun>,
    /// Their saves, oldest first.
    pub(crate) saves: Vec<PastSave>,
    /// The saves that failed, oldest first.
    pub(crate) failed_saves: Vec<FailedSave>,
    /// The loads, oldest first.
    pub(crate) restarts: Vec<PastRestart>,
    /// The generations that are there, oldest first.
    pub(crate) generations: Vec<Generation>,
    /// How many lines of the history could not be understood.
    pub(crate) unknown_lines: usize,
    /// How often the clock of the machine was set back, or to the present from before 2020. Times before such a moment are
    /// reckoned back from those after it, by the clock of the run.
    pub(crate) clock_was_set: usize,
}

/// The sums of a [`Summary`]. Runs whose records are gone, because the history was put aside twice, count where it says so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Totals {
    /// How often a program opened the directory; with the runs whose records are gone.
    pub(crate) runs: u64,
    /// How many of these ended without a word, as far as a later run noticed it; with those whose records are gone.
    pub(crate) failures: u64,
    /// How long all runs together went on, at least: of those that failed, only what is known; with those whose records are gone.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) observed: Duration,
    /// How much work was done once more after failures, at least; with that of runs whose records are gone.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) lost: Duration,
    /// How many of these runs have no records any more.
    pub(crate) runs_without_records: u64,
    /// How long the runs that have records went on.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) recorded: Duration,
    /// How many saves there are records of.
    pub(crate) saves: u64,
    /// The length of all these checkpoints together, in bytes.
    pub(crate) written: u64,
    /// How long the programs waited for them.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) stalled: Duration,
    /// The part of the recorded time that was spent so, from 0 to 1; `None` where no time was recorded.
    pub(crate) stalled_share: Option<f64>,
    /// The mean time between failures, observed over failures, and so at least this; `None` where there was none.
    #[serde(serialize_with = "seconds::optional")]
    pub(crate) mtbf: Option<Duration>,
    /// The mean time between failures that [`Schedule::adaptive`](checkpointed_core::Schedule::adaptive) would go by now. It is never
    /// unknown: one failure a day is assumed first.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) expected_mtbf: Duration,
}

/// A time from which on a program had the directory open.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PastRun {
    /// When it began, or when its first record was made.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) start: SystemTime,
    /// When it ended, or was last known to live.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) until: SystemTime,
    /// How long it went on, by its own clock; at least, if it failed.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) ran: Duration,
    /// The machine; empty where the record of the start is gone.
    pub(crate) host: String,
    /// The process; 0 where the record of the start is gone.
    pub(crate) process: u32,
    /// When it saved, in words.
    pub(crate) schedule: String,
    /// Which generations it kept, in words.
    pub(crate) retention: String,
    /// How it ended.
    pub(crate) end: RunEnd,
    /// The generation that it went on from; `None` where it began afresh.
    pub(crate) restarted_from: Option<u64>,
    /// The work of the run before it that it did once more, at least; `None` where nothing was lost, or it is not known.
    #[serde(serialize_with = "seconds::optional")]
    pub(crate) lost: Option<Duration>,
    /// How many saves it made.
    pub(crate) saves: u64,
    /// How many of its saves failed.
    pub(crate) failed_saves: u64,
    /// How long it waited for its saves.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) stalled: Duration,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "how", content = "by", rename_all = "snake_case")]
pub(crate) enum RunEnd {
    /// It came to its end.
    Completed,
    /// It was told to stop, and by what.
    Stopped(String),
    /// It closed the directory without a word on why.
    Closed,
    /// It ended without saying so, as the next run noticed.
    Failed,
    /// It has not said that it ended, and no other run has begun since: it goes on, or has failed.
    Open,
}

/// A save.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PastSave {
    /// When it was done.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) time: SystemTime,
    /// The run that made it, as an index into [`Summary::runs`].
    pub(crate) run: usize,
    /// As which generation.
    pub(crate) generation: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
    /// How long the program waited.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) stall: Duration,
    /// How long it took until it was on the disk.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) total: Duration,
    /// How long the program had computed since the save before it, or since its start.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) interval: Duration,
    /// The interval that the schedule aimed for when this save was begun, where it had one.
    #[serde(serialize_with = "seconds::optional")]
    pub(crate) aimed: Option<Duration>,
    /// What [`Schedule::adaptive`](checkpointed_core::Schedule::adaptive) aims for, with the median stall of the last five saves and
    /// [`mtbf`](PastSave::mtbf): the [`exact`](checkpointed_core::schedule::interval::exact) interval, or less as long as no run had failed.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) optimal: Duration,
    /// The mean time between failures as it was to be expected then, from what had been seen until then; see
    /// [`Schedule::adaptive_from`](checkpointed_core::Schedule::adaptive_from), with 24 hours.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) mtbf: Duration,
    /// Which kind of reason it had.
    pub(crate) reason: ReasonKind,
    /// The reason, in words.
    pub(crate) why: String,
}

/// A save that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FailedSave {
    /// When.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) time: SystemTime,
    /// The run, as an index into [`Summary::runs`].
    pub(crate) run: usize,
    /// Which generation it was to be.
    pub(crate) generation: u64,
    /// What the error said.
    pub(crate) error: String,
}

/// A load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PastRestart {
    /// When.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) time: SystemTime,
    /// The run that loaded, as an index into [`Summary::runs`].
    pub(crate) run: usize,
    /// Which generation.
    pub(crate) generation: u64,
    /// The work that was done once more after it, at least; `None` where nothing was lost, or it is not known.
    #[serde(serialize_with = "seconds::optional")]
    pub(crate) lost: Option<Duration>,
}

/// Sums up what happened in a checkpoint directory, and what is in it. Of the checkpoints, which were saved with this protection, only
/// their manifests are read.
///
/// # Errors
/// Where the directory cannot be listed or its history not be read. A directory that does not exist has none.
pub(crate) fn summary(directory: &Path, protection: &Protection) -> Result<Summary, Error> {
    let history = history::read(directory)?;
    let timeline = timeline::of(&history);

    let (runs, failures) = (history.runs(), history.failures());
    let recorded = timeline.runs.iter().map(|run| run.ran).fold(Duration::ZERO, Duration::saturating_add);
    let observed = history.observed().max(timeline.before.saturating_add(recorded));
    let stalled = timeline.runs.iter().map(|run| run.stalled).fold(Duration::ZERO, Duration::saturating_add);
    let records = timeline.runs.iter().filter(|run| run.process != 0).count() as u64;
    #[allow(clippy::cast_precision_loss, reason = "a mean")]
    let mtbf = (failures > 0).then(|| {
        Duration::try_from_secs_f64(observed.as_secs_f64() / failures as f64).unwrap_or(Duration::MAX)
    });
    let totals = Totals {
        runs,
        failures,
        observed,
        lost: history.lost(),
        runs_without_records: runs.saturating_sub(records),
        recorded,
        saves: timeline.saves.len() as u64,
        written: timeline.saves.iter().map(|save| save.bytes).fold(0, u64::saturating_add),
        stalled,
        stalled_share: (!recorded.is_zero())
            .then(|| (stalled.as_secs_f64() / recorded.as_secs_f64()).min(1.0)),
        mtbf,
        expected_mtbf: Experience { failures, observed }.mtbf(ASSUMED_MTBF),
    };
    Ok(Summary {
        totals,
        runs: timeline.runs,
        saves: timeline.saves,
        failed_saves: timeline.failed_saves,
        restarts: timeline.restarts,
        generations: inspect::overview(directory, protection)?
            .generations
            .into_iter()
            .map(Generation::of)
            .collect(),
        unknown_lines: history.unknown_lines,
        clock_was_set: timeline.clock_was_set,
    })
}

impl Summary {
    /// Every number in the metadata of the generations, by its name: pairs of the generation and the number, which may be NaN.
    pub(crate) fn metrics(&self) -> BTreeMap<&str, Vec<(u64, f64)>> {
        let mut metrics: BTreeMap<&str, Vec<(u64, f64)>> = BTreeMap::new();
        for kept in &self.generations {
            for (name, value) in &kept.metadata {
                if let Some(value) = value.as_f64() {
                    metrics.entry(name).or_default().push((kept.generation, value));
                }
            }
        }
        metrics
    }
}
