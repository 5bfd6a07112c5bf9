//! The intervals: tested against published values, and against the minimum that they claim to be.

use std::time::Duration;

use checkpointed::schedule::interval::{daly, exact, expected_runtime, young};

fn minutes(minutes: f64) -> Duration {
    Duration::from_secs_f64(minutes * 60.0)
}

/// Figures 3 to 5 of J. T. Daly, Future Generation Computer Systems 22 (2006) 303-312, all in
/// minutes: MTBF, cost, the article's optimum, and the results of its formula and of the other two.
const PUBLISHED: [[f64; 6]; 3] = [
    [1440.0, 5.0, 117.0, 116.689_814_815, 116.690_073_327, 120.0],
    [360.0, 5.0, 57.0, 56.712_962_963, 56.714_001_998_8, 60.0],
    [15.0, 5.0, 9.1, 9.140_919_986_4, 9.166_502_820_94, 12.247_448_713_9],
];

#[track_caller]
fn assert_close(found: Duration, expected: f64, tolerance: f64) {
    let found = found.as_secs_f64();
    assert!((found - expected).abs() <= tolerance * expected.abs(), "{found} is not {expected}");
}

#[test]
fn the_intervals_are_those_that_were_published() {
    for [mtbf, cost, published, higher_order, minimum, first_order] in PUBLISHED {
        let (cost, mtbf) = (minutes(cost), minutes(mtbf));
        assert_close(daly(cost, mtbf), higher_order * 60.0, 1e-9);
        assert_close(exact(cost, mtbf), minimum * 60.0, 1e-9);
        assert_close(young(cost, mtbf), first_order * 60.0, 1e-9);
        assert_close(exact(cost, mtbf), published * 60.0, 0.01);
    }
}

/// The derivative of the logarithm of (e^(x + d) - 1) / x is zero at the minimum; it is found here
/// by bisection.
fn minimum(cost: f64) -> f64 {
    let slope = |x: f64| {
        // 1 - x - e^-(x + d); its first terms cancel if x is small.
        let exponential = (-(x + cost)).exp_m1();
        -x - exponential
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if slope(middle) > 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[test]
fn the_exact_interval_is_the_minimum_for_costs_of_all_sizes() {
    let mtbf = Duration::from_secs(1_000_000_000);
    for step in 0..=200 {
        let cost = 10_f64.powf(-9.0 + f64::from(step) * 0.05);
        let interval = exact(Duration::from_secs_f64(cost * 1e9), mtbf);
        assert_close(interval, minimum(cost) * 1e9, 1e-6);
    }
}

#[test]
fn no_other_interval_has_a_shorter_expected_runtime() {
    let (work, restart) = (Duration::from_secs(1_000_000), Duration::from_secs(60));
    for mtbf in [3600, 86_400, 604_800] {
        for cost in [1, 60, 600, 7200] {
            let (cost, mtbf) = (Duration::from_secs(cost), Duration::from_secs(mtbf));
            let best = exact(cost, mtbf);
            let runtime = |interval| expected_runtime(work, interval, cost, restart, mtbf);
            for factor in [0.5, 0.9, 0.99, 1.01, 1.1, 2.0] {
                assert!(runtime(best) < runtime(best.mul_f64(factor)), "{cost:?} {mtbf:?} {factor}");
            }
        }
    }
}

#[test]
fn without_failures_the_runtime_is_the_work_and_the_saves() {
    let day = Duration::from_secs(86_400);
    let runtime = expected_runtime(
        day,
        Duration::from_secs(3600),
        Duration::from_secs(60),
        Duration::ZERO,
        Duration::from_secs(1 << 40),
    );
    assert_close(runtime, 24.0 * 3660.0, 1e-6);
}

#[test]
fn nothing_and_for_ever_are_no_trouble() {
    let times = [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(1), Duration::MAX];
    for cost in times {
        for mtbf in times {
            for interval in [young, daly, exact] {
                assert!(interval(cost, mtbf) <= Duration::MAX);
            }
            assert!(exact(cost, mtbf) <= mtbf.saturating_add(Duration::from_secs(1)), "{cost:?} {mtbf:?}");
            for other in times {
                let _ = expected_runtime(other, cost, mtbf, other, mtbf);
                let _ = expected_runtime(cost, other, other, mtbf, mtbf);
            }
        }
    }
    assert_eq!(exact(Duration::ZERO, Duration::from_secs(1)), Duration::ZERO);
    assert_eq!(exact(Duration::from_secs(1), Duration::ZERO), Duration::ZERO);
}
