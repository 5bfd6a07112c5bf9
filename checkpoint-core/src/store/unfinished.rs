//! A directory that is made beside its place, and gets its name once it is complete.
//!
//! Its maker locks a file in it. So a later maker tells one in use from one that a killed program
//! left, and removes that. A lock of the directory itself would not do: on NFS, it counts on one
//! machine.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::local::real::is_same_file;
use super::{check_file_size, name, no_follow_no_wait};
use crate::base::warnings::warn;
use crate::error::Error;

/// The times that another program may remove a new directory before it is locked.
const ATTEMPTS: u32 = 16;

/// The text of the file that its maker has locked; without locks, it stays empty.
const LOCKED: &[u8] = b"locked";

/// The age from which on a directory without that file was left. A directory is without it for a
/// moment: at the begin, and before it gets its name.
const OLD: Duration = Duration::from_secs(86_400);

/// A directory that removes itself unless it gets its name.
#[derive(Debug)]
pub(crate) struct Unfinished {
    /// The locked file, until the directory is complete.
    lock: Option<File>,
    made: TempDir,
}

impl Unfinished {
    /// Makes a directory beside this place, and removes those that killed programs left there.
    pub(crate) fn beside(to: &Path) -> Result<Unfinished, Error> {
        let failed = |source| Error::writing("create", to, source);
        let parent = to.parent().unwrap_or(Path::new("/"));
        remove_left(parent);
        for _ in 0..ATTEMPTS {
            let made = name::temporary().tempdir_in(parent).map_err(failed)?;
            match locked_in(made.path()) {
                Ok(lock) => return Ok(Unfinished { lock: Some(lock), made }),
                // A program that tidies up has removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::Error::other("its directory is removed as soon as it is made")))
    }

    pub(crate) fn path(&self) -> &Path {
        self.made.path()
    }

    /// Takes the locked file away: only the name is missing.
    pub(crate) fn complete(&mut self) -> io::Result<()> {
        match self.lock.take() {
            // While it is locked, no other program takes the directory for one that was left.
            Some(_lock) => match fs::remove_file(self.made.path().join(name::LOCK)) {
                // A purge of old files may have taken it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            },
            None => Ok(()),
        }
    }

    /// Gives the directory its name.
    ///
    /// # Errors
    /// That of `rename`. Then the directory is removed.
    pub(crate) fn publish(mut self, rename: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
        self.complete()?;
        rename(self.made.path())?;
        self.made.disable_cleanup(true);
        Ok(())
    }
}

/// Makes the file that its maker has locked. It gets its name once it is locked.
fn locked_in(directory: &Path) -> io::Result<File> {
    let mut file = name::temporary().tempfile_in(directory)?;
    if file.as_file().try_lock().is_ok() {
        check_file_size(LOCKED.len() as u64)?;
        file.write_all(LOCKED)?;
    }
    file.persist(directory.join(name::LOCK)).map_err(|error| error.error)
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
        let Some(lock) = lock_left(&entry.path()) else { continue };
        match remove_locked(&entry.path(), lock) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => warn(format!(
                "{}, which a killed copy left, cannot be removed, remove it: {error}",
                entry.path().display()
            )),
            _ => {}
        }
    }
}

/// Removes a directory and what is in it. The lock file goes last, and is closed then: over NFS,
/// the removal of an open file leaves another one.
fn remove_locked(directory: &Path, lock: File) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else if entry.file_name() != name::LOCK {
            fs::remove_file(entry.path())?;
        }
    }
    match fs::remove_file(directory.join(name::LOCK)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => drop(lock),
    }
    fs::remove_dir(directory)
}

/// Takes the lock of a directory that a killed program left. `None` where a program may have it.
fn lock_left(directory: &Path) -> Option<File> {
    let path = directory.join(name::LOCK);
    let mut options = OpenOptions::new();
    // NFS gives an exclusive lock only to a file that is open for writing.
    options.read(true).write(true);
    no_follow_no_wait(&mut options);
    match options.open(&path) {
        Ok(file) => {
            let metadata = file.metadata().ok()?;
            // A power cut may have taken the text.
            let was_locked = metadata.is_file() && (metadata.len() > 0 || is_old(directory));
            let is_ours = was_locked && file.try_lock().is_ok();
            // Its maker may have ended meanwhile, and given the directory its name.
            let is_there = || fs::symlink_metadata(&path).is_ok_and(|found| is_same_file(&metadata, &found));
            (is_ours && is_there()).then_some(file)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_old(directory) => {
            File::open(directory).ok().filter(|directory| directory.try_lock().is_ok())
        }
        Err(_) => None,
    }
}

/// True if nothing came to a directory, or went, for long.
fn is_old(directory: &Path) -> bool {
    let changed = fs::symlink_metadata(directory).and_then(|metadata| metadata.modified());
    changed.is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > OLD))
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
        fs::write(left.join(name::LOCK), LOCKED).unwrap();
        let file = path(".checkpoint-0123456789abcdeg.tmp");
        fs::write(&file, "a spare file").unwrap();
        let other = Unfinished::beside(&path("two")).unwrap();
        assert!(used.path().is_dir() && other.path().is_dir() && file.exists() && !left.exists());
        used.publish(|made| fs::rename(made, path("one"))).unwrap();
        drop(other);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2);
        assert_eq!(fs::read_dir(path("one")).unwrap().count(), 0);
    }

    #[test]
    fn the_lock_of_a_running_copy_counts_on_all_machines() {
        let parent = tempfile::tempdir().unwrap();
        let used = Unfinished::beside(&parent.path().join("one")).unwrap();
        // NFS locks directories on one machine only: a copy of another one locks this one too.
        let files = fs::read_dir(used.path()).unwrap().map(|entry| entry.unwrap().path());
        let is_held = |path: std::path::PathBuf| File::open(path).unwrap().try_lock_shared().is_err();
        assert_eq!(files.map(is_held).collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn what_a_killed_copy_left_goes_with_all_that_is_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(".checkpoint-0123456789abcdef.tmp");
        fs::create_dir_all(left.join("ranks/000000")).unwrap();
        for name in ["1.ckpt", "ranks/000000/1.ckpt", name::LOCK] {
            fs::write(left.join(name), LOCKED).unwrap();
        }
        let lock = File::open(left.join(name::LOCK)).unwrap();
        lock.lock().unwrap();
        drop(Unfinished::beside(&parent.path().join("one")).unwrap());
        assert!(left.join("ranks/000000/1.ckpt").is_file());
        drop(lock);
        drop(Unfinished::beside(&parent.path().join("two")).unwrap());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_new_directory_without_its_lock_is_not_removed() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        // At the begin, and before it gets its name.
        let young = path(".checkpoint-0123456789abcdef.tmp");
        let old = path(".checkpoint-0123456789abcdeg.tmp");
        for path in [&young, &old] {
            fs::create_dir(path).unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * OLD;
        File::open(&old).unwrap().set_times(fs::FileTimes::new().set_modified(long_ago)).unwrap();
        drop(Unfinished::beside(&path("one")).unwrap());
        assert!(young.is_dir() && !old.exists());
    }
}
