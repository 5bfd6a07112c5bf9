//! Problems that are no errors are seen: on standard error by default, by real programs in
//! processes of their own.

#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use crate::common::{file_of, inside, once_more};
use checkpointed::{CheckpointReader, Checkpointer, Error, Pipeline, Plain, Scopes, reports::Warning};
use serde::{Deserialize, Serialize};

/// The quick start of the README: it sets nothing up for warnings.
#[test]
fn a_program_that_arranges_nothing() {
    let Some(directory) = inside() else { return };
    let mut builder = Checkpointer::<u64>::builder(directory.join("run.ckpt"));
    match std::env::var("WANTS").as_deref() {
        Ok("nothing") => builder = builder.warnings_to_stderr(false),
        Ok("to take them") => {
            let file = directory.join("taken");
            builder = builder.on_warning(move |warning| fs::write(&file, warning.to_string()).unwrap());
        }
        Ok("a deadline") => builder = builder.stop_before_deadline(),
        _ => {}
    }
    let mut checkpoints = builder.open().unwrap();
    let state = checkpoints.load_or_default().unwrap();
    checkpoints.save(&(state + 1)).unwrap();
    println!("due: {}", checkpoints.generations().unwrap().len());
    let limit = std::env::var("CHECKPOINT_TIME_LIMIT").is_ok();
    std::thread::sleep(Duration::from_millis(if limit { 60 } else { 0 }));
    println!("stop: {:?}", checkpoints.should_stop());
    let decision = checkpoints.save_if_due(&(state + 2)).unwrap();
    println!("decision: {decision}");
}

struct Told {
    stdout: String,
    /// The lines of the library.
    lines: Vec<String>,
    stderr: String,
    success: bool,
}

fn run(directory: &Path, variables: &[(&str, &str)]) -> Told {
    let mut command = once_more("a_program_that_arranges_nothing", &[], directory);
    command.env_remove("CHECKPOINT_DEADLINE").env("RUST_BACKTRACE", "0").envs(variables.iter().copied());
    let output = command.output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    let lines = stderr.lines().filter(|line| line.starts_with("checkpointed: ")).map(str::to_owned).collect();
    Told { stdout, lines, stderr, success: output.status.success() }
}

/// A directory with a damaged newest generation.
fn damaged() -> tempfile::TempDir {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.save(&2).unwrap();
    drop(checkpoints);
    fs::write(file_of(&path, 2), "damage").unwrap();
    parent
}

#[test]
fn a_callback_that_loads_does_not_call_itself() {
    let parent = damaged();
    let path = parent.path().join("run.ckpt");
    let calls = Arc::new(AtomicU32::new(0));
    let (counted, read) = (Arc::clone(&calls), path.clone());
    let builder = Checkpointer::<u64>::builder(&path).on_warning(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        // It warns too.
        CheckpointReader::<u64>::open(&read).unwrap().load().unwrap().unwrap();
    });
    builder.open().unwrap().load().unwrap().unwrap();
    assert!(calls.load(Ordering::Relaxed) >= 1);
}

#[test]
fn a_damaged_generation_is_told_of_in_one_line() {
    let told = run(damaged().path(), &[]);
    assert!(told.success, "{}", told.stderr);
    assert_eq!(told.lines.len(), 1, "{}", told.stderr);
    let line = &told.lines[0];
    assert!(line.starts_with("checkpointed: warning: generation 2 cannot be used"), "{line}");
    assert!(line.contains("00000000000000000002.ckpt"), "{line}");
}

#[test]
fn the_program_and_a_person_can_turn_the_lines_off() {
    for variables in [("WANTS", "nothing"), ("CHECKPOINT_WARNINGS", "off")] {
        let told = run(damaged().path(), &[variables]);
        assert!(told.success && told.lines.is_empty(), "{}", told.stderr);
    }
    // The user has the last word.
    let told = run(damaged().path(), &[("WANTS", "nothing"), ("CHECKPOINT_WARNINGS", "stderr")]);
    assert_eq!(told.lines.len(), 1, "{}", told.stderr);
}

#[test]
fn a_program_can_take_its_warnings() {
    let directory = damaged();
    let told = run(directory.path(), &[("WANTS", "to take them")]);
    assert!(told.success && told.lines.is_empty(), "{}", told.stderr);
    assert!(fs::read_to_string(directory.path().join("taken")).unwrap().contains("generation 2"));
}

