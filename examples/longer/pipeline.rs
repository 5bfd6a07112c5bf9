//! An analysis in four steps: load a table, clean it, fit a line, report. A second run reuses the
//! unchanged steps.
//!
//! ```text
//! cargo run -p checkpointed-examples --example pipeline -- --help
//! ```
//!
//! docs/pipeline.md shows a session with it.
//!
//! # Method
//!
//! Least squares by the normal equations of the monomials, solved by Gaussian elimination with
//! pivoting: accurate enough for low degrees on -1 to 1.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkpointed::{
    Pipeline, checkpointed,
    pipeline::{Outcome, StepEvent, StepReport, step},
};
use clap::Parser;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// The steps are load, clean, fit and report.
#[derive(Parser)]
struct Options {
    /// The directory of the table and of the pipeline.
    #[arg(long, default_value = "pipeline")]
    dir: PathBuf,
    /// Leaves out residuals beyond this many standard deviations.
    #[arg(long, value_name = "X", default_value_t = 3.0)]
    limit: f64,
    /// The degree of the polynomial.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=9))]
    degree: u8,
    /// Runs a step again, and all steps that depend on it.
    #[arg(long, value_name = "STEP")]
    force: Vec<String>,
    /// Runs this step and no other.
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Stops after a step.
    #[arg(long, value_name = "STEP")]
    to: Vec<String>,
    /// Accepts the kept output of a step as valid.
    #[arg(long, value_name = "STEP")]
    accept: Vec<String>,
    /// Takes version N of the output of a step.
    #[arg(long, value_name = "STEP@N", value_parser = version)]
    r#use: Vec<(String, u64)>,
    /// Copies the pipeline to a new directory first.
    #[arg(long, value_name = "NEW_DIR")]
    branch: Option<PathBuf>,
}

/// Measurements: x and y.
#[checkpointed]
struct Table {
    x: Vec<f64>,
    y: Vec<f64>,
}

#[checkpointed]
struct Fit {
    /// The coefficients of 1, x, x², …
    coefficients: Vec<f64>,
    /// The root mean square of the residuals.
    residual: f64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipeline: {error}");
            // That of a stop tells the batch system to start the program again.
            error
                .downcast_ref::<checkpointed::Error>()
                .map_or(ExitCode::FAILURE, checkpointed::Error::exit_code)
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(&options.dir)?;
    let csv = options.dir.join("measured.csv");
    if !csv.exists() {
        fs::write(&csv, measured())?;
    }
    let builder = Pipeline::builder(options.dir.join("steps.pipeline"));
    let pipeline = builder.stop_on_signals().stop_before_deadline().open()?;
    let pipeline = options.commanded(pipeline).on_step(show);
    if let Some(branch) = &options.branch {
        pipeline.branch(branch)?;
    }

    let table = load::step(&pipeline, &csv)?;
    let clean = clean::step(&pipeline, &table, options.limit)?;
    let fit = fit::step(&pipeline, &clean, options.degree)?;
    let report = report::step(&pipeline, &clean, &fit)?;
    writeln!(io::stdout(), "{}", report.load()?)?;
    pipeline.finish()?;
    Ok(())
}

/// Prints one line for each step.
fn show(event: &StepEvent) {
    let StepEvent::Done(StepReport { step, outcome, reasons, bytes, duration, .. }) = event else { return };
    let outcome = if *outcome == Outcome::Ran { "ran" } else { "reused" };
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let milliseconds = duration.as_secs_f64() * 1e3;
    // `println!` would panic if no process reads the output.
    let _ = writeln!(
        io::stdout(),
        "{step:<7} {outcome:<7} {milliseconds:>8.1} ms {bytes:>9} bytes  {}",
        reasons.join("; ")
    );
}

/// A straight line with noise, and some errors of measurement.
fn measured() -> String {
    let mut random = Pcg64::seed_from_u64(3);
    let mut text = "x,y\n".to_owned();
    for _ in 0..2000 {
        let x: f64 = random.random_range(-1.0..1.0);
        let noise: f64 = (0..12).map(|_| random.random_range(-0.05..0.05)).sum();
        let error = if random.random_bool(0.02) { random.random_range(-9.0..9.0) } else { 0.0 };
        text += &format!("{x:.6},{:.6}\n", 2.0 * x - 0.5 + noise + error);
    }
    text
}

