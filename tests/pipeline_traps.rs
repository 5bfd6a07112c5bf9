//! Pipelines: what could be reused though it is stale, run for nothing, or end without a way on.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use checkpointed::{Error, Outcome, Pipeline, Reason, StepReport, checkpointed};
use common::{assert_passed, file_of, inside, once_more};
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
fn steps_that_a_file_system_may_take_for_one_are_refused() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    pipeline.step("fit").run(|_| Ok::<u64, Error>(1)).unwrap();
    let error = pipeline.step("Fit").run(|_| Ok::<u64, Error>(2)).unwrap_err().to_string();
    assert!(error.contains("\"Fit\"") && error.contains("upper and lower case"), "{error}");
    pipeline.step("fits").run(|_| Ok::<u64, Error>(3)).unwrap();
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
fn files_whose_names_are_no_text_are_told_apart() {
    let (parent, path) = nowhere();
    let file = |name: &[u8]| parent.path().join(OsStr::from_bytes(name));
    let files = [file(b"\xfe.csv"), file(b"\xff.csv")];
    let run = || {
        let pipeline = Pipeline::open(&path).unwrap();
        pipeline.step("a").file(&files[0]).file(&files[1]).run(|_| Ok::<u64, Error>(1)).unwrap();
        pipeline.finish().unwrap().remove(0).outcome
    };
    files.iter().for_each(|file| fs::write(file, "1").unwrap());
    assert_eq!(run(), Outcome::Ran);
    for file in &files {
        fs::write(file, "2").unwrap();
        assert_eq!(run(), Outcome::Ran, "{}", file.display());
        assert_eq!(run(), Outcome::Reused);
    }
}

#[test]
fn to_have_a_step_explained_changes_nothing_of_what_follows() {
    let (parent, path) = nowhere();
    let csv = parent.path().join("input.csv");
    let run = |pipeline: Pipeline, explain: bool, version: u32| {
        if explain {
            pipeline.step("b").explain::<u64>().unwrap();
        }
        pipeline.step("a").version(version).run(|_| Ok::<u64, Error>(1)).unwrap();
        pipeline.step("b").run(|_| Ok::<u64, Error>(2)).unwrap();
        pipeline.finish().unwrap().into_iter().map(|report| report.outcome).collect::<Vec<_>>()
    };
    run(Pipeline::open(&path).unwrap(), false, 1);
    for explain in [false, true] {
        let outcomes = run(Pipeline::open(&path).unwrap().from("b"), explain, 2);
        assert_eq!(outcomes, [Outcome::Reused, Outcome::Ran], "explained: {explain}");
    }

    let pipeline = Pipeline::open(&path).unwrap();
    pipeline.step("read").file(&csv).explain::<u64>().unwrap_err();
    fs::write(&csv, "1").unwrap();
    pipeline.step("read").file(&csv).run(|_| Ok::<u64, Error>(1)).unwrap();
}

#[test]
fn an_output_that_was_damaged_says_how_to_make_it_again() {
    let (_parent, path) = nowhere();
    let run = |pipeline: Pipeline| {
        let large = pipeline.step("large").run(|_| Ok::<_, Error>(vec![1.0; 1000]))?;
        let sum = pipeline.step("sum").param("run", &std::process::id()).input(&large);
        let sum = sum.run(|_| Ok::<f64, Error>(large.load()?.iter().sum()))?;
        large.load()?;
        sum.load().map(|sum| *sum)
    };
    run(Pipeline::open(&path).unwrap()).unwrap();
    let file = file_of(&path.join("steps/large"), 1);
    let mut bytes = fs::read(&file).unwrap();
    bytes[4500] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let error = run(Pipeline::open(&path).unwrap()).unwrap_err().to_string();
    assert!(error.contains("`large`") && error.contains("CHECKPOINT_STEPS=force-only:large"), "{error}");
    assert_eq!(run(Pipeline::open(&path).unwrap().force_only("large")).unwrap(), 1000.0);
    assert_eq!(run(Pipeline::open(&path).unwrap()).unwrap(), 1000.0);
}

#[test]
fn the_reason_says_that_what_was_kept_is_damaged() {
    let (_parent, path) = nowhere();
    with_parameter(&path, &1);
    let file = file_of(&path.join("steps/a"), 1);
    fs::write(&file, "PK").unwrap();
    let report = with_parameter(&path, &1);
    assert_eq!(report.outcome, Outcome::Ran);
    let reason = report.reasons[0].to_string();
    assert!(reason.contains("version 1") && reason.contains("00000000000000000001.ckpt"), "{reason}");
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

#[checkpointed(name = "Size")]
struct Size {
    width: u64,
    height: u64,
}

#[checkpointed(name = "Size")]
struct Turned {
    height: u64,
    width: u64,
}

#[test]
fn an_output_of_another_type_is_another_one_even_if_its_bytes_are_the_same() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    let size = pipeline.step("size").run(|_| Ok::<_, Error>(Size { width: 2, height: 3 })).unwrap();
    let wide = pipeline.step("wide").input(&size);
    let wide = wide.run(|_| size.load().map(|size| size.width > size.height)).unwrap();
    assert!(!*wide.load().unwrap());
    drop(pipeline);

    let pipeline = Pipeline::open(&path).unwrap();
    let size = pipeline.step("size").run(|_| Ok::<_, Error>(Turned { height: 2, width: 3 })).unwrap();
    let wide = pipeline.step("wide").input(&size);
    let wide = wide.run(|_| size.load().map(|size| size.width > size.height)).unwrap();
    assert!(*wide.load().unwrap());
}

#[test]
fn hashes_that_cannot_be_remembered_do_not_stop_a_step() {
    let (parent, path) = nowhere();
    let csv = parent.path().join("input.csv");
    fs::write(&csv, "1").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(100);
    fs::File::options().append(true).open(&csv).unwrap().set_modified(old).unwrap();
    let pipeline = Pipeline::open(&path).unwrap();
    fs::remove_dir_all(path.join("files")).unwrap();
    fs::write(path.join("files"), "in the way").unwrap();
    pipeline.step("read").file(&csv).run(|_| Ok::<u64, Error>(1)).unwrap();
}

#[test]
fn a_branch_that_fails_leaves_nothing() {
    let (parent, path) = nowhere();
    with_parameter(&path, &1);
    fs::create_dir(file_of(&path.join("steps/a"), 7)).unwrap();
    let branch = parent.path().join("branch.pipeline");
    Pipeline::open(&path).unwrap().branch(&branch).unwrap_err();
    assert!(!branch.exists());
    fs::remove_dir(file_of(&path.join("steps/a"), 7)).unwrap();
    Pipeline::open(&path).unwrap().branch(&branch).unwrap();
    assert_eq!(with_parameter(&branch, &1).outcome, Outcome::Reused);
}

#[test]
fn commands_that_are_no_text_are_refused() {
    if let Some(directory) = inside() {
        let error = Pipeline::open(directory.join("test.pipeline")).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let mut command = once_more("commands_that_are_no_text_are_refused", &[], parent.path());
    assert_passed(&command.env("CHECKPOINT_STEPS", OsStr::from_bytes(b"force:\xff")).output().unwrap());
}

#[test]
fn another_process_is_told_that_the_pipeline_is_in_use() {
    if let Some(directory) = inside() {
        let error = Pipeline::open(directory.join("test.pipeline")).unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let _pipeline = Pipeline::open(parent.path().join("test.pipeline")).unwrap();
    let mut command = once_more("another_process_is_told_that_the_pipeline_is_in_use", &[], parent.path());
    assert_passed(&command.output().unwrap());
}
