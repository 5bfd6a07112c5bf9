//! [`Inner`]: a checkpointer, whatever the type of its state.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::background::Waits;
use crate::base::panics::message;
use crate::base::warnings::warn;
use crate::codec::Encode;
use crate::container::{Manifest, Metadata};
use crate::error::Error;
use crate::outcome::{Decision, LoadReport, Progress, SaveReason, Saved};
use crate::outputs::{self, Age, Counted, OfRun, Running};
use crate::run::configuration::ConfigChanges;
use crate::run::finished::{Finished, Removal};
use crate::run::lifecycle::SaveOutcome;
use crate::run::reader::{Reader, pin_unread};
use crate::run::save::{self, Failure, Order, Output};
use crate::run::saver::Saver;
use crate::run::stamp::Stamp;
use crate::run::standing::{self, Question};
use crate::store::{Claiming, Newest};

/// A checkpointer without the type of its state. A program is built with the code for it once, and
/// not for each type that it saves: a state comes as its [`Encode`], and goes to a closure.
pub(crate) struct Inner {
    pub(crate) reader: Reader,
    /// The reader of the directory to branch from, for loading while this one has no generation.
    pub(crate) branched_from: Option<Reader>,
    /// It ends before the saver gives the lock back.
    pub(crate) _running: Running,
    pub(crate) saver: Saver,
    pub(crate) stamp: Stamp,
    pub(crate) outputs: Arc<OfRun>,
    /// The reaction to another configuration in the checkpoint.
    pub(crate) config_changes: ConfigChanges,
    /// The settings of the claim on the directory.
    pub(crate) claiming: Claiming,
    /// True to make due saves in the background.
    pub(crate) background: bool,
    /// The newest generation of earlier runs, until this run loads one or was warned.
    pub(crate) unloaded: Option<u64>,
    /// The bytes of the state, kept so that the next save finds their memory warm.
    pub(crate) buffer: Vec<u8>,
}

/// A generation that was written or not, and the panic of the state's own code, if there was one.
pub(crate) type Written = (u64, Result<Saved, Error>, Option<Box<dyn Any + Send>>);

/// The work to do after a step of the program.
pub(crate) enum Turn {
    Save(SaveReason),
    Pass(Decision),
}

impl Inner {
    /// Warns before a first save that begins to replace generations that this run did not load: the
    /// program forgot to load, ignored an error of the load, or is another one.
    pub(super) fn warn_of_unloaded(&mut self) {
        if let Some(generation) = self.unloaded.take() {
            warn(format!(
                "{} has checkpoints of earlier runs, up to generation {generation}, and this run saves \
                 without loading one: it removes them as new ones come, except those that are pinned or kept \
                 by a rule; to continue from them, call `load` first (`restore` of `Scopes`), or save to another directory",
                self.reader.path().display()
            ));
        }
    }

