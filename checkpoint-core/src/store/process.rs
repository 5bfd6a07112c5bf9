//! Which process this is.
//!
//! A process that was forked has the memory of its parent and shares its locks, and yet has no part in what the parent
//! saves. The number of the process tells the two apart; where the same number was given again, or counts within a
//! namespace of its own, the time at which the process began does.

use std::sync::atomic::{AtomicU64, Ordering};

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    id: u32,
    begun: Option<u64>,
}

impl Process {
    /// The one that runs this.
    pub(crate) fn current() -> Process {
        Process { id: std::process::id(), begun: begun() }
    }

    /// One that has ended, or another one, for tests.
    #[cfg(test)]
    pub(super) fn another() -> Process {
        Process { id: u32::MAX, begun: Some(0) }
    }

    /// Its number.
    pub(crate) fn id(self) -> u32 {
        self.id
    }

    /// Whether it is the one that runs this.
    pub(crate) fn is_current(self) -> bool {
        // Where one of the times is not known, as without descriptors to find it out, the number has to do.
        self.id == std::process::id() && self.begun.zip(begun()).is_none_or(|(then, now)| then == now)
    }
}

/// The inode of `/proc/self` of the process that [`BEGUN`] is of; 0 where it is of none.
static INODE: AtomicU64 = AtomicU64::new(0);

/// When the process of that inode began.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// When this process began, in ticks since the start of the system.
///
/// The kernel takes long to tell the time, and is quick to tell the inode of the process. No two processes share an inode.
/// A forked process has another one, and so reads its own time.
fn begun() -> Option<u64> {
    let inode = inode()?;
    if INODE.load(Ordering::Acquire) == inode {
        return Some(BEGUN.load(Ordering::Relaxed));
    }
    let begun = read_begun()?;
    // All threads of a process store the same time.
    BEGUN.store(begun, Ordering::Relaxed);
    INODE.store(inode, Ordering::Release);
    Some(begun)
}

/// The inode of this process in the file system that tells of processes.
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

fn read_begun() -> Option<u64> {
    let status = std::fs::read("/proc/self/stat").ok()?;
    // The second field is a name, in parentheses, which may itself have any character. The time is the 22nd.
    let behind_name = status.rsplit(|byte| *byte == b')').next()?;
    str::from_utf8(behind_name).ok()?.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_one_that_had_its_number_before() {
        let this = Process::current();
        assert!(this.is_current());
        assert!(!Process { id: this.id + 1, ..this }.is_current());
        assert!(Process { begun: None, ..this }.is_current());
        if cfg!(target_os = "linux") {
            assert!(!Process { begun: this.begun.map(|begun| begun + 1), ..this }.is_current());
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_time_of_a_parent_is_not_taken_for_that_of_a_child() {
        let this = Process::current();
        assert_eq!(begun(), read_begun());
        // What a forked process finds: the memory of its parent, and another inode.
        BEGUN.store(0, Ordering::Relaxed);
        INODE.store(u64::MAX, Ordering::Release);
        assert!(this.begun.is_some() && Process::current() == this);
        assert_eq!(begun(), read_begun());
    }
}
