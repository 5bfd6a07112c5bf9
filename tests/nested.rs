//! The example with nested functions: killed at any moment and restarted, it has the same sums.

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
    for milliseconds in [30, 55, 80, 25, 120, 10, 95, 70] {
        let mut child = nested(&directory, &["r", "--pause", "4"]).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let text = output(nested(&directory, &["r", "--pause", "0"]));
    assert!(text.starts_with("going on from the checkpoint\n"), "{text}");
    assert!(text.ends_with(FINAL), "{text}");
}

#[test]
fn it_goes_on_in_the_middle_of_both_functions() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("nested.ckpt");
    // The time suffices for the third call of `b`. The fifth iteration of the killed call may have
    // been saved or not.
    let mut child = nested(&directory, &["--pause", "20"]).stdout(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_millis(700));
    child.kill().unwrap();
    child.wait().unwrap();
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