    /// Loads from this directory or, where it is empty, from the one that it branched from.
    /// `load` keeps the state, and returns false where there is none; called again, it drops what
    /// it has first.
    pub(super) fn load(
        &mut self,
        load: &mut dyn FnMut(&mut Reader) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let _warnings = self.saver.run.warnings.enter();
        let is_ours = self.saver.run.is_of_this_process();
        // Waits for a save in the background; if that failed, the next save returns its error.
        let mut writer = self.saver.settled_writer_and_mirror();
        if let Some((writer, _)) = &mut writer {
            writer.take_rewind_back();
        }
        self.reader.has_saved(writer.as_ref().and_then(|(writer, _)| writer.saved()));
        let mut loaded = load(&mut self.reader);
        if let Some((writer, Some(mirroring))) = &mut writer
            && let Some(better_than) = self.reader.lacks(&loaded)
            && mirroring.restore(writer, better_than)?
        {
            loaded = load(&mut self.reader);
        }
        let is_loaded = loaded?;
        let unread = self.reader.unread();
        // A step begins anew where it cannot use what is left, and no save removes these either.
        let unpinned = if is_ours { pin_unread(self.reader.home(), &unread) } else { Vec::new() };
        if let Some((writer, _)) = writer {
            writer.keep_unread(unpinned);
            for skipped in self.reader.skipped() {
                match skipped.error {
                    Error::InputsChanged { .. } => writer.mark_doubtful(skipped.generation),
                    _ => writer.mark_damaged([skipped.generation]),
                }
            }
        }
        if is_loaded && let Some(generation) = self.reader.last_load().map(LoadReport::generation) {
            self.config_changes.apply_to(&mut self.reader)?;
            // This comes once the whole state is loaded, and no older generation will be tried.
            let age = self.age_of(generation);
            let found = self.reader.take_outputs();
            if is_ours {
                self.outputs.check(&found, generation, age, unread.first().copied())?;
                self.outputs.open(&found)?;
            } else {
                // The files belong to the process that this one was forked from.
                outputs::resolve(&found, self.reader.path());
            }
        }
        // A load that was refused is none.
        self.unloaded = None;
        if !is_loaded && self.branched_from.is_none() {
            self.saver.run.begins_afresh();
        }
        if is_loaded && let Some(report) = self.reader.last_load() {
            self.saver.run.restarted(report);
            let generation = report.generation();
            self.stamp.loaded(generation, || self.reader.manifest(generation).ok());
        }
        match &mut self.branched_from {
            Some(origin) if !is_loaded => {
                // A misspelt path must not silently lose the run to continue.
                let is_loaded = load(origin)?;
                self.went_on_from_origin()?;
                match &self.branched_from {
                    Some(origin) if !is_loaded => {
                        Err(Error::NothingToBranchFrom { path: origin.path().to_owned() })
                    }
                    _ => Ok(true),
                }
            }
            _ => Ok(is_loaded),
        }
    }

    /// The age of the generation that a load took: there may be newer ones, damaged or aside.
    pub(super) fn age_of(&mut self, generation: u64) -> Age {
        let newest = self.saver.settled_writer().map_or(generation, |writer| writer.last());
        if generation < newest { Age::Older } else { Age::Newest }
    }

    /// Loads one generation by `load`, which keeps the state.
    pub(super) fn load_one(
        &mut self,
        generation: u64,
        load: &mut dyn FnMut(&mut Reader) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _warnings = self.saver.run.warnings.enter();
        if self.loads_from_origin()?
            && let Some(origin) = &mut self.branched_from
        {
            load(origin)?;
            // It leaves the files of outputs as they are.
            return self.went_on_from_origin();
        }
        // A save in the background may end at any moment with a newer one.
        if let Some(writer) = self.saver.settled_writer() {
            writer.take_rewind_back();
        }
        load(&mut self.reader)?;
        self.config_changes.apply_to(&mut self.reader)?;
        let found = self.reader.take_outputs();
        if self.saver.run.is_of_this_process() {
            let newest = self.reader.generations()?.last().copied();
            let age = if newest > Some(generation) { Age::Behind } else { Age::Older };
            self.outputs.check(&found, generation, age, None)?;
        } else {
            outputs::resolve(&found, self.reader.path());
        }
        self.unloaded = None;
        if let Some(report) = self.reader.last_load() {
            self.saver.run.restarted(report);
        }
        self.stamp.loaded(generation, || self.reader.manifest(generation).ok());
        Ok(())
    }

    /// Goes on from a generation of the directory that this one branched from.
    fn went_on_from_origin(&mut self) -> Result<(), Error> {
        let Some(origin) = &mut self.branched_from else { return Ok(()) };
        self.config_changes.apply(origin, self.reader.configuration())?;
        let found = origin.take_outputs();
        outputs::resolve(&found, origin.path());
        self.outputs.leave(&found);
        if let Some(report) = origin.last_load() {
            self.saver.run.goes_on_from(report);
        }
        Ok(())
    }

    /// True if loads come from the directory that this one branched from.
    fn loads_from_origin(&self) -> Result<bool, Error> {
        let own = || Ok(self.reader.generations()?.is_empty() && self.reader.home().rewound()?.is_empty());
        if self.branched_from.is_none() { Ok(false) } else { own() }
    }

