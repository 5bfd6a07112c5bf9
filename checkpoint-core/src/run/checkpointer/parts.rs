//! Saves of a state whose parts are in several places: a struct of references is saved in its
//! stead.

use crate::codec::encoder_of_borrowed;
use crate::container::{IntoMetadata, Metadata};
use crate::error::Error;
use crate::outcome::{Decision, SaveReason, Saved};
use crate::run::checkpointer::{Checkpointer, Turn};
use crate::run::finished::Finished;
use crate::state::{Borrowed, Checkpoint};

impl<T: Checkpoint> Checkpointer<T> {
    /// Saves parts that are in several places, by reference, as the state that they make. See
    /// [`Borrowed`].
    ///
    /// ```
    /// use checkpointed::{Checkpointer, checkpointed};
    ///
    /// #[checkpointed(owned = "State")]
    /// struct Parts<'a> {
    ///     grid: &'a [f64],
    ///     step: u64,
    /// }
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<State>::open(&path)?;
    /// let (mut grid, mut step) = match checkpoints.load()? {
    ///     Some(State { grid, step }) => (grid, step),
    ///     None => (vec![0.0; 1000], 0),
    /// };
    /// while step < 10 {
    ///     step += 1;
    ///     grid[0] += 1.0;
    ///     checkpoints.save_parts(&Parts { grid: &grid, step })?;
    /// }
    /// assert_eq!(checkpoints.load()?.map(|state| (state.grid[0], state.step)), Some((10.0, 10)));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`save`](Checkpointer::save).
    pub fn save_parts<P: Borrowed<Owned = T> + ?Sized>(&mut self, parts: &P) -> Result<Saved, Error> {
        self.save_parts_with(parts, Metadata::new())
    }

    /// Like [`save_parts`](Checkpointer::save_parts), with metadata.
    ///
    /// # Errors
    /// As [`save`](Checkpointer::save).
    pub fn save_parts_with<P: Borrowed<Owned = T> + ?Sized>(
        &mut self,
        parts: &P,
        metadata: impl IntoMetadata,
    ) -> Result<Saved, Error> {
        self.inner.save_now(&SaveReason::Asked, &mut encoder_of_borrowed(parts), metadata.into_metadata())
    }

    /// Like [`save_if_due`](Checkpointer::save_if_due), for parts that are in several places.
    ///
    /// # Errors
    /// As [`save_if_due`](Checkpointer::save_if_due).
    pub fn save_parts_if_due<P: Borrowed<Owned = T> + ?Sized>(
        &mut self,
        parts: &P,
    ) -> Result<Decision, Error> {
        match self.inner.turn()? {
            Turn::Save(reason) => {
                self.inner.made_because(reason, &mut encoder_of_borrowed(parts), Metadata::new())
            }
            Turn::Pass(decision) => Ok(decision),
        }
    }

    /// Like [`finish`](Checkpointer::finish), for parts that are in several places.
    ///
    /// # Errors
    /// As [`finish`](Checkpointer::finish).
    pub fn finish_parts<P: Borrowed<Owned = T> + ?Sized>(mut self, parts: &P) -> Result<Finished, Error> {
        self.inner.finish(&mut encoder_of_borrowed(parts), Metadata::new())
    }
}
