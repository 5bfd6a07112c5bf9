//! After any damage to a file, a load returns a saved state, and reports which.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use crate::common::forge::{read32, replace_in_manifest, write32};
use crate::common::{Run, file_of, must_end, names_in, run, skipped, temporaries_in};
use checkpointed::{CheckpointReader, Checkpointer, Error, ExpectedSchema, Metadata, Protection, inspect};

/// A directory with the generations 1 and 2, and no open checkpointer.
struct Saved {
    _parent: tempfile::TempDir,
    path: PathBuf,
}

fn two_generations() -> Saved {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::open(&path).unwrap();
    for step in 1..=2 {
        checkpoints.save(&Run::after(step)).unwrap();
    }
    Saved { _parent: parent, path }
}

impl Saved {
    fn newest(&self) -> PathBuf {
        file_of(&self.path, 2)
    }

    fn newest_bytes(&self) -> Vec<u8> {
        fs::read(self.newest()).unwrap()
    }
}

/// Asserts that the newest generation is refused, with `why` in the reason, and the one before it
/// is loaded.
#[track_caller]
fn assert_falls_back(path: &Path, why: &str) {
    let mut reader = CheckpointReader::<Run>::open(path).unwrap();
    assert_eq!(reader.load().unwrap(), Some(Run::after(1)));
    let report = reader.last_load().unwrap();
    assert_eq!((report.generation(), skipped(Some(report))), (1, vec![2]));
    let message = report.skipped[0].error.to_string();
    assert!(message.contains(why) && message.contains("00000000000000000002.ckpt"), "{message}");
    reader.load_generation(2).unwrap_err();
}

/// The same without a look at the message, for a great many damages.
fn falls_back(reader: &mut CheckpointReader<Run>) -> bool {
    let loaded = reader.load();
    let falls_back = matches!(&loaded, Ok(Some(state)) if *state == Run::after(1));
    falls_back && skipped(reader.last_load()) == [2]
}

#[test]
fn every_single_flipped_bit_falls_back_to_the_older_generation() {
    let length = two_generations().newest_bytes().len();
    assert!(length <= 4096, "{length}");
    let flip_all = |from: usize, to: usize| {
        let saved = two_generations();
        let bytes = saved.newest_bytes();
        let file = File::options().write(true).open(saved.newest()).unwrap();
        let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
        for (place, byte) in bytes.iter().enumerate().take(to).skip(from) {
            for bit in 0..8 {
                file.write_all_at(&[byte ^ (1 << bit)], place as u64).unwrap();
                assert!(falls_back(&mut reader), "bit {bit} of byte {place} of {length}");
            }
            file.write_all_at(&[*byte], place as u64).unwrap();
        }
        assert_eq!(reader.load().unwrap(), Some(Run::after(2)), "undamaged again");
    };
    thread::scope(|scope| {
        scope.spawn(|| flip_all(0, length / 2));
        flip_all(length / 2, length);
    });
}

#[test]
fn every_truncation_falls_back_to_the_older_generation() {
    let saved = two_generations();
    let file = File::options().write(true).open(saved.newest()).unwrap();
    let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
    for length in (0..saved.newest_bytes().len()).rev() {
        file.set_len(length as u64).unwrap();
        assert!(falls_back(&mut reader), "the first {length} bytes");
    }
    assert_falls_back(&saved.path, "it is empty");
}

#[test]
fn appended_bytes_are_refused() {
    let saved = two_generations();
    let bytes = saved.newest_bytes();
    for appended in [&b"\0"[..], b"\n", &[0; 4096], &bytes] {
        fs::write(saved.newest(), [&bytes, appended].concat()).unwrap();
        assert_falls_back(&saved.path, "damaged");
    }
    // Many zip readers accept an archive behind other bytes.
    fs::write(saved.newest(), [b"PK\x03\x04", &bytes[..]].concat()).unwrap();
    assert_falls_back(&saved.path, "damaged");
}

