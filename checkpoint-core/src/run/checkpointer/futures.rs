//! Futures for programs with an async runtime. They need none themselves: any executor can poll
//! them, and threads of ours wake their tasks.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, JoinHandle};

use crate::base::panics::caught;
use crate::base::warnings::{self, Warnings};
use crate::error::Error;
use crate::outcome::{Saved, StopReason};
use crate::run::checkpointer::Checkpointer;
use crate::run::finished::Finished;
use crate::state::Checkpoint;
use crate::store::Process;

impl<T: Checkpoint> Checkpointer<T> {
    /// Waits until there is a reason to stop: the async form of
    /// [`should_stop`](Checkpointer::should_stop).
    ///
    /// It looks at once, and then some fifty times a second. Dropping it loses nothing, so it fits
    /// into a `select!` beside the work.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    /// # use std::future::Future;
    /// # // Any executor will do. This one is for the example.
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     struct Unpark(std::thread::Thread);
    /// #     impl std::task::Wake for Unpark {
    /// #         fn wake(self: std::sync::Arc<Self>) { self.0.unpark() }
    /// #     }
    /// #     let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
    /// #             std::task::Poll::Ready(value) => return value,
    /// #             std::task::Poll::Pending => std::thread::park(),
    /// #         }
    /// #     }
    /// # }
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// # block_on(async {
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path).stop_on_signals().open()?;
    /// checkpointed::stop::request_halt(&path, "enough")?; // as `ckpt halt` does
    /// let reason = checkpoints.stopped().await;
    /// println!("stopping: {reason}");
    /// let finished = checkpoints.finish_in_background(7).await?;
    /// assert_eq!(finished.stopped, Some(reason));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
    pub fn stopped(&mut self) -> Stopped<'_, T> {
        Stopped { checkpoints: self }
    }

    /// Waits for the save that runs in the background, and returns its outcome: the async form of
    /// [`wait`](Checkpointer::wait). Dropping it loses nothing.
    ///
    /// A program with an async runtime saves by
    /// [`save_in_background`](Checkpointer::save_in_background), or sets
    /// [`background`](crate::Builder::background) for [`save_if_due`](Checkpointer::save_if_due):
    /// then no call waits for the disk, but a save for a reason to stop.
    pub fn saved(&mut self) -> Saving<'_, T> {
        Saving { checkpoints: self }
    }

    /// Saves the state and ends the run, as [`finish`](Checkpointer::finish) does, in a thread of
    /// its own: the async form of it.
    ///
    /// The thread starts with the call. Dropping the future waits for the thread, because the end
    /// of the program must not cut the last save short.
    pub fn finish_in_background(self, state: T) -> Finishing
    where
        T: Send + 'static,
    {
        let ending = Arc::new(Mutex::new(Ending::default()));
        let (path, warnings) = (self.path().to_owned(), self.warnings().clone());
        // The thread takes them from there, and if it cannot start, this function does.
        let work = Arc::new(Mutex::new(Some((self, state))));
        let (ending_there, work_there) = (Arc::clone(&ending), Arc::clone(&work));
        let finish = move |ending: &Mutex<Ending>, work: &Mutex<Option<(Checkpointer<T>, T)>>| {
            let Some((checkpoints, state)) = lock(work).take() else { return };
            let name = checkpoints.inner.reader.name();
            let finished = caught(|| checkpoints.finish(&state));
            let finished = finished.unwrap_or_else(|message| Err(Error::Panicked { name, message }));
            // The state is dropped first: that is code of the program.
            let _ = caught(|| drop(state));
            let waker = {
                let mut ending = lock(ending);
                ending.finished = Some(finished);
                ending.waker.take()
            };
            let _ = caught(|| waker.into_iter().for_each(Waker::wake));
        };
        let thread = thread::Builder::new()
            .name("checkpoint-finish".to_owned())
            .spawn(move || finish(&ending_there, &work_there))
            .inspect_err(|_| finish(&ending, &work))
            .ok();
        Finishing { ending, thread, path, process: Process::current(), warnings }
    }
}

/// The future of [`Checkpointer::stopped`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Stopped<'a, T> {
    checkpoints: &'a mut Checkpointer<T>,
}

impl<T: Checkpoint> Future for Stopped<'_, T> {
    type Output = StopReason;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<StopReason> {
        let checkpoints = &mut *self.get_mut().checkpoints;
        if let Some(reason) = checkpoints.should_stop() {
            return Poll::Ready(reason.clone());
        }
        checkpoints.inner.saver.run.ticker.wake_later(context.waker());
        Poll::Pending
    }
}

/// The future of [`Checkpointer::saved`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct Saving<'a, T> {
    checkpoints: &'a mut Checkpointer<T>,
}

impl<T: Checkpoint> Future for Saving<'_, T> {
    type Output = Result<Option<Saved>, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let checkpoints = &mut *self.get_mut().checkpoints;
        if checkpoints.is_saving() {
            checkpoints.inner.saver.wake_when_done(context.waker());
            // It may have ended before the thread knew of the task.
            if checkpoints.is_saving() {
                return Poll::Pending;
            }
        }
        Poll::Ready(checkpoints.wait())
    }
}

/// The future of [`Checkpointer::finish_in_background`].
///
/// Where it is dropped and the last save failed, the error is a warning of the run.
#[must_use = "the outcome of the last save is here"]
pub struct Finishing {
    ending: Arc<Mutex<Ending>>,
    /// `None` once it has ended, or where it could not start.
    thread: Option<JoinHandle<()>>,
    /// The directory, for messages.
    path: PathBuf,
    process: Process,
    /// The destinations of the warnings of the run.
    warnings: Warnings,
}

#[derive(Debug, Default)]
struct Ending {
    finished: Option<Result<Finished, Error>>,
    waker: Option<Waker>,
}

/// Nothing that can panic runs under these locks.
fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Future for Finishing {
    type Output = Result<Finished, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if !self.process.is_current() {
            // A forked process does not have the thread, and would wait for it forever.
            let (path, process) = (self.path.clone(), self.process.id());
            return Poll::Ready(Err(Error::OtherProcess { path, process }));
        }
        // The code of the runtime runs outside of the lock.
        let task = context.waker().clone();
        let mut ending = lock(&self.ending);
        if let Some(finished) = ending.finished.take() {
            drop(ending);
            return Poll::Ready(finished);
        }
        let before = ending.waker.replace(task);
        drop(ending);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Finishing {
    fn drop(&mut self) {
        if !self.process.is_current() {
            // A forked process does not have the thread.
            std::mem::forget(self.thread.take());
            return;
        }
        // A waker may own this, and be dropped by that thread itself.
        if let Some(thread) =
            self.thread.take().filter(|thread| thread.thread().id() != thread::current().id())
        {
            let _ = thread.join();
        }
        let finished = lock(&self.ending).finished.take();
        if let Some(Err(error)) = finished {
            let _warnings = self.warnings.enter();
            warnings::error(format!(
                "the last save failed, and the program did not ask for its outcome: {error}"
            ));
        }
    }
}

impl<T> fmt::Debug for Stopped<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stopped").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Saving<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Saving").finish_non_exhaustive()
    }
}

impl fmt::Debug for Finishing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Finishing").field("ending", &self.ending).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
