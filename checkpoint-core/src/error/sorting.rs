//! Sorts failures: the variant for an error of the system or a refusal of a file, and the reaction
//! to it.

use std::io;
use std::path::Path;

#[cfg(unix)]
use rustix::io::Errno;

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
            Error::Io { source, .. } => is_of_the_file(source) || is_not_given(source),
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
        matches!(self, Error::Io { source, .. } if is_not_given(source))
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

/// True if the file itself is at fault. With all else, known or not, the program, the machine or
/// the connection may be: loading an older generation because of it would lose work that exists.
fn is_of_the_file(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(errno) = Errno::from_io_error(error) {
        const OF_THE_FILE: [Errno; 8] = [
            Errno::NOENT,
            Errno::NOTDIR,
            Errno::ISDIR,
            Errno::LOOP,
            Errno::NAMETOOLONG,
            Errno::OVERFLOW,
            Errno::BADMSG,
            Errno::ILSEQ,
        ];
        #[cfg(target_os = "linux")]
        if errno == Errno::UCLEAN {
            return true;
        }
        return OF_THE_FILE.contains(&errno);
    }
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof
    )
}

/// True for the errors of a device, or of a server, about one file: a bad place of a disk for one.
#[cfg_attr(not(unix), allow(unused_variables))]
fn is_not_given(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(errno) = Errno::from_io_error(error) {
        #[cfg(target_os = "linux")]
        if errno == Errno::REMOTEIO {
            return true;
        }
        // A disk that is away answers with the second one.
        return matches!(errno, Errno::IO | Errno::NXIO | Errno::NODATA | Errno::INVAL);
    }
    false
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
    use super::*;

    fn of(errno: Errno) -> Error {
        Error::io("read", "run.ckpt".as_ref(), errno.into())
    }

    #[test]
    fn a_server_that_is_full_busy_or_away_has_damaged_no_file() {
        for errno in [Errno::AGAIN, Errno::BUSY, Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::CONNRESET] {
            assert!(!of(errno).is_damage() && !of(errno).is_unread(), "{errno:?}");
        }
        for errno in [Errno::MFILE, Errno::SHUTDOWN, Errno::HOSTDOWN, Errno::NODEV, Errno::TIMEDOUT] {
            assert!(!of(errno).is_damage() && !of(errno).is_unread(), "{errno:?}");
        }
        // Nor has one that fails in a way that nobody knows.
        for number in (1..134).filter(|number| ![1, 2, 5, 6, 20, 21, 22, 36, 40, 61].contains(number)) {
            let error = Error::io("read", "run.ckpt".as_ref(), io::Error::from_raw_os_error(number));
            let is_of_the_file = [74, 75, 84, 117].contains(&number) && cfg!(target_os = "linux");
            assert!(!error.is_lasting_damage() || is_of_the_file || !cfg!(target_os = "linux"), "{number}");
        }
        let other = Error::io("read", "run.ckpt".as_ref(), io::Error::other("a thread has panicked"));
        assert!(!other.is_damage());
    }

    #[test]
    fn what_a_device_does_not_give_is_damage_that_may_pass() {
        assert!(of(Errno::IO).is_damage() && of(Errno::IO).is_unread());
        assert!(of(Errno::NODATA).is_damage() && of(Errno::NODATA).is_unread());
        assert!(of(Errno::NXIO).is_damage() && of(Errno::NXIO).is_unread());
    }

    #[test]
    fn what_is_wrong_with_the_file_itself_is_damage_for_good() {
        for errno in [Errno::NOENT, Errno::ISDIR, Errno::BADMSG] {
            assert!(of(errno).is_lasting_damage(), "{errno:?}");
        }
        #[cfg(target_os = "linux")]
        assert!(of(Errno::UCLEAN).is_lasting_damage());
    }
}
