//! [`Checkpointer`]: saves a program's state, and loads it after a restart.

mod agreed;
pub(crate) mod autosaver;
mod background;
mod due;
mod during;
pub(crate) mod futures;
#[cfg(feature = "group")]
pub(crate) mod grouped;
mod inner;
mod parts;
mod rewind;
#[cfg(test)]
mod unread;

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use self::inner::{Inner, Turn, Written};
use crate::arrays::ArrayPool;
use crate::base::warnings::Warnings;
use crate::codec::encoder;
use crate::container::{IntoMetadata, Manifest, Metadata};
use crate::error::Error;
use crate::outcome::{Decision, LoadReport, SaveReason, Saved, StopReason};
#[cfg(feature = "scopes")]
use crate::outputs::Age;
use crate::outputs::OfRun;
use crate::run::builder::Builder;
use crate::run::configuration::ConfigChanges;
use crate::run::finished::Finished;
use crate::run::read_back::ReadBack;
use crate::run::reader::Reader;
use crate::state::Checkpoint;
#[cfg(feature = "pipeline")]
use crate::store::WithinGuard;
use crate::store::{Home, Metric};

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
///
/// [`CheckpointReader`]: crate::CheckpointReader
pub struct Checkpointer<T> {
    /// Everything but the type of the state.
    inner: Inner,
    state: PhantomData<fn() -> T>,
}

