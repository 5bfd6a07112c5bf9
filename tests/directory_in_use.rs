//! Tests a checkpoint directory while a program has it open: the program changes its working
//! directory, old files are purged, and other programs wait, look or copy, or belong to other
//! users.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use checkpointed::{
    Access, CheckpointReader, Checkpointer, Error, Metric, Pipeline, Protection, Scopes, history, inspect,
    reports::Warning,
    stop::{request_halt, request_requeue},
};

use crate::common::{assert_passed, file_of, inside, names_in, once_more, skipping, without_threads};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

/// Runs a test again in another process, with a working directory and limits of its own, and
/// returns the directory there.
fn alone(test: &str, wrapper: &[&str]) -> Option<PathBuf> {
    if let Some(directory) = inside() {
        return Some(directory);
    }
    let directory = tempfile::tempdir().unwrap();
    assert_passed(&once_more(test, wrapper, directory.path()).output().unwrap());
    None
}

fn save_one(path: &Path, state: u64) {
    Checkpointer::<u64>::open(path).unwrap().save(&state).unwrap();
}

fn is_replaced<T>(outcome: Result<T, Error>) -> bool {
    outcome.is_err_and(|error| matches!(error, Error::DirectoryReplaced { .. }))
}

#[test]
fn a_changed_working_directory_leaves_a_program_in_its_run() {
    let name = "a_changed_working_directory_leaves_a_program_in_its_run";
    let Some(parent) = alone(name, &[]) else { return };
    let (ours, theirs) = (parent.join("ours"), parent.join("theirs"));
    for (directory, state) in [(&ours, 1), (&theirs, 2)] {
        fs::create_dir(directory).unwrap();
        save_one(&directory.join("run.ckpt"), state);
        save_one(&directory.join("origin.ckpt"), 10 * state);
    }
    std::env::set_current_dir(&ours).unwrap();
    let mut checkpoints = Checkpointer::<u64>::open("run.ckpt").unwrap();
    let mut reader = CheckpointReader::<u64>::open("run.ckpt").unwrap();
    let file = inspect::File::open("run.ckpt/00000000000000000001.ckpt", &Protection::new()).unwrap();
    let branch = Checkpointer::<u64>::builder("branch.ckpt").branch_from("origin.ckpt");
    let mut scopes = Scopes::open("scopes.ckpt").unwrap();
    let pipeline = Pipeline::open("run.pipeline").unwrap();
    let builder = Pipeline::builder("other.pipeline");

    std::env::set_current_dir(&theirs).unwrap();
    request_halt("run.ckpt", "not ours").unwrap();
    let before = names_in(&theirs.join("run.ckpt"));
    assert_eq!(checkpoints.load().unwrap(), Some(1));
    assert_eq!(reader.load().unwrap(), Some(1));
    checkpoints.pin(1).unwrap();
    for state in 3..=5 {
        checkpoints.save(&state).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [1, 3, 4]);
    assert_eq!(checkpoints.should_stop(), None);
    assert!(checkpoints.path().is_absolute() && file.path().is_absolute());
    let mut branch = branch.open().unwrap();
    assert_eq!(branch.load().unwrap(), Some(10));
    let mut scope = scopes.enter::<u64>("outer").unwrap();
    scope.save(&1).unwrap();
    let step = pipeline.step("one").run(|context| {
        context.checkpointer::<u64>()?.save(&1)?;
        Ok::<u64, Error>(1)
    });
    step.unwrap();
    pipeline.branch("copy.pipeline").unwrap();
    builder.open().unwrap();
    assert_eq!(names_in(&theirs.join("run.ckpt")), before);
    assert_eq!(names_in(&theirs), ["copy.pipeline", "origin.ckpt", "run.ckpt"]);
    assert_eq!(
        names_in(&ours),
        ["branch.ckpt", "origin.ckpt", "other.pipeline", "run.ckpt", "run.pipeline", "scopes.ckpt"]
    );
}

