//! The heat equation in two dimensions, solved step by step on a grid: a simulation that may be
//! killed at any moment.
//!
//! ```text
//! cargo run --release -p checkpointed-examples --example heat -- --help
//! ```
//!
//! At the end it prints the sum of all temperatures, as the bits of an `f64` in hexadecimal. A run
//! that was killed and restarted any number of times prints the same sum as an undisturbed run.
//! `examples/heat.py` draws a checkpoint.
//!
//! # Method
//!
//! ∂T/∂t = α (∂²T/∂x² + ∂²T/∂y²) by forward differences in time and central differences in space,
//! on a square grid of spacing h: with r = α Δt / h²,
//!
//! ```text
//! T'[y, x] = T[y, x] + r (T[y-1, x] + T[y+1, x] + T[y, x-1] + T[y, x+1] - 4 T[y, x])
//! ```
//!
//! Each step multiplies a wave with the wave numbers (k, l) by 1 - 4 r (sin² kh/2 + sin² lh/2).
//! This factor is between -1 and 1 for all waves if r ≤ 1/4: the condition for stability (K. W.
//! Morton and D. F. Mayers, Numerical Solution of Partial Differential Equations, 2nd ed.,
//! Cambridge 2005, chapter 3). Here r is 1/5.

use std::error::Error;
use std::io::{self, Write};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;

use checkpointed::{Checkpointer, Metadata, checkpointed};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use ndarray::{Array2, Zip, s};

#[derive(Parser)]
struct Options {
    /// Points along each side; without it, those of the checkpoint, or 128.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(3..=20_000))]
    size: Option<u16>,
    /// Ends after this many time steps.
    #[arg(long, value_name = "N", default_value_t = 2000)]
    steps: u64,
    /// The checkpoint directory.
    #[arg(long, default_value = "heat.ckpt")]
    dir: PathBuf,
    /// Time steps between two checkpoints.
    #[arg(long, value_name = "STEPS", default_value = "100")]
    every: NonZeroU64,
    /// Saves a copy of the plate, and continues with any number of steps meanwhile. Without it, the
    /// plate itself is saved while the next step is computed from it.
    #[arg(long)]
    background: bool,
}

/// A square plate of copper, one metre wide, with everything that the result depends on.
#[checkpointed]
struct Plate {
    /// In °C, at the points of the grid; the outermost points are the rim, which is kept at 0 °C.
    temperature: Array2<f64>,
    /// The number of time steps so far.
    step: u64,
    /// In m²/s.
    diffusivity: f64,
    /// In m, between two points.
    spacing: f64,
    /// In s.
    time_step: f64,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("heat: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut checkpoints = Checkpointer::<Plate>::open(&options.dir)?;
    let mut plate = checkpoints.load_or_else(|| Plate::new(options.size.map_or(128, usize::from)))?;
    options.check_against(&plate)?;

    let sources = sources(plate.size());
    let mut next = plate.temperature.clone();
    let progress = progress(plate.step, options.steps)?;
    let start = plate.step;
    while plate.step < options.steps {
        let is_due = plate.step != start && plate.step.is_multiple_of(options.every.get());
        if is_due && options.background {
            checkpoints.save_in_background_with(&plate, plate.metadata())?;
            plate.compute(&mut next, &sources);
        } else if is_due {
            checkpoints.save_while_with(&plate, plate.metadata(), || plate.compute(&mut next, &sources))?;
        } else {
            plate.compute(&mut next, &sources);
        }
        plate.advance(&mut next);
        progress.set_position(plate.step);
    }
    if plate.step != start {
        checkpoints.save_with(&plate, plate.metadata())?;
    }
    checkpoints.wait()?;
    progress.finish_and_clear();
    writeln!(io::stdout(), "sum={:016x}", plate.sum().to_bits())?;
    Ok(())
}

/// A progress bar on a terminal, and nothing elsewhere.
fn progress(done: u64, steps: u64) -> Result<ProgressBar, Box<dyn Error>> {
    let style = ProgressStyle::with_template("{wide_bar} step {pos} of {len}, {eta} left")?;
    let progress = ProgressBar::new(steps).with_style(style).with_position(done);
    // The steps of an earlier run do not show the speed of this one.
    progress.reset_eta();
    if done > 0 {
        progress.println(format!("going on from step {done}"));
    }
    Ok(progress)
}

impl Plate {
    /// The initial state: 20 °C, except for a hot disc, the sources and the rim.
    fn new(size: usize) -> Plate {
        let diffusivity = 1.1e-4;
        let spacing = 1.0 / (size - 1) as f64;
        let mut temperature = Array2::zeros((size, size));
        temperature.slice_mut(s![1..size - 1, 1..size - 1]).fill(20.0);
        for (place, source) in disc(size, [0.42, 0.60], 0.20, 80.0).chain(sources(size)) {
            temperature[place] = source;
        }
        Plate { temperature, step: 0, diffusivity, spacing, time_step: 0.2 * spacing * spacing / diffusivity }
    }

