//! Checksums of a part: one CRC-32 for each chunk, and the zip entry's CRC-32 combined from them.
//!
//! The polynomial is zip's (IEEE 802.3), so that one pass over the bytes serves both, and any zip
//! tool verifies them. In the manifest they are text of a fixed width: the length of a file does
//! not depend on its content.

use std::fmt;

use crc32fast::Hasher;
use serde::de::{Deserialize, Deserializer, Error, Unexpected, Visitor};
use serde::ser::{Serialize, Serializer};

use super::tag::{self, Tag, TagKey};

/// A CRC-32, in JSON as 8 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crc32(pub(super) u32);

impl Serialize for Crc32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:08x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Crc32 {
    /// Accepts the one way of writing a number, and no other.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Crc32, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = Crc32;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a checksum of 8 lower-case hexadecimal digits")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Crc32, E> {
                // A long file has thousands of these: this is most of the time of opening it.
                let digits: Option<&[u8; 8]> = text.as_bytes().try_into().ok();
                let number = digits.and_then(|digits| {
                    digits.iter().try_fold(0, |number, digit| {
                        let value = match digit {
                            b'0'..=b'9' => digit - b'0',
                            b'a'..=b'f' => digit - b'a' + 10,
                            _ => return None,
                        };
                        Some(number << 4 | u32::from(value))
                    })
                });
                number.map(Crc32).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_str(Digits)
    }
}

/// The bytes that one checksum covers; only the last chunk of a part may be shorter.
pub(super) const CHUNK: usize = 1 << 20;

/// Computes the checksums of a part that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    complete: Sums,
    current: Hasher,
    /// Hashes the current chunk, where there is a key.
    tagger: Option<blake3::Hasher>,
    filled: usize,
}

/// The checksums of the chunks of a part, in order.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) crc32: Vec<Crc32>,
    /// The tags of the chunks; none without a key.
    pub(super) tags: Vec<Tag>,
}

impl Chunks {
    /// Makes tags too, if there is a key.
    pub(super) fn tagged(key: Option<&TagKey>) -> Chunks {
        Chunks { tagger: key.map(TagKey::of_chunk), ..Chunks::default() }
    }

    /// Takes the next bytes of the part.
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.filled));
            self.current.update(now);
            if let Some(tagger) = &mut self.tagger {
                tagger.update(now);
            }
            self.filled += now.len();
            if self.filled == CHUNK {
                self.end_chunk();
            }
            bytes = later;
        }
    }

    fn end_chunk(&mut self) {
        self.complete.crc32.push(Crc32(std::mem::take(&mut self.current).finalize()));
        if let Some(tagger) = &mut self.tagger {
            self.complete.tags.push(tag::of_chunk(tagger));
            tagger.reset();
        }
        self.filled = 0;
    }

    /// Returns the checksums of every chunk.
    pub(super) fn finish(mut self) -> Sums {
        if self.filled > 0 {
            self.end_chunk();
        }
        self.complete
    }
}

/// The checksum of a whole part of `length` bytes, from those of its chunks. `None` where their
/// number does not fit the length.
pub(super) fn combined(chunks: &[Crc32], length: u64) -> Option<u32> {
    let chunk = CHUNK as u64;
    if chunks.len() as u64 != length.div_ceil(chunk) {
        return None;
    }
    // Most parts are short, and combining even one checksum takes long.
    let [Crc32(first), between @ .., Crc32(last)] = chunks else {
        return Some(chunks.first().map_or(0, |only| only.0));
    };
    // All but the last cover the same number of bytes, so each is combined by the same factor.
    let factor = followed_by(POLYNOMIAL_ONE, 0, chunk);
    let whole = between.iter().fold(*first, |whole, next| product(factor, whole) ^ next.0);
    Some(followed_by(whole, *last, length - (chunks.len() as u64 - 1) * chunk))
}

/// The checksum of bytes with this checksum, followed by others, whose checksum and number are
/// known.
fn followed_by(crc32: u32, other: u32, length: u64) -> u32 {
    let mut whole = Hasher::new_with_initial_len(crc32, 0);
    whole.combine(&Hasher::new_with_initial_len(other, length));
    whole.finalize()
}

/// The polynomial 1, with the highest power in the lowest bit as in a checksum.
const POLYNOMIAL_ONE: u32 = 1 << 31;

/// The product of two polynomials over GF(2), modulo that of the checksum.
fn product(one: u32, mut other: u32) -> u32 {
    const MODULUS: u32 = 0xedb8_8320;
    let mut product = 0;
    for place in (0..u32::BITS).rev() {
        product ^= other & (one >> place & 1).wrapping_neg();
        other = other >> 1 ^ MODULUS & (other & 1).wrapping_neg();
    }
    product
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_written_in_one_way_and_read_in_no_other() {
        for number in [0, 7, 0xdead_beef, u32::MAX] {
            let text = serde_json::to_string(&Crc32(number)).unwrap();
            assert_eq!(text, format!("\"{number:08x}\""));
            assert_eq!(serde_json::from_str::<Crc32>(&text).unwrap(), Crc32(number));
        }
        for text in ["7", "\"7\"", "\"DEADBEEF\"", "\"+1234567\"", "\"000000007\"", "\"0000000g\"", "null"] {
            serde_json::from_str::<Crc32>(text).unwrap_err();
        }
    }

    fn of_chunks(bytes: &[u8], piece: usize) -> Vec<Crc32> {
        let mut chunks = Chunks::default();
        bytes.chunks(piece).for_each(|piece| chunks.update(piece));
        chunks.finish().crc32
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
    fn many_checksums_are_combined_as_one_after_the_other() {
        let mut chunks = Vec::new();
        let mut length = 0;
        let mut whole = Hasher::new();
        for number in 0..200_u32 {
            let crc32 = number.wrapping_mul(0x9e37_79b9) ^ 0x1234_5678;
            chunks.push(Crc32(crc32));
            for last in [1, 77, CHUNK as u64] {
                let mut expected = whole.clone();
                expected.combine(&Hasher::new_with_initial_len(crc32, last));
                assert_eq!(combined(&chunks, length + last), Some(expected.finalize()), "{number} {last}");
            }
            whole.combine(&Hasher::new_with_initial_len(crc32, CHUNK as u64));
            length += CHUNK as u64;
        }
    }

    #[test]
    fn a_number_of_chunks_that_does_not_fit_the_length_is_refused() {
        assert_eq!(combined(&[Crc32(0)], 0), None);
        assert_eq!(combined(&[], 1), None);
        assert_eq!(combined(&[Crc32(1), Crc32(2)], CHUNK as u64), None);
    }
}
