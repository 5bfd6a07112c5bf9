use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::Appended;
use crate::outcome::EXIT_HALTED;
use crate::pipeline::Pipeline;
use crate::stop::request_halt;

/// Runs a step of 100 parts, and halts it after some. Returns its output, or its error, and the
/// parts that were done before.
fn fit(path: &Path, halt_after: u64) -> (Result<u64, Error>, u64) {
    fit_and(path, halt_after, false)
}

/// The same; a step that is stopped may return an error.
fn fit_and(path: &Path, halt_after: u64, fails: bool) -> (Result<u64, Error>, u64) {
    let mut before = 0;
    let pipeline = Pipeline::open(path).unwrap();
    let output = pipeline.step("fit").run(|context| {
        let mut checkpoints = context.checkpointer::<u64>()?;
        let mut done = checkpoints.load_or_default()?;
        before = done;
        while done < 100 {
            done += 1;
            checkpoints.save_if_due(&done)?;
            if done == halt_after {
                request_halt(checkpoints.path(), "enough")?;
                // The file is looked for once a second.
                thread::sleep(Duration::from_millis(1100));
            }
            if checkpoints.should_stop().is_some() {
                checkpoints.save(&done)?;
                if fails {
                    return Err("not done yet".into());
                }
                break;
            }
        }
        Ok::<u64, Box<dyn StdError + Send + Sync>>(done)
    });
    (output.map(|output| *output.load().unwrap()), before)
}

#[test]
fn a_step_that_fails_because_it_was_stopped_is_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p");
    let error = fit_and(&path, 30, true).0.unwrap_err();
    assert!(matches!(error, Error::StepStopped { exit_code: EXIT_HALTED, .. }), "{error}");
    // The request to halt is met: it stops no later run.
    let (output, before) = fit_and(&path, 0, true);
    assert_eq!((output.unwrap(), before), (100, 30));
}

#[test]
fn a_step_that_was_stopped_has_no_output_and_continues_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p");
    let error = fit(&path, 30).0.unwrap_err();
    assert!(
        matches!(&error, Error::StepStopped { step, exit_code: EXIT_HALTED, .. } if step == "fit"),
        "{error}"
    );
    assert!(error.to_string().contains("enough"), "{error}");
    let (output, before) = fit(&path, 0);
    assert_eq!((output.unwrap(), before), (100, 30));
    let (output, before) = fit(&path, 0);
    assert_eq!((output.unwrap(), before), (100, 0), "reused");
}

#[test]
fn no_work_changes_files_that_older_progress_counts_on() {
    let directory = tempfile::tempdir().unwrap();
    let (path, plot) = (directory.path().join("p"), directory.path().join("plot"));
    let run = |scene: u64, saves: bool| {
        let pipeline = Pipeline::open(&path).unwrap();
        let drawn = pipeline.step("draw").param("scene", &scene).produces(&plot).run(|context| {
            fs::write(&plot, scene.to_string())?;
            if saves {
                context.checkpointer::<u64>()?.save(&scene)?;
                return Err("cut".into());
            }
            Ok::<u64, Box<dyn StdError + Send + Sync>>(scene)
        });
        drawn.map(drop).map_err(|error| error.to_string())
    };
    run(1, true).unwrap_err();
    // The progress cannot be listed.
    let (progress, elsewhere) = (path.join("progress"), directory.path().join("progress"));
    fs::rename(&progress, &elsewhere).unwrap();
    fs::write(&progress, "").unwrap();
    let error = run(2, false).unwrap_err();
    assert!(error.contains(progress.to_str().unwrap()), "{error}");
    assert_eq!(fs::read_to_string(&plot).unwrap(), "1");
    fs::remove_file(&progress).unwrap();
    fs::rename(&elsewhere, &progress).unwrap();
    run(2, false).unwrap();
    assert_eq!(fs::read_dir(&progress).unwrap().count(), 0);
}

