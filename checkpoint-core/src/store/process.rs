//! Which process this is.
//!
//! A process that was forked has the memory of its parent and shares its locks, and yet has no part in what the parent
//! saves. The number of the process tells the two apart; where the same number was given again, or counts within a
//! namespace of its own, the time at which the process began does.

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

/// When this process began, in ticks since the start of the system.
fn begun() -> Option<u64> {
    if cfg!(not(target_os = "linux")) {
        return None;
    }
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
}
