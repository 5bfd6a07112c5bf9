//! A directory is lost: that of rank 0, that of another rank, or only the tables.

use std::fs;
use std::path::{Path, PathBuf};

use super::{parts, run, state};
use crate::group::{Group as _, Sharded, Shared, Threads};
use crate::{Checkpointer, Error};

/// The directory of a rank on a machine of its own.
fn local(parent: &Path, rank: usize) -> PathBuf {
    parent.join(format!("machine-{rank}/run.ckpt"))
}

/// Opens a group, with this directory for each member, and loads.
fn loaded(size: usize, path: impl Fn(usize) -> PathBuf + Sync) -> Vec<Result<Option<Vec<u64>>, Error>> {
    run(size, |member| {
        let path = path(member.rank());
        Checkpointer::<Vec<u64>>::builder(path).open_group(member)?.load()
    })
}

/// Saves this number of steps, without a load before.
fn saved(size: usize, steps: u64, path: impl Fn(usize) -> PathBuf + Sync) {
    run(size, |member| {
        let rank = member.rank();
        let mut group = Checkpointer::<Vec<u64>>::builder(path(rank)).open_group(member).unwrap();
        for step in 1..=steps {
            group.save(&state(rank, step)).unwrap();
        }
    });
}

fn remove_tables(path: &Path) {
    for entry in fs::read_dir(path).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "ckpt") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
}

#[track_caller]
fn assert_lost(loaded: Vec<Result<Option<Vec<u64>>, Error>>, expected: &[usize], newest: u64) {
    for loaded in loaded {
        match loaded.unwrap_err() {
            Error::TablesLost { ranks, generation, moved, .. } => {
                assert_eq!((&ranks[..], generation), (expected, newest));
                assert!(moved.is_empty(), "{moved:?}");
            }
            error => panic!("{error}"),
        }
    }
}

#[test]
fn a_lost_directory_of_rank_0_is_no_first_start() {
    for steps in [1, 3] {
        let parent = tempfile::tempdir().unwrap();
        let path = |rank| local(parent.path(), rank);
        saved(3, steps, path);
        fs::rename(path(0), parent.path().join("lost")).unwrap();
        assert_lost(loaded(3, path), &[1, 2], steps);
        // A program that only saves removes nothing either.
        let error = run(3, |member| {
            let path = path(member.rank());
            Checkpointer::<Vec<u64>>::builder(path).open_group(member).map(drop).unwrap_err().to_string()
        });
        assert!(error[1].contains("put the files of that directory on rank 0 back"), "{}", error[1]);
        assert!(error.iter().all(|error| error.contains(": 1, 2;")), "{}", error[0]);
        assert_eq!(parts(&path(1), 1).last(), Some(&steps));
        // It is put back.
        fs::remove_dir_all(path(0)).unwrap();
        fs::rename(parent.path().join("lost"), path(0)).unwrap();
        assert_eq!(super::step_of(loaded(3, path)), steps);
    }
}

#[test]
fn ranks_that_change_their_machines_are_no_first_start() {
    let parent = tempfile::tempdir().unwrap();
    let path = |rank| local(parent.path(), rank);
    let swapped = |rank: usize| path(1 - rank);
    saved(2, 2, path);
    let assert_moved = |errors: Vec<Result<_, Error>>, expected_ranks: &[usize], expected_moved: &[usize]| {
        for error in errors.into_iter().map(Result::unwrap_err) {
            assert!(
                error.to_string().contains("start each rank on the machine where it ran before"),
                "{error}"
            );
            match error {
                Error::TablesLost { ranks, generation: 2, moved, .. } => {
                    assert_eq!((&ranks[..], &moved[..]), (expected_ranks, expected_moved));
                }
                error => panic!("{error}"),
            }
        }
    };
    // Again and again: a start that was refused leaves directories behind.
    for _ in 0..2 {
        assert_moved(loaded(2, swapped), &[0, 1], &[0, 1]);
    }
    assert_eq!(super::step_of(loaded(2, path)), 2);
    // Tables alone tell it too, also those that a rewind set aside, and so do parts alone.
    let other = |rank: usize| local(&parent.path().join("other"), rank);
    saved(2, 2, other);
    let (tables, parts) = (other(0), other(1));
    fs::remove_dir_all(tables.join("ranks")).unwrap();
    let new = parent.path().join("new");
    assert_moved(loaded(2, |rank| [&new, &tables][rank].clone()), &[], &[1]);
    for generation in 1..=2_u64 {
        let name = format!("{generation:020}.ckpt");
        fs::rename(tables.join(&name), tables.join(format!("{name}.rewound-{}", generation - 1))).unwrap();
    }
    assert_moved(loaded(2, |rank| [&new, &tables][rank].clone()), &[], &[1]);
    assert_lost(loaded(1, |_| parts.clone()), &[1], 2);
}

