//! Copies a checkpoint directory, also while a program saves there.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::rewinding::{check_is_whole, parts_elsewhere};
use crate::base::warnings::warn;
use crate::error::{Error, once_more};
#[cfg(feature = "group")]
use crate::group::ranks_elsewhere;
use crate::history::{self, History};
use crate::run::reader::Reader;
use crate::seal::Protection;
use crate::store::{
    CopyWay, Directory, Disk, Home, RANKS, RealDisk, Unfinished, absolute, check_file_size, copy_generation,
    is_temporary, name, of_rank, rank_of,
};

/// The most times that a directory is listed again because a generation disappeared while it was
/// copied.
pub(super) const MOST_LISTINGS: u32 = 100;

/// The result of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Copied {
    /// The new directory.
    pub path: PathBuf,
    /// Its generations, oldest first, without those of a pipeline's steps.
    pub generations: Vec<u64>,
    /// The number of copied files with generations, also those of the steps of a pipeline and the
    /// parts of a group.
    pub files: u64,
    /// Their length in bytes.
    pub bytes: u64,
    /// The way of copying; if files were copied in several ways, the one that shares the least.
    /// `None` if there was nothing to copy.
    pub way: Option<CopyWay>,
}

/// Copies a checkpoint directory, or that of a pipeline or a group, into a new one, also while a
/// program saves there. It copies the generations, their pins, the note of a
/// [rewind](crate::Builder::rewind) by the program, the records about a
/// [mirror](crate::Builder::mirror), and the history. What rewinds set aside stays behind. The new
/// directory gets its name only once it is complete. It always loads the state that was the newest
/// generation at some moment of the copying.
///
/// Files are cloned or linked where the file system supports it, so that a copy takes no space. A
/// later change to one of the directories never changes the other. Other programs that copy (`cp`,
/// `tar`, `rsync`) read a file slowly. Meanwhile the file may be overwritten or removed, so their
/// copy of a directory in use may be damaged, or lack all generations.
///
/// ```
/// use checkpointed::{CheckpointReader, Checkpointer, inspect};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let (path, backup) = (directory.path().join("run.ckpt"), directory.path().join("backup.ckpt"));
/// let mut running = Checkpointer::<u64>::open(&path)?;
/// running.save(&7)?;
/// let copied = inspect::copy(&path, &backup)?;
/// assert_eq!(copied.generations, [1]);
/// assert_eq!(CheckpointReader::<u64>::open(&backup)?.load()?, Some(7));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If there is no such directory, if `to` exists already, or if files cannot be made there;
/// [`Error::InvalidSetting`] where parts of a group are on other machines. After an error nothing
/// is left of the copy.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<Copied, Error> {
    copy_and(from.as_ref(), to.as_ref(), &|_| {})
}

/// Does that, and calls `meanwhile` with each path that was just copied.
fn copy_and(from: &Path, to: &Path, meanwhile: &dyn Fn(&Path)) -> Result<Copied, Error> {
    make(&absolute(from)?, &absolute(to)?, |from, to, copied| {
        check_members(&Directory::new(from, Arc::new(RealDisk::default())))?;
        fill(from, to, &mut Work { copied, meanwhile })
    })
}

/// A copy that is being made.
struct Work<'w> {
    copied: &'w mut Copied,
    /// Called with each path that was just copied: a test does there what a program may do.
    meanwhile: &'w dyn Fn(&Path),
}

