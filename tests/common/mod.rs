//! Helpers of all tests: they list a checkpoint directory, run a test again in another process, and
//! forge files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use checkpointed::{checkpointed, reports::LoadReport};

pub(crate) mod age;
pub(crate) mod chain;
pub(crate) mod forge;
#[cfg(unix)]
pub(crate) mod fork;
#[cfg(unix)]
pub(crate) mod ports;
pub(crate) mod python;
pub(crate) mod saved;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A state with all kinds of fields. Its checkpoint takes less than 4 KiB.
#[checkpointed]
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Run {
    pub(crate) step: u64,
    pub(crate) energy: f64,
    pub(crate) note: String,
    pub(crate) history: Vec<i32>,
    pub(crate) names: Vec<String>,
    pub(crate) accepted: Option<bool>,
}

impl Run {
    /// The state after this number of steps; no two are equal.
    pub(crate) fn after(step: u64) -> Run {
        Run {
            step,
            energy: 0.5,
            note: format!("after step {step}"),
            history: vec![7, -7, i32::MAX],
            names: vec!["één".to_owned(), String::new()],
            accepted: Some(step.is_multiple_of(2)),
        }
    }
}

/// The file of a generation, with the name from docs/format.md.
pub(crate) fn file_of(directory: &Path, generation: u64) -> PathBuf {
    directory.join(format!("{generation:020}.ckpt"))
}

/// Everything in a directory, sorted.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The temporary files of the library in a directory.
pub(crate) fn temporaries_in(directory: &Path) -> Vec<String> {
    names_in(directory).into_iter().filter(|name| name.starts_with(".checkpoint-")).collect()
}

/// The generations that a load skipped, newest first.
pub(crate) fn skipped(report: Option<&LoadReport>) -> Vec<u64> {
    report.unwrap().skipped.iter().map(|skipped| skipped.generation).collect()
}

/// An example to run. `cargo test --workspace` has built it. `cargo test --package
/// checkpointed-tests` has not, and would find an old one: so it is built here. `--workspace` gives
/// it the same features as in the first case.
pub(crate) fn example(name: &str) -> Command {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    // The lock is held during the build: two builds of the same example would disturb each other.
    let mut built = BUILT.lock().unwrap();
    if let Some(cargo) = std::env::var_os("CARGO").filter(|_| !built.contains(name)) {
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--workspace", "--example", name, "--target-dir"]);
        build.arg(profile.parent().unwrap()).current_dir(root());
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().unwrap().success());
        built.insert(name.to_owned());
    }
    let mut command = Command::new(profile.join("examples").join(name));
    command.stdin(Stdio::null());
    command
}

/// Runs `work`, and fails if it does not end.
pub(crate) fn must_end<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || sender.send(work()).is_ok());
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it does not end"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match worker.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(_) => unreachable!("a worker sends before it ends"),
        },
    }
}

/// Returns true if a program can be run; otherwise prints the skipped test.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--help").output().is_ok();
    if !found {
        skipping(&format!("there is no {program}"));
    }
    found
}

/// Prints, past the test harness's capture, the reason that a part was not tested.
pub(crate) fn skipping(why: &str) {
    use std::io::Write;
    let test = thread::current().name().unwrap_or_default().to_owned();
    // `eprintln!` would show it only if the test fails.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

const INSIDE: &str = "CHECKPOINTED_TEST_INSIDE";

/// The directory that this test got from the process that runs it again; `None` in the first
/// process.
pub(crate) fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

/// The command that runs a test of the caller's file again, in another process; there, [`inside`]
/// is `directory`. `wrapper`, a program with its arguments, starts it if it is not empty.
#[track_caller]
pub(crate) fn once_more(test: &str, wrapper: &[&str], directory: &Path) -> Command {
    // The module of a test has the name of its file.
    let module = Path::new(Location::caller().file()).file_stem().unwrap().to_str().unwrap();
    let program = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args([&format!("{module}::{test}"), "--exact", "--nocapture"]).env(INSIDE, directory);
    command
}

/// Runs a test of the caller's file once more in a process that gets no thread, with a directory.
#[cfg(unix)]
#[track_caller]
pub(crate) fn without_threads(test: &str, work: impl FnOnce(PathBuf)) {
    if let Some(directory) = inside() {
        let process = std::process::id().to_string();
        run("prlimit", &["--nproc=1:1", "--pid", &process]);
        assert!(thread::Builder::new().spawn(|| {}).is_err(), "there is no thread to be had");
        return work(directory);
    }
    let directory = tempfile::tempdir().unwrap();
    let is_given = std::os::unix::fs::chown(directory.path(), Some(65_531), Some(65_531)).is_ok();
    let wrapper = ["setpriv", "--reuid=65531", "--regid=65531", "--clear-groups"];
    let mut list = Command::new(wrapper[0]);
    list.args(&wrapper[1..]).arg(std::env::current_exe().unwrap()).arg("--list");
    if !is_given || !list.output().is_ok_and(|output| output.status.success()) {
        return skipping("only root can become another user (setpriv)");
    }
    assert_passed(&once_more(test, &wrapper, directory.path()).output().unwrap());
}

/// Asserts that the test passed in the other process.
pub(crate) fn assert_passed(output: &Output) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let passed = output.status.success() && stdout.contains("1 passed");
    assert!(passed, "in another process: {}\n{stdout}{stderr}", output.status);
    // A part that was skipped there is skipped here.
    for why in stderr.lines().filter_map(|line| line.strip_prefix("SKIPPED ")) {
        skipping(why);
    }
}

/// Runs a test of the caller's file again in a process that may mount file systems of its own,
/// invisible to others. `false` if the system does not allow it.
#[track_caller]
pub(crate) fn once_more_with_own_mounts(test: &str, directory: &Path) -> bool {
    let as_root: &[&str] = &["unshare", "--mount"];
    let as_user: &[&str] = &["unshare", "--user", "--map-root-user", "--mount"];
    let may_mount = |wrapper: &&&[&str]| {
        let mut words = wrapper.iter();
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["mount", "-t", "tmpfs", "tmpfs"]).arg(directory);
        command.output().is_ok_and(|output| output.status.success())
    };
    let Some(wrapper) = [as_root, as_user].iter().find(may_mount).copied() else {
        skipping("no mounts of our own (unshare)");
        return false;
    };
    assert_passed(&once_more(test, wrapper, directory).output().unwrap());
    true
}

/// Runs a command that must succeed.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {stderr}");
}

/// A bash that listens to SIGINT. A bash with a parent that ignores that signal, as a shell does
/// for its background processes, cannot trap it.
pub(crate) fn bash() -> Command {
    if !cfg!(target_os = "linux") {
        return Command::new("bash");
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "bash"]);
    command
}
