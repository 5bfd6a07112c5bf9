//! A run that is done leaves nothing behind, if it asks for it; a run that was stopped keeps all.

use std::fs;
use std::path::PathBuf;

use checkpointed::{CheckpointReader, Checkpointer, Error, Scopes, stop::request_halt};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

#[test]
fn a_finished_run_removes_all_that_is_its_own() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=5 {
        checkpoints.save(&state).unwrap();
    }
    checkpoints.rewind(3).unwrap();
    fs::write(path.join("00000000000000000002.ckpt"), "damage").unwrap();
    let finished = checkpoints.finish(&7).unwrap().remove().unwrap();
    assert!(finished.saved.is_some() && finished.stopped.is_none());
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    assert_eq!(Checkpointer::<u64>::open(&path).unwrap().load().unwrap(), None, "it starts afresh");
}

#[test]
fn files_of_the_user_stay() {
    let (_parent, path) = nowhere();
    let checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    fs::write(path.join("notes.txt"), "mine").unwrap();
    fs::write(path.join("1.ckpt"), "mine").unwrap();
    checkpoints.finish(&7).unwrap().remove().unwrap();
    assert_eq!(crate::common::names_in(&path), ["1.ckpt", "notes.txt"]);
}

#[test]
fn a_run_that_was_stopped_keeps_its_checkpoints() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    request_halt(&path, "enough").unwrap();
    while checkpoints.should_stop().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let finished = checkpoints.finish(&7).unwrap().remove_with_pins().unwrap();
    assert!(finished.stopped.is_some());
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(7));
}

#[test]
fn a_pinned_generation_keeps_all_unless_told_otherwise() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    for state in 1..=3 {
        checkpoints.save(&state).unwrap();
    }
    checkpoints.pin(2).unwrap();
    let finished = checkpoints.finish(&3).unwrap();
    let before = crate::common::names_in(&path);
    let error = finished.clone().remove().unwrap_err();
    assert!(matches!(&error, Error::Pinned { generations, .. } if *generations == [2]), "{error:?}");
    assert!(error.to_string().contains("ckpt unpin"), "{error}");
    assert_eq!(crate::common::names_in(&path), before);
    finished.remove_with_pins().unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_pinned_generation_that_is_aside_keeps_all_too() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=5 {
        checkpoints.save(&state).unwrap();
    }
    checkpoints.pin(5).unwrap();
    checkpoints.rewind(3).unwrap();
    fs::write(path.join("00000000000000000002.pin"), "").unwrap();
    fs::rename(crate::common::file_of(&path, 2), path.join("00000000000000000002.ckpt.damaged")).unwrap();
    let finished = checkpoints.finish(&3).unwrap();
    let before = crate::common::names_in(&path);
    let error = finished.clone().remove().unwrap_err();
    assert!(matches!(&error, Error::Pinned { generations, .. } if *generations == [2, 5]), "{error:?}");
    assert_eq!(crate::common::names_in(&path), before);
    finished.remove_with_pins().unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn files_of_every_kind_go() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(2).open().unwrap();
    for state in 1..=5 {
        checkpoints.save(&state).unwrap();
    }
    let finished = checkpoints.finish(&5).unwrap();
    let number = |number: u64, end: &str| format!("{number:020}{end}");
    for name in [
        ".checkpoint-0123456789abcDEF.tmp".to_owned(),
        number(4, "-000003.ckpt"),
        number(2, ".ckpt.damaged"),
        number(2, ".ckpt.damaged-2"),
        number(3, ".ckpt.rewound-1"),
        number(5, ".parent-4"),
        number(5, ".rewind"),
        number(9, ".pin"),
        number(4, &format!(".sent-{}-9-{}", "a".repeat(16), "b".repeat(64))),
        number(4, &format!(".mirrored-{}-9-{}", "a".repeat(16), "b".repeat(64))),
        "history.1.jsonl".to_owned(),
        "halt".to_owned(),
        "requeue".to_owned(),
    ] {
        fs::write(path.join(name), "").unwrap();
    }
    finished.remove().unwrap();
    assert!(!path.exists(), "{:?}", crate::common::names_in(&path));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn another_run_in_the_place_of_this_one_is_left_alone() {
    for saves in [2, 3, 4] {
        let (parent, path) = nowhere();
        let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
        for state in 1..=2 {
            checkpoints.save(&state).unwrap();
        }
        let finished = checkpoints.finish(&3).unwrap();
        fs::rename(&path, parent.path().join("moved.ckpt")).unwrap();
        let mut other = Checkpointer::<u64>::open(&path).unwrap();
        for state in 1..=saves {
            other.save(&state).unwrap();
        }
        drop(other);
        for error in [finished.clone().remove().unwrap_err(), finished.remove_with_pins().unwrap_err()] {
            assert!(error.to_string().contains("another program"), "{error}");
        }
        assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(saves));
    }
}

