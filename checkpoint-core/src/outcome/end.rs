//! What a run came to.

use std::process::ExitCode;

use super::exit::ExitCodes;
use super::save::Saved;
use super::stop_reason::StopReason;

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Finished {
    /// The last save; `None` where none was made because an earlier one stands.
    pub saved: Option<Saved>,
    /// Why the run was to stop before its end; `None` where it came to its end.
    pub stopped: Option<StopReason>,
    pub(crate) exit_codes: ExitCodes,
}

impl Finished {
    /// 0 where the run came to its end; [`EXIT_REQUEUE`](crate::stop::EXIT_REQUEUE) where it was stopped and is to be started again;
    /// [`EXIT_HALTED`](crate::stop::EXIT_HALTED) where a user halted it. The last two can be
    /// [set](crate::Builder::exit_codes).
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self.stopped {
            None => ExitCode::SUCCESS,
            Some(StopReason::Halt { .. }) => ExitCode::from(self.exit_codes.halted),
            Some(_) => ExitCode::from(self.exit_codes.requeue),
        }
    }
}
