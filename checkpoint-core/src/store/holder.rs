//! Which program has a directory open for saving.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::Path;

use super::claim::told;
use super::lock::LONGEST;
use super::name;
use crate::error::Error;

/// Which program has the lock of a directory. To find out, it is taken for a moment, together with others that look.
/// Where the file system has no locks that cannot be known, and `None` too.
pub(crate) fn holder(path: &Path) -> Result<Option<String>, Error> {
    let lock_path = path.join(name::LOCK);
    let failed = |source| Error::io("read", &lock_path, source);
    match File::open(&lock_path) {
        Ok(file) if is_held(&file) => {
            let mut text = Vec::new();
            file.take(LONGEST).read_to_end(&mut text).map_err(failed)?;
            return Ok(Some(told(&String::from_utf8_lossy(&text), path)));
        }
        Ok(_) => {}
        // It may be closed to this user, who may look at the checkpoints all the same.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
        Err(source) => return Err(failed(source)),
    }
    // The lock file may have been removed since; the directory itself is locked too.
    match File::open(path) {
        Ok(directory) if cfg!(unix) && is_held(&directory) => Ok(Some(UNNAMED.to_owned())),
        _ => Ok(None),
    }
}

/// A program whose lock file is gone, or closed to this user.
const UNNAMED: &str = "a program that left no name";

fn is_held(file: &File) -> bool {
    matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
}