#[test]
fn what_another_run_set_aside_is_left_alone() {
    let (parent, path) = nowhere();
    let finished = Checkpointer::<u64>::open(&path).unwrap().finish(&7).unwrap();
    fs::rename(&path, parent.path().join("moved.ckpt")).unwrap();
    fs::create_dir(&path).unwrap();
    let aside = path.join("00000000000000000001.ckpt.rewound-0");
    fs::write(&aside, "another's").unwrap();
    let error = finished.remove().unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
    assert_eq!(fs::read(aside).unwrap(), b"another's");
}

#[test]
fn what_is_gone_already_is_not_made_again() {
    let (parent, _) = nowhere();
    let outer = parent.path().join("outer");
    let finished = Checkpointer::<u64>::open(outer.join("run.ckpt")).unwrap().finish(&7).unwrap();
    fs::remove_dir_all(&outer).unwrap();
    finished.remove().unwrap();
    assert!(!outer.exists());
}

#[test]
fn a_directory_that_another_program_has_open_is_left_alone() {
    let (_parent, path) = nowhere();
    let finished = Checkpointer::<u64>::open(&path).unwrap().finish(&7).unwrap();
    let mut other = Checkpointer::<u64>::open(&path).unwrap();
    assert_eq!(other.load().unwrap(), Some(7));
    let error = finished.clone().remove().unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    other.save(&8).unwrap();
    assert_eq!(other.load().unwrap(), Some(8));
    drop(other);
    let error = finished.remove_with_pins().unwrap_err();
    assert!(error.to_string().contains("has saved there since"), "{error}");
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(8));
}

#[test]
fn programs_that_open_what_others_remove_get_it_or_wait() {
    let (parent, path) = nowhere();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..30 {
                    let mut checkpoints = match Checkpointer::<u64>::open(&path) {
                        Ok(checkpoints) => checkpoints,
                        Err(Error::InUse { .. }) => continue,
                        Err(error) => panic!("{error}"),
                    };
                    let found = checkpoints.load().unwrap();
                    assert!(found.is_none() || found == Some(2), "{found:?}");
                    checkpoints.save(&1).unwrap();
                    match checkpoints.finish(&2).unwrap().remove() {
                        Ok(_) => {}
                        // Another has it, and found the state.
                        Err(Error::InUse { .. } | Error::InvalidSetting { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
    });
    let left = CheckpointReader::<u64>::open(&path).unwrap().load().unwrap();
    assert!(left.is_none() || left == Some(2));
    drop(parent);
}

#[test]
fn a_reader_of_the_last_generation_does_not_mind() {
    let (parent, path) = nowhere();
    let finished = Checkpointer::<Vec<u8>>::open(&path).unwrap().finish(&vec![7; 3 << 20]).unwrap();
    let read = fs::File::open(crate::common::file_of(&path, 1)).unwrap();
    read.lock_shared().unwrap();
    finished.remove().unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn a_stack_of_scopes_is_removed_too() {
    let (parent, path) = nowhere();
    let scopes = Scopes::open(&path).unwrap();
    scopes.finish().unwrap().remove().unwrap();
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}
