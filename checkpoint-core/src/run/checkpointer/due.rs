//! The parts of `save_if_due` for programs whose state is not at hand: the question alone, numbers
//! that the program counts, and a state that is made for the save.

use crate::codec::encoder;
use crate::container::Metadata;
use crate::error::Error;
use crate::outcome::Decision;
use crate::run::checkpointer::{Checkpointer, Turn};
use crate::state::Checkpoint;

impl<T: Checkpoint> Checkpointer<T> {
    /// Sets a number that the program counts, such as its steps. Each save has the last value in
    /// its metadata, unless the program gives another one of that name.
    ///
    /// [`Schedule::every_of`](crate::Schedule::every_of) and
    /// [`Builder::keep_every_of`](crate::Builder::keep_every_of) go by it.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
    /// checkpoints.count("step", 1000);
    /// let saved = checkpoints.save(&7)?;
    /// let manifest = checkpoints.manifest(saved.generation)?;
    /// assert_eq!(manifest.metadata().get("step"), Some(&1000.into()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn count(&mut self, name: &str, value: u64) {
        self.inner.saver.run.count(name, value);
    }

    /// Returns true if [`save_if_due`](Checkpointer::save_if_due) would save now. Ask it before
    /// work that only a save needs. It counts no step, and does not tell the program to stop.
    ///
    /// A save can become due between two calls. So the work comes with the save, under one `if`:
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Metadata, Schedule};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// # let evaluate = || 0.5;
    /// let every_tenth = Schedule::every_steps(10);
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path).schedule(every_tenth).open()?;
    /// for step in 1..=25 {
    ///     let metadata = match checkpoints.is_due()? {
    ///         true => Metadata::new().with("score", evaluate()), // takes a while
    ///         false => Metadata::new(),
    ///     };
    ///     checkpoints.save_if_due_with(&step, metadata)?;
    /// }
    /// assert_eq!(checkpoints.generations()?.len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the schedule goes by a number that the program does not
    /// [`count`](Checkpointer::count).
    pub fn is_due(&mut self) -> Result<bool, Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        self.inner.saver.is_due()
    }

    /// Like [`save_if_due`](Checkpointer::save_if_due), for a state that exists only for the save:
    /// `state` is called if a save is due.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Schedule, checkpointed};
    ///
    /// #[checkpointed]
    /// struct Saved { step: u64, best: Vec<f64> }
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// // The solver of another crate, of which two values make the state.
    /// struct Solver { step: u64, best: Vec<f64>, caches: Vec<u8> }
    /// let mut solver = Solver { step: 0, best: vec![0.0], caches: Vec::new() };
    ///
    /// let every_tenth = Schedule::every_steps(10);
    /// let mut checkpoints = Checkpointer::<Saved>::builder(&path).schedule(every_tenth).open()?;
    /// while solver.step < 25 {
    ///     solver.step += 1;
    ///     checkpoints.save_if_due_from(|| Saved { step: solver.step, best: solver.best.clone() })?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`save_if_due`](Checkpointer::save_if_due).
    pub fn save_if_due_from(&mut self, state: impl FnOnce() -> T) -> Result<Decision, Error> {
        match self.inner.turn()? {
            Turn::Save(reason) => self.inner.made_because(reason, &mut encoder(&state()), Metadata::new()),
            Turn::Pass(decision) => Ok(decision),
        }
    }
}
