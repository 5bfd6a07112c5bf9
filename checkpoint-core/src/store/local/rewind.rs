//! Rewinds: a generation becomes the newest, and those after it are set aside until they are
//! brought back.
//!
//! A generation that is set aside keeps its file, under a name that also has the number of its
//! parent: the generation before it. So the names alone tell how the runs parted, and a rewind to a
//! generation that is aside brings back the generations on the way to it, and no others:
//!
//! ```text
//! 40 41 42 43          rewind to 40 ▶ 40,          aside 41←40 42←41 43←42
//! 40 44 45             rewind to 43 ▶ 40 41 42 43, aside 44←40 45←44
//! ```
//!
//! A load finds the newest of before or the target after each single step, also after a power cut,
//! and none in between: their files that grow with the run may have lost what they count on. First
//! the target comes back, then those on the way to it; then the newer ones go, the newest of them
//! last, once all else is durable. Nothing is removed, and a number that is aside is not used for
//! another generation.
//!
//! Invariant: a parent is there or aside, or it is 0. So those that a removal takes away leave
//! their parent to their children first. The parent of a generation that is there is the next lower
//! one there. During a rewind it may be another one for a moment: an empty file for each such
//! generation, `<20 digits>.parent-<parent>`, keeps its parent. A rewind that was cut short has
//! lost nothing of the tree. The next start finds the notes, and takes it back, or ends it if the
//! target is the newest by now. One that failed is taken back at once, and, where that fails too,
//! before the next save. Until then nothing is removed: what was aside may be there, and retention
//! would take it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::Directory;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::outcome::Rewound;
use crate::store::{Home as _, name};

/// The file of a generation that a rewind set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RewoundFile {
    pub(crate) path: PathBuf,
    /// Its path as a generation.
    generation: PathBuf,
    /// The generation before it; 0 where there was none.
    parent: u64,
}

/// The generations of a directory, and how they follow on each other.
#[derive(Debug)]
struct Lineage {
    there: BTreeSet<u64>,
    aside: BTreeMap<u64, RewoundFile>,
    /// The parents of generations that are there, where the next lower one is not the parent.
    noted: BTreeMap<u64, u64>,
}

impl Lineage {
    /// The generation before this one; 0 where there is none.
    fn parent(&self, generation: u64) -> u64 {
        let lower = || self.there.range(..generation).next_back().copied().unwrap_or(0);
        match (self.there.contains(&generation), self.aside.get(&generation)) {
            (false, Some(file)) => file.parent,
            _ => self.noted.get(&generation).copied().unwrap_or_else(lower),
        }
    }

    fn has(&self, generation: u64) -> bool {
        self.there.contains(&generation) || self.aside.contains_key(&generation)
    }

    /// A generation and all those before it that exist, newest first. Each parent has a lower
    /// number.
    fn chain(&self, generation: u64) -> impl Iterator<Item = u64> + '_ {
        std::iter::successors(Some(generation), |next| {
            Some(self.parent(*next)).filter(|parent| parent < next)
        })
        .take_while(|next| self.has(*next))
    }
}

impl Directory {
    /// The files of generations that rewinds set aside.
    pub(crate) fn files_rewound(&self) -> Result<BTreeMap<u64, RewoundFile>, Error> {
        Ok(self.files_rewound_in(&self.names()?))
    }

    fn files_rewound_in(&self, names: &[OsString]) -> BTreeMap<u64, RewoundFile> {
        let files = names.iter().filter_map(|name| {
            let found = name::rewound(name)?;
            let (path, generation) = (self.path.join(name), self.path.join(found.name));
            Some((found.generation, RewoundFile { path, generation, parent: found.parent }))
        });
        files.collect()
    }

    fn lineage(&self) -> Result<Lineage, Error> {
        let there = self.generations()?.into_iter().collect();
        let names = self.names()?;
        let aside = self.files_rewound_in(&names);
        let noted = names.iter().filter_map(|name| name::parent(name)).collect();
        Ok(Lineage { there, aside, noted })
    }

