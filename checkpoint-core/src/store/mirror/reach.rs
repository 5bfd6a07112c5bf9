//! The first contact with a mirror, and each later one after it was away.
//!
//! The two levels are compared before the mirror is claimed: a claim on a store takes it from the
//! program that has it, and a mistyped URL must not do that to another run. They are compared once
//! more after it, because that program may have gone on in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compare::{Comparison, compare, likeness};
use super::pace::Pace;
use super::records::Records;
use super::standing::Standing;
use super::transfer::{Condition, examine_at};
use super::{Far, Mirror, Near};
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::likeness::Likeness;

impl Far {
    /// Compares the two levels, claims the mirror, and creates it where it is absent. A directory
    /// that was there before, and is absent now, is not created: its disk may be missing.
    ///
    /// # Errors
    /// One of the two lies in the other. [`Error::MirrorApart`], without a claim, where each level has what the other never had, or,
    /// unless the run can go on from it, where the mirror is ahead.
    pub(crate) fn reach(&self, near: &Near, may_be_ahead: bool) -> Result<(Mirror, Standing), Error> {
        self.check_is_apart(near)?;
        let records = Records::new(Arc::clone(&near.disk), near.home.path(), self.home.path());
        self.check_is_there(near, &records)?;
        let before = compare(&*near.home, &*self.home, &records, &self.protection)?;
        let before = self.accepted(near, before, may_be_ahead)?;
        self.warn_of_unmounted(near, &before);
        let was_absent = self.is_directory && near.disk.is_directory(self.home.path()).is_none();
        let claim = self.home.claim(&self.claiming).inspect_err(|_| {
            // A full disk may have let its directory be made, and nothing more.
            if was_absent {
                let _ = near.disk.remove_directory(self.home.path());
            }
        })?;
        let mut mirror = Mirror {
            far: self.clone(),
            near: near.clone(),
            claim,
            records,
            pace: Pace::new(self.per_second),
            newest: None,
            damaged_near: BTreeSet::new(),
            damaged_far: BTreeSet::new(),
            not_lasting: BTreeSet::new(),
            verified: BTreeSet::new(),
            counted: None,
            metrics: BTreeMap::new(),
            unread: BTreeSet::new(),
            there: BTreeSet::new(),
        };
        let standing = match before.still_holds(&*near.home, &**mirror.home())? {
            true => mirror.note(before)?,
            false => mirror.compare_again(may_be_ahead)?,
        };
        Ok((mirror, standing))
    }

    /// Compares the two levels without a claim, of a mirror that can only be read. `None` where
    /// it has nothing more of the run, or all that there is of it.
    ///
    /// # Errors
    /// As [`reach`](Far::reach).
    pub(crate) fn more_to_read(&self, near: &Near) -> Result<Option<Standing>, Error> {
        let records = Records::new(Arc::clone(&near.disk), near.home.path(), self.home.path());
        let compared = compare(&*near.home, &*self.home, &records, &self.protection)?;
        let standing = self.accepted(near, compared, true)?.standing;
        Ok(Some(standing).filter(|standing| matches!(standing, Standing::Ahead { near: Some(_) })))
    }

    /// Refuses a directory in the other one, by whatever links.
    fn check_is_apart(&self, near: &Near) -> Result<(), Error> {
        if !self.is_directory {
            return Ok(());
        }
        let (near, far) = (without_links(near.home.path()), without_links(self.home.path()));
        let why = match (far.starts_with(&near), near.starts_with(&far)) {
            (true, true) => "it is the directory itself: give a directory on another disk",
            (true, false) => "it lies in the directory, and would be lost with it: give one on another disk",
            (false, true) => "the directory lies in it, and would be lost with it: give one on another disk",
            (false, false) => return Ok(()),
        };
        Err(Error::InvalidSetting { setting: format!("the mirror {}", self.home.path().display()), why })
    }

    fn check_is_there(&self, near: &Near, records: &Records) -> Result<(), Error> {
        let path = self.home.path();
        let is_absent = |path: &Path| self.is_directory && near.disk.is_directory(path).is_none();
        let refused = |why: String| {
            Err(Error::io("open the mirror", path, io::Error::new(io::ErrorKind::NotFound, why)))
        };
        if let Some(parent) = path.parent()
            && is_absent(parent)
        {
            return refused(format!("{} is absent: mount its disk, or create it", parent.display()));
        }
        if is_absent(path) && !records.all()?.is_empty() {
            return refused(
                "it was there before: mount its disk, or create an empty directory to begin it anew"
                    .to_owned(),
            );
        }
        Ok(())
    }

