//! Pipelines: what could be reused though it is stale, run for nothing, or end without a way on.

#![cfg(unix)]

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::common::{assert_passed, file_of, inside, once_more};
use crate::pipeline_files::told;
use checkpointed::{
    Checkpointer, Error, Key, Metadata, Pipeline, Protection, checkpointed,
    inspect::{self, Retention},
    pipeline::{Outcome, Reason, StepReport, redo},
};
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
fn a_parameter_in_a_random_order_is_the_same_each_time() {
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

/// Explains a step, then runs it, and returns what both say of it.
fn explained_and_done(
    pipeline: &Pipeline,
    declare: &dyn for<'p> Fn(&'p Pipeline) -> checkpointed::pipeline::Step<'p>,
    work: &dyn Fn(),
) -> String {
    let explained = declare(pipeline).explain::<u64>().unwrap();
    declare(pipeline)
        .run(|_| {
            work();
            Ok::<u64, Error>(1)
        })
        .unwrap();
    let report = pipeline.reports().pop().unwrap();
    assert_eq!(explained, (report.outcome, report.reasons.clone()));
    let reasons: Vec<String> = report.reasons.iter().map(ToString::to_string).collect();
    format!("{:?}: {}", report.outcome, reasons.join("; "))
}

#[test]
fn explain_gives_each_reason_as_the_run_does() {
    let (parent, path) = nowhere();
    let (input, output) = (parent.path().join("in.csv"), parent.path().join("out.svg"));
    let open = || Pipeline::builder(&path).warnings_to_stderr(false).open().unwrap();
    let simple = |pipeline: Pipeline, version: u32| {
        explained_and_done(&pipeline, &|pipeline| pipeline.step("simple").version(version), &|| ())
    };
    assert_eq!(simple(open(), 1), "Ran: nothing is kept of it");
    assert_eq!(simple(open(), 1), "Reused: nothing has changed");
    assert_eq!(simple(open(), 2), "Ran: version 1 became 2");
    assert_eq!(simple(open().force("simple"), 2), "Ran: forced");
    assert_eq!(simple(open().force_only("simple"), 2), "Ran: forced");
    assert_eq!(simple(open().only("simple"), 2), "Ran: forced");
    assert_eq!(simple(open().only("other"), 3), "Reused: left alone");
    assert_eq!(simple(open().use_version("simple", 3), 9), "Reused: chosen");
    assert_eq!(simple(open().accept("simple"), 4), "Reused: accepted");
    redo(&path, "simple").unwrap();
    assert_eq!(simple(open(), 4), "Ran: forced");
    for version in open().versions("simple").unwrap() {
        fs::write(file_of(&path.join("steps/simple"), version), "PK").unwrap();
    }
    let told = simple(open(), 4);
    assert!(told.starts_with("Ran: version 7 cannot be used: "), "{told}");

    // A step with everything, and one that it takes the output of.
    let full = |pipeline: Pipeline, made: u64, values: Option<&[u64]>, reads: bool, produces: bool| {
        let first = pipeline.step("first").param("made", &made).run(|_| Ok::<u64, Error>(made)).unwrap();
        explained_and_done(
            &pipeline,
            &|pipeline| {
                let step = pipeline.step("full").input(&first).keep_produced(made == 3);
                let step = values.iter().fold(step, |step, values| step.param("values", values));
                let step = if reads { step.file(&input) } else { step };
                if produces { step.produces(&output) } else { step }
            },
            &|| {
                if produces {
                    fs::write(&output, made.to_string()).unwrap();
                }
            },
        )
    };
    fs::write(&input, "1").unwrap();
    full(open(), 1, None, false, false);
    assert_eq!(full(open(), 2, None, false, false), "Ran: the output of first has changed");
    assert_eq!(full(open().force("first"), 2, None, false, false), "Ran: first was forced");
    assert_eq!(full(open().force_only("first"), 8, None, false, false), "Reused: left alone");
    assert_eq!(full(open(), 2, Some(&[1, 2]), false, false), "Ran: values is new: [1,2]");
    let told = full(open(), 2, Some(&[2, 1]), false, false);
    assert_eq!(told, "Ran: values: [1,2] became [2,1], the same values in another order");
    assert_eq!(full(open(), 2, Some(&[2, 1]), true, false), "Ran: in.csv is new");
    fs::write(&input, "2").unwrap();
    assert_eq!(full(open(), 2, Some(&[2, 1]), true, false), "Ran: in.csv has changed");
    assert_eq!(full(open(), 2, Some(&[2, 1]), true, true), "Ran: it produces out.svg now");
    fs::write(&output, "by hand").unwrap();
    assert_eq!(full(open(), 2, Some(&[2, 1]), true, true), "Ran: out.svg, which it produced, has changed");
    fs::remove_file(&output).unwrap();
    assert_eq!(full(open(), 2, Some(&[2, 1]), true, true), "Ran: out.svg, which it produced, is gone");
    full(open(), 3, Some(&[2, 1]), true, true);
    fs::remove_file(&output).unwrap();
    let told = full(open(), 3, Some(&[2, 1]), true, true);
    assert_eq!(told, "Reused: nothing has changed; out.svg was put back");
    let pipeline = open();
    let explained = pipeline.step("full").explain::<String>().unwrap();
    assert_eq!(explained, (Outcome::Ran, vec![Reason::Type]));
    fs::remove_dir_all(path.join("steps/full")).unwrap();
    drop(pipeline);
    full(open(), 3, Some(&[2, 1]), true, true);
    assert_eq!(full(open(), 3, Some(&[2, 1]), true, false), "Ran: it does not produce out.svg any more");
    fs::remove_dir_all(path.join("steps/full")).unwrap();
    full(open(), 3, Some(&[2, 1]), true, false);
    assert_eq!(full(open(), 3, Some(&[2, 1]), false, false), "Ran: in.csv is not used any more");
    fs::remove_dir_all(path.join("steps/full")).unwrap();
    full(open(), 3, Some(&[2, 1]), false, false);
    let told = full(open(), 3, None, false, false);
    assert_eq!(told, "Ran: values, which was [2,1], is not used any more");
}

