//! Several processes that run one pipeline at the same time: each step by one of them; with real
//! processes and real kills.

#![cfg(unix)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::common::{inside, once_more};
use checkpointed::{
    Error, Pipeline, Protection, inspect,
    pipeline::{Outcome, Reason, StepEvent, redo},
    stop::request_halt,
};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("test.pipeline");
    (parent, path)
}

fn open(path: &Path) -> Pipeline {
    Pipeline::builder(path).shared(true).open().unwrap()
}

fn append(path: &Path, line: &str) {
    let mut file = File::options().append(true).create(true).open(path).unwrap();
    writeln!(file, "{line}").unwrap();
}

/// The steps of the program, besides the last, which takes the outputs of all.
const STEPS: u64 = 12;
const PARTS: u64 = 5;

fn sum_of(step: u64) -> u64 {
    (1..=PARTS).map(|part| step * 100 + part).sum()
}

#[test]
fn a_program_that_others_run_too() {
    let Some(directory) = inside() else { return };
    let pipeline = open(&directory.join("test.pipeline"));
    let work = |step: u64| {
        let name = format!("sum {step}");
        let file = directory.join(format!("file {step}"));
        let declared = pipeline.step(&name).produces(&file);
        declared.run(|context| {
            let alone = File::create(directory.join(format!("lock {step}")))?;
            if alone.try_lock().is_err() {
                // A process that is killed gives its locks back one by one. One that lives finishes
                // the step.
                alone.lock()?;
                let done = fs::read_to_string(directory.join("done")).unwrap_or_default();
                if done.lines().any(|done| done == step.to_string()) {
                    append(&directory.join("faults"), &format!("two processes are in step {step}"));
                }
            }
            let mut checkpoints = context.checkpointer::<(u64, u64)>()?;
            let (mut part, mut sum) = checkpoints.load_or_default()?;
            while part < PARTS {
                part += 1;
                sum += step * 100 + part;
                thread::sleep(Duration::from_millis(4));
                checkpoints.save(&(part, sum))?;
            }
            fs::write(&file, sum.to_string())?;
            append(&directory.join("done"), &format!("{step}"));
            Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(sum)
        })
    };
    let sums = pipeline.parallel(|parallel| {
        let work = &work;
        let tasks: Vec<_> = (1..=STEPS).map(|step| parallel.spawn(move || work(step))).collect();
        tasks.into_iter().map(|task| task.join()).collect::<Vec<_>>()
    });
    let sums: Vec<_> = sums.into_iter().map(Result::unwrap).collect();
    let all = sums.iter().fold(pipeline.step("all"), |step, sum| step.input(sum));
    let all = all.run(|_| sums.iter().try_fold(0, |all, sum| Ok::<u64, Error>(all + *sum.load()?))).unwrap();
    assert_eq!(*all.load().unwrap(), (1..=STEPS).map(sum_of).sum::<u64>());
    for step in 1..=STEPS {
        let text = fs::read_to_string(directory.join(format!("file {step}"))).unwrap();
        assert_eq!(text, sum_of(step).to_string());
    }
    pipeline.finish().unwrap();
}

fn start(directory: &Path) -> Child {
    let mut command = once_more("a_program_that_others_run_too", &[], directory);
    command.stdout(Stdio::null()).stderr(File::create(directory.join("stderr")).unwrap()).spawn().unwrap()
}

fn check(directory: &Path) {
    assert!(!directory.join("faults").exists(), "{}", fs::read_to_string(directory.join("faults")).unwrap());
}

#[test]
fn four_processes_share_the_steps_of_a_pipeline() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let children: Vec<Child> = (0..4).map(|_| start(directory)).collect();
    for mut child in children {
        let stderr = || fs::read_to_string(directory.join("stderr")).unwrap();
        assert!(child.wait().unwrap().success(), "{}", stderr());
    }
    check(directory);
    let done = fs::read_to_string(directory.join("done")).unwrap();
    let mut done: Vec<u64> = done.lines().map(|line| line.parse().unwrap()).collect();
    done.sort_unstable();
    assert_eq!(done, (1..=STEPS).collect::<Vec<_>>(), "each step by one process, once");
}

