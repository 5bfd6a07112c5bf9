//! The removals at a mirror: by its rules, and with what the program gives up.

use std::io;
use std::sync::Arc;

use super::Mirror;
use super::compare::likeness;
use super::pace::Timing;
use super::transfer::{Condition, examine_at};
use super::update::{Step, Updated};
use crate::base::warnings::warn;
use crate::error::Error;

impl Mirror {
    /// Removes from the mirror what its rules do not keep, once the newest is known to be whole.
    /// Newer ones than `newest` are not of this run. If that turns out to be damaged, nothing is
    /// removed, and it is the one before.
    pub(super) fn retire(&mut self, newest: &mut Option<u64>) -> Result<(), Error> {
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
                    *newest = self.newest_of(&there);
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

    /// Removes the generations of the mirror after this one: the program gives them up. Where
    /// nothing would be left, this one is copied there first.
    pub(crate) fn discard_newer(&mut self, generation: u64, timing: &Arc<dyn Timing>) -> Result<(), Error> {
        self.check()?;
        let there = self.home().generations()?;
        self.check_is_wanted(timing)?;
        let newer: Vec<u64> = there.iter().copied().filter(|newer| *newer > generation).collect();
        // Both levels keep what is pinned: nothing is removed in vain.
        let mut newer_here = self.near.home.generations()?;
        newer_here.retain(|newer| *newer > generation);
        for (level, newer) in [(&self.near.home, &newer_here), (self.home(), &newer)] {
            if let Some(pinned) = level.pinned(newer).last().copied() {
                return Err(Error::NotDiscarded { path: level.location(pinned), generation: pinned });
            }
        }
        let mut stays: Vec<u64> = there.iter().copied().filter(|there| *there <= generation).collect();
        if self.newest_of(&stays).is_none() && !newer.is_empty() {
            self.there = there.into_iter().collect();
            self.send_at_once(generation, timing)?;
            stays.push(generation);
        }
        // Where this is cut short, the levels are known to be of one run.
        if let Some(stays) = self.newest_of(&stays).filter(|_| !newer.is_empty())
            && let Some(file) = likeness(&**self.home(), stays)?
        {
            self.records.note_what_stays(stays, &file)?;
        }
        let removed = newer.split_last().map_or(Ok(()), |(newest, older)| {
            // The newest goes last: where this is cut short, no older one is taken for it.
            older.iter().try_for_each(|older| self.discard(*older, timing))?;
            self.claim.end_removals_after(generation, Some(*newest))?;
            self.discard(*newest, timing)
        });
        let synced = removed.and_then(|()| self.claim.end_removals_after(generation, None));
        // Some may be removed, whatever the outcome.
        self.newest = self.newest()?;
        self.counted = self.counted.min(self.newest);
        synced?;
        // Without any record, a branch would take its own mirror for that of the run.
        let left = match self.newest {
            Some(left) => likeness(&**self.home(), left)?.map(|file| (left, file)),
            None => None,
        };
        self.near.check()?;
        self.records.go_back(generation, left)
    }

    /// Fails where the program does not wait for a removal any more, or does not have its
    /// directory: what it has saved since is not to be removed.
    fn check_is_wanted(&self, timing: &Arc<dyn Timing>) -> Result<(), Error> {
        if timing.is_to_end() {
            let why = io::Error::new(io::ErrorKind::TimedOut, "the program waits for it no more");
            return Err(Error::io("discard generations of the mirror", self.home().path(), why));
        }
        self.near.check()
    }

    /// Copies this generation, or fails.
    fn send_at_once(&mut self, generation: u64, timing: &Arc<dyn Timing>) -> Result<(), Error> {
        let why = match self.send(generation, timing, &mut Updated::default())? {
            Step::Done => return Ok(()),
            Step::Unread(error) => return Err(error),
            Step::Left => "the directory does not have it whole",
            Step::Ended => "there was no time for that",
        };
        let path = self.home().location(generation);
        Err(Error::io(
            "copy the generation that stays, before newer ones are removed, to",
            &path,
            io::Error::other(why),
        ))
    }

    fn discard(&mut self, generation: u64, timing: &Arc<dyn Timing>) -> Result<(), Error> {
        self.check_is_wanted(timing)?;
        let path = self.home().location(generation);
        match self.claim.remove(generation) {
            Ok(true) => {}
            Ok(false) => return Err(Error::NotDiscarded { path, generation }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::writing("remove", &path, source)),
        }
        for known in [&mut self.damaged_far, &mut self.not_lasting, &mut self.verified] {
            known.remove(&generation);
        }
        self.metrics.remove(&generation);
        Ok(())
    }
}
