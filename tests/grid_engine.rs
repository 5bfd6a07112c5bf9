//! The script that docs/batch.md has for Grid Engine, on a real one of one node
//! (tests/grid_engine/cluster.sh).
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::ports::free_port;
use crate::common::{bash, example, has, names_in, root, skipping};

/// A Grid Engine of our own. It ends when this process does: then its standard input is closed.
struct Cluster {
    variables: Vec<(String, String)>,
    _process: Child,
}

impl Cluster {
    /// `None` where it cannot be had: then the test is skipped.
    fn shared() -> Option<&'static Cluster> {
        static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
        CLUSTER.get_or_init(Cluster::start).as_ref()
    }

    fn start() -> Option<Cluster> {
        if !["bash", "qsub"].iter().all(|program| has(program)) {
            return None;
        }
        // The daemons themselves would start.
        if !["sge_qmaster", "sge_execd"].iter().all(|name| Path::new("/usr/sbin").join(name).exists()) {
            skipping("there is no Grid Engine (gridengine-master, gridengine-exec)");
            return None;
        }
        let ports = [(); 2].map(|()| free_port().to_string());
        let mut command = bash();
        command.arg(root().join("tests/grid_engine/cluster.sh")).args(&ports);
        // A ctrl+c in the terminal does not end it: the end of this process does.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Some(directory) = line.trim().strip_prefix("ready ") else {
            let status = process.wait().unwrap();
            skipping(&format!("Grid Engine does not start here ({status})"));
            return None;
        };
        let [master, node] = ports;
        let variables = [
            ("SGE_ROOT", directory.to_owned()),
            ("SGE_CELL", "cell".to_owned()),
            ("SGE_QMASTER_PORT", master),
            ("SGE_EXECD_PORT", node),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Some(Cluster { variables, _process: process })
    }

    /// The output of a program of Grid Engine.
    fn ask(&self, program: &str, arguments: &[&str], directory: &Path) -> String {
        let variables = self.variables.iter().map(|(name, value)| (name, value));
        let output =
            Command::new(program).args(arguments).envs(variables).current_dir(directory).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Submits the script of the documents, whose program is the training example with some batches
    /// a second, for much longer than any test.
    fn submit(&self, options: &[&str]) -> Job<'_> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("job.sh");
        let command = "target/release/examples/train";
        let script = script();
        assert!(script.contains(command), "{script}");
        let endless = format!("{} --pause 20 --epochs 1000000", train().display());
        fs::write(&path, script.replace(command, &endless)).unwrap();
        let arguments: Vec<&str> = ["-terse"].iter().chain(options).copied().chain(["job.sh"]).collect();
        let id = self.ask("qsub", &arguments, directory.path());
        // The answer for an array names its tasks too.
        let id = id.split('.').next().unwrap().to_owned();
        Job { cluster: self, directory, id }
    }
}

/// The script in docs/batch.md.
fn script() -> String {
    let docs = fs::read_to_string(root().join("docs/batch.md")).unwrap();
    let blocks = docs.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.into_iter().find(|block| block.contains("#$ -notify")).unwrap().to_owned()
}

/// The training example, built.
fn train() -> PathBuf {
    static TRAIN: OnceLock<PathBuf> = OnceLock::new();
    TRAIN.get_or_init(|| example("train").get_program().into()).clone()
}

/// A job that was submitted. It is deleted when the test is done.
struct Job<'c> {
    cluster: &'c Cluster,
    directory: tempfile::TempDir,
    id: String,
}

impl Job<'_> {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The output of the job, and of all its tasks.
    fn log(&self) -> String {
        let names = names_in(self.path()).into_iter().filter(|name| name.starts_with("train.o"));
        names.map(|name| fs::read_to_string(self.path().join(name)).unwrap_or_default()).collect()
    }

    /// True while Grid Engine knows the job.
    fn is_known(&self) -> bool {
        let jobs = self.cluster.ask("qstat", &[], self.path());
        jobs.lines().any(|line| line.split_whitespace().next() == Some(self.id.as_str()))
    }

    /// Waits until its program has saved in `directory`, and so listens to signals.
    fn has_saved(&self, directory: &str) {
        let path = self.path().join(directory);
        self.waits("a checkpoint", || {
            path.is_dir() && names_in(&path).iter().any(|name| name.ends_with(".ckpt"))
        });
    }

    /// Waits until the log has this text so often.
    fn says(&self, text: &str, times: usize) {
        self.waits(text, || self.log().matches(text).count() == times);
    }

    fn waits(&self, what: &str, ready: impl Fn() -> bool) {
        let begun = Instant::now();
        while !ready() {
            let jobs = || self.cluster.ask("qstat", &["-f"], self.path());
            assert!(begun.elapsed() < Duration::from_secs(300), "no {what}:\n{}\n{}", jobs(), self.log());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Job<'_> {
    fn drop(&mut self) {
        if !thread::panicking() && self.is_known() {
            self.cluster.ask("qdel", &[&self.id], self.path());
            self.waits("end", || !self.is_known());
        }
    }
}

#[test]
fn grid_engine_puts_a_job_back_ahead_of_its_limit() {
    let Some(cluster) = Cluster::shared() else { return };
    let job = cluster.submit(&["-l", "h_rt=00:00:12"]);
    job.says("of CHECKPOINT_DEADLINE: saved at epoch", 1);
    job.says("train: going on from", 1);
}

#[test]
fn grid_engine_puts_a_job_back_that_asks_for_it() {
    let Some(cluster) = Cluster::shared() else { return };
    let job = cluster.submit(&[]);
    job.has_saved("train.ckpt");
    fs::write(job.path().join("train.ckpt/requeue"), "").unwrap();
    job.says("the requeue file: saved at epoch", 1);
    job.says("train: going on from", 1);
}

#[test]
fn a_job_that_qdel_deletes_saves_and_stays_away() {
    let Some(cluster) = Cluster::shared() else { return };
    let job = cluster.submit(&[]);
    job.has_saved("train.ckpt");
    cluster.ask("qdel", &[&job.id], job.path());
    job.waits("end", || !job.is_known());
    let log = job.log();
    assert!(log.contains("SIGUSR2") && log.contains("saved at epoch"), "{log}");
    assert!(!log.contains("going on from"), "{log}");
}

#[test]
fn each_task_of_a_grid_engine_array_has_a_directory() {
    let Some(cluster) = Cluster::shared() else { return };
    let job = cluster.submit(&["-t", "1-2"]);
    job.has_saved("train-1.ckpt");
    job.has_saved("train-2.ckpt");
    assert!(!job.path().join("train.ckpt").exists());
}
