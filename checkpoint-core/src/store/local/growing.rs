//! A file of the program that grows with its run, on the real file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::disk::{Growing, Identity, Opening};
use super::output::write_all_at;
use super::real::{has_other_names, must_be_regular};
use crate::store::process::Process;

/// The extended attribute that has the mark, and the most bytes of a mark that is read.
#[cfg(any(target_os = "linux", target_os = "macos"))]
const MARK: &str = "user.checkpointed.run";
#[cfg(any(target_os = "linux", target_os = "macos"))]
const MOST_OF_MARK: usize = 8 << 10;

/// Opens a regular file. Follows a symbolic link: the user chose the place of the file.
pub(super) fn open(path: &Path, opening: Opening) -> io::Result<Box<dyn Growing>> {
    let mut options = OpenOptions::new();
    options.read(true).write(opening != Opening::Look).create_new(opening == Opening::Create);
    // Opening a FIFO must not wait for the other side.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        rustix::fs::OFlags::NONBLOCK.bits().cast_signed(),
    );
    let file = options.open(path)?;
    must_be_regular(&file)?;
    // On other systems a lock would keep other programs from reading the file.
    if cfg!(unix)
        && opening != Opening::Look
        && let Err(TryLockError::WouldBlock) = file.try_lock()
    {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(Box::new(GrowingFile { file, process: Process::current() }))
}

/// Puts a file in the place of another, with its owner and its permissions.
pub(super) fn take_place(from: &Path, of: &Path) -> io::Result<()> {
    let former = fs::metadata(of)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // Only the administrator may give a file away. The file is this user's otherwise.
        let _ = std::os::unix::fs::chown(from, Some(former.uid()), Some(former.gid()));
    }
    fs::set_permissions(from, former.permissions())?;
    fs::rename(from, of)
}

/// An open file. A file system without locks gave none.
#[derive(Debug)]
struct GrowingFile {
    file: File,
    process: Process,
}

impl Drop for GrowingFile {
    /// Gives the lock back at once. It lasts until the last copy of the file is closed, and a
    /// process that another thread starts has a copy from its fork to its exec.
    fn drop(&mut self) {
        if cfg!(unix) && self.process.is_current() {
            // Without a lock there is nothing to give back, and an error says so.
            let _ = self.file.unlock();
        }
    }
}

impl Growing for GrowingFile {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        #[cfg(unix)]
        {
            std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
        }
        #[cfg(not(unix))]
        {
            use std::io::{Read, Seek, SeekFrom};
            let mut file = &self.file;
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(buffer)
        }
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_all_at(&self.file, bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    #[cfg(target_os = "linux")]
    fn give_back(&self, offset: u64, length: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;

        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, flags, offset, length).map_err(|error| match error {
            // The last is for a file that may only grow.
            Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM => io::ErrorKind::Unsupported.into(),
            error => error.into(),
        })
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        Ok(Identity::of(&self.file.metadata()?))
    }

    fn has_other_names(&self) -> io::Result<bool> {
        Ok(has_other_names(&self.file.metadata()?))
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn mark(&self) -> Option<Vec<u8>> {
        let mut mark = vec![0; MOST_OF_MARK];
        let length = rustix::fs::fgetxattr(&self.file, MARK, &mut mark[..]).ok()?;
        mark.truncate(length);
        Some(mark)
    }

    #[cfg(any(target_os = "linux", target_os = "macos"))]
    fn set_mark(&self, mark: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::fsetxattr(&self.file, MARK, mark, rustix::fs::XattrFlags::empty())?)
    }
}
