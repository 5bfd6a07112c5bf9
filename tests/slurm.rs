//! `examples/slurm.sh`, and the claims of docs/batch.md about Slurm, on a real Slurm of one node
//! (tests/slurm/cluster.sh).
#![cfg(unix)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::ports::free_port;
use crate::common::{example, has, names_in, root, skipping};

/// The training example: some batches a second, for much longer than any test.
const TRAIN: &str = r#"exec "$TRAIN" "$@" --pause 20"#;
/// A program that ignores deadlines, and prints the signal that it got.
const HEARS_SIGNALS: &str = r#"
directory=$2
mkdir -p "$directory"
trap 'echo TERM; exit 75' TERM
trap 'echo USR1; exit 75' USR1
: >"$directory/00000000000000000001.ckpt"
while :; do sleep 0.1; done
"#;
/// The file of what the program of a job prints.
const MESSAGES: &str = "program.log";
/// With this option, Slurm sends no signal ahead of the end.
const NO_SIGNAL: &str = "--signal=B:CONT@1";

/// A private Slurm. It ends with this process: then its standard input is closed.
struct Cluster {
    configuration: PathBuf,
    _process: Child,
}

impl Cluster {
    /// `None` if it cannot start: then the test is skipped.
    fn start(lines: &[&str]) -> Option<Cluster> {
        if !["bash", "sbatch", "slurmctld", "slurmd", "munged"].iter().all(|program| has(program)) {
            return None;
        }
        let ports = [(); 2].map(|()| free_port().to_string());
        let script = root().join("tests/slurm/cluster.sh");
        let mut command = crate::common::bash();
        command.arg(script).args(ports).args(lines);
        // Ctrl+c in the terminal does not reach it; it ends by itself.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(directory) = line.trim().strip_prefix("ready ") else {
            let status = process.wait().unwrap();
            skipping(&format!("Slurm does not start here ({status})"));
            return None;
        };
        Some(Cluster { configuration: Path::new(directory).join("slurm.conf"), _process: process })
    }

    /// The cluster for tests that affect only their own jobs.
    fn shared() -> Option<&'static Cluster> {
        static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
        CLUSTER.get_or_init(|| Cluster::start(&[])).as_ref()
    }

    /// A cluster that requeues each job with a script that ends with code 75.
    fn with_requeue_exit() -> Option<&'static Cluster> {
        static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
        CLUSTER.get_or_init(|| Cluster::start(&["RequeueExit=75"])).as_ref()
    }

    /// The output of a program of Slurm. It is run again if the controller is busy.
    fn ask(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        let output = command.args(arguments).env("SLURM_CONF", &self.configuration).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// A job to submit.
struct Submission<'c> {
    cluster: &'c Cluster,
    directory: tempfile::TempDir,
    options: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

impl<'c> Submission<'c> {
    /// A job of examples/slurm.sh with this shell script as its program. What it prints does not
    /// pass through srun, which may end before it has copied the last lines.
    fn of(cluster: &'c Cluster, program: &str) -> Submission<'c> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        let start = "#!/bin/bash\nexec >>\"$MESSAGES\" 2>&1\n";
        fs::write(&path, format!("{start}{program}\n")).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let variables = vec![
            ("PROGRAM", path.display().to_string()),
            ("TRAIN", train().display().to_string()),
            ("MESSAGES", directory.path().join(MESSAGES).display().to_string()),
            ("EPOCHS", "1000000".to_owned()),
        ];
        Submission { cluster, directory, options: Vec::new(), variables }
    }

    fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    fn submit(self) -> Job<'c> {
        let script = root().join("examples/slurm.sh");
        self.submit_script(&script)
    }

    /// Submits another script in place of the example.
    fn submit_script(self, script: &Path) -> Job<'c> {
        let Submission { cluster, directory, options, variables } = self;
        let mut command = Command::new("sbatch");
        command.args(["--parsable", "--output=job.log"]).args(options).arg(script);
        command.current_dir(directory.path()).env("SLURM_CONF", &cluster.configuration);
        for variable in ["DIRECTORY", "MOST_RESTARTS", "CHECKPOINT_DEADLINE", "SLURM_JOB_ID"] {
            command.env_remove(variable);
        }
        let output = command.envs(variables).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        let id = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Job { cluster, directory, id }
    }
}

