//! Copies a file to another directory, while a program may save beside it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::Path;

use serde::Serialize;

use super::output::check_limit;
use super::real::{is_same_file, must_be_regular, no_follow_no_wait};

/// The way in which a file was copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum CopyWay {
    /// A clone: it shares the blocks of the disk until one of the two changes (reflink).
    Cloned,
    /// Another name of the same file (hard link). A file with two names is never overwritten.
    Linked,
    /// A copy byte by byte.
    Copied,
}

/// Copies a generation to a free path, in the cheapest way. Returns [`io::ErrorKind::NotFound`]
/// where the file is no longer the generation of that name: then nothing is left at the path.
pub(crate) fn copy_generation(from: &Path, to: &Path) -> io::Result<CopyWay> {
    copy_and(from, to, || {})
}

/// Does that, and calls `meanwhile` once the file is open.
fn copy_and(from: &Path, to: &Path, meanwhile: impl FnOnce()) -> io::Result<CopyWay> {
    let mut options = OpenOptions::new();
    options.read(true);
    no_follow_no_wait(&mut options);
    let source = options.open(from)?;
    must_be_regular(&source)?;
    // This lock keeps it from being retired and overwritten.
    let _ = source.try_lock_shared();
    is_still(&source, from)?;
    meanwhile();
    let way = match clone(&source, to) {
        Ok(()) => CopyWay::Cloned,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => match fs::hard_link(from, to) {
            Ok(()) => CopyWay::Linked,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            Err(_) => copy(&source, to).map(|()| CopyWay::Copied)?,
        },
    };
    // Without a lock, it may have been overwritten meanwhile; and the link may be of another file.
    let is_right = is_still(&source, from).and_then(|()| match way {
        CopyWay::Linked => is_still(&source, to),
        _ => Ok(()),
    });
    // Clones and copies are synced already. An earlier run may have left the file of a link
    // unsynced.
    let is_right = is_right.and_then(|()| match way {
        CopyWay::Linked if cfg!(unix) => source.sync_all(),
        _ => Ok(()),
    });
    if is_right.is_err() {
        fs::remove_file(to)?;
    }
    is_right.map(|()| way)
}

/// Checks that a name still leads to the open file.
fn is_still(file: &File, path: &Path) -> io::Result<()> {
    if is_same_file(&file.metadata()?, &fs::symlink_metadata(path)?) {
        return Ok(());
    }
    Err(io::ErrorKind::NotFound.into())
}

fn clone(source: &File, to: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let target = create(source, to)?;
        let cloned = rustix::fs::ioctl_ficlone(&target, source).map_err(io::Error::from);
        let cloned = cloned.and_then(|()| target.sync_all());
        if cloned.is_err() {
            fs::remove_file(to)?;
        }
        cloned
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (source, to);
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn copy(mut source: &File, to: &Path) -> io::Result<()> {
    check_limit(source.metadata()?.len())?;
    let mut target = create(source, to)?;
    let copied = io::copy(&mut source, &mut target).and_then(|_| target.sync_all());
    if copied.is_err() {
        fs::remove_file(to)?;
    }
    copied
}

/// Creates a file with the permissions of another.
fn create(source: &File, to: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    no_follow_no_wait(&mut options);
    let target = options.open(to)?;
    target.set_permissions(source.metadata()?.permissions())?;
    Ok(target)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::Checkpointer;

    #[test]
    fn a_file_stays_as_it_is_while_it_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let (path, copy) = (directory.path().join("run.ckpt"), directory.path().join("copy"));
        let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(1).open().unwrap();
        checkpoints.save(&1).unwrap();
        let file = path.join("00000000000000000001.ckpt");
        let before = fs::read(&file).unwrap();
        let save_more = || {
            for state in 2..=5 {
                checkpoints.save(&state).unwrap();
            }
        };
        copy_and(&file, &copy, save_more).unwrap();
        assert!(fs::read(&copy).unwrap() == before);
        checkpoints.save(&6).unwrap();
        assert!(!file.exists(), "it was to go long since");
        assert!(fs::read(&copy).unwrap() == before);
    }

    #[test]
    fn a_file_that_is_another_one_by_then_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (file, copy) = (directory.path().join("1"), directory.path().join("copy"));
        fs::write(&file, "one").unwrap();
        let replace = || {
            fs::remove_file(&file).unwrap();
            fs::write(&file, "another").unwrap();
        };
        assert_eq!(copy_and(&file, &copy, replace).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(!copy.exists());
    }
}
