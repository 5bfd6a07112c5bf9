//! Reads a container strictly: it verifies before it decodes, and checks before it allocates.

use std::ops::Range;
use std::sync::OnceLock;

use super::headers::{self, Starts};
use super::manifest::{self, FormatVersion, Manifest, PartRecord};
use super::part::PartReader;
use super::source::{Refusal, Source, allocate, begins_with, damaged, read_bytes, read_dense};
use super::tag::TagKey;
use super::zip::{self, Entry, Index};
use super::{FORMAT_VERSION, MANIFEST, STATE, checksum};
use crate::schema;

/// An open container. Its manifest and structure are verified; each part is verified when it is
/// read.
///
/// A container that is opened [without headers](Container::open_without_headers) verifies the
/// headers of the parts that a caller [needs](Container::need).
pub(crate) struct Container {
    pub(super) source: Box<dyn Source>,
    pub(super) manifest: Manifest,
    /// The entry of each part of the manifest, in the same order.
    pub(super) entries: Vec<Entry>,
    /// The first bytes of arrays, where headers were read.
    pub(super) starts: OnceLock<Starts>,
    /// The key of the tags, where tags count.
    pub(super) key: Option<TagKey>,
    /// The checksum of the manifest.
    manifest_crc32: u32,
}

impl Container {
    /// Verifies everything but the data of the parts. Where keys are given, one of them must have
    /// made the tags.
    pub(crate) fn open(source: Box<dyn Source>, keys: &[TagKey]) -> Result<Container, Refusal> {
        if source.length() > 0 && !begins_with(&*source, &zip::MAGIC)? {
            return Err(Refusal::NotACheckpoint);
        }
        let container = Container::open_without_headers(source, keys)?;
        check_sums(&container.entries, &container.manifest.parts)?;
        let starts = headers::check(&*container.source, &container.entries)?;
        Ok(Container { starts: OnceLock::from(starts), ..container })
    }

    /// Verifies the manifest and the list of entries, which are the end of the file. Nothing before
    /// them is read, and the checksums in the one are not compared with those in the other yet.
    pub(crate) fn open_without_headers(
        source: Box<dyn Source>,
        keys: &[TagKey],
    ) -> Result<Container, Refusal> {
        let mut entries = read_entries(&*source)?;
        let (manifest, key, manifest_crc32) = match entries.pop() {
            Some(entry) if entry.name == MANIFEST => {
                if entry.unpacked.is_some() || entry.length > manifest::longest(&entries) {
                    return Err(damaged(MANIFEST, "it is longer than the manifest of such a file can be"));
                }
                let (manifest, key) = read_manifest(&*source, &entry, &entries, keys)?;
                (manifest, key, entry.crc32)
            }
            _ => return Err(Refusal::NotACheckpoint),
        };
        Ok(Container { source, manifest, entries, starts: OnceLock::new(), key, manifest_crc32 })
    }

    /// Verifies the headers and the lists of checksums of consecutive parts. The source learns that
    /// these parts will be read, and nothing around them.
    pub(crate) fn need(&self, parts: Range<usize>) -> Result<(), Refusal> {
        let Some(entries @ [first, .., last] | entries @ [first @ last]) = self.entries.get(parts.clone())
        else {
            return Ok(());
        };
        check_sums(entries, self.manifest.parts.get(parts.clone()).unwrap_or_default())?;
        let end = last.end().ok_or_else(|| damaged(&last.name, "its length is impossible"))?;
        self.source.will_read_only(first.offset, end.saturating_sub(first.offset));
        let starts = headers::check(&*self.source, entries)?;
        // Those of an earlier call spare reads, and no more.
        let _ = self.starts.set(starts.of_parts_from(parts.start));
        Ok(())
    }

    /// The bytes of an entry, with its headers.
    #[cfg(test)]
    pub(crate) fn extent(&self, number: usize) -> Range<u64> {
        let end = |entry: &Entry| entry.end().unwrap_or(u64::MAX);
        self.entries.get(number).map_or(0..0, |entry| entry.offset..end(entry))
    }

    /// The number of the part that holds the state, which is the last.
    pub(crate) fn state_number(&self) -> usize {
        self.entries.len().saturating_sub(1)
    }

    /// The checksum of the manifest, which has those of all parts.
    pub(crate) fn manifest_crc32(&self) -> u32 {
        self.manifest_crc32
    }

