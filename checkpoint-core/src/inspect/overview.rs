//! Describes the content of a checkpoint directory, without loading any of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::subject::Subject;
use crate::base::warnings::warn;
use crate::container::{Container, Manifest};
use crate::error::Error;
#[cfg(feature = "group")]
use crate::group::GroupFile;
use crate::history::{self, Event, History};
use crate::run::stamp;
use crate::seal::Protection;
use crate::store::{
    self, Directory, Disk, Home, Keeping, Metrics, RANKS, RealDisk, Retention, RewoundFile, absolute, name,
    rank_of,
};
#[cfg(feature = "group")]
use crate::tree::File;

/// The content of a checkpoint directory.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Overview {
    /// The directory.
    pub path: PathBuf,
    /// The kind of program that saves there.
    pub kind: Kind,
    /// The generations, oldest first.
    pub generations: Vec<GenerationOverview>,
    /// The files of damaged generations that were moved out of the way, lowest first.
    pub set_aside: Vec<SetAside>,
    /// The generations that rewinds set aside, lowest first: [`rewind`](super::rewind()) brings
    /// them back.
    pub rewound: Vec<SetAside>,
    /// The process that has it open for saving at present, in its own words.
    pub holder: Option<String>,
    /// The retention of the last run, if the history has it.
    pub retention: Option<Retention>,
    /// True if a user or a program asked the program to save and stop, and it has not done so yet.
    pub halt_requested: bool,
    /// True if a user or a program asked it to save, stop and be started again, and it has not done
    /// so yet.
    pub requeue_requested: bool,
    /// The number of temporary files. Each belongs to a save in progress, waits to be overwritten,
    /// or was left by a killed program; the next start removes these.
    pub temporaries: usize,
    /// Their length in bytes.
    pub temporary_bytes: u64,
    /// The generation that was saved last according to the history, if even the newest one present
    /// is older: it was lost.
    pub missing: Option<u64>,
}

/// The kind of program that saves into a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A [`Checkpointer`](crate::Checkpointer), or none yet.
    Checkpoints,
    /// [`Scopes`](crate::Scopes).
    Scopes,
    /// A group of processes; their parts are in the directories of their ranks.
    Group,
    /// A [`Pipeline`](crate::Pipeline); its checkpoints are in the directories of its
    /// [steps](crate::pipeline::steps).
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
    /// Its manifest, or the error of reading it: of damage, or of a file that is out of reach for
    /// now. Its parts are not verified.
    pub manifest: Result<Manifest, Arc<Error>>,
    /// The time that the program waited for the save, if the history has it.
    pub stall: Option<Duration>,
    /// The time until the save was on the disk, if the history has it.
    pub total: Option<Duration>,
    /// The reasons to keep it, as far as they are known: the rules of the last run, and pins. Where
    /// the [rules](Overview::retention) are known, it is empty for one that the next save removes.
    pub kept: Vec<Keeping>,
}

/// The file of a generation that was moved out of the way: by a pipeline, because it was damaged
/// and its step runs again; or by a rewind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SetAside {
    /// The number that it had.
    pub generation: u64,
    /// Its file.
    pub path: PathBuf,
    /// Its length, with those of the parts of a group.
    pub bytes: u64,
    /// True if a pin keeps it.
    pub pinned: bool,
}

/// Reads an overview of a checkpoint directory, with checkpoints saved under this protection. It
/// reads only the manifest of each generation.
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
/// If there is no such directory, or if it cannot be listed. The error of one generation is in
/// [`GenerationOverview::manifest`].
pub fn overview(path: impl AsRef<Path>, protection: &Protection) -> Result<Overview, Error> {
    overview_of(&Subject::of_directory(&absolute(path)?, protection))
}

/// Reads an overview of another place than a directory, such as an `ObjectHome` of the package
/// `checkpointed-object-store`. There is no history, so it does not know the rules of the last run.
///
/// # Errors
/// If the place cannot be listed. The error of one generation is in
/// [`GenerationOverview::manifest`].
pub fn overview_in(home: &Arc<dyn Home>, protection: &Protection) -> Result<Overview, Error> {
    overview_of(&Subject::of_home(home, protection))
}

