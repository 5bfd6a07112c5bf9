//! The mark of a rank's directory: it has parts of a generation that the group accepted.
//!
//! The parts alone do not tell a job that was killed before its first table from one that lost its
//! tables. The first starts afresh. The second must not: its next save would remove the parts. So
//! each member marks its directory, durably, before it acknowledges the first generation.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::warnings::warn;
use crate::store::{ACCEPTED, Disk};

/// The mark of one rank's directory.
#[derive(Debug)]
pub(super) struct Accepted {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    /// True to wait until the mark is on the disk.
    durable: bool,
    /// True if this program knows that the mark is there.
    is_made: bool,
}

impl Accepted {
    pub(super) fn of(directory: &Path, disk: Arc<dyn Disk>, durable: bool) -> Accepted {
        Accepted { disk, directory: directory.to_owned(), durable, is_made: false }
    }

    fn path(&self) -> PathBuf {
        self.directory.join(ACCEPTED)
    }

    /// True if the directory has the mark.
    pub(super) fn is_there(&self) -> bool {
        self.disk.exists(&self.path())
    }

    /// Makes the mark, once. A failure fails no save: the next one tries again.
    pub(super) fn make(&mut self) {
        if self.is_made {
            return;
        }
        let made = match self.disk.create_small(&self.path(), b"") {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // A power cut may have come between the mark of an earlier run and its sync.
            _ if self.durable => self.disk.sync_directory(&self.directory),
            _ => Ok(()),
        };
        match made {
            Ok(()) => self.is_made = true,
            Err(error) => warn(format!(
                "{} cannot be created, the next save tries again: without it, a loss of the directory of rank 0 may look \
                 like a first start: {error}",
                self.path().display()
            )),
        }
    }

    /// Removes the mark of parts that a user has removed: the group starts afresh.
    pub(super) fn clear(&mut self) {
        if !self.is_there() {
            return;
        }
        match self.disk.remove(&self.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => warn(format!(
                "{} cannot be removed, remove it: a job that is killed before its first save may not start again: {error}",
                self.path().display()
            )),
            _ => {}
        }
    }
}
