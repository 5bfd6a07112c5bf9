//! The records of a history, separated by run and placed on one time axis.
//!
//! There are two clocks. The clock of the run (`at`) is never set, but it stands still while the
//! machine sleeps, and ignores the time between runs. The clock of the machine (`time`) may be set.
//! So time advances by the machine's clock, unless that was set. It was set if it advanced by less
//! than the clock of the run, or if it showed a time from before this library was written. Then
//! time advances by the clock of the run. All earlier times are computed back from the later ones,
//! because the later clock is the better one.

use std::time::{Duration, SystemTime};

use checkpointed_core::history::{End, Event, History, Record};
use checkpointed_core::schedule::{ASSUMED_MTBF, Experience};

use super::summary::{FailedSave, PastRestart, PastRun, PastSave, RunEnd};

/// 2020-01-01, in seconds: a clock that shows less has not been set yet.
const PLAUSIBLE: f64 = 1_577_836_800.0;

/// The greatest difference between two correct clocks, in seconds: a clock is also slewed, and a
/// line is written a little later.
const TOLERANCE: f64 = 2.0;

/// The last second that RFC 3339 can express, in the year 9999.
const LATEST: f64 = 253_402_300_799.0;

/// The number of last saves in the median stall, as for the schedule itself.
const REMEMBERED: usize = 5;

/// The facts about the runs with records.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) runs: Vec<PastRun>,
    pub(super) saves: Vec<PastSave>,
    pub(super) failed_saves: Vec<FailedSave>,
    pub(super) restarts: Vec<PastRestart>,
    pub(super) clock_was_set: usize,
    /// The total time of the runs without records.
    pub(super) before: Duration,
    /// The number of failed runs, with and without records.
    failures: u64,
    /// The stalls of the last saves.
    stalls: Vec<Duration>,
    /// The interval that the schedule aims for.
    aimed: Option<Duration>,
    /// The end of the stall of the last save of this run, counted from the start of the run.
    last: Duration,
}

/// Reads the facts from a history.
pub(super) fn of(history: &History) -> Timeline {
    let (times, clock_was_set) = times(&history.records);
    let mut timeline = Timeline { clock_was_set, ..Timeline::default() };
    for (record, time) in history.records.iter().zip(times) {
        timeline.add(record, time);
    }
    timeline
}

impl Timeline {
    fn add(&mut self, record: &Record, time: SystemTime) {
        match &record.event {
            Event::Summary { observed, failures, .. } => {
                self.before = self.before.saturating_add(*observed);
                self.failures = self.failures.saturating_add(*failures);
                return;
            }
            Event::Start { host, process, schedule, retention } => {
                (self.aimed, self.last) = (None, Duration::ZERO);
                let (host, schedule) = (host.clone(), schedule.clone());
                let retention = retention.as_ref().map(ToString::to_string).unwrap_or_default();
                self.runs.push(PastRun { host, process: *process, schedule, retention, ..begun(time, time) });
                return;
            }
            // This record comes after the end of the run that it describes.
            Event::Died { ran } => {
                self.failures = self.failures.saturating_add(1);
                if let Some(run) = self.runs.last_mut() {
                    run.extend(*ran);
                    run.end = RunEnd::Failed;
                }
                return;
            }
            // A rewind between two runs is of neither.
            Event::Rewind { .. } if record.at.is_zero() => return,
            _ => {}
        }
        if self.runs.is_empty() {
            // The record of its start was in a file that is gone. No clock was set before 1970.
            let start = time.checked_sub(record.at).unwrap_or(SystemTime::UNIX_EPOCH);
            let start = start.max(SystemTime::UNIX_EPOCH);
            self.runs.push(begun(start, time));
        }
        let index = self.runs.len().saturating_sub(1);
        let Some(run) = self.runs.last_mut() else { return };
        run.until = time;
        run.ran = run.ran.max(record.at);
        match &record.event {
            Event::Restart { generation, lost } => {
                run.restarted_from = Some(*generation);
                run.lost = (*lost).or(run.lost);
                self.restarts.push(PastRestart { time, run: index, generation: *generation, lost: *lost });
            }
            Event::Save { generation, bytes, written, stall, total, interval, reason, why } => {
                run.saves += 1;
                run.stalled = run.stalled.saturating_add(*stall);
                let begun = record.at.saturating_sub(*total);
                let computed = begun.saturating_sub(self.last);
                self.last = begun.saturating_add(*stall);
                if self.stalls.len() == REMEMBERED {
                    self.stalls.remove(0);
                }
                self.stalls.push(*stall);
                let experience = self.experience();
                self.saves.push(PastSave {
                    time,
                    run: index,
                    generation: *generation,
                    bytes: *bytes,
                    written: written.unwrap_or(*bytes),
                    stall: *stall,
                    total: *total,
                    interval: computed,
                    aimed: std::mem::replace(&mut self.aimed, *interval),
                    optimal: experience.interval(ASSUMED_MTBF, self.cost()),
                    mtbf: experience.mtbf(ASSUMED_MTBF),
                    reason: *reason,
                    why: why.clone(),
                });
            }
            Event::Failure { generation, error } => {
                run.failed_saves += 1;
                self.last = record.at;
                self.failed_saves.push(FailedSave {
                    time,
                    run: index,
                    generation: *generation,
                    error: error.clone(),
                });
            }
            Event::End(end) => {
                run.end = match end {
                    End::Completed => RunEnd::Completed,
                    End::Stopped(by) => RunEnd::Stopped(by.clone()),
                    _ => RunEnd::Closed,
                }
            }
            _ => {}
        }
    }

