//! What surrounds the saves of one run: when one is due, when the run is to stop, and what is written down of it.

use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::checkpointer::Begun;
use crate::error::Error;
use crate::history::{End, Journal};
use crate::reader::LoadReport;
use crate::save::Saved;
use crate::schedule::{Cost, Due, Pacer};
use crate::stop::{EXIT_HALTED, EXIT_REQUEUE, Stop, StopReason};
use crate::store::Claim;

/// How often the claim on the directory gives a sign of life.
const TOUCH_EVERY: Duration = Duration::from_secs(30);

/// Why a state was saved.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Why {
    /// The program asked for it.
    Asked,
    /// The schedule wanted it.
    Due(Due),
    /// The program is to stop.
    Stopping(StopReason),
    /// The run ends.
    Finishing,
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Asked => formatter.write_str("asked for"),
            Why::Due(due) => due.fmt(formatter),
            Why::Stopping(reason) => write!(formatter, "stopping: {reason}"),
            Why::Finishing => formatter.write_str("finishing"),
        }
    }
}

/// What [`save_if_due`](crate::Checkpointer::save_if_due) did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// Nothing: it is not time yet.
    NotDue,
    /// It saved.
    Saved {
        /// What it wrote.
        saved: Saved,
        /// Why.
        why: Why,
    },
    /// It began to save in the background.
    Begun {
        /// What it began.
        begun: Begun,
        /// Why.
        why: Why,
    },
}

impl Decision {
    /// Whether a save was made or begun.
    #[must_use]
    pub fn is_saved(&self) -> bool {
        *self != Decision::NotDue
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::NotDue => formatter.write_str("not due"),
            Decision::Saved { saved, why } => {
                write!(formatter, "saved generation {}: {why}", saved.generation)
            }
            Decision::Begun { begun, why } => {
                write!(formatter, "began to save generation {}: {why}", begun.generation)
            }
        }
    }
}

/// What a checkpointer tells while it works, see [`Builder::on_progress`](crate::Builder::on_progress).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Progress {
    /// A save begins.
    Begun {
        /// The generation that it is to be.
        generation: u64,
        /// Why.
        why: Why,
    },
    /// Some more of it was handed to the operating system; told every few MiB, by the thread that writes.
    Writing {
        /// The generation that it is to be.
        generation: u64,
        /// How many bytes so far.
        bytes: u64,
    },
    /// It is on the disk.
    Saved(Saved),
    /// It failed. What was saved before is untouched.
    Failed {
        /// The generation that it was to be.
        generation: u64,
        /// What the error says.
        message: String,
    },
}

/// What somebody who wants to be told gave us to call.
pub(crate) type Callback = dyn Fn(&Progress) + Send + Sync;

/// Who wants to be told.
#[derive(Clone, Default)]
pub(crate) struct Watcher(pub(crate) Option<Arc<Callback>>);

impl Watcher {
    pub(crate) fn tell(&self, progress: impl FnOnce() -> Progress) {
        if let Some(watcher) = &self.0 {
            watcher(&progress());
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "Watcher" } else { "nobody" })
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finished {
    /// The last save; `None` where none was made because an earlier one stands.
    pub saved: Option<Saved>,
    /// Why the run was to stop before its end; `None` where it came to its end.
    pub stopped: Option<StopReason>,
}

impl Finished {
    /// 0 where the run came to its end; [`EXIT_REQUEUE`] where it was stopped and is to be started again; [`EXIT_HALTED`]
    /// where somebody halted it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.stopped {
            None => ExitCode::SUCCESS,
            Some(StopReason::Halt { .. }) => ExitCode::from(EXIT_HALTED),
            Some(_) => ExitCode::from(EXIT_REQUEUE),
        }
    }
}

/// A save that goes on in the background.
#[derive(Debug)]
struct Flight {
    at: Duration,
    why: Why,
}

/// One run of a program, from the opening of the directory to its end.
#[derive(Debug)]
pub(crate) struct Run {
    begun: Instant,
    pacer: Pacer,
    stop: Stop,
    journal: Journal,
    pub(crate) watcher: Watcher,
    flight: Option<Flight>,
    claim: Arc<Claim>,
    /// When that is to give its next sign of life.
    touch: Duration,
    /// Whether the program knows that it is to stop.
    told: bool,
    ended: bool,
}

