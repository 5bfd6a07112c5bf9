//! One file → a durable generation: names, the lock, publishing, retention.
//!
//! A directory holds the generations of one program, a lock file, and temporary files during a
//! save. Its promises, and the reasons that the protocol keeps them, are in `docs/durability.md`.

mod claim;
mod copy;
mod disk;
#[cfg(test)]
pub(crate) mod faults;
mod holder;
mod lock;
mod log;
pub(crate) mod name;
mod output;
mod pin;
mod place;
mod process;
mod publish;
mod real;
mod retention;
#[cfg(test)]
pub(crate) mod simulated;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::container::Source;
use crate::error::Error;
pub(crate) use claim::{Claim, Claiming};
pub use copy::CopyWay;
pub(crate) use copy::copy_generation;
pub(crate) use disk::{Disk, Log};
pub(crate) use holder::holder;
pub(crate) use name::{generation as generation_of, is_temporary, temporary as temporary_name};
pub(crate) use output::check_limit as check_file_size;
pub(crate) use place::{Place, absolute};
pub(crate) use publish::{Sealed, Temporary};
pub use real::Access;
pub(crate) use real::RealDisk;
pub(crate) use retention::Metrics;
pub use retention::{Keeping, Metric, Retention};
pub(crate) use writer::{Settings, Writer};

/// A checkpoint directory for reading. It takes no lock, so a program can read while another
/// writes.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    /// The claim of the writer that reads; dangling for a mere reader.
    claim: Weak<Claim>,
}

impl Directory {
    pub(crate) fn new(path: &Path, disk: Arc<dyn Disk>) -> Directory {
        Directory { path: path.to_owned(), disk, claim: Weak::new() }
    }

    /// The same directory for the holder of a claim on it, or on an outer one: a directory in its
    /// place is not read.
    pub(crate) fn claimed(self, claim: &Arc<Claim>) -> Directory {
        Directory { claim: Arc::downgrade(claim), ..self }
    }

    /// Checks that the directory is still the claimed one, if there is a claim.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.claim.upgrade().map_or(Ok(()), |claim| claim.check_place())
    }

    /// Checks that too before a change, and that this process has the claim.
    fn check_writable(&self) -> Result<(), Error> {
        self.claim.upgrade().map_or(Ok(()), |claim| claim.check())
    }

    /// The path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The disk of the directory.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// The path that a generation has, or would have.
    pub(crate) fn location(&self, generation: u64) -> PathBuf {
        self.path.join(name::of_generation(generation))
    }

    /// The existing generations, oldest first. An absent directory has none.
    ///
    /// A listing does not show a single moment: while a save replaces the only generation, it can
    /// miss both. So an empty directory must be seen twice.
    pub(crate) fn generations(&self) -> Result<Vec<u64>, Error> {
        self.check()?;
        let generations = self.listed()?;
        if generations.is_empty() { self.listed() } else { Ok(generations) }
    }

    fn listed(&self) -> Result<Vec<u64>, Error> {
        let names = match self.disk.list(&self.path) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return claim::dangling(&self.path).map_or(Ok(Vec::new()), Err);
            }
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(Error::NotADirectory { path: self.path.clone() });
            }
            Err(source) => return Err(Error::io("list", &self.path, source)),
        };
        let mut generations: Vec<u64> = names.iter().filter_map(|name| name::generation(name)).collect();
        generations.sort_unstable();
        Ok(generations)
    }

    /// True if a generation exists.
    pub(crate) fn has(&self, generation: u64) -> bool {
        self.disk.exists(&self.location(generation))
    }

    /// Opens a generation for reading.
    pub(crate) fn open(&self, generation: u64) -> io::Result<Box<dyn Source>> {
        self.disk.open(&self.location(generation))
    }
}
