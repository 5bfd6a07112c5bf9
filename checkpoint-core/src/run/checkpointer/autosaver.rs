//! [`Autosaver`]: a thread that saves a state which other threads change under a lock.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::panics::caught;
use crate::base::warnings::{Held, Warnings, warn};
use crate::codec::encoder;
use crate::container::Metadata;
use crate::error::Error;
use crate::outcome::{SaveReason, Saved, StopReason};
use crate::run::checkpointer::Checkpointer;
use crate::run::checkpointer::background::{Copier, Waits};
use crate::run::finished::Finished;
use crate::run::lifecycle::SaveOutcome;
use crate::state::Checkpoint;
use crate::stop::Observer;
use crate::store::Process;

/// The time between two looks at the schedule and the reasons to stop.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A lock around a state: [`Mutex`] and [`RwLock`].
pub trait Locked: sealed::Sealed + Send + Sync + 'static {
    /// The state.
    type State: Checkpoint;

    /// Calls `work` with the state, under the lock. Returns `None` where the lock is poisoned.
    #[doc(hidden)]
    fn with<R>(&self, work: impl FnOnce(&Self::State) -> R) -> Option<R>;
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for std::sync::Mutex<T> {}
    impl<T> Sealed for std::sync::RwLock<T> {}
}

impl<T: Checkpoint + Send + 'static> Locked for Mutex<T> {
    type State = T;

    fn with<R>(&self, work: impl FnOnce(&T) -> R) -> Option<R> {
        self.lock().ok().map(|state| work(&state))
    }
}

impl<T: Checkpoint + Send + Sync + 'static> Locked for RwLock<T> {
    type State = T;

    fn with<R>(&self, work: impl FnOnce(&T) -> R) -> Option<R> {
        self.read().ok().map(|state| work(&state))
    }
}

/// Saves a state that is shared by threads, from a thread of its own.
///
/// It saves when the schedule of its [`Checkpointer`] says so, and when the program is to stop. It
/// holds the lock of the state only while it copies the state in memory, and writes the copy after
/// that. A lock is held for as long as the state is inconsistent, so the copy is consistent.
///
/// ```
/// use checkpointed::{Autosaver, Checkpointer};
/// use std::sync::{Arc, Mutex};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let mut checkpoints = Checkpointer::<Vec<u64>>::builder(&path).stop_on_signals().open()?;
/// let found = Arc::new(Mutex::new(checkpoints.load_or_default()?));
/// let saver = Autosaver::start(checkpoints, Arc::clone(&found))?;
/// std::thread::scope(|scope| {
///     for worker in 0..4 {
///         let (found, saver) = (&found, &saver);
///         scope.spawn(move || {
///             for number in (worker..100).step_by(4) {
///                 if saver.should_stop().is_some() {
///                     break;
///                 }
///                 found.lock().unwrap().push(number);
///             }
///         });
///     }
/// });
/// let finished = saver.finish()?; // saves the last state
/// assert!(finished.saved.is_some());
/// # Ok(())
/// # }
/// ```
///
/// A save that fails is warned of, and [`check`](Autosaver::check) and
/// [`finish`](Autosaver::finish) return its error, unless
/// [`on_failed_save`](crate::Builder::on_failed_save) tolerates it. The thread goes on, and tries
/// again when the next save is due. A poisoned lock is such an error: its state is not saved. After
/// a reason to stop, too, it goes on to save by the schedule until the end.
///
/// `finish`, and a drop without it, wait for the thread: do not hold the lock of the state
/// meanwhile. A drop does not save. `finish` compares the state with the newest generation under
/// the lock. A forked process does not have the thread: there, nothing is saved, and `check` and
/// `finish` return an error.
#[must_use = "a dropped autosaver saves no more"]
pub struct Autosaver<L: Locked> {
    state: Arc<L>,
    shared: Arc<Shared>,
    /// The directory, for messages.
    path: PathBuf,
    warnings: Warnings,
    /// The process that has the thread.
    process: Process,
    /// `None` once it was finished.
    worker: Option<Worker<L::State>>,
}

struct Worker<T> {
    /// Dropped to end the thread.
    goes_on: Sender<()>,
    thread: JoinHandle<Checkpointer<T>>,
}

/// What the threads of the program share with that of the autosaver.
#[derive(Debug)]
struct Shared {
    status: Mutex<Status>,
    /// Looks for reasons to stop while the thread waits for the lock of the state. A thread takes
    /// it out for that: the code of the program may run meanwhile.
    observer: Mutex<Option<Box<Observer>>>,
}

/// What is known of the run.
#[derive(Debug, Default)]
struct Status {
    stop: Option<StopReason>,
    saved: Option<Saved>,
    /// The first error that the program does not know yet.
    error: Option<Error>,
}

