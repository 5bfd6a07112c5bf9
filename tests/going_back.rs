//! Tests rewinds and branches: on real directories, with other processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{file_of, names_in};
use checkpointed::history::{self, Event};
use checkpointed::{
    CheckpointReader, Checkpointer, Error, Metadata, Metric, Mirror, Protection, checkpointed, inspect,
};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn open(path: &Path) -> Checkpointer<u64> {
    Checkpointer::builder(path).keep_last(10).open().unwrap()
}

/// Saves the numbers of the generations as states.
fn saved(path: &Path, states: std::ops::RangeInclusive<u64>) {
    let mut checkpoints = open(path);
    for state in states {
        assert_eq!(checkpoints.save(&state).unwrap().generation, state);
    }
}

#[test]
fn a_directory_with_a_mirror_is_not_rewound() {
    let (parent, path) = nowhere();
    let mirrored = || Checkpointer::<u64>::builder(&path).mirror(Mirror::to(parent.path().join("far.ckpt")));
    let mut checkpoints = mirrored().keep_last(10).open().unwrap();
    for state in 1..=3 {
        checkpoints.save(&state).unwrap();
    }
    checkpoints.wait_for_mirror(Duration::from_secs(60)).unwrap();
    let refused = |error: Error| assert!(error.to_string().contains("ckpt branch"), "{error}");
    refused(checkpoints.rewind(1).unwrap_err());
    drop(checkpoints);
    refused(inspect::rewind(&path, &Protection::new(), 1).unwrap_err());
    refused(mirrored().rewind(1).open().unwrap_err());
    refused(Checkpointer::<u64>::builder(&path).rewind(1).open().unwrap_err());
    assert_eq!(open(&path).generations().unwrap(), [1, 2, 3]);
}

#[test]
fn a_rewind_sets_aside_what_is_newer_and_uses_no_number_twice() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=5);
    let bytes = fs::read(file_of(&path, 5)).unwrap();
    let mut checkpoints = open(&path);
    let rewound = checkpoints.rewind(3).unwrap();
    assert_eq!((rewound.set_aside, rewound.brought_back), (vec![4, 5], vec![]));
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    drop(checkpoints);
    // The next start goes on from it, and misses nothing.
    let mut checkpoints = open(&path);
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    assert_eq!(checkpoints.missing_generation(), None);
    assert_eq!(checkpoints.save(&60).unwrap().generation, 6);
    assert_eq!(checkpoints.rewind(5).unwrap().brought_back, [4, 5]);
    assert_eq!(checkpoints.generations().unwrap(), [1, 2, 3, 4, 5]);
    assert_eq!(fs::read(file_of(&path, 5)).unwrap(), bytes);
    assert_eq!(checkpoints.save(&70).unwrap().generation, 7);
    drop(checkpoints);
    let events = history::read(&path).unwrap().records;
    let rewinds = events.iter().filter_map(|record| match record.event {
        Event::Rewind { generation } => Some(generation),
        _ => None,
    });
    assert_eq!(rewinds.collect::<Vec<_>>(), [3, 5]);
}

#[test]
fn each_branch_comes_back_with_its_own_generations() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=2);
    let mut checkpoints = open(&path);
    for (rewind, save) in [(1, 30), (1, 40)] {
        checkpoints.rewind(rewind).unwrap();
        checkpoints.save(&save).unwrap();
        checkpoints.save(&(save + 1)).unwrap();
    }
    // 1 → 2, 1 → 3 → 4, 1 → 5 → 6; and 7 after 3.
    assert_eq!(checkpoints.rewind(3).unwrap().brought_back, [3]);
    assert_eq!(checkpoints.save(&35).unwrap().generation, 7);
    for (to, there) in [
        (2, vec![1, 2]),
        (6, vec![1, 5, 6]),
        (4, vec![1, 3, 4]),
        (7, vec![1, 3, 7]),
        (5, vec![1, 5]),
        (1, vec![1]),
        (6, vec![1, 5, 6]),
    ] {
        checkpoints.rewind(to).unwrap();
        assert_eq!(checkpoints.generations().unwrap(), there, "{to}");
    }
    let overview = inspect::overview(&path, &Protection::new()).unwrap();
    let rewound: Vec<u64> = overview.rewound.iter().map(|aside| aside.generation).collect();
    assert_eq!(rewound, [2, 3, 4, 7]);
}

