//! Decides when a save is due. It has no clock: the caller gives all times, counted from the start
//! of the run.

use std::time::Duration;

use super::interval::{self, duration};
use super::{Due, Past, Rule, Schedule};

/// The time of the first save. A failure before it costs little, and the schedule needs to know the
/// cost of a save.
const FIRST: Duration = Duration::from_secs(1);

/// The part of the interval after which a failed save is tried again: the work at risk grows
/// meanwhile.
const AGAIN: u32 = 4;

/// The most times that the interval is halved.
const HALVINGS: u32 = 20;

/// The number of runs in a row without a save after which the cost of a save is in doubt.
const DOUBTED: u32 = 8;

/// The number of last saves in the median, also of earlier runs: one save that the disk delayed
/// changes nothing.
pub(crate) const REMEMBERED: usize = 5;

/// The cost of a save.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// The time that the program waits.
    pub(crate) stall: Duration,
    /// The time until the save is on the disk.
    pub(crate) total: Duration,
}

/// The time that a save takes, for a run that must end in time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SaveTakes {
    pub(crate) time: Duration,
    /// False if only earlier runs saved: a disk that was slow then may be fast now.
    pub(crate) is_of_this_run: bool,
}

impl From<Duration> for SaveTakes {
    fn from(time: Duration) -> SaveTakes {
        SaveTakes { time, is_of_this_run: true }
    }
}

/// A number that the program counts, and its multiples.
#[derive(Debug, Default)]
struct Counter {
    value: u64,
    is_counted: bool,
    /// The last multiple that it reached; `None` as long as nothing is known.
    reached: Option<u64>,
    /// True if it reached another one, and no save has begun since.
    is_due: bool,
    /// True if a save began because it was due, and its outcome is open.
    is_taken: bool,
    /// The number from which on it is due again, after a save for a multiple that failed.
    again: Option<u64>,
}

impl Counter {
    fn count(&mut self, value: u64, every: u64) {
        let Some(multiple) = value.checked_div(every) else { return };
        let is_new = match self.reached {
            // A program that went back comes to the same multiples once more.
            Some(reached) => multiple > reached,
            None => multiple > 0 && value.is_multiple_of(every),
        };
        (self.value, self.is_counted, self.reached) = (value, true, Some(multiple));
        if is_new || self.again.is_some_and(|again| value >= again) {
            (self.is_due, self.again) = (true, None);
        }
    }
}

/// Decides when a save is due.
#[derive(Debug)]
pub(crate) struct Pacer {
    schedule: Schedule,
    past: Past,
    /// The costs of the last saves, oldest first.
    costs: Vec<Cost>,
    /// Their median, for use in each step.
    cost: Cost,
    /// The number of them that are of this run.
    own: usize,
    /// The median of the whole times of those; of two, the longer one.
    own_total: Duration,
    /// The steps since the last save.
    steps: u64,
    counter: Counter,
    /// The time when the last save ended, or the run began.
    last: Duration,
    /// The interval to aim for; `None` where only steps count.
    interval: Option<Duration>,
    /// The time of the next save, for the comparison in each step.
    next: Duration,
    /// True if this run saved.
    has_saved: bool,
    /// True if the last save failed.
    has_failed: bool,
}

impl Pacer {
    pub(crate) fn new(schedule: Schedule, past: Past) -> Pacer {
        let costs = past.costs.clone();
        let mut pacer = Pacer {
            schedule,
            past,
            costs,
            cost: Cost::default(),
            own: 0,
            own_total: Duration::ZERO,
            steps: 0,
            counter: Counter::default(),
            last: Duration::ZERO,
            interval: None,
            next: Duration::ZERO,
            has_saved: false,
            has_failed: false,
        };
        pacer.plan();
        pacer
    }

    /// Returns the reason for a save that is due now, after one more step.
    pub(crate) fn step(&mut self, now: Duration) -> Option<Due> {
        self.steps(1, now)
    }

