//! Reads past the system's cache what that does not have, as after a restart of the machine.
//!
//! Through the cache, the system asks the disk for small pieces, one after the other, and copies
//! each. A read into a huge page past it is one request, and several threads make several at a
//! time.
//!
//! The cache is asked first, about a few bytes. The answer is a guess: a wrong one costs time and
//! nothing else. A disk may answer so fast that the cache seems to have the bytes. A file system
//! that cannot answer, such as one over a network, is read through the cache. So is what a direct
//! read does not give: that read finds the error, if there is one.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::{Advice, OFlags, fadvise};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::buffers::Buffers;
use crate::base::limits::BUFFER;
use crate::container::Source;

/// The places and lengths of direct reads are multiples of this.
const SECTOR: usize = 4096;

const _: () = assert!(BUFFER > 2 * SECTOR && BUFFER.is_multiple_of(SECTOR));

/// The number of bytes that the cache is asked for.
const QUESTIONS: u64 = 4;

/// A file that is read past the cache.
#[derive(Debug)]
pub(super) struct Uncached<'a> {
    /// The file, to read through the cache.
    file: &'a File,
    direct: File,
    buffers: Buffers,
}

impl Uncached<'_> {
    /// `None` where the cache has these bytes, or does not say, or where there are no direct reads.
    pub(super) fn of(file: &File, offset: u64, length: u64) -> Option<Uncached<'_>> {
        if is_cached(file, offset, length)? {
            return None;
        }
        Some(Uncached { file, direct: open_again(file, OFlags::DIRECT)?, buffers: Buffers::default() })
    }

    /// `None` where some byte was not read.
    fn read_direct(&self, mut piece: &mut [u8], mut offset: u64) -> Option<()> {
        let mut buffer = self.buffers.get()?;
        let memory = buffer.whole();
        while !piece.is_empty() {
            let skipped = usize::try_from(offset % SECTOR as u64).ok()?;
            let length = piece.len().min(BUFFER - SECTOR);
            let wanted = memory.get_mut(..(skipped + length).next_multiple_of(SECTOR))?;
            let read = read_at(&self.direct, wanted, offset - skipped as u64).ok()?;
            let (now, later) = piece.split_at_mut(length);
            now.copy_from_slice(wanted.get(..read)?.get(skipped..skipped + length)?);
            piece = later;
            offset += length as u64;
        }
        self.buffers.put(buffer);
        Some(())
    }
}

impl Source for Uncached<'_> {
    fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_direct(buffer, offset).map_or_else(|| self.file.read_exact_at(buffer, offset), Ok)
    }
}

/// Opens the same file with offsets, flags and advice of its own.
fn open_again(file: &File, flags: OFlags) -> Option<File> {
    // The name of the file may mean another one by now; this name does not.
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()
}

/// Whether the cache has these bytes, as far as a few of them tell.
fn is_cached(file: &File, offset: u64, length: u64) -> Option<bool> {
    let file = open_again(file, OFlags::empty())?;
    // A question fetches what it misses: by this advice, one page and none around it.
    fadvise(&file, 0, None, Advice::Random).ok()?;
    // The next reader of the file must not ask for the same pages.
    let places = RandomState::new();
    let part = (length / QUESTIONS).max(1);
    for number in 0..QUESTIONS {
        let place = offset + number * part + places.hash_one(number) % part;
        match preadv2(&file, &mut [IoSliceMut::new(&mut [0])], place, ReadWriteFlags::NOWAIT) {
            Ok(_) => {}
            Err(Errno::AGAIN) => return Some(false),
            Err(_) => return None,
        }
    }
    Some(true)
}

/// Reads as much as one call gives.
fn read_at(file: &File, memory: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(memory, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, File) {
        // The folder of the system may lie in memory, where there are no direct reads.
        let directory = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        (directory, File::open(path).unwrap())
    }

    #[test]
    fn a_direct_read_gives_the_bytes_of_any_piece() {
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * BUFFER + 4097).collect();
        let (_directory, file) = file(&bytes);
        let Some(direct) = open_again(&file, OFlags::DIRECT) else { return };
        let uncached = Uncached { file: &file, direct, buffers: Buffers::default() };
        let end = bytes.len();
        for (from, to) in
            [(0, 1), (1, 4097), (4095, BUFFER), (4096, 2 * BUFFER), (77, end), (end - 1, end), (end, end)]
        {
            let mut piece = vec![0xff; to - from];
            assert_eq!(uncached.read_direct(&mut piece, from as u64), Some(()), "{from} to {to}");
            assert!(piece == bytes[from..to], "{from} to {to}");
        }
        let error = uncached.read_exact_at(&mut [0; 2], end as u64 - 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn what_the_cache_has_is_read_from_it() {
        let (_directory, file) = file(&vec![1; 2 * BUFFER]);
        assert!(Uncached::of(&file, 1, 2 * BUFFER as u64 - 1).is_none());
        file.sync_all().unwrap();
        // A disk may answer so fast that a question looks as if the cache had the byte. So this is
        // tried more than once.
        let kept = (0..100).all(|_| {
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            // A disk in memory keeps all.
            let Some(uncached) = Uncached::of(&file, 0, 2 * BUFFER as u64) else { return false };
            let mut piece = vec![0; BUFFER];
            uncached.read_exact_at(&mut piece, 5).unwrap();
            assert!(piece.iter().all(|byte| *byte == 1));
            is_cached(&file, 0, BUFFER as u64) != Some(false)
        });
        assert!(!kept, "the direct reads left their bytes in the cache");
    }
}
