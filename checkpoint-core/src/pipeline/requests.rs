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
//!
//! A request is durable before anything counts on it, and its steps have an order: each creation,
//! renaming and removal is synced at once.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{self, folder, name_of};
use crate::error::Error;
use crate::store::Disk;
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

/// The requests in a pipeline, for one who changes them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests<'p> {
    pub(super) pipeline: &'p Path,
    pub(super) disk: &'p dyn Disk,
    pub(super) durable: bool,
}

impl Requests<'_> {
    /// Leaves a request for the next run. `false` if there is one already.
    pub(super) fn ask(&self, step: &str) -> Result<bool, Error> {
        let known: Vec<String> = folder::steps(self.pipeline)?.into_keys().collect();
        if !known.iter().any(|known| known == step) {
            return Err(Error::UnknownStep { step: step.to_owned(), known });
        }
        self.create(&place(self.pipeline, step))
    }

    /// Leaves a request for a step that depends on one that is done. In a pipeline that is not
    /// shared no process works for the request that an earlier run took: it stands for this one
    /// too.
    pub(super) fn leave(&self, step: &str, is_shared: bool) -> Result<(), Error> {
        if !is_shared && is_there(&taken(self.pipeline, step)) {
            return Ok(());
        }
        self.create(&left(self.pipeline, step)).map(drop)
    }

    /// Takes back what a step left that this one no longer depends on.
    pub(super) fn take_back(&self, step: &str) -> Result<(), Error> {
        self.remove(&left(self.pipeline, step)).map(drop)
    }

    /// Creates the file of a request. `false` if it is there already.
    fn create(&self, path: &Path) -> Result<bool, Error> {
        create_folder(self.pipeline).map_err(|source| Error::writing("create", path, source))?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut is_new = true;
        match options.open(path) {
            Ok(_) => {}
            // The one who made it may have been killed before it was durable.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => is_new = false,
            Err(source) => return Err(Error::writing("create", path, source)),
        }
        self.sync(self.pipeline)?;
        self.sync_folder()?;
        Ok(is_new)
    }

    /// Takes the requests for the work that begins. Later requests are others.
    pub(super) fn take(&self, step: &str) -> Result<(), Error> {
        for path in [place(self.pipeline, step), left(self.pipeline, step)] {
            match fs::rename(&path, taken(self.pipeline, step)) {
                // An earlier run took it, or the step is forced without one.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                outcome => {
                    outcome.map_err(|source| Error::writing("rename", &path, source))?;
                    self.sync_folder()?;
                }
            }
        }
        Ok(())
    }

    /// Takes the request for the forced work that begins; without one, it makes one first. A run
    /// that is killed, or that fails, has not lost it. `forget` removes for good what earlier work
    /// left behind, if the request is new. A kill in between has the next run do so again.
    ///
    /// # Errors
    /// That of `forget`: nothing is taken, and the work must not begin, because it would go on from
    /// what is left. The result inside is whether the request could be noted and taken.
    pub(super) fn begin(
        &self,
        step: &str,
        forget: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Result<(), Error>, Error> {
        let mut noted = Ok(());
        if !is_there(&taken(self.pipeline, step)) && !is_there(&place(self.pipeline, step)) {
            noted = self.create(&left(self.pipeline, step)).map(drop);
        }
        if noted.is_err() || is_waiting(self.pipeline, step) {
            forget()?;
        }
        Ok(noted.and_then(|()| self.take(step)))
    }

    /// Removes the request that the work fulfilled.
    pub(super) fn done(&self, step: &str) -> Result<(), Error> {
        self.remove(&taken(self.pipeline, step)).map(drop)
    }

    /// Takes a request back. `false` if there is none.
    pub(super) fn withdraw(&self, step: &str) -> Result<bool, Error> {
        let mut was_there = false;
        for path in [place(self.pipeline, step), left(self.pipeline, step), taken(self.pipeline, step)] {
            was_there |= self.remove(&path)?;
        }
        Ok(was_there)
    }

    fn remove(&self, path: &Path) -> Result<bool, Error> {
        match fs::remove_file(path) {
            Ok(()) => self.sync_folder().map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(Error::writing("remove", path, source)),
        }
    }

    /// Makes the names of the requests durable.
    fn sync_folder(&self) -> Result<(), Error> {
        self.sync(&self.pipeline.join(FOLDER))
    }

    fn sync(&self, directory: &Path) -> Result<(), Error> {
        if !self.durable {
            return Ok(());
        }
        self.disk.sync_directory(directory).map_err(|source| Error::writing("sync", directory, source))
    }
}

