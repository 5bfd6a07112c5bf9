//! Pipelines: programs in stages. Each stage is checkpointed by itself, and done again only if it
//! has to be.
//!
//! ```text
//! step.rs: parameters, inputs, files (sets.rs, pattern.rs, project.rs) ──▶ key.rs: what the result depends on
//!          ──▶ decide.rs: the versions with this key, the user's commands ──▶ reused, or run
//! ```
//!
//! A pipeline directory holds, under `steps/`, one checkpoint directory for each step. Its
//! generations are the kept versions of the step's output. Each records in its metadata what it was
//! made from. So everything that holds for checkpoints holds for outputs. `progress/` has the
//! checkpoints of unfinished steps, `files/` the hashes of input files, `produced/` the copies of
//! files that steps produced, `redo/` the requests to run a step again, `users/` the lock of the
//! processes that share the pipeline.

mod boot;
mod branch;
mod builder;
mod canonical;
mod commands;
mod copies;
mod decide;
mod files;
mod folder;
mod followers;
mod inputs;
mod key;
mod output;
mod overview;
mod parallel;
mod pattern;
mod produced;
mod project;
mod report;
mod requests;
mod sets;
mod step;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use builder::PipelineBuilder;
pub use output::Output;
pub use overview::{StepOverview, StepVersion, redo, steps, undo_redo};
pub use parallel::{Parallel, Task};
pub use report::{Outcome, Reason, StepEvent, StepReport};
pub use step::{Step, StepContext};

use crate::base::callback::Callback;
use crate::base::warnings::HeldGuard;
use crate::environment::STEPS as VARIABLE;
use crate::error::Error;
use crate::stop::StopReason;
use crate::store::{Directory, Guard, Home as _, absolute};
use builder::Workshop;
use commands::Commands;
use decide::Marks;
use files::Files;
use folder::place_of;
use followers::Followers;
use inputs::Input;
use project::Project;
use users::Users;

/// A program in stages with kept results: a stage is done again only if it has to be.
///
/// A step is done again when one of these has changed: its version, a parameter, an output that it
/// takes, the content of a file that it reads or that it produced, the order of these, the function
/// behind a `#[step]`; or when no version of its output can be used. The macro `#[step]` makes a
/// step of a function, and [`step`](Pipeline::step) one of a closure. The methods here that take a
/// step's name, and the variable `CHECKPOINT_STEPS`, are for the user of the program.
///
/// ```
/// use checkpointed::Pipeline;
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("analysis.pipeline");
/// for factor in [2.0, 2.0, 3.0] {
///     let pipeline = Pipeline::open(&path)?;
///     let numbers = pipeline.step("load").run(|_| Ok::<_, std::io::Error>(vec![1.0, 2.0]))?;
///     let scaled = pipeline.step("scale").param("factor", &factor).input(&numbers).run(|_| {
///         let numbers = numbers.load()?;
///         let scaled = numbers.iter().map(|number| number * factor).collect();
///         Ok::<Vec<f64>, checkpointed::Error>(scaled)
///     })?;
///     assert_eq!(scaled.load()?[1], 2.0 * factor);
///     for step in pipeline.finish()? {
///         println!("{step}"); // the second time: load: reused, scale: reused
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Commands
/// `CHECKPOINT_STEPS` holds any number of these, separated by commas; of `from` and `to`, one each.
/// The methods with the same names do the same, and so do [`force_only`](Pipeline::force_only) and
/// [`use_version`](Pipeline::use_version). It does not reach a pipeline that a step opens.
///
/// | command | meaning |
/// |---|---|
/// | `force:STEP` | runs it again, and all steps that depend on it |
/// | `force-only:STEP` | runs it again, and takes the steps that depend on it as still valid |
/// | `only:STEP` | runs it and no other: the kept outputs of the others are taken as they are |
/// | `from:STEP` | runs it and all steps that depend on it; kept outputs before it are taken |
/// | `to:STEP` | stops after it: the next step is an error ([`Error::StepNotRun`]) |
/// | `accept:STEP` | accepts its version with the fewest changes, from now on |
/// | `use:STEP@N` | takes version N of its output |
pub struct Pipeline {
    /// The number of the pipeline in this process: outputs of another one cannot be inputs of this.
    number: u64,
    commands: Commands,
    watcher: Callback<StepEvent>,
    files: Mutex<Files>,
    book: Mutex<Book>,
    /// The processes that run it at the same time, if it is shared.
    users: Option<Users>,
    /// The newest version of each step at the opening, if it is shared.
    at_open: BTreeMap<String, u64>,
    project: Project,
    workshop: Workshop,
    guard: Arc<Guard>,
}

