//! The life of one run around its saves: their schedule, the reasons to stop, and the records in
//! the history.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::ticker::Ticker;
use crate::base::warnings::{self, Warnings};
use crate::container::{Metadata, MetadataValue};
use crate::error::Error;
use crate::history::{End, Journal};
use crate::outcome::{Decision, ExitCodes, LoadReport, Progress, Rewound, SaveReason, Saved, StopReason};
use crate::run::failures::{Failures, OnFailedSave};
use crate::run::mirroring::{Mirroring, Shared};
use crate::run::watcher::Watcher;
use crate::schedule::{Cost, Due, Pacer};
use crate::stop::{Observer, Stop};
use crate::store::Guard;

/// The time between two signs of life of the claim on the directory.
const TOUCH_EVERY: Duration = Duration::from_secs(30);

/// One run of a program, from the opening of the directory to its end.
#[derive(Debug)]
pub(crate) struct Run {
    begun: Instant,
    pacer: Pacer,
    /// The numbers that the program counts.
    counts: BTreeMap<String, u64>,
    stop: Stop,
    journal: Journal,
    pub(crate) watcher: Watcher,
    pub(crate) warnings: Warnings,
    on_failed_save: OnFailedSave,
    failures: Failures,
    mirroring: Option<Mirroring>,
    guard: Arc<Guard>,
    /// Wakes the task that waits for a reason to stop.
    pub(crate) ticker: Ticker,
    /// True if it tells the watcher of saves; the parts of a group do not.
    announces: bool,
    /// The time of the next sign of life.
    touch: Duration,
    /// True if the program knows that it must stop.
    knows_to_stop: bool,
    /// True if the program has an error that says that it was stopped, with its work saved.
    leaves_stopped: bool,
    ended: bool,
}

