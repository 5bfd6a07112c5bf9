//! The history of a checkpoint directory, as sums and as series over time. `ckpt report` draws
//! them.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use checkpointed_core::history::ReasonKind;
use checkpointed_core::schedule::{ASSUMED_MTBF, Experience};
use checkpointed_core::{Error, Protection, history, inspect};
use serde::Serialize;

use super::ranks::{self, Costs, RankCost};
use super::timeline;
use crate::generation::Generation;
use crate::text::{rfc3339, seconds};

/// The history and the content of a checkpoint directory, in numbers.
///
/// In JSON, times are RFC 3339 text in UTC, and durations are seconds.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Summary {
    /// The sums.
    pub(crate) totals: Totals,
    /// The runs with records, oldest first.
    pub(crate) runs: Vec<PastRun>,
    /// Their saves, oldest first.
    pub(crate) saves: Vec<PastSave>,
    /// The saves that failed, oldest first.
    pub(crate) failed_saves: Vec<FailedSave>,
    /// The loads, oldest first.
    pub(crate) restarts: Vec<PastRestart>,
    /// The generations in the directory, oldest first.
    pub(crate) generations: Vec<Generation>,
    /// The costs of the processes of a group, by rank; empty where no group saved.
    pub(crate) ranks: Vec<RankCost>,
    /// The number of the group's newest checkpoints without costs here, because they could not be
    /// read.
    pub(crate) unread_of_group: usize,
    /// The number of unreadable lines of the history.
    pub(crate) unknown_lines: usize,
    /// The number of times that the clock of the machine was set back, or from before 2020 to the
    /// present. Times before such a moment are computed back from those after it, by the clock of
    /// the run.
    pub(crate) clock_was_set: usize,
}

/// The sums of a [`Summary`]. Some runs have no records any more, because the history was put aside
/// twice: a field that counts them says so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Totals {
    /// The number of times that a program opened the directory, including the runs without records.
    pub(crate) runs: u64,
    /// The number of runs that ended without a record of it, as far as a later run noticed;
    /// including those without records.
    pub(crate) failures: u64,
    /// The total time of all runs, as a lower bound: a failed run counts up to its last sign of
    /// life. Includes the runs without records.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) observed: Duration,
    /// The time of work repeated after failures, as a lower bound; including the runs without
    /// records.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) lost: Duration,
    /// The number of runs without records.
    pub(crate) runs_without_records: u64,
    /// The total time of the runs with records.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) recorded: Duration,
    /// The number of saves with records.
    pub(crate) saves: u64,
    /// The total number of bytes that were written for these checkpoints.
    pub(crate) written: u64,
    /// The total time that the programs waited for them.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) stalled: Duration,
    /// That time as a part of the recorded time, from 0 to 1; `None` if no time was recorded.
    pub(crate) stalled_share: Option<f64>,
    /// The mean time between failures, as a lower bound: the observed time divided by the failures.
    /// `None` without a failure.
    #[serde(serialize_with = "seconds::optional")]
    pub(crate) mtbf: Option<Duration>,
    /// The mean time between failures that
    /// [`Schedule::adaptive`](checkpointed_core::Schedule::adaptive) would use now. It is never
    /// unknown: one failure a day is assumed at first.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) expected_mtbf: Duration,
}

/// A period for which a program had the directory open.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PastRun {
    /// The time when it began, or of its first record.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) start: SystemTime,
    /// The time when it ended, or of its last sign of life.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) until: SystemTime,
    /// The time that it took, by its own clock; a lower bound if it failed.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) ran: Duration,
    /// The name of the machine; empty if the record of the start is gone.
    pub(crate) host: String,
    /// The number of the process; 0 if the record of the start is gone.
    pub(crate) process: u32,
    /// The schedule of its saves, in words.
    pub(crate) schedule: String,
    /// The generations that it kept, in words.
    pub(crate) retention: String,
    /// The way that it ended.
    pub(crate) end: RunEnd,
    /// The generation that it continued; `None` if it began anew.
    pub(crate) restarted_from: Option<u64>,
    /// The work of the previous run that it repeated, as a lower bound; `None` if nothing was lost,
    /// or it is not known.
    #[serde(serialize_with = "seconds::optional")]
    pub(crate) lost: Option<Duration>,
    /// The number of its saves.
    pub(crate) saves: u64,
    /// The number of its failed saves.
    pub(crate) failed_saves: u64,
    /// The total time that it waited for its saves.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) stalled: Duration,
}

