//! The heat equation on a square plate, each rank with some of its rows.
//!
//! ```text
//! cargo build --release --manifest-path checkpoint-mpi/Cargo.toml --example heat_mpi
//! mpirun -n 4 checkpoint-mpi/target/release/examples/heat_mpi --size 512 --steps 10000
//! ```
//!
//! Kill it, and start it again with any number of ranks: it goes on from the last checkpoint. The
//! last line is the sum of all temperatures, as the bits of an `f64` in hexadecimal. It is the same
//! for any number of ranks, and for any number of restarts. The method is that of the example
//! `heat` of `checkpointed`, which runs on one process.

use std::error::Error;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use checkpointed::group::{Group as _, Sharded, Shared};
use checkpointed::{Checkpointer, Schedule, checkpointed, reports::Decision};
use checkpointed_mpi::Mpi;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, Destination as _, Root as _, Source as _};

/// A plate of copper. Each rank has a block of its rows.
#[checkpointed]
struct Plate {
    /// The number of time steps so far.
    step: Shared<u64>,
    /// In °C. The outermost points are the rim, which is kept at 0 °C.
    temperature: Sharded<f64>,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("heat_mpi: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse(std::env::args().skip(1))?;
    let universe = mpi::initialize().ok_or("MPI cannot be initialized")?;
    let world = universe.world();
    let group = Mpi::new(&world);
    let prints = group.rank() == 0;

    let mut checkpoints = Checkpointer::<Plate>::builder(&options.dir)
        .schedule(Schedule::every_steps(options.every))
        .stop_on_signals()
        .stop_before_deadline()
        .open_group(&group)?;
    // The initial plate says which rows this rank wants, also of a checkpoint by other ranks.
    let initial = Plate::new(options.size, &group)?;
    let mut plate = checkpoints.load_or_else(|| initial)?;
    if plate.temperature.shape() != [options.size; 2] {
        return Err(format!("{} has another --size: give the same", options.dir.display()).into());
    }
    if prints && checkpoints.last_load().is_some() {
        println!("going on from step {}", *plate.step);
    }

    let neighbours = Neighbours::of(&world, options.size);
    let mut next = plate.temperature.data().to_vec();
    while *plate.step < options.steps {
        let (above, below) = neighbours.exchange(&world, plate.temperature.data());
        plate.advance(&mut next, &above, &below);
        if let Decision::Saved { .. } = checkpoints.save_if_due(&plate)?
            && prints
        {
            println!("saved step {}", *plate.step);
        }
        if checkpoints.should_stop()?.is_some() {
            break;
        }
    }
    let is_done = *plate.step >= options.steps;
    let sum = neighbours.sum(&world, plate.temperature.data());
    let finished = checkpoints.finish(&plate)?;
    if prints {
        match is_done {
            true => println!("sum={:016x}", sum.to_bits()),
            false => println!("stopped at step {}", *plate.step),
        }
    }
    Ok(finished.exit_code())
}

impl Plate {
    /// The initial rows of this rank: 20 °C, except for a hot disc, the sources and the rim.
    fn new(size: u64, group: &Mpi) -> Result<Plate, Box<dyn Error>> {
        let mut temperature = Sharded::rows([size, size], group)?;
        let first = temperature.offset()[0];
        let rows = temperature.data_mut().chunks_mut(usize::try_from(size)?);
        for (y, row) in (first..).zip(rows) {
            for (x, cell) in (0..).zip(row) {
                let is_rim = [x, y].iter().any(|place| *place == 0 || *place == size - 1);
                *cell = match (is_rim, source(size, y, x)) {
                    (true, _) => 0.0,
                    (_, Some(source)) => source,
                    _ if is_in_disc(size, y, x, [0.42, 0.60], 0.20) => 80.0,
                    _ => 20.0,
                };
            }
        }
        Ok(Plate { step: Shared(0), temperature })
    }

