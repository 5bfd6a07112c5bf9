//! Pipelines: what is run, what is reused, and why; with real files and real kills.

#![cfg(unix)]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::{inside, once_more};
use checkpointed::{
    Error, Pipeline, checkpointed,
    pipeline::{Outcome, Reason},
};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("test.pipeline");
    (parent, path)
}

/// Four steps, of which each takes the output of the one before. Returns which of them were run,
/// and the result.
struct Four {
    factor: f64,
    offset: f64,
    version: u32,
}

const FOUR: Four = Four { factor: 2.0, offset: 1.0, version: 1 };

impl Four {
    fn declare(&self, pipeline: &Pipeline, ran: &RefCell<Vec<&'static str>>) -> Result<Vec<f64>, Error> {
        let run = |step| ran.borrow_mut().push(step);
        let load = pipeline.step("load").run(|_| {
            run("load");
            Ok::<_, Error>(vec![1.0, 2.0, 3.0])
        })?;
        let scale = pipeline.step("scale").param("factor", &self.factor).input(&load).run(|_| {
            run("scale");
            Ok::<Vec<f64>, Error>(load.load()?.iter().map(|number| number * self.factor).collect())
        })?;
        let shift = pipeline.step("shift").param("offset", &self.offset).input(&scale).run(|_| {
            run("shift");
            Ok::<Vec<f64>, Error>(scale.load()?.iter().map(|number| number + self.offset).collect())
        })?;
        let sum = pipeline.step("sum").version(self.version).input(&shift).run(|_| {
            run("sum");
            Ok::<Vec<f64>, Error>(vec![shift.load()?.iter().sum()])
        })?;
        Ok(sum.load()?.to_vec())
    }

    fn run_in(&self, pipeline: Pipeline) -> (Vec<&'static str>, f64) {
        let ran = RefCell::default();
        let result = self.declare(&pipeline, &ran).unwrap();
        pipeline.finish().unwrap();
        (ran.into_inner(), result[0])
    }

    fn run(&self, path: &Path) -> (Vec<&'static str>, f64) {
        self.run_in(Pipeline::open(path).unwrap())
    }
}

#[test]
fn a_second_run_reuses_everything() {
    let (_parent, path) = nowhere();
    assert_eq!(FOUR.run(&path), (vec!["load", "scale", "shift", "sum"], 15.0));
    assert_eq!(FOUR.run(&path), (vec![], 15.0));
}

#[test]
fn a_changed_parameter_reruns_its_step_and_those_that_follow() {
    let (_parent, path) = nowhere();
    FOUR.run(&path);
    let changed = Four { factor: 3.0, ..FOUR };
    assert_eq!(changed.run(&path), (vec!["scale", "shift", "sum"], 21.0));
    assert_eq!(FOUR.run(&path), (vec![], 15.0));
    assert_eq!(changed.run(&path), (vec![], 21.0));
}

#[test]
fn the_reason_says_what_changed_from_what_to_what() {
    let (_parent, path) = nowhere();
    FOUR.run(&path);
    let pipeline = Pipeline::open(&path).unwrap();
    Four { factor: 2.5, version: 2, ..FOUR }.declare(&pipeline, &RefCell::default()).unwrap();
    let reports = pipeline.finish().unwrap();
    let text: Vec<String> =
        reports.iter().map(|report| format!("{}: {}", report.step, report.reasons[0])).collect();
    assert_eq!(text[0], "load: nothing has changed");
    assert_eq!(text[1], "scale: factor: 2.0 became 2.5");
    assert_eq!(text[2], "shift: the output of scale has changed");
    assert_eq!(reports[3].reasons.len(), 2);
    assert_eq!(text[3], "sum: version 1 became 2");
    assert_eq!(reports[0].outcome, Outcome::Reused);
    assert_eq!(reports[1].outcome, Outcome::Ran);
}

