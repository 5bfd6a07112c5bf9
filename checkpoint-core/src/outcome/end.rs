//! The outcome of a run.

use std::process::ExitCode;

use super::exit::ExitCodes;
use super::save::Saved;
use super::stop_reason::StopReason;

/// The end of a run.
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
    /// the end waits for it.
    pub mirrored: Option<u64>,
    pub(crate) exit_codes: ExitCodes,
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
}
