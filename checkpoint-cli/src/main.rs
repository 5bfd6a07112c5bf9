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
mod output;
mod picture;
mod text;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::output::Output;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut output = Output::new(arguments.json);
    let Arguments { keys, command, .. } = arguments;
    match keys.protection().and_then(|protection| command.run(&protection, &mut output)) {
        Ok(verdict) => verdict.into(),
        Err(failure) => output.fail(&failure),
    }
}