#[test]
fn an_empty_directory_of_a_rank_is_elsewhere_to_all() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(2, 1, |_| path.clone());
    let place = path.join("ranks/000001");
    fs::remove_dir_all(&place).unwrap();
    fs::create_dir(&place).unwrap();
    let error = loaded(2, |_| path.clone()).swap_remove(0).unwrap_err();
    assert!(error.to_string().contains("no part of rank 1 is here"), "{error}");
    let verdicts = crate::inspect::verify_directory(&path, &crate::Protection::new()).unwrap();
    assert!(verdicts.iter().all(|verdict| verdict.elsewhere == [1]), "{verdicts:?}");
    let error = crate::inspect::copy(&path, parent.path().join("copy.ckpt")).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
}

#[test]
fn a_user_who_removes_the_parts_starts_afresh() {
    let parent = tempfile::tempdir().unwrap();
    let path = |rank| local(parent.path(), rank);
    saved(2, 2, path);
    fs::remove_dir_all(path(0)).unwrap();
    for generation in 1..=2 {
        fs::remove_file(super::part(&path(1), 1, generation)).unwrap();
    }
    assert!(loaded(2, path).into_iter().all(|loaded| loaded.unwrap().is_none()));
    assert!(!path(1).join("ranks/000001/accepted").exists(), "it marks parts that are gone");
    saved(2, 1, path);
    assert_eq!(super::step_of(loaded(2, path)), 1);
}

#[test]
fn tables_that_are_lost_alone_are_an_error_of_all() {
    let parent = tempfile::tempdir().unwrap();
    let path = |_| parent.path().join("run.ckpt");
    saved(2, 2, path);
    remove_tables(&path(0));
    assert_lost(loaded(2, path), &[0, 1], 2);
    // Also by a group that has only some of the ranks, or one without a part.
    fs::remove_dir_all(path(0).join("ranks/000000")).unwrap();
    assert_lost(loaded(1, path), &[1], 2);
    assert_lost(loaded(3, path), &[1], 2);
}

#[test]
fn a_job_killed_before_its_first_table_starts_afresh() {
    let parent = tempfile::tempdir().unwrap();
    let path = |_| parent.path().join("run.ckpt");
    let other = |_| parent.path().join("other.ckpt");
    saved(2, 2, other);
    // Two jobs were killed between their parts and the table.
    for rank in 0..2 {
        fs::create_dir_all(path(0).join(format!("ranks/{rank:06}"))).unwrap();
        for generation in 1..=2 {
            let part = |path: PathBuf| super::part(&path, rank, generation);
            fs::copy(part(other(0)), part(path(0))).unwrap();
        }
    }
    assert!(loaded(2, path).into_iter().all(|loaded| loaded.unwrap().is_none()));
    run(2, |member| {
        let rank = member.rank();
        let mut group = Checkpointer::<Vec<u64>>::builder(path(rank)).open_group(member).unwrap();
        assert_eq!(group.save(&state(rank, 7)).unwrap().generation, 3);
    });
    assert_eq!(parts(&path(0), 1), [3]);
}

#[test]
fn a_lost_directory_of_another_rank_is_an_error_of_all() {
    let parent = tempfile::tempdir().unwrap();
    let path = |rank| local(parent.path(), rank);
    saved(3, 3, path);
    fs::rename(path(1), parent.path().join("lost")).unwrap();
    let errors: Vec<Error> = loaded(3, path).into_iter().map(|loaded| loaded.unwrap_err()).collect();
    assert!(matches!(errors[1], Error::Io { .. }), "{}", errors[1]);
    for error in errors {
        assert!(error.to_string().contains("no part of rank 1 is here"), "{error}");
    }
    assert_eq!(parts(&path(2), 2), [2, 3]);
    fs::remove_dir_all(path(1)).unwrap();
    fs::rename(parent.path().join("lost"), path(1)).unwrap();
    assert_eq!(super::step_of(loaded(3, path)), 3);
}

