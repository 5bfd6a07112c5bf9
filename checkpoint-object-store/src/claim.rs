//! A place that a run has, as the library sees it: begins its saves, and removes its old objects.

use std::collections::BTreeMap;
use std::io;
use std::path::Path as FilePath;
use std::sync::Arc;

use checkpointed::Error;
use checkpointed::home::{
    Claim, Claiming, Draft, Guard, Home, Lock, not_read, not_written, taken_over, warn,
};
use object_store::path::Path;

use crate::ObjectHome;
use crate::draft::ObjectDraft;
use crate::place::{Listing, Place};
use crate::session::{Removal, Session};

/// The removals that are sent together.
const TOGETHER: usize = 64;

/// The claim of a session, for the library to check.
#[derive(Debug)]
struct SessionLock(Arc<Session>);

impl Lock for SessionLock {
    fn stands(&self) -> io::Result<bool> {
        Ok(self.0.state().taken_by.is_none())
    }

    fn lost(&self, path: &FilePath) -> Error {
        taken_over(path, self.0.state().taken_by.clone().unwrap_or_default())
    }

    /// A forked process does not save; its parent's thread may hold the mutex.
    fn is_in_place(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn touch(&self) {}
}

/// The right to save at a place, until another run claims it.
#[derive(Debug)]
pub(crate) struct ObjectClaim {
    session: Arc<Session>,
    home: Arc<dyn Home>,
    guard: Arc<Guard>,
    /// The length of the objects to remove, in bytes.
    bytes: u64,
}

impl ObjectClaim {
    pub(crate) fn take(place: &Arc<Place>, claiming: &Claiming) -> Result<ObjectClaim, Error> {
        let session = Session::begin(place, claiming.job)?;
        let guard = Guard::new(&place.path, Box::new(SessionLock(Arc::clone(&session))), &claiming.within);
        let home = Arc::new(ObjectHome::claimed(place, &session));
        Ok(ObjectClaim { session, home, guard, bytes: 0 })
    }

    /// Removes what was noted: what no pin keeps meanwhile, and nothing if a later run has the
    /// place. Then the claim does not stand any more. An object that could not be removed before is
    /// left out until its turn comes. An error means that one is still there.
    fn flush(&mut self) -> io::Result<()> {
        if !self.session.state().is_removal_due() {
            self.bytes = 0;
            return Ok(());
        }
        let listing = self.session.place.list()?;
        self.flush_by(&listing)
    }

    /// Does that by a listing that was just made.
    fn flush_by(&mut self, listing: &Listing) -> io::Result<()> {
        let place = &self.session.place;
        self.bytes = 0;
        let now = {
            let mut state = self.session.state();
            if !state.is_removal_due() {
                return Ok(());
            }
            state.removals += 1;
            state.removals - 1
        };
        if let Err(why) = self.session.check_is_last(listing) {
            let mut state = self.session.state();
            if state.taken_by.is_none() {
                return Err(io::Error::other(why));
            }
            state.removed.clear();
            return Ok(());
        }
        let objects: Vec<(u64, u64)> = {
            let mut state = self.session.state();
            state.removed.retain(|(number, _), _| !listing.pins.contains(number));
            let due = state.removed.iter().filter(|(_, removal)| removal.at <= now);
            due.map(|(object, _)| *object).collect()
        };
        let key = |(number, epoch): &(u64, u64)| place.key(*number, *epoch);
        // They go with the objects; what stays is removed by the next run.
        let claims = std::mem::take(&mut self.session.state().old_claims);
        let keys = objects.iter().map(key).chain(claims.into_iter().map(|epoch| place.claim_key(epoch)));
        let left: BTreeMap<Path, io::Error> = place.remove(keys.collect()).into_iter().collect();
        for object in objects {
            if left.contains_key(&key(&object)) {
                if let Some(removal) = self.session.state().removed.get_mut(&object) {
                    removal.failed = removal.failed.saturating_add(1);
                    removal.at = now.saturating_add(1 << removal.failed.min(32));
                }
            } else {
                self.session.state().removed.remove(&object);
                place.forget(object);
            }
        }
        let mut generations = left.into_iter().filter(|(key, _)| !place.is_claim(key));
        generations.next().map_or(Ok(()), |(_, why)| Err(why))
    }

    /// Removes what was noted, and tells if a generation is gone then: a pin may have come before,
    /// or another run.
    fn flush_with(&mut self, generation: u64) -> io::Result<bool> {
        self.flush()?;
        if let Some(by) = self.session.state().taken_by.clone() {
            return Err(io::Error::other(format!("{by} has taken the place over")));
        }
        let listing = self.session.place.known()?;
        let objects = (generation, 0)..=(generation, self.session.epoch());
        Ok(listing.generations.range(objects).next().is_none())
    }

    /// Tells the program, once, that objects stay.
    fn warn(&self, why: &io::Error) {
        if !std::mem::replace(&mut self.session.state().has_warned, true) {
            let path = self.session.place.path.display();
            warn(format!(
                "old generations in {path} cannot be removed, and cost their space: {why}; this run tries again, ever more \
                 rarely, and the next run does too"
            ));
        }
    }

