//! The decisions of a [`Checkpointer`] one by one, for programs whose processes agree on them by
//! communication of their own.

use crate::codec::encoder;
use crate::container::{IntoMetadata, Metadata};
use crate::error::Error;
use crate::outcome::{Decision, SaveReason, StopReason};
use crate::run::checkpointer::{Checkpointer, Turn};
use crate::run::going_back::refuse_mirrored_after;
use crate::run::mirroring::Mirroring;
use crate::state::Checkpoint;

impl<T: Checkpoint> Checkpointer<T> {
    /// Returns the reason for a save that is due now, after one more step, and saves nothing.
    ///
    /// [`save_if_due`](Checkpointer::save_if_due) is this and
    /// [`save_because`](Checkpointer::save_because). Where each process of a parallel program has a
    /// directory of its own, they must save at the same step: so one of them asks, and tells the
    /// others. `checkpointed::group` does that, and more.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Schedule};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = |rank| directory.path().join(format!("{rank}.ckpt"));
    /// let every_third = Schedule::every_steps(3);
    /// let mut first = Checkpointer::<u64>::builder(path(0)).schedule(every_third).open()?;
    /// let mut second = Checkpointer::<u64>::open(path(1))?;
    /// for step in 1..=7 {
    ///     // The first process decides, and tells the second.
    ///     if let Some(reason) = first.due()? {
    ///         first.save_because(reason.clone(), &step)?;
    ///         second.save_because(reason, &step)?;
    ///     }
    /// }
    /// assert_eq!((first.load()?, second.load()?), (Some(6), Some(6)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The error of a background save that has failed meanwhile, unless
    /// [`on_failed_save`](crate::Builder::on_failed_save) tolerates it.
    pub fn due(&mut self) -> Result<Option<SaveReason>, Error> {
        Ok(match self.inner.turn()? {
            Turn::Save(reason) => Some(reason),
            Turn::Pass(_) => None,
        })
    }

    /// Saves for a reason that [`due`](Checkpointer::due) gave, here or in another process: in the
    /// background if [the builder](crate::Builder::background) says so.
    ///
    /// # Errors
    /// As [`save_if_due`](Checkpointer::save_if_due).
    pub fn save_because(&mut self, reason: SaveReason, state: &T) -> Result<Decision, Error> {
        self.inner.made_because(reason, &mut encoder(state), Metadata::new())
    }

    /// Like [`save_because`](Checkpointer::save_because), with metadata.
    ///
    /// # Errors
    /// As [`save_if_due`](Checkpointer::save_if_due).
    pub fn save_because_with(
        &mut self,
        reason: SaveReason,
        state: &T,
        metadata: impl IntoMetadata,
    ) -> Result<Decision, Error> {
        self.inner.made_because(reason, &mut encoder(state), metadata.into_metadata())
    }

    /// Stops for a reason that another process has: from now on,
    /// [`should_stop`](Checkpointer::should_stop) returns it, and the run counts as stopped. The
    /// first reason stays.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    /// use checkpointed::stop::{Signal, StopReason};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
    /// // Another process of the job got the signal, and told this one.
    /// checkpoints.stop(StopReason::Signal(Signal::TERM));
    /// assert_eq!(checkpoints.should_stop(), Some(&StopReason::Signal(Signal::TERM)));
    /// assert_eq!(checkpoints.finish(&7)?.stopped, Some(StopReason::Signal(Signal::TERM)));
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(&mut self, reason: StopReason) {
        self.inner.saver.run.stop(reason);
    }

    /// Removes all generations after this one, so that every later load takes it or an older one.
    /// The numbers of the removed ones are not used again by this run. To go back of one's own
    /// choice, and to keep them, use [`rewind`](Checkpointer::rewind).
    ///
    /// After a crash, processes with a directory each may find different newest generations. They
    /// agree on the newest one that all have, load it by
    /// [`load_generation`](Checkpointer::load_generation), and discard what is newer.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
    /// for step in 1..=2 {
    ///     checkpoints.save(&step)?;
    /// }
    /// // Another process has no generation 2.
    /// assert_eq!(checkpoints.load_generation(1)?, 1);
    /// checkpoints.discard_newer(1)?;
    /// assert_eq!(checkpoints.load()?, Some(1));
    /// assert_eq!(checkpoints.save(&2)?.generation, 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`]; the error of that generation if it is damaged, of which all
    /// bytes are verified, if a file does not have what an output in it counts on, or if this
    /// program cannot load its type; [`Error::OtherKind`] where a group saved it; and
    /// [`Error::NotDiscarded`] where a newer one is pinned: then nothing is removed.
    /// [`Error::NotDiscarded`] where another program reads one: that one and those after it are
    /// still there. With a [mirror](crate::Builder::mirror), its error: they are removed there
    /// first. [`Error::InvalidSetting`] where an earlier run sent one of them to a mirror, and this
    /// one has none, or another one: a start with it would take it from there.
    pub fn discard_newer(&mut self, generation: u64) -> Result<(), Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        self.inner.saver.writer()?;
        let lengths = self.inner.reader.check_outputs(generation, &self.inner.outputs)?;
        // A restart would take it from the mirror otherwise.
        let mirroring = self.inner.saver.run.mirroring();
        refuse_mirrored_after(self.path(), generation, mirroring.map(Mirroring::path))?;
        if let Some(mirroring) = mirroring {
            mirroring.discard_newer(generation)?;
        }
        let discarded = self.inner.saver.writer()?.discard_newer(generation);
        if discarded.is_err()
            && let Some((writer, Some(mirroring))) = self.inner.saver.settled_writer_and_mirror()
            && let Some(newest) = writer.newest()
        {
            // What the directory still has is mirrored again.
            mirroring.shared().saved(newest);
        }
        discarded?;
        self.inner.outputs.now_ends_at(generation, lengths);
        self.inner.saver.run.discarded(generation);
        tracing::info!(path = %self.path().display(), generation, "all newer generations are removed");
        Ok(())
    }
}
