//! The identity of a process.
//!
//! A forked process has the memory of its parent and shares its locks, and must not take part in
//! the saves of the parent. The number of the process tells them apart; where the number is used
//! again, or counts within a namespace, the start time of the process does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    id: u32,
    started: Option<u64>,
}

impl Process {
    /// The process that runs this.
    pub(crate) fn current() -> Process {
        Process { id: std::process::id(), started: started() }
    }

    /// A process that has ended, or another one, for tests.
    #[cfg(test)]
    pub(crate) fn another() -> Process {
        Process { id: u32::MAX, started: Some(0) }
    }

    /// Its number.
    pub(crate) fn id(self) -> u32 {
        self.id
    }

    /// Locks a mutex of this process. `None` in a process that was forked from it, if a thread of
    /// the parent had the lock at the fork: that thread does not exist here, and never releases it.
    pub(crate) fn lock<T>(self, mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
        match mutex.try_lock() {
            Ok(locked) => Some(locked),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) if self.is_current() => {
                Some(mutex.lock().unwrap_or_else(PoisonError::into_inner))
            }
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// True if this process runs the call.
    pub(crate) fn is_current(self) -> bool {
        // Where one of the times is unknown, as without free descriptors to read it, the number
        // decides.
        self.id == std::process::id() && self.started.zip(started()).is_none_or(|(then, now)| then == now)
    }
}

/// The inode of `/proc/self` of the process whose start time is [`STARTED`]; 0 for none.
static INODE: AtomicU64 = AtomicU64::new(0);

/// The start time of the process with that inode.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// The start time of this process, in ticks since the start of the system.
///
/// Reading the time from the kernel is slow, reading the inode of the process is fast. No two
/// processes share an inode. A forked process has another inode, and so reads its own time.
fn started() -> Option<u64> {
    let inode = inode()?;
    if INODE.load(Ordering::Acquire) == inode {
        return Some(STARTED.load(Ordering::Relaxed));
    }
    let started = read_started()?;
    // All threads of a process store the same time.
    STARTED.store(started, Ordering::Relaxed);
    INODE.store(inode, Ordering::Release);
    Some(started)
}

/// The inode of this process in `/proc`.
fn inode() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self").ok().map(|metadata| metadata.ino()).filter(|inode| *inode != 0)
    }
    #[cfg(not(target_os = "linux"))]
    {
        None
    }
}

fn read_started() -> Option<u64> {
    let status = std::fs::read("/proc/self/stat").ok()?;
    // The second field is a name in parentheses, which may contain any character. The time is the
    // 22nd.
    let behind_name = status.rsplit(|byte| *byte == b')').next()?;
    str::from_utf8(behind_name).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_process_differs_from_an_earlier_one_of_its_number() {
        let this = Process::current();
        assert!(this.is_current());
        assert!(!Process { id: this.id + 1, ..this }.is_current());
        assert!(Process { started: None, ..this }.is_current());
        if cfg!(target_os = "linux") {
            assert!(!Process { started: this.started.map(|started| started + 1), ..this }.is_current());
        }
    }

    #[test]
    fn a_forked_process_waits_for_no_thread_of_its_parent() {
        let mutex = Mutex::new(1);
        assert_eq!(Process::another().lock(&mutex).as_deref(), Some(&1));
        let held = mutex.lock().unwrap();
        assert!(Process::another().lock(&mutex).is_none());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| *Process::current().lock(&mutex).unwrap());
            drop(held);
            assert_eq!(waits.join().unwrap(), 1);
        });
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_of_a_parent_is_not_taken_for_that_of_a_child() {
        let this = Process::current();
        assert_eq!(started(), read_started());
        // A forked process finds this: the memory of its parent, and another inode.
        STARTED.store(0, Ordering::Relaxed);
        INODE.store(u64::MAX, Ordering::Release);
        assert!(this.started.is_some() && Process::current() == this);
        assert_eq!(started(), read_started());
    }
}
