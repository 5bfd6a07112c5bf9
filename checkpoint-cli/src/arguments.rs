//! What is on the command line.

use std::path::PathBuf;

use checkpointed_core::{Key, Protection};
use clap::{Parser, Subcommand};

use crate::command;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

/// Look inside the checkpoints of any program that uses the `checkpointed` library.
///
/// Nothing is changed but by the commands that say so: prune (without --dry-run), pin, unpin, redo, halt
/// and requeue. What copy and export make is new.
#[derive(Debug, Parser)]
#[command(name = "ckpt", version, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Write JSON: one object, or one in each line where there is more to come
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) keys: Keys,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What opens checkpoints that are protected.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// Accept only checkpoints with tags of the key in this file: 64 hexadecimal digits. May be given for several keys
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// Accept only checkpoints of the run of this name, where the program binds its tags to one
    #[arg(long, global = true, value_name = "NAME", requires = "key_file")]
    run_name: Vec<String>,
    /// Decrypt with the identities in this file, as age-keygen writes it
    #[cfg(feature = "encryption")]
    #[arg(long, global = true, value_name = "FILE")]
    identity: Vec<PathBuf>,
}

impl Keys {
    pub(crate) fn protection(&self) -> Result<Protection, Failure> {
        let mut protection = Protection::new();
        for file in &self.key_file {
            protection = protection.accept(Key::from_file(file)?);
        }
        for name in &self.run_name {
            protection = protection.for_run(name);
        }
        #[cfg(feature = "encryption")]
        for file in &self.identity {
            protection = protection.decrypt_with_file(file)?;
        }
        Ok(protection)
    }
}

const EXIT_CODES: &str = "\
Exit codes:
  0  all is well
  1  what was asked about is not so: damage, a difference, no save in time
  2  the command line is wrong
  3  it could not be found out, or not be done
  4  a checkpoint is out of reach: it may be whole, but a right, a key or a newer version is missing";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the generations of a checkpoint directory, and why each is kept
    List(command::list::Arguments),
    /// Show what is in a checkpoint: a tree of its fields, or one of them
    Show(command::show::Arguments),
    /// Tell what differs between two checkpoints
    Diff(command::diff::Arguments),
    /// Verify checkpoints, and tell which a restart takes
    Verify(command::verify::Arguments),
    /// Write a checkpoint, or a part of it, in the form of others
    Export(command::export::Arguments),
    /// Remove what is not to be kept
    Prune(command::prune::Arguments),
    /// Copy a checkpoint directory, also while a program saves there
    Copy(command::copy::Arguments),
    /// Keep a generation whatever the program keeps
    Pin(command::pin::Arguments),
    /// Leave a generation to what the program keeps
    Unpin(command::pin::Arguments),
    /// Follow the saves of a program, and warn when none comes
    Watch(command::watch::Arguments),
    /// Show the steps of a pipeline: state, versions, why one is run again
    Steps(command::steps::Arguments),
    /// Have the next run of a pipeline do a step again
    Redo(command::redo::Arguments),
    /// Ask a program to save and stop
    Halt(command::halt::Arguments),
    /// Ask a program to save, stop and be started again
    Requeue(command::halt::Arguments),
    /// Write what a shell needs to complete the command line
    Completions(command::manual::Completions),
    /// Write the manual page
    Man(command::manual::Man),
    /// Sum up what happened in a checkpoint directory, or draw it
    Report(command::report::Arguments),
}

impl Command {
    pub(crate) fn run(self, protection: &Protection, output: &mut Output) -> Result<Verdict, Failure> {
        match self {
            Command::List(arguments) => command::list::run(&arguments, protection, output),
            Command::Show(arguments) => command::show::run(&arguments, protection, output),
            Command::Diff(arguments) => command::diff::run(&arguments, protection, output),
            Command::Verify(arguments) => command::verify::run(&arguments, protection, output),
            Command::Export(arguments) => command::export::run(&arguments, protection, output),
            Command::Prune(arguments) => command::prune::run(&arguments, protection, output),
            Command::Copy(arguments) => command::copy::run(&arguments, output),
            Command::Pin(arguments) => command::pin::run(&arguments, true, output),
            Command::Unpin(arguments) => command::pin::run(&arguments, false, output),
            Command::Watch(arguments) => command::watch::run(&arguments, protection, output),
            Command::Steps(arguments) => command::steps::run(&arguments, protection, output),
            Command::Redo(arguments) => command::redo::run(&arguments, output),
            Command::Halt(arguments) => command::halt::run(&arguments, false, output),
            Command::Requeue(arguments) => command::halt::run(&arguments, true, output),
            Command::Completions(arguments) => command::manual::completions(&arguments, output),
            Command::Man(arguments) => command::manual::man(&arguments, output),
            Command::Report(arguments) => command::report::run(&arguments, protection, output),
        }
    }
}
