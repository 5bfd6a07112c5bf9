//! Requests to run a step again: files under `redo/` that are named after the step. The user leaves
//! `STEP`. The program renames it to `STEP@taken` when it begins the work, and removes it at the
//! end: so a request during the work is another one, and a failed or killed run has not lost its
//! own. A step that is forced without a request gets one too. New forced work begins without the
//! checkpoints of the step's own: they go before the request is taken, or the work does not begin.
//! Work for a request that was taken goes on from them.
//!
//! A request is for the steps that depend on its step too. When a forced step is done, whatever
//! forced it, the program leaves a `STEP@left` for each step with a kept version that took an
//! output of it. It removes the step's own request only then. Each of these steps does the same at
//! its end. So whenever a run ends, each step that still has to be run again has a request, or a
//! step before it has one. A request for a step that the program no longer has stays, until it is
//! withdrawn.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{self, folder, name_of};
use crate::error::Error;
use crate::store::name::REDO as FOLDER;

fn place(pipeline: &Path, step: &str) -> PathBuf {
    pipeline.join(FOLDER).join(folder(step))
}

/// The request that a run works on. A step's folder has no `@`, so no step is named so.
fn taken(pipeline: &Path, step: &str) -> PathBuf {
    pipeline.join(FOLDER).join(format!("{}{TAKEN}", folder(step)))
}

/// The request that a step left which this one depends on.
fn left(pipeline: &Path, step: &str) -> PathBuf {
    pipeline.join(FOLDER).join(format!("{}{LEFT}", folder(step)))
}

const TAKEN: &str = "@taken";
const LEFT: &str = "@left";

/// The step of a request of any kind.
fn step_of(file: &OsStr) -> Option<String> {
    let file = file.to_str()?;
    let step = file.strip_suffix(TAKEN).or_else(|| file.strip_suffix(LEFT));
    name_of(OsStr::new(step.unwrap_or(file)))
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The steps with a request, also one that a run took and did not fulfil.
pub(super) fn asked(pipeline: &Path) -> Result<BTreeSet<String>, Error> {
    let path = pipeline.join(FOLDER);
    let failed = |source| Error::io("list", &path, source);
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        entries => entries.map_err(failed)?,
    };
    let mut asked = BTreeSet::new();
    for entry in entries {
        asked.extend(step_of(&entry.map_err(failed)?.file_name()));
    }
    Ok(asked)
}

/// Leaves a request for the next run. `false` if there is one already.
pub(super) fn ask(pipeline: &Path, step: &str) -> Result<bool, Error> {
    let known: Vec<String> = folder::steps(pipeline)?.into_keys().collect();
    if !known.iter().any(|known| known == step) {
        return Err(Error::UnknownStep { step: step.to_owned(), known });
    }
    create(pipeline, &place(pipeline, step))
}

/// Leaves a request for a step that depends on one that is done. In a pipeline that is not shared
/// no process works for the request that an earlier run took: it stands for this one too.
pub(super) fn leave(pipeline: &Path, step: &str, is_shared: bool) -> Result<(), Error> {
    if !is_shared && is_there(&taken(pipeline, step)) {
        return Ok(());
    }
    create(pipeline, &left(pipeline, step)).map(drop)
}

/// Takes back what a step left that this one no longer depends on.
pub(super) fn take_back(pipeline: &Path, step: &str) -> Result<(), Error> {
    remove(&left(pipeline, step)).map(drop)
}

/// True if there is a request for which no work has begun.
pub(super) fn is_waiting(pipeline: &Path, step: &str) -> bool {
    is_there(&place(pipeline, step)) || is_there(&left(pipeline, step))
}

/// Creates the file of a request. `false` if it is there already.
fn create(pipeline: &Path, path: &Path) -> Result<bool, Error> {
    create_folder(pipeline).map_err(|source| Error::writing("create", path, source))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(Error::writing("create", path, source)),
    }
}