/// The way that a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "how", content = "by", rename_all = "snake_case")]
pub(crate) enum RunEnd {
    /// The program finished its work.
    Completed,
    /// The program was asked to stop, for this reason.
    Stopped(String),
    /// The program closed the directory without a reason.
    Closed,
    /// The run ended without a record of it, and the next run noticed.
    Failed,
    /// The end of the run is not recorded, and no other run has begun since: it continues, or has
    /// failed.
    Open,
}

/// A save.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PastSave {
    /// The time when it was complete.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) time: SystemTime,
    /// The run that made it, as an index into [`Summary::runs`].
    pub(crate) run: usize,
    /// The generation.
    pub(crate) generation: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
    /// The number of bytes that were written to it: fewer where the save wrote over an older file
    /// that had the others already.
    pub(crate) written: u64,
    /// The time that the program waited.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) stall: Duration,
    /// The time until the save was on the disk.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) total: Duration,
    /// The time that the program had computed since the previous save, or since its start.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) interval: Duration,
    /// The interval that the schedule aimed for when this save began, if it had one.
    #[serde(serialize_with = "seconds::optional")]
    pub(crate) aimed: Option<Duration>,
    /// The interval that [`Schedule::adaptive`](checkpointed_core::Schedule::adaptive) aims for,
    /// with the median stall of the last five saves and [`mtbf`](PastSave::mtbf): the
    /// [`exact`](checkpointed_core::schedule::interval::exact) interval, or less as long as no run
    /// had failed.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) optimal: Duration,
    /// The expected mean time between failures at that moment, from the observations until then;
    /// see [`Schedule::adaptive_from`](checkpointed_core::Schedule::adaptive_from), with 24 hours.
    #[serde(serialize_with = "seconds::serialize")]
    pub(crate) mtbf: Duration,
    /// The kind of its reason.
    pub(crate) reason: ReasonKind,
    /// The reason, in words.
    pub(crate) why: String,
}

/// A failed save.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FailedSave {
    /// The time of the failure.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) time: SystemTime,
    /// The run, as an index into [`Summary::runs`].
    pub(crate) run: usize,
    /// The generation that the save was for.
    pub(crate) generation: u64,
    /// The message of the error.
    pub(crate) error: String,
}

/// A load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct PastRestart {
    /// The time of the load.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub(crate) time: SystemTime,
    /// The run that loaded, as an index into [`Summary::runs`].
    pub(crate) run: usize,
    /// The loaded generation.
    pub(crate) generation: u64,
    /// The work that was repeated after it, as a lower bound; `None` if nothing was lost, or it is
    /// not known.
    #[serde(serialize_with = "seconds::optional")]
    pub(crate) lost: Option<Duration>,
}

/// Summarises the history and the content of a checkpoint directory. Its checkpoints were saved
/// under this protection, and only their manifests are read.
///
/// # Errors
/// If the directory cannot be listed, or its history cannot be read. A directory that does not
/// exist has an empty history.
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
        written: timeline.saves.iter().map(|save| save.written).fold(0, u64::saturating_add),
        stalled,
        stalled_share: (!recorded.is_zero())
            .then(|| (stalled.as_secs_f64() / recorded.as_secs_f64()).min(1.0)),
        mtbf,
        expected_mtbf: Experience { failures, observed }.mtbf(ASSUMED_MTBF),
    };
    let overview = inspect::overview(directory, protection)?;
    let has_rules = overview.retention.is_some();
    let generation = |generation| Generation::of(generation, has_rules);
    let generations: Vec<Generation> = overview.generations.into_iter().map(generation).collect();
    let Costs { ranks, unread } = ranks::costs(&generations, protection);
    Ok(Summary {
        totals,
        runs: timeline.runs,
        saves: timeline.saves,
        failed_saves: timeline.failed_saves,
        restarts: timeline.restarts,
        ranks,
        unread_of_group: unread,
        generations,
        unknown_lines: history.unknown_lines,
        clock_was_set: timeline.clock_was_set,
    })
}

impl Summary {
    /// Every number in the metadata of the generations, by its name: pairs of the generation and
    /// the number, which may be NaN.
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
