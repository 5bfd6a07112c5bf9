//! `ckpt mirror`: brings the mirror of a checkpoint directory up to date, and verifies it.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::inspect::{self, Mirrored};
use checkpointed_core::{Mirror, Protection};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory; a program may save there
    directory: PathBuf,
    /// The directory to copy to; it is created where it is absent
    destination: PathBuf,
    /// Keep this number of the newest generations at the destination, and remove older ones; by
    /// default all are copied and none is removed
    #[arg(long, value_name = "N")]
    keep_last: Option<usize>,
    /// Copy at most this number of MiB per second
    #[arg(long, value_name = "MIB")]
    at_most: Option<u64>,
    /// Leave out the verification of what is at the destination already
    #[arg(long)]
    no_verify: bool,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Made(Mirrored);

impl Made {
    fn is_whole(&self) -> bool {
        self.0.damaged.is_empty() && self.0.damaged_there.is_empty()
    }
}

impl Answer for Made {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let Mirrored { path, mirror, newest, copied, healed, damaged, damaged_there, verified, .. } = &self.0;
        let list =
            |generations: &[u64]| generations.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match &copied[..] {
            [] => writeln!(output, "{} had nothing to copy to {}", path.display(), mirror.display())?,
            copied => writeln!(output, "copied to {}: {}", mirror.display(), list(copied))?,
        }
        if !healed.is_empty() {
            writeln!(output, "replaced, because they were damaged there: {}", list(healed))?;
        }
        if !damaged.is_empty() {
            writeln!(
                output,
                "not copied, because they are damaged in {}: {}",
                path.display(),
                list(damaged)
            )?;
        }
        if !damaged_there.is_empty() {
            writeln!(output, "damaged in {}, with no whole copy: {}", mirror.display(), list(damaged_there))?;
        }
        if *verified > 0 {
            let checkpoints = if *verified == 1 { "checkpoint" } else { "checkpoints" };
            writeln!(output, "verified {verified} {checkpoints} of {}", mirror.display())?;
        }
        match newest {
            Some(newest) => writeln!(output, "a restart from there takes generation {newest}"),
            None => writeln!(output, "there is nothing to restart from"),
        }
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let (directory, destination) =
        (place::local(&arguments.directory)?, place::local(&arguments.destination)?);
    output.can_name([directory, destination])?;
    mirror_to(Mirror::to(destination), arguments, protection, output)
}

/// Mirrors to any place.
fn mirror_to(
    mut mirror: Mirror,
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    if let Some(generations) = arguments.keep_last {
        mirror = mirror.keep_last(generations);
    }
    if let Some(mebibytes) = arguments.at_most {
        mirror = mirror.at_most_per_second(mebibytes.saturating_mul(1 << 20));
    }
    let made = inspect::mirror(&arguments.directory, &mirror, protection, !arguments.no_verify)?;
    let made = Made(made);
    output.answer(&made)?;
    Ok(if made.is_whole() { Verdict::Well } else { Verdict::NotSo })
}