#[test]
fn a_name_that_turns_text_around_does_not_reach_the_terminal() {
    let parent = tempfile::tempdir().unwrap();
    let evil = parent.path().join("run\u{202e}tpkc\u{1b}[31m");
    fs::create_dir(&evil).unwrap();
    let path = evil.join("run.ckpt");
    for state in [1, 2] {
        Checkpointer::<u64>::open(&path).unwrap().save(&state).unwrap();
    }
    fs::write(file_of(&path, 2), "damage").unwrap();
    let told = run(&evil, &[]);
    assert!(told.lines[0].contains(r"run\u{202e}tpkc\u{1b}[31m"), "{}", told.stderr);
    assert!(!told.stderr.contains(['\u{202e}', '\u{1b}']), "{}", told.stderr);
}

/// The work of a run.
type Work<'a> = &'a dyn Fn(&mut Checkpointer<u64>);

#[test]
fn a_run_that_saves_over_what_it_did_not_load_is_told_so() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let told = |work: Work<'_>| {
        let (sender, warnings) = mpsc::channel();
        let taker = move |warning: &Warning| sender.send(warning.to_string()).unwrap();
        work(&mut Checkpointer::builder(&path).on_warning(taker).open().unwrap());
        warnings.iter().collect::<Vec<String>>()
    };
    let save = |checkpoints: &mut Checkpointer<u64>| {
        checkpoints.save(&7).unwrap();
        checkpoints.save(&8).unwrap();
    };
    assert_eq!(told(&save), [""; 0], "there was nothing to load");
    let warnings = told(&save);
    assert_eq!(warnings.len(), 1, "once: {warnings:?}");
    assert!(warnings[0].contains("up to generation 2"), "{warnings:?}");
    let in_background = |checkpoints: &mut Checkpointer<u64>| {
        checkpoints.save_in_background(&9).unwrap();
        checkpoints.wait().unwrap();
    };
    assert_eq!(told(&in_background).len(), 1);
    let loads: [Work<'_>; 3] = [
        &|checkpoints| assert!(checkpoints.load().unwrap().is_some()),
        &|checkpoints| assert!(checkpoints.load_into(&mut 0).unwrap()),
        &|checkpoints| {
            let newest = checkpoints.generations().unwrap().pop().unwrap();
            checkpoints.load_generation(newest).unwrap();
        },
    ];
    for load in loads {
        let work = |checkpoints: &mut Checkpointer<u64>| {
            load(checkpoints);
            save(checkpoints);
        };
        assert_eq!(told(&work), [""; 0]);
    }
    // The checkpoint holds another state, so it cannot be loaded, and the program ignores the
    // error.
    Checkpointer::<String>::open(&path).unwrap().save(&"theirs".to_owned()).unwrap();
    let careless = |checkpoints: &mut Checkpointer<u64>| {
        let state = checkpoints.load().unwrap_or_default().unwrap_or_default();
        checkpoints.save(&state).unwrap();
    };
    assert_eq!(told(&careless).len(), 1);
}

/// Text of which no sample can be made.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Picky(String);

const AGREED: &str = "as was agreed between the two";

impl TryFrom<String> for Picky {
    type Error = String;

    fn try_from(text: String) -> Result<Picky, String> {
        if text == AGREED { Ok(Picky(text)) } else { Err("it was not agreed".to_owned()) }
    }
}

impl From<Picky> for String {
    fn from(Picky(text): Picky) -> String {
        text
    }
}

/// A state whose form is not wholly known.
type Unknown = Plain<(Picky, u8)>;

#[test]
fn the_warnings_of_every_call_reach_the_program() {
    let parent = tempfile::tempdir().unwrap();
    let (sender, warnings) = mpsc::channel();
    let taker = move |warning: &Warning| sender.send(warning.to_string()).unwrap();
    let heard = |words: &str| warnings.try_iter().any(|warning| warning.contains(words));

    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::<u64>::builder(&path).on_warning(taker.clone()).open().unwrap();
    fs::create_dir(path.join("halt")).unwrap();
    let begun = Instant::now();
    while !heard("does not count as a request to halt") {
        assert!(begun.elapsed() < Duration::from_secs(60), "should_stop warns somewhere else");
        assert_eq!(checkpoints.should_stop(), None);
        std::thread::sleep(Duration::from_millis(20));
    }

    let path = parent.path().join("scopes.ckpt");
    let mut scopes = Scopes::builder(&path).on_warning(taker.clone()).open().unwrap();
    drop(scopes.enter::<Unknown>("scope").unwrap());
    assert!(heard("could not be found out"), "a scope warns somewhere else");

    let path = parent.path().join("test.pipeline");
    let pipeline = Pipeline::builder(&path).on_warning(taker).open().unwrap();
    let pipeline = pipeline.on_step(|_| panic!("as it is told"));
    let work = |_: &_| Ok::<Unknown, Error>(Plain((Picky(AGREED.to_owned()), 1)));
    let output = pipeline.step("step").run(work).unwrap();
    assert!(heard("`on_step` panicked"), "a step warns somewhere else");
    warnings.try_iter().for_each(drop);
    output.unload();
    output.load().unwrap();
    assert!(heard("could not be found out"), "an output warns somewhere else");
}