    /// The reader of the generations that can be loaded.
    pub(super) fn source(&self) -> Result<&Reader, Error> {
        match &self.branched_from {
            Some(origin) if self.loads_from_origin()? => Ok(origin),
            _ => Ok(&self.reader),
        }
    }

    pub(super) fn save_now(
        &mut self,
        reason: &SaveReason,
        encode: &mut Encode<'_>,
        metadata: Metadata,
    ) -> Result<Saved, Error> {
        let _warnings = self.saver.run.warnings.enter();
        self.made_now(reason, encode, metadata)?.0
    }

    /// Saves, and returns the decision that this means for the program.
    ///
    /// # Errors
    /// The reason that no save was started.
    fn made_now(
        &mut self,
        reason: &SaveReason,
        encode: &mut Encode<'_>,
        metadata: Metadata,
    ) -> Result<(Result<Saved, Error>, SaveOutcome), Error> {
        self.warn_of_unloaded();
        let begun = Instant::now();
        let (generation, saved, panic) = self.written_now(begun, reason, encode, metadata)?;
        let outcome = self.saver.run.saved(begun, generation, reason, saved.as_ref());
        panic.map_or(Ok((saved, outcome)), |panic| resume_unwind(panic))
    }

    /// Takes the number of the next generation, reports that its save has begun, and returns its
    /// manifest.
    pub(super) fn started(&mut self, reason: &SaveReason, metadata: Metadata) -> Result<Manifest, Error> {
        let metadata = self.saver.run.counted(metadata);
        Stamp::check(&metadata)?;
        let generation = self.saver.writer()?.next()?;
        self.saver.run.begun();
        self.saver.run.watcher.tell(|| Progress::Started { generation, reason: reason.clone() });
        Ok(self.reader.new_manifest(generation, metadata))
    }

    /// Writes the state as the next generation. The caller tells the run of it, and resumes the
    /// panic of the state's own code, if there was one.
    ///
    /// # Errors
    /// The reason that no save was started.
    pub(super) fn written_now(
        &mut self,
        begun: Instant,
        reason: &SaveReason,
        encode: &mut Encode<'_>,
        metadata: Metadata,
    ) -> Result<Written, Error> {
        let manifest = self.started(reason, metadata)?;
        let generation = manifest.generation;
        let context = self.saver.run.save_context();
        let (reader, outputs, stamp, buffer) = (&self.reader, &self.outputs, &self.stamp, &mut self.buffer);
        let (writer, net) = self.saver.writer_and_net()?;
        let order = Order { manifest, begun, stall: None };
        let save = || {
            save::save(writer, net, order, &context, buffer, &mut |output, buffer, manifest| {
                fill((reader, outputs, stamp), encode, output, buffer, manifest)
            })
        };
        // The state's own code runs in there. Its panic is recorded, and resumed.
        Ok(match catch_unwind(AssertUnwindSafe(save)) {
            Ok(saved) => (generation, saved, None),
            Err(panic) => {
                let error = Error::Panicked { name: reader.name(), message: message(&*panic) };
                (generation, Err(error), Some(panic))
            }
        })
    }

    /// The work to do now, after one more step.
    pub(super) fn turn(&mut self) -> Result<Turn, Error> {
        let _warnings = self.saver.run.warnings.enter();
        let failed = self.saver.check()?;
        let reason = self.saver.due()?;
        Ok(reason.map_or_else(|| Turn::Pass(failed.unwrap_or(Decision::NotDue)), Turn::Save))
    }

    pub(super) fn made_because(
        &mut self,
        reason: SaveReason,
        encode: &mut Encode<'_>,
        metadata: Metadata,
    ) -> Result<Decision, Error> {
        if self.background && !matches!(reason, SaveReason::Stopping(_)) {
            return match self.begin_save(&reason, Waits::Here, encode, metadata) {
                Ok(started) => Ok(Decision::Started { started, reason }),
                Err(not_begun) => match not_begun.outcome {
                    SaveOutcome::Tolerated(decision) => Ok(decision),
                    SaveOutcome::Durable | SaveOutcome::Failed => Err(not_begun.error),
                },
            };
        }
        let _warnings = self.saver.run.warnings.enter();
        match self.made_now(&reason, encode, metadata)? {
            (_, SaveOutcome::Tolerated(decision)) => Ok(decision),
            (saved, _) => Ok(Decision::Saved { saved: saved?, reason }),
        }
    }