/// The callbacks of a run, and its reaction to failed saves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watch {
    pub(crate) watcher: Watcher,
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
        guard: Arc<Guard>,
    ) -> Run {
        let Watch { watcher, warnings, on_failed_save } = watch;
        Run {
            begun,
            pacer,
            counts: BTreeMap::new(),
            stop,
            journal,
            watcher,
            warnings,
            on_failed_save,
            failures: Failures::default(),
            mirroring: None,
            guard,
            ticker: Ticker::default(),
            announces: true,
            touch: TOUCH_EVERY,
            knows_to_stop: false,
            leaves_stopped: false,
            ended: false,
        }
    }

    /// Copies its generations to a mirror.
    pub(crate) fn mirrored_by(mut self, mirroring: Option<Mirroring>) -> Run {
        self.mirroring = mirroring;
        self
    }

    /// The mirror of the run.
    pub(crate) fn mirroring(&self) -> Option<&Mirroring> {
        self.mirroring.as_ref()
    }

    /// True if this process began the run, and was not forked from the one that did.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.guard.is_of_this_process()
    }

    /// The same by the number of the process: fast, and wrong only where a number is used again.
    pub(crate) fn has_process_number(&self) -> bool {
        self.guard.has_process_number()
    }

    /// Checks that this process may save.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        self.guard.check_process()
    }

    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Records a number that the program counts, for the schedule and the metadata of saves.
    pub(crate) fn count(&mut self, name: &str, value: u64) {
        if self.pacer.counted() == Some(name) {
            self.pacer.count(value);
        }
        match self.counts.get_mut(name) {
            Some(count) => *count = value,
            None => drop(self.counts.insert(name.to_owned(), value)),
        }
    }

    /// Adds the numbers that the program counts to the metadata of a save. An entry of the program
    /// stays.
    pub(crate) fn counted(&self, metadata: Metadata) -> Metadata {
        let lacking = self.counts.iter().filter(|(name, _)| metadata.get(name).is_none());
        let lacking: Vec<_> = lacking.map(|(name, value)| (name.clone(), *value)).collect();
        lacking.into_iter().fold(metadata, |metadata, (name, value)| metadata.with(name, value))
    }

    /// True if the schedule knows no steps.
    pub(crate) fn goes_by_time(&self) -> bool {
        self.pacer.goes_by_time()
    }

    /// Checks that the program counts the number that the schedule goes by.
    pub(crate) fn check_count(&self) -> Result<(), Error> {
        if !self.pacer.lacks_count() {
            return Ok(());
        }
        let name = self.pacer.counted().unwrap_or_default();
        Err(Error::InvalidSetting {
            setting: format!("a schedule by {name:?}"),
            why: "the program does not count it, so no save would ever be due: call `count` with this name before \
                  `save_if_due`, or choose another schedule",
        })
    }

    /// True if a save is due after one more step, which is not made by this question. The program
    /// is not told of a reason to stop.
    pub(crate) fn would_be_due(&mut self) -> bool {
        let elapsed = self.now();
        self.show_life(elapsed);
        self.is_to_stop() || self.pacer.due(1, elapsed).is_some()
    }

    /// Returns the reason for a save that is due now, after one more step of the program.
    pub(crate) fn due(&mut self) -> Option<SaveReason> {
        let now = Instant::now();
        let elapsed = now.saturating_duration_since(self.begun);
        self.show_life(elapsed);
        if let Some(reason) = self.stop.reason(now, self.pacer.save_takes()) {
            self.knows_to_stop = true;
            return Some(SaveReason::Stopping(reason.clone()));
        }
        self.pacer.step(elapsed).map(SaveReason::Due)
    }

    /// Leaves it to the group to tell of saves: this is the part of one member.
    pub(crate) fn of_part(mut self) -> Run {
        self.announces = false;
        self
    }

    /// Returns the reason for a save that is due now, after a number of steps of the program,
    /// whatever the reasons to stop; and the steps and the time until one may be due.
    pub(crate) fn paced(&mut self, steps: u64) -> (Option<Due>, Option<u64>, Option<Duration>) {
        let elapsed = self.now();
        self.show_life(elapsed);
        let due = self.pacer.steps(steps, elapsed);
        let (steps, time) = self.pacer.ahead(elapsed);
        (due, steps, time)
    }

    /// Stops for a reason from outside, unless there is one already.
    pub(crate) fn stop(&mut self, reason: StopReason) {
        self.stop.tell(reason);
        self.knows_to_stop = true;
    }

    /// The reason to stop.
    pub(crate) fn should_stop(&mut self) -> Option<&StopReason> {
        let now = Instant::now();
        self.show_life(now.saturating_duration_since(self.begun));
        let reason = self.stop.reason(now, self.pacer.save_takes());
        self.knows_to_stop |= reason.is_some();
        reason
    }

    /// An observer of the reasons to stop. `directory` has the requests to stop.
    pub(crate) fn observer(&self, directory: &Path) -> Observer {
        self.stop.observer(directory, self.pacer.save_takes())
    }

    /// Tells an observer what this run knows.
    pub(crate) fn inform(&self, observer: &mut Observer) {
        observer.follow(&self.stop, self.pacer.save_takes());
    }

    /// Puts the next save off, as after a failed one.
    pub(crate) fn put_off(&mut self) {
        let now = self.now();
        self.pacer.failed(now);
    }

    /// True if there is a reason to stop. The program is not told.
    pub(crate) fn is_to_stop(&mut self) -> bool {
        self.stop.is_due(Instant::now(), self.pacer.save_takes())
    }

    /// Gives a sign of life now and then: by the claim and in the history.
    fn show_life(&mut self, elapsed: Duration) {
        if elapsed >= self.touch {
            self.touch = elapsed.saturating_add(TOUCH_EVERY);
            self.guard.touch();
        }
        if self.journal.is_silent(elapsed) {
            match self.guard.is_of_this_process() {
                true => self.journal.alive(elapsed),
                false => self.journal.abandon(),
            }
        }
    }

    /// True if the program knows that it must stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.knows_to_stop
    }

    /// Goes on counting from a state that was loaded, here or from another directory: its numbers
    /// stand for those of the state before it.
    pub(crate) fn goes_on_from(&mut self, load: &LoadReport) {
        let loaded = |name: &str| match load.manifest.metadata().get(name) {
            Some(MetadataValue::Integer(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        let known = self.counts.keys().map(String::as_str).chain(self.pacer.counted());
        let counts = known.filter_map(|name| Some((name.to_owned(), loaded(name)?))).collect();
        let counted = self.pacer.counted().and_then(loaded);
        self.counts = counts;
        self.pacer.loaded(counted);
    }

    /// Notes that there is no state to go on from: the program counts from its beginning.
    pub(crate) fn begins_afresh(&mut self) {
        self.pacer.begins_afresh();
    }

    /// Records a load.
    pub(crate) fn restarted(&mut self, load: &LoadReport) {
        if !self.is_of_this_process() {
            return;
        }
        self.goes_on_from(load);
        let now = self.now();
        self.journal.restarted(now, load.generation());
    }

    /// Records that all generations after this one were removed.
    pub(crate) fn discarded(&mut self, generation: u64) {
        let now = self.now();
        self.journal.discarded(now, generation);
    }

    /// Records a rewind.
    pub(crate) fn rewound(&mut self, rewound: &Rewound) {
        let now = self.now();
        let Rewound { generation, set_aside, brought_back, .. } = rewound;
        self.journal.rewound(now, *generation);
        tracing::info!(generation, ?set_aside, ?brought_back, "rewound");
    }

    /// Notes that a save begins, also one that fails before anything is written.
    pub(crate) fn begun(&mut self) {
        self.pacer.begun();
    }

    /// The copy of callbacks and settings for the thread that saves.
    pub(crate) fn save_context(&self) -> SaveContext {
        let makes_room = self.on_failed_save.makes_room();
        let mirror = self.mirroring.as_ref().map(Mirroring::shared);
        let (watcher, warnings) = (self.watcher.clone(), self.warnings.clone());
        SaveContext { watcher, warnings, makes_room, mirror }
    }

    /// Records a save that began at `begun`, or its failure. The caller has no invariant open:
    /// callbacks run here.
    pub(crate) fn saved(
        &mut self,
        begun: Instant,
        generation: u64,
        reason: &SaveReason,
        outcome: Result<&Saved, &Error>,
    ) -> SaveOutcome {
        let at = begun.saturating_duration_since(self.begun);
        let now = self.now();
        if !self.announces {
            return if outcome.is_ok() { SaveOutcome::Durable } else { SaveOutcome::Failed };
        }
        match outcome {
            Ok(saved) => {
                self.failures.end();
                self.pacer.saved(at, Cost { stall: saved.stall, total: saved.duration });
                self.journal.saved(now, saved, self.pacer.interval(), reason);
                self.watcher.tell(|| Progress::Saved(saved.clone()));
                SaveOutcome::Durable
            }
            Err(error) => {
                let message = error.to_string();
                self.failures.add(now);
                self.pacer.failed(now);
                self.journal.failed(now, generation, message.clone());
                let is_tolerated = matches!(reason, SaveReason::Due(_))
                    && self.failures.are_tolerated(&self.on_failed_save, now, error);
                self.watcher.tell(|| Progress::Failed { generation, message: message.clone() });
                if !is_tolerated {
                    return SaveOutcome::Failed;
                }
                let times = self.failures.times();
                warnings::warn(format!(
                    "a save that was due failed, {times} in a row now, and the program continues: {message}"
                ));
                SaveOutcome::Tolerated(Decision::Failed { message, times })
            }
        }
    }

    /// Records the cost of a save of the group, for the reasons to stop that must leave time for
    /// one.
    pub(crate) fn paid(&mut self, begun: Instant, saved: &Saved) {
        if !self.announces {
            let at = begun.saturating_duration_since(self.begun);
            self.pacer.saved(at, Cost { stall: saved.stall, total: saved.duration });
        }
    }

    /// The exit codes that tell how the program ended.
    pub(crate) fn exit_codes(&self) -> ExitCodes {
        self.stop.exit_codes()
    }

    /// Notes if the program has an error that says that it was stopped, with its work saved: it
    /// ends well, if it ends by that.
    #[cfg(feature = "scopes")]
    pub(crate) fn leaves_stopped(&mut self, leaves: bool) {
        self.leaves_stopped = leaves;
    }

    /// Ends the run as intended, and not by accident. The request that stopped it is met if the
    /// program ends `well`. Otherwise it stays: what starts a program again after an error would
    /// not know of it.
    pub(crate) fn end(&mut self, well: bool) -> Option<StopReason> {
        self.stop.note_end();
        let stopped = match (self.knows_to_stop, well) {
            (true, true) => self.stop.take_reason(),
            (true, false) => self.stop.leave_reason(),
            (false, _) => None,
        };
        let now = self.now();
        match &stopped {
            Some(reason) => self.journal.ended(now, End::Stopped(reason.to_string())),
            None => self.journal.ended(now, End::Completed),
        }
        self.ended = true;
        stopped
    }
}

/// The callbacks of a save, and its permission to make room.
#[derive(Clone, Debug)]
pub(crate) struct SaveContext {
    pub(crate) watcher: Watcher,
    pub(crate) warnings: Warnings,
    /// True to make room on a full disk.
    pub(crate) makes_room: bool,
    /// The mirror to tell of each save.
    pub(crate) mirror: Option<Arc<Shared>>,
}

/// The outcome of a save, for the program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SaveOutcome {
    /// It is on the disk.
    Durable,
    /// It failed, and the program must get the error.
    Failed,
    /// It failed, and the program continues.
    Tolerated(Decision),
}

impl Drop for Run {
    fn drop(&mut self) {
        let _warnings = self.warnings.enter();
        if !self.is_of_this_process() {
            return;
        }
        self.stop.leave();
        // A panic is a failure of the run, and so is an end without the call of `end`.
        if self.ended || std::thread::panicking() {
            return;
        }
        if self.leaves_stopped {
            self.end(true);
        } else {
            let now = self.now();
            self.journal.ended(now, End::Closed);
        }
    }
}