#[test]
fn a_path_that_is_empty_is_refused_by_every_entry() {
    let empty = |outcome: Result<(), Error>| matches!(outcome, Err(Error::InvalidSetting { .. }));
    assert!(empty(Checkpointer::<u64>::open("").map(drop)));
    assert!(empty(CheckpointReader::<u64>::open("").map(drop)));
    assert!(empty(Pipeline::open("").map(drop)));
    assert!(empty(Scopes::open("").map(drop)));
    assert!(empty(request_halt("", "")));
    assert!(empty(history::read("").map(drop)));
    assert!(empty(inspect::overview("", &Protection::new()).map(drop)));
    assert!(empty(inspect::copy("", "elsewhere").map(drop)));
    let (_parent, path) = nowhere();
    assert!(empty(Checkpointer::<u64>::builder(&path).branch_from("").open().map(drop)));
}

#[test]
fn a_directory_in_the_place_of_ours_is_not_read_or_changed() {
    let (parent, path) = nowhere();
    let other = parent.path().join("other.ckpt");
    save_one(&other, 2);
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.save(&1).unwrap();
    fs::rename(&path, parent.path().join("moved.ckpt")).unwrap();
    fs::rename(&other, &path).unwrap();
    let before = names_in(&path);
    assert!(is_replaced(checkpoints.load()));
    assert!(is_replaced(checkpoints.load_into(&mut 0)));
    assert!(is_replaced(checkpoints.load_generation(1)));
    assert!(is_replaced(checkpoints.generations()));
    assert!(is_replaced(checkpoints.manifest(1)));
    assert!(is_replaced(checkpoints.best(&Metric::lowest("loss"))));
    assert!(is_replaced(checkpoints.pin(1)));
    assert!(is_replaced(checkpoints.unpin(1)));
    assert!(is_replaced(checkpoints.save(&3)));
    assert_eq!(names_in(&path), before);
}

#[test]
fn a_path_that_cannot_be_looked_at_is_not_called_replaced() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.save(&1).unwrap();
    let moved = parent.path().join("moved.ckpt");
    fs::rename(&path, &moved).unwrap();
    // A link to itself is an error of its own. So is a device that fails.
    symlink(&path, &path).unwrap();
    let error = checkpoints.save(&2).unwrap_err();
    assert!(matches!(&error, Error::Io { path: told, .. } if *told == path), "{error:?}");
    assert!(error.to_string().contains("symbolic links"), "{error}");
    fs::remove_file(&path).unwrap();
    fs::rename(&moved, &path).unwrap();
    checkpoints.save(&3).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(3));
}

#[test]
fn a_path_too_long_for_its_files_is_refused_at_the_start() {
    let (parent, _) = nowhere();
    let mut path = parent.path().to_owned();
    while path.as_os_str().len() < 3800 {
        path.push("d".repeat(50));
    }
    for length in 3900..4096 {
        let path = path.join("d".repeat(length - path.as_os_str().len() - 1));
        match Checkpointer::<u64>::open(&path) {
            Ok(mut checkpoints) => {
                checkpoints.save(&1).unwrap();
            }
            Err(error) => {
                assert!(length > 3900 && !path.exists(), "{length}: {error}");
                assert!(error.to_string().contains("name too long"), "{error}");
                return;
            }
        }
    }
    unreachable!("the longest path is not refused");
}

#[test]
fn what_is_made_in_the_place_of_a_removed_directory_is_not_ours() {
    let (_parent, path) = nowhere();
    let mut ours = Checkpointer::<u64>::open(&path).unwrap();
    ours.save(&1).unwrap();
    fs::remove_dir_all(&path).unwrap();
    let mut theirs = Checkpointer::<u64>::open(&path).unwrap();
    theirs.save(&2).unwrap();
    request_halt(&path, "meant for them").unwrap();
    let before = fs::read_to_string(path.join("history.jsonl")).unwrap();
    assert_eq!(ours.should_stop(), None);
    assert!(is_replaced(ours.save(&3)));
    drop(ours);
    assert_eq!(fs::read_to_string(path.join("history.jsonl")).unwrap(), before);
    assert_eq!(theirs.should_stop().unwrap().to_string(), "the halt file: meant for them");
}

