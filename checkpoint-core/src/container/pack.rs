//! Packs and unpacks parts by Zstandard: one frame for each part, in little memory, however long the part is.
//!
//! The checksums of the manifest cover what is in the file. So nothing is unpacked that is not what was written, and what
//! a forger wrote meets these limits: a frame unpacks to exactly the length that was declared, into memory that was taken
//! for that length; it needs no dictionary, and looks back no further than [`WINDOW`].

use std::io;
use std::iter;

use crc32fast::Hasher;
use zstd::stream::raw::{Encoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::{
    CCtx, CParameter, DCtx, DParameter, get_dict_id_from_frame, get_error_name, get_frame_content_size,
};

use super::checksum::{CHUNK, Crc32};
use super::manifest::{PartRecord, Unpacked};
use super::source::{Refusal, Source, allocate, damaged, fill};
use super::tag::{Tag, TagKey};

/// The power of two of bytes that a frame may look back: what the highest level uses. It is memory that unpacking takes.
const WINDOW: u32 = 23;

/// How much is packed at a time.
const PIECE: usize = 128 << 10;

/// Shorter parts are not packed: what they lose is little, and lost again to alignment.
const SHORTEST: usize = 1 << 10;

/// What decides whether a part is worth packing: so many samples of it …
const SAMPLES: usize = 8;

/// … each of this length.
const SAMPLE: usize = 64 << 10;

/// The first bytes of a frame.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Packs one part after the other.
pub(super) struct Packer {
    context: CCtx<'static>,
    output: Vec<u8>,
}

impl Packer {
    pub(super) fn new(level: i32) -> io::Result<Packer> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        context.set_parameter(CParameter::CompressionLevel(level)).map_err(failed)?;
        Ok(Packer { context, output: vec![0; PIECE] })
    }

    /// Whether packing makes these bytes shorter by enough, judged by samples of them.
    pub(super) fn gains(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if bytes.len() < SHORTEST {
            return Ok(false);
        }
        let (mut before, mut after) = (0, 0);
        for sample in samples(bytes) {
            before += sample.len();
            self.pack(sample.len() as u64, iter::once(sample), |packed| {
                after += packed.len();
                Ok(())
            })?;
        }
        Ok(after * 100 <= before * 95)
    }

    /// Packs so many bytes, which come in pieces, and hands on what becomes of them.
    pub(super) fn pack<'b>(
        &mut self,
        length: u64,
        pieces: impl Iterator<Item = &'b [u8]>,
        mut put: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut encoder = Encoder::with_context(&mut self.context);
        encoder.set_pledged_src_size(Some(length))?;
        for mut piece in pieces {
            while !piece.is_empty() {
                let status = encoder.run_on_buffers(piece, &mut self.output)?;
                put(self.output.get(..status.bytes_written).unwrap_or_default())?;
                piece = piece.get(status.bytes_read..).unwrap_or_default();
            }
        }
        loop {
            let mut output = OutBuffer::around(&mut self.output[..]);
            let remaining = encoder.finish(&mut output, true)?;
            put(output.as_slice())?;
            if remaining == 0 {
                return Ok(());
            }
        }
    }
}

/// Evenly spread; all there is where it is short.
fn samples(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let step = (bytes.len() / SAMPLES).max(SAMPLE);
    (0..bytes.len()).step_by(step).take(SAMPLES).filter_map(move |start| {
        let end = bytes.len().min(start + SAMPLE);
        bytes.get(start..end)
    })
}

/// Unpacks a part from its start to its end, verifying each chunk of the file before anything is made of it.
pub(super) struct Unpacker<'a> {
    source: &'a dyn Source,
    part: &'a PartRecord,
    unpacked: &'a Unpacked,
    context: DCtx<'static>,
    /// Where the part's next chunk is.
    offset: u64,
    chunks: std::slice::Iter<'a, Crc32>,
    tags: std::slice::Iter<'a, Tag>,
    key: Option<&'a TagKey>,
    chunk: Vec<u8>,
    used: usize,
    left_in_file: u64,
    crc32: Hasher,
    is_at_end: bool,
}