    /// The facts about all runs until now.
    fn experience(&self) -> Experience {
        let observed = self.runs.iter().map(|run| run.ran).fold(self.before, Duration::saturating_add);
        Experience { failures: self.failures, observed }
    }

    /// The median stall of the last saves.
    fn cost(&self) -> Duration {
        let mut stalls = self.stalls.clone();
        stalls.sort_unstable();
        stalls.get(stalls.len() / 2).copied().unwrap_or_default()
    }
}

impl PastRun {
    /// Extends the run to this time, if it was shorter.
    fn extend(&mut self, ran: Duration) {
        if let Some(more) = ran.checked_sub(self.ran) {
            self.until = self.until.checked_add(more).map_or(at(LATEST), |until| until.min(at(LATEST)));
            self.ran = ran;
        }
    }
}

/// A run with no other facts known yet.
fn begun(start: SystemTime, until: SystemTime) -> PastRun {
    PastRun {
        start,
        until,
        ran: Duration::ZERO,
        host: String::new(),
        process: 0,
        schedule: String::new(),
        retention: String::new(),
        end: RunEnd::Open,
        restarted_from: None,
        lost: None,
        saves: 0,
        failed_saves: 0,
        stalled: Duration::ZERO,
    }
}

/// The time of each record, which never goes back, and the number of times that the machine's clock
/// was set.
fn times(records: &[Record]) -> (Vec<SystemTime>, usize) {
    let mut set = 0;
    let mut now = 0.0;
    let mut elapsed = Vec::with_capacity(records.len());
    let mut former: Option<&Record> = None;
    for record in records {
        if let Some(former) = former {
            let by_machine = seconds(record.time) - seconds(former.time);
            let begins =
                matches!(record.event, Event::Start { .. } | Event::Died { .. } | Event::Summary { .. });
            let by_run = if begins { 0.0 } else { record.at.saturating_sub(former.at).as_secs_f64() };
            let is_first_set = seconds(former.time) < PLAUSIBLE && seconds(record.time) >= PLAUSIBLE;
            let was_set = by_machine < by_run - TOLERANCE || is_first_set;
            set += usize::from(was_set);
            now += if was_set { by_run } else { by_machine.max(0.0) };
        }
        elapsed.push(now);
        former = Some(record);
    }
    let end = former.map_or(0.0, |last| seconds(last.time));
    (elapsed.into_iter().map(|elapsed| at(end - now + elapsed)).collect(), set)
}