#[step]
fn load(#[file] csv: &Path) -> Result<Table, Box<dyn Error + Send + Sync>> {
    let mut table = Table { x: Vec::new(), y: Vec::new() };
    for (line, text) in fs::read_to_string(csv)?.lines().enumerate().skip(1) {
        let pair = text.split_once(',').and_then(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)));
        let (x, y) =
            pair.ok_or_else(|| format!("line {}: two numbers are wanted, not {text:?}", line + 1))?;
        table.x.push(x);
        table.y.push(y);
    }
    Ok(table)
}

/// Leaves out points that are further from a straight line than `limit` standard deviations.
#[step]
fn clean(table: &Table, limit: f64) -> Table {
    let Some(line) = polynomial(table, 1) else {
        return Table { x: table.x.clone(), y: table.y.clone() };
    };
    let points = table.x.iter().zip(&table.y);
    let near = points.filter(|(x, y)| (value(&line.coefficients, **x) - **y).abs() <= limit * line.residual);
    let (x, y) = near.map(|(x, y)| (*x, *y)).unzip();
    Table { x, y }
}

fn value(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().rev().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

#[step]
fn fit(clean: &Table, degree: u8) -> Result<Fit, Box<dyn Error + Send + Sync>> {
    polynomial(clean, degree.into()).ok_or_else(|| "too few points".into())
}

#[step]
fn report(clean: &Table, fit: &Fit) -> Result<String, fmt::Error> {
    let mut text = format!("{} points, residual {:.4}\ny =", clean.x.len(), fit.residual);
    for (power, coefficient) in fit.coefficients.iter().enumerate() {
        write!(text, " {coefficient:+.3} x^{power}")?;
    }
    Ok(text)
}

fn polynomial(table: &Table, degree: usize) -> Option<Fit> {
    let size = degree + 1;
    let mut rows = vec![vec![0.0; size + 1]; size];
    for (x, y) in table.x.iter().zip(&table.y) {
        let powers: Vec<f64> = std::iter::successors(Some(1.0), |power| Some(power * x)).take(size).collect();
        for (row, power) in rows.iter_mut().zip(&powers) {
            for (cell, other) in row.iter_mut().zip(powers.iter().chain([y])) {
                *cell += power * other;
            }
        }
    }
    for column in 0..size {
        let pivot = (column..size)
            .max_by(|one, two| rows[*one][column].abs().total_cmp(&rows[*two][column].abs()))?;
        rows.swap(column, pivot);
        let pivot = rows[column].clone();
        if pivot[column].abs() < 1e-9 {
            return None;
        }
        for (place, row) in rows.iter_mut().enumerate() {
            let factor = row[column] / pivot[column];
            if place != column {
                row.iter_mut().zip(&pivot).for_each(|(cell, other)| *cell -= factor * other);
            }
        }
    }
    let coefficients: Vec<f64> = rows.iter().enumerate().map(|(place, row)| row[size] / row[place]).collect();
    let residuals = table.x.iter().zip(&table.y).map(|(x, y)| (value(&coefficients, *x) - y).powi(2));
    let residual = (residuals.sum::<f64>() / table.x.len() as f64).sqrt();
    Some(Fit { coefficients, residual })
}

/// The step and the number in `STEP@N`.
fn version(text: &str) -> Result<(String, u64), String> {
    let version =
        text.rsplit_once('@').and_then(|(step, number)| Some((step.to_owned(), number.parse().ok()?)));
    version.ok_or_else(|| "it is not STEP@N".to_owned())
}

impl Options {
    fn commanded(&self, pipeline: Pipeline) -> Pipeline {
        type Command = fn(Pipeline, &str) -> Pipeline;
        let commands: [(&[String], Command); 4] = [
            (&self.force, Pipeline::force),
            (&self.only, Pipeline::only),
            (&self.to, Pipeline::to),
            (&self.accept, Pipeline::accept),
        ];
        let given =
            commands.iter().flat_map(|(steps, command)| steps.iter().map(move |step| (step, command)));
        let pipeline = given.fold(pipeline, |pipeline, (step, command)| command(pipeline, step));
        self.r#use.iter().fold(pipeline, |pipeline, (step, number)| pipeline.use_version(step, *number))
    }
}
