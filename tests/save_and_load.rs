//! Tests the guarantees for a program that saves and loads, as long as nothing goes wrong.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::SystemTime;

use crate::common::{Run, file_of, names_in, skipped, temporaries_in};
use checkpointed::inspect::{Verdict, verify_directory};
use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Error, Metadata, Plain, Protection, Schedule, checkpointed,
};

/// A path where nothing exists yet.
fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn damage(path: &Path, generation: u64) {
    fs::write(file_of(path, generation), "PK\x03\x04, and no more").unwrap();
}

#[test]
fn the_first_run_starts_afresh_and_the_next_goes_on() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Run>::open(&path).unwrap();
    assert_eq!(checkpoints.load().unwrap(), None);
    assert!(checkpoints.last_load().is_none());
    assert_eq!(checkpoints.load_or_default().unwrap(), Run::default());
    assert_eq!(checkpoints.load_or_else(|| Run::after(7)).unwrap(), Run::after(7));
    checkpoints.save(&Run::after(1)).unwrap();
    drop(checkpoints);

    let mut checkpoints = Checkpointer::<Run>::open(&path).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(Run::after(1)));
    assert_eq!(checkpoints.load_or_default().unwrap(), Run::after(1));
    assert_eq!(checkpoints.load_or_else(|| panic!("there is one")).unwrap(), Run::after(1));
    assert_eq!(checkpoints.path(), path);
}

#[test]
fn generations_count_on_from_one_also_after_reopening() {
    let (_parent, path) = nowhere();
    for run in 0..4 {
        let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
        for save in 1..=3 {
            assert_eq!(checkpoints.save(&0).unwrap().generation, run * 3 + save);
        }
    }
    // The number after the last save is next, also where that was lost.
    fs::rename(file_of(&path, 12), file_of(&path, 12).with_extension("aside")).unwrap();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    assert_eq!(checkpoints.save(&7).unwrap().generation, 13);
}

#[test]
fn retention_keeps_exactly_the_newest() {
    for keep in [1, 2, 3, 7] {
        let (_parent, path) = nowhere();
        for _ in 0..3 {
            let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(keep).open().unwrap();
            for _ in 0..4 {
                let newest = checkpoints.save(&0).unwrap().generation;
                let oldest = newest.saturating_sub(keep as u64 - 1).max(1);
                let expected: Vec<u64> = (oldest..=newest).collect();
                assert_eq!(checkpoints.generations().unwrap(), expected);
                for generation in expected {
                    checkpoints.load_generation(generation).unwrap();
                }
            }
        }
        assert_eq!(names_in(&path).len(), keep + 2, "the generations, the lock file and the history");
    }
}

#[test]
fn two_are_kept_unless_told_otherwise() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    for number in 1..=5 {
        checkpoints.save(&number).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [4, 5]);
    drop(checkpoints);
    assert_eq!(temporaries_in(&path), [""; 0]);
}

#[test]
fn keeping_fewer_removes_the_rest_only_after_the_next_save() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(5).open().unwrap();
    for number in 1..=5 {
        checkpoints.save(&number).unwrap();
    }
    drop(checkpoints);
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [1, 2, 3, 4, 5]);
    checkpoints.save(&6).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [5, 6]);
}

#[test]
fn damaged_generations_do_not_count_as_kept() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(2).open().unwrap();
    for number in 1..=2 {
        checkpoints.save(&(number * 10)).unwrap();
    }
    damage(&path, 2);
    assert_eq!(checkpoints.load().unwrap(), Some(10));
    checkpoints.save(&30).unwrap();
    // If the damaged one counted, no valid generation would be left behind the new one.
    assert_eq!(checkpoints.load_generation(1).unwrap(), 10);
    damage(&path, 3);
    assert_eq!(checkpoints.load().unwrap(), Some(10));
    assert_eq!(skipped(checkpoints.last_load()), [3, 2]);
    checkpoints.save(&40).unwrap();
    checkpoints.save(&50).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [4, 5], "the damaged ones go with the others");
}

