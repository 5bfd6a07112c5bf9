//! The place that is inspected: a directory, or a home elsewhere.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::verification::{Verdict, verified};
use crate::error::Error;
use crate::run::reader::Reader;
use crate::seal::Protection;
use crate::store::{Directory, Home, RealDisk};
use crate::tree::File;

/// The place that is inspected, and the protection of its checkpoints.
pub(super) struct Subject<'p> {
    pub(super) home: Arc<dyn Home>,
    /// The path of a directory, whose other files are looked at too.
    pub(super) directory: Option<PathBuf>,
    pub(super) protection: &'p Protection,
}

impl<'p> Subject<'p> {
    pub(super) fn of_directory(path: &Path, protection: &'p Protection) -> Subject<'p> {
        let home = Arc::new(Directory::new(path, Arc::new(RealDisk::default())));
        Subject { home, directory: Some(path.to_owned()), protection }
    }

    pub(super) fn of_home(home: &Arc<dyn Home>, protection: &'p Protection) -> Subject<'p> {
        Subject { home: Arc::clone(home), directory: None, protection }
    }

    pub(super) fn reader(&self) -> Result<Reader, Error> {
        let protection = self.directory.as_ref().map(|path| self.protection.of(path));
        Reader::of::<()>(Arc::clone(&self.home), protection.unwrap_or_else(|| self.protection.clone()))
    }

    pub(super) fn open(&self, generation: u64) -> Result<File, Error> {
        match self.directory {
            Some(_) => File::open(self.home.location(generation), self.protection),
            None => File::open_in(&self.home, generation, self.protection),
        }
    }

    /// Reads all of a generation.
    pub(super) fn verify(&self, generation: u64) -> Verdict {
        let path = self.home.location(generation);
        let verdict = verified(&path, || self.open(generation), self.protection);
        Verdict { generation: Some(generation), ..verdict }
    }

    /// True if a generation with this error was removed after it was listed. A save may have
    /// written over its file meanwhile, so it may look damaged too.
    pub(super) fn was_removed(&self, generation: u64, error: &Error) -> Result<bool, Error> {
        let may_be_gone = match error {
            Error::NoSuchGeneration { .. } => true,
            Error::Io { source, .. } if source.kind() == io::ErrorKind::StaleNetworkFileHandle => true,
            error => error.is_damage(),
        };
        Ok(may_be_gone && !self.home.generations()?.contains(&generation))
    }
}
