//! The end of a directory: removes everything of ours in it, when the run that saved there needs it
//! no more.
//!
//! A load finds the newest generation, or nothing at all, after each single step, also after a power
//! cut: the generations go from the oldest on, and the newest goes once the removal of the others is
//! durable. The history goes before it, which would tell of lost generations.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::Directory;
use crate::error::Error;
use crate::store::{Home as _, name};

/// The number of looks at a generation that another program reads or pins, and the pause between
/// them.
const LOOKS: u32 = 50;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

impl Directory {
    /// Removes everything of ours, and the directory itself if nothing else is in it, see
    /// [`Claim::clear`](crate::store::Claim::clear).
    pub(super) fn clear(&self, with_pins: bool, newest: Option<u64>, durable: bool) -> Result<(), Error> {
        self.check_writable()?;
        if self.disk.is_directory(&self.path.join(name::RANKS)).is_some() {
            return Err(Error::InvalidSetting {
                setting: format!("removing the checkpoints of {}", self.path.display()),
                why: "it belongs to a group, whose members each have a part of it: remove the directory once all of \
                      them have ended",
            });
        }
        let generations = self.generations()?;
        if generations.last().copied() > newest {
            return Err(Error::InvalidSetting {
                setting: format!("removing the checkpoints of {}", self.path.display()),
                why: "another program has saved there since this run ended: what it saved is left alone",
            });
        }
        if !with_pins {
            self.refuse_pins(&generations)?;
        }
        let is_extra = |name: &OsStr| {
            name::is_temporary(name)
                || name::aside(name).is_some()
                || name::rewound(name).is_some()
                || name::is_of_mirror(name)
                || [name::HISTORY, name::FORMER_HISTORY].map(OsStr::new).contains(&name)
        };
        self.remove_names(is_extra)?;
        let Some((newest, older)) = generations.split_last() else {
            return self.remove_rest(durable);
        };
        for generation in older {
            self.remove_generation(*generation, with_pins)?;
        }
        self.sync_if(durable)?;
        self.remove_generation(*newest, with_pins)?;
        self.sync_if(durable)?;
        self.remove_rest(durable)
    }

    fn refuse_pins(&self, generations: &[u64]) -> Result<(), Error> {
        let pinned = self.pinned(generations);
        if pinned.is_empty() {
            return Ok(());
        }
        Err(Error::Pinned { path: self.path.clone(), generations: pinned.into_iter().collect() })
    }

    fn remove_generation(&self, generation: u64, with_pins: bool) -> Result<(), Error> {
        let failed = |source| Error::writing("remove", &self.location(generation), source);
        // A program that pins the generation holds it meanwhile, and one that reads it does not mind.
        for _ in 0..LOOKS {
            if with_pins {
                break;
            }
            match self.retire(generation, true) {
                Ok(Some(retired)) => return self.disk.remove(&retired).map_err(failed),
                Ok(None) => self.refuse_pins(&[generation])?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(failed(error)),
            }
            std::thread::sleep(BETWEEN_LOOKS);
        }
        // Files of lower epochs go first, as where one of them would become the generation.
        for file in self.files_of(generation) {
            gone(self.disk.remove(&file)).map_err(|source| Error::writing("remove", &file, source))?;
        }
        Ok(())
    }

    /// Removes what tells nothing without generations; last the lock, which this process holds.
    fn remove_rest(&self, durable: bool) -> Result<(), Error> {
        self.remove_names(|name| {
            name::pinned(name).is_some()
                || name::rewind(name).is_some()
                || [name::HALT, name::REQUEUE].map(OsStr::new).contains(&name)
        })?;
        self.sync_if(durable)?;
        self.remove_names(|name| name == OsStr::new(name::LOCK))?;
        if let Err(error) = self.disk.remove_directory(&self.path) {
            // Files of the user are in it, or it is a link.
            tracing::debug!(path = %self.path.display(), %error, "the directory stays");
            return self.sync_if(durable);
        }
        match self.path.parent().filter(|parent| durable && !parent.as_os_str().is_empty()) {
            Some(parent) => self.sync_name_in(parent),
            None => Ok(()),
        }
    }

    /// Makes the removal of the directory durable. A parent that the program may not open is left to
    /// the system: an empty directory is no loss.
    fn sync_name_in(&self, parent: &Path) -> Result<(), Error> {
        match self.disk.sync_directory(parent) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced.map_err(|source| Error::writing("sync", parent, source)),
        }
    }

    fn remove_names(&self, is_one: impl Fn(&OsStr) -> bool) -> Result<(), Error> {
        for name in self.names()?.iter().filter(|name| is_one(name)) {
            let path = self.path.join(name);
            gone(self.disk.remove(&path)).map_err(|source| Error::writing("remove", &path, source))?;
        }
        Ok(())
    }
}

/// A file that is gone already is no failure.
fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use crate::store::faults::{EIO, Fault, FaultyDisk};
    use crate::{CheckpointReader, Checkpointer};

    /// Finishes a run of several generations, and removes them with this fault of the disk.
    fn removed_with(fault: Option<(usize, Fault)>) -> (tempfile::TempDir, FaultyDisk, bool) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        let disk = FaultyDisk::default();
        let builder = Checkpointer::<u64>::builder(&path).disk(Arc::new(disk.clone())).keep_last(5);
        let mut checkpoints = builder.open().unwrap();
        for state in 1..=5 {
            checkpoints.save(&state).unwrap();
        }
        checkpoints.rewind(4).unwrap();
        let finished = checkpoints.finish(&4).unwrap();
        disk.plan(fault);
        let is_removed = finished.remove().is_ok();
        (parent, disk, is_removed)
    }

    #[test]
    fn an_interrupted_removal_leaves_the_newest_or_nothing() {
        let (_parent, disk, is_removed) = removed_with(None);
        assert!(is_removed);
        let operations = disk.asked();
        assert!(operations.len() > 12, "{operations:?}");
        let mut left = 0;
        for (place, operation) in operations.iter().enumerate() {
            let (parent, _, is_removed) = removed_with(Some((place, Fault::Error(EIO))));
            let path = parent.path().join("run.ckpt");
            let loaded = CheckpointReader::<u64>::open(&path).unwrap().load();
            let loaded = loaded.unwrap_or_else(|error| panic!("{operation}: {error}"));
            assert!([None, Some(4)].contains(&loaded), "{loaded:?} after {operation}");
            assert!(loaded.is_none() || !is_removed, "{operation} is an error");
            left += usize::from(loaded.is_some());
        }
        assert!(left > 5, "most failures come before the newest is gone");
    }

    #[test]
    fn the_newest_goes_once_the_removal_of_others_is_durable() {
        let (parent, disk, _) = removed_with(None);
        let operations = disk.asked();
        let retired = |number: u64| {
            let name = format!("{number:020}.ckpt");
            operations.iter().position(|asked| *asked == format!("retire {name}")).unwrap()
        };
        let between = &operations[retired(3)..retired(4)];
        assert!(between.contains(&"sync directory run.ckpt".to_owned()), "{operations:?}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