    /// The same after a number of steps.
    pub(crate) fn steps(&mut self, steps: u64, now: Duration) -> Option<Due> {
        self.steps = self.steps.saturating_add(steps);
        self.due(0, now)
    }

    /// The same after more steps, which are not made yet.
    pub(crate) fn due(&self, more: u64, now: Duration) -> Option<Due> {
        let elapsed = now.saturating_sub(self.last);
        let is_allowed = self.schedule.at_least.is_none_or(|least| elapsed >= least);
        let steps = self.steps.saturating_add(more);
        match &self.schedule.rule {
            Rule::Steps(wanted) if steps >= *wanted && is_allowed => return Some(Due::Steps(steps)),
            Rule::EveryOf(name, _) if self.counter.is_due && is_allowed => {
                return Some(Due::Reached { name: name.clone(), value: self.counter.value });
            }
            _ => {}
        }
        if now < self.next {
            return None;
        }
        Some(Due::Elapsed { elapsed, interval: self.next.saturating_sub(self.last) })
    }

    /// The steps, and the time, until a save may be due; `None` for what the schedule does not go
    /// by.
    pub(crate) fn ahead(&self, now: Duration) -> (Option<u64>, Option<Duration>) {
        let time = self.interval.map(|_| self.next.saturating_sub(now));
        let Rule::Steps(steps) = self.schedule.rule else { return (None, time) };
        let elapsed = now.saturating_sub(self.last);
        match self.schedule.at_least.map(|least| least.saturating_sub(elapsed)) {
            // All steps are done: only the time is left.
            Some(left) if self.steps >= steps && !left.is_zero() => {
                (None, Some(time.map_or(left, |time| time.min(left))))
            }
            _ => (Some(steps.saturating_sub(self.steps).max(1)), time),
        }
    }

    /// Records the number that the schedule goes by.
    pub(crate) fn count(&mut self, value: u64) {
        if let Rule::EveryOf(_, every) = self.schedule.rule {
            self.counter.count(value, every);
        }
    }

    /// Records that the state was loaded in which the number was this, if it had one.
    pub(crate) fn loaded(&mut self, value: Option<u64>) {
        if let Rule::EveryOf(_, every) = self.schedule.rule {
            self.counter =
                Counter { reached: value.and_then(|value| value.checked_div(every)), ..Counter::default() };
        }
    }

    /// Records that there was no state to load: the number counts from 0, unless it was counted.
    pub(crate) fn begins_afresh(&mut self) {
        self.counter.reached.get_or_insert(0);
    }

    /// The name of the number that the schedule goes by.
    pub(crate) fn counted(&self) -> Option<&str> {
        self.schedule.counted()
    }

    /// True if the schedule goes by neither steps nor a number that the program counts.
    pub(crate) fn goes_by_time(&self) -> bool {
        !matches!(self.schedule.rule, Rule::Steps(_) | Rule::EveryOf(..))
    }

    /// True if the schedule goes by a number that the program did not count.
    pub(crate) fn lacks_count(&self) -> bool {
        self.counted().is_some() && !self.counter.is_counted
    }

    /// Records that a save begins, with the number as it is now: the outcome may come much later.
    pub(crate) fn begun(&mut self) {
        let counter = &mut self.counter;
        counter.is_taken |= counter.is_due || counter.again.is_some();
        (counter.is_due, counter.again) = (false, None);
    }

    /// Records a save that began at `begun` and is complete.
    pub(crate) fn saved(&mut self, begun: Duration, cost: Cost) {
        if self.costs.len() >= REMEMBERED {
            self.costs.remove(0);
        }
        self.costs.push(cost);
        self.own = (self.own + 1).min(self.costs.len());
        let mut own: Vec<Duration> = self.costs.iter().rev().take(self.own).map(|cost| cost.total).collect();
        own.sort_unstable();
        self.own_total = own.get(own.len() / 2).copied().unwrap_or_default();
        (self.has_saved, self.has_failed) = (true, false);
        self.counter.is_taken = false;
        self.steps = 0;
        self.last = begun.saturating_add(cost.stall);
        self.plan();
    }

