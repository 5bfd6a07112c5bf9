//! `ckpt` inspects the checkpoints of any program.
//!
//! Each command asks `checkpointed_core::inspect` (or another of the core's public functions) for
//! an answer, and writes it for people, or with `--json` for programs:
//!
//! ```text
//! arguments ──▶ command/<name>.rs ──▶ answer ──▶ output.rs
//! ```

mod arguments;
mod command;
mod failure;
mod generation;
mod import;
mod output;
mod picture;
mod place;
mod text;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::output::Output;
pub use crate::place::Opener;

/// Like [`run`], where URLs of object stores may stand for directories.
pub fn run_with(stores: Opener, arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    place::set_stores(stores);
    run(arguments)
}

/// Runs a command line that begins with the name of the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => {
            // The answer is either the requested help, or a description of the fault. An error here
            // means that there is no reader.
            let _ = answer.print();
            return answer.exit_code().try_into().map_or(ExitCode::FAILURE, |code: u8| ExitCode::from(code));
        }
    };
    let mut output = Output::new(arguments.json);
    let Arguments { keys, command, .. } = arguments;
    match command.run(&keys, &mut output) {
        Ok(verdict) => verdict.into(),
        Err(failure) => output.fail(&failure),
    }
}
