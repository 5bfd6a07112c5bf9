//! `ckpt pin` and `ckpt unpin`: keep a generation in any case, or leave it to the retention again.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::inspect;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, or the URL of a place in an object store
    directory: PathBuf,
    /// The number of the generation
    generation: u64,
}

#[derive(Debug, Serialize)]
struct Pinned {
    generation: u64,
    pinned: bool,
}

impl Answer for Pinned {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let what = if self.pinned { "is pinned" } else { "is not pinned" };
        writeln!(output, "generation {} {what}", self.generation)
    }
}

pub(crate) fn run(arguments: &Arguments, pinned: bool, output: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { directory, generation } = arguments;
    match (place::home(directory)?, pinned) {
        (Some(home), true) => home.pin(*generation)?,
        (Some(home), false) => {
            let is_there = home.generations()?.contains(generation);
            if !is_there && !home.pinned(&[*generation]).contains(generation) {
                return Err(Failure::NotPinned { path: directory.clone(), generation: *generation });
            }
            home.unpin(*generation)?;
        }
        (None, true) => inspect::pin(directory, *generation)?,
        (None, false) => inspect::unpin(directory, *generation)?,
    }
    output.answer(&Pinned { generation: *generation, pinned })?;
    Ok(Verdict::Well)
}
