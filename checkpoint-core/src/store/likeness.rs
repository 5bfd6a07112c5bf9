//! Tells files of checkpoints apart, by the length and the end of each.

use std::io;

use serde::{Deserialize, Serialize};

use crate::container::Source;

/// The number of bytes at the end of a file that are hashed. An archive has its entries with their
/// checksums there.
const END: u64 = 4096;

/// The length of a file, and a hash of its end: equal for copies of one checkpoint, and different
/// for two checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Likeness {
    bytes: u64,
    /// The hash of the end of the file.
    end: String,
}

impl Likeness {
    pub(super) fn of(file: &dyn Source) -> io::Result<Likeness> {
        let bytes = file.length();
        let length = bytes.min(END);
        let mut end = vec![0; usize::try_from(length).unwrap_or(0)];
        file.read_exact_at(&mut end, bytes - length)?;
        Ok(Likeness { bytes, end: blake3::hash(&end).to_hex().to_string() })
    }
}
