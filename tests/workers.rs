//! Processes without MPI: killed, stopped, and started again in another number, they have the same
//! result.

#![cfg(unix)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

fn workers(dir: &Path, workers: u16, until: u64) -> Command {
    let mut command = crate::common::example("workers");
    command.arg("--dir").arg(dir);
    command.args(["--workers", &workers.to_string(), "--until", &until.to_string()]);
    command
}

#[track_caller]
fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn any_number_of_workers_goes_on_with_the_same_count() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("primes.ckpt");
    // There are 78498 primes below a million (OEIS A006880).
    for (count, until) in [(1, 100_000), (3, 300_000), (2, 500_000), (4, 1_000_000)] {
        let output = text(&workers(&dir, count, until).output().unwrap());
        if until == 1_000_000 {
            assert_eq!(output, "78498 primes below 1000000\n");
        }
    }
}

#[test]
fn a_killed_worker_costs_no_prime() {
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("primes.ckpt");
    let mut job = workers(&dir, 3, 1_000_000_000).stderr(Stdio::null()).spawn().unwrap();
    // They save for the first time after about a second.
    while !dir.join("00000000000000000001.ckpt").exists() && job.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(20));
    }
    let children = format!("pkill -KILL --oldest --parent {}", job.id());
    assert!(Command::new("sh").args(["-c", &children]).status().unwrap().success());
    // The others notice it.
    assert!(!job.wait().unwrap().success());
    // Nothing is left to do below 1: this is what the newest checkpoint has.
    let kept = text(&workers(&dir, 2, 1).output().unwrap());
    let (_, reached) = kept.trim_end().rsplit_once(' ').unwrap();
    let reached: u64 = reached.parse().unwrap();
    assert!(reached > 0);
    let undisturbed = workers(&directory.path().join("other.ckpt"), 1, reached).output().unwrap();
    assert_eq!(kept, text(&undisturbed));
    // And it goes on from there.
    let further = text(&workers(&dir, 4, reached + 50_000).output().unwrap());
    assert!(further.ends_with(&format!("primes below {}\n", reached + 50_000)), "{further}");
}
