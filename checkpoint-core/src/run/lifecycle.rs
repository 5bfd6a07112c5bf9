//! What surrounds the saves of one run: when one is due, when the run is to stop, and what is written down of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::callback::Callback;
use crate::base::warnings::{self, Warnings};
use crate::error::Error;
use crate::history::{End, Journal};
use crate::outcome::{Decision, ExitCodes, LoadReport, Progress, SaveReason, Saved, StopReason};
use crate::run::failures::{Failures, OnFailedSave};
use crate::schedule::{Cost, Pacer};
use crate::stop::Stop;
use crate::store::Claim;

/// How often the claim on the directory gives a sign of life.
const TOUCH_EVERY: Duration = Duration::from_secs(30);

/// One run of a program, from the opening of the directory to its end.
#[derive(Debug)]
pub(crate) struct Run {
    begun: Instant,
    pacer: Pacer,
    stop: Stop,
    journal: Journal,
    pub(crate) watcher: Callback<Progress>,
    pub(crate) warnings: Warnings,
    on_failed_save: OnFailedSave,
    failures: Failures,
    claim: Arc<Claim>,
    /// When that is to give its next sign of life.
    touch: Duration,
    /// Whether the program knows that it is to stop.
    told: bool,
    ended: bool,
}

/// Who is to be told of what happens to a run, and what it does about saves that fail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    pub(crate) watcher: Callback<Progress>,
    pub(crate) warnings: Warnings,
    pub(crate) on_failed_save: OnFailedSave,
}

impl Run {
    pub(crate) fn new(
        begun: Instant,
        pacer: Pacer,
        stop: Stop,
        journal: Journal,
        watch: Watch,
        claim: Arc<Claim>,
    ) -> Run {
        let Watch { watcher, warnings, on_failed_save } = watch;
        Run {
            begun,
            pacer,
            stop,
            journal,
            watcher,
            warnings,
            on_failed_save,
            failures: Failures::default(),
            claim,
            touch: TOUCH_EVERY,
            told: false,
            ended: false,
        }
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
    pub(crate) fn due(&mut self) -> Option<SaveReason> {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.begun);
        self.show_life(elapsed);
        if let Some(reason) = self.stop.reason(now, self.pacer.cost().total) {
            self.told = true;
            return Some(SaveReason::Stopping(reason.clone()));
        }
        self.pacer.step(elapsed).map(SaveReason::Due)
    }

    /// Why the program is to stop.
    pub(crate) fn should_stop(&mut self) -> Option<&StopReason> {
        let now = Instant::now();
        self.show_life(now.saturating_duration_since(self.begun));
        let reason = self.stop.reason(now, self.pacer.cost().total);
        self.told |= reason.is_some();
        reason
    }

    /// Says, now and then, that the run goes on: by its claim and in its history.
    fn show_life(&mut self, elapsed: Duration) {
        if elapsed >= self.touch {
            self.touch = elapsed.saturating_add(TOUCH_EVERY);
            self.claim.touch();
        }
        if self.journal.is_silent(elapsed) {
            match self.claim.is_of_this_process() {
                true => self.journal.alive(elapsed),
                false => self.journal.abandon(),
            }
        }
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
        self.journal.restarted(now, load.generation());
    }

    /// What a save needs to know of the run, for the thread that makes it.
    pub(crate) fn telling(&self) -> Telling {
        let makes_room = self.on_failed_save.makes_room();
        Telling { watcher: self.watcher.clone(), warnings: self.warnings.clone(), makes_room }
    }

    /// A save was made, or failed; it was begun then. The caller has nothing half done: the program's own functions are
    /// called from here.
    pub(crate) fn saved(
        &mut self,
        begun: Instant,
        generation: u64,
        reason: &SaveReason,
        outcome: Result<&Saved, &Error>,
    ) -> Fate {
        let at = begun.saturating_duration_since(self.begun);
        let now = self.now();
        match outcome {
            Ok(saved) => {
                self.failures.end();
                self.pacer.saved(at, Cost { stall: saved.stall, total: saved.duration });
                self.journal.saved(now, saved, self.pacer.interval(), reason);
                self.watcher.tell(|| Progress::Saved(saved.clone()));
                Fate::Made
            }
            Err(error) => {
                let message = error.to_string();
                self.failures.add(now);
                self.pacer.failed(now);
                self.journal.failed(now, generation, message.clone());
                let is_borne = matches!(reason, SaveReason::Due(_))
                    && self.failures.are_borne(&self.on_failed_save, now, error);
                self.watcher.tell(|| Progress::Failed { generation, message: message.clone() });
                if !is_borne {
                    return Fate::Failed;
                }
                let times = self.failures.times();
                warnings::warn(format!(
                    "a save that was due failed, {times} in a row now, and the program goes on: {message}"
                ));
                Fate::Borne(Decision::Failed { message, times })
            }
        }
    }

    /// By which codes the program tells how it ended.
    pub(crate) fn exit_codes(&self) -> ExitCodes {
        self.stop.exit_codes()
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

/// Who is told of a save while it goes on, and what it may do.
#[derive(Clone, Debug)]
pub(crate) struct Telling {
    pub(crate) watcher: Callback<Progress>,
    pub(crate) warnings: Warnings,
    /// Whether it makes room on a full disk.
    pub(crate) makes_room: bool,
}

/// What became of a save.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fate {
    /// It is on the disk.
    Made,
    /// It failed, and the program must learn of it by an error.
    Failed,
    /// It failed, and the program goes on.
    Borne(Decision),
}

impl Drop for Run {
    fn drop(&mut self) {
        let _warnings = self.warnings.enter();
        if !self.is_of_this_process() {
            return;
        }
        self.stop.leave();
        // A panic is a failure of the run, and so is what ends without this.
        if !self.ended && !std::thread::panicking() {
            let now = self.now();
            self.journal.ended(now, End::Closed);
        }
    }
}
