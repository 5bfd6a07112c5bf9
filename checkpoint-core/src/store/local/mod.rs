//! A directory of this machine as the home of checkpoints.
//!
//! It holds the generations of one program, a lock file, and temporary files during a save.

pub(super) mod blocks;
mod buffers;
mod claim;
mod clear;
mod copy;
pub(super) mod disk;
mod draft;
mod growing;
mod holder;
mod lock;
mod log;
mod output;
mod pin;
pub(super) mod real;
mod rewind;
mod source;
mod take;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod uncached;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::guard::{Guard, WithinGuard};
use super::home::{Claim, Claiming, Files, Home, Log};
use super::name;
use crate::base::warnings::warn;
use crate::container::Source;
use crate::error::Error;
use claim::DirectoryClaim;
pub(crate) use claim::warn_of_strangers;
pub use copy::CopyWay;
pub(crate) use copy::copy_generation;
pub(crate) use disk::{Disk, Growing, Opening};
pub(crate) use holder::holder;
pub(crate) use output::check_limit as check_file_size;
pub use real::Access;
pub(crate) use real::{RealDisk, must_be_regular, no_follow_no_wait, no_wait, open_regular};
pub(crate) use rewind::RewoundFile;

/// A checkpoint directory for reading. It takes no lock, so a program can read while another
/// writes.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// The guard of the writer that reads; dangling for a mere reader.
    guard: WithinGuard,
    /// The epochs of each generation at the last listing, lowest first, where there are others than
    /// 0: such files were copied from an object store.
    epochs: Arc<Mutex<Option<Epochs>>>,
}

/// Epochs of generations.
type Epochs = BTreeMap<u64, BTreeSet<u64>>;

impl Directory {
    pub(crate) fn new(path: &Path, disk: Arc<dyn Disk>) -> Directory {
        Directory { path: path.to_owned(), disk, guard: Weak::new(), epochs: Arc::default() }
    }

    /// The same directory for the holder of a claim on it, or on an outer one: a directory in its
    /// place is not read.
    pub(crate) fn guarded(self, guard: &Arc<Guard>) -> Directory {
        Directory { guard: Arc::downgrade(guard), ..self }
    }

