//! Compressed checkpoints: a saved state loads unchanged, other programs read it, and it takes
//! little memory.
//!
//! `cargo test -p checkpointed-tests --test main compression::`

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::common::forge::{read16, read32};
use crate::common::{assert_passed, file_of, has, inside, once_more, python::python};
use checkpointed::{CheckpointReader, Checkpointer, Compression, Error, checkpointed};

#[checkpointed]
#[derive(Clone, Debug, Default, PartialEq)]
struct Field {
    step: u64,
    /// Smooth data, which shrinks.
    temperature: Vec<f64>,
    /// Noise, which does not.
    noise: Vec<u64>,
    few: Vec<u8>,
    log: Vec<String>,
}

/// Random numbers, the same each time.
fn noise(length: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(next).take(length).collect()
}

impl Field {
    fn of(length: usize) -> Field {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let temperature = (0..length).map(|place| (place / 100) as f64).collect();
        let log = (0..length / 8).map(|step| format!("step {step} is done")).collect();
        Field { step: 7, temperature, noise: noise(length), few: vec![1, 2, 3], log }
    }
}

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn compressed(path: &Path, level: i32) -> Checkpointer<Field> {
    Checkpointer::builder(path).compression(Compression::Zstd(level)).open().unwrap()
}

/// The name of each entry with its method, from the list of entries.
fn methods(file: &Path) -> Vec<(String, usize)> {
    let bytes = fs::read(file).unwrap();
    let mut place = read32(&bytes, bytes.len() - 6);
    let mut found = Vec::new();
    while bytes[place..].starts_with(b"PK\x01\x02") {
        let end = place + 46 + read16(&bytes, place + 28);
        let name = String::from_utf8(bytes[place + 46..end].to_vec()).unwrap();
        found.push((name, read16(&bytes, place + 10)));
        place = end + read16(&bytes, place + 30);
    }
    found
}

#[test]
fn each_way_to_save_and_load_gives_the_same_state() {
    let (_parent, path) = nowhere();
    // Around the lengths of a sample and of a checksum's chunk, and beyond many of them.
    for length in [0, 1, 100, 8191, 8192, 131_072, 400_000, 1_000_003] {
        let state = Field::of(length);
        for level in [1, 3] {
            let mut checkpoints = compressed(&path, level);
            checkpoints.save(&state).unwrap();
            assert_eq!(checkpoints.load().unwrap().as_ref(), Some(&state), "{length}");
            checkpoints.save_in_background(&state).unwrap();
            checkpoints.wait().unwrap();
            drop(checkpoints);
            // A load needs no setting.
            let mut into = Field { temperature: vec![1.0; length], ..Field::default() };
            assert!(Checkpointer::<Field>::open(&path).unwrap().load_into(&mut into).unwrap());
            assert_eq!(into, state, "{length}");
        }
    }
}

#[test]
fn only_what_becomes_shorter_is_compressed() {
    let (_parent, path) = nowhere();
    let state = Field::of(400_000);
    let packed = compressed(&path, 3).save(&state).unwrap().bytes;
    let expected = [("temperature.npy", 93), ("noise.npy", 0), ("few.npy", 0), ("state.bincode", 93)];
    let mut expected: Vec<_> = expected.map(|(name, method)| (name.to_owned(), method)).to_vec();
    expected.push(("checkpoint.json".to_owned(), 0));
    assert_eq!(methods(&file_of(&path, 1)), expected);

    let mut checkpoints = Checkpointer::<Field>::open(&path).unwrap();
    let plain = checkpoints.save(&state).unwrap().bytes;
    assert!(methods(&file_of(&path, 2)).iter().all(|(_, method)| *method == 0), "off unless asked for");
    assert!(packed < 4_000_000 && plain > 7_000_000, "{packed} of {plain}");
    // Both kinds may be in one directory.
    assert_eq!(checkpoints.load_generation(1).unwrap(), checkpoints.load_generation(2).unwrap());
}

#[test]
fn unknown_levels_are_refused_before_anything_is_created() {
    let (_parent, path) = nowhere();
    for level in [i32::MIN, -1, 0, 20, i32::MAX] {
        let builder = Checkpointer::<u64>::builder(&path).compression(Compression::Zstd(level));
        let error = builder.open().unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("Zstd({level})")), "{error}");
    }
    assert!(!path.exists());
    for level in 1..=19 {
        let mut checkpoints = compressed(&path, level);
        checkpoints.save(&Field::of(1000)).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(Field::of(1000)), "{level}");
    }
}

#[test]
fn every_flipped_bit_falls_back_to_the_older_generation() {
    let (_parent, path) = nowhere();
    let (old, new) = (Field::default(), Field::of(200));
    let mut checkpoints = compressed(&path, 3);
    checkpoints.save(&old).unwrap();
    checkpoints.save(&new).unwrap();
    drop(checkpoints);
    let newest = file_of(&path, 2);
    assert!(methods(&newest).iter().any(|(_, method)| *method == 93));
    let bytes = fs::read(&newest).unwrap();
    let file = File::options().write(true).open(&newest).unwrap();
    let mut reader = CheckpointReader::<Field>::open(&path).unwrap();
    for (place, byte) in bytes.iter().enumerate() {
        let bit = place % 8;
        file.write_all_at(&[byte ^ (1 << bit)], place as u64).unwrap();
        assert_eq!(reader.load().unwrap().as_ref(), Some(&old), "bit {bit} of byte {place}");
        file.write_all_at(&[*byte], place as u64).unwrap();
    }
    assert_eq!(reader.load().unwrap(), Some(new), "undamaged again");
    for length in (0..bytes.len()).rev() {
        file.set_len(length as u64).unwrap();
        assert_eq!(reader.load().unwrap().as_ref(), Some(&old), "the first {length} bytes");
    }
}

