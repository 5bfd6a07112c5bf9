//! `ckpt copy`: copies a checkpoint directory, also while a program saves there.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::inspect::{self, Copied, CopyWay};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, or that of a pipeline
    directory: PathBuf,
    /// The directory to make; it must not exist
    destination: PathBuf,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Made(pub(super) Copied);

impl Answer for Made {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let Copied { path, files, bytes, way, .. } = &self.0;
        let how = match way {
            None => return writeln!(output, "there was no checkpoint to copy into {}", path.display()),
            Some(CopyWay::Cloned) => "cloned",
            Some(CopyWay::Linked) => "linked",
            Some(_) => "copied",
        };
        let checkpoints = if *files == 1 { "checkpoint" } else { "checkpoints" };
        writeln!(output, "{how} {files} {checkpoints} of {} to {}", text::bytes(*bytes), path.display())
    }
}

pub(crate) fn run(arguments: &Arguments, output: &mut Output) -> Result<Verdict, Failure> {
    let made = Made(inspect::copy(&arguments.directory, &arguments.destination)?);
    output.answer(&made)?;
    Ok(Verdict::Well)
}
