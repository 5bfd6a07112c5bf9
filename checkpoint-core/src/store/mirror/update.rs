//! Brings a mirror up to date: the newest generation first, then what else its rules keep.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pace::Timing;
use super::transfer::{Conduct, Copied, Ready, Verify, copy, manifest_at};
use super::{Mirror, Wanted};
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::home::{Home, Published};
use crate::store::retention::{Keeping, Metrics, Retention};

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

impl Mirror {
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
        self.there.clone_from(&there);
        let here = self.near.home.generations()?;
        // Another program may have taken a store over, and use the same numbers.
        if there.iter().copied().rfind(|there| self.counts(*there)) > self.newest {
            self.compare_again(false)?;
        }
        let newest = there.iter().copied().rfind(|there| self.counts(*there));
        self.found(newest);
        let here: Vec<u64> = here.into_iter().filter(|generation| *generation <= up_to).collect();
        let step = match &self.far.wanted {
            Wanted::Newest(step, _) if !at_once => step.get(),
            _ => 1,
        };
        let again: Vec<u64> =
            here.iter().copied().filter(|here| there.contains(here) && !self.counts(*here)).collect();
        // What a disk does not give keeps no other one from the mirror.
        let mut unread = Ok(());
        for generation in again {
            let is_damaged = self.damaged_far.contains(&generation);
            match self.send(generation, timing, &mut updated)? {
                Step::Done if is_damaged => updated.healed.push(generation),
                Step::Done | Step::Left => {}
                Step::Unread(error) => unread = unread.and(Err(error)),
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
                Step::Unread(error) => unread = unread.and(Err(error)),
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
        unread.and(others).and(pinned).map(|()| updated)
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
                Ok(Step::Unread(error)) | Err(error) => outcome = outcome.and(Err(error)),
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
    pub(super) fn note_metrics(&mut self, level: &dyn Home, generations: &[u64], retention: &Retention) {
        if !retention.uses_manifests() {
            return;
        }
        // A device may give by now what it did not give before.
        for generation in std::mem::take(&mut self.unread) {
            self.metrics.remove(&generation);
        }
        for generation in generations.iter().copied() {
            if self.metrics.contains_key(&generation) {
                continue;
            }
            let metrics = match manifest_at(level, generation, &self.far.protection) {
                Ok(manifest) => retention.metrics(&manifest),
                Err(error) => {
                    self.unread.extend(error.is_unread().then_some(generation));
                    Metrics::Unread
                }
            };
            self.metrics.insert(generation, metrics);
        }
    }

    /// Copies one generation to the mirror.
    pub(super) fn send(
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
            Copied::Unread(error) => return Ok(Step::Unread(error)),
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
        if self.is_over(timing, updated)? {
            return Ok(Step::Ended);
        }
        self.records.announce(generation, &likeness, &self.there)?;
        self.check()?;
        // The run may have ended while that took its time.
        if self.is_over(timing, updated)? {
            return Ok(Step::Ended);
        }
        if !self.counts(generation) && self.home().has(generation) {
            self.make_way(generation)?;
        }
        let Published { is_there, outcome } = sealed.publish();
        if let (true, Err(_)) = (is_there, &outcome) {
            self.not_lasting.insert(generation);
        }
        outcome?;
        self.near.check()?;
        self.records.confirm(generation, &likeness)?;
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

    /// True if the run ends; an error if it has ended. From then on another one may have the two
    /// places, which a thread that hung must leave alone.
    fn is_over(&self, timing: &Arc<dyn Timing>, updated: &mut Updated) -> Result<bool, Error> {
        updated.is_unfinished |= timing.is_to_end();
        if !updated.is_unfinished {
            self.near.check()?;
        }
        Ok(updated.is_unfinished)
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
}

/// The end of one copy.
#[derive(Debug)]
pub(super) enum Step {
    Done,
    /// It is left out: gone, or damaged.
    Left,
    /// The disk of the near level does not give it just now.
    Unread(Error),
    /// The work is to end.
    Ended,
}
