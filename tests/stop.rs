//! Tests that `examples/slurm.sh` does what docs/batch.md describes, with replacements of `srun`,
//! `squeue` and `scontrol`; tests/slurm.rs uses the real ones. It also tests the other scripts in
//! docs/batch.md that can be run here.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{has, root};

/// A program that reports when it listens, saves slowly when it must stop, and ends with code 75.
const STOPPED_BY_SIGNALS: &str = r#"
stop() { echo "$1" >>signals; sleep 0.2; echo saved >>signals; exit 75; }
trap 'stop USR1' USR1
trap 'stop TERM' TERM
: >ready
while :; do sleep 0.05; done
"#;

/// Treats signals as Slurm's srun does: SIGUSR1 goes to all processes of the tasks, SIGTERM and
/// SIGINT kill them.
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
    /// A job on a simulated cluster, with this shell script as its program.
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
        let script = root().join("examples/slurm.sh");
        let path = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = crate::common::bash();
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

    /// The request that Slurm got.
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
    crate::common::run("kill", &["-s", signal, &child.id().to_string()]);
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
        // The script waited until the program had saved.
        assert_eq!(fs::read_to_string(job.path("signals")).unwrap(), "USR1\nsaved\n", "{signal}");
        assert_eq!(job.requeued(), "requeue 1234\n");
    }
}

/// Ends at the first signal. The sixth argument is the file for the codes of the tasks that did not
/// fail.
const SRUN_OF_A_QUICK_PROGRAM: &str = r#"#!/bin/bash
trap 'echo 75 >>"$6"; exit 75' TERM USR1
echo $$ >pid
mv pid ready
while :; do sleep 0.01; done
"#;

/// Slurm sends SIGTERM to the script and to its program at once. Bash 5.2 then loses the code of
/// the program in one run of fifty.
#[test]
fn a_program_that_ends_during_a_trap_goes_back() {
    if !has("bash") {
        return;
    }
    let runs = || {
        for _ in 0..30 {
            let job = Job::new("");
            fs::write(job.path("bin/srun"), SRUN_OF_A_QUICK_PROGRAM).unwrap();
            let mut script = job.start(0);
            wait_for(&job.path("ready"));
            let srun = fs::read_to_string(job.path("ready")).unwrap();
            let script_id = script.id().to_string();
            // The script may have ended the program before this signal.
            Command::new("kill").args(["-s", "TERM", &script_id, srun.trim()]).output().unwrap();
            assert_eq!(script.wait().unwrap().code(), Some(75));
            assert_eq!(job.requeued(), "requeue 1234\n");
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(runs))));
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
        // The code is not 75, because Slurm may be configured to requeue a job that ends with it.
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

/// The script in docs/batch.md that has this line, in a directory with this program.
fn script_of_the_docs(line: &str, at: &str, program: &str) -> tempfile::TempDir {
    let docs = fs::read_to_string(root().join("docs/batch.md")).unwrap();
    let mut blocks = docs.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let script = blocks.find(|block| block.lines().any(|of_it| of_it == line)).unwrap();
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("script", script),
        (at, &format!("#!/bin/bash\n{program}\n")),
        ("bin/qsub", "#!/bin/bash\necho \"$@\" >>submitted\n"),
    ] {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    directory
}

/// Runs it as a process group of its own, like a terminal and a batch system.
fn run_script(directory: &Path) -> Child {
    use std::os::unix::process::CommandExt;
    let path = format!("{}:{}", directory.join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = crate::common::bash();
    command.arg("script").current_dir(directory).env("PATH", path).env("PBS_O_WORKDIR", directory);
    command.process_group(0).spawn().unwrap()
}

fn send_to_group(signal: &str, script: &Child) {
    crate::common::run("kill", &["-s", signal, "--", &format!("-{}", script.id())]);
}

/// Counts its starts, and ends with 75 except for the third one.
const THREE_TIMES: &str = "echo >>starts\n[ $(wc -l <starts) -eq 3 ] || exit 75";

#[test]
fn the_loop_of_the_shell_goes_on_and_ends_with_ctrl_c() {
    if !has("bash") {
        return;
    }
    let directory = script_of_the_docs("    ./program", "program", THREE_TIMES);
    assert!(run_script(directory.path()).wait().unwrap().success());
    assert_eq!(fs::read_to_string(directory.path().join("starts")).unwrap().lines().count(), 3);
    for signal in ["INT", "TERM"] {
        let directory = script_of_the_docs("    ./program", "program", STOPPED_BY_SIGNALS_OF_A_TERMINAL);
        let mut script = run_script(directory.path());
        wait_for(&directory.path().join("ready"));
        send_to_group(signal, &script);
        let begun = Instant::now();
        while script.try_wait().unwrap().is_none() {
            if begun.elapsed() > Duration::from_secs(60) {
                send_to_group("KILL", &script);
                panic!("the loop goes on after SIG{signal}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(fs::read_to_string(directory.path().join("starts")).unwrap(), "1\n");
    }
}

const STOPPED_BY_SIGNALS_OF_A_TERMINAL: &str =
    "echo 1 >>starts\ntrap 'exit 75' INT TERM\n: >ready\nwhile :; do sleep 0.05; done";

#[test]
fn the_script_for_pbs_submits_its_successor_but_after_qdel() {
    if !has("bash") {
        return;
    }
    let at = "target/release/examples/train";
    let directory = script_of_the_docs("#PBS -N train", at, "exit 75");
    assert_eq!(run_script(directory.path()).wait().unwrap().code(), Some(75));
    assert_eq!(fs::read_to_string(directory.path().join("submitted")).unwrap(), "job.sh\n");
    let directory = script_of_the_docs("#PBS -N train", at, STOPPED_BY_SIGNALS_OF_A_TERMINAL);
    let mut script = run_script(directory.path());
    wait_for(&directory.path().join("ready"));
    send_to_group("TERM", &script);
    assert_eq!(script.wait().unwrap().code(), Some(75));
    assert!(!directory.path().join("submitted").exists());
}
