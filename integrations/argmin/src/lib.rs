//! [`checkpointed`] for optimizations by [`argmin`]: after a crash, a full disk or a job limit they
//! go on from the newest checkpoint that is whole.
//!
//! One line is added to the program, and one more where its result is to be kept:
//!
//! ```
//! use argmin::core::{CostFunction, Error, Executor};
//! use argmin::solver::neldermead::NelderMead;
//! use checkpointed_argmin::Checkpoints;
//!
//! struct Rosenbrock;
//!
//! impl CostFunction for Rosenbrock {
//!     type Param = Vec<f64>;
//!     type Output = f64;
//!
//!     fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
//!         Ok((1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2))
//!     }
//! }
//!
//! # fn main() -> Result<(), Error> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("fit.ckpt");
//! let solver = NelderMead::new(vec![vec![-1.0, 3.0], vec![2.0, 1.5], vec![2.0, -1.0]]);
//! let checkpoints = Checkpoints::open(&path)?;
//! let result = Executor::new(Rosenbrock, solver)
//!     .configure(|state| state.max_iters(200))
//!     .checkpointing(checkpoints.clone())
//!     .run()?;
//! checkpoints.finish(&result)?; // the next start has this result at once
//! assert!(result.state.best_cost < 1e-10);
//! # Ok(())
//! # }
//! ```
//!
//! argmin asks after each iteration. The [schedule](checkpointed::Schedule) of the checkpointer
//! decides whether a save is due; only then are the solver and its state encoded, from where they
//! are. The state holds the parameters, the costs and the number of iterations; argmin counts the
//! calls of the cost function anew in each process.
//!
//! A load replaces all that `configure` has set: the number of iterations and the target cost are
//! those of the first start. To change them, begin another directory.
//! [`Builder::config`](checkpointed::Builder::config) tells of settings that differ from those of
//! the checkpoint.
//!
//! # Signals and job limits
//!
//! Leave time limits to the checkpointer, and not to argmin's `timeout`; and signals too, by
//! `.ctrlc(false)` where argmin has its feature `ctrlc`, whose handler would take the place of the
//! checkpointer's. [`finish`](Checkpoints::finish) refuses a result that was ended in these ways,
//! because each later start would take it for the end.
//!
//! Where the checkpointer is to [stop](checkpointed::Builder::stop_on_signals), the optimization is
//! saved, and [`Executor::run`](argmin::core::Executor::run) returns [`Stopped`]:
//!
//! ```no_run
//! # use argmin::core::{CostFunction, Error, Executor};
//! # use argmin::solver::neldermead::NelderMead;
//! # struct Rosenbrock;
//! # impl CostFunction for Rosenbrock {
//! #     type Param = Vec<f64>;
//! #     type Output = f64;
//! #     fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
//! #         Ok(x[0])
//! #     }
//! # }
//! use std::process::ExitCode;
//!
//! use checkpointed::Checkpointer;
//! use checkpointed_argmin::{Checkpoints, Stopped};
//!
//! fn main() -> Result<ExitCode, Error> {
//!     let solver = NelderMead::new(vec![vec![-1.0, 3.0], vec![2.0, 1.5], vec![2.0, -1.0]]);
//!     let checkpoints = Checkpointer::builder("fit.ckpt").stop_on_signals().stop_before_deadline().open()?;
//!     let run = Executor::new(Rosenbrock, solver).checkpointing(Checkpoints::new(checkpoints)).run();
//!     match run {
//!         Ok(result) => println!("{result}"),
//!         Err(error) => return Ok(error.downcast::<Stopped>()?.exit_code()),
//!     }
//!     Ok(ExitCode::SUCCESS)
//! }
//! ```

use std::fmt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argmin::core::checkpointing::{Checkpoint, CheckpointingFrequency};
use argmin::core::{OptimizationResult, State, TerminationReason};
use checkpointed::{Checkpointer, Finished, Plain, traits::Borrowed};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A solver and its state, as a load gives them.
pub type Saved<S, I> = Plain<(S, I)>;

/// `None` once the run has ended.
type Running<S, I> = Option<Checkpointer<Saved<S, I>>>;

/// The checkpoints of one optimization, for
/// [`Executor::checkpointing`](argmin::core::Executor::checkpointing).
///
/// A clone is the same checkpoints: give one to argmin, and keep the other to
/// [`finish`](Checkpoints::finish).
pub struct Checkpoints<S, I>
where
    S: Serialize + DeserializeOwned + 'static,
    I: Serialize + DeserializeOwned + 'static,
{
    checkpointer: Arc<Mutex<Running<S, I>>>,
}

/// A solver and its state, from where they are.
#[derive(Serialize)]
struct Parts<'a, S, I>((&'a S, &'a I));

impl<S, I> Borrowed for Parts<'_, S, I>
where
    S: Serialize + DeserializeOwned + 'static,
    I: Serialize + DeserializeOwned + 'static,
{
    type Owned = Saved<S, I>;
}

