//! A checkpoint is a normal zip archive: independent programs read it and find no fault in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{Run, file_of, has, python::python};
use checkpointed::{Checkpoint, Checkpointer, Metadata};

/// Checkpoints of all shapes and sizes, one file of each.
struct Files {
    parent: tempfile::TempDir,
    paths: Vec<PathBuf>,
}

impl Files {
    fn save<T: Checkpoint>(&mut self, state: &T) {
        let path = self.parent.path().join(format!("{}.ckpt", self.paths.len()));
        let metadata = Metadata::new().with("note", "größer").with("loss", f64::NAN);
        let saved = Checkpointer::<T>::open(&path).unwrap().save_with(state, metadata).unwrap();
        self.paths.push(file_of(&path, saved.generation));
    }
}

fn all_kinds() -> Files {
    let mut files = Files { parent: tempfile::tempdir().unwrap(), paths: Vec::new() };
    files.save(&());
    files.save(&7_u64);
    files.save(&Run::after(1));
    files.save(&"é".repeat(1000));
    files.save(&vec![String::new(); 500_000]);
    // Around the sizes at which the alignment and the checksums change.
    for length in [0, 1, (1 << 20) - 9, (1 << 20) - 8, (1 << 20) - 7, (1 << 20) + 1, (5 << 20) + 17] {
        files.save(&"x".repeat(length));
        files.save(&vec![7_u8; length]);
    }
    files.save(&vec![0.5_f64; 300_000]);
    files.save(&BTreeMap::from([
        ("a/../b".to_owned(), vec![1.0_f32; 9]),
        ("ü\"\\\n".to_owned(), vec![2.0; 3]),
    ]));
    files
}

#[test]
fn unzip_accepts_every_file() {
    if !has("unzip") {
        return;
    }
    for path in all_kinds().paths.iter() {
        let output = Command::new("unzip").arg("-t").arg(path).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(printed.contains("No errors detected"), "{printed}");
        assert!(printed.contains("checkpoint.json") && printed.contains("state.bincode"), "{printed}");
    }
}

#[test]
fn unzip_shows_the_manifest() {
    if !has("unzip") {
        return;
    }
    let files = all_kinds();
    let output =
        Command::new("unzip").arg("-p").arg(&files.paths[2]).arg("checkpoint.json").output().unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&manifest["name"], &manifest["codec"]), (&"Run".into(), &"bincode-1".into()));
}

#[test]
fn python_reads_the_manifest_and_finds_every_part_in_order() {
    let program = r#"
import json, sys, zipfile, zlib
with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    manifest = json.loads(archive.read("checkpoint.json"))
    names = archive.namelist()
    assert names == [part["name"] for part in manifest["parts"]] + ["checkpoint.json"], names
    assert names[-2] == "state.bincode"
    for part in manifest["parts"]:
        data = archive.read(part["name"])
        assert len(data) == part["length"]
        chunks = [data[start:start + 1048576] for start in range(0, len(data), 1048576)]
        assert [f"{zlib.crc32(chunk):08x}" for chunk in chunks] == part["crc32"]
    assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    assert manifest["metadata"] == {"note": "größer", "loss": "NaN"}
    print(manifest["format_version"], manifest["generation"], manifest["created"][-1], manifest["library"])
"#;
    for path in all_kinds().paths.iter() {
        let Some(printed) = python(program, path) else { return };
        assert!(printed.starts_with("1 1 Z checkpointed "), "{printed}");
    }
}

#[test]
fn the_state_can_be_decoded_from_what_the_format_says() {
    let program = r#"
import struct, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    data = archive.read("state.bincode")
    step, energy, length = struct.unpack_from("<QdQ", data)
    print(step, energy, data[24:24 + length].decode())
"#;
    let files = all_kinds();
    if let Some(printed) = python(program, &files.paths[2]) {
        assert_eq!(printed, "1 0.5 after step 1\n");
    }
}

#[test]
fn damage_is_found_by_other_programs_too() {
    let files = all_kinds();
    let path: &Path = &files.paths[2];
    let mut bytes = std::fs::read(path).unwrap();
    let place = bytes.windows(12).position(|window| window == b"after step 1").unwrap();
    bytes[place] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let program = "import sys, zipfile; print(zipfile.ZipFile(sys.argv[1]).testzip())";
    if let Some(printed) = python(program, path) {
        assert_eq!(printed, "state.bincode\n");
    }
    if has("unzip") {
        assert!(!Command::new("unzip").arg("-tq").arg(path).output().unwrap().status.success());
    }
}
