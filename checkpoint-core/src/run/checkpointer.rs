//! [`Checkpointer`]: saves a program's state, and loads it after a restart.

mod agreed;
pub(crate) mod autosaver;
mod background;
mod due;
mod during;
pub(crate) mod futures;
#[cfg(feature = "group")]
pub(crate) mod grouped;
mod parts;
mod rewind;
#[cfg(test)]
mod unread;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use self::background::Waits;
use crate::base::panics::message;
use crate::base::warnings::{Warnings, warn};
use crate::codec;
use crate::container::{IntoMetadata, Manifest, Metadata};
use crate::error::Error;
use crate::outcome::{Decision, LoadReport, Progress, SaveReason, Saved, StopReason};
use crate::outputs::{self, Age, Counted, OfRun, Running};
use crate::run::builder::Builder;
use crate::run::configuration::ConfigChanges;
use crate::run::finished::{Finished, Removal};
use crate::run::lifecycle::SaveOutcome;
use crate::run::read_back::ReadBack;
use crate::run::reader::{CheckpointReader, pin_unread};
use crate::run::save::{self, Failure, Order, Output};
use crate::run::saver::Saver;
use crate::run::stamp::Stamp;
use crate::run::standing::{self, Question};
use crate::state::Checkpoint;
#[cfg(feature = "pipeline")]
use crate::store::WithinGuard;
use crate::store::{Claiming, Home, Metric, Newest};

/// Saves the states of one program to a directory, and loads the newest of them when the program
/// starts again.
///
/// A save is durable when it returns: after a crash, a kill or a power cut the program continues
/// from it. Earlier checkpoints are untouched until then, so at every moment there is one to
/// continue from.
///
/// ```
/// use checkpointed::Checkpointer;
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("sum.ckpt");
/// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
/// let mut sum = checkpoints.load_or_default()?;
/// for number in 1..=10 {
///     sum += number;
///     checkpoints.save(&sum)?;
/// }
/// drop(checkpoints);
///
/// // The next run of the program:
/// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
/// assert_eq!(checkpoints.load()?, Some(55));
/// # Ok(())
/// # }
/// ```
///
/// Only one checkpointer at a time can have a directory open for saving. To load only, even from a
/// directory in use, there is [`CheckpointReader`].
pub struct Checkpointer<T> {
    reader: CheckpointReader<T>,
    /// The reader of the directory to branch from, for loading while this one has no generation.
    branched_from: Option<CheckpointReader<T>>,
    /// It ends before the saver gives the lock back.
    _running: Running,
    saver: Saver,
    stamp: Stamp,
    outputs: Arc<OfRun>,
    /// The reaction to another configuration in the checkpoint.
    config_changes: ConfigChanges,
    /// The settings of the claim on the directory.
    claiming: Claiming,
    /// True to make due saves in the background.
    background: bool,
    /// The newest generation of earlier runs, until this run loads one or was warned.
    unloaded: Option<u64>,
    /// The bytes of the state, kept so that the next save finds their memory warm.
    buffer: Vec<u8>,
}

/// A generation that was written or not, and the panic of the state's own code, if there was one.
pub(crate) type Written = (u64, Result<Saved, Error>, Option<Box<dyn Any + Send>>);

/// The work to do after a step of the program.
pub(crate) enum Turn {
    Save(SaveReason),
    Pass(Decision),
}

// The bound is on the functions, so that an unmet bound shows its own message.
impl<T> Checkpointer<T> {
    /// Opens a checkpoint directory with the default settings, and creates it where it is absent.
    ///
    /// # Errors
    /// [`Error::InUse`] where another checkpointer has it open, [`Error::NotADirectory`],
    /// [`Error::NotWritable`], or [`Error::Unsupported`] where `T` has a field that could be saved
    /// but never loaded.
    pub fn open(path: impl AsRef<Path>) -> Result<Checkpointer<T>, Error>
    where
        T: Checkpoint,
    {
        Checkpointer::builder(path).open()
    }

    /// Returns a builder with the default settings for a directory.
    pub fn builder(path: impl AsRef<Path>) -> Builder<T>
    where
        T: Checkpoint,
    {
        Builder::new(path.as_ref())
    }