#[test]
fn sectors_that_were_lost_or_confused_are_refused() {
    let saved = two_generations();
    let bytes = saved.newest_bytes();
    let sectors: Vec<&[u8]> = bytes.chunks(512).collect();
    let mut tried = 0;
    for one in 0..sectors.len() {
        let mut zeroed = sectors.clone();
        let nothing = vec![0; sectors[one].len()];
        zeroed[one] = &nothing;
        let mut damages = vec![zeroed.concat()];
        for other in one + 1..sectors.len() {
            let mut swapped = sectors.clone();
            swapped.swap(one, other);
            damages.push(swapped.concat());
            let mut repeated = sectors.clone();
            repeated[other] = sectors[one];
            damages.push(repeated.concat());
        }
        for damage in damages.into_iter().filter(|damage| *damage != bytes) {
            fs::write(saved.newest(), damage).unwrap();
            let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
            assert!(falls_back(&mut reader), "sector {one}");
            tried += 1;
        }
    }
    assert!(tried > sectors.len(), "{tried}");
}

#[test]
fn a_sector_of_the_older_generation_in_the_newer_one_is_refused() {
    let saved = two_generations();
    let (older, newer) = (fs::read(file_of(&saved.path, 1)).unwrap(), saved.newest_bytes());
    let common = older.len().min(newer.len());
    let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
    for start in (0..common).step_by(512) {
        let sector = start..common.min(start + 512);
        let mut mixed = newer.clone();
        mixed[sector.clone()].copy_from_slice(&older[sector]);
        if mixed != newer {
            fs::write(saved.newest(), mixed).unwrap();
            assert!(falls_back(&mut reader), "sector at {start}");
        }
    }
}

#[test]
fn a_pipe_directory_or_link_for_a_file_is_not_waited_for() {
    type Replace = fn(&Path);
    let replacements: [(Replace, &str); 5] = [
        (|path| fs::create_dir(path).unwrap(), "it is a directory"),
        (|path| run("mkfifo", &[path.to_str().unwrap()]), "neither a file nor a directory"),
        (|path| symlink("nowhere", path).unwrap(), "No such file"),
        (|path| symlink(path.parent().unwrap(), path).unwrap(), "it is a directory"),
        (|path| symlink(path, path).unwrap(), "symbolic links"),
    ];
    for (replace, why) in replacements {
        let saved = two_generations();
        fs::remove_file(saved.newest()).unwrap();
        replace(&saved.newest());
        let path = saved.path.clone();
        must_end(move || assert_falls_back(&path, why));

        // It does not disturb later saves or retention either.
        let path = saved.path.clone();
        must_end(move || {
            let mut checkpoints = Checkpointer::<Run>::open(&path).unwrap();
            checkpoints.load().unwrap();
            for step in 3..=8 {
                assert_eq!(checkpoints.save(&Run::after(step)).unwrap().generation, step);
                assert_eq!(checkpoints.load().unwrap(), Some(Run::after(step)), "{why}");
            }
        });
    }
}

#[test]
fn a_directory_named_like_a_generation_keeps_its_name_and_files() {
    let saved = two_generations();
    fs::remove_file(saved.newest()).unwrap();
    fs::create_dir(saved.newest()).unwrap();
    fs::write(saved.newest().join("thesis.tex"), "years of work").unwrap();
    let mut checkpoints = Checkpointer::<Run>::open(&saved.path).unwrap();
    for step in 3..=9 {
        checkpoints.load().unwrap();
        checkpoints.save(&Run::after(step)).unwrap();
    }
    drop(checkpoints);
    assert_eq!(fs::read_to_string(saved.newest().join("thesis.tex")).unwrap(), "years of work");
    assert_eq!(temporaries_in(&saved.path), [""; 0]);
}

/// The file may be intact: an older generation in its place would lose work.
fn assert_may_not_read(path: &Path) {
    let error = CheckpointReader::<Run>::open(path).unwrap().load().unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("00000000000000000002.ckpt: Permission denied"), "{error}");
}