    fn size(&self) -> usize {
        self.temperature.nrows()
    }

    /// The metadata of a checkpoint, for people who read it without this program.
    fn metadata(&self) -> Metadata {
        Metadata::new().with("step", self.step)
    }

    /// Computes the temperatures after one more time step. `next` is memory of the same shape, with
    /// the same rim.
    fn compute(&self, next: &mut Array2<f64>, sources: &[Source]) {
        let ratio = self.diffusivity * self.time_step / (self.spacing * self.spacing);
        let (old, last) = (&self.temperature, self.size() - 1);
        Zip::from(next.slice_mut(s![1..last, 1..last]))
            .and(old.slice(s![1..last, 1..last]))
            .and(old.slice(s![..last - 1, 1..last]))
            .and(old.slice(s![2.., 1..last]))
            .and(old.slice(s![1..last, ..last - 1]))
            .and(old.slice(s![1..last, 2..]))
            .for_each(|next, here, above, below, left, right| {
                *next = here + ratio * (above + below + left + right - 4.0 * here);
            });
        for (place, temperature) in sources {
            next[*place] = *temperature;
        }
    }

    /// Makes one time step, to the temperatures in `next`, which gets the former ones.
    fn advance(&mut self, next: &mut Array2<f64>) {
        std::mem::swap(&mut self.temperature, next);
        self.step += 1;
    }

    /// The sum of all temperatures, row by row: always in the same order, so that every bit is the
    /// same.
    fn sum(&self) -> f64 {
        self.temperature.iter().fold(0.0, |sum, temperature| sum + temperature)
    }
}

/// A point, by row and column, with the temperature that it is kept at.
type Source = ((usize, usize), f64);

/// A hot pipe and a cold one through the plate.
fn sources(size: usize) -> Vec<Source> {
    disc(size, [0.27, 0.25], 0.07, 100.0).chain(disc(size, [0.75, 0.72], 0.09, -40.0)).collect()
}

/// The points of a disc, without those on the rim. Centre (row, column) and radius are fractions of
/// the plate's width.
fn disc(size: usize, centre: [f64; 2], radius: f64, temperature: f64) -> impl Iterator<Item = Source> {
    let position = move |place: usize| place as f64 / (size - 1) as f64;
    let inside = 1..size - 1;
    let places = inside.clone().flat_map(move |row| inside.clone().map(move |column| (row, column)));
    places
        .filter(move |(row, column)| {
            (position(*row) - centre[0]).hypot(position(*column) - centre[1]) <= radius
        })
        .map(move |place| (place, temperature))
}

impl Options {
    /// Checks that the options fit the run in the directory.
    fn check_against(&self, plate: &Plate) -> Result<(), String> {
        let (directory, size, step) = (self.dir.display(), plate.size(), plate.step);
        if let Some(wanted) = self.size.map(usize::from).filter(|wanted| *wanted != size) {
            return Err(format!(
                "the run in {directory} has --size {size}, not {wanted}: leave the option out to go on with it, or \
                 give another --dir, or remove {directory}, to start afresh"
            ));
        }
        if step > self.steps {
            return Err(format!(
                "the run in {directory} is at step {step} already: give more --steps than that to go on with it, or \
                 give another --dir, or remove {directory}, to start afresh"
            ));
        }
        Ok(())
    }
}