    /// Returns a builder with the default settings for another place than a directory, such as an
    /// `ObjectHome` of the package `checkpointed-object-store`.
    pub fn builder_in(home: impl Home + 'static) -> Builder<T>
    where
        T: Checkpoint,
    {
        Builder::new(home.path()).in_home(Arc::new(home))
    }
}

impl<T: Checkpoint> Checkpointer<T> {
    pub(crate) fn new(
        reader: CheckpointReader<T>,
        branched_from: Option<CheckpointReader<T>>,
        saver: Saver,
        (stamp, outputs, config_changes): (Stamp, Arc<OfRun>, ConfigChanges),
        claiming: Claiming,
        background: bool,
        unloaded: Option<u64>,
    ) -> Checkpointer<T> {
        let buffer = Vec::new();
        Checkpointer {
            reader,
            branched_from,
            _running: Running::new(&outputs),
            saver,
            stamp,
            outputs,
            config_changes,
            claiming,
            background,
            unloaded,
            buffer,
        }
    }

    /// Warns before a first save that begins to replace generations that this run did not load: the
    /// program forgot to load, ignored an error of the load, or is another one.
    fn warn_of_unloaded(&mut self) {
        if let Some(generation) = self.unloaded.take() {
            warn(format!(
                "{} has checkpoints of earlier runs, up to generation {generation}, and this run saves \
                 without loading one: it removes them as new ones come, except those that are pinned or kept \
                 by a rule; to continue from them, call `load` first, or save to another directory",
                self.path().display()
            ));
        }
    }

    /// Loads the newest undamaged generation; `None` where there is none at all, as on the first
    /// run.
    ///
    /// A damaged generation is skipped for the next older one, with a warning in the log (by
    /// [`tracing`]) and in [`last_load`](Checkpointer::last_load). With a
    /// [mirror](Builder::mirror), it is copied back from there.
    ///
    /// The type of the state may have changed since the save: fields and variants are found by
    /// their names and numbers keep their values, as from JSON. [`LoadReport::differences`] lists
    /// every change.
    ///
    /// # Errors
    /// [`Error::NoneUsable`] where there are generations and all are damaged: only the user may
    /// decide to start afresh, by moving the directory away. [`Error::MirrorUnreachable`] where the
    /// newest is damaged or gone, and the mirror cannot be asked for it;
    /// [`load_generation`](Checkpointer::load_generation) loads an older one.
    /// [`Error::SchemaMismatch`], [`Error::OtherState`], [`Error::VersionUnknown`] or
    /// [`Error::FormatTooNew`] where the newest is undamaged, but from another program, or cannot
    /// be converted to this state.
    pub fn load(&mut self) -> Result<Option<T>, Error> {
        match self.load_boxed()? {
            Some(state) => Ok(Some(*state)),
            None => Ok(None),
        }
    }

    fn load_boxed(&mut self) -> Result<Option<Box<T>>, Error> {
        self.load_with(CheckpointReader::load_boxed)
    }

    /// Loads the newest undamaged generation into an existing state: large arrays of the right
    /// length are overwritten, which saves the time and memory of new ones. Returns false, with
    /// nothing changed, where there is no generation at all.
    ///
    /// It overwrites each `Vec` and boxed slice of at least 64 KiB, of numbers or of fixed arrays
    /// of them up to 32 long, and with its feature an `ndarray` array in C order: as fields of
    /// types with `#[checkpointed]`, also in tuples, options, boxes, sequences and values of maps.
    /// Everything else is made anew, as by [`load`](Checkpointer::load). So a field with
    /// `#[serde(skip)]` has its default afterwards, and not its former value.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<Vec<f64>>::open(&path)?;
    /// let mut field = vec![1.0; 100_000];
    /// checkpoints.save(&field)?;
    /// field.fill(f64::NAN);
    /// assert!(checkpoints.load_into(&mut field)?);
    /// assert_eq!(field[99_999], 1.0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`load`](Checkpointer::load). The large arrays of the state may then be empty.
    pub fn load_into(&mut self, state: &mut T) -> Result<bool, Error> {
        let loaded = self.load_with(|reader| reader.load_over(state))?;
        // This comes last: the old state runs its own code when it is dropped.
        Ok(loaded.map(|loaded| *state = *loaded).is_some())
    }

