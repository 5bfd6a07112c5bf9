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

/// True for a URL with a scheme and a host, such as `s3://bucket/run.ckpt`.
#[must_use]
pub fn is_url(path: &str) -> bool {
    path.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
    })
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

    /// The path for messages: absolute where that is known.
    pub(crate) fn shown(&self) -> &Path {
        self.absolute.as_deref().unwrap_or(&self.given)
    }

    /// The path, or the error of making it absolute.
    pub(crate) fn absolute(&self) -> Result<PathBuf, Error> {
        if self.given.to_str().is_some_and(is_url) {
            return Err(Error::InvalidSetting {
                setting: format!("the path {:?}", self.given),
                why: "it is a URL, and this opens directories: for a place in an object store, use the package \
                      `checkpointed-object-store`, with `Checkpointer::builder_in(ObjectHome::from_url(url)?)` or \
                      `CheckpointReader::open_in`; for a directory, give its path without a scheme",
            });
        }
        self.absolute.clone().map_err(|kind| {
            if self.given.as_os_str().is_empty() {
                let why = "it is empty: give the directory a name";
                return Error::InvalidSetting { setting: "the path \"\"".to_owned(), why };
            }
            Error::io("find the working directory for", &self.given, kind.into())
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{CheckpointReader, Checkpointer};

    #[test]
    fn a_url_is_no_directory_and_the_error_says_the_way() {
        for url in
            ["s3://bucket/run.ckpt", "gs://bucket/x", "az://container/x", "https://host/x", "file:///x"]
        {
            for error in [
                Checkpointer::<u64>::open(url).unwrap_err(),
                CheckpointReader::<u64>::open(url).unwrap_err(),
                absolute(url).unwrap_err(),
            ] {
                let message = error.to_string();
                assert!(message.contains(url) && message.contains("builder_in"), "{message}");
            }
            assert!(!Path::new(url.split_once('/').unwrap().0).exists());
        }
        for path in ["s3:/bucket", "runs/a:b", "./s3://odd", "://x", "1a://x", "a b://x"] {
            absolute(path).unwrap();
        }
    }
}