#[test]
fn the_builder_goes_back_once_however_often_it_starts() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=4);
    let start = |to| Checkpointer::<u64>::builder(&path).keep_last(2).rewind(to).open();
    let mut expected = 2;
    for _ in 0..4 {
        let mut checkpoints = start(2).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(expected));
        checkpoints.save(&(10 * expected)).unwrap();
        expected *= 10;
    }
    // Generation 2 is gone by now; another number goes back once more.
    assert_eq!(start(2).unwrap().generations().unwrap(), [7, 8]);
    let error = start(2_000).unwrap_err();
    // Those that are aside are named too.
    let Error::NoSuchGeneration { available, .. } = error else { panic!("{error}") };
    assert_eq!(available, [3, 4, 7, 8]);
    assert_eq!(start(7).unwrap().generations().unwrap(), [7]);
    assert_eq!(start(4).unwrap().generations().unwrap(), [3, 4]);
    assert_eq!(start(4).unwrap().load().unwrap(), Some(4));
}

#[test]
fn a_refused_rewind_changes_nothing() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=3);
    fs::write(file_of(&path, 2), "damaged").unwrap();
    let protection = Protection::new().at_least(2);
    let mut dated = Checkpointer::<u64>::builder(&path).protection(protection).open().unwrap();
    let before = names_in(&path);
    assert!(matches!(dated.rewind(1).unwrap_err(), Error::TooOld { .. }));
    assert!(matches!(dated.rewind(9).unwrap_err(), Error::NoSuchGeneration { .. }));
    assert!(dated.rewind(2).unwrap_err().to_string().contains(".ckpt"));
    // This program has it open: the error names it.
    let error = inspect::rewind(&path, &Protection::new(), 1).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    assert_eq!(names_in(&path), before);
    assert_eq!(dated.load().unwrap(), Some(3));
    drop(dated);
    let nothing = path.with_extension("none");
    inspect::rewind(&nothing, &Protection::new(), 1).unwrap_err();
    assert!(!nothing.exists());
}

#[test]
fn a_damaged_generation_that_is_aside_is_not_brought_back() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=3);
    let mut checkpoints = open(&path);
    checkpoints.rewind(1).unwrap();
    let aside = inspect::overview(&path, &Protection::new()).unwrap().rewound;
    let mut bytes = fs::read(&aside[1].path).unwrap();
    bytes[200] ^= 1;
    fs::write(&aside[1].path, bytes).unwrap();
    assert!(matches!(checkpoints.rewind(3).unwrap_err(), Error::Damaged { .. }));
    assert_eq!(checkpoints.generations().unwrap(), [1]);
    assert_eq!(checkpoints.rewind(2).unwrap().brought_back, [2]);
}

#[test]
fn what_is_aside_is_no_fresh_start() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=2);
    open(&path).rewind(1).unwrap();
    fs::remove_file(file_of(&path, 1)).unwrap();
    let error = open(&path).load().unwrap_err();
    assert!(matches!(error, Error::OnlyRewound { newest: 2, .. }), "{error}");
    assert!(CheckpointReader::<u64>::open(&path).unwrap().load().is_err());
    assert_eq!(open(&path).save(&3).unwrap().generation, 3);
    fs::remove_file(file_of(&path, 3)).unwrap();
    // Nothing older is there: the target comes first.
    assert_eq!(inspect::rewind(&path, &Protection::new(), 2).unwrap().brought_back, [2]);
    assert_eq!(open(&path).load().unwrap(), Some(2));
}