    /// Ends the run with this state.
    pub(super) fn finish(&mut self, encode: &mut Encode<'_>, metadata: Metadata) -> Result<Finished, Error> {
        let metadata = if metadata.is_empty() { metadata } else { self.saver.run.counted(metadata) };
        // A forked process ends no run, and the state to save is its parent's.
        self.saver.run.check_process()?;
        let _warnings = self.saver.run.warnings.enter();
        let before = self.saver.writer().map(drop);
        self.list_newer();
        let saved = match self.stands(encode, &metadata) {
            true => None,
            false => Some(self.save_now(&SaveReason::Finishing, encode, metadata)?),
        };
        let finished = self.ended(saved, before.is_ok());
        before.map(|()| finished)
    }

    /// Looks for newer generations from elsewhere, so that the last save is numbered after them.
    pub(super) fn list_newer(&mut self) {
        if let Some(writer) = self.saver.settled_writer()
            && let Err(error) = writer.list()
        {
            warn(format!("newer generations from elsewhere cannot be looked for: {error}"));
        }
    }

    /// True if the newest generation has this state, and is durable.
    pub(super) fn stands(&mut self, encode: &mut Encode<'_>, metadata: &Metadata) -> bool {
        let Some(writer) = self.saver.settled_writer() else { return false };
        let (protection, saved) = (writer.protection(), writer.saved());
        let (key, is_encrypted) = (protection.tag_key(), protection.encrypts());
        let is_ours =
            saved.is_some() && saved == self.reader.generations().ok().and_then(|mut all| all.pop());
        let question = Question { metadata, key: key.as_ref(), is_encrypted, is_ours };
        // An earlier run may have left it unsynced.
        let lasts = |newest| writer.keep_for_good(newest);
        standing::generation((&self.reader, &self.outputs), encode, &question, lasts).is_some()
    }

    /// Ends the run, `well` if the program gets no error, and then waits for the mirror: the record
    /// of the run does not depend on it.
    pub(super) fn ended(&mut self, saved: Option<Saved>, well: bool) -> Finished {
        let exit_codes = self.saver.run.exit_codes();
        let stopped = self.saver.run.end(well);
        let newest = self.saver.settled_writer().and_then(|writer| writer.newest());
        let mirrored = self.saver.run.mirroring().and_then(|mirroring| mirroring.finish(newest));
        let removal = Some(self.removal(newest));
        Finished { saved, stopped, mirrored, exit_codes, removal }
    }

    /// The removal of the checkpoints, of which this is the newest, for the time after the run.
    fn removal(&self, newest: Option<u64>) -> Removal {
        let home = self.reader.shared_home();
        // Elsewhere nothing is removed.
        let has_files = newest.is_some() && home.files().is_some();
        let found = has_files.then(|| Newest::of(&*home).ok().flatten()).flatten();
        Removal {
            newest: found.filter(|found| Some(found.generation) == newest),
            claiming: self.claiming.clone(),
            warnings: self.saver.run.warnings.clone(),
            home,
        }
    }
}

/// Writes the parts of a state, and completes the manifest. Returns the outputs in the state.
pub(super) fn fill(
    (reader, outputs, stamp): (&Reader, &Arc<OfRun>, &Stamp),
    encode: &mut Encode<'_>,
    output: &mut Output<'_, '_>,
    buffer: &mut Vec<u8>,
    manifest: &mut Manifest,
) -> Result<Vec<Counted>, Failure> {
    buffer.clear();
    let (encoded, mut counted) = outputs::saving(outputs, || encode(reader.forms(), buffer, output));
    let observed = encoded.map_err(|failure| {
        outputs.abandon();
        Failure::of_encoding(failure, reader.path(), || reader.name())
    })?;
    manifest.complete(&observed);
    stamp.mark(manifest, &mut counted).map_err(|error| {
        outputs.abandon();
        Failure::Encode(error)
    })?;
    Ok(counted)
}
