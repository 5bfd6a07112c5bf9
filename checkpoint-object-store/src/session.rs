//! The right to save: whoever claims last has it.
//!
//! A claim is an object with the next number, an epoch, that is created only where there is none.
//! The names of generations carry the epoch of their run, so each name is used once, and each write
//! can be repeated. After each save the run looks for a higher claim; only then the save counts.
//!
//! The number of a generation decides first, then its epoch. So a run must never use a number that
//! is more than one above those that a later run knows of. All that exist are in its listing. After
//! a save with an unknown outcome the run claims again, and writes the number into the claim: a
//! later run begins above it.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use checkpointed::Error;
use checkpointed::home::{invalid_setting, not_read, not_written, taken_over};
use serde::{Deserialize, Serialize};

use crate::place::{Listing, Place};

/// The attempts to claim, where others claim too.
const ATTEMPTS: u32 = 100;

/// The requests that create the first claim of a place, all at the same time.
const AT_ONCE: usize = 8;

/// The length of the first claim of a place, with spaces. Between its look and its write, a server
/// that does not do both as one receives it.
const LONG_CLAIM: usize = 32 << 10;

/// The holder of a place where no attempt succeeds.
const AGAIN_AND_AGAIN: &str = "other programs, which start again and again";

/// The content of a claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Claimed {
    /// The name of the run: random.
    run: String,
    host: String,
    process: u32,
    /// The highest number that this run, or one before it, may have used.
    last: u64,
}

impl Claimed {
    fn text(&self) -> String {
        format!("process {} on {} (run {})", self.process, self.host, self.run)
    }

    fn bytes(&self) -> io::Result<Bytes> {
        Ok(serde_json::to_vec(self)?.into())
    }
}

/// The outcome of an attempt to create a claim.
enum Created {
    Ours,
    /// The claim of another run, in words.
    Others(String),
    /// There is none, or there is none any more.
    Nothing,
}

/// The number of epochs that a run leaves out where all claims were removed: those of other runs
/// were among them.
const BEYOND_REMOVED: u64 = 1000;

/// A claim of this epoch in words, if its text can be read.
fn described(claimed: Option<Claimed>, epoch: u64) -> String {
    claimed.map_or_else(|| format!("the run of epoch {epoch}"), |claimed| claimed.text())
}

/// One run at a place.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) place: Arc<Place>,
    me: Claimed,
    /// The number of the job, in the place of a member of a group.
    pub(crate) job: Option<u64>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    epoch: u64,
    /// The first epoch of this run. It has several where it claimed again.
    first: u64,
    /// The highest number once it had claimed the place, and the highest that a run before it can
    /// still write.
    before: (u64, u64),
    /// Earlier claims of this run, to remove with the next objects.
    pub(crate) old_claims: Vec<u64>,
    /// The highest number that a later run knows of.
    pub(crate) known: u64,
    /// The run that has the place now.
    pub(crate) taken_by: Option<String>,
    /// Objects to remove together with others. For this run they are gone.
    pub(crate) removed: BTreeMap<(u64, u64), Removal>,
    /// The number of times that objects were removed.
    pub(crate) removals: u64,
    /// True once the program was told of an object that could not be removed.
    pub(crate) has_warned: bool,
    /// True from a listing on until a generation is begun or read.
    has_just_listed: bool,
}

/// The removal of an object that is still there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Removal {
    /// The number of times that it failed.
    pub(crate) failed: u32,
    /// The number of the removal with which it is tried again: after each failure, twice as many
    /// pass without it.
    pub(crate) at: u64,
}

impl Session {
    /// Claims a place, or that of a member of a group for a job.
    pub(crate) fn begin(place: &Arc<Place>, job: Option<u64>) -> Result<Arc<Session>, Error> {
        let mut random = [0; 8];
        getrandom::fill(&mut random)
            .map_err(|error| not_read("draw a name for the run at", &place.path, io::Error::other(error)))?;
        let run = random.iter().fold(String::new(), |mut run, byte| {
            let _ = write!(run, "{byte:02x}");
            run
        });
        let me = Claimed { run, host: host(), process: std::process::id(), last: 0 };
        let session = Session { place: Arc::clone(place), me, job, state: Mutex::default() };
        match job {
            Some(job) => session.claim_for(job)?,
            None => session.claim(0, 0)?,
        }
        // What was there before the claim is in this listing: the run begins after it.
        let listing = session.list()?;
        let epoch = session.epoch();
        if listing.last_claim() > epoch {
            return Err(session.taken(session.holder(listing.last_claim())));
        }
        {
            let mut state = session.state();
            state.known = listing.last().max(state.known);
            state.first = epoch;
            state.before = (listing.last(), state.known.saturating_add(1));
        }
        let old = listing.claims.range(..epoch).map(|epoch| place.claim_key(*epoch)).collect::<Vec<_>>();
        if !old.is_empty() {
            // The next run tries again.
            let _ = place.remove(old);
        }
        Ok(Arc::new(session))
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.state().epoch
    }