#[test]
fn without_syncs_everything_else_is_the_same() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Run>::builder(&path).durable(false).keep_last(3).open().unwrap();
    for step in 1..=5 {
        checkpoints.save(&Run::after(step)).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [3, 4, 5]);
    drop(checkpoints);
    assert_eq!(Checkpointer::<Run>::open(&path).unwrap().load().unwrap(), Some(Run::after(5)));
}

#[test]
fn a_branch_goes_on_from_another_run_and_leaves_it_as_it_is() {
    let (parent, path) = nowhere();
    let variant = parent.path().join("variant.ckpt");
    let mut run = Checkpointer::<Run>::open(&path).unwrap();
    run.save(&Run::after(100)).unwrap();
    let before = (names_in(&path), fs::read(file_of(&path, 1)).unwrap());

    // The run continues in the meantime: its lock is not needed.
    let mut branch = Checkpointer::<Run>::builder(&variant).branch_from(&path).open().unwrap();
    assert_eq!(branch.load().unwrap(), Some(Run::after(100)));
    assert_eq!(branch.last_load().unwrap().path, path);
    assert_eq!(branch.generations().unwrap(), [1], "it says what it could load");
    assert_eq!(branch.save(&Run::after(101)).unwrap().generation, 1);
    assert_eq!(branch.load().unwrap(), Some(Run::after(101)));
    assert_eq!(branch.last_load().unwrap().path, variant);
    drop(branch);
    assert_eq!((names_in(&path), fs::read(file_of(&path, 1)).unwrap()), before);

    // Once the branch has generations of its own, changes in the other run do not matter any more.
    run.save(&Run::after(200)).unwrap();
    let mut branch = Checkpointer::<Run>::builder(&variant).branch_from(&path).open().unwrap();
    assert_eq!(branch.load_or_default().unwrap(), Run::after(101));
}

#[test]
fn a_damaged_branch_does_not_silently_return_to_its_origin() {
    let (parent, path) = nowhere();
    let variant = parent.path().join("variant.ckpt");
    Checkpointer::<u64>::open(&path).unwrap().save(&100).unwrap();
    let mut branch = Checkpointer::<u64>::builder(&variant).branch_from(&path).open().unwrap();
    branch.save(&101).unwrap();
    damage(&variant, 1);
    assert!(matches!(branch.load(), Err(Error::NoneUsable { .. })));
}

#[test]
fn a_branch_from_nothing_is_an_error_and_no_fresh_start() {
    let (parent, path) = nowhere();
    let absent = parent.path().join("absent.ckpt");
    let mut branch = Checkpointer::<u64>::builder(&path).branch_from(&absent).open().unwrap();
    let error = branch.load().unwrap_err();
    assert!(matches!(error, Error::NothingToBranchFrom { .. }), "{error}");
    assert!(error.to_string().contains("absent.ckpt"), "{error}");
    assert!(!absent.exists());
}

#[test]
fn one_generation_can_be_loaded_by_its_number() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(4).open().unwrap();
    for number in 1..=6 {
        checkpoints.save(&(number * 11)).unwrap();
    }
    assert_eq!(checkpoints.load_generation(4).unwrap(), 44);
    assert_eq!(checkpoints.last_load().unwrap().generation(), 4);
    assert_eq!(checkpoints.load().unwrap(), Some(66), "the newest is still the newest");
    for generation in [0, 2, 7, u64::MAX] {
        let error = checkpoints.load_generation(generation).unwrap_err();
        let Error::NoSuchGeneration { generation: asked, available, .. } = &error else { panic!("{error}") };
        assert_eq!((*asked, &available[..]), (generation, &[3, 4, 5, 6][..]));
        assert!(error.to_string().contains("from 3 to 6"), "{error}");
        assert!(matches!(checkpoints.manifest(generation), Err(Error::NoSuchGeneration { .. })));
    }
    // The next save is numbered after the newest generation, not after the loaded one.
    checkpoints.load_generation(3).unwrap();
    assert_eq!(checkpoints.save(&0).unwrap().generation, 7);
}

