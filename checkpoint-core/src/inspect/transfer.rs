//! Copies checkpoints from a directory to another place, and back.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;

use super::copying::{Copied, MOST_LISTINGS, check_members};
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::{
    Claim, Claiming, CopyWay, Directory, Disk as _, Home, RealDisk, Unfinished, absolute, name,
};

/// The number of bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// Copies the generations and the pins of a checkpoint directory to another place, such as an
/// `ObjectHome` of the package `checkpointed-object-store`, also while a program saves in the
/// directory. The place must have no generations yet.
///
/// A store has no locks: a program that has opened the place, and has not saved there yet, would
/// get [`Error::TakenOver`] at its first save. So a place that a program has opened once is
/// refused, unless `take_over` is true.
///
/// The newest is copied first: after a copy that was interrupted, a restart there loads the newest
/// of those that arrived, and the copy can only be repeated to another place. The history stays
/// behind. Of a checkpoint that a group saved, the parts are copied too, before its table.
///
/// # Errors
/// If there is no such directory, if the place has generations, or if it cannot be read or written.
/// [`Error::InvalidSetting`] for the directory of a pipeline, which has directories inside, for a
/// place that a program has opened, and where parts of a group are on other machines.
pub fn copy_to(from: impl AsRef<Path>, to: &dyn Home, take_over: bool) -> Result<Copied, Error> {
    let from = absolute(from)?;
    let metadata = from.metadata().map_err(|source| Error::io("copy", &from, source))?;
    if !metadata.is_dir() {
        return Err(Error::NotADirectory { path: from });
    }
    if from.join(name::STEPS).is_dir() {
        return Err(Error::InvalidSetting {
            setting: format!("the directory {} to copy from", from.display()),
            why: "it is that of a pipeline, which has directories inside, and only another directory can have these: copy \
                  it to a directory",
        });
    }
    transfer(&Directory::new(&from, Arc::new(RealDisk::default())), to, take_over)
}

/// Copies the generations and the pins of another place to a new directory, also while a program
/// saves in the place. The new directory gets its name only once it is complete.
///
/// # Errors
/// If `to` exists already, if the place cannot be read, or if files cannot be made in the
/// directory. After an error nothing is left of the copy.
pub fn copy_from(from: &dyn Home, to: impl AsRef<Path>) -> Result<Copied, Error> {
    let to = absolute(to)?;
    let failed = |source| Error::writing("create", &to, source);
    if to.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let parent = to.parent().unwrap_or(Path::new("/"));
    let around = Unfinished::beside(&to)?;
    // The claim locks the directory itself, and so does the maker of the one around it.
    let made = around.path().join("copy");
    fs::create_dir(&made).map_err(failed)?;
    let disk = Arc::new(RealDisk::default());
    let copied = transfer(from, &Directory::new(&made, Arc::<RealDisk>::clone(&disk)), false)?;
    disk.rename(&made, &to).map_err(failed)?;
    disk.sync_directory(parent).map_err(|source| Error::writing("sync", parent, source))?;
    Ok(Copied { path: to, ..copied })
}

/// Copies the generations and the pins of one place that is no directory to another, as
/// [`copy_to`] does.
///
/// # Errors
/// As [`copy_to`].
pub fn copy_between(from: &dyn Home, to: &dyn Home, take_over: bool) -> Result<Copied, Error> {
    transfer(from, to, take_over)
}