#[test]
fn a_start_that_is_refused_takes_no_request_away() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    request_requeue(&path, "the machine goes").unwrap();
    assert!(matches!(Checkpointer::<u64>::open(&path), Err(Error::InUse { .. })));
    let reason = checkpoints.should_stop().unwrap().to_string();
    assert!(reason.contains("the machine goes"), "{reason}");
}

#[test]
fn a_pipeline_in_the_place_of_ours_is_not_read_or_changed() {
    let (parent, path) = nowhere();
    let other = parent.path().join("other.pipeline");
    let run = |pipeline: &Pipeline, work: &dyn Fn()| {
        let step = pipeline.step("one").run(|context| {
            context.checkpointer::<u64>()?.save(&1)?;
            work();
            Ok::<u64, Error>(1)
        });
        step.map(drop)
    };
    // The other program was killed in the middle of its step.
    let theirs = Pipeline::open(&other).unwrap();
    theirs
        .step("one")
        .run(|context| {
            context.checkpointer::<u64>()?.save(&1)?;
            Err::<u64, Box<dyn std::error::Error + Send + Sync>>("killed".into())
        })
        .unwrap_err();
    drop(theirs);
    let in_progress = names_in(&other.join("progress"));
    assert_eq!(in_progress.len(), 1);

    let ours = Pipeline::open(&path).unwrap();
    let swap = || {
        fs::rename(&path, parent.path().join("moved.pipeline")).unwrap();
        fs::rename(&other, &path).unwrap();
    };
    assert!(is_replaced(run(&ours, &swap)));
    assert!(is_replaced(ours.step("two").run(|_| Ok::<u64, Error>(2)).map(drop)));
    assert!(is_replaced(ours.versions("one")));
    assert_eq!(names_in(&path.join("progress")), in_progress);
    assert_eq!(names_in(&path.join("steps")), ["one"]);
}

#[test]
fn a_purged_lock_file_lets_no_second_program_in() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    for state in 1..=3 {
        fs::remove_file(path.join(".lock")).unwrap();
        assert!(matches!(Checkpointer::<u64>::open(&path), Err(Error::InUse { .. })));
        assert!(inspect::holder(&path).unwrap().is_some());
        checkpoints.save(&state).unwrap();
        let holder = fs::read_to_string(path.join(".lock")).unwrap();
        assert!(holder.contains(&format!("\"process\":{},", std::process::id())), "{holder:?}");
        let error = Checkpointer::<u64>::open(&path).unwrap_err().to_string();
        assert!(error.contains(&format!("process {} on ", std::process::id())), "{error}");
    }
    drop(checkpoints);
    assert_eq!(inspect::holder(&path).unwrap(), None);
    assert_eq!(Checkpointer::<u64>::open(&path).unwrap().load().unwrap(), Some(3));
}

#[test]
fn a_program_waits_for_the_one_before_it_as_long_as_it_was_told() {
    let (_parent, path) = nowhere();
    let former = Checkpointer::<u64>::open(&path).unwrap();
    let builder = Checkpointer::<u64>::builder(&path);
    let error = builder.clone().wait_for(Duration::from_millis(60)).open().unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    let pipeline = Pipeline::builder(&path).wait_for(Duration::from_millis(60)).open();
    assert!(matches!(pipeline, Err(Error::InUse { .. })));
    let ends = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        drop(former);
    });
    builder.wait_for(Duration::from_secs(600)).open().unwrap();
    ends.join().unwrap();
}

#[test]
fn a_dangling_link_is_an_error_and_nothing_starts_afresh() {
    let (parent, path) = nowhere();
    let target = parent.path().join("not mounted/run.ckpt");
    symlink(&target, &path).unwrap();
    let inner = path.join("inner.ckpt");
    for path in [&path, &inner] {
        let outcomes = [Checkpointer::<u64>::open(path).map(drop), Pipeline::open(path).map(drop)];
        for error in outcomes.map(Result::unwrap_err) {
            assert!(matches!(error, Error::DanglingLink { .. }), "{error:?}");
            assert!(error.to_string().contains("not mounted"), "{error}");
        }
    }
    let error = CheckpointReader::<u64>::open(&path).unwrap().load().unwrap_err();
    assert!(matches!(error, Error::DanglingLink { .. }), "{error:?}");
    // A link that leads to a directory is accepted.
    fs::create_dir_all(&target).unwrap();
    save_one(&path, 1);
    assert_eq!(CheckpointReader::<u64>::open(&target).unwrap().load().unwrap(), Some(1));
}

