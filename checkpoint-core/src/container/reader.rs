//! Reads a container, strictly: nothing is decoded before it is verified, nothing allocated before it is checked.

use std::io;
use std::sync::{Mutex, PoisonError};

use crc32fast::Hasher;

use super::checksum::{self, CHUNK};
use super::manifest::{FormatVersion, Manifest, PartRecord};
use super::zip::{self, Entry, Index};
use super::{FORMAT_VERSION, MANIFEST, STATE};
use crate::state::{ArrayPool, ArraySource, Kind};

/// What a container is read from: a file, or anything else that can be read from any place.
pub(crate) trait Source: Send + Sync {
    /// The length in bytes.
    fn length(&self) -> u64;

    /// Fills `buffer` from `offset` on; less than that is an error.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
}

/// Why a file is not a container that can be read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It never was one.
    NotACheckpoint,
    /// It is one of a later library.
    FormatTooNew(u32),
    /// It was one, but this part of it is not as it was written.
    Damaged { part: String, why: String },
    /// The file could not be read.
    Unreadable(io::Error),
    /// A part does not fit into the memory there is.
    NoMemory { part: String, bytes: u64 },
}

fn damaged(part: &str, why: impl Into<String>) -> Refusal {
    Refusal::Damaged { part: part.to_owned(), why: why.into() }
}

/// An open container, whose manifest and structure are verified. The parts are verified as they are read.
pub(crate) struct Container {
    source: Box<dyn Source>,
    manifest: Manifest,
    /// One for each part of the manifest, in the same order.
    entries: Vec<Entry>,
}

impl Container {
    /// Verifies all but the parts' data.
    pub(crate) fn open(source: Box<dyn Source>) -> Result<Container, Refusal> {
        let mut entries = read_entries(&*source)?;
        let manifest = match entries.pop() {
            Some(entry) if entry.name == MANIFEST => read_manifest(&*source, &entry)?,
            _ => return Err(Refusal::NotACheckpoint),
        };
        for entry in &entries {
            check_headers(&*source, entry)?;
        }
        check_parts(&entries, &manifest.parts)?;
        Ok(Container { source, manifest, entries })
    }

    /// What the checkpoint says of itself.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The length of the whole file.
    pub(crate) fn length(&self) -> u64 {
        self.source.length()
    }

    /// Reads and verifies the bytes of the state.
    pub(crate) fn state(&self) -> Result<Vec<u8>, Refusal> {
        let (Some(part), Some(entry)) = (self.manifest.parts.last(), self.entries.last()) else {
            return Err(damaged(MANIFEST, "it describes no parts"));
        };
        if part.name != STATE {
            return Err(damaged(MANIFEST, format!("the last part it describes is not {STATE}")));
        }
        let mut bytes = allocate(entry.length, STATE)?;
        self.fill(part, entry, &[], &mut bytes)?;
        Ok(bytes)
    }

    /// The arrays, for the state to take them in their order.
    /// Those of the pool are written over where one fits.
    pub(crate) fn arrays(&self, pool: ArrayPool) -> Arrays<'_> {
        Arrays { container: self, taken: 0, refusal: None, pool }
    }

    /// Fills `buffer` with the part's data behind `start`, which was read before, and verifies both.
    fn fill(&self, part: &PartRecord, entry: &Entry, start: &[u8], buffer: &mut [u8]) -> Result<(), Refusal> {
        let data = entry.data_offset().ok_or_else(|| damaged(&part.name, "its place is impossible"))?;
        let mut pieces = Vec::with_capacity(part.crc32.len());
        let mut place = start.len();
        let mut rest = buffer;
        for (number, crc32) in part.crc32.iter().enumerate() {
            let length = ((number + 1) * CHUNK - place).min(rest.len());
            let (bytes, later) = rest.split_at_mut(length);
            let before = if number == 0 { start } else { &[] };
            pieces.push(Piece { offset: data + place as u64, before, bytes, crc32: *crc32 });
            place += length;
            rest = later;
        }
        in_parallel(pieces, |piece| {
            fill(&*self.source, piece.bytes, piece.offset, &part.name)?;
            let mut crc32 = Hasher::new();
            crc32.update(piece.before);
            crc32.update(piece.bytes);
            if crc32.finalize() == piece.crc32 {
                return Ok(());
            }
            let (from, to) = (piece.offset - data, piece.offset - data + piece.bytes.len() as u64);
            Err(damaged(&part.name, format!("the checksum of bytes {from} to {to} does not match")))
        })
    }
}

