//! [`SharedStop`]: the reasons to stop a run whose parts ask each for itself, as the steps of a
//! pipeline do.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::limit::Pace;
use super::{RequestKind, Settings, Stop};
use crate::base::warnings::HeldGuard;
use crate::error::Error;
use crate::outcome::{ExitCodes, StopReason};
use crate::schedule::SaveTakes;
use crate::store::{Guard, Process, Until};

/// The reasons to stop a whole run. The first one that a part of the run finds counts for all
/// parts.
#[derive(Debug)]
pub(crate) struct SharedStop {
    stop: Mutex<Stop>,
    exit_codes: ExitCodes,
    process: Process,
}

impl SharedStop {
    /// See [`Stop::new`].
    pub(crate) fn new(settings: &Settings, directory: &Path, begun: Instant) -> Result<SharedStop, Error> {
        let stop = Stop::new(settings, directory, begun)?;
        let exit_codes = stop.exit_codes();
        Ok(SharedStop { stop: Mutex::new(stop), exit_codes, process: Process::current() })
    }

    /// See [`Stop::until`].
    pub(crate) fn until(&self) -> Option<Until> {
        self.lock().map(|stop| stop.until())
    }

    /// Records that the directory is now the program's.
    pub(crate) fn begin(&self, guard: &Arc<Guard>) {
        if let Some(mut stop) = self.lock() {
            stop.begin(guard);
        }
    }

    /// Records that the directory is the program's together with others.
    pub(crate) fn join(&self, guard: &Arc<Guard>) {
        if let Some(mut stop) = self.lock() {
            stop.join(guard);
        }
    }

    /// The request that a part of the run was told of.
    pub(crate) fn heard(&self) -> Option<RequestKind> {
        self.lock()?.heard()
    }

    /// Removes a request that all programs have met that it is meant for.
    pub(crate) fn meet_for_all(&self, kind: RequestKind) {
        if let Some(stop) = self.lock() {
            stop.meet(kind);
        }
    }

    /// The reason to stop, for this duration of a save and of a step of the part that asks.
    pub(crate) fn reason(
        &self,
        now: Instant,
        save_takes: impl Into<SaveTakes>,
        step: Duration,
    ) -> Option<StopReason> {
        let mut stop = self.lock()?;
        if stop.reason.is_none() {
            stop.reason = stop.look(now, save_takes.into(), step);
        }
        stop.was_asked |= stop.reason.is_some();
        stop.reason.clone()
    }

    /// Removes the request that was the reason: it is met, and the next run is to start. The reason
    /// stays for the other parts of this run.
    pub(crate) fn meet(&self) {
        if let Some(mut stop) = self.lock() {
            let reason = stop.take_reason();
            stop.reason = reason;
        }
    }

    /// Ends the run. Warns of a signal that no part asked about. If the run is `alone`, a request
    /// that a part was told of is met.
    pub(crate) fn leave(&self, alone: bool) {
        if let Some(mut stop) = self.lock() {
            stop.leave();
            stop.note_end();
            if alone && stop.was_asked {
                stop.take_reason();
            }
        }
    }

    /// The exit codes that tell how the program ended.
    pub(crate) fn exit_codes(&self) -> ExitCodes {
        self.exit_codes
    }

    /// `None` in a forked process that cannot have the lock.
    fn lock(&self) -> Option<HeldGuard<'_, Stop>> {
        // The code of the program that takes the warnings may ask for a reason.
        self.process.lock(&self.stop).map(HeldGuard::new)
    }
}

/// Asks for the reasons of a whole run, for a part without checkpoints of its own.
#[derive(Debug)]
pub(crate) struct Asking {
    whole: Arc<SharedStop>,
    pace: Mutex<Pace>,
}

impl Asking {
    pub(crate) fn new(whole: &Arc<SharedStop>) -> Asking {
        Asking { whole: Arc::clone(whole), pace: Mutex::default() }
    }

    /// The reason to stop. The time between two calls counts as a step of the program.
    pub(crate) fn reason(&self) -> Option<StopReason> {
        let now = Instant::now();
        let step = self.pace.lock().unwrap_or_else(PoisonError::into_inner).step(now);
        self.whole.reason(now, Duration::ZERO, step)
    }
}
