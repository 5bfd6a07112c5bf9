//! Saves of a copy, while the program continues.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use crate::base::panics::message;
use crate::base::warnings::Held;
use crate::codec::{Encode, Observed, encoder};
use crate::container::{IntoMetadata, Metadata};
use crate::error::Error;
use crate::outcome::{SaveReason, SaveStarted, Saved};
use crate::outputs;
use crate::run::checkpointer::{Checkpointer, Inner};
use crate::run::lifecycle::SaveOutcome;
use crate::run::save::Failure;
use crate::state::Checkpoint;

impl<T: Checkpoint> Checkpointer<T> {
    /// Copies the state, and saves the copy while the program continues.
    ///
    /// If an earlier save still runs, the program waits for it: to skip a save instead, ask
    /// [`is_saving`](Checkpointer::is_saving) first. Then it waits only for the copy, which is made
    /// into memory that is kept from one save to the next. Later changes of the state cannot reach
    /// the checkpoint. The save is acknowledged when [`wait`](Checkpointer::wait), or any later
    /// call that saves, returned `Ok`.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<Vec<f64>>::open(&path)?;
    /// let mut field = vec![0.0; 1000];
    /// checkpoints.save_in_background(&field)?;
    /// field[0] = 1.0;
    /// let saved = checkpoints.wait()?;
    /// assert_eq!(saved.map(|saved| saved.generation), Some(1));
    /// assert_eq!(checkpoints.load()?, Some(vec![0.0; 1000]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error of the save before this one, if it failed: then no new save starts. Otherwise
    /// [`Error::Encode`].
    pub fn save_in_background(&mut self, state: &T) -> Result<SaveStarted, Error> {
        self.save_in_background_with(state, Metadata::new())
    }

    /// Like [`save_in_background`](Checkpointer::save_in_background), with metadata.
    ///
    /// # Errors
    /// As [`save_in_background`](Checkpointer::save_in_background).
    pub fn save_in_background_with(
        &mut self,
        state: &T,
        metadata: impl IntoMetadata,
    ) -> Result<SaveStarted, Error> {
        self.inner.saver.run.check_process()?;
        self.inner
            .begin_save(&SaveReason::Asked, Waits::Here, &mut encoder(state), metadata.into_metadata())
            .map_err(|not_begun| not_begun.error)
    }

    /// Returns true while a save runs in the background.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
    /// for frame in 0..100 {
    ///     if !checkpoints.is_saving() {
    ///         checkpoints.save_in_background(&frame)?; // it never waits for the disk
    ///     }
    /// }
    /// checkpoints.wait()?;
    /// assert!(!checkpoints.is_saving());
    /// # Ok(())
    /// # }
    /// ```
    pub fn is_saving(&mut self) -> bool {
        let _warnings = self.inner.saver.run.warnings.enter();
        // A forked process does not have the thread that saves.
        self.inner.saver.is_busy() && self.inner.saver.run.has_process_number()
    }

    /// Waits for the save that runs in the background, and returns its outcome. `None` where there
    /// is no save whose outcome is not known yet.
    ///
    /// # Errors
    /// The error of the save. Earlier checkpoints are untouched.
    pub fn wait(&mut self) -> Result<Option<Saved>, Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        self.inner.saver.wait()
    }
}

/// Copies the state that it is called with.
pub(super) type Copier<'c> = dyn FnMut(&mut Encode<'_>) + 'c;

