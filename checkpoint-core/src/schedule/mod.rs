//! The schedule of saves: the settings of a program, and decisions that depend on the cost of the
//! saves of this run.

pub mod interval;
#[cfg(test)]
mod killed;
#[cfg(test)]
mod long_run;
mod mtbf;
mod pacer;
#[cfg(test)]
mod simulation;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
pub use mtbf::Experience;
pub(crate) use mtbf::Past;
pub(crate) use pacer::{Cost, Pacer, REMEMBERED, SaveTakes};

/// The mean time between failures that [`Schedule::adaptive`] assumes as long as little is known:
/// 24 hours.
pub const ASSUMED_MTBF: Duration = Duration::from_secs(24 * 3600);

/// Decides when [`save_if_due`](crate::Checkpointer::save_if_due) saves.
///
/// ```
/// use checkpointed::Schedule;
/// use std::time::Duration;
///
/// // No more than 1 % of the time goes into saving, but never more than an hour of work is at risk.
/// let schedule = Schedule::overhead(0.01).at_most(Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    rule: Rule,
    at_least: Option<Duration>,
    at_most: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    Steps(u64),
    /// Multiples of a number that the program counts under this name.
    EveryOf(String, u64),
    Every(Duration),
    Overhead(f64),
    Optimal(Duration),
    Adaptive(Duration),
}

impl Schedule {
    fn of(rule: Rule) -> Schedule {
        Schedule { rule, at_least: None, at_most: None }
    }

    /// Saves after every `n` calls, counted from the start of the program and from each save.
    #[must_use]
    pub fn every_steps(n: u64) -> Schedule {
        Schedule::of(Rule::Steps(n))
    }

    /// Saves at each multiple of `n` of a number that the program
    /// [counts](crate::Checkpointer::count) under this name, or as soon after it as the program
    /// asks: at step 100, 200 and so on, wherever the run was stopped in between.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Schedule};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let schedule = Schedule::every_of("step", 100);
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path).schedule(schedule).open()?;
    /// for step in (0..=1000).step_by(30) {
    ///     checkpoints.count("step", step);
    ///     let decision = checkpoints.save_if_due(&step)?;
    ///     assert_eq!(decision.is_saved(), step >= 100 && step % 100 < 30, "{step}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn every_of(name: impl Into<String>, n: u64) -> Schedule {
        Schedule::of(Rule::EveryOf(name.into(), n))
    }

    /// Saves when this time has passed since the last save.
    #[must_use]
    pub fn every(time: Duration) -> Schedule {
        Schedule::of(Rule::Every(time))
    }

    /// Saves as often as takes at most this fraction of the time: 0.01 is one per cent. A save is
    /// due when the time since the last one exceeds the cost of a save times 1 / `fraction` - 1.
    #[must_use]
    pub fn overhead(fraction: f64) -> Schedule {
        Schedule::of(Rule::Overhead(fraction))
    }

    /// Saves as often as minimises the expected time of the whole run, where failures come once in
    /// `mtbf` on average: the [`exact`](interval::exact) interval for the cost of a save.
    #[must_use]
    pub fn optimal(mtbf: Duration) -> Schedule {
        Schedule::of(Rule::Optimal(mtbf))
    }

    /// Like [`optimal`](Schedule::optimal), with the mean time between failures that the
    /// [history](crate::history) of the directory shows. The default.
    ///
    /// The first save is due after one second, to measure the cost of saves. As long as no run in
    /// the directory has failed, one failure a day is assumed, as by
    /// [`adaptive_from`](Schedule::adaptive_from) with 24 hours. That may be far from the truth, so
    /// cheap saves are made more often: as often as takes half a per cent of the time, or as would
    /// be best if the run failed once in the time that it has run, whichever is less often. Each of
    /// the last runs that failed before its first save, but one, halves the first interval of this
    /// one.
    #[must_use]
    pub fn adaptive() -> Schedule {
        Schedule::adaptive_from(ASSUMED_MTBF)
    }

    /// Like [`adaptive`](Schedule::adaptive), with another assumption. It counts as much as a
    /// quarter of an observed failure: after n failures in the time T, failures are expected at the
    /// rate (¼ + n) / (¼ `mtbf` + T), the mean of the posterior with a Gamma prior (A. Gelman et
    /// al., Bayesian Data Analysis, 3rd ed., 2013, section 2.6). Once there was a failure, `mtbf`
    /// counts as at most 6 T / n. An assumption that is wrong by a factor of ten costs a few per
    /// cent of the run.
    #[must_use]
    pub fn adaptive_from(mtbf: Duration) -> Schedule {
        Schedule::of(Rule::Adaptive(mtbf))
    }

    /// Saves no sooner than this after the last save.
    #[must_use]
    pub fn at_least(mut self, time: Duration) -> Schedule {
        self.at_least = Some(time);
        self
    }

    /// Saves no later than this after the last save, where the program calls often enough, and a
    /// save in the background does not take longer.
    #[must_use]
    pub fn at_most(mut self, time: Duration) -> Schedule {
        self.at_most = Some(time);
        self
    }

    /// The name of the number that it goes by, if it goes by one.
    pub(crate) fn counted(&self) -> Option<&str> {
        match &self.rule {
            Rule::EveryOf(name, _) => Some(name),
            _ => None,
        }
    }

    /// Parses the value of a variable: `10min`, `1000 steps`, `100 of step`, `1%`, `adaptive`.
    ///
    /// # Errors
    /// The reason that it is invalid.
    pub(crate) fn parse(text: &str) -> Result<Schedule, &'static str> {
        const WANTED: &str = "it is a duration as `10min`, a number as `1000 steps`, a number that the program counts as `100 of step`, a part of the time as `1%`, or `adaptive`";
        if text == "adaptive" {
            return Ok(Schedule::adaptive());
        }
        let schedule = if let Some((n, name)) = text.split_once(" of ") {
            n.trim().parse().ok().map(|n| Schedule::every_of(name.trim(), n))
        } else if let Some(steps) = text.strip_suffix("steps").or_else(|| text.strip_suffix("step")) {
            steps.trim().parse().ok().map(Schedule::every_steps)
        } else if let Some(percent) = text.strip_suffix('%') {
            percent.trim().parse().ok().map(|percent: f64| Schedule::overhead(percent / 100.0))
        } else {
            crate::base::time::parse_duration(text).map(Schedule::every)
        };
        let schedule = schedule.ok_or(WANTED)?;
        schedule.senseless().map_or(Ok(schedule), Err)
    }

    /// # Errors
    /// [`Error::InvalidSetting`] where it is invalid.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let invalid = |why| Err(Error::InvalidSetting { setting: self.to_string(), why });
        self.senseless().map_or(Ok(()), invalid)
    }

    /// The reason that it makes no sense, if it makes none.
    fn senseless(&self) -> Option<&'static str> {
        Some(match self.rule {
            Rule::Steps(0) => "at least one step is between two saves",
            Rule::EveryOf(_, 0) => "no number is a multiple of 0",
            Rule::Every(time) if time.is_zero() => {
                "some time is between two saves; to save at every step say `1 step`"
            }
            Rule::Overhead(fraction) if !(fraction > 0.0 && fraction <= 1.0) => {
                "the part of the time that goes into saving is more than 0 and at most 1"
            }
            Rule::Optimal(mtbf) | Rule::Adaptive(mtbf) if mtbf.is_zero() => {
                "the time between failures is more than nothing"
            }
            _ if self.at_most.is_some_and(|most| self.at_least.is_some_and(|least| least > most)) => {
                "`at_least` is longer than `at_most`"
            }
            _ => return None,
        })
    }
}

