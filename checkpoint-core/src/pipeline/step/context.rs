//! [`StepContext`]: the checkpoints of a step's own, and the reasons to stop it.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;

use crate::error::Error;
use crate::pipeline::builder::Workshop;
use crate::pipeline::inputs::Inputs;
use crate::pipeline::produced::{Facts, Saved};
use crate::pipeline::project::Project;
use crate::run::builder::Builder;
use crate::run::checkpointer::Checkpointer;
use crate::run::read_back::ReadBack;
use crate::run::stamp::{Earlier, Notes, Stamp};
use crate::state::Checkpoint;
use crate::stop::{Asking, StopReason, Told, withdraw_halt};
use crate::store::WithinGuard;

/// The context of a step's function.
#[derive(Debug)]
pub struct StepContext {
    step: String,
    /// The place of its own checkpoints in the pipeline directory.
    place: String,
    /// The reason to stop that the step knows.
    told: Told,
    asking: Asking,
    read_back: ReadBack,
    inputs: Arc<Inputs>,
    /// The files that it produces, and the project that their names start from.
    produced: Arc<Saved>,
    project: Project,
    /// The checkpoints of its own that it had before it began.
    earlier: Arc<Earlier>,
    /// The locks that are kept from a purge of old files while the step works.
    locks: Arc<[WithinGuard]>,
    workshop: Workshop,
}

impl StepContext {
    pub(super) fn new(
        step: &str,
        (place, earlier, locks): (String, Earlier, Vec<WithinGuard>),
        read_back: ReadBack,
        inputs: &Arc<Inputs>,
        (produced, project): (Saved, &Project),
        workshop: &Workshop,
    ) -> StepContext {
        StepContext {
            step: step.to_owned(),
            place,
            told: Told::default(),
            asking: Asking::new(&workshop.stop),
            read_back,
            inputs: Arc::clone(inputs),
            produced: Arc::new(produced),
            project: project.clone(),
            earlier: Arc::new(earlier),
            locks: locks.into(),
            workshop: workshop.clone(),
        }
    }

    /// The name of the step.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Opens checkpoints of the step's own, so that it continues in its middle after a crash. They
    /// belong to its present version, parameters and inputs, and are removed once its output for
    /// these is made.
    ///
    /// If they tell the step to stop, by [`should_stop`](Checkpointer::should_stop) or
    /// [`save_if_due`](Checkpointer::save_if_due), its output does not count, and the next run
    /// continues from its progress.
    ///
    /// A state is not loaded if a save found an input [file](crate::pipeline::Step::file) with
    /// other content, then or before: it is not known what the state was computed from. Instead,
    /// the newest state from before the change is loaded, with a warning, or none.
    ///
    /// A save syncs the [files that the step produces](crate::pipeline::Step::produces), as far as
    /// they are there. A step that goes on from a checkpoint may leave these as they are.
    ///
    /// ```
    /// use checkpointed::{Error, Pipeline};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// let pipeline = Pipeline::open(directory.path().join("analysis.pipeline"))?;
    /// let sum = pipeline.step("sum").run(|context| {
    ///     let mut checkpoints = context.checkpointer::<(u64, u64)>()?;
    ///     let (mut number, mut sum) = checkpoints.load_or_default()?;
    ///     while number < 100 {
    ///         number += 1;
    ///         sum += number;
    ///         checkpoints.save_if_due(&(number, sum))?;
    ///     }
    ///     Ok::<u64, Error>(sum)
    /// })?;
    /// assert_eq!(*sum.load()?, 5050);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Checkpointer::open`].
    pub fn checkpointer<S: Checkpoint>(&self) -> Result<Checkpointer<S>, Error> {
        self.builder().open()
    }

