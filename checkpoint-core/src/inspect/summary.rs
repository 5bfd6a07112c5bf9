//! What happened in a checkpoint directory, as sums and as series over time: what `ckpt report` draws.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::timeline;
use crate::container::{Metadata, time};
use crate::error::Error;
use crate::history::{self, seconds};
use crate::run::reader::CheckpointReader;
use crate::schedule::interval::duration;
use crate::schedule::{PRIOR, Past};
use crate::seal::Protection;

/// The history of a checkpoint directory and what is in it, in numbers.
///
/// In JSON, times are RFC 3339 text in UTC, and durations are seconds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The sums.
    pub totals: Totals,
    /// The runs of which there are records, oldest first.
    pub runs: Vec<PastRun>,
    /// Their saves, oldest first.
    pub saves: Vec<PastSave>,
    /// The saves that failed, oldest first.
    pub failed_saves: Vec<FailedSave>,
    /// The loads, oldest first.
    pub restarts: Vec<PastRestart>,
    /// The generations that are there, oldest first.
    pub generations: Vec<KeptGeneration>,
    /// How many lines of the history could not be understood.
    pub unknown_lines: usize,
    /// How often the clock of the machine was set back, or to the present from before 2020. Times before such a moment are
    /// reckoned back from those after it, by the clock of the run.
    pub clock_was_set: usize,
}

/// The sums of a [`Summary`]. Runs whose records are gone, because the history was put aside twice, count where it says so.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// How often a program opened the directory; with the runs whose records are gone.
    pub runs: u64,
    /// How many of these ended without a word, as far as a later run noticed it; with those whose records are gone.
    pub failures: u64,
    /// How long all runs together went on, at least: of those that failed, only what is known; with those whose records are gone.
    #[serde(with = "seconds")]
    pub observed: Duration,
    /// How much work was done once more after failures, at least; with that of runs whose records are gone.
    #[serde(with = "seconds")]
    pub lost: Duration,
    /// How many of these runs have no records any more.
    pub runs_without_records: u64,
    /// How long the runs that have records went on.
    #[serde(with = "seconds")]
    pub recorded: Duration,
    /// How many saves there are records of.
    pub saves: u64,
    /// The length of all these checkpoints together, in bytes.
    pub written: u64,
    /// How long the programs waited for them.
    #[serde(with = "seconds")]
    pub stalled: Duration,
    /// The part of the recorded time that was spent so, from 0 to 1; `None` where no time was recorded.
    pub stalled_share: Option<f64>,
    /// The mean time between failures, observed over failures, and so at least this; `None` where there was none.
    #[serde(with = "seconds::optional")]
    pub mtbf: Option<Duration>,
    /// The mean time between failures that [`Schedule::adaptive`](crate::Schedule::adaptive) would go by now. It is never
    /// unknown: one failure a day is assumed first.
    #[serde(with = "seconds")]
    pub expected_mtbf: Duration,
}

/// A time from which on a program had the directory open.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PastRun {
    /// When it began, or when its first record was made.
    #[serde(with = "time")]
    pub start: SystemTime,
    /// When it ended, or was last known to live.
    #[serde(with = "time")]
    pub until: SystemTime,
    /// How long it went on, by its own clock; at least, if it failed.
    #[serde(with = "seconds")]
    pub ran: Duration,
    /// The machine; empty where the record of the start is gone.
    pub host: String,
    /// The process; 0 where the record of the start is gone.
    pub process: u32,
    /// When it saved, in words.
    pub schedule: String,
    /// Which generations it kept, in words.
    pub retention: String,
    /// How it ended.
    pub end: RunEnd,
    /// The generation that it went on from; `None` where it began afresh.
    pub restarted_from: Option<u64>,
    /// The work of the run before it that it did once more, at least; `None` where nothing was lost, or it is not known.
    #[serde(with = "seconds::optional")]
    pub lost: Option<Duration>,
    /// How many saves it made.
    pub saves: u64,
    /// How many of its saves failed.
    pub failed_saves: u64,
    /// How long it waited for its saves.
    #[serde(with = "seconds")]
    pub stalled: Duration,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "how", content = "by", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunEnd {
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
#[non_exhaustive]
pub struct PastSave {
    /// When it was done.
    #[serde(with = "time")]
    pub time: SystemTime,
    /// The run that made it, as an index into [`Summary::runs`].
    pub run: usize,
    /// As which generation.
    pub generation: u64,
    /// The length of the file.
    pub bytes: u64,
    /// How long the program waited.
    #[serde(with = "seconds")]
    pub stall: Duration,
    /// How long it took until it was on the disk.
    #[serde(with = "seconds")]
    pub total: Duration,
    /// How long the program had computed since the save before it, or since its start.
    #[serde(with = "seconds")]
    pub interval: Duration,
    /// The interval that the schedule aimed for when this save was begun, where it had one.
    #[serde(with = "seconds::optional")]
    pub aimed: Option<Duration>,
    /// What [`Schedule::adaptive`](crate::Schedule::adaptive) aims for, with the median stall of the last five saves and
    /// [`mtbf`](PastSave::mtbf): the [`exact`](crate::schedule::interval::exact) interval, or less as long as no run had failed.
    #[serde(with = "seconds")]
    pub optimal: Duration,
    /// The mean time between failures as it was to be expected then, from what had been seen until then; see
    /// [`Schedule::adaptive_from`](crate::Schedule::adaptive_from), with 24 hours.
    #[serde(with = "seconds")]
    pub mtbf: Duration,
    /// Why it was made.
    pub why: String,
}

/// A save that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FailedSave {
    /// When.
    #[serde(with = "time")]
    pub time: SystemTime,
    /// The run, as an index into [`Summary::runs`].
    pub run: usize,
    /// Which generation it was to be.
    pub generation: u64,
    /// What the error said.
    pub error: String,
}

