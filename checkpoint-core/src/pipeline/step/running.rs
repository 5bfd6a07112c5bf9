//! Runs a step, or takes a version of its output instead.

use std::error::Error as StdError;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::making::remove_progress;
use super::{Step, StepContext};
use crate::error::Error;
use crate::pipeline::builder::Workshop;
use crate::pipeline::decide::{Choice, Kept, Version, decide, kept};
use crate::pipeline::folder::place_of;
use crate::pipeline::output::{self, Output};
use crate::pipeline::parallel::wait_for;
use crate::pipeline::produced::compare;
use crate::pipeline::report::{Outcome, Reason, StepEvent};
use crate::pipeline::{boot, requests};
use crate::run::checkpointer::Checkpointer;
use crate::run::reader::Reader;
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::store::{Claiming, Directory, Guard, Home as _, WithinGuard};

/// The pauses between two attempts to take a step that another process has.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Step<'_> {
    /// Returns the outcome that the step would have now, and the reasons, without running it.
    ///
    /// # Errors
    /// Those of [`run`](Step::run).
    pub fn explain<T: Checkpoint>(mut self) -> Result<(Outcome, Vec<Reason>), Error> {
        self.pipeline.guard.check_process()?;
        let kept = self.prepare().and_then(|()| self.kept::<T>());
        let mut book = self.pipeline.book();
        if self.is_declared {
            // This is not the step's declaration; that may still follow.
            book.undeclare(&self.name, self.had_failed);
        }
        let mut marks = book.marks.clone();
        drop(book);
        let commands = &self.pipeline.commands;
        let decided = |kept: &Kept| decide(commands, &mut marks, &self.name, &self.key, kept);
        Ok(match self.choose::<T>(&mut kept?, decided)? {
            Choice::Run(reasons) => (Outcome::Ran, reasons),
            Choice::Reuse(version, reasons) => (Outcome::Reused, with_restored(reasons, &version)),
            Choice::Accept(version) => (Outcome::Reused, with_restored(vec![Reason::Accepted], &version)),
        })
    }

    /// Runs the step if it has to be run, and saves its output. Otherwise `work` is not called.
    ///
    /// The output is saved, whatever happens later: when the program is started again it goes on
    /// from here. A long step can have checkpoints of its own, see [`StepContext::checkpointer`].
    ///
    /// `work` may fail with any error that threads can share: a type of your own,
    /// `Box<dyn Error + Send + Sync>`, or `anyhow::Error`. A step that failed can be declared and
    /// run again, by the next run or by this one, and goes on from its own checkpoints:
    ///
    /// ```
    /// use checkpointed::{Error, Pipeline};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let pipeline = Pipeline::open(directory.path().join("analysis.pipeline"))?;
    /// # let mut answers = vec![Ok(7_u64), Err(std::io::Error::other("the network is down"))];
    /// # let mut fetch = || answers.pop().expect("it is asked twice");
    /// let mut attempts = 1..=3;
    /// let fetched = loop {
    ///     match pipeline.step("fetch").run(|_| fetch()) {
    ///         Err(Error::StepFailed { .. }) if attempts.next().is_some() => continue,
    ///         outcome => break outcome?,
    ///     }
    /// };
    /// assert_eq!(*fetched.load()?, 7);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::StepFailed`] if `work` fails or panics, or if a [`file`](Step::file) cannot be
    /// read. [`Error::StepStopped`] if the step was told to stop, by its [own
    /// checkpoints](StepContext::checkpointer) or by [`should_stop`](StepContext::should_stop), or
    /// says that it is [not done](StepContext::not_done): its output is not saved, and its progress
    /// is kept; also if the pipeline was told to stop before a step that must be run.
    /// [`Error::StepTwice`], [`Error::ForeignInput`] or [`Error::InvalidSetting`] if the
    /// declaration makes no sense; [`Error::StepNotRun`] if a command forbids to run it. Other
    /// errors of files and disks.
    pub fn run<T, E>(self, work: impl FnOnce(&StepContext) -> Result<T, E>) -> Result<Output<T>, Error>
    where
        T: Checkpoint,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let pipeline = self.pipeline;
        let declared = self.is_declared.then(|| self.name.to_lowercase());
        let outcome = self.run_once(work);
        if let (Err(_), Some(declared)) = (&outcome, declared)
            && pipeline.guard.is_of_this_process()
        {
            pipeline.book().failed.insert(declared);
        }
        outcome
    }

    fn run_once<T, E>(mut self, work: impl FnOnce(&StepContext) -> Result<T, E>) -> Result<Output<T>, Error>
    where
        T: Checkpoint,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let begun = Instant::now();
        self.prepare()?;
        self.claim_produced()?;
        let is_shared = self.pipeline.workshop.shared;
        // Where another process runs the step, its files may already fit a version that its save
        // retires.
        let (mut still, has_waited) = if is_shared { self.keep_still()? } else { (None, false) };
        let mut kept = self.kept::<T>()?;
        let mut held = None;
        let choice = loop {
            let choice = self.choose::<T>(&mut kept, |kept| {
                let commands = &self.pipeline.commands;
                decide(commands, &mut self.pipeline.book().marks, &self.name, &self.key, kept)
            })?;
            let may_be_elsewhere = held.is_some() || has_waited;
            let choice = if may_be_elsewhere { self.unless_run_elsewhere(choice, &kept) } else { choice };
            let writes = match &choice {
                // Another process may write to the files that copies would take the places of.
                Choice::Reuse(version, _) => is_shared && !version.restore.is_empty(),
                Choice::Run(_) | Choice::Accept(_) => {
                    self.check_not_stopped()?;
                    true
                }
            };
            if held.is_none() && writes {
                // Held before the work: a disk that cannot be written should not cost the work.
                still = None;
                held = Some(self.hold::<T>()?);
                if is_shared {
                    // Another process may have run the step until now.
                    kept = self.kept::<T>()?;
                    continue;
                }
            }
            let (Choice::Reuse(version, _) | Choice::Accept(version)) = &choice else { break choice };
            // Copies that turned out to be damaged take the version with them.
            if !version.restore.is_empty() {
                // All progress, also that of the same key, counts on the files that are replaced.
                remove_progress(&self.pipeline.workshop, &self.name, |_| true)?;
            }
            let (number, lost) = (version.number, self.restore(version, &kept)?);
            if !lost.is_empty() {
                kept.lose_files(number, lost);
            } else if self.make_durable(version)? {
                break choice;
            } else {
                // A tool has removed it since.
                kept.versions.retain(|version| version.number != number);
            }
        };
        if held.is_some() || !self.pipeline.workshop.shared {
            self.set_aside(&kept);
        }
        match (choice, held) {
            (Choice::Accept(version), Some(held)) => self.accept(begun, held, version),
            (Choice::Run(reasons), Some(held)) => self.make(begun, held, &kept, reasons, work),
            (Choice::Reuse(version, reasons), _) => {
                let reused = self.reuse(begun, version, reasons);
                drop(still);
                Ok(reused)
            }
            (Choice::Accept(_) | Choice::Run(_), None) => {
                unreachable!("a step is held before its output is written")
            }
        }
    }

    /// Takes the right to write the output and the files of the step. In a shared pipeline, waits
    /// for a process that has it.
    fn hold<T: Checkpoint>(&self) -> Result<Checkpointer<T>, Error> {
        if self.pipeline.workshop.shared { Ok(self.when_free(|| self.open::<T>())?.0) } else { self.open() }
    }

    /// Keeps other processes from running the step, together with those that look at it too. Waits
    /// for a process that runs it. The result is `None` if no process has run it yet, and true if
    /// this one has waited.
    fn keep_still(&self) -> Result<(Option<Arc<Guard>>, bool), Error> {
        let Workshop { options, within, .. } = &self.pipeline.workshop;
        let outputs = self.outputs();
        // Nothing is written, so nothing has to be durable.
        let claiming = Claiming { within: WithinGuard::clone(within), ..Claiming::default() };
        self.when_free(|| match outputs.path().is_dir() {
            true => Guard::take_shared(options.access, outputs.path(), &claiming).map(Some),
            false => Ok(None),
        })
    }

    /// Takes a right to the step as soon as no other process keeps it out. The result is true if it
    /// has waited.
    fn when_free<R>(&self, take: impl Fn() -> Result<R, Error>) -> Result<(R, bool), Error> {
        let mut has_waited = false;
        loop {
            // Its loss looks like a step that another process has.
            self.pipeline.guard.check()?;
            match take() {
                Err(Error::InUse { holder, .. }) => {
                    if !std::mem::replace(&mut has_waited, true) {
                        self.pipeline.tell(|| StepEvent::Waiting { step: self.name.clone(), holder });
                    }
                    // Not held at its end: work of this process may go first, for hours, and other
                    // processes can have the step meanwhile.
                    wait_for(|| self.wait_until(&take))?;
                }
                outcome => return Ok((outcome?, has_waited)),
            }
        }
    }

    fn wait_until<R>(&self, take: impl Fn() -> Result<R, Error>) -> Result<(), Error> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            self.check_not_stopped()?;
            self.pipeline.guard.check()?;
            thread::sleep(pause);
            match take() {
                Err(Error::InUse { .. }) => pause = (2 * pause).min(LONGEST_PAUSE),
                outcome => return outcome.map(drop),
            }
        }
    }

    /// Takes the version that another process made since this one has opened the pipeline: what a
    /// user requested of all is done.
    fn unless_run_elsewhere(&self, choice: Choice, kept: &Kept) -> Choice {
        let may_be_its = match &choice {
            Choice::Run(_) => true,
            Choice::Reuse(_, reasons) => *reasons == [Reason::Unchanged],
            Choice::Accept(_) => false,
        };
        if !self.pipeline.workshop.shared || !may_be_its {
            return choice;
        }
        // What another process fulfilled is gone before it gives the step free: this one came
        // later.
        let is_run = matches!(choice, Choice::Run(_));
        if is_run && self.is_asked() && requests::is_waiting(self.pipeline.path(), &self.name) {
            return choice;
        }
        let at_open = self.pipeline.at_open.get(&self.name).copied().unwrap_or(0);
        let mut versions = kept.versions.iter().filter(|version| version.fits && version.number > at_open);
        match versions.find(|version| version.record.key == self.key) {
            Some(version) => Choice::Reuse(version.clone(), vec![Reason::RunElsewhere]),
            None => choice,
        }
    }

    /// Lets `decided` choose among the versions that are not damaged.
    fn choose<T: Checkpoint>(
        &self,
        kept: &mut Kept,
        mut decided: impl FnMut(&Kept) -> Result<Choice, Error>,
    ) -> Result<Choice, Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        loop {
            let choice = decided(kept)?;
            let version = match &choice {
                Choice::Reuse(version, _) | Choice::Accept(version) => version,
                // The user wants it to be run.
                Choice::Run(reasons) if reasons.iter().any(Reason::is_command) => return Ok(choice),
                Choice::Run(_) => {
                    // The output may be whole, behind an error of the system that passes.
                    let Some((number, why)) = kept.take_unreadable(&self.key) else { return Ok(choice) };
                    return Err(output::unusable(&self.outputs(), &self.name, number, why));
                }
            };
            let (number, damage) = (version.number, self.damage_of::<T>(version)?);
            let Some(why) = damage else { return Ok(choice) };
            kept.lose(number, why);
        }
    }

    /// Moves damaged versions out of the way.
    fn set_aside(&self, kept: &Kept) {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        for (version, why) in kept.damaged() {
            output::set_aside(&self.outputs(), &self.name, version, why);
        }
    }

    /// The damage of a version that a power cut may have hit: it was not synced, and the machine
    /// has started again since. All of it is read.
    fn damage_of<T: Checkpoint>(&self, version: &Version) -> Result<Option<Error>, Error> {
        if version.record.unsynced.as_ref().is_none_or(|boot| Some(boot) == boot::current().as_ref()) {
            return Ok(None);
        }
        let reader = Reader::of::<T>(Arc::new(self.outputs()), self.protection())?;
        match reader.whole(version.number).map(drop) {
            Ok(()) => Ok(None),
            Err(error) if output::is_broken(&error) || matches!(error, Error::Io { .. }) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Completes the key.
    fn prepare(&mut self) -> Result<(), Error> {
        if self.keep == 0 {
            self.refuse("at least one version of the output is kept");
        }
        if let Some(error) = self.wrong.take() {
            return Err(error);
        }
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        self.pipeline.guard.check()?;
        self.pipeline.touch();
        self.look_at_inputs()?;
        self.look_at_produced()
    }

    /// The kept versions, compared with the files that they produced.
    fn kept<T: Checkpoint>(&self) -> Result<Kept, Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        let mut kept = kept::<T>(self.outputs(), self.protection())?;
        if !kept.hashes.is_empty() || !self.produced.is_empty() {
            let files = &mut *self.pipeline.files();
            let compared = compare(&mut kept, &self.produced, files, &self.copies());
            files.remember_now_and_then();
            compared?;
        }
        Ok(kept)
    }

    pub(super) fn outputs(&self) -> Directory {
        self.pipeline.outputs(&self.name)
    }

    pub(super) fn protection(&self) -> Protection {
        self.pipeline.workshop.protection(&place_of(&self.name))
    }

    fn open<T: Checkpoint>(&self) -> Result<Checkpointer<T>, Error> {
        let builder = self.pipeline.workshop.builder(&place_of(&self.name)).of_library();
        builder.keep_last(self.keep).history(false).read_back(self.read_back).open()
    }

    /// Checks before the work that the pipeline was not told to stop.
    fn check_not_stopped(&self) -> Result<(), Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        let stop = &self.pipeline.workshop.stop;
        let Some(reason) = stop.reason(Instant::now(), Duration::ZERO, Duration::ZERO) else { return Ok(()) };
        self.pipeline.workshop.meet_stop();
        let (step, exit_code) = (self.name.clone(), stop.exit_codes().of(&reason));
        Err(Error::StepStopped { step, begun: false, reason: reason.to_string(), exit_code })
    }
}

/// The reasons with those for each file that a kept copy takes the place of.
pub(super) fn with_restored(mut reasons: Vec<Reason>, version: &Version) -> Vec<Reason> {
    reasons.extend(version.restore.iter().map(|(name, _)| Reason::Restored { path: name.into() }));
    reasons
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