/// The bytes wait in memory until the save that counts on them.
#[test]
fn a_step_goes_on_with_rows_that_one_save_counted() {
    for in_background in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (path, rows) = (directory.path().join("p"), directory.path().join("rows.csv"));
        let run = |is_done: bool| {
            let pipeline = Pipeline::open(&path).unwrap();
            let ran = pipeline.step("list").produces(&rows).run(|context| {
                let mut checkpoints = context.checkpointer::<Appended>()?;
                let mut list = checkpoints.load_or_else(|| Appended::at(&rows))?;
                if list.is_empty() {
                    list.write_all(b"one\ntwo\nthree\n")?;
                    if in_background {
                        checkpoints.save_in_background(&list)?;
                        checkpoints.wait()?;
                    } else {
                        checkpoints.save(&list)?;
                    }
                }
                if is_done {
                    Ok(())
                } else {
                    Err(Box::<dyn StdError + Send + Sync>::from(context.not_done()))
                }
            });
            ran.map(|_| pipeline.reports()[0].outcome)
        };
        assert!(matches!(run(false).unwrap_err(), Error::StepStopped { .. }));
        assert_eq!(run(true).unwrap(), Outcome::Ran, "{in_background}");
        assert_eq!(fs::read_to_string(&rows).unwrap(), "one\ntwo\nthree\n");
        assert_eq!(run(true).unwrap(), Outcome::Reused, "{in_background}");
    }
}

fn shared(path: &Path) -> Pipeline {
    Pipeline::builder(path).shared(true).open().unwrap()
}

#[test]
fn a_step_that_another_process_runs_is_not_reused_yet() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p");
    let (input, product) = (directory.path().join("in"), directory.path().join("out"));
    let step = |pipeline: &Pipeline, meanwhile: &dyn Fn()| {
        let step = pipeline.step("a").file(&input).produces(&product).keep(2);
        step.run(|_| {
            fs::copy(&input, &product)?;
            meanwhile();
            Ok::<u64, io::Error>(1)
        })
    };
    for content in ["one", "two"] {
        fs::write(&input, content).unwrap();
        step(&shared(&path), &|| ()).unwrap();
    }
    // The file fits the second version: the step is run again, and its save retires the first.
    fs::write(&input, "one").unwrap();
    let (sender, comes) = mpsc::channel();
    let second = shared(&path).on_step(move |_| {
        let _ = sender.send(());
    });
    let first = shared(&path);
    let (begun, begins) = mpsc::channel();
    thread::scope(|scope| {
        let (first, step) = (&first, &step);
        let ran = scope.spawn(move || {
            step(first, &|| {
                begun.send(()).unwrap();
                comes.recv().unwrap();
            })
            .map(drop)
        });
        begins.recv().unwrap();
        // The file fits the first version by now.
        let taken = step(&second, &|| unreachable!("it ran twice"));
        ran.join().unwrap().unwrap();
        let taken = taken.unwrap();
        assert_eq!(taken.load().map(|output| (*output, taken.version())).unwrap(), (1, 3));
    });
    let report = second.finish().unwrap().remove(0);
    assert_eq!((report.outcome, report.reasons), (Outcome::Reused, vec![Reason::RunElsewhere]));
}

#[test]
fn processes_that_look_at_a_finished_step_do_not_wait() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p");
    shared(&path).step("a").run(|_| Ok::<u64, Error>(1)).unwrap();
    let (sender, events) = mpsc::channel();
    let second = shared(&path).on_step(move |event| sender.send(format!("{event:?}")).unwrap());
    let first = shared(&path);
    let looking = first.step("a").keep_still().unwrap();
    assert!(matches!(looking, (Some(_), false)));
    second.step("a").run(|_| Err::<u64, _>("it ran twice")).unwrap();
    let events: Vec<String> = events.try_iter().collect();
    assert!(events.len() == 1 && events[0].starts_with("Done"), "{events:?}");
}

