//! The distance of the adaptive schedule from the best fixed interval, in the mean over very many
//! failures. `simulation.rs` follows whole runs; but in the few dozen of them that there is time
//! for, chance alone makes a difference of a per cent, which could hide a broken promise.
//!
//! Each failure starts anew, so by the renewal-reward theorem (S. M. Ross, Introduction to
//! Probability Models, 11th ed., 2014, section 7.4) the work that is kept in the long run is τ Σ
//! S(R + k (τ + δ)), k = 1, 2, …, for each time between failures M, where S(t) is the probability
//! of no failure until t. Only the knowledge at each time is left to chance. The interval is
//! assumed to stay the same from one failure to the next, where the schedule makes it longer as
//! time goes by.

#![allow(clippy::cast_precision_loss, reason = "a test")]

use super::interval::duration;
use super::simulation::{Case, Random};
use super::{Experience, interval};

/// The number of histories in a mean, and of failures in each.
const HISTORIES: u64 = 300;
const FAILURES: u64 = 20;

/// The part of the time that is work and is kept.
fn efficiency(case: Case, interval: f64) -> f64 {
    let segment = interval + case.cost;
    let survived = (1..).map(|k| case.survival(case.restart() + f64::from(k) * segment));
    interval * survived.take_while(|survival| *survival > 1e-9).sum::<f64>() / case.mtbf
}

/// The efficiency at intervals in equal steps of their logarithm, about the optimum of the
/// exponential model.
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

    /// Interpolates linearly between the rows.
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

/// The relative excess of the run time over that with the best interval, from this number of
/// failures on.
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

/// All cases but those with cheap saves: there the interval matters too little to compute.
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
fn a_prior_wrong_tenfold_costs_under_ten_per_cent() {
    for case in cases() {
        let table = Table::new(case);
        for wrong in [0.1, 10.0] {
            let excess = excess(case, &table, case.mtbf * wrong, 0);
            println!("{case:?} prior × {wrong}: {:.2} %", excess * 100.0);
            assert!(excess <= 0.10, "{case:?} prior × {wrong}: {excess}");
        }
    }
}