impl<'a> Unpacker<'a> {
    /// Begins to unpack the part whose data is at `offset`.
    pub(super) fn new(
        source: &'a dyn Source,
        part: &'a PartRecord,
        unpacked: &'a Unpacked,
        offset: u64,
        key: Option<&'a TagKey>,
    ) -> Result<Unpacker<'a>, Refusal> {
        let no_memory = || Refusal::NoMemory { part: part.name.clone(), bytes: 1 << WINDOW };
        let mut context = DCtx::try_create().ok_or_else(no_memory)?;
        context.set_parameter(DParameter::WindowLogMax(WINDOW)).map_err(|code| refused(part, code))?;
        let mut unpacker = Unpacker {
            source,
            part,
            unpacked,
            context,
            offset,
            chunks: part.crc32.iter(),
            tags: part.blake3.iter(),
            key,
            chunk: allocate(part.length.min(CHUNK as u64), &part.name)?,
            used: 0,
            left_in_file: part.length,
            crc32: Hasher::new(),
            is_at_end: false,
        };
        unpacker.read_chunk()?;
        unpacker.check_start()?;
        Ok(unpacker)
    }

    /// The frame must be the one that we would have written, as far as its header tells.
    fn check_start(&self) -> Result<(), Refusal> {
        let refuse = |why: &str| Err(damaged(&self.part.name, why));
        if !self.chunk.starts_with(&MAGIC) {
            return refuse("it does not begin as a zstd frame");
        }
        if self.window() > 1 << WINDOW {
            return refuse("its zstd frame looks back too far, and would take too much memory");
        }
        if get_dict_id_from_frame(&self.chunk).is_some() {
            return refuse("its zstd frame asks for a dictionary");
        }
        if !matches!(get_frame_content_size(&self.chunk), Ok(Some(length)) if length == self.unpacked.length)
        {
            return refuse("its zstd frame does not declare the length that the manifest declares");
        }
        Ok(())
    }

    /// How far the frame looks back: all of it, or what a byte says. Source: RFC 8878, 3.1.1.1.2.
    fn window(&self) -> u64 {
        match self.chunk.get(4..6) {
            Some([flags, window]) if flags & 0b0010_0000 == 0 => {
                let base = 1_u64 << (10 + (window >> 3));
                base + base / 8 * u64::from(window & 7)
            }
            _ => self.unpacked.length,
        }
    }

    /// Reads and verifies the next chunk. `false` where there is none.
    fn read_chunk(&mut self) -> Result<bool, Refusal> {
        let Some(Crc32(crc32)) = self.chunks.next() else { return Ok(false) };
        let length = self.left_in_file.min(CHUNK as u64);
        self.chunk.truncate(usize::try_from(length).unwrap_or(CHUNK));
        fill(self.source, &mut self.chunk, self.offset, &self.part.name)?;
        let tag = self.tags.next().copied();
        let what = match self.key {
            _ if crc32fast::hash(&self.chunk) != *crc32 => Some("checksum"),
            Some(key) if Some(key.tag(&[&self.chunk])) != tag => Some("tag"),
            _ => None,
        };
        if let Some(what) = what {
            let from = self.part.length - self.left_in_file;
            let why = format!("the {what} of bytes {from} to {} does not match", from + length);
            return Err(damaged(&self.part.name, why));
        }
        self.left_in_file -= length;
        self.offset += length;
        self.used = 0;
        Ok(true)
    }

    /// Unpacks what comes next, as much as fits. Nothing where the frame is at its end.
    fn unpack(&mut self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        while !self.is_at_end {
            let has_more = self.used < self.chunk.len() || self.read_chunk()?;
            let mut input = InBuffer::around(self.chunk.get(self.used..).unwrap_or_default());
            let mut output = OutBuffer::around(&mut *buffer);
            let outcome = self.context.decompress_stream(&mut output, &mut input);
            let (read, written) = (input.pos(), output.pos());
            self.is_at_end = outcome.map_err(|code| refused(self.part, code))? == 0;
            self.used += read;
            if written > 0 {
                return Ok(written);
            }
            if !has_more && !self.is_at_end {
                return Err(damaged(&self.part.name, "its zstd frame was cut short"));
            }
        }
        Ok(0)
    }

    /// Fills `buffer` with what comes next.
    pub(super) fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), Refusal> {
        while !buffer.is_empty() {
            let written = self.unpack(buffer)?;
            if written == 0 {
                return Err(damaged(&self.part.name, "it unpacks to less than it declares"));
            }
            let (filled, rest) = buffer.split_at_mut(written);
            self.crc32.update(filled);
            buffer = rest;
        }
        Ok(())
    }

    /// Makes sure that there is nothing more, and that all that there was is as it was saved.
    pub(super) fn finish(mut self) -> Result<(), Refusal> {
        if self.unpack(&mut [0])? > 0 {
            return Err(damaged(&self.part.name, "it unpacks to more than it declares"));
        }
        if self.used < self.chunk.len() || self.left_in_file > 0 {
            return Err(damaged(&self.part.name, "there is something behind its zstd frame"));
        }
        if Crc32(self.crc32.finalize()) != self.unpacked.crc32 {
            return Err(damaged(&self.part.name, "the checksum of what it unpacks to does not match"));
        }
        Ok(())
    }
}

fn failed(code: usize) -> io::Error {
    io::Error::other(format!("zstd: {}", get_error_name(code)))
}

fn refused(part: &PartRecord, code: usize) -> Refusal {
    damaged(&part.name, format!("it cannot be unpacked: {}", get_error_name(code)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_the_whole_and_are_the_whole_where_it_is_short() {
        for length in [0, 1, SAMPLE, SAMPLE + 1, SAMPLES * SAMPLE, 100 * SAMPLE + 7] {
            let bytes = vec![0_u8; length];
            let sampled: usize = samples(&bytes).map(<[u8]>::len).sum();
            assert_eq!(sampled, length.min(SAMPLES * SAMPLE), "{length}");
        }
        let bytes: Vec<u8> = (0..100 * SAMPLE).map(|place| u8::try_from(place / SAMPLE).unwrap()).collect();
        let firsts: Vec<u8> = samples(&bytes).map(|sample| sample[0]).collect();
        assert_eq!(firsts, [0, 12, 25, 37, 50, 62, 75, 87]);
    }
}
