//! How often failures come, from what a directory's history tells.

use std::time::Duration;

use super::interval::{self, duration};

/// How many failures the assumption counts as much as: few, because it may be wrong by a factor of ten, but not so few
/// that the time of the first failure is taken for the mean.
const WEIGHT: f64 = 0.25;

/// Once a failure was seen, the assumption is no longer than so many times the mean that was seen: one failure a day is
/// assumed of programs that are killed every few seconds, too.
const LONGEST: f64 = 6.0;

/// As long as no failure was seen, saves cost at most one part in so many of the time, or nearly.
const PARTS: f64 = 200.0;

/// How often programs failed, as far as it was seen: what [`Schedule::adaptive`](super::Schedule::adaptive) goes by.
///
/// ```
/// use checkpointed::schedule::{ASSUMED_MTBF, Experience};
/// use std::time::Duration;
///
/// let week = Duration::from_secs(7 * 24 * 3600);
/// let seen = Experience { failures: 14, observed: week };
/// assert_eq!(seen.mtbf(ASSUMED_MTBF).as_secs() / 3600, 12);
/// assert_eq!(seen.interval(ASSUMED_MTBF, Duration::from_secs(5)).as_secs() / 60, 10);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Experience {
    /// How many runs failed.
    pub failures: u64,
    /// How long all runs together went on.
    pub observed: Duration,
}

impl Experience {
    /// The mean time between failures that is to be expected where `assumed` was assumed before anything was seen; see
    /// [`Schedule::adaptive_from`](super::Schedule::adaptive_from).
    #[must_use]
    pub fn mtbf(&self, assumed: Duration) -> Duration {
        let observed = self.observed.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let failures = self.failures as f64;
        let mut assumed = assumed.as_secs_f64();
        if failures > 0.0 {
            assumed = assumed.min(LONGEST * observed / failures);
        }
        duration((WEIGHT * assumed + observed) / (WEIGHT + failures))
    }

    /// How long to compute from one save to the next, where a save costs the program so much.
    ///
    /// As long as no failure was seen, the assumption is all there is, and it may be far too long. So saves are made more
    /// often than it wants, as often as costs next to nothing; and as a run goes on, and shows that it can, as often as
    /// would be best if it failed once in the time that it has gone on.
    #[must_use]
    pub fn interval(&self, assumed: Duration, cost: Duration) -> Duration {
        let best = interval::exact(cost, self.mtbf(assumed));
        if self.failures > 0 {
            return best;
        }
        let cheap = duration(cost.as_secs_f64() * (PARTS - 1.0));
        let shown = interval::exact(cost, self.observed);
        best.min(cheap.max(shown))
    }
}

/// What is known of the runs in a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Past {
    /// How many of them failed.
    pub(crate) failures: u64,
    /// How long all of them together ran.
    pub(crate) observed: Duration,
    /// How many of the last of them failed one after the other and saved nothing.
    pub(crate) fruitless: u32,
    /// What a save cost in the last of them.
    pub(crate) cost: Option<super::Cost>,
}

impl Past {
    /// What is known when this run has gone on for `now`.
    fn until(&self, now: Duration) -> Experience {
        Experience { failures: self.failures, observed: self.observed.saturating_add(now) }
    }

    /// The [interval](Experience::interval) to aim for, when this run has gone on for `now`.
    pub(crate) fn interval(&self, assumed: Duration, now: Duration, cost: Duration) -> Duration {
        self.until(now).interval(assumed, cost)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ASSUMED_MTBF;
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_day_is_not_assumed_of_runs_that_are_killed_every_seven_seconds() {
        for failures in 1..10 {
            let past = Experience { failures, observed: seconds(7 * failures) };
            let mtbf = past.mtbf(ASSUMED_MTBF);
            assert!(mtbf >= seconds(7) && mtbf <= seconds(14), "{failures}: {mtbf:?}");
        }
    }

    #[test]
    fn a_run_that_never_failed_saves_as_often_as_costs_next_to_nothing() {
        let (past, cost) = (Past::default(), Duration::from_millis(10));
        assert_eq!(past.interval(ASSUMED_MTBF, seconds(1), cost), Duration::from_millis(1990));
        let later = past.interval(ASSUMED_MTBF, seconds(24 * 3600), cost);
        assert!(
            later > seconds(30)
                && later <= interval::exact(cost, past.until(seconds(24 * 3600)).mtbf(ASSUMED_MTBF))
        );
        // Where saves are so expensive that a day says less, a day it is.
        let dear = past.interval(ASSUMED_MTBF, seconds(1), seconds(60));
        assert_eq!(dear, interval::exact(seconds(60), past.until(seconds(1)).mtbf(ASSUMED_MTBF)));
    }
}
