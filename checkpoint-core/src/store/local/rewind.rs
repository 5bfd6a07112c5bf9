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
//! A load finds a generation after each single step, also after a power cut: the newer ones go
//! first, from the newest on, and only then do others come back, from the oldest on. Nothing is
//! removed, and a number that is aside is not used for another generation.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::Directory;
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

impl Directory {
    /// The files of generations that rewinds set aside.
    pub(crate) fn files_rewound(&self) -> Result<BTreeMap<u64, RewoundFile>, Error> {
        let names = self.names()?;
        let files = names.iter().filter_map(|name| {
            let found = name::rewound(name)?;
            let (path, generation) = (self.path.join(name), self.path.join(found.name));
            Some((found.generation, RewoundFile { path, generation, parent: found.parent }))
        });
        Ok(files.collect())
    }

    /// Makes a generation the newest, see [`Claim::rewind`](crate::store::Claim::rewind).
    pub(super) fn rewind(&self, generation: u64, note: bool, durable: bool) -> Result<Rewound, Error> {
        self.check_writable()?;
        let there: BTreeSet<u64> = self.generations()?.into_iter().collect();
        let aside = self.files_rewound()?;
        let mut back = Vec::new();
        let mut stays = generation;
        // Each parent has a lower number.
        while let Some(file) = aside.get(&stays).filter(|_| !there.contains(&stays)) {
            back.push(stays);
            stays = file.parent;
        }
        if back.is_empty() && !there.contains(&generation) {
            let available = there.into_iter().chain(aside.into_keys()).collect::<BTreeSet<_>>();
            let (path, available) = (self.path.clone(), available.into_iter().collect());
            return Err(Error::NoSuchGeneration { path, generation, available });
        }
        // Retention may have removed the last parent: the older ones were before it too.
        let newer: Vec<u64> = there.range((Bound::Excluded(stays), Bound::Unbounded)).copied().collect();
        let brought_back: Vec<u64> = back.iter().rev().copied().collect();
        if newer.len() == there.len() && !back.is_empty() {
            // Otherwise a load would find nothing at all in between.
            self.bring_back(&aside, generation)?;
            back.remove(0);
            self.sync_if(durable)?;
        }
        for newer in newer.iter().rev() {
            let parent = there.range(..newer).next_back().copied().unwrap_or(0);
            self.set_rewound(*newer, parent)?;
        }
        if !back.is_empty() {
            self.sync_if(durable)?;
        }
        for back in back.into_iter().rev() {
            self.bring_back(&aside, back)?;
        }
        self.sync_if(durable)?;
        if note {
            self.note(generation, durable)?;
        }
        Ok(Rewound::new(generation, newer, brought_back))
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
    fn note(&self, generation: u64, durable: bool) -> Result<(), Error> {
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
