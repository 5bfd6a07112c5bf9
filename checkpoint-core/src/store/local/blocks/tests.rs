//! Saves over files that have most of the new bytes: what is left out, and when nothing is.

use std::fs::{self, FileTimes, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::*;
use crate::base::limits::BLOCK;
use crate::store::{Claiming, Directory, Home, RealDisk, name};
use crate::{CheckpointReader, Checkpointer, reports::Saved};

/// The number of elements of a block.
const ELEMENTS: usize = BLOCK / 8;

type State = Vec<u64>;

/// The ways to the disk: past the cache, through it, and with one buffer only.
fn disks() -> [RealDisk; 3] {
    [RealDisk::default(), RealDisk::buffered(), RealDisk::with_buffers(1)]
}

fn open<T: crate::Checkpoint>(path: &Path, disk: RealDisk) -> Checkpointer<T> {
    let builder = Checkpointer::builder(path).disk(Arc::new(disk)).keep_last(1);
    builder.warnings_to_stderr(false).open().unwrap()
}

fn state(blocks: usize) -> State {
    (0..(blocks * ELEMENTS) as u64).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
}

/// A directory whose next saves compare: each of its two files was written over once.
fn comparing(blocks: usize, disk: RealDisk) -> (tempfile::TempDir, PathBuf, Checkpointer<State>, State) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = open(&path, disk);
    let mut state = state(blocks);
    for _ in 0..4 {
        state[0] += 1;
        let saved = checkpoints.save(&state).unwrap();
        assert_eq!(saved.written, saved.bytes, "nothing is known of this file");
    }
    (parent, path, checkpoints, state)
}

fn is_whole(path: &Path, state: &State) -> bool {
    // Another reader: nothing of the program's own memory helps it.
    CheckpointReader::<State>::open(path).unwrap().load().unwrap().as_ref() == Some(state)
}

#[test]
fn only_changed_blocks_are_written_and_the_file_is_whole() {
    for disk in disks() {
        let (_parent, path, mut checkpoints, mut state) = comparing(160, disk);
        for changed in [0, 1, 2, 16, 40] {
            // The file that is written over is two saves old: the second has these changes alone.
            let mut saved: Option<Saved> = None;
            for _ in 0..2 {
                (0..changed).for_each(|number| state[number * (160 / changed) * ELEMENTS + 77] += 1);
                saved = Some(checkpoints.save(&state).unwrap());
                assert!(is_whole(&path, &state));
            }
            let (changed, written) = ((changed * BLOCK) as u64, saved.unwrap().written);
            assert!(written <= changed * 115 / 100 + (1 << 20), "{written} bytes for {changed}");
            assert!(written >= changed, "{written} bytes for {changed}");
        }
    }
}

#[test]
fn states_of_any_lengths_and_changes_are_loaded_as_they_were() {
    let mut seed = 7_u64;
    let mut random = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % bound
    };
    for disk in disks() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        let mut checkpoints = open::<Vec<State>>(&path, disk);
        let mut state: Vec<State> = (0..7).map(|_| vec![1; 3 * ELEMENTS + 5]).collect();
        let (mut left_out, mut shortened) = (0, 0);
        for _ in 0..60 {
            let array = random(state.len());
            match random(8) {
                0 => state[array].resize(random(9 * ELEMENTS), 2),
                1 => {
                    let last = state.len() - 1;
                    state[last].truncate(3);
                    shortened += 1;
                }
                _ => {}
            }
            for _ in 0..random(4) {
                let array = random(state.len());
                let length = state[array].len();
                if length > 0 {
                    state[array][random(length)] += 1;
                }
            }
            let saved = checkpoints.save(&state).unwrap();
            left_out += u64::from(saved.written < saved.bytes);
            let loaded = CheckpointReader::<Vec<State>>::open(&path).unwrap().load().unwrap();
            assert!(loaded.as_ref() == Some(&state));
        }
        assert!(left_out > 10 && shortened > 0, "{left_out} of 60 saves left blocks out, {shortened}");
    }
}

/// The file that the next save writes over.
fn spare(path: &Path) -> PathBuf {
    let mut entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| name::is_temporary(path.file_name().unwrap())).unwrap()
}

fn change_a_byte(path: &Path) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"another's", 1_000_000).unwrap();
}