/// Refuses to copy what a group saved without the places of all of its members. Encrypted tables
/// cannot be looked into: then a warning says so.
pub(super) fn check_members(from: &dyn Home) -> Result<(), Error> {
    for generation in from.generations()?.into_iter().rev() {
        match once_more(|| ranks_elsewhere(from, generation)) {
            Ok(elsewhere) => {
                let Some(rank) = elsewhere.first() else {
                    // Those before the newest were saved by the same program.
                    return Ok(());
                };
                return Err(Error::InvalidSetting {
                    setting: format!(
                        "a copy of {} without {}",
                        from.path().display(),
                        from.path().join(RANKS).join(of_rank(*rank)).display()
                    ),
                    why: "a copy has the parts of all processes, each in its directory: bring them to one place first; if \
                          one is lost, remove the newest generation, whose table names it, and copy the one before it",
                });
            }
            // It may be whole, and the copy has it.
            Err(error) if error.is_unread() => {
                warn(format!(
                    "if the parts of all processes of generation {generation} are in {} is not known: {error}",
                    from.path().display()
                ));
            }
            // It was removed after the listing, a restart passes over it, or the copy itself tells
            // why it cannot be read.
            Err(Error::Io { .. }) => {}
            Err(error) if error.is_damage() => {}
            // No group has saved here.
            Err(_) if from.members()?.is_empty() => return Ok(()),
            Err(error) => {
                warn(format!(
                    "{} is copied, and if the parts of all processes are here is not known: {error}",
                    from.path().display()
                ));
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Without the feature `group`, tables are not read.
#[cfg(not(feature = "group"))]
fn ranks_elsewhere(_: &dyn Home, _: u64) -> Result<Vec<usize>, Error> {
    Ok(Vec::new())
}

/// Branches from a generation: makes a directory that has it and nothing else, and from which a
/// program goes on by itself. The generation may be one that a [rewind](super::rewind()) set aside.
/// Of a checkpoint that a group saved, the parts of all processes go with it.
///
/// The program that goes on there needs no setting for it. One that has a directory of its own
/// already branches by [`Builder::branch_from`](crate::Builder::branch_from).
///
/// ```
/// use checkpointed::{Checkpointer, Protection, inspect};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let (path, variant) = (directory.path().join("run.ckpt"), directory.path().join("variant.ckpt"));
/// let mut running = Checkpointer::<u64>::open(&path)?;
/// running.save(&7)?;
/// running.save(&8)?;
/// inspect::branch(&path, &Protection::new(), 1, &variant)?;
/// let mut branch = Checkpointer::<u64>::open(&variant)?;
/// assert_eq!(branch.load()?, Some(7));
/// assert_eq!(branch.save(&70)?.generation, 2);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`copy`]; [`Error::NoSuchGeneration`], the error of that generation if it or a part of it is
/// damaged, and [`Error::InvalidSetting`] for a directory of a pipeline, that of one process of a
/// group, and where parts of a group are on other machines.
pub fn branch(
    from: impl AsRef<Path>,
    protection: &Protection,
    generation: u64,
    to: impl AsRef<Path>,
) -> Result<Copied, Error> {
    branch_and(from.as_ref(), protection, generation, to.as_ref(), &|_| {})
}

/// Does that, and calls `meanwhile` with each path that was just copied.
fn branch_and(
    from: &Path,
    protection: &Protection,
    generation: u64,
    to: &Path,
    meanwhile: &dyn Fn(&Path),
) -> Result<Copied, Error> {
    let (from, to) = (absolute(from)?, absolute(to)?);
    check_is_whole(&from)?;
    make(&from, &to, |from, made, copied| {
        let (file, container) = Reader::at::<()>(from, protection.clone())?.whole(generation)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
        if let [rank, ..] = parts_elsewhere(from, (&file, &container), &disk, protection)?[..] {
            return Err(Error::InvalidSetting {
                setting: format!(
                    "a branch from generation {generation} without {}",
                    from.join(RANKS).join(of_rank(rank)).display()
                ),
                why: "a branch has the parts of all processes, each in its directory: bring them to one place first",
            });
        }
        let generations = fill_with_one(from, made, generation, &mut Work { copied, meanwhile })?;
        // Some of its parts may have been gone: of a table that retires, they go after it, and of
        // one that is aside, before it.
        let source = Directory::new(from, Arc::clone(&disk));
        if !source.has(generation) {
            let (path, available) = (from.to_owned(), source.generations()?);
            match parts_elsewhere(made, (&file, &container), &disk, protection) {
                Ok(elsewhere) if elsewhere.is_empty() => {}
                _ => return Err(Error::NoSuchGeneration { path, generation, available }),
            }
        }
        Ok(generations)
    })
}

/// Makes a directory that gets its name once it is complete.
fn make(
    from: &Path,
    to: &Path,
    fill: impl FnOnce(&Path, &Path, &mut Copied) -> Result<Vec<u64>, Error>,
) -> Result<Copied, Error> {
    let (from, to) = (from.to_owned(), to.to_owned());
    if !fs::metadata(&from).map_err(|source| Error::io("copy", &from, source))?.is_dir() {
        return Err(Error::NotADirectory { path: from });
    }
    let failed = |source| Error::writing("create", &to, source);
    if to.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let parent = to.parent().unwrap_or(Path::new("/"));
    let mut made = Unfinished::beside(&to)?;
    let mut copied = Copied { path: to.clone(), generations: Vec::new(), files: 0, bytes: 0, way: None };
    copied.generations = fill(&from, made.path(), &mut copied)?;
    let disk = RealDisk::default();
    // They may let nothing be removed.
    made.complete().map_err(failed)?;
    take_permissions(&from, made.path(), &disk)?;
    made.publish(|made| disk.rename(made, &to)).map_err(failed)?;
    disk.sync_directory(parent).map_err(|source| Error::writing("sync", parent, source))?;
    Ok(copied)
}

/// Copies one generation of a directory, there or aside, and its parts if a group saved it.
fn fill_with_one(from: &Path, to: &Path, generation: u64, work: &mut Work<'_>) -> Result<Vec<u64>, Error> {
    let disk = RealDisk::default();
    let open = |path: &Path| Directory::new(path, Arc::new(RealDisk::default()));
    if !copy_one(&open(from), &open(to), generation, work)? {
        let (path, available) = (from.to_owned(), open(from).generations()?);
        return Err(Error::NoSuchGeneration { path, generation, available });
    }
    let note = to.join(name::of_branch(generation));
    disk.create_small(&note, b"").map_err(|source| Error::writing("create", &note, source))?;
    let (ranks, to_ranks) = (from.join(RANKS), to.join(RANKS));
    if ranks.is_dir() {
        create(&to_ranks)?;
        each(&ranks, |entry, name| {
            let part = open(entry);
            if rank_of(name).is_none() || !entry.is_dir() || !part.has(generation) {
                return Ok(());
            }
            let to = to_ranks.join(name);
            create(&to)?;
            copy_one(&part, &open(&to), generation, work)?;
            copy_small(&entry.join(name::ACCEPTED), &to.join(name::ACCEPTED))?;
            disk.sync_directory(&to).map_err(|source| Error::writing("sync", &to, source))
        })?;
        disk.sync_directory(&to_ranks).map_err(|source| Error::writing("sync", &to_ranks, source))?;
    }
    disk.sync_directory(to).map_err(|source| Error::writing("sync", to, source))?;
    Ok(vec![generation])
}

/// Copies one generation. Returns false where it is neither there nor aside.
fn copy_one(
    source: &Directory,
    target: &Directory,
    generation: u64,
    work: &mut Work<'_>,
) -> Result<bool, Error> {
    let aside = source.files_rewound()?.remove(&generation).map(|file| file.path);
    let to = target.location(generation);
    for from in std::iter::once(source.location(generation)).chain(aside) {
        match copy_generation(&from, &to) {
            Ok(way) => {
                work.copied.count(&to, way);
                (work.meanwhile)(&from);
                return Ok(true);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::writing("copy", &from, source)),
        }
    }
    Ok(false)
}

impl Copied {
    fn count(&mut self, file: &Path, way: CopyWay) {
        self.files += 1;
        self.bytes += fs::metadata(file).map_or(0, |metadata| metadata.len());
        self.way = self.way.max(Some(way));
    }
}

/// The folders of a pipeline, in the order of their copies. The requests are first: of a step that
/// is done meanwhile, the copy would have the old output, and no request. What a step has done so
/// far comes before the outputs: of a step that is done meanwhile, the copy would have neither. An
/// output needs no more of the other.
const FOLDERS: [&str; 5] = [name::REDO, name::FILES, name::PROGRESS, name::STEPS, name::PRODUCED];

/// Copies the content of a directory, and of a pipeline's directories inside it.
fn fill(from: &Path, to: &Path, work: &mut Work<'_>) -> Result<Vec<u64>, Error> {
    let disk = Arc::new(RealDisk::default());
    let (source, target) = (
        Directory::new(from, Arc::<RealDisk>::clone(&disk)),
        Directory::new(to, Arc::<RealDisk>::clone(&disk)),
    );
    // Before the generations: of a program that saves meanwhile, it would name some that the copy
    // does not have.
    copy_history(from, to)?;
    // Without the note of a rewind, the program would go back once more. Without that of a branch,
    // it would go on from the mirror of the original, and without the records about its own mirror,
    // it would take that for the one of another run.
    let is_note = |name: &OsStr| {
        name::rewind(name).is_some() || name::branch(name).is_some() || name::is_mirrored(name)
    };
    let mut generations = Vec::new();
    for _ in 0..MOST_LISTINGS {
        let before = rewinds(&source)?;
        // Those of an earlier turn. The rewind that came since may have removed them.
        each(to, |entry, name| match name::rewind(name) {
            Some(_) => fs::remove_file(entry).map_err(|source| Error::writing("remove", entry, source)),
            None => Ok(()),
        })?;
        generations = copy_generations(&source, &target, |_| true, work)?;
        if from.join(RANKS).is_dir() {
            generations = copy_parts(&source, &target, generations, work)?;
        }
        each(from, |entry, name| {
            if is_note(name) && !to.join(name).exists() {
                copy_small(entry, &to.join(name))?;
                (work.meanwhile)(entry);
            }
            Ok(())
        })?;
        // With the note of a rewind that came between the two, the program would never go back.
        if rewinds(&source)? == before {
            break;
        }
    }
    for generation in source.pinned(&generations) {
        target.pin(generation)?;
    }
    // A rewind came meanwhile. The present history tells of it.
    if History::last_saved(&target) > generations.last().copied() {
        for name in history::FILES {
            let _ = fs::remove_file(to.join(name));
        }
        copy_history(from, to)?;
    }
    for folder in FOLDERS {
        let (from, to) = (from.join(folder), to.join(folder));
        let is_pipelines = folder == name::STEPS || from.with_file_name(name::STEPS).is_dir();
        if !is_pipelines || !from.is_dir() {
            continue;
        }
        create(&to)?;
        match folder {
            name::FILES => drop(fill(&from, &to, work)?),
            name::REDO => each(&from, |entry, name| copy_small(entry, &to.join(name)))?,
            name::PRODUCED => each(&from, |entry, name| copy_produced(entry, &to.join(name), work))?,
            _ => each(&from, |entry, name| {
                if !entry.is_dir() {
                    return Ok(());
                }
                let to = to.join(name);
                create(&to)?;
                match fill(entry, &to, work) {
                    // The step is done, and its output comes with the others.
                    Err(error) if folder == name::PROGRESS && is_gone(&error) => {
                        fs::remove_dir_all(&to).map_err(|source| Error::writing("remove", &to, source))
                    }
                    filled => filled.map(drop),
                }
            })?,
        }
        disk.sync_directory(&to).map_err(|source| Error::writing("sync", &to, source))?;
        (work.meanwhile)(&from);
    }
    disk.sync_directory(to).map_err(|source| Error::writing("sync", to, source))?;
    Ok(generations)
}

/// The generations that rewinds set aside, and those that they went to, as far as notes tell.
fn rewinds(source: &Directory) -> Result<(BTreeSet<u64>, BTreeSet<u64>), Error> {
    let mut noted = BTreeSet::new();
    each(source.path(), |_, name| {
        noted.extend(name::rewind(name));
        Ok(())
    })?;
    Ok((source.files_rewound()?.into_keys().collect(), noted))
}

fn copy_history(from: &Path, to: &Path) -> Result<(), Error> {
    history::FILES.into_iter().try_for_each(|name| copy_small(&from.join(name), &to.join(name)))
}

/// True for the error of something that is not there any more.
fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Copies the kept copies of files that a step of a pipeline produced. They are never changed.
fn copy_produced(from: &Path, to: &Path, work: &mut Work<'_>) -> Result<(), Error> {
    if !from.is_dir() {
        return Ok(());
    }
    create(to)?;
    each(from, |entry, name| {
        if is_temporary(name) {
            return Ok(());
        }
        let to = to.join(name);
        match copy_generation(entry, &to) {
            Ok(way) => work.copied.count(&to, way),
            // No version has it any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::writing("copy", entry, source)),
        }
        Ok(())
    })?;
    let synced = RealDisk::default().sync_directory(to);
    synced.map_err(|source| Error::writing("sync", to, source))
}

/// Copies the wanted generations of a directory as they were at one moment, newest first.
fn copy_generations(
    source: &Directory,
    target: &Directory,
    is_wanted: impl Fn(u64) -> bool,
    work: &mut Work<'_>,
) -> Result<Vec<u64>, Error> {
    for _ in 0..MOST_LISTINGS {
        let mut generations = source.generations()?;
        generations.retain(|generation| is_wanted(*generation));
        let mut has_all = true;
        for generation in generations.iter().rev().filter(|generation| !target.has(**generation)) {
            let (from, to) = (source.location(*generation), target.location(*generation));
            match copy_generation(&from, &to) {
                Ok(way) => work.copied.count(&to, way),
                // The generation was retired after the directory was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !source.has(*generation) => {
                    has_all = false;
                }
                // Anything but a file has no place in the copy; a load skips it too.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    warn(format!("{} is not copied: {error}", from.display()));
                }
                Err(source) => return Err(Error::writing("copy", &from, source)),
            }
            (work.meanwhile)(&from);
        }
        if has_all {
            remove_rewound(source, target, &generations, work.copied)?;
            return target.generations();
        }
    }
    let source = io::Error::other("generations change faster than they can be copied");
    Err(Error::io("copy", target.path(), source))
}

/// Removes from a copy what a rewind set aside after it was copied, given the last listing: a
/// restart would go on from it. What retention removed meanwhile may stay, and so may all of a run
/// that was removed as a whole.
fn remove_rewound(
    source: &Directory,
    target: &Directory,
    listed: &[u64],
    copied: &mut Copied,
) -> Result<(), Error> {
    let mut extra = target.generations()?;
    extra.retain(|generation| !listed.contains(generation));
    if extra.is_empty() {
        return Ok(());
    }
    let aside = source.files_rewound()?;
    let newest = listed.last().copied();
    for generation in extra {
        if newest.is_some_and(|newest| generation > newest) || aside.contains_key(&generation) {
            remove_one(target, generation, copied)?;
        }
    }
    Ok(())
}

/// Removes the tables of these generations from the copy of a group, and then their parts.
fn remove_retired(target: &Directory, gone: &BTreeSet<u64>, copied: &mut Copied) -> Result<(), Error> {
    if gone.is_empty() {
        return Ok(());
    }
    let mut remove = |place: &Directory| {
        gone.iter().filter(|gone| place.has(**gone)).try_for_each(|gone| remove_one(place, *gone, copied))
    };
    remove(target)?;
    each(&target.path().join(RANKS), |entry, _| remove(&Directory::new(entry, Arc::new(RealDisk::default()))))
}

/// Removes a generation from a copy.
fn remove_one(target: &Directory, generation: u64, copied: &mut Copied) -> Result<(), Error> {
    let path = target.location(generation);
    let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    fs::remove_file(&path).map_err(|source| Error::writing("remove", &path, source))?;
    copied.files -= 1;
    copied.bytes -= bytes;
    Ok(())
}

/// Copies the parts of a group's checkpoints. Returns the generations whose tables are there: each
/// has all of its parts, as far as the source had them. An older one whose parts retention removed
/// meanwhile is left out.
fn copy_parts(
    source: &Directory,
    target: &Directory,
    mut generations: Vec<u64>,
    work: &mut Work<'_>,
) -> Result<Vec<u64>, Error> {
    let disk = Arc::new(RealDisk::default());
    let (from, to) = (source.path().join(RANKS), target.path().join(RANKS));
    // An earlier turn may have made it.
    if !to.is_dir() {
        create(&to)?;
    }
    for _ in 0..MOST_LISTINGS {
        // Those that some process has no part of, and whose tables are gone.
        let mut lacking = BTreeSet::new();
        each(&from, |entry, name| {
            if rank_of(name).is_none() || !entry.is_dir() {
                return Ok(());
            }
            let to = to.join(name);
            if !to.is_dir() {
                create(&to)?;
            }
            let of_rank = Directory::new(entry, Arc::<RealDisk>::clone(&disk));
            let copy_of_rank = Directory::new(&to, Arc::<RealDisk>::clone(&disk));
            // The table of another part may be aside.
            let is_wanted = |part| generations.contains(&part);
            let parts = copy_generations(&of_rank, &copy_of_rank, is_wanted, work)?;
            let accepted = to.join(name::ACCEPTED);
            // An earlier turn may have copied it.
            if !accepted.exists() {
                copy_small(&entry.join(name::ACCEPTED), &accepted)?;
            }
            // A process of another group has no part. Otherwise the table goes before its parts.
            let lacks = |table: &&u64| !parts.contains(*table) && !source.has(**table);
            lacking.extend(generations.iter().filter(lacks));
            disk.sync_directory(&to).map_err(|source| Error::writing("sync", &to, source))
        })?;
        if generations.last().is_none_or(|newest| !lacking.contains(newest)) {
            remove_retired(target, &lacking, work.copied)?;
            disk.sync_directory(&to).map_err(|source| Error::writing("sync", &to, source))?;
            generations.retain(|generation| !lacking.contains(generation));
            return Ok(generations);
        }
        // The newest table is of a generation whose parts are gone: there is a newer one.
        generations = copy_generations(source, target, |_| true, work)?;
    }
    let failed = io::Error::other("generations come and go faster than they can be copied");
    Err(Error::io("copy", source.path(), failed))
}

fn each(directory: &Path, mut work: impl FnMut(&Path, &OsStr) -> Result<(), Error>) -> Result<(), Error> {
    let entries = fs::read_dir(directory).map_err(|source| Error::io("list", directory, source))?;
    entries.into_iter().try_for_each(|entry| {
        let entry = entry.map_err(|source| Error::io("list", directory, source))?;
        work(&entry.path(), &entry.file_name())
    })
}

fn create(directory: &Path) -> Result<(), Error> {
    fs::create_dir(directory).map_err(|source| Error::writing("create", directory, source))
}

/// Gives a directory and those in it the permissions of another one. This comes last: nothing can
/// be made in the copy of a directory that may not be written.
fn take_permissions(from: &Path, to: &Path, disk: &RealDisk) -> Result<(), Error> {
    each(to, |entry, name| match entry.is_dir() {
        true => take_permissions(&from.join(name), entry, disk),
        false => Ok(()),
    })?;
    let permissions = match fs::metadata(from) {
        // A program removed it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(|source| Error::io("copy", from, source))?.permissions(),
    };
    fs::set_permissions(to, permissions).map_err(|source| Error::writing("create", to, source))?;
    match disk.sync_directory(to) {
        // Another user owns the original, and its permissions do not let this one read.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced.map_err(|source| Error::writing("sync", to, source)),
    }
}

/// Copies a file that no load depends on. A missing file, or something else of that name, is no
/// error.
fn copy_small(from: &Path, to: &Path) -> Result<(), Error> {
    if !from.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(());
    }
    match copy_up_to_now(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| Error::writing("copy", from, source)),
    }
}

/// Copies the bytes that the file has now. It may grow, but not beyond the longest file that this
/// process may write.
fn copy_up_to_now(from: &Path, to: &Path) -> io::Result<()> {
    let file = fs::File::open(from)?;
    let metadata = file.metadata()?;
    check_file_size(metadata.len())?;
    let mut copy = fs::File::create_new(to)?;
    copy.set_permissions(metadata.permissions())?;
    io::copy(&mut io::Read::take(file, metadata.len()), &mut copy).map(drop)
}

#[cfg(all(test, unix, feature = "pipeline"))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;
