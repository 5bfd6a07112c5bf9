//! Reads one part of a container, verified, compressed or not.

use crc32fast::Hasher;

use super::checksum::{CHUNK, Crc32};
use super::manifest::PartRecord;
use super::pack::Unpacker;
use super::parallel::{PIECES_FOR_THREADS, Piece, in_parallel};
use super::source::{Refusal, Source, allocate, damaged, fill};
use super::tag::TagKey;
use super::zip::Entry;

/// A part that is read from its start to its end.
pub(super) struct PartReader<'a> {
    source: &'a dyn Source,
    part: &'a PartRecord,
    /// The offset of its data in the file.
    data: u64,
    /// The unpacked length in bytes.
    size: u64,
    unpacker: Option<Unpacker<'a>>,
    /// The key of the tags of its chunks, where tags count.
    key: Option<&'a TagKey>,
    /// Its first bytes, as far as opening the container read them.
    known: &'a [u8],
    /// Its first bytes that were looked at. They are verified together with the rest.
    start: Vec<u8>,
}

impl<'a> PartReader<'a> {
    pub(super) fn new(
        source: &'a dyn Source,
        part: &'a PartRecord,
        entry: &Entry,
        key: Option<&'a TagKey>,
    ) -> Result<PartReader<'a>, Refusal> {
        let data = entry.data_offset().ok_or_else(|| damaged(&part.name, "its place is impossible"))?;
        let unpacked = part.unpacked.as_ref();
        let unpacker =
            unpacked.map(|unpacked| Unpacker::new(source, part, unpacked, data, key)).transpose()?;
        let size = entry.size();
        Ok(PartReader { source, part, data, size, unpacker, key, known: &[], start: Vec::new() })
    }

    /// The same reader, of an uncompressed part, after its first bytes were read.
    pub(super) fn knowing(self, known: &'a [u8]) -> PartReader<'a> {
        let start = Vec::with_capacity(known.len());
        PartReader { known, start, ..self }
    }

    /// The length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Its first bytes: `length`, or all of them. They are not verified yet: look at them, and do
    /// not trust them.
    pub(super) fn start(&mut self, length: u64) -> Result<&[u8], Refusal> {
        let wanted = usize::try_from(length.min(self.size)).unwrap_or(usize::MAX);
        let until = wanted.min(self.known.len());
        self.start.extend_from_slice(self.known.get(self.start.len()..until).unwrap_or_default());
        let known = self.start.len() as u64;
        if known >= length.min(self.size) {
            return Ok(&self.start);
        }
        let mut more = allocate(length.min(self.size).saturating_sub(known), &self.part.name)?;
        match &mut self.unpacker {
            Some(unpacker) => unpacker.fill(&mut more)?,
            None => fill(self.source, &mut more, self.data + known, &self.part.name)?,
        }
        self.start.append(&mut more);
        Ok(&self.start)
    }

    /// Fills `buffer` with all bytes after the start, and verifies both.
    pub(super) fn fill(self, buffer: &mut [u8]) -> Result<(), Refusal> {
        if self.start.len() as u64 + buffer.len() as u64 != self.size {
            return Err(damaged(&self.part.name, "its length is not that of the field it belongs to"));
        }
        match self.unpacker {
            Some(mut unpacker) => {
                unpacker.fill(buffer)?;
                unpacker.finish()
            }
            None => self.fill_in_parallel(buffer),
        }
    }

    fn fill_in_parallel(&self, buffer: &mut [u8]) -> Result<(), Refusal> {
        let PartReader { source, part, data, key, start, .. } = self;
        fill_chunks(*source, part, *data, *key, 0, start, buffer)
    }
}

