//! Protocols with a fault in them. The simulation must find each one, or it would not find one of
//! ours.
//!
//! They stand between the store and the disk, and no line of the store or of the reader knows of
//! them. A check that the reader leaves out is a file that passes it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::disk::SimulatedDisk;
use super::scenarios::FAR;
use crate::container::{Source, forge};
use crate::store::local::blocks::{Known, Rewriting};
use crate::store::local::disk::{Disk, Growing, Hold, Identity, Locking, NewFile, Opening, Output, Stamp};
use crate::store::{Log, name};

/// A fault of the protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mutant {
    FileNotSynced,
    DirectoryNotSynced,
    DirectoriesAboveNotSynced,
    DirectoryNotSyncedAtStart,
    FileSyncedAfterPublishing,
    DirectorySyncedBeforePublishing,
    AcknowledgedBeforePublishing,
    RemovedBeforePublishing,
    NewestRetired,
    NewestRecycledInPlace,
    LinkedFileRecycled,
    RecycledFileNotShortened,
    FailedWriteIgnored,
    FailedSyncIgnored,
    FailedSyncTriedAgain,
    PinsIgnored,
    GenerationsRemovedAtStart,
    OlderNotTried,
    ChecksumIgnored,
    GenerationInManifestIgnored,
    /// A file that grows with the run is not synced before the checkpoint that counts on it. Its
    /// own campaign finds it.
    OutputNotSynced,
    /// The name of such a file is not synced.
    OutputNameNotSynced,
    /// Such a file is cut without a trace.
    OutputNotKept,
    OutputCopyNotSynced,
    MirrorFileNotSynced,
    MirrorDirectoryNotSynced,
    MirrorRetiredBeforePublishing,
    /// The directory forgets what it sent.
    MirrorNotRecorded,
    /// A restart takes the mirror for newer, and puts its generation in the place of a good one.
    MirrorTakenForNewer,
    /// A block that changed is taken for one that the file has.
    ChangedBlockLeftOut,
    /// A file whose sync failed is written over, and its blocks are believed to be there.
    BlocksKeptAfterFailedSync,
    /// The same after a write that failed half-way.
    BlocksKeptAfterFailedWrite,
    /// A file that becomes shorter keeps the blocks behind its end, and has them when it grows.
    BlocksBehindTheEndKept,
    /// The blocks of one file are believed to be in another.
    BlocksOfAnotherFile,
    /// Retention and pins do not wait for each other, and retention looks for pins only before it
    /// acts. The orders of threads find it, power cuts do not.
    #[cfg(shuttle)]
    PinsNotHeldNorLookedForAgain,
}

/// The faults that a power cut shows, each with the scenario that finds it.
pub(super) const ALL: [(Mutant, &str); 30] = [
    (Mutant::FileNotSynced, "the first save into a new tree of directories"),
    (Mutant::DirectoryNotSynced, "the first save into a new tree of directories"),
    (Mutant::DirectoriesAboveNotSynced, "the first save into a new tree of directories"),
    (Mutant::DirectoryNotSyncedAtStart, "the first save into a new tree of directories"),
    (Mutant::FileSyncedAfterPublishing, "the first save into a new tree of directories"),
    (Mutant::DirectorySyncedBeforePublishing, "the first save into a new tree of directories"),
    (Mutant::AcknowledgedBeforePublishing, "the first save into a new tree of directories"),
    (Mutant::RemovedBeforePublishing, "the second save"),
    (Mutant::NewestRetired, "recycled saves"),
    (Mutant::NewestRecycledInPlace, "the second save"),
    (Mutant::LinkedFileRecycled, "a linked generation"),
    (Mutant::RecycledFileNotShortened, "recycled saves"),
    (Mutant::FailedWriteIgnored, "failed saves of which a little changes"),
    (Mutant::FailedSyncIgnored, "failed saves of which a little changes"),
    (Mutant::FailedSyncTriedAgain, "failed saves of which a little changes"),
    (Mutant::PinsIgnored, "a pinned generation"),
    (Mutant::GenerationsRemovedAtStart, "start-up cleaning"),
    (Mutant::OlderNotTried, "the second save"),
    (Mutant::ChecksumIgnored, "the second save"),
    (Mutant::GenerationInManifestIgnored, "recycled saves"),
    (Mutant::MirrorFileNotSynced, "a directory with a mirror"),
    (Mutant::MirrorDirectoryNotSynced, "a directory with a mirror"),
    (Mutant::MirrorRetiredBeforePublishing, "a directory with a mirror"),
    (Mutant::MirrorNotRecorded, "a directory with a mirror"),
    (Mutant::MirrorTakenForNewer, "a directory with a mirror"),
    (Mutant::ChangedBlockLeftOut, "recycled saves of which one is kept"),
    (Mutant::BlocksKeptAfterFailedSync, "failed saves of which a little changes"),
    (Mutant::BlocksKeptAfterFailedWrite, "failed saves of which a little changes"),
    (Mutant::BlocksBehindTheEndKept, "recycled saves of which a little changes"),
    (Mutant::BlocksOfAnotherFile, "recycled saves of which a little changes"),
];

