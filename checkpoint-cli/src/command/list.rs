//! `ckpt list`: the generations of a directory.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::CheckpointReader;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory
    directory: PathBuf,
}

#[derive(Debug, Serialize)]
struct Generations {
    generations: Vec<u64>,
}

impl Answer for Generations {
    fn write(&self, text: &mut dyn Write) -> io::Result<()> {
        self.generations.iter().try_for_each(|generation| writeln!(text, "{generation}"))
    }
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Failure> {
    let generations = CheckpointReader::<()>::open(&arguments.directory)?.generations()?;
    output.answer(&Generations { generations })?;
    Ok(Verdict::Well)
}