#[test]
fn a_set_in_another_order_is_told_as_that() {
    let (_parent, path) = nowhere();
    let told = |values: &[String]| with_parameter(&path, values).reasons[0].to_string();
    // Short ones, and ones of which only the beginning is kept.
    for count in [3, 1000] {
        let mut values: Vec<String> = (0..count).map(|number| format!("value \"{number}\"]")).collect();
        told(&values);
        values.reverse();
        assert!(told(&values).ends_with("the same values in another order"), "{}", told(&values));
        values[0] = "another".to_owned();
        assert!(!told(&values).contains("another order"));
    }
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

/// Changes one byte of the data of a version of the output of a step.
fn damage(path: &Path, step: &str, version: u64) -> Vec<u8> {
    let file = file_of(&path.join("steps").join(step), version);
    let mut bytes = fs::read(&file).unwrap();
    bytes[4500] ^= 1;
    fs::write(&file, &bytes).unwrap();
    bytes
}

#[test]
fn a_damaged_output_is_set_aside_and_made_again() {
    let (_parent, path) = nowhere();
    let run = |parameter: u64| {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let warnings = Arc::clone(&taken);
        let builder = Pipeline::builder(&path);
        let builder = builder.on_warning(move |warning| warnings.lock().unwrap().push(warning.to_string()));
        let pipeline = builder.open().unwrap();
        let large = pipeline.step("large").run(|_| Ok::<_, Error>(vec![1.0; 1000])).unwrap();
        let sum = pipeline.step("sum").param("x", &parameter).input(&large);
        let sum = sum.run(|_| Ok::<f64, Error>(large.load()?.iter().sum()));
        (sum.map(|sum| *sum.load().unwrap()), taken.lock().unwrap().clone())
    };
    assert_eq!(run(0).0.unwrap(), 1000.0);
    for version in [1, 2] {
        let bytes = damage(&path, "large", version);
        let (outcome, mut warnings) = run(version);
        let error = outcome.unwrap_err().to_string();
        let aside = path.join(format!("steps/large/0000000000000000000{version}.ckpt.damaged"));
        // Only the newest is kept.
        let older = path.join("steps/large/00000000000000000001.ckpt.damaged");
        if version == 2 {
            let removed = warnings.remove(0);
            assert!(!older.exists() && removed.contains(&older.display().to_string()), "{removed}");
        }
        assert!(error.contains("`large`") && error.contains(&aside.display().to_string()), "{error}");
        assert!(error.contains("the next run of the program makes it again"), "{error}");
        let told = |warning: &String| warning.contains(&aside.display().to_string());
        assert!(warnings.len() == 1 && told(&warnings[0]), "{warnings:?}");
        assert_eq!(fs::read(&aside).unwrap(), bytes);
        let (outcome, warnings) = run(version);
        assert_eq!((outcome.unwrap(), warnings), (1000.0, Vec::new()));
        // Its number is not used again.
        assert!(file_of(&path.join("steps/large"), version + 1).exists());
    }
    // It goes when it would go as a generation.
    let folder = path.join("steps/large");
    let retention = || Some(Retention::newest(NonZeroUsize::MIN));
    let listed = inspect::overview(&folder, &Protection::new()).unwrap().set_aside;
    assert!(listed.len() == 1 && listed[0].generation == 2, "{listed:?}");
    let pruning = inspect::prune(&folder, &Protection::new(), retention(), true).unwrap();
    assert!(pruning.removed.len() == 1 && listed[0].path.exists(), "{pruning:?}");
    inspect::prune(&folder, &Protection::new(), retention(), false).unwrap();
    assert!(!listed[0].path.exists() && file_of(&folder, 3).exists());
}

/// Runs a step with this parameter, and another one, under a command. Returns the value of the
/// step.
fn commanded(path: &Path, parameter: u64, command: fn(Pipeline) -> Pipeline) -> Result<u64, Error> {
    let pipeline = command(Pipeline::open(path)?);
    let first = pipeline.step("first").param("x", &parameter).run(|_| Ok::<u64, Error>(parameter))?;
    pipeline.step("second").run(|_| Ok::<u64, Error>(0))?;
    first.load().map(|value| *value)
}

#[test]
fn an_older_output_never_stands_for_a_damaged_one() {
    let only = |pipeline: Pipeline| pipeline.only("second");
    let from = |pipeline: Pipeline| pipeline.from("second");
    for is_set_aside in [false, true] {
        let (_parent, path) = nowhere();
        commanded(&path, 1, |pipeline| pipeline).unwrap();
        commanded(&path, 2, |pipeline| pipeline).unwrap();
        assert_eq!(commanded(&path, 3, only).unwrap(), 2, "the nearest");
        let file = file_of(&path.join("steps/first"), 2);
        if is_set_aside {
            fs::rename(&file, file.with_extension("ckpt.damaged")).unwrap();
        } else {
            fs::write(&file, "PK").unwrap();
        }
        let error = commanded(&path, 2, only).unwrap_err().to_string();
        let (damage, name) = ("version 2 of its output", "00000000000000000002.ckpt");
        assert!(error.contains(damage) && error.contains(name), "{error}");
        assert_eq!(commanded(&path, 2, from).unwrap(), 2);
        // The new version is not an older one.
        assert_eq!(commanded(&path, 4, only).unwrap(), 2);
    }
}

#[test]
fn an_output_behind_an_error_of_the_system_stays_in_place() {
    let (_parent, path) = nowhere();
    commanded(&path, 1, |pipeline| pipeline).unwrap();
    let file = file_of(&path.join("steps/first"), 1);
    let away = path.join("away");
    fs::rename(&file, &away).unwrap();
    // Opening a link to itself fails.
    std::os::unix::fs::symlink(&file, &file).unwrap();
    let error = commanded(&path, 1, |pipeline| pipeline).unwrap_err();
    let Error::OutputUnusable { set_aside: None, source, .. } = &error else { panic!("{error}") };
    assert!(matches!(**source, Error::Io { .. }), "{error}");
    assert!(error.to_string().contains("left in place"), "{error}");
    assert!(file.is_symlink());
    fs::rename(&away, &file).unwrap();
    let pipeline = Pipeline::open(&path).unwrap();
    let first = pipeline.step("first").param("x", &1_u64).run(|_| Ok::<u64, Error>(5)).unwrap();
    fs::rename(&file, &away).unwrap();
    std::os::unix::fs::symlink(&file, &file).unwrap();
    let error = first.load().unwrap_err();
    assert!(matches!(error, Error::OutputUnusable { set_aside: None, .. }) && file.is_symlink(), "{error}");
    fs::rename(&away, &file).unwrap();
    assert_eq!(*first.load().unwrap(), 1);
}

#[test]
fn another_output_with_the_same_number_is_not_loaded() {
    let (_parent, path) = nowhere();
    let (_other_parent, other) = nowhere();
    commanded(&other, 2, |pipeline| pipeline).unwrap();
    let pipeline = Pipeline::open(&path).unwrap();
    let first = pipeline.step("first").param("x", &1_u64).run(|_| Ok::<u64, Error>(1)).unwrap();
    first.unload();
    let file = file_of(&path.join("steps/first"), 1);
    fs::copy(file_of(&other.join("steps/first"), 1), &file).unwrap();
    let error = first.load().unwrap_err();
    assert!(matches!(error, Error::OutputUnusable { set_aside: None, .. }) && file.exists(), "{error}");
}

#[test]
fn the_names_of_notes_about_files_of_a_step_are_refused() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    for name in [
        "inputs that changed while the state was computed",
        "inputs that were written to while the state was computed",
        "produced files at the save",
    ] {
        let mark = || Metadata::new().with(name, "x");
        let error = checkpoints.save_with(&1, mark()).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
        assert!(checkpoints.save_in_background_with(&1, mark()).is_err(), "{name}");
    }
    assert!(checkpoints.generations().unwrap().is_empty());
}