    /// True while a claim on the directory is held.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guard.strong_count() > 0
    }

    /// Gives the file of a generation another name beside it, so that it is no generation any more.
    /// Returns that path. Files of older generations with such a name are removed.
    ///
    /// Files of lower epochs go first: without the one that counts, one of them would be the
    /// generation.
    pub(crate) fn move_aside(&self, generation: u64) -> Result<PathBuf, Error> {
        self.check_writable()?;
        self.listed()?;
        let mut moved = PathBuf::new();
        for file in self.files_of(generation) {
            moved = self.move_file_aside(generation, &file)?;
        }
        self.listed()?;
        self.remove_older_aside(generation);
        Ok(moved)
    }

    fn move_file_aside(&self, generation: u64, from: &Path) -> Result<PathBuf, Error> {
        for number in 1_u64.. {
            let to = self.path.join(name::set_aside(generation, number));
            match self.disk.rename(from, &to) {
                Ok(()) => return Ok(to),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::writing("rename", from, source)),
            }
        }
        Err(Error::writing("rename", from, io::ErrorKind::AlreadyExists.into()))
    }

    /// Removes the files of generations before this one that were moved out of the way.
    fn remove_older_aside(&self, generation: u64) {
        let aside = self.files_set_aside().unwrap_or_default();
        for (_, path) in aside.into_iter().filter(|(older, _)| *older < generation) {
            match self.disk.remove(&path) {
                Ok(()) => warn(format!(
                    "{} was removed: of the damaged files of this directory that were moved out of the way, only \
                     the newest is kept",
                    path.display()
                )),
                Err(error) => warn(format!("{}, a damaged file, cannot be removed: {error}", path.display())),
            }
        }
    }

    /// The files of damaged generations that were moved out of the way, each with its generation,
    /// lowest first.
    pub(crate) fn files_set_aside(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let names = self.names()?;
        let aside = names.iter().filter_map(|name| Some((name::aside(name)?, self.path.join(name))));
        let mut aside: Vec<(u64, PathBuf)> = aside.collect();
        aside.sort_unstable();
        Ok(aside)
    }

    /// Checks before a change that the directory is still the claimed one, and that this process
    /// has the claim.
    fn check_writable(&self) -> Result<(), Error> {
        self.guard.upgrade().map_or(Ok(()), |guard| guard.check())
    }

    /// The names in the directory; none if it is absent.
    fn names(&self) -> Result<Vec<OsString>, Error> {
        match self.disk.list(&self.path) {
            Ok(names) => Ok(names),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                take::dangling(&self.path).map_or(Ok(Vec::new()), Err)
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                Err(Error::NotADirectory { path: self.path.clone() })
            }
            Err(source) => Err(Error::io("list", &self.path, source)),
        }
    }

    fn listed(&self) -> Result<Vec<u64>, Error> {
        let names = self.names()?;
        let mut epochs = Epochs::new();
        for (generation, epoch) in names.iter().filter_map(|name| name::generation_and_epoch(name)) {
            epochs.entry(generation).or_default().insert(epoch);
        }
        let generations = epochs.keys().copied().collect();
        epochs.retain(|_, epochs| epochs.last() > Some(&0));
        *self.epochs.lock().unwrap_or_else(PoisonError::into_inner) = Some(epochs);
        Ok(generations)
    }

    /// The paths of the files of a generation, highest epoch last: that is the one that counts.
    fn files_of(&self, generation: u64) -> Vec<PathBuf> {
        let is_listed = self.epochs.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        if !is_listed {
            // Whoever uses the path learns of the error.
            let _ = self.listed();
        }
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        let epochs = epochs.as_ref().and_then(|epochs| epochs.get(&generation));
        let name = |epoch: &u64| self.path.join(name::of_generation_in(generation, *epoch));
        epochs.map_or_else(|| vec![name(&0)], |epochs| epochs.iter().map(name).collect())
    }

    /// Removes the files of a generation that one of a higher epoch replaces.
    fn remove_replaced(&self, generation: u64) -> io::Result<()> {
        let mut files = self.files_of(generation);
        files.pop();
        files.iter().try_for_each(|file| gone(self.disk.remove(file)))
    }
}

/// The outcome of a removal, where a file that is gone already is no failure.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

impl Home for Directory {
    fn path(&self) -> &Path {
        &self.path
    }

    fn exists(&self) -> bool {
        self.disk.exists(&self.path)
    }

    fn location(&self, generation: u64) -> PathBuf {
        self.files_of(generation).pop().unwrap_or_default()
    }

    fn check(&self) -> Result<(), Error> {
        self.guard.upgrade().map_or(Ok(()), |guard| guard.check_place())
    }

    /// A listing does not show a single moment: while a save replaces the only generation, it can
    /// miss both. So an empty directory must be seen twice.
    fn generations(&self) -> Result<Vec<u64>, Error> {
        self.check()?;
        let generations = self.listed()?;
        if generations.is_empty() { self.listed() } else { Ok(generations) }
    }

    fn set_aside(&self) -> Result<Vec<u64>, Error> {
        let mut aside: Vec<u64> =
            self.files_set_aside()?.into_iter().map(|(generation, _)| generation).collect();
        aside.extend(self.rewound()?);
        aside.sort_unstable();
        Ok(aside)
    }

    fn last_sent(&self) -> Result<u64, Error> {
        Ok(self.names()?.iter().filter_map(|name| name::of_mirror(name)).max().unwrap_or(0))
    }

    fn rewound(&self) -> Result<Vec<u64>, Error> {
        Ok(self.files_rewound()?.into_keys().collect())
    }