    /// Makes one time step, with the rows before and behind those of this rank. `next` is memory of
    /// the same length.
    fn advance(&mut self, next: &mut [f64], above: &[f64], below: &[f64]) {
        const RATIO: f64 = 0.2;
        let size = self.temperature.shape()[1];
        let (first, width) = (self.temperature.offset()[0], usize::try_from(size).unwrap_or(0));
        let rows: Vec<&[f64]> = self.temperature.data().chunks(width).collect();
        for (place, (row, new)) in rows.iter().zip(next.chunks_mut(width)).enumerate() {
            let y = first + place as u64;
            if y == 0 || y == size - 1 {
                continue;
            }
            let before = if place == 0 { above } else { rows[place - 1] };
            let behind = rows.get(place + 1).copied().unwrap_or(below);
            for x in 1..width - 1 {
                let around = before[x] + behind[x] + row[x - 1] + row[x + 1];
                new[x] = source(size, y, x as u64).unwrap_or(row[x] + RATIO * (around - 4.0 * row[x]));
            }
        }
        self.temperature.data_mut().swap_with_slice(next);
        *self.step += 1;
    }
}

/// The ranks with the rows before and behind those of this one. Ranks without rows are passed over.
struct Neighbours {
    width: usize,
    before: Option<i32>,
    behind: Option<i32>,
    /// The last rank that has rows.
    last: i32,
}

impl Neighbours {
    fn of(world: &SimpleCommunicator, size: u64) -> Neighbours {
        let (rank, ranks) = (world.rank(), world.size());
        let share = |rank: i32| (size * rank.unsigned_abs() as u64) / ranks.unsigned_abs() as u64;
        let has_rows = |rank: &i32| share(*rank) < share(*rank + 1);
        let nearest = |ranks: Range<i32>| ranks.into_iter().find(has_rows);
        Neighbours {
            width: usize::try_from(size).unwrap_or(0),
            before: if has_rows(&rank) { (0..rank).rev().find(has_rows) } else { None },
            behind: if has_rows(&rank) { nearest(rank + 1..ranks) } else { None },
            last: (0..ranks).rev().find(has_rows).unwrap_or(0),
        }
    }

    /// Gives the outer rows to the neighbours, and returns theirs.
    fn exchange(&self, world: &SimpleCommunicator, rows: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (mut above, mut below) = (vec![0.0; self.width], vec![0.0; self.width]);
        let (first, last) =
            (&rows[..self.width.min(rows.len())], &rows[rows.len().saturating_sub(self.width)..]);
        mpi::request::multiple_scope(2, |scope, sent| {
            for (to, row) in [(self.before, first), (self.behind, last)] {
                if let Some(to) = to {
                    sent.add(world.process_at_rank(to).immediate_send(scope, row));
                }
            }
            for (from, row) in [(self.before, &mut above), (self.behind, &mut below)] {
                if let Some(from) = from {
                    world.process_at_rank(from).receive_into(&mut row[..]);
                }
            }
            sent.wait_all(&mut Vec::new());
        });
        (above, below)
    }

    /// The sum of all temperatures, row by row: always in the same order, so that every bit is the
    /// same.
    fn sum(&self, world: &SimpleCommunicator, rows: &[f64]) -> f64 {
        let before = self.before.map_or(0.0, |rank| world.process_at_rank(rank).receive::<f64>().0);
        let mut sum = rows.iter().fold(before, |sum, temperature| sum + temperature);
        if let Some(rank) = self.behind {
            world.process_at_rank(rank).send(&sum);
        }
        world.process_at_rank(self.last).broadcast_into(&mut sum);
        sum
    }
}

/// The temperature that a point is kept at: a hot pipe and a cold one go through the plate.
fn source(size: u64, y: u64, x: u64) -> Option<f64> {
    let pipes = [([0.27, 0.25], 0.07, 100.0), ([0.75, 0.72], 0.09, -40.0)];
    let inside = pipes.iter().find(|(centre, radius, _)| is_in_disc(size, y, x, *centre, *radius));
    inside.map(|(_, _, temperature)| *temperature)
}

/// True if a point is in a disc. Centre (row, column) and radius are fractions of the plate's
/// width.
fn is_in_disc(size: u64, y: u64, x: u64, centre: [f64; 2], radius: f64) -> bool {
    let position = |place: u64| place as f64 / (size - 1) as f64;
    (position(y) - centre[0]).hypot(position(x) - centre[1]) <= radius
}

struct Options {
    size: u64,
    steps: u64,
    every: u64,
    dir: PathBuf,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
        let mut options = Options { size: 128, steps: 2000, every: 100, dir: "heat.ckpt".into() };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--size" => options.size = value.parse()?,
                "--steps" => options.steps = value.parse()?,
                "--every" => options.every = value.parse()?,
                "--dir" => options.dir = value.into(),
                _ => return Err("usage: heat_mpi [--size N] [--steps N] [--every STEPS] [--dir PATH]".into()),
            }
        }
        match options.size {
            3..=20_000 => Ok(options),
            _ => Err("--size must be from 3 to 20000".into()),
        }
    }
}
