//! Saves that fail because the disk is full, on a real file system that is: whether the program
//! goes on, for how long, and how room is made.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{
    assert_passed, file_of, inside, once_more, once_more_with_own_mounts, run, temporaries_in,
    without_threads,
};
use checkpointed::{
    Builder, CheckpointReader, Checkpointer, Error, OnFailedSave, Schedule, reports::Decision,
    stop::request_halt,
};

/// One MiB, and a little.
type State = Vec<u64>;

fn state(number: u64) -> State {
    vec![number; 128 << 10]
}

/// Runs a test once more on a file system of so many KiB.
fn on_a_disk_of(kibibytes: u64, test: &str, work: impl FnOnce(&Path)) {
    let Some(mounted) = inside() else {
        let parent = tempfile::tempdir().unwrap();
        once_more_with_own_mounts(test, parent.path());
        return;
    };
    let size = format!("size={kibibytes}k");
    run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", mounted.to_str().unwrap()]);
    work(&mounted);
}

/// Takes space, until removed.
fn fill(mounted: &Path, kibibytes: usize) -> PathBuf {
    let filler = mounted.join("filler");
    fs::write(&filler, vec![1; kibibytes << 10]).unwrap();
    filler
}

fn builder(path: &Path, policy: OnFailedSave) -> Builder<State> {
    let builder = Checkpointer::builder(path).schedule(Schedule::every_steps(1)).warnings_to_stderr(false);
    builder.on_failed_save(policy)
}

fn newest(path: &Path) -> State {
    CheckpointReader::open(path).unwrap().load().unwrap().unwrap()
}

#[test]
fn a_full_disk_costs_no_work_that_was_done_beside_the_save() {
    on_a_disk_of(4600, "a_full_disk_costs_no_work_that_was_done_beside_the_save", |mounted| {
        let path = mounted.join("run.ckpt");
        let mut checkpoints = builder(&path, OnFailedSave::go_on()).open().unwrap();
        let (decision, value) = checkpoints.save_if_due_while(&state(1), || 10).unwrap();
        assert!(decision.is_saved() && value == 10);
        let filler = fill(mounted, 2800);
        let (decision, value) = checkpoints.save_if_due_while(&state(2), || 20).unwrap();
        assert!(matches!(decision, Decision::Failed { times: 1, .. }), "{decision:?}");
        assert_eq!((value, newest(&path)), (20, state(1)));
        fs::remove_file(filler).unwrap();
        let (decision, _) = checkpoints.save_if_due_while(&state(3), || 30).unwrap();
        assert!(decision.is_saved());
        assert_eq!(newest(&path), state(3));
    });
}

#[test]
fn a_full_disk_ends_no_run_that_goes_on_until_there_is_space() {
    on_a_disk_of(4600, "a_full_disk_ends_no_run_that_goes_on_until_there_is_space", |mounted| {
        for background in [false, true] {
            let path = mounted.join(format!("{background}.ckpt"));
            let mut checkpoints =
                builder(&path, OnFailedSave::go_on()).background(background).open().unwrap();
            let mut due = |number| {
                let decision = checkpoints.save_if_due(&state(number)).unwrap();
                let _ = checkpoints.wait();
                decision
            };
            let has_begun = |decision: Decision| match background {
                true => decision.is_started(),
                false => decision.is_saved(),
            };
            assert!(has_begun(due(1)));
            let filler = fill(mounted, 2800);
            let mut failed = 0;
            for number in 2..8 {
                // In the background it is known one step later.
                if let Decision::Failed { message, times, .. } = due(number) {
                    failed += 1;
                    assert_eq!(times, failed);
                    assert!(message.contains("no space"), "{message}");
                }
            }
            assert!(background || failed == 6, "{failed}");
            assert_eq!(newest(&path), state(1), "what was saved before is untouched");
            fs::remove_file(filler).unwrap();
            assert!(has_begun(due(8)));
            drop(checkpoints);
            assert_eq!(newest(&path), state(8));
            fs::remove_dir_all(&path).unwrap();
        }
    });
}

