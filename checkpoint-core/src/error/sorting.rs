//! Sorts failures: the variant for an error of the system or a refusal of a file, and the reaction
//! to it.

use std::io;
use std::path::Path;

use super::Error;
use crate::base::host::file_size_limit;
use crate::base::limits::BUFFER;
use crate::base::text::plain;
use crate::container::Refusal;

impl Error {
    /// The error of an operation that failed.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { operation, path: path.to_owned(), source: with_owner(path, source) }
    }

    /// The error of an operation that failed, and was to change something.
    pub(crate) fn writing(operation: &'static str, path: &Path, source: io::Error) -> Error {
        let source = with_owner(path, source);
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::FileTooLarge if source.raw_os_error().is_some() => {
                Error::FileTooLong { operation, path, limit: file_size_limit() }
            }
            io::ErrorKind::OutOfMemory => {
                Error::NoMemory { path, part: "what is written".to_owned(), bytes: BUFFER as u64 }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { operation, path, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Error::NotWritable { operation, path, source }
            }
            io::ErrorKind::AlreadyExists => Error::NameTaken { operation, path },
            _ => Error::Io { operation, path, source },
        }
    }

    /// The error for a refusal of the container at `path`.
    pub(crate) fn refused(path: &Path, refusal: Refusal) -> Error {
        let path = path.to_owned();
        match refusal {
            Refusal::NotACheckpoint => Error::NotACheckpoint { path },
            Refusal::FormatTooNew(found) => {
                Error::FormatTooNew { path, found, supported: crate::container::FORMAT_VERSION }
            }
            Refusal::Damaged { part, why } => Error::Damaged { path, part, why },
            Refusal::NotTagged => Error::NotAuthentic { path, why: "it has no tag".to_owned() },
            Refusal::OtherKey(found) => {
                let why = format!(
                    "its tag was made with another key, for another run, or for another step of a pipeline ({})",
                    plain(&found)
                );
                Error::NotAuthentic { path, why }
            }
            Refusal::Encrypted(why) => Error::Encrypted { path, why },
            Refusal::NotEncrypted => Error::NotEncrypted { path },
            Refusal::Unreadable(source) => Error::Io { operation: "read", path, source },
            Refusal::NoMemory { part, bytes } => Error::NoMemory { path, part, bytes },
            Refusal::Packed { part, method } => Error::BuiltWithout { path, part, feature: method.feature() },
        }
    }

    /// True if a save that failed in this way may succeed later, without a change of the program.
    pub(crate) fn may_pass(&self) -> bool {
        matches!(
            self,
            Error::Io { .. }
                | Error::NoSpace { .. }
                | Error::NotWritable { .. }
                | Error::NoMemory { .. }
                | Error::Member { may_pass: true, .. }
        )
    }

    /// True if an older generation may be loaded instead: the file is broken for good. It is not
    /// merely different from the program, and not merely out of reach for a moment.
    pub(crate) fn is_damage(&self) -> bool {
        match self {
            Error::Damaged { .. } | Error::NotACheckpoint { .. } => true,
            Error::Io { source, .. } => !is_passing(source),
            _ => false,
        }
    }

    /// True if the file is broken for good. One that its device does not give may be whole: nothing
    /// is given up for it, and it is tried again.
    pub(crate) fn is_lasting_damage(&self) -> bool {
        self.is_damage() && !self.is_unread()
    }

    /// True if a device or a server failed to give the bytes of a file. They may be right, and be
    /// there at the next attempt.
    pub(crate) fn is_unread(&self) -> bool {
        #[cfg(unix)]
        {
            use rustix::io::Errno;
            const UNREAD: [Errno; 2] = [Errno::IO, Errno::NODATA];
            let Error::Io { source, .. } = self else { return false };
            Errno::from_io_error(source).is_some_and(|error| UNREAD.contains(&error))
        }
        #[cfg(not(unix))]
        false
    }
}

/// Reads, and reads once more what a device or a server did not give: it may have failed once.
///
/// All that chooses a generation reads in this way.
pub(crate) fn once_more<R>(read: impl FnMut() -> Result<R, Error>) -> Result<R, Error> {
    once_more_if(read, |outcome| outcome.as_ref().is_err_and(Error::is_unread))
}

/// Like [`once_more`], of an outcome that may have several errors.
pub(crate) fn once_more_if<R>(mut read: impl FnMut() -> R, is_unread: impl Fn(&R) -> bool) -> R {
    let first = read();
    if is_unread(&first) { read() } else { first }
}

/// True if the program or the connection is at fault, and not the file: loading an older generation
/// because of it would lose work that exists.
fn is_passing(error: &io::Error) -> bool {
    #[cfg(unix)]
    if matches!(
        rustix::io::Errno::from_io_error(error),
        Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)
    ) {
        return true;
    }
    matches!(
        error.kind(),
        // A file without permission to read may be whole: one run as another user leaves such a
        // file.
        io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotConnected
            | io::ErrorKind::OutOfMemory
            | io::ErrorKind::Interrupted
            | io::ErrorKind::WouldBlock
            | io::ErrorKind::ResourceBusy
            | io::ErrorKind::TimedOut
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::StaleNetworkFileHandle
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            // A file system of a server may answer so to a read while it makes room or comes back.
            | io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
    )
}

/// Adds the owner of the file, or of its directory, to an error of permissions.
fn with_owner(path: &Path, source: io::Error) -> io::Error {
    #[cfg(unix)]
    if source.kind() == io::ErrorKind::PermissionDenied && source.raw_os_error().is_some() {
        use std::os::unix::fs::MetadataExt;
        let us = rustix::process::geteuid().as_raw();
        let found = path.ancestors().find_map(|path| Some((path, path.metadata().ok()?)));
        if let Some((path, metadata)) = found.filter(|(_, metadata)| metadata.uid() != us) {
            let (path, owner, mode) = (path.display(), metadata.uid(), metadata.mode() & 0o7777);
            let why = format!(
                "{source} ({path} belongs to user {owner}, its mode is {mode:o}, and this is user {us})"
            );
            return io::Error::new(io::ErrorKind::PermissionDenied, why);
        }
    }
    #[cfg(not(unix))]
    let _ = path;
    source
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_server_that_is_full_or_busy_has_damaged_no_file() {
        let of = |errno: Errno| Error::io("read", "run.ckpt".as_ref(), errno.into());
        for errno in [Errno::AGAIN, Errno::BUSY, Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::CONNRESET] {
            assert!(!of(errno).is_damage() && !of(errno).is_unread(), "{errno:?}");
        }
        assert!(of(Errno::IO).is_damage() && of(Errno::IO).is_unread());
        assert!(of(Errno::UCLEAN).is_damage() && !of(Errno::UCLEAN).is_unread());
    }
}
