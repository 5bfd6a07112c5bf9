//! How often failures come, from what a directory's history tells.

use std::time::Duration;

use super::interval::duration;

/// How many failures the assumption counts as much as: few, because it may be wrong by a factor of ten, but not so few
/// that the time of the first failure is taken for the mean.
const WEIGHT: f64 = 0.25;

/// What is known of the runs in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Past {
    /// How many of them failed.
    pub(crate) failures: u64,
    /// How long all of them together ran.
    pub(crate) observed: Duration,
    /// What a save cost in the last of them.
    pub(crate) cost: Option<super::Cost>,
}

impl Past {
    /// The mean time between failures, when this run has gone on for `now`, and `prior` was assumed; see
    /// [`Schedule::adaptive_from`](super::Schedule::adaptive_from).
    pub(crate) fn mtbf(&self, prior: Duration, now: Duration) -> Duration {
        let observed = self.observed.as_secs_f64() + now.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        duration((WEIGHT * prior.as_secs_f64() + observed) / (WEIGHT + self.failures as f64))
    }
}