/// The record of this run.
#[derive(Debug, Default)]
struct Book {
    /// The names of the steps, by their lower case.
    names: BTreeMap<String, String>,
    /// The steps whose run ended with an error, by the lower case of their names: the program may
    /// declare them again.
    failed: BTreeSet<String>,
    /// The step that produces a file, by the path of the file without links.
    produced: BTreeMap<PathBuf, String>,
    /// The files of the outputs of this run, by step.
    made: BTreeMap<String, Vec<Input>>,
    reports: Vec<StepReport>,
    marks: Marks,
    /// The steps that depend on each step, once they were read.
    followers: Option<Arc<Followers>>,
    /// The steps that this run left requests for, each with the forced steps that it depended on.
    left: BTreeMap<String, BTreeSet<String>>,
}

impl Book {
    /// Declares a step. Returns whether it had failed before.
    ///
    /// # Errors
    /// The name of the other step that has this name.
    fn declare(&mut self, name: &str) -> Result<bool, String> {
        let declared = name.to_lowercase();
        let had_failed = match self.names.get(&declared) {
            Some(same) if same != name || !self.failed.contains(&declared) => return Err(same.clone()),
            same => same.is_some(),
        };
        self.failed.remove(&declared);
        self.names.insert(declared, name.to_owned());
        Ok(had_failed)
    }

    /// Takes a declaration back.
    fn undeclare(&mut self, name: &str, had_failed: bool) {
        let declared = name.to_lowercase();
        if had_failed {
            self.failed.insert(declared);
        } else {
            self.names.remove(&declared);
        }
    }
}

impl Pipeline {
    /// Opens a pipeline directory, and creates it if it is absent. The commands of
    /// `CHECKPOINT_STEPS` apply.
    ///
    /// # Errors
    /// [`Error::InUse`] if another program has it open, unless both
    /// [share](PipelineBuilder::shared) it, [`Error::InvalidSetting`] if
    /// `CHECKPOINT_STEPS` cannot be understood, and the errors of opening a directory.
    pub fn open(path: impl AsRef<Path>) -> Result<Pipeline, Error> {
        PipelineBuilder::new(path.as_ref()).open()
    }

    /// Settings for a pipeline directory, to be changed and then opened.
    pub fn builder(path: impl AsRef<Path>) -> PipelineBuilder {
        PipelineBuilder::new(path.as_ref())
    }

    #[cfg(test)]
    pub(crate) fn on(disk: Arc<dyn crate::store::Disk>, path: &Path) -> Result<Pipeline, Error> {
        PipelineBuilder::new(path).open_on(disk)
    }

    /// Calls `watcher` whenever a step begins, waits for another process, is done or was reused,
    /// for example to print a line of progress. A step that fails sends no event: `run` returns its
    /// error.
    #[must_use]
    pub fn on_step(mut self, watcher: impl Fn(&StepEvent) + Send + Sync + 'static) -> Pipeline {
        self.watcher = Callback::new("on_step", watcher);
        self
    }

    /// Runs a step again, and all steps that depend on it.
    #[must_use]
    pub fn force(mut self, step: &str) -> Pipeline {
        self.commands.force.insert(step.to_owned());
        self
    }

    /// Runs a step again, and takes the steps that depend on it as still valid, in this run.
    #[must_use]
    pub fn force_only(mut self, step: &str) -> Pipeline {
        self.commands.force_only.insert(step.to_owned());
        self
    }

    /// Runs a step, and no other: the kept outputs of the others are taken as they are.
    #[must_use]
    pub fn only(mut self, step: &str) -> Pipeline {
        self.commands.only.insert(step.to_owned());
        self
    }

    /// Runs a step and all steps that depend on it. The outputs of steps before it are taken as
    /// they are, if they are kept.
    #[must_use]
    pub fn from(mut self, step: &str) -> Pipeline {
        self.commands.from = Some(step.to_owned());
        self
    }

    /// Stops after a step, to look at its output: the next step is an error
    /// ([`Error::StepNotRun`]).
    #[must_use]
    pub fn to(mut self, step: &str) -> Pipeline {
        self.commands.to = Some(step.to_owned());
        self
    }