    /// The manifest.
    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The length of the file in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.source.length()
    }

    /// The unpacked length of each array, with its header, and its checksum.
    pub(crate) fn sums(&self) -> impl Iterator<Item = Option<(u64, u32)>> {
        self.manifest.parts.iter().filter(|part| part.name != STATE).map(PartRecord::whole)
    }

    /// The unpacked length of all parts in bytes.
    pub(crate) fn unpacked_length(&self) -> u64 {
        self.entries.iter().map(Entry::size).fold(0, u64::saturating_add)
    }

    /// Reads and verifies the bytes of the state.
    pub(crate) fn state(&self) -> Result<Vec<u8>, Refusal> {
        let (Some(part), Some(entry)) = (self.manifest.parts.last(), self.entries.last()) else {
            return Err(damaged(MANIFEST, "it describes no parts"));
        };
        if part.name != STATE {
            return Err(damaged(MANIFEST, format!("the last part it describes is not {STATE}")));
        }
        let reader = PartReader::new(&*self.source, part, entry, self.key.as_ref())?;
        let mut bytes = allocate(reader.size(), STATE)?;
        reader.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads the list of entries from the end of the file, and checks that it is the only valid list of
/// them.
fn read_entries(source: &dyn Source) -> Result<Vec<Entry>, Refusal> {
    const PART: &str = "end of the file";
    let length = source.length();
    if length == 0 {
        return Err(damaged("file", "it is empty"));
    }
    let end_length = usize::try_from(length).unwrap_or(zip::END_AT_MOST).min(zip::END_AT_MOST);
    let end = read_bytes(source, length - end_length as u64, end_length as u64, PART)?;
    let Some(index) = Index::parse(&end) else {
        if !begins_with(source, &zip::MAGIC)? {
            return Err(Refusal::NotACheckpoint);
        }
        let why = "it is not the end of a checkpoint: the file was cut short or written over";
        return Err(damaged(PART, why));
    };
    // All of these come from the file: no sum may wrap, and together they must equal its length
    // exactly.
    let meets = index.offset.checked_add(index.size).and_then(|sum| sum.checked_add(index.end_size()));
    if meets != Some(length) {
        return Err(damaged(PART, "the entries and the end do not meet"));
    }
    // An entry has at least half as many bytes before the list as within it.
    if index.size / 2 > index.offset {
        return Err(damaged(PART, "the list of entries is longer than all that it could list"));
    }
    let tail = read_dense(source, index.offset, length - index.offset, PART)?;
    let central = usize::try_from(index.size).ok().and_then(|size| tail.get(..size));
    let entries =
        central.and_then(zip::entries).ok_or_else(|| damaged(PART, "the list of entries cannot be read"))?;
    let mut offset = 0;
    for entry in &entries {
        if entry.offset != offset {
            return Err(damaged(&entry.name, "its entry does not start where the one before it ends"));
        }
        offset = entry.end().ok_or_else(|| damaged(&entry.name, "its length is impossible"))?;
    }
    if zip::tail(&entries).as_deref() != Some(&tail[..]) {
        return Err(damaged(PART, "the list of entries is not as it was written"));
    }
    Ok(entries)
}

fn read_manifest(
    source: &dyn Source,
    entry: &Entry,
    others: &[Entry],
    keys: &[TagKey],
) -> Result<(Manifest, Option<TagKey>), Refusal> {
    let bytes = read_data(source, entry)?;
    if crc32fast::hash(&bytes) != entry.crc32 {
        return Err(damaged(MANIFEST, "its checksum does not match"));
    }
    let checked = check_structure(&bytes, others, keys)?;
    headers::check(source, std::slice::from_ref(entry))?;
    Ok(checked)
}

/// Parses a manifest of a format that this reader knows. Of a later format, it only reads the
/// version.
fn parse_manifest(json: &[u8]) -> Result<Manifest, Refusal> {
    let manifest: Result<Manifest, Refusal> = parse(json);
    let version = match &manifest {
        Ok(manifest) => manifest.format_version,
        Err(_) => parse::<FormatVersion>(json)?.format_version,
    };
    check_format(version)?;
    manifest
}

fn check_format(format_version: u32) -> Result<(), Refusal> {
    if format_version > FORMAT_VERSION {
        return Err(Refusal::FormatTooNew(format_version));
    }
    if format_version == 0 {
        return Err(damaged(MANIFEST, "there is no format version 0"));
    }
    Ok(())
}

/// Returns the manifest of a file with these other entries, and the key of its tags, where they
/// count.
pub(super) fn check_manifest(
    json: &[u8],
    entries: &[Entry],
    keys: &[TagKey],
) -> Result<(Manifest, Option<TagKey>), Refusal> {
    let (manifest, key) = check_structure(json, entries, keys)?;
    check_sums(entries, &manifest.parts)?;
    Ok((manifest, key))
}

/// Does that without a look at the checksums of the parts.
fn check_structure(
    json: &[u8],
    entries: &[Entry],
    keys: &[TagKey],
) -> Result<(Manifest, Option<TagKey>), Refusal> {
    let manifest = parse_manifest(json)?;
    let key = find_key(json, &manifest, keys)?;
    if !manifest.schema.is_closed() {
        return Err(damaged(MANIFEST, "the schema refers to a type that it does not define"));
    }
    check_parts(entries, &manifest.parts, key.is_some())?;
    Ok((manifest, key.cloned()))
}

/// The key that made the tag of the manifest. The tag must be right.
fn find_key<'k>(json: &[u8], manifest: &Manifest, keys: &'k [TagKey]) -> Result<Option<&'k TagKey>, Refusal> {
    if keys.is_empty() {
        return Ok(None);
    }
    let found = manifest.authentication.as_ref().ok_or(Refusal::NotTagged)?;
    let key = keys.iter().find(|key| key.id == found.key);
    let key = key.ok_or_else(|| Refusal::OtherKey(found.key.clone()))?;
    if !key.has_sealed(json, found) {
        return Err(damaged(MANIFEST, "its tag does not match: it was changed without the key"));
    }
    Ok(Some(key))
}

