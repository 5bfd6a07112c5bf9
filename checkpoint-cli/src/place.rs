//! The places that a command line names: directories, and URLs of object stores.
//!
//! This package has no store itself, so that it builds quickly. The package
//! `checkpointed-object-store` has a `ckpt` that passes its stores to
//! [`run_with`](crate::run_with).

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use checkpointed_core::Error;
use checkpointed_core::home::{self, Home};

use crate::failure::Failure;

/// Opens the place at a URL, such as `s3://bucket/run.ckpt`.
pub type Opener = fn(url: &str) -> Result<Arc<dyn Home>, Error>;

/// The stores of this program, set once before any command.
static STORES: OnceLock<Opener> = OnceLock::new();

pub(crate) fn set_stores(opener: Opener) {
    // A second call has the same stores.
    let _ = STORES.set(opener);
}

/// A checkpoint in an object store, or the newest one there.
pub(crate) struct InStore {
    pub(crate) home: Arc<dyn Home>,
    /// The generation; `None` for the newest.
    pub(crate) generation: Option<u64>,
}

/// The place at a URL; `None` for the path of a directory.
pub(crate) fn home(path: &Path) -> Result<Option<Arc<dyn Home>>, Failure> {
    url(path).map(open).transpose()
}

/// The checkpoint at a URL: of a place, of `PLACE@GENERATION`, or of an object. `None` for a path.
pub(crate) fn checkpoint(path: &Path) -> Result<Option<InStore>, Failure> {
    let Some(url) = url(path) else { return Ok(None) };
    let numbered = url.rsplit_once('@').and_then(|(place, number)| Some((place, number.parse().ok()?)));
    if let Some((place, generation)) = numbered {
        return Ok(Some(InStore { home: open(place)?, generation: Some(generation) }));
    }
    let (place, name) = url.rsplit_once('/').unwrap_or((url, ""));
    let Some((generation, _)) = home::generation_and_epoch(OsStr::new(name)) else {
        return Ok(Some(InStore { home: open(url)?, generation: None }));
    };
    let home = open(place)?;
    home.look()?;
    // Of several objects of one number, only one is that generation.
    if home.location(generation).file_name() != Some(OsStr::new(name)) {
        let source = std::io::ErrorKind::NotFound.into();
        return Err(Failure::NotThere { path: path.to_owned(), source });
    }
    Ok(Some(InStore { home, generation: Some(generation) }))
}

/// The path of a directory, for a command that needs one.
pub(crate) fn directory(path: &Path) -> Result<&Path, Failure> {
    match url(path) {
        Some(url) => Err(Failure::NoHistory { url: url.to_owned() }),
        None => Ok(path),
    }
}

/// The path of a directory or a file of this machine, for a command that makes it or changes it in
/// a way that a store has not.
pub(crate) fn local(path: &Path) -> Result<&Path, Failure> {
    match url(path) {
        Some(url) => Err(Failure::NotLocal { url: url.to_owned() }),
        None => Ok(path),
    }
}

fn open(url: &str) -> Result<Arc<dyn Home>, Failure> {
    let opener = STORES.get().ok_or_else(|| Failure::NoStores { url: url.to_owned() })?;
    Ok(opener(url)?)
}

fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|path| home::is_url(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_told_from_a_path() {
        for path in ["run.ckpt", "/s3:/x", "./s3://x", "C:\\x", "run.ckpt@42", "://x"] {
            assert!(matches!(checkpoint(Path::new(path)), Ok(None)), "{path}");
            assert!(directory(Path::new(path)).is_ok() && local(Path::new(path)).is_ok(), "{path}");
        }
        for url in ["s3://bucket/run.ckpt", "gs://b/x@42", "az://c/00000000000000000042.ckpt"] {
            let refused = home(Path::new(url));
            assert!(matches!(refused, Err(Failure::NoStores { .. })), "{url}");
            assert!(matches!(directory(Path::new(url)), Err(Failure::NoHistory { .. })), "{url}");
            assert!(matches!(local(Path::new(url)), Err(Failure::NotLocal { .. })), "{url}");
        }
    }
}
