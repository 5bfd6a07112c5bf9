//! `ckpt copy`: copies a checkpoint directory, also while a program saves there.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::inspect::{self, Copied, CopyWay};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, or that of a pipeline, or the URL of a place in an object store
    directory: PathBuf,
    /// The directory to make, which must not exist; or the URL of a place without checkpoints
    destination: PathBuf,
    /// Take the place in an object store over: a program that has opened it stops with an error
    #[arg(long)]
    take_over: bool,
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
    let Arguments { directory, destination, take_over } = arguments;
    output.can_name([&**destination])?;
    let made = Made(match (place::home(directory)?, place::home(destination)?) {
        (None, None) => inspect::copy(directory, destination)?,
        (None, Some(to)) => inspect::copy_to(directory, &*to, *take_over)?,
        (Some(from), None) => inspect::copy_from(&*from, destination)?,
        (Some(from), Some(to)) => inspect::copy_between(&*from, &*to, *take_over)?,
    });
    output.answer(&made)?;
    Ok(Verdict::Well)
}
