//! The exit code of a program that ends with an error.

use std::process::ExitCode;

use super::Error;

impl Error {
    /// Returns the exit code for a program that ends with this error: that of a stop if a step of a
    /// pipeline [was stopped](Error::StepStopped), a function [in a scope](Error::ScopeStopped), or
    /// the program while it [waited](Error::StoppedWaiting), and 1 otherwise.
    ///
    /// ```no_run
    /// use std::process::ExitCode;
    ///
    /// # fn pipeline() -> Result<(), checkpointed::Error> { Ok(()) }
    /// fn main() -> ExitCode {
    ///     match pipeline() {
    ///         Ok(()) => ExitCode::SUCCESS,
    ///         Err(error) => {
    ///             eprintln!("{error}");
    ///             error.exit_code()
    ///         }
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::StepStopped { exit_code, .. }
            | Error::ScopeStopped { exit_code, .. }
            | Error::StoppedWaiting { exit_code, .. } => ExitCode::from(*exit_code),
            _ => ExitCode::FAILURE,
        }
    }
}