#[test]
fn a_misspelt_variable_is_told_of_once_with_the_known_ones() {
    let parent = tempfile::tempdir().unwrap();
    let told = run(parent.path(), &[("CHECKPOINT_EVRY", "10min")]);
    assert!(told.success && told.lines.len() == 1, "{}", told.stderr);
    assert!(
        told.lines[0].contains("CHECKPOINT_EVRY") && told.lines[0].contains("CHECKPOINT_EVERY"),
        "{}",
        told.stderr
    );
}

#[test]
fn a_value_that_is_not_understood_is_an_error_of_the_opening() {
    for (name, value) in [
        ("CHECKPOINT_DEADLINE", "in 2h"),
        ("CHECKPOINT_EVERY", "often"),
        ("CHECKPOINT_EVERY", "0 steps"),
        ("CHECKPOINT_EVERY", "0s"),
        ("CHECKPOINT_KEEP", "0"),
        ("CHECKPOINT_KEEP", "all"),
        ("CHECKPOINT_BACKGROUND", "yes"),
        ("CHECKPOINT_TIME_LIMIT", "2"),
        ("CHECKPOINT_ON_FAILED_SAVE", "ignore"),
        ("CHECKPOINT_WARNINGS", "no"),
    ] {
        let parent = tempfile::tempdir().unwrap();
        let told = run(parent.path(), &[(name, value), ("WANTS", "a deadline")]);
        assert!(!told.success && told.stderr.contains(&format!("{name}={value}: ")), "{}", told.stderr);
        assert!(!parent.path().join("run.ckpt").exists(), "nothing was made: {name}");
    }
}

#[test]
fn a_person_changes_a_program_without_compiling_it() {
    let said = |variables: &[(&str, &str)], words: &str| {
        let parent = tempfile::tempdir().unwrap();
        run(parent.path(), &[]);
        run(parent.path(), &[]);
        let told = run(parent.path(), variables);
        assert!(told.success && told.stdout.contains(words), "{variables:?}: {}{}", told.stdout, told.stderr);
    };
    said(&[], "due: 2");
    said(&[("CHECKPOINT_KEEP", "1")], "due: 1");
    said(&[("CHECKPOINT_KEEP", "5")], "due: 3");
    said(&[("CHECKPOINT_EVERY", "1 step")], "decision: saved generation 4: 1 steps since the last save");
    said(&[("CHECKPOINT_EVERY", "10h")], "decision: not due");
    said(
        &[("CHECKPOINT_EVERY", "1 step"), ("CHECKPOINT_BACKGROUND", "on")],
        "decision: began to save generation 4",
    );
    said(&[("CHECKPOINT_TIME_LIMIT", "50ms")], "stop: Some(TimeLimit");
    said(&[("CHECKPOINT_DEADLINE", "2s"), ("WANTS", "a deadline")], "stop: None");
    said(
        &[("CHECKPOINT_DEADLINE", "1ms"), ("WANTS", "a deadline"), ("CHECKPOINT_TIME_LIMIT", "9h")],
        "stop: Some",
    );
}

#[test]
fn a_deadline_that_the_program_does_not_hear_is_told_of() {
    let parent = tempfile::tempdir().unwrap();
    let told = run(parent.path(), &[("CHECKPOINT_DEADLINE", "2h")]);
    assert!(told.lines.len() == 1 && told.lines[0].contains("stop_before_deadline"), "{}", told.stderr);
}

/// Checks the text that `main` prints of a returned error.
#[test]
fn an_error_that_main_returns_is_printed_as_its_message() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("run.ckpt"), "in the way").unwrap();
    let error: Error = Checkpointer::<u64>::open(parent.path().join("run.ckpt")).unwrap_err();
    assert_eq!(format!("{error:?}"), error.to_string());
    assert!(!format!("{error:?}").contains("NotADirectory {"));
}
