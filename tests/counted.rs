//! Tests saves and retention by what the program counts, and a state that is made for a save.

use std::path::{Path, PathBuf};

use crate::common::file_of;
use checkpointed::{CheckpointReader, Checkpointer, Error, Metadata, Protection, Schedule, inspect};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn open(path: &Path, every: u64, keep: u64) -> Checkpointer<u64> {
    let schedule = Schedule::every_of("step", every);
    let builder = Checkpointer::builder(path).schedule(schedule).keep_last(2).keep_every_of("step", keep);
    builder.open().unwrap()
}

/// The steps that are kept, of which the program saved each in its state.
fn kept(path: &Path) -> Vec<u64> {
    let mut checkpoints = CheckpointReader::<u64>::open(path).unwrap();
    let generations = checkpoints.generations().unwrap();
    generations.into_iter().map(|generation| checkpoints.load_generation(generation).unwrap()).collect()
}

#[test]
fn stops_do_not_shift_what_is_saved_and_kept() {
    let (_parent, path) = nowhere();
    // The run is stopped at each of these steps, with a save, and is killed at others.
    for (until, saves_at_end) in [(730, true), (1450, false), (1451, true), (2999, true), (3100, false)] {
        let mut checkpoints = open(&path, 100, 1000);
        let mut step = checkpoints.load_or_default().unwrap();
        while step < until {
            step += 1;
            checkpoints.count("step", step);
            let decision = checkpoints.save_if_due(&step).unwrap();
            assert_eq!(decision.is_saved(), step.is_multiple_of(100), "{step}: {decision}");
        }
        if saves_at_end {
            checkpoints.finish(&step).unwrap();
        }
    }
    assert_eq!(kept(&path), [1000, 2000, 3000, 3100]);
}

#[test]
fn prune_keeps_what_the_program_keeps_by_count_and_age() {
    let (_parent, path) = nowhere();
    // All saves are in one interval, of which the first stays.
    let century = std::time::Duration::from_secs(100 * 365 * 24 * 3600);
    let builder = Checkpointer::<u64>::builder(&path).keep_every_of("step", 10).keep_one_in(century, century);
    let mut checkpoints = builder.keep_last(1).open().unwrap();
    let (third, away) = (file_of(&path, 3), path.with_extension("away"));
    for step in [5, 10, 15, 25, 31, 32] {
        checkpoints.save_with(&step, Metadata::new().with("step", step)).unwrap();
        if step == 15 {
            std::fs::copy(&third, &away).unwrap();
        }
    }
    drop(checkpoints);
    assert_eq!(kept(&path), [5, 10, 25, 31, 32]);
    // A copy brought back one that no rule keeps.
    std::fs::rename(&away, &third).unwrap();
    let pruning = inspect::prune(&path, &Protection::new(), None, false).unwrap();
    assert_eq!(pruning.removed.iter().map(|pruned| pruned.generation).collect::<Vec<_>>(), [3]);
    assert_eq!(kept(&path), [5, 10, 25, 31, 32]);
    let retention = inspect::overview(&path, &Protection::new()).unwrap().retention.unwrap();
    assert_eq!(retention.to_string(), "the last 1, every 10 of step, one in 3153600000s up to 3153600000s");
}

#[test]
fn a_number_that_is_not_counted_is_an_error() {
    let (_parent, path) = nowhere();
    let mut checkpoints = open(&path, 100, 1000);
    for error in [
        checkpoints.save_if_due(&1).unwrap_err(),
        checkpoints.is_due().unwrap_err(),
        checkpoints.due().unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
        assert!(error.to_string().contains("\"step\""), "{error}");
    }
    checkpoints.count("step", 1);
    checkpoints.save_if_due(&1).unwrap();
    drop(checkpoints);
    let builder = || Checkpointer::<u64>::builder(&path);
    builder().keep_every_of("step", 0).open().unwrap_err();
    builder().keep_one_in(std::time::Duration::ZERO, std::time::Duration::MAX).open().unwrap_err();
    builder().schedule(Schedule::every_of("step", 0)).open().unwrap_err();
}

#[test]
fn a_count_is_in_the_metadata_unless_the_program_gives_another() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.count("step", u64::MAX);
    checkpoints.save(&1).unwrap();
    checkpoints.save_in_background_with(&2, Metadata::new().with("step", 7)).unwrap();
    checkpoints.wait().unwrap();
    let step = |generation| checkpoints.manifest(generation).unwrap().metadata().get("step").cloned();
    assert_eq!((step(1), step(2)), (Some(u64::MAX.into()), Some(7.into())));
}

#[test]
fn the_question_counts_no_step_and_makes_no_state() {
    let (_parent, path) = nowhere();
    let schedule = Schedule::every_steps(3);
    let mut checkpoints = Checkpointer::<u64>::builder(&path).schedule(schedule).open().unwrap();
    let mut made = Vec::new();
    for step in 1..=7 {
        let is_due = checkpoints.is_due().unwrap();
        assert_eq!(checkpoints.is_due().unwrap(), is_due);
        let decision = checkpoints.save_if_due_from(|| {
            made.push(step);
            step
        });
        assert_eq!(decision.unwrap().is_saved(), is_due);
    }
    assert_eq!(made, [3, 6]);
    assert_eq!(checkpoints.load().unwrap(), Some(6));
}
