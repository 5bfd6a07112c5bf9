//! What is in a checkpoint directory, without loading any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::warnings::warn;
use crate::container::{GROUP, Manifest, SCOPES};
use crate::error::Error;
use crate::history::{self, Event, History};
use crate::run::reader::CheckpointReader;
use crate::seal::Protection;
use crate::store::{
    self, Directory, Home as _, Keeping, Metrics, RANKS, RealDisk, Retention, absolute, name, rank_of,
};

/// What is in a checkpoint directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview {
    /// The directory.
    pub path: PathBuf,
    /// Who saves there.
    pub kind: Kind,
    /// Oldest first.
    pub generations: Vec<GenerationOverview>,
    /// Who has it open for saving just now, as they said themselves.
    pub holder: Option<String>,
    /// What the last run kept, if its history tells.
    pub retention: Option<Retention>,
    /// Whether somebody asked the program to save and stop, and it has not done so yet.
    pub halt_requested: bool,
    /// Whether a user or a program asked it to save, stop and be started again, and it has not done so yet.
    pub requeue_requested: bool,
    /// How many temporary files there are: a save that goes on, a file to be written over, or what a killed program left, which
    /// the next start removes.
    pub temporaries: usize,
    /// Their length in bytes.
    pub temporary_bytes: u64,
    /// The generation that the history says was saved last, where even the newest that is there is older: it was lost.
    pub missing: Option<u64>,
}

/// Who saves into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A [`Checkpointer`](crate::Checkpointer), or nobody yet.
    Checkpoints,
    /// [`Scopes`](crate::Scopes).
    Scopes,
    /// A group of processes; their parts are in the directories of their ranks.
    Group,
    /// A [`Pipeline`](crate::Pipeline); its checkpoints are in the directories of its [steps](crate::pipeline::steps).
    Pipeline,
}

/// One generation.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GenerationOverview {
    /// Its number.
    pub generation: u64,
    /// Its file.
    pub path: PathBuf,
    /// The length of the file; of a group's checkpoint, that of all parts too.
    pub bytes: u64,
    /// What it says of itself; or why that cannot be read. Its parts are not verified.
    pub manifest: Result<Manifest, String>,
    /// How long the program waited for the save, if the history tells.
    pub stall: Option<Duration>,
    /// How long it took until it was on the disk, if the history tells.
    pub total: Option<Duration>,
    /// Why it is kept, as far as that is known: by the rules of the last run, and pins. Empty for one that goes with the
    /// next save.
    pub kept: Vec<Keeping>,
}

/// Looks at a checkpoint directory, whose checkpoints were saved with this protection. Of each generation only the manifest is
/// read.
///
/// ```
/// use checkpointed::{Checkpointer, Protection, inspect};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
/// checkpoints.save(&1)?;
/// checkpoints.save(&2)?;
///
/// let overview = inspect::overview(&path, &Protection::new())?;
/// assert_eq!(overview.generations.len(), 2);
/// assert!(overview.holder.is_some());
/// assert_eq!(overview.generations[1].kept, [inspect::Keeping::Last]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Where there is no such directory, or it cannot be listed, or a generation not be read for a passing reason.
pub fn overview(path: impl AsRef<Path>, protection: &Protection) -> Result<Overview, Error> {
    let path = &absolute(path)?;
    let (temporaries, temporary_bytes) = temporaries(path)?;
    let directory = Directory::new(path, Arc::new(RealDisk::default()));
    let reader = CheckpointReader::<()>::at(path, protection.of(path))?;
    let numbers = directory.generations()?;
    let pinned = directory.pinned(&numbers);
    // It may be closed to this user, and tells nothing that is needed.
    let history = history::read(path).unwrap_or_else(|error| {
        warn(format!("the history is not known: {error}"));
        History::default()
    });
    let costs = costs(&history);
    let parts = part_directories(path);
    let mut generations = Vec::new();
    for generation in numbers {
        let manifest = match reader.manifest(generation) {
            // Removed since the directory was listed.
            Err(Error::NoSuchGeneration { .. }) => continue,
            manifest => manifest.map_err(|error| error.to_string()),
        };
        let (stall, total) = costs.get(&generation).copied().unzip();
        let parts = parts.iter().map(|part| length_of(&part.location(generation)));
        let bytes = reader.length(generation).unwrap_or_default() + parts.sum::<u64>();
        let path = directory.location(generation);
        let kept = Vec::new();
        generations.push(GenerationOverview { generation, path, bytes, manifest, stall, total, kept });
    }
    let retention = retention(&history);
    if let Some(retention) = &retention {
        let kept = kept(retention, &generations, &pinned);
        for generation in &mut generations {
            generation.kept = kept.get(&generation.generation).cloned().unwrap_or_default();
        }
    } else {
        let is_pinned = |generation: &&mut GenerationOverview| pinned.contains(&generation.generation);
        generations.iter_mut().filter(is_pinned).for_each(|pinned| pinned.kept.push(Keeping::Pinned));
    }
    let newest = generations.iter().rev().find_map(|generation| generation.manifest.as_ref().ok());
    let kind = match newest {
        Some(manifest) if manifest.name() == SCOPES => Kind::Scopes,
        Some(manifest) if manifest.name() == GROUP => Kind::Group,
        None if path.join(name::STEPS).is_dir() => Kind::Pipeline,
        _ => Kind::Checkpoints,
    };
    let holder = holder(path)?;
    let halt_requested = path.join(name::HALT).is_file();
    let requeue_requested = path.join(name::REQUEUE).is_file();
    let saved = history.records.iter().rev().find_map(|record| match record.event {
        Event::Save { generation, .. } => Some(generation),
        _ => None,
    });
    // The history was read after the directory was listed: a program may have saved meanwhile.
    let newest = directory.generations()?.last().copied();
    Ok(Overview {
        path: path.clone(),
        kind,
        missing: saved.filter(|saved| Some(*saved) > newest),
        generations,
        holder,
        retention,
        halt_requested,
        requeue_requested,
        temporaries,
        temporary_bytes,
    })
}