impl Run {
    pub(crate) fn new(
        begun: Instant,
        pacer: Pacer,
        stop: Stop,
        journal: Journal,
        watcher: Watcher,
        claim: Arc<Claim>,
    ) -> Run {
        let (flight, touch) = (None, TOUCH_EVERY);
        Run { begun, pacer, stop, journal, watcher, flight, claim, touch, told: false, ended: false }
    }

    /// Whether this process is the one that began the run, and not one that was forked from it.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.claim.is_of_this_process()
    }

    /// As far as the number of the process tells: fast, and right but for numbers that were given again.
    pub(crate) fn has_process_number(&self) -> bool {
        self.claim.has_process_number()
    }

    /// Makes sure that this process may save.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        self.claim.check_process()
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether a save is due now, after one more step of the program.
    pub(crate) fn due(&mut self) -> Option<Why> {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.begun);
        if elapsed >= self.touch {
            self.touch = elapsed.saturating_add(TOUCH_EVERY);
            self.claim.touch();
            if !self.claim.is_of_this_process() {
                self.journal.abandon();
            }
        }
        self.journal.alive(elapsed);
        if let Some(reason) = self.stop.reason(now, self.pacer.cost().total) {
            self.told = true;
            return Some(Why::Stopping(reason.clone()));
        }
        let due = self.pacer.step(elapsed)?;
        // The one before it is not done, so that another would only wait for it.
        self.flight.is_none().then_some(Why::Due(due))
    }

    /// Why the program is to stop.
    pub(crate) fn should_stop(&mut self) -> Option<&StopReason> {
        let reason = self.stop.reason(Instant::now(), self.pacer.cost().total);
        self.told |= reason.is_some();
        reason
    }

    /// Whether the program was told to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.told
    }

    /// A state was loaded.
    pub(crate) fn restarted(&mut self, load: &LoadReport) {
        if !self.is_of_this_process() {
            return;
        }
        let now = self.now();
        self.journal.restarted(now, load.generation(), load.manifest.created());
    }

    /// A save was made, or failed.
    pub(crate) fn saved(
        &mut self,
        begun: Instant,
        generation: u64,
        why: &Why,
        outcome: &Result<Saved, Error>,
    ) {
        let at = begun.saturating_duration_since(self.begun);
        self.note(at, generation, why, outcome.as_ref().map_err(Error::to_string));
    }

    /// A save in the background was begun.
    pub(crate) fn took_off(&mut self, begun: Instant, why: Why) {
        self.flight = Some(Flight { at: begun.saturating_duration_since(self.begun), why });
    }

    /// The save in the background is done.
    pub(crate) fn landed(&mut self, generation: u64, outcome: Result<&Saved, String>) {
        if let Some(Flight { at, why }) = self.flight.take() {
            self.note(at, generation, &why, outcome);
        }
    }

    fn note(&mut self, at: Duration, generation: u64, why: &Why, outcome: Result<&Saved, String>) {
        let now = self.now();
        match outcome {
            Ok(saved) => {
                self.pacer.saved(at, Cost { stall: saved.stall, total: saved.duration });
                self.journal.saved(now, saved, self.pacer.interval(), why.to_string());
                self.watcher.tell(|| Progress::Saved(saved.clone()));
            }
            Err(message) => {
                self.pacer.failed(now);
                self.journal.failed(now, generation, message.clone());
                self.watcher.tell(|| Progress::Failed { generation, message });
            }
        }
    }

    /// The run ends here, and not by accident.
    pub(crate) fn end(&mut self) -> Option<StopReason> {
        let stopped = if self.told { self.stop.take_reason() } else { None };
        let now = self.now();
        match &stopped {
            Some(reason) => self.journal.ended(now, End::Stopped(reason.to_string())),
            None => self.journal.ended(now, End::Completed),
        }
        self.ended = true;
        stopped
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A panic is a failure of the run, and so is what ends without this.
        if !self.ended && !std::thread::panicking() && self.is_of_this_process() {
            let now = self.now();
            self.journal.ended(now, End::Closed);
        }
    }
}
