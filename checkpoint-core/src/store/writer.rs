//! The writing side of a checkpoint directory: there is one at a time, and it holds the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::{Disk, Lock, Locking};
use super::publish::{Sealed, Temporary, remove_temporary};
use super::retention::{Metrics, Retention};
use super::{Directory, Listing, name};
use crate::container::Compression;
use crate::error::Error;
use crate::seal::Protection;

/// How a directory is written.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether a save waits until it is on the disk.
    pub(crate) durable: bool,
    /// Which generations are kept.
    pub(crate) retention: Retention,
    /// How its files are packed; the store itself does not care.
    pub(crate) compression: Compression,
    /// Who may write and read them; nor does it care for this.
    pub(crate) protection: Protection,
}

/// A checkpoint directory that is ours to write, until dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    directory: Directory,
    settings: Settings,
    lock: Box<dyn Lock>,
    lock_path: PathBuf,
    /// The highest number that was ever tried, so that a save whose outcome is unknown is never written over.
    last: u64,
    /// Generations that a load found unusable. They do not count as kept.
    damaged: BTreeSet<u64>,
    /// What retention goes by, of the generations that are there.
    metrics: BTreeMap<u64, Metrics>,
    /// A retired generation, under a temporary name, for the next save to write over.
    spare: Option<PathBuf>,
}

impl Writer {
    /// Creates the directory where it is absent, takes its lock, and clears away what a crash left behind.
    pub(crate) fn open(directory: Directory, settings: Settings) -> Result<Writer, Error> {
        let Directory { path, disk } = &directory;
        let lock = claim(&**disk, path, settings.durable)?;
        // With a key, what others put there is refused.
        if settings.protection.tag_key().is_none()
            && let Some(who) = strangers(path)
        {
            tracing::warn!(
                path = %path.display(),
                "{who} can put checkpoints into this directory, or change those that are there: take the right away \
                 (`chmod go-w`), or tell yours from theirs with `Protection::authenticate`"
            );
        }
        let lock_path = path.join(name::LOCK);
        remove_temporaries(&**disk, path)?;
        if settings.durable {
            // A process that was killed between its rename and its sync left a generation that is there now, but
            // not after a power cut. Whoever loads it may tell the world; so it is made to stay first.
            disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))?;
        }
        let last = directory.generations()?.last().copied().unwrap_or(0);
        Ok(Writer {
            directory,
            settings,
            lock,
            lock_path,
            last,
            damaged: BTreeSet::new(),
            metrics: BTreeMap::new(),
            spare: None,
        })
    }

    /// Takes note of generations that turned out to be unusable.
    pub(crate) fn mark_damaged(&mut self, generations: impl IntoIterator<Item = u64>) {
        self.damaged.extend(generations);
    }

    /// Takes note of what retention goes by.
    pub(crate) fn note_metrics(&mut self, generation: u64, metrics: Metrics) {
        self.metrics.insert(generation, metrics);
    }

    /// Which generations are kept.
    pub(crate) fn retention(&self) -> &Retention {
        &self.settings.retention
    }

    /// The number that the next save gets.
    pub(crate) fn next(&self) -> Result<u64, Error> {
        let path = &self.directory.path;
        self.last.checked_add(1).ok_or_else(|| Error::NoMoreGenerations { path: path.clone() })
    }

    /// Begins a save.
    pub(crate) fn begin(&mut self) -> Result<Temporary, Error> {
        self.check_lock()?;
        Temporary::create(&self.directory.disk, &self.directory.path, self.spare.take())
    }

    /// Where the directory is.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Whether saves wait for the disk.
    pub(crate) fn durable(&self) -> bool {
        self.settings.durable
    }

    /// How saves are protected.
    pub(crate) fn protection(&self) -> &Protection {
        &self.settings.protection
    }

    /// How saves are packed.
    pub(crate) fn compression(&self) -> Compression {
        self.settings.compression
    }

    /// Ends a save: when this returns, the generation is there to stay. What retention no longer wants goes only
    /// then, and no failure to remove it makes the save a failure.
    pub(crate) fn publish(&mut self, sealed: Sealed, generation: u64, metrics: Metrics) -> Result<(), Error> {
        self.check_lock()?;
        let Directory { path, disk } = &self.directory;
        // Whatever comes of it, the number is used up.
        self.last = self.last.max(generation);
        let target = self.directory.location(generation);
        sealed.publish(&target).map_err(|source| Error::writing("publish", &target, source))?;
        if self.settings.durable {
            disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))?;
        }
        self.metrics.insert(generation, metrics);
        self.retire(generation);
        Ok(())
    }

    /// Removes what is not to be kept, but for one file, which the next save recycles.
    fn retire(&mut self, newest: u64) {
        let Listing { mut generations, pinned } = match self.directory.listing() {
            Ok(listing) => listing,
            Err(error) => return tracing::warn!(%error, "could not look for old generations"),
        };
        // Whatever is newer is not of this program.
        generations.retain(|generation| *generation <= newest);
        let kept = self.settings.retention.kept(&generations, &self.damaged, &pinned, &self.metrics);
        for generation in generations.into_iter().filter(|generation| !kept.contains_key(generation)) {
            let path = self.directory.location(generation);
            let Directory { path: directory, disk } = &self.directory;
            let outcome = match self.spare {
                // Without syncs, what is retired may be all that a power cut leaves.
                None if self.settings.durable => {
                    disk.rename_to_temporary(&path, directory).map(|spare| self.spare = Some(spare))
                }
                _ => disk.remove(&path),
            };
            match outcome {
                Ok(()) => {
                    self.damaged.remove(&generation);
                    self.metrics.remove(&generation);
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "could not remove an old generation")
                }
            }
        }
    }

    /// Makes sure that the directory is still the one that was locked, and not another one put in its place.
    fn check_lock(&self) -> Result<(), Error> {
        if self.lock.is_at(&self.lock_path) {
            return Ok(());
        }
        Err(Error::DirectoryReplaced { path: self.directory.path.clone() })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(spare) = self.spare.take() {
            remove_temporary(&*self.directory.disk, &spare);
        }
    }
}

