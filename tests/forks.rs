//! A process that was forked has no part in the checkpoints of its parent.

#![cfg(unix)]

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use checkpointed::{Appended, Autosaver, Checkpointer, Error, Pipeline, Plain, Schedule, Scopes};
use serde::{Deserialize, Serialize};

use crate::common::fork::{self, forked};
use crate::common::{assert_passed, inside, must_end, names_in, once_more};

/// Runs a test once more in a process in which no other test runs, and gives the directory there.
fn alone(test: &str) -> Option<PathBuf> {
    if let Some(directory) = inside() {
        return Some(directory.join("run.ckpt"));
    }
    let directory = tempfile::tempdir().unwrap();
    assert_passed(&once_more(test, &[], directory.path()).output().unwrap());
    None
}

fn is_refused<T>(outcome: Result<T, Error>) -> bool {
    outcome.is_err_and(|error| matches!(error, Error::OtherProcess { .. }))
}

fn history(path: &Path) -> String {
    fs::read_to_string(path.join("history.jsonl")).unwrap()
}

#[test]
fn every_save_of_a_forked_process_is_refused() {
    let Some(path) = alone("every_save_of_a_forked_process_is_refused") else { return };
    let mut checkpoints = Some(Checkpointer::<u64>::open(&path).unwrap());
    for state in 1..=3 {
        checkpoints.as_mut().unwrap().save(&state).unwrap();
    }
    let (names, told) = (names_in(&path), history(&path));
    let refused = forked(|| {
        let mut checkpoints = checkpoints.take().unwrap();
        let error = checkpoints.save(&9).unwrap_err().to_string();
        assert!(error.contains("forked") && error.contains("run.ckpt"), "{error}");
        let refused = [
            is_refused(checkpoints.save_in_background(&9)),
            is_refused(checkpoints.wait()),
            is_refused(checkpoints.pin(3)),
            is_refused(checkpoints.unpin(3)),
        ];
        assert_eq!(checkpoints.load().unwrap(), Some(3));
        assert_eq!(checkpoints.generations().unwrap(), [2, 3]);
        format!("{refused:?} {}", is_refused(checkpoints.finish(&9)))
    });
    assert_eq!(refused, "[true, true, true, true] true");
    assert_eq!((names_in(&path), history(&path)), (names, told));
    let mut checkpoints = checkpoints.take().unwrap();
    checkpoints.save(&4).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(4));
}

#[test]
fn a_forked_process_leaves_the_outputs_of_the_run() {
    let Some(path) = alone("a_forked_process_leaves_the_outputs_of_the_run") else { return };
    let file = path.with_file_name("out.log");
    let mut checkpoints = Some(Checkpointer::<Appended>::open(&path).unwrap());
    let mut log = Appended::at(&file);
    writeln!(log, "one").unwrap();
    checkpoints.as_mut().unwrap().save(&log).unwrap();
    writeln!(log, "two").unwrap();
    drop(log);
    let seen = forked(|| {
        let mut checkpoints = checkpoints.take().unwrap();
        let mut newest = checkpoints.load().unwrap().unwrap();
        let mut first = checkpoints.load_generation(1).unwrap();
        format!("{} {}", writeln!(newest, "child").is_err(), writeln!(first, "child").is_err())
    });
    assert_eq!(seen, "true true");
    assert_eq!(fs::read_to_string(&file).unwrap(), "one\ntwo\n");
    let mut log = checkpoints.as_mut().unwrap().load().unwrap().unwrap();
    writeln!(log, "three").unwrap();
    checkpoints.as_mut().unwrap().save(&log).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), "one\nthree\n");
}