    /// Loads from this directory or, where it is empty, from the one that it branched from.
    fn load_with(
        &mut self,
        mut load: impl FnMut(&mut CheckpointReader<T>) -> Result<Option<Box<T>>, Error>,
    ) -> Result<Option<Box<T>>, Error> {
        let _warnings = self.saver.run.warnings.enter();
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
            // Of a large state there is one at a time.
            drop(loaded);
            loaded = load(&mut self.reader);
        }
        let loaded = loaded?;
        if let Some((writer, _)) = writer {
            for skipped in self.reader.skipped() {
                match skipped.error {
                    Error::InputsChanged { .. } => writer.mark_doubtful(skipped.generation),
                    _ => writer.mark_damaged([skipped.generation]),
                }
            }
        }
        if loaded.is_some()
            && let Some(generation) = self.reader.last_load().map(LoadReport::generation)
        {
            let unread = self.reader.last_load().map(LoadReport::unread).unwrap_or_default();
            let is_ours = self.saver.run.is_of_this_process();
            if is_ours {
                pin_unread(self.reader.home(), &unread);
            }
            self.config_changes.apply_to(&mut self.reader)?;
            // This comes once the whole state is loaded, and no older generation will be tried.
            let age = self.age_of(generation);
            let found = self.reader.take_outputs();
            if is_ours {
                self.outputs.check(&found, generation, age)?;
                outputs::refuse_to_cut(outputs::counts(&found), unread.first().copied())?;
                self.outputs.open(&found)?;
            } else {
                // The files belong to the process that this one was forked from.
                outputs::resolve(&found, self.reader.path());
            }
        }
        // A load that was refused is none.
        self.unloaded = None;
        if loaded.is_none() && self.branched_from.is_none() {
            self.saver.run.begins_afresh();
        }
        if loaded.is_some()
            && let Some(report) = self.reader.last_load()
        {
            self.saver.run.restarted(report);
            let generation = report.generation();
            self.stamp.loaded(generation, || self.reader.manifest(generation).ok());
        }
        match &mut self.branched_from {
            Some(origin) if loaded.is_none() => {
                // A misspelt path must not silently lose the run to continue.
                let loaded = load(origin)?;
                let now = self.reader.configuration().cloned();
                self.config_changes.apply(origin, now.as_ref())?;
                let found = origin.take_outputs();
                outputs::resolve(&found, origin.path());
                self.outputs.leave(&found);
                if let Some(report) = origin.last_load() {
                    self.saver.run.goes_on_from(report);
                }
                loaded.map(Some).ok_or_else(|| Error::NothingToBranchFrom { path: origin.path().to_owned() })
            }
            _ => Ok(loaded),
        }
    }

    /// The age of the generation that a load took: there may be newer ones, damaged or aside.
    pub(crate) fn age_of(&mut self, generation: u64) -> Age {
        let newest = self.saver.settled_writer().map_or(generation, |writer| writer.last());
        if generation < newest { Age::Older } else { Age::Newest }
    }

    /// Loads the newest generation, or returns the default where there is none.
    ///
    /// # Errors
    /// As [`load`](Checkpointer::load).
    pub fn load_or_default(&mut self) -> Result<T, Error>
    where
        T: Default,
    {
        self.load_or_else(T::default)
    }

    /// Loads the newest generation, or calls `initial` where there is none.
    ///
    /// # Errors
    /// As [`load`](Checkpointer::load).
    pub fn load_or_else(&mut self, initial: impl FnOnce() -> T) -> Result<T, Error> {
        match self.load_boxed()? {
            Some(state) => Ok(*state),
            None => Ok(initial()),
        }
    }

    /// Loads the newest generation, or calls `initial` where there is none, which may fail.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("run.ckpt");
    /// # std::fs::write(directory.path().join("start.txt"), "1\n2\n")?;
    /// # let start = directory.path().join("start.txt");
    /// let read = || -> Result<Vec<f64>, Box<dyn std::error::Error>> {
    ///     std::fs::read_to_string(&start)?.lines().map(|line| Ok(line.parse()?)).collect()
    /// };
    /// let mut checkpoints = Checkpointer::<Vec<f64>>::open(&path)?;
    /// let values = checkpoints.load_or_try_else(read)?;
    /// assert_eq!(values, [1.0, 2.0]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`load`](Checkpointer::load), and those of `initial`.
    pub fn load_or_try_else<E: From<Error>>(
        &mut self,
        initial: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        match self.load_boxed()? {
            Some(state) => Ok(*state),
            None => initial(),
        }
    }

