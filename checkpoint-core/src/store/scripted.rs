//! A directory whose requests a test answers first: it fails some, or changes the directory between
//! two of them.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Claim, Claiming, Directory, Home, RealDisk};
use crate::container::Source;
use crate::error::Error;

/// A request to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    List,
    Open(u64),
}

/// The answer of a test: an error, or none to let the request through.
type Answer = dyn Fn(Request) -> io::Result<()> + Send + Sync;

/// A directory of which a test answers the requests to read.
#[derive(Clone)]
pub(crate) struct Scripted {
    directory: Directory,
    answer: Arc<Answer>,
}

impl Scripted {
    pub(crate) fn new(
        path: &Path,
        answer: impl Fn(Request) -> io::Result<()> + Send + Sync + 'static,
    ) -> Scripted {
        let directory = Directory::new(path, Arc::new(RealDisk::default()));
        Scripted { directory, answer: Arc::new(answer) }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Scripted").field("directory", &self.directory).finish_non_exhaustive()
    }
}

impl Home for Scripted {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn location(&self, generation: u64) -> PathBuf {
        self.directory.location(generation)
    }

    fn check(&self) -> Result<(), Error> {
        self.directory.check()
    }

    fn generations(&self) -> Result<Vec<u64>, Error> {
        (self.answer)(Request::List).map_err(|source| Error::io("list", self.path(), source))?;
        self.directory.generations()
    }

    fn set_aside(&self) -> Result<Vec<u64>, Error> {
        self.directory.set_aside()
    }

    /// As in an object store, a listing that fails has nothing.
    fn has(&self, generation: u64) -> bool {
        (self.answer)(Request::List).is_ok() && self.directory.has(generation)
    }

    fn open(&self, generation: u64) -> io::Result<Box<dyn Source>> {
        (self.answer)(Request::Open(generation))?;
        self.directory.open(generation)
    }

    fn pin(&self, generation: u64) -> Result<(), Error> {
        self.directory.pin(generation)
    }

    fn unpin(&self, generation: u64) -> Result<(), Error> {
        self.directory.unpin(generation)
    }

    fn pinned(&self, generations: &[u64]) -> BTreeSet<u64> {
        self.directory.pinned(generations)
    }

    fn claim(&self, claiming: &Claiming) -> Result<Box<dyn Claim>, Error> {
        self.directory.claim(claiming)
    }
}
