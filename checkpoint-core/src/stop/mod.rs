//! Reasons to stop a run before its end: a signal, the end of its time, or the request of a user.
//!
//! ```text
//! signals.rs ───────────▶ ┐
//! deadline.rs ─▶ job.rs ─▶ ├──▶ Stop::reason, asked in each turn of the program's loop
//! halt.rs ──────────────▶ ┘
//! ```
//!
//! `deadline` finds the times in the environment. `batch` asks the batch system for them, `answer`
//! parses its output, and `job` asks again while the program runs. `limit` computes how long before
//! a time the last save must begin. The first reason that is found stays. `shared` has the reasons
//! of a run whose parts ask each for itself, as the steps of a pipeline.

mod answer;
mod batch;
mod deadline;
mod halt;
mod job;
mod limit;
mod observer;
mod shared;
mod signals;
#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use crate::base::warnings::warn;
use crate::environment;
use crate::error::Error;
use crate::outcome::ExitCodes;
use crate::schedule::SaveTakes;
use crate::store::{Guard, Until};
use deadline::{Deadlines, Environment};
use halt::Request;
use job::Job;
use limit::{Limit, Pace};
use signals::Listener;

pub use crate::outcome::{EXIT_HALTED, EXIT_REQUEUE, Signal, StopReason};
pub(crate) use halt::{RequestKind, withdraw_halt};
pub use halt::{request_halt, request_requeue};
pub(crate) use observer::Observer;
pub(crate) use shared::{Asking, SharedStop};

/// The least time between two looks at the halt file and the wall clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The reasons for which a run stops, besides the halt file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) signals: Vec<Signal>,
    pub(crate) time_limit: Option<Duration>,
    /// True if the times of the batch system and `CHECKPOINT_DEADLINE` count.
    pub(crate) deadline: bool,
    pub(crate) exit_codes: ExitCodes,
    pub(crate) told: Told,
    /// The reasons of the run that this is a part of.
    pub(crate) whole: Option<Arc<SharedStop>>,
}

impl Settings {
    /// Applies the environment, which goes before the settings of the program.
    pub(crate) fn in_environment(mut self) -> Result<Settings, Error> {
        if let Some(limit) = environment::time(environment::TIME_LIMIT)? {
            self.time_limit = Some(limit);
        }
        if !self.deadline && self.whole.is_none() && environment::variable(environment::DEADLINE)?.is_some() {
            warn(format!(
                "{} does nothing: the program does not ask for deadlines, by `stop_before_deadline`",
                environment::DEADLINE
            ));
        }
        Ok(self)
    }

    /// The settings of a part of a run, which stops for the reasons of the run too.
    pub(crate) fn part_of(self, whole: &Arc<SharedStop>, told: Told) -> Settings {
        Settings { exit_codes: whole.exit_codes(), told, whole: Some(Arc::clone(whole)), ..self }
    }
}

/// The reason that a program was told to stop, and its exit code, for its caller in the library.
pub(crate) type Told = Arc<OnceLock<(StopReason, u8)>>;

/// Watches for a reason to stop.
#[derive(Debug)]
pub(crate) struct Stop {
    listener: Listener,
    limits: Vec<Limit>,
    job: Option<Job>,
    pace: Pace,
    halt: Request,
    requeue: Request,
    /// False where the place of the checkpoints has no files, and so no requests.
    has_requests: bool,
    /// The guard of the directory of the requests. In a directory that took its place, they are
    /// meant for another program.
    guard: Option<Arc<Guard>>,
    exit_codes: ExitCodes,
    told: Told,
    whole: Option<Arc<SharedStop>>,
    next_look: Instant,
    reason: Option<StopReason>,
    /// True if the program asked after a reason was found.
    was_asked: bool,
}