#[test]
fn retention_leaves_alone_what_is_aside_and_pins_come_back() {
    let (_parent, path) = nowhere();
    let builder = || Checkpointer::<u64>::builder(&path).keep_last(1).keep_best(Metric::lowest("loss"), 1);
    let mut checkpoints = builder().open().unwrap();
    let loss = |value: f64| Metadata::new().with("loss", value);
    checkpoints.save_with(&1, loss(0.5)).unwrap();
    checkpoints.pin(1).unwrap();
    checkpoints.save_with(&2, loss(0.1)).unwrap();
    checkpoints.save_with(&3, loss(0.9)).unwrap();
    checkpoints.rewind(1).unwrap();
    // The best is aside, so this is the best that there is.
    for state in 4..=6 {
        checkpoints.save_with(&state, loss(0.7)).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [1, 6]);
    checkpoints.rewind(2).unwrap();
    assert_eq!(checkpoints.best(&Metric::lowest("loss")).unwrap(), Some(2));
    for state in 7..=8 {
        checkpoints.save_with(&state, loss(0.8)).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [1, 2, 8]);
    drop(checkpoints);

    let pruned = inspect::prune(&path, &Protection::new(), None, false).unwrap();
    assert!(pruned.removed.is_empty(), "{:?}", pruned.removed);
    let numbers = |aside: Vec<inspect::SetAside>| -> Vec<u64> {
        aside.into_iter().map(|aside| aside.generation).collect()
    };
    assert_eq!(numbers(inspect::remove_rewound(&path, true).unwrap()), [3, 6]);
    assert_eq!(numbers(inspect::remove_rewound(&path, false).unwrap()), [3, 6]);
    assert!(inspect::overview(&path, &Protection::new()).unwrap().rewound.is_empty());
}

#[test]
fn the_newest_number_that_is_aside_is_not_given_up() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=3);
    open(&path).rewind(1).unwrap();
    assert!(inspect::remove_rewound(&path, false).unwrap().is_empty());
    assert_eq!(open(&path).save(&4).unwrap().generation, 4);
    assert_eq!(inspect::remove_rewound(&path, false).unwrap().len(), 2);
}

#[test]
fn a_branch_starts_at_the_generation_that_was_chosen() {
    let (parent, path) = nowhere();
    saved(&path, 1..=4);
    let variant = parent.path().join("variant.ckpt");
    let branch = |at| Checkpointer::<u64>::builder(&variant).branch_from(&path).at(at).open().unwrap();
    let mut at_two = branch(2);
    assert_eq!(at_two.generations().unwrap(), [2]);
    assert_eq!(at_two.manifest(2).unwrap().generation(), 2);
    assert_eq!(at_two.load().unwrap(), Some(2));
    assert_eq!(at_two.load_generation(2).unwrap(), 2);
    assert_eq!(at_two.last_load().unwrap().generation(), 2);
    drop(at_two);
    assert!(matches!(branch(9).load(), Err(Error::NoSuchGeneration { generation: 9, .. })));
    // The chosen one is damaged: no other takes its place.
    fs::write(file_of(&path, 3), "damaged").unwrap();
    assert!(branch(3).load().is_err());
    let mut at_two = branch(2);
    assert_eq!(at_two.load().unwrap(), Some(2));
    assert_eq!(at_two.save(&20).unwrap().generation, 1);
    assert_eq!(at_two.generations().unwrap(), [1]);
    drop(at_two);
    assert_eq!(branch(2).load().unwrap(), Some(20));
    let error = Checkpointer::<u64>::builder(&variant).at(1).open().unwrap_err();
    assert!(error.to_string().contains("branch_from"), "{error}");
}