#[test]
fn a_warning_of_a_variable_may_open_a_directory() {
    if let Some(directory) = inside() {
        let other = directory.join("other.ckpt");
        let on_warning = move |_: &_| drop(Checkpointer::<u64>::open(&other).unwrap());
        let builder = Checkpointer::<u64>::builder(directory.join("run.ckpt")).on_warning(on_warning);
        must_end(move || drop(builder.open().unwrap()));
        assert!(directory.join("other.ckpt").exists());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "a_warning_of_a_variable_may_open_a_directory";
    let mut command = once_more(test, &[], directory.path());
    assert_passed(&command.env("CHECKPOINT_PATH", "unknown").output().unwrap());
}

#[test]
fn a_forked_process_ends_no_run() {
    let Some(path) = alone("a_forked_process_ends_no_run") else { return };
    let mut checkpoints = Some(Checkpointer::<u64>::open(&path).unwrap());
    checkpoints.as_mut().unwrap().save(&1).unwrap();
    fs::write(path.join("halt"), "stop").unwrap();
    assert!(checkpoints.as_mut().unwrap().should_stop().is_some());
    let told = history(&path);
    // The state is the one that was saved last, so that there is nothing to save.
    let refused = forked(|| is_refused(checkpoints.take().unwrap().finish(&1)).to_string());
    assert_eq!(refused, "true");
    assert!(path.join("halt").exists() && history(&path) == told);
    checkpoints.unwrap().finish(&1).unwrap();
    assert!(!path.join("halt").exists() && history(&path) != told);
}

#[test]
fn a_drop_in_a_forked_process_leaves_everything_to_the_parent() {
    let Some(path) = alone("a_drop_in_a_forked_process_leaves_everything_to_the_parent") else { return };
    let mut checkpoints = Some(Checkpointer::<u64>::open(&path).unwrap());
    for state in 1..=3 {
        checkpoints.as_mut().unwrap().save(&state).unwrap();
    }
    let (names, told) = (names_in(&path), history(&path));
    assert!(names.iter().any(|name| name.starts_with(".checkpoint-")), "there is a spare: {names:?}");
    let said = forked(|| {
        drop(checkpoints.take());
        format!("{:?}", Checkpointer::<u64>::open(&path).map(drop).is_err())
    });
    assert_eq!(said, "true", "the lock is the parent's");
    assert_eq!((names_in(&path), history(&path)), (names, told));
    assert!(Checkpointer::<u64>::open(&path).is_err(), "and stays it");
    checkpoints.as_mut().unwrap().save(&4).unwrap();
    drop(checkpoints);
    assert_eq!(Checkpointer::<u64>::open(&path).unwrap().load().unwrap(), Some(4));
}

#[test]
fn a_fork_during_a_background_save_hangs_nowhere() {
    let Some(path) = alone("a_fork_during_a_background_save_hangs_nowhere") else { return };
    let state: Vec<u64> = (0..8_000_000).collect();
    let mut checkpoints = Some(Checkpointer::<Vec<u64>>::open(&path).unwrap());
    checkpoints.as_mut().unwrap().save(&vec![1]).unwrap();
    for _ in 0..3 {
        checkpoints.as_mut().unwrap().save_in_background(&state).unwrap();
        let said = forked(|| {
            let mut checkpoints = checkpoints.take().unwrap();
            checkpoints.load().unwrap().unwrap();
            assert!(is_refused(checkpoints.save_if_due(&state)) || checkpoints.should_stop().is_none());
            assert!(is_refused(checkpoints.save(&state)));
            drop(checkpoints);
            "done".to_owned()
        });
        assert_eq!(said, "done");
        checkpoints.as_mut().unwrap().wait().unwrap().unwrap();
    }
    assert_eq!(checkpoints.unwrap().load().unwrap().unwrap().len(), state.len());
}

#[test]
fn scopes_and_pipelines_are_refused_in_a_forked_process_too() {
    let Some(path) = alone("scopes_and_pipelines_are_refused_in_a_forked_process_too") else { return };
    let mut scopes = Scopes::open(&path).unwrap();
    let mut scope = scopes.enter::<u64>("outer").unwrap();
    scope.save(&1).unwrap();
    assert_eq!(forked(|| is_refused(scope.save(&2)).to_string()), "true");
    scope.save(&3).unwrap();
    drop(scope);
    drop(scopes);

    let path = path.with_extension("pipeline");
    let mut pipeline = Some(Pipeline::open(&path).unwrap());
    let run = |pipeline: &Pipeline, name: &str| pipeline.step(name).run(|_| Ok::<u64, Error>(1)).map(drop);
    run(pipeline.as_ref().unwrap(), "one").unwrap();
    let said = forked(|| {
        let pipeline = pipeline.take().unwrap();
        let refused = is_refused(run(&pipeline, "two"));
        drop(pipeline);
        refused.to_string()
    });
    assert_eq!(said, "true");
    assert_eq!(names_in(&path.join("steps")), ["one"]);
    run(pipeline.as_ref().unwrap(), "two").unwrap();
}

#[test]
fn a_process_that_is_starting_keeps_no_lock_given_back() {
    let Some(path) = alone("a_process_that_is_starting_keeps_no_lock_given_back") else { return };
    let (mut may_end, mut end) = std::io::pipe().unwrap();
    let checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    // As one that another thread starts, between its fork and its exec.
    let child = fork::spawn(|| may_end.read_exact(&mut [0]).unwrap());
    drop(checkpoints);
    let again = Checkpointer::<u64>::open(&path);
    end.write_all(b"!").unwrap();
    fork::wait(child);
    again.unwrap();
}

#[test]
fn a_child_that_outlives_its_parent_is_told_of() {
    let Some(path) = alone("a_child_that_outlives_its_parent_is_told_of") else { return };
    let (mut is_open, mut say_open) = std::io::pipe().unwrap();
    let (mut may_end, mut end) = std::io::pipe().unwrap();
    let parent = fork::spawn(|| {
        let checkpoints = Checkpointer::<u64>::open(&path).unwrap();
        fork::spawn(|| {
            may_end.read_exact(&mut [0]).unwrap();
        });
        say_open.write_all(b"!").unwrap();
        std::mem::forget(checkpoints);
    });
    is_open.read_exact(&mut [0]).unwrap();
    fork::wait(parent);
    let outcome = Checkpointer::<u64>::open(&path);
    end.write_all(b"!").unwrap();
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.contains(&format!("process {parent} on")), "{message}");
    assert!(message.contains("has ended") && message.contains("fuser"), "{message}");
}

