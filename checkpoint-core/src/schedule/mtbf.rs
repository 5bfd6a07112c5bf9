//! The rate of failures, from the history of a directory.

use std::time::Duration;

use super::interval::{self, duration};

/// The number of failures that the assumption counts as: few, because it may be wrong by a factor
/// of ten, but enough that the time of the first failure is not taken for the mean.
const WEIGHT: f64 = 0.25;

/// The greatest ratio of the assumption to the observed mean: one failure a day is also assumed of
/// programs that are killed every few seconds.
const LONGEST: f64 = 6.0;

/// As long as no failure was seen, saves cost at most about one part in this many of the time.
const PARTS: f64 = 200.0;

/// The observed failures of programs, which [`Schedule::adaptive`](super::Schedule::adaptive) uses.
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
    /// The number of runs that failed.
    pub failures: u64,
    /// The time that all runs together took.
    pub observed: Duration,
}

impl Experience {
    /// The expected mean time between failures, where `assumed` was assumed before anything was
    /// observed; see [`Schedule::adaptive_from`](super::Schedule::adaptive_from).
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

    /// The time to compute from one save to the next, for this cost of a save.
    ///
    /// As long as no failure was seen, there is only the assumption, and it may be far too long. So
    /// saves are more frequent than it asks: as frequent as costs next to nothing. As a run
    /// continues, and shows that it can, they become as frequent as would be best if it failed once
    /// in the time that it has run.
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

/// The known facts about the runs in a directory.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Past {
    /// The number of runs that failed.
    pub(crate) failures: u64,
    /// The time that all runs together took.
    pub(crate) observed: Duration,
    /// The number of the last runs in a row that failed without a save.
    pub(crate) fruitless: u32,
    /// The costs of the last saves, oldest first: at most as many as a run remembers.
    pub(crate) costs: Vec<super::Cost>,
}

impl Past {
    /// The known facts when this run has taken `now`.
    fn until(&self, now: Duration) -> Experience {
        Experience { failures: self.failures, observed: self.observed.saturating_add(now) }
    }

    /// The [interval](Experience::interval) to aim for when this run has taken `now`.
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
    fn runs_killed_every_seven_seconds_outweigh_the_assumed_day() {
        for failures in 1..10 {
            let past = Experience { failures, observed: seconds(7 * failures) };
            let mtbf = past.mtbf(ASSUMED_MTBF);
            assert!(mtbf >= seconds(7) && mtbf <= seconds(14), "{failures}: {mtbf:?}");
        }
    }

    #[test]
    fn a_run_that_never_failed_spends_next_to_nothing_on_saves() {
        let (past, cost) = (Past::default(), Duration::from_millis(10));
        assert_eq!(past.interval(ASSUMED_MTBF, seconds(1), cost), Duration::from_millis(1990));
        let later = past.interval(ASSUMED_MTBF, seconds(24 * 3600), cost);
        assert!(
            later > seconds(30)
                && later <= interval::exact(cost, past.until(seconds(24 * 3600)).mtbf(ASSUMED_MTBF))
        );
        // If saves are so expensive that the time so far tells less, the assumption of a day
        // counts.
        let dear = past.interval(ASSUMED_MTBF, seconds(1), seconds(60));
        assert_eq!(dear, interval::exact(seconds(60), past.until(seconds(1)).mtbf(ASSUMED_MTBF)));
    }
}
