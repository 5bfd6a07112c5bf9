//! A mirror: a second level that gets copies of the generations of the first, and keeps its own.
//!
//! [`Far`] is the other place before it is [reached](Far::reach), [`Mirror`] after. Programs and
//! tools use the same: a thread of a run calls [`Mirror::update`] after each save, a tool once.

mod compare;
mod heal;
mod pace;
mod reach;
mod records;
mod restore;
mod retire;
mod standing;
mod transfer;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::{Arc, Weak};

use super::guard::Guard;
use super::home::{Claim, Claiming, Home};
use super::local::Disk;
use super::retention::{Metrics, Retention};
use crate::base::warnings::warn;
use crate::error::Error;
use crate::seal::Protection;
pub(crate) use compare::is_mirror_of;
use pace::Pace;
pub(crate) use pace::Timing;
pub(crate) use records::Records;
pub(crate) use restore::restore;
pub(crate) use standing::Standing;
pub(crate) use update::Updated;

/// The generations that a mirror gets.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// The newest, once its number is so much greater than that of the last, and what these rules
    /// keep for another reason than that it is new. The others are removed.
    Newest(NonZeroU64, Retention),
    /// All that the near level has. None is removed.
    All,
}

impl Wanted {
    fn retention(&self) -> Option<&Retention> {
        match self {
            Wanted::Newest(_, retention) => Some(retention),
            Wanted::All => None,
        }
    }
}

/// A mirror before it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    pub(crate) home: Arc<dyn Home>,
    /// True for a directory, which can be absent because its disk is.
    pub(crate) is_directory: bool,
    pub(crate) claiming: Claiming,
    pub(crate) wanted: Wanted,
    pub(crate) per_second: Option<u64>,
    pub(crate) protection: Protection,
}

/// The first level, as a mirror reads it.
#[derive(Clone, Debug)]
pub(crate) struct Near {
    pub(crate) home: Arc<dyn Home>,
    /// The disk of the directory, for the records.
    pub(crate) disk: Arc<dyn Disk>,
    /// The claim of the run that mirrors; `None` for a tool, which has none.
    pub(crate) guard: Option<Weak<Guard>>,
}

impl Near {
    /// Checks that the run still has the directory: a thread that hung may outlive it.
    fn check(&self) -> Result<(), Error> {
        match self.guard.as_ref().map(Weak::upgrade) {
            None => self.home.check(),
            Some(Some(guard)) => guard.check(),
            Some(None) => {
                let why = std::io::Error::other("the run that mirrored it has ended");
                Err(Error::io("mirror", self.home.path(), why))
            }
        }
    }
}

/// A mirror that this process has claimed.
#[derive(Debug)]
pub(crate) struct Mirror {
    far: Far,
    near: Near,
    claim: Box<dyn Claim>,
    records: Records,
    pace: Pace,
    /// The newest generation of the mirror that is of this run, as far as is known.
    newest: Option<u64>,
    /// Generations that are damaged on the near level: they are not tried again.
    damaged_near: BTreeSet<u64>,
    /// Generations that are damaged at the mirror, and do not count there.
    damaged_far: BTreeSet<u64>,
    /// Generations that have their name at the mirror, which could not be made durable.
    not_lasting: BTreeSet<u64>,
    /// Generations of the mirror that this process sent, or read as a whole.
    verified: BTreeSet<u64>,
    /// The newest generation that counted in the last update, even if that failed later.
    counted: Option<u64>,
    metrics: BTreeMap<u64, Metrics>,
    /// Generations whose metrics a device did not give.
    unread: BTreeSet<u64>,
    /// The generations of the mirror at the last listing.
    there: BTreeSet<u64>,
}

impl Mirror {
    /// The mirror, for reading.
    pub(crate) fn home(&self) -> &Arc<dyn Home> {
        self.claim.home()
    }

    fn path(&self) -> &Path {
        self.far.home.path()
    }

    /// The newest generation of the mirror that counts.
    pub(crate) fn newest(&self) -> Result<Option<u64>, Error> {
        Ok(self.newest_of(&self.home().generations()?))
    }

    fn newest_of(&self, there: &[u64]) -> Option<u64> {
        there.iter().copied().rfind(|there| self.counts(*there))
    }

    /// Looks whether the place is still the claimed one, and for the newest generation that counts
    /// there: it, or its files, may have been removed. It reads no file.
    pub(crate) fn look(&mut self) -> Result<Option<u64>, Error> {
        self.check()?;
        let mut newest = self.newest()?;
        // Another program may have taken a store over, as in an update.
        if newest > self.newest {
            self.compare_again(false)?;
            newest = self.newest()?;
        }
        self.found(newest);
        Ok(newest)
    }

    /// Takes what a listing found for the newest generation that counts, and tells of a loss.
    fn found(&mut self, newest: Option<u64>) {
        if let Some(lost) = self.counted.filter(|counted| newest < Some(*counted)) {
            warn(format!(
                "the mirror {} does not have generation {lost} any more: it was removed there, or is damaged; what {} has \
                 is copied again",
                self.path().display(),
                self.near.home.path().display()
            ));
        }
        self.counted = newest;
    }

    /// The newest generation that counted in the last update, even if that failed later.
    pub(crate) fn counted(&self) -> Option<u64> {
        self.counted
    }

    /// False for a generation that a machine that fails could take away.
    fn counts(&self, generation: u64) -> bool {
        !self.damaged_far.contains(&generation) && !self.not_lasting.contains(&generation)
    }

    /// Notes generations of the mirror that turned out to be damaged.
    pub(crate) fn note_damaged(&mut self, generations: impl IntoIterator<Item = u64>) {
        self.damaged_far.extend(generations);
    }

    /// Checks that the claim stands.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.claim.guard().check()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
