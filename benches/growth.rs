//! How the cost grows with the size of the state, its parts, and the number of saves.
//!
//! `cargo bench -p checkpointed-benches --bench growth -- [DIRECTORY] [--plot FILE]`: the disk to
//! measure, and the picture (SVG) to write. It takes 2 GiB of memory and 4 GiB of disk.
//!
//! Each line is drawn on logarithmic axes, where a cost that grows as its cause has the slope 1,
//! and one that does not depend on it has the slope 0. The slope is that of the line of least
//! squares through the points from the size on where fixed costs are small.

#![allow(clippy::unwrap_used, reason = "a failure ends the measurement")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use checkpointed::{Checkpointer, checkpointed};
use plotters::prelude::*;

const MIB: usize = 1 << 20;

/// Sizes, and medians in seconds.
type Points = Vec<(f64, f64)>;

/// The cost of one thing over the size of another.
struct Line {
    title: &'static str,
    /// What is counted along the horizontal axis.
    of: &'static str,
    /// The slope that it should have.
    due: f64,
    /// The size from which on the slope counts.
    from: f64,
    points: Points,
}

impl Line {
    fn slope(&self) -> f64 {
        let counted = self.points.iter().filter(|(size, _)| *size >= self.from);
        let points: Points = counted.map(|(size, time)| (size.log10(), time.log10())).collect();
        let count = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let product = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum::<f64>();
        product / points.iter().map(|point| (point.0 - x).powi(2)).sum::<f64>()
    }
}

#[checkpointed]
#[derive(Clone)]
struct Record {
    number: u64,
    place: [f64; 3],
    name: String,
    weight: Option<f32>,
}

fn record(number: usize) -> Record {
    let weight = (!number.is_multiple_of(3)).then_some(number as f32);
    Record { number: number as u64, place: [number as f64; 3], name: format!("record {number}"), weight }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times.get(times.len() / 2).map_or(f64::NAN, Duration::as_secs_f64)
}

fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let begun = Instant::now();
    let result = work();
    let time = begun.elapsed();
    drop(result);
    time
}

/// Saves over a retired file, and loads, so many times.
fn save_and_load<T: checkpointed::Checkpoint>(
    path: &Path,
    rounds: usize,
    mut state: T,
    change: impl Fn(&mut T, usize),
) -> (f64, f64) {
    let builder = Checkpointer::<T>::builder(path).history(false).keep_last(1);
    let mut checkpoints = builder.warnings_to_stderr(false).open().unwrap();
    let (mut saves, mut loads) = (Vec::new(), Vec::new());
    for round in 0..rounds + 2 {
        change(&mut state, round);
        let time = timed(|| checkpoints.save(&state).unwrap());
        // The first two make the files that later ones write over.
        if round >= 2 {
            saves.push(time);
        }
    }
    for _ in 0..rounds {
        loads.push(timed(|| checkpoints.load().unwrap().unwrap()));
    }
    drop(checkpoints);
    std::fs::remove_dir_all(path).unwrap();
    (median(saves), median(loads))
}

/// The time of one of so many small saves in a row, and of a start after them.
fn in_a_row(path: &Path, most: usize) -> (Points, Points) {
    let builder = Checkpointer::<u64>::builder(path).durable(false).warnings_to_stderr(false);
    let (mut saves, mut starts, mut saved) = (Vec::new(), Vec::new(), 0);
    let mut count = 1;
    while count <= most {
        let mut checkpoints = builder.clone().open().unwrap();
        let mut times = Vec::new();
        let _ = checkpoints.load().unwrap();
        while saved < count {
            saved += 1;
            times.push(timed(|| checkpoints.save(&(saved as u64)).unwrap()));
        }
        drop(checkpoints);
        saves.push((count as f64, median(times)));
        let start = || timed(|| builder.clone().open().unwrap().load().unwrap());
        starts.push((count as f64, median((0..9).map(|_| start()).collect())));
        count *= 10;
    }
    (saves, starts)
}

