//! Reads the bytes around the data of the entries: local headers and descriptors, and the headers
//! of arrays.
//!
//! Headers that are near each other are read together, so that a file of many short arrays takes
//! few reads.

use super::source::{Refusal, Source, damaged, read_bytes};
use super::zip::Entry;

/// The least length in bytes of entries that count as far apart: the headers of all of these are
/// prefetched …
const AHEAD: u64 = 64 << 10;

/// … this number of bytes each: twice the greatest padding of an alignment.
const AROUND: u64 = 12 << 10;

/// The most bytes of one read, unless one header is longer.
const AT_ONCE: u64 = 64 << 10;

/// The number of bytes of an array that are read with the header of its entry: the header of an
/// array of one or two dimensions fits.
const START: u64 = 128;

/// The first bytes of the entries that are arrays.
pub(super) struct Starts {
    /// The number of the first entry.
    first: usize,
    bytes: Vec<u8>,
    /// The end of the first bytes of each entry.
    ends: Vec<usize>,
}

impl Starts {
    /// The first bytes of the entry with this index. They are not verified yet: look at them, and
    /// do not trust them.
    pub(super) fn get(&self, place: usize) -> &[u8] {
        let end = |place: usize| self.ends.get(place).copied();
        let Some(place) = place.checked_sub(self.first) else { return &[] };
        let from = place.checked_sub(1).and_then(end).unwrap_or(0);
        end(place).and_then(|to| self.bytes.get(from..to)).unwrap_or_default()
    }

    /// The same, where the entries are those from this number on.
    pub(super) fn of_parts_from(self, first: usize) -> Starts {
        Starts { first, ..self }
    }
}

/// The expected bytes between the data of one entry and that of the next.
struct Between<'e> {
    before: Option<&'e Entry>,
    entry: Option<&'e Entry>,
    descriptor: Vec<u8>,
    header: Vec<u8>,
    from: u64,
    /// The number of bytes to read of the data behind it.
    start: u64,
}

impl<'e> Between<'e> {
    fn new(before: Option<&'e Entry>, entry: Option<&'e Entry>) -> Result<Between<'e>, Refusal> {
        let name = entry.or(before).map_or("", |entry| &entry.name);
        let impossible = || damaged(name, "its header is impossible");
        let descriptor = before.map(Entry::descriptor).unwrap_or_default();
        let (header, end) = match entry {
            Some(entry) => (entry.local_header().ok_or_else(impossible)?, entry.offset),
            None => (Vec::new(), before.map_or(Some(0), Entry::end).ok_or_else(impossible)?),
        };
        let is_array = |entry: &&Entry| entry.unpacked.is_none() && entry.name.ends_with(".npy");
        let start = entry.filter(is_array).map_or(0, |entry| entry.length.min(START));
        let from = end.checked_sub(descriptor.len() as u64).ok_or_else(impossible)?;
        Ok(Between { before, entry, descriptor, header, from, start })
    }

    fn length(&self) -> usize {
        self.descriptor.len() + self.header.len()
    }

    /// The end of the bytes to read. It is inside the file, as its entries are.
    fn end(&self) -> u64 {
        self.from + self.length() as u64 + self.start
    }

    fn name(&self) -> &'e str {
        self.entry.or(self.before).map_or("", |entry| &entry.name)
    }

    /// Compares it with the bytes of the file, and returns the bytes behind it.
    fn compare<'f>(&self, found: &'f [u8]) -> Result<&'f [u8], Refusal> {
        let changed = |entry: Option<&Entry>| {
            let name = entry.map_or("", |entry| &entry.name);
            damaged(name, "its header is not as it was written")
        };
        let rest = found.strip_prefix(&self.descriptor[..]).ok_or_else(|| changed(self.before))?;
        rest.strip_prefix(&self.header[..]).ok_or_else(|| changed(self.entry))
    }
}

/// Checks that the bytes around the data of consecutive entries are as they were written. Returns
/// the first bytes of the arrays among them.
pub(super) fn check(source: &dyn Source, entries: &[Entry]) -> Result<Starts, Refusal> {
    // The cache lacks bytes that were written with direct I/O. The header of an array is behind
    // that of its entry.
    for entry in entries.iter().filter(|entry| entry.length >= AHEAD) {
        source.will_read(entry.offset, AROUND);
    }
    let before = std::iter::once(None).chain(entries.iter().map(Some));
    let after = entries.iter().map(Some).chain(std::iter::once(None));
    let mut starts = Starts { first: 0, bytes: Vec::new(), ends: Vec::with_capacity(entries.len()) };
    // Only the expected bytes of one read are in memory at a time: a file may have very many
    // entries.
    let mut near: Vec<Between<'_>> = Vec::new();
    for (before, entry) in before.zip(after) {
        let between = Between::new(before, entry)?;
        let from = near.first().map_or(between.from, |first| first.from);
        if between.end().saturating_sub(from) > AT_ONCE {
            read(source, &near, &mut starts)?;
            near.clear();
        }
        near.push(between);
    }
    read(source, &near, &mut starts)?;
    Ok(starts)
}

