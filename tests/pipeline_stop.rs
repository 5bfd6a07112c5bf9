//! Pipelines that are told to stop: no half output counts, and the next run goes on; with real
//! signals and files.

#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, Stdio};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::{inside, once_more};
use checkpointed::{
    Error, Pipeline,
    pipeline::{Outcome, StepContext},
    stop::{EXIT_HALTED, EXIT_REQUEUE, request_halt, request_requeue},
};

/// The parts of the work of a step.
const PARTS: u64 = 100;

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("test.pipeline");
    (parent, path)
}

/// Appends a line to a file that the test reads.
fn note(directory: &Path, line: &str) {
    use std::io::Write;
    let mut file = fs::File::options().append(true).create(true).open(directory.join("notes")).unwrap();
    writeln!(file, "{line}").unwrap();
}

fn notes(directory: &Path) -> String {
    fs::read_to_string(directory.join("notes")).unwrap_or_default()
}

fn wait_for(directory: &Path, line: &str) {
    while !notes(directory).lines().any(|found| found == line) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Adds numbers, slowly until a signal comes. Returns half of the sum if it is told to stop.
fn add(context: &StepContext, directory: &Path) -> Result<u64, Error> {
    let mut checkpoints = context.checkpointer::<(u64, u64)>()?;
    let (mut part, mut sum) = checkpoints.load_or_default()?;
    note(directory, &format!("from {part}"));
    let is_slow = part == 0;
    while part < PARTS {
        part += 1;
        sum += part;
        if part == PARTS / 2 {
            note(directory, "half");
        }
        if is_slow && part > PARTS / 2 {
            thread::sleep(Duration::from_millis(100));
        }
        if checkpoints.should_stop().is_some() {
            checkpoints.save(&(part, sum))?;
            break;
        }
        checkpoints.save_if_due(&(part, sum))?;
    }
    Ok(sum)
}

fn program(directory: &Path) -> Result<u64, Error> {
    let pipeline = Pipeline::builder(directory.join("test.pipeline")).stop_on_signals().open()?;
    let first = pipeline.step("first").run(|_| Ok::<u64, Error>(1))?;
    let sum = pipeline.step("sum").input(&first).run(|context| add(context, directory))?;
    let last = pipeline.step("last").input(&sum).run(|_| {
        note(directory, "last");
        sum.load().map(|sum| *sum)
    })?;
    pipeline.finish()?;
    last.load().map(|sum| *sum)
}

#[test]
fn a_program_that_adds() {
    let Some(directory) = inside() else { return };
    match program(&directory) {
        Ok(sum) => note(&directory, &format!("sum {sum}")),
        Err(error) => {
            note(&directory, &error.to_string());
            let code = if error.exit_code() == ExitCode::from(EXIT_REQUEUE) { EXIT_REQUEUE } else { 1 };
            std::process::exit(code.into());
        }
    }
}

fn start(directory: &Path) -> Child {
    once_more("a_program_that_adds", &[], directory).stdout(Stdio::null()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    crate::common::run("kill", &["-s", name, &child.id().to_string()]);
}

#[test]
fn a_signal_stops_a_step_and_the_next_run_continues() {
    for name in ["TERM", "INT", "USR1"] {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let mut child = start(directory);
        wait_for(directory, "half");
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(EXIT_REQUEUE.into()), "{}", notes(directory));
        let said = notes(directory);
        assert!(said.contains("step `sum` was stopped: the signal SIG"), "{said}");
        assert!(!said.contains("last"), "{said}");
        assert_eq!(start(directory).wait().unwrap().code(), Some(0));
        let said = notes(directory);
        let went_on_from: u64 =
            said.lines().filter_map(|line| line.strip_prefix("from ")?.parse().ok()).next_back().unwrap();
        assert!((PARTS / 2..PARTS).contains(&went_on_from), "{said}");
        assert!(said.ends_with("last\nsum 5050\n"), "{said}");
    }
}

#[test]
fn the_half_of_an_output_never_counts() {
    let (_parent, path) = nowhere();
    let run = |is_asked: bool| {
        let pipeline = Pipeline::open(&path).unwrap();
        let sum = pipeline.step("sum").run(|context| {
            if is_asked {
                request_halt(&path, "enough")?;
                // The file is looked for once a second.
                thread::sleep(Duration::from_millis(1100));
            }
            // It asks at the end only.
            let _ = context.should_stop();
            Ok::<u64, Error>(7)
        });
        sum.map(|sum| (*sum.load().unwrap(), pipeline.reports()[0].outcome))
    };
    let error = run(true).unwrap_err();
    assert!(matches!(&error, Error::StepStopped { begun: true, .. }), "{error}");
    assert!(error.to_string().contains("step `sum` was stopped: the halt file: enough"), "{error}");
    assert_eq!(run(false).unwrap(), (7, Outcome::Ran));
}

#[test]
fn no_step_begins_once_the_pipeline_is_to_stop() {
    let (_parent, path) = nowhere();
    let run = |limit: Duration| {
        let pipeline = Pipeline::builder(&path).time_limit(limit).exit_codes(99, 0).open().unwrap();
        let reason = pipeline.should_stop();
        let first = pipeline.step("first").run(|_| Ok::<u64, Error>(1))?;
        let second = pipeline.step("second").input(&first).run(|_| Ok::<u64, Error>(2));
        second.map(|_| reason.is_some())
    };
    let error = run(Duration::ZERO).unwrap_err();
    let Error::StepStopped { step, begun: false, exit_code: 99, .. } = &error else { panic!("{error}") };
    assert_eq!(step, "first");
    assert!(error.to_string().contains("step `first` was not begun"), "{error}");
    assert!(!run(Duration::from_secs(600)).unwrap());
    assert!(run(Duration::ZERO).unwrap(), "kept outputs are still taken");
}

#[test]
fn a_pipeline_is_halted_by_a_request_in_its_directory() {
    for is_halt in [true, false] {
        let (_parent, path) = nowhere();
        let run = |ask: bool| {
            let pipeline = Pipeline::open(&path).unwrap();
            let mut first = 0;
            let output = pipeline.step("sum").run(|context| {
                let mut checkpoints = context.checkpointer::<u64>()?;
                let mut part = checkpoints.load_or_default()?;
                first = part;
                if ask {
                    let request = if is_halt { request_halt } else { request_requeue };
                    request(&path, "enough")?;
                    // The file is looked for once a second.
                    thread::sleep(Duration::from_millis(1100));
                }
                while part < PARTS {
                    part += 1;
                    checkpoints.save_if_due(&part)?;
                    if checkpoints.should_stop().is_some() {
                        return Err(context.not_done());
                    }
                }
                Ok(part)
            });
            (output.map(drop), first)
        };
        let error = run(true).0.unwrap_err();
        let code = if is_halt { EXIT_HALTED } else { EXIT_REQUEUE };
        assert!(matches!(&error, Error::StepStopped { exit_code, .. } if *exit_code == code), "{error}");
        assert!(error.to_string().contains("enough"), "{error}");
        // The request is met: it stops no later run.
        assert!(!path.join("halt").exists() && !path.join("requeue").exists());
        let (outcome, first) = run(false);
        assert!(outcome.is_ok() && first == 1, "{outcome:?} {first}");
    }
}

#[test]
fn a_halt_before_the_start_stops_the_first_step_to_run() {
    let (_parent, path) = nowhere();
    let run = || {
        let pipeline = Pipeline::open(&path).unwrap();
        pipeline.step("a").run(|_| Ok::<u64, Error>(1)).map(drop)
    };
    fs::create_dir(&path).unwrap();
    request_halt(&path, "").unwrap();
    let error = run().unwrap_err();
    assert!(matches!(error, Error::StepStopped { begun: false, exit_code: EXIT_HALTED, .. }), "{error}");
    run().unwrap();
}

#[test]
fn a_request_that_is_met_between_steps_stops_no_later_run() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    request_halt(&path, "enough").unwrap();
    let reason = pipeline.should_stop().unwrap();
    assert_eq!(reason.to_string(), "the halt file: enough");
    pipeline.finish().unwrap();
    assert!(Pipeline::open(&path).unwrap().should_stop().is_none());
    // One that the program never learned of stays for the next run.
    let pipeline = Pipeline::open(&path).unwrap();
    request_halt(&path, "enough").unwrap();
    pipeline.finish().unwrap();
    assert!(Pipeline::open(&path).unwrap().should_stop().is_some());
}