fn measure(directory: &Path, is_short: bool) -> Vec<Line> {
    let path = directory.join("growth.ckpt");
    let rounds = if is_short { 1 } else { 7 };
    let upto = |long: usize, short: usize| if is_short { short } else { long };
    let (mut saves, mut loads) = (Vec::new(), Vec::new());
    let mut size = 1;
    while size <= upto(1024, 4) {
        let array = vec![0.5_f64; size * MIB / 8];
        let (save, load) = save_and_load(&path, rounds, array, |array, round| {
            array.iter_mut().for_each(|number| *number += round as f64 + 1.0);
        });
        saves.push((size as f64, save));
        loads.push((size as f64, load));
        size *= 4;
    }
    let mut arrays = Vec::new();
    let mut count = 1;
    while count <= upto(1000, 10) {
        let state = vec![vec![0.5_f64; 64 * MIB / 8 / count]; count];
        let (save, _) = save_and_load(&path, rounds, state, |arrays, round| {
            arrays.iter_mut().flatten().for_each(|number| *number += round as f64 + 1.0);
        });
        arrays.push((count as f64, save));
        count *= 10;
    }
    let (mut saves_of_records, mut loads_of_records) = (Vec::new(), Vec::new());
    let mut count = 1000;
    while count <= upto(10_000_000, 1000) {
        let records: Vec<Record> = (0..count).map(record).collect();
        let rounds = if count > 1_000_000 { rounds.min(3) } else { rounds };
        let (save, load) = save_and_load(&path, rounds, records, |records, round| {
            records.iter_mut().for_each(|record| record.number += round as u64 + 1);
        });
        saves_of_records.push((count as f64, save));
        loads_of_records.push((count as f64, load));
        count *= 10;
    }
    let (in_a_row, starts) = in_a_row(&path, upto(100_000, 100));
    let line = |title, of, due, from, points| Line { title, of, due, from, points };
    vec![
        line("durable save of one array", "MiB", 1.0, 16.0, saves),
        line("load of one array", "MiB", 1.0, 16.0, loads),
        line("durable save of 64 MiB in arrays", "arrays", 0.0, 1.0, arrays),
        line("durable save of records", "records", 1.0, 1e5, saves_of_records),
        line("load of records", "records", 1.0, 1e5, loads_of_records),
        line("one of small saves in a row, not durable", "saves before it", 0.0, 1e2, in_a_row),
        line("open and load with a history", "lines of history", 0.0, 1.0, starts),
    ]
}

/// Draws each line beside the one that it should be.
fn plot(lines: &[Line], file: &Path) -> Result<(), Box<dyn Error>> {
    let picture = SVGBackend::new(file, (960, 1080)).into_drawing_area();
    picture.fill(&WHITE)?;
    for (line, area) in lines.iter().zip(picture.split_evenly((4, 2))) {
        let Some(((first, _), (last, _))) = line.points.first().copied().zip(line.points.last().copied())
        else {
            continue;
        };
        let times = || line.points.iter().map(|(_, time)| time * 1e3);
        let least = 10_f64.powf(times().fold(f64::INFINITY, f64::min).log10().floor());
        let most = 10_f64.powf(times().fold(0.0, f64::max).log10().ceil());
        let title = format!("{}: slope {:.2}", line.title, line.slope());
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .caption(title, ("sans-serif", 15))
            .x_label_area_size(36)
            .y_label_area_size(52)
            .build_cartesian_2d((first..last).log_scale(), (least..most).log_scale())?;
        chart.configure_mesh().light_line_style(TRANSPARENT).x_desc(line.of).y_desc("ms").draw()?;
        let points: Points = line.points.iter().map(|(size, time)| (*size, time * 1e3)).collect();
        if let Some((size, time)) = points.last() {
            let due = |at: f64| (at, (time * (at / size).powf(line.due)).clamp(least, most));
            chart.draw_series(LineSeries::new(points.iter().map(|point| due(point.0)), BLACK.mix(0.3)))?;
        }
        chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, BLUE.filled())))?;
    }
    picture.present()?;
    Ok(())
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

fn main() {
    // `cargo test --benches` only checks that it runs.
    let is_short = !std::env::args().any(|argument| argument == "--bench");
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let of_plot = arguments.iter().position(|argument| argument == "--plot").map(|place| place + 1);
    let is_place =
        |(place, argument): &(usize, &String)| !argument.starts_with('-') && Some(*place) != of_plot;
    let place = arguments.iter().enumerate().find(is_place).map(|(_, argument)| PathBuf::from(argument));
    let place = place.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")));
    let directory = tempfile::Builder::new().prefix("growth").tempdir_in(place).unwrap();
    let before = load();
    let lines = measure(directory.path(), is_short);
    let file = of_plot.and_then(|place| arguments.get(place)).map(PathBuf::from);
    let file = file.unwrap_or_else(|| directory.path().join("growth.svg"));
    plot(&lines, &file).unwrap();
    println!("{}, load {before} and {}", directory.path().display(), load());
    println!("\n| | along | milliseconds | slope | should be |\n|---|---|---|---|---|");
    for line in &lines {
        let first = line.points.first().map_or(0.0, |point| point.0);
        let last = line.points.last().map_or(0.0, |point| point.0);
        let times: Vec<String> = line.points.iter().map(|(_, time)| format!("{:.3}", time * 1e3)).collect();
        let (title, of, due, slope) = (line.title, line.of, line.due, line.slope());
        println!("| {title} | {first} … {last} {of} | {} | {slope:.2} | {due} |", times.join(", "));
    }
}
