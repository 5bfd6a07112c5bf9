//! What the near level remembers of its mirror: empty files beside the generations.
//!
//! Retention removes generations on both levels, so the two may have none in common. A record tells
//! that a generation was sent, and by its [likeness](Likeness) which one. It is made before the
//! generation gets its name at the mirror, and renamed once it has it.
//!
//! What came from the mirror is recorded too, with the older generations beside it there. The
//! directory goes on from all of these, as from those that it sent: a mirror whose newest one is
//! one of them is at most as far. The file of an older one is not read, and may be damaged: a
//! record is no promise that a file is whole.
//!
//! All of a record is its name: on a full disk, where the mirror is the only place for more, a new
//! record is an old one under another name.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compare::likeness as likeness_at;
use crate::error::Error;
use crate::store::home::Home;
use crate::store::likeness::Likeness;
use crate::store::local::Disk;
use crate::store::name;

/// The number of newest generations that are remembered.
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

    /// The records, oldest first.
    pub(super) fn all(&self) -> Result<Vec<Record>, Error> {
        let names = self.names()?;
        let record = |name: &OsString| {
            let (generation, has_arrived, file) = name::mirrored(name, &self.key)?;
            Some(Record { generation, likeness: Likeness::from_name(file)?, has_arrived })
        };
        let mut records: Vec<Record> = names.iter().filter_map(record).collect();
        records.sort_by_key(|record| (record.generation, record.has_arrived));
        Ok(records)
    }

    fn names(&self) -> Result<Vec<OsString>, Error> {
        match self.disk.list(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(|source| Error::io("list", &self.directory, source)),
        }
    }

    /// The generation of another directory that this one was made of; `None` if it was made of
    /// none.
    pub(super) fn branched_at(&self) -> Result<Option<u64>, Error> {
        Ok(self.names()?.iter().filter_map(|name| name::branch(name)).max())
    }

    /// Records, durably, that a generation is about to get its name at the mirror, which has these.
    pub(super) fn announce(
        &self,
        generation: u64,
        likeness: &Likeness,
        there: &BTreeSet<u64>,
    ) -> Result<(), Error> {
        let record = Record { generation, likeness: likeness.clone(), has_arrived: false };
        let mut records = self.all()?;
        // An earlier attempt may have left it.
        if let Some(place) = records.iter().position(|known| *known == record) {
            records.remove(place);
        } else {
            let spare = self.spares(&records, generation, there, REMEMBERED).into_iter().next();
            let path = self.path(&record);
            match (&spare, self.create(spare.as_ref(), &path)) {
                (None, Err(error)) if is_full(&error) => {
                    let spare = self.spares(&records, generation, there, 0).into_iter().next();
                    let Some(spare) = spare else { return Err(Error::writing("create", &path, error)) };
                    self.create(Some(&spare), &path).map_err(|_| Error::writing("create", &path, error))?;
                    records.retain(|known| *known != spare);
                }
                (_, created) => created.map_err(|source| Error::writing("create", &path, source))?,
            }
            records.retain(|known| Some(known) != spare.as_ref());
        }
        for old in self.spares(&records, generation, there, REMEMBERED) {
            self.remove(&self.path(&old))?;
        }
        self.sync()
    }

    /// Gives a spare record this path, or creates one.
    fn create(&self, spare: Option<&Record>, path: &Path) -> io::Result<()> {
        match spare {
            Some(spare) => self.disk.rename(&self.path(spare), path),
            None => self.disk.create_small(path, &[]),
        }
    }

    /// The records without a use, oldest first: those of an earlier attempt with this generation,
    /// and those besides the newest ones, unless the mirror may still be told by them.
    fn spares(
        &self,
        records: &[Record],
        generation: u64,
        there: &BTreeSet<u64>,
        remembered: usize,
    ) -> Vec<Record> {
        let last = records.iter().rfind(|record| record.has_arrived);
        let is_spare = |place: usize, record: &Record| {
            let is_of_attempt = record.generation == generation && !record.has_arrived;
            let is_old = place + remembered < records.len() && !there.contains(&record.generation);
            is_of_attempt || is_old && Some(record) != last
        };
        let spares = records.iter().enumerate().filter(|(place, record)| is_spare(*place, record));
        spares.map(|(_, record)| record.clone()).collect()
    }

    /// Records that the mirror has an announced generation, and forgets older ones.
    pub(super) fn confirm(&self, generation: u64, likeness: &Likeness) -> Result<(), Error> {
        let record = |has_arrived| Record { generation, likeness: likeness.clone(), has_arrived };
        let (sent, mirrored) = (self.path(&record(false)), self.path(&record(true)));
        // It may have arrived before, and was sent again.
        self.remove(&mirrored)?;
        let renamed = self.disk.rename(&sent, &mirrored);
        renamed.map_err(|source| Error::writing("rename", &sent, source))?;
        let records = self.all()?;
        for old in records.iter().rev().skip(REMEMBERED) {
            self.remove(&self.path(old))?;
        }
        self.sync()
    }

    /// True if it is recorded that a generation with this file has arrived.
    fn has(&self, generation: u64, likeness: &Likeness) -> Result<bool, Error> {
        let is_it = |record: &Record| {
            (record.generation, record.has_arrived, &record.likeness) == (generation, true, likeness)
        };
        Ok(self.all()?.iter().any(is_it))
    }

    /// Records that the mirror has a generation, unless that is known.
    fn note(&self, generation: u64, likeness: &Likeness, there: &BTreeSet<u64>) -> Result<(), Error> {
        if self.has(generation, likeness)? {
            return Ok(());
        }
        self.announce(generation, likeness, there)?;
        self.confirm(generation, likeness)
    }

    /// Records that the mirror has a generation that came from there, and which older ones it has:
    /// this one goes on from them, and the mirror may lose the newer ones. That an older one cannot
    /// be recorded is no failure.
    pub(super) fn note_with_older(
        &self,
        generation: u64,
        likeness: &Likeness,
        far: &dyn Home,
        there: &BTreeSet<u64>,
    ) -> Result<(), Error> {
        if self.has(generation, likeness)? {
            return Ok(());
        }
        // It goes first: it alone tells the usual case.
        self.note(generation, likeness, there)?;
        for older in there.range(..generation).rev().take(REMEMBERED - 1) {
            let noted = likeness_at(far, *older)
                .and_then(|file| file.map_or(Ok(()), |file| self.note(*older, &file, there)));
            if let Err(error) = noted {
                tracing::debug!(generation = older, %error, "not recorded");
                break;
            }
        }
        Ok(())
    }

    /// Records a generation that the mirror has, and keeps while newer ones go. It is older than
    /// those that are remembered, so none of them goes for it. On a full disk it takes the place of
    /// the oldest, but not of the last: then it has none until the others are gone.
    pub(super) fn note_what_stays(&self, generation: u64, likeness: &Likeness) -> Result<(), Error> {
        if self.has(generation, likeness)? {
            return Ok(());
        }
        let record = Record { generation, likeness: likeness.clone(), has_arrived: true };
        let path = self.path(&record);
        match self.create(None, &path) {
            Err(error) if is_full(&error) => {
                let records = self.all()?;
                let [oldest, _, ..] = &records[..] else { return Ok(()) };
                self.create(Some(oldest), &path).map_err(|_| Error::writing("create", &path, error))?;
            }
            created => created.map_err(|source| Error::writing("create", &path, source))?,
        }
        self.sync()
    }

    /// Forgets the generations after this one, which the mirror gave up, and records the newest
    /// that it has left. There is a record all the time.
    pub(super) fn go_back(&self, generation: u64, left: Option<(u64, Likeness)>) -> Result<(), Error> {
        let records = self.all()?;
        let left = left.map(|(generation, likeness)| Record { generation, likeness, has_arrived: true });
        let left = left.filter(|left| !records.contains(left));
        let mut newer: Vec<&Record> =
            records.iter().filter(|record| record.generation > generation).collect();
        let spare = if left.is_some() { newer.pop() } else { None };
        for record in newer {
            self.remove(&self.path(record))?;
        }
        if let Some(left) = left {
            let path = self.path(&left);
            self.create(spare, &path).map_err(|source| Error::writing("create", &path, source))?;
        }
        self.sync()
    }

    fn path(&self, record: &Record) -> PathBuf {
        let Record { generation, likeness, has_arrived } = record;
        self.directory.join(name::of_mirrored(*generation, &self.key, *has_arrived, &likeness.to_name()))
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

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::container::Memory;
    use crate::store::RealDisk;
    use crate::store::faults::{ENOSPC, Fault, FaultyDisk};

    fn likeness(number: u64) -> Likeness {
        Likeness::of(&Memory(number.to_le_bytes().to_vec())).unwrap()
    }

    fn none() -> BTreeSet<u64> {
        BTreeSet::new()
    }

    fn numbers(records: &Records) -> Vec<u64> {
        records.all().unwrap().iter().map(|record| record.generation).collect()
    }

    #[test]
    fn records_are_of_one_mirror_and_only_the_last_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let of =
            |mirror: &str| Records::new(Arc::new(RealDisk::default()), directory.path(), Path::new(mirror));
        let (near, other) = (of("/a"), of("/b"));
        for generation in 1..=9 {
            near.announce(generation, &likeness(100), &none()).unwrap();
            near.announce(generation, &likeness(generation), &none()).unwrap();
            near.announce(generation, &likeness(generation), &none()).unwrap();
            near.confirm(generation, &likeness(generation)).unwrap();
        }
        near.announce(10, &likeness(10), &none()).unwrap();
        assert_eq!(other.all().unwrap(), []);
        assert_eq!(numbers(&near), [6, 7, 8, 9, 10]);
        let all = near.all().unwrap();
        assert_eq!(all[3], Record { generation: 9, likeness: likeness(9), has_arrived: true });
        assert!(!all[4].has_arrived);
        near.go_back(8, Some((8, likeness(8)))).unwrap();
        assert_eq!(numbers(&near), [6, 7, 8]);
        near.go_back(3, Some((3, likeness(3)))).unwrap();
        assert_eq!(near.all().unwrap(), [Record { generation: 3, likeness: likeness(3), has_arrived: true }]);
        near.go_back(0, None).unwrap();
        assert_eq!(numbers(&near), [0; 0]);
    }

    #[test]
    fn what_a_mirror_may_have_is_remembered_and_the_rest_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let records = Records::new(Arc::new(RealDisk::default()), directory.path(), Path::new("/a"));
        records.announce(1, &likeness(1), &none()).unwrap();
        records.confirm(1, &likeness(1)).unwrap();
        // The answer for the third one was lost, and none of the others arrived.
        for generation in 2..=50 {
            let there = if generation > 3 { [1, 3].into() } else { [1].into() };
            records.announce(generation, &likeness(generation), &there).unwrap();
        }
        assert_eq!(numbers(&records), [1, 3, 46, 47, 48, 49, 50]);
    }

    #[test]
    fn what_stays_is_remembered_on_a_full_disk_too() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let records = Records::new(Arc::new(disk.clone()), directory.path(), Path::new("/a"));
        let stays = |is_full: bool, generation: u64| {
            disk.plan(is_full.then_some((0, Fault::Error(ENOSPC))));
            records.note_what_stays(generation, &likeness(generation)).unwrap();
            disk.plan(None);
            numbers(&records)
        };
        for generation in [7, 9] {
            records.announce(generation, &likeness(generation), &none()).unwrap();
            records.confirm(generation, &likeness(generation)).unwrap();
        }
        assert_eq!(stays(false, 5), [5, 7, 9]);
        assert_eq!(stays(false, 5), [5, 7, 9]);
        assert_eq!(stays(true, 4), [4, 7, 9]);
        records.go_back(3, Some((3, likeness(3)))).unwrap();
        assert_eq!(stays(true, 2), [3], "the last one stays");
    }

    #[test]
    fn a_full_disk_keeps_no_generation_from_its_mirror() {
        let directory = tempfile::tempdir().unwrap();
        let disk = FaultyDisk::default();
        let records = Records::new(Arc::new(disk.clone()), directory.path(), Path::new("/a"));
        for generation in 1..=2 {
            records.announce(generation, &likeness(generation), &none()).unwrap();
            records.confirm(generation, &likeness(generation)).unwrap();
        }
        disk.plan(Some((0, Fault::Error(ENOSPC))));
        records.announce(3, &likeness(3), &[2].into()).unwrap();
        assert_eq!(numbers(&records), [2, 3]);
        for generation in 4..=9 {
            records.announce(generation, &likeness(generation), &[2].into()).unwrap();
        }
        // Where enough of them are there, none is made.
        disk.plan(None);
        records.announce(10, &likeness(10), &[2].into()).unwrap();
        assert_eq!(numbers(&records), [2, 6, 7, 8, 9, 10]);
        let made = disk.asked().into_iter().filter(|operation| operation.starts_with("create"));
        assert_eq!(made.count(), 0);
    }
}