#[test]
fn a_file_that_another_program_changed_is_written_whole() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 8] = [
        ("bytes", change_a_byte),
        ("bytes, with the former time of the change", |path| {
            let modified = path.metadata().unwrap().modified().unwrap();
            change_a_byte(path);
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_times(FileTimes::new().set_modified(modified)).unwrap();
        }),
        ("the time alone", |path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        }),
        ("the length", |path| {
            let mut file = OpenOptions::new().append(true).open(path).unwrap();
            file.write_all(b"more").unwrap();
        }),
        ("a shorter file", |path| {
            OpenOptions::new().write(true).open(path).unwrap().set_len(500_000).unwrap();
        }),
        ("bytes and the length, and the length again", |path| {
            let file = OpenOptions::new().write(true).open(path).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(500_000).unwrap();
            file.set_len(length).unwrap();
        }),
        ("another file in its place", |path| {
            let copy = path.with_extension("copy");
            fs::copy(path, &copy).unwrap();
            change_a_byte(&copy);
            fs::rename(copy, path).unwrap();
        }),
        ("a second name for a while", |path| {
            let name = path.with_extension("link");
            fs::hard_link(path, &name).unwrap();
            fs::remove_file(name).unwrap();
        }),
    ];
    for (what, change) in changes {
        let (_parent, path, mut checkpoints, mut state) = comparing(32, RealDisk::default());
        state[5] += 1;
        let saved = checkpoints.save(&state).unwrap();
        assert!(saved.written < saved.bytes, "{what}");
        change(&spare(&path));
        state[5] += 1;
        let saved = checkpoints.save(&state).unwrap();
        assert_eq!(saved.written, saved.bytes, "{what}");
        assert!(is_whole(&path, &state), "{what}");
        // The other file is as it was.
        let saved = checkpoints.save(&state).unwrap();
        assert!(saved.written < saved.bytes, "{what}");
        assert!(is_whole(&path, &state), "{what}");
    }
}

#[test]
fn a_generation_that_another_program_changed_is_written_whole() {
    let (_parent, path, mut checkpoints, mut state) = comparing(32, RealDisk::default());
    let generation = checkpoints.save(&state).unwrap().generation;
    change_a_byte(&path.join(name::of_generation(generation)));
    checkpoints.save(&state).unwrap();
    state[5] += 1;
    let saved = checkpoints.save(&state).unwrap();
    assert_eq!(saved.written, saved.bytes);
    assert!(is_whole(&path, &state));
}

#[test]
fn a_program_that_starts_knows_nothing_of_the_files() {
    let (_parent, path, mut checkpoints, mut state) = comparing(32, RealDisk::default());
    let saved = checkpoints.save(&state).unwrap();
    assert!(saved.written < saved.bytes);
    drop(checkpoints);
    let mut checkpoints = open(&path, RealDisk::default());
    for _ in 0..3 {
        state[5] += 1;
        let saved = checkpoints.save(&state).unwrap();
        assert_eq!(saved.written, saved.bytes);
    }
}

#[test]
fn every_sixteenth_save_over_a_file_writes_all_of_it() {
    let (_parent, _path, mut checkpoints, state) = comparing(16, RealDisk::default());
    let whole: Vec<usize> = (1..=64_usize)
        .filter(|_| {
            let saved = checkpoints.save(&state).unwrap();
            saved.written == saved.bytes
        })
        .collect();
    // There are two files, which take turns.
    assert_eq!(whole, [31, 32, 63, 64]);
}

#[test]
fn a_short_file_is_written_whole() {
    let (_parent, path, mut checkpoints, mut state) = comparing(1, RealDisk::default());
    for _ in 0..4 {
        state[5] += 1;
        let saved = checkpoints.save(&state).unwrap();
        assert_eq!(saved.written, saved.bytes);
        assert!(is_whole(&path, &state));
    }
}