#[test]
fn a_save_says_what_it_wrote() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Vec<u8>>::open(&path).unwrap();
    for length in [0, 1, 100_000] {
        let saved = checkpoints.save(&vec![7; length]).unwrap();
        assert_eq!(saved.bytes, fs::metadata(file_of(&path, saved.generation)).unwrap().len());
        assert!(saved.bytes > length as u64);
        assert!(!saved.duration.is_zero());
    }
}

#[test]
fn a_load_says_what_it_found() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for number in 1..=5 {
        checkpoints.save(&number).unwrap();
    }
    for generation in [3, 4] {
        damage(&path, generation);
    }
    fs::write(file_of(&path, 5), "").unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    let report = checkpoints.last_load().unwrap();
    assert_eq!((report.generation(), &report.path), (2, &path));
    assert_eq!(report.bytes, fs::metadata(file_of(&path, 2)).unwrap().len());
    assert_eq!(report.manifest.generation(), 2);
    assert_eq!(skipped(Some(report)), [5, 4, 3]);
    assert!(matches!(report.skipped[0].error, Error::Damaged { .. }));
    assert!(
        report.skipped[0].to_string().contains("00000000000000000005.ckpt is damaged (file): it is empty")
    );

    checkpoints.save(&6).unwrap();
    checkpoints.load().unwrap();
    assert_eq!(skipped(checkpoints.last_load()), [0; 0], "the report is that of the last load");
}

#[test]
fn a_checkpoint_says_who_saved_it_when_and_with_which_words() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Run>::open(&path).unwrap();
    let before = SystemTime::now();
    let metadata =
        Metadata::new().with("loss", 0.25).with("commit", "9f3c1e").with("epoch", 12).with("good", true);
    let saved = checkpoints.save_with(&Run::after(1), metadata.clone()).unwrap();
    let manifest = checkpoints.manifest(saved.generation).unwrap();
    assert_eq!(*manifest.metadata(), metadata);
    assert_eq!((manifest.name(), manifest.version(), manifest.generation()), ("Run", 1, 1));
    assert_eq!((manifest.name(), manifest.version()), (Run::NAME, Run::VERSION));
    assert_eq!(manifest.process(), std::process::id());
    assert_eq!(manifest.host(), fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
    assert!(manifest.library().starts_with("checkpointed "), "{}", manifest.library());
    assert!(manifest.created() >= before && manifest.created() <= SystemTime::now());
    assert_eq!(*manifest.schema(), checkpointed::schema::Schema::of::<Run>());

    checkpoints.save(&Run::after(2)).unwrap();
    assert!(checkpoints.manifest(2).unwrap().metadata().is_empty(), "the words were for one save");
    // The same without the type.
    let reader = CheckpointReader::<()>::open(&path).unwrap();
    assert_eq!(reader.manifest(1).unwrap().metadata().get("commit").unwrap().as_str(), Some("9f3c1e"));
}

#[test]
fn a_reader_loads_beside_a_writer_and_changes_nothing() {
    let (_parent, path) = nowhere();
    let mut reader = CheckpointReader::<u64>::open(&path).unwrap();
    assert_eq!(reader.load().unwrap(), None);
    assert!(!path.exists(), "a reader creates nothing");

    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.save(&1).unwrap();
    let before = names_in(&path);
    assert_eq!(reader.load().unwrap(), Some(1));
    assert_eq!(reader.generations().unwrap(), [1]);
    assert_eq!(names_in(&path), before);
    checkpoints.save(&2).unwrap();
    assert_eq!(reader.load().unwrap(), Some(2));
}