#[test]
fn a_due_save_is_refused_while_that_of_the_parent_runs() {
    let Some(path) = alone("a_due_save_is_refused_while_that_of_the_parent_runs") else { return };
    let state: Vec<u64> = (0..1_000_000).collect();
    let builder = Checkpointer::<Vec<u64>>::builder(&path).schedule(Schedule::every_steps(1));
    let mut checkpoints = Some(builder.background(true).open().unwrap());
    checkpoints.as_mut().unwrap().save(&vec![1]).unwrap();
    checkpoints.as_mut().unwrap().save_if_due(&state).unwrap();
    let said = forked(|| {
        let mut checkpoints = checkpoints.take().unwrap();
        let refused = [
            is_refused(checkpoints.is_due()),
            is_refused(checkpoints.save_if_due(&state)),
            is_refused(checkpoints.save_if_due(&state)),
            is_refused(checkpoints.save_in_background(&state)),
            is_refused(checkpoints.wait()),
            is_refused(checkpoints.pin(1)),
        ];
        assert!(!checkpoints.is_saving() && checkpoints.should_stop().is_none());
        assert_eq!(checkpoints.manifest(1).unwrap().generation(), 1);
        assert!(checkpoints.generations().unwrap().contains(&1));
        assert!(checkpoints.load().unwrap().is_some());
        format!("{refused:?} {}", is_refused(checkpoints.finish(&state)))
    });
    assert_eq!(said, "[true, true, true, true, true, true] true");
    assert!(checkpoints.as_mut().unwrap().wait().unwrap().is_some());
    assert_eq!(checkpoints.unwrap().load().unwrap().unwrap().len(), state.len());
}

#[test]
fn a_forked_process_waits_for_no_thread_of_its_parent() {
    let Some(path) = alone("a_forked_process_waits_for_no_thread_of_its_parent") else { return };
    let schedule = Schedule::every(Duration::from_millis(1));
    let checkpoints = Checkpointer::<u64>::builder(&path).schedule(schedule).open().unwrap();
    let saver = Autosaver::start(checkpoints, Arc::new(Mutex::new(1))).unwrap();
    let last = Checkpointer::<u64>::open(path.with_extension("last")).unwrap();
    let mut finishing = Some(last.finish_in_background(7));
    let said = forked(|| {
        let mut finishing = finishing.take().unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let polled = Pin::new(&mut finishing).poll(&mut context);
        let Poll::Ready(polled) = polled else { return "it waits".to_owned() };
        format!("{} {} {}", is_refused(polled), is_refused(saver.check()), saver.should_stop().is_none())
    });
    assert_eq!(said, "true true true");
    drop(finishing);
    saver.finish().unwrap();
}