#[test]
fn the_reason_says_that_what_was_kept_is_damaged() {
    let (_parent, path) = nowhere();
    with_parameter(&path, &1);
    let file = file_of(&path.join("steps/a"), 1);
    fs::write(&file, "PK").unwrap();
    // Looking changes nothing.
    let pipeline = Pipeline::open(&path).unwrap();
    let (outcome, _) = pipeline.step("a").param("x", &1).explain::<u64>().unwrap();
    assert!(outcome == Outcome::Ran && file.exists());
    drop(pipeline);
    let report = with_parameter(&path, &1);
    assert_eq!(report.outcome, Outcome::Ran);
    let reason = report.reasons[0].to_string();
    assert!(reason.contains("version 1") && reason.contains("00000000000000000001.ckpt"), "{reason}");
    assert_eq!(fs::read(file.with_extension("ckpt.damaged")).unwrap(), b"PK");
    assert_eq!(with_parameter(&path, &1).outcome, Outcome::Reused);
}

/// A boot of the machine that is not the present one, while the result of this lives.
#[cfg(target_os = "linux")]
struct AnotherBoot;

#[cfg(target_os = "linux")]
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

#[cfg(target_os = "linux")]
impl AnotherBoot {
    fn begin(directory: &Path) -> AnotherBoot {
        let file = directory.join("boot_id");
        fs::write(&file, "another boot\n").unwrap();
        crate::common::run("mount", &["--bind", file.to_str().unwrap(), BOOT]);
        AnotherBoot
    }
}