    /// Records a save that failed at `now`: the next attempt comes sooner than usual. That of a
    /// multiple comes after the shortest time between saves or, where there is none, after a part
    /// of the way to the next multiple.
    pub(crate) fn failed(&mut self, now: Duration) {
        self.has_failed = true;
        if std::mem::take(&mut self.counter.is_taken)
            && let Rule::EveryOf(_, every) = self.schedule.rule
        {
            match self.schedule.at_least {
                Some(_) => self.counter.is_due = true,
                None => {
                    let step = (every / u64::from(AGAIN)).max(1);
                    self.counter.again = Some(self.counter.value.saturating_add(step));
                }
            }
        }
        self.steps = 0;
        self.last = now;
        self.plan();
    }

    /// The time that a save takes: the median of the last ones, of this run as soon as there is
    /// one; zero as long as it is unknown.
    pub(crate) fn save_takes(&self) -> SaveTakes {
        let time = if self.own == 0 { self.cost.total } else { self.own_total };
        SaveTakes { time, is_of_this_run: self.own > 0 }
    }

    fn median(&self) -> Cost {
        let median = |mut times: Vec<Duration>| {
            times.sort_unstable();
            // Of two, the shorter one: the disk may delay a save, and never hurries.
            times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or_default()
        };
        Cost {
            stall: median(self.costs.iter().map(|cost| cost.stall).collect()),
            total: median(self.costs.iter().map(|cost| cost.total).collect()),
        }
    }

    /// The interval to aim for; `None` where only steps count.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Computes the time of the next save.
    fn plan(&mut self) {
        let Schedule { ref rule, at_least, at_most } = self.schedule;
        self.cost = self.median();
        let cost = self.cost;
        let known = !self.costs.is_empty();
        let wanted = match *rule {
            Rule::Steps(_) | Rule::EveryOf(..) => None,
            Rule::Every(time) => Some(time),
            _ if !known => Some(self.after_fruitless_runs(FIRST)),
            ref other => {
                let interval = match *other {
                    Rule::Overhead(fraction) => duration(cost.stall.as_secs_f64() * (1.0 / fraction - 1.0)),
                    Rule::Optimal(mtbf) => interval::exact(cost.stall, mtbf),
                    Rule::Adaptive(prior) => self.past.interval(prior, self.last, cost.stall),
                    Rule::Steps(_) | Rule::EveryOf(..) | Rule::Every(_) => Duration::MAX,
                };
                Some(if self.has_saved { interval } else { self.after_fruitless_runs(interval) })
            }
        };
        // If one save were still running when the next is due, the program would only wait for it.
        // None of this run is running before its first.
        let in_the_background =
            if self.has_saved { cost.total.saturating_sub(cost.stall) } else { Duration::ZERO };
        self.interval = match (wanted, at_most) {
            (None, None) => None,
            (wanted, most) => {
                let time = wanted.unwrap_or(Duration::MAX).min(most.unwrap_or(Duration::MAX));
                Some(time.max(at_least.unwrap_or_default()).max(in_the_background))
            }
        };
        let wait = match self.interval {
            Some(interval) if self.has_failed => {
                (interval / AGAIN).max(at_least.unwrap_or_default()).max(in_the_background)
            }
            wait => wait.unwrap_or(Duration::MAX),
        };
        self.next = self.last.saturating_add(wait);
    }

