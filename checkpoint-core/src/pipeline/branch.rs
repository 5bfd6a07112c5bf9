//! Branches: another pipeline directory with all outputs that this one has kept.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::builder::Workshop;
use crate::error::Error;
use crate::store::{Directory, Home as _, Unfinished, copy_generation, is_temporary, name};

/// Makes the directory `to`, with all outputs that a pipeline has kept, by links if the file system
/// can. It gets its name only once it is complete. Fails if that name is taken.
pub(super) fn branch(pipeline: &Workshop, to: &Path) -> Result<(), Error> {
    let failed = |source| Error::writing("create", to, source);
    if to.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let around = to.parent().unwrap_or(Path::new("/"));
    // It removes itself, with anything left in it.
    let made = Unfinished::beside(to)?;
    let branch = made.path().join("branch");
    create(pipeline, &branch)?;
    fill(pipeline, &branch)?;
    pipeline.disk.rename(&branch, to).map_err(failed)?;
    sync(pipeline, around)
}

fn fill(pipeline: &Workshop, to: &Path) -> Result<(), Error> {
    let (from, steps) = (pipeline.path.join(name::STEPS), to.join(name::STEPS));
    create(pipeline, &steps)?;
    // These two mark a pipeline directory.
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
    fill_produced(pipeline, to)?;
    sync(pipeline, to)
}

/// The copies of produced files are never changed, so both pipelines can have the same.
fn fill_produced(pipeline: &Workshop, to: &Path) -> Result<(), Error> {
    let (from, to) = (pipeline.path.join(name::PRODUCED), to.join(name::PRODUCED));
    if !from.is_dir() {
        return Ok(());
    }
    create(pipeline, &to)?;
    let listed = |path: &Path| -> Result<Vec<fs::DirEntry>, Error> {
        let unreadable = |source| Error::io("list", path, source);
        fs::read_dir(path).map_err(unreadable)?.map(|entry| entry.map_err(unreadable)).collect()
    };
    for step in listed(&from)? {
        let to = to.join(step.file_name());
        create(pipeline, &to)?;
        for file in listed(&step.path())? {
            if is_temporary(&file.file_name()) {
                continue;
            }
            copy_generation(&file.path(), &to.join(file.file_name()))
                .map_err(|source| Error::writing("copy", &file.path(), source))?;
        }
        sync(pipeline, &to)?;
    }
    sync(pipeline, &to)
}

/// Creates a directory with the permissions of the pipeline's.
fn create(pipeline: &Workshop, path: &Path) -> Result<(), Error> {
    pipeline.disk.create_directory(path).map_err(|source| Error::writing("create", path, source))
}

/// Makes the names in a directory durable, if the pipeline is durable.
fn sync(pipeline: &Workshop, directory: &Path) -> Result<(), Error> {
    if !pipeline.options.durable {
        return Ok(());
    }
    pipeline.disk.sync_directory(directory).map_err(|source| Error::writing("sync", directory, source))
}
