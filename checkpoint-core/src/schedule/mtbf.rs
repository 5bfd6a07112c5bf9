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
    /// The mean time between failures, when this run has gone on for `now`, and `prior` was assumed; see
    /// [`Schedule::adaptive_from`](super::Schedule::adaptive_from).
    pub(crate) fn mtbf(&self, prior: Duration, now: Duration) -> Duration {
        let observed = self.observed.as_secs_f64() + now.as_secs_f64();
        #[allow(clippy::cast_precision_loss, reason = "an estimate")]
        let failures = self.failures as f64;
        let mut prior = prior.as_secs_f64();
        if failures > 0.0 {
            prior = prior.min(LONGEST * observed / failures);
        }
        duration((WEIGHT * prior + observed) / (WEIGHT + failures))
    }

    /// How long to compute from one save to the next, where a save costs the program so much.
    ///
    /// As long as no failure was seen, the assumption is all there is, and it may be far too long. So saves are made more
    /// often than it wants, as often as costs next to nothing; and as the run goes on, and shows that it can, as often as
    /// would be best if it failed once in the time that it has gone on.
    pub(crate) fn interval(&self, prior: Duration, now: Duration, cost: Duration) -> Duration {
        let best = interval::exact(cost, self.mtbf(prior, now));
        if self.failures > 0 {
            return best;
        }
        let cheap = duration(cost.as_secs_f64() * (PARTS - 1.0));
        let shown = interval::exact(cost, self.observed.saturating_add(now));
        best.min(cheap.max(shown))
    }
}

#[cfg(test)]
mod tests {
    use super::super::PRIOR;
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_day_is_not_assumed_of_runs_that_are_killed_every_seven_seconds() {
        for failures in 1..10 {
            let past = Past { failures, observed: seconds(7 * failures), ..Past::default() };
            let mtbf = past.mtbf(PRIOR, Duration::ZERO);
            assert!(mtbf >= seconds(7) && mtbf <= seconds(14), "{failures}: {mtbf:?}");
        }
    }

    #[test]
    fn a_run_that_never_failed_saves_as_often_as_costs_next_to_nothing() {
        let (past, cost) = (Past::default(), Duration::from_millis(10));
        assert_eq!(past.interval(PRIOR, seconds(1), cost), Duration::from_millis(1990));
        let later = past.interval(PRIOR, seconds(24 * 3600), cost);
        assert!(later > seconds(30) && later <= interval::exact(cost, past.mtbf(PRIOR, seconds(24 * 3600))));
        // Where saves are so expensive that a day says less, a day it is.
        let dear = past.interval(PRIOR, seconds(1), seconds(60));
        assert_eq!(dear, interval::exact(seconds(60), past.mtbf(PRIOR, seconds(1))));
    }
}
