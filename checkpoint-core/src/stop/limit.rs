//! [`Limit`]: a time before which the last save must be complete, and the time at which that save
//! must begin.

use std::time::{Duration, Instant, SystemTime};

use crate::base::warnings::warn;
use crate::outcome::StopReason;
use crate::schedule::SaveTakes;

/// The time that stays free before a far limit, besides the save: for the program to end, and for a
/// disk that is slow at that moment.
const FLOOR: Duration = Duration::from_secs(5);
/// The part of the whole time that stays free before a near limit.
const FLOOR_PART: u32 = 20;
/// The factor by which the last save may take longer than those before it.
const MARGIN: u32 = 2;
/// The time from the first question on in which the saves of earlier runs do not count.
const WORKS_AT_LEAST: Duration = Duration::from_secs(1);
/// The least change of the clock that is logged.
const JUMP: Duration = Duration::from_secs(5);

/// A time before which the last save must be complete.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    at: Instant,
    /// The whole time from the beginning to the limit.
    span: Duration,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Time(Duration),
    Deadline { at: SystemTime, source: &'static str },
}

impl Limit {
    /// A limit at a time after the beginning. `None` if it is too far to compute.
    pub(super) fn after(limit: Duration, begun: Instant) -> Option<Limit> {
        Some(Limit { at: begun.checked_add(limit)?, span: limit, kind: Kind::Time(limit) })
    }

    /// A limit at a time of the wall clock. `None` if it is too far to compute.
    ///
    /// A time in the past is no limit: the job was not ended then. So the time belongs to another
    /// job, and the terminal kept its variables.
    pub(super) fn at(at: SystemTime, source: &'static str, now: Instant, wall: SystemTime) -> Option<Limit> {
        let Some(span) = at.duration_since(wall).ok().filter(|left| !left.is_zero()) else {
            super::deadline::warn_of_past(source, at);
            return None;
        };
        Some(Limit { at: now.checked_add(span)?, span, kind: Kind::Deadline { at, source } })
    }

    /// A deadline that moved while the program, which began at `begun`, runs. One in the past is
    /// reached.
    pub(super) fn moved(
        at: SystemTime,
        source: &'static str,
        begun: Instant,
        now: Instant,
        wall: SystemTime,
    ) -> Option<Limit> {
        let end = now.checked_add(at.duration_since(wall).unwrap_or_default())?;
        let span = end.saturating_duration_since(begun);
        Some(Limit { at: end, span, kind: Kind::Deadline { at, source } })
    }

    /// The time that is left.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.at.saturating_duration_since(now)
    }

    /// The limit as a time of the wall clock, if it was given as one.
    pub(super) fn deadline(&self) -> Option<SystemTime> {
        match self.kind {
            Kind::Deadline { at, .. } => Some(at),
            Kind::Time(_) => None,
        }
    }

    /// True if the last save must begin now, for this duration of a save and of a step of the
    /// program.
    ///
    /// That is true if the time left is at most the sum of
    /// - twice the time of a save, but at most half of the whole time, and at least one save. Where
    ///   only earlier runs saved, that is at most three quarters of the whole time, and nothing
    ///   before the first step: what was slow then must not end each later run at once;
    /// - one step, because the program asks again only after it, but at most a quarter of the whole
    ///   time;
    /// - 5 s, or a twentieth of the whole time, whichever is less.
    pub(super) fn is_near(&self, now: Instant, save_takes: impl Into<SaveTakes>, step: Duration) -> bool {
        let left = self.left(now);
        let SaveTakes { time, is_of_this_run } = save_takes.into();
        let least = if is_of_this_run { time } else { time.min(self.span / 4 * 3) };
        let save = match is_of_this_run || !step.is_zero() {
            true => time.saturating_mul(MARGIN).min(self.span / 2).max(least),
            false => Duration::ZERO,
        };
        let floor = FLOOR.min(self.span / FLOOR_PART);
        left <= save.saturating_add(step.min(self.span / 4)).saturating_add(floor)
    }

    /// Compares a deadline with the wall clock, which continues while the machine sleeps, and can
    /// be set.
    ///
    /// The limit only moves to an earlier time: to stop too early costs a restart, to stop too late
    /// costs the work.
    pub(super) fn check(&mut self, now: Instant, wall: SystemTime) {
        let Kind::Deadline { at, source } = self.kind else { return };
        let Some(by_wall) = now.checked_add(at.duration_since(wall).unwrap_or_default()) else { return };
        if by_wall < self.at {
            let earlier = self.at - by_wall;
            if earlier > JUMP {
                warn(format!("the clock has jumped: the deadline of {source} comes {earlier:?} earlier"));
            }
            self.at = by_wall;
        }
    }

    pub(super) fn reason(&self) -> StopReason {
        match self.kind {
            Kind::Time(limit) => StopReason::TimeLimit { limit },
            Kind::Deadline { at, source } => StopReason::Deadline { at, source: source.into() },
        }
    }
}

/// The duration of the steps of the program: the longest time between two questions, which counts
/// for a little less with each later one.
#[derive(Debug, Default)]
pub(super) struct Pace {
    first: Option<Instant>,
    last: Option<Instant>,
    longest: Duration,
}