    /// Makes a generation the newest, see [`Claim::rewind`](crate::store::Claim::rewind).
    pub(super) fn rewind(&self, generation: u64, durable: bool) -> Result<Rewound, Error> {
        self.check_writable()?;
        let before = self.lineage()?;
        let Lineage { there, aside, .. } = &before;
        if !before.has(generation) {
            let available = there.iter().chain(aside.keys()).copied().collect::<BTreeSet<_>>();
            let (path, available) = (self.path.clone(), available.into_iter().collect());
            return Err(Error::NoSuchGeneration { path, generation, available });
        }
        let (stays, mut back): (BTreeSet<u64>, BTreeSet<u64>) =
            before.chain(generation).partition(|next| there.contains(next));
        let goes: Vec<u64> = there.difference(&stays).copied().collect();
        let brought_back: Vec<u64> = back.iter().copied().collect();
        let moving: BTreeSet<u64> = goes.iter().chain(&back).copied().collect();
        let mut has_notes = false;
        for child in &moving {
            let parent = before.parent(*child);
            // Otherwise its parent is the next lower one there all the time.
            if moving.range(..child).next_back().is_some_and(|lower| *lower >= parent) {
                self.note_parent(*child, parent)?;
                has_notes = true;
            }
        }
        if has_notes {
            self.sync_if(durable)?;
        }
        if back.remove(&generation) {
            self.bring_back(aside, generation)?;
            self.sync_if(durable)?;
        }
        for back in &back {
            self.bring_back(aside, *back)?;
        }
        if let Some((newest, older)) = goes.split_last() {
            for older in older {
                self.set_rewound(*older, before.parent(*older))?;
            }
            self.sync_if(durable)?;
            self.set_rewound(*newest, before.parent(*newest))?;
        }
        // A call before this one may have failed before its sync.
        self.sync_if(durable)?;
        // This comes last: until then, a second call goes by the notes.
        self.forget_parents()?;
        Ok(Rewound::new(generation, goes, brought_back))
    }

    /// Ends a rewind that was cut short: takes it back where the newest is not its target yet, so
    /// that what comes next goes on from one line. Returns the names that the directory has then. A
    /// failure costs nothing of the tree.
    pub(super) fn end_rewind(&self, durable: bool) -> Result<Vec<OsString>, Error> {
        if let Some(newest) = self.generations()?.last()
            && let Err(error) = self.rewind(*newest, durable)
        {
            warn(format!(
                "a rewind of {} that was cut short cannot be taken back: {error}; rewind once more, to the generation \
                 that you want",
                self.path.display()
            ));
        }
        self.names()
    }

    /// Leaves the children of a generation that is removed to its parent.
    pub(crate) fn leave_children(&self, generation: u64, durable: bool) -> Result<(), Error> {
        let mut lineage = self.lineage()?;
        let parent = lineage.parent(generation);
        let was_there = lineage.there.remove(&generation);
        for file in lineage.aside.values().filter(|file| file.parent == generation) {
            let name = file.generation.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let to = self.path.join(name::of_rewound(name, parent));
            let renamed = self.disk.rename(&file.path, &to);
            renamed.map_err(|source| Error::writing("rename", &file.path, source))?;
        }
        for (child, _) in lineage.noted.iter().filter(|(_, noted)| **noted == generation) {
            self.note_parent(*child, parent)?;
            self.remove_note(&name::of_parent(*child, generation))?;
        }
        // A child that is there goes by the next lower one there, which may be of another run.
        if let Some(child) = lineage.there.range(generation..).next().filter(|_| was_there)
            && lineage.parent(*child) != parent
            && !lineage.noted.contains_key(child)
        {
            self.note_parent(*child, parent)?;
        }
        self.sync_if(durable)
    }

    /// The generations whose removal changes what the names tell.
    pub(super) fn parents(&self) -> Result<BTreeSet<u64>, Error> {
        Ok(parents_in(&self.names()?))
    }

