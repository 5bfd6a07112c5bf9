//! A training that is killed, stopped and started again has the weights of one that is not.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The program of `examples/train.rs`. Cargo builds it before the tests run.
fn start(directory: &Path) -> Child {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().with_file_name("examples").join("train");
    let (output, errors) = (Stdio::piped(), Stdio::piped());
    Command::new(program).arg(directory).stdout(output).stderr(errors).spawn().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn newest(directory: &Path) -> Option<std::ffi::OsString> {
    let names = std::fs::read_dir(directory).ok()?.flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".ckpt")).max()
}

/// Waits for the next generation.
fn save(directory: &Path) {
    let (before, begun) = (newest(directory), Instant::now());
    while newest(directory) == before {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was saved");
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_killed_training_has_the_same_weights_to_the_bit() {
    let directory = tempfile::tempdir().unwrap();
    let whole = said(&start(&directory.path().join("whole.ckpt")).wait_with_output().unwrap());
    assert!(whole.starts_with("150 steps\n"), "{whole}");

    let path = directory.path().join("killed.ckpt");
    for delay in [0, 17, 3, 41] {
        let mut program = start(&path);
        save(&path);
        sleep(Duration::from_millis(delay));
        program.kill().unwrap();
        program.wait().unwrap();
    }
    assert_eq!(said(&start(&path).wait_with_output().unwrap()), whole);
    // The result is kept: nothing is computed again, and nothing saved.
    let last = newest(&path);
    assert_eq!(said(&start(&path).wait_with_output().unwrap()), whole);
    assert_eq!(newest(&path), last);
}

#[cfg(unix)]
#[test]
fn a_stopped_training_is_saved_and_asks_to_be_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stopped.ckpt");
    let program = start(&path);
    save(&path);
    let sent = Command::new("kill").arg(program.id().to_string()).status().unwrap();
    assert!(sent.success());
    let output = program.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let whole = said(&start(&path).wait_with_output().unwrap());
    assert!(whole.starts_with("150 steps\n"), "{whole}");
}
