//! The zip records of a container, each a function of the entries: the writer writes them, the
//! reader compares.
//!
//! ```text
//! local header        30  signature 4, version needed 2, flags 2, method 2, time 2, date 2,
//!                         crc-32 4, compressed size 4, size 4, name length 2, extra length 2
//!                         name, [zip64 field 20], alignment field 6 and more
//! data                    starts at a multiple of 64, or of 4096 where it is long
//! [descriptor     16, 24  signature 4, crc-32 4, compressed size 4 (8), size 4 (8)]
//! ...                     the next entry follows without a gap
//! central header      46  signature 4, made by 2, version needed 2, flags 2, method 2, time 2, date 2,
//!                         crc-32 4, compressed size 4, size 4, name length 2, extra length 2, comment length 2,
//!                         disk 2, internal attributes 2, external attributes 4, offset of the local header 4
//!                         name, [zip64 field 28]
//! ...
//! [zip64 end          56  signature 4, size of the rest 8, made by 2, version needed 2, disk 4, disk 4,
//!                         entries 8, entries 8, size of the central headers 8, their offset 8]
//! [zip64 locator      20  signature 4, disk 4, offset of the zip64 end 8, disks 4]
//! end                 22  signature 4, disk 2, disk 2, entries 2, entries 2,
//!                         size of the central headers 4, their offset 4, comment length 2
//! ```
//!
//! Numbers are little-endian. An array (`*.npy`) and a compressed part are written before their
//! checksum is known: the local header has zeros for the checksum and the sizes, and the descriptor
//! has them. Fields in brackets are there exactly where a value does not fit its usual field; every
//! such field then holds its greatest value. Source: PKWARE, APPNOTE.TXT 6.3.10, sections 4.3 to
//! 4.5.

/// The length of the end record in bytes.
pub(super) const END: usize = 22;
/// The length of a central header before the name, in bytes.
pub(super) const CENTRAL: usize = 46;
/// The length of the zip64 end and its locator, which precede the end record, in bytes.
const END64: usize = 56 + LOCATOR64;
const LOCATOR64: usize = 20;

const DESCRIPTOR_SIGNATURE: u32 = 0x0807_4b50;
const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
const CENTRAL_SIGNATURE: u32 = 0x0201_4b50;
const END_SIGNATURE: u32 = 0x0605_4b50;
const END64_SIGNATURE: u32 = 0x0606_4b50;
const LOCATOR64_SIGNATURE: u32 = 0x0706_4b50;

const VERSION: u16 = 20;
const VERSION64: u16 = 45;
/// The first version that knows compression by Zstandard.
const VERSION_ZSTD: u16 = 63;
/// Made on Unix, so that unzip reads the external attributes as the mode of a file.
const MADE_ON_UNIX: u16 = 3 << 8;
const MODE: u32 = 0o100_644 << 16;
/// Names are UTF-8.
const UTF8: u16 = 1 << 11;
/// The checksum and the sizes follow the data.
const STREAMED: u16 = 1 << 3;
const STORED: u16 = 0;
const ZSTD: u16 = 93;
/// 1980-01-01, 00:00, the earliest time of zip; the manifest has the real time.
const TIME: u16 = 0;
const DATE: u16 = (1 << 5) | 1;

const ZIP64_FIELD: u16 = 1;
/// The extra field that Android's `zipalign` registered for padding: the alignment, then zeros.
const ALIGNMENT_FIELD: u16 = 0xd935;

const FULL16: u16 = u16::MAX;
const FULL32: u32 = u32::MAX;

/// The least unpacked length of a compressed entry that is zip64. The packed length is unknown when
/// the header is written, but is less than twice the unpacked one.
const PACKED_ZIP64: u64 = 1 << 31;

/// One entry, with all values of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    /// The length in the file in bytes.
    pub(super) length: u64,
    /// The unpacked length in bytes, where it is compressed.
    pub(super) unpacked: Option<u64>,
    /// The checksum of the unpacked bytes.
    pub(super) crc32: u32,
    /// The offset of its local header.
    pub(super) offset: u64,
}

impl Entry {
    /// The alignment of the data in the file: a cache line, or a page where direct I/O and memory
    /// maps pay.
    fn alignment(&self) -> u16 {
        if self.length >= 1 << 20 && self.unpacked.is_none() { 4096 } else { 64 }
    }

    /// The unpacked length in bytes.
    pub(super) fn size(&self) -> u64 {
        self.unpacked.unwrap_or(self.length)
    }

