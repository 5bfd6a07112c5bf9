//! An optimization to kill and start again: `cargo run --example rosenbrock [DIRECTORY]`.
//!
//! Its result is the same to the bit, however often it was killed.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use argmin::core::{CostFunction, Error, Executor};
use argmin::solver::neldermead::NelderMead;
use checkpointed::{Checkpointer, Schedule};
use checkpointed_argmin::{Checkpoints, Stopped};

struct Rosenbrock;

impl CostFunction for Rosenbrock {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, x: &Vec<f64>) -> Result<f64, Error> {
        sleep(Duration::from_millis(5)); // a simulation, as it were
        Ok(x.windows(2).map(|x| (1.0 - x[0]).powi(2) + 100.0 * (x[1] - x[0] * x[0]).powi(2)).sum())
    }
}

fn main() -> Result<ExitCode, Error> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "rosenbrock.ckpt".to_owned());
    let corners = [[-1.5, -1.0, 2.0], [1.5, -1.0, 2.0], [-1.5, 1.0, 2.0], [-1.5, -1.0, 0.0]];
    let solver = NelderMead::new(corners.map(Vec::from).to_vec());
    let builder = Checkpointer::builder(path).schedule(Schedule::every_of("iteration", 10));
    let checkpoints = Checkpoints::new(builder.stop_on_signals().stop_before_deadline().open()?);
    let run = Executor::new(Rosenbrock, solver)
        .configure(|state| state.max_iters(200))
        .checkpointing(checkpoints.clone())
        .run();
    let result = match run {
        Ok(result) => result,
        Err(error) => {
            let stopped = error.downcast::<Stopped>()?;
            eprintln!("{stopped}");
            return Ok(stopped.exit_code());
        }
    };
    let state = &result.state;
    println!("{} iterations, {:?} at {:?}", state.iter, state.best_cost, state.best_param);
    checkpoints.finish(&result)?;
    Ok(ExitCode::SUCCESS)
}
