//! The training example: stopped, killed and restarted, it has the same weights, to the bit.

#![cfg(unix)]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

use crate::common::{example, names_in};
use checkpointed::stop::{EXIT_HALTED, EXIT_REQUEUE};

const EPOCHS: &str = "6";

fn train(directory: &Path, options: &[&str]) -> Command {
    let mut command = example("train");
    for variable in ["SLURM_JOB_ID", "SLURM_JOB_END_TIME", "PBS_JOBID", "PBS_WALLTIME", "CHECKPOINT_DEADLINE"]
    {
        command.env_remove(variable);
    }
    command.arg("--dir").arg(directory).args(["--epochs", EPOCHS]).args(options);
    command
}

/// The output of a run that finishes.
fn result(directory: &Path) -> String {
    let output = train(directory, &[]).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The output of an uninterrupted run.
fn undisturbed() -> &'static str {
    static RESULT: OnceLock<String> = OnceLock::new();
    RESULT.get_or_init(|| {
        let parent = tempfile::tempdir().unwrap();
        result(&parent.path().join("train.ckpt"))
    })
}

fn start(directory: &Path) -> Child {
    train(directory, &["--pause", "2"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn killed_at_any_moment_it_comes_to_the_same_weights() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("train.ckpt");
    for milliseconds in [30, 250, 90, 400, 10, 320] {
        let mut child = start(&directory);
        thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(result(&directory), undisturbed());
}

#[test]
fn stopped_by_any_signal_it_comes_to_the_same_weights() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("train.ckpt");
    for signal in ["USR1", "TERM", "INT", "USR2"] {
        let child = start(&directory);
        thread::sleep(Duration::from_millis(200));
        crate::common::run("kill", &["-s", signal, &child.id().to_string()]);
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(i32::from(EXIT_REQUEUE)), "{stderr}");
        assert!(stderr.contains(&format!("SIG{signal}")), "{stderr}");
    }
    assert_eq!(result(&directory), undisturbed());
}

#[test]
fn a_halt_file_ends_it_and_it_is_not_to_be_requeued() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("train.ckpt");
    let child = start(&directory);
    while !directory.join(".lock").exists() {
        thread::sleep(Duration::from_millis(5));
    }
    checkpointed::stop::request_halt(&directory, "the machine is needed").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(EXIT_HALTED)));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("the halt file: the machine is needed"), "{stderr}");
    assert_eq!(result(&directory), undisturbed());
}

#[test]
fn it_keeps_the_last_two_and_the_best() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("train.ckpt");
    result(&directory);
    let kept = names_in(&directory).into_iter().filter(|name| name.ends_with(".ckpt")).count();
    assert!((2..=3).contains(&kept), "{:?}", names_in(&directory));
}