#[test]
fn a_branch_is_a_directory_with_one_generation() {
    let (parent, path) = nowhere();
    saved(&path, 1..=4);
    let mut running = open(&path);
    running.rewind(2).unwrap();
    let before = names_in(&path);
    for (generation, next) in [(1, 2), (4, 5)] {
        let to = parent.path().join(format!("{generation}.ckpt"));
        let made = inspect::branch(&path, &Protection::new(), generation, &to).unwrap();
        assert_eq!((made.generations, made.files), (vec![generation], 1));
        let mut branch = open(&to);
        assert_eq!(branch.load().unwrap(), Some(generation));
        assert_eq!(branch.missing_generation(), None);
        assert_eq!(branch.save(&0).unwrap().generation, next);
    }
    assert_eq!(names_in(&path), before);
    let to = parent.path().join("none.ckpt");
    let error = inspect::branch(&path, &Protection::new(), 9, &to).unwrap_err();
    assert!(matches!(error, Error::NoSuchGeneration { .. }), "{error}");
    assert!(!to.exists());
    let taken = inspect::branch(&path, &Protection::new(), 1, parent.path().join("1.ckpt")).unwrap_err();
    assert!(matches!(taken, Error::NameTaken { .. }), "{taken}");
}

#[test]
fn a_pipeline_says_how_its_steps_go_back() {
    let (parent, path) = nowhere();
    let pipeline = checkpointed::Pipeline::open(&path).unwrap();
    pipeline.step("a").run(|_| Ok::<u64, Error>(1)).unwrap();
    drop(pipeline);
    for path in [path.clone(), path.join("steps/a")] {
        for error in [
            inspect::rewind(&path, &Protection::new(), 1).unwrap_err(),
            inspect::branch(&path, &Protection::new(), 1, parent.path().join("b")).unwrap_err(),
        ] {
            assert!(error.to_string().contains("CHECKPOINT_STEPS=use:"), "{error}");
        }
    }
}

#[test]
fn a_reader_loads_while_the_program_goes_back_and_forth() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=6);
    let mut checkpoints = open(&path);
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut reader = CheckpointReader::<u64>::open(&path).unwrap();
            for _ in 0..300 {
                let state = reader.load().unwrap().expect("there is always one");
                assert_eq!(reader.last_load().unwrap().generation(), state);
            }
        });
        while !reading.is_finished() {
            for to in [2, 6, 1, 4, 6] {
                checkpoints.rewind(to).unwrap();
            }
        }
        reading.join().unwrap();
    });
}

/// A run with three generations, of which a mirror has all.
fn mirrored(path: &Path, far: &Path) {
    let mirror = Mirror::to(far).keep_last(9);
    let mut run = Checkpointer::<u64>::builder(path).keep_last(9).mirror(mirror).open().unwrap();
    for state in [1000, 2000, 3000] {
        run.save(&state).unwrap();
        run.wait_for_mirror(Duration::from_secs(60)).unwrap();
    }
    run.finish(&3000).unwrap();
}