    /// Loads one generation. The next save is still numbered after the newest, and the next start
    /// loads the newest: to go on from this one for good, use [`rewind`](Checkpointer::rewind). The
    /// history records a restart.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation.
    pub fn load_generation(&mut self, generation: u64) -> Result<T, Error> {
        let _warnings = self.saver.run.warnings.enter();
        if self.loads_from_origin()?
            && let Some(origin) = &mut self.branched_from
        {
            // It leaves the files of outputs as they are.
            let state = origin.load_one(generation)?;
            let now = self.reader.configuration().cloned();
            self.config_changes.apply(origin, now.as_ref())?;
            let found = origin.take_outputs();
            outputs::resolve(&found, origin.path());
            self.outputs.leave(&found);
            if let Some(report) = origin.last_load() {
                self.saver.run.goes_on_from(report);
            }
            return Ok(state);
        }
        // A save in the background may end at any moment with a newer one.
        if let Some(writer) = self.saver.settled_writer() {
            writer.take_rewind_back();
        }
        let state = self.reader.load_one(generation)?;
        self.config_changes.apply_to(&mut self.reader)?;
        let found = self.reader.take_outputs();
        if self.saver.run.is_of_this_process() {
            let newest = self.reader.generations()?.last().copied();
            let age = if newest > Some(generation) { Age::Behind } else { Age::Older };
            self.outputs.check(&found, generation, age)?;
        } else {
            outputs::resolve(&found, self.reader.path());
        }
        self.unloaded = None;
        if let Some(report) = self.reader.last_load() {
            self.saver.run.restarted(report);
        }
        self.stamp.loaded(generation, || self.reader.manifest(generation).ok());
        Ok(state)
    }

    /// Loads one field of the newest undamaged generation, without reading the rest; `None` where
    /// there is no generation at all. See [`CheckpointReader::load_field`].
    ///
    /// It is no restart: the next save warns, as it does where nothing was loaded, if it begins to
    /// replace generations of earlier runs. With a [mirror](Builder::mirror), a generation that is
    /// damaged where the field is read is copied back from there.
    ///
    /// # Errors
    /// As [`CheckpointReader::load_field`], and [`Error::MirrorUnreachable`].
    pub fn load_field<U: Checkpoint>(&mut self, path: &str) -> Result<Option<U>, Error> {
        let _warnings = self.saver.run.warnings.enter();
        // Waits for a save in the background; if that failed, the next save returns its error.
        let mut writer = self.saver.settled_writer_and_mirror();
        if let Some((writer, _)) = &mut writer {
            writer.take_rewind_back();
        }
        let mut sought = self.reader.seek_field(path);
        if let Some((writer, Some(mirroring))) = &mut writer {
            let lacks = match &sought {
                Ok(sought) => sought.lacks,
                Err(Error::NoneUsable { .. }) => Some(None),
                Err(_) => None,
            };
            if let Some(better_than) = lacks
                && mirroring.restore(writer, better_than)?
            {
                sought = self.reader.seek_field(path);
            }
        }
        let sought = sought?;
        if let Some(generation) = sought.generation {
            self.stamp.loaded(generation, || self.reader.manifest(generation).ok());
        }
        match (sought.field, &mut self.branched_from) {
            (None, Some(origin)) => {
                let field = origin.load_field(path)?;
                field.map(Some).ok_or_else(|| Error::NothingToBranchFrom { path: origin.path().to_owned() })
            }
            (field, _) => Ok(field),
        }
    }

    /// Loads one field of one generation, without reading the rest; see
    /// [`CheckpointReader::load_field`].
    ///
    /// # Errors
    /// As [`CheckpointReader::load_generation_field`].
    pub fn load_generation_field<U: Checkpoint>(&self, generation: u64, path: &str) -> Result<U, Error> {
        let _warnings = self.saver.run.warnings.enter();
        let field = self.source()?.load_generation_field(generation, path)?;
        self.stamp.loaded(generation, || self.reader.manifest(generation).ok());
        Ok(field)
    }

    /// Returns the report of the last load that found a generation: its number, and the skipped
    /// ones with their errors.
    #[must_use]
    pub fn last_load(&self) -> Option<&LoadReport> {
        let branched = self.branched_from.as_ref().and_then(CheckpointReader::last_load);
        self.reader.last_load().or(branched)
    }

    /// Returns the last generation that the history records, if it is missing; see
    /// [`CheckpointReader::missing_generation`].
    #[must_use]
    pub fn missing_generation(&self) -> Option<u64> {
        self.reader.missing_generation()
    }

    /// Returns the generations that can be loaded, oldest first. While a
    /// [branch](Builder::branch_from) has none of its own, these are the ones of the other run.
    ///
    /// # Errors
    /// Fails if the directory cannot be listed.
    pub fn generations(&self) -> Result<Vec<u64>, Error> {
        self.source()?.generations()
    }

