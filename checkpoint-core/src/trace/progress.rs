//! The tracer's position, for the thread that waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Progress {
    steps: AtomicU64,
    reading: Mutex<&'static str>,
}

impl Progress {
    /// Notes the type that is being read from here on. An unknown type has an empty name.
    pub(super) fn note(&self, type_name: &'static str) {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if !type_name.is_empty() {
            *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = type_name;
        }
    }

    /// A number that changes whenever the tracing goes on.
    pub(super) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// The innermost type that is being read.
    pub(super) fn reading(&self) -> &'static str {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