#[test]
fn a_step_says_that_it_is_not_done() {
    let (_parent, path) = nowhere();
    let run = |done: bool| {
        let pipeline = Pipeline::open(&path).unwrap();
        let step = pipeline.step("a");
        step.run(|context| if done { Ok(1_u64) } else { Err(context.not_done()) }).map(drop)
    };
    let error = run(false).unwrap_err();
    assert!(matches!(error, Error::StepStopped { begun: true, exit_code: EXIT_REQUEUE, .. }), "{error}");
    run(true).unwrap();
}

#[test]
fn a_pipeline_inside_a_step_stops_that_step() {
    let (parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    let error = pipeline.step("outer").run(|_| {
        let inner = Pipeline::builder(parent.path().join("inner.pipeline"));
        let inner = inner.time_limit(Duration::ZERO).exit_codes(99, 0).open()?;
        inner.step("inner").run(|_| Ok::<u64, Error>(1)).map_err(|error| {
            // As an application wraps the errors of a library.
            std::io::Error::other(error)
        })?;
        Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(1)
    });
    let error = error.unwrap_err();
    let Error::StepStopped { step, exit_code: 99, .. } = &error else { panic!("{error}") };
    assert!(step == "outer" && error.to_string().contains("step `inner`, which it ran"), "{error}");
}

#[test]
fn the_environments_time_limit_is_that_of_the_pipeline() {
    if let Some(directory) = inside() {
        let pipeline = Pipeline::open(directory.join("test.pipeline")).unwrap();
        let error = pipeline.step("a").run(|_| Ok::<u64, Error>(1)).unwrap_err();
        assert!(matches!(error, Error::StepStopped { begun: false, .. }), "{error}");
        return;
    }
    let test = "the_environments_time_limit_is_that_of_the_pipeline";
    let parent = tempfile::tempdir().unwrap();
    let mut command = once_more(test, &[], parent.path());
    crate::common::assert_passed(&command.env("CHECKPOINT_TIME_LIMIT", "1ms").output().unwrap());
}

#[test]
fn steps_at_the_same_time_all_stop() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    let work = |context: &StepContext| {
        while context.should_stop().is_none() {
            thread::sleep(Duration::from_millis(5));
        }
        Ok::<u64, Error>(1)
    };
    let (left, right) = pipeline.parallel(|parallel| {
        let left = parallel.spawn(|| pipeline.step("left").run(work));
        let right = parallel.spawn(|| pipeline.step("right").run(work));
        request_halt(&path, "all").unwrap();
        (left.join(), right.join())
    });
    for outcome in [left, right] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::StepStopped { exit_code: EXIT_HALTED, .. }), "{error}");
    }
    assert!(!path.join("halt").exists());
}

