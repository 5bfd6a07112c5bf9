//! The blocks of files that are written over: those that a file has already are left out.
//!
//! A retired file differs from the new state only where the program changed something since. So the
//! claim keeps the hash of each block of its files, as the save left them that wrote them.
//!
//! A block that is left out must be in the file, and durable. So the hashes count only after a sync
//! that succeeded, and only while the file has the [stamp](Stamp) that this save left. A save takes
//! them out before it writes, and a save that fails removes its file. A new process knows no
//! blocks. Nothing else depends on them: the checksums in the file are those of the state, so that
//! a load finds a block that is left out wrongly.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use twox_hash::XxHash3_128;

use super::disk::{Disk, Stamp};
use crate::base::limits::BLOCK;

/// The number of saves after which a file is written whole, so that an unnoticed change of the file
/// does not stay.
const WHOLE_EVERY: u32 = 16;

/// The percentage of changed blocks above which the comparison does not pay …
const PAYS_BELOW: u64 = 60;

/// … and the number of saves that then go without it.
const PAUSE: u32 = 8;

/// The time to hash a block within which the comparison pays: disks write a gigabyte a second.
const PAYS_WITHIN: Duration = Duration::from_micros(64);

/// The greatest number of files whose blocks are known, each of which takes 1/4096 of its length.
const FILES: usize = 64;

/// How a file is written over.
#[derive(Debug)]
pub(crate) enum Rewriting {
    /// All of it is written.
    All,
    /// All of it is written, and its blocks are noted for the next time.
    Noting,
    /// Only blocks that the file does not have are written. If it has another stamp, all of them.
    Changed(Known),
}

/// A file whose blocks are known.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(in crate::store) stamp: Stamp,
    /// The hashes of the blocks; a shorter one at the end has none.
    pub(in crate::store) hashes: Vec<u128>,
    /// The number of saves in a row that compared blocks, and left some out.
    compared: u32,
}

impl Known {
    /// True if the file with that name is as the last save left it.
    fn stands(&self, disk: &dyn Disk, path: &Path) -> bool {
        disk.stamp(path).is_ok_and(|stamp| stamp == Some(self.stamp))
    }

    /// Gives the file another name by `rename`, which returns its new path. `None` where it changed
    /// before or meanwhile.
    pub(super) fn renamed<P: AsRef<Path>>(
        known: Option<Known>,
        (disk, from): (&dyn Disk, &Path),
        rename: impl FnOnce() -> io::Result<Option<P>>,
    ) -> io::Result<(Option<P>, Option<Known>)> {
        let known = known.filter(|known| known.stands(disk, from));
        let to = rename()?;
        let after = |known: Known| {
            // The rename changes that time, too.
            let stamp = disk.stamp(to.as_ref()?.as_ref()).ok()??;
            let is_same = Stamp { changed: known.stamp.changed, ..stamp } == known.stamp;
            is_same.then_some(Known { stamp, ..known })
        };
        let known = known.and_then(after);
        Ok((to, known))
    }
}

/// Compares the blocks of a file with those that are written over it, in order.
#[derive(Debug)]
pub(crate) struct Comparison {
    former: Vec<u128>,
    hashes: Vec<u128>,
    compared: u32,
}

impl Comparison {
    /// `None` where nothing is to be compared, nor noted. `stamp` is the present one of the file.
    pub(crate) fn new(rewriting: Rewriting, stamp: Option<Stamp>) -> Option<Comparison> {
        let (former, compared) = match rewriting {
            Rewriting::All => return None,
            Rewriting::Changed(known) if stamp == Some(known.stamp) => (known.hashes, known.compared + 1),
            Rewriting::Changed(_) | Rewriting::Noting => (Vec::new(), 0),
        };
        Some(Comparison { hashes: Vec::with_capacity(former.len()), former, compared })
    }

    /// Notes the next block. Returns true if the file has it already.
    pub(crate) fn has(&mut self, block: &[u8]) -> bool {
        let hash = hash(block);
        let has = self.former.get(self.hashes.len()) == Some(&hash);
        self.hashes.push(hash);
        has
    }

    /// The blocks of the file, which has this stamp.
    pub(crate) fn into_known(self, stamp: Stamp) -> Known {
        Known { stamp, hashes: self.hashes, compared: self.compared }
    }
}

fn hash(block: &[u8]) -> u128 {
    // The seed is drawn for each process: no state can be made whose blocks have equal hashes.
    static SEED: OnceLock<u64> = OnceLock::new();
    let seed = *SEED.get_or_init(|| RandomState::new().hash_one(()));
    XxHash3_128::oneshot_with_seed(seed, block)
}

/// True if a hash takes less than a write. In a build without optimisation it takes ten times more.
fn pays() -> bool {
    static PAYS: OnceLock<bool> = OnceLock::new();
    *PAYS.get_or_init(|| {
        let block = vec![1; BLOCK];
        // The machine may be busy with something else at one moment, and is not at all of them.
        (0..8).any(|_| {
            let begun = Instant::now();
            black_box(hash(black_box(&block)));
            begun.elapsed() <= PAYS_WITHIN
        })
    })
}

/// The known blocks of the files of a claim.
#[derive(Debug, Default)]
pub(super) struct KnownFiles {
    generations: BTreeMap<u64, Known>,
    /// The number of saves to come that compare nothing.
    pause: u32,
    /// The number of saves in a row that noted blocks which no save compared.
    in_vain: usize,
}

impl KnownFiles {
    /// The way to write over a file, whose blocks are these as far as they are known.
    pub(super) fn rewriting(&self, known: Option<Known>) -> Rewriting {
        if self.pause > 0 || !pays() {
            return Rewriting::All;
        }
        match known {
            Some(known) if known.compared + 1 < WHOLE_EVERY => Rewriting::Changed(known),
            // With more files than are known at a time, no file would ever be compared.
            None if self.in_vain >= FILES => Rewriting::All,
            Some(_) | None => Rewriting::Noting,
        }
    }

    /// Learns from a save that wrote this number of bytes, and the blocks of its file.
    pub(super) fn learn(&mut self, known: Option<&Known>, written: u64) {
        self.pause = self.pause.saturating_sub(1);
        let Some(known) = known else { return };
        self.in_vain = if known.compared > 0 { 0 } else { self.in_vain.saturating_add(1) };
        let percent = u128::from(written) * 100;
        if known.compared > 0 && percent > u128::from(known.stamp.length) * u128::from(PAYS_BELOW) {
            self.pause = PAUSE;
        }
    }

    /// Keeps the blocks of a generation, as its save left them.
    pub(super) fn keep(&mut self, generation: u64, known: Known) {
        self.generations.insert(generation, known);
        if self.generations.len() > FILES {
            self.generations.pop_first();
        }
    }

    /// Takes the blocks of a generation out.
    pub(super) fn take(&mut self, generation: u64) -> Option<Known> {
        self.generations.remove(&generation)
    }

    /// Forgets all blocks: the names of the files change.
    pub(super) fn clear(&mut self) {
        self.generations.clear();
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
