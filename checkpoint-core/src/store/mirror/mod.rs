//! A mirror: a second level that gets copies of the generations of the first, and keeps its own.
//!
//! [`Far`] is the other place before it is reached, [`Mirror`] after. Programs and tools use the
//! same: a thread of a run calls [`Mirror::update`] after each save, a tool once.

mod pace;
mod records;
mod standing;
mod transfer;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use super::home::{Claim, Claiming, Home, Published};
use super::likeness::Likeness;
use super::local::Disk;
use super::retention::{Keeping, Metrics, Retention};
use super::writer::Writer;
use crate::base::warnings::warn;
use crate::error::{Error, Skipped};
use crate::seal::Protection;
use pace::Pace;
pub(crate) use pace::Timing;
pub(crate) use records::Records;
pub(crate) use standing::Standing;
use standing::{Levels, standing};
use transfer::{Condition, Conduct, Copied, Ready, Verify, copy, examine_at, is_absent};

/// The generations that a mirror gets.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    /// The newest, once its number is so much greater than that of the last, and what these rules
    /// keep for another reason than that it is new. The others are removed.
    Newest(NonZeroU64, Retention),
    /// All that the near level has. None is removed.
    All,
}

impl Wanted {
    fn retention(&self) -> Option<&Retention> {
        match self {
            Wanted::Newest(_, retention) => Some(retention),
            Wanted::All => None,
        }
    }
}

/// A mirror before it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Far {
    pub(crate) home: Arc<dyn Home>,
    /// True for a directory, which can be absent because its disk is.
    pub(crate) is_directory: bool,
    pub(crate) claiming: Claiming,
    pub(crate) wanted: Wanted,
    pub(crate) per_second: Option<u64>,
    pub(crate) protection: Protection,
}

/// The first level, as a mirror reads it.
#[derive(Clone, Debug)]
pub(crate) struct Near {
    pub(crate) home: Arc<dyn Home>,
    /// The disk of the directory, for the records.
    pub(crate) disk: Arc<dyn Disk>,
}

/// A mirror that this process has claimed.
#[derive(Debug)]
pub(crate) struct Mirror {
    far: Far,
    near: Near,
    claim: Box<dyn Claim>,
    records: Records,
    pace: Pace,
    /// The newest generation of the mirror that is of this run, as far as is known.
    newest: Option<u64>,
    /// Generations that are damaged on the near level: they are not tried again.
    damaged_near: BTreeSet<u64>,
    /// Generations that are damaged at the mirror, and do not count there.
    damaged_far: BTreeSet<u64>,
    /// Generations that have their name at the mirror, which could not be made durable.
    not_lasting: BTreeSet<u64>,
    /// Generations of the mirror that this process sent, or read as a whole.
    verified: BTreeSet<u64>,
    /// The newest generation that counted in the last update, even if that failed later.
    counted: Option<u64>,
    metrics: BTreeMap<u64, Metrics>,
}

/// The result of one update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Updated {
    /// The newest generation at the mirror.
    pub(crate) newest: Option<u64>,
    /// The generations that were copied, in this order.
    pub(crate) copied: Vec<u64>,
    /// The generations of the near level that are damaged, and were not copied.
    pub(crate) damaged: Vec<u64>,
    /// Those of the mirror that were damaged, and were replaced by copies of the near level.
    pub(crate) healed: Vec<u64>,
    /// True if it was given up before its end.
    pub(crate) is_unfinished: bool,
}

impl Far {
    /// Claims the mirror, and creates it where it is absent. A directory that was there before, and
    /// is absent now, is not created: its disk may be missing.
    pub(crate) fn reach(&self, near: &Near) -> Result<Mirror, Error> {
        let path = self.home.path();
        let records = Records::new(Arc::clone(&near.disk), near.home.path(), path);
        if self.is_directory
            && let Some(parent) = path.parent()
            && near.disk.is_directory(parent).is_none()
        {
            let source = io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is absent: mount its disk, or create it", parent.display()),
            );
            return Err(Error::io("open the mirror", path, source));
        }
        if self.is_directory && near.disk.is_directory(path).is_none() && !records.all()?.is_empty() {
            let source = io::Error::new(
                io::ErrorKind::NotFound,
                "it was there before: mount its disk, or create an empty directory to begin it anew",
            );
            return Err(Error::io("open the mirror", path, source));
        }
        let claim = self.home.claim(&self.claiming)?;
        let pace = Pace::new(self.per_second);
        Ok(Mirror {
            far: self.clone(),
            near: near.clone(),
            claim,
            records,
            pace,
            newest: None,
            damaged_near: BTreeSet::new(),
            damaged_far: BTreeSet::new(),
            not_lasting: BTreeSet::new(),
            verified: BTreeSet::new(),
            counted: None,
            metrics: BTreeMap::new(),
        })
    }
}