/// A load.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PastRestart {
    /// When.
    #[serde(with = "time")]
    pub time: SystemTime,
    /// The run that loaded, as an index into [`Summary::runs`].
    pub run: usize,
    /// Which generation.
    pub generation: u64,
    /// The work that was done once more after it, at least; `None` where nothing was lost, or it is not known.
    #[serde(with = "seconds::optional")]
    pub lost: Option<Duration>,
}

/// A generation that is in the directory.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeptGeneration {
    /// Its number.
    pub generation: u64,
    /// The length of its file; `None` where that cannot be told.
    pub bytes: Option<u64>,
    /// What it says of itself; `None` where it is damaged.
    pub description: Option<Description>,
    /// Why there is no description.
    pub problem: Option<String>,
}

/// What a generation says of itself.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Description {
    /// The name of the state.
    pub name: String,
    /// The version of the state.
    pub version: u32,
    /// When it was saved.
    #[serde(with = "time")]
    pub created: SystemTime,
    /// The machine that saved it.
    pub host: String,
    /// What the program added.
    pub metadata: Metadata,
}

/// Sums up what happened in a checkpoint directory, and what is in it. Of the checkpoints, which were saved with this protection, only
/// their manifests are read.
///
/// ```
/// use checkpointed::{Checkpointer, Metadata, Protection, inspect};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
/// checkpoints.save_with(&1, Metadata::new().with("loss", 0.5))?;
/// checkpoints.finish(&2)?;
///
/// let summary = inspect::summary(&path, &Protection::new())?;
/// assert_eq!((summary.totals.runs, summary.totals.saves), (1, 2));
/// assert_eq!(summary.metrics()["loss"], [(1, 0.5)]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Where the directory cannot be listed or its history not be read. A directory that does not exist has none.
pub fn summary(directory: impl AsRef<Path>, protection: &Protection) -> Result<Summary, Error> {
    let directory = &crate::store::absolute(directory)?;
    let history = history::read(directory)?;
    let timeline = timeline::of(&history);

    let (runs, failures) = (history.runs(), history.failures());
    let recorded = timeline.runs.iter().map(|run| run.ran).fold(Duration::ZERO, Duration::saturating_add);
    let observed = history.observed().max(timeline.before.saturating_add(recorded));
    let stalled = timeline.runs.iter().map(|run| run.stalled).fold(Duration::ZERO, Duration::saturating_add);
    let records = timeline.runs.iter().filter(|run| run.process != 0).count() as u64;
    #[allow(clippy::cast_precision_loss, reason = "a mean")]
    let mtbf = (failures > 0).then(|| duration(observed.as_secs_f64() / failures as f64));
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
        expected_mtbf: Past { failures, observed, ..Past::default() }.mtbf(PRIOR, Duration::ZERO),
    };
    Ok(Summary {
        totals,
        runs: timeline.runs,
        saves: timeline.saves,
        failed_saves: timeline.failed_saves,
        restarts: timeline.restarts,
        generations: generations(directory, protection)?,
        unknown_lines: history.unknown_lines,
        clock_was_set: timeline.clock_was_set,
    })
}

/// The generations of a directory. What is wrong with one is said of it, and hides no other.
fn generations(directory: &Path, protection: &Protection) -> Result<Vec<KeptGeneration>, Error> {
    let reader = CheckpointReader::<()>::open_protected(directory, protection.clone())?;
    let describe = |generation| {
        let bytes = reader.length(generation).ok();
        let (description, problem) = match reader.manifest(generation) {
            Ok(manifest) => {
                let description = Description {
                    name: manifest.name().to_owned(),
                    version: manifest.version(),
                    created: manifest.created(),
                    host: manifest.host().to_owned(),
                    metadata: manifest.metadata().clone(),
                };
                (Some(description), None)
            }
            // Removed by a program that saves, after the directory was listed.
            Err(Error::NoSuchGeneration { .. }) => return None,
            Err(error) => (None, Some(error.to_string())),
        };
        Some(KeptGeneration { generation, bytes, description, problem })
    };
    Ok(reader.generations()?.into_iter().filter_map(describe).collect())
}

impl Summary {
    /// Every number in the metadata of the generations, by its name: pairs of the generation and the number, which may be NaN.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<&str, Vec<(u64, f64)>> {
        let mut metrics: BTreeMap<&str, Vec<(u64, f64)>> = BTreeMap::new();
        for kept in &self.generations {
            for (name, value) in kept.description.iter().flat_map(|description| description.metadata.iter()) {
                if let Some(value) = value.as_f64() {
                    metrics.entry(name).or_default().push((kept.generation, value));
                }
            }
        }
        metrics
    }
}
