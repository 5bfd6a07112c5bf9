//! The writing side of a home: there is one at a time. It numbers the saves, and keeps the rules of
//! retention.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::guard::Guard;
use super::home::{Claim, Claiming, Draft, Home, Published, Sealed};
use super::local::Disk;
use super::retention::{Metrics, Retention};
use crate::base::warnings::warn;
use crate::container::{Compression, Manifest, Refusal, Source};
use crate::error::Error;
use crate::outcome::Rewound;
use crate::seal::Protection;

/// The settings of a writer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The rules of retention.
    pub(crate) retention: Retention,
    /// The compression of its files; the store only passes it on.
    pub(crate) compression: Compression,
    /// The protection of its files; the store only passes it on.
    pub(crate) protection: Protection,
    /// True for the part of one member of a group: the group decides what is removed, and a save
    /// removes nothing.
    pub(crate) is_part: bool,
}

/// The number of saves after which the writer lists the directory again.
const LIST_EVERY: u32 = 100;

/// A home that only this program may save to, until dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    settings: Settings,
    claim: Box<dyn Claim>,
    /// The highest number that was ever tried, so that a save with an unknown outcome is never
    /// overwritten.
    last: u64,
    /// The existing generations, as far as this program knows: no other program saves here.
    known: BTreeSet<u64>,
    /// Those of them that are there to stay: they were there when the home was claimed, or their
    /// save returned `Ok`.
    lasting: BTreeSet<u64>,
    /// The number of saves since the directory was listed.
    since_listing: u32,
    /// Generations that a load found unusable. They do not count as kept.
    damaged: BTreeSet<u64>,
    /// Those of them that are whole, and that no load will use. Only the newest is worth its space.
    doubtful: BTreeSet<u64>,
    /// Those that the system did not give to a load, and that could not be pinned: they may be
    /// whole, and this run removes none of them, unless the program asks for it.
    unread: BTreeSet<u64>,
    /// The metrics of the existing generations, for retention.
    metrics: BTreeMap<u64, Metrics>,
    /// The last generation that was saved here.
    saved: Option<u64>,
    /// The last generation whose name is known to be that of a file of this writer, durable or not.
    published: Option<u64>,
}

impl Writer {
    /// Claims a home, and looks for the existing generations.
    pub(crate) fn open(home: &dyn Home, settings: Settings, claiming: &Claiming) -> Result<Writer, Error> {
        let claim = home.claim(claiming)?;
        let known: BTreeSet<u64> = claim.home().generations()?.into_iter().collect();
        // The number of a damaged generation that was moved away is not used for another one, nor
        // that of one that was lost here, and that a mirror has: it may be away just now.
        let last = known.last().copied().max(claim.home().set_aside()?.last().copied());
        Ok(Writer {
            last: last.unwrap_or(0).max(claim.home().last_sent()?),
            settings,
            claim,
            lasting: known.clone(),
            known,
            since_listing: 0,
            damaged: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            unread: BTreeSet::new(),
            metrics: BTreeMap::new(),
            saved: None,
            published: None,
        })
    }

    /// Ends a start that failed, and removes the directories that it made: `made` are those that
    /// were absent before, deepest first. One in which something is stays.
    pub(crate) fn leave(self, made: &[PathBuf], disk: &dyn Disk) {
        let is_empty =
            self.known.is_empty() && self.claim.home().generations().is_ok_and(|all| all.is_empty());
        if made.is_empty() || !is_empty {
            return;
        }
        if let Err(error) = self.claim.clear(false) {
            tracing::debug!(%error, "an empty directory stays");
        }
        for directory in made {
            let _ = disk.remove_directory(directory);
        }
    }

    /// The home, for reading.
    pub(crate) fn home(&self) -> &Arc<dyn Home> {
        self.claim.home()
    }

    /// The guard of the home.
    pub(crate) fn guard(&self) -> &Arc<Guard> {
        self.claim.guard()
    }

    /// The number of the claim, in a place without locks.
    pub(crate) fn job(&self) -> Option<u64> {
        self.claim.job()
    }

    /// Gives the claim a number of at least this one.
    pub(crate) fn raise_job(&mut self, at_least: u64) -> Result<(), Error> {
        self.guard().check()?;
        self.claim.raise_job(at_least)
    }

