//! Runs a step, or takes a version of its output instead.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Step, StepContext};
use crate::base::panics::message;
use crate::base::warnings::warn;
use crate::container::Metadata;
use crate::error::Error;
use crate::pipeline::builder::Workshop;
use crate::pipeline::decide::{Choice, Kept, RECORD, Version, decide, kept};
use crate::pipeline::folder::{folder, place_of};
use crate::pipeline::key::{Key, ProducedFile, Record};
use crate::pipeline::output::{self, Output};
use crate::pipeline::parallel::wait_for;
use crate::pipeline::produced::{self, Before, collect, compare};
use crate::pipeline::report::{Outcome, Reason, StepEvent, StepReport};
use crate::pipeline::{Pipeline, boot, requests};
use crate::run::checkpointer::Checkpointer;
use crate::run::reader::CheckpointReader;
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::store::{Directory, Home as _, generation_of, name};

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
        let is_another = matches!(self.wrong, Some(Error::StepTwice { .. }));
        let kept = self.prepare::<T>();
        let mut book = self.pipeline.book();
        if !is_another {
            // This is not the step's declaration; that may still follow.
            book.names.remove(&self.name);
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
    /// # Errors
    /// [`Error::StepFailed`] if `work` fails or panics, or if a [`file`](Step::file) cannot be
    /// read. [`Error::StepStopped`] if the step was told to stop, by its
    /// [own checkpoints](StepContext::checkpointer) or by
    /// [`should_stop`](StepContext::should_stop), or says that it is
    /// [not done](StepContext::not_done): its output is not saved, and its progress is kept; also if
    /// the pipeline was told to stop before a step that must be run. [`Error::StepTwice`],
    /// [`Error::ForeignInput`] or [`Error::InvalidSetting`] if the declaration makes no sense;
    /// [`Error::StepNotRun`] if a command forbids to run it. Other errors of files and disks.
    pub fn run<T, E>(mut self, work: impl FnOnce(&StepContext) -> Result<T, E>) -> Result<Output<T>, Error>
    where
        T: Checkpoint,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let begun = Instant::now();
        let mut kept = self.prepare::<T>()?;
        self.claim_produced()?;
        let mut held = None;
        let choice = loop {
            let choice = self.choose::<T>(&mut kept, |kept| {
                let commands = &self.pipeline.commands;
                decide(commands, &mut self.pipeline.book().marks, &self.name, &self.key, kept)
            })?;
            let choice = if held.is_some() { self.unless_run_elsewhere(choice, &kept) } else { choice };
            if held.is_none() && !matches!(choice, Choice::Reuse(..)) {
                // Held before the work: a disk that cannot be written should not cost the work.
                held = Some(self.hold::<T>()?);
                if self.pipeline.workshop.shared {
                    // Another process may have run the step until now.
                    kept = self.kept::<T>()?;
                    continue;
                }
            }
            let (Choice::Reuse(version, _) | Choice::Accept(version)) = &choice else { break choice };
            // Copies that turned out to be damaged take the version with them.
            let (number, lost) = (version.number, self.restore(version, &kept)?);
            if lost.is_empty() {
                break choice;
            }
            kept.lose_files(number, lost);
        };
        if held.is_some() || !self.pipeline.workshop.shared {
            self.set_aside(&kept);
        }
        match (choice, held) {
            (Choice::Accept(version), Some(held)) => self.accept(begun, held, version),
            (Choice::Run(reasons), Some(held)) => self.make(begun, held, &kept, reasons, work),
            (Choice::Reuse(version, reasons), _) => self.reuse(begun, version, reasons),
            (Choice::Accept(_) | Choice::Run(_), None) => {
                unreachable!("a step is held before its output is written")
            }
        }
    }

    /// Takes the right to write the output of the step. In a shared pipeline, waits for a process that
    /// has it.
    fn hold<T: Checkpoint>(&self) -> Result<Checkpointer<T>, Error> {
        self.check_not_stopped()?;
        match self.open::<T>() {
            Err(Error::InUse { holder, .. }) if self.pipeline.workshop.shared => {
                self.pipeline.tell(|| StepEvent::Waiting { step: self.name.clone(), holder });
                wait_for(|| self.wait_to_hold())
            }
            outcome => outcome,
        }
    }

    fn wait_to_hold<T: Checkpoint>(&self) -> Result<Checkpointer<T>, Error> {
        let mut pause = SHORTEST_PAUSE;
        loop {
            self.check_not_stopped()?;
            thread::sleep(pause);
            match self.open::<T>() {
                Err(Error::InUse { .. }) => pause = (2 * pause).min(LONGEST_PAUSE),
                outcome => return outcome,
            }
        }
    }

    /// Takes the version that another process made since this one has opened the pipeline: what a user
    /// requested of all is done.
    fn unless_run_elsewhere(&self, choice: Choice, kept: &Kept) -> Choice {
        if !self.pipeline.workshop.shared || matches!(choice, Choice::Accept(_)) {
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
        let reader = CheckpointReader::<T>::new(Arc::new(self.outputs()), self.protection())?;
        match reader.check_whole(version.number).map(drop) {
            Ok(()) => Ok(None),
            Err(error) if output::is_broken(&error) || matches!(error, Error::Io { .. }) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Completes the key, and looks for kept versions.
    fn prepare<T: Checkpoint>(&mut self) -> Result<Kept, Error> {
        if self.keep == 0 {
            self.refuse("at least one version of the output is kept");
        }
        if let Some(error) = self.wrong.take() {
            return Err(error);
        }
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        self.pipeline.guard.check()?;
        self.pipeline.guard.touch();
        self.look_at_inputs()?;
        self.look_at_produced()?;
        self.kept::<T>()
    }

    /// The kept versions, compared with the files that they produced.
    fn kept<T: Checkpoint>(&self) -> Result<Kept, Error> {
        let mut kept = kept::<T>(self.outputs(), self.protection())?;
        if !kept.hashes.is_empty() {
            let files = &mut *self.pipeline.files();
            let compared = compare(&mut kept, &self.produced, &self.pipeline.project, files, &self.copies());
            files.remember();
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

    fn reuse<T: Checkpoint>(
        self,
        begun: Instant,
        version: Version,
        reasons: Vec<Reason>,
    ) -> Result<Output<T>, Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        let number = version.number;
        let Workshop { disk, options, .. } = &self.pipeline.workshop;
        // The program that made it may have been killed before its name was durable. An output that
        // is made from it must not outlive it.
        if options.durable {
            let outputs = self.outputs();
            // The version may also come from a run that was not durable.
            let file = outputs.location(number);
            disk.sync_file(&file).map_err(|source| Error::writing("sync", &file, source))?;
            disk.sync_directory(outputs.path())
                .map_err(|source| Error::writing("sync", outputs.path(), source))?;
        }
        if version.record.key == self.key {
            self.remove_progress(number);
        }
        let reasons = with_restored(reasons, &version);
        self.done(begun, Outcome::Reused, reasons, number, version.bytes);
        Ok(self.output(version.record.identity, number, None))
    }

    /// Saves a version once more, as made from the present key.
    fn accept<T: Checkpoint>(
        self,
        begun: Instant,
        mut checkpoints: Checkpointer<T>,
        version: Version,
    ) -> Result<Output<T>, Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        let value = checkpoints
            .load_generation(version.number)
            .map_err(|error| output::unusable(&self.outputs(), &self.name, version.number, error))?;
        let reasons = with_restored(vec![Reason::Accepted], &version);
        let Record { identity, seconds, produced, .. } = version.record;
        let metadata = self.metadata(self.key.clone(), &identity, seconds, produced)?;
        let saved = checkpoints.save_with(&value, metadata)?;
        let (number, bytes) = (saved.generation, saved.bytes);
        self.done(begun, Outcome::Reused, reasons, number, bytes);
        Ok(self.output(identity, number, Some(value)))
    }

    fn make<T, E>(
        mut self,
        begun: Instant,
        mut checkpoints: Checkpointer<T>,
        kept: &Kept,
        mut reasons: Vec<Reason>,
        work: impl FnOnce(&StepContext) -> Result<T, E>,
    ) -> Result<Output<T>, Error>
    where
        T: Checkpoint,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.pipeline.tell(|| StepEvent::Started { step: self.name.clone(), reasons: reasons.clone() });
        let inputs = Arc::new(std::mem::take(&mut self.inputs));
        self.take_request();
        let again = kept.last_with(&self.key);
        let place = format!("{}/{}{again}", name::PROGRESS, self.progress_prefix());
        let continues = has_generations(&self.pipeline.path().join(&place));
        let before = Before::look(&self.produced);
        let context = StepContext::new(&self.name, place, self.read_back, &inputs, &self.pipeline.workshop);
        let value = match catch_unwind(AssertUnwindSafe(|| work(&context))) {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                let error = error.into();
                let _warnings = self.pipeline.workshop.options.warnings.enter();
                if let Some(stopped) = context.not_done_of(&*error) {
                    return Err(stopped);
                }
                let Some(stopped) = context.stopped() else { return Err(self.failed(error)) };
                warn(format!("step `{}` was told to stop, and returned an error: {error}", self.name));
                return Err(stopped);
            }
            Err(panic) => return Err(self.failed(format!("it panicked: {}", message(&*panic)))),
        };
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        if let Some(stopped) = context.stopped() {
            return Err(stopped);
        }
        let changed = inputs.changed().map_err(|error| self.failed(error))?;
        for path in &changed {
            warn(format!(
                "step `{}`: {path} was changed while it ran, so it is not known what it has read: the next run runs it again",
                self.name
            ));
            reasons.push(Reason::ChangedMeanwhile { path: path.into() });
        }
        let Pipeline { project, workshop, .. } = self.pipeline;
        let produced = collect(&self.produced, &before, continues, project, workshop);
        let produced = produced.map_err(|why| self.failed(why))?;
        let name = || format!("the output of step {}", self.name);
        let identity = output::identity(&value).map_err(|why| Error::Encode { name: name(), why })?;
        let identity = produced::identity(identity, &produced);
        if self.keeps_produced {
            let copies = self.copies();
            produced.iter().try_for_each(|(name, file)| match self.produced.get(name) {
                Some(path) => copies.keep(path, file),
                None => Ok(()),
            })?;
        }
        let key = self.key.with_changed_meanwhile(&changed);
        let metadata = self.metadata(key, &identity, begun.elapsed().as_secs_f64(), produced.clone())?;
        let saved = checkpoints.save_with(&value, metadata)?;
        self.remove_progress(u64::MAX);
        self.remove_copies(kept, produced.values().map(|file| &*file.hash));
        self.settle_request(requests::done);
        self.done(begun, Outcome::Ran, reasons, saved.generation, saved.bytes);
        Ok(self.output(identity, saved.generation, Some(value)))
    }

    /// Checks before the work that the pipeline was not told to stop.
    fn check_not_stopped(&self) -> Result<(), Error> {
        let stop = &self.pipeline.workshop.stop;
        let Some(reason) = stop.reason(Instant::now(), Duration::ZERO, Duration::ZERO) else { return Ok(()) };
        self.pipeline.workshop.meet_stop();
        let (step, exit_code) = (self.name.clone(), stop.exit_codes().of(&reason));
        Err(Error::StepStopped { step, begun: false, reason: reason.to_string(), exit_code })
    }

    /// Takes the request to run the step again. One that comes during the work is for the next run.
    fn take_request(&self) {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        self.settle_request(requests::take);
    }

    fn settle_request(&self, settle: impl FnOnce(&Path, &str) -> Result<(), Error>) {
        if self.pipeline.commands.redo.contains(&self.name)
            && let Err(error) = settle(self.pipeline.path(), &self.name)
        {
            warn(format!("step {} will be run again by the next run too: {error}", self.name));
        }
    }

    fn output<T: Checkpoint>(&self, identity: String, version: u64, value: Option<T>) -> Output<T> {
        let warnings = self.pipeline.workshop.options.warnings.clone();
        let place = output::Place::new(self.outputs(), self.protection(), warnings, value);
        Output::new(self.pipeline.number, &self.name, identity, version, place)
    }

    pub(super) fn failed(&self, why: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        Error::StepFailed { step: self.name.clone(), source: why.into() }
    }

    fn metadata(
        &self,
        key: Key,
        identity: &str,
        seconds: f64,
        produced: BTreeMap<String, ProducedFile>,
    ) -> Result<Metadata, Error> {
        let project = self.pipeline.project.seen_from(self.pipeline.path());
        let directory = std::env::current_dir().ok().and_then(|path| path.to_str().map(str::to_owned));
        let unsynced = match self.pipeline.workshop.options.durable {
            true => None,
            false => Some(boot::current().unwrap_or_default()),
        };
        let identity = identity.to_owned();
        let record = Record { key, identity, seconds, produced, project, directory, unsynced };
        let text = serde_json::to_string(&record).map_err(|error| Error::Encode {
            name: format!("the key of step {}", self.name),
            why: error.to_string(),
        })?;
        Ok(Metadata::new().with(RECORD, text))
    }

    /// The beginning of the names of the directories for the progress of a step with this key. The
    /// number of the version that is made again follows, also if it is lost, or 0 if there is none. So the remains of a
    /// finished version, left by a killed program, are not taken for the beginning of the next.
    fn progress_prefix(&self) -> String {
        format!("{}@{}-", folder(&self.name), self.key.hash())
    }

    /// Removes the progress towards this version, which is made, and towards those before it.
    fn remove_progress(&self, number: u64) {
        // Another pipeline may have taken the place of this one since the step was saved.
        if self.pipeline.guard.check().is_err() {
            return;
        }
        let Ok(entries) = fs::read_dir(self.pipeline.path().join(name::PROGRESS)) else { return };
        let prefix = self.progress_prefix();
        for entry in entries.flatten() {
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_prefix(&prefix));
            if name.and_then(|again| again.parse().ok()).is_some_and(|again: u64| again < number)
                && let Err(error) = fs::remove_dir_all(entry.path())
            {
                let path = entry.path();
                warn(format!(
                    "{}, checkpoints of a step that is done, cannot be removed: {error}",
                    path.display()
                ));
            }
        }
    }

    fn done(&self, begun: Instant, outcome: Outcome, reasons: Vec<Reason>, version: u64, bytes: u64) {
        let (step, duration) = (self.name.clone(), begun.elapsed());
        let report = StepReport { step, outcome, reasons, version, bytes, duration };
        let mut book = self.pipeline.book();
        book.marks.done(&self.name, &self.pipeline.commands);
        book.reports.push(report.clone());
        drop(book);
        self.pipeline.tell(|| StepEvent::Done(report));
    }
}

/// The reasons with those for each file that a kept copy takes the place of.
fn with_restored(mut reasons: Vec<Reason>, version: &Version) -> Vec<Reason> {
    reasons.extend(version.restore.iter().map(|(name, _)| Reason::Restored { path: name.into() }));
    reasons
}

/// True if a checkpoint directory has checkpoints.
fn has_generations(path: &Path) -> bool {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| generation_of(&entry.file_name()).is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