impl<S, I> Checkpoints<S, I>
where
    S: Serialize + DeserializeOwned + 'static,
    I: Serialize + DeserializeOwned + 'static,
{
    /// Opens a checkpoint directory, and creates it where it is absent.
    ///
    /// # Errors
    /// As [`Checkpointer::open`].
    pub fn open(directory: impl AsRef<Path>) -> Result<Checkpoints<S, I>, checkpointed::Error> {
        Checkpointer::open(directory.as_ref()).map(Checkpoints::new)
    }

    /// The checkpoints of a checkpointer with settings of its own: another schedule, reasons to
    /// stop, metadata. [`Schedule::every_of("iteration", n)`](checkpointed::Schedule::every_of)
    /// counts the iterations of all runs together.
    pub fn new(checkpointer: Checkpointer<Saved<S, I>>) -> Checkpoints<S, I> {
        Checkpoints { checkpointer: Arc::new(Mutex::new(Some(checkpointer))) }
    }

    /// Saves the result of an optimization, and ends its run: the next start loads it, and argmin
    /// returns it at once.
    ///
    /// # Errors
    /// As [`Checkpointer::finish`], and
    /// [`Error::InvalidSetting`](checkpointed::Error::InvalidSetting) if the run has ended before,
    /// or if argmin's `timeout` or its handler of ctrl+c has ended it: then the last checkpoint
    /// stays the newest, and the next start goes on from it.
    pub fn finish<O>(&self, result: &OptimizationResult<O, S, I>) -> Result<Finished, checkpointed::Error>
    where
        I: State,
    {
        if let Some(TerminationReason::Timeout | TerminationReason::Interrupt) =
            result.state.get_termination_reason()
        {
            return Err(checkpointed::home::invalid_setting(
                "the end of an optimization by argmin's `timeout` or ctrl+c".to_owned(),
                "a later start would take it for the result: the last checkpoint stays, from which the next start goes \
                 on; use `time_limit` and `stop_on_signals` of the checkpointer, and `.ctrlc(false)`",
            ));
        }
        self.end(&result.solver, &result.state)
    }

    fn end(&self, solver: &S, state: &I) -> Result<Finished, checkpointed::Error> {
        let checkpointer = self.lock().take().ok_or_else(ended)?;
        checkpointer.finish_parts(&Parts((solver, state)))
    }

    fn lock(&self) -> MutexGuard<'_, Running<S, I>> {
        self.checkpointer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended() -> checkpointed::Error {
    checkpointed::home::invalid_setting(
        "the checkpoints of an optimization".to_owned(),
        "their run has ended: open them again for the next one",
    )
}

impl<S, I> Checkpoint<S, I> for Checkpoints<S, I>
where
    S: Serialize + DeserializeOwned + 'static,
    I: State + Serialize + DeserializeOwned + 'static,
{
    fn save(&self, solver: &S, state: &I) -> Result<(), argmin::core::Error> {
        let mut locked = self.lock();
        let checkpointer = locked.as_mut().ok_or_else(ended)?;
        checkpointer.count("iteration", state.get_iter());
        checkpointer.save_parts_if_due(&Parts((solver, state)))?;
        let Some(reason) = checkpointer.should_stop().map(ToString::to_string) else { return Ok(()) };
        drop(locked);
        let finished = self.end(solver, state)?;
        Err(Stopped { iteration: state.get_iter(), reason, finished }.into())
    }

    fn load(&self) -> Result<Option<(S, I)>, argmin::core::Error> {
        let mut locked = self.lock();
        Ok(locked.as_mut().ok_or_else(ended)?.load()?.map(|Plain(both)| both))
    }

    /// Every iteration: the schedule of the checkpointer decides.
    fn frequency(&self) -> CheckpointingFrequency {
        CheckpointingFrequency::Always
    }
}

impl<S, I> Clone for Checkpoints<S, I>
where
    S: Serialize + DeserializeOwned + 'static,
    I: Serialize + DeserializeOwned + 'static,
{
    fn clone(&self) -> Checkpoints<S, I> {
        Checkpoints { checkpointer: Arc::clone(&self.checkpointer) }
    }
}

impl<S, I> fmt::Debug for Checkpoints<S, I>
where
    S: Serialize + DeserializeOwned + 'static,
    I: Serialize + DeserializeOwned + 'static,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.lock().as_ref().map(|checkpointer| checkpointer.path().to_owned());
        formatter.debug_struct("Checkpoints").field("path", &path).finish_non_exhaustive()
    }
}

/// The error of an optimization that was stopped, and is saved.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stopped {
    /// The number of iterations that are saved.
    pub iteration: u64,
    /// The reason, in words.
    pub reason: String,
    /// The end of the run.
    pub finished: Finished,
}

impl Stopped {
    /// The code with which the program is to end, so that the batch system starts it again. See
    /// [`Finished::exit_code`].
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        self.finished.exit_code()
    }
}

impl fmt::Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stopped { iteration, reason, .. } = self;
        write!(
            formatter,
            "the optimization was stopped by {reason}; it is saved after iteration {iteration}, and the next start goes on from there"
        )
    }
}

impl std::error::Error for Stopped {}