#[test]
fn files_for_the_group_have_its_rights_whatever_the_umask_says() {
    let name = "files_for_the_group_have_its_rights_whatever_the_umask_says";
    let strict = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    let Some(parent) = alone(name, &strict) else { return };
    for (access, file_mode, directory_mode) in [
        (Access::Owner, 0o600, 0o700),
        (Access::GroupReads, 0o640, 0o750),
        (Access::GroupWrites, 0o660, 0o770),
    ] {
        let path = parent.join(format!("{access:?}.ckpt"));
        let mut checkpoints = Checkpointer::<u64>::builder(&path).access(access).open().unwrap();
        for state in 1..=5 {
            checkpoints.save(&state).unwrap();
        }
        checkpoints.pin(5).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&path), directory_mode, "{access:?}");
        for name in names_in(&path) {
            assert_eq!(mode(&path.join(&name)), file_mode, "{access:?} {name}");
        }
        let pipeline = Pipeline::builder(path.with_extension("pipeline")).access(access).open().unwrap();
        pipeline.step("one").run(|_| Ok::<u64, Error>(1)).unwrap();
        let step = path.with_extension("pipeline").join("steps/one");
        assert_eq!((mode(&step), mode(&file_of(&step, 1))), (directory_mode, file_mode), "{access:?}");
    }
}

#[test]
fn a_directory_of_another_user_is_told_with_its_owner() {
    let name = "a_directory_of_another_user_is_told_with_its_owner";
    if let Some(directory) = inside() {
        let error = Checkpointer::<u64>::open(directory.join("run.ckpt")).unwrap_err();
        assert!(matches!(error, Error::NotWritable { .. }), "{error:?}");
        let message = error.to_string();
        assert!(
            message.contains("belongs to user 12345") && message.contains("this is user 65534"),
            "{message}"
        );
        // Neither inspection nor a load needs a lock.
        let overview = inspect::overview(directory.join("run.ckpt"), &Protection::new()).unwrap();
        assert_eq!(overview.generations.len(), 1);
        let error = CheckpointReader::<u64>::open(directory.join("run.ckpt")).unwrap().load().unwrap_err();
        assert!(error.to_string().contains("belongs to user 12345"), "{error}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    save_one(&path, 1);
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let is_given = fs::metadata(&path).unwrap().uid() == 0
        && names_in(&path)
            .iter()
            .map(|name| path.join(name))
            .chain([path.clone()])
            .all(|path| std::os::unix::fs::chown(path, Some(12345), Some(12345)).is_ok());
    let wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let may_run = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(std::env::current_exe().unwrap())
        .arg("--list")
        .output();
    if !is_given || !may_run.is_ok_and(|output| output.status.success()) {
        return skipping("only root can become another user (setpriv)");
    }
    assert_passed(&once_more(name, &wrapper, directory.path()).output().unwrap());
}

#[test]
fn two_users_of_a_group_go_on_with_the_same_directory() {
    let name = "two_users_of_a_group_go_on_with_the_same_directory";
    if let Some(directory) = inside() {
        let path = directory.join("run.ckpt");
        let builder = || Checkpointer::<u64>::builder(&path).access(Access::GroupWrites);
        let mut checkpoints = builder().open().unwrap();
        let state = checkpoints.load().unwrap().unwrap_or(0);
        let generation = checkpoints.generations().unwrap().last().copied().unwrap_or(0);
        for more in 1..=4 {
            assert_eq!(checkpoints.save(&(state + more)).unwrap().generation, generation + more);
        }
        assert_eq!(checkpoints.generations().unwrap(), [generation + 3, generation + 4]);
        checkpoints.finish(&(state + 5)).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o2775)).unwrap();
    let is_given = std::os::unix::fs::chown(directory.path(), Some(4001), Some(4242)).is_ok();
    for user in ["--reuid=4001", "--reuid=4002", "--reuid=4001"] {
        let wrapper = ["setpriv", user, "--regid=4242", "--clear-groups"];
        let mut may_run = Command::new(wrapper[0]);
        may_run.args(&wrapper[1..]).arg(std::env::current_exe().unwrap()).arg("--list");
        if !is_given || !may_run.output().is_ok_and(|output| output.status.success()) {
            return skipping("only root can become another user (setpriv)");
        }
        assert_passed(&once_more(name, &wrapper, directory.path()).output().unwrap());
    }
    let path = directory.path().join("run.ckpt");
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(15));
    assert_eq!(history::read(&path).unwrap().runs(), 3);
}

