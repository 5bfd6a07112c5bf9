//! Makes checkpoint files that say something else than was written and yet agree with themselves: every checksum
//! and every length fits. Written from docs/format.md alone.

use std::fs;
use std::path::Path;

const END: usize = 22;
const CENTRAL: usize = 46;
const LOCAL: usize = 30;

/// Writes a file again with another text as its manifest.
pub(crate) fn change_manifest(file: &Path, change: impl FnOnce(&str) -> String) {
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.len() - END;
    let central = read32(&bytes, end + 16);
    let mut last = central;
    loop {
        let next = last + CENTRAL + read16(&bytes, last + 28) + read16(&bytes, last + 30);
        if next == end {
            break;
        }
        last = next;
    }
    let local = read32(&bytes, last + 42);
    let data = local + LOCAL + read16(&bytes, local + 26) + read16(&bytes, local + 28);
    let before = std::str::from_utf8(&bytes[data..central]).unwrap();
    let after = change(before);
    assert_ne!(before, after, "nothing was changed");
    assert!(after.len() < 1 << 20, "a long entry has another alignment");

    let length = u32::try_from(after.len()).unwrap();
    let fields = [crc32(after.as_bytes()), length, length];
    for place in [local + 14, last + 16] {
        for (number, field) in fields.iter().enumerate() {
            write32(&mut bytes, place + 4 * number, *field);
        }
    }
    write32(&mut bytes, end + 16, u32::try_from(data + after.len()).unwrap());
    bytes.splice(data..central, after.bytes());
    fs::write(file, bytes).unwrap();
}

/// The same in one place of the manifest.
pub(crate) fn replace_in_manifest(file: &Path, from: &str, to: &str) {
    change_manifest(file, |manifest| {
        assert_eq!(manifest.matches(from).count(), 1, "{from} in {manifest}");
        manifest.replace(from, to)
    });
}

/// The same file with every checksum made right, wherever it was changed; but not those of what is compressed when unpacked.
pub(crate) fn rewritten(file: &[u8]) -> Vec<u8> {
    let mut bytes = file.to_owned();
    let end = bytes.len() - END;
    let mut central = read32(&bytes, end + 16);
    let entries = read16(&bytes, end + 10);
    let mut sums = Vec::new();
    for number in 1..=entries {
        let (is_compressed, length) = (read16(&bytes, central + 10) != 0, read32(&bytes, central + 20));
        let local = read32(&bytes, central + 42);
        let data = local + LOCAL + read16(&bytes, local + 26) + read16(&bytes, local + 28);
        if number == entries {
            give_sums(&mut bytes[data..data + length], &sums);
        }
        let content = &bytes[data..data + length];
        let sum = crc32(content);
        sums.push(content.chunks(1 << 20).map(crc32).collect::<Vec<_>>());
        if !is_compressed {
            let has_descriptor = read16(&bytes, local + 6) & 8 != 0;
            write32(&mut bytes, if has_descriptor { data + length + 4 } else { local + 14 }, sum);
            write32(&mut bytes, central + 16, sum);
        }
        central += CENTRAL + read16(&bytes, central + 28) + read16(&bytes, central + 30);
    }
    bytes
}

/// Writes the checksums of the parts, in order, into a manifest.
fn give_sums(manifest: &mut [u8], parts: &[Vec<u32>]) {
    let mut from = 0;
    for part in parts {
        let key = b"\"crc32\":[";
        from += manifest[from..].windows(key.len()).position(|window| window == key).unwrap() + key.len();
        for sum in part {
            manifest[from + 1..from + 9].copy_from_slice(format!("{sum:08x}").as_bytes());
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
