//! Makes the output of a step, or takes that of a version, and saves what there is to save.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::fs;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::running::with_restored;
use super::{Step, StepContext};
use crate::base::panics::message;
use crate::base::text::plain;
use crate::base::warnings::warn;
use crate::container::Metadata;
use crate::error::Error;
use crate::pipeline::boot;
use crate::pipeline::builder::Workshop;
use crate::pipeline::commands::InStep;
use crate::pipeline::decide::{Kept, RECORD, Version};
use crate::pipeline::files::Look;
use crate::pipeline::folder::folder;
use crate::pipeline::inputs::Input;
use crate::pipeline::key::{Key, ProducedFile, Record};
use crate::pipeline::output::{self, Output};
use crate::pipeline::produced::{self, Before, Refused, Saved, collect};
use crate::pipeline::report::{Outcome, Reason, StepEvent, StepReport};
use crate::pipeline::requests::Requests;
use crate::pipeline::users::Users;
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
        self.note_made(self.made_before(&version.record.produced));
        self.remove_moot_request();
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
        self.note_made(self.made_before(&produced));
        let metadata = self.metadata(self.key.clone(), &identity, seconds, produced)?;
        let saved = checkpoints.save_with(&value, metadata)?;
        let (number, bytes) = (saved.generation, saved.bytes);
        self.remove_moot_request();
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
        self.add_made_by_inputs();
        let inputs = Arc::new(std::mem::take(&mut self.inputs));
        self.take_request()?;
        let again = kept.last_with(&self.key);
        self.remove_progress_of_others()?;
        let place = self.progress_place(again);
        let disk = Arc::clone(&self.pipeline.workshop.disk);
        // Without the list, a state from before would be taken for one of this run.
        let progress = Directory::new(&self.pipeline.path().join(&place), disk).generations();
        let earlier = Earlier::new(progress.map_err(|error| self.failed(error))?);
        let before = Before::look(&self.produced).map_err(|why| self.failed(why))?;
        let users = self.pipeline.users.as_ref().map(Users::guard);
        let locks = checkpoints.guard().into_iter().chain(users).collect();
        let context = StepContext::new(
            &self.name,
            (place, earlier, locks),
            self.read_back,
            &inputs,
            (Saved::new(&self.produced, &before), &self.pipeline.project),
            &self.pipeline.workshop,
        );
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let _in_step = InStep::begin();
            work(&context)
        }));
        let value = match worked {
            Ok(Ok(value)) => value,
            Ok(Err(error)) => {
                let error = error.into();
                let _warnings = self.pipeline.workshop.options.warnings.enter();
                if let Some(stopped) = context.not_done_of(&*error) {
                    return Err(stopped);
                }
                let Some(stopped) = context.stopped() else {
                    self.tell_stale(&context, &before);
                    return Err(self.failed(error));
                };
                warn(format!("step `{}` was told to stop, and returned an error: {error}", self.name));
                return Err(stopped);
            }
            Err(panic) => {
                let _warnings = self.pipeline.workshop.options.warnings.enter();
                self.tell_stale(&context, &before);
                return Err(self.failed(format!("it panicked: {}", message(&*panic))));
            }
        };
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        if let Some(stopped) = context.stopped() {
            return Err(stopped);
        }
        self.check_made(&inputs)?;
        let continued = context.continued();
        let mut changed = inputs.changed();
        changed.extend(continued.iter().flat_map(|notes| notes.written.iter().cloned()));
        for path in &changed {
            warn(format!(
                "step `{}`: {} was changed while it ran, so it is not known what it has read: the next run runs it again",
                self.name,
                plain(path)
            ));
            reasons.push(Reason::ChangedMeanwhile { path: path.into() });
        }
        // It may also have begun anew, if its inputs had changed, or load a state of this run.
        let former = context.former();
        let (project, workshop) = (&self.pipeline.project, &self.pipeline.workshop);
        let made = collect(&self.produced, &before, former.as_ref(), project, workshop);
        let made = made.map_err(|refused| match refused {
            Refused::Why(why) => self.failed(why),
            Refused::Stale(name) => {
                // The checkpoints count on a file that is not there: the next run starts without
                // them.
                self.remove_progress(u64::MAX);
                self.failed(format!(
                    "it went on from its own checkpoint and did not write {name}, which is not the file of that \
                     checkpoint any more: another run, a program or a power cut has changed it; the checkpoints are \
                     removed, so the next run begins the step anew"
                ))
            }
        })?;
        let produced: BTreeMap<String, ProducedFile> =
            made.iter().map(|(name, (file, _))| (name.clone(), file.clone())).collect();
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
        let changed: Vec<String> = changed.into_iter().collect();
        let key = self.key.with_changed_meanwhile(&changed);
        let metadata = self.metadata(key, &identity, begun.elapsed().as_secs_f64(), produced.clone())?;
        let saved = checkpoints.save_with(&value, metadata)?;
        self.remove_progress(u64::MAX);
        self.remove_copies(kept, produced.values().map(|file| &*file.hash));
        self.fulfil_request();
        self.note_made(made.into_iter().map(|(name, (_, look))| (name, look)));
        self.done(begun, Outcome::Ran, reasons, saved.generation, saved.bytes);
        Ok(self.output(identity, saved.generation, Some(value)))
    }

    /// After an error of the work: says so if a file that the checkpoints of the step's own count
    /// on was another one. The error may come from that. The checkpoints stay: it may be an error
    /// that passes, after a run that was killed behind its last save.
    fn tell_stale(&self, context: &StepContext, before: &Before) {
        let Some(former) = context.former() else { return };
        if let Some(name) = produced::stale(&self.produced, before, &former) {
            warn(format!(
                "step `{}`: {} is not as its own checkpoint left it, and was not written since; if the step fails because \
                 of that, `ckpt redo` begins it anew",
                self.name,
                plain(name)
            ));
        }
    }

    /// The files of a version, as they are now.
    fn made_before(&self, produced: &BTreeMap<String, ProducedFile>) -> Vec<(String, Look)> {
        let mut files = self.pipeline.files();
        let looks = produced.iter().filter_map(|(name, file)| {
            let mut look = files.look(self.produced.get(name)?).ok()?;
            if look.seen.hash != file.hash {
                // Changed since it was compared: that shows in the hash.
                look.seen.hash.clone_from(&file.hash);
                look.shows_changes = false;
            }
            Some((name.clone(), look))
        });
        looks.collect()
    }

    /// Notes the files of the output, for the steps that take it.
    fn note_made(&self, made: impl IntoIterator<Item = (String, Look)>) {
        let files = made.into_iter();
        let files = files.filter_map(|(name, look)| Some((self.produced.get(&name)?.clone(), name, look)));
        let files = files.map(|(path, name, look)| Input::new(name, path, look)).collect();
        self.pipeline.book().made.insert(self.name.clone(), files);
    }

    /// Watches the files of the outputs that the step takes like those that it reads. Its key has
    /// their content by the identity of the output.
    fn add_made_by_inputs(&mut self) {
        let book = self.pipeline.book();
        let made = self.key.inputs.keys().filter_map(|step| book.made.get(step));
        let made: Vec<Input> = made.flatten().cloned().collect();
        drop(book);
        made.into_iter().for_each(|input| self.inputs.add(input));
    }

    /// Takes the request to run the step again, or makes one where a command forces it. One that
    /// comes during the work is for the next run. New forced work begins from the start: it does
    /// not begin where older progress stays.
    fn take_request(&self) -> Result<(), Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        if !self.pipeline.book().marks.is_forced(&self.name) {
            self.settle_request(|requests, step| requests.take(step));
            return Ok(());
        }
        let forget = || self.forget_progress();
        if let Err(error) = self.requests().begin(&self.name, forget)? {
            warn(format!(
                "step {} is forced, and that cannot be noted: if this run ends before it is done, the next run may \
                 reuse it: {error}",
                self.name
            ));
        }
        Ok(())
    }

    /// Removes the request for the work that is done, after it has left those for the steps that
    /// depend on it: a run that ends in between has lost none.
    fn fulfil_request(&self) {
        if self.leave_requests() {
            self.settle_request(|requests, step| requests.done(step));
        }
    }

    /// Leaves requests for the steps that depend on this one, if it was forced. The result is false
    /// if one cannot be left.
    fn leave_requests(&self) -> bool {
        let is_forced = self.pipeline.book().marks.is_forced(&self.name);
        if !is_forced && !self.pipeline.commands.redo.contains(&self.name) {
            return true;
        }
        // Another pipeline may have taken the place of this one since the step was saved.
        if self.pipeline.guard.check().is_err() {
            return false;
        }
        let mut are_left = true;
        for step in self.pipeline.followers().get(&self.name).into_iter().flatten() {
            let mut book = self.pipeline.book();
            // What is done has not taken this output: it depended on it in an earlier program.
            if book.reports.iter().any(|report| report.step == *step) {
                continue;
            }
            book.left.entry(step.clone()).or_default().insert(self.name.clone());
            drop(book);
            let is_shared = self.pipeline.workshop.shared;
            if let Err(error) = self.requests().leave(step, is_shared) {
                warn(format!(
                    "step {step}, which depends on step {}, cannot be noted: if this run ends before it is \
                     done, the next run may reuse it: {error}",
                    self.name
                ));
                are_left = false;
            }
        }
        are_left
    }

    /// Removes the request that this run left for the step, if it no longer depends on what was
    /// forced. In a shared pipeline it may be that of another process.
    fn remove_moot_request(&self) {
        let by = self.pipeline.book().left.get(&self.name).cloned();
        let is_moot = by.is_some_and(|by| !by.iter().any(|step| self.key.inputs.contains_key(step)));
        if is_moot && !self.pipeline.workshop.shared && !self.pipeline.commands.redo.contains(&self.name) {
            self.settle_request(|requests, step| requests.take_back(step));
        }
    }

    /// True if the step may have a request that is for this run.
    pub(super) fn is_asked(&self) -> bool {
        let book = self.pipeline.book();
        let is_left = book.marks.is_forced(&self.name) || book.left.contains_key(&self.name);
        is_left || self.pipeline.commands.redo.contains(&self.name)
    }

    fn requests(&self) -> Requests<'_> {
        let Workshop { path, disk, options, .. } = &self.pipeline.workshop;
        Requests { pipeline: path, disk: &**disk, durable: options.durable }
    }

    /// Removes all progress of the step, before the request of the work that must not go on from it
    /// is taken: after a power cut no such progress is there again.
    fn forget_progress(&self) -> Result<(), Error> {
        let workshop = &self.pipeline.workshop;
        remove_progress(workshop, &self.name, |_| true)?;
        let path = workshop.path.join(name::PROGRESS);
        if !workshop.options.durable || !path.exists() {
            return Ok(());
        }
        workshop.disk.sync_directory(&path).map_err(|source| Error::writing("sync", &path, source))
    }

    fn settle_request(&self, settle: impl FnOnce(&Requests<'_>, &str) -> Result<(), Error>) {
        if self.is_asked()
            && let Err(error) = settle(&self.requests(), &self.name)
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
    /// number of the version that is made again follows, also if it is lost, or 0 if there is none.
    /// So the remains of a finished version, left by a killed program, are not taken for the
    /// beginning of the next.
    fn progress_prefix(&self) -> String {
        self.prefix(&self.key.hash())
    }

    fn prefix(&self, hash: &str) -> String {
        format!("{}@{hash}-", folder(&self.name))
    }

    /// The place of the progress, in the pipeline directory. One that an early version of this
    /// library began stays where it is.
    fn progress_place(&self, again: u64) -> String {
        let place = |prefix: String| format!("{}/{prefix}{again}", name::PROGRESS);
        let early = place(self.prefix(&self.key.hash_of_early()));
        if self.pipeline.path().join(&early).is_dir() { early } else { place(self.progress_prefix()) }
    }

    /// Removes the progress towards this version, which is made, and towards those before it.
    fn remove_progress(&self, number: u64) {
        // Another pipeline may have taken the place of this one since the step was saved.
        if self.pipeline.guard.check().is_err() {
            return;
        }
        let prefixes = [self.progress_prefix(), self.prefix(&self.key.hash_of_early())];
        let removed = remove_progress(&self.pipeline.workshop, &self.name, |name| {
            let again = prefixes.iter().find_map(|prefix| name.strip_prefix(&**prefix));
            again.and_then(|again| again.parse().ok()).is_some_and(|again: u64| again < number)
        });
        // The next version begins in another directory.
        if let Err(error) = removed {
            warn(format!("checkpoints of step {}, which is done or begins anew, stay: {error}", self.name));
        }
    }

    /// Removes the progress of the step with other parameters or inputs, whose files this work is
    /// about to change: a state that goes on from there would count on what is not there any more.
    pub(super) fn remove_progress_of_others(&self) -> Result<(), Error> {
        if self.produced.is_empty() {
            return Ok(());
        }
        let prefixes = [self.progress_prefix(), self.prefix(&self.key.hash_of_early())];
        remove_progress(&self.pipeline.workshop, &self.name, |name| {
            !prefixes.iter().any(|prefix| name.starts_with(&**prefix))
        })
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

/// Removes the checkpoints inside a step whose directories have such names: all that can be
/// removed. Returns the first error.
pub(super) fn remove_progress(
    workshop: &Workshop,
    step: &str,
    goes: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let path = workshop.path.join(name::PROGRESS);
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| Error::io("list", &path, source))?,
    };
    let of_step = format!("{}@", folder(step));
    let mut removed = Ok(());
    for entry in entries {
        let entry = entry.map_err(|source| Error::io("list", &path, source))?;
        let name = entry.file_name();
        if !name.to_str().is_some_and(|name| name.starts_with(&of_step) && goes(name)) {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            // Another process of a shared pipeline has removed it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(source) => removed = removed.and(Err(Error::writing("remove", &entry.path(), source))),
            Ok(()) => {}
        }
    }
    removed
}
