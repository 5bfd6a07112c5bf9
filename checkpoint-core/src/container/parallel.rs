//! Reads and verifies on several threads.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::checksum::Crc32;
use super::source::Refusal;
use super::tag::Tag;

/// The bytes of one checksum: some that were read before, and the rest, to read from a place of the
/// file.
pub(super) struct Piece<'a> {
    pub(super) offset: u64,
    pub(super) before: &'a [u8],
    pub(super) bytes: &'a mut [u8],
    pub(super) crc32: Crc32,
    pub(super) tag: Option<Tag>,
}

/// The least number of pieces for several threads; below it, starting them takes longer than they
/// save.
pub(super) const PIECES_FOR_THREADS: usize = 4;

/// The most threads: memory takes no more bytes per second from more of them.
const THREADS: usize = 4;

/// Does the work on every piece. One thread reads and verifies a piece while it is in the cache of
/// its processor. Threads that wait for the disk may be more than there are processors.
pub(super) fn in_parallel<'a>(
    pieces: Vec<Piece<'a>>,
    wait_for_disk: bool,
    work: impl Fn(Piece<'a>) -> Result<(), Refusal> + Sync,
) -> Result<(), Refusal> {
    // Asking for the number of processors reads several files.
    let threads = if pieces.len() < PIECES_FOR_THREADS {
        1
    } else if wait_for_disk {
        THREADS
    } else {
        std::thread::available_parallelism().map_or(1, |processors| processors.get().min(THREADS))
    };
    if threads == 1 {
        return pieces.into_iter().try_for_each(work);
    }
    let pieces = Mutex::new(pieces.into_iter());
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let one = || std::iter::from_fn(next).try_for_each(&work);
    std::thread::scope(|scope| {
        // If the system refuses a thread, the existing threads do all the work.
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, one).ok();
        let others: Vec<_> = (1..threads).filter_map(start).collect();
        let mut outcome = one();
        for other in others {
            let other = other.join().unwrap_or_else(|_| {
                Err(Refusal::Unreadable(io::Error::other("a thread that reads has panicked")))
            });
            outcome = outcome.and(other);
        }
        outcome
    })
}
