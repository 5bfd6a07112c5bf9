//! The promise that a file has the bytes that a checkpoint counts on.

use std::io;
use std::sync::PoisonError;

use super::{OpenFile, Written};
use crate::error::{Error, OutputFault};
use crate::store::Opening;

/// The bytes that are written again at a time. A block that two pieces share would keep its place,
/// so each ends at a multiple of this, which is one of the length of a block.
const PIECE: u64 = 1 << 20;

impl OpenFile {
    /// Makes sure that the file has the bytes that a checkpoint counts on, and that they are
    /// durable if that is wanted. It had them at this number of cuts. The program may append
    /// meanwhile.
    pub(in crate::outputs) fn sync(&self, counted: u64, since: u64, durable: bool) -> Result<(), Error> {
        self.check_process(counted)?;
        self.sync_all(Some((counted, since)), durable)
    }

    /// Makes all bytes durable, also those that no checkpoint counts, wherever the file is by now.
    /// Only hands them to the operating system if `durable` is false.
    pub(in crate::outputs) fn sync_rest(&self, durable: bool) -> Result<(), Error> {
        let is_done = {
            let state = self.state();
            let is_whole = state.waiting.is_empty() && state.held.is_none();
            is_whole && (!durable || (state.synced == state.length && !state.is_doubtful))
        };
        if is_done { Ok(()) } else { self.sync_all(None, durable) }
    }

    /// Makes all bytes durable. If a checkpoint counts this many, the file has them, by its path.
    fn sync_all(&self, counted: Option<(u64, u64)>, durable: bool) -> Result<(), Error> {
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let (length, cuts) = {
            let mut state = self.state();
            self.put_back(&mut state)?;
            self.write_waiting(&mut state)?;
            self.check_length(&state)?;
            self.cut_rest(&mut state)?;
            if let Some((counted, since)) = counted {
                // Behind a cut, another value may have written other bytes in their place.
                let lowest = state.lowest.iter().find(|(number, _)| *number > since);
                if lowest.is_some_and(|(_, lowest)| *lowest < counted) {
                    return Err(self.fault(counted, OutputFault::Replaced));
                }
                if state.length < counted {
                    return Err(self.fault(counted, OutputFault::Shorter { length: state.length }));
                }
                self.check_name(counted)?;
            }
            if !durable {
                return Ok(());
            }
            if state.is_doubtful {
                self.write_again(&mut state)?;
            }
            state.during = Some(crc32fast::Hasher::new());
            (state.length, state.cuts)
        };
        // If another file takes its place now, that one is synced before, and cut.
        let file = self.content();
        let synced = self
            .sync_name()
            .and_then(|()| file.sync().map_err(|source| Error::writing("sync", &self.path, source)));
        let mut state = self.state();
        let during = state.during.take();
        match synced {
            Ok(()) if state.cuts == cuts => {
                (state.synced, state.since) = (length, during.unwrap_or_default());
                state.is_doubtful = false;
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) => {
                state.is_doubtful = true;
                Err(error)
            }
        }
    }

