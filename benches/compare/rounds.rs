//! Measures cases in turn, round by round.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One thing to measure. Its function prepares what need not be measured, and returns how long the rest took.
pub(crate) struct Case<'a> {
    name: String,
    run: Box<dyn FnMut() -> Outcome<Duration> + 'a>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() -> Outcome<Duration> + 'a) -> Case<'a> {
        Case { name: name.into(), run: Box::new(run) }
    }
}

/// How long the work took, and what it made; that is dropped by the caller, outside of the measurement.
pub(crate) fn timed<R>(work: impl FnOnce() -> Outcome<R>) -> Outcome<(Duration, R)> {
    let begun = Instant::now();
    let result = work()?;
    Ok((begun.elapsed(), result))
}

/// What was measured of one case.
pub(crate) struct Measured {
    pub(crate) name: String,
    /// One for each round.
    pub(crate) seconds: Vec<f64>,
}

impl Measured {
    pub(crate) fn median(&self) -> f64 {
        quantile(&self.seconds, 0.5)
    }
}

/// Every case once in each round, in an order that turns: none always follows the same other one. A first round
/// is not counted: in it, files are created and memory gets warm.
pub(crate) fn interleave(mut cases: Vec<Case<'_>>, rounds: usize, folder: &Path) -> Outcome<Vec<Measured>> {
    let mut measured: Vec<Measured> =
        cases.iter().map(|case| Measured { name: case.name.clone(), seconds: Vec::new() }).collect();
    let count = cases.len();
    for round in 0..=rounds {
        for turn in 0..count {
            // Forwards and backwards, each time from another one.
            let turn = if round % 2 == 0 { turn } else { count - 1 - turn };
            let place = (round + turn) % count;
            if let (Some(case), Some(measured)) = (cases.get_mut(place), measured.get_mut(place)) {
                // What others have yet to write must not be written on this case's time.
                settle(folder);
                let duration = (case.run)().map_err(|error| format!("{}: {error}", case.name))?;
                if round > 0 {
                    measured.seconds.push(duration.as_secs_f64());
                }
            }
        }
        eprint!("\r  round {round} of {rounds} ");
    }
    eprint!("\r{:30}\r", "");
    Ok(measured)
}

#[cfg(target_os = "linux")]
pub(crate) fn settle(folder: &Path) {
    if let Ok(folder) = std::fs::File::open(folder) {
        // Best effort: without it the figures are only noisier.
        let _ = rustix::fs::syncfs(folder);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn settle(_: &Path) {}

/// The quantile of some values, between the two nearest.
pub(crate) fn quantile(values: &[f64], quantile: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    #[allow(clippy::cast_precision_loss, reason = "a few rounds")]
    let place = last as f64 * quantile;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and a few rounds")]
    let below = place as usize;
    let (low, high) = (sorted[below], sorted[last.min(below + 1)]);
    low + (high - low) * place.fract()
}
