//! The example `heat_mpi` on real MPI: the same bits for any number of ranks, after restarts with
//! another number, and after kills of single ranks.
//!
//! 60 kills; `CHECKPOINTED_KILLS=1000 cargo test --test heat -- --nocapture` for more.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

/// The program, which `cargo test` builds with the tests.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let program = own.parent().unwrap().parent().unwrap().join("examples/heat_mpi");
    assert!(program.exists(), "build it first: cargo build --example heat_mpi");
    program
}

/// Skips the test, with a message, where there is no MPI.
fn has_mpi() -> bool {
    let found = Command::new("mpirun").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        println!("SKIPPED: there is no mpirun");
    }
    found
}

fn heat(ranks: usize, dir: &Path, options: &[&str]) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["-n", &ranks.to_string()]).arg(program()).arg("--dir").arg(dir).args(options);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // Of Open MPI 4 and 5: more ranks than cores, which then wait without spinning.
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1").env("OMPI_MCA_mpi_yield_when_idle", "1");
    command.env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
    command
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect()
}

/// The last line of a run that comes to its end.
fn sum(ranks: usize, dir: &Path, options: &[&str]) -> String {
    let output = heat(ranks, dir, options).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let sum = lines(&output).pop().unwrap();
    assert!(sum.starts_with("sum="), "{sum}");
    sum
}

#[test]
fn the_sum_has_the_same_bits_for_any_number_of_ranks() {
    if !has_mpi() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name);
    let options = |steps| ["--size", "31", "--every", "7", "--steps", steps];
    let alone = sum(1, &place("1.ckpt"), &options("60"));
    assert_eq!(sum(4, &place("4.ckpt"), &options("60")), alone);
    // The steps that each number of ranks goes on to.
    for (ranks, steps) in [(4, "10"), (1, "20"), (3, "33"), (6, "40"), (2, "50")] {
        sum(ranks, &place("changing.ckpt"), &options(steps));
    }
    assert_eq!(sum(4, &place("changing.ckpt"), &options("60")), alone);
}

#[test]
fn a_signal_to_one_rank_stops_all_at_one_step() {
    if !has_mpi() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("heat.ckpt");
    let mut job = heat(4, &dir, &["--size", "64", "--every", "20", "--steps", "100000000"]);
    let mut job = job.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut output = BufReader::new(job.stdout.take().unwrap()).lines().map(Result::unwrap);
    output.find(|line| line.starts_with("saved step")).unwrap();
    signal(ranks(&dir)[2], "TERM");
    let last = output.last().unwrap();
    assert_eq!(job.wait().unwrap().code(), Some(75), "{last}");
    let step = number(&last, "stopped at step ").unwrap();

    let options = ["--size", "64", "--every", "20", "--steps", &(step + 10).to_string()];
    let output = heat(4, &dir, &options).output().unwrap();
    assert_eq!(lines(&output)[0], format!("going on from step {step}"));
    let undisturbed = sum(2, &directory.path().join("undisturbed.ckpt"), &options);
    assert_eq!(lines(&output).pop().unwrap(), undisturbed);
}

#[test]
fn no_kill_of_a_rank_loses_an_acknowledged_step() {
    if !has_mpi() {
        return;
    }
    let kills: u64 = std::env::var("CHECKPOINTED_KILLS").map_or(60, |kills| kills.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let dir = directory.path().join("heat.ckpt");
    let (mut acknowledged, mut random) = (0, 12_345_u64);
    let mut next = |below: u64| {
        // The numbers of a linear congruential generator (Knuth's MMIX).
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    for kill in 0..kills {
        let mut job = heat(4, &dir, &["--size", "64", "--every", "3", "--steps", "100000000"]);
        let mut job = job.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut output = BufReader::new(job.stdout.take().unwrap()).lines().map(Result::unwrap);
        let first = output.find(|line| line.contains("step")).unwrap();
        let begun = number(&first, "going on from step ").unwrap_or(0);
        assert!(begun >= acknowledged, "kill {kill}: {first}, and {acknowledged} was acknowledged");
        acknowledged = acknowledged.max(number(&first, "saved step ").unwrap_or(0));
        // Some are killed while they open the directory, and most between their saves.
        let (wait, victim) = (Duration::from_micros(next(120_000)), next(4));
        let killer = thread::spawn({
            let dir = dir.clone();
            move || {
                thread::sleep(wait);
                signal(ranks(&dir)[usize::try_from(victim).unwrap()], "KILL");
            }
        });
        let saved = output.filter_map(|line| number(&line, "saved step ")).last();
        acknowledged = acknowledged.max(saved.unwrap_or(0));
        killer.join().unwrap();
        assert!(!ended(&mut job), "a job without one of its ranks has ended well");
    }
    let options = ["--size", "64", "--every", "3", "--steps", &(acknowledged + 20).to_string()];
    let undisturbed = sum(1, &directory.path().join("undisturbed.ckpt"), &options);
    assert_eq!(sum(4, &dir, &options), undisturbed);
    println!("{kills} kills, {acknowledged} steps, none acknowledged was lost");
}

/// Waits for the end of the job. Returns true for success.
fn ended(job: &mut Child) -> bool {
    job.wait().unwrap().success()
}

fn number(line: &str, before: &str) -> Option<u64> {
    line.strip_prefix(before)?.parse().ok()
}

/// The processes of the ranks, by number of process.
fn ranks(dir: &Path) -> Vec<u32> {
    let program = program();
    let mut found: Vec<u32> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter(|process: &u32| {
            let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let mut words = line.split('\0');
            words.next() == program.to_str() && words.any(|word| Some(word) == dir.to_str())
        })
        .collect();
    found.sort_unstable();
    assert_eq!(found.len(), 4, "{found:?}");
    found
}

fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(sent.success(), "{process} is not there");
}