#[test]
fn explain_says_what_would_be_done_and_does_nothing() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    let explained = pipeline.step("a").explain::<u64>().unwrap();
    assert_eq!(explained, (Outcome::Ran, vec![Reason::NothingKept]));
    pipeline.step("a").run(|_| Ok::<u64, Error>(1)).unwrap();
    drop(pipeline);
    let pipeline = Pipeline::open(&path).unwrap();
    let (outcome, reasons) = pipeline.step("a").param("x", &[1, 2]).explain::<u64>().unwrap();
    assert_eq!((outcome, reasons[0].to_string()), (Outcome::Ran, "x is new: [1,2]".to_owned()));
    let (outcome, reasons) = pipeline.step("a").explain::<String>().unwrap();
    assert_eq!((outcome, reasons), (Outcome::Ran, vec![Reason::Type]));
    let explained = pipeline.step("a").explain::<u64>().unwrap();
    assert_eq!(explained, (Outcome::Reused, vec![Reason::Unchanged]));
}

#[test]
fn an_equal_output_leaves_what_depends_on_it_alone() {
    let (_parent, path) = nowhere();
    FOUR.run(&path);
    // Another offset of another factor: the step in the middle runs, and makes what it made before.
    let pipeline = Pipeline::open(&path).unwrap();
    let load = pipeline.step("load").version(2).run(|_| Ok::<_, Error>(vec![1.0, 2.0, 3.0])).unwrap();
    let scale = pipeline.step("scale").param("factor", &2.0).input(&load);
    assert_eq!(scale.explain::<Vec<f64>>().unwrap(), (Outcome::Reused, vec![Reason::Unchanged]));
}

#[test]
fn numbers_that_json_has_no_word_for_are_told_apart() {
    let (_parent, path) = nowhere();
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
    for (place, number) in numbers.iter().enumerate() {
        let pipeline = Pipeline::open(&path).unwrap();
        let step = pipeline.step("a").keep(9).param("x", number);
        let output = step.run(|_| Ok::<usize, Error>(place)).unwrap();
        assert_eq!(*output.load().unwrap(), place, "{number}");
    }
    for (place, number) in numbers.iter().enumerate() {
        let pipeline = Pipeline::open(&path).unwrap();
        let output =
            pipeline.step("a").keep(9).param("x", number).run(|_| Err::<usize, _>("it ran")).unwrap();
        assert_eq!(*output.load().unwrap(), place, "{number}");
    }
}

#[test]
fn a_file_counts_by_its_content() {
    let (parent, path) = nowhere();
    let file = parent.path().join("input.csv");
    let runs = AtomicUsize::new(0);
    let run = || {
        let pipeline = Pipeline::open(&path).unwrap();
        let step = pipeline.step("read").file(&file);
        step.run(|_| {
            runs.fetch_add(1, Ordering::SeqCst);
            fs::read_to_string(&file)
        })
        .unwrap();
        let reports = pipeline.finish().unwrap();
        (runs.load(Ordering::SeqCst), reports[0].reasons[0].to_string())
    };
    fs::write(&file, "1,2").unwrap();
    assert_eq!(run().0, 1);
    // Another file with the same content, and another time.
    fs::remove_file(&file).unwrap();
    fs::write(&file, "1,2").unwrap();
    assert_eq!(run().0, 1);
    // The same length, perhaps within the same tick of the clock.
    fs::write(&file, "1,3").unwrap();
    let (count, reason) = run();
    assert_eq!(count, 2);
    assert_eq!(reason, "input.csv has changed");
    // An old file, whose hash is remembered; and then not any more.
    let old = std::time::SystemTime::now() - Duration::from_secs(100);
    fs::File::options().append(true).open(&file).unwrap().set_modified(old).unwrap();
    assert_eq!(run().0, 2);
    assert_eq!(run().0, 2);
    fs::write(&file, "1,4").unwrap();
    assert_eq!(run().0, 3);
}

#[test]
fn a_file_that_is_not_there_is_named_and_its_step() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    let error = pipeline.step("read").file("no/such.csv").run(|_| Ok::<u64, Error>(1)).unwrap_err();
    assert!(error.to_string().contains("`read`") && error.to_string().contains("no/such.csv"), "{error}");
}

