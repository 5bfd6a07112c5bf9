//! The writing side of a checkpoint directory: there is one at a time, and it holds the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::claim::{Claim, Claiming};
use super::disk::Disk;
use super::publish::{Sealed, Temporary, remove_temporary};
use super::retention::{Keeping, Metrics, Retention};
use super::{Directory, name};
use crate::base::warnings::warn;
use crate::container::{Compression, Refusal, Source};
use crate::error::Error;
use crate::seal::Protection;

/// The settings of a writer.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// True if a save waits until it is on the disk.
    pub(crate) durable: bool,
    /// The rules of retention.
    pub(crate) retention: Retention,
    /// The compression of its files; the store only passes it on.
    pub(crate) compression: Compression,
    /// The protection of its files; the store only passes it on.
    pub(crate) protection: Protection,
    /// True if the group may write there, so that its files are no warning.
    pub(crate) with_group: bool,
}

/// The number of saves after which the writer lists the directory again.
const LIST_EVERY: u32 = 100;

/// A checkpoint directory that only this program may write to, until dropped.
#[derive(Debug)]
pub(crate) struct Writer {
    directory: Directory,
    settings: Settings,
    claim: Arc<Claim>,
    /// The highest number that was ever tried, so that a save with an unknown outcome is never
    /// overwritten.
    last: u64,
    /// The existing generations, as far as this program knows: no other program saves here.
    known: BTreeSet<u64>,
    /// The number of saves since the directory was listed.
    since_listing: u32,
    /// Generations that a load found unusable. They do not count as kept.
    damaged: BTreeSet<u64>,
    /// Generations that retention would remove, and found pinned: they stay while a pin has their
    /// number.
    pinned: BTreeSet<u64>,
    /// The metrics of the existing generations, for retention.
    metrics: BTreeMap<u64, Metrics>,
    /// The last generation that was saved here.
    saved: Option<u64>,
    /// A retired generation, under a temporary name, for the next save to overwrite.
    spare: Option<PathBuf>,
    /// Other retired files, which another process held when they were to be overwritten.
    held: Vec<PathBuf>,
}

