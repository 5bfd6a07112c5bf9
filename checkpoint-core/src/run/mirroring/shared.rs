//! The state that a run and the thread of its mirror share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::store::Home;
use crate::store::mirror::{Standing, Timing};

/// The state, and how the two sides wait for each other.
#[derive(Debug)]
pub(crate) struct Shared {
    begun: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// The newest generation that the run has acknowledged; `None` until the run has begun.
    pub(super) newest: Option<u64>,
    /// The newest generation that a copy or a look found at the mirror.
    pub(super) mirrored: Option<u64>,
    /// A generation that the run waits for.
    pub(super) asked: Option<u64>,
    /// The number of looks at the mirror that the run asked for, and of the last one that was made.
    pub(super) looks: u64,
    pub(super) looked: u64,
    /// The last task that succeeded.
    pub(super) done: Option<Task>,
    /// True to try again at once.
    pub(super) hurries: bool,
    /// The number of attempts that were begun.
    pub(super) attempts: u64,
    /// The last attempt, if it failed, and the reason.
    pub(super) failing: Option<(u64, String)>,
    /// The reason that the mirror gets no more copies in this run.
    pub(super) ended: Option<String>,
    /// The removal that the run waits for.
    pub(super) discards: Option<Discard>,
    /// The number of removals that were asked for.
    pub(super) discards_asked: u64,
    /// The outcome of the removal of this number.
    pub(super) discarded: Option<(u64, Result<(), Error>)>,
    /// The mirror, for reading, once it is known to be of this run.
    pub(super) home: Option<Arc<dyn Home>>,
    /// Generations that a restore found damaged at the mirror, of which the thread does not know
    /// yet.
    pub(super) damaged: Vec<u64>,
    /// The first contact, until the run takes it.
    pub(super) first: Option<Result<Start, Error>>,
    /// True if the run no longer waits for the first contact.
    pub(super) is_late: bool,
    pub(super) is_to_end: bool,
    pub(super) has_ended: bool,
}

/// The generations to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) up_to: u64,
    pub(super) asked: Option<u64>,
}

/// A removal of all generations after one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Discard {
    /// Tells it from an earlier one, whose outcome may come too late.
    pub(super) number: u64,
    pub(super) after: u64,
}

/// What the run learns when the mirror is first reached.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) home: Arc<dyn Home>,
    pub(super) standing: Standing,
    /// The highest number that was used there.
    pub(super) used: Option<u64>,
}

impl Shared {
    pub(super) fn new() -> Arc<Shared> {
        Arc::new(Shared { begun: Instant::now(), state: Mutex::default(), changed: Condvar::new() })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the other side of a change.
    pub(super) fn tell(&self) {
        self.changed.notify_all();
    }

    /// Waits for a change, at most until this moment.
    pub(super) fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, State> {
        match until {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let time = until.saturating_duration_since(Instant::now());
                self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Tells the thread of a generation that was acknowledged.
    pub(crate) fn saved(&self, generation: u64) {
        self.state().newest = Some(generation);
        self.tell();
    }
}

/// The time of one removal that the run waits for.
#[derive(Debug)]
pub(super) struct Discarding {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
}

impl Discarding {
    fn is_over(&self, state: &State) -> bool {
        state.is_to_end || state.discards.is_none_or(|discard| discard.number != self.number)
    }
}

impl Timing for Discarding {
    fn now(&self) -> Duration {
        self.shared.now()
    }

    fn wait(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        let state = self.shared.state();
        if !self.is_over(&state) {
            drop(self.shared.wait(state, until));
        }
    }

    fn is_to_end(&self) -> bool {
        self.is_over(&self.shared.state())
    }
}

impl Timing for Shared {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn wait(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        let state = self.state();
        if !state.is_to_end && state.discards.is_none() {
            drop(Shared::wait(self, state, until));
        }
    }

    fn is_to_end(&self) -> bool {
        let state = self.state();
        state.is_to_end || state.discards.is_some()
    }
}
