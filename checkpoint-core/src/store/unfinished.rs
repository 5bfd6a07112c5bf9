//! A directory that is made beside its place, and gets its name once it is complete.
//!
//! Its maker locks it. So a later maker tells one in use from one that a killed program left, and
//! removes that.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

use super::name;
use crate::base::warnings::warn;
use crate::error::Error;

/// The times that another program may remove a new directory before it is locked.
const ATTEMPTS: u32 = 16;

/// A directory that removes itself unless it gets its name.
#[derive(Debug)]
pub(crate) struct Unfinished {
    made: TempDir,
    /// The lock; `None` where the system has none for directories.
    _lock: Option<File>,
}

impl Unfinished {
    /// Makes a directory beside this place, and removes those that killed programs left there.
    pub(crate) fn beside(to: &Path) -> Result<Unfinished, Error> {
        let failed = |source| Error::writing("create", to, source);
        let parent = to.parent().unwrap_or(Path::new("/"));
        remove_left(parent);
        for _ in 0..ATTEMPTS {
            let made = name::temporary().tempdir_in(parent).map_err(failed)?;
            let lock = File::open(made.path()).ok();
            // Until it is locked, it looks like one that was left.
            match lock.as_ref().map(File::try_lock) {
                Some(Err(fs::TryLockError::WouldBlock)) => continue,
                Some(Ok(())) if !made.path().is_dir() => continue,
                Some(Ok(())) => return Ok(Unfinished { made, _lock: lock }),
                Some(Err(fs::TryLockError::Error(_))) | None if made.path().is_dir() => {
                    return Ok(Unfinished { made, _lock: None });
                }
                _ => {}
            }
        }
        Err(failed(io::Error::other("its directory is removed as soon as it is made")))
    }

    pub(crate) fn path(&self) -> &Path {
        self.made.path()
    }

    /// Gives the directory its name.
    ///
    /// # Errors
    /// That of `rename`. Then the directory is removed.
    pub(crate) fn publish(mut self, rename: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        rename(self.made.path())?;
        self.made.disable_cleanup(true);
        Ok(())
    }
}

/// Removes the directories that killed programs left. One that another program has, or that this
/// user may not remove, stays.
fn remove_left(parent: &Path) {
    // The caller makes a directory there, and so learns what is wrong with it.
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.filter_map(Result::ok).filter(|entry| name::is_temporary(&entry.file_name())) {
        // A pipe of that name would block whoever opens it.
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(left) = File::open(entry.path()) else { continue };
        if left.try_lock().is_err() {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => warn(format!(
                "{}, which a killed copy left, cannot be removed, remove it: {error}",
                entry.path().display()
            )),
            _ => {}
        }
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_program_has_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        let used = Unfinished::beside(&path("one")).unwrap();
        let left = path(".checkpoint-0123456789abcdef.tmp");
        fs::create_dir_all(left.join("inner")).unwrap();
        let file = path(".checkpoint-0123456789abcdeg.tmp");
        fs::write(&file, "a spare file").unwrap();
        let other = Unfinished::beside(&path("two")).unwrap();
        assert!(used.path().is_dir() && other.path().is_dir() && file.exists() && !left.exists());
        used.publish(|made| fs::rename(made, path("one"))).unwrap();
        drop(other);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
    }
}
