//! The end of a directory: removes everything of ours in it, when the run that saved there needs it
//! no more.
//!
//! A load finds the newest generation, or nothing at all, after each single step, also after a
//! power cut: the generations go from the oldest on, and the newest goes once the removal of the
//! others is durable. The history goes before it, which would tell of lost generations. The records
//! of a mirror go after it: without them, the newest of a mirror that has less would be of another
//! run.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::real::{ATTEMPTS, BETWEEN_ATTEMPTS};
use super::{Directory, gone};
use crate::error::Error;
use crate::store::{Home as _, name};

impl Directory {
    /// Removes everything of ours, and the directory itself if nothing else is in it, see
    /// [`Claim::clear`](crate::store::Claim::clear).
    pub(super) fn clear(&self, with_pins: bool, durable: bool) -> Result<(), Error> {
        self.check_writable()?;
        if self.disk.is_directory(&self.path.join(name::RANKS)).is_some() {
            return Err(Error::InvalidSetting {
                setting: format!("removing the checkpoints of {}", self.path.display()),
                why: "it belongs to a group, whose members each have a part of it: remove the directory once all of \
                      them have ended",
            });
        }
        let generations = self.generations()?;
        if !with_pins {
            let mut pinned = self.pinned(&generations);
            pinned.extend(self.pinned_aside()?);
            self.refuse(pinned)?;
        }
        let is_extra = |name: &OsStr| {
            name::is_temporary(name)
                || name::aside(name).is_some()
                || name::rewound(name).is_some()
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

    /// The generations that were moved out of the way, damaged or by a rewind, and that a pin
    /// keeps.
    fn pinned_aside(&self) -> Result<BTreeSet<u64>, Error> {
        let rewound = self.files_rewound()?.into_iter().map(|(generation, file)| (generation, file.path));
        let aside = self.files_set_aside()?.into_iter().chain(rewound);
        let pinned = aside.filter(|(generation, path)| self.is_pinned(*generation, path));
        Ok(pinned.map(|(generation, _)| generation).collect())
    }

    fn refuse(&self, pinned: BTreeSet<u64>) -> Result<(), Error> {
        if pinned.is_empty() {
            return Ok(());
        }
        Err(Error::Pinned { path: self.path.clone(), generations: pinned.into_iter().collect() })
    }

    fn remove_generation(&self, generation: u64, with_pins: bool) -> Result<(), Error> {
        if with_pins {
            // Files of lower epochs go first: each of them would become the generation.
            for file in self.files_of(generation) {
                gone(self.disk.remove(&file)).map_err(|source| Error::writing("remove", &file, source))?;
            }
            return Ok(());
        }
        let remove = |taken: io::Result<PathBuf>| {
            let removed = taken.and_then(|retired| self.disk.remove(&retired));
            gone(removed).map_err(|source| Error::writing("remove", &self.location(generation), source))
        };
        // A program that pins the generation holds it for a moment.
        for _ in 0..ATTEMPTS {
            match self.retire(generation, true, None::<fn()>).transpose() {
                Some(taken) => return remove(taken),
                None => self.refuse(self.pinned(&[generation]))?,
            }
            std::thread::sleep(BETWEEN_ATTEMPTS);
        }
        // A program that reads it for long does not mind; a pin may come even now.
        match self.take_name(generation, true).transpose() {
            Some(taken) => remove(taken),
            None => self.refuse([generation].into()),
        }
    }

    /// Removes what has no meaning without generations; last the lock, which this process holds.
    fn remove_rest(&self, durable: bool) -> Result<(), Error> {
        self.remove_names(|name| {
            name::pinned(name).is_some()
                || name::rewind(name).is_some()
                || name::branch(name).is_some()
                || name::parent(name).is_some()
                || name::is_of_mirror(name)
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

    /// Makes the removal of the directory durable. A parent that the program may not open is left
    /// to the system: an empty directory is no loss.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::time::Duration;

    use crate::store::faults::{EIO, Fault, FaultyDisk};
    use crate::{CheckpointReader, Checkpointer, Error, Mirror};

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

    #[test]
    fn a_removal_cut_short_does_not_part_run_and_mirror() {
        // The mirror has all but the newest generation.
        let removed_with = |fault| {
            let parent = tempfile::tempdir().unwrap();
            let (path, far) = (parent.path().join("run.ckpt"), parent.path().join("far.ckpt"));
            let disk = FaultyDisk::default();
            let builder = || Checkpointer::<u64>::builder(&path).disk(Arc::new(disk.clone()));
            let mut checkpoints = builder().mirror(Mirror::to(&far)).open().unwrap();
            for state in 1..=2 {
                checkpoints.save(&state).unwrap();
                checkpoints.wait_for_mirror(Duration::from_secs(600)).unwrap();
            }
            drop(checkpoints);
            let finished = builder().open().unwrap().finish(&3).unwrap();
            disk.plan(fault);
            let _ = finished.remove();
            let operations = disk.asked();
            disk.plan(None);
            let opened = builder().mirror(Mirror::to(&far)).open();
            (operations, opened.and_then(|mut checkpoints| checkpoints.load()))
        };
        let operations = removed_with(None).0;
        assert!(operations.len() > 8, "{operations:?}");
        for (place, operation) in operations.iter().enumerate() {
            let loaded = removed_with(Some((place, Fault::Error(EIO)))).1;
            let loaded = loaded.unwrap_or_else(|error| panic!("{operation}: {error}"));
            assert!([Some(2), Some(3)].contains(&loaded), "{loaded:?} after {operation}");
        }
    }

    #[test]
    fn a_pin_during_the_removal_keeps_what_is_read() {
        for generation in [4, 5] {
            let removed_with = |fault| {
                let parent = tempfile::tempdir().unwrap();
                let path = parent.path().join("run.ckpt");
                let disk = FaultyDisk::default();
                let mut checkpoints =
                    Checkpointer::<u64>::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
                for state in 1..=5 {
                    checkpoints.save(&state).unwrap();
                }
                let finished = checkpoints.finish(&5).unwrap();
                let file = path.join(format!("{generation:020}.ckpt"));
                let reader = fs::File::open(&file).unwrap();
                reader.lock_shared().unwrap();
                disk.plan(fault);
                (finished.remove(), disk.asked(), fs::exists(file).unwrap(), parent)
            };
            let (removed, operations, is_there, _parent) = removed_with(None);
            assert!(removed.is_ok() && !is_there);
            let name = format!("{generation:020}.ckpt");
            let last = operations.iter().rposition(|operation| operation.ends_with(&name)).unwrap();
            let (removed, operations, is_there, _parent) = removed_with(Some((last, Fault::Pinned)));
            assert!(is_there, "{operations:?}");
            assert!(matches!(removed, Err(Error::Pinned { .. })), "{removed:?}");
        }
    }
}