/// What one checksum covers: bytes that were read before, and bytes that are to be read from a place of the file.
struct Piece<'a> {
    offset: u64,
    before: &'a [u8],
    bytes: &'a mut [u8],
    crc32: u32,
}

/// From how many pieces on several threads read; below, starting them takes longer than they save.
const PIECES_FOR_THREADS: usize = 4;

/// More threads than this read no faster than memory takes it.
const THREADS: usize = 4;

/// Does the work on every piece, each read and verified by the same thread while it is in its processor's cache.
fn in_parallel<'a>(
    pieces: Vec<Piece<'a>>,
    work: impl Fn(Piece<'a>) -> Result<(), Refusal> + Sync,
) -> Result<(), Refusal> {
    let threads = match std::thread::available_parallelism() {
        Ok(processors) if pieces.len() >= PIECES_FOR_THREADS => processors.get().min(THREADS),
        _ => 1,
    };
    if threads == 1 {
        return pieces.into_iter().try_for_each(work);
    }
    let pieces = Mutex::new(pieces.into_iter());
    let next = || pieces.lock().unwrap_or_else(PoisonError::into_inner).next();
    let one = || std::iter::from_fn(next).try_for_each(&work);
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let mut outcome = one();
        for other in others {
            let other = other.join().unwrap_or_else(|_| {
                Err(Refusal::Unreadable(io::Error::other("a thread that reads has panicked")))
            });
            outcome = outcome.and(other);
        }
        outcome
    })
}

/// The arrays of a container, each of which the state takes once, in the order in which it gave them.
pub(crate) struct Arrays<'a> {
    container: &'a Container,
    taken: u64,
    refusal: Option<Refusal>,
    pool: ArrayPool,
}

impl Arrays<'_> {
    /// Why an array could not be had, or that one was not asked for.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        let parts = &self.container.manifest.parts;
        match usize::try_from(self.taken).ok().and_then(|taken| parts.get(taken)) {
            Some(next) if next.name != STATE => Err(damaged(&next.name, "the state does not refer to it")),
            _ => Ok(()),
        }
    }

    fn refuse<R>(&mut self, outcome: Result<R, Refusal>) -> Result<R, String> {
        outcome.map_err(|refusal| {
            self.refusal = Some(refusal);
            "an array could not be read".to_owned()
        })
    }

    /// The array of that number, which must be the next.
    fn next(&self, number: u64) -> Result<(&PartRecord, &Entry), Refusal> {
        let place = usize::try_from(number).ok().filter(|_| number == self.taken);
        let part = place.and_then(|place| self.container.manifest.parts.get(place));
        match (part, place.and_then(|place| self.container.entries.get(place))) {
            (Some(part), Some(entry)) if part.name != STATE => Ok((part, entry)),
            _ => {
                Err(damaged(STATE, format!("it refers to array {number} where array {} belongs", self.taken)))
            }
        }
    }

    /// The header of the array of that number.
    fn header(&self, number: u64) -> Result<Vec<u8>, Refusal> {
        let (part, entry) = self.next(number)?;
        let source = &*self.container.source;
        let offset = entry.data_offset().ok_or_else(|| damaged(&part.name, "its place is impossible"))?;
        let start = read_bytes(source, offset, entry.length.min(10), &part.name)?;
        let length = match start[..] {
            [_, _, _, _, _, _, _, _, low, high] => 10 + u64::from(u16::from_le_bytes([low, high])),
            _ => return Err(damaged(&part.name, "it is too short for an array")),
        };
        if length > entry.length {
            return Err(damaged(&part.name, "its header is longer than itself"));
        }
        read_bytes(source, offset, length, &part.name)
    }

    /// The header, and the number of rows, of an array that must be of this kind.
    fn of_kind(&self, number: u64, kind: Kind) -> Result<(Vec<u8>, usize), Refusal> {
        let header = self.header(number)?;
        let (part, entry) = self.next(number)?;
        let bytes = entry.length - header.len() as u64;
        let rows = bytes / kind.row();
        // The one header that an array of this kind and this length can have.
        if !bytes.is_multiple_of(kind.row()) || header != kind.header(rows) {
            return Err(damaged(&part.name, "its type or its shape is not that of the field it belongs to"));
        }
        let rows = usize::try_from(rows).map_err(|_| Refusal::NoMemory { part: part.name.clone(), bytes })?;
        Ok((header, rows))
    }

    fn fill_next(&mut self, number: u64, header: &[u8], buffer: &mut [u8]) -> Result<(), Refusal> {
        let (part, entry) = self.next(number)?;
        if header.len() as u64 + buffer.len() as u64 != entry.length {
            return Err(damaged(&part.name, "its length is not that of the field it belongs to"));
        }
        self.container.fill(part, entry, header, buffer)?;
        self.taken += 1;
        Ok(())
    }
}