    /// Halves the interval for each of the last runs that failed before its first save, except one,
    /// which is chance. Otherwise, a program that is always killed sooner would repeat the same
    /// work forever. The interval is at least the cost of a save, but that may be what one slow
    /// save took: after more such runs the least interval is halved too.
    fn after_fruitless_runs(&self, interval: Duration) -> Duration {
        let halved = interval / (1 << self.past.fruitless.saturating_sub(1).min(HALVINGS));
        let least = self.cost.stall / (1 << self.past.fruitless.saturating_sub(DOUBTED).min(HALVINGS));
        halved.max(least.min(interval))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn cost(stall: u64, total: u64) -> Cost {
        Cost { stall: seconds(stall), total: seconds(total) }
    }

    fn pacer(schedule: Schedule) -> Pacer {
        schedule.check().unwrap();
        Pacer::new(schedule, Past::default())
    }

    #[test]
    fn every_so_manieth_step_is_due_and_a_save_between_counts() {
        let mut pacer = pacer(Schedule::every_steps(3));
        let due: Vec<bool> = (1..=4).map(|step| pacer.step(seconds(step)).is_some()).collect();
        assert_eq!(due, [false, false, true, true]);
        pacer.saved(seconds(4), Cost::default());
        assert_eq!((pacer.step(seconds(5)), pacer.step(seconds(6))), (None, None));
        pacer.saved(seconds(6), Cost::default());
        assert_eq!((pacer.step(seconds(7)), pacer.step(seconds(8))), (None, None));
        assert_eq!(pacer.step(seconds(9)), Some(Due::Steps(3)));
    }

    #[test]
    fn time_counts_from_the_end_of_the_last_save() {
        let mut pacer = pacer(Schedule::every(seconds(100)));
        assert_eq!(pacer.step(seconds(99)), None);
        assert!(pacer.step(seconds(100)).is_some());
        pacer.saved(seconds(100), cost(50, 50));
        assert_eq!(pacer.step(seconds(249)), None);
        assert_eq!(
            pacer.step(seconds(260)),
            Some(Due::Elapsed { elapsed: seconds(110), interval: seconds(100) })
        );
    }

    #[test]
    fn the_overhead_is_at_most_what_was_asked_for() {
        let mut pacer = pacer(Schedule::overhead(0.01));
        assert!(pacer.step(FIRST).is_some(), "the first save says what one costs");
        pacer.saved(FIRST, cost(2, 2));
        assert_eq!(pacer.interval(), Some(seconds(198)));
        assert_eq!(pacer.step(FIRST + seconds(199)), None);
        assert!(pacer.step(FIRST + seconds(200)).is_some());
    }

    #[test]
    fn the_optimum_is_the_exact_interval_of_the_stall() {
        let mut pacer = pacer(Schedule::optimal(seconds(24 * 3600)));
        pacer.saved(seconds(10), cost(300, 300));
        assert_eq!(pacer.interval(), Some(interval::exact(seconds(300), seconds(24 * 3600))));
    }

    #[test]
    fn one_slow_save_changes_nothing() {
        let mut pacer = pacer(Schedule::overhead(0.5));
        for stall in [10, 10, 1000, 10] {
            pacer.saved(seconds(0), cost(stall, stall));
        }
        assert_eq!(pacer.interval(), Some(seconds(10)));
    }

    #[test]
    fn one_slow_save_of_an_earlier_run_changes_little() {
        let slow = cost(900, 10_800);
        let after = |schedule: Schedule, costs: &[Cost], fruitless| {
            let past = Past { fruitless, costs: costs.to_vec(), ..Past::default() };
            Pacer::new(schedule, past).interval().unwrap()
        };
        assert_eq!(after(Schedule::every(seconds(600)), &[slow], 0), seconds(600));
        for costs in [vec![cost(1, 1), slow], vec![slow, cost(1, 1), cost(1, 1)]] {
            assert_eq!(after(Schedule::overhead(0.5), &costs, 0), seconds(1));
        }
        // It is all that is known: runs that fail sooner shorten the interval.
        assert_eq!(after(Schedule::overhead(0.01), &[slow], 0), seconds(89_100));
        for schedule in [Schedule::overhead(0.01), Schedule::optimal(seconds(86_400)), Schedule::adaptive()] {
            assert!(after(schedule, &[slow], 30) <= FIRST);
        }
    }

    #[test]
    fn what_a_save_takes_is_what_those_of_this_run_took() {
        let past = Past { costs: vec![cost(10, 10); 5], ..Past::default() };
        let mut pacer = Pacer::new(Schedule::every(seconds(100)), past);
        let takes = |pacer: &Pacer| (pacer.save_takes().time, pacer.save_takes().is_of_this_run);
        assert_eq!(takes(&pacer), (seconds(10), false));
        pacer.saved(seconds(0), cost(300, 300));
        assert_eq!(takes(&pacer), (seconds(300), true));
        pacer.saved(seconds(0), cost(10, 10));
        assert_eq!(takes(&pacer), (seconds(300), true));
        pacer.saved(seconds(0), cost(10, 10));
        assert_eq!(takes(&pacer), (seconds(10), true));
    }

    #[test]
    fn no_save_is_due_while_one_runs_in_the_background() {
        let mut pacer = pacer(Schedule::overhead(0.5));
        pacer.saved(seconds(0), cost(1, 60));
        assert_eq!(pacer.interval(), Some(seconds(59)));
    }

    #[test]
    fn bounds_hold_whatever_the_rule_says() {
        let bounded = |schedule: Schedule| {
            let mut pacer = pacer(schedule.at_least(seconds(20)).at_most(seconds(50)));
            pacer.saved(seconds(0), cost(10, 10));
            pacer.interval().unwrap()
        };
        assert_eq!(bounded(Schedule::overhead(0.9)), seconds(20));
        assert_eq!(bounded(Schedule::overhead(0.001)), seconds(50));
        assert_eq!(bounded(Schedule::adaptive()), seconds(50));
        let mut steps = pacer(Schedule::every_steps(2).at_least(seconds(20)).at_most(seconds(50)));
        let due: Vec<bool> = [1, 2, 3, 25].map(|now| steps.step(seconds(now)).is_some()).into();
        assert_eq!(due, [false, false, false, true]);
        steps.saved(seconds(25), Cost::default());
        assert!(steps.step(seconds(75)).is_some(), "at most 50 s, however few steps");
    }

    #[test]
    fn free_saves_and_endless_ones_are_no_trouble() {
        for schedule in [Schedule::overhead(0.01), Schedule::adaptive(), Schedule::optimal(Duration::MAX)] {
            for stall in [Duration::ZERO, Duration::MAX] {
                let mut pacer = pacer(schedule.clone());
                pacer.saved(seconds(1), Cost { stall, total: stall });
                let _ = pacer.step(seconds(2));
                let _ = pacer.step(Duration::MAX);
                pacer.saved(Duration::MAX, Cost { stall, total: stall });
            }
        }
    }

    #[test]
    fn a_history_of_failures_shortens_the_interval_and_has_the_cost() {
        let past = |failures| Past {
            failures,
            observed: seconds(36_000),
            costs: vec![cost(10, 10)],
            ..Past::default()
        };
        let calm = Pacer::new(Schedule::adaptive(), past(0)).interval().unwrap();
        let rough = Pacer::new(Schedule::adaptive(), past(10)).interval().unwrap();
        assert!(rough < calm / 4, "{rough:?} {calm:?}");
    }

    #[test]
    fn a_fresh_run_saves_after_a_second_or_after_its_first_step() {
        let mut pacer = pacer(Schedule::adaptive());
        assert_eq!(pacer.step(Duration::from_millis(999)), None);
        assert!(pacer.step(seconds(1)).is_some());
        pacer.saved(seconds(1), Cost { stall: Duration::from_millis(5), total: Duration::from_millis(5) });
        assert_eq!(pacer.interval(), Some(Duration::from_millis(995)), "half a per cent of the time");
    }

    #[test]
    fn runs_that_fail_before_a_save_shorten_the_interval() {
        let after = |fruitless| {
            let past = Past { failures: 3, observed: seconds(3600), fruitless, costs: vec![cost(1, 1)] };
            Pacer::new(Schedule::adaptive(), past)
        };
        let usual = after(0).interval().unwrap();
        assert_eq!(after(1).interval(), Some(usual), "once is chance");
        assert_eq!(after(2).interval(), Some(usual / 2));
        assert_eq!(after(4).interval(), Some(usual / 8));
        assert!(after(DOUBTED).interval() >= Some(seconds(1)), "no shorter than a save");
        assert!(after(99).interval() < Some(seconds(1)), "which was slow, and is no longer");
        let mut pacer = after(4);
        pacer.saved(seconds(1), cost(1, 1));
        assert!(pacer.interval().unwrap() > usual / 2);
    }

    #[test]
    fn a_run_always_killed_in_its_first_second_saves_at_last() {
        for schedule in [Schedule::adaptive(), Schedule::overhead(0.01), Schedule::optimal(seconds(60))] {
            let first = |fruitless| {
                let past = Past { failures: 9, observed: seconds(5), fruitless, costs: Vec::new() };
                Pacer::new(schedule.clone(), past).interval()
            };
            assert_eq!([first(0), first(1), first(2)], [Some(FIRST), Some(FIRST), Some(FIRST / 2)]);
            assert_eq!(first(9), Some(FIRST / 256));
        }
    }

    #[test]
    fn a_save_that_failed_is_tried_again_sooner() {
        let mut pacer = pacer(Schedule::every(seconds(100)));
        pacer.failed(seconds(100));
        assert_eq!(pacer.step(seconds(124)), None);
        assert!(pacer.step(seconds(125)).is_some());
        pacer.saved(seconds(125), cost(0, 0));
        assert_eq!(pacer.step(seconds(224)), None);
    }

    /// The values among these that are due, of which each is saved.
    fn saved_at(pacer: &mut Pacer, values: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let due = values.into_iter().filter(|value| {
            pacer.count(*value);
            let is_due = pacer.step(seconds(1)).is_some();
            if is_due {
                pacer.begun();
                pacer.saved(seconds(1), Cost::default());
            }
            is_due
        });
        due.collect()
    }

    #[test]
    fn saves_come_at_the_multiples_wherever_a_run_was_stopped() {
        let open = || pacer(Schedule::every_of("step", 100));
        assert_eq!(saved_at(&mut open(), 0..=350), [100, 200, 300]);
        assert_eq!(saved_at(&mut open(), (0..=350).step_by(70)), [140, 210, 350]);
        // After a stop at 199 and one at 250.
        for (from, expected) in [(199, vec![200, 300]), (250, vec![300]), (200, vec![300])] {
            let mut restarted = open();
            restarted.loaded(Some(from));
            assert_eq!(saved_at(&mut restarted, from + 1..=350), expected);
        }
        // Where the loaded state does not tell.
        let mut restarted = open();
        restarted.loaded(None);
        assert_eq!(saved_at(&mut restarted, [150, 200, 250, 300]), [200, 300]);
        let mut restarted = open();
        assert_eq!(saved_at(&mut restarted, 200..=300), [200, 300]);
        assert_eq!(saved_at(&mut restarted, [120, 199, 200]), [200], "the program went back");
        assert_eq!(saved_at(&mut pacer(Schedule::every_of("n", u64::MAX)), [u64::MAX]), [u64::MAX]);
    }

    #[test]
    fn a_multiple_stays_due_until_a_save_begins() {
        let mut pacer = pacer(Schedule::every_of("step", 10).at_least(seconds(60)));
        assert!(pacer.lacks_count());
        pacer.count(10);
        assert!(!pacer.lacks_count());
        assert_eq!(pacer.step(seconds(59)), None);
        pacer.count(11);
        let due = Due::Reached { name: "step".to_owned(), value: 11 };
        assert_eq!(pacer.step(seconds(60)), Some(due.clone()));
        assert_eq!(pacer.step(seconds(61)), Some(due));
        pacer.begun();
        // It is written in the background while the program counts on.
        pacer.count(20);
        pacer.saved(seconds(61), Cost::default());
        assert!(pacer.step(seconds(130)).is_some());
    }

    #[test]
    fn a_save_at_a_multiple_that_fails_is_tried_again() {
        let mut pacer = pacer(Schedule::every_of("step", 100));
        let is_due = |pacer: &mut Pacer, step| {
            pacer.count(step);
            pacer.step(seconds(1)).is_some()
        };
        assert!(is_due(&mut pacer, 100));
        pacer.begun();
        pacer.failed(seconds(1));
        assert!(!is_due(&mut pacer, 124));
        assert!(is_due(&mut pacer, 125));
        // A second failure, of a save in the background.
        pacer.begun();
        assert!(!is_due(&mut pacer, 130));
        pacer.failed(seconds(1));
        assert!(!is_due(&mut pacer, 154));
        // A save that the program asks for counts.
        pacer.begun();
        pacer.saved(seconds(1), Cost::default());
        assert!(!is_due(&mut pacer, 199));
        assert!(is_due(&mut pacer, 200));
        pacer.begun();
        pacer.saved(seconds(1), Cost::default());
        // A save between two multiples had nothing to do for one.
        pacer.begun();
        pacer.failed(seconds(1));
        assert!(!is_due(&mut pacer, 299));
        assert!(is_due(&mut pacer, 300));
    }

    #[test]
    fn a_multiple_is_tried_again_after_the_shortest_time() {
        let mut pacer = pacer(Schedule::every_of("step", 100).at_least(seconds(60)));
        pacer.count(100);
        assert!(pacer.step(seconds(60)).is_some());
        pacer.begun();
        pacer.failed(seconds(61));
        pacer.count(101);
        assert_eq!(pacer.step(seconds(120)), None);
        assert!(pacer.step(seconds(121)).is_some());
    }

    #[test]
    fn a_fresh_run_saves_at_the_first_multiple_that_it_passes() {
        let open = || pacer(Schedule::every_of("step", 100));
        let mut fresh = open();
        fresh.begins_afresh();
        assert_eq!(saved_at(&mut fresh, [50, 250, 260, 500]), [250, 500]);
        let mut counted = open();
        counted.count(250);
        counted.begins_afresh();
        assert_eq!(saved_at(&mut counted, [260, 300]), [300]);
    }

    #[test]
    fn steps_in_one_go_count_as_steps_one_by_one() {
        let mut pacer = pacer(Schedule::every_steps(10).at_most(seconds(100)));
        assert_eq!(pacer.steps(4, seconds(1)), None);
        assert_eq!(pacer.ahead(seconds(1)), (Some(6), Some(seconds(99))));
        assert_eq!(pacer.steps(6, seconds(2)), Some(Due::Steps(10)));
        assert_eq!(pacer.ahead(seconds(2)), (Some(1), Some(seconds(98))), "it stays due");
    }

    #[test]
    fn steps_that_are_done_early_leave_only_the_time() {
        let mut pacer = pacer(Schedule::every_steps(10).at_least(seconds(60)));
        assert_eq!(pacer.steps(4, seconds(1)), None);
        assert_eq!(pacer.ahead(seconds(1)), (Some(6), None));
        assert_eq!(pacer.steps(6, seconds(2)), None);
        assert_eq!(pacer.ahead(seconds(2)), (None, Some(seconds(58))));
        assert_eq!(pacer.steps(1, seconds(60)), Some(Due::Steps(11)));
        assert_eq!(pacer.ahead(seconds(60)), (Some(1), None));
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        for schedule in [
            Schedule::every_steps(0),
            Schedule::every_of("step", 0),
            Schedule::overhead(0.0),
            Schedule::overhead(-1.0),
            Schedule::overhead(1.5),
            Schedule::overhead(f64::NAN),
            Schedule::optimal(Duration::ZERO),
            Schedule::adaptive_from(Duration::ZERO),
            Schedule::every(Duration::ZERO),
            Schedule::every(seconds(1)).at_least(seconds(3)).at_most(seconds(2)),
        ] {
            assert!(schedule.check().is_err(), "{schedule}");
        }
    }
}
