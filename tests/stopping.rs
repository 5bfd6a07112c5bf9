//! A run that must stop saves its last step: tested with real signals, deadlines and halt files,
//! and real processes.

#![cfg(unix)]

use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::common::{inside, once_more};
use checkpointed::pipeline::Pipeline;
use checkpointed::{CheckpointReader, Checkpointer, Error, Schedule, stop::EXIT_REQUEUE};

/// The number of runs of each kind, and the number at a time.
const RUNS: usize = 100;
const AT_A_TIME: usize = 25;

/// The step, and data that takes some time to copy and to write.
type State = (u64, Vec<u64>);

fn state(step: u64) -> State {
    (step, vec![step; 50_000])
}

/// The program: steps of a millisecond until it must stop. Beside its checkpoints it leaves the
/// number of its last step, and the reason of the stop.
#[test]
fn a_program_that_works_until_it_is_stopped() {
    let Some(directory) = inside() else { return };
    let in_background = std::env::var_os("IN_BACKGROUND").is_some();
    let schedule =
        if in_background { Schedule::every_steps(5) } else { Schedule::every(Duration::from_secs(3600)) };
    let mut checkpoints = Checkpointer::<State>::builder(directory.join("run.ckpt"))
        .schedule(schedule)
        .background(in_background)
        .stop_on_signals()
        .stop_before_deadline()
        .open()
        .unwrap();
    let mut step = checkpoints.load().unwrap().map_or(0, |(step, _)| step);
    fs::write(directory.join("ready"), "").unwrap();
    loop {
        step += 1;
        thread::sleep(Duration::from_millis(1));
        checkpoints.save_if_due(&state(step)).unwrap();
        if checkpoints.should_stop().is_some() {
            break;
        }
    }
    let finished = checkpoints.finish(&state(step)).unwrap();
    fs::write(directory.join("last"), format!("{step} {}", finished.stopped.unwrap())).unwrap();
    std::process::exit(i32::from(EXIT_REQUEUE));
}

fn start(directory: &Path, variables: &[(&str, String)]) -> Child {
    let mut command = once_more("a_program_that_works_until_it_is_stopped", &[], directory);
    for variable in ["SLURM_JOB_ID", "SLURM_JOB_END_TIME", "PBS_JOBID", "PBS_WALLTIME", "CHECKPOINT_DEADLINE"]
    {
        command.env_remove(variable);
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !directory.join("ready").exists() {
        thread::sleep(Duration::from_millis(2));
    }
    child
}

fn signal(child: &Child, name: &str) {
    crate::common::run("kill", &["-s", name, &child.id().to_string()]);
}

/// Starts the program repeatedly, stops each run by `stop`, and asserts that a restart loads the
/// last completed step.
fn assert_stops(
    variables: impl Fn() -> Vec<(&'static str, String)> + Sync,
    stop: impl Fn(usize, &Path, &Child) + Sync,
    why: &str,
) {
    for round in 0..RUNS / AT_A_TIME {
        thread::scope(|scope| {
            for place in 0..AT_A_TIME {
                let (variables, stop) = (&variables, &stop);
                scope.spawn(move || {
                    let directory = tempfile::tempdir().unwrap();
                    let child = start(directory.path(), &variables());
                    stop(round * AT_A_TIME + place, directory.path(), &child);
                    let output = child.wait_with_output().unwrap();
                    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert_eq!(output.status.code(), Some(i32::from(EXIT_REQUEUE)), "{stderr}");
                    assert_restored(directory.path(), why);
                });
            }
        });
    }
}

#[track_caller]
fn assert_restored(directory: &Path, why: &str) {
    let text = fs::read_to_string(directory.join("last")).unwrap();
    let (last, reason) = text.split_once(' ').unwrap();
    assert!(reason.contains(why), "{reason}");
    let mut reader = CheckpointReader::<State>::open(directory.join("run.ckpt")).unwrap();
    assert_eq!(reader.load().unwrap(), Some(state(last.parse().unwrap())));
}

fn nothing() -> Vec<(&'static str, String)> {
    Vec::new()
}

#[test]
fn each_run_stopped_by_sigterm_restarts_from_its_last_step() {
    assert_stops(
        nothing,
        |run, _, child| {
            thread::sleep(Duration::from_millis(run as u64 % 10));
            signal(child, "TERM");
        },
        "SIGTERM",
    );
}

#[test]
fn each_run_stopped_by_sigusr1_restarts_from_its_last_step() {
    assert_stops(
        nothing,
        |run, _, child| {
            thread::sleep(Duration::from_millis(run as u64 % 10));
            signal(child, "USR1");
        },
        "SIGUSR1",
    );
}

#[test]
fn each_run_with_a_deadline_restarts_from_its_last_step() {
    let end = || {
        let in_two_seconds = SystemTime::now() + Duration::from_secs(3);
        let seconds = in_two_seconds.duration_since(UNIX_EPOCH).unwrap().as_secs();
        vec![("SLURM_JOB_END_TIME", seconds.to_string())]
    };
    assert_stops(end, |_, _, _| {}, "SLURM_JOB_END_TIME");
}

#[test]
fn each_run_with_a_halt_file_restarts_from_its_last_step() {
    assert_stops(nothing, |_, directory, _| fs::write(directory.join("run.ckpt/halt"), "").unwrap(), "halt");
}

#[test]
fn no_signal_during_a_background_save_hangs_it_or_loses_it() {
    assert_stops(
        || vec![("IN_BACKGROUND", String::new())],
        |run, _, child| {
            thread::sleep(Duration::from_millis(run as u64 % 20));
            signal(child, "TERM");
        },
        "SIGTERM",
    );
}

#[test]
fn a_halt_file_stops_one_run_and_not_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let child = start(directory.path(), &[]);
    fs::write(directory.path().join("run.ckpt/halt"), "").unwrap();
    child.wait_with_output().unwrap();
    fs::remove_file(directory.path().join("ready")).unwrap();
    let mut child = start(directory.path(), &[]);
    thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none(), "the halt file of the run before stops this one");
    signal(&child, "TERM");
    child.wait().unwrap();
    assert_restored(directory.path(), "SIGTERM");
}