#[cfg(target_os = "linux")]
impl Drop for AnotherBoot {
    fn drop(&mut self) {
        crate::common::run("umount", &[BOOT]);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_unsynced_output_that_a_power_cut_damaged_is_made_again() {
    let test = "an_unsynced_output_that_a_power_cut_damaged_is_made_again";
    let Some(directory) = inside() else {
        let parent = tempfile::tempdir().unwrap();
        crate::common::once_more_with_own_mounts(test, parent.path());
        return;
    };
    let path = directory.join("test.pipeline");
    let run = |durable: bool| {
        let pipeline = Pipeline::builder(&path).durable(durable).warnings_to_stderr(false).open().unwrap();
        let large = pipeline.step("large").run(|_| Ok::<_, Error>(vec![1.0; 1000])).unwrap();
        let report = pipeline.reports().remove(0);
        (report.outcome, report.reasons[0].to_string(), large.load().is_ok())
    };
    for durable in [false, true] {
        let another = AnotherBoot::begin(&directory);
        assert_eq!(run(false).0, Outcome::Ran);
        assert_eq!(run(false).0, Outcome::Reused);
        drop(another);
        assert_eq!(run(durable).0, Outcome::Reused, "it came through undamaged");
        let bytes = damage(&path, "large", 1);
        let (outcome, reason, is_loaded) = run(durable);
        assert!(outcome == Outcome::Ran && is_loaded, "{reason}");
        assert!(reason.contains("version 1 cannot be used"), "{reason}");
        let aside = path.join("steps/large/00000000000000000001.ckpt.damaged");
        assert_eq!(fs::read(aside).unwrap(), bytes);
        assert_eq!(run(durable).0, Outcome::Reused);
        fs::remove_dir_all(&path).unwrap();
    }
}

/// What a step does with its own checkpoints, given what it loaded.
type Work<'a> =
    &'a dyn Fn(Option<u64>, &mut Checkpointer<u64>) -> Result<u64, Box<dyn std::error::Error + Send + Sync>>;

#[test]
fn a_step_goes_on_from_before_its_input_changed() {
    let (parent, path) = nowhere();
    let file = parent.path().join("input.csv");
    fs::write(&file, "1").unwrap();
    let run = |work: Work<'_>| {
        let taken = Arc::new(Mutex::new(Vec::new()));
        let warnings = Arc::clone(&taken);
        let builder = Pipeline::builder(&path);
        let builder = builder.on_warning(move |warning| warnings.lock().unwrap().push(warning.to_string()));
        let pipeline = builder.open().unwrap();
        let outcome = pipeline.step("read").file(&file).run(|context| {
            let mut checkpoints = context.checkpointer::<u64>()?;
            let loaded = checkpoints.load()?;
            work(loaded, &mut checkpoints)
        });
        let warnings = taken.lock().unwrap().clone();
        (outcome.map(|output| *output.load().unwrap()), warnings)
    };
    // Before the change, after it, and after the file was put back.
    let (outcome, _) = run(&|loaded, checkpoints| {
        assert_eq!(loaded, None);
        checkpoints.save(&10)?;
        fs::write(&file, "2").unwrap();
        checkpoints.save(&20)?;
        fs::write(&file, "1").unwrap();
        Err("killed".into())
    });
    assert!(outcome.unwrap_err().to_string().contains("killed"));
    let (outcome, warnings) = run(&|loaded, checkpoints| {
        assert_eq!(loaded, Some(10));
        checkpoints.save(&11)?;
        // Touched, and with another link: its content is the same.
        fs::write(&file, "1").unwrap();
        fs::hard_link(&file, parent.path().join("link")).unwrap();
        checkpoints.save(&12)?;
        fs::write(&file, "2").unwrap();
        checkpoints.save(&21)?;
        fs::write(&file, "1").unwrap();
        checkpoints.save_in_background(&22)?;
        checkpoints.wait()?;
        // However many follow, they displace no checkpoint from before.
        (23..30).try_for_each(|state| checkpoints.save(&state).map(drop))?;
        assert_eq!(checkpoints.generations()?.len(), 3);
        Err("killed".into())
    });
    assert!(outcome.unwrap_err().to_string().contains("killed"));
    // One tells of the generation that is skipped, and one of the change.
    let names = warnings.iter().filter(|warning| warning.contains("input.csv")).count();
    assert!(warnings.len() == 2 && names == 2, "{warnings:?}");
    // All from before the change are damaged: the step starts from its beginning.
    let (outcome, warnings) = run(&|loaded, checkpoints| {
        assert_eq!(loaded, Some(12));
        for generation in checkpoints.generations()?.into_iter().take(2) {
            fs::write(file_of(checkpoints.path(), generation), "PK").unwrap();
        }
        assert_eq!(checkpoints.load()?, None);
        checkpoints.save(&12)?;
        checkpoints.save(&13)?;
        Err("killed".into())
    });
    assert!(outcome.unwrap_err().to_string().contains("killed"));
    assert!(warnings.iter().any(|warning| warning.contains("starts from its beginning")), "{warnings:?}");
    // A change while no step runs does no harm. The touch before state 12 is told of: the file may
    // have had another content then.
    fs::write(&file, "2").unwrap();
    fs::write(&file, "1").unwrap();
    let (outcome, warnings) = run(&|loaded, _| Ok(loaded.unwrap()));
    assert_eq!(outcome.unwrap(), 13);
    assert!(
        warnings.len() == 1 && warnings[0].contains("input.csv was changed while it ran"),
        "{warnings:?}"
    );
}

#[test]
fn what_was_read_between_two_saves_counts_in_one_run_only() {
    let (parent, path) = nowhere();
    let file = parent.path().join("number");
    // The draft of the number is 1.
    fs::write(&file, "2").unwrap();
    let run = |work: Work<'_>| {
        let pipeline = Pipeline::builder(&path).warnings_to_stderr(false).open().unwrap();
        let outcome = pipeline.step("read").file(&file).run(|context| {
            let mut checkpoints = context.checkpointer::<u64>()?;
            let loaded = checkpoints.load()?;
            work(loaded, &mut checkpoints)
        });
        let reports: Vec<String> = pipeline.reports().iter().map(told).collect();
        (outcome.map(|output| *output.load().unwrap()), reports)
    };
    let (outcome, _) = run(&|loaded, checkpoints| {
        assert_eq!(loaded, None);
        checkpoints.save(&0)?;
        thread::sleep(Duration::from_millis(20));
        fs::write(&file, "1")?;
        let read = fs::read_to_string(&file)?.parse::<u64>()?;
        fs::write(&file, "2")?;
        checkpoints.save(&read)?;
        Err("killed".into())
    });
    assert!(outcome.unwrap_err().to_string().contains("killed"));
    // The next process saves too, and nothing is written to the file while it runs.
    let (outcome, _) = run(&|loaded, checkpoints| {
        assert_eq!(loaded, Some(1));
        checkpoints.save(&1)?;
        Err("killed".into())
    });
    assert!(outcome.unwrap_err().to_string().contains("killed"));
    let changed = "number was changed while the step ran";
    let (outcome, reports) = run(&|loaded, _| Ok(loaded.unwrap()));
    assert_eq!(outcome.unwrap(), 1);
    assert_eq!(reports, [format!("Ran: nothing is kept of it; {changed}")]);
    let anew: Work<'_> = &|loaded, _| {
        assert_eq!(loaded, None);
        Ok(fs::read_to_string(&file)?.parse::<u64>()?)
    };
    let (outcome, reports) = run(anew);
    assert_eq!(outcome.unwrap(), 2);
    assert_eq!(reports, [format!("Ran: {changed}")]);
    let (outcome, reports) = run(anew);
    assert_eq!(outcome.unwrap(), 2);
    assert_eq!(reports, ["Reused: nothing has changed"]);
}

