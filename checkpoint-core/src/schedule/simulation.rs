//! Whole runs with failures, in simulated time: the distance of the adaptive schedule from the best
//! fixed interval.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a test"
)]

use super::interval::duration;
use super::{Cost, Pacer, Past, Schedule, interval};

/// Numbers between 0 and 1: splitmix64 (G. L. Steele et al., OOPSLA 2014).
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// The distribution of the times between failures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Failures {
    Exponential,
    /// Weibull of shape 0.7: a failure is more probable soon after another.
    Weibull,
    /// All equal, as by a time limit that the program does not know.
    Equal,
}

/// Γ(1 + 1 / 0.7): the mean of a Weibull distribution of shape 0.7 and scale 1.
const MEAN_OF_WEIBULL: f64 = 1.265_823_506_057_2;

#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) mtbf: f64,
    pub(super) cost: f64,
    pub(super) failures: Failures,
}

impl Case {
    /// All cases in which the adaptive schedule is tested.
    pub(super) fn all() -> impl Iterator<Item = Case> {
        let hours = [1.0, 8.0, 168.0];
        let costs = [0.1, 10.0, 600.0];
        hours.into_iter().flat_map(move |hours| {
            costs.into_iter().flat_map(move |cost| {
                [Failures::Exponential, Failures::Weibull].map(|failures| Case {
                    mtbf: hours * 3600.0,
                    cost,
                    failures,
                })
            })
        })
    }

    /// The number of runs to compare. Cheap saves need many runs, because their times matter
    /// little.
    fn runs(&self) -> u64 {
        if self.mtbf / self.cost > 20_000.0 { 4 } else { 24 }
    }

    /// The time until the next failure.
    pub(super) fn failure(&self, random: &mut Random) -> f64 {
        let exponential = -(1.0 - random.next()).ln();
        self.mtbf
            * match self.failures {
                Failures::Exponential => exponential,
                Failures::Weibull => exponential.powf(1.0 / 0.7) / MEAN_OF_WEIBULL,
                Failures::Equal => 1.0,
            }
    }

    /// The probability of no failure until then.
    pub(super) fn survival(&self, time: f64) -> f64 {
        let time = time / self.mtbf;
        match self.failures {
            Failures::Exponential => (-time).exp(),
            Failures::Weibull => (-(time * MEAN_OF_WEIBULL).powf(0.7)).exp(),
            Failures::Equal => f64::from(u8::from(time < 1.0)),
        }
    }

    /// The cost of a restart: as much as a save.
    pub(super) fn restart(&self) -> f64 {
        self.cost
    }

    /// The time that `work` takes at a fixed interval.
    fn fixed(&self, interval: f64, work: f64, random: &mut Random) -> f64 {
        let (mut done, mut total) = (0.0, 0.0);
        loop {
            let until_failure = self.failure(random);
            let segment = interval + self.cost;
            let available = (until_failure - self.restart()).max(0.0);
            let left = ((work - done) / interval).ceil() * segment;
            if left <= available {
                return total + self.restart() + left;
            }
            done += (available / segment).floor() * interval;
            total += until_failure;
        }
    }

    /// The time that `work` takes with a schedule that adapts to its observations, and these
    /// observations.
    fn adaptive(
        &self,
        schedule: &Schedule,
        mut past: Past,
        work: f64,
        most: u64,
        random: &mut Random,
    ) -> (f64, Past) {
        let (mut done, mut total) = (0.0, 0.0);
        let cost = Cost { stall: duration(self.cost), total: duration(self.cost) };
        loop {
            let until_failure = self.failure(random);
            let mut now = self.restart();
            let mut pacer = Pacer::new(schedule.clone(), past.clone());
            past.fruitless += 1;
            while now < until_failure {
                let interval = pacer.interval().unwrap().as_secs_f64().min(work - done);
                let end = now + interval + self.cost;
                if end > until_failure {
                    break;
                }
                done += interval;
                pacer.saved(duration(end - self.cost), cost);
                (past.costs, past.fruitless) = (vec![cost], 0);
                now = end;
                if done >= work {
                    past.observed += duration(now);
                    return (total + now, past);
                }
            }
            total += until_failure;
            past.failures += 1;
            past.observed += duration(until_failure);
            if past.failures == most {
                return (total, past);
            }
        }
    }
}

/// The mean over runs with different failures, the same failures for each way to choose the
/// interval.
fn mean(runs: u64, run: impl Fn(&mut Random) -> f64) -> f64 {
    (0..runs).map(|seed| run(&mut Random(seed * 7_919 + 1))).sum::<f64>() / runs as f64
}

/// The least mean time over fixed intervals around the optimum of the exponential model.
fn best_fixed(case: Case, work: f64, runs: u64) -> f64 {
    let around = interval::exact(duration(case.cost), duration(case.mtbf)).as_secs_f64();
    let candidates = (-6..=6).map(|step| around * 1.3_f64.powi(step));
    candidates
        .map(|interval| mean(runs, |random| case.fixed(interval, work, random)))
        .fold(f64::INFINITY, f64::min)
}

#[test]
fn after_ten_failures_adaptive_is_two_per_cent_from_the_best() {
    let mut worst: (f64, Option<Case>) = (0.0, None);
    for case in Case::all() {
        let (work, runs) = (20.0 * case.mtbf, case.runs());
        let best = best_fixed(case, work, runs);
        let schedule = Schedule::adaptive();
        let adaptive = mean(runs, |random| {
            // The ten failures differ from those of the measurement.
            let mut earlier = Random(random.0 ^ 0xabcd);
            let (_, past) = case.adaptive(&schedule, Past::default(), f64::INFINITY, 10, &mut earlier);
            case.adaptive(&schedule, past, work, u64::MAX, random).0
        });
        let excess = adaptive / best - 1.0;
        println!("{case:?}: {:.2} %", excess * 100.0);
        if excess > worst.0 {
            worst = (excess, Some(case));
        }
    }
    assert!(worst.0 <= 0.02, "{worst:?}");
}

#[test]
fn a_prior_wrong_tenfold_is_within_ten_per_cent_of_the_best() {
    let mut worst: (f64, Option<(Case, f64)>) = (0.0, None);
    for case in Case::all() {
        for wrong in [0.1, 10.0] {
            let (work, runs) = (20.0 * case.mtbf, case.runs());
            let best = best_fixed(case, work, runs);
            let schedule = Schedule::adaptive_from(duration(case.mtbf * wrong));
            let adaptive =
                mean(runs, |random| case.adaptive(&schedule, Past::default(), work, u64::MAX, random).0);
            let excess = adaptive / best - 1.0;
            println!("{case:?} prior × {wrong}: {:.2} %", excess * 100.0);
            if excess > worst.0 {
                worst = (excess, Some((case, wrong)));
            }
        }
    }
    assert!(worst.0 <= 0.10, "{worst:?}");
}