#[test]
fn a_process_that_is_killed_leaves_its_steps_to_the_others() {
    for round in 0..4_u64 {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let mut children: Vec<Child> = (0..3).map(|_| start(directory)).collect();
        for kill in 0..15_u64 {
            thread::sleep(Duration::from_millis(20 + (round * 15 + kill) * 7919 % 60));
            let place = usize::try_from(kill % 3).unwrap();
            children[place].kill().unwrap();
            let ended = children[place].wait().unwrap();
            assert!(ended.success() || ended.code().is_none(), "{ended}");
            children[place] = start(directory);
        }
        for mut child in children {
            assert!(
                child.wait().unwrap().success(),
                "{}",
                fs::read_to_string(directory.join("stderr")).unwrap()
            );
        }
        check(directory);
        // Everything is there, for a process that runs it alone.
        let output = once_more("a_program_that_others_run_too", &[], directory).output().unwrap();
        crate::common::assert_passed(&output);
        assert_eq!(fs::read_dir(directory.join("test.pipeline/progress")).unwrap().count(), 0);
    }
}

#[test]
fn a_process_waits_for_a_step_that_another_runs() {
    let (_parent, path) = nowhere();
    let (sender, waits) = mpsc::channel();
    let second = open(&path).on_step(move |event| {
        if let StepEvent::Waiting { step, holder, .. } = event {
            sender.send(format!("{step}: {holder}")).unwrap();
        }
    });
    let first = open(&path);
    let (begun, begins) = mpsc::channel();
    let told = thread::scope(|scope| {
        let first = &first;
        let run = move || {
            first.step("slow").run(|_| {
                begun.send(()).unwrap();
                waits.recv_timeout(Duration::from_secs(60))
            })
        };
        let ran = scope.spawn(run);
        begins.recv().unwrap();
        let taken = second.step("slow").run(|_| Err::<String, _>("it ran twice")).unwrap();
        ran.join().unwrap().unwrap();
        taken.load().unwrap().to_string()
    });
    assert!(told.starts_with("slow: process"), "{told}");
    let report = second.finish().unwrap().remove(0);
    assert_eq!((report.outcome, report.reasons), (Outcome::Reused, vec![Reason::RunElsewhere]));
}

#[test]
fn a_step_that_fails_elsewhere_is_run_by_who_waited() {
    let (_parent, path) = nowhere();
    let (sender, waits) = mpsc::channel();
    let second = open(&path).on_step(move |event| {
        if matches!(event, StepEvent::Waiting { .. }) {
            sender.send(()).unwrap();
        }
    });
    let first = open(&path);
    let (begun, begins) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(move || {
            let failed = first.step("a").run(|_| {
                begun.send(()).unwrap();
                waits.recv_timeout(Duration::from_secs(60)).unwrap();
                Err::<u64, _>("no luck")
            });
            assert!(failed.is_err());
        });
        begins.recv().unwrap();
        assert_eq!(*second.step("a").run(|_| Ok::<u64, Error>(2)).unwrap().load().unwrap(), 2);
    });
}

#[test]
fn a_process_that_waits_in_parallel_runs_other_steps() {
    let (_parent, path) = nowhere();
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let first = open(&path);
    let second = open(&path);
    let (begun, begins) = mpsc::channel();
    let (other_ran, waits) = mpsc::channel::<()>();
    let waits = Mutex::new(waits);
    thread::scope(|scope| {
        // As many steps as the second process may run at a time are taken until it has run one
        // more.
        let busy = (0..processors).map(|number| {
            let (first, begun, waits) = (&first, begun.clone(), &waits);
            scope.spawn(move || {
                let step = first.step(&format!("busy {number}"));
                step.run(|_| {
                    begun.send(()).unwrap();
                    waits.lock().unwrap().recv_timeout(Duration::from_secs(60))?;
                    Ok::<u64, mpsc::RecvTimeoutError>(1)
                })
                .map(drop)
            })
        });
        let busy: Vec<_> = busy.collect();
        busy.iter().for_each(|_| begins.recv().unwrap());
        second.parallel(|parallel| {
            let second = &second;
            let waiting: Vec<_> = (0..processors)
                .map(|number| {
                    parallel.spawn(move || {
                        second
                            .step(&format!("busy {number}"))
                            .run(|_| Err::<u64, _>("it ran twice"))
                            .map(drop)
                    })
                })
                .collect();
            parallel
                .spawn(|| {
                    second.step("other").run(|_| {
                        (0..processors).for_each(|_| other_ran.send(()).unwrap());
                        Ok::<u64, Error>(1)
                    })
                })
                .join()
                .unwrap();
            waiting.into_iter().for_each(|task| task.join().unwrap());
        });
        busy.into_iter().for_each(|thread| thread.join().unwrap().unwrap());
    });
}