impl Writer {
    /// Creates the directory where it is absent, takes its lock, and removes the leftovers of a
    /// crash.
    pub(crate) fn open(
        directory: Directory,
        settings: Settings,
        claiming: &Claiming,
    ) -> Result<Writer, Error> {
        let claim = Claim::take(&*directory.disk, &directory.path, claiming)?;
        let directory = directory.claimed(&claim);
        let Directory { path, disk, .. } = &directory;
        // With a key, files of other users are refused.
        if settings.protection.tag_key().is_none()
            && let Some(who) = strangers(path, settings.with_group)
        {
            warn(format!(
                "{who} can add checkpoints to {}, or change existing ones: take that permission away \
                 (`chmod go-w`), or authenticate yours with `Protection::authenticate`",
                path.display()
            ));
        }
        let names = disk.list(path).map_err(|source| Error::io("list", path, source))?;
        // A killed process left these. No other program writes here: the lock is ours.
        for name in names.iter().filter(|name| name::is_temporary(name)) {
            remove_unless_held(&**disk, &path.join(name));
        }
        if settings.durable {
            // A process that was killed between its rename and its sync left a generation that
            // exists now, but may not survive a power cut. A program that loads it may publish
            // results; so it is made durable first.
            disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))?;
        }
        let known: BTreeSet<u64> = names.iter().filter_map(|name| name::generation(name)).collect();
        Ok(Writer {
            last: known.last().copied().unwrap_or(0),
            directory,
            settings,
            claim,
            known,
            since_listing: 0,
            damaged: BTreeSet::new(),
            pinned: BTreeSet::new(),
            metrics: BTreeMap::new(),
            saved: None,
            spare: None,
            held: Vec::new(),
        })
    }

    /// The directory, for reading.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The claim on the directory.
    pub(crate) fn claim(&self) -> &Arc<Claim> {
        &self.claim
    }

    /// The newest generation, as far as is known.
    pub(crate) fn newest(&self) -> Option<u64> {
        self.known.last().copied()
    }

    /// Records generations that turned out to be unusable.
    pub(crate) fn mark_damaged(&mut self, generations: impl IntoIterator<Item = u64>) {
        self.damaged.extend(generations);
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
        let path = &self.directory.path;
        self.last.checked_add(1).ok_or_else(|| Error::NoMoreGenerations { path: path.clone() })
    }

    /// Starts a save. It overwrites a retired generation where possible: its space is allocated
    /// already, which is faster, and cannot run out. The caller has checked that this process
    /// claimed the directory, and [`publish`](Writer::publish) checks it again.
    pub(crate) fn begin(&mut self) -> Result<Temporary, Error> {
        self.claim.check_place()?;
        self.claim.touch();
        let process = self.claim.process();
        let Directory { path, disk, .. } = &self.directory;
        let mut recycled = None;
        let spares = self.spare.take().into_iter().chain(std::mem::take(&mut self.held));
        for spare in spares {
            if recycled.is_some() {
                self.held.push(spare);
                continue;
            }
            match Temporary::recycle(disk, &spare, process) {
                Ok(temporary) => recycled = Some(temporary),
                // Another process reads it, or writes it: it is never removed, but tried again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.held.push(spare),
                Err(error) => {
                    tracing::debug!(path = %spare.display(), %error, "not recycled");
                    remove_temporary(&**disk, &spare);
                }
            }
        }
        recycled.map_or_else(|| Temporary::create(disk, path, process), Ok)
    }

    /// The path of the directory.
    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// True if saves wait for the disk.
    pub(crate) fn durable(&self) -> bool {
        self.settings.durable
    }

    /// The protection of saves.
    pub(crate) fn protection(&self) -> &Protection {
        &self.settings.protection
    }

    /// The last generation that was saved here.
    pub(crate) fn saved(&self) -> Option<u64> {
        self.saved
    }

    /// Makes a generation of an earlier run as durable as one of this run.
    pub(crate) fn keep_for_good(&self, generation: u64) -> Result<(), Error> {
        self.claim.check()?;
        let path = self.directory.location(generation);
        if !self.settings.durable {
            return Ok(());
        }
        self.directory.disk.sync_file(&path).map_err(|source| Error::writing("sync", &path, source))
    }

    /// The compression of saves.
    pub(crate) fn compression(&self) -> Compression {
        self.settings.compression
    }

    /// Ends a save: when this returns, the generation is durable. Only then does retention remove
    /// others, and a failure to remove them does not fail the save.
    pub(crate) fn publish(&mut self, sealed: Sealed, generation: u64, metrics: Metrics) -> Result<(), Error> {
        self.claim.check()?;
        let Directory { path, disk, .. } = &self.directory;
        // Whatever the outcome, the number is used up.
        self.last = self.last.max(generation);
        let target = self.directory.location(generation);
        sealed.publish(&target).map_err(|source| Error::writing("publish", &target, source))?;
        self.known.insert(generation);
        if self.settings.durable {
            disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))?;
        }
        self.saved = Some(generation);
        self.metrics.insert(generation, metrics);
        self.retire(generation);
        Ok(())
    }

    /// Removes generations that are not to be kept, but keeps one file for the next save to
    /// recycle.
    fn retire(&mut self, newest: u64) {
        if let Err(error) = self.look_again(Some(newest)) {
            return warn(format!("no old generations are removed, they cannot be looked for: {error}"));
        }
        // Newer generations are not of this program.
        let generations: Vec<u64> = self.known.range(..=newest).copied().collect();
        // Pins are checked when the name of a generation is taken away.
        let pinned = BTreeSet::new();
        let kept = self.settings.retention.kept(&generations, &self.damaged, &pinned, &self.metrics);
        self.remove_all_but(&kept, generations);
    }

    fn remove_all_but(&mut self, kept: &BTreeMap<u64, Vec<Keeping>>, generations: Vec<u64>) {
        for generation in generations.into_iter().filter(|generation| !kept.contains_key(generation)) {
            match self.take_away(generation) {
                Ok(true) => {
                    self.known.remove(&generation);
                    self.damaged.remove(&generation);
                    self.metrics.remove(&generation);
                }
                Ok(false) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.known.remove(&generation);
                }
                Err(error) => {
                    let path = self.directory.location(generation);
                    warn(format!(
                        "the old generation {} cannot be removed, the next save tries again: {error}",
                        path.display()
                    ));
                }
            }
        }
    }

    /// Removes, before a generation exists, the ones that retention would remove after it, to free
    /// their space. The newest stays, and must be whole. Returns true if a generation was removed.
    pub(crate) fn make_room(
        &mut self,
        coming: u64,
        is_whole: impl Fn(Box<dyn Source>) -> Result<(), Refusal>,
    ) -> Result<bool, Error> {
        self.claim.check()?;
        self.look_again(None)?;
        let mut generations: Vec<u64> = self.known.range(..coming).copied().collect();
        let usable = generations.iter().rfind(|generation| !self.damaged.contains(generation));
        let Some(newest) = usable.copied() else { return Ok(false) };
        generations.push(coming);
        let pinned = BTreeSet::new();
        let mut kept = self.settings.retention.kept(&generations, &self.damaged, &pinned, &self.metrics);
        kept.entry(newest).or_default();
        if generations.iter().all(|generation| kept.contains_key(generation)) {
            return Ok(false);
        }
        if let Err(refusal) = self.directory.open(newest).map_err(Refusal::Unreadable).and_then(is_whole) {
            let error = Error::refused(&self.directory.location(newest), refusal);
            warn(format!(
                "no room is made for a save, because the newest generation must be whole for that: {error}"
            ));
            return Ok(false);
        }
        let before = self.known.len();
        self.remove_all_but(&kept, generations);
        Ok(self.known.len() < before)
    }

    /// Checks that the known generations exist, as far as retention counts on them: by a look at
    /// the newest ones, and now and then by listing the directory, which may have many other files.
    /// One that was just published exists.
    fn look_again(&mut self, published: Option<u64>) -> Result<(), Error> {
        self.since_listing += 1;
        if self.since_listing >= LIST_EVERY {
            self.known = self.directory.generations()?.into_iter().collect();
            self.since_listing = 0;
        }
        let mut there = 0;
        let mut gone = Vec::new();
        for generation in self.known.iter().rev().filter(|generation| !self.damaged.contains(generation)) {
            if there == self.settings.retention.last.get() {
                break;
            }
            if published == Some(*generation) || self.directory.has(*generation) {
                there += 1;
            } else {
                gone.push(*generation);
            }
        }
        self.known.retain(|generation| !gone.contains(generation));
        Ok(())
    }

    /// Takes a generation away, and keeps the file for a later save, or removes it. Returns false
    /// where it stays for now.
    fn take_away(&mut self, generation: u64) -> io::Result<bool> {
        let durable = self.settings.durable;
        // This only looks at the name: there may be thousands of pins.
        if self.pinned.contains(&generation) && self.directory.has_pin(generation) {
            return Ok(false);
        }
        self.pinned.remove(&generation);
        let Some(retired) = self.directory.retire(generation, durable)? else {
            if self.directory.has_pin(generation) {
                self.pinned.insert(generation);
            }
            return Ok(false);
        };
        // Without syncs, a power cut may leave nothing but the retired file.
        if durable && self.spare.is_none() {
            self.spare = Some(retired);
        } else {
            remove_temporary(&*self.directory.disk, &retired);
        }
        Ok(true)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // In a forked process these files are the parent's.
        if self.claim.is_of_this_process() {
            for spare in self.spare.iter().chain(&self.held) {
                remove_unless_held(&*self.directory.disk, spare);
            }
        }
    }
}

/// Removes a temporary file, unless another process reads or writes it: then a later start removes
/// it.
fn remove_unless_held(disk: &dyn Disk, path: &Path) {
    match disk.hold(path, false) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            tracing::debug!(path = %path.display(), "a temporary file is in use and stays");
        }
        _ => remove_temporary(disk, path),
    }
}

/// Describes the other users who may create and replace names in a directory.
fn strangers(path: &Path, with_group: bool) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = path.metadata().ok()?;
        let (us, owner) = (rustix::process::geteuid().as_raw(), metadata.uid());
        if metadata.mode() & 0o002 != 0 {
            return Some("everybody".to_owned());
        }
        if metadata.mode() & 0o020 != 0 && !with_group {
            return Some(format!("the group {}", metadata.gid()));
        }
        (owner != us && owner != 0 && !with_group).then(|| format!("user {owner}, whose it is,"))
    }
    #[cfg(not(unix))]
    {
        let _ = (path, with_group);
        None
    }
}
