//! The outcome of a run, and the removal of its checkpoints.

use std::process::{ExitCode, Termination};
use std::sync::Arc;

use crate::base::warnings::Warnings;
use crate::error::Error;
use crate::outcome::{ExitCodes, Saved, StopReason};
use crate::store::{Claiming, Home, Newest, not_removable};

/// The end of a run. `main` may return it: the program then ends with its [exit
/// code](Finished::exit_code). A `main` that returns an error ends with 1: where a stop may be an
/// error, as with [`wait_for`](crate::Builder::wait_for), use [`Error::exit_code`].
///
/// ```no_run
/// use checkpointed::{Checkpointer, Error, Finished};
///
/// fn main() -> Result<Finished, Error> {
///     let mut checkpoints = Checkpointer::<u64>::builder("sum.ckpt").stop_on_signals().open()?;
///     let mut sum = checkpoints.load_or_default()?;
///     while sum < 1_000_000 && checkpoints.should_stop().is_none() {
///         sum += 1;
///         checkpoints.save_if_due(&sum)?;
///     }
///     checkpoints.finish(&sum)
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finished {
    /// The last save; `None` if none was made because an earlier one holds the state.
    pub saved: Option<Saved>,
    /// The reason to stop before the end; `None` if the program finished its work.
    pub stopped: Option<StopReason>,
    /// The newest generation that the [mirror](crate::Builder::mirror) is known to have; `None`
    /// where there is no mirror, or it is not known to have any. Smaller than the last saved one if
    /// the mirror was out of reach, or too slow for [the time](crate::Mirror::wait_at_finish) that
    /// the end waits for it. The end looks if the mirror still has it, and copies it again if not;
    /// it reads no file there. Where that look fails, a warning says so, and this is the newest
    /// that a copy confirmed; `None` where the directory of the mirror is gone.
    pub mirrored: Option<u64>,
    pub(crate) exit_codes: ExitCodes,
    /// `None` where a group has the checkpoints.
    pub(crate) removal: Option<Removal>,
}

/// All that the removal of the checkpoints of a run needs after its end: their place, and how it
/// was claimed.
#[derive(Clone, Debug)]
pub(crate) struct Removal {
    pub(crate) home: Arc<dyn Home>,
    pub(crate) claiming: Claiming,
    /// The newest generation at the end; `None` where there was none, or it could not be read.
    pub(crate) newest: Option<Newest>,
    pub(crate) warnings: Warnings,
}

impl PartialEq for Removal {
    fn eq(&self, other: &Removal) -> bool {
        self.home.path() == other.home.path()
    }
}

impl Removal {
    fn start(&self, with_pins: bool) -> Result<(), Error> {
        let Removal { home, claiming, newest, warnings } = self;
        let _warnings = warnings.enter();
        if home.files().is_none() {
            // A claim would take the place from a program that has opened it meanwhile.
            return Err(not_removable(home.path()));
        }
        // A claim would make it again.
        if !home.exists() {
            return Ok(());
        }
        let claim = home.claim(claiming)?;
        let is_of_run = match (Newest::of(&**claim.home())?, newest) {
            // This is what a removal that was cut short leaves: what is aside goes before the
            // newest.
            (None, Some(_)) => claim.home().set_aside()?.is_empty(),
            (found, newest) => found == *newest,
        };
        if !is_of_run {
            return Err(Error::InvalidSetting {
                setting: format!("removing the checkpoints of {}", home.path().display()),
                why: "another program has saved there since this run ended, or it is another directory: its \
                      checkpoints are left alone",
            });
        }
        claim.clear(with_pins)
    }
}

impl Termination for Finished {
    fn report(self) -> ExitCode {
        self.exit_code()
    }
}

impl Finished {
    /// Returns 0 if the program finished its work, [`EXIT_REQUEUE`](crate::stop::EXIT_REQUEUE) if
    /// it was stopped and must be started again, and [`EXIT_HALTED`](crate::stop::EXIT_HALTED) if a
    /// user halted it. The last two can be [set](crate::Builder::exit_codes).
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.stopped {
            None => ExitCode::SUCCESS,
            Some(ref reason) => ExitCode::from(self.exit_codes.of(reason)),
        }
    }

    /// Removes the checkpoints of a program that finished its work, and needs them no more. After a
    /// stop before the end it does nothing: the next start goes on from them.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("run.ckpt");
    /// # let results = directory.path().join("sum.txt");
    /// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
    /// let mut sum = checkpoints.load_or_default()?;
    /// while sum < 1000 && checkpoints.should_stop().is_none() {
    ///     sum += 1;
    ///     checkpoints.save_if_due(&sum)?;
    /// }
    /// let finished = checkpoints.finish(&sum)?;
    /// if finished.stopped.is_none() {
    ///     std::fs::write(&results, sum.to_string())?; // first the results
    /// }
    /// let finished = finished.remove()?;
    /// assert!(finished.stopped.is_none() && !path.exists());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It removes all generations, also those that are set aside or damaged, the history and the
    /// lock, and the directory itself if nothing else is in it. Where the directory is gone
    /// already, it does nothing. Files of the user stay, and so do [outputs](crate::Appended) and
    /// the copies in a [mirror](crate::Builder::mirror): the next start with that mirror goes on
    /// from them. If it is cut short, even by a power cut, the next start finds the newest
    /// generation, or none.
    ///
    /// # Errors
    /// [`Error::Pinned`] if a generation is pinned, also one that is set aside: then nothing is
    /// removed. A pin that comes during the removal ends it half-way; its generation stays.
    /// [`Error::InUse`] if another program has opened the directory meanwhile.
    /// [`Error::InvalidSetting`] if another has saved there since, or has its checkpoints there in
    /// place of those of this run; in a group, and in another place than a directory.
    pub fn remove(self) -> Result<Finished, Error> {
        self.cleared(false)
    }

    /// Like [`remove`](Finished::remove), with the generations that are pinned.
    ///
    /// # Errors
    /// As [`remove`](Finished::remove), without [`Error::Pinned`].
    pub fn remove_with_pins(self) -> Result<Finished, Error> {
        self.cleared(true)
    }

    fn cleared(self, with_pins: bool) -> Result<Finished, Error> {
        if self.stopped.is_some() {
            return Ok(self);
        }
        let Some(removal) = &self.removal else {
            return Err(Error::InvalidSetting {
                setting: "removing the checkpoints of a group".to_owned(),
                why: "each member has a part of them, and another may still save: remove the directory once all of \
                      them have ended",
            });
        };
        removal.start(with_pins)?;
        Ok(self)
    }
}