#[test]
fn a_person_can_force_a_step_with_what_depends_on_it_or_just_it() {
    let (_parent, path) = nowhere();
    FOUR.run(&path);
    let open = || Pipeline::open(&path).unwrap();
    assert_eq!(FOUR.run_in(open().force("scale")).0, ["scale", "shift", "sum"]);
    assert_eq!(FOUR.run_in(open().force_only("scale")).0, ["scale"]);
    assert_eq!(FOUR.run_in(open().only("shift")).0, ["shift"]);
    assert_eq!(FOUR.run_in(open().from("shift")).0, ["shift", "sum"]);
    assert_eq!(FOUR.run_in(open()).0, [""; 0]);
}

#[test]
fn to_stops_after_a_step_and_the_next_run_goes_on() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap().to("scale");
    let ran = RefCell::default();
    let error = FOUR.declare(&pipeline, &ran).unwrap_err();
    assert!(matches!(&error, Error::StepNotRun { step, .. } if step == "shift"), "{error}");
    assert_eq!(ran.into_inner(), ["load", "scale"]);
    drop(pipeline);
    assert_eq!(FOUR.run(&path).0, ["shift", "sum"]);
}

#[test]
fn only_runs_nothing_else_and_says_what_is_missing() {
    let (_parent, path) = nowhere();
    FOUR.run(&path);
    let changed = Four { factor: 5.0, offset: 9.0, ..FOUR };
    let (ran, result) = changed.run_in(Pipeline::open(&path).unwrap().only("sum"));
    assert_eq!((ran, result), (vec!["sum"], 15.0), "of the outputs that are kept");

    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap().only("sum");
    let error = FOUR.declare(&pipeline, &RefCell::default()).unwrap_err();
    assert!(matches!(&error, Error::StepNotRun { step, .. } if step == "load"), "{error}");
}

#[test]
fn a_stale_step_can_be_accepted_and_is_valid_from_then_on() {
    let (_parent, path) = nowhere();
    FOUR.run(&path);
    let changed = Four { factor: 2.000_001, ..FOUR };
    assert_eq!(changed.run_in(Pipeline::open(&path).unwrap().accept("scale")), (vec![], 15.0));
    assert_eq!(changed.run(&path), (vec![], 15.0));
}

#[test]
fn one_can_go_back_to_a_version_that_is_kept() {
    let (_parent, path) = nowhere();
    FOUR.run(&path);
    Four { factor: 3.0, ..FOUR }.run(&path);
    let pipeline = Pipeline::open(&path).unwrap();
    assert_eq!(pipeline.versions("scale").unwrap(), [1, 2]);
    let changed = Four { factor: 4.0, ..FOUR };
    let (ran, result) = changed.run_in(pipeline.use_version("scale", 1));
    assert_eq!((ran, result), (vec![], 15.0));
    let pipeline = Pipeline::open(&path).unwrap().use_version("scale", 7);
    let error = changed.declare(&pipeline, &RefCell::default()).unwrap_err().to_string();
    assert!(error.contains("only: 2, 1"), "{error}");
}

#[test]
fn a_branch_has_all_that_is_kept_and_then_goes_its_own_way() {
    let (parent, path) = nowhere();
    FOUR.run(&path);
    let branch = parent.path().join("branch.pipeline");
    Pipeline::open(&path).unwrap().branch(&branch).unwrap();
    assert_eq!(FOUR.run(&branch), (vec![], 15.0));
    for factor in [3.0, 4.0, 5.0, 6.0, 7.0] {
        assert_eq!(Four { factor, ..FOUR }.run(&branch).0, ["scale", "shift", "sum"]);
    }
    assert_eq!(FOUR.run(&path), (vec![], 15.0));
    assert!(Pipeline::open(&path).unwrap().branch(&branch).is_err());
}

#[test]
fn the_environment_has_the_same_commands() {
    if let Some(directory) = inside() {
        let ran = RefCell::default();
        let pipeline = Pipeline::open(directory.join("test.pipeline")).unwrap();
        FOUR.declare(&pipeline, &ran).unwrap();
        assert_eq!(ran.into_inner(), ["scale"]);
        return;
    }
    let (parent, path) = nowhere();
    FOUR.run(&path);
    let mut command = once_more("the_environment_has_the_same_commands", &[], parent.path());
    crate::common::assert_passed(&command.env("CHECKPOINT_STEPS", "force-only:scale").output().unwrap());
}

