//! Groups of [`checkpointed`] over MPI: all ranks save together, and restart together.
//!
//! ```no_run
//! use checkpointed::group::Group;
//! use checkpointed_mpi::Mpi;
//!
//! let universe = mpi::initialize().ok_or("MPI was initialized before")?;
//! let group = Mpi::new(&universe.world());
//! println!("rank {} of {}", group.rank(), group.size());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A rank that dies ends the job: MPI ends the other ranks, and the job is started again from the
//! last checkpoint.

use std::fmt;
use std::io;

use checkpointed::group::Group;
use mpi::collective::CommunicatorCollectives as _;
use mpi::datatype::PartitionMut;
use mpi::topology::{Communicator, SimpleCommunicator};

/// The most bytes that one call of MPI moves: its counts and places are 32 bits long.
const AT_ONCE: usize = 1 << 30;

/// The ranks of a communicator as a [`Group`].
///
/// It has a duplicate of the communicator, so its messages never meet those of the program. Drop it
/// before the universe of MPI, which ends MPI.
///
/// Only the thread of the program that made it can use it: it makes all calls of MPI from there,
/// and none in the background. So `mpi::initialize` is enough, and no level of thread support is
/// needed.
pub struct Mpi {
    communicator: SimpleCommunicator,
    at_once: usize,
}

impl Mpi {
    /// The group of the ranks of a communicator. All of its ranks must call this.
    pub fn new(communicator: &impl Communicator) -> Mpi {
        Mpi { communicator: communicator.duplicate(), at_once: AT_ONCE }
    }

    /// Moves at most this many bytes at a time, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn at_once(self, bytes: usize) -> Mpi {
        Mpi { at_once: bytes.clamp(1, AT_ONCE), ..self }
    }
}

impl fmt::Debug for Mpi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Mpi").field("rank", &self.rank()).field("size", &self.size()).finish()
    }
}

impl Group for Mpi {
    fn rank(&self) -> usize {
        usize::try_from(self.communicator.rank()).unwrap_or(0)
    }

    fn size(&self) -> usize {
        usize::try_from(self.communicator.size()).unwrap_or(1)
    }

    /// An error of MPI itself ends the job: that is how MPI is built. So does a rank without memory
    /// for the bytes of the others.
    fn all_gather(&self, mine: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        let mut lengths = vec![0_u64; self.size()];
        self.communicator.all_gather_into(&(mine.len() as u64), &mut lengths[..]);
        // The others wait in the rounds that follow: a rank that cannot take part ends the job.
        let lengths = lengths.into_iter().map(length).collect::<io::Result<Vec<usize>>>();
        let prepared = lengths.and_then(|lengths| {
            let all = lengths.iter().map(|length| reserved(*length)).collect::<io::Result<Vec<_>>>()?;
            Ok((lengths, all))
        });
        let Ok((lengths, mut all)) = prepared else {
            eprintln!("rank {} has no memory for what the other ranks give", self.rank());
            self.communicator.abort(1)
        };
        // Each rank sends a piece a round, and all pieces of a round move at once. Where nobody has
        // anything to give there is no round: MPI_Allgatherv of nothing at all is an error.
        let piece = (self.at_once / self.size()).max(1);
        for from in (0..lengths.iter().copied().max().unwrap_or(0)).step_by(piece) {
            let part = |length: usize| length.saturating_sub(from).min(piece);
            let counts =
                lengths.iter().map(|length| count(part(*length))).collect::<io::Result<Vec<i32>>>()?;
            let mut end = 0;
            let places: Vec<i32> = counts
                .iter()
                .map(|count| {
                    end += count;
                    end - count
                })
                .collect();
            let mut received = vec![0; usize::try_from(end).unwrap_or(0)];
            let sent = mine.get(from..from + part(mine.len())).unwrap_or_default();
            let mut pieces = PartitionMut::new(&mut received[..], &counts[..], &places[..]);
            self.communicator.all_gather_varcount_into(sent, &mut pieces);
            let mut rest = &received[..];
            for (given, length) in all.iter_mut().zip(&lengths) {
                let (piece, others) = rest.split_at(part(*length));
                given.extend_from_slice(piece);
                rest = others;
            }
        }
        Ok(all)
    }

    /// Ends all processes of the job.
    fn abort(&self) {
        self.communicator.abort(1);
    }
}

fn length(bytes: u64) -> io::Result<usize> {
    usize::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory.into())
}

fn count(bytes: usize) -> io::Result<i32> {
    i32::try_from(bytes).map_err(io::Error::other)
}

fn reserved(bytes: usize) -> io::Result<Vec<u8>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    Ok(memory)
}
