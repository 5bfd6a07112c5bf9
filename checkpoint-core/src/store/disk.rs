//! The seam to the file system: every call that the store makes, and above all every call that changes anything.
//!
//! The protocol of a save is written in terms of [`Disk`]. So what a crash or a failing disk can do to it is decided
//! here and nowhere else, and tests put another disk in its place.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::container::Source;

/// What the store needs of a file system.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Makes one directory, whose parent exists. That it exists already is not an error.
    fn create_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable: after it returned, those that were created, renamed or removed
    /// before stay so after a power cut.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes the content of a file durable that another process may have left in memory.
    fn sync_file(&self, path: &Path) -> io::Result<()>;

    /// Creates a file of an unpredictable name that nobody else has, readable and writable by its owner alone.
    fn create_temporary(&self, directory: &Path) -> io::Result<NewFile>;

    /// Creates a file with these few bytes in it. A name that is taken is an error ([`io::ErrorKind::AlreadyExists`]).
    fn create_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Keeps others from [holding](Disk::hold), reading or writing over a file until the result is dropped; shared, it
    /// lets them hold it so too, and read it. [`io::ErrorKind::WouldBlock`] where others are in the way,
    /// [`io::ErrorKind::NotFound`] where the file no longer has that name. A file that has no lock for a reason of its
    /// own, as on a file system without locks, is not an error: then this keeps nobody from anything.
    fn hold(&self, path: &Path, shared: bool) -> io::Result<Box<dyn Hold>>;

    /// Gives a file such a name, and returns it.
    fn rename_to_temporary(&self, from: &Path, directory: &Path) -> io::Result<PathBuf>;

    /// Opens a file to be written over from its start, unless somebody else could still see it under another name
    /// or reads it at this moment. An error if so.
    fn recycle(&self, path: &Path) -> io::Result<Box<dyn Output>>;

    /// Gives a file another name in the same directory, atomically. A name that is taken is an error
    /// ([`io::ErrorKind::AlreadyExists`]).
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file, or a symbolic link itself.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Locks a directory by its lock file, which is created where it is absent, and leaves `holder` in it.
    fn lock(&self, directory: &Path, holder: &str) -> io::Result<Locking>;

    /// Which file has that name, not followed where it is a symbolic link; `None` where the system cannot tell.
    fn identity(&self, path: &Path) -> io::Result<Option<Identity>>;

    /// Opens a file that grows line by line, and creates it where it is absent.
    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Log>>;

    /// Whether a path leads to a directory; `None` where it leads to nothing.
    fn is_directory(&self, path: &Path) -> Option<bool>;

    /// Whether anything has that name.
    fn exists(&self, path: &Path) -> bool;

    /// The names in a directory.
    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// Opens a regular file for reading. Anything else at that name is an error, and is not waited for.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>>;

    /// As [`open`](Disk::open), for a temporary file of ours, which no other program writes over. Where the name leads to a
    /// file of another identity, that is an error ([`io::ErrorKind::NotFound`]).
    fn open_unpublished(&self, path: &Path, identity: Option<Identity>) -> io::Result<Box<dyn Source>>;
}

/// Which file it is, whatever its names: the device, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity(pub(crate) u64, pub(crate) u64);

/// A file that is held until this is dropped.
pub(crate) trait Hold: fmt::Debug + Send {}

/// A file that was just created.
#[derive(Debug)]
pub(crate) struct NewFile {
    pub(crate) path: PathBuf,
    pub(crate) output: Box<dyn Output>,
}

/// A file being written. What is written may wait in memory until [`finish`](Output::finish).
pub(crate) trait Output: Write + fmt::Debug + Send {
    /// Ends the writing: the file has exactly what was written.
    fn finish(&mut self) -> io::Result<()>;

    /// Makes what was written durable. An error is final: the system may have dropped the data and marked it
    /// clean, so that a second call would report a success that means nothing.
    fn sync(&mut self) -> io::Result<()>;

    /// Which file it is; `None` where the system cannot tell.
    fn identity(&self) -> Option<Identity>;
}

/// A file that grows line by line. Nothing of it is durable, and nothing depends on it.
pub(crate) trait Log: fmt::Debug + Send {
    /// Adds bytes at the end, all or, on a full disk, some of them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// How long it is.
    fn length(&self) -> io::Result<u64>;
}

/// The outcome of taking a lock.
#[derive(Debug)]
pub(crate) enum Locking {
    /// It is ours until dropped.
    Taken(Box<dyn Lock>),
    /// Another program has it; what that program left in it.
    Held(String),
    /// The file system has no locks, as it says. What stands for one keeps no other program out.
    Unsupported(io::Error, Box<dyn Lock>),
}

/// The lock of a directory, ours until dropped.
pub(crate) trait Lock: fmt::Debug + Send + Sync {
    /// Whether the path of the directory still leads to the one that was locked. Where only the lock file is gone, as
    /// after a purge of old files, it is made again.
    fn stands(&self) -> bool;

    /// The first half of that, without the lock file and without waiting for any other thread.
    fn is_in_place(&self) -> bool;

    /// Gives the lock file the present time, so that a purge of old files passes over it.
    fn touch(&self);
}
