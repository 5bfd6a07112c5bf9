//! The bytes of a file that count, and the looks at files by their paths.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::end::{COVERED, End};
use crate::error::{Error, OutputFault};
use crate::store::{Disk, Growing, Opening};

/// The most numbers that are tried for the name of a file that is put aside.
pub(super) const MOST_NAMES: u32 = 10_000;

/// The bytes of a file that a state counts.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) length: u64,
    /// The hash of their end.
    pub(super) end: String,
}

/// Checks that a file begins with the bytes that a state counts, as far as their length and their
/// end show. Returns the end.
pub(super) fn verify(file: &dyn Growing, path: &Path, counts: &Counts) -> Result<End, Error> {
    let fault = |fault| Error::Output { path: path.to_owned(), counted: counts.length, fault };
    let length = file.length().map_err(|source| Error::io("look at", path, source))?;
    if length < counts.length {
        return Err(fault(OutputFault::Shorter { length }));
    }
    let covered = usize::try_from(counts.length).unwrap_or(COVERED).min(COVERED);
    let mut last = vec![0; covered];
    let read = file.read_exact_at(&mut last, counts.length - covered as u64);
    read.map_err(|source| Error::io("read", path, source))?;
    let end = End::of(last);
    if end.hash() == counts.end { Ok(end) } else { Err(fault(OutputFault::Other)) }
}

/// Opens a file to look at it, and checks that it begins with the bytes that a state counts.
pub(super) fn look(disk: &dyn Disk, path: &Path, counts: &Counts) -> Result<Box<dyn Growing>, Error> {
    let file = disk.open_growing(path, Opening::Look).map_err(|source| not_opened(path, counts, source))?;
    verify(&*file, path, counts)?;
    Ok(file)
}

/// True if two paths lead to one file.
pub(super) fn is_one_file(disk: &dyn Disk, one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| disk.open_growing(path, Opening::Look).ok()?.identity().ok()?;
    one == other || identity(one).is_some_and(|one| identity(other) == Some(one))
}

pub(super) fn not_opened(path: &Path, counts: &Counts, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        return Error::Output { path: path.to_owned(), counted: counts.length, fault: OutputFault::Gone };
    }
    Error::io("open", path, source)
}

pub(super) fn open_to_write(disk: &dyn Disk, path: &Path, real: &Path) -> Result<Box<dyn Growing>, Error> {
    disk.open_growing(real, Opening::Write).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => {
            Error::Output { path: path.to_owned(), counted: 0, fault: OutputFault::InUse }
        }
        _ => Error::writing("open", path, source),
    })
}

/// Gives a file another name beside its own.
pub(super) fn put_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, Error> {
    for number in 1..MOST_NAMES {
        let aside = with_end(path, &format!(".{number}"));
        if disk.exists(&aside) {
            continue;
        }
        match disk.rename(path, &aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::writing("rename", path, source)),
        }
    }
    Err(Error::NameTaken { operation: "rename", path: path.to_owned() })
}

/// A path with more at the end of its name.
pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The most symbolic links in a row, as for the system.
const MOST_LINKS: u32 = 40;

/// The path behind a symbolic link, also where there is no file yet: a file that is put aside must
/// stay on the disk that the user chose.
pub(super) fn behind_links(path: &Path) -> PathBuf {
    let mut real = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = std::fs::read_link(&real) else { break };
        real = real.parent().map_or_else(|| target.clone(), |parent| parent.join(&target));
    }
    real
}

/// The same path without `..`, if its directory exists: beside the checkpoint directory, such a path
/// would lead elsewhere once the two are moved.
pub(super) fn without_detours(path: &Path) -> PathBuf {
    let has_detour = path.components().any(|part| part == Component::ParentDir);
    let parent = path.parent().filter(|_| has_detour).and_then(|parent| std::fs::canonicalize(parent).ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// The number of a file on its device; 0 where the system has none.
pub(super) fn inode(file: &dyn Growing) -> u64 {
    // The number of the device may be another one after each start of the machine.
    file.identity().ok().flatten().map_or(0, |identity| identity.1)
}