#[test]
fn a_limit_on_file_sizes_is_an_error_that_names_it() {
    let name = "a_limit_on_file_sizes_is_an_error_that_names_it";
    // In units of 512 bytes: 10 MiB for a file.
    let limited = ["sh", "-c", "ulimit -f 20480; exec \"$@\"", "sh"];
    let Some(parent) = alone(name, &limited) else { return };
    let path = parent.join("run.ckpt");
    let mut checkpoints = Checkpointer::<Vec<u64>>::open(&path).unwrap();
    checkpoints.save(&vec![1]).unwrap();
    for count in [1_400_000, 3_000_000] {
        let outcomes = [
            checkpoints.save(&vec![0; count]).map(drop),
            checkpoints.save_in_background(&vec![0; count]).and_then(|_| checkpoints.wait()).map(drop),
        ];
        for error in outcomes.map(Result::unwrap_err) {
            assert!(matches!(error, Error::FileTooLong { limit: Some(10_485_760), .. }), "{error:?}");
            assert!(error.to_string().contains("ulimit -f"), "{error}");
        }
        checkpoints.save(&vec![1, 2]).unwrap();
    }
    assert_eq!(checkpoints.load().unwrap(), Some(vec![1, 2]));
    assert!(!names_in(&path).iter().any(|name| fs::metadata(path.join(name)).unwrap().len() > 1 << 20));
}

#[test]
fn a_process_that_may_write_nothing_gets_an_error_too() {
    let name = "a_process_that_may_write_nothing_gets_an_error_too";
    let limited = ["sh", "-c", "ulimit -f 0; exec \"$@\"", "sh"];
    let Some(parent) = alone(name, &limited) else { return };
    let mut checkpoints = Checkpointer::<u64>::open(parent.join("run.ckpt")).unwrap();
    let error = checkpoints.save(&1).unwrap_err();
    assert!(matches!(error, Error::FileTooLong { limit: Some(0), .. }), "{error:?}");
    assert_eq!(checkpoints.load().unwrap(), None);
    let error = request_halt(parent.join("run.ckpt"), "stop").unwrap_err();
    assert!(matches!(error, Error::FileTooLong { .. }), "{error:?}");
}

#[test]
fn without_memory_for_a_copy_a_background_save_is_an_error() {
    let name = "without_memory_for_a_copy_a_background_save_is_an_error";
    // In KiB: enough for the state, which is never touched, but not for a copy.
    let limited = ["sh", "-c", "ulimit -v 1600000; exec \"$@\"", "sh"];
    let Some(parent) = alone(name, &limited) else { return };
    let mut checkpoints = Checkpointer::<Vec<u64>>::open(parent.join("run.ckpt")).unwrap();
    checkpoints.save(&vec![1]).unwrap();
    let state = vec![0; 1 << 27];
    let error = checkpoints.save_in_background(&state).unwrap_err();
    assert!(matches!(error, Error::NoMemory { bytes: 0x4000_0000, .. }), "{error:?}");
    drop(state);
    checkpoints.save_in_background(&vec![2]).unwrap();
    checkpoints.wait().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(vec![2]));
}