impl ArraySource for Arrays<'_> {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.pool
    }

    fn rows(&mut self, number: u64, kind: Kind) -> Result<usize, String> {
        let rows = self.of_kind(number, kind).map(|(_, rows)| rows);
        self.refuse(rows)
    }

    fn fill(&mut self, number: u64, buffer: &mut [u8]) -> Result<(), String> {
        let outcome = self.header(number).and_then(|header| self.fill_next(number, &header, buffer));
        self.refuse(outcome)
    }

    fn bytes(&mut self, number: u64) -> Result<(u64, Vec<u8>), String> {
        let outcome = self.header(number).and_then(|header| {
            let (part, entry) = self.next(number)?;
            let length = entry.length - header.len() as u64;
            let rows = Kind::rows_of(&header, length)
                .ok_or_else(|| damaged(&part.name, "its type and its shape are not those of an array"))?;
            let mut bytes = allocate(length, &part.name)?;
            self.fill_next(number, &header, &mut bytes)?;
            Ok((rows, bytes))
        });
        self.refuse(outcome)
    }
}

/// Reads the list of entries from the end of the file, and makes sure that it is the one possible list of them.
fn read_entries(source: &dyn Source) -> Result<Vec<Entry>, Refusal> {
    const PART: &str = "end of the file";
    let length = source.length();
    if length == 0 {
        return Err(damaged("file", "it is empty"));
    }
    let mut start = [0; 4];
    let known = &mut start[..usize::try_from(length).unwrap_or(4).min(4)];
    fill(source, known, 0, "start of the file")?;
    if !zip::starts_as_zip(&start) {
        return Err(Refusal::NotACheckpoint);
    }
    let end_length = usize::try_from(length).unwrap_or(zip::END_AT_MOST).min(zip::END_AT_MOST);
    let end = read_bytes(source, length - end_length as u64, end_length as u64, PART)?;
    let index = Index::parse(&end).ok_or_else(|| {
        damaged(PART, "it is not the end of a checkpoint: the file was cut short or written over")
    })?;
    // All of these come from the file: no sum may wrap, and together they must meet its length exactly.
    let meets = index.offset.checked_add(index.size).and_then(|sum| sum.checked_add(index.end_size()));
    if meets != Some(length) {
        return Err(damaged(PART, "the entries and the end do not meet"));
    }
    let tail = read_bytes(source, index.offset, length - index.offset, PART)?;
    let central = usize::try_from(index.size).ok().and_then(|size| tail.get(..size));
    let entries =
        central.and_then(zip::entries).ok_or_else(|| damaged(PART, "the list of entries cannot be read"))?;
    let mut offset = 0;
    for entry in &entries {
        if entry.offset != offset {
            return Err(damaged(&entry.name, "its entry does not start where the one before it ends"));
        }
        offset = entry.end().ok_or_else(|| damaged(&entry.name, "its length is impossible"))?;
    }
    if zip::tail(&entries).as_deref() != Some(&tail[..]) {
        return Err(damaged(PART, "the list of entries is not as it was written"));
    }
    Ok(entries)
}