/// True if there is a request for which no work has begun.
pub(super) fn is_waiting(pipeline: &Path, step: &str) -> bool {
    is_there(&place(pipeline, step)) || is_there(&left(pipeline, step))
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::pipeline::{Outcome, Output, Pipeline};
    use crate::store::RealDisk;
    use crate::store::faults::{EIO, Fault, FaultyDisk};

    static DISK: LazyLock<RealDisk> = LazyLock::new(RealDisk::default);

    fn of(pipeline: &Path) -> Requests<'_> {
        Requests { pipeline, disk: &*DISK, durable: true }
    }

    #[test]
    fn a_request_is_durable_once_it_is_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        assert!(run(&path, || Ok(1)));
        let disk = FaultyDisk::default();
        let synced = |operation: &dyn Fn(Requests<'_>)| {
            disk.plan(None);
            operation(Requests { pipeline: &path, disk: &disk, durable: true });
            disk.asked()
        };
        let (pipeline, folder) = ("sync directory p", "sync directory redo");
        assert_eq!(synced(&|requests| assert!(requests.ask("a").unwrap())), [pipeline, folder]);
        // The one who made it may have been killed before its sync.
        assert_eq!(synced(&|requests| assert!(!requests.ask("a").unwrap())), [pipeline, folder]);
        assert_eq!(synced(&|requests| requests.take("a").unwrap()), [folder]);
        assert_eq!(synced(&|requests| requests.done("a").unwrap()), [folder]);
        assert_eq!(synced(&|requests| requests.leave("a", true).unwrap()), [pipeline, folder]);
        assert_eq!(synced(&|requests| assert!(requests.withdraw("a").unwrap())), [folder]);
        disk.plan(Some((1, Fault::Error(EIO))));
        of(&path).withdraw("a").unwrap();
        let refused = Requests { pipeline: &path, disk: &disk, durable: true }.ask("a").unwrap_err();
        assert!(refused.to_string().starts_with("could not sync"), "{refused}");
    }

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
        assert!(of(&path).ask("a").unwrap());
        assert!(run(&path, || {
            assert!(of(&path).ask("a").unwrap());
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
        of(&path).ask("a").unwrap();
        let failure = || Err(Error::InvalidSetting { setting: String::new(), why: "it fails" });
        assert!(run(&path, failure) && run(&path, failure));
        assert!(of(&path).withdraw("a").unwrap() && !of(&path).withdraw("a").unwrap());
        assert!(!run(&path, || Ok(1)));
    }

    #[test]
    fn forced_work_forgets_before_its_request_is_taken() {
        for is_asked in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path();
            if is_asked {
                assert!(of(path).create(&place(path, "a")).unwrap());
            }
            let forgets = || {
                let mut forgets = false;
                let forget = || {
                    forgets = true;
                    Ok(())
                };
                of(path).begin("a", forget).unwrap().unwrap();
                forgets
            };
            let killed =
                std::panic::catch_unwind(|| of(path).begin("a", || std::panic::resume_unwind(Box::new(()))));
            assert!(killed.is_err());
            let failure = || Err(Error::InvalidSetting { setting: String::new(), why: "it fails" });
            of(path).begin("a", failure).unwrap_err();
            assert!(forgets(), "the killed run may have forgotten nothing");
            assert!(!forgets(), "this run goes on with it");
            // A step before it ran again. In a shared pipeline the work may still go on elsewhere.
            of(path).leave("a", false).unwrap();
            assert!(!forgets());
            of(path).leave("a", true).unwrap();
            assert!(forgets() && !forgets());
            of(path).done("a").unwrap();
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
                    of(&path).ask("first").unwrap();
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
        of(&path).ask("first").unwrap();
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
        of(&path).ask("first").unwrap();
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
        of(&path).ask("a").unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(place(&path, "a")), 0o600);
        assert_eq!(mode(path.join(FOLDER)) & 0o002, 0);
    }
}
