//! Goes back to an earlier generation, and removes what was set aside.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::overview::{SetAside, part_directories, rewound};
use crate::base::text;
use crate::base::warnings::warn;
use crate::container::Container;
use crate::error::Error;
use crate::history::Journal;
use crate::outcome::Rewound;
use crate::run::going_back::refuse_mirrored;
use crate::run::reader::Reader;
use crate::seal::Protection;
use crate::store::{Claiming, Directory, Disk, Home as _, RANKS, RealDisk, absolute, name, rank_of};

/// Goes back to a generation, as [`Checkpointer::rewind`](crate::Checkpointer::rewind) does: those
/// after it are set aside, and the next start of the program goes on from it. A generation that is
/// aside is brought back. In the directory of a group only the tables move. A part stays in its
/// place as long as its table is there or aside, so it goes back and forth with it. Parts on other
/// machines are not verified, with a warning.
///
/// A file that grows with the run ([`Appended`](crate::Appended)) may be shorter by now than the
/// generation counts. Then the next load is an error that names it, and
/// [`Checkpointer::rewind`](crate::Checkpointer::rewind) refuses to go there.
///
/// ```
/// use checkpointed::{Checkpointer, Protection, inspect};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
/// checkpoints.save(&1)?;
/// checkpoints.save(&2)?;
/// drop(checkpoints);
/// assert_eq!(inspect::rewind(&path, &Protection::new(), 1)?.set_aside, [2]);
/// assert_eq!(Checkpointer::<u64>::open(&path)?.load()?, Some(1));
/// assert_eq!(inspect::rewind(&path, &Protection::new(), 2)?.brought_back, [2]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::InUse`], which names the program that has the directory open;
/// [`Error::NoSuchGeneration`]; the error of that generation if it is damaged, of which all bytes
/// are verified; that of a part that is damaged or missing; [`Error::InvalidSetting`] for a
/// directory of a pipeline, one with a mirror, and that of one process of a group. Then nothing is
/// changed.
pub fn rewind(path: impl AsRef<Path>, protection: &Protection, generation: u64) -> Result<Rewound, Error> {
    let path = &absolute(path)?;
    check_is_whole(path)?;
    refuse_mirrored(path, false)?;
    // The claim would create a missing directory.
    std::fs::read_dir(path).map_err(|source| Error::io("list", path, source))?;
    rewind_on(&disk(), path, &protection.of(path), generation)
}

/// The same on any disk.
pub(crate) fn rewind_on(
    disk: &Arc<dyn Disk>,
    path: &Path,
    protection: &Protection,
    generation: u64,
) -> Result<Rewound, Error> {
    let mut claim = Directory::new(path, Arc::clone(disk)).claim(&claiming(protection))?;
    let reader = Reader::of::<()>(Arc::clone(claim.home()), protection.clone())?;
    let (file, container) = reader.whole(generation)?;
    let elsewhere = parts_elsewhere(path, (&file, &container), disk, protection)?;
    if !elsewhere.is_empty() {
        let ranks: Vec<String> = elsewhere.iter().map(ToString::to_string).collect();
        warn(format!(
            "the parts of these ranks are not in {}, and were not verified: {}; a load needs them on the machines of \
             these ranks",
            path.join(RANKS).display(),
            text::listed(&ranks.iter().map(String::as_str).collect::<Vec<_>>())
        ));
    }
    let rewound = claim.rewind(generation, false)?;
    Journal::rewound_between_runs(claim.home(), generation);
    Ok(rewound)
}

/// Verifies the parts of a group's checkpoint. Returns the ranks whose directories are not here;
/// none of a checkpoint that a single process saved.
pub(super) fn parts_elsewhere(
    path: &Path,
    (file, container): (&Path, &Container),
    disk: &Arc<dyn Disk>,
    protection: &Protection,
) -> Result<Vec<usize>, Error> {
    if !container.manifest().is_of_group() {
        return Ok(Vec::new());
    }
    #[cfg(feature = "group")]
    return crate::group::check_parts(&Directory::new(path, Arc::clone(disk)), (file, container), protection);
    #[cfg(not(feature = "group"))]
    {
        let _ = (path, disk, protection);
        Err(Error::InvalidSetting {
            setting: format!("going to {}", file.display()),
            why: "a group saved it, and this program was built without the feature `group`",
        })
    }
}

