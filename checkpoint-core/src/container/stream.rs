//! Reads a part piece by piece, so that only one piece is in memory. Each is verified before use.

use super::checksum::CHUNK;
use super::manifest::PartRecord;
use super::pack::Unpacker;
use super::part::fill_chunks;
use super::reader::Container;
use super::source::{Refusal, Source, allocate, damaged};
use super::tag::TagKey;
use super::zip::Entry;
use crate::arrays::ArrayHeader;

/// The number of chunks that are read at a time, on several threads.
const CHUNKS: usize = 16;

/// A part that is read piece by piece.
pub(crate) struct PartStream<'a> {
    source: &'a dyn Source,
    part: &'a PartRecord,
    key: Option<&'a TagKey>,
    data: u64,
    size: u64,
    read: u64,
    /// The number of bytes that are read at a time; whole chunks.
    step: usize,
    /// `None` where the part is not compressed, and at its end.
    unpacker: Option<Unpacker<'a>>,
}

impl<'a> PartStream<'a> {
    fn new(container: &'a Container, part: &'a PartRecord, entry: &Entry) -> Result<PartStream<'a>, Refusal> {
        let data = entry.data_offset().ok_or_else(|| damaged(&part.name, "its place is impossible"))?;
        let (source, key) = (&*container.source, container.key.as_ref());
        let unpacked = part.unpacked.as_ref();
        let unpacker =
            unpacked.map(|unpacked| Unpacker::new(source, part, unpacked, data, key)).transpose()?;
        let (size, step) = (entry.size(), CHUNKS * CHUNK);
        Ok(PartStream { source, part, key, data, size, read: 0, step, unpacker })
    }

    /// Reads less at a time, for callers that want only the first bytes.
    pub(crate) fn short(self) -> PartStream<'a> {
        PartStream { step: CHUNK, ..self }
    }

    /// Replaces `buffer` by the next bytes, verified. Returns false at the end. The last checksum
    /// of a compressed part is only verified once this returned false.
    pub(crate) fn next(&mut self, buffer: &mut Vec<u8>) -> Result<bool, Refusal> {
        let left = self.size - self.read;
        if left == 0 {
            buffer.clear();
            return self.unpacker.take().map_or(Ok(()), Unpacker::finish).map(|()| false);
        }
        let length = usize::try_from(left).map_or(self.step, |left| left.min(self.step));
        if buffer.len() < length {
            *buffer = allocate(length as u64, &self.part.name)?;
        }
        buffer.truncate(length);
        match &mut self.unpacker {
            Some(unpacker) => unpacker.fill(buffer)?,
            None => {
                let first = usize::try_from(self.read / CHUNK as u64).unwrap_or(usize::MAX);
                fill_chunks(self.source, self.part, self.data, self.key, first, &[], buffer)?;
            }
        }
        self.read += length as u64;
        Ok(true)
    }
}

/// The facts about a part that need no reading.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PartFacts<'a> {
    pub(crate) name: &'a str,
    /// The unpacked length in bytes.
    pub(crate) bytes: u64,
    /// The length in the file in bytes.
    pub(crate) stored: u64,
    pub(crate) is_compressed: bool,
}

impl Container {
    /// The number of parts. The last is the state, all others are arrays.
    pub(crate) fn part_count(&self) -> usize {
        self.entries.len()
    }

    /// The facts about a part.
    pub(crate) fn part(&self, number: usize) -> Option<PartFacts<'_>> {
        self.entries.get(number).map(|entry| PartFacts {
            name: &entry.name,
            bytes: entry.size(),
            stored: entry.length,
            is_compressed: entry.unpacked.is_some(),
        })
    }

    /// Reads everything, and compares every checksum.
    pub(crate) fn verify(&self) -> Result<(), Refusal> {
        let mut buffer = Vec::new();
        (0..self.part_count()).try_for_each(|number| {
            let mut part = self.stream(number)?;
            while part.next(&mut buffer)? {}
            Ok(())
        })
    }

    /// Starts reading a part.
    pub(crate) fn stream(&self, number: usize) -> Result<PartStream<'_>, Refusal> {
        let (part, entry) = self.at(number)?;
        PartStream::new(self, part, entry)
    }

    /// The header of an array. It is verified only together with the bytes after it, not here; but
    /// a header that no array of this length can have is refused.
    pub(crate) fn array_header(&self, number: usize) -> Result<ArrayHeader, Refusal> {
        self.array(number).ok_or_else(|| no_such(number))?.header(self)
    }

    fn at(&self, number: usize) -> Result<(&PartRecord, &Entry), Refusal> {
        let found = self.manifest.parts.get(number).zip(self.entries.get(number));
        found.ok_or_else(|| no_such(number))
    }
}

fn no_such(number: usize) -> Refusal {
    damaged(super::STATE, format!("it refers to array {number}, which is not there"))
}