/// The training example, built.
fn train() -> PathBuf {
    static TRAIN: OnceLock<PathBuf> = OnceLock::new();
    TRAIN.get_or_init(|| example("train").get_program().into()).clone()
}

/// A submitted job. It is cancelled at the end of the test.
struct Job<'c> {
    cluster: &'c Cluster,
    directory: tempfile::TempDir,
    id: String,
}

impl Job<'_> {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What the job has printed, and after it what its program has.
    fn log(&self) -> String {
        let read = |name| fs::read_to_string(self.path().join(name)).unwrap_or_default();
        read("job.log") + &read(MESSAGES)
    }

    /// A field of Slurm's record of the job, or of a task of an array.
    fn field_of(&self, id: &str, field: &str) -> String {
        let record = self.cluster.ask("scontrol", &["show", "job", id]);
        let words = record.split_whitespace();
        let prefix = format!("{field}=");
        words.into_iter().find_map(|word| word.strip_prefix(&prefix)).unwrap().to_owned()
    }

    fn field(&self, field: &str) -> String {
        self.field_of(&self.id, field)
    }

    fn restarts(&self) -> String {
        self.field("Restarts")
    }

    fn signal(&self, options: &[&str]) {
        let arguments: Vec<&str> = options.iter().copied().chain([self.id.as_str()]).collect();
        self.cluster.ask("scancel", &arguments);
    }

    /// Waits until its program has saved a checkpoint in `directory`, and so listens to signals.
    fn has_saved(&self, directory: &str) {
        let path = self.path().join(directory);
        self.waits("a checkpoint", || {
            path.is_dir() && names_in(&path).iter().any(|name| name.ends_with(".ckpt"))
        });
    }

    fn is(&self, state: &str) {
        self.waits(state, || self.field("JobState") == state);
    }

    /// Waits until it was requeued, and runs again.
    fn comes_back(&self) {
        self.waits("a restart", || self.restarts() == "1" && self.field("JobState") == "RUNNING");
    }

    /// Waits until the log has this text.
    fn says(&self, text: &str) {
        self.waits(text, || self.log().contains(text));
    }

    /// Checks that its program saved at its end. A second signal may end it just before it says so;
    /// it then ends with the code of its run, which has saved.
    fn saved_at_its_end(&self, how: &str) {
        let log = self.log();
        let said = [": saved at epoch", "exit code 75", "TERM\n"];
        assert!(said.iter().any(|said| log.contains(said)), "{how}: {log}");
    }

    fn waits(&self, what: &str, ready: impl Fn() -> bool) {
        let begun = Instant::now();
        while !ready() {
            let job = || self.cluster.ask("scontrol", &["show", "job", &self.id]);
            assert!(begun.elapsed() < Duration::from_secs(300), "no {what}:\n{}\n{}", job(), self.log());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            // The job may have ended by itself.
            for options in [&["--full", "--signal=KILL"][..], &[]] {
                let mut command = Command::new("scancel");
                command.args(options).arg(&self.id).env("SLURM_CONF", &self.cluster.configuration);
                let _ = command.output();
            }
        }
    }
}

#[test]
fn a_job_that_is_cancelled_saves_and_does_not_come_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let job = Submission::of(cluster, TRAIN).submit();
    job.has_saved("train.ckpt");
    job.signal(&[]);
    job.is("CANCELLED");
    job.says("what becomes of it is left to Slurm");
    job.saved_at_its_end("scancel");
    assert_eq!(job.restarts(), "0");
}