    /// True if loads come from the directory that this one branched from.
    fn loads_from_origin(&self) -> Result<bool, Error> {
        let own = || Ok(self.reader.generations()?.is_empty() && self.reader.home().rewound()?.is_empty());
        if self.branched_from.is_none() { Ok(false) } else { own() }
    }

    /// The reader of the generations that can be loaded.
    fn source(&self) -> Result<&CheckpointReader<T>, Error> {
        match &self.branched_from {
            Some(origin) if self.loads_from_origin()? => Ok(origin),
            _ => Ok(&self.reader),
        }
    }

    /// Returns the manifest of a generation: its time and author, its metadata, its schema.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation.
    pub fn manifest(&self, generation: u64) -> Result<Manifest, Error> {
        self.source()?.manifest(generation)
    }

    /// Returns the best generation by a number in its metadata; `None` where none has that number.
    ///
    /// # Errors
    /// As [`CheckpointReader::best`].
    pub fn best(&self, metric: &Metric) -> Result<Option<u64>, Error> {
        self.source()?.best(metric)
    }

    /// Keeps a generation until [`unpin`](Checkpointer::unpin), whatever the retention.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(1).open()?;
    /// let before_the_experiment = checkpoints.save(&1)?.generation;
    /// checkpoints.pin(before_the_experiment)?;
    /// checkpoints.save(&2)?;
    /// checkpoints.save(&3)?;
    /// assert_eq!(checkpoints.generations()?, [1, 3]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of writing the pin.
    pub fn pin(&self, generation: u64) -> Result<(), Error> {
        let _warnings = self.saver.run.warnings.enter();
        self.reader.home().pin(generation)
    }

    /// Leaves a generation to the retention again, from the next save on.
    ///
    /// # Errors
    /// The error of removing the pin.
    pub fn unpin(&self, generation: u64) -> Result<(), Error> {
        let _warnings = self.saver.run.warnings.enter();
        self.reader.home().unpin(generation)
    }

