//! The mark of a rank's directory: it has parts of a generation that the group accepted.
//!
//! The parts alone do not tell a job that was killed before its first table from one that lost its
//! tables. The first starts afresh. The second must not: its next save would remove the parts. So
//! each member marks its directory, durably, before it acknowledges the first generation.

use std::path::PathBuf;
use std::sync::Arc;

use super::lost;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::{ACCEPTED, Home};

/// The mark of one rank's directory.
#[derive(Debug)]
pub(super) struct Accepted {
    home: Arc<dyn Home>,
    /// True to wait until the mark is on the disk.
    durable: bool,
    /// True if this program knows that the mark is there.
    is_made: bool,
}

impl Accepted {
    pub(super) fn of(home: Arc<dyn Home>, durable: bool) -> Accepted {
        Accepted { home, durable, is_made: false }
    }

    /// The path of the mark, for messages.
    fn path(&self) -> PathBuf {
        self.home.path().join(ACCEPTED)
    }

    /// True if the directory has the mark.
    pub(super) fn is_there(&self) -> Result<bool, Error> {
        lost::is_accepted(&*self.home)
    }

    /// Makes the mark, once. A failure fails no save: the next one tries again.
    pub(super) fn make(&mut self) {
        if self.is_made {
            return;
        }
        match self.home.note_accepted(true, self.durable) {
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
        let cleared = match self.is_there() {
            Ok(false) => return,
            Ok(true) => self.home.note_accepted(false, self.durable).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = cleared {
            warn(format!(
                "{} cannot be removed, remove it: a job that is killed before its first save may not start again: {error}",
                self.path().display()
            ));
        }
    }
}