/// Nothing that can panic runs under these locks.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn status(&self) -> MutexGuard<'_, Status> {
        lock(&self.status)
    }

    /// The reason to stop that is known, or one that is found now.
    fn should_stop(&self) -> Option<StopReason> {
        if let Some(stop) = &self.status().stop {
            return Some(stop.clone());
        }
        // If it is not there, another thread looks at this moment.
        let mut observer = lock(&self.observer).take()?;
        let found = observer.reason().cloned();
        *lock(&self.observer) = Some(observer);
        found.map(|reason| self.stop(reason))
    }

    /// Notes a reason to stop. Returns the first one.
    fn stop(&self, reason: StopReason) -> StopReason {
        self.status().stop.get_or_insert(reason).clone()
    }
}

impl<L: Locked> Autosaver<L> {
    /// Starts the thread, which has the checkpointer from now on.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] for a schedule by steps or by numbers that the program counts: the
    /// thread knows only of time. The error of the system if there is no thread.
    pub fn start(checkpoints: Checkpointer<L::State>, state: Arc<L>) -> Result<Autosaver<L>, Error>
    where
        L::State: Send,
    {
        if !checkpoints.inner.saver.run.goes_by_time() {
            return Err(Error::InvalidSetting {
                setting: "the schedule of an `Autosaver`".to_owned(),
                why: "it counts steps, and the thread that saves knows only of time: use `every`, `overhead`, \
                      `optimal` or `adaptive`",
            });
        }
        let path = checkpoints.path().to_owned();
        let warnings = checkpoints.warnings().clone();
        let observer = Mutex::new(Some(Box::new(checkpoints.inner.saver.run.observer(&path))));
        let shared = Arc::new(Shared { status: Mutex::default(), observer });
        let (goes_on, end) = channel();
        let (saved, told) = (Arc::clone(&state), Arc::clone(&shared));
        let work = move || {
            let mut checkpoints = checkpoints;
            let mut progress = StopSave::default();
            while end.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                let turn = caught(|| checkpoints.autosave(&*saved, &told, &mut progress));
                let name = || checkpoints.inner.reader.name();
                let turn = turn.unwrap_or_else(|message| Err(Error::Panicked { name: name(), message }));
                if let Err(error) = turn {
                    let _warnings = checkpoints.warnings().enter();
                    warn(format!(
                        "a save of the autosaver failed, the next one is tried when it is due: {error}"
                    ));
                    told.status().error.get_or_insert(error);
                }
            }
            checkpoints
        };
        let thread = std::thread::Builder::new().name("checkpoint-autosaver".to_owned()).spawn(work);
        let thread = thread.map_err(|source| Error::io("start a thread to save in", &path, source))?;
        let worker = Some(Worker { goes_on, thread });
        Ok(Autosaver { state, shared, path, warnings, process: Process::current(), worker })
    }

    /// Returns the reason to stop, if there is one, as [`Checkpointer::should_stop`] does: it looks
    /// at once, also while a save runs, and for a caller that holds the lock of the state. The
    /// state was saved for it, or will be.
    #[must_use]
    pub fn should_stop(&self) -> Option<StopReason> {
        // In a forked process, a thread of the parent may hold the locks.
        if self.process.id() != std::process::id() {
            return None;
        }
        let _warnings = self.warnings.enter();
        self.shared.should_stop()
    }

    /// Returns the last completed save; `None` if there was none.
    ///
    /// # Errors
    /// The first error of a save since the last call.
    pub fn check(&self) -> Result<Option<Saved>, Error> {
        if self.process.id() != std::process::id() {
            return Err(self.gone());
        }
        let mut status = self.shared.status();
        match status.error.take() {
            Some(error) => Err(error),
            None => Ok(status.saved.clone()),
        }
    }

    /// Ends the thread, saves the last state unless the newest generation has it, and ends the run,
    /// as [`Checkpointer::finish`] does.
    ///
    /// # Errors
    /// As [`Checkpointer::finish`]: also the first error since the last
    /// [`check`](Autosaver::check), even if this save succeeds. [`Error::Poisoned`] where a thread
    /// panicked with the lock. A panic of the state's own code goes on from here, once the lock is
    /// free.
    pub fn finish(mut self) -> Result<Finished, Error> {
        let _warnings = self.warnings.clone();
        let _warnings = _warnings.enter();
        let Some(mut checkpoints) = self.end()? else { return Err(ended()) };
        // The thread may not have heard of a reason to stop that the program was told.
        let stop = self.shared.status().stop.clone();
        if let Some(reason) = stop {
            checkpoints.inner.saver.run.stop(reason);
        }
        let earlier = self.shared.status().error.take();
        checkpoints.finish_locked(&*self.state, earlier)
    }

    /// Ends the thread, and takes the checkpointer back.
    fn end(&mut self) -> Result<Option<Checkpointer<L::State>>, Error> {
        let Some(Worker { goes_on, thread }) = self.worker.take() else { return Ok(None) };
        if !self.process.is_current() {
            // A forked process does not have the thread, and would wait for it forever.
            std::mem::forget((goes_on, thread));
            return Err(self.gone());
        }
        drop(goes_on);
        Ok(thread.join().ok())
    }

    /// The error of a forked process, which does not have the thread.
    fn gone(&self) -> Error {
        Error::OtherProcess { path: self.path.clone(), process: self.process.id() }
    }
}