    /// The settings of such checkpoints, to be changed and then opened: their schedule, how many
    /// are kept, whether they are saved in the background, and all others of a
    /// [`Builder`](crate::Builder), but a mirror: they go when the step is done.
    ///
    /// ```
    /// use std::time::Duration;
    /// use checkpointed::{Error, Pipeline, Schedule};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// let pipeline = Pipeline::open(directory.path().join("analysis.pipeline"))?;
    /// let sum = pipeline.step("sum").run(|context| {
    ///     let every = Schedule::every(Duration::from_secs(600));
    ///     let mut checkpoints = context.builder::<u64>().schedule(every).keep_last(5).open()?;
    ///     let mut sum = checkpoints.load_or_default()?;
    ///     while sum < 100 {
    ///         sum += 1;
    ///         checkpoints.save_if_due(&sum)?;
    ///     }
    ///     Ok::<u64, Error>(sum)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder<S: Checkpoint>(&self) -> Builder<S> {
        let (inputs, step) = (Arc::clone(&self.inputs), self.step.clone());
        let locks = Arc::clone(&self.locks);
        let (produced, project, workshop) =
            (Arc::clone(&self.produced), self.project.clone(), self.workshop.clone());
        let earlier = Arc::clone(&self.earlier);
        let look = move || {
            touch(&locks);
            let produced = produced.look(&former(&earlier.notes()), &project, &workshop);
            Notes { produced, ..inputs.doubtful(&step) }
        };
        let stamp = Stamp::new(look, &self.earlier);
        let builder = self.workshop.builder(&self.place).read_back(self.read_back).stamped(stamp);
        builder.part_of(&self.workshop.stop, Arc::clone(&self.told))
    }

    /// Returns the reason to stop before the end of the work: a signal, a time, or a request to the
    /// pipeline, see [`PipelineBuilder`](crate::pipeline::PipelineBuilder). For a step without
    /// checkpoints of its own; those know the reason by themselves.
    ///
    /// Once it returned a reason, the output of the step does not count: end the function, with
    /// [`not_done`](StepContext::not_done) for example.
    ///
    /// ```
    /// use checkpointed::{Error, Pipeline};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("analysis.pipeline");
    /// let pipeline = Pipeline::builder(&path).stop_on_signals().stop_before_deadline().open()?;
    /// let sum = pipeline.step("sum").run(|context| {
    ///     let mut sum = 0;
    ///     for number in 1..=100 {
    ///         if context.should_stop().is_some() {
    ///             return Err(context.not_done());
    ///         }
    ///         sum += number;
    ///     }
    ///     Ok(sum)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn should_stop(&self) -> Option<StopReason> {
        touch(&self.locks);
        let _warnings = self.workshop.options.warnings.enter();
        let reason = self.asking.reason()?;
        self.stop(reason.clone());
        Some(reason)
    }

    /// Says that the step stops before the end of its work, for a reason that it heard of by
    /// itself: its output does not count, and [`run`](crate::pipeline::Step::run) returns
    /// [`Error::StepStopped`].
    pub fn stop(&self, reason: StopReason) {
        let exit_code = self.workshop.stop.exit_codes().of(&reason);
        self.told.get_or_init(|| (reason, exit_code));
    }

    /// The error for the step's function to return where it ends before its work is done: nothing
    /// of it counts as an output. The next run of the program runs the step again.
    #[must_use]
    pub fn not_done(&self) -> Error {
        self.error().unwrap_or_else(|| Error::StepStopped {
            step: self.step.clone(),
            begun: true,
            reason: "it says that it is not done".to_owned(),
            exit_code: self.workshop.stop.exit_codes().requeue,
        })
    }

    /// The facts of the produced files in the checkpoint of its own that the step went on from, if
    /// it did.
    pub(super) fn former(&self) -> Option<Facts> {
        self.continued().as_ref().map(former)
    }

    /// The notes of the checkpoints of its own that the step went on from, if it did.
    pub(super) fn continued(&self) -> Option<Notes> {
        self.earlier.was_loaded().then(|| self.earlier.notes())
    }

    /// The error of the step, if it was told to stop. The request that told it is met.
    pub(super) fn stopped(&self) -> Option<Error> {
        let error = self.error()?;
        // The next run is the start after this stop.
        withdraw_halt(&self.workshop.path.join(&self.place));
        self.workshop.meet_stop();
        Some(error)
    }

    /// The error of the step, if its function returned that it is not done, or that a step of
    /// another pipeline, which it ran, is not.
    pub(super) fn not_done_of(&self, error: &(dyn StdError + 'static)) -> Option<Error> {
        let mut cause = Some(error);
        let (step, reason, exit_code) = loop {
            let error = cause?;
            if let Some(Error::StepStopped { step, reason, exit_code, .. }) = error.downcast_ref() {
                break (step, reason, *exit_code);
            }
            // An error of the standard library that wraps another one passes over it.
            let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            cause = wrapped.map(|error| error as &(dyn StdError + 'static)).or_else(|| error.source());
        };
        if let Some(stopped) = self.stopped() {
            return Some(stopped);
        }
        let reason = if *step == self.step {
            reason.clone()
        } else {
            format!("step `{step}`, which it ran, was stopped: {reason}")
        };
        Some(Error::StepStopped { step: self.step.clone(), begun: true, reason, exit_code })
    }

    fn error(&self) -> Option<Error> {
        let (reason, exit_code) = self.told.get()?;
        let (step, reason, exit_code) = (self.step.clone(), reason.to_string(), *exit_code);
        Some(Error::StepStopped { step, begun: true, reason, exit_code })
    }
}

/// Keeps the locks of a step from a purge of old files.
fn touch(locks: &[WithinGuard]) {
    locks.iter().filter_map(WithinGuard::upgrade).for_each(|guard| guard.touch());
}

/// The facts of the produced files in notes. Those that cannot be read count on no file.
fn former(notes: &Notes) -> Facts {
    serde_json::from_str(&notes.produced).unwrap_or_default()
}
