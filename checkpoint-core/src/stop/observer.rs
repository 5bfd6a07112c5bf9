//! A second look at the reasons to stop, for threads that do not have the run.

use std::sync::Arc;
use std::time::Instant;

use super::halt::{Request, RequestKind};
use super::limit::{Limit, Pace};
use super::{Stop, StopReason};
use crate::schedule::SaveTakes;
use crate::store::Guard;

/// Looks for the same reasons as the [`Stop`] of a run, and leaves them to be found by it too. It
/// asks no batch system: it knows what the run was told at the last [`follow`](Observer::follow).
#[derive(Debug)]
pub(crate) struct Observer {
    stop: Stop,
    /// The time that a save takes.
    save_takes: SaveTakes,
}

impl Observer {
    pub(crate) fn follow(&mut self, stop: &Stop, save_takes: SaveTakes) {
        self.stop.limits = stop.limits_now();
        self.save_takes = save_takes;
    }

    /// Returns the reason to stop, if there is one. The first one stays.
    pub(crate) fn reason(&mut self) -> Option<&StopReason> {
        self.stop.reason(Instant::now(), self.save_takes)
    }
}

impl Stop {
    /// An observer of the same reasons. `directory` has the requests to stop.
    pub(crate) fn observer(&self, directory: &std::path::Path, save_takes: SaveTakes) -> Observer {
        let stop = Stop {
            listener: self.listener.hearing(),
            limits: self.limits_now(),
            job: None,
            pace: Pace::default(),
            halt: Request::new(RequestKind::Halt, directory),
            requeue: Request::new(RequestKind::Requeue, directory),
            has_requests: self.has_requests,
            guard: self.guard.as_ref().map(Arc::<Guard>::clone),
            exit_codes: self.exit_codes,
            told: Arc::clone(&self.told),
            whole: self.whole.clone(),
            next_look: Instant::now(),
            reason: self.reason.clone(),
            was_asked: false,
        };
        Observer { stop, save_takes }
    }

    /// All time limits, as they are known now.
    fn limits_now(&self) -> Vec<Limit> {
        let of_job = self.job.as_ref().and_then(|job| job.limit());
        self.limits.iter().chain(of_job).cloned().collect()
    }
}
