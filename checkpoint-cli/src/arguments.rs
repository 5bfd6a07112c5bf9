//! What is on the command line.

use clap::{Parser, Subcommand};

use crate::command;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

/// Look inside the checkpoints of any program that uses the `checkpointed` library.
///
/// Nothing is changed but by the commands that say so: prune (without --dry-run), pin, unpin, redo and halt.
#[derive(Debug, Parser)]
#[command(name = "ckpt", version, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Write JSON: one object, or one in each line where there is more to come
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  what was asked about is not so: damage, a difference, no save in time
  2  the command line is wrong
  3  it could not be found out, or not be done";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the generations of a checkpoint directory
    List(command::list::Arguments),
    /// Show what is in a checkpoint: a tree of its fields, or one of them
    Show(command::show::Arguments),
}

impl Command {
    pub(crate) fn run(self, output: &mut Output) -> Result<Verdict, Failure> {
        match self {
            Command::List(arguments) => command::list::run(&arguments, output),
            Command::Show(arguments) => command::show::run(&arguments, output),
        }
    }
}
