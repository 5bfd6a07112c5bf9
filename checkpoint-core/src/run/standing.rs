//! Whether a state is the one that stands, that of the newest generation: then it need not be saved once more.

use std::io;

use crate::codec;
use crate::codec::Forms;
use crate::container::{self, Container, ContainerWriter, Manifest, Metadata, TagKey};
use crate::run::reader::CheckpointReader;
use crate::state::Checkpoint;

/// What a state is compared with, and how.
pub(crate) struct Question<'a> {
    /// What would be said of the state.
    pub(crate) metadata: &'a Metadata,
    /// What would tag it.
    pub(crate) key: Option<&'a TagKey>,
    /// Whether it would be encrypted, for whomever.
    pub(crate) is_encrypted: bool,
    /// Whether the newest generation was saved by this run.
    pub(crate) is_ours: bool,
}

/// The newest generation, if a restart would find exactly this state in it, and what is to be said of it: it was read, and is
/// whole. Whatever is in the way of knowing that means no: then the state is saved.
pub(crate) fn generation<T: Checkpoint>(
    reader: &CheckpointReader<T>,
    state: &T,
    question: &Question<'_>,
) -> Option<u64> {
    let newest = reader.generations().ok()?.pop()?;
    // For whom a file of another run was encrypted, nobody can tell.
    if question.is_encrypted && !question.is_ours {
        return None;
    }
    let container = reader.container(newest).ok()?;
    (fits(reader, container.manifest(), question) && has_bytes(state, reader.forms(), &container))
        .then_some(newest)
}

/// Whether a manifest says what one of a new save would say.
fn fits<T: Checkpoint>(reader: &CheckpointReader<T>, found: &Manifest, question: &Question<'_>) -> bool {
    let Question { metadata, key, .. } = question;
    let tagged_with = found.authentication.as_ref().map(|authentication| &authentication.key);
    reader.fits(found)
        && found.codec == codec::CODEC
        && key.is_none_or(|key| Some(&key.id) == tagged_with)
        && (metadata.is_empty() || **metadata == found.metadata)
}

/// Whether a state has exactly the bytes of a container. The checksums tell first, so that nothing is read of what differs; but
/// two states can have the same, and so all is read and compared then.
///
/// A map or a set whose order is left to chance has another one once it was loaded. Then this says no: that the order of a
/// sequence does not matter is not known of any.
fn has_bytes<T: Checkpoint>(state: &T, forms: &Forms, container: &Container) -> bool {
    let mut rest = Vec::new();
    let mut sums = ContainerWriter::new(io::sink());
    let encoded = codec::encode(state, forms, &mut rest, &mut sums);
    if encoded.is_err() || !sums.has_parts_of(&rest, container).unwrap_or(false) {
        return false;
    }
    drop(rest);
    container::is_equal(container, |rest, arrays| codec::encode(state, forms, rest, arrays).map(drop))
        .unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::{CheckpointReader, Checkpointer};

    #[test]
    fn what_has_the_same_checksum_and_differs_is_saved() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        // CRC-32 is linear: with the polynomial itself, bit for bit, added anywhere it stays the same.
        let state = vec![0_u8; 64];
        let mut other = state.clone();
        let polynomial = 0x1_04c1_1db7_u64;
        for bit in 0..=32 {
            if polynomial >> (32 - bit) & 1 == 1 {
                other[8 + bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert_eq!(crc32fast::hash(&state), crc32fast::hash(&other));
        assert_ne!(state, other);
        let mut checkpoints = Checkpointer::<Vec<u8>>::open(&path).unwrap();
        checkpoints.save(&state).unwrap();
        assert!(checkpoints.finish(&other).unwrap().saved.is_some());
        assert_eq!(CheckpointReader::open(&path).unwrap().load().unwrap(), Some(other));
    }
}