    /// The highest number that a later run knows of.
    pub(crate) fn known(&self) -> u64 {
        self.state().known
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, by: String) -> Error {
        self.state().taken_by = Some(by.clone());
        taken_over(&self.place.path, by)
    }

    /// Claims the next epoch, or `at_least` this one. `used` is the highest number that this run
    /// may have used.
    pub(crate) fn claim(&self, used: u64, at_least: u64) -> Result<(), Error> {
        for attempt in 0..ATTEMPTS {
            let listing = self.list()?;
            let highest = listing.last_claim();
            if self.epoch() > 0 {
                self.check_is_last(&listing)?;
            }
            let mine = self.epoch();
            let mut claimed = Claimed { last: used.max(listing.last()), ..self.me.clone() };
            if highest > 0 {
                match self.read(highest) {
                    Ok(before) => claimed.last = claimed.last.max(before.map_or(0, |before| before.last)),
                    // A later run removed it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(source) => return Err(self.claim_not_read(highest, source)),
                }
            }
            // The claims may have been removed. A run at the epoch of a generation may go on.
            let mut before = highest.max(listing.last_epoch()).max(mine);
            if highest == 0 && before > 0 {
                // Another run may have had the next ones, and not saved yet.
                before = before.saturating_add(BEYOND_REMOVED);
            }
            let epoch = before.max(at_least.saturating_sub(1)).checked_add(1).ok_or_else(|| {
                invalid_setting(
                    format!("the place {}", self.place.path.display()),
                    "it has a claim of the greatest possible number: use another prefix",
                )
            })?;
            let requests = if epoch == 1 { AT_ONCE } else { 1 };
            match self.create(epoch, &claimed, requests, attempt)? {
                Created::Ours => {}
                Created::Others(_) | Created::Nothing => continue,
            }
            if mine == 0 {
                self.probe(epoch, &claimed)?;
            } else {
                // While this claim was on its way, a later run may have begun and removed all below
                // its own: then the name was free, and means nothing.
                let highest = self.list()?.last_claim();
                if highest > epoch {
                    return Err(self.taken(self.holder(highest)));
                }
            }
            let mut state = self.state();
            if mine > 0 {
                let former = state.epoch;
                state.old_claims.push(former);
            }
            (state.epoch, state.known) = (epoch, claimed.last);
            return Ok(());
        }
        Err(taken_over(&self.place.path, AGAIN_AND_AGAIN.to_owned()))
    }

    /// Claims the place of a member of a group for a job. The job has its number from its claim of
    /// the root, which it made before: so a job with a higher number came later, in whatever order
    /// the members of both claim.
    fn claim_for(&self, job: u64) -> Result<(), Error> {
        for attempt in 0..ATTEMPTS {
            let listing = self.list()?;
            let highest = listing.last_claim();
            if highest > job {
                return Err(self.taken(self.holder(highest)));
            }
            let claimed = Claimed { last: listing.last(), ..self.me.clone() };
            match self.create(job, &claimed, 1, attempt)? {
                Created::Ours => {
                    let mut state = self.state();
                    (state.epoch, state.known) = (job, claimed.last);
                    return Ok(());
                }
                Created::Others(by) => return Err(self.taken(by)),
                Created::Nothing => {}
            }
        }
        Err(taken_over(&self.place.path, AGAIN_AND_AGAIN.to_owned()))
    }