impl Stop {
    /// Starts to listen to the signals, and reads the deadlines. An invalid deadline of a batch
    /// system is a warning.
    pub(crate) fn new(settings: &Settings, directory: &Path, begun: Instant) -> Result<Stop, Error> {
        let exit_codes = settings.exit_codes.in_environment()?;
        // The listener comes first, so that a signal during a slow answer of the batch system is
        // not missed.
        let listener = Listener::new(&settings.signals)?;
        let Deadlines { ours, job, system, is_unknown, tasks } = match settings.deadline {
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
                let mut job = Job::new(job, source, Arc::new(move || system.end()), tasks, now, wall);
                if is_unknown {
                    job.is_unknown();
                }
                Some(job)
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
            halt: Request::new(RequestKind::Halt, directory),
            requeue: Request::new(RequestKind::Requeue, directory),
            has_requests: true,
            guard: None,
            exit_codes,
            told: Arc::clone(&settings.told),
            whole: settings.whole.clone(),
            next_look: now,
            reason: None,
            was_asked: false,
        })
    }

    /// Records that the directory is now the program's: before, requests were meant for its earlier
    /// holder.
    pub(crate) fn begin(&mut self, guard: &Arc<Guard>) {
        // This start fulfils the request.
        if self.has_requests {
            self.requeue.consume();
        }
        self.join(guard);
    }

    /// The same, for a program that joins others there: the requests are meant for them too.
    fn join(&mut self, guard: &Arc<Guard>) {
        self.guard = Some(Arc::clone(guard));
    }

    /// The request that the program was told of.
    fn heard(&self) -> Option<RequestKind> {
        match self.reason.as_ref().filter(|_| self.was_asked)? {
            StopReason::Halt { .. } => Some(RequestKind::Halt),
            StopReason::Requeue { .. } => Some(RequestKind::Requeue),
            _ => None,
        }
    }

    /// Removes a request that is met.
    fn meet(&self, kind: RequestKind) {
        if self.has_place() {
            match kind {
                RequestKind::Halt => self.halt.consume(),
                RequestKind::Requeue => self.requeue.consume(),
            }
        }
    }

    /// Ends the wait of a start for another program. Requests are meant for that one.
    pub(crate) fn until(&self) -> Until {
        let (listener, whole, exit_codes) = (self.listener.hearing(), self.whole.clone(), self.exit_codes);
        let job = self.job.as_ref().and_then(Job::limit);
        let limits: Vec<Limit> = self.limits.iter().chain(job).cloned().collect();
        Until::new(move || {
            let (now, none) = (Instant::now(), Duration::ZERO);
            let near = || limits.iter().find(|limit| limit.is_near(now, none, none)).map(Limit::reason);
            let told = listener.heard().map(StopReason::Signal).or_else(near);
            let reason = told.or_else(|| whole.as_ref()?.reason(now, none, none))?;
            Some((reason.to_string(), exit_codes.of(&reason)))
        })
    }

    /// Looks for no files: the place of the checkpoints has none.
    pub(crate) fn without_requests(self) -> Stop {
        Stop { has_requests: false, ..self }
    }

    fn has_place(&self) -> bool {
        self.has_requests && self.guard.as_ref().is_none_or(|guard| guard.check_place().is_ok())
    }

    /// The reason to stop, for this duration of a save. The first reason stays.
    pub(crate) fn reason(&mut self, now: Instant, save_takes: impl Into<SaveTakes>) -> Option<&StopReason> {
        if self.is_due(now, save_takes) {
            self.told();
        }
        self.reason.as_ref()
    }

    /// True if there is a reason to stop. The program is not told.
    pub(crate) fn is_due(&mut self, now: Instant, save_takes: impl Into<SaveTakes>) -> bool {
        if self.reason.is_none() {
            let step = self.pace.step(now);
            self.reason = self.look(now, save_takes.into(), step);
        }
        self.reason.is_some()
    }

    /// Notes that the program knows the reason.
    fn told(&mut self) {
        self.was_asked = true;
        if let Some(reason) = &self.reason {
            self.told.get_or_init(|| (reason.clone(), self.exit_codes.of(reason)));
        }
    }

    /// Stops for a reason from outside, unless there is one already.
    pub(crate) fn tell(&mut self, reason: StopReason) {
        self.reason.get_or_insert(reason);
        self.told();
    }

    /// Takes the reason: the run ends because of it, and its last state is saved. Removes a halt
    /// file that was the reason, so that the program can start again, and a requeue file in any
    /// case.
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

    /// The same, and the requests stay for the next start.
    pub(crate) fn leave_reason(&mut self) -> Option<StopReason> {
        self.reason.take()
    }

    /// Notes that the run has come to its end, for the reason that the program knows, if any.
    pub(crate) fn note_end(&self) {
        let reason = self.reason.as_ref().filter(|_| self.was_asked);
        self.listener.ends_with(reason.map(|reason| self.exit_codes.of(reason)));
    }

    /// Leaves the run. Logs a signal that the program never asked about.
    pub(crate) fn leave(&mut self) {
        if let Some(signal) = self.listener.heard().filter(|_| !self.was_asked) {
            warn(format!(
                "the program got {signal}, which asks it to stop, and never asked whether it should: call `should_stop` or \
                 `save_if_due` in its loop"
            ));
        }
    }

    /// The exit codes that tell how the program ended.
    pub(crate) fn exit_codes(&self) -> ExitCodes {
        self.exit_codes
    }

    /// Looks for a reason, for this duration of a save and of a step of the program.
    fn look(&mut self, now: Instant, save_takes: SaveTakes, step: Duration) -> Option<StopReason> {
        if let Some(signal) = self.listener.heard() {
            return Some(StopReason::Signal(signal));
        }
        if let Some(reason) = self.whole.as_ref().and_then(|whole| whole.reason(now, save_takes, step)) {
            return Some(reason);
        }
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
