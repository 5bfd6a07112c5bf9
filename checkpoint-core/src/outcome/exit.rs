//! The exit codes. They tell the parent process if it must start the program again.

use super::stop_reason::StopReason;
use crate::environment::{self, EXIT_HALTED as HALTED, EXIT_REQUEUE as REQUEUE};
use crate::error::Error;

/// The exit code of a program that was stopped, saved its state, and must be started again: 75,
/// unless [`exit_codes`](crate::Builder::exit_codes) or `CHECKPOINT_EXIT_REQUEUE` sets another.
///
/// It is `EX_TEMPFAIL` of `sysexits.h`: a temporary failure, to be tried again. A shell gives 126
/// and above a meaning of its own, programs end with 1 and 2 after errors, and a panic of Rust ends
/// with 101.
pub const EXIT_REQUEUE: u8 = 75;

/// The exit code of a program that saved its state because a user
/// [halted](crate::stop::request_halt) it, and must not be started again automatically: 76, unless
/// [`exit_codes`](crate::Builder::exit_codes) or `CHECKPOINT_EXIT_HALTED` sets another.
pub const EXIT_HALTED: u8 = 76;

/// The exit codes of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExitCodes {
    pub(crate) requeue: u8,
    pub(crate) halted: u8,
}

impl ExitCodes {
    /// The exit code after a stop.
    pub(crate) fn of(self, reason: &StopReason) -> u8 {
        match reason {
            StopReason::Halt { .. } => self.halted,
            _ => self.requeue,
        }
    }
}

impl Default for ExitCodes {
    fn default() -> ExitCodes {
        ExitCodes { requeue: EXIT_REQUEUE, halted: EXIT_HALTED }
    }
}

impl ExitCodes {
    /// Replaces the codes that the environment sets.
    pub(crate) fn in_environment(self) -> Result<ExitCodes, Error> {
        self.with(environment::variable)
    }

    fn with(self, variable: impl Fn(&str) -> Result<Option<String>, Error>) -> Result<ExitCodes, Error> {
        let code = |name: &str, unless: u8| match variable(name)? {
            None => Ok(unless),
            Some(value) => {
                let why = "an exit code is a whole number from 0 to 255";
                value.parse().map_err(|_| environment::invalid(name, &value, why))
            }
        };
        let codes = ExitCodes { requeue: code(REQUEUE, self.requeue)?, halted: code(HALTED, self.halted)? };
        let setting = || format!("exit codes {} to be started again, {} halted", codes.requeue, codes.halted);
        if codes.requeue == 0 {
            let why = "0 means that the program finished its work: choose another code";
            return Err(Error::InvalidSetting { setting: setting(), why });
        }
        if codes.requeue == codes.halted {
            let why = "the two are the same: a program that a user halted would be started again";
            return Err(Error::InvalidSetting { setting: setting(), why });
        }
        Ok(codes)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn with(requeue: &str, halted: &str) -> Result<ExitCodes, Error> {
        let value = |name: &str| if name == REQUEUE { requeue } else { halted };
        ExitCodes::default().with(|name| Ok(Some(value(name).to_owned()).filter(|value| !value.is_empty())))
    }

    #[test]
    fn the_environment_sets_exit_codes() {
        assert_eq!(with("", "").unwrap(), ExitCodes::default());
        assert_eq!(with("99", "0").unwrap(), ExitCodes { requeue: 99, halted: 0 });
        assert_eq!(with("85", "").unwrap(), ExitCodes { requeue: 85, halted: EXIT_HALTED });
    }

    #[test]
    fn exit_codes_that_would_mislead_are_refused() {
        for (requeue, halted, word) in [
            ("256", "", "CHECKPOINT_EXIT_REQUEUE=256"),
            ("", "no", "CHECKPOINT_EXIT_HALTED=no"),
            ("0", "", "finished its work"),
            ("76", "", "the same"),
            ("", "75", "the same"),
        ] {
            let error = with(requeue, halted).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