fn transfer(from: &dyn Home, to: &dyn Home, take_over: bool) -> Result<Copied, Error> {
    if !to.generations()?.is_empty() {
        return Err(Error::writing("create", to.path(), io::ErrorKind::AlreadyExists.into()));
    }
    let path = to.path().to_owned();
    let mut copied = Copied { path, generations: Vec::new(), files: 0, bytes: 0, way: None };
    check_members(from)?;
    // A claim may take the right to save from a program, so it comes only where there is a reason.
    if from.generations()?.is_empty() {
        return Ok(copied);
    }
    if !take_over && to.was_claimed()? {
        return Err(Error::InvalidSetting {
            setting: format!("the place {} to copy to", to.path().display()),
            why: "a program has opened it, and may be about to save there: to copy nevertheless takes the place over, \
                  and that program stops with an error; confirm that with --take-over, or choose another place",
        });
    }
    let claiming = Claiming { durable: true, is_tool: true, ..Claiming::default() };
    let mut claim = to.claim(&claiming)?;
    let mut members = Vec::new();
    for rank in from.members()? {
        let place = to.member(rank)?;
        let claim = claim_member(&mut *claim, &*place, &claiming)?;
        members.push(Member { from: from.member(rank)?, to: place, claim });
    }
    let mut there = BTreeSet::new();
    let mut no_files = BTreeSet::new();
    for _ in 0..MOST_LISTINGS {
        let mut has_all = true;
        for generation in from.generations()?.into_iter().rev() {
            if there.contains(&generation) || no_files.contains(&generation) {
                continue;
            }
            // The parts come first: the table makes them a checkpoint. At the origin it goes first.
            let (mut files, mut bytes) = (0, 0);
            for Member { from, claim, .. } in &mut members {
                if let Transferred::Whole(part) = transfer_one(&**from, &mut **claim, generation)? {
                    (files, bytes) = (files + 1, bytes + part);
                }
            }
            match transfer_one(from, &mut *claim, generation)? {
                Transferred::Whole(table) => {
                    there.insert(generation);
                    copied.files += 1 + files;
                    copied.bytes += table + bytes;
                    copied.way = Some(CopyWay::Copied);
                    continue;
                }
                Transferred::NoFile => drop(no_files.insert(generation)),
                Transferred::Gone => has_all = false,
            }
            for Member { to, claim, .. } in &mut members {
                match claim.remove_at_once(generation) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(Error::writing("remove", &to.location(generation), error));
                    }
                    _ => {}
                }
            }
        }
        if has_all {
            copied.generations = there.into_iter().collect();
            for Member { from, to, .. } in &members {
                if from.is_accepted().map_err(|source| Error::io("read", from.path(), source))? {
                    let noted = to.note_accepted(true, true);
                    noted.map_err(|source| Error::writing("write", to.path(), source))?;
                }
            }
            for generation in from.pinned(&copied.generations) {
                claim.home().pin(generation)?;
            }
            return Ok(copied);
        }
    }
    let source = io::Error::other("generations change faster than they can be copied");
    Err(Error::io("copy", from.path(), source))
}

/// The places of one member of a group.
struct Member {
    from: Arc<dyn Home>,
    to: Arc<dyn Home>,
    claim: Box<dyn Claim>,
}

/// Claims the place of a member of a group, for the holder of the root.
pub(super) fn claim_member(
    root: &mut dyn Claim,
    place: &dyn Home,
    claiming: &Claiming,
) -> Result<Box<dyn Claim>, Error> {
    let last_job = place.last_job()?;
    if root.job().is_some_and(|job| job <= last_job) {
        root.raise_job(last_job.saturating_add(1))?;
    }
    place.claim(&Claiming { job: root.job(), ..claiming.clone() })
}

/// The outcome for one generation.
enum Transferred {
    /// It was copied, and has this length.
    Whole(u64),
    /// It is no file, and was left out.
    NoFile,
    /// It was removed after the listing.
    Gone,
}

/// Copies one generation.
fn transfer_one(from: &dyn Home, claim: &mut dyn Claim, generation: u64) -> Result<Transferred, Error> {
    let path = from.location(generation);
    let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound && !from.has(generation);
    let source = match from.open(generation) {
        Ok(source) => source,
        Err(error) if is_gone(&error) => return Ok(Transferred::Gone),
        // Anything but a file has no place in the copy; a load skips it too.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            warn(format!("{} is not copied: {error}", path.display()));
            return Ok(Transferred::NoFile);
        }
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
            Err(error) if is_gone(&error) => return Ok(Transferred::Gone),
            Err(source) => return Err(Error::io("read", &path, source)),
        }
        let written = draft.write_all(piece);
        written.map_err(|source| Error::writing("write", draft.path(), source))?;
        place += now as u64;
    }
    let sealed = draft.seal()?;
    claim.guard().check()?;
    sealed.publish().outcome?;
    Ok(Transferred::Whole(length))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::{CheckpointReader, Checkpointer};

    #[test]
    fn a_copy_from_another_place_is_a_directory_like_others() {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy.ckpt"));
        Checkpointer::<u64>::open(&path).unwrap().save(&7).unwrap();
        let copied = copy_from(&Directory::new(&path, Arc::new(RealDisk::default())), &to).unwrap();
        assert_eq!((copied.path.as_path(), &copied.generations[..]), (to.as_path(), &[1][..]));
        assert_eq!(CheckpointReader::<u64>::open(&to).unwrap().load().unwrap(), Some(7));
        let permissions = |path: &Path| fs::metadata(path).unwrap().permissions();
        assert_eq!(permissions(&to), permissions(&path));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2, "nothing else is left");
        let empty = Directory::new(&parent.path().join("none"), Arc::new(RealDisk::default()));
        copy_from(&empty, parent.path().join("empty.ckpt")).unwrap();
        assert!(parent.path().join("empty.ckpt").is_dir());
    }
}
