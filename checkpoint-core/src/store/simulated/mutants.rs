//! Protocols with a fault in them. The simulation must find each one, or it would not find one of
//! ours.
//!
//! They stand between the store and the disk, and no line of the store or of the reader knows of
//! them. A check that the reader leaves out is a file that passes it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::disk::SimulatedDisk;
use super::scenarios::FAR;
use crate::container::{Source, forge};
use crate::store::local::disk::{Disk, Growing, Hold, Identity, Locking, NewFile, Opening, Output};
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
    /// A file that grows with the run is not synced before the checkpoint that counts on it. Its own
    /// campaign finds it.
    OutputNotSynced,
    /// The name of such a file is not synced.
    OutputNameNotSynced,
    /// Such a file is cut without a trace.
    OutputNotKept,
    MirrorFileNotSynced,
    MirrorDirectoryNotSynced,
    MirrorRetiredBeforePublishing,
    /// The directory forgets what it sent.
    MirrorNotRecorded,
    /// A restart takes the mirror for newer, and puts its generation in the place of a good one.
    MirrorTakenForNewer,
    /// Retention and pins do not wait for each other, and retention looks for pins only before it
    /// acts. The orders of threads find it, power cuts do not.
    #[cfg(shuttle)]
    PinsNotHeldNorLookedForAgain,
}

pub(super) const ALL: [Mutant; 25] = [
    Mutant::FileNotSynced,
    Mutant::DirectoryNotSynced,
    Mutant::DirectoriesAboveNotSynced,
    Mutant::DirectoryNotSyncedAtStart,
    Mutant::FileSyncedAfterPublishing,
    Mutant::DirectorySyncedBeforePublishing,
    Mutant::AcknowledgedBeforePublishing,
    Mutant::RemovedBeforePublishing,
    Mutant::NewestRetired,
    Mutant::NewestRecycledInPlace,
    Mutant::LinkedFileRecycled,
    Mutant::RecycledFileNotShortened,
    Mutant::FailedWriteIgnored,
    Mutant::FailedSyncIgnored,
    Mutant::FailedSyncTriedAgain,
    Mutant::PinsIgnored,
    Mutant::GenerationsRemovedAtStart,
    Mutant::OlderNotTried,
    Mutant::ChecksumIgnored,
    Mutant::GenerationInManifestIgnored,
    Mutant::MirrorFileNotSynced,
    Mutant::MirrorDirectoryNotSynced,
    Mutant::MirrorRetiredBeforePublishing,
    Mutant::MirrorNotRecorded,
    Mutant::MirrorTakenForNewer,
];

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

    fn output(&self, output: Box<dyn Output>, former: usize) -> Box<dyn Output> {
        let is_far = false;
        Box::new(MutantOutput { disk: self.clone(), output: Some(output), former, written: 0, is_far })
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
            return Ok(NewFile { output: self.output(self.0.disk.recycle(&path)?, 0), path });
        }
        let NewFile { path, output } = self.0.disk.create_temporary(directory)?;
        if directory.starts_with(FAR) && self.is(Mutant::MirrorFileNotSynced) {
            let (disk, output, is_far) = (self.clone(), Some(output), true);
            let output = Box::new(MutantOutput { disk, output, former: 0, written: 0, is_far });
            return Ok(NewFile { path, output });
        }
        Ok(NewFile { path, output: self.output(output, 0) })
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

    fn recycle(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        self.rename_late()?;
        let former = usize::try_from(self.0.disk.open(path)?.length()).unwrap();
        let output = if self.is(Mutant::LinkedFileRecycled) {
            self.0.disk.recycle_linked(path)
        } else {
            self.0.disk.recycle(path)
        };
        Ok(self.output(output?, former))
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
            Mutant::OutputNotSynced => Box::new(NotSynced(file)),
            Mutant::OutputNotKept if path.to_string_lossy().contains(".cut-at-") => Box::new(NotSynced(file)),
            _ => file,
        })
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

/// A file that grows, and is never synced.
#[derive(Debug)]
struct NotSynced(Box<dyn Growing>);

impl Growing for NotSynced {
    fn length(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.0.set_length(length)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        self.0.identity()
    }
}

#[derive(Debug)]
struct MutantOutput {
    disk: MutantDisk,
    output: Option<Box<dyn Output>>,
    former: usize,
    written: usize,
    is_far: bool,
}

impl MutantOutput {
    fn output(&mut self) -> io::Result<&mut Box<dyn Output>> {
        self.output.as_mut().ok_or_else(|| io::Error::other("it was synced"))
    }
}

impl Write for MutantOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written += bytes.len();
        self.output()?.write(bytes)
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
            result => result,
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
            _ => self.output()?.sync(),
        }
    }

    fn identity(&self) -> Option<Identity> {
        self.output.as_ref().and_then(|output| output.identity())
    }
}