    fn open_rewound(&self, generation: u64) -> io::Result<(PathBuf, Box<dyn Source>)> {
        let files = self.files_rewound().map_err(io::Error::other)?;
        let file = files.get(&generation).ok_or(io::ErrorKind::NotFound)?;
        Ok((file.path.clone(), self.disk.open(&file.path)?))
    }

    fn has_rewound_to(&self, generation: u64) -> bool {
        self.has_note(generation)
    }

    fn has(&self, generation: u64) -> bool {
        self.disk.exists(&self.location(generation))
    }

    fn open(&self, generation: u64) -> io::Result<Box<dyn Source>> {
        self.disk.open(&self.location(generation))
    }

    fn pin(&self, generation: u64) -> Result<(), Error> {
        self.check_writable()?;
        self.keep(generation)
    }

    fn unpin(&self, generation: u64) -> Result<(), Error> {
        self.check_writable()?;
        self.remove_pin(generation)
    }

    fn pinned(&self, generations: &[u64]) -> BTreeSet<u64> {
        let is_pinned = |generation: &u64| self.is_pinned(*generation, &self.location(*generation));
        generations.iter().copied().filter(is_pinned).collect()
    }

    fn files(&self) -> Option<&dyn Files> {
        Some(self)
    }

    fn member(&self, rank: usize) -> Result<Arc<dyn Home>, Error> {
        let path = self.path.join(name::RANKS).join(name::of_rank(rank));
        Ok(Arc::new(Directory::new(&path, Arc::clone(&self.disk))))
    }

    fn members(&self) -> Result<Vec<usize>, Error> {
        let ranks = self.path.join(name::RANKS);
        let names = match self.disk.list(&ranks) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(Error::io("list", &ranks, source)),
        };
        let ranks: BTreeSet<usize> = names.iter().filter_map(|name| name::rank(name)).collect();
        Ok(ranks.into_iter().collect())
    }

    fn is_accepted(&self) -> io::Result<bool> {
        Ok(self.disk.exists(&self.path.join(name::ACCEPTED)))
    }

    fn note_accepted(&self, is_accepted: bool, durable: bool) -> io::Result<()> {
        let path = self.path.join(name::ACCEPTED);
        if !is_accepted {
            return gone(self.disk.remove(&path));
        }
        match self.disk.create_small(&path, b"") {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // A power cut may have come between the note of an earlier run and its sync.
            _ if durable => self.disk.sync_directory(&self.path),
            _ => Ok(()),
        }
    }

    fn claim(&self, claiming: &Claiming) -> Result<Box<dyn Claim>, Error> {
        Ok(Box::new(DirectoryClaim::take(self.clone(), claiming)?))
    }
}

impl Files for Directory {
    fn open_file(&self, name: &str) -> io::Result<Box<dyn Source>> {
        self.disk.open(&self.path.join(name))
    }

    fn open_log(&self, name: &str) -> io::Result<Box<dyn Log>> {
        self.disk.open_log(&self.path.join(name))
    }

    fn rename_log(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        gone(self.disk.remove(&to))?;
        self.disk.rename(&from, &to)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nothing_of_a_generation_moved_aside_stays() {
        let parent = tempfile::tempdir().unwrap();
        let file = |epoch| parent.path().join(name::of_generation_in(7, epoch));
        let directory = Directory::new(parent.path(), Arc::new(RealDisk::default()));
        for epoch in [0, 2, 11] {
            fs::write(file(epoch), epoch.to_string()).unwrap();
        }
        let moved = directory.move_aside(7).unwrap();
        assert_eq!(fs::read_to_string(moved).unwrap(), "11");
        assert!(directory.generations().unwrap().is_empty());
        assert!(!directory.has(7));
        assert_eq!(directory.set_aside().unwrap(), [7, 7, 7]);
        assert_eq!(directory.location(7), file(0));
    }
}