#[test]
fn a_branch_does_not_go_on_from_the_mirror_of_the_run() {
    let (parent, path) = nowhere();
    let at = |name: &str| parent.path().join(name);
    mirrored(&path, &at("far.ckpt"));
    let with = |branch: &str, far: &str| {
        let builder = Checkpointer::<u64>::builder(at(branch)).mirror(Mirror::to(at(far)));
        builder.branch_from(&path).at(1).open()
    };
    let error = with("variant.ckpt", "far.ckpt").unwrap_err();
    assert!(error.to_string().contains("give the branch a mirror of its own"), "{error}");
    assert!(!at("variant.ckpt").exists());
    let mut variant = with("variant.ckpt", "far-variant.ckpt").unwrap();
    assert_eq!(variant.load().unwrap(), Some(1000));
    variant.save(&1111).unwrap();
    variant.wait_for_mirror(Duration::from_secs(60)).unwrap();
    drop(variant);
    // The mirror of the branch itself is one: also once the directory is lost.
    fs::remove_dir_all(at("variant.ckpt")).unwrap();
    assert_eq!(with("variant.ckpt", "far-variant.ckpt").unwrap().load().unwrap(), Some(1111));

    inspect::branch(&path, &Protection::new(), 1, at("other.ckpt")).unwrap();
    let other = |far: &str| Checkpointer::<u64>::builder(at("other.ckpt")).mirror(Mirror::to(at(far))).open();
    let error = other("far.ckpt").unwrap_err();
    assert!(matches!(error, Error::MirrorApart { .. }), "{error}");
    let mut branch = other("far-other.ckpt").unwrap();
    assert_eq!(branch.load().unwrap(), Some(1000));
    branch.wait_for_mirror(Duration::from_secs(60)).unwrap();
    branch.save(&4444).unwrap();
    branch.wait_for_mirror(Duration::from_secs(60)).unwrap();
    drop(branch);
    assert_eq!(other("far-other.ckpt").unwrap().load().unwrap(), Some(4444));
    // It is its own also when only the generation is left that both have.
    let own = || {
        let mirror = Mirror::to(at("far-other.ckpt")).keep_last(9);
        Checkpointer::<u64>::builder(at("other.ckpt")).keep_last(9).mirror(mirror).open().unwrap()
    };
    let mut branch = own();
    branch.load().unwrap();
    for state in 0..6 {
        branch.save(&state).unwrap();
        branch.wait_for_mirror(Duration::from_secs(60)).unwrap();
    }
    branch.discard_newer(1).unwrap();
    drop(branch);
    assert_eq!(own().load().unwrap(), Some(1000));

    // One at the newest generation, also after a save without a mirror.
    inspect::branch(&path, &Protection::new(), 3, at("last.ckpt")).unwrap();
    for _ in 0..2 {
        let last = Checkpointer::<u64>::builder(at("last.ckpt")).mirror(Mirror::to(at("far.ckpt"))).open();
        assert!(matches!(last.unwrap_err(), Error::MirrorApart { .. }));
        open(&at("last.ckpt")).save(&5555).unwrap();
    }
    let error = inspect::mirror(at("last.ckpt"), &Mirror::to(at("far.ckpt")), &Protection::new(), false);
    let error = error.unwrap_err();
    assert!(matches!(error, Error::MirrorApart { .. }), "{error}");

    let mut run = Checkpointer::<u64>::builder(&path).mirror(Mirror::to(at("far.ckpt"))).open().unwrap();
    assert_eq!(run.load().unwrap(), Some(3000));
}

#[test]
fn a_mirror_that_was_a_copy_does_not_undo_a_rewind() {
    let (parent, path) = nowhere();
    saved(&path, 1..=3);
    let copy = parent.path().join("copy.ckpt");
    inspect::copy(&path, &copy).unwrap();
    open(&path).rewind(1).unwrap();
    let error = Checkpointer::<u64>::builder(&path).mirror(Mirror::to(&copy)).open().unwrap_err();
    assert!(matches!(error, Error::MirrorApart { .. }), "{error}");
    assert_eq!(open(&path).load().unwrap(), Some(1));
}

#[test]
fn nothing_is_discarded_where_a_pin_keeps_one() {
    let (_parent, path) = nowhere();
    saved(&path, 1..=6);
    let mut run = open(&path);
    run.pin(3).unwrap();
    let error = run.discard_newer(1).unwrap_err();
    assert!(matches!(error, Error::NotDiscarded { generation: 3, .. }), "{error}");
    assert_eq!(run.generations().unwrap(), [1, 2, 3, 4, 5, 6]);
    run.discard_newer(3).unwrap();
    assert_eq!(run.load().unwrap(), Some(3));
}

#[test]
fn a_run_does_not_go_back_to_what_it_cannot_load() {
    #[checkpointed(name = "Fit")]
    struct First {
        speed: f64,
    }
    #[checkpointed(name = "Fit", version = 2)]
    #[derive(Debug, PartialEq)]
    struct Second {
        speed: f64,
    }
    let (_parent, path) = nowhere();
    Checkpointer::open(&path).unwrap().save(&First { speed: 1.0 }).unwrap();
    let mut run = Checkpointer::<Second>::builder(&path).keep_last(9).open().unwrap();
    run.save(&Second { speed: 2.0 }).unwrap();
    for error in [run.rewind(1).unwrap_err(), run.discard_newer(1).unwrap_err()] {
        assert!(matches!(error, Error::VersionUnknown { .. }), "{error:?}");
    }
    assert_eq!(run.load().unwrap(), Some(Second { speed: 2.0 }));
}
