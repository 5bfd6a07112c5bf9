//! One file → a durable generation: names, the lock, publishing, retention.
//!
//! A directory holds the generations of one program, a lock file, and temporary files while one is written. What is
//! promised of it, and why the protocol keeps it, is in `docs/durability.md`.

mod disk;
#[cfg(test)]
pub(crate) mod faults;
mod name;
mod output;
mod publish;
mod real;
mod retention;
#[cfg(test)]
pub(crate) mod simulated;
mod writer;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::container::Source;
use crate::error::Error;
pub(crate) use disk::{Disk, Lock, Log};
pub(crate) use name::{generation as generation_of, is_temporary, temporary as temporary_name};
pub(crate) use publish::{Sealed, Temporary};
pub(crate) use real::RealDisk;
pub(crate) use retention::Metrics;
pub use retention::{Keeping, Metric, Retention};
pub(crate) use writer::{Settings, Writer, claim, holder};

/// What a checkpoint directory holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Oldest first.
    pub(crate) generations: Vec<u64>,
    /// Those that somebody pinned; they need not be there.
    pub(crate) pinned: BTreeSet<u64>,
}

/// A checkpoint directory for reading. It takes no lock, so a program may read while another writes.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Directory {
    pub(crate) fn new(path: &Path, disk: Arc<dyn Disk>) -> Directory {
        Directory { path: path.to_owned(), disk }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a generation is, or would be.
    pub(crate) fn location(&self, generation: u64) -> PathBuf {
        self.path.join(name::of_generation(generation))
    }

    /// The generations that are there, oldest first. A directory that does not exist has none.
    pub(crate) fn generations(&self) -> Result<Vec<u64>, Error> {
        self.listing().map(|listing| listing.generations)
    }

    /// What is there.
    ///
    /// A listing is not of one moment: while a save replaces the only generation, it can miss both. So that there is
    /// none is believed only when it is seen twice.
    pub(crate) fn listing(&self) -> Result<Listing, Error> {
        let listing = self.listed()?;
        if listing.generations.is_empty() { self.listed() } else { Ok(listing) }
    }

    fn listed(&self) -> Result<Listing, Error> {
        let names = match self.disk.list(&self.path) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Listing::default()),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::NotADirectory { path: self.path.clone() });
            }
            Err(source) => return Err(Error::io("list", &self.path, source)),
        };
        let mut generations: Vec<u64> = names.iter().filter_map(|name| name::generation(name)).collect();
        generations.sort_unstable();
        let pinned = names.iter().filter_map(|name| name::pinned(name)).collect();
        Ok(Listing { generations, pinned })
    }

    /// Keeps a generation whatever retention says, from the next save on.
    pub(crate) fn pin(&self, generation: u64) -> Result<(), Error> {
        let path = self.path.join(name::of_pin(generation));
        match self.disk.create_empty(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            result => result.map_err(|source| Error::writing("create", &path, source))?,
        }
        self.disk.sync_directory(&self.path).map_err(|source| Error::writing("sync", &self.path, source))
    }

    /// Leaves a generation to retention again.
    pub(crate) fn unpin(&self, generation: u64) -> Result<(), Error> {
        let path = self.path.join(name::of_pin(generation));
        match self.disk.remove(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(|source| Error::writing("remove", &path, source)),
        }
    }

    /// Whether a generation is there.
    pub(crate) fn has(&self, generation: u64) -> bool {
        self.disk.exists(&self.location(generation))
    }

    /// Opens a generation for reading.
    pub(crate) fn open(&self, generation: u64) -> io::Result<Box<dyn Source>> {
        self.disk.open(&self.location(generation))
    }
}
