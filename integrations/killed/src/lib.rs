//! Kills the example of a package, stops it, and starts it again: for the tests of the
//! integrations.
//!
//! An example takes the checkpoint directory as its argument, and prints its result.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Starts an example of the package under test. Cargo builds it before the tests run.
fn start(example: &str, directory: &Path) -> Child {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().unwrap().with_file_name("examples").join(example);
    let (output, errors) = (Stdio::piped(), Stdio::piped());
    Command::new(program).arg(directory).stdout(output).stderr(errors).spawn().unwrap()
}

/// The result of an example that runs to its end.
fn result(example: &str, directory: &Path) -> String {
    let output = start(example, directory).wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn newest(directory: &Path) -> Option<OsString> {
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

/// Asserts that an example which is killed four times has the result of one which is not, and that
/// a further start computes nothing and saves nothing.
///
/// # Panics
/// If that is not so, or if the result does not begin with these words.
pub fn has_the_same_result(example: &str, beginning: &str) {
    let directory = tempfile::tempdir().unwrap();
    let whole = result(example, &directory.path().join("whole.ckpt"));
    assert!(whole.starts_with(beginning), "{whole}");

    let path = directory.path().join("killed.ckpt");
    for delay in [0, 17, 3, 41] {
        let mut program = start(example, &path);
        save(&path);
        sleep(Duration::from_millis(delay));
        program.kill().unwrap();
        program.wait().unwrap();
    }
    assert_eq!(result(example, &path), whole);
    let last = newest(&path);
    assert_eq!(result(example, &path), whole);
    assert_eq!(newest(&path), last);
}

/// Asserts that an example which SIGTERM stops asks to be started again, by its exit code, and then
/// comes to its end. Returns what the stopped one printed.
///
/// # Panics
/// If that is not so, or if the result does not begin with these words.
#[must_use]
pub fn asks_to_be_started_again(example: &str, beginning: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("stopped.ckpt");
    let program = start(example, &path);
    save(&path);
    let sent = Command::new("kill").arg(program.id().to_string()).status().unwrap();
    assert!(sent.success());
    let output = program.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(75), "{output:?}");
    let whole = result(example, &path);
    assert!(whole.starts_with(beginning), "{whole}");
    output
}
