//! The calls at which the members look together: at an agreed number. In between a call is one
//! comparison.
//!
//! A loop that is fast now may become slow, and no member may look alone: so the number is as small
//! as it can be while looks take a hundredth of the time. It never is more than fit in a second.

use std::time::{Duration, Instant};

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The number of the most calls between two looks.
const MOST: u64 = 1 << 16;

/// The time between two looks is at least this many times that of a look, if a second is more.
const LOOKS_COST: u32 = 100;

/// Counts the calls of the program's loop, on each member for itself.
#[derive(Debug)]
pub(super) struct Turns {
    /// The number of turns.
    count: u64,
    /// The number of the next look.
    next: u64,
    /// The number at the last look.
    last: u64,
    /// The time of the last look.
    since: Instant,
    /// The duration of the last look, with the wait for other members.
    pub(super) cost: Duration,
    /// True if the last counted call asked about a stop only: without a save in between, each such
    /// call is a turn.
    asked_last: bool,
    /// The turns since the last look in which the program could save.
    steps: u64,
}

impl Turns {
    pub(super) fn new() -> Turns {
        Turns {
            count: 0,
            next: 1,
            last: 0,
            since: Instant::now(),
            cost: Duration::ZERO,
            asked_last: true,
            steps: 0,
        }
    }

    /// Counts a turn in which the program can save. Returns true if a look is agreed for it.
    #[inline]
    pub(super) fn step(&mut self) -> bool {
        self.asked_last = false;
        self.steps += 1;
        self.count += 1;
        self.count >= self.next
    }

    /// Counts a turn in which the program only asks about a stop. Returns true if a look is agreed
    /// for it.
    #[inline]
    pub(super) fn ask(&mut self) -> bool {
        if !self.asked_last {
            // It belongs to the turn of the save before it.
            self.asked_last = true;
            return false;
        }
        self.count += 1;
        self.count >= self.next
    }

    /// The steps since the last look, and the time of a turn.
    pub(super) fn pace(&self) -> (u64, Duration) {
        let turns = u32::try_from(self.count - self.last).unwrap_or(u32::MAX).max(1);
        (self.steps, self.since.elapsed() / turns)
    }

    /// Agrees on the next look, from what all members know: the time of the slowest turn, that of
    /// the slowest look, the steps until a save is due, and the time until then.
    pub(super) fn agree(
        &mut self,
        slowest: Duration,
        cost: Duration,
        steps: Option<u64>,
        time: Option<Duration>,
    ) {
        let span = (self.count - self.last).max(1);
        let time = time.unwrap_or(LOOK_EVERY).min(LOOK_EVERY).min(cost.saturating_mul(LOOKS_COST));
        let fitting = time.as_nanos() / slowest.as_nanos().max(1);
        // One fast turn says little: so the number grows from look to look.
        let most = span.saturating_mul(2).min(MOST).min(steps.unwrap_or(u64::MAX)).max(1);
        let turns = u64::try_from(fitting).unwrap_or(u64::MAX).clamp(1, most);
        self.last = self.count;
        self.next = self.count + turns;
        self.since = Instant::now();
        self.steps = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The duration of a look in a file system.
    const SLOW: Duration = Duration::from_millis(20);

    /// The turns at which a loop looks, if each turn and each look takes this long.
    fn looks(turns: u64, turn: Duration, cost: Duration, ahead: impl Fn(u64) -> Option<u64>) -> Vec<u64> {
        let mut counted = Turns::new();
        let mut looks = Vec::new();
        for number in 1..=turns {
            if counted.step() {
                looks.push(number);
                counted.agree(turn, cost, ahead(number), None);
            }
        }
        looks
    }

    #[test]
    fn a_look_comes_about_once_a_second() {
        let looks = looks(10_000, Duration::from_millis(10), SLOW, |_| None);
        assert_eq!(looks[..8], [1, 3, 7, 15, 31, 63, 127, 227]);
        assert!(looks.windows(2).all(|two| two[1] - two[0] <= 100), "{looks:?}");
        assert_eq!(looks[20] - looks[19], 100);
    }

    #[test]
    fn a_slow_loop_looks_in_each_turn() {
        assert_eq!(looks(5, Duration::from_secs(3), SLOW, |_| None), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn cheap_looks_bound_the_wait_of_a_loop_that_becomes_slow() {
        // A look takes as long as 10 turns.
        let (turn, cost) = (Duration::from_micros(1), Duration::from_micros(10));
        let looks = looks(100_000, turn, cost, |_| None);
        let most = looks.windows(2).map(|two| two[1] - two[0]).max();
        assert_eq!(most, Some(1000), "a hundred times the time of a look");
        // Slow turns count at once.
        let mut turns = Turns::new();
        for _ in 0..5000 {
            if turns.step() {
                turns.agree(turn, cost, None, None);
            }
        }
        while !turns.step() {}
        turns.agree(Duration::from_secs(1), cost, None, None);
        assert!(turns.step());
    }

    #[test]
    fn a_schedule_of_steps_is_looked_for_at_its_steps() {
        // Due at each tenth step.
        let looks = looks(100, Duration::from_micros(1), SLOW, |step| Some(10 - step % 10));
        for due in (10..=100).step_by(10) {
            assert!(looks.contains(&due), "{due} {looks:?}");
        }
    }

    #[test]
    fn a_question_about_a_stop_belongs_to_the_turn_of_its_save() {
        let mut turns = Turns::new();
        assert!(turns.step());
        turns.agree(Duration::from_secs(1), SLOW, None, None);
        assert!(!turns.ask());
        assert!(turns.step());
        turns.agree(Duration::from_secs(1), SLOW, None, None);
        assert!(!turns.ask());
        // A program that never saves looks here.
        assert!(turns.ask());
    }
}
