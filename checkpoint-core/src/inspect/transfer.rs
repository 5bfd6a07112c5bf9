//! Copies checkpoints from a directory to another place, and back.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::copying::{Copied, MOST_LISTINGS};
use crate::error::Error;
use crate::store::{
    Claim, Claiming, CopyWay, Directory, Disk as _, Home, RANKS, RealDisk, absolute, name, temporary_name,
};

/// The number of bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Copies the generations and the pins of a checkpoint directory to another place, such as an
/// `ObjectHome` of the package `checkpointed-object-store`, also while a program saves in the
/// directory. The place must have no generations yet.
///
/// The newest is copied first: after a copy that was interrupted, a restart there loads the newest
/// of those that arrived, and the copy can only be repeated to another place. The history stays
/// behind.
///
/// # Errors
/// If there is no such directory, if the place has generations, or if it cannot be read or written.
/// [`Error::InvalidSetting`] for the directory of a pipeline or of a group, which have directories
/// inside.
pub fn copy_to(from: impl AsRef<Path>, to: &dyn Home) -> Result<Copied, Error> {
    let from = absolute(from)?;
    let metadata = from.metadata().map_err(|source| Error::io("copy", &from, source))?;
    if !metadata.is_dir() {
        return Err(Error::NotADirectory { path: from });
    }
    if [RANKS, name::STEPS].iter().any(|folder| from.join(folder).is_dir()) {
        return Err(Error::InvalidSetting {
            setting: format!("the directory {} to copy from", from.display()),
            why: "it is that of a pipeline or a group, which have directories inside, and only another directory can \
                  have these: copy it to a directory",
        });
    }
    transfer(&Directory::new(&from, Arc::new(RealDisk::default())), to)
}

/// Copies the generations and the pins of another place to a new directory, also while a program
/// saves in the place. The new directory gets its name only once it is complete.
///
/// # Errors
/// If `to` exists already, if the place cannot be read, or if files cannot be made in the directory.
/// After an error nothing is left of the copy.
pub fn copy_from(from: &dyn Home, to: impl AsRef<Path>) -> Result<Copied, Error> {
    let to = absolute(to)?;
    let failed = |source| Error::writing("create", &to, source);
    if to.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let parent = to.parent().unwrap_or(Path::new("/"));
    // Removes itself if the copy fails.
    let mut made = temporary_name().tempdir_in(parent).map_err(failed)?;
    let disk = Arc::new(RealDisk::default());
    let copied = transfer(from, &Directory::new(made.path(), Arc::<RealDisk>::clone(&disk)))?;
    disk.rename(made.path(), &to).map_err(failed)?;
    made.disable_cleanup(true);
    disk.sync_directory(parent).map_err(|source| Error::writing("sync", parent, source))?;
    Ok(Copied { path: to, ..copied })
}

/// Copies the generations and the pins of one place that is no directory to another, as
/// [`copy_to`] does.
///
/// # Errors
/// As [`copy_to`].
pub fn copy_between(from: &dyn Home, to: &dyn Home) -> Result<Copied, Error> {
    transfer(from, to)
}

fn transfer(from: &dyn Home, to: &dyn Home) -> Result<Copied, Error> {
    if !to.generations()?.is_empty() {
        return Err(Error::writing("create", to.path(), io::ErrorKind::AlreadyExists.into()));
    }
    let mut claim = to.claim(&Claiming { durable: true, ..Claiming::default() })?;
    let path = to.path().to_owned();
    let mut copied = Copied { path, generations: Vec::new(), files: 0, bytes: 0, way: None };
    let mut there = BTreeSet::new();
    for _ in 0..MOST_LISTINGS {
        let mut has_all = true;
        for generation in from.generations()?.into_iter().rev() {
            if there.contains(&generation) {
                continue;
            }
            match transfer_one(from, &mut *claim, generation)? {
                Some(bytes) => {
                    there.insert(generation);
                    copied.files += 1;
                    copied.bytes += bytes;
                    copied.way = Some(CopyWay::Copied);
                }
                None => has_all = false,
            }
        }
        if has_all {
            copied.generations = there.into_iter().collect();
            for generation in from.pinned(&copied.generations) {
                claim.home().pin(generation)?;
            }
            return Ok(copied);
        }
    }
    let source = io::Error::other("generations change faster than they can be copied");
    Err(Error::io("copy", from.path(), source))
}

/// Copies one generation. Returns its length, or `None` where it was removed after the listing.
fn transfer_one(from: &dyn Home, claim: &mut dyn Claim, generation: u64) -> Result<Option<u64>, Error> {
    let path = from.location(generation);
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound && !from.has(generation);
    let source = match from.open(generation) {
        Ok(source) => source,
        Err(error) if is_gone(&error) => return Ok(None),
        Err(source) => return Err(Error::io("open", &path, source)),
    };
    let length = source.length();
    let mut draft = claim.begin(generation)?;
    let mut piece = vec![0; PIECE];
    let mut place = 0;
    while place < length {
        let now = usize::try_from(length - place).unwrap_or(PIECE).min(PIECE);
        let piece = &mut piece[..now];
        match source.read_exact_at(piece, place) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => return Ok(None),
            Err(source) => return Err(Error::io("read", &path, source)),
        }
        let written = draft.write_all(piece);
        written.map_err(|source| Error::writing("write", draft.path(), source))?;
        place += now as u64;
    }
    let sealed = draft.seal()?;
    claim.guard().check()?;
    sealed.publish().outcome?;
    Ok(Some(length))
}
