//! `ckpt verify`: whether checkpoints are whole, and which a restart would take.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::{Protection, inspect};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::text::{self, BAD, BOLD, GOOD};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A checkpoint, or a directory of them
    checkpoint: PathBuf,
}

#[derive(Debug, Serialize)]
struct Verified {
    whole: bool,
    /// The generation that a restart takes.
    restart: Option<u64>,
    checkpoints: Vec<inspect::Verdict>,
    #[serde(skip)]
    is_directory: bool,
}

impl Answer for Verified {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        for checkpoint in &self.checkpoints {
            let name = checkpoint.path.file_name().unwrap_or(checkpoint.path.as_os_str()).to_string_lossy();
            let bytes: u64 = checkpoint.parts.iter().map(|part| part.stored_bytes).sum();
            let (style, word) = if checkpoint.is_whole() { (GOOD, "whole") } else { (BAD, "damaged") };
            let (name, count) = (text::plain(&name), checkpoint.parts.len());
            let bytes = text::bytes(bytes);
            writeln!(output, "{BOLD}{name}{BOLD:#}  {style}{word}{style:#}  {count} parts, {bytes}")?;
            if let Some(problem) = &checkpoint.problem {
                writeln!(output, "  {}", text::plain(problem))?;
            }
            for part in checkpoint.parts.iter().filter(|part| part.problem.is_some()) {
                let problem = part.problem.as_deref().unwrap_or_default();
                writeln!(output, "  {}: {}", text::plain(&part.name), text::plain(problem))?;
            }
        }
        match self.restart {
            _ if !self.is_directory => Ok(()),
            Some(generation) => writeln!(output, "a restart takes generation {generation}"),
            None if self.checkpoints.is_empty() => {
                writeln!(output, "no checkpoints: a restart begins afresh")
            }
            None => writeln!(
                output,
                "{BAD}a restart is refused{BAD:#}: what is newest cannot be used, or nothing can"
            ),
        }
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let path = &arguments.checkpoint;
    let is_directory = path.is_dir();
    let checkpoints = if is_directory {
        inspect::verify_directory(path, protection)?
    } else {
        vec![inspect::verify(path, protection)]
    };
    let restart = inspect::restart(&checkpoints).filter(|_| is_directory);
    let whole = checkpoints.iter().all(inspect::Verdict::is_whole);
    output.answer(&Verified { whole, restart, checkpoints, is_directory })?;
    Ok(if whole { Verdict::Well } else { Verdict::NotSo })
}