#[test]
fn without_threads_a_long_save_is_made_and_loaded() {
    without_threads("without_threads_a_long_save_is_made_and_loaded", |directory| {
        let state: Vec<u64> = (0..1_500_000).collect();
        let mut checkpoints = Checkpointer::<Vec<u64>>::open(directory.join("run.ckpt")).unwrap();
        for _ in 0..4 {
            checkpoints.save(&state).unwrap();
        }
        assert!(checkpoints.load().unwrap() == Some(state));
    });
}

#[test]
fn without_threads_parallel_steps_are_run_one_by_one() {
    without_threads("without_threads_parallel_steps_are_run_one_by_one", |directory| {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&warnings);
        let pipeline = Pipeline::builder(directory.join("test.pipeline"))
            .on_warning(move |warning| taken.lock().unwrap().push(warning.to_string()))
            .open()
            .unwrap();
        let (sum, panicked) = pipeline.parallel(|parallel| {
            let steps = ["a", "b", "c"]
                .map(|name| parallel.spawn(|| pipeline.step(name).run(|_| Ok::<u64, Error>(2)).unwrap()));
            let panics = parallel.spawn(|| -> u64 { panic!("told to") });
            let sum: u64 = steps.into_iter().map(|step| *step.join().load().unwrap()).sum();
            (sum, std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| panics.join())))
        });
        assert_eq!(sum, 6);
        assert!(panicked.is_err(), "a panic is told when the task is joined");
        assert_eq!(pipeline.finish().unwrap().len(), 3);
        let warnings = warnings.lock().unwrap();
        assert!(warnings.iter().any(|warning| warning.contains("ulimit -u")), "{warnings:?}");
    });
}

/// Saves until it is dropped, and tells the last acknowledged state.
struct Busy<'a> {
    acknowledged: &'a AtomicU64,
    ends: &'a AtomicBool,
}

impl Busy<'_> {
    fn run(&self, path: &Path) {
        let mut checkpoints = Checkpointer::<Vec<u64>>::open(path).unwrap();
        for state in 1.. {
            checkpoints.save(&vec![state; 200_000]).unwrap();
            self.acknowledged.store(state, Ordering::SeqCst);
            if self.ends.load(Ordering::SeqCst) {
                return;
            }
        }
    }
}

/// Repeats `work` beside a program that saves.
fn beside_a_busy_program(times: usize, work: impl Fn(&Path, &Path, u64)) {
    let (parent, path) = nowhere();
    let (acknowledged, ends) = (AtomicU64::new(0), AtomicBool::new(false));
    let busy = Busy { acknowledged: &acknowledged, ends: &ends };
    thread::scope(|scope| {
        scope.spawn(|| busy.run(&path));
        // The result is caught, because a failed assertion would otherwise leave the other thread
        // running for ever.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            while acknowledged.load(Ordering::SeqCst) == 0 {
                thread::yield_now();
            }
            for time in 0..times {
                let least = acknowledged.load(Ordering::SeqCst);
                work(&path, &parent.path().join(format!("copy{time}.ckpt")), least);
            }
        }));
        ends.store(true, Ordering::SeqCst);
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
}

#[test]
fn a_copy_of_a_running_directory_loads_what_was_acknowledged() {
    beside_a_busy_program(30, |path, to, least| {
        let copied = inspect::copy(path, to).unwrap();
        assert!(!copied.generations.is_empty());
        let mut reader = CheckpointReader::<Vec<u64>>::open(to).unwrap();
        let loaded = reader.load().unwrap().unwrap();
        assert!(loaded[0] >= least, "{} was copied, {least} was acknowledged", loaded[0]);
        assert_eq!(crate::common::skipped(reader.last_load()), [0; 0], "each of its files is whole");
        assert!(history::read(to).unwrap().records.len() > 1);
        // The copy is a directory like any other.
        let mut checkpoints = Checkpointer::<Vec<u64>>::open(to).unwrap();
        checkpoints.save(&vec![7]).unwrap();
        checkpoints.save(&vec![8]).unwrap();
        drop(checkpoints);
        assert_eq!(CheckpointReader::<Vec<u64>>::open(to).unwrap().load().unwrap(), Some(vec![8]));
    });
}

