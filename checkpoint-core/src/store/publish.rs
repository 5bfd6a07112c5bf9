//! The way of one save to a durable generation, as types: what is not yet durable has no method to publish it.
//!
//! [`Temporary`] → [`Sealed`] → a generation. Dropped before its end, it leaves nothing behind.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, NewFile, Output};
use crate::container::Source;
use crate::error::Error;

/// A file being written under a temporary name.
#[derive(Debug)]
pub(crate) struct Temporary {
    file: Remnant,
    output: Box<dyn Output>,
}

/// A file whose data is durable, still under its temporary name.
#[derive(Debug)]
pub(crate) struct Sealed(Remnant);

/// Removes the file when dropped, unless it was published.
#[derive(Debug)]
struct Remnant {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    published: bool,
}

impl Temporary {
    /// Begins a file. A retired generation, `spare`, is written over where that is possible: its space is there
    /// already, which is faster, and cannot run out.
    pub(super) fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        spare: Option<PathBuf>,
    ) -> Result<Temporary, Error> {
        let remnant = |path| Remnant { disk: Arc::clone(disk), path, published: false };
        if let Some(spare) = spare {
            let file = remnant(spare);
            match disk.recycle(&file.path) {
                Ok(output) => return Ok(Temporary { file, output }),
                Err(error) => tracing::debug!(path = %file.path.display(), %error, "not recycled"),
            }
        }
        let NewFile { path, output } = disk
            .create_temporary(directory)
            .map_err(|source| Error::writing("create a temporary file in", directory, source))?;
        Ok(Temporary { file: remnant(path), output })
    }

    /// Where it is being written.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Ends the writing and, where `durable`, waits until the data is on the disk.
    pub(crate) fn seal(mut self, durable: bool) -> Result<Sealed, Error> {
        self.output.finish().map_err(|source| Error::writing("write", &self.file.path, source))?;
        if durable {
            self.output.sync().map_err(|source| Error::writing("sync", &self.file.path, source))?;
        }
        Ok(Sealed(self.file))
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
    /// Where it is until it is published.
    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }

    /// Opens it as a reader will.
    pub(crate) fn open(&self) -> io::Result<Box<dyn Source>> {
        self.0.disk.open(&self.0.path)
    }

    /// Gives the file its final name, which must be free.
    pub(super) fn publish(mut self, path: &Path) -> io::Result<()> {
        let Remnant { disk, path: temporary, .. } = &self.0;
        let outcome = disk.rename(temporary, path);
        // Of a file server the answer can be lost, and asked once more it says that there is no such file. Nobody else knows the
        // temporary name: where it is gone and the other one is there, the file has it.
        let happened = || !disk.exists(temporary) && disk.is_directory(path) == Some(false);
        match outcome {
            Err(error) if happened() => {
                tracing::debug!(path = %path.display(), %error, "renamed nevertheless")
            }
            outcome => outcome?,
        }
        self.0.published = true;
        Ok(())
    }
}

impl Drop for Remnant {
    fn drop(&mut self) {
        // A save that failed for want of space must give its space back.
        if !self.published {
            remove_temporary(&*self.disk, &self.path);
        }
    }
}

/// Removes a temporary file. Where that fails, the next start tries again.
pub(super) fn remove_temporary(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove(path) {
        tracing::warn!(path = %path.display(), %error, "could not remove a temporary file");
    }
}
