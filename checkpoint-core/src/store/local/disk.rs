//! The seam to the file system: every call of the store, above all every call that changes
//! anything.
//!
//! The protocol of a save uses only [`Disk`]. So a crash or a failing disk can act on it only here,
//! and tests put another disk in its place.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::blocks::{Known, Rewriting};
use crate::container::Source;
use crate::store::{Lock, Log};

/// The operations that the store needs of a file system.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Creates one directory, whose parent exists. An existing directory is no error.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: once it returned, all earlier creations, renames and
    /// removals survive a power cut.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the content of a file durable that another process may have left in memory.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Creates a file with an unpredictable, free name. Only its owner can read and write it.
    fn create_temporary(&self, directory: &Path) -> io::Result<NewFile>;

    /// Creates a file with these few bytes. A name that is taken is an error
    /// ([`io::ErrorKind::AlreadyExists`]).
    fn create_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Keeps other programs from [holding](Disk::hold), reading or overwriting a file until the
    /// result is dropped. A shared hold lets them hold it shared, and read it. Returns
    /// [`io::ErrorKind::WouldBlock`] where another program prevents it, [`io::ErrorKind::NotFound`]
    /// where the file no longer has that name. A file that cannot have a lock, as on a file system
    /// without locks, is no error: then this protects from nothing.
    fn hold(&self, path: &Path, shared: bool) -> io::Result<Box<dyn Hold>>;

    /// Gives a file a temporary name, and returns the name.
    fn rename_to_temporary(&self, from: &Path, directory: &Path) -> io::Result<PathBuf>;

    /// Opens a file to overwrite it from its start. Fails if the file has another name, or if
    /// another program reads it now.
    fn recycle(&self, path: &Path, rewriting: Rewriting) -> io::Result<Box<dyn Output>>;

    /// Gives a file another name in the same directory, atomically. A name that is taken is an
    /// error ([`io::ErrorKind::AlreadyExists`]).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file, or a symbolic link itself.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory. A disk that cannot keeps it.
    fn remove_directory(&self, _path: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Locks a directory by its lock file, and writes `holder` to it. Creates the lock file where
    /// it is absent.
    fn lock(&self, directory: &Path, holder: &str) -> io::Result<Locking>;

    /// The identity of the file with that name. Does not follow a symbolic link; `None` where the
    /// system has no identities.
    fn identity(&self, path: &Path) -> io::Result<Option<Identity>>;

    /// The stamp of the file with that name. Does not follow a symbolic link; `None` where the
    /// system has no stamps.
    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>>;

    /// The time at which the file with that name was created, where the system tells it. Does not
    /// follow a symbolic link.
    fn created(&self, _path: &Path) -> Option<SystemTime> {
        None
    }

    /// Opens a file that grows line by line. Creates it where it is absent.
    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Log>>;

    /// Opens a file of the program that grows with its run. Any other kind than a regular file is
    /// an error, and is not waited for. Unless it is only looked at, the file is locked until it is
    /// closed: [`io::ErrorKind::WouldBlock`] where another has it, no error where there are no
    /// locks.
    fn open_growing(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn Growing>>;

    /// Puts a file in the place of another one of the same directory, atomically. It gets the owner
    /// and the permissions of that one, as far as this user may give them.
    fn take_place(&self, from: &Path, of: &Path) -> io::Result<()>;

    /// True if a path leads to a directory; `None` where it leads to nothing.
    fn is_directory(&self, path: &Path) -> Option<bool>;

    /// True if the name exists.
    fn exists(&self, path: &Path) -> bool;

    /// The names in a directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// Opens a regular file for reading. Any other kind is an error, and is not waited for.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>>;

    /// Like [`open`](Disk::open), without a lock: for a file that no other program overwrites, such
    /// as a temporary one of ours. If the name leads to a file of another identity, that is an
    /// error ([`io::ErrorKind::NotFound`]).
    fn open_unpublished(&self, path: &Path, identity: Option<Identity>) -> io::Result<Box<dyn Source>>;
}

/// The identity of a file, whatever its names: the device, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) u64, pub(crate) u64);

impl Identity {
    /// The identity of a file, whatever its names.
    pub(super) fn of(metadata: &fs::Metadata) -> Option<Identity> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Some(Identity(metadata.dev(), metadata.ino()))
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            None
        }
    }
}

