//! Pipelines: what could be reused though it is stale, run for nothing, or end without a way on.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use checkpointed::{Error, Outcome, Pipeline, Reason, StepReport};
use serde::Serialize;

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("test.pipeline");
    (parent, path)
}

/// Runs a step with one parameter, and says what became of it.
fn with_parameter<P: Serialize + ?Sized>(path: &Path, value: &P) -> StepReport {
    let pipeline = Pipeline::open(path).unwrap();
    pipeline.step("a").param("x", value).run(|_| Ok::<u64, Error>(1)).unwrap();
    pipeline.finish().unwrap().remove(0)
}

#[test]
fn a_parameter_whose_order_is_left_to_chance_is_the_same_each_time() {
    let (_parent, path) = nowhere();
    let map =
        || (0..50).map(|key| (format!("key {key}"), (key > 0).then_some(key))).collect::<HashMap<_, _>>();
    assert_eq!(with_parameter(&path, &map()).outcome, Outcome::Ran);
    for _ in 0..5 {
        assert_eq!(with_parameter(&path, &map()).outcome, Outcome::Reused);
    }
}

#[test]
fn the_reason_shows_numbers_that_json_has_no_word_for() {
    let (_parent, path) = nowhere();
    with_parameter(&path, &f64::NAN);
    let reasons = with_parameter(&path, &f64::INFINITY).reasons;
    assert_eq!(reasons[0].to_string(), "x: NaN became inf");
    // And text is not taken for them.
    let reasons = with_parameter(&path, "inf").reasons;
    assert_eq!(reasons[0].to_string(), "x: inf became \"inf\"");
}

#[test]
fn numbers_beyond_64_bits_and_maps_with_any_keys_are_parameters() {
    let (_parent, path) = nowhere();
    let value = (u128::MAX, i128::MIN, BTreeMap::from([((1, 'a'), 0.5_f32)]));
    assert_eq!(with_parameter(&path, &value).outcome, Outcome::Ran);
    assert_eq!(with_parameter(&path, &value).outcome, Outcome::Reused);
    let value = (u128::MAX - 1, i128::MIN, BTreeMap::from([((1, 'a'), 0.5_f32)]));
    assert_eq!(with_parameter(&path, &value).outcome, Outcome::Ran);
}

#[test]
fn a_parameter_that_is_given_twice_is_refused() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    let twice = pipeline.step("a").param("x", &1).param("x", &2).run(|_| Ok::<u64, Error>(1));
    let error = twice.unwrap_err().to_string();
    assert!(error.contains("`x`") && error.contains("twice"), "{error}");
}

#[test]
fn the_reason_has_the_old_and_the_new_identity_of_an_input_and_of_a_file() {
    let (parent, path) = nowhere();
    let csv = parent.path().join("input.csv");
    let run = |value: u64| {
        fs::write(&csv, value.to_string()).unwrap();
        let pipeline = Pipeline::open(&path).unwrap();
        let made = pipeline.step("make").param("value", &value).run(|_| Ok::<u64, Error>(value)).unwrap();
        pipeline.step("use").input(&made).file(&csv).run(|_| Ok::<u64, Error>(0)).unwrap();
        pipeline.finish().unwrap().remove(1).reasons
    };
    run(1);
    let reasons = run(2);
    let [
        Reason::Input { old: Some(old), new: Some(new), .. },
        Reason::File { old: Some(was), new: Some(is), .. },
    ] = &reasons[..]
    else {
        panic!("{reasons:?}")
    };
    assert!(old != new && was != is);
}
