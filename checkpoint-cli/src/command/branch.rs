//! `ckpt branch`: makes a directory from one generation of another.

use std::path::PathBuf;

use checkpointed_core::Protection;
use checkpointed_core::inspect;

use super::copy::Made;
use crate::failure::Failure;
use crate::output::{Output, Verdict};
use crate::place;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, which a program may have open
    directory: PathBuf,
    /// The generation to go on from; also one that a rewind set aside
    generation: u64,
    /// The directory to make; it must not exist
    destination: PathBuf,
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let Arguments { directory, generation, destination } = arguments;
    let (directory, destination) = (place::local(directory)?, place::local(destination)?);
    output.can_name([destination])?;
    output.answer(&Made(inspect::branch(directory, protection, *generation, destination)?))?;
    Ok(Verdict::Well)
}
