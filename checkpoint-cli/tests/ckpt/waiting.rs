//! Tests the commands that wait for a program: `halt`, `requeue` and `watch`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use checkpointed::Checkpointer;
use serde_json::Value;

fn ckpt(arguments: &[&str], directory: &Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(arguments).arg(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

/// Runs until it is asked to stop, and saves then if it is to.
fn run(path: &Path, over: &AtomicBool, saves: bool) {
    let mut checkpoints = Checkpointer::<u64>::builder(path).open().unwrap();
    let mut step = checkpoints.load_or_else(|| 0).unwrap();
    while checkpoints.should_stop().is_none() && !over.load(Ordering::Relaxed) {
        step += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    if saves {
        checkpoints.finish(&step).unwrap();
    }
}

/// Asks a program that is started again at once whenever it ends.
fn asked_in_a_loop(command: &str, saves: bool) -> (i32, String, Duration) {
    let (_parent, path) = nowhere();
    let over = AtomicBool::new(false);
    Checkpointer::<u64>::open(&path).unwrap().save(&1).unwrap();
    let started = fs::read(path.join("history.jsonl")).unwrap().len();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                run(&path, &over, saves);
            }
        });
        while fs::read(path.join("history.jsonl")).unwrap().len() == started {
            std::thread::sleep(Duration::from_millis(5));
        }
        let begun = Instant::now();
        let (code, out, err) = ckpt(&[command, "--wait", "--timeout", "30"], &path);
        over.store(true, Ordering::Relaxed);
        (code, out + &err, begun.elapsed())
    })
}

#[test]
fn a_wait_ends_with_the_run_that_was_asked() {
    let (code, said, waited) = asked_in_a_loop("requeue", true);
    assert!(code == 0 && said.contains("it has saved and stopped"), "{code} {said}");
    assert!(waited < Duration::from_secs(20), "{waited:?}");
}

#[test]
fn the_end_of_a_successor_is_not_that_of_the_run_that_was_asked() {
    let (code, said, waited) = asked_in_a_loop("requeue", false);
    assert!(code == 1 && said.contains("without saying that it saved"), "{code} {said}");
    assert!(waited < Duration::from_secs(20), "{waited:?}");
}

/// A run that has ended, and a rewind after it.
fn rewound() -> (tempfile::TempDir, PathBuf) {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=3 {
        std::thread::sleep(Duration::from_millis(30));
        checkpoints.save(&state).unwrap();
    }
    checkpoints.finish(&4).unwrap();
    let (code, _, err) = {
        let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).arg("rewind").arg(&path).arg("1").output();
        let output = output.unwrap();
        (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(code, Some(0), "{err}");
    (parent, path)
}

#[test]
fn watch_awaits_no_save_after_a_rewind_between_runs() {
    let (_parent, path) = rewound();
    let (code, _, err) = ckpt(&["watch", "--every", "0.1", "--timeout", "0.7"], &path);
    assert_eq!((code, &err[..]), (0, ""));
}

#[test]
fn a_rewind_between_runs_is_no_part_of_a_run_in_the_report() {
    let (_parent, path) = rewound();
    let history = fs::read_to_string(path.join("history.jsonl")).unwrap();
    let (rewind, end): (Vec<&str>, Vec<&str>) = history.lines().partition(|line| line.contains("\"rewind\""));
    assert_eq!(rewind.len(), 1, "{history}");
    let ended: Value = serde_json::from_str(end.last().unwrap()).unwrap();
    // The rewind comes long after the run.
    let mut late: Value = serde_json::from_str(rewind[0]).unwrap();
    late["time"] = "2999-01-01T00:00:00Z".into();
    fs::write(path.join("history.jsonl"), format!("{}\n{late}\n", end.join("\n"))).unwrap();
    let (code, out, err) = ckpt(&["--json", "report"], &path);
    assert_eq!(code, 0, "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let until = report["runs"][0]["until"].as_str().unwrap();
    assert_eq!(until.get(..10), ended["time"].as_str().unwrap().get(..10), "{out}");
}