pub(super) fn overview_of(subject: &Subject<'_>) -> Result<Overview, Error> {
    let Some(path) = &subject.directory else {
        let home = &subject.home;
        let numbers = home.generations()?;
        let pinned = home.pinned(&numbers);
        let mut generations = generations(subject, numbers, &BTreeMap::new(), &[])?;
        mark_pinned(&mut generations, &pinned);
        return Ok(Overview {
            path: home.path().to_owned(),
            kind: kind_of(&generations).unwrap_or(Kind::Checkpoints),
            generations,
            set_aside: Vec::new(),
            rewound: Vec::new(),
            holder: None,
            retention: None,
            halt_requested: false,
            requeue_requested: false,
            temporaries: 0,
            temporary_bytes: 0,
            missing: None,
        });
    };
    let (temporaries, temporary_bytes) = temporaries(path)?;
    let directory = Directory::new(path, Arc::new(RealDisk::default()));
    let numbers = directory.generations()?;
    let pinned = directory.pinned(&numbers);
    // The history may be closed to this user, and is not needed.
    let history = history::read(path).unwrap_or_else(|error| {
        warn(format!("the history cannot be read: {error}"));
        History::default()
    });
    let costs = costs(&history);
    let parts = part_directories(path)?;
    let mut generations = generations(subject, numbers, &costs, &parts)?;
    let retention = retention(&history);
    if let Some(retention) = &retention {
        let manifests = generations.iter().map(|generation| {
            let manifest = generation.manifest.as_ref();
            (generation.generation, manifest.map_err(|error| error.is_damage()))
        });
        let kept = kept(retention, manifests, &pinned);
        for generation in &mut generations {
            generation.kept = kept.get(&generation.generation).cloned().unwrap_or_default();
        }
    } else {
        mark_pinned(&mut generations, &pinned);
    }
    let kind = match kind_of(&generations) {
        Some(kind) => kind,
        None if path.join(name::STEPS).is_dir() => Kind::Pipeline,
        None => Kind::Checkpoints,
    };
    let set_aside = directory.files_set_aside()?.into_iter().map(|(generation, path)| {
        let bytes = length_of(&path);
        SetAside { generation, path, bytes, pinned: false }
    });
    let set_aside = set_aside.collect();
    let rewound = rewound(&directory)?;
    let holder = holder(path)?;
    let halt_requested = path.join(name::HALT).is_file();
    let requeue_requested = path.join(name::REQUEUE).is_file();
    let aside = directory.set_aside()?;
    let saved = history.last_save().filter(|saved| !aside.contains(saved));
    // The history was read after the directory was listed: a program may have saved in between.
    let newest = directory.generations()?.last().copied();
    Ok(Overview {
        path: path.clone(),
        kind,
        missing: saved.filter(|saved| Some(*saved) > newest),
        generations,
        set_aside,
        rewound,
        holder,
        retention,
        halt_requested,
        requeue_requested,
        temporaries,
        temporary_bytes,
    })
}

/// The generations of these numbers, without those that were removed after the listing.
fn generations(
    subject: &Subject<'_>,
    numbers: Vec<u64>,
    costs: &BTreeMap<u64, (Duration, Duration)>,
    parts: &[Directory],
) -> Result<Vec<GenerationOverview>, Error> {
    let reader = subject.reader()?;
    let mut generations = Vec::new();
    for generation in numbers {
        let path = subject.home.location(generation);
        let (manifest, length) = match reader.container_as_listed(generation) {
            Err(Error::NoSuchGeneration { .. }) => continue,
            Ok(container) => {
                let (manifest, table) = (container.manifest().clone(), container.length());
                // The files of a directory are looked at instead.
                let parts = if subject.directory.is_some() { 0 } else { parts_of_table(&path, container) };
                (Ok(manifest), table + parts)
            }
            Err(error) => (Err(Arc::new(error)), reader.length(generation).unwrap_or_default()),
        };
        let (stall, total) = costs.get(&generation).copied().unzip();
        let parts = parts.iter().map(|part| length_of(&part.location(generation)));
        let bytes = length + parts.sum::<u64>();
        let kept = Vec::new();
        generations.push(GenerationOverview { generation, path, bytes, manifest, stall, total, kept });
    }
    Ok(generations)
}

/// The length of the parts of a group's checkpoint, as its table has them; 0 of any other.
fn parts_of_table(path: &Path, container: Container) -> u64 {
    #[cfg(feature = "group")]
    {
        let group = GroupFile::of(&File::of(path, container), &Protection::new()).ok().flatten();
        group.map_or(0, |group| group.costs().map(|cost| cost.bytes).sum())
    }
    #[cfg(not(feature = "group"))]
    {
        let _ = (path, container);
        0
    }
}

fn mark_pinned(generations: &mut [GenerationOverview], pinned: &BTreeSet<u64>) {
    let is_pinned = |generation: &&mut GenerationOverview| pinned.contains(&generation.generation);
    generations.iter_mut().filter(is_pinned).for_each(|pinned| pinned.kept.push(Keeping::Pinned));
}

/// The kind of program that the newest generation shows; `None` if there is none that can be read.
fn kind_of(generations: &[GenerationOverview]) -> Option<Kind> {
    let newest = generations.iter().rev().find_map(|generation| generation.manifest.as_ref().ok());
    newest.map(|manifest| match () {
        () if manifest.is_of_scopes() => Kind::Scopes,
        () if manifest.is_of_group() => Kind::Group,
        () => Kind::Checkpoints,
    })
}

