//! Why a run is to stop before its end: a signal, the end of its time, or somebody's wish.
//!
//! ```text
//! signals.rs ───────────▶ ┐
//! deadline.rs ─▶ job.rs ─▶ ├──▶ Stop::reason, asked in each turn of the program's loop
//! halt.rs ──────────────▶ ┘
//! ```
//!
//! `deadline` finds the times in the environment. `batch` asks the batch system for them, `answer` reads what it says, and
//! `job` asks again while the program runs. `limit` says how long before a time the last save must begin. The first reason that
//! is found stays.

mod answer;
mod batch;
mod deadline;
mod halt;
mod job;
mod limit;
mod signals;
#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::base::warnings::warn;
use crate::error::Error;
use crate::outcome::ExitCodes;
use crate::store::Claim;
use deadline::{Deadlines, Environment};
use halt::{Request, Wish};
use job::Job;
use limit::{Limit, Pace};
use signals::Listener;

pub use crate::outcome::{EXIT_HALTED, EXIT_REQUEUE, Signal, StopReason};
pub use halt::{request_halt, request_requeue};

/// How often the halt file and the clock on the wall are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a run is to stop on, besides the halt file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) signals: Vec<Signal>,
    pub(crate) time_limit: Option<Duration>,
    /// Whether the batch system's times count, and `CHECKPOINT_DEADLINE`.
    pub(crate) deadline: bool,
    pub(crate) exit_codes: ExitCodes,
}

/// Watches for a reason to stop.
#[derive(Debug)]
pub(crate) struct Stop {
    listener: Listener,
    limits: Vec<Limit>,
    job: Option<Job>,
    pace: Pace,
    halt: Request,
    requeue: Request,
    /// On the directory in which the requests are. In one that took its place they are meant for
    /// another program.
    claim: Option<Arc<Claim>>,
    exit_codes: ExitCodes,
    next_look: Instant,
    reason: Option<StopReason>,
    /// Whether anybody asked since there is a reason.
    told: bool,
}

impl Stop {
    /// Begins to listen to the signals, and reads the deadlines. What is wrong with one of a batch system is a
    /// warning.
    pub(crate) fn new(settings: &Settings, directory: &Path, begun: Instant) -> Result<Stop, Error> {
        let exit_codes = settings.exit_codes.in_environment()?;
        // First, so that a signal during a slow answer of the batch system is not missed.
        let listener = Listener::new(&settings.signals)?;
        let Deadlines { ours, job, system, tasks } = match settings.deadline {
            true => deadline::all(&Environment::of_process()?)?,
            false => Deadlines::default(),
        };
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut limits = Vec::new();
        limits.extend(settings.time_limit.and_then(|limit| Limit::after(limit, begun)));
        limits.extend(ours.and_then(|found| Limit::at(found.at, found.source, now, wall)));
        let job = match system {
            Some(system) => {
                let source = system.name();
                Some(Job::new(job, source, Arc::new(move || system.end()), tasks, now, wall))
            }
            None => {
                limits.extend(job.and_then(|found| Limit::at(found.at, found.source, now, wall)));
                None
            }
        };
        Ok(Stop {
            listener,
            limits,
            job,
            pace: Pace::default(),
            halt: Request::new(Wish::Halt, directory),
            requeue: Request::new(Wish::Requeue, directory),
            claim: None,
            exit_codes,
            next_look: now,
            reason: None,
            told: false,
        })
    }

    /// The directory is the program's now: before, the requests were those of the one that had it.
    pub(crate) fn begin(&mut self, claim: &Arc<Claim>) {
        // What it asks for is done: the program is started again.
        self.requeue.consume();
        self.claim = Some(Arc::clone(claim));
    }

    fn has_place(&self) -> bool {
        self.claim.as_ref().is_none_or(|claim| claim.check_place().is_ok())
    }

    /// Why the program is to stop, where a save takes so long. Once there is a reason it stays.
    pub(crate) fn reason(&mut self, now: Instant, save_takes: Duration) -> Option<&StopReason> {
        if self.reason.is_none() {
            self.reason = self.look(now, save_takes);
        }
        self.told |= self.reason.is_some();
        self.reason.as_ref()
    }

    /// The reason, which is so dealt with: the run ends by it, and its last state is saved. A halt file that was the reason
    /// is removed, so that the program may be started again, and so is a requeue file, whatever the reason.
    pub(crate) fn take_reason(&mut self) -> Option<StopReason> {
        let reason = self.reason.take();
        if !self.has_place() {
            return reason;
        }
        if let Some(StopReason::Halt { .. }) = reason {
            self.halt.consume();
        }
        if reason.is_some() {
            self.requeue.consume();
        }
        reason
    }

    /// The run is over: a signal that nobody asked for is told of.
    pub(crate) fn leave(&mut self) {
        if let Some(signal) = self.listener.heard().filter(|_| !self.told) {
            warn(format!(
                "the program got {signal}, which asks it to stop, and never asked whether it should: call `should_stop` or \
                 `save_if_due` in its loop"
            ));
        }
    }

    /// By which codes the program tells how it ended.
    pub(crate) fn exit_codes(&self) -> ExitCodes {
        self.exit_codes
    }

    fn look(&mut self, now: Instant, save_takes: Duration) -> Option<StopReason> {
        if let Some(signal) = self.listener.heard() {
            return Some(StopReason::Signal(signal));
        }
        let step = self.pace.step(now);
        if let Some(limit) = self.limits.iter().find(|limit| limit.is_near(now, save_takes, step)) {
            return Some(limit.reason());
        }
        if let Some(reason) = self.job.as_mut().and_then(|job| job.reason(now, save_takes, step)) {
            return Some(reason);
        }
        if now < self.next_look {
            return None;
        }
        self.next_look = now + LOOK_EVERY;
        let wall = SystemTime::now();
        self.limits.iter_mut().for_each(|limit| limit.check(now, wall));
        if let Some(job) = &mut self.job {
            job.look(now, wall, save_takes, step);
        }
        if !self.has_place() {
            return None;
        }
        let halt = self.halt.found().map(|message| StopReason::Halt { message });
        halt.or_else(|| self.requeue.found().map(|message| StopReason::Requeue { message }))
    }
}