fn read_manifest(source: &dyn Source, entry: &Entry) -> Result<Manifest, Refusal> {
    let bytes = read_data(source, entry)?;
    if crc32fast::hash(&bytes) != entry.crc32 {
        return Err(damaged(MANIFEST, "its checksum does not match"));
    }
    let FormatVersion { format_version } = parse(&bytes)?;
    if format_version > FORMAT_VERSION {
        return Err(Refusal::FormatTooNew(format_version));
    }
    if format_version == 0 {
        return Err(damaged(MANIFEST, "there is no format version 0"));
    }
    check_headers(source, entry)?;
    let manifest: Manifest = parse(&bytes)?;
    if !manifest.header.schema.is_closed() {
        return Err(damaged(MANIFEST, "the schema refers to a type that it does not define"));
    }
    Ok(manifest)
}

fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| damaged(MANIFEST, format!("it is not a manifest: {error}")))
}

/// The manifest and the list of entries must tell the same: two descriptions that differ would let two readers see
/// two different files.
fn check_parts(entries: &[Entry], parts: &[PartRecord]) -> Result<(), Refusal> {
    if entries.len() != parts.len() {
        let why = format!("it describes {} parts, the file has {}", parts.len(), entries.len());
        return Err(damaged(MANIFEST, why));
    }
    let mut names = std::collections::HashSet::new();
    for (entry, part) in entries.iter().zip(parts) {
        if entry.name != part.name || !names.insert(&part.name) {
            return Err(damaged(&entry.name, "it is not the part that the manifest describes in its place"));
        }
        let crc32 = checksum::combined(&part.crc32, part.length);
        if entry.length != part.length || crc32 != Some(entry.crc32) {
            return Err(damaged(&entry.name, "the manifest describes another length or another checksum"));
        }
    }
    Ok(())
}

/// What surrounds the data of an entry.
fn check_headers(source: &dyn Source, entry: &Entry) -> Result<(), Refusal> {
    let impossible = || damaged(&entry.name, "its header is impossible");
    let header = entry.local_header().ok_or_else(impossible)?;
    let descriptor = entry.descriptor();
    let end = entry.end().ok_or_else(impossible)?;
    for (expected, offset) in [(header, entry.offset), (descriptor, end)] {
        // The descriptor ends where the entry does.
        let offset = if offset == end { end - expected.len() as u64 } else { offset };
        if read_bytes(source, offset, expected.len() as u64, &entry.name)? != expected {
            return Err(damaged(&entry.name, "its header is not as it was written"));
        }
    }
    Ok(())
}

fn read_data(source: &dyn Source, entry: &Entry) -> Result<Vec<u8>, Refusal> {
    let offset = entry.data_offset().ok_or_else(|| damaged(&entry.name, "its place is impossible"))?;
    read_bytes(source, offset, entry.length, &entry.name)
}

/// Reads `length` bytes, which the file is long enough to have.
fn read_bytes(source: &dyn Source, offset: u64, length: u64, part: &str) -> Result<Vec<u8>, Refusal> {
    if offset.checked_add(length).is_none_or(|end| end > source.length()) {
        return Err(damaged(part, "it reaches beyond the end of the file"));
    }
    let mut bytes = allocate(length, part)?;
    fill(source, &mut bytes, offset, part)?;
    Ok(bytes)
}

/// Memory for what the file is long enough to have; but a sparse file has any length without taking any space.
fn allocate(length: u64, part: &str) -> Result<Vec<u8>, Refusal> {
    let memory =
        usize::try_from(length).ok().and_then(|length| bytemuck::allocation::try_zeroed_vec(length).ok());
    memory.ok_or_else(|| Refusal::NoMemory { part: part.to_owned(), bytes: length })
}

fn fill(source: &dyn Source, buffer: &mut [u8], offset: u64, part: &str) -> Result<(), Refusal> {
    source.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(part, "the file became shorter while it was read"),
        _ => Refusal::Unreadable(error),
    })
}
