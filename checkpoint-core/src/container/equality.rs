//! Compares a state with a container, byte by byte, while the state is encoded.

use super::is_out_of_band;
use super::reader::Container;
use super::source::Refusal;
use super::stream::PartStream;
use crate::arrays::{Array, ArraySink, Cause};
use crate::codec::Failure;

/// Takes the parts of a state as the writer of a container would, and compares each with the part
/// of an existing container.
struct Equality<'a> {
    container: &'a Container,
    taken: usize,
}

impl<'a> Equality<'a> {
    fn new(container: &'a Container) -> Equality<'a> {
        Equality { container, taken: 0 }
    }

    /// True if the rest of the state equals the last part. The parts before it were equal, or the
    /// encoding failed.
    fn ends_with(mut self, state: &[u8]) -> Result<bool, Refusal> {
        Ok(self.taken + 1 == self.container.part_count() && self.is_next(&[state])?)
    }

    /// True if these bytes, one behind the other, are the next part.
    fn is_next(&mut self, pieces: &[&[u8]]) -> Result<bool, Refusal> {
        let number = self.taken;
        self.taken += 1;
        if number >= self.container.part_count() {
            return Ok(false);
        }
        let mut part = Reading { stream: self.container.stream(number)?, buffer: Vec::new(), read: 0 };
        for piece in pieces {
            if !part.begins_with(piece)? {
                return Ok(false);
            }
        }
        part.is_at_end()
    }
}

impl ArraySink for Equality<'_> {
    fn takes(&self, bytes: usize) -> bool {
        is_out_of_band(self.taken, bytes)
    }

    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, Cause> {
        let number = self.taken as u64;
        match self.is_next(&[&array.header(), array.bytes]) {
            Ok(true) => Ok(number),
            Ok(false) => Err(format!("{name} differs").into()),
            Err(refusal) => Err(refusal.into()),
        }
    }
}

/// A part that was compared as far as `read`.
struct Reading<'a> {
    stream: PartStream<'a>,
    buffer: Vec<u8>,
    /// The number of bytes of the buffer that were compared.
    read: usize,
}

impl Reading<'_> {
    fn begins_with(&mut self, mut bytes: &[u8]) -> Result<bool, Refusal> {
        while !bytes.is_empty() {
            if self.read == self.buffer.len() {
                self.read = 0;
                if !self.stream.next(&mut self.buffer)? {
                    return Ok(false);
                }
            }
            let there = self.buffer.get(self.read..).unwrap_or_default();
            let length = there.len().min(bytes.len());
            let (now, later) = bytes.split_at(length);
            if there.get(..length) != Some(now) {
                return Ok(false);
            }
            self.read += length;
            bytes = later;
        }
        Ok(true)
    }

    fn is_at_end(&mut self) -> Result<bool, Refusal> {
        Ok(self.read == self.buffer.len() && !self.stream.next(&mut self.buffer)?)
    }
}

/// True if the state that `encode` hands over has exactly the bytes of a container.
pub(crate) fn is_equal(
    container: &Container,
    encode: impl FnOnce(&mut Vec<u8>, &mut dyn ArraySink) -> Result<(), Failure>,
) -> Result<bool, Refusal> {
    let (mut equality, mut rest) = (Equality::new(container), Vec::new());
    // An array that differs ends the encoding.
    if encode(&mut rest, &mut equality).is_err() {
        return Ok(false);
    }
    equality.ends_with(&rest)
}