#[test]
fn in_the_background_a_failure_is_told_by_the_next_step() {
    on_a_disk_of(4600, "in_the_background_a_failure_is_told_by_the_next_step", |mounted| {
        let path = mounted.join("run.ckpt");
        let policy = OnFailedSave::go_on().at_most_times(1);
        let schedule = Schedule::every_steps(2);
        let mut checkpoints = builder(&path, policy).background(true).schedule(schedule).open().unwrap();
        let _filler = fill(mounted, 4000);
        let mut told = Vec::new();
        let error = loop {
            match checkpoints.save_if_due(&state(7)) {
                Ok(Decision::NotDue) => std::thread::sleep(std::time::Duration::from_millis(5)),
                Ok(Decision::Started { .. }) => told.push(0),
                Ok(Decision::Failed { times, .. }) => told.push(times),
                Ok(decision) => panic!("{decision}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::NoSpace { .. }), "{error}");
        assert_eq!(told, [0, 1, 0], "the second in a row is one too many");
    });
}

#[test]
fn failures_are_borne_as_often_as_said_and_then_returned() {
    on_a_disk_of(4600, "failures_are_borne_as_often_as_said_and_then_returned", |mounted| {
        let path = mounted.join("run.ckpt");
        let mut checkpoints = builder(&path, OnFailedSave::go_on().at_most_times(2)).open().unwrap();
        checkpoints.save(&state(1)).unwrap();
        let filler = fill(mounted, 2800);
        for times in [1, 2] {
            let decision = checkpoints.save_if_due(&state(2)).unwrap();
            assert!(
                matches!(decision, Decision::Failed { times: found, .. } if found == times),
                "{decision}"
            );
        }
        assert!(matches!(checkpoints.save_if_due(&state(2)), Err(Error::NoSpace { .. })));
        fs::remove_file(&filler).unwrap();
        assert!(checkpoints.save_if_due(&state(3)).unwrap().is_saved());
        // A save that succeeds forgives those before it.
        fill(mounted, 2000);
        assert!(matches!(checkpoints.save_if_due(&state(2)).unwrap(), Decision::Failed { times: 1, .. }));
    });
}

#[test]
fn what_the_program_asked_for_outright_is_an_error_as_always() {
    on_a_disk_of(4600, "what_the_program_asked_for_outright_is_an_error_as_always", |mounted| {
        let path = mounted.join("run.ckpt");
        let mut checkpoints = builder(&path, OnFailedSave::go_on()).open().unwrap();
        checkpoints.save(&state(1)).unwrap();
        fill(mounted, 2800);
        assert!(matches!(checkpoints.save(&state(2)), Err(Error::NoSpace { .. })));
        checkpoints.save_in_background(&state(2)).unwrap();
        assert!(matches!(checkpoints.wait(), Err(Error::NoSpace { .. })));
        let _ = fs::write(path.join("halt"), "");
        while checkpoints.should_stop().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert!(matches!(checkpoints.save_if_due(&state(2)), Err(Error::NoSpace { .. })));
        assert!(matches!(checkpoints.finish(&state(2)), Err(Error::NoSpace { .. })));
        assert_eq!(newest(&path), state(1));
    });
}

#[test]
fn where_room_is_made_a_third_generation_fits() {
    on_a_disk_of(2600, "where_room_is_made_a_third_generation_fits", |mounted| {
        for (policy, makes_room) in [(OnFailedSave::stop(), false), (OnFailedSave::stop().make_room(), true)]
        {
            let path = mounted.join("run.ckpt");
            let mut checkpoints = builder(&path, policy).open().unwrap();
            checkpoints.save(&state(1)).unwrap();
            checkpoints.save(&state(2)).unwrap();
            for number in 3..7 {
                let saved = checkpoints.save(&state(number));
                assert_eq!(saved.is_ok(), makes_room, "{saved:?}");
                assert_eq!(newest(&path), state(if makes_room { number } else { 2 }));
            }
            if makes_room {
                checkpoints.save_in_background(&state(7)).unwrap();
                checkpoints.wait().unwrap();
                assert!(checkpoints.finish(&state(8)).unwrap().saved.is_some());
                assert_eq!(newest(&path), state(8));
                let reader = CheckpointReader::<State>::open(&path).unwrap();
                assert_eq!(reader.generations().unwrap().len(), 2);
                assert_eq!(temporaries_in(&path), [""; 0]);
            }
            fs::remove_dir_all(&path).unwrap();
        }
    });
}

#[test]
fn no_room_is_made_by_what_may_be_needed() {
    on_a_disk_of(2600, "no_room_is_made_by_what_may_be_needed", |mounted| {
        let path = mounted.join("run.ckpt");
        let open = |keep| builder(&path, OnFailedSave::stop().make_room()).keep_last(keep).open().unwrap();
        let mut checkpoints = open(2);
        checkpoints.save(&state(1)).unwrap();
        checkpoints.save(&state(2)).unwrap();
        // The newest is damaged in the middle of its data: then the other one is all there is.
        let file = file_of(&path, 2);
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, &bytes).unwrap();
        assert!(matches!(checkpoints.save(&state(3)), Err(Error::NoSpace { .. })));
        assert_eq!(newest(&path), state(1));
        bytes[middle] ^= 1;
        fs::write(&file, &bytes).unwrap();
        // What is pinned, or wanted by the retention, stays too.
        checkpoints.pin(1).unwrap();
        assert!(matches!(checkpoints.save(&state(3)), Err(Error::NoSpace { .. })));
        checkpoints.unpin(1).unwrap();
        drop(checkpoints);
        let mut checkpoints = open(3);
        assert!(matches!(checkpoints.save(&state(3)), Err(Error::NoSpace { .. })));
        assert_eq!(checkpoints.generations().unwrap(), [1, 2]);
        drop(checkpoints);
        // Of one that is kept there is nothing to spare, of two there is one.
        let mut checkpoints = open(1);
        checkpoints.save(&state(3)).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(state(3)));
        request_halt(&path, "").unwrap();
    });
}

/// Checks the saves of a program that continues after two failures in a row, while no save can
/// begin in the background.
fn no_save_begins(path: &Path, state: &State, is_expected: fn(&Error) -> bool) {
    let policy = OnFailedSave::go_on().at_most_times(2);
    let mut checkpoints = builder(path, policy).background(true).open().unwrap();
    let mut fails = |times| {
        let decision = checkpoints.save_if_due(state).unwrap();
        let found = if let Decision::Failed { times, .. } = decision { times } else { 0 };
        assert_eq!(found, times, "{decision}");
    };
    fails(1);
    fails(2);
    let error = checkpoints.save_if_due(state).unwrap_err();
    assert!(is_expected(&error), "{error:?}");
    // The program asked for this one itself.
    let error = checkpoints.save_in_background(state).unwrap_err();
    assert!(is_expected(&error), "{error:?}");
    // A save in the foreground needs neither, and the failures before it count no more.
    assert_eq!(checkpoints.save(&vec![1]).unwrap().generation, newest_of(path));
    assert!(matches!(checkpoints.save_if_due(state).unwrap(), Decision::Failed { times: 1, .. }));
    assert_eq!(newest(path), [1]);
}

fn newest_of(path: &Path) -> u64 {
    CheckpointReader::<State>::open(path).unwrap().generations().unwrap().pop().unwrap()
}

#[test]
fn a_save_for_which_there_is_no_thread_is_tolerated() {
    without_threads("a_save_for_which_there_is_no_thread_is_tolerated", |directory| {
        let no_thread =
            |error: &Error| matches!(error, Error::Io { operation: "start a thread to save in", .. });
        no_save_begins(&directory.join("run.ckpt"), &state(7), no_thread);
    });
}

/// Runs a program with memory for the state, and not for a copy of it. The limit is in KiB.
const WITHOUT_MEMORY: [&str; 4] = ["sh", "-c", "ulimit -v 1600000; exec \"$@\"", "sh"];

#[test]
fn a_save_for_which_there_is_no_memory_is_tolerated() {
    if let Some(directory) = inside() {
        // It is never touched, and so needs no memory itself.
        let state = vec![0; 1 << 27];
        let no_memory = |error: &Error| matches!(error, Error::NoMemory { .. });
        return no_save_begins(&directory.join("run.ckpt"), &state, no_memory);
    }
    let parent = tempfile::tempdir().unwrap();
    let test = "a_save_for_which_there_is_no_memory_is_tolerated";
    assert_passed(&once_more(test, &WITHOUT_MEMORY, parent.path()).output().unwrap());
}

#[test]
fn a_copy_without_memory_is_tried_again_as_any_save() {
    if let Some(directory) = inside() {
        // It is never touched, and so needs no memory itself.
        let state = vec![0; 1 << 27];
        let builder = builder(&directory.join("run.ckpt"), OnFailedSave::go_on().at_most_times(2));
        let mut checkpoints =
            builder.schedule(Schedule::every_of("step", 100)).background(true).open().unwrap();
        checkpoints.load().unwrap();
        for step in 100..150 {
            checkpoints.count("step", step);
            let decision = checkpoints.save_if_due(&state).unwrap();
            let is_tried = matches!(decision, Decision::Failed { .. });
            assert_eq!(is_tried, step == 100 || step == 125, "{step}: {decision}");
        }
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let test = "a_copy_without_memory_is_tried_again_as_any_save";
    assert_passed(&once_more(test, &WITHOUT_MEMORY, parent.path()).output().unwrap());
}