#[test]
fn a_generation_without_read_permission_is_an_error() {
    if let Some(path) = crate::common::inside() {
        return assert_may_not_read(&path);
    }
    let saved = two_generations();
    fs::set_permissions(saved.newest(), fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(saved.newest()).is_err() {
        return assert_may_not_read(&saved.path);
    }
    // The test runs as root, who may read everything. So another user must try, and needs access to
    // the folders.
    for open in [saved.path.parent().unwrap(), &saved.path] {
        fs::set_permissions(open, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(file_of(&saved.path, 1), fs::Permissions::from_mode(0o644)).unwrap();
    let test = "a_generation_without_read_permission_is_an_error";
    let program = std::env::current_exe().unwrap();
    for wrapper in [
        &["setpriv", "--reuid=65534", "--clear-groups"][..],
        &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"],
    ] {
        // Checks that the other user can start this program.
        let mut can_start = Command::new(wrapper[0]);
        can_start.args(&wrapper[1..]).arg(&program).arg("--list");
        let mut can_read = Command::new(wrapper[0]);
        can_read.args(&wrapper[1..]).arg("cat").arg(saved.newest());
        let starts = can_start.output().is_ok_and(|output| output.status.success());
        if starts && can_read.output().is_ok_and(|output| !output.status.success()) {
            return crate::common::assert_passed(
                &crate::common::once_more(test, wrapper, &saved.path).output().unwrap(),
            );
        }
    }
    crate::common::skipping("root may read everything, and there is no setpriv to become somebody else");
}

#[test]
fn a_generation_under_the_name_of_another_is_refused() {
    let saved = two_generations();
    let aside = saved.path.join("aside");
    fs::rename(saved.newest(), &aside).unwrap();
    fs::rename(file_of(&saved.path, 1), saved.newest()).unwrap();
    fs::rename(&aside, file_of(&saved.path, 1)).unwrap();
    let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
    let error = reader.load().unwrap_err().to_string();
    assert!(error.contains("it is generation 1 under the name of generation 2"), "{error}");
    assert!(error.contains("it is generation 2 under the name of generation 1"), "{error}");

    // A copy of an old generation under a higher number would be loaded long after it was
    // superseded.
    let saved = two_generations();
    fs::copy(file_of(&saved.path, 1), file_of(&saved.path, 7)).unwrap();
    let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
    assert_eq!(reader.load().unwrap(), Some(Run::after(2)));
    assert_eq!(skipped(reader.last_load()), [7]);
}

#[test]
fn when_all_generations_are_damaged_nothing_starts_afresh() {
    let saved = two_generations();
    let cut = |generation| {
        let file = File::options().write(true).open(file_of(&saved.path, generation)).unwrap();
        file.set_len(100 + generation).unwrap();
    };
    cut(1);
    cut(2);
    let mut checkpoints = Checkpointer::<Run>::open(&saved.path).unwrap();
    let before = names_in(&saved.path);
    type Load = fn(&mut Checkpointer<Run>) -> Result<(), Error>;
    let loads: [Load; 3] = [
        |checkpoints| checkpoints.load().map(drop),
        |checkpoints| checkpoints.load_or_default().map(drop),
        |checkpoints| checkpoints.load_or_else(|| panic!("started afresh")).map(drop),
    ];
    for load in loads {
        let error = load(&mut checkpoints).unwrap_err();
        let message = error.to_string();
        let Error::NoneUsable { path, tried, .. } = error else { panic!("{error}") };
        assert_eq!(path, saved.path);
        let tried: Vec<u64> = tried.iter().map(|skipped| skipped.generation).collect();
        assert_eq!(tried, [2, 1]);
        for name in ["00000000000000000001.ckpt", "00000000000000000002.ckpt"] {
            assert!(message.contains(name), "{message}");
        }
        assert!(checkpoints.last_load().is_none());
    }
    drop(checkpoints);
    assert_eq!(names_in(&saved.path), before);
}

#[test]
fn foreign_files_are_left_alone() {
    let saved = two_generations();
    let files = [
        "README",
        "42.ckpt",
        "99999999999999999999.ckpt",
        "000000000000000000042.ckpt",
        "00000000000000000042.ckpt.bak",
        ".hidden",
        "something.tmp",
        ".checkpoint-.tmp",
        ".checkpoint-0123456789abcde.tmp",
        "checkpoint-0123456789abcdef.tmp",
    ];
    for name in files {
        fs::write(saved.path.join(name), name).unwrap();
    }
    fs::create_dir(saved.path.join("plots")).unwrap();
    fs::write(saved.path.join("plots/energy.svg"), "<svg/>").unwrap();

    let mut checkpoints = Checkpointer::<Run>::open(&saved.path).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [1, 2]);
    for step in 3..=9 {
        assert_eq!(checkpoints.load().unwrap(), Some(Run::after(step - 1)));
        assert_eq!(checkpoints.save(&Run::after(step)).unwrap().generation, step);
    }
    drop(checkpoints);
    for name in files {
        assert_eq!(fs::read_to_string(saved.path.join(name)).unwrap(), name);
    }
    assert_eq!(fs::read_to_string(saved.path.join("plots/energy.svg")).unwrap(), "<svg/>");
    assert_eq!(
        names_in(&saved.path).len(),
        files.len() + ["plots", ".lock", "8", "9", "history.jsonl"].len()
    );
}

#[test]
fn the_next_start_removes_only_what_a_killed_save_left() {
    let saved = two_generations();
    let stale = saved.path.join(".checkpoint-0123456789abcdEF.tmp");
    let foreign = saved.path.join(".checkpoint-of-mine-0123.tmp");
    fs::write(&stale, "half a checkpoint").unwrap();
    fs::write(&foreign, "mine").unwrap();

    CheckpointReader::<Run>::open(&saved.path).unwrap().load().unwrap();
    assert!(stale.exists(), "a reader removes nothing: it could belong to a save that goes on");

    let mut checkpoints = Checkpointer::<Run>::open(&saved.path).unwrap();
    assert!(!stale.exists() && foreign.exists());
    assert_eq!(checkpoints.load().unwrap(), Some(Run::after(2)));
}

#[test]
fn after_the_greatest_number_there_is_no_next_one() {
    let saved = two_generations();
    fs::write(file_of(&saved.path, u64::MAX), "").unwrap();
    let mut checkpoints = Checkpointer::<Run>::open(&saved.path).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(Run::after(2)));
    let before = names_in(&saved.path);
    for _ in 0..2 {
        let error = checkpoints.save(&Run::after(3)).unwrap_err();
        assert!(matches!(error, Error::NoMoreGenerations { .. }), "{error}");
    }
    assert_eq!(names_in(&saved.path), before);
    assert_eq!(checkpoints.load().unwrap(), Some(Run::after(2)));
}

#[test]
fn a_newer_format_is_refused_and_does_not_fall_back() {
    let saved = two_generations();
    replace_in_manifest(&saved.newest(), r#""format_version":1"#, r#""format_version":2"#);
    let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
    let error = reader.load().unwrap_err();
    assert!(matches!(error, Error::FormatTooNew { found: 2, supported: 1, .. }), "{error}");
    assert!(error.to_string().contains("update `checkpointed`"), "{error}");
}

#[test]
fn a_newer_format_is_recognised_whatever_else_it_changed() {
    let saved = two_generations();
    crate::common::forge::change_manifest(&saved.newest(), |_| {
        r#"{"all":["is","different"],"format_version":77}"#.to_owned()
    });
    let error = CheckpointReader::<Run>::open(&saved.path).unwrap().load().unwrap_err();
    assert!(matches!(error, Error::FormatTooNew { found: 77, .. }), "{error}");
}

#[test]
fn an_unknown_codec_is_refused_by_name_and_does_not_fall_back() {
    let saved = two_generations();
    replace_in_manifest(&saved.newest(), r#""codec":"bincode-1""#, r#""codec":"postcard-9""#);
    let error = CheckpointReader::<Run>::open(&saved.path).unwrap().load().unwrap_err();
    assert!(matches!(&error, Error::CodecUnknown { found, .. } if found == "postcard-9"), "{error}");
    assert!(error.to_string().contains("postcard-9"), "{error}");
}

#[test]
fn what_no_program_loads_is_refused_by_a_check() {
    for (from, to, part) in [
        (r#""codec":"bincode-1""#, r#""codec":"postcard-9""#, "codec postcard-9"),
        (r#""mark":"#, r#""inputs that changed while the state was computed":"#, "meanwhile: a.csv"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let metadata = Metadata::new().with("mark", "a.csv");
        let mut checkpoints = Checkpointer::<u64>::open(directory.path()).unwrap();
        checkpoints.save_with(&7, metadata).unwrap();
        let file = file_of(directory.path(), 1);
        let check = || {
            let file = inspect::File::open(&file, &Protection::new()).unwrap();
            inspect::check(&file, &ExpectedSchema::of::<u64>())
        };
        assert!(check().fields.is_empty());
        replace_in_manifest(&file, from, to);
        checkpoints.load_generation(1).unwrap_err();
        assert!(check().is_refused() && check().fields[0].checkpoint.contains(part), "{:?}", check());
    }
}

#[test]
fn manifest_fields_of_a_later_version_are_passed_over() {
    let saved = two_generations();
    replace_in_manifest(&saved.newest(), r#"{"format_version""#, r#"{"since":"1.7","format_version""#);
    let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
    assert_eq!(reader.load().unwrap(), Some(Run::after(2)));
}

#[test]
fn a_manifest_that_disagrees_with_the_file_is_damage() {
    let length_of_state = |manifest: &str| {
        let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap();
        let parts = manifest["parts"].as_array().unwrap().clone();
        parts.last().unwrap()["length"].as_u64().unwrap()
    };
    type Change = fn(&str, u64) -> String;
    let changes: [(&str, Change); 9] = [
        ("generation", |manifest, _| manifest.replace(r#""generation":2"#, r#""generation":3"#)),
        ("format version 0", |manifest, _| {
            manifest.replace(r#""format_version":1"#, r#""format_version":0"#)
        }),
        ("checksum", |manifest, _| manifest.replace(r#""crc32":["#, r#""crc32":[1"#)),
        ("checksum", |manifest, _| manifest.replace(r#""crc32":["#, r#""crc32":[0,"#)),
        ("length", |manifest, length| {
            manifest.replace(
                &format!(r#""length":{length}"#),
                &format!(r#""length":{}"#, u64::MAX - 7 + length % 7),
            )
        }),
        ("length", |manifest, length| {
            manifest.replace(&format!(r#""length":{length}"#), &format!(r#""length":{}"#, length - 1))
        }),
        ("part", |manifest, _| manifest.replace(r#""name":"state.bincode""#, r#""name":"other.bincode""#)),
        ("parts", |manifest, _| {
            let at = manifest.find(r#""parts":["#).unwrap();
            format!(r#"{}"parts":[]}}"#, &manifest[..at])
        }),
        ("not a manifest", |manifest, _| manifest.replace(r#""host":"#, r#""hosts":"#)),
    ];
    for (why, change) in changes {
        let saved = two_generations();
        crate::common::forge::change_manifest(&saved.newest(), |manifest| {
            change(manifest, length_of_state(manifest))
        });
        assert_falls_back(&saved.path, "damaged");
        let error = CheckpointReader::<Run>::open(&saved.path).unwrap().load_generation(2).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{why}: {error}");
    }
}

#[test]
fn the_same_entries_packed_by_another_program_are_refused() {
    let repack = "import sys, zipfile\n\
        path = sys.argv[1]\n\
        with zipfile.ZipFile(path) as archive:\n    \
            entries = [(name, archive.read(name)) for name in archive.namelist()]\n\
        with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:\n    \
            for name, data in entries:\n        \
                archive.writestr(name, data)\n\
        print(len(entries))";
    let saved = two_generations();
    if crate::common::python::python(repack, &saved.newest()).is_some() {
        assert_falls_back(&saved.path, "damaged");
    }
}

#[test]
fn files_of_other_kinds_are_no_checkpoints() {
    let saved = two_generations();
    for content in ["#!/bin/sh\n", "\u{7f}ELF", "a", "PK", "{}"] {
        fs::write(saved.newest(), content).unwrap();
        assert_falls_back(&saved.path, "not a checkpoint");
    }
}

/// Asserts a refusal without much reading or memory: a terabyte takes minutes to read, and more
/// memory than there is.
#[track_caller]
fn assert_refused_at_once(path: PathBuf) {
    must_end(move || {
        let before = peak_memory();
        assert_falls_back(&path, "2.ckpt");
        let grown = peak_memory() - before;
        assert!(grown < 64 << 10, "{grown} KiB");
    });
}

/// Runs a test in a process of its own, so that no other test uses memory at the same time.
fn alone(test: &str, work: fn()) {
    if crate::common::inside().is_some() {
        return work();
    }
    crate::common::assert_passed(&crate::common::once_more(test, &[], Path::new(".")).output().unwrap());
}

/// The most memory in KiB that this process ever used.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or("VmHWM: 0");
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const TERABYTE: u64 = 1 << 40;
/// It fits into memory, but is far more than a load may take.
const GIGABYTES: u64 = 3 << 30;

#[test]
fn a_sparse_file_of_a_terabyte_is_refused_at_once() {
    alone("a_sparse_file_of_a_terabyte_is_refused_at_once", || {
        for length in [TERABYTE, GIGABYTES] {
            let saved = two_generations();
            File::options().write(true).open(saved.newest()).unwrap().set_len(length).unwrap();
            assert_refused_at_once(saved.path.clone());
            // The file is one hole.
            File::create(saved.newest()).unwrap().set_len(length).unwrap();
            assert_refused_at_once(saved.path.clone());
        }
    });
}

/// The end of an archive that claims central headers of `size` bytes from `offset` on.
fn end_of_archive(size: u64, offset: u64) -> Vec<u8> {
    let mut end = Vec::new();
    let put16 = |end: &mut Vec<u8>, value: u16| end.extend(value.to_le_bytes());
    let put32 = |end: &mut Vec<u8>, value: u32| end.extend(value.to_le_bytes());
    let put64 = |end: &mut Vec<u8>, value: u64| end.extend(value.to_le_bytes());
    put32(&mut end, 0x0606_4b50);
    put64(&mut end, 44);
    put16(&mut end, 3 << 8 | 45);
    put16(&mut end, 45);
    put64(&mut end, 0);
    for value in [2, 2, size, offset] {
        put64(&mut end, value);
    }
    put32(&mut end, 0x0706_4b50);
    put32(&mut end, 0);
    put64(&mut end, offset.wrapping_add(size));
    put32(&mut end, 1);
    put32(&mut end, 0x0605_4b50);
    put32(&mut end, 0);
    put16(&mut end, u16::MAX);
    put16(&mut end, u16::MAX);
    put32(&mut end, u32::MAX);
    put32(&mut end, u32::MAX);
    put16(&mut end, 0);
    end
}

#[test]
fn a_list_of_entries_that_claims_a_terabyte_is_refused_at_once() {
    alone("a_list_of_entries_that_claims_a_terabyte_is_refused_at_once", || {
        for length in [TERABYTE, GIGABYTES] {
            for before in [0, 2000] {
                let saved = two_generations();
                let file = File::options().write(true).open(saved.newest()).unwrap();
                let size = length - before - 98;
                file.set_len(length).unwrap();
                file.write_all_at(&end_of_archive(size, before), length - 98).unwrap();
                assert_refused_at_once(saved.path.clone());
            }
        }
    });
}

#[test]
fn a_manifest_that_claims_gigabytes_is_refused_at_once() {
    alone("a_manifest_that_claims_gigabytes_is_refused_at_once", || {
        let saved = two_generations();
        let bytes = saved.newest_bytes();
        let end = bytes.len() - 22;
        let central = read32(&bytes, end + 16);
        let mut tail = bytes[central..].to_vec();
        let last = tail.windows(4).rposition(|window| window == b"PK\x01\x02").unwrap();
        // An entry of this length has its data at the next multiple of 4096; from there to the list
        // of entries, everything is a hole.
        let data = (read32(&tail, last + 42) as u64 + 30 + 15 + 6).next_multiple_of(4096);
        let new_central = data + GIGABYTES;
        for place in [20, 24] {
            write32(&mut tail, last + place, u32::try_from(GIGABYTES).unwrap());
        }
        let end_of_tail = tail.len() - 22;
        write32(&mut tail, end_of_tail + 16, u32::try_from(new_central).unwrap());
        let file = File::options().write(true).open(saved.newest()).unwrap();
        file.set_len(new_central).unwrap();
        file.write_all_at(&tail, new_central).unwrap();
        // Removes the old bytes of the manifest's data.
        file.write_all_at(&[0; 4096], data).unwrap();
        assert_refused_at_once(saved.path.clone());
        let error = CheckpointReader::<Run>::open(&saved.path).unwrap().load_generation(2).unwrap_err();
        assert!(error.to_string().contains("checkpoint.json"), "the list of entries is believed: {error}");
    });
}

#[test]
fn lengths_and_places_that_do_not_fit_together_are_refused() {
    let saved = two_generations();
    let bytes = saved.newest_bytes();
    let end = bytes.len() - 22;
    let central = read32(&bytes, end + 16);
    // Changes every field of 32 bits in the list of entries and the end: none may be trusted.
    for place in (central..bytes.len() - 4).step_by(2) {
        for value in [0, 1, 0x7fff_ffff, 0x8000_0000, u32::MAX - 1, u32::MAX] {
            let mut forged = bytes.clone();
            write32(&mut forged, place, value);
            if forged != bytes {
                fs::write(saved.newest(), &forged).unwrap();
                let mut reader = CheckpointReader::<Run>::open(&saved.path).unwrap();
                assert!(falls_back(&mut reader), "{value:#x} at {place}");
            }
        }
    }
    for (size, offset) in [
        (u64::MAX, 1),
        (1, u64::MAX),
        (u64::MAX - 97, 0),
        (0, u64::MAX - 97),
        (u64::MAX / 2, u64::MAX / 2 + 2),
    ] {
        let forged = [&bytes[..], &end_of_archive(size, offset)].concat();
        fs::write(saved.newest(), forged).unwrap();
        assert_falls_back(&saved.path, "damaged");
    }
}
