//! Branches: another pipeline directory with all outputs that this one has kept.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::builder::Workshop;
use crate::error::Error;
use crate::store::{Directory, Home as _, Unfinished, copy_generation, is_temporary, name};

/// The most times that the outputs of a step are listed again because one disappeared.
const MOST_LISTINGS: u32 = 100;

/// Makes the directory `to`, with all outputs that a pipeline has kept, by links if the file system
/// can. It gets its name only once it is complete. Fails if that name is taken.
pub(super) fn branch(pipeline: &Workshop, to: &Path) -> Result<(), Error> {
    branch_and(pipeline, to, &|_| {})
}

/// Does that, and calls `meanwhile` before each file that is copied.
fn branch_and(pipeline: &Workshop, to: &Path, meanwhile: &dyn Fn(&Path)) -> Result<(), Error> {
    let failed = |source| Error::writing("create", to, source);
    if to.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    let around = to.parent().unwrap_or(Path::new("/"));
    // It removes itself, with anything left in it.
    let made = Unfinished::beside(to)?;
    let branch = made.path().join("branch");
    create(pipeline, &branch)?;
    fill(pipeline, &branch, meanwhile)?;
    pipeline.disk.rename(&branch, to).map_err(failed)?;
    sync(pipeline, around)
}

fn fill(pipeline: &Workshop, to: &Path, meanwhile: &dyn Fn(&Path)) -> Result<(), Error> {
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
            copy_kept(&kept, &to, meanwhile)?;
            sync(pipeline, &to)?;
        }
    }
    sync(pipeline, &steps)?;
    fill_produced(pipeline, to)?;
    sync(pipeline, to)
}

/// Copies the kept outputs of a step, newest first. Another process may retire some meanwhile: then
/// there are newer ones.
fn copy_kept(kept: &Directory, to: &Path, meanwhile: &dyn Fn(&Path)) -> Result<(), Error> {
    for _ in 0..MOST_LISTINGS {
        let mut has_all = true;
        for generation in kept.generations()?.into_iter().rev() {
            let file = kept.location(generation);
            let target = to.join(file.file_name().unwrap_or_default());
            if target.exists() {
                continue;
            }
            meanwhile(&file);
            match copy_generation(&file, &target) {
                Err(error) if is_retired(&error) && !kept.has(generation) => has_all = false,
                copied => drop(copied.map_err(|source| Error::writing("copy", &file, source))?),
            }
        }
        if has_all {
            return Ok(());
        }
    }
    let source = io::Error::other("its outputs change faster than they can be copied");
    Err(Error::io("copy", kept.path(), source))
}

fn is_retired(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
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
            match copy_generation(&file.path(), &to.join(file.file_name())) {
                // No version has it any more.
                Err(error) if is_retired(&error) => {}
                copied => drop(copied.map_err(|source| Error::writing("copy", &file.path(), source))?),
            }
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

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::pipeline::Pipeline;

    #[test]
    fn an_output_that_is_retired_meanwhile_is_not_missed() {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("p"), parent.path().join("branch"));
        let version = |number: u64| {
            let pipeline = Pipeline::builder(&path).shared(true).open().unwrap();
            let step = pipeline.step("a").param("number", &number).keep(1);
            assert_eq!(*step.run(|_| Ok::<u64, Error>(number)).unwrap().load().unwrap(), number);
        };
        version(1);
        let pipeline = Pipeline::builder(&path).shared(true).open().unwrap();
        let is_first = Cell::new(true);
        branch_and(&pipeline.workshop, &to, &|_| {
            if is_first.replace(false) {
                (2..=4).for_each(version);
            }
        })
        .unwrap();
        let open = |path: &Path| Directory::new(&path.join("steps/a"), Arc::clone(&pipeline.workshop.disk));
        let (there, branched) = (open(&path).generations().unwrap(), open(&to).generations().unwrap());
        assert!(!there.contains(&1), "it was to be retired: {there:?}");
        assert_eq!(branched, there);
    }
}