#[test]
fn the_environment_commands_no_pipeline_inside_a_step() {
    if let Some(directory) = inside() {
        let within = |name: &str| {
            let inner = Pipeline::open(directory.join(name))?;
            inner.step("load").run(|_| Ok::<u64, Error>(1))?;
            inner.finish().map(|reports| reports.len())
        };
        let pipeline = Pipeline::open(directory.join("test.pipeline")).unwrap();
        let trained = pipeline.step("train").run(|_| {
            let here = within("inner.pipeline")?;
            let there = pipeline.parallel(|parallel| parallel.spawn(|| within("other.pipeline")).join())?;
            Ok::<usize, Error>(here + there)
        });
        assert_eq!(*trained.unwrap().load().unwrap(), 2);
        pipeline.finish().unwrap();
        // After the work, the variable counts again.
        assert!(matches!(within("third.pipeline"), Err(Error::StepNotRun { .. })));
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    let name = "the_environment_commands_no_pipeline_inside_a_step";
    let mut command = once_more(name, &[], parent.path());
    crate::common::assert_passed(&command.env("CHECKPOINT_STEPS", "only:train").output().unwrap());
}

#[test]
fn a_command_for_an_unknown_step_names_the_known_ones() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap().force("sclae");
    FOUR.declare(&pipeline, &RefCell::default()).unwrap();
    let error = pipeline.finish().unwrap_err().to_string();
    assert_eq!(error, "there is no step `sclae`: the steps are load, scale, shift, sum");
}

#[test]
fn outputs_are_shared_in_memory_and_loaded_when_wanted() {
    let (_parent, path) = nowhere();
    for _ in 0..2 {
        let pipeline = Pipeline::open(&path).unwrap();
        let output = pipeline.step("a").run(|_| Ok::<_, Error>(vec![1.0; 1000])).unwrap();
        let (one, two) = (output.load().unwrap(), output.clone().load().unwrap());
        assert!(Arc::ptr_eq(&one, &two));
        output.unload();
        assert!(!Arc::ptr_eq(&one, &output.load().unwrap()));
    }
    // What is not wanted is not read: its file is damaged behind the manifest's back.
    let file = crate::common::file_of(&path.join("steps/a"), 1);
    let mut bytes = fs::read(&file).unwrap();
    bytes[4500] ^= 1;
    fs::write(&file, bytes).unwrap();
    let pipeline = Pipeline::open(&path).unwrap();
    let output = pipeline.step("a").run(|_| Err::<Vec<f64>, _>("it ran")).unwrap();
    assert!(matches!(output.load(), Err(Error::OutputUnusable { .. })));
}

#[test]
fn a_step_that_fails_or_panics_leaves_the_steps_before_it() {
    let (_parent, path) = nowhere();
    for panics in [false, true] {
        let pipeline = Pipeline::open(&path).unwrap();
        let first = pipeline.step("first").run(|_| Ok::<u64, Error>(1)).unwrap();
        let second = pipeline.step("second").input(&first).run(|_| {
            assert!(!panics, "out of luck");
            Err::<u64, _>("out of luck")
        });
        let error = second.unwrap_err().to_string();
        assert!(error.contains("step `second` failed") && error.contains("out of luck"), "{error}");
        assert!(error.contains("continue from here"), "{error}");
    }
    let pipeline = Pipeline::open(&path).unwrap();
    let first = pipeline.step("first").run(|_| Err::<u64, _>("it ran")).unwrap();
    let second = pipeline.step("second").input(&first).run(|_| Ok::<u64, Error>(2)).unwrap();
    assert_eq!(*second.load().unwrap(), 2);
}