#[test]
fn a_reader_beside_a_writer_never_finds_an_older_checkpoint() {
    for (keep, length, loads) in [(1, 1, 200), (2, 1000, 200), (1, 300_000, 20)] {
        let (_parent, path) = nowhere();
        let mut checkpoints = Checkpointer::builder(&path).keep_last(keep).durable(false).open().unwrap();
        let state = |number: u64| (number, vec![number; length]);
        checkpoints.save(&state(1)).unwrap();
        let enough = AtomicBool::new(false);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut number = 1;
                while !enough.load(Ordering::Relaxed) {
                    number += 1;
                    checkpoints.save(&state(number)).unwrap();
                }
                number
            });
            let mut reader = CheckpointReader::<(u64, Vec<u64>)>::open(&path).unwrap();
            let mut seen = BTreeSet::new();
            let mut last = 0;
            // Enough different states to meet removals often, at any speed of the two.
            while seen.len() < loads && !writer.is_finished() {
                let loaded = reader.load();
                let ok = matches!(&loaded, Ok(Some((number, values))) if *number >= last
                    && *values == vec![*number; length]);
                if !ok || !reader.last_load().unwrap().skipped.is_empty() {
                    enough.store(true, Ordering::Relaxed);
                    panic!("after {last}: {loaded:?}, {:?}", reader.last_load());
                }
                last = loaded.unwrap().unwrap().0;
                seen.insert(last);
            }
            enough.store(true, Ordering::Relaxed);
            let saved = writer.join().unwrap();
            assert!(saved >= last);
            assert_eq!(reader.load().unwrap().unwrap().0, saved);
        });
    }
}

#[test]
fn a_directory_verifies_as_whole_while_a_writer_saves() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::builder(&path).keep_last(3).durable(false).open().unwrap();
    checkpoints.save(&0_u64).unwrap();
    let enough = AtomicBool::new(false);
    let verdicts = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut number = 0;
            while !enough.load(Ordering::Relaxed) {
                number += 1;
                checkpoints.save(&number).unwrap();
            }
        });
        let verify = |_| verify_directory(&path, &Protection::new());
        let verdicts: Result<Vec<_>, Error> = (0..300).map(verify).collect();
        enough.store(true, Ordering::Relaxed);
        writer.join().unwrap();
        verdicts.unwrap()
    });
    assert!(verdicts.iter().flatten().all(Verdict::is_whole), "{verdicts:?}");
}

#[test]
fn states_of_standard_types_need_no_macro() {
    fn comes_back<T: Checkpoint + PartialEq + std::fmt::Debug>(state: T) {
        let (_parent, path) = nowhere();
        let mut checkpoints = Checkpointer::<T>::open(&path).unwrap();
        checkpoints.save(&state).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(state));
    }
    comes_back(());
    comes_back(u64::MAX);
    comes_back(i128::MIN);
    comes_back(f64::MIN_POSITIVE);
    comes_back('ß');
    comes_back(true);
    comes_back("naïve".to_owned());
    comes_back(Some(Some(())));
    comes_back(vec![1.5_f64, -0.0, f64::INFINITY]);
    comes_back(vec![vec![1_u8], vec![], vec![2, 3]]);
    comes_back(vec![[1.0_f32, 2.0, 3.0]; 100]);
    comes_back([[7_u16; 3]; 4]);
    comes_back(HashMap::from([("a".to_owned(), vec![1_u32]), ("b".to_owned(), vec![])]));
    comes_back(BTreeMap::from([((1_u8, 'x'), Some(0.5_f32))]));
    comes_back(BTreeSet::from([3_i64, -3]));
    comes_back(VecDeque::from([1_usize, 2]));
    comes_back((1_u8, "two".to_owned(), [3.0_f64]));
    comes_back(Box::new(9_isize));
    comes_back(Ok::<u8, String>(3));
    comes_back(std::time::Duration::from_nanos(1));
}

#[test]
fn floats_come_back_bit_by_bit() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Vec<f64>>::open(&path).unwrap();
    let strange: Vec<u64> = vec![0x7ff8_0000_dead_beef, 0xfff0_0000_0000_0001, 1 << 63, 1];
    checkpoints.save(&strange.iter().copied().map(f64::from_bits).collect()).unwrap();
    let loaded: Vec<u64> = checkpoints.load().unwrap().unwrap().into_iter().map(f64::to_bits).collect();
    assert_eq!(loaded, strange);
}

