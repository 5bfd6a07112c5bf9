//! Callbacks: functions of the program that are notified of events.
//!
//! A callback can panic: a progress bar panics when the pipe that it prints to is closed. So
//! callbacks run last, when no invariant of ours is open, and a panic ends here.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::panics::called;
use crate::base::warnings::warn;

/// An optional callback of the program that is notified of each `E`.
pub(crate) struct Callback<E>(Option<Arc<Function<E>>>);

struct Function<E> {
    /// The setting that gave it.
    setting: &'static str,
    call: Box<dyn Fn(&E) + Send + Sync>,
    /// True after a panic.
    is_broken: AtomicBool,
}

impl<E> Callback<E> {
    pub(crate) fn new(setting: &'static str, call: impl Fn(&E) + Send + Sync + 'static) -> Callback<E> {
        Callback(Some(Arc::new(Function {
            setting,
            call: Box::new(call),
            is_broken: AtomicBool::new(false),
        })))
    }

    /// Notifies the callback. A callback that panicked is not called again: its data may be half
    /// changed.
    pub(crate) fn tell(&self, event: impl FnOnce() -> E) {
        let Some(function) = &self.0 else { return };
        if function.is_broken.load(Ordering::Relaxed) {
            return;
        }
        let event = event();
        if let Err(why) = called(|| (function.call)(&event)) {
            function.is_broken.store(true, Ordering::Relaxed);
            let setting = function.setting;
            warn(format!(
                "the function given to `{setting}` panicked ({why}), and is not called any more; nothing else is affected"
            ));
        }
    }
}

impl<E> Clone for Callback<E> {
    fn clone(&self) -> Callback<E> {
        Callback(self.0.clone())
    }
}

impl<E> Default for Callback<E> {
    fn default() -> Callback<E> {
        Callback(None)
    }
}

impl<E> fmt::Debug for Callback<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_ref().map_or("none", |function| function.setting))
    }
}
