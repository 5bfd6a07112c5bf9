//! The protocol of one save, as types: a file that is not yet durable has no method to publish it.
//!
//! [`Temporary`] → [`Sealed`] → a generation. If dropped before its end, it leaves nothing behind.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, Identity, NewFile, Output};
use super::process::Process;
use crate::base::warnings::warn;
use crate::container::Source;
use crate::error::Error;

/// A file that is written under a temporary name.
#[derive(Debug)]
pub(crate) struct Temporary {
    file: Remnant,
    output: Box<dyn Output>,
}

/// A file with durable data, still under its temporary name.
#[derive(Debug)]
pub(crate) struct Sealed {
    file: Remnant,
    identity: Option<Identity>,
}

/// Removes the file when dropped, unless it was published, or this is a forked process.
#[derive(Debug)]
struct Remnant {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    process: Process,
    published: bool,
}

impl Temporary {
    /// Starts a file of this process.
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        process: Process,
    ) -> Result<Temporary, Error> {
        let NewFile { path, output } = disk
            .create_temporary(directory)
            .map_err(|source| Error::writing("create a temporary file in", directory, source))?;
        Ok(Temporary { file: Remnant::new(disk, path, process), output })
    }

    /// Starts to overwrite a file with a temporary name. If that fails, the file stays.
    pub(super) fn recycle(disk: &Arc<dyn Disk>, path: &Path, process: Process) -> io::Result<Temporary> {
        let output = disk.recycle(path)?;
        Ok(Temporary { file: Remnant::new(disk, path.to_owned(), process), output })
    }

    /// The temporary path.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Ends the writing and, where `durable`, waits until the data is on the disk.
    pub(crate) fn seal(mut self, durable: bool) -> Result<Sealed, Error> {
        self.output.finish().map_err(|source| Error::writing("write", &self.file.path, source))?;
        if durable {
            self.output.sync().map_err(|source| Error::writing("sync", &self.file.path, source))?;
        }
        Ok(Sealed { identity: self.output.identity(), file: self.file })
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

impl Sealed {
    /// The path until it is published.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Opens it by its name, as a reader will.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Source>> {
        self.file.disk.open_unpublished(&self.file.path, self.identity)
    }

    /// Gives the file its final name, which must be free.
    pub(super) fn publish(mut self, path: &Path) -> io::Result<()> {
        let Remnant { disk, path: temporary, .. } = &self.file;
        let outcome = disk.rename(temporary, path);
        // The answer of a file server can be lost, and a second attempt then finds no such file. If
        // our file has the name, the rename happened.
        let happened =
            || self.identity.is_some() && disk.identity(path).is_ok_and(|found| found == self.identity);
        match outcome {
            Err(error) if happened() => {
                tracing::debug!(path = %path.display(), %error, "renamed nevertheless")
            }
            outcome => outcome?,
        }
        self.file.published = true;
        Ok(())
    }
}

impl Remnant {
    fn new(disk: &Arc<dyn Disk>, path: PathBuf, process: Process) -> Remnant {
        Remnant { disk: Arc::clone(disk), path, process, published: false }
    }
}

impl Drop for Remnant {
    fn drop(&mut self) {
        // A save that failed because the disk is full must free its space.
        if !self.published && self.process.is_current() {
            remove_temporary(&*self.disk, &self.path);
        }
    }
}

/// Removes a temporary file. If that fails, the next start tries again.
pub(super) fn remove_temporary(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path)
        && error.kind() != io::ErrorKind::NotFound
    {
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

    #[test]
    fn a_name_that_another_file_has_is_not_taken_for_ours() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
        let target = directory.path().join("00000000000000000001.ckpt");
        let mut temporary = Temporary::create(&disk, directory.path(), Process::current()).unwrap();
        temporary.write_all(b"ours").unwrap();
        let path = temporary.path().to_owned();
        let sealed = temporary.seal(true).unwrap();
        // Another process published, and our file is gone.
        std::fs::write(&target, "another's").unwrap();
        std::fs::remove_file(path).unwrap();
        sealed.publish(&target).unwrap_err();
        assert_eq!(std::fs::read(&target).unwrap(), b"another's");
    }

    #[test]
    fn a_process_that_was_forked_removes_no_file_of_its_parent() {
        let directory = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
        let mut temporary = Temporary::create(&disk, directory.path(), Process::current()).unwrap();
        let path = temporary.path().to_owned();
        temporary.file.process = Process::another();
        drop(temporary);
        assert!(path.exists());
        drop(Temporary::recycle(&disk, &path, Process::current()).unwrap());
        assert!(!path.exists());
    }
}