/// A program that waits for the one that has the directory, and leaves the number of its exit code.
#[test]
fn a_program_that_waits_for_another() {
    let Some(directory) = inside() else { return };
    let path = directory.join("run.ckpt");
    let wait = Duration::from_secs(3600);
    let stopped = match std::env::var("KIND").unwrap().as_str() {
        "pipeline" => Pipeline::builder(&path).stop_on_signals().wait_for(wait).open().err(),
        "shared" => Pipeline::builder(&path).shared(true).stop_on_signals().wait_for(wait).open().err(),
        "limit" => {
            let builder = Checkpointer::<u64>::builder(&path).time_limit(Duration::from_secs(2));
            builder.wait_for(wait).open().err()
        }
        _ => Checkpointer::<u64>::builder(&path).stop_on_signals().wait_for(wait).open().err(),
    };
    let stopped = stopped.unwrap();
    assert!(matches!(&stopped, Error::StoppedWaiting { exit_code: EXIT_REQUEUE, .. }), "{stopped}");
    fs::write(directory.join("stopped"), stopped.to_string()).unwrap();
}

#[test]
fn a_signal_ends_the_wait_for_another_program() {
    for kind in ["checkpointer", "pipeline", "shared", "limit"] {
        let directory = tempfile::tempdir().unwrap();
        let held = Checkpointer::<u64>::open(directory.path().join("run.ckpt")).unwrap();
        let mut command = once_more("a_program_that_waits_for_another", &[], directory.path());
        let mut child =
            command.env("KIND", kind).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // It says that it waits.
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        while !line.contains("waiting, at most") {
            line.clear();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "{kind}: {}", child.wait().unwrap());
        }
        let why = if kind == "limit" { "time limit" } else { "SIGTERM" };
        if kind != "limit" {
            signal(&child, "TERM");
        }
        io::copy(&mut stderr, &mut io::sink()).unwrap();
        assert!(child.wait().unwrap().success(), "{kind}");
        let told = fs::read_to_string(directory.path().join("stopped")).unwrap();
        assert!(told.contains(why) && told.contains(&std::process::id().to_string()), "{kind}: {told}");
        drop(held);
    }
}

/// The program, without a check if it must stop.
#[test]
fn a_program_that_never_looks() {
    let Some(directory) = inside() else { return };
    let checkpoints =
        Checkpointer::<u64>::builder(directory.join("run.ckpt")).stop_on_signals().open().unwrap();
    fs::write(directory.join("ready"), "").unwrap();
    thread::sleep(Duration::from_secs(60));
    drop(checkpoints);
}

#[test]
fn a_second_sigint_ends_the_program_as_usual() {
    let directory = tempfile::tempdir().unwrap();
    let mut command: Command = once_more("a_program_that_never_looks", &[], directory.path());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    while !directory.path().join("ready").exists() {
        thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "INT");
    thread::sleep(Duration::from_millis(100));
    assert!(child.try_wait().unwrap().is_none(), "one is only a wish");
    signal(&child, "INT");
    let status: ExitStatus = child.wait().unwrap();
    assert_eq!(status.signal(), Some(2), "{status}");
}