/// The place of the number in the file of a `u64`: no other part of the file depends on it but the
/// checksums.
const NUMBER: Range<usize> = 64..72;

impl Mutant {
    /// Wraps the disk with the fault; without one, returns the disk itself.
    pub(super) fn wrap(mutant: Option<Mutant>, disk: Arc<SimulatedDisk>) -> Arc<dyn Disk> {
        match mutant {
            Some(mutant) => Arc::new(MutantDisk(Arc::new(Inner { disk, mutant, late: Mutex::default() }))),
            None => Arc::new(disk),
        }
    }
}

#[derive(Clone, Debug)]
struct MutantDisk(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    disk: Arc<SimulatedDisk>,
    mutant: Mutant,
    late: Mutex<Late>,
}

/// Operations that run later than they should.
#[derive(Debug, Default)]
struct Late {
    output: Option<Box<dyn Output>>,
    rename: Option<(PathBuf, PathBuf)>,
    has_saved: bool,
    /// A file that could not be written, and the blocks that it would have.
    failed: Option<(PathBuf, Known)>,
    /// The blocks that each file ever had.
    blocks: BTreeMap<u64, Vec<u128>>,
    /// The blocks of the file that was written over last.
    other: Option<Known>,
    /// True if a generation was retired just now.
    #[cfg_attr(not(shuttle), allow(dead_code, reason = "a mutant of the orders of threads reads it"))]
    has_retired: bool,
}

impl MutantDisk {
    fn is(&self, mutant: Mutant) -> bool {
        self.0.mutant == mutant
    }

    fn generations(&self, directory: &Path) -> Vec<u64> {
        let names = self.0.disk.list(directory).unwrap_or_default();
        names.iter().filter_map(|name| name::generation(name)).collect()
    }

    fn output(&self, path: &Path, output: Box<dyn Output>, former: usize) -> MutantOutput {
        let (disk, path, output) = (self.clone(), path.to_owned(), Some(output));
        MutantOutput { disk, path, output, former, number: None, written: 0, is_far: false }
    }

    /// The way to write over a file, with the fault.
    fn rewriting(&self, rewriting: Rewriting) -> Rewriting {
        let Rewriting::Changed(known) = rewriting else { return rewriting };
        let other = self.0.late.lock().unwrap().other.replace(known.clone());
        match other {
            Some(mut other) if self.is(Mutant::BlocksOfAnotherFile) => {
                other.stamp = known.stamp;
                Rewriting::Changed(other)
            }
            _ => Rewriting::Changed(known),
        }
    }

    fn number(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut number = vec![0; NUMBER.len()];
        self.0.disk.open(path)?.read_exact_at(&mut number, NUMBER.start as u64)?;
        Ok(number)
    }

    fn rename_late(&self) -> io::Result<()> {
        let rename = self.0.late.lock().unwrap().rename.take();
        rename.map_or(Ok(()), |(from, to)| self.0.disk.rename(&from, &to))
    }
}