#[test]
fn a_steps_own_checkpoints_have_the_settings_of_a_builder() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    pipeline
        .step("a")
        .run(|context| {
            let mut checkpoints = context.builder::<u64>().keep_last(4).open()?;
            (1..=9).try_for_each(|state| checkpoints.save(&state).map(drop))?;
            Ok::<usize, Error>(checkpoints.generations()?.len())
        })
        .map(|output| assert_eq!(*output.load().unwrap(), 4))
        .unwrap();
}

#[test]
fn who_hears_of_a_request_that_is_none_may_ask_for_the_reason() {
    let (_parent, path) = nowhere();
    let asked: Arc<OnceLock<Arc<Pipeline>>> = Arc::default();
    let asks = Arc::clone(&asked);
    let (tell, told) = mpsc::channel();
    let builder = Pipeline::builder(&path).on_warning(move |warning| {
        let reason = asks.get().and_then(|pipeline| pipeline.should_stop());
        tell.send((warning.to_string(), reason)).unwrap();
    });
    let pipeline = Arc::new(builder.open().unwrap());
    asked.set(Arc::clone(&pipeline)).unwrap();
    fs::create_dir(path.join("halt")).unwrap();
    thread::spawn(move || while pipeline.should_stop().is_none() {});
    let (warning, reason) = told.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(warning.contains("does not count as a request to halt"), "{warning}");
    assert_eq!(reason, None);
    fs::remove_dir(path.join("halt")).unwrap();
    request_halt(&path, "enough").unwrap();
}
