//! Builds files that agree with themselves from any parts and any manifest, for tests.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::checksum::{Chunks, Crc32, combined};
use super::manifest::{self, Manifest, Method, PartRecord, Unpacked};
use super::source::{Memory, read_bytes};
use super::zip::{self, Entry};
use super::{Container, MANIFEST, Metadata, STATE, Source};
use crate::evolution::Program;
use crate::state::Checkpoint;

/// One part: its bytes in the file, and the length and checksum that it claims to have when
/// unpacked.
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) data: &'a [u8],
    pub(super) unpacked: Option<(u64, u32)>,
}

/// A file of generation 1 of a `T` with these parts.
pub(super) fn file<T: Checkpoint>(parts: &[Part<'_>]) -> Vec<u8> {
    built(parts, |parts| json(manifest_of::<T>(parts)))
}

/// A whole checkpoint with a changed manifest.
pub(super) fn with_manifest(change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let state = Part { name: STATE, data: &7_u64.to_le_bytes(), unpacked: None };
    built(&[state], |parts| change(&json(manifest_of::<u64>(parts))))
}

/// The manifest of generation 1 of a `T` with these parts.
pub(super) fn manifest_of<T: Checkpoint>(parts: Vec<PartRecord>) -> Manifest {
    Manifest { parts, ..Manifest::of(&Program::of::<T>(), 1, Metadata::new()) }
}

fn json(mut manifest: Manifest) -> Vec<u8> {
    manifest::to_json(&mut manifest, None).unwrap()
}

/// A file with these parts. `manifest` gets their records, and returns the manifest.
fn built(parts: &[Part<'_>], manifest: impl FnOnce(Vec<PartRecord>) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut entries = Vec::new();
    let mut put = |part: &Part<'_>| {
        let mut chunks = Chunks::default();
        chunks.update(part.data);
        let (name, length, chunks) = (part.name.to_owned(), part.data.len() as u64, chunks.finish().crc32);
        let (unpacked, crc32) = match part.unpacked {
            Some((unpacked, crc32)) => (Some(unpacked), crc32),
            None => (None, combined(&chunks, length).unwrap()),
        };
        let entry = Entry { name, length, unpacked, crc32, offset: bytes.len() as u64 };
        bytes.extend(entry.local_header().unwrap());
        bytes.extend(part.data);
        bytes.extend(entry.descriptor());
        entries.push(entry);
        let of = |length| Unpacked { method: Method::Zstd, length, crc32: Crc32(crc32) };
        PartRecord {
            name: part.name.to_owned(),
            length,
            unpacked: unpacked.map(of),
            crc32: chunks,
            blake3: Vec::new(),
        }
    };
    let manifest = manifest(parts.iter().map(&mut put).collect());
    put(&Part { name: MANIFEST, data: &manifest, unpacked: None });
    bytes.extend(zip::tail(&entries).unwrap());
    bytes
}

/// A source with right checksums for the parts of a file, whatever their data. A file with another
/// fault is returned as it is.
pub(crate) fn with_right_checksums(source: Box<dyn Source>) -> Box<dyn Source> {
    rebuilt(source, |_| true, |_| ())
}

/// A source of an intact file whose manifest has this generation. A damaged file is returned as it
/// is.
pub(crate) fn with_generation(source: Box<dyn Source>, generation: u64) -> Box<dyn Source> {
    rebuilt(source, |container| container.verify().is_ok(), |manifest| manifest.generation = generation)
}

/// A source of a file that is built again from its parts, if `applies` to it.
fn rebuilt(
    source: Box<dyn Source>,
    applies: impl FnOnce(&Container) -> bool,
    change: impl FnOnce(&mut Manifest),
) -> Box<dyn Source> {
    let Ok(bytes) = read_bytes(&*source, 0, source.length(), "file") else { return source };
    let Ok(container) = Container::open(Box::new(Memory(bytes.clone())), &[]) else { return source };
    if !applies(&container) {
        return source;
    }
    let Container { entries, mut manifest, .. } = container;
    let mut parts = Vec::new();
    for entry in &entries {
        let start = usize::try_from(entry.data_offset().unwrap()).unwrap();
        let data = &bytes[start..start + usize::try_from(entry.length).unwrap()];
        let unpacked = entry.unpacked.map(|length| (length, entry.crc32));
        parts.push(Part { name: &entry.name, data, unpacked });
    }
    change(&mut manifest);
    Box::new(Memory(built(&parts, |parts| json(Manifest { parts, ..manifest }))))
}
