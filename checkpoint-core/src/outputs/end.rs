//! The end of a file: the bytes by which a later run knows it again.

/// The number of bytes at the end of a file that its hash covers.
pub(super) const COVERED: usize = 4096;

/// The last bytes of what was appended.
#[derive(Clone, Debug, Default)]
pub(super) struct End(Vec<u8>);

impl End {
    /// The end of a file whose last bytes these are: at most [`COVERED`].
    pub(super) fn of(bytes: Vec<u8>) -> End {
        End(bytes)
    }

    /// Adds bytes behind the end.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(COVERED)..).unwrap_or(bytes);
        // More than needed is kept, so that short writes move little.
        if self.0.len() + bytes.len() > 4 * COVERED {
            let kept = COVERED.saturating_sub(bytes.len()).min(self.0.len());
            self.0.drain(..self.0.len() - kept);
        }
        self.0.extend_from_slice(bytes);
    }

    /// The hash: the first 8 bytes of the BLAKE3 of the last [`COVERED`] bytes, in hexadecimal.
    pub(super) fn hash(&self) -> String {
        let covered = self.0.get(self.0.len().saturating_sub(COVERED)..).unwrap_or_default();
        let mut text = blake3::hash(covered).to_hex().to_string();
        text.truncate(16);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_of_the_last_bytes_however_they_were_written() {
        let all: Vec<u8> = (0..=250).cycle().take(50_000).collect();
        for length in [0, 1, 7, COVERED - 1, COVERED, COVERED + 1, 50_000] {
            let bytes = &all[..length];
            let whole = End::of(bytes[length.saturating_sub(COVERED)..].to_vec());
            for piece in [1, 13, COVERED, 3 * COVERED + 1, 50_000] {
                let mut end = End::default();
                bytes.chunks(piece).for_each(|piece| end.push(piece));
                assert_eq!(end.hash(), whole.hash(), "{length} bytes by {piece}");
                assert!(end.0.len() <= 5 * COVERED);
            }
        }
    }
}