/// The files of generations that rewinds set aside.
pub(super) fn rewound(directory: &Directory) -> Result<Vec<SetAside>, Error> {
    let files = directory.files_rewound()?.into_iter();
    let parts = part_directories(directory.path())?;
    let aside = |(generation, file): (u64, RewoundFile)| {
        let parts = parts.iter().map(|part| length_of(&part.location(generation)));
        let bytes = length_of(&file.path) + parts.sum::<u64>();
        let pinned = directory.is_pinned(generation, &file.path);
        SetAside { generation, path: file.path, bytes, pinned }
    };
    Ok(files.map(aside).collect())
}

/// The directories of the parts of a group; empty for another directory.
pub(super) fn part_directories(path: &Path) -> Result<Vec<Directory>, Error> {
    let ranks = path.join(RANKS);
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
    let names = match disk.list(&ranks) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(|source| Error::io("list", &ranks, source))?,
    };
    let ranks = names.iter().filter(|name| rank_of(name).is_some()).map(|name| ranks.join(name));
    Ok(ranks.map(|path| Directory::new(&path, Arc::clone(&disk))).collect())
}

/// The length of a file; 0 for an absent one.
pub(super) fn length_of(path: &Path) -> u64 {
    path.symlink_metadata().map_or(0, |metadata| metadata.len())
}

/// The generations that a retention keeps, each with the reasons. In the place of a manifest is
/// true for damage, and false for one that cannot be read now.
pub(super) fn kept<'m>(
    retention: &Retention,
    generations: impl IntoIterator<Item = (u64, Result<&'m Manifest, bool>)>,
    pinned: &BTreeSet<u64>,
) -> BTreeMap<u64, Vec<Keeping>> {
    let (mut numbers, mut damaged, mut metrics) = (Vec::new(), BTreeSet::new(), BTreeMap::new());
    for (generation, manifest) in generations {
        numbers.push(generation);
        // No load uses a generation that was computed from changed inputs.
        let is_usable =
            manifest.map_or_else(|is_damaged| !is_damaged, |manifest| !stamp::is_marked(manifest));
        if !is_usable {
            damaged.insert(generation);
        }
        let known = manifest.map(|manifest| retention.metrics(manifest));
        match known {
            Ok(known) => drop(metrics.insert(generation, known)),
            Err(false) => drop(metrics.insert(generation, Metrics::Unread)),
            Err(true) => {}
        }
    }
    retention.kept(&numbers, &damaged, pinned, &metrics)
}

/// The retention of the last run.
fn retention(history: &History) -> Option<Retention> {
    let start = history.records.iter().rev().find_map(|record| match &record.event {
        Event::Start { retention, .. } => Some(retention),
        _ => None,
    });
    start?.clone()
}

/// For each save, the time that the program waited, and the time that the save took.
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
    let mut lengths = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if store::is_temporary(&entry.file_name()) {
            // One that is gone by now belonged to a save.
            lengths.extend(entry.metadata().ok().map(|metadata| metadata.len()));
        }
    }
    Ok((lengths.len(), lengths.iter().sum()))
}

/// Returns the process that has a directory open for saving at present, in its own words; `None` if
/// there is none.
///
/// # Errors
/// If that cannot be determined.
pub fn holder(path: impl AsRef<Path>) -> Result<Option<String>, Error> {
    store::holder(&absolute(path)?)
}

/// Pins a generation: from the next save on, it is kept whatever the retention says. A generation
/// that is pinned already is no error.
///
/// # Errors
/// [`Error::NoSuchGeneration`], or an error if the directory cannot be written.
pub fn pin(path: impl AsRef<Path>, generation: u64) -> Result<(), Error> {
    directory(path)?.pin(generation)
}

/// Removes the pin of a generation. A generation that is not pinned is no error.
///
/// # Errors
/// If the directory cannot be read or written; [`Error::NoSuchGeneration`] if it has neither the
/// generation, also aside, nor a pin of that number.
pub fn unpin(path: impl AsRef<Path>, generation: u64) -> Result<(), Error> {
    let directory = directory(path)?;
    let path = directory.path();
    fs::read_dir(path).map_err(|source| Error::io("list", path, source))?;
    let is_there = directory.has_pin(generation) || directory.set_aside()?.contains(&generation);
    let available = directory.generations()?;
    if !is_there && !available.contains(&generation) {
        return Err(Error::NoSuchGeneration { path: path.to_owned(), generation, available });
    }
    directory.unpin(generation)
}

fn directory(path: impl AsRef<Path>) -> Result<Directory, Error> {
    Ok(Directory::new(&absolute(path)?, Arc::new(RealDisk::default())))
}