#[test]
fn a_type_from_elsewhere_is_a_state_when_wrapped() {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Foreign {
        range: std::ops::Range<u32>,
        kind: Kind,
    }
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    enum Kind {
        Plain,
        Weighted { by: f64 },
    }
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Plain<Foreign>>::open(&path).unwrap();
    for kind in [Kind::Plain, Kind::Weighted { by: 0.5 }] {
        let state = Plain(Foreign { range: 3..7, kind });
        checkpoints.save(&state).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(state));
    }
    let schema = checkpoints.manifest(1).unwrap().schema().clone();
    assert!(schema.types.iter().any(|definition| definition.name == "Foreign"), "{schema:?}");
}

#[test]
fn an_unchanged_type_in_another_module_goes_on() {
    mod later {
        #[checkpointed::checkpointed(name = "Run")]
        #[derive(Debug)]
        pub(super) struct Renamed {
            pub(super) step: u64,
            energy: f64,
            note: String,
            history: Vec<i32>,
            names: Vec<String>,
            accepted: Option<bool>,
        }
    }
    let (_parent, path) = nowhere();
    Checkpointer::open(&path).unwrap().save(&Run::after(5)).unwrap();
    let mut checkpoints = Checkpointer::<later::Renamed>::open(&path).unwrap();
    assert_eq!(checkpoints.load().unwrap().unwrap().step, 5);
}

#[test]
fn after_a_state_that_cannot_be_encoded_saves_go_on() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Fussy {
        #[serde(serialize_with = "only_small", deserialize_with = "any")]
        number: u32,
    }
    fn only_small<S: serde::Serializer>(number: &u32, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        if *number > 9 { Err(S::Error::custom("too large")) } else { serializer.serialize_u32(*number) }
    }
    fn any<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Fussy>::open(&path).unwrap();
    for number in [1, 2, 3] {
        checkpoints.save(&Fussy { number }).unwrap();
        let error = checkpoints.save(&Fussy { number: 10 }).unwrap_err();
        assert!(matches!(&error, Error::Encode { why, .. } if why.contains("too large")), "{error}");
        assert_eq!(checkpoints.load().unwrap(), Some(Fussy { number }));
    }
    drop(checkpoints);
    assert_eq!(temporaries_in(&path), [""; 0]);
}

#[test]
fn a_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    for number in 1..=4 {
        checkpoints.save(&number).unwrap();
        assert_eq!(fs::metadata(file_of(&path, number)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn words_on_a_save_are_given_or_made_only_when_it_is_due() {
    let (_parent, path) = nowhere();
    let every_second = Schedule::every_steps(2);
    let mut checkpoints =
        Checkpointer::<u64>::builder(&path).keep_last(9).schedule(every_second).open().unwrap();
    let words = |text: &str| Metadata::new().with("words", text);
    let made = std::cell::Cell::new(0);
    let make = || {
        made.set(made.get() + 1);
        words("made")
    };
    checkpoints.save_with(&1, words("given")).unwrap();
    checkpoints.save_with(&2, make).unwrap();
    for step in 3..=6 {
        checkpoints.save_if_due_with(&step, make).unwrap();
    }
    checkpoints.save_if_due_with(&7, words("given")).unwrap();
    checkpoints.save_in_background_with(&8, make).unwrap();
    checkpoints.wait().unwrap();
    assert_eq!(made.get(), 4, "the saves that were not due asked for no words");
    checkpoints.finish_with(&9, make).unwrap();
    let reader = CheckpointReader::<u64>::open(&path).unwrap();
    let said = |generation| reader.manifest(generation).unwrap().metadata().get("words").cloned();
    let said: Vec<_> = reader.generations().unwrap().into_iter().map(said).collect();
    let expected = ["given", "made", "made", "made", "made", "made"];
    assert_eq!(said, expected.map(|text| Some(text.into())));
}
