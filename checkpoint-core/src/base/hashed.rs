//! Maps and sets whose keys are hashes already, such as a `TypeId`.

use std::hash::{BuildHasherDefault, Hasher};

/// Takes a key for its own hash.
pub(crate) type IsHashed = BuildHasherDefault<HashedHasher>;

#[derive(Debug, Default)]
pub(crate) struct HashedHasher(u64);

impl Hasher for HashedHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
