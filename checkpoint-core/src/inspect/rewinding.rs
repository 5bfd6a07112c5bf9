//! Goes back to an earlier generation, and removes what was set aside.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::overview::{SetAside, part_directories, rewound};
use crate::error::Error;
use crate::history::Journal;
use crate::outcome::Rewound;
use crate::run::going_back::refuse_mirrored;
use crate::run::reader::CheckpointReader;
use crate::seal::Protection;
use crate::store::{Claim, Claiming, Directory, Disk as _, Home as _, RealDisk, absolute, name};

/// Goes back to a generation, as [`Checkpointer::rewind`](crate::Checkpointer::rewind) does: those
/// after it are set aside, and the next start of the program goes on from it. A generation that is
/// aside is brought back. In the directory of a group, the parts of all processes go with it.
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
/// [`Error::NoSuchGeneration`]; the error of that generation if it is damaged, of which all bytes are
/// verified; [`Error::InvalidSetting`] for a directory of a pipeline.
pub fn rewind(path: impl AsRef<Path>, protection: &Protection, generation: u64) -> Result<Rewound, Error> {
    let path = &absolute(path)?;
    check_no_pipeline(path)?;
    refuse_mirrored(path, false)?;
    // The claim would create a missing directory.
    std::fs::read_dir(path).map_err(|source| Error::io("list", path, source))?;
    let claiming = claiming(protection);
    let (directory, protection) = (directory(path), protection.of(path));
    let mut claim = directory.claim(&claiming)?;
    CheckpointReader::<()>::new(Arc::clone(claim.home()), protection.clone())?.check_whole(generation)?;
    let mut parts = Vec::new();
    for part in part_directories(path) {
        let (there, aside) = (part.generations()?, part.rewound()?);
        // A process that was not of that group has no part of it.
        if there.contains(&generation) || aside.contains(&generation) {
            CheckpointReader::<()>::new(Arc::new(part.clone()), protection.clone())?
                .check_whole(generation)?;
            parts.push(part.claim(&claiming)?);
        }
    }
    let rewind_parts = |parts: &mut [Box<dyn Claim>]| {
        parts.iter_mut().try_for_each(|part| part.rewind(generation, false).map(drop))
    };
    // A table is never there without its parts.
    let is_aside = !directory.has(generation);
    if is_aside {
        rewind_parts(&mut parts)?;
    }
    let rewound = claim.rewind(generation, false)?;
    if !is_aside {
        rewind_parts(&mut parts)?;
    }
    Journal::rewound_between_runs(claim.home(), generation);
    Ok(rewound)
}

/// Removes the generations that rewinds set aside, or only lists them in a trial. Those after the
/// newest generation stay: their numbers must not be used again.
///
/// # Errors
/// [`Error::InUse`], unless it is a trial; an error if one cannot be removed.
pub fn remove_rewound(path: impl AsRef<Path>, trial: bool) -> Result<Vec<SetAside>, Error> {
    let path = &absolute(path)?;
    std::fs::read_dir(path).map_err(|source| Error::io("list", path, source))?;
    let (directory, claiming) = (directory(path), claiming(&Protection::new()));
    let claim = if trial { None } else { Some(directory.claim(&claiming)?) };
    let newest = directory.generations()?.last().copied().unwrap_or(0);
    let mut removed = rewound(&directory)?;
    removed.retain(|aside| aside.generation < newest);
    if claim.is_none() {
        return Ok(removed);
    }
    let gone: BTreeSet<u64> = removed.iter().map(|aside| aside.generation).collect();
    remove_from(&directory, &removed)?;
    for part in part_directories(path) {
        let mut files = rewound(&part)?;
        files.retain(|aside| gone.contains(&aside.generation));
        if !files.is_empty() {
            let _claim = part.claim(&claiming)?;
            remove_from(&part, &files)?;
        }
    }
    Ok(removed)
}

fn remove_from(directory: &Directory, files: &[SetAside]) -> Result<(), Error> {
    let disk = RealDisk::default();
    for SetAside { path, .. } in files {
        disk.remove(path).map_err(|source| Error::writing("remove", path, source))?;
    }
    let path = directory.path();
    disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))
}

/// Refuses a directory of a pipeline: its steps go by what their outputs were made of.
pub(super) fn check_no_pipeline(path: &Path) -> Result<(), Error> {
    let inner = [name::STEPS, name::PROGRESS];
    let parent = path.parent().and_then(Path::file_name);
    let is_of_step = inner.iter().any(|name| parent == Some(name.as_ref()));
    if path.join(name::STEPS).is_dir() || is_of_step {
        return Err(Error::InvalidSetting {
            setting: format!("going back in {}", path.display()),
            why: "it belongs to a pipeline, whose steps go by what their outputs were made of: use an older output by \
                  CHECKPOINT_STEPS=use:STEP@VERSION, as `ckpt steps --all` lists them",
        });
    }
    Ok(())
}

fn directory(path: &Path) -> Directory {
    Directory::new(path, Arc::new(RealDisk::default()))
}

fn claiming(protection: &Protection) -> Claiming {
    Claiming { durable: true, authenticated: protection.tag_key().is_some(), ..Claiming::default() }
}
