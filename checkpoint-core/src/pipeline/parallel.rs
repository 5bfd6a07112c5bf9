//! Steps that do not depend on each other, at the same time.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use super::Pipeline;

/// Runs functions at the same time, no more of them than there are processors.
pub struct Parallel<'scope, 'env> {
    scope: &'scope thread::Scope<'scope, 'env>,
    permits: Arc<Permits>,
}

/// A function that runs, or waits for its turn.
#[derive(Debug)]
pub struct Task<'scope, R>(ScopedJoinHandle<'scope, R>);

/// How many more may run.
#[derive(Debug)]
struct Permits {
    free: Mutex<usize>,
    given_back: Condvar,
}

/// The right to run, given back when dropped.
struct Permit<'a>(&'a Permits);

impl Permits {
    fn take(&self) -> Permit<'_> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.given_back.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.given_back.notify_one();
    }
}

impl Pipeline {
    /// Runs steps that do not depend on each other at the same time.
    ///
    /// ```
    /// use checkpointed::{Error, Pipeline};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// let pipeline = Pipeline::open(directory.path().join("analysis.pipeline"))?;
    /// let (left, right) = pipeline.parallel(|parallel| {
    ///     let left = parallel.spawn(|| pipeline.step("left").run(|_| Ok::<u64, Error>(1)));
    ///     let right = parallel.spawn(|| pipeline.step("right").run(|_| Ok::<u64, Error>(2)));
    ///     (left.join(), right.join())
    /// });
    /// assert_eq!(*left?.load()? + *right?.load()?, 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn parallel<'env, R>(&self, work: impl for<'scope> FnOnce(&Parallel<'scope, 'env>) -> R) -> R {
        let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let permits = Arc::new(Permits { free: Mutex::new(processors), given_back: Condvar::new() });
        thread::scope(|scope| work(&Parallel { scope, permits }))
    }
}

impl<'scope> Parallel<'scope, '_> {
    /// Begins a function, in another thread.
    pub fn spawn<R: Send + 'scope>(&self, work: impl FnOnce() -> R + Send + 'scope) -> Task<'scope, R> {
        let permits = Arc::clone(&self.permits);
        Task(self.scope.spawn(move || {
            let _permit = permits.take();
            work()
        }))
    }
}

impl<R> Task<'_, R> {
    /// Waits for it. What panics there panics here too; a step does not panic, it fails.
    pub fn join(self) -> R {
        self.0.join().unwrap_or_else(|panic: Box<dyn Any + Send>| std::panic::resume_unwind(panic))
    }
}

impl fmt::Debug for Parallel<'_, '_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Parallel")
    }
}
