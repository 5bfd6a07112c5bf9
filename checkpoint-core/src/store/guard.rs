//! The proof that this process may save at a place, shared with all that check it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::process::Process;
use crate::error::Error;

/// The time between two signs of life of a lock.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// The guard of an outer place; dangling where there is none.
pub(crate) type WithinGuard = Weak<Guard>;

/// The lock of a place, ours until dropped.
pub trait Lock: fmt::Debug + Send + Sync {
    /// True if the path of the place still leads to the locked one. Restores the lock file where
    /// only that is gone, as after a purge of old files.
    ///
    /// # Errors
    /// An error where the path cannot be looked at, as on a device that fails.
    fn stands(&self) -> io::Result<bool>;

    /// The error of a lock that does not stand.
    fn lost(&self, path: &Path) -> Error {
        Error::DirectoryReplaced { path: path.to_owned() }
    }

    /// The first half of that check, without the lock file and without waiting for another thread.
    ///
    /// # Errors
    /// As [`stands`](Lock::stands).
    fn is_in_place(&self) -> io::Result<bool>;

    /// Updates the time of the lock file, so that a purge of old files skips it.
    fn touch(&self);
}

/// A directory that only this process may write to, until dropped.
#[derive(Debug)]
pub struct Guard {
    path: PathBuf,
    lock: Box<dyn Lock>,
    process: Process,
    within: Weak<Guard>,
    touched: Mutex<Instant>,
}

impl Guard {
    /// The guard of a place that was just locked.
    #[must_use]
    pub fn new(path: &Path, lock: Box<dyn Lock>, within: &WithinGuard) -> Arc<Guard> {
        Arc::new(Guard {
            path: path.to_owned(),
            lock,
            process: Process::current(),
            within: Weak::clone(within),
            touched: Mutex::new(Instant::now()),
        })
    }

    /// Checks that the path still leads to the claimed directory, and not to another in its place.
    pub(crate) fn check_place(&self) -> Result<(), Error> {
        if let Some(within) = self.within.upgrade() {
            within.check_place()?;
        }
        // In a forked process, a thread of the parent may hold the lock's own mutex forever.
        let stands = if self.has_process_number() { self.lock.stands() } else { self.lock.is_in_place() };
        match stands {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.lock.lost(&self.path)),
            Err(error) => Err(Error::io("look at", &self.path, error)),
        }
    }

    /// Checks before a write that this process claimed the directory, and that it is still in its
    /// place.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_process()?;
        self.check_place()
    }

    /// Checks that this process claimed the directory, and was not forked from the one that did.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.is_of_this_process() {
            return Ok(());
        }
        Err(Error::OtherProcess { path: self.path.clone(), process: self.process.id() })
    }

    /// True if this process claimed the directory, and was not forked from the one that did.
    #[must_use]
    pub fn is_of_this_process(&self) -> bool {
        self.process.is_current()
    }

    /// The process that claimed the directory.
    pub(super) fn process(&self) -> Process {
        self.process
    }

    /// The same, as far as the number of the process shows.
    pub(crate) fn has_process_number(&self) -> bool {
        self.process.id() == std::process::id()
    }

    /// Lets the next sign of life be given at once, for tests.
    #[cfg(test)]
    pub(crate) fn touch_next_time(&self) {
        *self.touched.lock().unwrap_or_else(PoisonError::into_inner) =
            Instant::now().checked_sub(2 * TOUCH_EVERY).unwrap_or_else(Instant::now);
    }

    /// Gives a sign of life: updates the time of the lock file now and then, and restores the file
    /// where it is gone.
    pub(crate) fn touch(&self) {
        if !self.has_process_number() {
            return;
        }
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if touched.elapsed() < TOUCH_EVERY || !self.is_of_this_process() {
            return;
        }
        *touched = Instant::now();
        drop(touched);
        if matches!(self.lock.stands(), Ok(true)) {
            self.lock.touch();
        }
        if let Some(within) = self.within.upgrade() {
            within.touch();
        }
    }
}
