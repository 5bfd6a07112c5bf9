//! What the near level remembers of its mirror: small files beside the generations.
//!
//! Retention removes generations on both levels, so the two may have none in common. A record tells
//! that a generation was sent, and by its [likeness](Likeness) which one. It is written before the
//! generation gets its name at the mirror, and marked once it has it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::Error;
use crate::store::likeness::Likeness;
use crate::store::local::Disk;
use crate::store::name;

/// The greatest length of a record.
const LONGEST: u64 = 1024;

/// The number of generations that are remembered.
const REMEMBERED: usize = 4;

/// A generation that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) generation: u64,
    pub(super) likeness: Likeness,
    /// True if the mirror has acknowledged it.
    pub(super) has_arrived: bool,
}

/// The records of a directory for one mirror.
#[derive(Debug)]
pub(crate) struct Records {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    key: String,
}

impl Records {
    pub(crate) fn new(disk: Arc<dyn Disk>, directory: &Path, mirror: &Path) -> Records {
        Records { disk, directory: directory.to_owned(), key: name::mirror_key(mirror) }
    }

    /// The records, oldest first. A damaged one counts as absent.
    pub(super) fn all(&self) -> Result<Vec<Record>, Error> {
        let names = match self.disk.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|source| Error::io("list", &self.directory, source))?,
        };
        let mut records = Vec::new();
        for name in names {
            let Some((generation, has_arrived)) = name::mirrored(&name, &self.key) else { continue };
            let path = self.directory.join(&name);
            let bytes = match self.read(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                bytes => bytes.map_err(|source| Error::io("read", &path, source))?,
            };
            if let Ok(likeness) = serde_json::from_slice(&bytes) {
                records.push(Record { generation, likeness, has_arrived });
            }
        }
        records.sort_by_key(|record| (record.generation, record.has_arrived));
        Ok(records)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.disk.open(path)?;
        let mut bytes = vec![0; usize::try_from(file.length().min(LONGEST)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Records, durably, that a generation is about to get its name at the mirror.
    pub(super) fn announce(&self, generation: u64, likeness: &Likeness) -> Result<(), Error> {
        let path = self.path(generation, false);
        let bytes = serde_json::to_vec(likeness).unwrap_or_default();
        // An earlier attempt left one.
        self.remove(&path)?;
        self.disk.create_small(&path, &bytes).map_err(|source| Error::writing("create", &path, source))?;
        self.sync()
    }

    /// Records that the mirror has an announced generation, and forgets older ones.
    pub(super) fn confirm(&self, generation: u64) -> Result<(), Error> {
        let (sent, mirrored) = (self.path(generation, false), self.path(generation, true));
        self.remove(&mirrored)?;
        let renamed = self.disk.rename(&sent, &mirrored);
        renamed.map_err(|source| Error::writing("rename", &sent, source))?;
        let records = self.all()?;
        for record in records.iter().rev().skip(REMEMBERED) {
            self.remove(&self.path(record.generation, record.has_arrived))?;
        }
        self.sync()
    }

    /// Records that the mirror has a generation that came from there, unless that is known.
    pub(super) fn note(&self, generation: u64, likeness: &Likeness) -> Result<(), Error> {
        let is_it = |record: &Record| {
            (record.generation, record.has_arrived, &record.likeness) == (generation, true, likeness)
        };
        if self.all()?.iter().any(is_it) {
            return Ok(());
        }
        self.announce(generation, likeness)?;
        self.confirm(generation)
    }

    /// Forgets the generations after this one, which the mirror gave up.
    pub(super) fn forget_newer(&self, generation: u64) -> Result<(), Error> {
        for record in self.all()?.iter().filter(|record| record.generation > generation) {
            self.remove(&self.path(record.generation, record.has_arrived))?;
        }
        self.sync()
    }

    fn path(&self, generation: u64, has_arrived: bool) -> PathBuf {
        self.directory.join(name::of_mirrored(generation, &self.key, has_arrived))
    }

    fn remove(&self, path: &Path) -> Result<(), Error> {
        match self.disk.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::writing("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    fn sync(&self) -> Result<(), Error> {
        let synced = self.disk.sync_directory(&self.directory);
        synced.map_err(|source| Error::writing("sync", &self.directory, source))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::container::Memory;
    use crate::store::RealDisk;

    #[test]
    fn records_are_of_one_mirror_and_only_the_last_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let of =
            |mirror: &str| Records::new(Arc::new(RealDisk::default()), directory.path(), Path::new(mirror));
        let (near, other) = (of("/a"), of("/b"));
        let likeness = |number: u64| Likeness::of(&Memory(number.to_le_bytes().to_vec())).unwrap();
        for generation in 1..=9 {
            near.announce(generation, &likeness(generation)).unwrap();
            near.announce(generation, &likeness(generation)).unwrap();
            near.confirm(generation).unwrap();
        }
        near.announce(10, &likeness(10)).unwrap();
        assert_eq!(other.all().unwrap(), []);
        let all = near.all().unwrap();
        assert_eq!(all.iter().map(|record| record.generation).collect::<Vec<_>>(), [6, 7, 8, 9, 10]);
        assert_eq!(all[3], Record { generation: 9, likeness: likeness(9), has_arrived: true });
        assert!(!all[4].has_arrived);
        std::fs::write(near.path(9, true), "damage").unwrap();
        assert_eq!(near.all().unwrap().len(), 4);
        near.forget_newer(7).unwrap();
        assert_eq!(near.all().unwrap().len(), 2);
    }
}
