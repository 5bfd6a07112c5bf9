//! Another pipeline directory with all that one has kept.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::builder::Workshop;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::{Directory, copy_generation, name};

/// Makes the directory `to`, with all outputs that a pipeline has kept, by links where there are such. Fails where it exists.
pub(super) fn branch(pipeline: &Workshop, to: &Path) -> Result<(), Error> {
    create(pipeline, to)?;
    let made = fill(pipeline, to);
    if made.is_err()
        && let Err(error) = fs::remove_dir_all(to)
    {
        warn(format!("{}, a part of a branch that failed, cannot be removed: {error}", to.display()));
    }
    made
}

fn fill(pipeline: &Workshop, to: &Path) -> Result<(), Error> {
    let (from, steps) = (pipeline.path.join(name::STEPS), to.join(name::STEPS));
    create(pipeline, &steps)?;
    // By both a pipeline directory is known.
    create(pipeline, &to.join(name::FILES))?;
    if from.is_dir() {
        let unreadable = |source| Error::io("list", &from, source);
        for step in fs::read_dir(&from).map_err(unreadable)? {
            let step = step.map_err(unreadable)?;
            if !step.path().is_dir() {
                continue;
            }
            let kept = Directory::new(&step.path(), Arc::clone(&pipeline.disk));
            let to = steps.join(step.file_name());
            create(pipeline, &to)?;
            for generation in kept.generations()? {
                let file = kept.location(generation);
                let target = to.join(file.file_name().unwrap_or_default());
                copy_generation(&file, &target).map_err(|source| Error::writing("copy", &file, source))?;
            }
            sync(pipeline, &to)?;
        }
    }
    sync(pipeline, &steps)?;
    sync(pipeline, to)?;
    to.parent().map_or(Ok(()), |around| sync(pipeline, around))
}

/// Creates a directory, which must not be there, with the rights that the pipeline's have.
fn create(pipeline: &Workshop, path: &Path) -> Result<(), Error> {
    pipeline.disk.create_directory(path).map_err(|source| Error::writing("create", path, source))
}

/// Makes the names in a directory durable, where the pipeline is.
fn sync(pipeline: &Workshop, directory: &Path) -> Result<(), Error> {
    if !pipeline.options.durable {
        return Ok(());
    }
    pipeline.disk.sync_directory(directory).map_err(|source| Error::writing("sync", directory, source))
}
