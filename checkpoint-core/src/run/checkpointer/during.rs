//! Saves of the state itself, while the program does work that only reads it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;
use std::time::Instant;

use crate::base::panics::message;
use crate::codec::encoder;
use crate::container::{IntoMetadata, Metadata};
use crate::error::Error;
use crate::outcome::{Decision, SaveReason, Saved};
use crate::run::checkpointer::inner::fill;
use crate::run::checkpointer::{Checkpointer, Turn};
use crate::run::lifecycle::SaveOutcome;
use crate::run::save::{self, Order};
use crate::state::Checkpoint;

impl<T: Checkpoint + Sync> Checkpointer<T> {
    /// Saves the state while `work` runs, which may read the state but not change it.
    ///
    /// Another thread encodes and writes the state in its place: there is no copy, and no memory
    /// for one. Returns when both are done. Then the generation is durable, as after
    /// [`save`](Checkpointer::save). It fits a solver that computes the next state from this one
    /// into memory of its own, and a training step that computes gradients first. [`Saved::stall`]
    /// is the time that the program waited besides `work`. Parts that change behind a shared
    /// reference, such as atomics, are saved as they are when the other thread comes to them.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("field.ckpt");
    /// let mut checkpoints = Checkpointer::<Vec<f64>>::open(&path)?;
    /// let mut field = vec![1.0; 1000];
    /// for _ in 0..10 {
    ///     let halved = || field.iter().map(|value| value / 2.0).collect();
    ///     let (_saved, next) = checkpoints.save_while(&field, halved)?;
    ///     field = next;
    /// }
    /// assert_eq!(checkpoints.load()?, Some(vec![1.0 / 512.0; 1000]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A panic of `work`, or of the state's own code, goes on from here after both have ended. A
    /// process that `work` forks must end inside of it: it does not have the thread that saves, and
    /// would wait for it. Where the system gives no thread, the state is saved first, and `work`
    /// runs then.
    ///
    /// # Errors
    /// As [`save`](Checkpointer::save). A save that failed loses the value of `work`, which has run
    /// to its end: keep that in a variable outside to have it nevertheless. An error of an earlier
    /// background save is returned before `work` begins.
    pub fn save_while<R>(&mut self, state: &T, work: impl FnOnce() -> R) -> Result<(Saved, R), Error> {
        self.save_while_with(state, Metadata::new(), work)
    }

    /// Like [`save_while`](Checkpointer::save_while), with metadata.
    ///
    /// # Errors
    /// As [`save_while`](Checkpointer::save_while).
    pub fn save_while_with<R>(
        &mut self,
        state: &T,
        metadata: impl IntoMetadata,
        work: impl FnOnce() -> R,
    ) -> Result<(Saved, R), Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        let (saved, _, value) = self.made_while(&SaveReason::Asked, state, metadata.into_metadata(), work)?;
        Ok((saved?, value))
    }

    /// Does `work`, and saves the state meanwhile if a save is due, as
    /// [`save_if_due`](Checkpointer::save_if_due) has it. One call is one step of the program.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Schedule};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("field.ckpt");
    /// let every_third = Schedule::every_steps(3);
    /// let mut checkpoints = Checkpointer::<Vec<u64>>::builder(&path).schedule(every_third).open()?;
    /// let mut field = vec![0; 1000];
    /// for _ in 0..10 {
    ///     let advanced = || field.iter().map(|value| value + 1).collect();
    ///     let (_decision, next) = checkpoints.save_if_due_while(&field, advanced)?;
    ///     field = next;
    /// }
    /// assert_eq!(checkpoints.load()?, Some(vec![8; 1000])); // the state before the ninth step
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`save_while`](Checkpointer::save_while), unless
    /// [`on_failed_save`](crate::Builder::on_failed_save) tolerates it.
    pub fn save_if_due_while<R>(
        &mut self,
        state: &T,
        work: impl FnOnce() -> R,
    ) -> Result<(Decision, R), Error> {
        let reason = match self.inner.turn()? {
            Turn::Save(reason) => reason,
            Turn::Pass(decision) => return Ok((decision, work())),
        };
        let _warnings = self.inner.saver.run.warnings.enter();
        match self.made_while(&reason, state, Metadata::new(), work)? {
            (_, SaveOutcome::Tolerated(decision), value) => Ok((decision, value)),
            (saved, _, value) => Ok((Decision::Saved { saved: saved?, reason }, value)),
        }
    }

    /// Saves beside `work`; returns the decision that this means for the program too.
    ///
    /// # Errors
    /// The reason that neither was started.
    fn made_while<R>(
        &mut self,
        reason: &SaveReason,
        state: &T,
        metadata: Metadata,
        work: impl FnOnce() -> R,
    ) -> Result<(Result<Saved, Error>, SaveOutcome, R), Error> {
        self.inner.warn_of_unloaded();
        let begun = Instant::now();
        let manifest = self.inner.started(reason, metadata)?;
        let generation = manifest.generation;
        let context = self.inner.saver.run.save_context();
        let (reader, outputs, stamp) = (&self.inner.reader, &self.inner.outputs, &self.inner.stamp);
        let buffer = &mut self.inner.buffer;
        let (writer, net) = self.inner.saver.writer_and_net()?;
        let order = Order { manifest, begun, stall: None };
        // Code of the state runs in there.
        let mut save = || {
            let _warnings = context.warnings.enter();
            let save = || {
                save::save(writer, net, order.clone(), &context, buffer, &mut |output, buffer, manifest| {
                    fill((reader, outputs, stamp), &mut encoder(state), output, buffer, manifest)
                })
            };
            catch_unwind(AssertUnwindSafe(save))
        };
        let work = || {
            let begun = Instant::now();
            (catch_unwind(AssertUnwindSafe(work)), begun.elapsed())
        };
        let both = thread::scope(|scope| {
            let thread = thread::Builder::new().name("checkpoint-saver".to_owned());
            match thread.spawn_scoped(scope, &mut save) {
                Ok(saving) => {
                    let worked = work();
                    Ok((saving.join().unwrap_or_else(Err), worked))
                }
                Err(_) => Err(work),
            }
        });
        let (saved, (value, took)) = both.unwrap_or_else(|work| (save(), work()));
        let (mut saved, panic) = match saved {
            Ok(saved) => (saved, None),
            Err(panic) => {
                (Err(Error::Panicked { name: reader.name(), message: message(&*panic) }), Some(panic))
            }
        };
        if let Ok(saved) = &mut saved {
            saved.stall = begun.elapsed().saturating_sub(took);
        }
        let outcome = self.inner.saver.run.saved(begun, generation, reason, saved.as_ref());
        match (value, panic) {
            (Ok(value), None) => Ok((saved, outcome, value)),
            (Err(panic), _) | (Ok(_), Some(panic)) => resume_unwind(panic),
        }
    }
}
