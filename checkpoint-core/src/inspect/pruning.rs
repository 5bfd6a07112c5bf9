//! Removes generations outside the retention, as a save would.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::overview::{GenerationOverview, Overview, SetAside, kept, overview_of};
use super::rewinding::check_is_no_part;
use super::subject::Subject;
use super::transfer::claim_member;
use super::verification::{Verdict, verdict};
use crate::container::Manifest;
use crate::error::{Error, once_more};
#[cfg(feature = "group")]
use crate::group::GroupFile;
use crate::run::stamp;
use crate::seal::Protection;
use crate::store::{Claim, Claiming, Home, Keeping, Retention, absolute};
use crate::tree::File;

/// The generations that a retention keeps, and those that it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruning {
    /// The generations that stay, oldest first, each with the reasons.
    pub kept: Vec<(u64, Vec<Keeping>)>,
    /// The generations that go, or went, oldest first.
    pub removed: Vec<Pruned>,
}

/// A generation that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pruned {
    /// Its number.
    pub generation: u64,
    /// The length of its file.
    pub bytes: u64,
    /// The damage, if it is known.
    pub damage: Option<String>,
    path: PathBuf,
}

/// Removes the generations that a retention does not keep, or only lists them in a trial. Without a
/// retention, that of the last run holds.
///
/// Damaged generations do not count among those to keep: the newest are read and verified until
/// enough are whole. If none is whole, nothing is removed. Where parts of a group are on other
/// machines, the newest generation with all parts here stays too. The files of damaged outputs that
/// a pipeline moved out of the way go too, once newer generations than these are kept. Pinned
/// generations stay. Unless it is a trial, no program may have the directory open for saving.
///
/// ```
/// use checkpointed::{Checkpointer, Protection, inspect};
/// use std::num::NonZeroUsize;
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open()?;
/// for state in 0..5 {
///     checkpoints.save(&state)?;
/// }
/// drop(checkpoints);
/// let retention = inspect::Retention::newest(NonZeroUsize::MIN);
/// let pruning = inspect::prune(&path, &Protection::new(), Some(retention), false)?;
/// assert_eq!(pruning.removed.len(), 4);
/// assert_eq!(inspect::overview(&path, &Protection::new())?.generations.len(), 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::InUse`]; [`Error::InvalidSetting`] if no retention is given and none is known, and for
/// the directory of one process of a group; an error if a generation cannot be read for another
/// reason than damage, or cannot be removed.
pub fn prune(
    path: impl AsRef<Path>,
    protection: &Protection,
    retention: Option<Retention>,
    trial: bool,
) -> Result<Pruning, Error> {
    let path = absolute(path)?;
    check_is_no_part("a removal", &path)?;
    prune_subject(&Subject::of_directory(&path, protection), retention, trial)
}

/// Like [`prune`], of another place than a directory, such as an `ObjectHome` of the package
/// `checkpointed-object-store`. There is no history, so the retention must be given.
///
/// A store has no locks: unless it is a trial, this takes the place over. A program that saves
/// there gets [`Error::TakenOver`] at its next save.
///
/// # Errors
/// As [`prune`], without [`Error::InUse`].
pub fn prune_in(
    home: &Arc<dyn Home>,
    protection: &Protection,
    retention: Option<Retention>,
    trial: bool,
) -> Result<Pruning, Error> {
    prune_subject(&Subject::of_home(home, protection), retention, trial)
}

fn prune_subject(subject: &Subject<'_>, retention: Option<Retention>, trial: bool) -> Result<Pruning, Error> {
    let Subject { home, protection, .. } = subject;
    // This comes first, because the claim would create a missing directory, or take a place over.
    let seen = overview_of(subject)?;
    let Some(retention) = retention.or_else(|| seen.retention.clone()) else {
        let setting = format!("the generations to keep in {}", seen.path.display());
        return Err(Error::InvalidSetting {
            setting,
            why: "no run has recorded them, so they must be given",
        });
    };
    let authenticated = protection.tag_key().is_some();
    let claiming = Claiming { durable: true, is_tool: true, authenticated, ..Claiming::default() };
    let mut claim = if trial { None } else { Some(home.claim(&claiming)?) };
    let Overview { generations, set_aside, .. } = if trial { seen } else { overview_of(subject)? };
    let Conditions { of: condition, verified } = conditions(subject, &generations, retention.last.get())?;
    let manifests =
        condition.iter().map(|(generation, found)| (*generation, found.as_ref().map_err(|_| true)));
    let mut reasons = kept(&retention, manifests, &home.pinned(&home.generations()?));
    if let Some(verified) = verified {
        reasons.entry(verified).or_insert_with(|| vec![Keeping::Last]);
    }
    let removed = generations.iter().filter(|generation| {
        condition.contains_key(&generation.generation) && !reasons.contains_key(&generation.generation)
    });
    let mut removed: Vec<Pruned> = removed
        .map(|generation| Pruned {
            generation: generation.generation,
            bytes: generation.bytes,
            damage: condition.get(&generation.generation).and_then(|found| found.as_ref().err().cloned()),
            path: generation.path.clone(),
        })
        .collect();
    // A damaged generation that was moved away goes once it would go in its place. Until then its
    // number must not be used again.
    let is_last = |(_, why): &(&u64, &Vec<Keeping>)| why.contains(&Keeping::Last);
    let oldest = reasons.iter().find(is_last).map(|(generation, _)| *generation);
    let aside = set_aside.into_iter().filter(|aside| oldest.is_some_and(|oldest| aside.generation < oldest));
    let aside: Vec<Pruned> = aside
        .map(|SetAside { generation, path, bytes, .. }| {
            let damage = Some("it was damaged, and its file was moved out of the way".to_owned());
            Pruned { generation, bytes, damage, path }
        })
        .collect();
    if let Some(claim) = &mut claim {
        let mut stays = BTreeSet::new();
        for Pruned { generation, path, .. } in &removed {
            match claim.remove_at_once(*generation) {
                Ok(true) => {}
                // It was pinned at this moment, or is being read.
                Ok(false) => drop(stays.insert(*generation)),
                Err(source) => {
                    // Another program may have taken the place over.
                    claim.guard().check()?;
                    return Err(Error::writing("remove", path, source));
                }
            }
        }
        removed.retain(|pruned| !stays.contains(&pruned.generation));
        for Pruned { path, .. } in &aside {
            remove_file(path)?;
        }
        claim.sync()?;
        // The table is gone, and nothing refers to the parts of the group any more.
        for rank in home.members()? {
            remove_parts(&mut **claim, &*home.member(rank)?, &claiming, &removed)?;
        }
    }
    removed.extend(aside);
    removed.sort_by_key(|pruned| pruned.generation);
    Ok(Pruning { kept: reasons.into_iter().collect(), removed })
}