#[test]
fn no_signal_loses_the_work_wherever_it_is_sent() {
    let Some(cluster) = Cluster::shared() else { return };
    let sent: [&[&str]; 5] = [
        &["--batch", "--signal=USR1"],
        &["--batch", "--signal=TERM"],
        &["--batch", "--signal=INT"],
        &["--signal=USR1"],
        &["--full", "--signal=USR1"],
    ];
    let jobs = sent.map(|signal| (signal, Submission::of(cluster, TRAIN).submit()));
    for (signal, job) in &jobs {
        job.has_saved("train.ckpt");
        job.signal(signal);
    }
    for (signal, job) in &jobs {
        job.comes_back();
        job.says("train: going on from");
        // Where all processes get the signal, srun may not say how the program ended.
        if !signal.contains(&"--full") {
            job.saved_at_its_end(&format!("{signal:?}"));
        }
    }
}

#[test]
fn a_signal_that_comes_before_the_program_loses_nothing() {
    let Some(cluster) = Cluster::shared() else { return };
    // It does not listen for a while, so the signal ends it.
    let program = format!("[ \"$SLURM_RESTART_COUNT\" ] || {{ echo deaf; sleep 60; }}\n{TRAIN}");
    let job = Submission::of(cluster, &program).submit();
    job.says("deaf");
    job.signal(&["--batch", "--signal=USR1"]);
    job.comes_back();
    job.has_saved("train.ckpt");
}

#[test]
fn a_job_stopped_for_good_does_not_come_back() {
    let Some(cluster) = Cluster::with_requeue_exit() else { return };
    let job = Submission::of(cluster, TRAIN).variable("MOST_RESTARTS", "0").submit();
    job.has_saved("train.ckpt");
    job.signal(&["--signal=USR1"]);
    job.says("stopped for good");
    job.is("FAILED");
    assert_eq!((job.restarts().as_str(), job.field("ExitCode").as_str()), ("0", "76:0"));
}

#[test]
fn a_cancelled_job_stays_away_where_75_puts_jobs_back() {
    let Some(cluster) = Cluster::with_requeue_exit() else { return };
    let job = Submission::of(cluster, TRAIN).submit();
    job.has_saved("train.ckpt");
    job.signal(&[]);
    job.is("CANCELLED");
    assert_eq!(job.restarts(), "0");
}

#[test]
fn where_75_puts_jobs_back_one_line_is_enough() {
    let Some(cluster) = Cluster::with_requeue_exit() else { return };
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(&script, "#!/bin/bash\nexec srun \"$PROGRAM\" --dir train.ckpt --epochs 100000\n").unwrap();
    let options = ["--requeue", "--open-mode=append"];
    let job = Submission::of(cluster, TRAIN).options(&options).submit_script(script.path());
    job.has_saved("train.ckpt");
    job.signal(&["--signal=USR1"]);
    job.comes_back();
    job.says("train: going on from");
}

#[test]
fn a_script_that_becomes_its_program_saves_and_ends() {
    let Some(cluster) = Cluster::shared() else { return };
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(&script, "#!/bin/bash\nexec \"$PROGRAM\" --dir train.ckpt --epochs 100000\n").unwrap();
    let job = Submission::of(cluster, TRAIN).options(&["--requeue"]).submit_script(script.path());
    job.has_saved("train.ckpt");
    job.signal(&["--batch", "--signal=TERM"]);
    job.is("FAILED");
    assert_eq!((job.restarts().as_str(), job.field("ExitCode").as_str()), ("0", "75:0"));
    assert!(job.log().contains(": saved at epoch"), "{}", job.log());
}

#[test]
fn tasks_of_an_array_are_runs_of_their_own() {
    let Some(cluster) = Cluster::shared() else { return };
    let options = ["--array=1-3", "--output=job.log", "--open-mode=append"];
    let job = Submission::of(cluster, TRAIN).options(&options).submit();
    let tasks = [1, 2, 3].map(|task| (task, format!("{}_{task}", job.id)));
    for (task, _) in &tasks {
        job.has_saved(&format!("train-{task}.ckpt"));
    }
    // The task with the number of the whole array.
    let same = |(_, id): &&(i32, String)| job.field_of(id, "JobId") == job.id;
    let (_, last) = tasks.iter().find(same).unwrap();
    cluster.ask("scancel", &["--batch", "--signal=USR1", last]);
    job.waits("a restart of the task", || job.field_of(last, "Restarts") == "1");
    for (_, id) in tasks.iter().filter(|(_, id)| id != last) {
        assert_eq!(job.field_of(id, "Restarts"), "0", "{id}");
        assert_eq!(job.field_of(id, "JobState"), "RUNNING", "{id}");
    }
}

