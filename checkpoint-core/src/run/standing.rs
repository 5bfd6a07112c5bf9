//! Decides if the newest generation has a state already: then it need not be saved once more.

use std::io;
use std::sync::Arc;

use crate::codec::{Encode, Forms};
use crate::container::{self, Container, ContainerWriter, Manifest, Metadata, TagKey};
use crate::outputs::{self, OfRun};
use crate::run::reader::Reader;
use crate::run::stamp;

/// The properties of the save that a newest generation must have.
pub(crate) struct Question<'a> {
    /// The metadata of the save.
    pub(crate) metadata: &'a Metadata,
    /// The key that would tag it.
    pub(crate) key: Option<&'a TagKey>,
    /// True if it would be encrypted, for any recipient.
    pub(crate) is_encrypted: bool,
    /// True if this run saved the newest generation.
    pub(crate) is_ours: bool,
}

/// Returns the newest generation, if a restart would find exactly this state and metadata in it: it
/// was read, and is undamaged, and `lasts` says that it is durable. Any error on the way means no:
/// then the state is saved.
pub(crate) fn generation(
    (reader, outputs): (&Reader, &Arc<OfRun>),
    encode: &mut Encode<'_>,
    question: &Question<'_>,
    lasts: impl FnOnce(u64) -> bool,
) -> Option<u64> {
    let newest = reader.generations().ok()?.pop()?;
    // The recipients of an encrypted file of another run are unknown.
    if question.is_encrypted && !question.is_ours {
        return None;
    }
    let container = reader.container(newest).ok()?;
    if !fits(reader, container.manifest(), question) {
        return None;
    }
    let (stands, mut counted) = outputs::saving(outputs, || has_bytes(encode, reader.forms(), &container));
    // An earlier run may have left them unsynced. The program may have gone back to this state,
    // too.
    let stands = stands && !outputs.has_lost() && outputs::sync_all(&mut counted).is_ok();
    // An output may go back to what this generation counts, and no earlier one is left whole then.
    let stands = stands && lasts(newest);
    if stands {
        outputs::acknowledge(&counted, newest);
    } else {
        outputs::abandon(&counted);
    }
    stands.then_some(newest)
}

/// True if a manifest equals that of a new save.
fn fits(reader: &Reader, found: &Manifest, question: &Question<'_>) -> bool {
    let Question { metadata, key, .. } = question;
    let tagged_with = found.authentication.as_ref().map(|authentication| &authentication.key);
    reader.fits(found)
        && reader.configuration() == found.configuration.as_ref()
        && !stamp::is_marked(found)
        && found.has_known_codec()
        && key.is_none_or(|key| Some(&key.id) == tagged_with)
        && (metadata.is_empty() || **metadata == found.metadata)
}

/// True if a state has exactly the bytes of a container. The checksums decide first, so that a
/// state that differs is not read; but two states can share checksums, so equal ones are read and
/// compared.
///
/// A map or a set with a random order has another order after a load. Then this returns false: it
/// is not known of any sequence that its order does not matter.
fn has_bytes(encode: &mut Encode<'_>, forms: &Forms, container: &Container) -> bool {
    let mut rest = Vec::new();
    let mut sums = ContainerWriter::new(io::sink());
    let encoded = encode(forms, &mut rest, &mut sums);
    if encoded.is_err() || !sums.has_parts_of(&rest, container).unwrap_or(false) {
        return false;
    }
    drop(rest);
    container::is_equal(container, |rest, arrays| encode(forms, rest, arrays).map(drop)).unwrap_or(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use super::*;
    use crate::store::faults::{EIO, Fault, FaultyDisk};
    use crate::{Appended, CheckpointReader, Checkpointer};

    #[test]
    fn an_output_goes_back_to_no_generation_that_may_be_lost() {
        let parent = tempfile::tempdir().unwrap();
        let (path, csv) = (parent.path().join("run.ckpt"), parent.path().join("out.csv"));
        let disk = FaultyDisk::default();
        let builder = Checkpointer::<Appended>::builder(&path).disk(Arc::new(disk.clone()));
        let mut checkpoints = builder.open().unwrap();
        let mut out = Appended::at(&csv);
        out.write_all(&[b'a'; 50]).unwrap();
        let former = out.clone();
        out.write_all(&[b'b'; 50]).unwrap();
        checkpoints.save(&out).unwrap();
        drop(out);
        disk.plan(Some((6, Fault::Error(EIO))));
        checkpoints.save(&former).unwrap_err();
        assert_eq!(disk.asked().last().unwrap(), "sync directory run.ckpt");
        assert_eq!(checkpoints.generations().unwrap(), [1, 2]);
        disk.plan(Some((1, Fault::Error(EIO))));
        checkpoints.finish(&former).unwrap_err();
        drop(former);
        // A power cut takes the name.
        fs::remove_file(path.join("00000000000000000002.ckpt")).unwrap();
        let mut checkpoints = Checkpointer::<Appended>::open(&path).unwrap();
        assert_eq!(checkpoints.load().unwrap().unwrap().len(), 100);
    }

    #[test]
    fn a_newer_file_from_elsewhere_never_stands_for_the_state() {
        let parent = tempfile::tempdir().unwrap();
        let path = |name: &str| parent.path().join(name);
        let mut other = Checkpointer::<u64>::open(path("other.ckpt")).unwrap();
        for _ in 1..=3 {
            other.save(&7).unwrap();
        }
        for last in [7, 8] {
            let run = path(&format!("{last}.ckpt"));
            let mut checkpoints = Checkpointer::<u64>::open(&run).unwrap();
            checkpoints.save(&last).unwrap();
            let name = "00000000000000000003.ckpt";
            fs::copy(path("other.ckpt").join(name), run.join(name)).unwrap();
            let saved = checkpoints.finish(&last).unwrap().saved;
            assert_eq!(saved.map(|saved| saved.generation), Some(4));
            assert_eq!(CheckpointReader::<u64>::open(&run).unwrap().load().unwrap(), Some(last));
        }
    }

    #[test]
    fn a_state_that_only_shares_the_checksum_is_saved() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        // CRC-32 is linear: adding the polynomial itself, bit for bit, anywhere does not change it.
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
