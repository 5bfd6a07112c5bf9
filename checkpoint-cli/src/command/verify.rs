//! `ckpt verify`: verifies checkpoints, and names the one that a restart would take.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use checkpointed_core::Protection;
use checkpointed_core::inspect::{self, Condition};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place::{self, InStore};
use crate::text::{self, BAD, BOLD, GOOD, WARNING};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A checkpoint, a directory of them, also that of a pipeline, or the URL of a place or a
    /// checkpoint in an object store
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
    /// The directory, if it is that of a pipeline.
    #[serde(skip)]
    pipeline: Option<PathBuf>,
}

impl Answer for Verified {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        for checkpoint in &self.checkpoints {
            let inner = self.pipeline.as_ref().and_then(|path| checkpoint.path.strip_prefix(path).ok());
            let name = inner.map(Path::as_os_str).or(checkpoint.path.file_name());
            let name = name.unwrap_or(checkpoint.path.as_os_str()).to_string_lossy();
            let bytes: u64 = checkpoint.parts.iter().map(|part| part.stored_bytes).sum();
            let (style, word) = match checkpoint.condition {
                Condition::Whole => (GOOD, "whole"),
                Condition::OutOfReach => (WARNING, "out of reach"),
                _ => (BAD, "damaged"),
            };
            write!(output, "{BOLD}{}{BOLD:#}  {style}{word}{style:#}", text::plain(&name))?;
            match checkpoint.parts.len() {
                0 => writeln!(output)?,
                count => writeln!(output, "  {}, {}", text::count(count, "part"), text::bytes(bytes))?,
            }
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
            _ if self.pipeline.is_some() => writeln!(
                output,
                "a pipeline: its next run compares the files that its steps read and produced"
            ),
            Some(generation) => writeln!(output, "a restart takes generation {generation}"),
            None if self.checkpoints.is_empty() => {
                writeln!(output, "no checkpoints: a restart begins anew")
            }
            None if self.candidate().is_some_and(|candidate| !candidate.elsewhere.is_empty()) => writeln!(
                output,
                "what a restart takes is not known: some parts of the newest checkpoint are not here"
            ),
            None => writeln!(
                output,
                "{BAD}a restart is refused{BAD:#}: the newest checkpoint cannot be used, or none can"
            ),
        }
    }
}

impl Verified {
    /// The newest checkpoint that a restart does not skip.
    fn candidate(&self) -> Option<&inspect::Verdict> {
        self.checkpoints.iter().rev().find(|checkpoint| checkpoint.condition != Condition::Damaged)
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let path = &arguments.checkpoint;
    let (is_directory, checkpoints) = match place::checkpoint(path)? {
        Some(InStore { home, generation: None }) => (true, inspect::verify_in(&home, protection)?),
        Some(InStore { home, generation: Some(generation) }) => {
            (false, vec![inspect::verify_one_in(&home, generation, protection)])
        }
        None => {
            // A missing path is neither whole nor damaged.
            std::fs::metadata(path).map_err(|source| Failure::NotThere { path: path.clone(), source })?;
            match path.is_dir() {
                true => (true, inspect::verify_directory(path, protection)?),
                false => (false, vec![inspect::verify(path, protection)]),
            }
        }
    };
    let pipeline = std::path::absolute(path).ok().filter(|path| path.join("steps").is_dir());
    let restart = inspect::restart(&checkpoints).filter(|_| is_directory && pipeline.is_none());
    let any = |condition| checkpoints.iter().any(|checkpoint| checkpoint.condition == condition);
    let verdict = match (any(Condition::Damaged), any(Condition::OutOfReach)) {
        (true, _) => Verdict::NotSo,
        (false, true) => Verdict::OutOfReach,
        (false, false) => Verdict::Well,
    };
    let whole = verdict == Verdict::Well;
    output.answer(&Verified { whole, restart, checkpoints, is_directory, pipeline })?;
    Ok(verdict)
}