#[test]
fn the_error_of_a_parents_save_stays_with_the_parent() {
    let Some(path) = alone("the_error_of_a_parents_save_stays_with_the_parent") else { return };
    let builder = Checkpointer::<u64>::builder(&path).schedule(Schedule::every_steps(1));
    let mut checkpoints = Some(builder.background(true).open().unwrap());
    checkpoints.as_mut().unwrap().save(&1).unwrap();
    // A name that is taken keeps the save in the background from being published.
    fs::create_dir(path.join("00000000000000000002.ckpt")).unwrap();
    checkpoints.as_mut().unwrap().save_in_background(&2).unwrap();
    while checkpoints.as_mut().unwrap().is_saving() {
        thread::sleep(Duration::from_millis(5));
    }
    let refused = forked(|| is_refused(checkpoints.take().unwrap().save_if_due(&3)).to_string());
    assert_eq!(refused, "true");
    let error = checkpoints.as_mut().unwrap().save_if_due(&3).unwrap_err();
    assert!(!matches!(error, Error::OtherProcess { .. }), "{error}");
}

#[test]
fn a_fork_beside_busy_steps_of_a_pipeline_hangs_nowhere() {
    let Some(path) = alone("a_fork_beside_busy_steps_of_a_pipeline_hangs_nowhere") else { return };
    let pipeline = Pipeline::open(path.with_extension("pipeline")).unwrap();
    for name in ["a", "b", "c", "d"] {
        pipeline.step(name).run(|_| Ok::<u64, Error>(1)).unwrap();
    }
    let is_done = AtomicBool::new(false);
    let said: Vec<String> = thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                // Both need what the pipeline notes of its steps.
                let _ = (pipeline.reports().len(), pipeline.step("a"));
            }
        });
        let child = || {
            let refused = [
                is_refused(pipeline.step("e").run(|_| Ok::<u64, Error>(1))),
                is_refused(pipeline.step("e").explain::<u64>()),
            ];
            format!("{refused:?} {} {:?}", pipeline.reports().len(), pipeline.versions("a").unwrap())
        };
        let said = (0..40).map(|_| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| forked(child))));
        let said = said.map(|said| said.unwrap_or_else(|_| "it hung".to_owned()));
        let mut told = Vec::new();
        for said in said {
            let hung = said == "it hung";
            told.push(said);
            if hung {
                break;
            }
        }
        is_done.store(true, Ordering::Relaxed);
        told
    });
    assert!(said.iter().all(|said| said == "[true, true] 0 [1]"), "{said:?}");
    assert_eq!(pipeline.reports().len(), 4);
    let mut pipeline = Some(pipeline);
    assert_eq!(forked(|| is_refused(pipeline.take().unwrap().finish()).to_string()), "true");
    assert_eq!(pipeline.unwrap().finish().unwrap().len(), 4);
}

/// A number whose loading waits, in the process that says so.
#[derive(Serialize, Deserialize)]
#[serde(from = "u64", into = "u64")]
#[derive(Clone)]
struct Slow(u64);

static WAITS: AtomicBool = AtomicBool::new(false);
static IS_LOADING: AtomicBool = AtomicBool::new(false);

impl From<u64> for Slow {
    fn from(number: u64) -> Slow {
        let begun = Instant::now();
        // Other numbers are samples.
        while number == 770_077 && WAITS.load(Ordering::SeqCst) && begun.elapsed() < Duration::from_secs(90) {
            IS_LOADING.store(true, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(1));
        }
        Slow(number)
    }
}

impl From<Slow> for u64 {
    fn from(Slow(number): Slow) -> u64 {
        number
    }
}

#[test]
fn a_forked_process_loads_an_output_that_its_parent_is_loading() {
    let Some(path) = alone("a_forked_process_loads_an_output_that_its_parent_is_loading") else { return };
    let pipeline = Pipeline::open(path.with_extension("pipeline")).unwrap();
    let output = pipeline.step("slow").run(|_| Ok::<_, Error>(Plain(Slow(770_077)))).unwrap();
    output.unload();
    WAITS.store(true, Ordering::SeqCst);
    let said = thread::scope(|scope| {
        let loading = scope.spawn(|| output.load().unwrap().0.0);
        while !IS_LOADING.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(1));
        }
        let said = forked(|| {
            WAITS.store(false, Ordering::SeqCst);
            output.unload();
            output.load().unwrap().0.0.to_string()
        });
        WAITS.store(false, Ordering::SeqCst);
        assert_eq!(loading.join().unwrap(), 770_077);
        said
    });
    assert_eq!(said, "770077");
}