impl Pace {
    /// The duration of a step. It is nothing until the program has worked: it may ask some times
    /// before its first step.
    pub(super) fn step(&mut self, now: Instant) -> Duration {
        let begun = *self.first.get_or_insert(now);
        if let Some(last) = self.last.replace(now) {
            let step = now.saturating_duration_since(last);
            self.longest = step.max(self.longest - self.longest / 64);
        }
        if now.saturating_duration_since(begun) < WORKS_AT_LEAST { Duration::ZERO } else { self.longest }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MILLISECOND: Duration = Duration::from_millis(1);

    fn in_time(left: Duration) -> (Limit, Instant) {
        let now = Instant::now();
        let wall = SystemTime::now();
        (Limit::at(wall + left, "CHECKPOINT_DEADLINE", now, wall).unwrap(), now)
    }

    #[test]
    fn a_deadline_two_seconds_away_leaves_time_for_work() {
        let (limit, now) = in_time(2 * SECOND);
        assert!(!limit.is_near(now, MILLISECOND, Duration::ZERO));
        assert!(!limit.is_near(now + 1800 * MILLISECOND, MILLISECOND, Duration::ZERO));
        assert!(limit.is_near(now + 1900 * MILLISECOND, MILLISECOND, Duration::ZERO));
    }

    #[test]
    fn a_far_deadline_leaves_five_seconds_and_twice_the_save() {
        let (limit, now) = in_time(3600 * SECOND);
        assert!(!limit.is_near(now + 3534 * SECOND, 30 * SECOND, Duration::ZERO));
        assert!(limit.is_near(now + 3535 * SECOND, 30 * SECOND, Duration::ZERO));
    }

    #[test]
    fn a_long_step_does_not_start_ahead_of_a_deadline() {
        let (limit, now) = in_time(3600 * SECOND);
        assert!(limit.is_near(now + 3490 * SECOND, SECOND, 120 * SECOND));
        assert!(!limit.is_near(now + 3400 * SECOND, SECOND, 120 * SECOND));
        // One step as long as the whole time, as the first may be, does not end the run
        // immediately.
        assert!(!limit.is_near(now, SECOND, 7200 * SECOND));
    }

    #[test]
    fn a_save_of_most_of_the_time_starts_while_it_can_end() {
        let (limit, now) = in_time(100 * SECOND);
        assert!(!limit.is_near(now, 60 * SECOND, Duration::ZERO));
        assert!(limit.is_near(now + 35 * SECOND, 60 * SECOND, Duration::ZERO));
        // A save that cannot end in time anyway begins immediately.
        assert!(limit.is_near(now, 200 * SECOND, Duration::ZERO));
        // What an earlier run took is no reason to end this one before it begins.
        let earlier = SaveTakes { time: 200 * SECOND, is_of_this_run: false };
        assert!(!limit.is_near(now, earlier, MILLISECOND));
        assert!(limit.is_near(now + 50 * SECOND, earlier, MILLISECOND));
        // One that took most of the time is begun while it can end.
        let earlier = SaveTakes { time: 60 * SECOND, is_of_this_run: false };
        assert!(!limit.is_near(now + 34 * SECOND, earlier, MILLISECOND));
        assert!(limit.is_near(now + 35 * SECOND, earlier, MILLISECOND));
    }

    #[test]
    fn slow_saves_of_earlier_runs_leave_time_for_a_first_step() {
        // The load takes so long that a save as slow as the earlier ones would not fit.
        for (loaded, save) in [(40, 75), (60, 40), (94, 1000)] {
            let (limit, now) = in_time(100 * SECOND);
            let asked = now + loaded * SECOND;
            let earlier = SaveTakes { time: save * SECOND, is_of_this_run: false };
            assert!(!limit.is_near(asked, earlier, Duration::ZERO));
            assert!(limit.is_near(asked, earlier, SECOND));
            let of_this_run = SaveTakes { time: save * SECOND, is_of_this_run: true };
            assert!(limit.is_near(asked, of_this_run, Duration::ZERO));
        }
    }

    #[test]
    fn no_time_is_too_long() {
        let (limit, now) = in_time(SECOND);
        assert!(limit.is_near(now, Duration::MAX, Duration::MAX));
        assert!(Limit::after(Duration::MAX, now).is_none());
        assert!(Limit::after(Duration::ZERO, now).unwrap().is_near(now, Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_deadline_in_the_past_is_no_limit() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        assert!(Limit::at(wall, "scontrol", now, wall).is_none());
        assert!(Limit::at(SystemTime::UNIX_EPOCH, "scontrol", now, wall).is_none());
    }

    #[test]
    fn after_the_machine_slept_the_deadline_is_nearer() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut limit = Limit::at(wall + 3600 * SECOND, "PBS", now, wall).unwrap();
        limit.check(now + SECOND, wall + 3590 * SECOND);
        assert!(limit.is_near(now + 6 * SECOND, SECOND, Duration::ZERO));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_put_the_deadline_off() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut limit = Limit::at(wall + 60 * SECOND, "PBS", now, wall).unwrap();
        limit.check(now + SECOND, wall - 3600 * SECOND);
        assert!(limit.is_near(now + 57 * SECOND, SECOND, Duration::ZERO));
    }

    #[test]
    fn a_long_step_is_remembered_for_a_while() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.step(now), Duration::ZERO);
        assert_eq!(pace.step(now + 60 * SECOND), 60 * SECOND);
        assert!(pace.step(now + 60 * SECOND) > 59 * SECOND);
        let later = (0..500).map(|_| pace.step(now + 60 * SECOND)).last().unwrap();
        assert!(later < SECOND);
    }

    #[test]
    fn questions_before_the_first_second_of_work_are_no_steps() {
        let now = Instant::now();
        let mut pace = Pace::default();
        let early: Vec<Duration> = (0..10).map(|number| pace.step(now + 99 * number * MILLISECOND)).collect();
        assert_eq!(early, [Duration::ZERO; 10]);
        assert_eq!(pace.step(now + SECOND), 109 * MILLISECOND);
    }
}