#[test]
fn a_copy_by_another_program_is_no_directory_without_a_past() {
    beside_a_busy_program(10, |path, to, _| {
        // It fails if a file is removed before it is copied, but leaves its other copies.
        let _ = Command::new("cp").arg("-r").args([path, to]).output().unwrap();
        let mut reader = CheckpointReader::<Vec<u64>>::open(to).unwrap();
        match reader.load() {
            Ok(Some(_)) | Err(Error::NoneUsable { .. }) => {}
            Ok(None) => assert!(reader.missing_generation().is_some(), "{:?}", names_in(to)),
            Err(error) => panic!("{error}"),
        }
    });
}

#[test]
fn a_directory_that_lost_its_generations_says_so() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    for state in 1..=3 {
        checkpoints.save(&state).unwrap();
    }
    assert_eq!(checkpoints.missing_generation(), None);
    drop(checkpoints);
    let copy = parent.path().join("copy.ckpt");
    fs::create_dir(&copy).unwrap();
    fs::copy(path.join("history.jsonl"), copy.join("history.jsonl")).unwrap();
    assert_eq!(inspect::overview(&copy, &Protection::new()).unwrap().missing, Some(3));
    let mut reader = CheckpointReader::<u64>::open(&copy).unwrap();
    assert_eq!((reader.load().unwrap(), reader.missing_generation()), (None, Some(3)));
    let mut checkpoints = Checkpointer::<u64>::open(&copy).unwrap();
    assert_eq!(checkpoints.missing_generation(), Some(3), "already at the start");
    assert_eq!((checkpoints.load().unwrap(), checkpoints.missing_generation()), (None, Some(3)));
    checkpoints.save(&4).unwrap();
    assert_eq!((checkpoints.load().unwrap(), checkpoints.missing_generation()), (Some(4), None));
}

