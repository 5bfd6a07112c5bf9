//! The directories of ranks that a larger group left.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::accepted::Accepted;
use crate::base::warnings::warn;
use crate::container::Compression;
use crate::error::Error;
use crate::seal::Protection;
use crate::store::{Claiming, Directory, Disk, Home, RANKS, Retention, Settings, Writer, of_rank, rank_of};

/// The parts of ranks that are no more. Rank 0 removes them with the tables that need them.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    writers: Vec<Writer>,
    /// The highest number of any of them: the next save gets a higher one.
    pub(super) highest: u64,
    /// The ranks with parts that a group has accepted, each with its newest.
    pub(super) accepted: Vec<(usize, u64)>,
}

impl Leftovers {
    /// Finds the directories beside those of a group of this size.
    pub(super) fn find(
        path: &Path,
        size: usize,
        disk: &Arc<dyn Disk>,
        claiming: &Claiming,
    ) -> Result<Leftovers, Error> {
        let ranks = path.join(RANKS);
        let names = match disk.list(&ranks) {
            Ok(names) => names,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Leftovers::default()),
            Err(source) => return Err(Error::io("list", &ranks, source)),
        };
        let mut leftovers = Leftovers::default();
        for rank in names.iter().filter_map(|name| rank_of(name)).filter(|rank| *rank >= size) {
            let path = ranks.join(of_rank(rank));
            let directory = Directory::new(&path, Arc::clone(disk));
            let Some(newest) = directory.generations()?.pop() else { continue };
            leftovers.highest = leftovers.highest.max(newest);
            if Accepted::of(&path, Arc::clone(disk), claiming.durable).is_there() {
                leftovers.accepted.push((rank, newest));
            }
            let settings = Settings {
                retention: Retention::newest(std::num::NonZeroUsize::MIN),
                compression: Compression::None,
                protection: Protection::new(),
                is_part: true,
            };
            match Writer::open(&directory, settings, claiming) {
                Ok(writer) => leftovers.writers.push(writer),
                Err(error) => warn(format!(
                    "the parts of rank {rank}, which this group does not have, stay in {}: {error}",
                    path.display()
                )),
            }
        }
        Ok(leftovers)
    }

    /// Removes the parts of all generations but these.
    pub(super) fn retire_all_but(&mut self, kept: &BTreeSet<u64>) {
        for writer in &mut self.writers {
            writer.retire_all_but(kept);
        }
        self.writers.retain(|writer| writer.newest().is_some());
    }
}
