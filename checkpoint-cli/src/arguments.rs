//! The arguments of the command line.

use std::path::PathBuf;

use checkpointed_core::{Key, Protection};
use clap::{Parser, Subcommand};

use crate::command;
use crate::failure::Failure;
use crate::output::{Output, Verdict};

/// Look inside the checkpoints of any program that uses the `checkpointed` library.
///
/// Only these commands change a directory: prune (without --dry-run), rewind, pin, unpin, redo,
/// halt and requeue. Copy, branch, import and export only make new files; mirror makes them at its
/// destination, and small records in the directory.
#[derive(Debug, Parser)]
#[command(name = "ckpt", version, after_long_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Write JSON: one object, or one object in each line for a command with several answers
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) keys: Keys,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The arguments that open protected checkpoints.
#[derive(Debug, clap::Args)]
pub(crate) struct Keys {
    /// Accept only checkpoints with tags of the key in this file: 64 hexadecimal digits. May be
    /// repeated for several keys
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Vec<PathBuf>,
    /// Accept only checkpoints of the run of this name, if the program binds its tags to a run
    #[arg(long, global = true, value_name = "NAME", requires = "key_file")]
    run_name: Vec<String>,
    /// Decrypt with the identities in this file, in the form of age-keygen
    #[cfg(feature = "encryption")]
    #[arg(long, global = true, value_name = "FILE")]
    identity: Vec<PathBuf>,
}

impl Keys {
    /// True if one of them is given.
    pub(crate) fn are_given(&self) -> bool {
        #[cfg(feature = "encryption")]
        let decrypts = !self.identity.is_empty();
        #[cfg(not(feature = "encryption"))]
        let decrypts = false;
        decrypts || !self.key_file.is_empty()
    }

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
    /// List the generations of a checkpoint directory, and the reasons to keep each
    List(command::list::Arguments),
    /// Show the content of a checkpoint: a tree of its fields, or one of them
    Show(command::show::Arguments),
    /// Show the differences between two checkpoints
    Diff(command::diff::Arguments),
    /// Verify checkpoints, and name the one that a restart takes
    Verify(command::verify::Arguments),
    /// Tell, field by field, what a program would make of a checkpoint
    Check(command::check::Arguments),
    /// Write a checkpoint, or a part of it, in another format
    Export(command::export::Arguments),
    /// Make a checkpoint of the values in another file, for a warm start
    Import(command::import::Arguments),
    /// Remove the generations that the retention does not keep
    Prune(command::prune::Arguments),
    /// Copy a checkpoint directory, also while a program saves there
    Copy(command::copy::Arguments),
    /// Bring a copy of a checkpoint directory up to date, also while a program saves, and verify it
    Mirror(command::mirror::Arguments),
    /// Go back to a generation: set the newer ones aside, or bring it back with those before it
    Rewind(command::rewind::Arguments),
    /// Make a directory that has one generation of another, to go on from by itself
    Branch(command::branch::Arguments),
    /// Keep a generation, even if the program would remove it
    Pin(command::pin::Arguments),
    /// Leave a generation to the retention of the program again
    Unpin(command::pin::Arguments),
    /// Follow the saves of a program, and warn if none comes
    Watch(command::watch::Arguments),
    /// Show the steps of a pipeline: state, versions, reasons to run one again
    Steps(command::steps::Arguments),
    /// Make the next run of a pipeline repeat a step
    Redo(command::redo::Arguments),
    /// Ask a program to save and stop
    Halt(command::halt::Arguments),
    /// Ask a program to save, stop and be started again
    Requeue(command::halt::Arguments),
    /// Write the completions of the command line for a shell
    Completions(command::manual::Completions),
    /// Write the manual page
    Man(command::manual::Man),
    /// Summarise the history of a checkpoint directory, or plot it
    Report(command::report::Arguments),
}

impl Command {
    pub(crate) fn run(self, keys: &Keys, output: &mut Output) -> Result<Verdict, Failure> {
        let protection = &keys.protection()?;
        match self {
            Command::List(arguments) => command::list::run(&arguments, protection, output),
            Command::Show(arguments) => command::show::run(&arguments, protection, output),
            Command::Diff(arguments) => command::diff::run(&arguments, protection, output),
            Command::Verify(arguments) => command::verify::run(&arguments, protection, output),
            Command::Check(arguments) => command::check::run(&arguments, protection, output),
            Command::Export(arguments) => command::export::run(&arguments, protection, output),
            Command::Import(arguments) => command::import::run(&arguments, keys, output),
            Command::Prune(arguments) => command::prune::run(&arguments, protection, output),
            Command::Copy(arguments) => command::copy::run(&arguments, output),
            Command::Mirror(arguments) => command::mirror::run(&arguments, protection, output),
            Command::Rewind(arguments) => command::rewind::run(&arguments, protection, output),
            Command::Branch(arguments) => command::branch::run(&arguments, protection, output),
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
