//! The bytes of a file that count, and the looks at files by their paths.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::end::{COVERED, End};
use crate::base::warnings::warn;
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
    /// The number of the file on its device; 0 where it is not known.
    pub(super) inode: u64,
}

impl Counts {
    /// True if the file is known to be the same by its number.
    pub(super) fn is_known(&self, file: &dyn Growing) -> bool {
        self.inode != 0 && self.inode == inode(file)
    }
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

/// Looks for the file that begins with the bytes that a state counts: by its path, or by the name
/// that it got when a new file began there. Returns it.
pub(super) fn find(disk: &dyn Disk, path: &Path, counts: &Counts) -> Result<Box<dyn Growing>, Error> {
    look(disk, path, counts).or_else(|error| {
        let aside = aside(disk, &behind_links(path), counts, &error);
        aside.map(|(_, file)| file).ok_or(error)
    })
}

/// The file that a state counts on, where it was [put aside](put_aside): `error` says that its path
/// does not lead to it.
pub(super) fn aside(
    disk: &dyn Disk,
    real: &Path,
    counts: &Counts,
    error: &Error,
) -> Option<(PathBuf, Box<dyn Growing>)> {
    let is_another = matches!(
        error,
        Error::Output { fault: OutputFault::Gone | OutputFault::Shorter { .. } | OutputFault::Other, .. }
    );
    // No byte is a proof of nothing.
    if !is_another || counts.length == 0 {
        return None;
    }
    let (directory, name) = (real.parent()?, real.file_name()?.to_str()?);
    let number = |found: &std::ffi::OsStr| {
        let digits = found.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
        digits.parse::<u32>().ok().filter(|number| number.to_string() == digits)
    };
    let listed = disk.list(directory).ok()?;
    let mut numbers: Vec<u32> = listed.iter().filter_map(|found| number(found)).collect();
    numbers.sort_unstable();
    let mut like = None;
    for number in numbers {
        let aside = with_end(real, &format!(".{number}"));
        let Ok(file) = look(disk, &aside, counts) else { continue };
        // More than one may begin with the same few bytes.
        if counts.is_known(&*file) {
            return Some((aside, file));
        }
        like.get_or_insert((aside, file));
    }
    like
}

/// Gives a file that was put aside its name back. Another file that has the name is put aside.
pub(super) fn take_back(disk: &dyn Disk, real: &Path, aside: &Path) -> Result<(), Error> {
    let other = if disk.exists(real) { Some(put_aside(disk, real)?) } else { None };
    disk.rename(aside, real).map_err(|source| Error::writing("rename", aside, source))?;
    let other = other.map(|other| format!("; the file that was there is now {}", other.display()));
    warn(format!(
        "{} is what the checkpoint counts on, and is {} again{}",
        aside.display(),
        real.display(),
        other.unwrap_or_default()
    ));
    Ok(())
}

/// True if two paths lead to one file.
pub(super) fn is_one_file(disk: &dyn Disk, one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| disk.open_growing(path, Opening::Look).ok()?.identity().ok()?;
    one == other || identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// True if two paths lead to one name of one file. Of two names by hard links, each can become a
/// file of its own.
pub(super) fn is_one_name(disk: &dyn Disk, one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let has_other_names = || {
        let file = disk.open_growing(one, Opening::Look);
        file.and_then(|file| file.has_other_names()).unwrap_or(false)
    };
    one == other
        || real(one).is_some_and(|one| real(other) == Some(one))
        || (is_one_file(disk, one, other) && !has_other_names())
}

pub(super) fn not_opened(path: &Path, counts: &Counts, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        return Error::Output { path: path.to_owned(), counted: counts.length, fault: OutputFault::Gone };
    }
    Error::io("open", path, source)
}

/// The error of a file that is open elsewhere.
pub(super) fn in_use(path: &Path, counted: u64) -> Error {
    Error::Output { path: path.to_owned(), counted, fault: OutputFault::InUse }
}

pub(super) fn open_to_write(disk: &dyn Disk, path: &Path, real: &Path) -> Result<Box<dyn Growing>, Error> {
    disk.open_growing(real, Opening::Write).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => in_use(path, 0),
        _ => Error::writing("open", path, source),
    })
}

/// Gives a file another name beside its own, for good: a checkpoint may count on it, and a new file
/// may get its name.
pub(super) fn put_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, Error> {
    for number in 1..MOST_NAMES {
        let aside = with_end(path, &format!(".{number}"));
        if disk.exists(&aside) {
            continue;
        }
        match disk.rename(path, &aside) {
            Ok(()) => return sync_names(disk, path).map(|()| aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::writing("rename", path, source)),
        }
    }
    Err(Error::NameTaken { operation: "rename", path: path.to_owned() })
}

/// Makes the names in the directory of a file durable, if this user may.
pub(super) fn sync_names(disk: &dyn Disk, path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(path);
    match disk.sync_directory(directory) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        result => result.map_err(|source| Error::writing("sync", directory, source)),
    }
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

/// The path behind all symbolic links, also where there is no file yet.
pub(super) fn without_links(path: &Path) -> PathBuf {
    let real = behind_links(path);
    let parent = real.parent().and_then(|parent| std::fs::canonicalize(parent).ok());
    match (parent, real.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => real,
    }
}

/// The same path without `..`, if its directory exists: beside the checkpoint directory, such a
/// path would lead elsewhere once the two are moved.
pub(super) fn without_detours(path: &Path) -> PathBuf {
    let has_detour = path.components().any(|part| part == Component::ParentDir);
    let parent = path.parent().filter(|_| has_detour).and_then(|parent| std::fs::canonicalize(parent).ok());
    match (parent, path.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => path.to_owned(),
    }
}

/// Refuses a name for a new file that no checkpoint could have, or that is too long for the names
/// of the files beside it. `real` is the path behind links.
pub(super) fn check_name(path: &Path, real: &Path) -> Result<(), Error> {
    let refused = |source| Error::io("create", path, source);
    if path.file_name().is_some_and(|name| name.to_str().is_none()) {
        let why = "its name is not UTF-8, so no checkpoint can have it: give it another name";
        return Err(refused(io::Error::new(io::ErrorKind::InvalidInput, why)));
    }
    let longest = format!(".cut-at-{}-{MOST_NAMES}", u64::MAX);
    match std::fs::symlink_metadata(with_end(real, &longest)) {
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => {
            let why = format!("{error}: the files beside it get up to {} bytes more", longest.len());
            Err(refused(io::Error::new(error.kind(), why)))
        }
        _ => Ok(()),
    }
}

/// The number of a file on its device; 0 where the system has none.
pub(super) fn inode(file: &dyn Growing) -> u64 {
    // The number of the device may be another one after each start of the machine.
    file.identity().ok().flatten().map_or(0, |identity| identity.1)
}