#[test]
fn a_task_that_fails_is_not_hidden_by_those_that_stop() {
    let Some(cluster) = Cluster::shared() else { return };
    let program = format!(
        "[ \"$SLURM_PROCID\" -ne 1 ] || exit 3\nshift 2\nset -- --dir train-$SLURM_PROCID.ckpt \"$@\"\n{TRAIN}"
    );
    let job = Submission::of(cluster, &program).options(&["--ntasks=3"]).submit();
    job.has_saved("train-0.ckpt");
    job.has_saved("train-2.ckpt");
    job.signal(&["--batch", "--signal=USR1"]);
    job.is("FAILED");
    assert_eq!((job.restarts().as_str(), job.field("ExitCode").as_str()), ("0", "3:0"));
}

/// One test, because each of the three parts takes more than a minute.
#[test]
fn the_end_of_a_job_may_be_moved_and_is_survived() {
    let Some(cluster) = Cluster::shared() else { return };
    let over = Submission::of(cluster, HEARS_SIGNALS).options(&["--time=1", NO_SIGNAL]).submit();
    let extended = Submission::of(cluster, TRAIN).options(&["--time=1", NO_SIGNAL]).submit();
    let shortened = Submission::of(cluster, TRAIN).options(&["--time=3", NO_SIGNAL]).submit();
    for (job, limit) in [(&extended, 30), (&shortened, 1)] {
        job.has_saved("train.ckpt");
        let update = ["update", &format!("JobId={}", job.id), &format!("TimeLimit={limit}")];
        cluster.ask("scontrol", &update);
    }

    shortened.says("of scontrol: saved at epoch");
    assert!(!shortened.log().contains("TIME LIMIT"), "{}", shortened.log());
    shortened.comes_back();

    extended.waits("70 seconds", || extended.field("RunTime").as_str() > "00:01:10");
    assert_eq!((extended.restarts().as_str(), extended.field("JobState").as_str()), ("0", "RUNNING"));
    assert!(!extended.log().contains("deadline"), "{}", extended.log());

    over.comes_back();
    assert!(over.log().contains("DUE TO TIME LIMIT"), "{}", over.log());
}

#[test]
fn preemption_and_a_dead_node_put_a_job_back_by_themselves() {
    let Some(cluster) = &Cluster::start(&[]) else { return };
    let job = Submission::of(cluster, TRAIN).submit();
    let graceful = Submission::of(cluster, TRAIN).options(&["--partition=graceful"]).submit();
    let unheard = Submission::of(cluster, HEARS_SIGNALS).options(&["--partition=graceful"]).submit();
    [&job, &graceful, &unheard].into_iter().for_each(|job| job.has_saved("train.ckpt"));
    let script = tempfile::NamedTempFile::new().unwrap();
    fs::write(&script, "#!/bin/bash\nsleep 1\n").unwrap();
    let urgent = Submission::of(cluster, "").options(&["--partition=high", "--ntasks=32"]);
    let urgent = urgent.submit_script(script.path());
    urgent.is("COMPLETED");
    for (job, kind) in [(&job, "GraceTime=0"), (&graceful, "GraceTime=300"), (&unheard, "no library")] {
        job.comes_back();
        job.saved_at_its_end(kind);
    }
    job.says("train: going on from");
    // A dead node leaves no time to save, and no script can run on it.
    let node = cluster.ask("sinfo", &["--noheader", "--format=%n"]);
    cluster.ask("scontrol", &["update", &format!("NodeName={node}"), "State=DOWN", "Reason=test"]);
    job.waits("a second restart", || job.restarts() == "2");
    // The node accepts jobs again when its daemon reports.
    job.is("RUNNING");
    job.waits("the checkpoint of before", || job.log().matches("train: going on from").count() >= 2);
}