/// A time as seconds since 1970.
fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The time at this number of seconds since 1970, or the nearest one that RFC 3339 can express.
fn at(seconds: f64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(seconds.clamp(0.0, LATEST)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use checkpointed_core::history::ReasonKind;

    use super::*;

    const NOON: f64 = 1_800_000_000.0;

    fn record(time: f64, ran: f64, event: Event) -> Record {
        let mut record = serde_json::to_value(event).unwrap();
        record["time"] = humantime::format_rfc3339_nanos(at(time)).to_string().into();
        record["at"] = ran.into();
        serde_json::from_value(record).unwrap()
    }

    fn start() -> Event {
        Event::Start { host: String::new(), process: 1, schedule: String::new(), retention: None }
    }

    fn save(generation: u64) -> Event {
        let (stall, total) = (Duration::from_millis(10), Duration::from_millis(20));
        Event::Save {
            generation,
            bytes: 8,
            written: None,
            stall,
            total,
            interval: None,
            reason: ReasonKind::Due,
            why: String::new(),
        }
    }

    fn told(records: Vec<Record>) -> Timeline {
        let mut history = History::default();
        history.records = records;
        of(&history)
    }

    /// The time of each save, counted from the start of the first run.
    fn seconds_of_saves(timeline: &Timeline) -> Vec<f64> {
        let start = timeline.runs[0].start;
        let since = |save: &PastSave| save.time.duration_since(start).unwrap_or_default().as_secs_f64();
        timeline.saves.iter().map(|save| (since(save) * 10.0).round() / 10.0).collect()
    }

    #[test]
    fn time_between_runs_is_the_machines() {
        let timeline = told(vec![
            record(NOON, 0.0, start()),
            record(NOON + 60.0, 60.0, save(1)),
            record(NOON + 3600.0, 0.0, start()),
            record(NOON + 3660.0, 60.0, save(2)),
        ]);
        assert_eq!((timeline.runs.len(), timeline.clock_was_set), (2, 0));
        assert_eq!(seconds_of_saves(&timeline), [60.0, 3660.0]);
    }

    #[test]
    fn a_machine_that_slept_makes_time_pass_but_no_running() {
        let timeline = told(vec![record(NOON, 0.0, start()), record(NOON + 7200.0, 60.0, save(1))]);
        assert_eq!((seconds_of_saves(&timeline), timeline.clock_was_set), (vec![7200.0], 0));
        assert_eq!(timeline.runs[0].ran, Duration::from_secs(60));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_turn_time_around() {
        let timeline = told(vec![
            record(NOON, 0.0, start()),
            record(NOON + 60.0, 60.0, save(1)),
            record(NOON - 86_400.0, 120.0, save(2)),
            record(NOON - 86_340.0, 180.0, save(3)),
        ]);
        assert_eq!((seconds_of_saves(&timeline), timeline.clock_was_set), (vec![60.0, 120.0, 180.0], 1));
        let last = timeline.saves.last().unwrap().time;
        assert_eq!(last, at(NOON - 86_340.0), "the clock that was set last is believed");
    }

    #[test]
    fn a_clock_that_was_not_set_yet_is_not_believed() {
        // A board without a battery shows such times before it has asked the network.
        let timeline =
            told(vec![record(10.0, 0.0, start()), record(70.0, 60.0, save(1)), record(NOON, 120.0, save(2))]);
        assert_eq!((seconds_of_saves(&timeline), timeline.clock_was_set), (vec![60.0, 120.0], 1));
        assert_eq!(timeline.runs[0].start, at(NOON - 120.0));
    }

    #[test]
    fn a_run_without_its_start_begins_by_its_own_clock() {
        let timeline = told(vec![record(NOON, 500.0, save(9)), record(NOON + 5.0, 505.0, save(10))]);
        assert_eq!((timeline.runs.len(), timeline.runs[0].saves), (1, 2));
        assert_eq!(timeline.runs[0].start, at(NOON - 500.0));
    }

    #[test]
    fn a_forged_history_is_summed_up_without_a_panic() {
        let forever = |time: f64, event| record(time, 1e300, event);
        let died = || Event::Died { ran: Duration::MAX };
        let timeline = told(vec![
            forever(0.0, save(1)),
            forever(f64::MAX, start()),
            forever(0.0, save(u64::MAX)),
            forever(NOON, died()),
            record(NOON, 0.0, start()),
            forever(f64::MAX, died()),
        ]);
        assert_eq!((timeline.runs.len(), timeline.saves.len()), (3, 2));
        assert!(timeline.runs.iter().all(|run| run.until <= at(LATEST)));
    }
}
