//! The example with nested functions: killed at any moment and restarted, it has the same sums.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::example;

const FINAL: &str = "Final i1 = 505\nFinal i2 = 65\n";

fn nested(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = example("nested");
    command.arg("--dir").arg(directory).args(arguments);
    command
}

fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Kills the program this long after it has printed so many values, or after its start.
fn kill(mut command: Command, values: usize, after: Duration) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut printed = lines.filter(|line| line.starts_with("Value changed to"));
    assert_eq!(printed.by_ref().take(values).count(), values);
    thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn it_prints_what_the_sample_prints() {
    let parent = tempfile::tempdir().unwrap();
    let text = output(nested(&parent.path().join("nested.ckpt"), &["--pause", "0"]));
    let values: Vec<i64> =
        text.lines().filter_map(|line| line.strip_prefix("Value changed to ")?.parse().ok()).collect();
    assert_eq!(values.len(), 120);
    assert_eq!(values[..12], [10, 11, 13, 16, 20, 25, 31, 38, 46, 55, 55, 56]);
    assert!(text.ends_with(FINAL), "{text}");
}

#[test]
fn killed_at_any_moment_and_restarted_it_comes_to_the_same_sums() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("nested.ckpt");
    for (values, milliseconds) in [(0, 30), (7, 3), (0, 80), (5, 1), (12, 2), (0, 10), (9, 0), (6, 4)] {
        let program = nested(&directory, &["r", "--pause", "4"]);
        kill(program, values, Duration::from_millis(milliseconds));
    }
    let text = output(nested(&directory, &["r", "--pause", "0"]));
    assert!(text.starts_with("going on from the checkpoint\n"), "{text}");
    assert!(text.ends_with(FINAL), "{text}");
}

#[test]
fn it_goes_on_in_the_middle_of_both_functions() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("nested.ckpt");
    // That is in the third call of `b`. Its fifth iteration may have been saved or not.
    kill(nested(&directory, &["--pause", "20"]), 24, Duration::from_millis(15));
    let text = output(nested(&directory, &["r", "--pause", "0"]));
    let mut lines = text.lines().skip(1);
    let (outer, inner) = (lines.next().unwrap(), lines.next().unwrap());
    let number = |line: &str, before: &str| -> i64 {
        let rest = &line[line.find(before).unwrap() + before.len()..];
        rest[..rest.find([',', ':']).unwrap_or(rest.len())].parse().unwrap()
    };
    assert!(outer.starts_with("d, call 1: "), "{text}");
    assert_eq!(number(inner, "call "), number(outer, "i = ") + 1, "{text}");
    assert!([0, 5].contains(&number(inner, "i = ")), "{text}");
    assert_eq!(number(outer, "v = "), 10 + 45 * number(outer, "i = "), "{text}");
    assert!(text.ends_with(FINAL), "{text}");
}

#[test]
fn without_r_it_begins_afresh_and_after_its_end_too() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("nested.ckpt");
    for arguments in [&["--pause", "0"][..], &["--pause", "0"], &["r", "--pause", "0"]] {
        let text = output(nested(&directory, arguments));
        assert_eq!(text.matches("Value changed to").count(), 120);
        assert!(text.starts_with("d, call 1: starting out from i = 0, v = 10\n"), "{text}");
    }
}
