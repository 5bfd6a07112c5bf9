//! Ends of an optimization that are no results.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread::sleep;
use std::time::Duration;

use argmin::core::{CostFunction, Error, Executor, State};
use argmin::solver::neldermead::NelderMead;
use checkpointed::{Checkpointer, Schedule};
use checkpointed_argmin::Checkpoints;

struct Slow;

impl CostFunction for Slow {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
        sleep(Duration::from_millis(1));
        Ok(x.iter().map(|x| (x - 3.0) * (x - 3.0)).sum())
    }
}

fn solver() -> NelderMead<Vec<f64>, f64> {
    NelderMead::new(vec![vec![-1.0, 3.0], vec![2.0, 1.5], vec![2.0, -1.0]])
}

#[test]
fn a_timeout_of_argmin_is_no_result() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fit.ckpt");
    let open = || {
        let builder = Checkpointer::builder(&path).schedule(Schedule::every_of("iteration", 2));
        Checkpoints::new(builder.open().unwrap())
    };
    let executor = |checkpoints: &Checkpoints<_, _>| {
        let executor = Executor::new(Slow, solver()).configure(|state| state.max_iters(60));
        executor.checkpointing(checkpoints.clone())
    };
    let checkpoints = open();
    let result = executor(&checkpoints).timeout(Duration::from_millis(25)).run().unwrap();
    let reached = result.state.get_iter();
    let error = checkpoints.finish(&result).unwrap_err();
    assert!(error.to_string().contains("the last checkpoint stays"), "{error}");
    drop((checkpoints, result));

    let checkpoints = open();
    let result = executor(&checkpoints).run().unwrap();
    assert!(reached < 60 && result.state.get_iter() > reached, "{reached}");
    let finished = checkpoints.finish(&result).unwrap();
    assert!(finished.stopped.is_none());
    let error = checkpoints.finish(&result).unwrap_err();
    assert!(error.to_string().contains("their run has ended"), "{error}");
}