/// Creates a directory where it is absent, and takes its lock.
pub(crate) fn claim(disk: &dyn Disk, path: &Path, durable: bool) -> Result<Box<dyn Lock>, Error> {
    create(disk, path, durable)?;
    let lock_path = path.join(name::LOCK);
    let holder = format!("process {} on {}", std::process::id(), crate::host::name());
    for attempt in 1.. {
        match disk.lock(&lock_path, &holder) {
            Ok(Locking::Taken(lock)) => return Ok(lock),
            // Somebody may only be looking whether it is taken.
            Ok(Locking::Held(_)) if attempt < ATTEMPTS => std::thread::sleep(BETWEEN_ATTEMPTS),
            Ok(Locking::Held(holder)) => return Err(Error::InUse { path: path.to_owned(), holder }),
            Err(source) => return Err(Error::writing("lock", &lock_path, source)),
        }
    }
    Err(Error::InUse { path: path.to_owned(), holder })
}

/// Who else may create and replace names in a directory.
fn strangers(path: &Path) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = path.metadata().ok()?;
        let (us, owner) = (rustix::process::geteuid().as_raw(), metadata.uid());
        if metadata.mode() & 0o002 != 0 {
            return Some("everybody".to_owned());
        }
        if metadata.mode() & 0o020 != 0 {
            return Some(format!("the group {}", metadata.gid()));
        }
        (owner != us && owner != 0).then(|| format!("user {owner}, whose it is,"))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}

/// How often a lock is asked for that somebody has.
const ATTEMPTS: u32 = 4;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// Who has the lock of a directory. To find out, it is taken for a moment, together with others that look.
pub(crate) fn holder(path: &Path) -> Result<Option<String>, Error> {
    let lock_path = path.join(name::LOCK);
    let failed = |source| Error::io("read", &lock_path, source);
    let file = match File::open(&lock_path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.take(200).read_to_string(&mut holder).map_err(failed)?;
            Ok(Some(holder))
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Creates a directory and those above it.
///
/// Before a name is created in a directory, that directory's own name is made durable. So whenever this is cut
/// short, at most the deepest directory that exists may be unknown to the disk, and that one is synced at the next
/// start, which is why this does so even where nothing is to be created.
fn create(disk: &dyn Disk, path: &Path, durable: bool) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut deepest = path;
    while !deepest.as_os_str().is_empty() && disk.is_directory(deepest).is_none() {
        missing.push(deepest);
        match deepest.parent() {
            Some(parent) => deepest = parent,
            None => break,
        }
    }
    if !deepest.as_os_str().is_empty() && disk.is_directory(deepest) != Some(true) {
        return Err(Error::NotADirectory { path: deepest.to_owned() });
    }
    let mut unsynced = deepest;
    for directory in missing.into_iter().rev() {
        sync_name_of(disk, unsynced, durable)?;
        disk.create_directory(directory).map_err(|source| Error::writing("create", directory, source))?;
        unsynced = directory;
    }
    sync_name_of(disk, unsynced, durable)
}

/// Makes the name of a directory durable, by a sync of the one that it is in.
fn sync_name_of(disk: &dyn Disk, directory: &Path, durable: bool) -> Result<(), Error> {
    let parent = match directory.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return Ok(()),
    };
    if !durable {
        return Ok(());
    }
    match disk.sync_directory(parent) {
        // A directory that we may not even open is not one that we created a name in.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result.map_err(|source| Error::writing("sync", parent, source)),
    }
}

/// Removes the temporary files that a killed process left behind. Nobody else writes: the lock is ours.
fn remove_temporaries(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    let names = disk.list(path).map_err(|source| Error::io("list", path, source))?;
    for name in names.iter().filter(|name| name::is_temporary(name)) {
        remove_temporary(disk, &path.join(name));
    }
    Ok(())
}