#[test]
fn a_process_that_waits_for_a_processor_holds_no_step() {
    let (_parent, path) = nowhere();
    let processors = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (sender, waits) = mpsc::channel();
    let first = open(&path);
    let second = open(&path).on_step(move |event| {
        if matches!(event, StepEvent::Waiting { .. }) {
            sender.send(()).unwrap();
        }
    });
    let third = open(&path);
    let (begun, begins) = mpsc::channel();
    let (end, ends) = mpsc::channel::<()>();
    let (fail, fails) = mpsc::channel::<()>();
    let ends = Mutex::new(ends);
    thread::scope(|scope| {
        let begun_x = begun.clone();
        scope.spawn(move || {
            let failed = first.step("x").run(|_| {
                begun_x.send(()).unwrap();
                fails.recv_timeout(Duration::from_secs(60)).unwrap();
                Err::<u64, _>("no luck")
            });
            assert!(failed.is_err());
        });
        begins.recv().unwrap();
        let (second, ends) = (&second, &ends);
        let busy = scope.spawn(move || {
            second.parallel(|parallel| {
                let x = parallel.spawn(|| second.step("x").run(|_| Ok::<u64, Error>(2)).map(drop));
                waits.recv().unwrap();
                // While it waits, steps of its own take all processors.
                let long: Vec<_> = (0..processors)
                    .map(|number| {
                        let begun = begun.clone();
                        parallel.spawn(move || {
                            second.step(&format!("long {number}")).run(|_| {
                                begun.send(()).unwrap();
                                ends.lock().unwrap().recv_timeout(Duration::from_secs(20))?;
                                Ok::<u64, mpsc::RecvTimeoutError>(1)
                            })
                        })
                    })
                    .collect();
                long.into_iter().for_each(|task| drop(task.join().unwrap()));
                x.join().unwrap();
            });
        });
        (0..processors).for_each(|_| begins.recv().unwrap());
        fail.send(()).unwrap();
        // More than the longest pause of the second, which finds the step free.
        thread::sleep(Duration::from_millis(1500));
        assert_eq!(*third.step("x").run(|_| Ok::<u64, Error>(3)).unwrap().load().unwrap(), 3);
        (0..processors).for_each(|_| end.send(()).unwrap());
        busy.join().unwrap();
    });
}

#[test]
fn a_halt_is_for_all_processes_and_the_last_one_removes_it() {
    let (_parent, path) = nowhere();
    let (first, second) = (open(&path), open(&path));
    request_halt(&path, "all").unwrap();
    for (pipeline, is_last) in [(first, false), (second, true)] {
        let error = pipeline.step("a").run(|_| Ok::<u64, Error>(1)).unwrap_err();
        assert!(matches!(error, Error::StepStopped { .. }), "{error}");
        drop(pipeline);
        assert_eq!(path.join("halt").exists(), !is_last);
    }
    open(&path).step("a").run(|_| Ok::<u64, Error>(1)).unwrap();
}

#[test]
fn a_halt_that_came_after_the_one_that_was_heard_stays() {
    let (_parent, path) = nowhere();
    let (one, other) = (open(&path), open(&path));
    request_halt(&path, "first").unwrap();
    assert!(one.should_stop().is_some());
    drop(one);
    // The user withdraws it, and halts the pipeline once more.
    fs::remove_file(path.join("halt")).unwrap();
    request_halt(&path, "second").unwrap();
    drop(other);
    assert!(path.join("halt").exists());
    assert!(open(&path).should_stop().is_some());
    assert!(!path.join("halt").exists());
}

#[test]
fn a_halt_that_no_process_heard_is_for_the_next_start() {
    let (_parent, path) = nowhere();
    let run = |pipeline: &Pipeline| pipeline.step("a").run(|_| Ok::<u64, Error>(1)).map(drop);
    for is_killed in [false, true] {
        let pipeline = open(&path);
        run(&pipeline).unwrap();
        if is_killed {
            // It was told of an earlier request, and was killed before it could meet it.
            drop(pipeline);
            fs::write(path.join("users/halt"), "").unwrap();
            drop((open(&path), request_halt(&path, "all").unwrap()));
        } else {
            request_halt(&path, "all").unwrap();
            drop(pipeline);
        }
        assert!(path.join("halt").exists());
        let pipeline = open(&path);
        assert!(pipeline.should_stop().is_some());
        drop(pipeline);
        assert!(!path.join("halt").exists());
    }
}

