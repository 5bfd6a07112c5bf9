//! Runs steps that do not depend on each other at the same time.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use super::Pipeline;
use super::commands::{InStep, is_in_step};
use crate::base::warnings::{Warnings, warn};

/// Runs functions at the same time, at most as many as there are processors.
pub struct Parallel<'scope, 'env> {
    scope: &'scope thread::Scope<'scope, 'env>,
    permits: Arc<Permits>,
    /// The pipeline's receiver of warnings.
    warnings: Warnings,
}

/// A function that runs, or waits for its turn.
#[derive(Debug)]
pub struct Task<'scope, R>(Running<'scope, R>);

/// The place where a function runs.
#[derive(Debug)]
enum Running<'scope, R> {
    /// In a thread of its own.
    Thread(ScopedJoinHandle<'scope, R>),
    /// In the thread that began it. It has ended.
    Here(thread::Result<R>),
}

/// The number of functions that may still start.
#[derive(Debug)]
struct Permits {
    free: Mutex<usize>,
    given_back: Condvar,
}

thread_local! {
    /// The permits of the `parallel` that this thread runs in; it has one of them.
    static PERMITS: RefCell<Option<Arc<Permits>>> = const { RefCell::new(None) };
}

/// Waits for something that is no work of this thread: meanwhile another function may run.
pub(super) fn wait_for<R>(ended: impl FnOnce() -> R) -> R {
    let Some(permits) = permits_of_thread() else { return ended() };
    let _lent = Lent::new(&permits);
    ended()
}

fn permits_of_thread() -> Option<Arc<Permits>> {
    // A thread that ends may have no value any more.
    PERMITS.try_with(|permits| permits.borrow().clone()).ok().flatten()
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

    fn give_back(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.given_back.notify_one();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A permit that a thread gave back for a while, taken again when dropped.
struct Lent<'a>(&'a Permits);

impl Lent<'_> {
    fn new(permits: &Permits) -> Lent<'_> {
        permits.give_back();
        Lent(permits)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // The thread gives it back at its end.
        std::mem::forget(self.0.take());
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
        let warnings = self.workshop.options.warnings.clone();
        let outer = permits_of_thread();
        let mut lent = None;
        let result = thread::scope(|scope| {
            let result = catch_unwind(AssertUnwindSafe(|| work(&Parallel { scope, permits, warnings })));
            // The scope waits for the tasks that were not joined, also after a panic. They may have
            // to wait for one of the `parallel` around this one.
            lent = outer.as_deref().map(Lent::new);
            result.unwrap_or_else(|panic| resume_unwind(panic))
        });
        drop(lent);
        result
    }
}

impl<'scope> Parallel<'scope, '_> {
    /// Begins a function in another thread. If the system has no thread to give (`ulimit -u`), the
    /// function runs at once in this one, with a warning.
    pub fn spawn<R: Send + 'scope>(&self, work: impl FnOnce() -> R + Send + 'scope) -> Task<'scope, R> {
        let permits = Arc::clone(&self.permits);
        // If a thread cannot be started, its function is not given back, so it is shared here.
        let work = Arc::new(Mutex::new(Some(work)));
        let its = Arc::clone(&work);
        let is_in_step = is_in_step();
        let begun = thread::Builder::new().spawn_scoped(self.scope, move || {
            let _permit = permits.take();
            PERMITS.set(Some(Arc::clone(&permits)));
            let _in_step = is_in_step.then(InStep::begin);
            taken(&its)
        });
        match begun {
            Ok(thread) => Task(Running::Thread(thread)),
            Err(error) => {
                let told = self.warnings.enter();
                warn(format!(
                    "a step is run by itself, there is no thread for it (see `ulimit -u`): {error}"
                ));
                drop(told);
                // Without a permit: the caller may have one already.
                Task(Running::Here(catch_unwind(AssertUnwindSafe(|| taken(&work)))))
            }
        }
    }
}

/// Runs the function that is waiting in `work`.
fn taken<R>(work: &Mutex<Option<impl FnOnce() -> R>>) -> R {
    let taken = work.lock().unwrap_or_else(PoisonError::into_inner).take();
    match taken {
        Some(work) => work(),
        None => unreachable!("a thread that was not begun has taken nothing"),
    }
}

impl<R> Task<'_, R> {
    /// Waits for the function. If it panics, so does this call. A step does not panic, it fails.
    ///
    /// A function of the same `parallel` may wait too: meanwhile another one runs in its place.
    pub fn join(self) -> R {
        let ended = match self.0 {
            // The function may have to wait for the permit of this thread.
            Running::Thread(thread) => wait_for(|| thread.join()),
            Running::Here(ended) => ended,
        };
        ended.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

impl fmt::Debug for Parallel<'_, '_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Parallel")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn processors() -> usize {
        thread::available_parallelism().map_or(1, std::num::NonZero::get)
    }

    #[test]
    fn tasks_that_join_each_other_end() {
        let directory = tempfile::tempdir().unwrap();
        let pipeline = Pipeline::open(directory.path().join("test.pipeline")).unwrap();
        // Each joins the one before it. More of them begin than may run at the same time.
        let joins = pipeline.parallel(|parallel| {
            let (begin, begun) = mpsc::channel();
            let mut row = Vec::new();
            for _ in 0..2 * processors() {
                let (give, given) = mpsc::channel::<Task<'_, usize>>();
                let begin = begin.clone();
                let task = parallel.spawn(move || {
                    begin.send(()).unwrap();
                    given.recv().unwrap().join() + 1
                });
                row.push((task, give));
            }
            // No permit is left for the one that all wait for.
            for _ in 0..processors() {
                begun.recv().unwrap();
            }
            let mut last = parallel.spawn(|| 0);
            for (task, give) in row {
                give.send(last).unwrap();
                last = task;
            }
            last.join()
        });
        assert_eq!(joins, 2 * processors());
    }

    /// Each task has a `parallel` of its own, whose end waits for a task around it. Returns the
    /// number of those that ended.
    fn tasks_that_join_those_around(panics: bool) -> usize {
        let directory = tempfile::tempdir().unwrap();
        let pipeline = Pipeline::open(directory.path().join("test.pipeline")).unwrap();
        let within = &pipeline;
        let (end, ended) = mpsc::channel();
        pipeline.parallel(|around| {
            let (begin, begun) = mpsc::channel();
            let mut gives = Vec::new();
            for _ in 0..processors() {
                let (give, given) = mpsc::channel::<Task<'_, ()>>();
                let (begin, end) = (begin.clone(), end.clone());
                around.spawn(move || {
                    begin.send(()).unwrap();
                    let task = given.recv().unwrap();
                    let inner = catch_unwind(AssertUnwindSafe(|| {
                        within.parallel(|parallel| {
                            // The end of `parallel` waits for it.
                            parallel.spawn(move || {
                                task.join();
                                end.send(()).unwrap();
                            });
                            assert!(!panics, "as planned");
                        });
                    }));
                    assert_eq!(inner.is_err(), panics);
                });
                gives.push(give);
            }
            for _ in 0..processors() {
                begun.recv().unwrap();
            }
            for give in gives {
                give.send(around.spawn(|| ())).unwrap();
            }
        });
        drop(end);
        ended.iter().count()
    }

    #[test]
    fn a_task_may_join_one_of_the_parallel_around_it() {
        assert_eq!(tasks_that_join_those_around(false), processors());
    }

    #[test]
    fn a_panic_beside_a_task_that_waits_hangs_nothing() {
        assert_eq!(tasks_that_join_those_around(true), processors());
    }
}
