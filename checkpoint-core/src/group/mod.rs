//! Many processes, one checkpoint: they save together, and restart together.
//!
//! A parallel program has one process for each part of its state. If each saves by itself, they
//! restart from different steps. The members of a [`Group`] agree instead: a checkpoint exists when
//! all of them have written theirs, and a restart takes the same one on all.
//!
//! ```
//! use checkpointed::Checkpointer;
//! use checkpointed::group::{Group, Threads};
//!
//! # fn main() {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = &directory.path().join("run.ckpt");
//! // One thread for each part; usually these are processes, which meet by MPI or in a directory.
//! let part = |group: Threads| -> Result<u64, checkpointed::Error> {
//!     let rank = group.rank() as u64;
//!     let mut checkpoints = Checkpointer::<u64>::builder(path).open_group(group)?;
//!     let mut sum = checkpoints.load_or_else(|| rank)?;
//!     for _ in 0..10 {
//!         sum += 10;
//!         checkpoints.save_if_due(&sum)?;
//!         if checkpoints.should_stop()?.is_some() {
//!             break;
//!         }
//!     }
//!     checkpoints.finish(&sum)?;
//!     Ok(sum)
//! };
//! let part = &part;
//! std::thread::scope(|scope| {
//!     let threads: Vec<_> =
//!         Threads::new(3).into_iter().map(|group| scope.spawn(move || part(group))).collect();
//!     let sums: Vec<u64> = threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect();
//!     assert_eq!(sums, [100, 101, 102]);
//! });
//! # }
//! ```
//!
//! A checkpoint of a group is an ordinary checkpoint, of a table, in the directory of the run. The
//! parts are ordinary checkpoints too, in a directory for each rank, `ranks/000000` and so on. The
//! table is published last: without it, the parts do not count.

mod accepted;
mod alone;
mod assembled;
mod blocks;
mod builder;
mod calls;
mod checkpointer;
#[cfg(feature = "inspect")]
mod files;
mod leftovers;
mod load;
mod lost;
mod meeting;
#[cfg(test)]
mod model;
#[cfg(feature = "inspect")]
mod parts;
mod plan;
mod reshard;
mod save;
mod sharded;
mod shared;
mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;
mod threads;
mod turns;

use std::io;

pub use alone::Alone;
pub use checkpointer::GroupCheckpointer;
#[cfg(feature = "inspect")]
#[cfg_attr(docsrs, doc(cfg(feature = "inspect")))]
pub use files::{GroupArray, GroupCost, GroupFile};
pub use meeting::Meeting;
#[cfg(feature = "inspect")]
pub(crate) use parts::{check_parts, ranks_elsewhere};
pub use reshard::Old;
pub use sharded::{ShardElement, ShardError, Sharded};
pub use shared::Shared;
pub use threads::Threads;

/// Processes that save together. Every member makes the same calls in the same order.
///
/// ```
/// use checkpointed::group::{Alone, Group};
///
/// let group = Alone;
/// assert_eq!((group.rank(), group.size()), (0, 1));
/// assert_eq!(group.all_gather(b"mine").unwrap(), [b"mine"]);
/// ```
pub trait Group {
    /// The number of this member: from 0 to one less than the size.
    fn rank(&self) -> usize;

    /// The number of members.
    fn size(&self) -> usize;

    /// Gives `mine` to every member, and returns what each gave, by rank. Returns when all members
    /// have called it.
    ///
    /// # Errors
    /// An error if another member is lost, or the members cannot reach each other. After an error
    /// the group is broken for good: every later call fails too.
    fn all_gather(&self, mine: &[u8]) -> io::Result<Vec<Vec<u8>>>;

    /// Ends the group, because this member panics: the calls of the others fail, or their processes
    /// end. It runs while the stack unwinds. By default it ends this process immediately
    /// ([`std::process::abort`]); a launcher such as `mpirun` notices that.
    fn abort(&self) {
        std::process::abort();
    }
}

impl<G: Group + ?Sized> Group for &G {
    fn rank(&self) -> usize {
        (**self).rank()
    }

    fn size(&self) -> usize {
        (**self).size()
    }

    fn all_gather(&self, mine: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        (**self).all_gather(mine)
    }

    fn abort(&self) {
        (**self).abort();
    }
}

/// Fills the bytes with randomness of the operating system.
fn random(bytes: &mut [u8]) -> io::Result<()> {
    getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string()))
}