    /// After a failed sync, the system may show bytes that the disk does not have. Writes all that
    /// may be so once more, if they are still what was written, to new blocks.
    ///
    /// The old blocks would not do. On ext4 they may be marked as never written, and only in memory
    /// as written: a second write of the same blocks leaves that mark, and its sync succeeds.
    fn write_again(&self, state: &mut Written) -> Result<(), Error> {
        self.check_kept(state)?;
        let (file, mut offset, to) = (self.content(), state.synced, state.length);
        while offset < to {
            let boundary = (offset / PIECE + 1) * PIECE;
            let end = boundary.min(to);
            let mut bytes = vec![0; usize::try_from(end - offset).unwrap_or_default()];
            let read = file.read_exact_at(&mut bytes, offset);
            read.map_err(|source| Error::io("read", &self.path, source))?;
            state.held = Some((offset, bytes));
            // The block at the end of the file is given back as a whole.
            let given_back = file.give_back(offset, boundary - offset);
            self.put_back(state)?;
            match given_back {
                Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                    return Err(Error::writing("write", &self.path, error));
                }
                _ => offset = end,
            }
        }
        Ok(())
    }

    /// After a failed sync, checks that the file still has what was written since the last one that
    /// succeeded. This comes before these bytes are taken for right: before a copy, or a new
    /// checksum of some of them.
    pub(super) fn check_kept(&self, state: &Written) -> Result<(), Error> {
        let (from, to) = (state.synced, state.length);
        if state.is_doubtful && self.checksum(from, to)?.finalize() != state.since.clone().finalize() {
            return Err(self.fault(to, OutputFault::Other));
        }
        Ok(())
    }

    /// Writes the bytes whose blocks were given back. If it fails, they stay in memory.
    pub(super) fn put_back(&self, state: &mut Written) -> Result<(), Error> {
        if let Some((offset, bytes)) = &state.held {
            let written = self.content().write_all_at(bytes, *offset);
            written.map_err(|source| Error::writing("write", &self.path, source))?;
            state.held = None;
        }
        Ok(())
    }

    /// Checks that the path still leads to this file.
    pub(super) fn check_name(&self, counted: u64) -> Result<(), Error> {
        let ours = self.content().identity().map_err(|source| Error::io("look at", &self.path, source))?;
        let found = match self.disk.open_growing(&self.path, Opening::Look) {
            Ok(found) => found.identity(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.fault(counted, OutputFault::Gone));
            }
            Err(error) => Err(error),
        };
        let found = found.map_err(|source| Error::io("look at", &self.path, source))?;
        if found == ours { Ok(()) } else { Err(self.fault(counted, OutputFault::Other)) }
    }

    /// Makes the name durable, once, with those of the directories above as far as this user may
    /// open them: the program may have made them just now.
    fn sync_name(&self) -> Result<(), Error> {
        let cuts = {
            let state = self.state();
            if state.has_durable_name {
                return Ok(());
            }
            state.cuts
        };
        // The directories above are those behind symbolic links.
        let parent = self.real.parent().unwrap_or(&self.real);
        let parent = std::fs::canonicalize(parent).unwrap_or_else(|_| parent.to_owned());
        for (above, directory) in parent.ancestors().enumerate() {
            match self.disk.sync_directory(directory) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                // Some file systems above, which the program did not make, cannot sync a directory.
                Err(error)
                    if above > 0
                        && matches!(
                            error.kind(),
                            io::ErrorKind::InvalidInput
                                | io::ErrorKind::Unsupported
                                | io::ErrorKind::NotFound
                                | io::ErrorKind::ReadOnlyFilesystem
                        ) => {}
                result => result.map_err(|source| Error::writing("sync", directory, source))?,
            }
        }
        // Meanwhile another file may have taken the name.
        let mut state = self.state();
        state.has_durable_name = state.cuts == cuts;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Weak};

    use super::OpenFile;
    use crate::error::{Error, OutputFault};
    use crate::outputs::end::End;
    use crate::outputs::value::Value;
    use crate::store::{Disk, Growing, Identity, RealDisk};

    /// A file whose first sync fails, and then the first write to blocks that were given back.
    #[derive(Debug)]
    struct Failing {
        file: Arc<dyn Growing>,
        /// True to lose the first bytes when the sync fails.
        loses: bool,
        has_failed_to_sync: AtomicBool,
        was_full: AtomicBool,
        is_full: AtomicBool,
    }

    impl Failing {
        fn of(file: Arc<dyn Growing>, loses: bool) -> Arc<dyn Growing> {
            let (has_failed_to_sync, was_full, is_full) = Default::default();
            Arc::new(Failing { file, loses, has_failed_to_sync, was_full, is_full })
        }
    }

    impl Growing for Failing {
        fn length(&self) -> io::Result<u64> {
            self.file.length()
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.file.read_exact_at(buffer, offset)
        }

        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            if self.is_full.swap(false, Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.file.write_all_at(bytes, offset)
        }

        fn set_length(&self, length: u64) -> io::Result<()> {
            self.file.set_length(length)
        }

        fn sync(&self) -> io::Result<()> {
            if self.has_failed_to_sync.swap(true, Ordering::Relaxed) {
                return self.file.sync();
            }
            if self.loses {
                self.file.write_all_at(&[0; 4096], 0)?;
            }
            Err(io::Error::other("the device is away"))
        }

        fn give_back(&self, offset: u64, length: u64) -> io::Result<()> {
            let was_full = self.was_full.swap(true, Ordering::Relaxed);
            self.is_full.store(!was_full, Ordering::Relaxed);
            let zeros = vec![0; usize::try_from(length.min(self.length()? - offset)).unwrap()];
            self.file.write_all_at(&zeros, offset)
        }

        fn identity(&self) -> io::Result<Option<Identity>> {
            self.file.identity()
        }

        fn has_other_names(&self) -> io::Result<bool> {
            self.file.has_other_names()
        }
    }

    fn is_other(error: &Error) -> bool {
        matches!(error, Error::Output { fault: OutputFault::Other, .. })
    }

    #[test]
    fn bytes_that_a_failed_sync_lost_are_lost_to_a_clone_too() {
        for has_other_name in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("out");
            let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
            let [first, second] = [Arc::new(()), Arc::new(())];
            let open = OpenFile::create(disk, &path).unwrap();
            let file = open.content();
            *open.file.lock().unwrap() = Failing::of(file, true);
            let half = b"line\n".repeat(10_000);
            let (mut end, counted) = (End::default(), half.len() as u64);
            open.append(&Arc::downgrade(&first), (0, &end), &half, false).unwrap();
            end.push(&half);
            open.append(&Arc::downgrade(&first), (counted, &end), &half, false).unwrap();
            assert!(open.sync(counted, 0, true).unwrap_err().to_string().contains("away"));
            if has_other_name {
                fs::hard_link(&path, directory.path().join("backup")).unwrap();
            }
            drop(first);
            let second = Arc::downgrade(&second);
            let gone_back = open.go_back(&second, (counted, &end), false);
            let error = gone_back.and_then(|()| open.sync(counted, 0, true)).unwrap_err();
            assert!(is_other(&error), "{has_other_name}: {error}");
            // What was synced before is not in doubt.
            let third = Arc::new(());
            open.go_back(&Arc::downgrade(&third), (0, &End::default()), false).unwrap();
            open.sync(0, 2, true).unwrap();
        }
    }

    #[test]
    fn bytes_that_a_failed_sync_lost_are_not_copied() {
        let directory = tempfile::tempdir().unwrap();
        let other = directory.path().join("other");
        let (value, _owner) = Value::named(&directory.path().join("out"), Arc::new(RealDisk::default()));
        let bytes = b"line\n".repeat(10_000);
        value.append(&bytes).unwrap();
        let (open, _) = value.open_file().unwrap();
        let file = open.content();
        *open.file.lock().unwrap() = Failing::of(file, true);
        assert!(open.sync(bytes.len() as u64, 0, true).unwrap_err().to_string().contains("away"));
        let error = value.continue_in(&other).unwrap_err();
        assert!(is_other(&error), "{error}");
        assert!(!other.exists());
    }

    #[test]
    fn bytes_that_could_not_be_put_back_are_there_at_the_next_save() {
        for is_durable in [true, false] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("out");
            let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
            let owner = Arc::new(());
            let owner = Arc::downgrade(&owner);
            let open = OpenFile::create(disk, &path).unwrap();
            let file = open.content();
            *open.file.lock().unwrap() = Failing::of(file, false);
            let bytes = b"line\n".repeat(500_000);
            let counted = bytes.len() as u64;
            open.append(&Weak::clone(&owner), (0, &End::default()), &bytes, false).unwrap();
            assert!(open.sync(counted, 0, true).unwrap_err().to_string().contains("away"));
            open.sync(counted, 0, true).unwrap_err();
            assert!(fs::read(&path).unwrap() != bytes, "the first blocks are zeros");
            open.sync(counted, 0, is_durable).unwrap();
            assert!(fs::read(&path).unwrap() == bytes, "durable: {is_durable}");
        }
    }
}