    /// Creates a claim where there is none, by this number of requests at the same time. Where two
    /// succeed, the server looks first, and writes then: no claim means anything. Or a later run
    /// has removed what the first of them created.
    fn create(&self, epoch: u64, claimed: &Claimed, requests: usize, attempt: u32) -> Result<Created, Error> {
        let key = self.place.claim_key(epoch);
        let failed = |source| not_written("claim", &self.place.location(&key), source);
        let mut bytes = claimed.bytes().map_err(failed)?;
        if requests > 1 {
            let spaces = LONG_CLAIM.saturating_sub(bytes.len());
            bytes = [&bytes[..], &vec![b' '; spaces]].concat().into();
        }
        let outcomes = self.place.create(&key, &bytes, requests).map_err(failed)?;
        let mut errors: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        match requests - errors.len() {
            0 => {}
            1 => return Ok(Created::Ours),
            _ => return Err(self.created_twice(epoch)),
        }
        // That it exists is what an attempt meets that comes after a lost answer.
        errors.sort_by_key(|error| matches!(error, object_store::Error::AlreadyExists { .. }));
        let Some(error) = errors.into_iter().next() else { return Ok(Created::Nothing) };
        // An answer may be lost, and a conflict may be over: the object tells.
        let is_ours = |found: &Claimed| {
            // An earlier attempt for the same job may have come late.
            found.run == self.me.run && (self.job.is_some() || found.last == claimed.last)
        };
        match self.read(epoch) {
            Ok(Some(found)) if is_ours(&found) => Ok(Created::Ours),
            Ok(found) => Ok(Created::Others(described(found, epoch))),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                if !matches!(error, object_store::Error::AlreadyExists { .. }) {
                    return Err(failed(crate::place::failed(error)));
                }
                std::thread::sleep(Duration::from_millis(5 << attempt.min(7)));
                Ok(Created::Nothing)
            }
            Err(_) => Err(failed(crate::place::failed(error))),
        }
    }

    /// Checks that no later run has begun. Where the claim of this run was removed, a later one is
    /// told by its own, or by what it has saved.
    pub(crate) fn check_is_last(&self, listing: &Listing) -> Result<(), Error> {
        let (mine, highest, saved) = (self.epoch(), listing.last_claim(), listing.last_epoch());
        if highest > mine {
            return self.check_is_mine(highest);
        }
        if (1..mine).contains(&highest) {
            match self.read(highest) {
                // An earlier claim of this run.
                Ok(Some(claimed)) if claimed.run == self.me.run => {}
                Ok(found) => return Err(self.taken(described(found, highest))),
                Err(missing) if missing.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(self.claim_not_read(highest, source)),
            }
        }
        if highest < mine && saved > mine {
            return Err(self.taken(described(None, saved)));
        }
        Ok(())
    }

    /// Adopts a claim above that of this run, if it is its own: its answer was lost. One that
    /// cannot be read just now tells nothing.
    pub(crate) fn check_is_mine(&self, highest: u64) -> Result<(), Error> {
        match self.read(highest) {
            Ok(Some(claimed)) if claimed.run == self.me.run => {
                let mut state = self.state();
                (state.epoch, state.known) = (highest, claimed.last);
                Ok(())
            }
            Ok(found) => Err(self.taken(described(found, highest))),
            // A run after that one removed it.
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
                Err(self.taken(described(None, highest)))
            }
            Err(source) => Err(self.claim_not_read(highest, source)),
        }
    }

    /// The error of a claim that the store does not give.
    fn claim_not_read(&self, epoch: u64, source: io::Error) -> Error {
        not_read("read", &self.place.location(&self.place.claim_key(epoch)), source)
    }

    /// Checks that the server refuses to create what exists: no claim means anything otherwise.
    fn probe(&self, epoch: u64, claimed: &Claimed) -> Result<(), Error> {
        let key = self.place.claim_key(epoch);
        let failed = |source| not_written("claim", &self.place.location(&key), source);
        let bytes = claimed.bytes().map_err(failed)?;
        let created = self.place.create(&key, &bytes, 1).map_err(failed)?.pop();
        match created.unwrap_or(Ok(())) {
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(())
            }
            Err(error) => Err(failed(crate::place::failed(error))),
            Ok(()) => Err(self.created_twice(epoch)),
        }
    }

    /// The error of two creations of one claim. A later run may have removed the first before the
    /// second came; otherwise the server is at fault.
    fn created_twice(&self, epoch: u64) -> Error {
        match self.list().map(|listing| listing.last_claim()) {
            Ok(highest) if highest > epoch => self.taken(self.holder(highest)),
            Ok(_) => self.refused(),
            Err(error) => error,
        }
    }

    /// The error of a server on which a claim means nothing.
    fn refused(&self) -> Error {
        invalid_setting(
            format!("the place {}", self.place.path.display()),
            "its server ignores `If-None-Match`, or keeps it only for requests that come one after another, so two \
             programs could save there at the same time and lose each other's checkpoints: use a server that keeps \
             conditional writes",
        )
    }

    fn list(&self) -> Result<Listing, Error> {
        self.place.list().map_err(|source| not_read("list", &self.place.path, source))
    }

    /// The claim of an epoch; `None` if another program wrote it.
    fn read(&self, epoch: u64) -> io::Result<Option<Claimed>> {
        let bytes = self.place.get(&self.place.claim_key(epoch))?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    fn holder(&self, epoch: u64) -> String {
        described(self.read(epoch).ok().flatten(), epoch)
    }

    /// Ends the writing of an object.
    ///
    /// A part of a group needs no look: it counts by the table, and the root is looked at after
    /// that. Whoever claims the place of a member has claimed the root before.
    pub(crate) fn written(&self, generation: (u64, u64), length: u64) -> Result<(), Error> {
        match self.job {
            Some(_) => {
                self.place.note(generation, length);
                Ok(())
            }
            None => self.look_after(generation, length),
        }
    }

    /// Ends a save: it counts if no other run claimed the place before.
    fn look_after(&self, generation: (u64, u64), length: u64) -> Result<(), Error> {
        let listing = self.list()?;
        let highest = listing.last_claim();
        match highest.cmp(&self.epoch()) {
            Ordering::Greater => self.check_is_mine(highest)?,
            Ordering::Equal => {}
            // The claims were removed. Without one, a later run would not be after this one.
            Ordering::Less if highest == 0 => self.claim(generation.0, 0)?,
            Ordering::Less => return Err(self.taken(self.holder(highest))),
        }
        if listing.generations.get(&generation) != Some(&length) {
            let location = self.place.location(&self.place.key(generation.0, generation.1));
            let why = "the server said that it is written, and does not list it with its length";
            return Err(not_written("publish", &location, io::Error::new(io::ErrorKind::NetworkDown, why)));
        }
        self.remove_late(&listing);
        let mut state = self.state();
        state.known = state.known.max(generation.0);
        state.has_just_listed = true;
        Ok(())
    }

    /// Removes objects of former runs that came after this one had claimed the place: their saves
    /// cannot count any more.
    pub(crate) fn remove_late(&self, listing: &Listing) {
        let late: Vec<(u64, u64)> = {
            let state = self.state();
            listing.generations.keys().filter(|object| state.is_late(**object)).copied().collect()
        };
        if late.is_empty() || listing.last_claim() > self.epoch() {
            return;
        }
        let keys = late.iter().map(|(number, epoch)| self.place.key(*number, *epoch));
        // They are tried again at the next listing.
        if self.place.remove(keys.collect()).is_empty() {
            late.into_iter().for_each(|object| self.place.forget(object));
        }
    }

    /// True if the last listing is that of the save that just ended, or later.
    pub(crate) fn has_just_listed(&self) -> bool {
        self.state().has_just_listed
    }

    /// Notes that the last listing counts as new, or that it does not any more.
    pub(crate) fn lists(&self, has_just_listed: bool) {
        self.state().has_just_listed = has_just_listed;
    }

    /// A listing without the objects that are gone for this run, or came late.
    pub(crate) fn without_gone(&self, mut listing: Listing) -> Listing {
        let state = self.state();
        let is_gone = |object: &(u64, u64)| state.removed.contains_key(object) || state.is_late(*object);
        listing.generations.retain(|object, _| !is_gone(object));
        listing
    }
}

impl State {
    /// True if an object is to be removed, and its turn has come.
    pub(crate) fn is_removal_due(&self) -> bool {
        self.removed.values().any(|removal| removal.at <= self.removals)
    }

    /// True for an object of a former run that came after this one had claimed the place. Such a
    /// run finds the claim once its object is there, so no program was told that it counts. Others,
    /// as those without an epoch, a user has put there.
    fn is_late(&self, (number, epoch): (u64, u64)) -> bool {
        let (newest, last) = self.before;
        (1..self.first).contains(&epoch) && newest < number && number <= last
    }
}

/// The name of the machine, for people.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok());
    name.map_or_else(|| "an unknown host".to_owned(), |name| name.trim().to_owned())
}