impl Mirror {
    /// The mirror, for reading.
    pub(crate) fn home(&self) -> &Arc<dyn Home> {
        self.claim.home()
    }

    fn path(&self) -> &Path {
        self.far.home.path()
    }

    /// The newest generation of the mirror that counts.
    pub(crate) fn newest(&self) -> Result<Option<u64>, Error> {
        Ok(self.home().generations()?.into_iter().rfind(|there| self.counts(*there)))
    }

    /// The newest generation that counted in the last update, even if that failed later.
    pub(crate) fn counted(&self) -> Option<u64> {
        self.counted
    }

    /// False for a generation that a machine that fails could take away.
    fn counts(&self, generation: u64) -> bool {
        !self.damaged_far.contains(&generation) && !self.not_lasting.contains(&generation)
    }

    /// Notes generations of the mirror that turned out to be damaged.
    pub(crate) fn note_damaged(&mut self, generations: impl IntoIterator<Item = u64>) {
        self.damaged_far.extend(generations);
    }

    /// Checks that the claim stands.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.claim.guard().check()
    }

    /// Compares the two levels.
    pub(crate) fn standing(&mut self) -> Result<Standing, Error> {
        let (near, far) = (self.near.home.generations()?, self.home().generations()?);
        let records = self.records.all()?;
        if far.is_empty() && records.iter().any(|record| record.has_arrived) {
            warn(format!(
                "the mirror {} had checkpoints, and has none any more: those of {} are copied again",
                self.path().display(),
                self.near.home.path().display()
            ));
        }
        let (near_home, far_home) = (Arc::clone(&self.near.home), Arc::clone(self.home()));
        let mut both = Both {
            near: &*near_home,
            far: &*far_home,
            records,
            protection: &self.far.protection,
            damaged_far: &mut self.damaged_far,
        };
        let standing = standing(&mut both, &near, &far)?;
        self.newest = far.last().copied();
        if let (Standing::Behind, Some(newest)) = (&standing, self.newest) {
            self.note_common(newest)?;
        }
        Ok(standing)
    }

    /// Records a generation that both levels have: this one may remove it before the mirror gets a
    /// newer one.
    fn note_common(&self, generation: u64) -> Result<(), Error> {
        match likeness(&*self.near.home, generation)? {
            Some(here) if likeness(&**self.home(), generation)?.as_ref() == Some(&here) => {
                self.records.note(generation, &here)
            }
            _ => Ok(()),
        }
    }

    /// The error of two levels that each have what the other never had.
    pub(crate) fn apart(&self, near: u64, far: u64) -> Error {
        Error::MirrorApart {
            path: self.near.home.path().to_owned(),
            mirror: self.path().to_owned(),
            newest: near,
            newest_there: far,
        }
    }

    /// Copies what the mirror lacks of the generations up to this one, newest first, and then
    /// removes there what its rules do not keep. `at_once` copies the newest one, however new the
    /// last was.
    pub(crate) fn update(
        &mut self,
        up_to: u64,
        at_once: bool,
        timing: &Arc<dyn Timing>,
    ) -> Result<Updated, Error> {
        let mut updated = Updated::default();
        let mut there: BTreeSet<u64> = self.home().generations()?.into_iter().collect();
        let here = self.near.home.generations()?;
        // Another program may have taken a store over, and use the same numbers.
        if let Some(far) = there.last().copied()
            && Some(far) > self.newest
            && self.standing()? != Standing::Behind
        {
            return Err(self.apart(here.last().copied().unwrap_or(0), far));
        }
        let here: Vec<u64> = here.into_iter().filter(|generation| *generation <= up_to).collect();
        let step = match &self.far.wanted {
            Wanted::Newest(step, _) if !at_once => step.get(),
            _ => 1,
        };
        let again: Vec<u64> =
            here.iter().copied().filter(|here| there.contains(here) && !self.counts(*here)).collect();
        for generation in again {
            let is_damaged = self.damaged_far.contains(&generation);
            match self.send(generation, timing, &mut updated)? {
                Step::Done if is_damaged => updated.healed.push(generation),
                Step::Done => {}
                Step::Left => {}
                Step::Ended => return Ok(updated),
            }
        }
        updated.newest = there.iter().copied().rfind(|there| self.counts(*there));
        let is_due =
            |generation: u64| updated.newest.is_none_or(|newest| generation >= newest.saturating_add(step));
        let due: Vec<u64> = here.iter().copied().rev().filter(|generation| is_due(*generation)).collect();
        for generation in due {
            match self.send(generation, timing, &mut updated)? {
                Step::Done => {
                    there.insert(generation);
                    updated.newest = Some(generation);
                    break;
                }
                Step::Left => {}
                Step::Ended => return Ok(updated),
            }
        }
        self.counted = updated.newest;
        // A failure with one of the others does not keep the mirror from the rest of its work.
        let others = self.send_others(&here, &there, timing, &mut updated);
        if updated.is_unfinished {
            return others.map(|()| updated);
        }
        let pinned = self.pin(&here);
        if pinned.is_ok() {
            self.retire(&mut updated.newest)?;
        }
        self.counted = updated.newest;
        others.and(pinned).map(|()| updated)
    }

    /// Copies the generations besides the newest.
    fn send_others(
        &mut self,
        here: &[u64],
        there: &BTreeSet<u64>,
        timing: &Arc<dyn Timing>,
        updated: &mut Updated,
    ) -> Result<(), Error> {
        let mut outcome = Ok(());
        for generation in self.others(here, there, updated.newest)? {
            match self.send(generation, timing, updated) {
                Ok(Step::Ended) => break,
                Ok(Step::Done | Step::Left) => {}
                Err(error) => outcome = outcome.and(Err(error)),
            }
            self.check()?;
        }
        outcome
    }

    /// The generations to copy besides the newest, newest first.
    fn others(
        &mut self,
        here: &[u64],
        there: &BTreeSet<u64>,
        newest: Option<u64>,
    ) -> Result<Vec<u64>, Error> {
        let Some(newest) = newest else { return Ok(Vec::new()) };
        let missing = |generation: &u64| !there.contains(generation) && *generation < newest;
        let Some(retention) = self.far.wanted.retention().cloned() else {
            return Ok(here.iter().rev().copied().filter(missing).collect());
        };
        let pinned = self.near.home.pinned(here);
        self.note_metrics(&*Arc::clone(&self.near.home), here, &retention);
        let all: Vec<u64> =
            here.iter().copied().chain(there.iter().copied()).collect::<BTreeSet<_>>().into_iter().collect();
        let kept = retention.kept(&all, &self.damaged_near, &pinned, &self.metrics);
        let is_more = |why: &Keeping| !matches!(why, Keeping::Last | Keeping::Newer | Keeping::Unread);
        let is_wanted = |generation: &u64| kept.get(generation).is_some_and(|why| why.iter().any(is_more));
        Ok(here.iter().rev().copied().filter(missing).filter(is_wanted).collect())
    }

    /// Reads the metrics of the generations of one level that are not known yet.
    fn note_metrics(&mut self, level: &dyn Home, generations: &[u64], retention: &Retention) {
        if !retention.uses_manifests() {
            return;
        }
        for generation in generations.iter().copied() {
            if self.metrics.contains_key(&generation) {
                continue;
            }
            let metrics = transfer::manifest_at(level, generation, &self.far.protection);
            let metrics = metrics.map(|manifest| retention.metrics(&manifest));
            self.metrics.insert(generation, metrics.unwrap_or(Metrics::Unread));
        }
    }

    /// Copies one generation to the mirror.
    fn send(
        &mut self,
        generation: u64,
        timing: &Arc<dyn Timing>,
        updated: &mut Updated,
    ) -> Result<Step, Error> {
        if self.damaged_near.contains(&generation) {
            updated.damaged.push(generation);
            return Ok(Step::Left);
        }
        let Mirror { far, near, claim, pace, .. } = self;
        let begin = || {
            claim.guard().check()?;
            claim.guard().touch();
            claim.begin(generation)
        };
        let Ready { sealed, likeness, manifest } = match copy(
            &*near.home,
            generation,
            &far.protection,
            (Verify::Original, begin),
            Conduct { pace, timing },
        )? {
            Copied::Ready(ready) => ready,
            Copied::Gone => return Ok(Step::Left),
            Copied::Ended => {
                updated.is_unfinished = true;
                return Ok(Step::Ended);
            }
            Copied::Damaged(error) => {
                warn(format!("generation {generation} is not mirrored: {error}"));
                self.damaged_near.insert(generation);
                updated.damaged.push(generation);
                return Ok(Step::Left);
            }
        };
        self.near.home.check()?;
        self.records.announce(generation, &likeness)?;
        self.check()?;
        if !self.counts(generation) && self.home().has(generation) {
            self.make_way(generation)?;
        }
        let Published { is_there, outcome } = sealed.publish();
        if let (true, Err(_)) = (is_there, &outcome) {
            self.not_lasting.insert(generation);
        }
        outcome?;
        self.check()?;
        self.records.confirm(generation)?;
        if let (Some(retention), Some(manifest)) = (self.far.wanted.retention(), manifest) {
            self.metrics.insert(generation, retention.metrics(&manifest));
        }
        self.damaged_far.remove(&generation);
        self.not_lasting.remove(&generation);
        self.verified.insert(generation);
        self.newest = self.newest.max(Some(generation));
        updated.copied.push(generation);
        let (path, mirror) = (self.near.home.path(), self.path());
        tracing::info!(path = %path.display(), mirror = %mirror.display(), generation, "mirrored");
        Ok(Step::Done)
    }

    /// Takes the name of a generation of the mirror that does not count away from it.
    fn make_way(&mut self, generation: u64) -> Result<(), Error> {
        if !self.damaged_far.contains(&generation) {
            let removed = self.claim.remove_at_once(generation);
            let path = self.home().location(generation);
            if removed.map_err(|source| Error::writing("remove", &path, source))? {
                return Ok(());
            }
        }
        self.claim.move_aside(generation)
    }

    /// Pins at the mirror what is pinned on the near level.
    fn pin(&mut self, here: &[u64]) -> Result<(), Error> {
        let pinned = self.near.home.pinned(here);
        if pinned.is_empty() {
            return Ok(());
        }
        let there = self.home().generations()?;
        let pinned_there = self.home().pinned(&there);
        let both = there.into_iter().filter(|generation| pinned.contains(generation));
        for generation in both.filter(|generation| !pinned_there.contains(generation)) {
            self.home().pin(generation)?;
        }
        Ok(())
    }

    /// Removes from the mirror what its rules do not keep, once the newest is known to be whole.
    /// Newer ones than `newest` are not of this run. If that turns out to be damaged, nothing is
    /// removed, and it is the one before.
    fn retire(&mut self, newest: &mut Option<u64>) -> Result<(), Error> {
        let retention = self.far.wanted.retention().cloned();
        let (Some(last), Some(retention)) = (*newest, retention) else { return Ok(()) };
        let there = self.home().generations()?;
        let there: Vec<u64> = there.into_iter().filter(|generation| *generation <= last).collect();
        self.note_metrics(&*Arc::clone(self.home()), &there, &retention);
        let pinned = self.home().pinned(&there);
        let uncounted = &self.damaged_far | &self.not_lasting;
        let kept = retention.kept(&there, &uncounted, &pinned, &self.metrics);
        let old: Vec<u64> =
            there.iter().copied().filter(|generation| !kept.contains_key(generation)).collect();
        if !old.is_empty() && !self.verified.contains(&last) {
            match examine_at(&**self.home(), last, &self.far.protection)? {
                Condition::Whole(_) | Condition::Sealed => drop(self.verified.insert(last)),
                Condition::Damaged(error) => {
                    warn(format!("generation {last} of the mirror cannot be used, older ones stay: {error}"));
                    self.damaged_far.insert(last);
                    *newest = there.into_iter().rfind(|there| self.counts(*there));
                    return Ok(());
                }
            }
        }
        for generation in old {
            match self.claim.remove(generation) {
                Ok(true) => drop(self.metrics.remove(&generation)),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(Error::writing("remove", &self.home().location(generation), source));
                }
            }
        }
        Ok(())
    }

    /// Removes the generations of the mirror after this one: the program gives them up.
    pub(crate) fn discard_newer(&mut self, generation: u64) -> Result<(), Error> {
        self.check()?;
        let there = self.home().generations()?;
        let newer: Vec<u64> = there.into_iter().rev().take_while(|newer| *newer > generation).collect();
        // Both levels keep what is pinned: nothing is removed in vain.
        for level in [&self.near.home, self.home()] {
            if let Some(pinned) = level.pinned(&newer).last().copied() {
                return Err(Error::NotDiscarded { path: level.location(pinned), generation: pinned });
            }
        }
        for newer in newer {
            let path = self.home().location(newer);
            match self.claim.remove(newer) {
                Ok(true) => {}
                Ok(false) => return Err(Error::NotDiscarded { path, generation: newer }),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::writing("remove", &path, source)),
            }
        }
        self.claim.sync()?;
        self.newest = self.home().generations()?.last().copied();
        self.records.forget_newer(generation)
    }

    /// Reads all generations that the mirror shares with the near level or, with `all`, all that it
    /// has. Replaces a damaged one by that of the near level, if that is whole.
    pub(crate) fn heal(
        &mut self,
        timing: &Arc<dyn Timing>,
        updated: &mut Updated,
    ) -> Result<Vec<u64>, Error> {
        let mut lost = Vec::new();
        for generation in self.home().generations()? {
            if timing.is_to_end() {
                updated.is_unfinished = true;
                break;
            }
            let Condition::Damaged(error) = examine_at(&**self.home(), generation, &self.far.protection)?
            else {
                continue;
            };
            self.damaged_far.insert(generation);
            let is_whole_here = self.near.home.has(generation)
                && matches!(
                    examine_at(&*self.near.home, generation, &self.far.protection)?,
                    Condition::Whole(_) | Condition::Sealed
                );
            if !is_whole_here {
                warn(format!("generation {generation} of the mirror cannot be used: {error}"));
                lost.push(generation);
                continue;
            }
            warn(format!(
                "generation {generation} of the mirror cannot be used, and is replaced by that of {}: {error}",
                self.near.home.path().display()
            ));
            match self.send(generation, timing, updated)? {
                Step::Done => updated.healed.push(generation),
                // The near level removed it meanwhile, for example.
                Step::Left => lost.push(generation),
                Step::Ended => {
                    lost.push(generation);
                    break;
                }
            }
        }
        Ok(lost)
    }
}

