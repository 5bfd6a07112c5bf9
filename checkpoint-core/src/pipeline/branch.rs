//! Another pipeline directory with all that one has kept.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::{Directory, Disk as _, RealDisk, copy_generation, name};

/// Makes the directory `to`, with all that is kept in `steps`, by links where there are such. Fails where it exists.
pub(super) fn branch(steps: &Path, to: &Path) -> Result<(), Error> {
    fs::create_dir(to).map_err(|source| Error::writing("create", to, source))?;
    let made = fill(steps, &to.join(name::STEPS));
    if made.is_err()
        && let Err(error) = fs::remove_dir_all(to)
    {
        warn(format!("{}, a part of a branch that failed, cannot be removed: {error}", to.display()));
    }
    made
}

fn fill(from: &Path, to: &Path) -> Result<(), Error> {
    let disk = RealDisk::default();
    let create = |path: &Path| fs::create_dir(path).map_err(|source| Error::writing("create", path, source));
    // The names in it, and its own.
    let sync = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        [path, parent.unwrap_or(Path::new("."))].into_iter().try_for_each(|directory| {
            disk.sync_directory(directory).map_err(|source| Error::writing("sync", directory, source))
        })
    };
    create(to)?;
    if from.is_dir() {
        let unreadable = |source| Error::io("list", from, source);
        for step in fs::read_dir(from).map_err(unreadable)? {
            let step = step.map_err(unreadable)?;
            if !step.path().is_dir() {
                continue;
            }
            let kept = Directory::new(&step.path(), Arc::new(RealDisk::default()));
            let to = to.join(step.file_name());
            create(&to)?;
            for generation in kept.generations()? {
                let file = kept.location(generation);
                let target = to.join(file.file_name().unwrap_or_default());
                copy_generation(&file, &target).map_err(|source| Error::writing("copy", &file, source))?;
            }
            sync(&to)?;
        }
    }
    sync(to)?;
    to.parent().map_or(Ok(()), sync)
}
