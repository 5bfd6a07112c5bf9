//! Reads pieces of an array: the chunks that they lie in, so that every byte used is verified, and
//! nothing else.

use super::checksum::CHUNK;
use super::part::fill_chunks;
use super::reader::Container;
use super::source::{Refusal, allocate, damaged};

/// Bytes of an array, and their place in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The first byte, counted from the start of the data, behind the header.
    pub(crate) from: u64,
    /// The place of the first byte in the buffer.
    pub(crate) to: usize,
    pub(crate) length: usize,
}

impl Container {
    /// Fills places of `buffer` with pieces of an array, which go forward in it. `header` is the
    /// length of its header. Reads a compressed array as far as the last piece.
    pub(crate) fn fill_pieces(
        &self,
        number: usize,
        header: u64,
        pieces: impl Iterator<Item = Piece>,
        buffer: &mut [u8],
    ) -> Result<(), Refusal> {
        let mut parts = Parts::new(self, number)?;
        for Piece { from, to, length } in pieces {
            let missing = || damaged(parts.name(), "a piece of it goes nowhere");
            let target = buffer.get_mut(to..).and_then(|rest| rest.get_mut(..length));
            let target = target.ok_or_else(missing)?;
            let from = from.checked_add(header).ok_or_else(missing)?;
            parts.fill(from, target)?;
        }
        parts.finish()
    }
}

/// An array while pieces of it are read.
struct Parts<'a> {
    container: &'a Container,
    number: usize,
    /// The length of the array in bytes, with its header.
    size: u64,
    /// The first byte of what was read last, and verified.
    begin: u64,
    window: Vec<u8>,
    /// The rest of a compressed array.
    stream: Option<super::PartStream<'a>>,
}

impl<'a> Parts<'a> {
    fn new(container: &'a Container, number: usize) -> Result<Parts<'a>, Refusal> {
        let Some(facts) = container.part(number) else {
            return Err(damaged(super::STATE, format!("it refers to array {number}, which is not there")));
        };
        let stream = facts.is_compressed.then(|| container.stream(number)).transpose()?;
        Ok(Parts { container, number, size: facts.bytes, begin: 0, window: Vec::new(), stream })
    }

    fn name(&self) -> &'a str {
        self.container.part(self.number).map_or("", |facts| facts.name)
    }

    /// Fills `target` with the bytes from `from` on.
    fn fill(&mut self, mut from: u64, mut target: &mut [u8]) -> Result<(), Refusal> {
        if from.checked_add(target.len() as u64).is_none_or(|end| end > self.size) {
            return Err(damaged(self.name(), "it is shorter than its header says"));
        }
        while !target.is_empty() {
            let whole = self.whole_chunks(from, target.len());
            if whole > 0 {
                let (direct, later) = target.split_at_mut(whole);
                self.read(from, direct)?;
                from += whole as u64;
                target = later;
                continue;
            }
            if !self.window_has(from) {
                self.move_window(from)?;
            }
            let known = usize::try_from(from - self.begin).ok().and_then(|start| self.window.get(start..));
            let known = known.unwrap_or_default();
            let length = known.len().min(target.len());
            if length == 0 {
                return Err(damaged(self.name(), "it ends too early"));
            }
            let (now, later) = target.split_at_mut(length);
            now.copy_from_slice(&known[..length]);
            from += length as u64;
            target = later;
        }
        Ok(())
    }

    fn window_has(&self, place: u64) -> bool {
        (self.begin..self.begin + self.window.len() as u64).contains(&place)
    }

    /// The number of bytes that can go to their place without a copy: those of whole chunks.
    fn whole_chunks(&self, from: u64, length: usize) -> usize {
        if self.stream.is_some() || !from.is_multiple_of(CHUNK as u64) || self.window_has(from) {
            return 0;
        }
        // The last chunk ends with the array.
        if from + length as u64 == self.size { length } else { length / CHUNK * CHUNK }
    }

    /// Reads and verifies the chunk of a byte, or the next pieces of a compressed array.
    fn move_window(&mut self, place: u64) -> Result<(), Refusal> {
        if let Some(stream) = &mut self.stream {
            while !(self.begin..self.begin + self.window.len() as u64).contains(&place) {
                self.begin += self.window.len() as u64;
                if !stream.next(&mut self.window)? {
                    return Err(damaged(self.name(), "it ends too early"));
                }
            }
            return Ok(());
        }
        self.begin = place / CHUNK as u64 * CHUNK as u64;
        let length = (self.size - self.begin).min(CHUNK as u64);
        let mut window = std::mem::take(&mut self.window);
        if window.len() as u64 != length {
            window = allocate(length, self.name())?;
        }
        self.read(self.begin, &mut window)?;
        self.window = window;
        Ok(())
    }

    /// Reads and verifies bytes from the start of a chunk to the end of one.
    fn read(&self, from: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
        let Container { source, manifest, entries, key, .. } = self.container;
        let place = manifest.parts.get(self.number).zip(entries.get(self.number));
        let found = place.and_then(|(part, entry)| Some((part, entry.data_offset()?)));
        let (part, data) = found.ok_or_else(|| damaged(self.name(), "its place is impossible"))?;
        let first = usize::try_from(from / CHUNK as u64).unwrap_or(usize::MAX);
        fill_chunks(&**source, part, data, key.as_ref(), first, &[], buffer)
    }

    /// Verifies the end of a compressed array: its last checksum covers all of it.
    fn finish(mut self) -> Result<(), Refusal> {
        let Some(mut stream) = self.stream.take() else { return Ok(()) };
        while stream.next(&mut self.window)? {}
        Ok(())
    }
}
