//! Absolute paths of directories, independent of the program's working directory.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The absolute form of a path that a caller gave. Symbolic links are not resolved.
///
/// Every function that takes a path from a caller begins with this. Otherwise a relative path would
/// lead to another run after `set_current_dir`.
pub(crate) fn absolute(path: impl AsRef<Path>) -> Result<PathBuf, Error> {
    Place::of(path.as_ref()).absolute()
}

/// A path that is made absolute immediately. Its error waits until a function can return it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    given: PathBuf,
    absolute: Result<PathBuf, io::ErrorKind>,
}

impl Place {
    pub(crate) fn of(path: &Path) -> Place {
        let absolute = std::path::absolute(path).map_err(|error| error.kind());
        Place { given: path.to_owned(), absolute }
    }

    /// The path, or the error of making it absolute.
    pub(crate) fn absolute(&self) -> Result<PathBuf, Error> {
        self.absolute.clone().map_err(|kind| {
            if self.given.as_os_str().is_empty() {
                let why = "it is empty: give the directory a name";
                return Error::InvalidSetting { setting: "the path \"\"".to_owned(), why };
            }
            Error::io("find the working directory for", &self.given, kind.into())
        })
    }
}