    /// Accepts an old version of a step's output for the present parameters and inputs, from now
    /// on. It takes the version with the fewest changes. Where none is kept, or that version
    /// produced other files, the step is run.
    #[must_use]
    pub fn accept(mut self, step: &str) -> Pipeline {
        self.commands.accept.insert(step.to_owned());
        self
    }

    /// Takes a kept version of a step's output, whatever it was made from. See
    /// [`versions`](Pipeline::versions) for the numbers.
    #[must_use]
    pub fn use_version(mut self, step: &str, version: u64) -> Pipeline {
        self.commands.versions.insert(step.to_owned(), version);
        self
    }

    /// Declares a step: a stage of the program with a name of its own.
    #[must_use = "a step does nothing until it is run"]
    pub fn step(&self, name: &str) -> Step<'_> {
        Step::new(self, name)
    }

    /// Gives a sign of life, so that a purge of old files takes no lock.
    fn touch(&self) {
        match &self.users {
            Some(users) => users.touch(),
            None => self.guard.touch(),
        }
    }

    /// Returns the reason to stop, if there is one, for work between steps. Steps ask by
    /// [`StepContext::should_stop`].
    #[must_use]
    pub fn should_stop(&self) -> Option<StopReason> {
        let _warnings = self.workshop.options.warnings.enter();
        self.workshop.stop.reason(Instant::now(), Duration::ZERO, Duration::ZERO)
    }

    /// Returns the steps that this process ran or reused so far, in this order. A process that was
    /// forked from it ran none of them.
    #[must_use]
    pub fn reports(&self) -> Vec<StepReport> {
        match self.guard.is_of_this_process() {
            true => self.book().reports.clone(),
            false => Vec::new(),
        }
    }

    /// The numbers of the kept versions of a step's output, oldest first.
    ///
    /// # Errors
    /// An error if the step's directory cannot be listed.
    pub fn versions(&self, step: &str) -> Result<Vec<u64>, Error> {
        let _warnings = self.workshop.options.warnings.enter();
        self.outputs(step).generations()
    }

    /// Ends the run after all steps are declared. Returns the reports of the steps.
    ///
    /// # Errors
    /// [`Error::UnknownStep`] if a command named a step that does not exist. All work is saved even
    /// then. [`Error::OtherProcess`] in a process that was forked from the one that opened the
    /// pipeline.
    pub fn finish(self) -> Result<Vec<StepReport>, Error> {
        self.guard.check_process()?;
        let Book { names, reports, .. } = std::mem::take(&mut *self.book());
        let is_known = |name: &str| names.get(&name.to_lowercase()).is_some_and(|known| known == name);
        match self.commands.names().find(|name| !is_known(name)) {
            Some(step) => {
                let mut known: Vec<String> = names.values().cloned().collect();
                known.sort();
                Err(Error::UnknownStep { step: step.to_owned(), known })
            }
            None => Ok(reports),
        }
    }

    /// Begins another pipeline directory with all outputs that this one has kept. They are not
    /// copied if the file system can link files. Later work in one of the two does not touch the
    /// other. Open the branch with the same [protection](PipelineBuilder::protection).
    ///
    /// # Errors
    /// An error if `path` exists already, or files cannot be made there; then no file is left.
    pub fn branch(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let _warnings = self.workshop.options.warnings.enter();
        self.guard.check()?;
        branch::branch(&self.workshop, &absolute(path)?)
    }

    /// The pipeline directory, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.workshop.path
    }

    /// The caller has checked that this process opened the pipeline: in a forked one, a thread of
    /// the parent may have the lock forever.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn files(&self) -> HeldGuard<'_, Files> {
        // The code of the program that takes the warnings may run a step.
        HeldGuard::new(self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tell(&self, event: impl FnOnce() -> StepEvent) {
        let _warnings = self.workshop.options.warnings.enter();
        self.watcher.tell(event);
    }

    /// The directory of the versions of a step's output.
    fn outputs(&self, step: &str) -> Directory {
        let path = self.path().join(place_of(step));
        Directory::new(&path, Arc::clone(&self.workshop.disk)).guarded(&self.guard)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        if self.guard.is_of_this_process() {
            let _warnings = self.workshop.options.warnings.enter();
            self.files().remember();
            let stop = &self.workshop.stop;
            stop.leave(!self.workshop.shared);
            if let Some(users) = self.users.take() {
                users.leave(stop.heard(), |kind| stop.meet_for_all(kind));
            }
        }
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pipeline").field("path", &self.path()).finish_non_exhaustive()
    }
}