#[test]
fn the_reason_has_the_old_and_the_new_identity_of_an_input() {
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
fn an_output_of_another_type_differs_even_in_the_same_bytes() {
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

/// Writes into a file that it has mapped, at each line that it gets, and says so.
const STORES: &str = r#"
import mmap, sys
with open(sys.argv[1], "r+b") as file:
    memory = mmap.mmap(file.fileno(), 0)
for place, line in enumerate(sys.stdin):
    memory[place] = ord("x")
    print(place, flush=True)
"#;

#[test]
fn every_store_through_a_memory_map_is_noticed() {
    if !crate::common::has("python3") {
        return;
    }
    let (parent, path) = nowhere();
    let file = parent.path().join("mapped.dat");
    fs::write(&file, [b'a'; 8192]).unwrap();
    let mut python = Command::new("python3");
    python.args(["-c", STORES]).arg(&file).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = python.spawn().unwrap();
    let (mut input, mut output) =
        (python.stdin.take().unwrap(), BufReader::new(python.stdout.take().unwrap()));
    let mut store = || {
        writeln!(input).unwrap();
        output.read_line(&mut String::new()).unwrap();
    };
    let run = || {
        let pipeline = Pipeline::open(&path).unwrap();
        pipeline.step("read").file(&file).run(|_| fs::read(&file)).unwrap();
        pipeline.finish().unwrap().remove(0).outcome
    };
    store();
    // From now on its hash is remembered.
    thread::sleep(Duration::from_millis(3200));
    assert_eq!(run(), Outcome::Ran);
    assert_eq!(run(), Outcome::Reused);
    store();
    assert_eq!(run(), Outcome::Ran);
    let _ = store;
    drop(input);
    python.wait().unwrap();
}

#[test]
fn a_file_that_changes_while_its_step_runs_is_not_trusted() {
    let (parent, path) = nowhere();
    let file = parent.path().join("input.csv");
    fs::write(&file, "1").unwrap();
    let run = |work: &dyn Fn()| {
        let pipeline = Pipeline::open(&path).unwrap();
        let read = pipeline.step("read").file(&file).run(|_| {
            work();
            fs::read_to_string(&file)
        });
        let value = read.unwrap().load().unwrap().to_string();
        let report = pipeline.finish().unwrap().remove(0);
        (value, report.outcome, report.reasons.last().unwrap().to_string())
    };
    let name = "input.csv";
    let (value, outcome, reason) = run(&|| fs::write(&file, "2").unwrap());
    assert_eq!((value.as_str(), outcome), ("2", Outcome::Ran));
    assert_eq!(reason, format!("{name} was changed while the step ran"));
    // Put back, it is what it was before that step, whose output was made from something else.
    fs::write(&file, "1").unwrap();
    let (value, outcome, reason) = run(&|| ());
    assert_eq!((value.as_str(), outcome), ("1", Outcome::Ran));
    assert_eq!(reason, format!("{name} was changed while the step ran"));
    assert_eq!(run(&|| ()).1, Outcome::Reused);

    // Put back while the step still runs; of another length, another time, or another file.
    let changes: [&dyn Fn(); 3] =
        [&|| fs::write(&file, "22").unwrap(), &|| fs::write(&file, "2").unwrap(), &|| {
            fs::remove_file(&file).unwrap()
        }];
    for (number, change) in changes.into_iter().enumerate() {
        let forced = Pipeline::open(&path).unwrap().force("read");
        let step = forced.step("read").file(&file);
        step.run(|_| {
            change();
            thread::sleep(Duration::from_millis(20));
            fs::write(&file, "1").unwrap();
            fs::read_to_string(&file)
        })
        .unwrap();
        let report = forced.finish().unwrap().remove(0);
        assert!(matches!(report.reasons[1], Reason::ChangedMeanwhile { .. }), "{number}: {report}");
    }
}

#[test]
fn a_file_is_the_same_however_its_path_is_written() {
    let (_parent, path) = nowhere();
    let run = |file: &str| {
        let pipeline = Pipeline::open(&path).unwrap();
        pipeline.step("read").file(file).run(|_| Ok::<u64, Error>(1)).unwrap();
        pipeline.finish().unwrap().remove(0).outcome
    };
    // Tests run in the folder of their package.
    assert_eq!(run("Cargo.toml"), Outcome::Ran);
    assert_eq!(run("./Cargo.toml"), Outcome::Reused);
    assert_eq!(run(".//Cargo.toml"), Outcome::Reused);
}

#[test]
fn a_step_may_have_a_name_in_any_script() {
    let (_parent, path) = nowhere();
    for name in ["计算所有粒子在周期边界条件下的平均动能与总能量", "приближение функции", "면적", "s p/a:c\n"]
    {
        for outcome in [Outcome::Ran, Outcome::Reused] {
            let pipeline = Pipeline::open(&path).unwrap();
            pipeline.step(name).run(|_| Ok::<u64, Error>(1)).unwrap();
            assert_eq!(pipeline.finish().unwrap()[0].outcome, outcome, "{name}");
        }
        let steps = checkpointed::pipeline::steps(&path, &Protection::new()).unwrap();
        assert!(steps.iter().any(|step| step.step == name), "{name}");
    }
    let pipeline = Pipeline::open(&path).unwrap();
    pipeline.step("étape").run(|_| Ok::<u64, Error>(1)).unwrap();
    let error = pipeline.step("Étape").run(|_| Ok::<u64, Error>(1)).unwrap_err().to_string();
    assert!(error.contains("upper and lower case"), "{error}");
    let error = pipeline.step(&"长".repeat(67)).run(|_| Ok::<u64, Error>(1)).unwrap_err().to_string();
    assert!(error.contains("too long") && error.contains("200 bytes"), "{error}");
}

#[test]
fn hashes_that_cannot_be_remembered_do_not_stop_a_step() {
    let (parent, path) = nowhere();
    let csv = parent.path().join("input.csv");
    fs::write(&csv, "1").unwrap();
    let old = std::time::SystemTime::now() - Duration::from_secs(100);
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

#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
    let (parent, path) = nowhere();
    let pipe = parent.path().join("input");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (sender, done) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let pipeline = Pipeline::open(&path).unwrap();
        let step = pipeline.step("a").file(&pipe).run(|_| Ok::<u64, Error>(1));
        sender.send((step.map(drop), Key::from_file(&pipe).map(drop))).unwrap();
    });
    let (step, key) = done.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(matches!(step, Err(Error::StepFailed { .. })), "{step:?}");
    assert!(matches!(key, Err(Error::InvalidKey { .. })), "{key:?}");
}

#[test]
fn a_request_to_run_a_step_again_outlives_the_run_it_meets() {
    let (_parent, path) = nowhere();
    let run = |parameter: u64, meanwhile: &dyn Fn()| {
        let pipeline = Pipeline::open(&path).unwrap();
        let work = |_: &_| {
            meanwhile();
            Ok::<u64, Error>(1)
        };
        pipeline.step("a").param("x", &parameter).run(work).unwrap();
        pipeline.finish().unwrap().remove(0).outcome
    };
    assert_eq!(run(1, &|| {}), Outcome::Ran);
    assert_eq!(run(2, &|| assert!(redo(&path, "a").unwrap())), Outcome::Ran);
    assert_eq!(run(2, &|| {}), Outcome::Ran, "it was asked for while the step ran");
    assert_eq!(run(2, &|| {}), Outcome::Reused);
}
