//! How far the estimate of the time between failures takes the adaptive schedule from the best fixed interval, in the mean
//! over very many failures. `simulation.rs` follows the schedule through whole runs; but the few dozen of them that there is time
//! for differ by a per cent by chance alone, so that they could hide a miss of the promise.
//!
//! Each failure begins the game anew, so by the renewal-reward theorem (S. M. Ross, Introduction to Probability Models, 11th ed.,
//! 2014, section 7.4) the work that is kept in the long run is τ Σ S(R + k (τ + δ)), k = 1, 2, …, for each time between
//! failures M, where S(t) is the probability that there is no failure until t. Only what is known when is left to chance. The interval
//! is taken to stay the same from one failure to the next, where the schedule makes it longer as time goes by.

#![allow(clippy::cast_precision_loss, reason = "a test")]

use super::interval::duration;
use super::simulation::{Case, Random};
use super::{Experience, interval};

/// Of how many histories the mean is taken, and of how many failures in each.
const HISTORIES: u64 = 300;
const FAILURES: u64 = 20;

/// The part of the time that is work which is kept.
fn efficiency(case: Case, interval: f64) -> f64 {
    let segment = interval + case.cost;
    let survived = (1..).map(|k| case.survival(case.restart() + f64::from(k) * segment));
    interval * survived.take_while(|survival| *survival > 1e-9).sum::<f64>() / case.mtbf
}

/// The efficiency at intervals in equal steps of their logarithm, about the optimum of the exponential model.
struct Table {
    around: f64,
    rows: Vec<f64>,
}

const STEPS_PER_OCTAVE: f64 = 8.0;
const OCTAVES_BELOW: f64 = 6.0;

impl Table {
    fn new(case: Case) -> Table {
        let around = exact(case, case.mtbf);
        let octaves = (0..=80).map(|step| f64::from(step) / STEPS_PER_OCTAVE - OCTAVES_BELOW);
        Table { around, rows: octaves.map(|octave| efficiency(case, around * octave.exp2())).collect() }
    }

    fn best(&self) -> f64 {
        self.rows.iter().copied().fold(0.0, f64::max)
    }

    /// Between the rows, in a straight line.
    fn at(&self, interval: f64) -> f64 {
        let place = ((interval / self.around).log2() + OCTAVES_BELOW) * STEPS_PER_OCTAVE;
        let row = (0..self.rows.len() - 1).take_while(|row| *row as f64 <= place).last().unwrap_or(0);
        let part = place - row as f64;
        self.rows[row] * (1.0 - part) + self.rows[row + 1] * part
    }
}

fn exact(case: Case, mtbf: f64) -> f64 {
    interval::exact(duration(case.cost), duration(mtbf)).as_secs_f64()
}

/// By how much runs are longer than with the best interval, from when so many failures were seen.
fn excess(case: Case, table: &Table, prior: f64, seen: u64) -> f64 {
    let mut kept = 0.0;
    for history in 0..HISTORIES {
        let mut random = Random(history * 104_729 + 3);
        let mut observed = 0.0;
        for failures in 0..seen + FAILURES {
            if failures >= seen {
                let experience = Experience { failures, observed: duration(observed) };
                let mtbf = experience.mtbf(duration(prior)).as_secs_f64();
                kept += table.at(exact(case, mtbf));
            }
            observed += case.failure(&mut random);
        }
    }
    table.best() * (HISTORIES * FAILURES) as f64 / kept - 1.0
}

/// Where saves are cheap, so little depends on the interval that it need not be worked out.
fn cases() -> impl Iterator<Item = Case> {
    Case::all().filter(|case| case.cost >= 10.0)
}

#[test]
fn ten_failures_are_enough_for_two_per_cent_in_the_long_run() {
    for case in cases() {
        let excess = excess(case, &Table::new(case), super::ASSUMED_MTBF.as_secs_f64(), 10);
        println!("{case:?}: {:.2} %", excess * 100.0);
        assert!(excess <= 0.02, "{case:?}: {excess}");
    }
}

#[test]
fn a_prior_that_is_wrong_by_a_factor_of_ten_costs_less_than_ten_per_cent_from_the_first_failure_on() {
    for case in cases() {
        let table = Table::new(case);
        for wrong in [0.1, 10.0] {
            let excess = excess(case, &table, case.mtbf * wrong, 0);
            println!("{case:?} prior × {wrong}: {:.2} %", excess * 100.0);
            assert!(excess <= 0.10, "{case:?} prior × {wrong}: {excess}");
        }
    }
}
