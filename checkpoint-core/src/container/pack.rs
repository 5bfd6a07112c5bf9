//! Packs and unpacks parts by Zstandard: one frame for each part, in little memory for any length.
//!
//! The checksums of the manifest cover the bytes in the file, so only bytes that were written are
//! unpacked. A forged frame meets these limits: it must unpack to exactly its declared length, into
//! memory allocated for that length; it may use no dictionary, and look back no further than
//! [`WINDOW`].

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

/// The furthest that a frame may look back, as a power of two in bytes: the need of the highest
/// level. Unpacking takes this much memory.
const WINDOW: u32 = 23;

/// The number of bytes that are packed at a time.
const PIECE: usize = 128 << 10;

/// Shorter parts are not packed: they save little, and alignment takes it back.
const SHORTEST: usize = 1 << 10;

/// The number of samples that decide whether packing a part pays …
const SAMPLES: usize = 8;

/// … and the length of each.
const SAMPLE: usize = 64 << 10;

/// The first bytes of a frame.
const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Packs parts one after the other.
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

    /// True if packing shrinks these bytes enough, judged by samples.
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

    /// Packs this number of bytes, which come in pieces, and hands on the result.
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

/// Samples that are evenly spread; the whole where it is short.
fn samples(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let step = (bytes.len() / SAMPLES).max(SAMPLE);
    (0..bytes.len()).step_by(step).take(SAMPLES).filter_map(move |start| {
        let end = bytes.len().min(start + SAMPLE);
        bytes.get(start..end)
    })
}

/// Unpacks a part from its start to its end. It verifies each chunk of the file before it unpacks
/// it.
pub(super) struct Unpacker<'a> {
    source: &'a dyn Source,
    part: &'a PartRecord,
    unpacked: &'a Unpacked,
    context: DCtx<'static>,
    /// The offset of the next chunk of the part.
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
    /// Starts to unpack the part with its data at `offset`.
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

    /// Checks that the header of the frame is the one that the writer would have written.
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

    /// The furthest that the frame looks back: its whole length, or as a byte says. Source: RFC
    /// 8878, 3.1.1.1.2.
    fn window(&self) -> u64 {
        match self.chunk.get(4..6) {
            Some([flags, window]) if flags & 0b0010_0000 == 0 => {
                let base = 1_u64 << (10 + (window >> 3));
                base + base / 8 * u64::from(window & 7)
            }
            _ => self.unpacked.length,
        }
    }

    /// Reads and verifies the next chunk. Returns false at the end.
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

    /// Unpacks the next bytes, as many as fit. Returns 0 at the end of the frame.
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

    /// Fills `buffer` with the next bytes.
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

    /// Checks that nothing follows, and that all unpacked bytes are as they were saved.
    pub(super) fn finish(mut self) -> Result<(), Refusal> {
        if self.unpack(&mut [0])? > 0 {
            return Err(damaged(&self.part.name, "it unpacks to more than it declares"));
        }
        if self.used < self.chunk.len() || self.left_in_file > 0 {
            return Err(damaged(&self.part.name, "there is something behind its zstd frame"));
        }
        if Crc32(self.crc32.finalize()) != self.unpacked.crc32 {
            return Err(damaged(&self.part.name, "the checksum of its unpacked bytes does not match"));
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
    fn samples_are_spread_evenly_and_cover_all_of_a_short_part() {
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
