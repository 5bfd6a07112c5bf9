//! One step: everything that its result depends on, and the function that makes it.

mod context;

use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

pub use context::StepContext;

use super::Pipeline;
use super::boot;
use super::builder::Workshop;
use super::decide::{Choice, Kept, RECORD, Version, decide, kept};
use super::files::Inputs;
use super::folder::{folder, place_of};
use super::key::{Key, Parameter, Record};
use super::output::{self, Output};
use super::report::{Outcome, Reason, StepEvent, StepReport};
use super::requests;
use crate::base::panics::message;
use crate::base::warnings::warn;
use crate::container::Metadata;
use crate::error::Error;
use crate::run::checkpointer::Checkpointer;
use crate::run::read_back::ReadBack;
use crate::run::reader::CheckpointReader;
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::store::{Directory, Home as _, name};

/// The number of versions of an output that are kept by default.
const KEEP: usize = 3;
/// The longest name of its folder, in bytes: a file system allows 255, and the folder of its
/// progress has a longer name.
const LONGEST_NAME: usize = 200;

/// A step that is being declared. See [`Pipeline`] for an example.
#[must_use = "a step does nothing until it is run"]
pub struct Step<'p> {
    pipeline: &'p Pipeline,
    name: String,
    key: Key,
    files: Vec<PathBuf>,
    /// The same, as they were before the work.
    inputs: Inputs,
    keep: usize,
    read_back: ReadBack,
    /// The first error of the declaration, for `run` to return.
    wrong: Option<Error>,
}

impl<'p> Step<'p> {
    pub(super) fn new(pipeline: &'p Pipeline, name: &str) -> Step<'p> {
        let key = Key { version: 1, ..Key::default() };
        let mut step = Step {
            pipeline,
            name: name.to_owned(),
            key,
            files: Vec::new(),
            inputs: Inputs::default(),
            keep: KEEP,
            read_back: ReadBack::default(),
            wrong: None,
        };
        if let Err(error) = pipeline.guard.check_process() {
            step.wrong = Some(error);
            return step;
        }
        if name.is_empty() {
            step.refuse("a step has a name");
            return step;
        }
        if folder(name).len() > LONGEST_NAME {
            step.refuse(
                "its name is too long for that of a folder: 200 bytes of letters, digits, `_`, `-` and dots are not, and each \
                 byte of anything else counts as three",
            );
            return step;
        }
        let names = &mut pipeline.book().names;
        if names.iter().any(|other| other != name && other.to_lowercase() == name.to_lowercase()) {
            step.refuse("it differs from another only in upper and lower case, which some file systems do not tell apart");
        } else if !names.insert(name.to_owned()) {
            step.wrong = Some(Error::StepTwice { step: name.to_owned() });
        }
        step
    }

    fn refuse(&mut self, why: &'static str) {
        let setting = format!("step {:?}", self.name);
        self.wrong.get_or_insert(Error::InvalidSetting { setting, why });
    }

    /// A value that the result depends on: anything that serde serializes. Text and numbers are
    /// shown when they change.
    pub fn param<P: Serialize + ?Sized>(mut self, name: &str, value: &P) -> Step<'p> {
        match Parameter::of(value) {
            Ok(parameter) => {
                if self.key.parameters.insert(name.to_owned(), parameter).is_some() {
                    let setting = format!("the parameter `{name}` of step `{}`", self.name);
                    let why = "it is given twice, and only one of the values would count";
                    self.wrong.get_or_insert(Error::InvalidSetting { setting, why });
                }
            }
            Err(why) => {
                let name = format!("the parameter {name} of step {}", self.name);
                self.wrong.get_or_insert(Error::Encode { name, why });
            }
        }
        self
    }

