//! Writes a container, in one forward pass.

use std::collections::HashSet;
use std::io::{self, Write};
use std::iter;

use crc32fast::Hasher;

use super::checksum::{self, Chunks, Crc32, Sums};
use super::compression::Compression;
use super::manifest::{self, Manifest, Method, PartRecord, Unpacked};
use super::pack::Packer;
use super::reader::{self, Container};
use super::source::Refusal;
use super::tag::TagKey;
use super::zip::{self, Entry};
use super::{MANIFEST, STATE};
use crate::arrays::{Array, ArraySink, Cause};
use crate::base::limits::BLOCK;
use crate::schema;

/// The number of bytes that are checksummed and written at a time: few enough to still be in the
/// cache of the processor for the second.
const PIECE: usize = 128 << 10;

// A piece that begins at a block of the file has whole blocks.
const _: () = assert!(PIECE.is_multiple_of(BLOCK));

/// The number of arrays that become entries whatever their length, so that small states are easy to
/// look into …
const ENTRIES_OF_ANY_LENGTH: usize = 256;

/// … and the least length in bytes of all later ones: a million short arrays must not become a
/// million entries.
const ALWAYS_OUT_OF_BAND: usize = 64 << 10;

/// True if an array of this length becomes an entry, after this number of others.
pub(crate) fn is_out_of_band(entries: usize, bytes: usize) -> bool {
    entries < ENTRIES_OF_ANY_LENGTH || bytes >= ALWAYS_OUT_OF_BAND
}

/// A container while it is written.
pub(crate) struct ContainerWriter<W> {
    output: W,
    packer: Option<Packer>,
    key: Option<TagKey>,
    offset: u64,
    entries: Vec<Entry>,
    records: Vec<PartRecord>,
    names: HashSet<String>,
    /// True if the manifest is parsed again before it is written, because the reader cannot open
    /// the file.
    is_checked: bool,
    /// True if an array was begun and not completed. Nothing can follow it.
    is_broken: bool,
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
            is_checked: false,
            is_broken: false,
        }
    }

    /// Compresses the parts that shrink.
    pub(crate) fn compressed(mut self, compression: Compression) -> io::Result<ContainerWriter<W>> {
        self.packer = compression.packer()?;
        Ok(self)
    }

    /// Tags everything, if there is a key.
    pub(crate) fn tagged(mut self, key: Option<TagKey>) -> ContainerWriter<W> {
        self.key = key;
        self
    }

    /// Makes the reader parse the manifest before it is written. For files that cannot be opened
    /// afterwards, such as one that is encrypted for another recipient.
    pub(crate) fn checked(mut self, is_checked: bool) -> ContainerWriter<W> {
        self.is_checked = is_checked;
        self
    }

    /// Writes the rest: the state, the manifest, the list of entries. Returns the length of the
    /// file.
    pub(crate) fn finish(mut self, state: &[u8], mut manifest: Manifest) -> io::Result<u64> {
        // A `Serialize` can go on after a write of an array failed. The state must not be saved
        // without that array.
        if self.is_broken {
            return Err(io::Error::other("an array could not be written before"));
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
        if self.is_checked {
            let keys: Vec<TagKey> = self.key.iter().cloned().collect();
            reader::check_manifest(&manifest, &self.entries, &keys)
                .map_err(|refusal| unreadable(&refusal))?;
        }
        self.put_part(MANIFEST, &manifest)?;
        let tail = zip::tail(&self.entries).ok_or_else(too_large)?;
        self.output.write_all(&tail)?;
        self.output.flush()?;
        Ok(self.offset + tail.len() as u64)
    }

    /// True if a container has exactly the parts that were written here, and `state` as the rest,
    /// by their checksums. Parts are compared unpacked, whatever their compression.
    pub(crate) fn has_parts_of(mut self, state: &[u8], container: &Container) -> io::Result<bool> {
        self.put_part(STATE, state)?;
        let parts = &container.manifest().parts;
        let is_same =
            |(one, other): (&PartRecord, &PartRecord)| one.name == other.name && one.whole() == other.whole();
        Ok(self.records.len() == parts.len() && self.records.iter().zip(parts).all(is_same))
    }

    /// Writes a part that is in memory as a whole, so that its header can have the checksum.
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

    /// Writes an array in one pass, followed by its checksum.
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
        // A whole block in one piece can be left out without a copy, where the file has it.
        let begun = entry.data_offset().and_then(|data| data.checked_add(header.len() as u64));
        let begun = begun.ok_or_else(too_large)? % BLOCK as u64;
        let to_block = BLOCK - usize::try_from(begun).unwrap_or_default();
        let (first, rest) = array.bytes.split_at(to_block.min(array.bytes.len()));
        let mut chunks = Chunks::tagged(self.key.as_ref());
        for piece in [&header[..], first].into_iter().chain(rest.chunks(PIECE)) {
            chunks.update(piece);
            self.output.write_all(piece)?;
        }
        let sums = chunks.finish();
        entry.crc32 = checksum::combined(&sums.crc32, length).ok_or_else(too_large)?;
        self.output.write_all(&entry.descriptor())?;
        self.end_entry(entry, None, sums)
    }

    /// Compresses and writes a part in one pass, if that is asked for and pays. Returns false where
    /// it was not written.
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

    /// A name that no other entry has. The keys of two maps, or of one that repeats a key, can lead
    /// to the same name. Then the index of the array is added, behind a sign that no other name
    /// has.
    fn unique(&mut self, mut name: String) -> String {
        let stem = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let mut number = self.entries.len();
        while !self.names.insert(name.clone()) {
            name = format!("{stem}~{number}.npy");
            number += 1;
        }
        name
    }
}

impl<W: Write> ArraySink for ContainerWriter<W> {
    fn takes(&self, bytes: usize) -> bool {
        is_out_of_band(self.entries.len(), bytes)
    }

    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, Cause> {
        let number = self.entries.len() as u64;
        let name = self.unique(name);
        if !schema::is_array_name(&name) {
            return Err(format!("an array would be named {name:?}, which could not be read again").into());
        }
        self.is_broken = true;
        self.put_array(name, &array)?;
        self.is_broken = false;
        Ok(number)
    }
}

/// The error of a file that the reader would refuse.
fn unreadable(refusal: &Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("it could not be read again: {refusal}"))
}

fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "a name or a length does not fit the file format")
}
