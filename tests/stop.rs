//! `examples/slurm.sh` does what docs/batch.md says of it, with `srun`, `squeue` and `scontrol` of our own; tests/slurm.rs has the
//! real ones.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use common::has;

/// A program that says when it listens, saves when it is to stop, which takes a moment, and ends with code 75.
const STOPPED_BY_SIGNALS: &str = r#"
stop() { echo "$1" >>signals; sleep 0.2; echo saved >>signals; exit 75; }
trap 'stop USR1' USR1
trap 'stop TERM' TERM
: >ready
while :; do sleep 0.05; done
"#;

/// It does with signals what Slurm's does: SIGUSR1 goes to all processes of the tasks, SIGTERM and SIGINT kill them.
const SRUN: &str = r#"
set -m
"$@" &
tasks=$!
trap 'kill -s USR1 -- "-$tasks"' USR1
trap 'kill -s KILL -- "-$tasks"' TERM INT
while :; do
    wait "$tasks"
    code=$?
    kill -0 "$tasks" 2>/dev/null || exit "$code"
done
"#;

struct Job {
    directory: tempfile::TempDir,
}

impl Job {
    /// A job on a cluster of our own, whose program is this script of the shell.
    fn new(program: &str) -> Job {
        let directory = tempfile::tempdir().unwrap();
        let script = |path: &str, text: &str| {
            let path = directory.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, format!("#!/bin/bash\n{text}\n")).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        };
        script("bin/srun", SRUN);
        script("bin/scontrol", r#"echo "$*" >>requeued"#);
        script("bin/squeue", "cat planned 2>/dev/null || echo RUNNING None");
        script("target/release/examples/train", program);
        Job { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, restarts: u32) -> Child {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/slurm.sh");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command.arg(script).current_dir(self.directory.path()).env("PATH", path);
        command.env("SLURM_JOB_ID", "1234").env("SLURM_RESTART_COUNT", restarts.to_string());
        for variable in ["MOST_RESTARTS", "PROGRAM", "DIRECTORY", "SLURM_ARRAY_TASK_ID"] {
            command.env_remove(variable);
        }
        command.spawn().unwrap()
    }

    fn run(&self, restarts: u32) -> ExitStatus {
        self.start(restarts).wait().unwrap()
    }

    /// What Slurm was asked to do.
    fn requeued(&self) -> String {
        fs::read_to_string(self.path("requeued")).unwrap_or_default()
    }
}

fn wait_for(path: &Path) {
    let begun = Instant::now();
    while !path.exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} does not come", path.display());
        thread::sleep(Duration::from_millis(5));
    }
}

fn send(signal: &str, child: &Child) {
    common::run("kill", &["-s", signal, &child.id().to_string()]);
}

#[test]
fn a_job_whose_time_runs_out_saves_and_goes_back_into_the_queue() {
    if !has("bash") {
        return;
    }
    for signal in ["USR1", "TERM", "INT"] {
        let job = Job::new(STOPPED_BY_SIGNALS);
        let mut script = job.start(0);
        wait_for(&job.path("ready"));
        send(signal, &script);
        assert_eq!(script.wait().unwrap().code(), Some(75));
        // It was waited for until the program had saved.
        assert_eq!(fs::read_to_string(job.path("signals")).unwrap(), "USR1\nsaved\n", "{signal}");
        assert_eq!(job.requeued(), "requeue 1234\n");
    }
}

#[test]
fn a_program_that_stops_by_itself_goes_back_into_the_queue() {
    if has("bash") {
        let job = Job::new("exit 75");
        assert_eq!(job.run(3).code(), Some(75));
        assert_eq!(job.requeued(), "requeue 1234\n");
    }
}

#[test]
fn a_job_that_is_done_or_fails_is_not_started_again() {
    if has("bash") {
        for code in [0, 1, 101, 127] {
            let job = Job::new(&format!("exit {code}"));
            assert_eq!(job.run(0).code(), Some(code));
            assert_eq!(job.requeued(), "", "code {code}");
        }
    }
}

#[test]
fn a_job_is_not_started_again_for_ever() {
    if has("bash") {
        let job = Job::new("exit 75");
        // Not 75: Slurm may be told to put back a job that ends with it.
        assert_eq!(job.run(100).code(), Some(76));
        assert_eq!(job.requeued(), "");
    }
}

#[test]
fn a_job_that_slurm_ends_is_put_back_only_if_its_time_is_over() {
    if !has("bash") {
        return;
    }
    for (planned, requeued) in [
        ("RUNNING None", true),
        ("COMPLETING TimeLimit", true),
        ("COMPLETING None", false),
        ("COMPLETING Preempted", false),
        // The controller did not answer.
        ("", true),
    ] {
        let job = Job::new("exit 75");
        fs::write(job.path("planned"), planned).unwrap();
        assert_eq!(job.run(0).code(), Some(75), "{planned}");
        assert_eq!(job.requeued() == "requeue 1234\n", requeued, "{planned}");
    }
}
