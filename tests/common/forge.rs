//! Makes forged checkpoint files that agree with themselves: every checksum and every length fits.
//! Written from docs/format.md alone.

use std::fs;
use std::ops::Range;
use std::path::Path;

const END: usize = 22;
const CENTRAL: usize = 46;
const LOCAL: usize = 30;

/// One entry of an archive.
pub(crate) struct Entry {
    /// The offset of its central record.
    pub(crate) central: usize,
    /// The offset of its local header.
    pub(crate) local: usize,
    /// The range of its data.
    pub(crate) data: Range<usize>,
}

/// The entries of a file, in its order: arrays, the state, the manifest.
pub(crate) fn entries(file: &[u8]) -> Vec<Entry> {
    let end = file.len() - END;
    let mut central = read32(file, end + 16);
    let mut entries = Vec::new();
    while central < end {
        let local = read32(file, central + 42);
        let data = local + LOCAL + read16(file, local + 26) + read16(file, local + 28);
        entries.push(Entry { central, local, data: data..data + read32(file, central + 20) });
        central += CENTRAL + read16(file, central + 28) + read16(file, central + 30);
    }
    entries
}

/// The manifest of a file.
pub(crate) fn manifest(file: &[u8]) -> &str {
    let data = entries(file).pop().unwrap().data;
    std::str::from_utf8(&file[data]).unwrap()
}

/// A file with another text as its manifest.
pub(crate) fn with_manifest(file: &[u8], manifest: &str) -> Vec<u8> {
    let mut bytes = file.to_owned();
    let Entry { central, local, data } = entries(file).pop().unwrap();
    assert!(manifest.len() < 1 << 20, "a long entry has another alignment");
    let length = u32::try_from(manifest.len()).unwrap();
    let fields = [crc32(manifest.as_bytes()), length, length];
    for place in [local + 14, central + 16] {
        for (number, field) in fields.iter().enumerate() {
            write32(&mut bytes, place + 4 * number, *field);
        }
    }
    let end = bytes.len() - END;
    write32(&mut bytes, end + 16, u32::try_from(data.start + manifest.len()).unwrap());
    bytes.splice(data, manifest.bytes());
    bytes
}

/// Writes a file again with another text as its manifest.
pub(crate) fn change_manifest(file: &Path, change: impl FnOnce(&str) -> String) {
    let bytes = fs::read(file).unwrap();
    let before = manifest(&bytes);
    let after = change(before);
    assert_ne!(before, after, "nothing was changed");
    fs::write(file, with_manifest(&bytes, &after)).unwrap();
}

/// Replaces a text that occurs once in the manifest.
pub(crate) fn replace_in_manifest(file: &Path, from: &str, to: &str) {
    change_manifest(file, |manifest| {
        assert_eq!(manifest.matches(from).count(), 1, "{from} in {manifest}");
        manifest.replace(from, to)
    });
}

/// The same file with every checksum made right again, except for the checksums of unpacked parts.
pub(crate) fn rewritten(file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_owned();
    let entries = entries(file);
    let mut sums = Vec::new();
    for (number, Entry { central, local, data }) in entries.iter().enumerate() {
        if number + 1 == entries.len() {
            give_sums(&mut bytes[data.clone()], &sums);
        }
        let content = &bytes[data.clone()];
        let sum = crc32(content);
        sums.push(content.chunks(1 << 20).map(crc32).collect::<Vec<_>>());
        let is_compressed = read16(&bytes, central + 10) != 0;
        if !is_compressed {
            let has_descriptor = read16(&bytes, local + 6) & 8 != 0;
            write32(&mut bytes, if has_descriptor { data.end + 4 } else { local + 14 }, sum);
            write32(&mut bytes, central + 16, sum);
        }
    }
    bytes
}

/// Writes the checksums of the parts, in order, into a manifest.
fn give_sums(manifest: &mut [u8], parts: &[Vec<u32>]) {
    let mut from = 0;
    for part in parts {
        let key = b"\"crc32\":[";
        // A forged manifest may lack them.
        let Some(place) = manifest[from..].windows(key.len()).position(|window| window == key) else {
            return;
        };
        from += place + key.len();
        for sum in part {
            let Some(place) = manifest.get_mut(from + 1..from + 9) else { return };
            if !place.iter().all(u8::is_ascii_hexdigit) {
                break;
            }
            place.copy_from_slice(format!("{sum:08x}").as_bytes());
            from += 11;
        }
    }
}

/// Zip's checksum, byte by byte.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    let of_byte =
        |byte: u32| (0..8).fold(byte, |crc, _| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 });
    let table: Vec<u32> = (0..256_u32).map(of_byte).collect();
    !bytes.iter().fold(u32::MAX, |crc, byte| (crc >> 8) ^ table[usize::from(crc.to_le_bytes()[0] ^ byte)])
}

pub(crate) fn read16(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()))
}

pub(crate) fn read32(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()).try_into().unwrap()
}

pub(crate) fn write32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