/// Fills `buffer` with the bytes of a part from the start of a chunk on, after those that were read
/// `before`, and verifies both. The buffer ends where a chunk does.
pub(super) fn fill_chunks(
    source: &dyn Source,
    part: &PartRecord,
    data: u64,
    key: Option<&TagKey>,
    first: usize,
    before: &[u8],
    buffer: &mut [u8],
) -> Result<(), Refusal> {
    let length = buffer.len() as u64;
    let mut pieces = Vec::with_capacity(buffer.len() / CHUNK + 1);
    let mut place = (first * CHUNK + before.len()) as u64;
    let mut rest = buffer;
    for (number, crc32) in part.crc32.iter().enumerate().skip(first) {
        let before = if number == first { before } else { &[] };
        if rest.is_empty() && before.is_empty() {
            break;
        }
        let length = (CHUNK - before.len()).min(rest.len());
        let (bytes, later) = rest.split_at_mut(length);
        let tag = part.blake3.get(number).copied();
        pieces.push(Piece { offset: data + place, before, bytes, crc32: *crc32, tag });
        place += length as u64;
        rest = later;
    }
    let uncached = pieces.first().filter(|_| pieces.len() >= PIECES_FOR_THREADS);
    let uncached = uncached.and_then(|piece| source.past_cache(piece.offset, length));
    in_parallel(pieces, uncached.is_some(), |piece| {
        // Bytes that are wrong past the cache are no damage yet.
        if let Some(uncached) = uncached.as_deref()
            && fill(uncached, piece.bytes, piece.offset, &part.name).is_ok()
            && mismatch(&piece, key).is_none()
        {
            return Ok(());
        }
        fill(source, piece.bytes, piece.offset, &part.name)?;
        let Some(what) = mismatch(&piece, key) else { return Ok(()) };
        let (from, to) = (piece.offset - data, piece.offset - data + piece.bytes.len() as u64);
        Err(damaged(&part.name, format!("the {what} of bytes {from} to {to} does not match")))
    })
}

/// The part of a piece that does not match its bytes.
fn mismatch(piece: &Piece<'_>, key: Option<&TagKey>) -> Option<&'static str> {
    let mut crc32 = Hasher::new();
    crc32.update(piece.before);
    crc32.update(piece.bytes);
    if Crc32(crc32.finalize()) != piece.crc32 {
        return Some("checksum");
    }
    key.filter(|key| Some(key.tag(&[piece.before, piece.bytes])) != piece.tag).map(|_| "tag")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io;

    use super::*;
    use crate::container::Memory;

    /// A source whose way past the cache gives wrong bytes, or none.
    struct WrongWay {
        source: Memory<Vec<u8>>,
        fails: bool,
    }

    struct Way<'a>(&'a WrongWay);

    impl Source for WrongWay {
        fn length(&self) -> u64 {
            self.source.length()
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.source.read_exact_at(buffer, offset)
        }

        fn past_cache(&self, _: u64, _: u64) -> Option<Box<dyn Source + '_>> {
            Some(Box::new(Way(self)))
        }
    }

    impl Source for Way<'_> {
        fn length(&self) -> u64 {
            self.0.length()
        }

        fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_exact_at(buffer, offset)?;
            if self.0.fails {
                return Err(io::ErrorKind::InvalidInput.into());
            }
            buffer.iter_mut().for_each(|byte| *byte ^= 1);
            Ok(())
        }
    }

    #[test]
    fn what_is_wrong_past_the_cache_is_read_again() {
        let bytes: Vec<u8> = (0..=250).cycle().take(5 * CHUNK + 77).collect();
        let crc32 = bytes.chunks(CHUNK).map(|chunk| Crc32(crc32fast::hash(chunk))).collect();
        let (name, length) = ("field".to_owned(), bytes.len() as u64);
        let part = PartRecord { name, length, unpacked: None, crc32, blake3: Vec::new() };
        for fails in [false, true] {
            let mut source = WrongWay { source: Memory(bytes.clone()), fails };
            let mut read = vec![0; bytes.len()];
            fill_chunks(&source, &part, 0, None, 0, &[], &mut read).unwrap();
            assert!(read == bytes);
            source.source.0[3 * CHUNK] ^= 1;
            let refusal = fill_chunks(&source, &part, 0, None, 0, &[], &mut read).unwrap_err();
            assert!(refusal.to_string().contains("3145728 to 4194304 does not match"), "{refusal}");
        }
    }
}