impl Inner {
    pub(super) fn begin_save(
        &mut self,
        reason: &SaveReason,
        waits: Waits,
        encode: &mut Encode<'_>,
        metadata: Metadata,
    ) -> Result<SaveStarted, Box<NotBegun>> {
        let lend = &mut |copy: &mut Copier<'_>| {
            copy(encode);
            Ok(())
        };
        self.begin_save_from(reason, waits, lend, metadata)
    }

    /// Begins a save of a state that `lend` gives for the time of the copy, such as under its lock.
    /// No callback runs meanwhile, and no panic goes through `lend`.
    pub(super) fn begin_save_from(
        &mut self,
        reason: &SaveReason,
        waits: Waits,
        lend: &mut dyn FnMut(&mut Copier<'_>) -> Result<(), Error>,
        metadata: Metadata,
    ) -> Result<SaveStarted, Box<NotBegun>> {
        let _warnings = self.saver.run.warnings.enter();
        self.warn_of_unloaded();
        let mut begun = Instant::now();
        let mut manifest = self.started(reason, metadata)?;
        let generation = manifest.generation;
        let (reader, outputs, stamp) = (&self.reader, &self.outputs, &self.stamp);
        let staging = self.saver.staging()?;
        let mut copied = None;
        let mut panic = None;
        // The state may be behind a lock, which a callback may want.
        let held = Held::begin();
        let lent = lend(&mut |encode| {
            if waits == Waits::ForTheCopy {
                begun = Instant::now();
            }
            let copy = || {
                let mut bytes = std::mem::take(&mut staging.state);
                bytes.clear();
                let (encoded, counted) =
                    outputs::saving(outputs, || encode(reader.forms(), &mut bytes, staging));
                // Those of a state that is not saved are not kept open.
                (staging.state, staging.outputs) =
                    (bytes, counted.into_iter().filter(|_| encoded.is_ok()).collect());
                encoded.map_err(|failure| {
                    outputs.abandon();
                    match Failure::of_encoding(failure, reader.path(), || reader.name()) {
                        Failure::Encode(error) => error,
                        Failure::Write(error) => {
                            Error::Encode { name: reader.name(), why: error.to_string() }
                        }
                    }
                })
            };
            copied = Some(catch_unwind(AssertUnwindSafe(copy)).unwrap_or_else(|payload| {
                let error = Error::Panicked { name: reader.name(), message: message(&*payload) };
                panic = Some(payload);
                Err(error)
            }));
        });
        drop(held);
        let nothing = || Error::Encode { name: reader.name(), why: "no state was given".to_owned() };
        let copied = lent.and_then(|()| copied.unwrap_or_else(|| Err(nothing())));
        // The copy may have waited for its lock until now. A warning about an input comes without
        // that lock.
        let marked = copied.and_then(|observed: Observed| {
            manifest.complete(&observed);
            stamp.mark(&mut manifest, &mut staging.outputs)
        });
        let begin = |()| self.saver.begin(manifest, begun, reason.clone(), waits.holds_thread());
        match marked.and_then(begin) {
            Ok(stall) => Ok(SaveStarted { generation, stall }),
            Err(error) => {
                self.outputs.abandon();
                self.saver.forget_copy();
                let outcome = self.saver.run.saved(begun, generation, reason, Err(&error));
                panic.map_or_else(|| Err(Box::new(NotBegun { error, outcome })), |panic| resume_unwind(panic))
            }
        }
    }
}

/// The time for which the program waits when a save in the background begins, and the thread with
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// It waits from the call on.
    Here,
    /// A thread of ours makes the call and waits for the state, and the program waits only while
    /// that is copied.
    ForTheCopy,
    /// It waits from the call on. The thread writes once all members of the group have copied,
    /// since they may share the processors.
    #[cfg(feature = "group")]
    ForAllMembers,
}

impl Waits {
    /// True if the thread waits for its release.
    fn holds_thread(self) -> bool {
        match self {
            Waits::Here | Waits::ForTheCopy => false,
            #[cfg(feature = "group")]
            Waits::ForAllMembers => true,
        }
    }
}

/// A save in the background that was not begun, and what that means for the program.
pub(super) struct NotBegun {
    pub(super) error: Error,
    pub(super) outcome: SaveOutcome,
}

impl From<Error> for Box<NotBegun> {
    fn from(error: Error) -> Box<NotBegun> {
        Box::new(NotBegun { error, outcome: SaveOutcome::Failed })
    }
}