    /// Ends the removals of this program. Returns the generations that are there.
    pub(crate) fn settle(&mut self) -> Result<Vec<u64>, Error> {
        self.claim.settle()
    }

    /// The newest generation, as far as is known.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.known.last().copied()
    }

    /// Records generations that turned out to be unusable.
    pub(crate) fn mark_damaged(&mut self, generations: impl IntoIterator<Item = u64>) {
        self.damaged.extend(generations);
    }

    /// Records generations that the system did not give, that may be whole, and that could not be
    /// pinned: they stay.
    pub(crate) fn keep_unread(&mut self, generations: impl IntoIterator<Item = u64>) {
        self.unread.extend(generations);
    }

    /// Records a generation that is whole, and that no load will use. It never counts as kept.
    pub(crate) fn mark_doubtful(&mut self, generation: u64) {
        self.damaged.insert(generation);
        self.doubtful.insert(generation);
    }

    /// Records the metrics of a generation.
    pub(crate) fn note_metrics(&mut self, generation: u64, metrics: Metrics) {
        self.metrics.insert(generation, metrics);
    }

    /// The rules of retention.
    pub(crate) fn retention(&self) -> &Retention {
        &self.settings.retention
    }

    /// The number of the next save.
    pub(crate) fn next(&self) -> Result<u64, Error> {
        self.last.checked_add(1).ok_or_else(|| Error::NoMoreGenerations { path: self.path().to_owned() })
    }

    /// The existing generations, as far as this program knows.
    pub(crate) fn known(&self) -> &BTreeSet<u64> {
        &self.known
    }

    /// The highest number that was ever tried.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Gives the next save this number, if it is higher than the one that it would have.
    pub(crate) fn skip_to(&mut self, generation: u64) {
        self.last = self.last.max(generation.saturating_sub(1));
    }

    /// Starts a save. The caller has checked that this process claimed the home, and
    /// [`publish`](Writer::publish) checks it again.
    pub(crate) fn begin(&mut self, generation: u64) -> Result<Box<dyn Draft>, Error> {
        self.guard().check_place()?;
        self.take_rewind_back();
        self.guard().touch();
        self.claim.begin(generation)
    }

    /// The path of the home.
    pub(crate) fn path(&self) -> &Path {
        self.home().path()
    }

    /// The protection of saves.
    pub(crate) fn protection(&self) -> &Protection {
        &self.settings.protection
    }

    /// The last generation that was saved here.
    pub(crate) fn saved(&self) -> Option<u64> {
        self.saved
    }

    /// Makes a generation of an earlier run as durable as an acknowledged one of this run. Returns
    /// true if that is so. One of this run whose save failed is never durable: a second sync may
    /// report a false success.
    pub(crate) fn keep_for_good(&mut self, generation: u64) -> bool {
        let is_durable = self.lasting.contains(&generation)
            && self.guard().check().is_ok()
            && (self.saved == Some(generation) || self.claim.keep_for_good(generation).is_ok());
        if !is_durable {
            self.lasting.remove(&generation);
        }
        is_durable
    }

    /// The compression of saves.
    pub(crate) fn compression(&self) -> Compression {
        self.settings.compression
    }

    /// Ends a save: when this returns, the generation is durable. It removes no other;
    /// [`retire`](Writer::retire) does.
    pub(crate) fn publish(
        &mut self,
        sealed: Box<dyn Sealed>,
        generation: u64,
        metrics: Metrics,
    ) -> Result<(), Error> {
        self.guard().check()?;
        // Whatever the outcome, the number is used up.
        self.last = self.last.max(generation);
        let Published { is_there, outcome } = sealed.publish();
        // A file of another program may have the name.
        if is_there {
            self.known.insert(generation);
            self.published = Some(generation);
        }
        outcome?;
        // If another directory came in its place before the sync, that one was synced.
        self.guard().check_place()?;
        self.saved = Some(generation);
        self.lasting.insert(generation);
        self.metrics.insert(generation, metrics);
        Ok(())
    }

    /// Makes a copy of a generation from the mirror a generation. The caller knows that one with
    /// its number is damaged: it is moved out of the way.
    pub(crate) fn restore(
        &mut self,
        sealed: Box<dyn Sealed>,
        generation: u64,
        manifest: Option<&Manifest>,
    ) -> Result<(), Error> {
        self.guard().check()?;
        if self.home().has(generation) {
            self.claim.move_aside(generation)?;
        }
        let Published { is_there, outcome } = sealed.publish();
        self.last = self.last.max(generation);
        if is_there {
            self.known.insert(generation);
        }
        outcome?;
        self.guard().check_place()?;
        self.lasting.insert(generation);
        self.damaged.remove(&generation);
        let metrics = manifest.map(|manifest| self.settings.retention.metrics(manifest));
        self.metrics.insert(generation, metrics.unwrap_or(Metrics::Unread));
        Ok(())
    }

    /// Removes the generations that retention does not keep beside the newest; none of the part of
    /// one member of a group. A failure fails no save.
    pub(crate) fn retire(&mut self, newest: u64) {
        if self.settings.is_part {
            return;
        }
        // Another directory may have come in its place since the save was published.
        if let Err(error) = self.guard().check().and_then(|()| self.end_rewind()) {
            return warn(format!("no old generations are removed: {error}"));
        }
        if let Err(error) = self.look_again(Some(newest)) {
            return warn(format!("no old generations are removed, they cannot be looked for: {error}"));
        }
        // Newer generations are not of this program.
        let generations: Vec<u64> = self.known.range(..=newest).copied().collect();
        // Pins are checked when the name of a generation is taken away.
        let pinned = BTreeSet::new();
        let mut kept = self.settings.retention.kept(&generations, &self.damaged, &pinned, &self.metrics);
        // A step whose input changed saves many of these: they would fill the disk.
        let old = self.doubtful.range(..newest);
        old.for_each(|doubtful| drop(kept.remove(doubtful)));
        self.remove_all_but(|generation| kept.contains_key(&generation), generations);
    }

    /// Removes all generations but these: the group keeps no others. A failure fails no save.
    pub(crate) fn retire_all_but(&mut self, kept: &BTreeSet<u64>) {
        if let Err(error) = self.guard().check().and_then(|()| self.end_rewind()) {
            return warn(format!("no old generations are removed: {error}"));
        }
        self.remove_all_but(|generation| kept.contains(&generation), self.known.iter().copied().collect());
    }

    /// Removes the generation that was just saved: the group did not accept it. A file of another
    /// program under that name stays. A failure fails no save.
    pub(crate) fn take_back(&mut self, generation: u64) {
        if self.guard().check().is_ok() && self.published == Some(generation) {
            self.remove_all_but(|_| false, vec![generation]);
        }
    }

    /// Removes all generations after this one, and makes that durable. The newest goes last, once
    /// the others are gone: where that is cut short, a load finds it.
    pub(crate) fn discard_newer(&mut self, generation: u64) -> Result<(), Error> {
        self.guard().check()?;
        self.end_rewind()?;
        let generations = self.home().generations()?;
        if !generations.contains(&generation) {
            let path = self.path().to_owned();
            return Err(Error::NoSuchGeneration { path, generation, available: generations });
        }
        self.last = self.last.max(generations.last().copied().unwrap_or(0));
        self.learn(generations);
        let newer: Vec<u64> =
            self.known.range(generation..).copied().filter(|newer| *newer > generation).collect();
        if let Some(pinned) = self.home().pinned(&newer).last().copied() {
            let path = self.home().location(pinned);
            return Err(Error::NotDiscarded { path, generation: pinned });
        }
        if let Some((newest, older)) = newer.split_last() {
            older.iter().try_for_each(|older| self.discard(*older))?;
            self.claim.end_removals_after(generation, Some(*newest))?;
            self.discard(*newest)?;
        }
        self.claim.end_removals_after(generation, None)?;
        // If another directory came in its place, nothing was found there, and all is still here.
        self.guard().check_place()
    }

    fn discard(&mut self, generation: u64) -> Result<(), Error> {
        self.guard().check_place()?;
        let path = self.home().location(generation);
        match self.claim.remove(generation) {
            Ok(true) => self.forget(generation),
            Ok(false) => return Err(Error::NotDiscarded { path, generation }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.forget(generation),
            Err(source) => {
                // Another program may have taken the place over.
                self.guard().check()?;
                return Err(Error::writing("remove", &path, source));
            }
        }
        Ok(())
    }

    /// Makes a generation the newest, and sets those after it aside.
    pub(crate) fn rewind(&mut self, generation: u64, note: bool) -> Result<Rewound, Error> {
        self.guard().check()?;
        let rewound = self.claim.rewind(generation, note);
        // An error may come after some of them.
        let learned = self.learn_moved();
        let rewound = rewound?;
        learned?;
        self.lasting.extend(&rewound.brought_back);
        Ok(rewound)
    }

    /// Takes a rewind back that failed, if that is possible by now: what comes next goes on from
    /// the newest generation of before.
    pub(crate) fn take_rewind_back(&mut self) {
        if let Err(error) = self.end_rewind() {
            tracing::debug!(%error, "a rewind that failed is not taken back yet");
        }
    }

    /// The same; until that is done, no generation may be removed.
    fn end_rewind(&mut self) -> Result<(), Error> {
        if self.claim.end_rewind()? { self.learn_moved() } else { Ok(()) }
    }

    /// Takes what a rewind left for the existing generations.
    fn learn_moved(&mut self) -> Result<(), Error> {
        let generations = self.home().generations()?;
        let aside = self.home().set_aside()?;
        self.last = self.last.max(generations.last().max(aside.last()).copied().unwrap_or(0));
        let gone: Vec<u64> =
            self.known.iter().copied().filter(|known| !generations.contains(known)).collect();
        gone.into_iter().for_each(|gone| self.forget(gone));
        self.learn(generations);
        Ok(())
    }

    /// Takes a rewind of the program for done.
    pub(crate) fn note_rewind(&mut self, generation: u64) -> Result<(), Error> {
        self.guard().check()?;
        self.claim.note_rewind(generation)
    }

    /// Forgets a generation that is gone.
    fn forget(&mut self, generation: u64) {
        self.saved = self.saved.filter(|saved| *saved != generation);
        self.known.remove(&generation);
        self.lasting.remove(&generation);
        self.damaged.remove(&generation);
        self.doubtful.remove(&generation);
        self.unread.remove(&generation);
        self.metrics.remove(&generation);
    }

    /// Takes these for the existing generations. The metrics of those from elsewhere are unknown,
    /// so they stay: one may be the best.
    fn learn(&mut self, generations: Vec<u64>) {
        let there: BTreeSet<u64> = generations.into_iter().collect();
        if self.settings.retention.uses_manifests() {
            for new in there.difference(&self.known) {
                self.metrics.entry(*new).or_insert(Metrics::Unread);
            }
        }
        self.known = there;
        self.lasting.retain(|generation| self.known.contains(generation));
    }

    /// Lists the home. If a generation of another program is newer than all of this one, the next
    /// save is numbered after it: otherwise a restart would load that one, whatever was saved.
    pub(crate) fn list(&mut self) -> Result<(), Error> {
        let generations = self.home().generations()?;
        self.learn(generations);
        self.since_listing = 0;
        if let Some(newest) = self.newest().filter(|newest| *newest > self.last) {
            warn(format!(
                "{} is not from this run, and came while it saves: until the next save, a restart loads it; the \
                 next save is numbered after it; if it is from another run, move it away",
                self.home().location(newest).display()
            ));
            self.last = newest;
        }
        Ok(())
    }

    fn remove_all_but(&mut self, is_kept: impl Fn(u64) -> bool, generations: Vec<u64>) {
        for generation in generations.into_iter().filter(|generation| !is_kept(*generation)) {
            if self.unread.contains(&generation) {
                continue;
            }
            // Another directory may have come in its place since the last one.
            if let Err(error) = self.guard().check_place() {
                return warn(format!("no more old generations are removed: {error}"));
            }
            match self.claim.remove(generation) {
                Ok(true) => self.forget(generation),
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.forget(generation),
                Err(error) => {
                    let path = self.home().location(generation);
                    warn(format!(
                        "the old generation {} cannot be removed, the next save tries again: {error}",
                        path.display()
                    ));
                }
            }
        }
    }

    /// Removes, before a generation exists, the ones that retention would remove after it, to free
    /// their space. The newest that is durable stays, and must be whole. Returns true if a
    /// generation was removed.
    pub(crate) fn make_room(
        &mut self,
        coming: u64,
        is_whole: impl Fn(Box<dyn Source>) -> Result<(), Refusal>,
    ) -> Result<bool, Error> {
        self.guard().check()?;
        self.end_rewind()?;
        self.look_again(None)?;
        let mut generations: Vec<u64> = self.known.range(..coming).copied().collect();
        // One whose save failed may be gone after a power cut.
        let stays =
            |generation: &&u64| !self.damaged.contains(generation) && self.lasting.contains(generation);
        let Some(newest) = generations.iter().rfind(stays).copied() else { return Ok(false) };
        generations.push(coming);
        let pinned = BTreeSet::new();
        let mut kept = self.settings.retention.kept(&generations, &self.damaged, &pinned, &self.metrics);
        kept.entry(newest).or_default();
        if generations.iter().all(|generation| kept.contains_key(generation)) {
            return Ok(false);
        }
        if let Err(refusal) = self.home().open(newest).map_err(Refusal::Unreadable).and_then(is_whole) {
            let error = Error::refused(&self.home().location(newest), refusal);
            warn(format!(
                "no room is made for a save, because the newest generation must be whole for that: {error}"
            ));
            return Ok(false);
        }
        let before = self.known.len();
        self.remove_all_but(|generation| kept.contains_key(&generation), generations);
        Ok(self.known.len() < before)
    }

    /// Checks that the known generations exist, as far as retention counts on them: by a look at
    /// the newest ones, and now and then by listing the directory, which may have many other files.
    /// One that was just published exists.
    fn look_again(&mut self, published: Option<u64>) -> Result<(), Error> {
        self.since_listing += 1;
        if self.since_listing >= LIST_EVERY {
            self.list()?;
        }
        let mut there = 0;
        let mut gone = Vec::new();
        for generation in self.known.iter().rev().filter(|generation| !self.damaged.contains(generation)) {
            if there == self.settings.retention.last.get() {
                break;
            }
            if published == Some(*generation) || self.home().has(*generation) {
                there += 1;
            } else {
                gone.push(*generation);
            }
        }
        for generation in gone {
            self.known.remove(&generation);
            self.lasting.remove(&generation);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::store::retention::Facts;
    use crate::store::{Directory, RealDisk};

    fn writer(path: &Path, last: usize) -> Writer {
        let settings = Settings {
            retention: Retention::newest(NonZeroUsize::new(last).unwrap()),
            compression: Compression::default(),
            protection: Protection::new(),
            is_part: false,
        };
        let home = Directory::new(path, Arc::new(RealDisk::default()));
        let claiming = Claiming { durable: true, ..Claiming::default() };
        Writer::open(&home, settings, &claiming).unwrap()
    }

    fn save(writer: &mut Writer) -> Result<u64, Error> {
        let generation = writer.next()?;
        let draft = writer.begin(generation)?;
        writer.publish(draft.seal()?, generation, Metrics::Unread)?;
        Ok(generation)
    }

    #[test]
    fn doubtful_generations_never_displace_the_last_clean_ones() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), 2);
        let mut kept = Vec::new();
        for number in 1..=9 {
            let generation = save(&mut writer).unwrap();
            writer.note_metrics(generation, Metrics::Known(Facts::default()));
            if (4..=8).contains(&number) {
                writer.mark_doubtful(generation);
            }
            writer.retire(generation);
            kept.push(writer.known().iter().copied().collect::<Vec<_>>());
        }
        // The clean ones stay; of the others, only the newest takes space.
        assert_eq!(kept[7], [2, 3, 8]);
        assert_eq!(kept[8], [3, 9]);
    }

    #[test]
    fn a_newer_generation_from_elsewhere_hides_no_later_save() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), 2);
        save(&mut writer).unwrap();
        fs::write(writer.home().location(300), "another's").unwrap();
        for _ in 0..LIST_EVERY {
            let generation = save(&mut writer).unwrap();
            writer.retire(generation);
        }
        assert_eq!(save(&mut writer).unwrap(), 301);
    }

    #[cfg(unix)]
    #[test]
    fn a_directory_put_in_the_place_ends_the_removals() {
        use crate::store::faults::{Fault, FaultyDisk};

        let parent = tempfile::tempdir().unwrap();
        let (path, disk) = (parent.path().join("run.ckpt"), FaultyDisk::default());
        let open = |last: usize| {
            let builder = crate::Checkpointer::<u64>::builder(&path).disk(Arc::new(disk.clone()));
            builder.keep_last(last).open().unwrap()
        };
        let mut checkpoints = open(5);
        for number in 1..=5 {
            checkpoints.save(&number).unwrap();
        }
        drop(checkpoints);
        let mut checkpoints = open(1);
        checkpoints.load().unwrap();
        let retires = || disk.asked().iter().filter(|asked| asked.starts_with("retire")).count();
        disk.plan(None);
        checkpoints.save(&6).unwrap();
        let first = disk.asked().iter().position(|asked| asked.starts_with("retire")).unwrap();
        assert_eq!(retires(), 5);
        drop(checkpoints);
        // The same once more, with a copy in the place before the first removal.
        let mut checkpoints = open(5);
        for number in 7..=11 {
            checkpoints.save(&number).unwrap();
        }
        drop(checkpoints);
        let mut checkpoints = open(1);
        checkpoints.load().unwrap();
        disk.plan(Some((first, Fault::ReplacedByCopy)));
        let _ = checkpoints.save(&12);
        assert_eq!(retires(), 1, "{:?}", disk.asked());
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_removed_from_a_directory_put_in_the_place() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        let mut writer = writer(&path, 1);
        save(&mut writer).unwrap();
        let generation = save(&mut writer).unwrap();
        fs::rename(&path, parent.path().join("old.ckpt")).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(writer.home().location(1), "another's").unwrap();
        writer.retire(generation);
        assert_eq!(fs::read(writer.home().location(1)).unwrap(), b"another's");
        // The claim looks by itself: a tool reads for long before it removes.
        let error = writer.claim.remove_at_once(1).unwrap_err();
        assert!(error.to_string().contains("no longer the directory"), "{error}");
        writer.claim.remove(1).unwrap_err();
        assert_eq!(fs::read(writer.home().location(1)).unwrap(), b"another's");
    }

    #[test]
    fn a_removal_at_once_keeps_no_file_for_later() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), 2);
        let generations = [save(&mut writer).unwrap(), save(&mut writer).unwrap()];
        let files = || {
            let names = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
            names.filter(|name| name.to_str().is_some_and(|name| !name.starts_with(".lock"))).count()
        };
        assert_eq!(files(), 2);
        assert!(writer.claim.remove_at_once(generations[0]).unwrap());
        assert_eq!(files(), 1);
        let absent = writer.claim.remove_at_once(generations[0]).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        // Beside it, a removal of a durable claim keeps the file.
        assert!(writer.claim.remove(generations[1]).unwrap());
        assert_eq!(files(), 1);
    }

    #[test]
    fn the_number_of_a_generation_set_aside_is_not_used_again() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "00000000000000000007.ckpt.damaged-2".to_owned(),
            "00000000000000000009.ckpt.damaged.old".to_owned(),
        ] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(writer(directory.path(), 1).next().unwrap(), 8);
    }

    #[test]
    fn the_best_that_came_from_elsewhere_stays() {
        use crate::{Checkpointer, Metadata, Metric};

        let parent = tempfile::tempdir().unwrap();
        let (path, other) = (parent.path().join("run.ckpt"), parent.path().join("other.ckpt"));
        let open = |path: &Path| Checkpointer::<u64>::builder(path).durable(false).history(false);
        let with_loss = |loss: f64| Metadata::new().with("loss", loss);
        let mut saved = open(&other).keep_last(9).open().unwrap();
        for number in 1..=2 {
            saved.save_with(&number, with_loss(0.5)).unwrap();
        }
        let mut checkpoints = open(&path).keep_best(Metric::lowest("loss"), 1).open().unwrap();
        for number in 1..=2 * u64::from(LIST_EVERY) {
            checkpoints.save_with(&number, with_loss(10.0)).unwrap();
            if number == 5 {
                let name = "00000000000000000002.ckpt";
                fs::copy(other.join(name), path.join(name)).unwrap();
            }
        }
        assert_eq!(checkpoints.best(&Metric::lowest("loss")).unwrap(), Some(2));
    }

    #[test]
    fn a_file_of_another_program_under_the_name_is_not_ours() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), 1);
        let draft = writer.begin(1).unwrap();
        let path = writer.home().location(1);
        fs::write(&path, "another's").unwrap();
        writer.publish(draft.seal().unwrap(), 1, Metrics::Unread).unwrap_err();
        assert_eq!(writer.newest(), None);
        writer.take_back(1);
        let generation = save(&mut writer).unwrap();
        writer.retire(generation);
        assert_eq!(fs::read(&path).unwrap(), b"another's");
        writer.take_back(generation);
        assert!(!writer.home().has(generation));
    }
}
