//! [`Job`]: the end of the job that a batch system has set. It may move while the job runs, so the
//! batch system is asked again now and then, and once more before the known end.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::batch::{Answer, PATIENCE};
use super::deadline::Found;
use super::limit::Limit;
use crate::outcome::StopReason;
use crate::schedule::SaveTakes;

/// The part of the remaining time between two questions.
const PART: u32 = 10;
const OFTEN: Duration = Duration::from_secs(20);
const SELDOM: Duration = Duration::from_secs(600);
/// The time from the last question to the stop of the program: longer than an answer may take.
const LEAD: Duration = PATIENCE.saturating_mul(3);
/// The least time between two questions of all tasks of a job together.
const BY_ALL_TASKS: Duration = Duration::from_millis(200);
/// The most that two answers with the same end may differ.
const ROUNDING: Duration = Duration::from_secs(5);

/// Asks the batch system. It may take a while, and runs in a thread.
pub(super) type Ask = Arc<dyn Fn() -> Answer + Send + Sync>;

/// The end of the job that a batch system has set.
pub(super) struct Job {
    limit: Option<Limit>,
    source: &'static str,
    ask: Ask,
    begun: Instant,
    pending: Option<Receiver<Answer>>,
    /// The time of the last question.
    asked: Instant,
    /// The number of questions in a row that had no answer.
    failures: u32,
    /// True once the job was known to run: its end was in the future, or it has none. Before, an
    /// end in the past is that of another job.
    is_ours: bool,
    /// The least time between two questions, so that the tasks of a large job do not ask too often.
    least: Duration,
}

impl Job {
    /// A job with this number of tasks, and with a known end, or none yet. `ask` is called from now
    /// on.
    pub(super) fn new(
        found: Option<Found>,
        source: &'static str,
        ask: Ask,
        tasks: u32,
        now: Instant,
        wall: SystemTime,
    ) -> Job {
        let limit = found.and_then(|Found { at, source }| Limit::at(at, source, now, wall));
        let least = BY_ALL_TASKS.saturating_mul(tasks).mul_f64(spread());
        Job { limit, source, ask, begun: now, pending: None, asked: now, failures: 0, is_ours: true, least }
    }

    /// The batch system did not answer so far, or only of a time that is past.
    pub(super) fn is_unknown(&mut self) {
        self.failures = 1;
        self.is_ours = self.limit.is_some();
    }

    /// Its end, as it is known now.
    pub(super) fn limit(&self) -> Option<&Limit> {
        self.limit.as_ref()
    }

    /// The reason to stop, if the end is near.
    pub(super) fn reason(
        &mut self,
        now: Instant,
        save_takes: impl Into<SaveTakes>,
        step: Duration,
    ) -> Option<StopReason> {
        if self.pending.is_some() {
            self.hear(now, SystemTime::now());
        }
        let limit = self.limit.as_ref()?;
        limit.is_near(now, save_takes, step).then(|| limit.reason())
    }

    /// Compares the end with the wall clock, and asks for it again when due.
    pub(super) fn look(
        &mut self,
        now: Instant,
        wall: SystemTime,
        save_takes: impl Into<SaveTakes>,
        step: Duration,
    ) {
        if let Some(limit) = &mut self.limit {
            limit.check(now, wall);
        }
        if self.pending.is_none() && self.is_time_to_ask(now, save_takes.into(), step) {
            self.begin_to_ask(now);
        }
    }

    fn is_time_to_ask(&self, now: Instant, save_takes: SaveTakes, step: Duration) -> bool {
        let since = now.saturating_duration_since(self.asked);
        let usual = match &self.limit {
            Some(limit) => (limit.left(now) / PART).clamp(OFTEN, SELDOM),
            // The end is not known.
            None if self.failures > 0 => OFTEN,
            None => SELDOM,
        };
        // The last question comes just before the end. A program with long steps asks rarely: so
        // one step earlier.
        let ahead = LEAD.max(self.least).saturating_add(step);
        let is_soon =
            |limit: &Limit| now.checked_add(ahead).is_some_and(|then| limit.is_near(then, save_takes, step));
        let last = self.limit.as_ref().is_some_and(is_soon) && since >= LEAD.max(self.least);
        last || since >= usual.max(self.backoff()).max(self.least)
    }