/// The error of a thread that is no more.
fn ended() -> Error {
    Error::Panicked { name: "the autosaver".to_owned(), message: "its thread has ended".to_owned() }
}

impl<L: Locked> Drop for Autosaver<L> {
    fn drop(&mut self) {
        let _warnings = self.warnings.enter();
        drop(self.end());
    }
}

impl<L: Locked> fmt::Debug for Autosaver<L> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Autosaver").field("shared", &self.shared).finish_non_exhaustive()
    }
}

/// The save for a reason to stop.
#[derive(Debug, Default)]
struct StopSave {
    /// True once it was tried.
    was_tried: bool,
    /// True once it is on the disk.
    is_done: bool,
    /// True while it runs.
    runs: bool,
}

impl<T: Checkpoint> Checkpointer<T> {
    /// Looks for a reason to stop, and for the end of a save, and begins the next one if it is due.
    fn autosave<L: Locked<State = T>>(
        &mut self,
        state: &L,
        shared: &Shared,
        stop_save: &mut StopSave,
    ) -> Result<(), Error> {
        let _warnings = self.inner.saver.run.warnings.clone();
        let _warnings = _warnings.enter();
        let known = shared.status().stop.clone();
        if let Some(reason) = known {
            self.inner.saver.run.stop(reason);
        }
        let stop = self.inner.saver.run.should_stop().cloned().map(|reason| shared.stop(reason));
        if let Some(observer) = &mut *lock(&shared.observer) {
            self.inner.saver.run.inform(observer);
        }
        if self.inner.saver.is_busy() {
            return Ok(());
        }
        let was_for_stop = std::mem::take(&mut stop_save.runs);
        if let Some(saved) = self.inner.saver.outcome()?.0 {
            stop_save.is_done |= was_for_stop;
            shared.status().saved = Some(saved);
        }
        let (due, ..) = self.inner.saver.run.paced(1);
        let reason = match (stop, due) {
            (Some(stop), _) if !stop_save.was_tried => SaveReason::Stopping(stop),
            // It failed. It is tried again after the time that the schedule has for that.
            (Some(stop), Some(_)) if !stop_save.is_done => SaveReason::Stopping(stop),
            (_, Some(due)) => SaveReason::Due(due),
            (_, None) => return Ok(()),
        };
        let is_for_stop = matches!(reason, SaveReason::Stopping(_));
        stop_save.was_tried |= is_for_stop;
        stop_save.runs = is_for_stop;
        self.begin_locked(&reason, state)
    }

    /// Copies a locked state, and begins to save the copy.
    ///
    /// # Errors
    /// The save was not begun, and the failure is not tolerated.
    fn begin_locked<L: Locked<State = T>>(&mut self, reason: &SaveReason, state: &L) -> Result<(), Error> {
        let path = self.path().to_owned();
        let lend = &mut |copy: &mut Copier<'_>| {
            let lent = state.with(|state| copy(&mut encoder(state)));
            lent.ok_or_else(|| Error::Poisoned { path: path.clone() })
        };
        match self.inner.begin_save_from(reason, Waits::ForTheCopy, lend, Metadata::new()) {
            Ok(_) => Ok(()),
            Err(not_begun) => {
                // The schedule may not know of it.
                self.inner.saver.run.put_off();
                match not_begun.outcome {
                    SaveOutcome::Tolerated(_) => Ok(()),
                    SaveOutcome::Durable | SaveOutcome::Failed => Err(not_begun.error),
                }
            }
        }
    }

    /// Saves a locked state unless the newest generation has it, and ends the run. Returns the
    /// `earlier` error, if there is one.
    fn finish_locked<L: Locked<State = T>>(
        mut self,
        state: &L,
        earlier: Option<Error>,
    ) -> Result<Finished, Error> {
        self.inner.saver.run.check_process()?;
        let before = self.inner.saver.outcome().map(drop);
        let before = earlier.map_or(before, Err);
        self.inner.list_newer();
        // The state's own code must not poison the lock of the program by a panic.
        let held = Held::begin();
        let stands = state.with(|state| {
            catch_unwind(AssertUnwindSafe(|| self.inner.stands(&mut encoder(state), &Metadata::new())))
        });
        drop(held);
        let stands = stands.ok_or_else(|| Error::Poisoned { path: self.path().to_owned() })?;
        let saved = if stands.unwrap_or_else(|panic| resume_unwind(panic)) {
            None
        } else {
            self.begin_locked(&SaveReason::Finishing, state)?;
            self.inner.saver.outcome()?.0
        };
        let finished = self.inner.ended(saved, before.is_ok());
        before.map(|()| finished)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
