//! Measures a save and a load of a small state, beside a program that does the same by hand.
//!
//! Three promises are checked. A durable save takes at most 1.15 times as long as the hand-written
//! one. A load takes at most 50 microseconds more than reading the file. Both are measured in turn,
//! round by round, so that other work of the machine affects both sides alike. The question if a
//! save is due takes less than 100 nanoseconds.

#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use checkpointed::{CheckpointReader, Checkpointer, Schedule, checkpointed};
use criterion::Criterion;

#[checkpointed]
#[derive(Default)]
struct Counter {
    count: u64,
}

/// The limits in the promises.
const SAVE_RATIO: f64 = 1.15;
const LOAD_SURPLUS: Duration = Duration::from_micros(50);
const NOT_DUE: Duration = Duration::from_nanos(100);

/// Saves 64 bytes durably without this library, step by step as in docs/durability.md.
fn save_by_hand(directory: &Path, bytes: &[u8; 64]) {
    let (temporary, target) = (directory.join("state.tmp"), directory.join("state"));
    let mut file = File::create(&temporary).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::rename(temporary, target).unwrap();
    File::open(directory).unwrap().sync_all().unwrap();
}

/// Directories on the disk of the workspace: `/tmp` is memory on many machines, and a sync is free
/// there.
struct Place {
    by_hand: tempfile::TempDir,
    _ours: tempfile::TempDir,
    ours: PathBuf,
}

impl Place {
    fn new() -> Place {
        let directory =
            |name| tempfile::Builder::new().prefix(name).tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let ours = directory("ours");
        Place { by_hand: directory("by_hand"), ours: ours.path().join("counter.ckpt"), _ours: ours }
    }
}

/// The median times of both, which take turns.
fn medians(rounds: usize, mut ours: impl FnMut(), mut theirs: impl FnMut()) -> (Duration, Duration) {
    let mut times = (Vec::new(), Vec::new());
    let time = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        begun.elapsed()
    };
    for round in 0..rounds {
        // The first finds the disk and the caches as the other left them, so the order alternates.
        if round % 2 == 0 {
            times.0.push(time(&mut ours));
            times.1.push(time(&mut theirs));
        } else {
            times.1.push(time(&mut theirs));
            times.0.push(time(&mut ours));
        }
    }
    let median = |mut times: Vec<Duration>| {
        times.sort_unstable();
        times[times.len() / 2]
    };
    (median(times.0), median(times.1))
}

fn main() {
    // `cargo test --benches` only checks that it runs.
    let measure = std::env::args().any(|argument| argument == "--bench");
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();

    let place = Place::new();
    let mut checkpoints = Checkpointer::<Counter>::open(&place.ours).unwrap();
    let mut counter = Counter::default();
    let mut save = || {
        counter.count += 1;
        black_box(checkpoints.save(&counter).unwrap());
    };
    let mut bytes = [7_u8; 64];
    let mut by_hand = || {
        bytes[0] = bytes[0].wrapping_add(1);
        save_by_hand(place.by_hand.path(), black_box(&bytes));
    };
    criterion.bench_function("save: ours, durable", |bencher| bencher.iter(&mut save));
    criterion.bench_function("save: by hand", |bencher| bencher.iter(&mut by_hand));
    let saves = medians(if measure { 300 } else { 3 }, save, by_hand);

    drop(checkpoints);
    let newest = fs::read_dir(&place.ours).unwrap().map(|entry| entry.unwrap().path()).max().unwrap();
    let mut reader = CheckpointReader::<Counter>::open(&place.ours).unwrap();
    let mut load = || {
        black_box(reader.load().unwrap().unwrap().count);
    };
    let read = || {
        black_box(fs::read(&newest).unwrap());
    };
    criterion.bench_function("load: ours", |bencher| bencher.iter(&mut load));
    criterion.bench_function("load: std::fs::read", |bencher| bencher.iter(read));
    let loads = medians(if measure { 3000 } else { 3 }, load, read);

    let schedule = Schedule::adaptive().at_least(Duration::from_secs(3600));
    let opened = Checkpointer::<Counter>::builder(place.ours.with_file_name("due.ckpt"))
        .schedule(schedule)
        .stop_on_signals()
        .time_limit(Duration::from_secs(24 * 3600))
        .open();
    let mut checkpoints = opened.unwrap();
    let counter = Counter::default();
    let mut ask = || {
        black_box(checkpoints.save_if_due(&counter).unwrap());
    };
    criterion.bench_function("save_if_due: nothing is due", |bencher| bencher.iter(&mut ask));
    let questions = if measure { 1_000_000 } else { 3 };
    let begun = Instant::now();
    (0..questions).for_each(|_| ask());
    let not_due = begun.elapsed() / questions;
    criterion.final_summary();

    if measure {
        let ratio = saves.0.as_secs_f64() / saves.1.as_secs_f64();
        let surplus = loads.0.saturating_sub(loads.1);
        let verdict = |kept| if kept { "kept" } else { "BROKEN" };
        println!("\nmedians, in turn, on {}", env!("CARGO_TARGET_TMPDIR"));
        println!("durable save {:?}, by hand {:?}: {ratio:.3} times", saves.0, saves.1);
        println!("  at most {SAVE_RATIO}: {}", verdict(ratio <= SAVE_RATIO));
        println!("load {:?}, read {:?}: {surplus:?} more", loads.0, loads.1);
        println!("  at most {LOAD_SURPLUS:?}: {}", verdict(surplus <= LOAD_SURPLUS));
        println!("save_if_due, nothing due: {not_due:?}");
        println!("  less than {NOT_DUE:?}: {}", verdict(not_due < NOT_DUE));
    }
}
