//! `ckpt` looks inside the checkpoints of any program.
//!
//! Each command asks `checkpointed_core::inspect` (or another of the core's public functions) for an answer, which is
//! written for a person or, with `--json`, for a program:
//!
//! ```text
//! arguments ──▶ command/<name>.rs ──▶ answer ──▶ output.rs
//! ```

mod arguments;
mod command;
mod failure;
mod generation;
mod output;
mod picture;
mod text;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::output::Output;

/// Does what a command line says, whose first word is the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => {
            // It is help that was asked for, or says what is wrong. Where it cannot be written, nobody reads.
            let _ = answer.print();
            return answer.exit_code().try_into().map_or(ExitCode::FAILURE, |code: u8| ExitCode::from(code));
        }
    };
    let mut output = Output::new(arguments.json);
    let Arguments { keys, command, .. } = arguments;
    match keys.protection().and_then(|protection| command.run(&protection, &mut output)) {
        Ok(verdict) => verdict.into(),
        Err(failure) => output.fail(&failure),
    }
}