    /// Returns the absolute path of the checkpoint directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.reader.path()
    }

    /// Saves the state as the next generation. Once this returned `Ok`, the generation is durable.
    ///
    /// Only then are generations removed that the retention no longer keeps.
    ///
    /// # Errors
    /// [`Error::NoSpace`], [`Error::Encode`], and others. In each case, earlier checkpoints are
    /// untouched, and the program may continue and save again. It is unknown whether the new
    /// generation exists; if it does, it is complete.
    pub fn save(&mut self, state: &T) -> Result<Saved, Error> {
        self.save_with(state, Metadata::new())
    }

    /// Saves the state with metadata, which can be read without loading the state.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Metadata};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("fit.ckpt");
    /// let mut checkpoints = Checkpointer::<Vec<f64>>::open(&path)?;
    /// let saved = checkpoints.save_with(&vec![0.5, 1.5], Metadata::new().with("loss", 0.25))?;
    ///
    /// let manifest = checkpoints.manifest(saved.generation)?;
    /// assert_eq!(manifest.metadata().get("loss").and_then(|loss| loss.as_f64()), Some(0.25));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`save`](Checkpointer::save).
    pub fn save_with(&mut self, state: &T, metadata: impl IntoMetadata) -> Result<Saved, Error> {
        self.save_now(&SaveReason::Asked, state, metadata.into_metadata())
    }

    fn save_now<S: Serialize + ?Sized>(
        &mut self,
        reason: &SaveReason,
        state: &S,
        metadata: Metadata,
    ) -> Result<Saved, Error> {
        let _warnings = self.saver.run.warnings.enter();
        self.made_now(reason, state, metadata)?.0
    }

    /// Saves, and returns the decision that this means for the program.
    ///
    /// # Errors
    /// The reason that no save was started.
    fn made_now<S: Serialize + ?Sized>(
        &mut self,
        reason: &SaveReason,
        state: &S,
        metadata: Metadata,
    ) -> Result<(Result<Saved, Error>, SaveOutcome), Error> {
        self.warn_of_unloaded();
        let begun = Instant::now();
        let (generation, saved, panic) = self.written_now(begun, reason, state, metadata)?;
        let outcome = self.saver.run.saved(begun, generation, reason, saved.as_ref());
        panic.map_or(Ok((saved, outcome)), |panic| resume_unwind(panic))
    }

    /// Takes the number of the next generation, reports that its save has begun, and returns its
    /// manifest.
    fn started(&mut self, reason: &SaveReason, metadata: Metadata) -> Result<Manifest, Error> {
        let generation = self.saver.writer()?.next()?;
        let metadata = self.stamp.mark(self.saver.run.counted(metadata))?;
        self.saver.run.watcher.tell(|| Progress::Started { generation, reason: reason.clone() });
        Ok(self.reader.new_manifest(generation, metadata))
    }

    /// Writes the state as the next generation. The encoding of `S` is that of a `T`. The caller
    /// tells the run of it, and resumes the panic of the state's own code, if there was one.
    ///
    /// # Errors
    /// The reason that no save was started.
    fn written_now<S: Serialize + ?Sized>(
        &mut self,
        begun: Instant,
        reason: &SaveReason,
        state: &S,
        metadata: Metadata,
    ) -> Result<Written, Error> {
        let manifest = self.started(reason, metadata)?;
        let generation = manifest.generation;
        let context = self.saver.run.save_context();
        let (reader, outputs, buffer) = (&self.reader, &self.outputs, &mut self.buffer);
        let (writer, net) = self.saver.writer_and_net()?;
        let order = Order { manifest, begun, stall: None };
        let save = || {
            save::save(writer, net, order, &context, buffer, |output, buffer, manifest| {
                fill((reader, outputs), state, output, buffer, manifest)
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

    /// Saves if a save is due: if the [`Schedule`](crate::Schedule) says so, or if the program
    /// [must stop](Checkpointer::should_stop). Call it once in each turn of the program's loop;
    /// where nothing is due it costs some ten nanoseconds.
    ///
    /// It saves in the background if [the builder](Builder::background) says so, and nothing is due
    /// while such a save runs. A save before a stop always waits for the disk.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Schedule};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path).schedule(Schedule::every_steps(10)).open()?;
    /// let mut step = checkpoints.load_or_default()?;
    /// while step < 25 {
    ///     step += 1;
    ///     let decision = checkpoints.save_if_due(&step)?;
    ///     assert_eq!(decision.is_saved(), step % 10 == 0, "{decision}");
    ///     if checkpoints.should_stop().is_some() {
    ///         break;
    ///     }
    /// }
    /// let finished = checkpoints.finish(&step)?;
    /// assert!(finished.stopped.is_none());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`save`](Checkpointer::save), and the error of a background save that has failed
    /// meanwhile.
    pub fn save_if_due(&mut self, state: &T) -> Result<Decision, Error> {
        self.save_if_due_with(state, Metadata::new)
    }

    /// Like [`save_if_due`](Checkpointer::save_if_due), with metadata. A function that makes the
    /// metadata is called only if the state is saved.
    ///
    /// # Errors
    /// As [`save_if_due`](Checkpointer::save_if_due).
    pub fn save_if_due_with(&mut self, state: &T, metadata: impl IntoMetadata) -> Result<Decision, Error> {
        match self.turn()? {
            Turn::Save(reason) => self.made_because(reason, state, metadata.into_metadata()),
            Turn::Pass(decision) => Ok(decision),
        }
    }

    /// The work to do now, after one more step.
    pub(crate) fn turn(&mut self) -> Result<Turn, Error> {
        let _warnings = self.saver.run.warnings.enter();
        let failed = self.saver.check()?;
        let reason = self.saver.due()?;
        Ok(reason.map_or_else(|| Turn::Pass(failed.unwrap_or(Decision::NotDue)), Turn::Save))
    }

    pub(crate) fn made_because<S: Serialize + ?Sized>(
        &mut self,
        reason: SaveReason,
        state: &S,
        metadata: Metadata,
    ) -> Result<Decision, Error> {
        if self.background && !matches!(reason, SaveReason::Stopping(_)) {
            return match self.begin_save(&reason, Waits::Here, state, metadata) {
                Ok(started) => Ok(Decision::Started { started, reason }),
                Err(not_begun) => match not_begun.outcome {
                    SaveOutcome::Tolerated(decision) => Ok(decision),
                    SaveOutcome::Durable | SaveOutcome::Failed => Err(not_begun.error),
                },
            };
        }
        let _warnings = self.saver.run.warnings.enter();
        match self.made_now(&reason, state, metadata)? {
            (_, SaveOutcome::Tolerated(decision)) => Ok(decision),
            (saved, _) => Ok(Decision::Saved { saved: saved?, reason }),
        }
    }

    /// Returns the reason to stop, if there is one: a signal, a time limit, a file named `halt` in
    /// the directory; see [`stop_on_signals`](Builder::stop_on_signals),
    /// [`time_limit`](Builder::time_limit) and
    /// [`stop_before_deadline`](Builder::stop_before_deadline). The time limits leave time for one
    /// more save. The first reason stays.
    pub fn should_stop(&mut self) -> Option<&StopReason> {
        let _warnings = self.saver.run.warnings.enter();
        self.saver.run.should_stop()
    }

    /// The destinations of the warnings of this run.
    pub(crate) fn warnings(&self) -> &Warnings {
        &self.saver.run.warnings
    }

    /// The reaction to another configuration.
    #[cfg(feature = "group")]
    pub(crate) fn config_changes(&self) -> &ConfigChanges {
        &self.config_changes
    }

    /// The lock of the directory.
    #[cfg(feature = "pipeline")]
    pub(crate) fn guard(&mut self) -> Option<WithinGuard> {
        self.saver.settled_writer().map(|writer| Arc::downgrade(writer.guard()))
    }

    /// The outputs of this run.
    pub(crate) fn outputs(&self) -> &Arc<OfRun> {
        &self.outputs
    }

    /// The saves that are read back.
    pub(crate) fn read_back(&self) -> ReadBack {
        self.saver.read_back
    }

    /// True if there is a reason to stop. The program is not told.
    pub(crate) fn is_to_stop(&mut self) -> bool {
        let _warnings = self.saver.run.warnings.enter();
        self.saver.run.is_to_stop()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.saver.run.is_stopping()
    }

    /// Saves the state, waits until it is durable, records the end of the run in the history, and
    /// closes the directory.
    ///
    /// The same state is not saved twice in a row: the newest generation may have it already,
    /// because [`save_if_due`](Checkpointer::save_if_due) saved it just now, or because a program
    /// that had finished was started again. Then that one counts, and [`Finished::saved`] is
    /// `None`. To know this, the state is encoded, and its checksums are compared with those in the
    /// file; only if they are equal, the file is read and compared too, which also proves it
    /// undamaged. A state with a `HashMap` or a `HashSet` has another order after a load, and is
    /// saved.
    ///
    /// The run counts as stopped, and not as complete, if
    /// [`should_stop`](Checkpointer::should_stop) or [`save_if_due`](Checkpointer::save_if_due)
    /// told the program to stop.
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    /// use checkpointed::Checkpointer;
    ///
    /// fn main() -> Result<ExitCode, checkpointed::Error> {
    ///     let mut checkpoints = Checkpointer::<u64>::builder("run.ckpt").stop_on_signals().open()?;
    ///     let mut step = checkpoints.load_or_default()?;
    ///     while step < 1_000_000_000 && checkpoints.should_stop().is_none() {
    ///         step += 1;
    ///         checkpoints.save_if_due(&step)?;
    ///     }
    ///     Ok(checkpoints.finish(&step)?.exit_code())
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`save`](Checkpointer::save). Also the error of an earlier background save, even if this
    /// save succeeds. The directory is closed in any case.
    pub fn finish(self, state: &T) -> Result<Finished, Error> {
        self.finish_with(state, Metadata::new())
    }

    /// Like [`finish`](Checkpointer::finish), with metadata.
    ///
    /// # Errors
    /// As [`finish`](Checkpointer::finish).
    pub fn finish_with(self, state: &T, metadata: impl IntoMetadata) -> Result<Finished, Error> {
        self.finish_now(state, metadata.into_metadata())
    }

    /// Ends the run with this state. The encoding of `S` is that of a `T`.
    fn finish_now<S: Serialize + ?Sized>(mut self, state: &S, metadata: Metadata) -> Result<Finished, Error> {
        let metadata = if metadata.is_empty() { metadata } else { self.saver.run.counted(metadata) };
        // A forked process ends no run, and the state to save is its parent's.
        self.saver.run.check_process()?;
        let _warnings = self.saver.run.warnings.enter();
        let before = self.saver.writer().map(drop);
        self.list_newer();
        let saved = match self.stands(state, &metadata) {
            true => None,
            false => Some(self.save_now(&SaveReason::Finishing, state, metadata)?),
        };
        let finished = self.ended(saved);
        before.map(|()| finished)
    }

    /// Looks for newer generations from elsewhere, so that the last save is numbered after them.
    fn list_newer(&mut self) {
        if let Some(writer) = self.saver.settled_writer()
            && let Err(error) = writer.list()
        {
            warn(format!("newer generations from elsewhere cannot be looked for: {error}"));
        }
    }

    /// True if the newest generation has this state, and is durable.
    fn stands<S: Serialize + ?Sized>(&mut self, state: &S, metadata: &Metadata) -> bool {
        let Some(writer) = self.saver.settled_writer() else { return false };
        let (protection, saved) = (writer.protection(), writer.saved());
        let (key, is_encrypted) = (protection.tag_key(), protection.encrypts());
        let is_ours =
            saved.is_some() && saved == self.reader.generations().ok().and_then(|mut all| all.pop());
        let question = Question { metadata, key: key.as_ref(), is_encrypted, is_ours };
        let Some(newest) = standing::generation((&self.reader, &self.outputs), state, &question) else {
            return false;
        };
        // An earlier run may have left it unsynced.
        writer.keep_for_good(newest)
    }

    /// Ends a run whose newest generation has its last state.
    pub(crate) fn finish_without_saving(mut self) -> Result<Finished, Error> {
        let _warnings = self.saver.run.warnings.enter();
        let saved = self.wait()?;
        Ok(self.ended(saved))
    }

    /// Ends the run, and then waits for the mirror: the record of the run does not depend on it.
    pub(super) fn ended(&mut self, saved: Option<Saved>) -> Finished {
        let exit_codes = self.saver.run.exit_codes();
        let stopped = self.saver.run.end();
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

    /// Returns the newest generation that the last copy to the [mirror](Builder::mirror), or the
    /// last look at it, found there. `None` where there is no mirror, or it has none yet.
    ///
    /// It does not look at the mirror, whose files may have been removed since:
    /// [`wait_for_mirror`](Checkpointer::wait_for_mirror) does. If the machine is lost with its
    /// disk, the saves after this one are lost.
    #[must_use]
    pub fn mirrored(&self) -> Option<u64> {
        self.saver.run.mirroring().and_then(|mirroring| mirroring.mirrored())
    }

    /// Waits until the [mirror](Builder::mirror) has the newest generation, for at most this time.
    /// Waits for a save in the background first. Returns that generation; `None` where there is no
    /// mirror, or nothing was saved yet.
    ///
    /// It looks at the mirror, by a listing, also where a copy confirmed the generation before: the
    /// directory may have been removed, or be another one. What is missing is copied again. It
    /// reads no file: one that was damaged there since is found by `ckpt mirror` or the next start.
    /// A time of zero is too short for that look; [`mirrored`](Checkpointer::mirrored) takes no
    /// time.
    ///
    /// ```
    /// use std::time::Duration;
    /// use checkpointed::{Checkpointer, Mirror};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let (scratch, project) = (directory.path().join("scratch.ckpt"), directory.path().join("project.ckpt"));
    /// let mut checkpoints = Checkpointer::<u64>::builder(&scratch).mirror(Mirror::to(&project)).open()?;
    /// checkpoints.save(&7)?;
    /// // This one must survive the machine.
    /// let mirrored = checkpoints.wait_for_mirror(Duration::from_secs(60))?;
    /// assert_eq!(mirrored, Some(1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotMirrored`] where the time is over, or the mirror fails meanwhile, or is gone: it
    /// is not waited for once it is out of reach. The directory has the generation. Also the error
    /// of a background save.
    pub fn wait_for_mirror(&mut self, longest: Duration) -> Result<Option<u64>, Error> {
        let _warnings = self.saver.run.warnings.enter();
        let newest = self.saver.writer()?.newest();
        match (self.saver.run.mirroring(), newest) {
            (Some(mirroring), Some(newest)) => mirroring.wait(newest, longest).map(|()| Some(newest)),
            _ => Ok(None),
        }
    }
}

/// Writes the parts of a state, and completes the manifest. Returns the outputs in the state.
fn fill<T: Checkpoint, S: Serialize + ?Sized>(
    (reader, outputs): (&CheckpointReader<T>, &Arc<OfRun>),
    state: &S,
    output: &mut Output<'_, '_>,
    buffer: &mut Vec<u8>,
    manifest: &mut Manifest,
) -> Result<Vec<Counted>, Failure> {
    buffer.clear();
    let (encoded, counted) =
        outputs::saving(outputs, || codec::encode(state, reader.forms(), buffer, output));
    let observed = encoded.map_err(|failure| {
        outputs.abandon();
        Failure::of_encoding(failure, reader.path(), || reader.name())
    })?;
    manifest.complete(&observed);
    Ok(counted)
}

impl<T> fmt::Debug for Checkpointer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Checkpointer").field("saver", &self.saver).finish_non_exhaustive()
    }
}
