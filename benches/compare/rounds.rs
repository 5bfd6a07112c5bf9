//! Measures cases in turn, round by round.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One measurement. Its function prepares it, and returns the time of the rest.
pub(crate) struct Case<'a> {
    name: String,
    run: Box<dyn FnMut() -> Outcome<Duration> + 'a>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(name: impl Into<String>, run: impl FnMut() -> Outcome<Duration> + 'a) -> Case<'a> {
        Case { name: name.into(), run: Box::new(run) }
    }
}

/// The time of the work, and its result. The caller drops the result outside of the measurement.
pub(crate) fn timed<R>(work: impl FnOnce() -> Outcome<R>) -> Outcome<(Duration, R)> {
    let begun = Instant::now();
    let result = work()?;
    Ok((begun.elapsed(), result))
}

/// The measurements of one case.
pub(crate) struct Measured {
    pub(crate) name: String,
    /// One number for each round.
    pub(crate) seconds: Vec<f64>,
}

impl Measured {
    pub(crate) fn median(&self) -> f64 {
        quantile(&self.seconds, 0.5)
    }
}

/// Runs every case once in each round. The order rotates, so that no case always follows the same
/// other one. The first round is not counted: it creates files and warms memory.
pub(crate) fn interleave(mut cases: Vec<Case<'_>>, rounds: usize, folder: &Path) -> Outcome<Vec<Measured>> {
    let mut measured: Vec<Measured> =
        cases.iter().map(|case| Measured { name: case.name.clone(), seconds: Vec::new() }).collect();
    let count = cases.len();
    for round in 0..=rounds {
        for turn in 0..count {
            // The order alternates between forwards and backwards, each time with another first
            // case.
            let turn = if round % 2 == 0 { turn } else { count - 1 - turn };
            let place = (round + turn) % count;
            if let (Some(case), Some(measured)) = (cases.get_mut(place), measured.get_mut(place)) {
                // Pending writes of other cases must not count in this case.
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
        // An error is ignored: the figures are only noisier without this.
        let _ = rustix::fs::syncfs(folder);
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn settle(_: &Path) {}

/// The quantile of some values, interpolated between the two nearest.
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
