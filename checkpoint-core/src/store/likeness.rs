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

    /// The likeness as a part of a name.
    pub(super) fn to_name(&self) -> String {
        format!("{}-{}", self.bytes, self.end)
    }

    /// The likeness that [`to_name`](Likeness::to_name) makes this of.
    pub(super) fn from_name(name: &str) -> Option<Likeness> {
        let (bytes, end) = name.split_once('-')?;
        let likeness = Likeness { bytes: bytes.parse().ok()?, end: end.to_owned() };
        let is_hash = end.len() == 64 && end.bytes().all(|byte| byte.is_ascii_hexdigit());
        (is_hash && likeness.to_name() == name).then_some(likeness)
    }
}
