//! Finds the program that has a directory open for saving.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _};
use std::path::Path;

use super::lock::LONGEST;
use super::take::describe_holder;
use crate::error::Error;
use crate::store::name;

/// Finds the program that has the lock of a directory. To find out, it takes the lock for a moment,
/// together with other readers. Returns `None` also where the file system has no locks.
pub(crate) fn holder(path: &Path) -> Result<Option<String>, Error> {
    let lock_path = path.join(name::LOCK);
    let failed = |source| Error::io("read", &lock_path, source);
    match File::open(&lock_path) {
        Ok(file) if is_held(&file) => {
            let mut text = Vec::new();
            file.take(LONGEST).read_to_end(&mut text).map_err(failed)?;
            return Ok(Some(describe_holder(&String::from_utf8_lossy(&text), path)));
        }
        Ok(_) => {}
        // The lock file may be closed to this user, who may still read the checkpoints.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
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