    /// A machine whose local disk was wiped, and whose mirror is not mounted yet, looks like one at
    /// its first start. Then the place where the disk would be mounted is empty.
    fn warn_of_unmounted(&self, near: &Near, before: &Comparison) {
        let path = self.home.path();
        let Some(parent) = path.parent().filter(|_| self.is_directory && before.is_empty()) else { return };
        let is_empty = near.disk.list(parent).is_ok_and(|names| names.is_empty());
        if is_empty && near.disk.is_directory(path).is_none() {
            warn(format!(
                "the mirror {} is created in an empty directory, and {} has no checkpoints: the program starts afresh; if it \
                 had checkpoints there, stop it, mount the disk of {}, remove what was created, and start again",
                path.display(),
                near.home.path().display(),
                parent.display()
            ));
        }
    }

    /// The comparison, if the run may go on by it.
    fn accepted(
        &self,
        near: &Near,
        mut comparison: Comparison,
        may_be_ahead: bool,
    ) -> Result<Comparison, Error> {
        let apart = match comparison.standing {
            Standing::Behind => None,
            Standing::Apart { near, far } => Some((near, far)),
            Standing::Ahead { .. } if may_be_ahead => None,
            Standing::Ahead { near: newest } => self.newer(&mut comparison, newest)?,
        };
        match apart {
            None => Ok(comparison),
            Some((newest, newest_there)) => {
                let (path, mirror) = (near.home.path().to_owned(), self.home.path().to_owned());
                Err(Error::MirrorApart { path, mirror, newest, newest_there })
            }
        }
    }

    /// The newest generation of each level, if the mirror has one after `near` that is not damaged;
    /// if all are, the mirror is not ahead.
    fn newer(&self, comparison: &mut Comparison, near: Option<u64>) -> Result<Option<(u64, u64)>, Error> {
        let there = comparison.far.iter().rev().copied();
        let newer: Vec<u64> = there.take_while(|there| near.is_none_or(|near| *there > near)).collect();
        for generation in newer {
            if let Condition::Damaged(error) = examine_at(&*self.home, generation, &self.protection)? {
                warn(format!("generation {generation} of the mirror does not count: {error}"));
                comparison.damaged.insert(generation);
                continue;
            }
            let newest = comparison.near.last().copied();
            return Ok(Some((newest.unwrap_or(0), generation)));
        }
        comparison.standing = Standing::Behind;
        Ok(None)
    }
}

/// The path without symbolic links, as far as it exists.
fn without_links(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| {
        let rest = path.strip_prefix(above).ok()?;
        Some(above.canonicalize().ok()?.join(rest))
    });
    // Joined, an empty rest adds a separator.
    found.map_or_else(|| path.to_owned(), |found| found.components().collect())
}

impl Mirror {
    /// Compares the two levels once more, as [`Far::reach`] does.
    pub(crate) fn compare_again(&mut self, may_be_ahead: bool) -> Result<Standing, Error> {
        let compared = self.compare()?;
        let compared = self.far.accepted(&self.near, compared, may_be_ahead)?;
        self.note(compared)
    }

    fn compare(&self) -> Result<Comparison, Error> {
        compare(&*self.near.home, &**self.home(), &self.records, &self.far.protection)
    }

    /// Takes a comparison for the state of the mirror. Records a generation that both levels have,
    /// with the older ones there: this one may remove it before the mirror gets a newer one, and
    /// the mirror may lose it.
    fn note(&mut self, comparison: Comparison) -> Result<Standing, Error> {
        let Comparison { standing, far, newest, damaged, .. } = comparison;
        self.damaged_far.extend(damaged);
        self.newest = self.newest_of(&far);
        if let (Standing::Behind, Some(generation), Some(there)) = (&standing, far.last(), &newest)
            && self.has_near(*generation, there)?
        {
            let all = far.iter().copied().collect();
            self.records.note_with_older(*generation, there, &**self.home(), &all)?;
        }
        Ok(standing)
    }

    /// True if the near level has this file. One that its device does not give was recorded when it
    /// was sent, or is later.
    fn has_near(&self, generation: u64, file: &Likeness) -> Result<bool, Error> {
        match likeness(&*self.near.home, generation) {
            Err(error) if error.is_unread() => Ok(false),
            found => Ok(found?.as_ref() == Some(file)),
        }
    }
}
