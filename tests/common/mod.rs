//! Helpers of all tests: looking at a checkpoint directory, running a test once more in another process, forging
//! files.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use checkpointed::{LoadReport, checkpointed};

pub(crate) mod forge;
#[cfg(unix)]
pub(crate) mod fork;
pub(crate) mod python;

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A state with all kinds of fields, of which a checkpoint takes less than 4 KiB.
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
    /// The state after so many steps; no two are equal.
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

/// The file of a generation, by the name that docs/format.md gives it.
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

/// The temporary files of ours in a directory.
pub(crate) fn temporaries_in(directory: &Path) -> Vec<String> {
    names_in(directory).into_iter().filter(|name| name.starts_with(".checkpoint-")).collect()
}

/// The generations that a load passed over, newest first.
pub(crate) fn skipped(report: Option<&LoadReport>) -> Vec<u64> {
    report.unwrap().skipped.iter().map(|skipped| skipped.generation).collect()
}

/// An example, to be run. `cargo test --workspace` has built it; `cargo test --package checkpointed-tests` has not, and would
/// find an old one. `--workspace` gives it the features that it has in the first case.
pub(crate) fn example(name: &str) -> Command {
    static BUILT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    // Held while it is built: two builds of the same would be in each other's way.
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

/// Runs `work` and fails, instead of never ending, if it does not end.
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

/// Whether a program can be run at all; says what is skipped where it cannot.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--help").output().is_ok();
    if !found {
        skipping(&format!("there is no {program}"));
    }
    found
}

/// Says, past the test harness's capture, that something was not tested.
pub(crate) fn skipping(why: &str) {
    use std::io::Write;
    let test = thread::current().name().unwrap_or_default().to_owned();
    // Not `eprintln!`, which only shows when the test fails.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

const INSIDE: &str = "CHECKPOINTED_TEST_INSIDE";

/// The directory that was given to this test by the process that runs it once more; `None` in the first process.
pub(crate) fn inside() -> Option<PathBuf> {
    std::env::var_os(INSIDE).map(PathBuf::from)
}

/// The command that runs a test of the caller's file once more, in another process, where [`inside`] is `directory`.
/// `wrapper`, a program with its arguments, starts it if there is one.
#[track_caller]
pub(crate) fn once_more(test: &str, wrapper: &[&str], directory: &Path) -> Command {
    // The module of a test is the file of its name.
    let module = Path::new(Location::caller().file()).file_stem().unwrap().to_str().unwrap();
    let program = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command.args(words).args([&format!("{module}::{test}"), "--exact", "--nocapture"]).env(INSIDE, directory);
    command
}

/// The test that was run once more must have passed there.
pub(crate) fn assert_passed(output: &Output) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let passed = output.status.success() && stdout.contains("1 passed");
    assert!(passed, "in another process: {}\n{stdout}{stderr}", output.status);
    // What was not tested there was not tested here.
    for why in stderr.lines().filter_map(|line| line.strip_prefix("SKIPPED ")) {
        skipping(why);
    }
}

/// Runs a test of the caller's file once more where it may mount file systems that no other process sees. `false` where the system does not
/// let us.
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

/// A bash that listens to SIGINT. One whose parent ignores that signal, as a shell does for what it
/// runs in the background, cannot trap it.
pub(crate) fn bash() -> Command {
    if !cfg!(target_os = "linux") {
        return Command::new("bash");
    }
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", "bash"]);
    command
}
