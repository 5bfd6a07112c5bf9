//! Checksums of a part: one CRC-32 for each chunk, and the zip entry's CRC-32 combined from them.
//!
//! The polynomial is zip's (IEEE 802.3), so that one pass over the bytes serves both, and any zip tool checks them.

use crc32fast::Hasher;

/// The bytes that one checksum covers; only the last chunk of a part may be shorter.
pub(super) const CHUNK: usize = 1 << 20;

/// The checksums of a part that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    complete: Vec<u32>,
    current: Hasher,
    filled: usize,
}

impl Chunks {
    /// Takes the next bytes of the part.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.filled));
            self.current.update(now);
            self.filled += now.len();
            if self.filled == CHUNK {
                self.end_chunk();
            }
            bytes = later;
        }
    }

    fn end_chunk(&mut self) {
        self.complete.push(std::mem::take(&mut self.current).finalize());
        self.filled = 0;
    }

    /// The checksum of every chunk, in order.
    pub(super) fn finish(mut self) -> Vec<u32> {
        if self.filled > 0 {
            self.end_chunk();
        }
        self.complete
    }
}

/// The checksum of a whole part of `length` bytes, from those of its chunks. `None` where their number does not
/// fit the length.
pub(super) fn combined(chunks: &[u32], length: u64) -> Option<u32> {
    let chunk = CHUNK as u64;
    if chunks.len() as u64 != length.div_ceil(chunk) {
        return None;
    }
    let mut whole = Hasher::new();
    let mut rest = length;
    for crc32 in chunks {
        let covered = rest.min(chunk);
        whole.combine(&Hasher::new_with_initial_len(*crc32, covered));
        rest -= covered;
    }
    Some(whole.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_chunks(bytes: &[u8], piece: usize) -> Vec<u32> {
        let mut chunks = Chunks::default();
        bytes.chunks(piece).for_each(|piece| chunks.update(piece));
        chunks.finish()
    }

    #[test]
    fn the_checksum_combined_from_the_chunks_is_that_of_the_whole() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
            for piece in [1 << 16, CHUNK - 1, CHUNK, 4 * CHUNK] {
                let chunks = of_chunks(&bytes, piece);
                assert_eq!(
                    combined(&chunks, length as u64),
                    Some(crc32fast::hash(&bytes)),
                    "{length} by {piece}"
                );
            }
        }
    }

    #[test]
    fn a_number_of_chunks_that_does_not_fit_the_length_is_refused() {
        assert_eq!(combined(&[0], 0), None);
        assert_eq!(combined(&[], 1), None);
        assert_eq!(combined(&[1, 2], CHUNK as u64), None);
    }
}
