//! Files that hold a secret: a key, or an identity.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The longest file of a secret, in bytes.
const LONGEST: u64 = 64 << 10;

/// Reads a file that only its owner may read. Returns its text and its real path.
///
/// # Errors
/// [`Error::InvalidKey`] where it cannot be read, is no regular file, or other users may read or
/// change it.
pub(super) fn read(path: &Path) -> Result<(String, PathBuf), Error> {
    let invalid = |why: String| Error::InvalidKey { origin: path.display().to_string(), why };
    // Checked before opening: opening a pipe would wait for a program that writes into it.
    let metadata = path.metadata().map_err(|error| invalid(error.to_string()))?;
    if !metadata.is_file() {
        return Err(invalid("it is no regular file".to_owned()));
    }
    let file = File::open(path).map_err(|error| invalid(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| invalid(error.to_string()))?;
    if !metadata.is_file() {
        return Err(invalid("it is no regular file".to_owned()));
    }
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
        return Err(invalid("others may read or change it: chmod 600".to_owned()));
    }
    if metadata.len() > LONGEST {
        return Err(invalid(format!("it has {} bytes, far more than a secret", metadata.len())));
    }
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(|error| invalid(error.to_string()))?;
    let place = path.canonicalize().map_err(|error| invalid(error.to_string()))?;
    Ok((text, place))
}
