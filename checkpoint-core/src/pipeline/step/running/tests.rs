use std::path::Path;

use super::*;
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
