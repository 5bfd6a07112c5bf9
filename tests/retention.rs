//! Tests the generations that are kept: the promises of the builder's rules, with real files.

use std::path::Path;

use crate::common::{file_of, names_in};
use checkpointed::{Checkpointer, Error, Metadata, Metric, Protection, inspect};

fn loss(value: f64) -> Metadata {
    Metadata::new().with("loss", value)
}

fn open(path: &Path) -> Checkpointer<u64> {
    Checkpointer::builder(path).keep_last(1).keep_best(Metric::lowest("loss"), 1).open().unwrap()
}

#[test]
fn the_best_of_a_former_run_is_kept_by_the_next() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    for losses in [[0.5, 0.1, 0.4], [0.3, 0.2, 0.9]] {
        let mut checkpoints = open(&path);
        for value in losses {
            checkpoints.save_with(&1, loss(value)).unwrap();
        }
        assert_eq!(checkpoints.best(&Metric::lowest("loss")).unwrap(), Some(2));
    }
    assert_eq!(open(&path).generations().unwrap(), [2, 6]);
}

#[test]
fn a_better_one_takes_the_place_of_the_best() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = open(&path);
    for (number, value) in [0.5, 0.6, 0.4, 0.7, f64::NAN].into_iter().enumerate() {
        checkpoints.save_with(&(number as u64), loss(value)).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [3, 5]);
}

#[test]
fn a_damaged_best_is_not_the_best() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = open(&path);
    for value in [0.5, 0.1, 0.4] {
        checkpoints.save_with(&1, loss(value)).unwrap();
    }
    drop(checkpoints);
    std::fs::write(file_of(&path, 2), "gone").unwrap();
    let mut checkpoints = open(&path);
    assert_eq!(checkpoints.best(&Metric::lowest("loss")).unwrap(), Some(3));
    checkpoints.save_with(&1, loss(0.9)).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [3, 4]);
}

#[test]
fn every_rule_keeps_what_it_keeps() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::<u64>::builder(&path)
        .keep_last(2)
        .keep_every(4)
        .keep_best(Metric::lowest("loss"), 1)
        .keep_best(Metric::highest("gain"), 1)
        .open()
        .unwrap();
    for number in 1..=11_u32 {
        let metadata = loss(f64::from(number) - 3.0).with("gain", if number == 6 { 1 } else { 0 });
        checkpoints.save_with(&u64::from(number), metadata).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [1, 4, 6, 8, 10, 11]);
    for generation in checkpoints.generations().unwrap() {
        assert_eq!(checkpoints.load_generation(generation).unwrap(), generation);
    }
}

#[test]
fn a_pinned_generation_stays_until_any_program_unpins_it() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(1).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.pin(1).unwrap();
    checkpoints.pin(1).unwrap();
    drop(checkpoints);
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(1).open().unwrap();
    for state in 2..=4 {
        checkpoints.save(&state).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [1, 4]);
    checkpoints.unpin(1).unwrap();
    checkpoints.unpin(1).unwrap();
    checkpoints.save(&5).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [5]);
    assert!(!names_in(&path).iter().any(|name| name.ends_with(".pin")));
}

#[test]
fn only_what_is_there_can_be_pinned() {
    let parent = tempfile::tempdir().unwrap();
    let checkpoints = Checkpointer::<u64>::open(parent.path().join("run.ckpt")).unwrap();
    assert!(matches!(checkpoints.pin(7), Err(Error::NoSuchGeneration { generation: 7, .. })));
}

#[test]
fn prune_keeps_what_the_program_keeps_for_any_metric_name() {
    for name in ["loss, every 7th", "loss, 9 with the highest loss", "\"", ""] {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        let builder = Checkpointer::<u64>::builder(&path).keep_last(1).keep_best(Metric::lowest(name), 1);
        let mut checkpoints = builder.open().unwrap();
        for (number, value) in [0.5, 0.1, 0.4, 0.3].into_iter().enumerate() {
            checkpoints.save_with(&(number as u64), Metadata::new().with(name, value)).unwrap();
        }
        drop(checkpoints);
        // Like `ckpt prune`, which gets no rules and uses those in the history.
        let pruning = inspect::prune(&path, &Protection::new(), None, false).unwrap();
        let kept: Vec<u64> = pruning.kept.into_iter().map(|(generation, _)| generation).collect();
        assert_eq!((kept, pruning.removed.len()), (vec![2, 4], 0), "{name:?}");
    }
}

#[test]
fn of_integers_that_no_float_tells_apart_the_best_is_kept() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let highest = || Metric::highest("seen");
    let open = || Checkpointer::<u64>::builder(&path).keep_last(1).keep_best(highest(), 1).open().unwrap();
    let mut checkpoints = open();
    for seen in [u64::MAX - 2, u64::MAX - 1, (1 << 53) + 1] {
        checkpoints.save_with(&seen, Metadata::new().with("seen", seen)).unwrap();
    }
    drop(checkpoints);
    // The next run reads them from the files.
    let mut checkpoints = open();
    assert_eq!(checkpoints.best(&highest()).unwrap(), Some(2));
    checkpoints.save_with(&0, Metadata::new().with("seen", 0)).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [2, 4]);
}

#[test]
fn a_rule_that_makes_no_sense_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let error = Checkpointer::<u64>::builder(path).keep_every(0).open().unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
}