    /// True if it is written in one pass, so that its checksum follows it.
    fn is_streamed(&self) -> bool {
        self.name.ends_with(".npy") || self.unpacked.is_some()
    }

    fn is_zip64(&self) -> bool {
        let is_long = match self.unpacked {
            Some(unpacked) => unpacked >= PACKED_ZIP64,
            None => self.length >= u64::from(FULL32),
        };
        is_long || self.offset >= u64::from(FULL32)
    }

    fn version(&self) -> u16 {
        match self.unpacked {
            Some(_) => VERSION_ZSTD,
            None if self.is_zip64() => VERSION64,
            None => VERSION,
        }
    }

    fn narrow(&self, value: u64) -> u32 {
        if self.is_zip64() { FULL32 } else { narrow32(value) }
    }

    /// The padding that aligns the data. `None` where the file would not fit 64 bits.
    fn padding(&self) -> Option<u16> {
        let zip64 = if self.is_zip64() { 20 } else { 0 };
        let unpadded = self.offset.checked_add(30 + self.name.len() as u64 + zip64 + 6)?;
        let alignment = u64::from(self.alignment());
        let padding = unpadded.checked_next_multiple_of(alignment)? - unpadded;
        u16::try_from(padding).ok()
    }

    /// The offset of the data. `None` where the file would not fit 64 bits, or the name not its
    /// field.
    pub(super) fn data_offset(&self) -> Option<u64> {
        let zip64 = if self.is_zip64() { 20 } else { 0 };
        let name = u16::try_from(self.name.len()).ok()?;
        let header = 30 + u64::from(name) + zip64 + 6 + u64::from(self.padding()?);
        self.offset.checked_add(header)
    }

    /// The end of the entry, where the next record starts.
    pub(super) fn end(&self) -> Option<u64> {
        let descriptor = match (self.is_streamed(), self.is_zip64()) {
            (false, _) => 0,
            (true, false) => 16,
            (true, true) => 24,
        };
        self.data_offset()?.checked_add(self.length)?.checked_add(descriptor)
    }

    /// The bytes that follow the data; none unless the entry was written in one pass.
    pub(super) fn descriptor(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.is_streamed() {
            put32(&mut bytes, DESCRIPTOR_SIGNATURE);
            put32(&mut bytes, self.crc32);
            for size in [self.length, self.size()] {
                if self.is_zip64() {
                    put64(&mut bytes, size);
                } else {
                    put32(&mut bytes, narrow32(size));
                }
            }
        }
        bytes
    }

    /// The local header, up to where the data starts.
    pub(super) fn local_header(&self) -> Option<Vec<u8>> {
        let name_length = u16::try_from(self.name.len()).ok()?;
        let padding = self.padding()?;
        let zip64_length = if self.is_zip64() { 20 } else { 0 };
        let mut bytes = Vec::with_capacity(64 + self.name.len() + usize::from(padding));
        let (crc32, length) = if self.is_streamed() { (0, 0) } else { (self.crc32, self.length) };
        let size = if self.is_streamed() { 0 } else { self.narrow(length) };
        put32(&mut bytes, LOCAL_SIGNATURE);
        put16(&mut bytes, self.version());
        self.put_common(&mut bytes, crc32, [size, size]);
        put16(&mut bytes, name_length);
        put16(&mut bytes, zip64_length + 6 + padding);
        bytes.extend_from_slice(self.name.as_bytes());
        if self.is_zip64() {
            put16(&mut bytes, ZIP64_FIELD);
            put16(&mut bytes, 16);
            put64(&mut bytes, length);
            put64(&mut bytes, length);
        }
        put16(&mut bytes, ALIGNMENT_FIELD);
        put16(&mut bytes, 2 + padding);
        put16(&mut bytes, self.alignment());
        bytes.resize(bytes.len() + usize::from(padding), 0);
        Some(bytes)
    }

    fn put_central_header(&self, bytes: &mut Vec<u8>) -> Option<()> {
        put32(bytes, CENTRAL_SIGNATURE);
        put16(bytes, MADE_ON_UNIX | self.version());
        put16(bytes, self.version());
        self.put_common(bytes, self.crc32, [self.narrow(self.length), self.narrow(self.size())]);
        put16(bytes, u16::try_from(self.name.len()).ok()?);
        put16(bytes, if self.is_zip64() { 28 } else { 0 });
        put16(bytes, 0);
        put16(bytes, 0);
        put16(bytes, 0);
        put32(bytes, MODE);
        put32(bytes, self.narrow(self.offset));
        bytes.extend_from_slice(self.name.as_bytes());
        if self.is_zip64() {
            put16(bytes, ZIP64_FIELD);
            put16(bytes, 24);
            put64(bytes, self.size());
            put64(bytes, self.length);
            put64(bytes, self.offset);
        }
        Some(())
    }