    /// A batch system that does not answer is asked less often with each question.
    fn backoff(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => OFTEN.saturating_mul(1 << (failures - 1).min(16)).min(SELDOM),
        }
    }

    fn begin_to_ask(&mut self, now: Instant) {
        self.asked = now;
        let (sender, receiver) = mpsc::channel();
        let ask = Arc::clone(&self.ask);
        // This fails if the receiver no longer waits.
        let work = move || drop(sender.send(ask()));
        match thread::Builder::new().name("deadline".to_owned()).spawn(work) {
            Ok(_) => self.pending = Some(receiver),
            Err(error) => self.failed(&error.to_string()),
        }
    }

    /// Takes the answer, if it has come.
    fn hear(&mut self, now: Instant, wall: SystemTime) {
        let Some(pending) = &self.pending else { return };
        let answer = match pending.try_recv() {
            Err(TryRecvError::Empty) => return,
            Err(TryRecvError::Disconnected) => Err("it ended without an answer".to_owned()),
            Ok(answer) => answer,
        };
        self.pending = None;
        match answer {
            Ok(end) => self.moved(end, now, wall),
            Err(why) => self.failed(&why),
        }
    }

    fn moved(&mut self, end: Option<SystemTime>, now: Instant, wall: SystemTime) {
        if let Some(end) = end.filter(|end| *end <= wall && !self.is_ours) {
            return self.failed(&format!("{} is past", crate::base::time::date(end)));
        }
        (self.is_ours, self.failures) = (true, 0);
        let before = self.limit.as_ref().and_then(Limit::deadline);
        self.limit = end.and_then(|at| Limit::moved(at, self.source, self.begun, now, wall));
        if is_another(before, end) {
            let name =
                |end: Option<SystemTime>| end.map_or_else(|| "none".to_owned(), crate::base::time::date);
            let (before, after) = (name(before), name(end));
            tracing::info!(source = self.source, before, after, "the end of the job was moved");
        }
    }

    /// Keeps the end that was known.
    fn failed(&mut self, why: &str) {
        self.failures = self.failures.saturating_add(1);
        tracing::debug!(source = self.source, why, "it did not report whether the end of the job was moved");
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Job").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// True if two ends differ by more than rounding.
fn is_another(before: Option<SystemTime>, end: Option<SystemTime>) -> bool {
    match (before, end) {
        (Some(before), Some(end)) => {
            end.duration_since(before).unwrap_or_else(|error| error.duration()) > ROUNDING
        }
        _ => before != end,
    }
}

/// A number from 1 to 1.5 that differs between processes: tasks that start at the same time ask at
/// different times.
fn spread() -> f64 {
    1.0 + f64::from(std::process::id() % 97) / 194.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A simulated job with this many seconds left, its answers, and the number of questions.
    struct Played {
        job: Job,
        begun: (Instant, SystemTime),
        answer: Arc<Mutex<(Answer, u32)>>,
    }

    fn job_with(seconds: u32, tasks: u32) -> Played {
        let begun = (Instant::now(), SystemTime::now());
        let end = begun.1 + seconds * SECOND;
        let answer = Arc::new(Mutex::new((Ok(Some(end)), 0)));
        let of_it = Arc::clone(&answer);
        let ask = move || {
            let mut answer = of_it.lock().unwrap();
            answer.1 += 1;
            answer.0.clone()
        };
        let found = Found { at: end, source: "SLURM_JOB_END_TIME" };
        let job = Job::new(Some(found), "scontrol", Arc::new(ask), tasks, begun.0, begun.1);
        Played { job, begun, answer }
    }

    /// A job whose end the batch system did not say.
    fn job_unknown() -> Played {
        let mut job = job_with(3600, 1);
        job.job.limit = None;
        job.job.is_unknown();
        job
    }

    impl Played {
        fn answers(&self, end: Option<u32>) {
            self.answer.lock().unwrap().0 = Ok(end.map(|end| self.begun.1 + end * SECOND));
        }

        fn questions(&self) -> u32 {
            self.answer.lock().unwrap().1
        }

        /// Looks this many seconds after the beginning, with steps of this length. Waits for the
        /// answer.
        fn stops_at(&mut self, second: u32, step: u32) -> bool {
            let (now, wall) = (self.begun.0 + second * SECOND, self.begun.1 + second * SECOND);
            let stops = self.job.reason(now, SECOND, step * SECOND).is_some();
            self.job.look(now, wall, SECOND, step * SECOND);
            while self.job.pending.is_some() {
                self.job.hear(now, wall);
                thread::yield_now();
            }
            stops
        }

        /// The second at which it stops.
        fn stops(&mut self, step: u32) -> u32 {
            (0..100_000).step_by(step as usize).find(|second| self.stops_at(*second, step)).unwrap()
        }
    }

    #[test]
    fn the_program_works_on_where_the_limit_is_extended() {
        for step in [1, 60, 300] {
            let mut job = job_with(3600, 1);
            let extended = 3600 - 2 * step - 60;
            let second = (0..10_000).step_by(step as usize).find(|second| {
                if *second >= extended {
                    job.answers(Some(7200));
                }
                job.stops_at(*second, step)
            });
            let second = second.unwrap();
            assert!((7200 - 2 * step - 8..7200).contains(&second), "step {step}: {second}");
        }
    }

    #[test]
    fn a_limit_that_is_shortened_counts_as_soon_as_it_is_known() {
        let mut job = job_with(3600, 1);
        job.answers(Some(500));
        assert_eq!(job.stops(1), 500 - 7 - 1);
        // The same for an end that is in the past already.
        let mut job = job_with(3600, 1);
        job.answers(Some(5));
        assert!(job.stops(1) <= 361);
    }

    #[test]
    fn a_limit_that_is_lifted_does_not_stop_the_program() {
        let mut job = job_with(100, 1);
        job.answers(None);
        assert!((0..2000).all(|second| !job.stops_at(second, 1)));
    }

    #[test]
    fn a_missing_answer_keeps_the_limit() {
        let mut job = job_with(3600, 1);
        job.answer.lock().unwrap().0 = Err("busy".to_owned());
        assert!((3585..3600).contains(&job.stops(1)));
        assert!(job.questions() < 20, "{}", job.questions());
    }

    #[test]
    fn a_batch_system_that_was_silent_for_long_is_asked_again() {
        let mut job = job_with(24 * 3600, 1);
        job.answer.lock().unwrap().0 = Err("busy".to_owned());
        assert!((0..10_000).all(|second| !job.stops_at(second, 1)));
        job.answers(Some(20_000));
        assert!(
            (19_985..20_000).contains(&(10_000..30_000).find(|second| job.stops_at(*second, 1)).unwrap())
        );
    }

    #[test]
    fn an_end_that_was_not_known_at_the_opening_is_asked_for() {
        let mut job = job_unknown();
        job.answer.lock().unwrap().0 = Err("busy".to_owned());
        assert!((0..100).all(|second| !job.stops_at(second, 1)));
        job.answers(Some(1000));
        assert!((985..1000).contains(&(100..2000).find(|second| job.stops_at(*second, 1)).unwrap()));
        // The end of another job stops nothing, however often the answer has it.
        let mut job = job_unknown();
        job.answer.lock().unwrap().0 = Ok(Some(job.begun.1 - SECOND));
        assert!((0..10_000).all(|second| !job.stops_at(second, 1)));
        assert!((5..40).contains(&job.questions()), "{}", job.questions());
    }

    #[test]
    fn a_batch_system_is_not_asked_often() {
        let mut job = job_with(24 * 3600, 1);
        job.stops(1);
        assert!((100..250).contains(&job.questions()), "{}", job.questions());
        // Ten thousand tasks of one job together ask only a few times a second.
        let mut job = job_with(24 * 3600, 10_000);
        job.stops(1);
        assert!(job.questions() < 45, "{}", job.questions());
    }
}