    /// The output of an earlier step that the result depends on. It is not loaded; the function
    /// loads it, if it is run.
    pub fn input<U>(mut self, output: &Output<U>) -> Step<'p> {
        if output.pipeline == self.pipeline.number {
            self.key.inputs.insert(output.step.clone(), output.identity.clone());
        } else {
            let (step, input) = (self.name.clone(), output.step.clone());
            self.wrong.get_or_insert(Error::ForeignInput { step, input });
        }
        self
    }

    /// A file that the result depends on, by its content. A relative path starts at the working
    /// directory at the time of [`run`](Step::run), as in the function.
    ///
    /// If the file is changed while the step runs, it is not known what the step has read. The
    /// output then counts in this run, and the next one runs the step again.
    pub fn file(mut self, path: impl AsRef<Path>) -> Step<'p> {
        self.files.push(path.as_ref().to_owned());
        self
    }

    /// The version of the function, 1 by default. Raise it when the function computes something
    /// else than before.
    pub fn version(mut self, version: u32) -> Step<'p> {
        self.key.version = version;
        self
    }

    /// The number of versions of the output to keep, 3 by default. To go back to parameters with a
    /// kept output costs nothing.
    pub fn keep(mut self, versions: usize) -> Step<'p> {
        self.keep = versions;
        self
    }

    /// Sets when the output is loaded again and compared before it counts, and likewise the first
    /// of the step's [own checkpoints](StepContext::checkpointer); [`ReadBack::Auto`] by default.
    /// See [`Builder::read_back`](crate::Builder::read_back).
    pub fn read_back(mut self, read_back: ReadBack) -> Step<'p> {
        self.read_back = read_back;
        self
    }

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
            Choice::Reuse(_, reasons) => (Outcome::Reused, reasons),
            Choice::Accept(_) => (Outcome::Reused, vec![Reason::Accepted]),
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
        let commands = &self.pipeline.commands;
        let choice = self.choose::<T>(&mut kept, |kept| {
            decide(commands, &mut self.pipeline.book().marks, &self.name, &self.key, kept)
        })?;
        self.set_aside(&kept);
        match choice {
            Choice::Reuse(version, reasons) => self.reuse(begun, version, reasons),
            Choice::Accept(version) => self.accept(begun, version),
            Choice::Run(reasons) => {
                let again = kept.last_with(&self.key);
                self.make(begun, again, reasons, work)
            }
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
        for path in &self.files {
            let mut files = self.pipeline.files.lock().unwrap_or_else(PoisonError::into_inner);
            let input = files.input(path).map_err(|error| self.failed(error))?;
            self.key.files.insert(input.name.clone(), input.hash().to_owned());
            self.inputs.add(input);
        }
        kept::<T>(self.outputs(), self.protection())
    }

    fn outputs(&self) -> Directory {
        self.pipeline.outputs(&self.name)
    }

    fn protection(&self) -> Protection {
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
        let Version { number, record, bytes, .. } = version;
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
        if record.key == self.key {
            self.remove_progress(number);
        }
        self.done(begun, Outcome::Reused, reasons, number, bytes);
        Ok(self.output(record.identity, number, None))
    }

    /// Saves a version once more, as made from the present key.
    fn accept<T: Checkpoint>(self, begun: Instant, version: Version) -> Result<Output<T>, Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        let mut checkpoints = self.open::<T>()?;
        let value = checkpoints
            .load_generation(version.number)
            .map_err(|error| output::unusable(&self.outputs(), &self.name, version.number, error))?;
        let Record { identity, seconds, .. } = version.record;
        let saved = checkpoints.save_with(&value, self.metadata(self.key.clone(), &identity, seconds)?)?;
        let (number, bytes) = (saved.generation, saved.bytes);
        self.done(begun, Outcome::Reused, vec![Reason::Accepted], number, bytes);
        Ok(self.output(identity, number, Some(value)))
    }

    fn make<T, E>(
        mut self,
        begun: Instant,
        again: u64,
        mut reasons: Vec<Reason>,
        work: impl FnOnce(&StepContext) -> Result<T, E>,
    ) -> Result<Output<T>, Error>
    where
        T: Checkpoint,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.check_not_stopped()?;
        self.pipeline.tell(|| StepEvent::Started { step: self.name.clone(), reasons: reasons.clone() });
        // Opened before the work: a disk that cannot be written should not cost the work.
        let mut checkpoints = self.open::<T>()?;
        let inputs = Arc::new(std::mem::take(&mut self.inputs));
        self.take_request();
        let place = format!("{}/{}{again}", name::PROGRESS, self.progress_prefix());
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
        let name = || format!("the output of step {}", self.name);
        let identity = output::identity(&value).map_err(|why| Error::Encode { name: name(), why })?;
        let key = self.key.with_changed_meanwhile(&changed);
        let metadata = self.metadata(key, &identity, begun.elapsed().as_secs_f64())?;
        let saved = checkpoints.save_with(&value, metadata)?;
        self.remove_progress(u64::MAX);
        self.settle_request(requests::done);
        self.done(begun, Outcome::Ran, reasons, saved.generation, saved.bytes);
        Ok(self.output(identity, saved.generation, Some(value)))
    }

    /// Checks before the work that the pipeline was not told to stop.
    fn check_not_stopped(&self) -> Result<(), Error> {
        let stop = &self.pipeline.workshop.stop;
        let Some(reason) = stop.reason(Instant::now(), Duration::ZERO, Duration::ZERO) else { return Ok(()) };
        stop.meet();
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

    fn failed(&self, why: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        Error::StepFailed { step: self.name.clone(), source: why.into() }
    }

    fn metadata(&self, key: Key, identity: &str, seconds: f64) -> Result<Metadata, Error> {
        let directory = std::env::current_dir().ok().and_then(|path| path.to_str().map(str::to_owned));
        let unsynced = match self.pipeline.workshop.options.durable {
            true => None,
            false => Some(boot::current().unwrap_or_default()),
        };
        let record = Record { key, identity: identity.to_owned(), seconds, directory, unsynced };
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

impl fmt::Debug for Step<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Step")
            .field("name", &self.name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