    /// Writes the fields that the local and the central header share, from the flags to the sizes.
    fn put_common(&self, bytes: &mut Vec<u8>, crc32: u32, sizes: [u32; 2]) {
        put16(bytes, if self.is_streamed() { UTF8 | STREAMED } else { UTF8 });
        put16(bytes, if self.unpacked.is_some() { ZSTD } else { STORED });
        put16(bytes, TIME);
        put16(bytes, DATE);
        put32(bytes, crc32);
        sizes.into_iter().for_each(|size| put32(bytes, size));
    }
}

/// All bytes after the data of the last entry: the central headers and the end. `None` where a
/// value does not fit.
pub(super) fn tail(entries: &[Entry]) -> Option<Vec<u8>> {
    let offset = match entries.last() {
        Some(last) => last.end()?,
        None => 0,
    };
    let mut bytes = Vec::new();
    for entry in entries {
        entry.put_central_header(&mut bytes)?;
    }
    let size = bytes.len() as u64;
    let count = entries.len() as u64;
    let index = Index { offset, size, count };
    if index.is_zip64() {
        put32(&mut bytes, END64_SIGNATURE);
        put64(&mut bytes, 44);
        put16(&mut bytes, MADE_ON_UNIX | VERSION64);
        put16(&mut bytes, VERSION64);
        put32(&mut bytes, 0);
        put32(&mut bytes, 0);
        put64(&mut bytes, count);
        put64(&mut bytes, count);
        put64(&mut bytes, size);
        put64(&mut bytes, offset);
        put32(&mut bytes, LOCATOR64_SIGNATURE);
        put32(&mut bytes, 0);
        put64(&mut bytes, offset.checked_add(size)?);
        put32(&mut bytes, 1);
    }
    let full = index.is_zip64();
    put32(&mut bytes, END_SIGNATURE);
    put16(&mut bytes, 0);
    put16(&mut bytes, 0);
    let count = if full { FULL16 } else { u16::try_from(count).ok()? };
    put16(&mut bytes, count);
    put16(&mut bytes, count);
    put32(&mut bytes, if full { FULL32 } else { narrow32(size) });
    put32(&mut bytes, if full { FULL32 } else { narrow32(offset) });
    put16(&mut bytes, 0);
    Some(bytes)
}

/// The place of the central headers, as the end record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index {
    pub(super) offset: u64,
    pub(super) size: u64,
    count: u64,
}

impl Index {
    fn is_zip64(&self) -> bool {
        self.count >= u64::from(FULL16) || self.size >= u64::from(FULL32) || self.offset >= u64::from(FULL32)
    }

    /// Parses the end of the file: at least its last 98 bytes, or all of it. The result is not
    /// trusted: the caller compares the whole tail with [`tail`] once it knows the entries.
    pub(super) fn parse(end_of_file: &[u8]) -> Option<Index> {
        let end = end_of_file.len().checked_sub(END)?;
        let record = Fields(end_of_file.get(end..)?);
        if record.u32(0)? != END_SIGNATURE {
            return None;
        }
        let (count, size, offset) = (record.u16(10)?, record.u32(12)?, record.u32(16)?);
        if offset != FULL32 {
            return Some(Index { offset: offset.into(), size: size.into(), count: count.into() });
        }
        let record = Fields(end_of_file.get(end.checked_sub(END64)?..end)?);
        if record.u32(0)? != END64_SIGNATURE {
            return None;
        }
        Some(Index { offset: record.u64(48)?, size: record.u64(40)?, count: record.u64(32)? })
    }

    /// The length of the records behind the central headers, in bytes.
    pub(super) fn end_size(&self) -> u64 {
        (if self.is_zip64() { END64 + END } else { END }) as u64
    }
}

/// The most bytes at the end of a file that [`Index::parse`] reads.
pub(super) const END_AT_MOST: usize = END64 + END;