/// Makes the folder of the requests. No one may write there who may not write to the pipeline.
fn create_folder(pipeline: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(pipeline)?.permissions());
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode & 0o775);
    }
    match builder.create(pipeline.join(FOLDER)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Takes the requests for the work that begins. Later requests are others.
pub(super) fn take(pipeline: &Path, step: &str) -> Result<(), Error> {
    for path in [place(pipeline, step), left(pipeline, step)] {
        match fs::rename(&path, taken(pipeline, step)) {
            // An earlier run took it, or the step is forced without one.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome.map_err(|source| Error::writing("rename", &path, source))?,
        }
    }
    Ok(())
}

/// Takes the request for the forced work that begins; without one, it makes one first. A run that
/// is killed, or that fails, has not lost it. `forget` removes what earlier work left behind, if
/// the request is new. A kill in between has the next run do so again.
///
/// # Errors
/// That of `forget`: nothing is taken, and the work must not begin, because it would go on from
/// what is left. The result inside is whether the request could be noted and taken.
pub(super) fn begin(
    pipeline: &Path,
    step: &str,
    forget: impl FnOnce() -> Result<(), Error>,
) -> Result<Result<(), Error>, Error> {
    let mut noted = Ok(());
    if !is_there(&taken(pipeline, step)) && !is_there(&place(pipeline, step)) {
        noted = create(pipeline, &left(pipeline, step)).map(drop);
    }
    if noted.is_err() || is_waiting(pipeline, step) {
        forget()?;
    }
    Ok(noted.and_then(|()| take(pipeline, step)))
}

/// Removes the request that the work fulfilled.
pub(super) fn done(pipeline: &Path, step: &str) -> Result<(), Error> {
    remove(&taken(pipeline, step)).map(drop)
}

/// Takes a request back. `false` if there is none.
pub(super) fn withdraw(pipeline: &Path, step: &str) -> Result<bool, Error> {
    let mut was_there = false;
    for path in [place(pipeline, step), left(pipeline, step), taken(pipeline, step)] {
        was_there |= remove(&path)?;
    }
    Ok(was_there)
}

fn remove(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::writing("remove", path, source)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::pipeline::{Outcome, Output, Pipeline};

    fn run(path: &Path, work: impl FnOnce() -> Result<u64, Error>) -> bool {
        let mut is_run = false;
        let pipeline = Pipeline::open(path).unwrap();
        let outcome = pipeline.step("a").run(|_| {
            is_run = true;
            work()
        });
        drop(outcome);
        is_run
    }

    #[test]
    fn a_request_during_the_work_is_for_the_next_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        assert!(run(&path, || Ok(1)));
        assert!(ask(&path, "a").unwrap());
        assert!(run(&path, || {
            assert!(ask(&path, "a").unwrap());
            Ok(1)
        }));
        assert!(run(&path, || Ok(1)));
        assert!(!run(&path, || Ok(1)));
    }

    #[test]
    fn a_request_whose_work_failed_stands_and_can_be_withdrawn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        assert!(run(&path, || Ok(1)));
        ask(&path, "a").unwrap();
        let failure = || Err(Error::InvalidSetting { setting: String::new(), why: "it fails" });
        assert!(run(&path, failure) && run(&path, failure));
        assert!(withdraw(&path, "a").unwrap() && !withdraw(&path, "a").unwrap());
        assert!(!run(&path, || Ok(1)));
    }

    #[test]
    fn forced_work_forgets_before_its_request_is_taken() {
        for is_asked in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path();
            if is_asked {
                assert!(create(path, &place(path, "a")).unwrap());
            }
            let forgets = || {
                let mut forgets = false;
                let forget = || {
                    forgets = true;
                    Ok(())
                };
                begin(path, "a", forget).unwrap().unwrap();
                forgets
            };
            let killed =
                std::panic::catch_unwind(|| begin(path, "a", || std::panic::resume_unwind(Box::new(()))));
            assert!(killed.is_err());
            let failure = || Err(Error::InvalidSetting { setting: String::new(), why: "it fails" });
            begin(path, "a", failure).unwrap_err();
            assert!(forgets(), "the killed run may have forgotten nothing");
            assert!(!forgets(), "this run goes on with it");
            // A step before it ran again. In a shared pipeline the work may still go on elsewhere.
            leave(path, "a", false).unwrap();
            assert!(!forgets());
            leave(path, "a", true).unwrap();
            assert!(forgets() && !forgets());
            done(path, "a").unwrap();
            assert!(asked(path).unwrap().is_empty());
        }
    }

    #[test]
    fn forced_work_waits_until_older_progress_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        type Failure = Box<dyn std::error::Error + Send + Sync>;
        // Counts to four by these steps, and saves each count; fails after as many.
        let count = |is_forced: bool, step: u64, fails_after: usize| {
            let pipeline = Pipeline::open(&path).unwrap();
            let pipeline = if is_forced { pipeline.force("a") } else { pipeline };
            let counted = pipeline.step("a").run(|context| {
                let mut checkpoints = context.checkpointer::<u64>()?;
                let mut sum = checkpoints.load_or_default()?;
                for _ in 0..fails_after {
                    sum += step;
                    checkpoints.save(&sum)?;
                }
                if fails_after < 4 { Err("it fails".into()) } else { Ok::<u64, Failure>(sum) }
            });
            counted.map(|counted| *counted.load().unwrap()).map_err(|error: Error| error.to_string())
        };
        count(false, 1, 3).unwrap_err();
        // What is in the way goes later.
        let (progress, elsewhere) = (path.join("progress"), directory.path().join("progress"));
        fs::rename(&progress, &elsewhere).unwrap();
        fs::write(&progress, "").unwrap();
        let error = count(true, 100, 4).unwrap_err();
        assert!(error.contains(progress.to_str().unwrap()), "{error}");
        fs::remove_file(&progress).unwrap();
        fs::rename(&elsewhere, &progress).unwrap();
        assert_eq!(count(false, 100, 4).unwrap(), 400);
        assert!(asked(&path).unwrap().is_empty());
    }

    /// Runs steps in a row, each from the output of the one before, until one fails. Returns those
    /// that were run.
    fn run_row<'s>(pipeline: &Pipeline, steps: &[&'s str], failing: &str) -> Vec<&'s str> {
        let mut ran = Vec::new();
        let mut before: Option<Output<u64>> = None;
        for name in steps {
            let step = pipeline.step(name);
            let step = match &before {
                Some(output) => step.input(output),
                None => step,
            };
            let outcome = step.run(|_| {
                ran.push(*name);
                if *name == failing { Err("it fails") } else { Ok(1_u64) }
            });
            let Ok(output) = outcome else { break };
            before = Some(output);
        }
        ran
    }

    const ROW: [&str; 3] = ["first", "second", "third"];

    #[test]
    fn a_redo_reaches_the_steps_behind_one_that_failed() {
        for (by_command, is_shared) in [(false, false), (true, false), (false, true), (true, true)] {
            for (length, failing) in [(2, 1), (3, 1), (3, 2)] {
                let steps = &ROW[..length];
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().join("p");
                let open = || Pipeline::builder(&path).shared(is_shared).open().unwrap();
                assert_eq!(run_row(&open(), steps, ""), steps);
                if !by_command {
                    ask(&path, "first").unwrap();
                }
                let pipeline = if by_command { open().force("first") } else { open() };
                assert_eq!(run_row(&pipeline, steps, steps[failing]), &steps[..=failing]);
                drop(pipeline);
                assert_eq!(run_row(&open(), steps, ""), &steps[failing..]);
                assert!(run_row(&open(), steps, "").is_empty());
                assert!(asked(&path).unwrap().is_empty());
            }
        }
    }

    #[test]
    fn a_redo_outlives_a_run_that_ends_between_two_steps() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let run = |steps: &[&'static str]| run_row(&Pipeline::open(&path).unwrap(), steps, "");
        assert_eq!(run(&ROW), ROW);
        ask(&path, "first").unwrap();
        assert_eq!(run(&ROW[..1]), ["first"]);
        assert_eq!(run(&ROW[..2]), ["second"]);
        assert_eq!(run(&ROW), ["third"]);
        assert!(run(&ROW).is_empty());
        assert!(asked(&path).unwrap().is_empty());
    }

    #[test]
    fn a_redo_is_not_for_a_step_that_depends_no_more() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let run = |depends: bool| {
            let pipeline = Pipeline::open(&path).unwrap();
            let first = pipeline.step("first").run(|_| Ok::<u64, Error>(1)).unwrap();
            let second = pipeline.step("second");
            let second = if depends { second.input(&first) } else { second };
            second.run(|_| Ok::<u64, Error>(2)).unwrap();
            pipeline.reports().iter().filter(|report| report.outcome == Outcome::Ran).count()
        };
        assert_eq!([run(true), run(false)], [2, 1]);
        ask(&path, "first").unwrap();
        assert_eq!([run(false), run(false)], [1, 0]);
        assert!(asked(&path).unwrap().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn only_their_owner_writes_requests_and_their_folder() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        run(&path, || Ok(1));
        // A user may have opened the pipeline to all.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        ask(&path, "a").unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(place(&path, "a")), 0o600);
        assert_eq!(mode(path.join(FOLDER)) & 0o002, 0);
    }
}
