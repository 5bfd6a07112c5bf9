//! Finds the program that has a directory open for saving.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::Path;

use super::lock::{LONGEST, behind_link};
use super::real::{must_be_regular, no_follow_no_wait};
use super::take::{describe_holder, shares};
use crate::error::Error;
use crate::store::name;

/// Finds the program that has the lock of a directory. To find out, it takes the lock for a moment,
/// together with other readers. Returns `None` also where the file system has no locks.
pub(crate) fn holder(path: &Path) -> Result<Option<String>, Error> {
    let lock_path = path.join(name::LOCK);
    let failed = |source| Error::io("read", &lock_path, source);
    let mut options = OpenOptions::new();
    options.read(true);
    no_follow_no_wait(&mut options);
    match options.open(&lock_path) {
        Ok(file) if must_be_regular(&file).is_ok() => {
            let is_held = is_held(&file);
            // It would keep this program itself from taking the lock alone.
            let _ = file.unlock();
            let mut text = Vec::new();
            (&file).take(LONGEST).read_to_end(&mut text).map_err(failed)?;
            let text = String::from_utf8_lossy(&text);
            if is_held || (shares(&text) && is_shared(&lock_path, &mut options)) {
                return Ok(Some(behind_link(&file, path).unwrap_or_else(|| describe_holder(&text, path))));
            }
        }
        Ok(_) => {}
        // The lock file may be closed to this user, who may still read the checkpoints.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
        // A link, a FIFO or a device in its place is not the lock file.
        Err(_) if fs::symlink_metadata(&lock_path).is_ok_and(|found| !found.is_file()) => {}
        Err(source) => return Err(failed(source)),
    }
    // The lock file may have been removed since; the directory itself is locked too.
    match File::open(path) {
        Ok(directory) if cfg!(unix) && is_held(&directory) => Ok(Some(UNNAMED.to_owned())),
        _ => Ok(None),
    }
}

/// The name of a program whose lock file is gone, or closed to this user.
const UNNAMED: &str = "a program that left no name";

fn is_held(file: &File) -> bool {
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// True if programs share the lock. To find out, it takes the lock alone for a moment.
fn is_shared(path: &Path, options: &mut OpenOptions) -> bool {
    // NFS gives an exclusive lock only to a file that is open for writing.
    let file = options.write(true).open(path).or_else(|_| options.write(false).open(path));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_fifo_or_link_in_place_of_the_lock_is_not_opened() {
        let directory = tempfile::tempdir().unwrap();
        let (lock, elsewhere) = (directory.path().join(name::LOCK), directory.path().join("elsewhere"));
        assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
        assert_eq!(holder(directory.path()).unwrap(), None);
        fs::remove_file(&lock).unwrap();
        let other = File::create(&elsewhere).unwrap();
        other.lock().unwrap();
        std::os::unix::fs::symlink(&elsewhere, &lock).unwrap();
        assert_eq!(holder(directory.path()).unwrap(), None);
    }
}