    /// Notes the parent of a generation that is there, or that will be.
    fn note_parent(&self, child: u64, parent: u64) -> Result<(), Error> {
        let path = self.path.join(name::of_parent(child, parent));
        match self.disk.create_small(&path, b"") {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(Error::writing("create", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Removes the notes that tell nothing else than the names of the generations.
    fn forget_parents(&self) -> Result<(), Error> {
        let Lineage { there, aside, noted } = self.lineage()?;
        let plain = Lineage { there, aside, noted: BTreeMap::new() };
        for (child, parent) in noted {
            if !plain.there.contains(&child) || plain.parent(child) == parent {
                self.remove_note(&name::of_parent(child, parent))?;
            }
        }
        Ok(())
    }

    fn remove_note(&self, name: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        self.disk.remove(&path).map_err(|source| Error::writing("remove", &path, source))
    }

    fn set_rewound(&self, generation: u64, parent: u64) -> Result<(), Error> {
        let from = self.location(generation);
        let failed = |source| Error::writing("rename", &from, source);
        self.remove_replaced(generation).map_err(failed)?;
        let name = from.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.disk.rename(&from, &self.path.join(name::of_rewound(name, parent))).map_err(failed)
    }

    fn bring_back(&self, aside: &BTreeMap<u64, RewoundFile>, generation: u64) -> Result<(), Error> {
        let Some(file) = aside.get(&generation) else { return Ok(()) };
        let renamed = self.disk.rename(&file.path, &file.generation);
        renamed.map_err(|source| Error::writing("rename", &file.path, source))
    }

    /// True if the program has rewound to this generation, and to no other since.
    pub(super) fn has_note(&self, generation: u64) -> bool {
        self.disk.exists(&self.path.join(name::of_rewind(generation)))
    }

    /// Notes a rewind of the program, in the place of earlier notes. If that is cut short, the next
    /// start rewinds once more, and no save has come in between.
    pub(super) fn note_rewind(&self, generation: u64, durable: bool) -> Result<(), Error> {
        for name in self.names()?.iter().filter(|name| name::rewind(name).is_some()) {
            let path = self.path.join(name);
            self.disk.remove(&path).map_err(|source| Error::writing("remove", &path, source))?;
        }
        let path = self.path.join(name::of_rewind(generation));
        self.disk.create_small(&path, b"").map_err(|source| Error::writing("create", &path, source))?;
        self.sync_if(durable)
    }

    pub(super) fn sync_if(&self, durable: bool) -> Result<(), Error> {
        let path: &Path = &self.path;
        if !durable {
            return Ok(());
        }
        self.disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))
    }
}

/// The generations whose removal changes what the names tell, in a directory with these names.
pub(super) fn parents_in(names: &[OsString]) -> BTreeSet<u64> {
    let aside = names.iter().filter_map(|name| Some(name::rewound(name)?.parent));
    let noted = names.iter().filter_map(|name| name::parent(name));
    aside.chain(noted.flat_map(|(child, parent)| [child, parent])).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::store::{Claiming, RealDisk};

    #[test]
    fn a_removal_leaves_children_to_the_parent() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(parent.path(), Arc::new(RealDisk::default()));
        // A rewind to 2, whose parent is 1, was cut short, and the program went on from 7.
        for generation in [2, 7, 8] {
            fs::write(parent.path().join(name::of_generation(generation)), "").unwrap();
        }
        for (generation, of) in [(1, 0), (9, 7)] {
            let name = name::of_rewound(&name::of_generation(generation), of);
            fs::write(parent.path().join(name), "").unwrap();
        }
        directory.note_parent(2, 1).unwrap();
        directory.note_parent(7, 0).unwrap();
        directory.leave_children(7, true).unwrap();
        fs::remove_file(directory.location(7)).unwrap();
        let lineage = directory.lineage().unwrap();
        assert_eq!([1, 2, 8, 9].map(|generation| lineage.parent(generation)), [0, 1, 0, 0]);
        // A start takes the rewind back.
        let mut claim = directory.claim(&Claiming::default()).unwrap();
        assert_eq!(directory.generations().unwrap(), [8]);
        assert_eq!(claim.rewind(2, false).unwrap().brought_back, [1, 2]);
        let names = directory.names().unwrap();
        assert!(names.iter().all(|name| name::parent(name).is_none()), "{names:?}");
    }
}