impl Disk for MutantDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.0.disk.create_directory(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let is_ours = path.starts_with(super::scenarios::PATH);
        let has_saved = self.0.late.lock().unwrap().has_saved;
        let is_left_out = match self.0.mutant {
            Mutant::DirectoryNotSynced => is_ours && has_saved,
            Mutant::DirectoryNotSyncedAtStart => is_ours && !has_saved,
            Mutant::DirectorySyncedBeforePublishing => is_ours && has_saved,
            Mutant::DirectoriesAboveNotSynced => !is_ours,
            Mutant::MirrorDirectoryNotSynced => path.starts_with(FAR),
            Mutant::OutputNameNotSynced => path.starts_with(super::outputs::DIRECTORY),
            _ => false,
        };
        if is_left_out { Ok(()) } else { self.0.disk.sync_directory(path) }
    }

    fn create_temporary(&self, directory: &Path) -> io::Result<NewFile> {
        self.rename_late()?;
        if self.is(Mutant::NewestRecycledInPlace)
            && let Some(newest) = self.generations(directory).last()
        {
            let path = directory.join(name::of_generation(*newest));
            let output = self.output(&path, self.0.disk.recycle(&path, Rewriting::All)?, 0);
            return Ok(NewFile { path, output: Box::new(output) });
        }
        let failed = self.0.late.lock().unwrap().failed.take();
        if let Some((path, mut known)) = failed {
            known.stamp = self.0.disk.stamp(&path)?.unwrap_or(known.stamp);
            let output = self.0.disk.recycle(&path, Rewriting::Changed(known))?;
            return Ok(NewFile { output: Box::new(self.output(&path, output, 0)), path });
        }
        let NewFile { path, output } = self.0.disk.create_temporary(directory)?;
        if directory.starts_with(FAR) && self.is(Mutant::MirrorFileNotSynced) {
            let output = MutantOutput { is_far: true, ..self.output(&path, output, 0) };
            return Ok(NewFile { path, output: Box::new(output) });
        }
        Ok(NewFile { output: Box::new(self.output(&path, output, 0)), path })
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.0.disk.sync_file(path)
    }

    fn create_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if is_record(path) && self.is(Mutant::MirrorNotRecorded) {
            return Ok(());
        }
        self.0.disk.create_small(path, bytes)
    }

    fn hold(&self, path: &Path, shared: bool) -> io::Result<Box<dyn Hold>> {
        #[cfg(shuttle)]
        if self.is(Mutant::PinsNotHeldNorLookedForAgain) {
            return if self.exists(path) {
                Ok(Box::new(NotHeld))
            } else {
                Err(io::ErrorKind::NotFound.into())
            };
        }
        self.0.disk.hold(path, shared)
    }

    fn identity(&self, path: &Path) -> io::Result<Option<Identity>> {
        self.0.disk.identity(path)
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        self.0.disk.stamp(path)
    }

    fn open_unpublished(&self, path: &Path, identity: Option<Identity>) -> io::Result<Box<dyn Source>> {
        self.0.disk.open_unpublished(path, identity)
    }

    fn rename_to_temporary(&self, from: &Path, directory: &Path) -> io::Result<PathBuf> {
        let newest =
            self.generations(directory).last().map(|newest| directory.join(name::of_generation(*newest)));
        let from = if self.is(Mutant::NewestRetired) { newest.as_deref() } else { None }.unwrap_or(from);
        // It takes its time, so that a pin often comes in between.
        #[cfg(shuttle)]
        if self.is(Mutant::PinsNotHeldNorLookedForAgain) {
            (0..40).for_each(|_| crate::base::threads::step());
        }
        self.0.late.lock().unwrap().has_retired = true;
        self.0.disk.rename_to_temporary(from, directory)
    }

    fn recycle(&self, path: &Path, rewriting: Rewriting) -> io::Result<Box<dyn Output>> {
        self.rename_late()?;
        let former = usize::try_from(self.0.disk.open(path)?.length()).unwrap();
        let rewriting = self.rewriting(rewriting);
        let is_left_out = self.is(Mutant::ChangedBlockLeftOut) && matches!(rewriting, Rewriting::Changed(_));
        let number = if is_left_out { Some(self.number(path)?) } else { None };
        let output = if self.is(Mutant::LinkedFileRecycled) {
            self.0.disk.recycle_linked(path, rewriting)
        } else {
            self.0.disk.recycle(path, rewriting)
        };
        Ok(Box::new(MutantOutput { number, ..self.output(path, output?, former) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.late.lock().unwrap().has_saved = true;
        let directory = to.parent().unwrap_or(to);
        match self.0.mutant {
            Mutant::MirrorNotRecorded if is_record(to) => Ok(()),
            Mutant::MirrorRetiredBeforePublishing if directory.starts_with(FAR) => {
                for generation in self.generations(directory) {
                    self.0.disk.remove(&directory.join(name::of_generation(generation)))?;
                }
                self.0.disk.rename(from, to)
            }
            Mutant::MirrorTakenForNewer if self.0.disk.exists(to) => {
                self.0.disk.remove(to)?;
                self.0.disk.rename(from, to)
            }
            Mutant::RemovedBeforePublishing => {
                for generation in self.generations(directory) {
                    self.0.disk.remove(&directory.join(name::of_generation(generation)))?;
                }
                self.0.disk.rename(from, to)
            }
            Mutant::AcknowledgedBeforePublishing => {
                self.0.late.lock().unwrap().rename = Some((from.to_owned(), to.to_owned()));
                Ok(())
            }
            Mutant::DirectorySyncedBeforePublishing => {
                self.0.disk.sync_directory(directory)?;
                self.0.disk.rename(from, to)
            }
            Mutant::FileSyncedAfterPublishing => {
                self.0.disk.rename(from, to)?;
                let late = self.0.late.lock().unwrap().output.take();
                late.map_or(Ok(()), |mut output| output.sync())
            }
            _ => self.0.disk.rename(from, to),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if self.0.late.lock().unwrap().failed.as_ref().is_some_and(|(failed, _)| failed == path) {
            return Ok(());
        }
        self.0.disk.remove(path)
    }

    fn lock(&self, directory: &Path, holder: &str) -> io::Result<Locking> {
        let locking = self.0.disk.lock(directory, holder)?;
        if self.is(Mutant::GenerationsRemovedAtStart)
            && let [older @ .., _] = &self.generations(directory)[..]
        {
            // "They are left over from an earlier run."
            for generation in older {
                self.0.disk.remove(&directory.join(name::of_generation(*generation)))?;
            }
        }
        Ok(locking)
    }

    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        self.0.disk.open_log(path)
    }

    fn open_growing(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn Growing>> {
        let file = self.0.disk.open_growing(path, opening)?;
        Ok(match self.0.mutant {
            Mutant::OutputNotSynced => Box::new(NotSynced::always(file)),
            Mutant::OutputNotKept if path.to_string_lossy().ends_with(".checkpoint-copy") => {
                Box::new(NotSynced::always(file))
            }
            Mutant::OutputCopyNotSynced if path.to_string_lossy().ends_with(".checkpoint-copy") => {
                Box::new(NotSynced { file, times: AtomicUsize::new(1) })
            }
            _ => file,
        })
    }

    fn take_place(&self, from: &Path, of: &Path) -> io::Result<()> {
        self.0.disk.take_place(from, of)
    }

    fn is_directory(&self, path: &Path) -> Option<bool> {
        self.0.disk.is_directory(path)
    }

    fn exists(&self, path: &Path) -> bool {
        let is_pin = path.file_name().is_some_and(|name| name::pinned(name).is_some());
        if is_pin && self.is(Mutant::PinsIgnored) {
            return false;
        }
        #[cfg(shuttle)]
        if is_pin && self.is(Mutant::PinsNotHeldNorLookedForAgain) {
            let retired = std::mem::take(&mut self.0.late.lock().unwrap().has_retired);
            return !retired && self.0.disk.exists(path);
        }
        self.0.disk.exists(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let mut names = self.0.disk.list(directory)?;
        if self.is(Mutant::OlderNotTried) {
            let newest = names.iter().filter_map(|name| name::generation(name)).max();
            names.retain(|name| name::generation(name).is_none_or(|generation| Some(generation) == newest));
        }
        let is_start = !self.0.late.lock().unwrap().has_saved;
        if self.is(Mutant::MirrorTakenForNewer) && is_start && directory == Path::new(super::scenarios::PATH)
        {
            let newest = self.generations(Path::new(FAR)).into_iter().max();
            names.retain(|name| newest.is_none() || name::generation(name) <= newest);
        }
        Ok(names)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>> {
        let source = self.0.disk.open(path)?;
        let generation = path.file_name().and_then(name::generation);
        Ok(match (self.0.mutant, generation) {
            (Mutant::ChecksumIgnored, _) => forge::with_right_checksums(source),
            (Mutant::GenerationInManifestIgnored, Some(generation)) => {
                forge::with_generation(source, generation)
            }
            _ => source,
        })
    }
}

/// True for the record of a generation that was sent to the mirror.
fn is_record(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.contains(".sent-") || path.contains(".mirrored-"))
}

#[cfg(shuttle)]
#[derive(Debug)]
struct NotHeld;

#[cfg(shuttle)]
impl Hold for NotHeld {}

/// A file that grows, and is not synced these first times.
#[derive(Debug)]
struct NotSynced {
    file: Box<dyn Growing>,
    times: AtomicUsize,
}

impl NotSynced {
    fn always(file: Box<dyn Growing>) -> NotSynced {
        NotSynced { file, times: AtomicUsize::new(usize::MAX) }
    }
}

impl Growing for NotSynced {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        let left = self.times.load(Ordering::Relaxed);
        self.times.store(left.saturating_sub(1), Ordering::Relaxed);
        if left > 0 { Ok(()) } else { self.file.sync() }
    }

    fn give_back(&self, offset: u64, length: u64) -> io::Result<()> {
        self.file.give_back(offset, length)
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        self.file.identity()
    }

    fn has_other_names(&self) -> io::Result<bool> {
        self.file.has_other_names()
    }
}

#[derive(Debug)]
struct MutantOutput {
    disk: MutantDisk,
    path: PathBuf,
    output: Option<Box<dyn Output>>,
    former: usize,
    /// The former number in the file, which stays.
    number: Option<Vec<u8>>,
    written: usize,
    is_far: bool,
}

impl MutantOutput {
    fn output(&mut self) -> io::Result<&mut Box<dyn Output>> {
        self.output.as_mut().ok_or_else(|| io::Error::other("it was synced"))
    }

    /// Believes after a failure that the file has its blocks.
    fn keep_after(&mut self, mutant: Mutant, outcome: io::Result<()>) -> io::Result<()> {
        if outcome.is_err()
            && self.disk.is(mutant)
            && let Some(known) = self.output()?.known()
        {
            self.disk.0.late.lock().unwrap().failed = Some((self.path.clone(), known));
        }
        outcome
    }
}

impl Write for MutantOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut bytes = bytes.to_vec();
        for (place, byte) in (self.written..).zip(&mut bytes) {
            if let Some(number) = &self.number
                && NUMBER.contains(&place)
            {
                *byte = number[place - NUMBER.start];
            }
        }
        self.written += bytes.len();
        self.output()?.write(&bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output()?.flush()
    }
}

impl Output for MutantOutput {
    fn finish(&mut self) -> io::Result<()> {
        let (former, written) = (self.former, self.written);
        if self.disk.is(Mutant::RecycledFileNotShortened) && former > written {
            // These spaces stand for the former end of the file, which stays.
            self.output()?.write_all(&vec![b' '; former - written])?;
        }
        let ignored = self.disk.is(Mutant::FailedWriteIgnored);
        match self.output()?.finish() {
            Err(_) if ignored => Ok(()),
            result => self.keep_after(Mutant::BlocksKeptAfterFailedWrite, result),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.disk.0.mutant {
            Mutant::FileNotSynced => Ok(()),
            Mutant::MirrorFileNotSynced if self.is_far => Ok(()),
            Mutant::FileSyncedAfterPublishing => {
                self.disk.0.late.lock().unwrap().output = self.output.take();
                Ok(())
            }
            Mutant::FailedSyncIgnored => self.output()?.sync().or(Ok(())),
            Mutant::FailedSyncTriedAgain => {
                let output = self.output()?;
                output.sync().or_else(|_| output.sync())
            }
            _ => {
                let outcome = self.output()?.sync();
                self.keep_after(Mutant::BlocksKeptAfterFailedSync, outcome)
            }
        }
    }

    fn identity(&self) -> Option<Identity> {
        self.output.as_ref().and_then(|output| output.identity())
    }

    fn written(&self) -> u64 {
        self.output.as_ref().map_or(0, |output| output.written())
    }

    fn known(&mut self) -> Option<Known> {
        let mut known = self.output.as_mut()?.known()?;
        if self.disk.is(Mutant::BlocksBehindTheEndKept) {
            let mut late = self.disk.0.late.lock().unwrap();
            let blocks = late.blocks.entry(known.stamp.identity.1).or_default();
            known.hashes.extend_from_slice(blocks.get(known.hashes.len()..).unwrap_or_default());
            blocks.clone_from(&known.hashes);
        }
        Some(known)
    }
}