fn parse<'a, T: serde::Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    let refused = |why: String| damaged(MANIFEST, format!("it is not a manifest: {why}"));
    // Checked as a whole: the parser would check each of thousands of strings by itself.
    let text = std::str::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
    serde_json::from_str(text).map_err(|error| refused(error.to_string()))
}

/// The most bytes that one byte of a zstd frame can become: a block of at most 128 KiB takes at
/// least 4. Source: RFC 8878, 3.1.1.2.
const GREATEST_RATIO: u64 = (128 << 10) / 4;

/// Checks that the manifest and the list of entries agree: two descriptions that differ would let
/// two readers see two different files.
fn check_parts(entries: &[Entry], parts: &[PartRecord], tags_count: bool) -> Result<(), Refusal> {
    if entries.len() != parts.len() {
        let why = format!("it describes {} parts, the file has {}", parts.len(), entries.len());
        return Err(damaged(MANIFEST, why));
    }
    let mut names = std::collections::HashSet::new();
    for (entry, part) in entries.iter().zip(parts) {
        let is_last = names.len() + 1 == parts.len();
        if is_last != (part.name == STATE) || (!is_last && !schema::is_array_name(&part.name)) {
            return Err(damaged(MANIFEST, format!("{:?} is no name of a part in its place", part.name)));
        }
        if entry.name != part.name || !names.insert(&part.name) {
            return Err(damaged(&entry.name, "it is not the part that the manifest describes in its place"));
        }
        if tags_count && part.blake3.len() != part.crc32.len() {
            return Err(damaged(&entry.name, "it does not have one tag for each checksum"));
        }
        let unpacked = part.unpacked.as_ref().map(|unpacked| unpacked.length);
        if entry.length != part.length || entry.unpacked != unpacked {
            return Err(damaged(&entry.name, "the manifest describes another length"));
        }
        // A length that so few bytes cannot unpack to is refused before anything is allocated.
        if unpacked.is_some_and(|unpacked| unpacked > part.length.saturating_mul(GREATEST_RATIO)) {
            return Err(damaged(&entry.name, "it declares more bytes than it can unpack to"));
        }
    }
    Ok(())
}

/// Checks that the checksums of the manifest and those of the list of entries agree.
fn check_sums(entries: &[Entry], parts: &[PartRecord]) -> Result<(), Refusal> {
    for (entry, part) in entries.iter().zip(parts) {
        let stored = checksum::combined(&part.crc32, part.length);
        let crc32 = match &part.unpacked {
            Some(unpacked) => stored.map(|_| unpacked.crc32.0),
            None => stored,
        };
        if crc32 != Some(entry.crc32) {
            return Err(damaged(&entry.name, "the manifest describes another checksum"));
        }
    }
    Ok(())
}

fn read_data(source: &dyn Source, entry: &Entry) -> Result<Vec<u8>, Refusal> {
    let offset = entry.data_offset().ok_or_else(|| damaged(&entry.name, "its place is impossible"))?;
    read_dense(source, offset, entry.length, &entry.name)
}
