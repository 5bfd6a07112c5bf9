//! `ckpt redo`: makes the next run of a pipeline repeat a step.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::pipeline;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The pipeline directory
    pipeline: PathBuf,
    /// The step, which is run again with all steps that depend on it
    step: String,
    /// Take the request back
    #[arg(long)]
    undo: bool,
}

#[derive(Debug, Serialize)]
struct Asked {
    step: String,
    redo: bool,
    /// True if the command changed anything.
    changed: bool,
}

impl Answer for Asked {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let step = text::plain(&self.step);
        match (self.redo, self.changed) {
            (true, true) => writeln!(output, "the next run repeats {step}, and all steps that depend on it"),
            (true, false) => writeln!(output, "the next run repeats {step}; this was requested already"),
            (false, true) => writeln!(output, "the next run repeats {step} only if it must"),
            (false, false) => writeln!(output, "no repetition of {step} was requested"),
        }
    }
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { pipeline, step, undo } = arguments;
    let pipeline = place::directory(pipeline)?;
    let changed = if *undo { pipeline::undo_redo(pipeline, step) } else { pipeline::redo(pipeline, step) }?;
    output.answer(&Asked { step: step.clone(), redo: !undo, changed })?;
    Ok(Verdict::Well)
}