/// Unpacks each entry by the zip records, with the program `zstd`, and compares length and
/// checksum.
const UNPACK: &str = r#"
import json, subprocess, sys, zipfile, zlib
packed = 0
with open(sys.argv[1], "rb") as file, zipfile.ZipFile(file) as archive:
    manifest = json.loads(archive.read("checkpoint.json"))
    parts = {part["name"]: part for part in manifest["parts"]}
    for info in archive.infolist():
        file.seek(info.header_offset + 26)
        name, extra = (int.from_bytes(file.read(2), "little") for _ in range(2))
        file.seek(info.header_offset + 30 + name + extra)
        data = file.read(info.compress_size)
        part = parts.get(info.filename)
        if part:
            assert part["length"] == info.compress_size
            chunks = [data[start:start + 1048576] for start in range(0, len(data), 1048576)]
            assert part["crc32"] == [f"{zlib.crc32(chunk):08x}" for chunk in chunks]
        if info.compress_type == 93:
            assert info.create_version == info.extract_version == 63
            data = subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout
            assert part["unpacked"] == {"method": "zstd", "length": len(data), "crc32": f"{info.CRC:08x}"}
            packed += 1
        assert len(data) == info.file_size and zlib.crc32(data) == info.CRC, info.filename
    if hasattr(zipfile, "ZIP_ZSTANDARD"):
        assert archive.testzip() is None
print(packed)
"#;

#[test]
fn other_programs_unpack_it() {
    if !has("zstd") {
        return;
    }
    let (_parent, path) = nowhere();
    let mut checkpoints = compressed(&path, 3);
    for (length, packed) in [(0, 0), (1000, 2), (1_000_003, 2)] {
        let generation = checkpoints.save(&Field::of(length)).unwrap().generation;
        let Some(printed) = python(UNPACK, &file_of(&path, generation)) else { return };
        assert_eq!(printed.trim(), packed.to_string(), "{length}");
    }
}

#[test]
fn our_reader_in_python_unpacks_it() {
    const LOAD: &str = r#"
import sys
sys.dont_write_bytecode = True
try:
    import numpy
    try: import compression.zstd
    except ImportError: import zstandard
except ImportError:
    print("no numpy or zstandard")
    exit()
sys.path.insert(0, sys.argv[2])
import checkpointed
state = checkpointed.load(sys.argv[1])
print(state["step"], len(state["temperature"]), state["temperature"].sum(), len(state["log"]), state["few"].tolist())
"#;
    let (_parent, path) = nowhere();
    compressed(&path, 3).save(&Field::of(1_000_003)).unwrap();
    let package = crate::common::root().join("python");
    let run = |file: &Path| {
        std::process::Command::new("python3").arg("-c").arg(LOAD).arg(file).arg(&package).output()
    };
    let Ok(output) = run(&path) else { return crate::common::skipping("there is no python3") };
    let printed = String::from_utf8_lossy(&output.stdout);
    if printed.starts_with("no numpy") {
        return crate::common::skipping("there is no numpy or zstandard");
    }
    let sum: f64 = Field::of(1_000_003).temperature.iter().sum();
    let expected = format!("7 1000003 {sum:.1} 125000 [1, 2, 3]");
    assert_eq!(printed.trim(), expected, "{}", String::from_utf8_lossy(&output.stderr));

    // Changes one byte of the packed field.
    let mut bytes = fs::read(file_of(&path, 1)).unwrap();
    bytes[5000] ^= 1;
    fs::write(file_of(&path, 1), bytes).unwrap();
    let output = run(&file_of(&path, 1)).unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("DamagedError"), "{output:?}");
}

/// The most memory in KiB that this process ever used.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: 0");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn saving_and_loading_take_little_memory_besides_the_state() {
    let test = "saving_and_loading_take_little_memory_besides_the_state";
    let Some(path) = inside() else {
        let (_parent, path) = nowhere();
        return assert_passed(&once_more(test, &[], &path).output().unwrap());
    };
    let mut state = vec![0.0_f64; 8 << 20];
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    state.iter_mut().enumerate().for_each(|(place, value)| *value = (place / 10) as f64);
    let builder = Checkpointer::builder(&path).compression(Compression::Zstd(3));
    let mut checkpoints = builder.open().unwrap();
    // A short save and load bring the program's own code into memory, which must not count.
    checkpoints.save(&vec![0.0; 100_000]).unwrap();
    checkpoints.load().unwrap();
    let before = peak_memory();
    let saved = checkpoints.save(&state).unwrap();
    let after = peak_memory();
    assert!(saved.bytes < 60 << 20, "{saved:?}");
    println!("a save of 64 MiB took {} KiB", after - before);
    assert!(after - before < 16 << 10, "a save took {} KiB", after - before);
    assert!(checkpoints.load_into(&mut state).unwrap());
    let loaded = peak_memory();
    println!("a load of 64 MiB into the same state took {} KiB more", loaded - after);
    assert!(loaded - after < 16 << 10, "a load took {} KiB", loaded - after);
}
