//! The comparison of two levels by their files and by what was recorded of them.

use std::collections::BTreeSet;

use super::records::{Record, Records};
use super::standing::{Levels, Standing, standing};
use super::transfer::{Condition, examine_at, is_absent};
use crate::base::warnings::warn;
use crate::error::{Error, once_more};
use crate::seal::Protection;
use crate::store::home::Home;
use crate::store::likeness::Likeness;

/// Two levels at one moment.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) standing: Standing,
    /// The generations of the near level, oldest first.
    pub(super) near: Vec<u64>,
    /// The generations of the mirror, oldest first.
    pub(super) far: Vec<u64>,
    /// The file of the newest of the mirror.
    pub(super) newest: Option<Likeness>,
    /// Generations of the mirror that are damaged.
    pub(super) damaged: BTreeSet<u64>,
}

impl Comparison {
    /// True if no level has a generation.
    pub(super) fn is_empty(&self) -> bool {
        self.near.is_empty() && self.far.is_empty()
    }

    /// True if the two levels are still as they were.
    pub(super) fn still_holds(&self, near: &dyn Home, far: &dyn Home) -> Result<bool, Error> {
        let there = far.generations()?;
        let is_same = there == self.far && near.generations()? == self.near;
        Ok(is_same && newest(far, &there)? == self.newest)
    }
}

/// Compares two levels.
pub(super) fn compare(
    near: &dyn Home,
    far: &dyn Home,
    records: &Records,
    protection: &Protection,
) -> Result<Comparison, Error> {
    let (here, there) = (near.generations()?, far.generations()?);
    let branched_at = records.branched_at()?;
    let records = records.all()?;
    if there.is_empty() && records.iter().any(|record| record.has_arrived) {
        warn(format!(
            "the mirror {} had checkpoints, and has none any more: those of {} are copied again",
            far.path().display(),
            near.path().display()
        ));
    }
    let newest = newest(far, &there)?;
    let mut both = Both { near, far, records, protection, damaged: BTreeSet::new() };
    let standing = match (branched_at, there.last()) {
        (Some(root), Some(far)) if both.records.is_empty() && !both.has_own(root, &here)? => {
            // It never sent any there: the mirror is that of the run from which it branched.
            Standing::Apart { near: here.last().copied().unwrap_or(root), far: *far }
        }
        _ => standing(&mut both, &here, &there)?,
    };
    Ok(Comparison { standing, near: here, far: there, newest, damaged: both.damaged })
}

fn newest(far: &dyn Home, there: &[u64]) -> Result<Option<Likeness>, Error> {
    there.last().map_or(Ok(None), |newest| likeness(far, *newest))
}

/// The two levels, for the comparison.
struct Both<'a> {
    near: &'a dyn Home,
    far: &'a dyn Home,
    records: Vec<Record>,
    protection: &'a Protection,
    damaged: BTreeSet<u64>,
}

/// True if a mirror has a file of another run, or one that this other run sent there, as its
/// records tell.
pub(crate) fn is_mirror_of(other: &dyn Home, records: &Records, far: &dyn Home) -> Result<bool, Error> {
    let records = records.all()?;
    for generation in far.generations()?.into_iter().rev() {
        let Some(file) = likeness(far, generation)? else { continue };
        let is_file = |record: &Record| (record.generation, &record.likeness) == (generation, &file);
        if records.iter().any(is_file) || likeness(other, generation)?.as_ref() == Some(&file) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The likeness of a generation; `None` where it is absent, or its file is broken for good.
pub(super) fn likeness(home: &dyn Home, generation: u64) -> Result<Option<Likeness>, Error> {
    let read = || home.open(generation).and_then(|source| Likeness::of(&*source));
    match once_more(|| read().map_err(|source| Error::io("open", &home.location(generation), source))) {
        Ok(likeness) => Ok(Some(likeness)),
        Err(error) if is_absent(&error) || error.is_lasting_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Both<'_> {
    /// True if both levels have a generation that the near level, a branch, saved after this one.
    fn has_own(&self, root: u64, here: &[u64]) -> Result<bool, Error> {
        for generation in here.iter().copied().rev().take_while(|generation| *generation > root) {
            let own = self.near(generation)?;
            if own.is_some() && own == self.far(generation)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_damaged(&self, home: &dyn Home, generation: u64) -> Result<bool, Error> {
        let condition = examine_at(home, generation, self.protection);
        if let Ok(Condition::Damaged(error)) = &condition {
            warn(format!("generation {generation} of {} does not count: {error}", home.path().display()));
        }
        match condition {
            Err(error) if is_absent(&error) => Ok(true),
            condition => Ok(matches!(condition?, Condition::Damaged(_))),
        }
    }
}

impl Levels for Both<'_> {
    type Likeness = Likeness;

    /// A file that the device does not give is the one that was sent: a number is used once. So a
    /// bad place of a disk keeps no run from the copy at its mirror.
    fn near(&self, generation: u64) -> Result<Option<Likeness>, Error> {
        match likeness(self.near, generation) {
            Err(error) if error.is_unread() => {
                // Of several, the one that arrived is the last.
                let sent = self.records.iter().rfind(|record| record.generation == generation);
                sent.map(|record| Some(record.likeness.clone())).ok_or(error)
            }
            found => found,
        }
    }

    fn far(&self, generation: u64) -> Result<Option<Likeness>, Error> {
        likeness(self.far, generation)
    }

    fn is_recorded(&self, generation: u64, file: &Likeness, has_arrived: bool) -> bool {
        let is_it = |record: &Record| {
            record.generation == generation
                && record.likeness == *file
                && (record.has_arrived || !has_arrived)
        };
        self.records.iter().any(is_it)
    }

    fn was_sent(&self, generation: u64) -> bool {
        self.records.iter().any(|record| record.generation == generation)
    }

    fn is_damaged_near(&mut self, generation: u64) -> Result<bool, Error> {
        self.is_damaged(self.near, generation)
    }

    fn is_damaged_far(&mut self, generation: u64) -> Result<bool, Error> {
        let is_damaged = self.is_damaged(self.far, generation)?;
        if is_damaged {
            self.damaged.insert(generation);
        }
        Ok(is_damaged)
    }
}