/// Tells whether a file is as it was: any change of its bytes gives it another stamp, and so do
/// most other changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) identity: Identity,
    /// The length in bytes.
    pub(crate) length: u64,
    /// The time of the last change of its bytes, in seconds and nanoseconds. A program can set it.
    pub(crate) modified: (i64, i64),
    /// The time of the last change of anything but its readers, its names too. No program can set
    /// it.
    pub(crate) changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file; `None` where its times tell too little.
    pub(super) fn of(metadata: &fs::Metadata) -> Option<Stamp> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let stamp = Stamp {
                identity: Identity::of(metadata)?,
                length: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            };
            stamp.has_fine_times().then_some(stamp)
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            None
        }
    }

    /// False where the times are whole seconds: a change within the second of the last one would
    /// have the same times. A file whose fine times are whole by chance is only written whole.
    #[cfg_attr(not(unix), allow(dead_code, reason = "there are no stamps"))]
    pub(super) fn has_fine_times(&self) -> bool {
        self.modified.1 != 0 || self.changed.1 != 0
    }
}

/// A file that is held until this is dropped.
pub(crate) trait Hold: fmt::Debug + Send {}

/// A file that was just created.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) path: PathBuf,
    pub(crate) output: Box<dyn Output>,
}

/// A file while it is written. Bytes may wait in memory until [`finish`](Output::finish).
pub(crate) trait Output: Write + fmt::Debug + Send {
    /// Ends the writing: the file holds exactly the written bytes.
    fn finish(&mut self) -> io::Result<()>;

    /// Makes the written bytes durable. An error is final: the system may have dropped the data and
    /// marked it clean, so that a second call would report a false success.
    fn sync(&mut self) -> io::Result<()>;

    /// The identity of the file; `None` where the system has no identities.
    fn identity(&self) -> Option<Identity>;

    /// The number of bytes that were written to the file, once that is finished: fewer than its
    /// length where blocks were left out.
    fn written(&self) -> u64;

    /// The blocks of the file, once it is synced; `None` where they are not known.
    fn known(&mut self) -> Option<Known>;
}

/// The purpose of opening a file that grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// To read it.
    Look,
    /// To write to an existing file.
    Write,
    /// To write to a new file. A name that is taken is an error
    /// ([`io::ErrorKind::AlreadyExists`]).
    Create,
}

/// A file of the program that grows with its run.
pub(crate) trait Growing: fmt::Debug + Send + Sync {
    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;

    /// Reads from this offset on.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes from this offset on. After an error, some of the bytes may be there.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Makes the content durable. An error is final, as for [`Output::sync`].
    fn sync(&self) -> io::Result<()>;

    /// Gives the blocks of a range back: its bytes are zeros then, and the next write gets new
    /// blocks. The length stays. Blocks that the range has in part keep their place.
    ///
    /// A rewrite alone does not mend a failed sync on ext4: the system shows blocks as written
    /// whose write failed, and which read as zeros from the disk.
    ///
    /// # Errors
    /// [`Unsupported`](io::ErrorKind::Unsupported) where the file system cannot do it.
    fn give_back(&self, _offset: u64, _length: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The identity of the file; `None` where the system has no identities.
    fn identity(&self) -> io::Result<Option<Identity>>;

    /// True if the file has more than one name (hard links). False where the system does not tell.
    fn has_other_names(&self) -> io::Result<bool>;

    /// The mark that a program set at the file. A file system without marks has none.
    fn mark(&self) -> Option<Vec<u8>> {
        None
    }

    /// Sets the mark, which goes with the file whatever its name.
    fn set_mark(&self, _mark: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// The outcome of taking a lock.
#[derive(Debug)]
pub(crate) enum Locking {
    /// The lock is ours until dropped.
    Taken(Box<dyn Lock>),
    /// Another program has the lock, and left this text in the lock file.
    Held(String),
    /// The file system refuses locks, with this error. The result locks out no other program.
    Unsupported(io::Error, Box<dyn Lock>),
}