#[test]
fn a_version_that_is_gone_before_its_use_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, product) = (directory.path().join("p"), directory.path().join("out"));
    for (is_shared, outcome) in [(false, Outcome::Ran), (false, Outcome::Ran), (true, Outcome::Ran)] {
        let outputs = path.join("steps/a");
        // The file was changed by hand, and a tool removes the version while the file is put back.
        let remove = move |_: &str| {
            for entry in fs::read_dir(&outputs).unwrap().flatten() {
                if entry.path().extension().is_some_and(|extension| extension == "ckpt") {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
        };
        let pipeline = Pipeline::builder(&path).shared(is_shared);
        let pipeline = pipeline.on_warning(move |warning| remove(&warning.to_string())).open().unwrap();
        let step = pipeline.step("a").produces(&product).keep_produced(true);
        step.run(|_| fs::write(&product, "1")).unwrap();
        fs::write(&product, "by hand").unwrap();
        assert_eq!(pipeline.reports()[0].outcome, outcome);
    }
}

#[cfg(unix)]
#[test]
fn a_kept_file_beyond_a_limit_is_an_error_and_no_signal() {
    const LIMITED: &str = "TEST_OF_A_LIMITED_PIPELINE";
    let run = |path: &Path| {
        let product = path.join("out.txt");
        let pipeline = Pipeline::open(path.join("p.pipeline")).unwrap();
        let step = pipeline.step("a").produces(&product).keep_produced(true);
        step.run(|_| fs::write(&product, [b'x'; 200_000]))
    };
    if let Some(path) = std::env::var_os(LIMITED) {
        let error = run(Path::new(&path)).unwrap_err();
        assert!(error.to_string().contains("ulimit -f"), "{error}");
        return;
    }
    let parent = tempfile::tempdir().unwrap();
    run(parent.path()).unwrap();
    fs::remove_file(parent.path().join("out.txt")).unwrap();
    let this = "pipeline::step::running::tests::a_kept_file_beyond_a_limit_is_an_error_and_no_signal";
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -f 64 && exec \"$0\" --exact \"$1\""])
        .arg(std::env::current_exe().unwrap())
        .arg(this)
        .env(LIMITED, parent.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{} {said}", output.status);
    run(parent.path()).unwrap();
    assert_eq!(fs::metadata(parent.path().join("out.txt")).unwrap().len(), 200_000);
}

#[cfg(feature = "group")]
#[test]
fn a_step_opens_no_group_for_its_own_checkpoints() {
    use crate::group::Alone;

    let directory = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::open(directory.path().join("p")).unwrap();
    let sum = pipeline.step("sum").run(|context| {
        let error = context.builder::<u64>().open_group(Alone).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
        for part in ["open_group", "inside of a step", "context.builder().open()"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        // The same settings open the step's own checkpoints.
        context.builder::<u64>().open()?.save(&1)?;
        // A group in a directory of its own is no business of the step.
        let elsewhere = Checkpointer::<u64>::builder(directory.path().join("run.ckpt"));
        elsewhere.open_group(Alone).map(|_| 1_u64)
    });
    assert_eq!(*sum.unwrap().load().unwrap(), 1);
}

#[test]
fn progress_that_cannot_be_listed_fails_the_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p");
    assert!(fit(&path, 30).0.is_err());
    let progress = fs::read_dir(path.join("progress")).unwrap().flatten().next().unwrap().path();
    let away = directory.path().join("away");
    fs::rename(&progress, &away).unwrap();
    fs::write(&progress, "no directory").unwrap();
    let run = || Pipeline::open(&path).unwrap().step("fit").run(|_| Ok::<u64, Error>(7)).map(drop);
    let error = run().unwrap_err();
    assert!(matches!(&error, Error::StepFailed { step, .. } if step == "fit"), "{error}");
    let source = StdError::source(&error).unwrap().to_string();
    assert!(source.contains(progress.to_str().unwrap()), "{source}");
    fs::remove_file(&progress).unwrap();
    fs::rename(&away, &progress).unwrap();
    assert_eq!(fit(&path, 0).1, 30);
}

#[test]
fn a_process_that_lost_the_pipeline_does_not_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("p");
    let pipeline = shared(&path);
    // The file system has given the lock to another program meanwhile.
    fs::write(path.join(".lock"), "{\"process\":2,\"host\":\"b\"}").unwrap();
    let error = pipeline.step("a").run(|_| Ok::<u64, Error>(1)).unwrap_err();
    assert!(error.to_string().contains("process 2 on b"), "{error}");
}