#[test]
fn what_is_encrypted_anew_is_not_compared() {
    for varies in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let home = Directory::new(parent.path(), Arc::new(RealDisk::default()));
        let claiming = Claiming { durable: true, varies, ..Claiming::default() };
        let mut claim = home.claim(&claiming).unwrap();
        let bytes = vec![7; 20 * BLOCK];
        let mut left_out = 0;
        for generation in 1..=8 {
            let mut draft = claim.begin(generation).unwrap();
            draft.write_all(&bytes).unwrap();
            let sealed = draft.seal().unwrap();
            left_out += usize::from(sealed.written() < Some(bytes.len() as u64));
            sealed.publish().outcome.unwrap();
            assert!(fs::read(home.location(generation)).unwrap() == bytes);
            if generation > 1 {
                claim.remove(generation - 1).unwrap();
            }
        }
        assert_eq!(left_out, if varies { 0 } else { 4 });
    }
}

#[test]
fn a_save_that_need_not_be_durable_leaves_nothing_out() {
    let parent = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<State>::builder(parent.path().join("run.ckpt")).keep_last(1).durable(false);
    let mut checkpoints = builder.open().unwrap();
    for _ in 0..8 {
        let saved = checkpoints.save(&state(16)).unwrap();
        assert_eq!(saved.written, saved.bytes);
    }
}

fn known(length: u64, compared: u32) -> Known {
    let file = tempfile::tempfile().unwrap();
    let stamp = Stamp::of(&file.metadata().unwrap()).unwrap();
    Known { stamp: Stamp { length, ..stamp }, hashes: Vec::new(), compared }
}

#[test]
fn times_of_whole_seconds_make_no_stamp() {
    let stamp = known(0, 0).stamp;
    for (modified, changed, is_fine) in [(0, 0, false), (1, 0, true), (0, 1, true), (1, 1, true)] {
        let stamp = Stamp { modified: (7, modified), changed: (7, changed), ..stamp };
        assert_eq!(stamp.has_fine_times(), is_fine, "{stamp:?}");
    }
}

#[test]
fn after_a_save_of_many_changes_eight_compare_nothing() {
    for (written, pause) in [(100, 8), (61, 8), (60, 0), (0, 0)] {
        let mut files = KnownFiles::default();
        files.learn(Some(&known(100, 1)), written);
        for _ in 0..pause {
            assert!(matches!(files.rewriting(Some(known(100, 1))), Rewriting::All), "{written}");
            files.learn(None, 100);
        }
        assert!(matches!(files.rewriting(Some(known(100, 1))), Rewriting::Changed(_)), "{written}");
        assert!(matches!(files.rewriting(None), Rewriting::Noting), "{written}");
    }
    // The first save over a file writes all of it, and says nothing of the changes.
    let mut files = KnownFiles::default();
    files.learn(Some(&known(100, 0)), 100);
    assert!(matches!(files.rewriting(None), Rewriting::Noting));
}

#[test]
fn with_too_many_files_for_any_comparison_none_is_noted() {
    let mut files = KnownFiles::default();
    for generation in 0..FILES as u64 {
        assert!(matches!(files.rewriting(None), Rewriting::Noting));
        files.learn(Some(&known(100, 0)), 100);
        files.keep(generation, known(100, 0));
    }
    assert!(matches!(files.rewriting(None), Rewriting::All));
    // One that is known is compared nevertheless.
    assert!(matches!(files.rewriting(Some(known(100, 0))), Rewriting::Changed(_)));
    files.keep(FILES as u64, known(100, 0));
    assert!(files.take(0).is_none() && files.take(1).is_some(), "the oldest is forgotten");
}

#[test]
fn a_comparison_finds_equal_blocks_at_their_own_places_only() {
    let stamp = known(0, 0).stamp;
    let mut first = Comparison::new(Rewriting::Noting, Some(stamp)).unwrap();
    assert!(!first.has(b"one") && !first.has(b"two") && !first.has(b"two"));
    let known = first.into_known(stamp);
    let mut second = Comparison::new(Rewriting::Changed(known.clone()), Some(stamp)).unwrap();
    assert!(second.has(b"one") && !second.has(b"one") && second.has(b"two") && !second.has(b"two"));
    let other = Stamp { changed: (0, 0), ..stamp };
    for stamp in [None, Some(other)] {
        let mut third = Comparison::new(Rewriting::Changed(known.clone()), stamp).unwrap();
        assert!(!third.has(b"one"), "{stamp:?}");
    }
    assert!(Comparison::new(Rewriting::All, Some(stamp)).is_none());
}
