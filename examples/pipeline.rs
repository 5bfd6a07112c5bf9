//! An analysis in four steps: load a table, clean it, fit a line, report. Started again, it reuses what has not changed.
//!
//! ```text
//! cargo run --example pipeline -- [--dir DIR] [--limit X] [--degree N] [--force STEP] [--only STEP] [--to STEP]
//!                                 [--accept STEP] [--use STEP@N] [--branch NEW_DIR]
//! ```
//!
//! `--dir`: where the table and the pipeline directory are, `pipeline` unless given. `--limit`: residuals beyond so many
//! standard deviations are taken for errors of measurement, 3 unless given. `--degree`: of the polynomial that is fitted, 1
//! unless given. The others are commands, as in the variable `CHECKPOINT_STEPS`.
//!
//! docs/pipeline.md shows a session with it.
//!
//! # Method
//!
//! Least squares by the normal equations of the monomials, solved by Gaussian elimination with pivoting: good enough for low
//! degrees on -1 to 1.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checkpointed::{
    Pipeline, checkpointed,
    pipeline::{Outcome, StepEvent, StepReport},
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// Measurements: x and y.
#[checkpointed]
struct Table {
    x: Vec<f64>,
    y: Vec<f64>,
}

#[checkpointed]
struct Fit {
    /// Of 1, x, x², …
    coefficients: Vec<f64>,
    /// The root mean square of the residuals.
    residual: f64,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pipeline: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(options) = Options::from_arguments(std::env::args().skip(1))? else {
        write!(io::stdout(), "{USAGE}")?;
        return Ok(());
    };
    fs::create_dir_all(&options.directory)?;
    let csv = options.directory.join("measured.csv");
    if !csv.exists() {
        fs::write(&csv, measured())?;
    }
    let pipeline = Pipeline::open(options.directory.join("steps.pipeline"))?;
    let pipeline = options.commands.iter().try_fold(pipeline, command)?.on_step(show);
    if let Some(branch) = &options.branch {
        pipeline.branch(branch)?;
    }

    let table = pipeline.step("load").file(&csv).run(|_| load(&csv))?;
    let clean = pipeline.step("clean").param("limit", &options.limit).input(&table).run(|_| {
        let table = table.load()?;
        Ok::<_, Box<dyn Error + Send + Sync>>(without_outliers(&table, options.limit))
    })?;
    let fit = pipeline.step("fit").param("degree", &options.degree).input(&clean).run(|_| {
        let clean = clean.load()?;
        polynomial(&clean, options.degree)
            .ok_or_else(|| Box::<dyn Error + Send + Sync>::from("too few points"))
    })?;
    let report = pipeline.step("report").input(&clean).input(&fit).run(|_| {
        let (clean, fit) = (clean.load()?, fit.load()?);
        let mut text = format!("{} points, residual {:.4}\ny =", clean.x.len(), fit.residual);
        for (power, coefficient) in fit.coefficients.iter().enumerate() {
            write!(text, " {coefficient:+.3} x^{power}").map_err(io::Error::other)?;
        }
        Ok::<String, Box<dyn Error + Send + Sync>>(text)
    })?;
    writeln!(io::stdout(), "{}", report.load()?)?;
    pipeline.finish()?;
    Ok(())
}

/// One line for each step.
fn show(event: &StepEvent) {
    let StepEvent::Done(StepReport { step, outcome, reasons, bytes, duration, .. }) = event else { return };
    let outcome = if *outcome == Outcome::Ran { "ran" } else { "reused" };
    let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let milliseconds = duration.as_secs_f64() * 1e3;
    // Not `println!`: it panics where nobody reads the output.
    let _ = writeln!(
        io::stdout(),
        "{step:<7} {outcome:<7} {milliseconds:>8.1} ms {bytes:>9} bytes  {}",
        reasons.join("; ")
    );
}

/// A straight line with noise, and now and then an error of measurement.
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

fn load(csv: &Path) -> Result<Table, Box<dyn Error + Send + Sync>> {
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

/// Leaves out what is further from a straight line than `limit` standard deviations.
fn without_outliers(table: &Table, limit: f64) -> Table {
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

struct Options {
    directory: PathBuf,
    limit: f64,
    degree: usize,
    /// Each a word and a step.
    commands: Vec<(String, String)>,
    branch: Option<PathBuf>,
}

fn command(pipeline: Pipeline, (word, step): &(String, String)) -> Result<Pipeline, String> {
    Ok(match word.as_str() {
        "--force" => pipeline.force(step),
        "--only" => pipeline.only(step),
        "--to" => pipeline.to(step),
        "--accept" => pipeline.accept(step),
        _ => {
            let version = step.rsplit_once('@').and_then(|(step, number)| Some((step, number.parse().ok()?)));
            let (step, version) = version.ok_or_else(|| format!("--use wants STEP@N\n{USAGE}"))?;
            pipeline.use_version(step, version)
        }
    })
}

const USAGE: &str = "\
usage: pipeline [--dir DIR] [--limit X] [--degree N] [COMMAND ...]
  --dir DIR          the table and the pipeline directory (pipeline)
  --limit X          residuals beyond so many standard deviations are left out (3)
  --degree N         the degree of the polynomial, 0 to 9 (1)
  --force STEP       run it again, and all that depend on it
  --only STEP        run it and nothing else
  --to STEP          stop after it
  --accept STEP      take what is kept of it as valid
  --use STEP@N       take version N of its output
  --branch NEW_DIR   copy what is kept to a new pipeline directory first
the steps are load, clean, fit, report
";

impl Options {
    /// `None` where only help was asked for.
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options {
            directory: "pipeline".into(),
            limit: 3.0,
            degree: 1,
            commands: Vec::new(),
            branch: None,
        };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} wants a value\n{USAGE}"));
            let wrong = |text: &str| format!("{option} cannot be {text:?}\n{USAGE}");
            match option.as_str() {
                "--dir" => options.directory = value()?.into(),
                "--limit" => {
                    let text = value()?;
                    options.limit = text.parse().map_err(|_| wrong(&text))?;
                }
                "--degree" => {
                    let text = value()?;
                    let degree = text.parse().ok().filter(|degree| *degree <= 9);
                    options.degree = degree.ok_or_else(|| wrong(&text))?;
                }
                "--force" | "--only" | "--to" | "--accept" | "--use" => {
                    options.commands.push((option.clone(), value()?));
                }
                "--branch" => options.branch = Some(value()?.into()),
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option {option}\n{USAGE}")),
            }
        }
        Ok(Some(options))
    }
}