#[test]
fn a_copy_that_lacks_the_newest_generations_says_so_once() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=5 {
        checkpoints.save(&state).unwrap();
    }
    drop(checkpoints);
    let copy = parent.path().join("copy.ckpt");
    fs::create_dir(&copy).unwrap();
    let names =
        ["history.jsonl".to_owned()].into_iter().chain((1..=3).map(|number| format!("{number:020}.ckpt")));
    for name in names {
        fs::copy(path.join(&name), copy.join(&name)).unwrap();
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let taker = || {
        let heard = Arc::clone(&heard);
        move |warning: &Warning| heard.lock().unwrap().push(warning.to_string())
    };
    let assert_heard_once = || {
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        assert_eq!(heard.len(), 1, "{heard:?}");
        assert!(heard[0].contains("no checkpoint newer than generation 3"), "{heard:?}");
        assert!(heard[0].contains("up to generation 5"), "{heard:?}");
    };
    assert_eq!(inspect::overview(&copy, &Protection::new()).unwrap().missing, Some(5));
    let mut reader = CheckpointReader::<u64>::builder(&copy).on_warning(taker()).open().unwrap();
    for _ in 0..2 {
        assert_eq!(reader.load().unwrap(), Some(3));
        assert_eq!(reader.last_load().unwrap().missing, Some(5));
    }
    assert_heard_once();
    let mut checkpoints = Checkpointer::<u64>::builder(&copy).on_warning(taker()).open().unwrap();
    assert_eq!(checkpoints.missing_generation(), Some(5), "already at the start");
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    assert_eq!(checkpoints.last_load().unwrap().missing, Some(5));
    checkpoints.save(&4).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(4));
    assert_eq!(checkpoints.last_load().unwrap().missing, None, "the run went on from there");
    assert_heard_once();
    drop(checkpoints);
    // A user who goes back on purpose is warned once, and not at each start after that.
    assert_eq!(inspect::overview(&copy, &Protection::new()).unwrap().missing, None);
    let mut checkpoints = Checkpointer::<u64>::builder(&copy).on_warning(taker()).open().unwrap();
    assert_eq!((checkpoints.load().unwrap(), checkpoints.missing_generation()), (Some(4), None));
    assert_eq!(*heard.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn a_copy_onto_what_is_there_says_what_to_do() {
    let (parent, path) = nowhere();
    save_one(&path, 1);
    let there = parent.path().join("there");
    fs::create_dir(&there).unwrap();
    let error = inspect::copy(&path, &there).unwrap_err();
    assert!(matches!(error, Error::NameTaken { .. }), "{error:?}");
    assert!(error.to_string().contains("choose a path where there is nothing"), "{error}");
    let pipeline = Pipeline::open(parent.path().join("test.pipeline")).unwrap();
    let error = pipeline.branch(&there).unwrap_err();
    assert!(matches!(error, Error::NameTaken { .. }), "{error:?}");
}

#[test]
fn a_copy_of_a_pipeline_goes_on_where_the_pipeline_is() {
    let (parent, path) = nowhere();
    let copy = parent.path().join("copy.pipeline");
    let pipeline = Pipeline::open(&path).unwrap();
    pipeline.step("one").run(|_| Ok::<u64, Error>(1)).unwrap();
    pipeline
        .step("two")
        .run(|context| {
            context.checkpointer::<u64>()?.save(&7)?;
            Err::<u64, Box<dyn std::error::Error + Send + Sync>>("stopped".into())
        })
        .unwrap_err();
    assert_eq!(inspect::copy(&path, &copy).unwrap().files, 2);
    let error = inspect::copy(&path, &copy).unwrap_err();
    assert!(error.to_string().contains("exists"), "{error}");
    let pipeline = Pipeline::open(&copy).unwrap();
    pipeline.step("one").run(|_| -> Result<u64, Error> { panic!("it is kept") }).unwrap();
    let two = pipeline.step("two").run(|context| context.checkpointer::<u64>()?.load());
    assert_eq!(*two.unwrap().load().unwrap(), Some(7));
}

#[test]
fn a_backup_by_hard_links_stays_as_it_was() {
    let (parent, path) = nowhere();
    let backup = parent.path().join("backup.ckpt");
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.save(&1).unwrap();
    let copied = Command::new("cp").arg("-al").args([&path, &backup]).status().unwrap();
    assert!(copied.success());
    let content = |directory: &Path| {
        let read = |name: &String| fs::read(directory.join(name)).unwrap();
        names_in(directory).iter().map(read).collect::<Vec<_>>()
    };
    let before = content(&backup);
    for state in 2..=6 {
        checkpoints.save(&state).unwrap();
    }
    checkpoints.finish(&7).unwrap();
    save_one(&path, 8);
    assert_eq!(content(&backup), before);
    assert_eq!(CheckpointReader::<u64>::open(&backup).unwrap().load().unwrap(), Some(1));
    assert_eq!(history::read(&path).unwrap().runs(), 2);
}

#[test]
fn a_pin_keeps_what_it_was_made_for_and_no_later_generation() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(1).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.pin(1).unwrap();
    drop(checkpoints);
    // The user starts again, and leaves the pin.
    fs::remove_file(file_of(&path, 1)).unwrap();
    fs::remove_file(path.join("history.jsonl")).unwrap();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(1).open().unwrap();
    for state in 10..=12 {
        checkpoints.save(&state).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [3]);
    let overview = inspect::overview(&path, &Protection::new()).unwrap();
    assert_eq!(overview.generations[0].kept, [inspect::Keeping::Last]);
    // A pin that a user makes by `touch` counts by its number; a new one replaces a stale one.
    fs::write(path.join("00000000000000000003.pin"), "").unwrap();
    checkpoints.save(&13).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [3, 4]);
    fs::copy(path.join("00000000000000000001.pin"), path.join("00000000000000000004.pin")).unwrap();
    checkpoints.pin(4).unwrap();
    checkpoints.save(&14).unwrap();
    checkpoints.save(&15).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [3, 4, 6]);
    assert!(matches!(checkpoints.pin(5), Err(Error::NoSuchGeneration { .. })));
}
