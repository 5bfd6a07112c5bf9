//! Writes a container, in one forward pass.

use std::collections::HashSet;
use std::io::{self, Write};
use std::iter;

use crc32fast::Hasher;

use super::checksum::{self, Chunks, Crc32, Sums};
use super::compression::Compression;
use super::manifest::{self, Manifest, Method, PartRecord, Unpacked};
use super::pack::Packer;
use super::tag::TagKey;
use super::zip::{self, Entry};
use super::{MANIFEST, STATE};
use crate::state::{Array, ArraySink};

/// How much is checksummed and written at a time: little enough to be still in the processor's cache for the second.
const PIECE: usize = 128 << 10;

/// So many arrays become entries of their own, however short they are: small states are the easier to look into …
const ENTRIES_OF_ANY_LENGTH: usize = 256;

/// … and after these only arrays of this length in bytes: a million short ones must not become a million entries.
const ALWAYS_OUT_OF_BAND: usize = 64 << 10;

/// Whether an array of so many bytes becomes an entry, when so many arrays did already.
pub(crate) fn is_out_of_band(entries: usize, bytes: usize) -> bool {
    entries < ENTRIES_OF_ANY_LENGTH || bytes >= ALWAYS_OUT_OF_BAND
}

/// A container being written.
pub(crate) struct ContainerWriter<W> {
    output: W,
    packer: Option<Packer>,
    key: Option<TagKey>,
    offset: u64,
    entries: Vec<Entry>,
    records: Vec<PartRecord>,
    names: HashSet<String>,
    /// Why an array could not be written, for whoever finds that the encoding failed.
    failure: Option<io::Error>,
}

impl<W: Write> ContainerWriter<W> {
    pub(crate) fn new(output: W) -> ContainerWriter<W> {
        ContainerWriter {
            output,
            packer: None,
            key: None,
            offset: 0,
            entries: Vec::new(),
            records: Vec::new(),
            names: HashSet::new(),
            failure: None,
        }
    }

    /// Compresses what it pays for.
    pub(crate) fn compressed(mut self, compression: Compression) -> io::Result<ContainerWriter<W>> {
        self.packer = compression.packer()?;
        Ok(self)
    }

    /// Tags everything, if there is a key.
    pub(crate) fn tagged(mut self, key: Option<TagKey>) -> ContainerWriter<W> {
        self.key = key;
        self
    }

    /// Writes the rest: the bytes of the state, the manifest, the list of entries. Returns the length of the file.
    pub(crate) fn finish(mut self, state: &[u8], mut manifest: Manifest) -> io::Result<u64> {
        // A state that goes on after an array could not be written must not be saved without it.
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if !self.put_packed(STATE, &[], state)? {
            self.put_part(STATE, state)?;
        }
        manifest.parts = std::mem::take(&mut self.records);
        let manifest = manifest::to_json(&mut manifest, self.key.as_ref())?;
        if manifest.len() as u64 > manifest::longest(&self.entries) {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the metadata and the schema together are longer than 16 MiB",
            ));
        }
        self.put_part(MANIFEST, &manifest)?;
        let tail = zip::tail(&self.entries).ok_or_else(too_large)?;
        self.output.write_all(&tail)?;
        self.output.flush()?;
        Ok(self.offset + tail.len() as u64)
    }

    /// Why an array could not be written, if that was why an encoding failed.
    pub(crate) fn take_failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Writes a part that is there in one piece, so that its header can have the checksum.
    fn put_part(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        let mut chunks = Chunks::tagged(self.key.as_ref());
        chunks.update(bytes);
        let sums = chunks.finish();
        let crc32 = checksum::combined(&sums.crc32, length).ok_or_else(too_large)?;
        let entry = Entry { name: name.to_owned(), length, unpacked: None, crc32, offset: self.offset };
        self.output.write_all(&entry.local_header().ok_or_else(too_large)?)?;
        self.output.write_all(bytes)?;
        self.end_entry(entry, None, sums)
    }

    /// Writes an array in one pass: its checksum follows it.
    fn put_array(&mut self, name: String, array: &Array<'_>) -> io::Result<()> {
        let header = array.header();
        if header.len() > 10 + usize::from(u16::MAX) {
            return Err(too_large());
        }
        if self.put_packed(&name, &header, array.bytes)? {
            return Ok(());
        }
        let length = header.len() as u64 + array.bytes.len() as u64;
        let mut entry = Entry { name, length, unpacked: None, crc32: 0, offset: self.offset };
        self.output.write_all(&entry.local_header().ok_or_else(too_large)?)?;
        let mut chunks = Chunks::tagged(self.key.as_ref());
        for piece in iter::once(&header[..]).chain(array.bytes.chunks(PIECE)) {
            chunks.update(piece);
            self.output.write_all(piece)?;
        }
        let sums = chunks.finish();
        entry.crc32 = checksum::combined(&sums.crc32, length).ok_or_else(too_large)?;
        self.output.write_all(&entry.descriptor())?;
        self.end_entry(entry, None, sums)
    }

    /// Writes a part compressed, in one pass, if that is asked for and pays. `false` where it is not written.
    fn put_packed(&mut self, name: &str, header: &[u8], bytes: &[u8]) -> io::Result<bool> {
        let Some(packer) = &mut self.packer else { return Ok(false) };
        if !packer.gains(bytes)? {
            return Ok(false);
        }
        let length = header.len() as u64 + bytes.len() as u64;
        let (name, offset) = (name.to_owned(), self.offset);
        let mut entry = Entry { name, length: 0, unpacked: Some(length), crc32: 0, offset };
        self.output.write_all(&entry.local_header().ok_or_else(too_large)?)?;
        let (mut chunks, mut crc32) = (Chunks::tagged(self.key.as_ref()), Hasher::new());
        let pieces = iter::once(header).chain(bytes.chunks(PIECE));
        packer.pack(length, pieces.inspect(|piece| crc32.update(piece)), |packed| {
            chunks.update(packed);
            entry.length += packed.len() as u64;
            self.output.write_all(packed)
        })?;
        entry.crc32 = crc32.finalize();
        self.output.write_all(&entry.descriptor())?;
        let unpacked = Unpacked { method: Method::Zstd, length, crc32: Crc32(entry.crc32) };
        self.end_entry(entry, Some(unpacked), chunks.finish())?;
        Ok(true)
    }

    fn end_entry(&mut self, entry: Entry, unpacked: Option<Unpacked>, sums: Sums) -> io::Result<()> {
        self.offset = entry.end().ok_or_else(too_large)?;
        let Sums { crc32, tags: blake3 } = sums;
        let (name, length) = (entry.name.clone(), entry.length);
        self.records.push(PartRecord { name, length, unpacked, crc32, blake3 });
        self.entries.push(entry);
        Ok(())
    }

    /// A name that no other entry has. The keys of two maps, or of one that repeats a key, can lead to the same; then the
    /// number of the array is added, behind a sign that no name has otherwise.
    fn unique(&mut self, name: &str) -> String {
        if self.names.insert(name.to_owned()) {
            return name.to_owned();
        }
        format!("{}~{}.npy", name.trim_end_matches(".npy"), self.entries.len())
    }
}

impl<W: Write> ArraySink for ContainerWriter<W> {
    fn takes(&self, bytes: usize) -> bool {
        is_out_of_band(self.entries.len(), bytes)
    }

    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, String> {
        let number = self.entries.len() as u64;
        let name = self.unique(&name);
        self.put_array(name, &array).map(|()| number).map_err(|error| {
            let why = error.to_string();
            self.failure = Some(error);
            why
        })
    }
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "a name or a length does not fit the file format")
}