/// Parses the central headers. The result is not trusted: see [`Index::parse`].
pub(super) fn entries(mut central: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    while !central.is_empty() {
        let record = Fields(central);
        if record.u32(0)? != CENTRAL_SIGNATURE {
            return None;
        }
        let name_length = usize::from(record.u16(28)?);
        let extra_length = usize::from(record.u16(30)?);
        let after_name = CENTRAL + name_length;
        let name = std::str::from_utf8(central.get(CENTRAL..after_name)?).ok()?.to_owned();
        let (mut length, mut size) = (record.u32(20)?.into(), record.u32(24)?.into());
        let mut offset = record.u32(42)?.into();
        if extra_length > 0 {
            let extra = Fields(central.get(after_name..after_name + extra_length)?);
            (size, length, offset) = (extra.u64(4)?, extra.u64(12)?, extra.u64(20)?);
        }
        let unpacked = (record.u16(10)? == ZSTD).then_some(size);
        entries.push(Entry { name, length, unpacked, crc32: record.u32(16)?, offset });
        central = central.get(after_name + extra_length..)?;
    }
    Some(entries)
}

/// The first bytes of every zip archive that has an entry.
pub(crate) const MAGIC: [u8; 4] = LOCAL_SIGNATURE.to_le_bytes();

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.get(at..at + N)?.try_into().ok()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        self.bytes(at).map(u16::from_le_bytes)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        self.bytes(at).map(u32::from_le_bytes)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.bytes(at).map(u64::from_le_bytes)
    }
}

fn put16(bytes: &mut Vec<u8>, value: u16) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put32(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn put64(bytes: &mut Vec<u8>, value: u64) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

fn narrow32(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(FULL32)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn entry(name: &str, length: u64, offset: u64) -> Entry {
        Entry { name: name.to_owned(), length, unpacked: None, crc32: 0xdead_beef, offset }
    }

    #[test]
    fn both_lengths_of_what_is_compressed_are_read_back() {
        for (length, unpacked) in [(7, 900), (900, 899), (1 << 30, 1 << 31), (6 << 30, 9 << 40)] {
            let first = Entry { unpacked: Some(unpacked), ..entry("state.bincode", length, 0) };
            let second = entry("second", 3, first.end().unwrap());
            let written = [first, second];
            let tail = tail(&written).unwrap();
            let index = Index::parse(&tail).unwrap();
            assert_eq!(index.offset, written[1].end().unwrap());
            assert_eq!(entries(&tail[..usize::try_from(index.size).unwrap()]).unwrap(), written);
        }
    }

    #[test]
    fn data_starts_at_a_multiple_of_its_alignment() {
        for offset in [0, 1, 63, 64, 4095, 1 << 40] {
            for (length, alignment) in [(0, 64), (100, 64), (1 << 20, 4096), (1 << 33, 4096)] {
                let entry = entry("a/b.npy", length, offset);
                assert_eq!(entry.data_offset().unwrap() % alignment, 0, "{offset} {length}");
            }
        }
    }

    #[test]
    fn the_tail_is_read_back_also_beyond_four_gigabytes() {
        for length in [0, 7, u64::from(u32::MAX) - 1, u64::from(u32::MAX), 5 << 32] {
            let first = entry("first", length, 0);
            let second = entry("second", 3, first.end().unwrap());
            let written = [first, second];
            let tail = tail(&written).unwrap();
            let index = Index::parse(&tail).unwrap();
            assert_eq!(index.offset, written[1].end().unwrap(), "{length}");
            assert_eq!(index.size + index.end_size(), tail.len() as u64, "{length}");
            let central = &tail[..usize::try_from(index.size).unwrap()];
            assert_eq!(entries(central).unwrap(), written, "{length}");
        }
    }

    #[test]
    fn as_many_entries_as_fit_no_16_bits_are_read_back() {
        let written: Vec<Entry> =
            (0..70_000_u64).map(|place| entry(&format!("{place}"), 0, place * 64)).collect();
        let tail = tail(&written).unwrap();
        let index = Index::parse(&tail).unwrap();
        assert_eq!(entries(&tail[..usize::try_from(index.size).unwrap()]).unwrap(), written);
    }

    #[test]
    fn offsets_that_fit_no_64_bits_are_refused() {
        assert_eq!(entry("a", 1, u64::MAX).data_offset(), None);
        assert_eq!(entry("a", u64::MAX, 0).end(), None);
        assert_eq!(tail(&[entry("a", u64::MAX, 0)]), None);
    }

    #[test]
    fn a_name_that_does_not_fit_its_field_is_refused() {
        assert_eq!(entry(&"n".repeat(70_000), 1, 0).local_header(), None);
    }
}