#[test]
fn a_part_left_on_another_machine_is_an_error_of_all() {
    let parent = tempfile::tempdir().unwrap();
    let path = |rank| local(parent.path(), rank);
    saved(3, 3, path);
    // Rank 1 ran here before its last save.
    let (newest, left) = (super::part(&path(1), 1, 3), parent.path().join("left"));
    fs::rename(&newest, &left).unwrap();
    let errors: Vec<Error> = loaded(3, path).into_iter().map(|loaded| loaded.unwrap_err()).collect();
    assert!(matches!(errors[1], Error::Io { .. }), "{}", errors[1]);
    for error in [&errors[0], &errors[2]] {
        assert!(matches!(error, Error::Member { rank: 1, .. }), "{error}");
    }
    for error in &errors {
        let text = error.to_string();
        for part in [newest.to_str().unwrap(), "rank 1", "generation 3", "ckpt rewind"] {
            assert!(text.contains(part), "{text}");
        }
    }
    // It runs on its own machine again.
    fs::rename(&left, &newest).unwrap();
    assert_eq!(super::step_of(loaded(3, path)), 3);
    // What is damaged here is nowhere else.
    fs::write(&newest, "damage").unwrap();
    assert_eq!(super::step_of(loaded(3, path)), 2);
}

#[test]
fn parts_of_another_machine_take_a_smaller_group_not_back() {
    type State = (Shared<u64>, Sharded<f64>);
    fn state(step: u64, member: &Threads) -> State {
        (Shared(step), Sharded::rows([8], member).unwrap())
    }
    let parent = tempfile::tempdir().unwrap();
    // Two ranks run on each machine.
    let path = |rank: usize| local(parent.path(), rank / 2);
    let save = |size, step| {
        run(size, |member| {
            let builder = Checkpointer::<State>::builder(path(member.rank()));
            let mut group = builder.open_group(&member).unwrap();
            group.save(&state(step, &member)).unwrap().generation
        })[0]
    };
    let load = |size| {
        run(size, |member| {
            let mut group = Checkpointer::<State>::builder(path(member.rank())).open_group(&member).unwrap();
            let mut into = state(0, &member);
            group.load_into(&mut into).map(|found| (found, *into.0))
        })
    };
    assert_eq!((save(2, 1), save(2, 2), save(4, 3)), (1, 2, 3));
    // The parts of ranks 2 and 3 are on the second machine, and the older ones need none of them.
    for error in load(2).into_iter().map(Result::unwrap_err) {
        let text = error.to_string();
        for part in ["no part of rank 2 is here", "4 ranks", "generation 3", "ckpt rewind"] {
            assert!(text.contains(part), "{text}");
        }
    }
    assert!(load(4).into_iter().all(|loaded| loaded.unwrap() == (true, 3)));
}

#[test]
fn a_group_that_finds_tables_marks_its_directories() {
    let parent = tempfile::tempdir().unwrap();
    let path = |_| parent.path().join("run.ckpt");
    saved(2, 2, path);
    for rank in 0..2 {
        fs::remove_file(path(0).join(format!("ranks/{rank:06}/accepted"))).unwrap();
    }
    // A group that finds tables makes the marks, such as those that a copy by hand left out.
    super::step_of(loaded(2, path));
    remove_tables(&path(0));
    assert_lost(loaded(2, path), &[0, 1], 2);
}

#[test]
#[cfg(feature = "inspect")]
fn a_copy_of_a_group_keeps_the_marks_of_its_parts() {
    let parent = tempfile::tempdir().unwrap();
    let (path, copy) = (parent.path().join("run.ckpt"), parent.path().join("copy.ckpt"));
    saved(2, 2, |_| path.clone());
    crate::inspect::copy(&path, &copy).unwrap();
    remove_tables(&copy);
    assert_lost(loaded(2, |_| copy.clone()), &[0, 1], 2);
}