impl Default for Schedule {
    fn default() -> Schedule {
        Schedule::adaptive()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Rule::Steps(n) => write!(formatter, "every {n} steps"),
            Rule::EveryOf(ref name, n) => write!(formatter, "every {n} of {name}"),
            Rule::Every(time) => write!(formatter, "every {time:?}"),
            Rule::Overhead(fraction) => write!(formatter, "at most {} % overhead", fraction * 100.0),
            Rule::Optimal(mtbf) => write!(formatter, "optimal for a failure in {mtbf:?}"),
            Rule::Adaptive(mtbf) => write!(formatter, "adaptive from a failure in {mtbf:?}"),
        }?;
        if let Some(least) = self.at_least {
            write!(formatter, ", at least {least:?}")?;
        }
        self.at_most.map_or(Ok(()), |most| write!(formatter, ", at most {most:?}"))
    }
}

/// The reason that a save is due.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Due {
    /// This number of steps was made since the last save.
    Steps(u64),
    /// A number that the program counts has reached a multiple of the one in the schedule.
    #[non_exhaustive]
    Reached {
        /// Its name.
        name: String,
        /// Its value.
        value: u64,
    },
    /// More time has passed since the last save than the schedule allows.
    #[non_exhaustive]
    Elapsed {
        /// The time since the last save.
        elapsed: Duration,
        /// The interval that the schedule aims for.
        interval: Duration,
    },
}

impl fmt::Display for Due {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Due::Steps(steps) => write!(formatter, "{steps} steps since the last save"),
            Due::Reached { name, value } => write!(formatter, "{name} is {value}"),
            Due::Elapsed { elapsed, interval } => write!(
                formatter,
                "{:.3} s since the last save, {:.3} s are the interval",
                elapsed.as_secs_f64(),
                interval.as_secs_f64()
            ),
        }
    }
}
