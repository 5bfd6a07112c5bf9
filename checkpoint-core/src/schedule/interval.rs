//! The time to compute between two saves, where failures come at random.
//!
//! The model is that of J. T. Daly, "A higher order estimate of the optimum checkpoint interval for
//! restart dumps", Future Generation Computer Systems 22 (2006) 303-312: failures are exponentially
//! distributed with the mean time between them `mtbf` (M), a save costs the program `cost` (δ), a
//! restart `restart` (R), and between two saves it computes for `interval` (τ). All times are
//! durations of real time.
//!
//! ```
//! use checkpointed::schedule::interval;
//! use std::time::Duration;
//!
//! let (cost, mtbf) = (Duration::from_secs(5 * 60), Duration::from_secs(24 * 3600));
//! assert_eq!(interval::exact(cost, mtbf).as_secs() / 60, 116);
//! assert_eq!(interval::young(cost, mtbf).as_secs() / 60, 120);
//! ```

use std::time::Duration;

/// Young's interval, √(2 δ M): the first-order estimate. It is good where the cost is far below the
/// MTBF, and always longer than the [`exact`] one.
///
/// J. W. Young, "A first order approximation to the optimum checkpoint interval", Communications of
/// the ACM 17 (1974) 530-531.
#[must_use]
pub fn young(cost: Duration, mtbf: Duration) -> Duration {
    let (cost, mtbf) = (cost.as_secs_f64(), mtbf.as_secs_f64());
    // Each root is taken by itself: the square of the largest products is no float.
    duration(2.0_f64.sqrt() * cost.sqrt() * mtbf.sqrt())
}

/// Daly's interval of higher order, √(2 δ M) [1 + ⅓ √(δ / 2M) + ⅑ (δ / 2M)] - δ where δ < 2 M, and
/// M beyond: equation (37) of his article.
#[must_use]
pub fn daly(cost: Duration, mtbf: Duration) -> Duration {
    let (cost, mtbf) = (cost.as_secs_f64(), mtbf.as_secs_f64());
    if mtbf <= 0.0 || cost >= 2.0 * mtbf {
        return duration(mtbf);
    }
    let ratio = cost / (2.0 * mtbf);
    duration(2.0 * mtbf * ratio.sqrt() * (1.0 + ratio.sqrt() / 3.0 + ratio / 9.0) - cost)
}

/// The interval at which [`expected_runtime`] is least: M (1 + W(-e^(-1 - δ/M))), with the
/// principal branch of Lambert's W.
///
/// Derivation: the derivative of (e^((τ + δ)/M) - 1) / τ is zero where 1 - x = e^(-x - d), with x =
/// τ/M and d = δ/M. It does not depend on the restart. R. M. Corless et al., "On the Lambert W
/// function", Advances in Computational Mathematics 5 (1996) 329-359, equation (4.22), gives the
/// series about the branch point; a Newton iteration on ln(1 - x) + x + d = 0 refines it. The
/// interval is never longer than M.
#[must_use]
pub fn exact(cost: Duration, mtbf: Duration) -> Duration {
    let (cost, mtbf) = (cost.as_secs_f64(), mtbf.as_secs_f64());
    if mtbf <= 0.0 {
        return Duration::ZERO;
    }
    duration(mtbf * exact_ratio(cost / mtbf))
}

/// τ/M as a function of δ/M.
fn exact_ratio(cost: f64) -> f64 {
    // Beyond this, 1 - x is less than a float can tell from 0.
    if cost > 36.0 {
        return 1.0;
    }
    let p = (-2.0 * (-cost).exp_m1()).sqrt();
    if p < 1e-4 {
        return p * (1.0 - p * (1.0 / 3.0 - p * 11.0 / 72.0));
    }
    // The start comes from either side: the series is too long beyond d = 1, the exponential too
    // short below.
    let mut x = if cost < 1.0 {
        p * (1.0 - p * (1.0 / 3.0 - p * (11.0 / 72.0 - p * 43.0 / 540.0)))
    } else {
        1.0 - (-1.0 - cost).exp()
    };
    for _ in 0..50 {
        let value = (-x).ln_1p() + x + cost;
        let next = (x + value * (1.0 - x) / x).clamp(x / 2.0, (1.0 + x) / 2.0);
        if (next - x).abs() <= 1e-16 * x {
            break;
        }
        x = next;
    }
    x
}

/// The expected time from the beginning to the end of a run: M e^(R/M) (e^((τ + δ)/M) - 1) W/τ, for
/// `work` (W) of computing; equation (20) of Daly's article. Returns [`Duration::MAX`] where that
/// is longer than a [`Duration`] can be.
#[must_use]
pub fn expected_runtime(
    work: Duration,
    interval: Duration,
    cost: Duration,
    restart: Duration,
    mtbf: Duration,
) -> Duration {
    let seconds = [work, interval, cost, restart, mtbf].map(|time| time.as_secs_f64());
    let [work, interval, cost, restart, mtbf] = seconds;
    if work <= 0.0 {
        return Duration::ZERO;
    }
    if mtbf <= 0.0 || interval <= 0.0 {
        return Duration::MAX;
    }
    duration(mtbf * (restart / mtbf).exp() * ((interval + cost) / mtbf).exp_m1() * work / interval)
}

/// Turns any number of seconds into a duration: too many become the longest, NaN and negative ones
/// zero.
pub(crate) fn duration(seconds: f64) -> Duration {
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) => duration,
        Err(_) if seconds > 0.0 => Duration::MAX,
        Err(_) => Duration::ZERO,
    }
}