/// The directories of the parts that the processes of a group saved; none of others.
pub(super) fn part_directories(path: &Path) -> Vec<Directory> {
    let entries = fs::read_dir(path.join(RANKS)).into_iter().flatten().flatten();
    let ranks = entries.filter(|entry| rank_of(&entry.file_name()).is_some());
    ranks.map(|entry| Directory::new(&entry.path(), Arc::new(RealDisk::default()))).collect()
}

/// The length of a file; none where it is not there.
pub(super) fn length_of(path: &Path) -> u64 {
    path.symlink_metadata().map_or(0, |metadata| metadata.len())
}

/// Which of them a retention keeps, and why.
pub(super) fn kept(
    retention: &Retention,
    generations: &[GenerationOverview],
    pinned: &BTreeSet<u64>,
) -> BTreeMap<u64, Vec<Keeping>> {
    let numbers: Vec<u64> = generations.iter().map(|generation| generation.generation).collect();
    let damaged = generations.iter().filter(|generation| generation.manifest.is_err());
    let damaged = damaged.map(|generation| generation.generation).collect();
    let metrics: BTreeMap<u64, Metrics> = generations
        .iter()
        .filter_map(|generation| {
            let manifest = generation.manifest.as_ref().ok()?;
            Some((generation.generation, retention.metrics(manifest.metadata())))
        })
        .collect();
    retention.kept(&numbers, &damaged, pinned, &metrics)
}

/// What the last run kept.
fn retention(history: &History) -> Option<Retention> {
    let start = history.records.iter().rev().find_map(|record| match &record.event {
        Event::Start { retention, .. } => Some(retention),
        _ => None,
    });
    start?.clone()
}

/// How long the program waited for each save, and how long it took.
fn costs(history: &History) -> BTreeMap<u64, (Duration, Duration)> {
    let saves = history.records.iter().filter_map(|record| match record.event {
        Event::Save { generation, stall, total, .. } => Some((generation, (stall, total))),
        _ => None,
    });
    saves.collect()
}

fn temporaries(path: &Path) -> Result<(usize, u64), Error> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotADirectory => Error::NotADirectory { path: path.to_owned() },
        _ => Error::io("list", path, source),
    };
    let entries = fs::read_dir(path).map_err(failed)?.flatten();
    let ours = entries.filter(|entry| store::is_temporary(&entry.file_name()));
    let lengths: Vec<u64> = ours.filter_map(|entry| Some(entry.metadata().ok()?.len())).collect();
    Ok((lengths.len(), lengths.iter().sum()))
}

/// Who has a directory open for saving just now, as they said themselves; `None` where nobody has.
///
/// # Errors
/// Where that cannot be found out.
pub fn holder(path: impl AsRef<Path>) -> Result<Option<String>, Error> {
    store::holder(&absolute(path)?)
}

/// Keeps a generation whatever the retention says, from the next save on. That it is pinned already is no error.
///
/// # Errors
/// [`Error::NoSuchGeneration`], or where the directory cannot be written.
pub fn pin(path: impl AsRef<Path>, generation: u64) -> Result<(), Error> {
    directory(path)?.pin(generation)
}

/// Leaves a generation to the retention again. That it is not pinned is no error.
///
/// # Errors
/// Where the directory cannot be written.
pub fn unpin(path: impl AsRef<Path>, generation: u64) -> Result<(), Error> {
    directory(path)?.unpin(generation)
}

fn directory(path: impl AsRef<Path>) -> Result<Directory, Error> {
    Ok(Directory::new(&absolute(path)?, Arc::new(RealDisk::default())))
}