/// The end of one copy.
#[derive(Debug)]
enum Step {
    Done,
    /// It is left out: gone, or damaged.
    Left,
    /// The work is to end.
    Ended,
}

/// The two levels, for the comparison.
struct Both<'a> {
    near: &'a dyn Home,
    far: &'a dyn Home,
    records: Vec<records::Record>,
    protection: &'a Protection,
    damaged_far: &'a mut BTreeSet<u64>,
}

/// The likeness of a generation; `None` where it is absent, or its file cannot be read for good.
fn likeness(home: &dyn Home, generation: u64) -> Result<Option<Likeness>, Error> {
    let read = home.open(generation).and_then(|source| Likeness::of(&*source));
    match read.map_err(|source| Error::io("open", &home.location(generation), source)) {
        Ok(likeness) => Ok(Some(likeness)),
        Err(error) if is_absent(&error) || error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Both<'_> {
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

    fn near(&self, generation: u64) -> Result<Option<Likeness>, Error> {
        likeness(self.near, generation)
    }

    fn far(&self, generation: u64) -> Result<Option<Likeness>, Error> {
        likeness(self.far, generation)
    }

    fn is_recorded(&self, generation: u64, file: &Likeness, has_arrived: bool) -> bool {
        let is_it = |record: &records::Record| {
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
            self.damaged_far.insert(generation);
        }
        Ok(is_damaged)
    }
}

/// Copies the newest usable generation of the mirror that is newer than `better_than` into the
/// directory of the writer. A damaged one of its number is moved out of the way; a whole one stays.
/// Records it: retention may remove it before the mirror gets a newer one. Returns its number, and
/// the errors of those that could not be used.
pub(crate) fn restore(
    far: &dyn Home,
    (writer, records): (&mut Writer, &Records),
    better_than: Option<u64>,
    timing: &Arc<dyn Timing>,
) -> Result<(Option<u64>, Vec<Skipped>), Error> {
    let protection = writer.protection().clone();
    let near = Arc::clone(writer.home());
    let mut skipped = Vec::new();
    let there = far.generations()?;
    for generation in there.into_iter().rev().take_while(|there| better_than.is_none_or(|than| *there > than))
    {
        // Nothing of the mirror is better than a whole one.
        if near.has(generation)
            && !matches!(examine_at(&*near, generation, &protection)?, Condition::Damaged(_))
        {
            return Ok((None, skipped));
        }
        let conduct = Conduct { pace: &mut Pace::new(None), timing };
        match copy(far, generation, &protection, (Verify::Copy, || writer.begin(generation)), conduct)? {
            Copied::Ready(Ready { sealed, manifest, likeness }) => {
                writer.restore(sealed, generation, manifest.as_deref())?;
                records.note(generation, &likeness)?;
                return Ok((Some(generation), skipped));
            }
            Copied::Gone | Copied::Ended => {}
            Copied::Damaged(error) => {
                warn(format!(
                    "generation {generation} of the mirror {} cannot be used: {error}",
                    far.path().display()
                ));
                skipped.push(Skipped { generation, error });
            }
        }
    }
    Ok((None, skipped))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
