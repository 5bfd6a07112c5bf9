//! Threads of one process as a group.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, PoisonError};

use super::Group;
use crate::base::threads::{Condvar, Mutex, MutexGuard, ThreadId, current};

/// A member of a group of threads: for programs with a thread for each part, and for tests of
/// parallel programs.
///
/// Each member belongs to one thread. When a member is dropped, the group has ended: the calls of
/// those that wait for it fail.
///
/// ```
/// use checkpointed::group::{Group, Threads};
///
/// let members = Threads::new(3);
/// std::thread::scope(|scope| {
///     for member in members {
///         scope.spawn(move || {
///             let ranks = member.all_gather(&[member.rank() as u8]).unwrap();
///             assert_eq!(ranks, [[0], [1], [2]]);
///         });
///     }
/// });
/// ```
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    shared: Arc<Shared>,
    /// The thread of the first call. All calls come from it: another one, such as a thread that
    /// saves, could come in between.
    thread: Cell<Option<ThreadId>>,
}

#[derive(Debug)]
struct Shared {
    size: usize,
    round: Mutex<Round>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Round {
    number: u64,
    /// The bytes that each member gave, by rank.
    given: Vec<Option<Vec<u8>>>,
    /// The bytes of the round before. No member can end the next round before all have read them.
    last: Arc<Vec<Vec<u8>>>,
    /// The first member that left, and the reason.
    left: Option<(usize, String)>,
}

impl Threads {
    /// Makes a group of this many members, one for each thread, by rank.
    #[must_use]
    pub fn new(size: usize) -> Vec<Threads> {
        let round = Round { given: vec![None; size], ..Round::default() };
        let shared = Arc::new(Shared { size, round: Mutex::new(round), changed: Condvar::new() });
        let member = |rank| Threads { rank, shared: Arc::clone(&shared), thread: Cell::new(None) };
        (0..size).map(member).collect()
    }

    fn leave(&self, why: &str) {
        self.shared.lock().left.get_or_insert((self.rank, why.to_owned()));
        self.shared.changed.notify_all();
    }

    fn check_thread(&self) -> io::Result<()> {
        let current = current().id();
        match self.thread.get() {
            None => self.thread.set(Some(current)),
            Some(thread) if thread == current => {}
            Some(_) => {
                let why = format!("member {} of the group is used by a second thread", self.rank);
                return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
            }
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Round> {
        self.round.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.shared.size
    }

    fn all_gather(&self, mine: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.check_thread()?;
        let mut round = self.shared.lock();
        let number = round.number;
        if let Some(place) = round.given.get_mut(self.rank) {
            *place = Some(mine.to_vec());
        }
        if round.given.iter().all(Option::is_some) {
            let given = round.given.iter_mut().filter_map(Option::take).collect();
            round.last = Arc::new(given);
            round.number += 1;
            self.shared.changed.notify_all();
        }
        while round.number == number {
            // A round that is complete counts, even if a member left right after it.
            if let Some((rank, why)) = &round.left {
                let why = format!("rank {rank} of the group {why}");
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
            }
            round = self.shared.changed.wait(round).unwrap_or_else(PoisonError::into_inner);
        }
        let last = Arc::clone(&round.last);
        drop(round);
        Ok(last.to_vec())
    }

    fn abort(&self) {
        self.leave("has panicked");
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.leave(if std::thread::panicking() { "has panicked" } else { "has left it" });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Runs the work of each member in a thread of its own.
    fn run<R: Send>(size: usize, work: impl Fn(Threads) -> R + Sync) -> Vec<R> {
        let work = &work;
        std::thread::scope(|scope| {
            let threads: Vec<_> =
                Threads::new(size).into_iter().map(|member| scope.spawn(move || work(member))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    #[test]
    fn every_member_gets_what_all_gave_in_each_round() {
        let rounds = run(5, |member| {
            (0..200_u8)
                .map(|round| member.all_gather(&[round, u8::try_from(member.rank()).unwrap()]).unwrap())
                .collect::<Vec<_>>()
        });
        for of_member in rounds {
            for (round, all) in (0_u8..).zip(of_member) {
                let expected: Vec<[u8; 2]> = (0..5).map(|rank| [round, rank]).collect();
                assert_eq!(all, expected);
            }
        }
    }

    #[test]
    fn nothing_may_be_given() {
        assert_eq!(run(2, |member| member.all_gather(b"").unwrap()), vec![vec![Vec::<u8>::new(); 2]; 2]);
    }

    #[test]
    fn those_that_wait_for_a_member_that_left_get_an_error() {
        let errors = run(3, |member| {
            if member.rank() == 1 {
                return None;
            }
            let error = member.all_gather(b"").unwrap_err();
            // It is broken for good.
            assert!(member.all_gather(b"").is_err());
            Some(error.to_string())
        });
        assert!(errors[0].as_ref().unwrap().contains("rank 1"), "{errors:?}");
        assert!(errors[2].is_some());
    }

    #[test]
    fn a_member_of_two_threads_is_refused() {
        let member = Threads::new(1).remove(0);
        member.all_gather(b"").unwrap();
        std::thread::scope(|scope| {
            let error = scope.spawn(move || member.all_gather(b"").unwrap_err()).join().unwrap();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        });
    }
}
