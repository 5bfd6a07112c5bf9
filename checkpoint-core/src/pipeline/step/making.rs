//! Makes the output of a step, or takes that of a version, and saves what there is to save.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::running::with_restored;
use super::{Step, StepContext};
use crate::base::panics::message;
use crate::base::text::plain;
use crate::base::warnings::warn;
use crate::container::Metadata;
use crate::error::Error;
use crate::pipeline::builder::Workshop;
use crate::pipeline::decide::{Kept, RECORD, Version};
use crate::pipeline::folder::folder;
use crate::pipeline::key::{Key, ProducedFile, Record};
use crate::pipeline::output::{self, Output};
use crate::pipeline::produced::{self, Before, collect};
use crate::pipeline::report::{Outcome, Reason, StepEvent, StepReport};
use crate::pipeline::users::Users;
use crate::pipeline::{boot, requests};
use crate::run::checkpointer::Checkpointer;
use crate::run::stamp::Earlier;
use crate::state::Checkpoint;
use crate::store::{Directory, Home as _, name};

impl Step<'_> {
    pub(super) fn reuse<T: Checkpoint>(
        self,
        begun: Instant,
        version: Version,
        reasons: Vec<Reason>,
    ) -> Output<T> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        let number = version.number;
        if version.record.key == self.key {
            self.remove_progress(number);
        }
        let reasons = with_restored(reasons, &version);
        self.done(begun, Outcome::Reused, reasons, number, version.bytes);
        self.output(version.record.identity, number, None)
    }

    /// Makes a version durable before it is taken. The program that made it may have been killed
    /// before its name was durable, and an output that is made from it must not outlive it. The
    /// result is false if the version is gone.
    pub(super) fn make_durable(&self, version: &Version) -> Result<bool, Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        let Workshop { disk, options, .. } = &self.pipeline.workshop;
        if !options.durable {
            return Ok(true);
        }
        let outputs = self.outputs();
        // The version may also come from a run that was not durable.
        let file = outputs.location(version.number);
        let synced = self.pipeline.files().sync_once(&file, || match disk.sync_file(&file) {
            Err(source) if source.kind() == ErrorKind::NotFound => Err(None),
            Err(source) => Err(Some(Error::writing("sync", &file, source))),
            Ok(()) => disk
                .sync_directory(outputs.path())
                .map_err(|source| Some(Error::writing("sync", outputs.path(), source))),
        });
        match synced {
            Ok(()) => Ok(true),
            Err(None) => Ok(false),
            Err(Some(error)) => Err(error),
        }
    }

    /// Saves a version once more, as made from the present key.
    pub(super) fn accept<T: Checkpoint>(
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

    pub(super) fn make<T, E>(
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
        let disk = Arc::clone(&self.pipeline.workshop.disk);
        let progress = Directory::new(&self.pipeline.path().join(&place), disk).generations();
        let earlier = Earlier::new(progress.unwrap_or_default());
        let before = Before::look(&self.produced).map_err(|why| self.failed(why))?;
        let users = self.pipeline.users.as_ref().map(Users::guard);
        let locks = checkpoints.guard().into_iter().chain(users).collect();
        let context = StepContext::new(
            &self.name,
            (place, earlier, locks),
            self.read_back,
            &inputs,
            &self.pipeline.workshop,
        );
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
        self.check_made(&inputs)?;
        let changed = inputs.changed().map_err(|error| self.failed(error))?;
        for path in &changed {
            warn(format!(
                "step `{}`: {} was changed while it ran, so it is not known what it has read: the next run runs it again",
                self.name,
                plain(path)
            ));
            reasons.push(Reason::ChangedMeanwhile { path: path.into() });
        }
        // It may also have begun anew, if its inputs had changed, or load a state of this run.
        let produced = collect(
            &self.produced,
            &before,
            context.continues(),
            &self.pipeline.project,
            &self.pipeline.workshop,
        );
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
