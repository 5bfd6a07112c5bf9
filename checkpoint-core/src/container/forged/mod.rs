//! Forged files: they agree with themselves, every checksum is right, and their content is the
//! attacker's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod frames;
mod headers;
mod long;
mod manifests;

use std::io;

use super::checksum::{Chunks, Crc32, combined};
use super::manifest::{self, Manifest, Method, PartRecord, Unpacked};
use super::zip::{self, Entry};
use super::{MANIFEST, Metadata, STATE, Source};
use crate::schema::Schema;
use crate::state::Checkpoint;

/// A file in memory.
struct Bytes(Vec<u8>);

impl Source for Bytes {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let from = usize::try_from(offset).unwrap();
        buffer.copy_from_slice(self.0.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// One part: its bytes in the file, and the length and checksum that it claims to have when
/// unpacked.
struct Part<'a> {
    name: &'a str,
    data: &'a [u8],
    unpacked: Option<(u64, u32)>,
}

/// A file of generation 1 of a `T` with these parts.
fn file<T: Checkpoint>(parts: &[Part<'_>]) -> Vec<u8> {
    changed::<T>(parts, <[u8]>::to_vec)
}

/// A whole checkpoint with a changed manifest.
fn with_manifest(change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    changed::<u64>(&[Part { name: STATE, data: &7_u64.to_le_bytes(), unpacked: None }], change)
}

fn changed<T: Checkpoint>(parts: &[Part<'_>], change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
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
    let mut manifest = manifest_of::<T>(parts.iter().map(&mut put).collect());
    let manifest = change(&manifest::to_json(&mut manifest, None).unwrap());
    put(&Part { name: MANIFEST, data: &manifest, unpacked: None });
    bytes.extend(zip::tail(&entries).unwrap());
    bytes
}

fn manifest_of<T: Checkpoint>(parts: Vec<PartRecord>) -> Manifest {
    Manifest { parts, ..Manifest::of::<T>(Schema::of::<T>(), 1, Metadata::new()) }
}