// The bound is on the functions, so that an unmet bound shows its own message.
impl<T> Checkpointer<T> {
    /// Opens a checkpoint directory with the default settings, and creates it where it is absent.
    ///
    /// # Errors
    /// [`Error::InUse`] where another checkpointer has it open, [`Error::NotADirectory`],
    /// [`Error::DanglingLink`], [`Error::NotWritable`], or [`Error::NoLocks`].
    /// [`Error::Unsupported`] where `T` has a field that could be saved but never loaded.
    /// [`Error::InvalidSetting`] where a variable has an invalid value.
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
    pub(crate) fn new(inner: Inner) -> Checkpointer<T> {
        Checkpointer { inner, state: PhantomData }
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
    /// decide to start afresh, by moving the directory away. [`Error::OnlyRewound`] where rewinds
    /// set all aside. [`Error::MirrorUnreachable`] where the newest is damaged or gone, and the
    /// mirror cannot be asked for it; [`load_generation`](Checkpointer::load_generation) loads an
    /// older one.
    ///
    /// [`Error::SchemaMismatch`], [`Error::OtherState`], [`Error::VersionUnknown`],
    /// [`Error::FormatTooNew`] or [`Error::OtherKind`] where the newest is undamaged, but from
    /// another program, or cannot be converted to this state. [`Error::Output`] where a file that
    /// grows with the run cannot be gone on with. [`Error::ConfigChanged`] where
    /// [`config_changes`](Builder::config_changes) refuses a difference.
    ///
    /// With a [`Protection`](crate::Protection): [`Error::NotAuthentic`], [`Error::Encrypted`],
    /// [`Error::NotEncrypted`] and [`Error::TooOld`]. An encrypted checkpoint is
    /// [`Error::Encrypted`] without one too.
    pub fn load(&mut self) -> Result<Option<T>, Error> {
        match self.load_boxed()? {
            Some(state) => Ok(Some(*state)),
            None => Ok(None),
        }
    }

    fn load_boxed(&mut self) -> Result<Option<Box<T>>, Error> {
        let mut state = None;
        self.inner.load(&mut |reader| {
            // Of a large state there is one at a time.
            state = None;
            state = reader.load(&mut ArrayPool::default)?;
            Ok(state.is_some())
        })?;
        Ok(state)
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
        let mut loaded = None;
        self.inner.load(&mut |reader| {
            loaded = None;
            loaded = reader.load_over(state)?;
            Ok(loaded.is_some())
        })?;
        // This comes last: the old state runs its own code when it is dropped.
        Ok(loaded.map(|loaded| *state = *loaded).is_some())
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
        let mut state = None;
        self.inner.load_one(generation, &mut |reader| {
            state = Some(reader.load_one(generation)?);
            Ok(())
        })?;
        state.ok_or_else(|| self.inner.reader.none(generation))
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
    ///
    /// [`CheckpointReader::load_field`]: crate::CheckpointReader::load_field
    pub fn load_field<U: Checkpoint>(&mut self, path: &str) -> Result<Option<U>, Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        // Waits for a save in the background; if that failed, the next save returns its error.
        let mut writer = self.inner.saver.settled_writer_and_mirror();
        if let Some((writer, _)) = &mut writer {
            writer.take_rewind_back();
        }
        let mut sought = self.inner.reader.seek_field(path);
        if let Some((writer, Some(mirroring))) = &mut writer {
            let lacks = match &sought {
                Ok(sought) => sought.lacks,
                Err(Error::NoneUsable { .. }) => Some(None),
                Err(_) => None,
            };
            if let Some(better_than) = lacks
                && mirroring.restore(writer, better_than)?
            {
                sought = self.inner.reader.seek_field(path);
            }
        }
        let sought = sought?;
        if let Some(generation) = sought.generation {
            self.inner.stamp.loaded(generation, || self.inner.reader.manifest(generation).ok());
        }
        match (sought.field, &mut self.inner.branched_from) {
            (None, Some(origin)) => {
                let field = origin.seek_field(path)?.field;
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
    ///
    /// [`CheckpointReader::load_field`]: crate::CheckpointReader::load_field
    /// [`CheckpointReader::load_generation_field`]: crate::CheckpointReader::load_generation_field
    pub fn load_generation_field<U: Checkpoint>(&self, generation: u64, path: &str) -> Result<U, Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        let field = self.inner.source()?.field_of_generation(generation, path)?;
        self.inner.stamp.loaded(generation, || self.inner.reader.manifest(generation).ok());
        Ok(field)
    }

    /// Returns the report of the last load that found a generation: its number, and the skipped
    /// ones with their errors.
    #[must_use]
    pub fn last_load(&self) -> Option<&LoadReport> {
        let branched = self.inner.branched_from.as_ref().and_then(Reader::last_load);
        self.inner.reader.last_load().or(branched)
    }

    /// Returns the last generation that the history records, if it is missing; see
    /// [`CheckpointReader::missing_generation`].
    ///
    /// [`CheckpointReader::missing_generation`]: crate::CheckpointReader::missing_generation
    #[must_use]
    pub fn missing_generation(&self) -> Option<u64> {
        self.inner.reader.missing_generation()
    }

    /// Returns the generations that can be loaded, oldest first. While a
    /// [branch](Builder::branch_from) has none of its own, these are the ones of the other run.
    ///
    /// # Errors
    /// Fails if the directory cannot be listed.
    pub fn generations(&self) -> Result<Vec<u64>, Error> {
        self.inner.source()?.generations()
    }

    /// Returns the manifest of a generation: its time and author, its metadata, its schema.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation.
    pub fn manifest(&self, generation: u64) -> Result<Manifest, Error> {
        self.inner.source()?.manifest(generation)
    }

    /// Returns the best generation by a number in its metadata; `None` where none has that number.
    ///
    /// # Errors
    /// As [`CheckpointReader::best`].
    ///
    /// [`CheckpointReader::best`]: crate::CheckpointReader::best
    pub fn best(&self, metric: &Metric) -> Result<Option<u64>, Error> {
        self.inner.source()?.best(metric)
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
        let _warnings = self.inner.saver.run.warnings.enter();
        self.inner.reader.home().pin(generation)
    }

    /// Leaves a generation to the retention again, from the next save on.
    ///
    /// # Errors
    /// The error of removing the pin.
    pub fn unpin(&self, generation: u64) -> Result<(), Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        self.inner.reader.home().unpin(generation)
    }

    /// Returns the absolute path of the checkpoint directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.inner.reader.path()
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
        self.inner.save_now(&SaveReason::Asked, &mut encoder(state), metadata.into_metadata())
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
        match self.inner.turn()? {
            Turn::Save(reason) => {
                self.inner.made_because(reason, &mut encoder(state), metadata.into_metadata())
            }
            Turn::Pass(decision) => Ok(decision),
        }
    }

    /// The work to do now, after one more step.
    #[cfg(feature = "scopes")]
    pub(crate) fn turn(&mut self) -> Result<Turn, Error> {
        self.inner.turn()
    }

    /// Saves for this reason, in the background if the builder says so.
    #[cfg(feature = "scopes")]
    pub(crate) fn made_because(
        &mut self,
        reason: SaveReason,
        state: &T,
        metadata: Metadata,
    ) -> Result<Decision, Error> {
        self.inner.made_because(reason, &mut encoder(state), metadata)
    }

    /// True if the save of this generation in the background succeeded. `None` while it runs, if
    /// this does not wait for it.
    #[cfg(feature = "scopes")]
    pub(crate) fn has_saved(&mut self, generation: u64, waits: bool) -> Option<bool> {
        let saver = &mut self.inner.saver;
        if !waits && saver.is_busy() {
            return None;
        }
        Some(saver.settled_writer().is_some_and(|writer| writer.saved() >= Some(generation)))
    }

    /// The age of the generation that a load took: there may be newer ones, damaged or aside.
    #[cfg(feature = "scopes")]
    pub(crate) fn age_of(&mut self, generation: u64) -> Age {
        self.inner.age_of(generation)
    }

    /// Returns the reason to stop, if there is one: a signal, a time limit, a file named `halt` in
    /// the directory; see [`stop_on_signals`](Builder::stop_on_signals),
    /// [`time_limit`](Builder::time_limit) and
    /// [`stop_before_deadline`](Builder::stop_before_deadline). The time limits leave time for one
    /// more save. The first reason stays.
    pub fn should_stop(&mut self) -> Option<&StopReason> {
        let _warnings = self.inner.saver.run.warnings.enter();
        self.inner.saver.run.should_stop()
    }

    /// The destinations of the warnings of this run.
    pub(crate) fn warnings(&self) -> &Warnings {
        &self.inner.saver.run.warnings
    }

    /// The reaction to another configuration.
    #[cfg(feature = "group")]
    pub(crate) fn config_changes(&self) -> &ConfigChanges {
        &self.inner.config_changes
    }

    /// The lock of the directory.
    #[cfg(feature = "pipeline")]
    pub(crate) fn guard(&mut self) -> Option<WithinGuard> {
        self.inner.saver.settled_writer().map(|writer| Arc::downgrade(writer.guard()))
    }

    /// The outputs of this run.
    pub(crate) fn outputs(&self) -> &Arc<OfRun> {
        &self.inner.outputs
    }

    /// The saves that are read back.
    pub(crate) fn read_back(&self) -> ReadBack {
        self.inner.saver.read_back
    }

    /// True if there is a reason to stop. The program is not told.
    pub(crate) fn is_to_stop(&mut self) -> bool {
        let _warnings = self.inner.saver.run.warnings.enter();
        self.inner.saver.run.is_to_stop()
    }

    /// The exit code for the reason to stop, if there is one.
    pub(crate) fn exit_code_of_stop(&mut self) -> u8 {
        let exit_codes = self.inner.saver.run.exit_codes();
        self.inner.saver.run.should_stop().map_or(exit_codes.requeue, |reason| exit_codes.of(reason))
    }

    /// Notes if the program has an error that says that it was stopped, with its work saved. It may
    /// be dropped then without a call of `finish`.
    #[cfg(feature = "scopes")]
    pub(crate) fn leaves_stopped(&mut self, leaves: bool) {
        self.inner.saver.run.leaves_stopped(leaves);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.inner.saver.run.is_stopping()
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
    pub fn finish_with(mut self, state: &T, metadata: impl IntoMetadata) -> Result<Finished, Error> {
        self.inner.finish(&mut encoder(state), metadata.into_metadata())
    }

    /// Ends a run whose newest generation has its last state.
    pub(crate) fn finish_without_saving(mut self) -> Result<Finished, Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        let saved = self.wait()?;
        Ok(self.inner.ended(saved, true))
    }

    /// Returns the newest generation that the last copy to the [mirror](Builder::mirror), or the
    /// last look at it, found there. `None` where there is no mirror, or it has none yet.
    ///
    /// It does not look at the mirror, whose files may have been removed since:
    /// [`wait_for_mirror`](Checkpointer::wait_for_mirror) does. If the machine is lost with its
    /// disk, the saves after this one are lost.
    #[must_use]
    pub fn mirrored(&self) -> Option<u64> {
        self.inner.saver.run.mirroring().and_then(|mirroring| mirroring.mirrored())
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
        let _warnings = self.inner.saver.run.warnings.enter();
        let newest = self.inner.saver.writer()?.newest();
        match (self.inner.saver.run.mirroring(), newest) {
            (Some(mirroring), Some(newest)) => mirroring.wait(newest, longest).map(|()| Some(newest)),
            _ => Ok(None),
        }
    }
}

impl<T> fmt::Debug for Checkpointer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Checkpointer").field("saver", &self.inner.saver).finish_non_exhaustive()
    }
}