    /// Notes the objects of a generation to remove. Returns false where a pin keeps it.
    fn note(&mut self, generation: u64) -> io::Result<bool> {
        let listing = self.session.place.known()?;
        if listing.pins.contains(&generation) {
            return Ok(false);
        }
        let epoch = self.session.epoch();
        let found = listing.generations.range((generation, 0)..=(generation, epoch));
        let mut state = self.session.state();
        let mut is_there = false;
        for (object, length) in found {
            is_there = true;
            if state.removed.insert(*object, Removal::default()).is_none() {
                self.bytes = self.bytes.saturating_add(*length);
            }
        }
        if generation >= listing.last() {
            // A later run will not find this number: the next save claims again, and tells it.
            state.known = 0;
        }
        if is_there { Ok(true) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

impl Claim for ObjectClaim {
    fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    fn home(&self) -> &Arc<dyn Home> {
        &self.home
    }

    fn job(&self) -> Option<u64> {
        Some(self.session.epoch())
    }

    fn raise_job(&mut self, at_least: u64) -> Result<(), Error> {
        if self.session.epoch() >= at_least {
            return Ok(());
        }
        self.session.claim(self.session.known(), at_least)
    }

    /// The listing at the end of a save serves for the removals after it.
    fn settle(&mut self) -> Result<Vec<u64>, Error> {
        let place = Arc::clone(&self.session.place);
        let unlisted = |source| not_read("list", &place.path, source);
        let listing = if self.session.has_just_listed() { place.known() } else { place.list() };
        if let Err(why) = self.flush_by(&listing.map_err(unlisted)?) {
            self.warn(&why);
        }
        let taken_by = self.session.state().taken_by.clone();
        match taken_by {
            Some(by) => Err(taken_over(&place.path, by)),
            None => Ok(place.known().map_err(unlisted)?.numbers()),
        }
    }

    fn begin(&mut self, generation: u64) -> Result<Box<dyn Draft>, Error> {
        self.session.lists(false);
        let (known, epoch) = (self.session.known(), self.session.epoch());
        // A removal that was put off, or whose answer was lost, would take the new object too.
        let is_given_up = self.session.state().removed.contains_key(&(generation, epoch));
        // The number of a part counts for nothing without its table.
        if self.session.job.is_none() && (generation > known.saturating_add(1) || is_given_up) {
            self.session.claim(known.max(generation.saturating_sub(1)), 0)?;
        }
        Ok(Box::new(ObjectDraft::new(&self.session, generation)))
    }

    /// What the store lists is durable.
    fn keep_for_good(&self, _: u64) -> Result<(), Error> {
        Ok(())
    }

    /// A new object of the number has a higher epoch, or replaces the damaged one of this run.
    fn move_aside(&mut self, _: u64) -> Result<(), Error> {
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        let flushed = self.flush();
        let path = &self.session.place.path;
        flushed.map_err(|source| not_written("remove old objects of", path, source))?;
        match &self.session.state().taken_by {
            Some(by) => Err(taken_over(path, by.clone())),
            None => Ok(()),
        }
    }

    /// What was removed is tried again at once, and looked for at the store: this run does not see
    /// it any more, and the next one would.
    fn end_removals_after(&mut self, generation: u64, but: Option<u64>) -> Result<(), Error> {
        for ((number, _), removal) in &mut self.session.state().removed {
            if *number > generation {
                removal.at = 0;
            }
        }
        let flushed = self.flush();
        let path = &self.session.place.path;
        if let Some(by) = self.session.state().taken_by.clone() {
            return Err(taken_over(path, by));
        }
        let listing = self.session.place.list().map_err(|source| not_read("list", path, source))?;
        let is_left = |number: &u64| *number > generation && Some(*number) != but;
        if let Some(left) = listing.numbers().into_iter().find(is_left) {
            let still = || io::Error::other("it is still there");
            return Err(not_written(
                "remove",
                &self.home.location(left),
                flushed.err().unwrap_or_else(still),
            ));
        }
        if let Err(why) = &flushed {
            self.warn(why);
        }
        Ok(())
    }

    fn remove_at_once(&mut self, generation: u64) -> io::Result<bool> {
        Ok(self.note(generation)? && self.flush_with(generation)?)
    }

    /// Small objects are removed together: each request costs.
    fn remove(&mut self, generation: u64) -> io::Result<bool> {
        if !self.note(generation)? {
            return Ok(false);
        }
        let listing = self.session.place.known()?;
        let part = self.session.place.settings.part_size as u64;
        let is_new = |removal: &&Removal| removal.failed == 0;
        let together = {
            let state = self.session.state();
            state.removed.values().filter(is_new).count() + state.old_claims.len()
        };
        if generation >= listing.last() {
            // A load would find it.
            return self.flush_with(generation);
        }
        if (together >= TOGETHER || self.bytes >= part)
            && let Err(why) = self.flush()
        {
            self.warn(&why);
        }
        Ok(true)
    }
}

impl Drop for ObjectClaim {
    fn drop(&mut self) {
        if self.guard.is_of_this_process() && self.session.state().taken_by.is_none() {
            // The next run tries again.
            let _ = self.flush();
        }
    }
}