#[test]
fn a_halt_that_one_process_heard_is_removed_by_the_last() {
    let (_parent, path) = nowhere();
    let (first, second) = (open(&path), open(&path));
    request_halt(&path, "all").unwrap();
    assert!(first.should_stop().is_some());
    drop(first);
    assert!(path.join("halt").exists());
    drop(second);
    assert!(!path.join("halt").exists());
}

#[test]
fn what_a_user_wants_run_again_is_run_by_one_process() {
    let (_parent, path) = nowhere();
    let run = |pipeline: &Pipeline| {
        pipeline.step("a").run(|_| Ok::<u64, Error>(1)).unwrap();
        pipeline.reports().remove(0)
    };
    run(&open(&path));
    for by_request in [false, true] {
        if by_request {
            redo(&path, "a").unwrap();
        }
        let open = || if by_request { open(&path) } else { open(&path).force("a") };
        let (first, second) = (open(), open());
        assert_eq!(run(&first).outcome, Outcome::Ran);
        assert_eq!(run(&second).reasons, [Reason::RunElsewhere]);
        drop((first, second));
    }
    assert_eq!(run(&open(&path)).reasons, [Reason::Unchanged]);
}

#[test]
fn a_pipeline_is_shared_only_by_who_shares_it() {
    let (_parent, path) = nowhere();
    let in_use = |outcome: Result<Pipeline, Error>| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::InUse { .. }), "{error}");
    };
    let (first, second) = (open(&path), open(&path));
    in_use(Pipeline::open(&path));
    drop(first);
    in_use(Pipeline::open(&path));
    let holder = || inspect::overview(&path, &Protection::new()).unwrap().holder;
    assert!(holder().unwrap().starts_with("process"), "{:?}", holder());
    drop(second);
    assert_eq!(holder(), None);
    let alone = Pipeline::open(&path).unwrap();
    in_use(Pipeline::builder(&path).shared(true).open());
    drop(alone);
    let builder = Pipeline::builder(&path).shared(true).require_lock(false);
    assert!(matches!(builder.open(), Err(Error::InvalidSetting { .. })));
}

#[test]
fn processes_remember_the_hashes_of_files_together() {
    let (parent, path) = nowhere();
    let names = ["one.csv", "two.csv"];
    for name in names {
        fs::write(parent.path().join(name), name).unwrap();
    }
    // From now on a hash is remembered.
    thread::sleep(Duration::from_millis(3100));
    let pipelines = [open(&path), open(&path)];
    for (pipeline, name) in pipelines.iter().zip(names) {
        pipeline.step(name).file(parent.path().join(name)).run(|_| Ok::<u64, Error>(1)).unwrap();
    }
    drop(pipelines);
    let kept = fs::read_dir(path.join("files")).unwrap().flatten().map(|entry| entry.path());
    let newest = kept.filter(|path| path.extension().is_some_and(|end| end == "ckpt")).max().unwrap();
    let text = String::from_utf8_lossy(&fs::read(newest).unwrap()).into_owned();
    assert!(names.iter().all(|name| text.contains(name)), "{text}");
}

#[test]
fn a_redo_while_another_process_is_at_a_later_step_is_not_lost() {
    let (_parent, path) = nowhere();
    let run = |meanwhile: &dyn Fn() -> u64| {
        let pipeline = open(&path);
        let first = pipeline.step("first").run(|_| Ok::<u64, Error>(1)).unwrap();
        let second = pipeline.step("second").input(&first);
        second.run(|_| Ok::<u64, Error>(meanwhile())).unwrap();
        pipeline.reports().into_iter().map(|report| report.outcome == Outcome::Ran).collect::<Vec<_>>()
    };
    assert_eq!(run(&|| 2), [true, true]);
    redo(&path, "second").unwrap();
    // A process redoes the first step during the second, and ends before it comes to that.
    let meanwhile = || {
        redo(&path, "first").unwrap();
        let other = open(&path);
        other.step("first").run(|_| Ok::<u64, Error>(1)).unwrap();
        assert_eq!(other.reports()[0].outcome, Outcome::Ran);
        2
    };
    assert_eq!(run(&meanwhile), [false, true]);
    assert_eq!(run(&|| 2), [false, true], "the work had begun before");
    assert_eq!(run(&|| 2), [false, false]);
}