/// Removes the generations that rewinds set aside, or only lists them in a trial. Those after the
/// newest generation stay: their numbers must not be used again. Pinned ones stay too.
///
/// # Errors
/// [`Error::InUse`], unless it is a trial; [`Error::InvalidSetting`] for the directory of one
/// process of a group; an error if one cannot be removed. Then a second call goes on.
pub fn remove_rewound(path: impl AsRef<Path>, trial: bool) -> Result<Vec<SetAside>, Error> {
    let path = &absolute(path)?;
    check_is_no_part("a removal", path)?;
    std::fs::read_dir(path).map_err(|source| Error::io("list", path, source))?;
    let (disk, claiming) = (disk(), claiming(&Protection::new()));
    let directory = Directory::new(path, Arc::clone(&disk));
    let _claim = if trial { None } else { Some(directory.claim(&claiming)?) };
    let newest = directory.generations()?.last().copied().unwrap_or(0);
    let mut removed = rewound(&directory)?;
    removed.retain(|aside| aside.generation < newest && !aside.pinned);
    if trial {
        return Ok(removed);
    }
    // The parts of a group come first: without its table, nothing tells that a part may go.
    let gone: BTreeSet<u64> = removed.iter().map(|aside| aside.generation).collect();
    for part in part_directories(path)? {
        let there = part.generations()?;
        let going: Vec<u64> = there.into_iter().filter(|generation| gone.contains(generation)).collect();
        if going.is_empty() {
            continue;
        }
        let mut claim = part.claim(&claiming)?;
        for generation in going {
            let path = part.location(generation);
            claim.remove_at_once(generation).map_err(|source| Error::writing("remove", &path, source))?;
        }
        claim.sync()?;
    }
    for SetAside { generation, path, .. } in &removed {
        directory.leave_children(*generation, true)?;
        // It may have a new name, where the one before it went just now.
        let file =
            directory.files_rewound()?.remove(generation).map_or_else(|| path.clone(), |file| file.path);
        disk.remove(&file).map_err(|source| Error::writing("remove", &file, source))?;
    }
    disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))?;
    Ok(removed)
}

/// Refuses a directory that does not go back by itself: that of a pipeline, whose steps go by what
/// their outputs were made of, and that of one process of a group.
pub(super) fn check_is_whole(path: &Path) -> Result<(), Error> {
    let parent = path.parent();
    let is_in = |folder: &str| parent.and_then(Path::file_name) == Some(folder.as_ref());
    let refused =
        |why| Err(Error::InvalidSetting { setting: format!("going back in {}", path.display()), why });
    let is_pipeline =
        |path: &Path| [name::STEPS, name::FILES].iter().all(|folder| path.join(folder).is_dir());
    let is_of_step = (is_in(name::STEPS) || is_in(name::PROGRESS))
        && parent.and_then(Path::parent).is_some_and(is_pipeline);
    if path.join(name::STEPS).is_dir() || is_of_step {
        return refused(
            "it belongs to a pipeline, whose steps go by what their outputs were made of: use an older output by \
             CHECKPOINT_STEPS=use:STEP@VERSION, as `ckpt steps --all` lists them",
        );
    }
    check_is_no_part("going back", path)
}

/// Refuses the directory of one process of a group, whose parts go with those of the others.
pub(super) fn check_is_no_part(what: &str, path: &Path) -> Result<(), Error> {
    let is_in_ranks = path.parent().and_then(Path::file_name) == Some(RANKS.as_ref());
    if is_in_ranks && path.file_name().is_some_and(|name| rank_of(name).is_some()) {
        return Err(Error::InvalidSetting {
            setting: format!("{what} in {}", path.display()),
            why: "it has the parts of one process of a group, which go with those of the others: name the directory of the \
                  group",
        });
    }
    Ok(())
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk::default())
}

fn claiming(protection: &Protection) -> Claiming {
    Claiming {
        durable: true,
        is_tool: true,
        authenticated: protection.tag_key().is_some(),
        ..Claiming::default()
    }
}