/// Reads and compares headers that are near each other.
fn read(source: &dyn Source, near: &[Between<'_>], starts: &mut Starts) -> Result<(), Refusal> {
    let (Some(first), Some(last)) = (near.first(), near.last()) else { return Ok(()) };
    let found = read_bytes(source, first.from, last.end() - first.from, first.name())?;
    for between in near {
        let from = usize::try_from(between.from - first.from).unwrap_or(usize::MAX);
        let start = usize::try_from(between.start).unwrap_or(0);
        let found = found.get(from..).unwrap_or_default();
        let behind = between.compare(found)?;
        if between.entry.is_some() {
            starts.bytes.extend_from_slice(behind.get(..start).unwrap_or_default());
            starts.ends.push(starts.bytes.len());
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;
    use crate::codec;
    use crate::container::{Container, ContainerWriter, Manifest, Metadata};
    use crate::evolution::Program;

    /// A file that counts its reads.
    struct Counted {
        file: Vec<u8>,
        reads: Arc<AtomicU64>,
        bytes: Arc<AtomicU64>,
    }

    impl Source for Counted {
        fn length(&self) -> u64 {
            self.file.len() as u64
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.reads.fetch_add(1, Relaxed);
            self.bytes.fetch_add(buffer.len() as u64, Relaxed);
            let from = usize::try_from(offset).unwrap();
            buffer.copy_from_slice(&self.file[from..from + buffer.len()]);
            Ok(())
        }
    }

    /// A file with this number of arrays, each of this length.
    fn file(arrays: usize, length: usize) -> Vec<u8> {
        let state = vec![vec![1.5_f64; length]; arrays];
        let program = Program::of::<Vec<Vec<f64>>>();
        let (mut file, mut rest) = (Vec::new(), Vec::new());
        let mut writer = ContainerWriter::new(&mut file);
        codec::encode(&state, program.forms(), &mut rest, &mut writer).unwrap();
        let manifest = Manifest::of(&program, 1, Metadata::new());
        writer.finish(&rest, manifest).unwrap();
        file
    }

    /// The number of reads that check all headers of such a file, and of the bytes they read.
    fn reads(arrays: usize, length: usize) -> (u64, u64) {
        let (reads, bytes) = (Arc::default(), Arc::default());
        let source =
            Counted { file: file(arrays, length), reads: Arc::clone(&reads), bytes: Arc::clone(&bytes) };
        let container = Container::open(Box::new(source), &[]).unwrap();
        container.check_arrays().unwrap();
        (reads.load(Relaxed), bytes.load(Relaxed))
    }

    #[test]
    fn only_the_headers_of_one_read_are_in_memory() {
        let file = file(1000, 128);
        let counted = |file| Counted { file, reads: Arc::default(), bytes: Arc::default() };
        let mut entries = Container::open(Box::new(counted(file.clone())), &[]).unwrap().entries;
        let source = counted(file);
        assert!(check(&source, &entries).is_ok());
        let all = source.reads.swap(0, Relaxed);
        // A header that is impossible is found when its turn comes, after the others were read.
        let offset = entries.last().and_then(Entry::end).unwrap();
        let name = "n".repeat(usize::from(u16::MAX) + 1);
        entries.push(Entry { name, length: 8, unpacked: None, crc32: 0, offset });
        assert!(check(&source, &entries).is_err());
        let before = source.reads.load(Relaxed);
        assert!(all > 4 && before + 2 >= all, "{before} of {all} reads");
    }

    #[test]
    fn the_headers_of_many_short_arrays_are_read_at_once() {
        let (reads, _) = reads(256, 128);
        assert!(reads <= 16, "{reads} reads");
    }

    #[test]
    fn looking_at_headers_reads_no_long_array() {
        let (reads, bytes) = reads(20, 100_000);
        assert!(reads <= 20 + 10, "{reads} reads");
        assert!(bytes <= 64 << 10, "{bytes} bytes");
    }
}
