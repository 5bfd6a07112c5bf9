//! Many processes, one checkpoint: they save together, and restart together.
//!
//! A parallel program has one process for each part of its state. If each saves by itself, they
//! restart from different steps. The members of a [`Group`] agree instead: a checkpoint exists when
//! all of them have written theirs, and a restart takes the same one on all.

mod alone;

use std::io;

pub use alone::Alone;

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
    /// The number of this member: 0, 1, … up to the size.
    fn rank(&self) -> usize;

    /// The number of members.
    fn size(&self) -> usize;

    /// Gives `mine` to every member, and returns what each gave, by rank. Returns when all members
    /// have called it.
    ///
    /// # Errors
    /// Where another member is lost, or the members cannot reach each other. After an error the
    /// group is broken for good: every later call fails too.
    fn all_gather(&self, mine: &[u8]) -> io::Result<Vec<Vec<u8>>>;
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
}
