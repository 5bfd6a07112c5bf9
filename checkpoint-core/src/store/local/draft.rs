//! The protocol of one save, as types: a file that is not yet durable has no method to publish it.
//!
//! [`Temporary`] → [`SealedFile`] → a generation. If dropped before its end, it leaves nothing
//! behind.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::blocks::{Known, KnownFiles, Rewriting};
use super::disk::{Disk, Identity, NewFile, Output};
use super::gone;
use crate::base::warnings::warn;
use crate::container::Source;
use crate::error::Error;
use crate::store::process::Process;
use crate::store::{Draft, Published, Sealed};

/// The destination of a new file.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
    /// The final path in that directory.
    pub(super) path: PathBuf,
    /// The generation that it becomes.
    pub(super) generation: u64,
    /// The files of the claim whose blocks are known.
    pub(super) files: Arc<Mutex<KnownFiles>>,
    /// True to wait until the file, and its name, are on the disk.
    pub(super) durable: bool,
    /// The process that writes the file.
    pub(super) process: Process,
}

/// A file that is written under a temporary name.
#[derive(Debug)]
pub(super) struct Temporary {
    file: Remnant,
    output: Box<dyn Output>,
}

/// A file with durable data, still under its temporary name.
#[derive(Debug)]
struct SealedFile {
    file: Remnant,
    identity: Option<Identity>,
    written: u64,
    known: Option<Known>,
}

/// Removes the file when dropped, unless it was published, or this is a forked process.
#[derive(Debug)]
struct Remnant {
    target: Target,
    path: PathBuf,
    published: bool,
}

impl Temporary {
    /// Starts a file.
    pub(super) fn create(target: Target) -> Result<Temporary, Error> {
        let NewFile { path, output } = target
            .disk
            .create_temporary(&target.directory)
            .map_err(|source| Error::writing("create a temporary file in", &target.directory, source))?;
        Ok(Temporary { file: Remnant { target, path, published: false }, output })
    }

    /// Starts to overwrite a file with a temporary name. If that fails, the file stays.
    pub(super) fn recycle(path: &Path, target: Target, rewriting: Rewriting) -> io::Result<Temporary> {
        let output = target.disk.recycle(path, rewriting)?;
        Ok(Temporary { file: Remnant { target, path: path.to_owned(), published: false }, output })
    }
}

impl Draft for Temporary {
    fn path(&self) -> &Path {
        &self.file.path
    }

    fn seal(mut self: Box<Self>) -> Result<Box<dyn Sealed>, Error> {
        self.output.finish().map_err(|source| Error::writing("write", &self.file.path, source))?;
        let mut known = None;
        if self.file.target.durable {
            self.output.sync().map_err(|source| Error::writing("sync", &self.file.path, source))?;
            known = self.output.known();
        }
        let (identity, written) = (self.output.identity(), self.output.written());
        let files = &self.file.target.files;
        files.lock().unwrap_or_else(PoisonError::into_inner).learn(known.as_ref(), written);
        Ok(Box::new(SealedFile { identity, written, known, file: self.file }))
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

impl Sealed for SealedFile {
    fn path(&self) -> &Path {
        &self.file.path
    }

    fn written(&self) -> Option<u64> {
        Some(self.written)
    }

    fn open(&self) -> io::Result<Option<Box<dyn Source>>> {
        self.file.target.disk.open_unpublished(&self.file.path, self.identity).map(Some)
    }

    /// The final name must be free.
    fn publish(mut self: Box<Self>) -> Published {
        let Remnant { target, path: temporary, .. } = &self.file;
        let Target { disk, directory, path, generation, files, durable, .. } = target;
        let rename = || disk.rename(temporary, path).map(|()| Some(path));
        let renamed = Known::renamed(self.known.take(), (&**disk, temporary), rename);
        let (outcome, known) = match renamed {
            Ok((_, known)) => (Ok(()), known),
            Err(error) => (Err(error), None),
        };
        // The answer of a file server can be lost, and a second attempt then finds no such file. If
        // our file has the name, the rename happened.
        let happened =
            || self.identity.is_some() && disk.identity(path).is_ok_and(|found| found == self.identity);
        match outcome {
            Err(error) if happened() => {
                tracing::debug!(path = %path.display(), %error, "renamed nevertheless")
            }
            Err(source) => {
                let outcome = Err(Error::writing("publish", path, source));
                return Published { is_there: false, outcome };
            }
            Ok(()) => {}
        }
        let synced = if *durable { disk.sync_directory(directory) } else { Ok(()) };
        let synced = synced.map_err(|source| Error::writing("sync", directory, source));
        if let (Ok(()), Some(known)) = (&synced, known) {
            files.lock().unwrap_or_else(PoisonError::into_inner).keep(*generation, known);
        }
        self.file.published = true;
        Published { is_there: true, outcome: synced }
    }
}

impl Drop for Remnant {
    fn drop(&mut self) {
        // A save that failed because the disk is full must free its space.
        if !self.published && self.target.process.is_current() {
            remove_temporary(&*self.target.disk, &self.path);
        }
    }
}

/// Removes a temporary file. If that fails, the next start tries again.
pub(super) fn remove_temporary(disk: &dyn Disk, path: &Path) {
    if let Err(error) = gone(disk.remove(path)) {
        warn(format!(
            "the temporary file {} cannot be removed, the next start tries again: {error}",
            path.display()
        ));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::store::RealDisk;

    fn target(directory: &Path) -> Target {
        Target {
            disk: Arc::new(RealDisk::default()),
            directory: directory.to_owned(),
            path: directory.join("00000000000000000001.ckpt"),
            generation: 1,
            files: Arc::default(),
            durable: true,
            process: Process::current(),
        }
    }

    #[test]
    fn a_name_that_another_file_has_is_not_taken_for_ours() {
        let directory = tempfile::tempdir().unwrap();
        let target = target(directory.path());
        let mut temporary = Box::new(Temporary::create(target.clone()).unwrap());
        temporary.write_all(b"ours").unwrap();
        let path = temporary.path().to_owned();
        let sealed = temporary.seal().unwrap();
        // Another process published, and our file is gone.
        std::fs::write(&target.path, "another's").unwrap();
        std::fs::remove_file(path).unwrap();
        let published = sealed.publish();
        assert!(published.outcome.is_err() && !published.is_there);
        assert_eq!(std::fs::read(&target.path).unwrap(), b"another's");
    }

    #[test]
    fn a_process_that_was_forked_removes_no_file_of_its_parent() {
        let directory = tempfile::tempdir().unwrap();
        let target = target(directory.path());
        let mut temporary = Temporary::create(target.clone()).unwrap();
        let path = temporary.path().to_owned();
        temporary.file.target.process = Process::another();
        drop(temporary);
        assert!(path.exists());
        drop(Temporary::recycle(&path, target, Rewriting::All).unwrap());
        assert!(!path.exists());
    }
}