/// The conditions of all generations.
struct Conditions {
    /// The manifest of each generation, or its damage.
    of: BTreeMap<u64, Result<Manifest, String>>,
    /// The newest that was verified, where a newer one has parts on other machines: these may be
    /// lost.
    verified: Option<u64>,
}

/// The conditions of these generations. The newest are read and verified, until so many are whole.
/// One that a program has removed meanwhile is left out.
///
/// # Errors
/// A generation cannot be read now, and may be whole: no rule can say if it stays.
fn conditions(
    subject: &Subject<'_>,
    generations: &[GenerationOverview],
    last: usize,
) -> Result<Conditions, Error> {
    let mut condition = BTreeMap::new();
    let (mut whole, mut has_elsewhere, mut verified) = (0, false, None);
    for generation in generations.iter().rev().map(|generation| generation.generation) {
        // What the overview saw of it was another moment.
        let file = match once_more(|| subject.open(generation)) {
            Ok(file) => file,
            Err(error) if subject.was_removed(generation, &error)? => continue,
            Err(error) if error.is_lasting_damage() => {
                condition.insert(generation, Err(error.to_string()));
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut found = Ok(file.manifest().clone());
        let lacks_verified = has_elsewhere && verified.is_none() && has_all_places(&file, subject);
        if !stamp::is_marked(file.manifest()) && (whole < last || lacks_verified) {
            let (Verdict { elsewhere, .. }, errors) =
                verdict(&subject.home.location(generation), Ok(file), subject.protection);
            for error in errors {
                if !error.is_lasting_damage() {
                    return Err(error);
                }
                found = found.and_then(|_| Err(error.to_string()));
            }
            whole += usize::from(found.is_ok());
            if found.is_ok() && elsewhere.is_empty() {
                verified.get_or_insert(generation);
            }
            has_elsewhere |= !elsewhere.is_empty();
        }
        condition.insert(generation, found);
    }
    Ok(Conditions { of: condition, verified: verified.filter(|_| has_elsewhere) })
}

/// True if the parts of all processes that saved a generation are here, or lost.
fn has_all_places(file: &File, subject: &Subject<'_>) -> bool {
    #[cfg(feature = "group")]
    if let Ok(Some(group)) = GroupFile::of(file, subject.protection) {
        return group.elsewhere().is_ok_and(|elsewhere| elsewhere.is_empty());
    }
    let _ = (file, subject);
    true
}

/// Removes the parts of generations that went, of one process of a group.
fn remove_parts(
    root: &mut dyn Claim,
    part: &dyn Home,
    claiming: &Claiming,
    removed: &[Pruned],
) -> Result<(), Error> {
    let mut there = part.generations()?;
    there.retain(|generation| removed.iter().any(|pruned| pruned.generation == *generation));
    if there.is_empty() {
        return Ok(());
    }
    let mut claim = claim_member(root, part, claiming)?;
    for generation in there {
        let path = part.location(generation);
        claim.remove_at_once(generation).map_err(|source| Error::writing("remove", &path, source))?;
    }
    claim.sync()
}

/// Removes a file that was moved out of the way.
fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::writing("remove", path, error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::Checkpointer;
    use crate::store::Directory;
    use crate::store::faults::FaultyDisk;

    #[test]
    fn nothing_is_pruned_while_a_generation_cannot_be_read() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(5).open().unwrap();
        for state in 1..=5 {
            checkpoints.save(&state).unwrap();
        }
        drop(checkpoints);
        let disk = FaultyDisk::default();
        let home: Arc<dyn Home> = Arc::new(Directory::new(&path, Arc::new(disk.clone())));
        let prune = || prune_in(&home, &Protection::new(), Some(Retention::newest(NonZeroUsize::MIN)), false);
        disk.be_unread("00000000000000000005.ckpt", usize::MAX);
        let error = prune().unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(home.generations().unwrap(), [1, 2, 3, 4, 5]);
        disk.be_unread("", 0);
        prune().unwrap();
        assert_eq!(home.generations().unwrap(), [5]);
    }
}
