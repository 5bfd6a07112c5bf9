//! The directories of ranks that a larger group left.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::lost;
use crate::base::warnings::warn;
use crate::container::Compression;
use crate::error::Error;
use crate::seal::Protection;
use crate::store::{Claiming, Home, Retention, Settings, Writer};

/// The parts of ranks that are no more. Rank 0 removes them with the tables that need them. A place
/// is locked for a moment only: there may be more of them than a process may have open files.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    places: Vec<Leftover>,
    claiming: Claiming,
    /// The highest number of any of them: the next save gets a higher one.
    pub(super) highest: u64,
    /// The ranks with parts that a group has accepted, each with its newest.
    pub(super) accepted: Vec<(usize, u64)>,
}

#[derive(Debug)]
struct Leftover {
    rank: usize,
    home: Arc<dyn Home>,
    generations: BTreeSet<u64>,
    /// Kept where a job claims a place by a number, once.
    writer: Option<Writer>,
}

/// A rank, and its place.
pub(super) type OfRank = (usize, Arc<dyn Home>);

impl Leftovers {
    /// The places of the ranks that a group of this size does not have.
    pub(super) fn places(root: &dyn Home, size: usize) -> Result<Vec<OfRank>, Error> {
        let ranks = root.members()?.into_iter().filter(|rank| *rank >= size);
        ranks.map(|rank| Ok((rank, root.member(rank)?))).collect()
    }

    /// Finds the parts in these places.
    pub(super) fn find(places: Vec<OfRank>, claiming: &Claiming) -> Result<Leftovers, Error> {
        let mut leftovers = Leftovers { claiming: claiming.clone(), ..Leftovers::default() };
        for (rank, home) in places {
            let generations: BTreeSet<u64> = home.generations()?.into_iter().collect();
            let Some(newest) = generations.last().copied() else { continue };
            leftovers.highest = leftovers.highest.max(newest);
            if lost::is_accepted(&*home)? {
                leftovers.accepted.push((rank, newest));
            }
            leftovers.places.push(Leftover { rank, home, generations, writer: None });
        }
        Ok(leftovers)
    }

    /// Removes the parts of all generations but these.
    pub(super) fn retire_all_but(&mut self, kept: &BTreeSet<u64>) {
        let Leftovers { places, claiming, .. } = self;
        places.retain_mut(|place| place.generations.is_subset(kept) || place.retire_all_but(kept, claiming));
    }
}

impl Leftover {
    /// The result is false if nothing is left to remove, or nothing can be removed.
    fn retire_all_but(&mut self, kept: &BTreeSet<u64>, claiming: &Claiming) -> bool {
        let settings = Settings {
            retention: Retention::newest(std::num::NonZeroUsize::MIN),
            compression: Compression::None,
            protection: Protection::new(),
            is_part: true,
        };
        let open = || Writer::open(&*self.home, settings, claiming);
        match self.writer.take().map_or_else(open, Ok) {
            Ok(mut writer) => {
                writer.retire_all_but(kept);
                self.generations.clone_from(writer.known());
                self.writer = claiming.job.is_some().then_some(writer);
                !self.generations.is_empty()
            }
            Err(error) => {
                let (rank, path) = (self.rank, self.home.path().display());
                warn(format!(
                    "the parts of rank {rank}, which this group does not have, stay in {path}: {error}"
                ));
                false
            }
        }
    }
}