#[test]
fn a_failed_step_can_be_tried_again_in_the_same_run() {
    let (_parent, path) = nowhere();
    let file = path.with_extension("txt");
    let mut attempts = 0;
    let pipeline = Pipeline::open(&path).unwrap().force("fetch");
    let fetched = loop {
        attempts += 1;
        let fetched = pipeline.step("fetch").produces(&file).run(|step| {
            let mut checkpoints = step.checkpointer::<u64>()?;
            let parts = checkpoints.load()?.unwrap_or(0);
            fs::write(&file, "whole")?;
            checkpoints.save(&(parts + 1))?;
            if parts == 2 {
                Ok(parts)
            } else {
                Err(Box::<dyn StdError + Send + Sync>::from("the network is down"))
            }
        });
        match fetched {
            Err(Error::StepFailed { .. }) => {}
            fetched => break fetched.unwrap(),
        }
    };
    assert_eq!((attempts, *fetched.load().unwrap()), (3, 2));
    let twice = pipeline.step("fetch").run(|_| Ok::<u64, Error>(1));
    assert!(matches!(twice, Err(Error::StepTwice { .. })), "{twice:?}");
    // One that is only explained after its failure stays a step of the program.
    let other = path.with_extension("other");
    let forced = Pipeline::open(&other).unwrap().force("fetch");
    forced.step("fetch").run(|_| Err::<u64, _>("the network is down")).unwrap_err();
    forced.step("fetch").explain::<u64>().unwrap();
    forced.finish().unwrap();
    let twice = pipeline.step("fetch").run(|_| Ok::<u64, Error>(1));
    assert!(matches!(twice, Err(Error::StepTwice { .. })), "its error is none of the step: {twice:?}");
    let reports = pipeline.finish().unwrap();
    assert_eq!(reports.len(), 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let (parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    let output = pipeline.step("a").run(|_| Ok::<u64, Error>(1)).unwrap();
    let twice = pipeline.step("a").run(|_| Ok::<u64, Error>(1));
    assert!(matches!(twice, Err(Error::StepTwice { .. })));
    assert!(matches!(pipeline.step("").run(|_| Ok::<u64, Error>(1)), Err(Error::InvalidSetting { .. })));
    let none = pipeline.step("b").keep(0).run(|_| Ok::<u64, Error>(1));
    assert!(matches!(none, Err(Error::InvalidSetting { .. })));

    let other = Pipeline::open(parent.path().join("other.pipeline")).unwrap();
    let foreign = other.step("c").input(&output).run(|_| Ok::<u64, Error>(1));
    assert!(matches!(foreign, Err(Error::ForeignInput { .. })));
    assert!(matches!(Pipeline::open(&path), Err(Error::InUse { .. })));
}

/// A type that cannot always be saved.
#[derive(Debug, serde::Deserialize)]
struct Moody;

impl serde::Serialize for Moody {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[test]
fn nothing_is_kept_of_an_output_that_cannot_be_encoded() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap();
    let error =
        pipeline.step("a").run(|_| Ok::<_, Error>(checkpointed::Plain(Moody))).unwrap_err().to_string();
    assert!(error.contains("the output of step a") && error.contains("not today"), "{error}");
    assert_eq!(pipeline.versions("a").unwrap(), [0; 0]);
}

#[test]
fn a_steps_directory_that_was_deleted_is_made_again() {
    let (_parent, path) = nowhere();
    FOUR.run(&path);
    fs::remove_dir_all(path.join("steps/scale")).unwrap();
    assert_eq!(FOUR.run(&path), (vec!["scale"], 15.0), "its output is what it was");
}

#[test]
fn names_are_folders_whatever_is_in_them() {
    let (_parent, path) = nowhere();
    let names = ["a/b", "..", ".lock", "fit (2)", "größe", "a%2Fb"];
    let pipeline = Pipeline::open(&path).unwrap();
    for (place, name) in names.iter().enumerate() {
        pipeline.step(name).run(|_| Ok::<usize, Error>(place)).unwrap();
    }
    drop(pipeline);
    let pipeline = Pipeline::open(&path).unwrap();
    for (place, name) in names.iter().enumerate() {
        let output = pipeline.step(name).run(|_| Err::<usize, _>("it ran")).unwrap();
        assert_eq!(*output.load().unwrap(), place, "{name}");
    }
    assert_eq!(fs::read_dir(path.join("steps")).unwrap().count(), names.len());
}

#[test]
fn independent_steps_run_at_the_same_time() {
    let (_parent, path) = nowhere();
    for run in 0..2 {
        let pipeline = Pipeline::open(&path).unwrap();
        let both = std::sync::Barrier::new(2);
        let enough = thread::available_parallelism().is_ok_and(|count| count.get() > 1);
        let work = |value: u64| {
            assert_eq!(run, 0, "the second time they are reused");
            if enough {
                // Each waits for the other: one after the other, they would never end.
                both.wait();
            }
            Ok::<u64, Error>(value)
        };
        let (left, right) = pipeline.parallel(|parallel| {
            let left = parallel.spawn(|| pipeline.step("left").run(|_| work(1)));
            let right = parallel.spawn(|| pipeline.step("right").run(|_| work(2)));
            (left.join().unwrap(), right.join().unwrap())
        });
        let sum = pipeline.step("sum").input(&left).input(&right);
        let sum = sum.run(|_| Ok::<u64, Error>(*left.load()? + *right.load()?)).unwrap();
        assert_eq!(*sum.load().unwrap(), 3);
    }
}

#[checkpointed]
#[derive(Clone, Debug, Default, PartialEq)]
struct Progress {
    turn: u64,
    sum: u64,
}

/// The steps of the program that is killed; what each run begins is in the file `log`.
const STEPS: [&str; 4] = ["first", "second", "third", "fourth"];

#[test]
fn a_program_of_four_steps() {
    let Some(directory) = inside() else { return };
    let log = |line: &str| {
        let mut file = fs::File::options().append(true).create(true).open(directory.join("log")).unwrap();
        writeln!(file, "{line}").unwrap();
    };
    let pipeline = Pipeline::open(directory.join("test.pipeline")).unwrap();
    let mut before = None;
    for step in STEPS {
        let declared = pipeline.step(step);
        let declared = match &before {
            Some(output) => declared.input(output),
            None => declared,
        };
        let output = declared.run(|context| {
            log(step);
            let start = before.as_ref().map_or(Ok(1), |output: &checkpointed::pipeline::Output<u64>| {
                output.load().map(|sum| *sum)
            })?;
            let mut checkpoints = context.checkpointer::<Progress>()?;
            let mut progress = checkpoints.load_or_else(|| Progress { turn: 0, sum: start })?;
            while progress.turn < 5 {
                thread::sleep(Duration::from_millis(1));
                progress.turn += 1;
                progress.sum = progress.sum * 3 + progress.turn;
                checkpoints.save(&progress)?;
            }
            Ok::<u64, Error>(progress.sum)
        });
        before = Some(output.unwrap());
    }
    fs::write(directory.join("result"), before.unwrap().load().unwrap().to_string()).unwrap();
}

#[test]
fn a_hundred_kills_repeat_no_step_and_change_no_result() {
    let mut expected = 1_u64;
    for _ in STEPS {
        expected = (1..=5).fold(expected, |sum, turn| sum * 3 + turn);
    }
    let (mut kills, mut round) = (0, 0_u64);
    while kills < 100 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.pipeline");
        let log = directory.path().join("log");
        loop {
            let finished: BTreeSet<&str> = STEPS
                .into_iter()
                .filter(|step| {
                    let kept = fs::read_dir(path.join("steps").join(step));
                    kept.is_ok_and(|mut entries| {
                        entries.any(|entry| entry.unwrap().file_name().to_string_lossy().ends_with(".ckpt"))
                    })
                })
                .collect();
            let _ = fs::remove_file(&log);
            let mut child = once_more("a_program_of_four_steps", &[], directory.path())
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            round += 1;
            thread::sleep(Duration::from_millis(10 + round * 7919 % 60));
            child.kill().unwrap();
            let ended = child.wait().unwrap();
            let begun = fs::read_to_string(&log).unwrap_or_default();
            for step in begun.lines() {
                assert!(!finished.contains(step), "{step} was finished and is done again");
            }
            if ended.success() {
                let result = fs::read_to_string(directory.path().join("result")).unwrap();
                assert_eq!(result, expected.to_string());
                break;
            }
            kills += 1;
        }
        assert_eq!(
            fs::read_dir(path.join("progress")).unwrap().count(),
            0,
            "no progress is left of what is done"
        );
    }
}

/// `cargo test -p checkpointed-tests --release --test main pipeline:: -- --ignored --nocapture`
/// prints how long it takes.
#[test]
#[ignore = "it measures, and takes 256 MiB"]
fn how_long_the_reuse_of_a_large_output_takes() {
    let (_parent, path) = nowhere();
    let run = || {
        let pipeline = Pipeline::open(&path).unwrap();
        let begun = std::time::Instant::now();
        pipeline.step("large").run(|_| Ok::<_, Error>(vec![1.5; 32 << 20])).unwrap();
        begun.elapsed()
    };
    println!("made in {:?}", run());
    let mut times: Vec<Duration> = (0..21).map(|_| run()).collect();
    times.sort();
    println!("reused in {:?} (median of 21, most {:?})", times[10], times[20]);
}

/// `cargo test -p checkpointed-tests --release --test main pipeline:: -- --ignored --nocapture`
/// prints how long it takes.
#[test]
#[ignore = "it measures"]
fn how_long_the_reuse_of_a_thousand_steps_takes() {
    let (parent, path) = nowhere();
    let csv = parent.path().join("input.csv");
    fs::write(&csv, "1,2").unwrap();
    let run = || {
        let begun = std::time::Instant::now();
        let pipeline = Pipeline::open(&path).unwrap();
        let mut before = None;
        for number in 0..1000 {
            let name = format!("step {number}");
            let file = parent.path().join(format!("produced/{number}"));
            let step = pipeline.step(&name).param("number", &number).file(&csv).produces(&file);
            let step = before.iter().fold(step, |step, output| step.input(output));
            before = Some(
                step.run(|_| {
                    fs::create_dir_all(file.parent().unwrap())?;
                    fs::write(&file, &name).map(|()| number)
                })
                .unwrap(),
            );
        }
        let reports = pipeline.finish().unwrap();
        let ran = reports.iter().filter(|report| report.outcome == Outcome::Ran).count();
        (begun.elapsed(), ran)
    };
    println!("made: {:?}", run());
    // Until then each file is read again, since it could change once more without a new time.
    thread::sleep(Duration::from_secs(4));
    println!("reused, with the hashes of files computed: {:?}", run());
    let mut times: Vec<_> = (0..11).map(|_| run()).collect();
    times.sort();
    println!("reused: {:?} (median of 11, most {:?})", times[5], times[10]);
}

/// A line of the example without what differs from run to run: the time and the size.
fn comparable(line: &str) -> String {
    match line.split_once(" ms ").and_then(|(before, after)| Some((before, after.split_once(" bytes  ")?))) {
        Some((before, (_, reason))) => {
            let words: Vec<&str> = before.split_whitespace().take(2).collect();
            format!("{} {reason}", words.join(" "))
        }
        None => line.to_owned(),
    }
}

#[test]
fn the_session_in_the_documentation_is_what_happens() {
    let document = fs::read_to_string(crate::common::root().join("docs/pipeline.md")).unwrap();
    let (_parent, path) = nowhere();
    let mut session = 0;
    for block in document.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for command in block.split("$ cargo run -p checkpointed-examples --example pipeline").skip(1) {
            let (arguments, expected) = command.split_once('\n').unwrap();
            let arguments = arguments.trim().strip_prefix("--").unwrap_or_default().split_whitespace();
            let output =
                crate::common::example("pipeline").arg("--dir").arg(&path).args(arguments).output().unwrap();
            let printed = [output.stdout, output.stderr].concat();
            let found: Vec<String> = String::from_utf8(printed).unwrap().lines().map(comparable).collect();
            let expected: Vec<String> = expected.lines().map(comparable).collect();
            assert_eq!(found, expected, "$ pipeline{}", command.lines().next().unwrap());
            session += 1;
        }
    }
    assert_eq!(session, 10);
}
