//! What a mirror costs a save: the same saves without one, and while one is busy. And whether it
//! keeps to its bandwidth.
//!
//! `cargo bench -p checkpointed-benches --bench mirror [DIRECTORY [MIRROR]]`: the disks to measure.

#![allow(clippy::unwrap_used, reason = "a failure ends the measurement")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use checkpointed::{Checkpointer, Mirror};

/// The limit in the promise.
const RATIO: f64 = 1.15;

/// The bandwidth of the mirror, in bytes per second.
const BANDWIDTH: u64 = 50 << 20;

/// Saves this number of times, with a pause as long as a save. Returns the time of each.
fn saves(near: &Path, far: Option<&Path>, numbers: usize, count: usize) -> Vec<Duration> {
    let mut builder = Checkpointer::<Vec<f64>>::builder(near).history(false).warnings_to_stderr(false);
    if let Some(far) = far {
        let mirror = Mirror::to(far).at_most_per_second(BANDWIDTH).wait_at_finish(Duration::ZERO);
        builder = builder.mirror(mirror);
    }
    let mut checkpoints = builder.open().unwrap();
    let mut state = vec![0.5; numbers];
    let mut times = Vec::new();
    // The first three make the files that later ones write over.
    for number in 0..count + 3 {
        // No block of the file is left out.
        state.iter_mut().for_each(|number| *number += 1.0);
        let begun = Instant::now();
        checkpoints.save(&state).unwrap();
        let time = begun.elapsed();
        std::thread::sleep(time);
        times.extend((number >= 3).then_some(time));
    }
    times
}

/// The bytes of a generation, and the seconds until the mirror has it.
fn mirrored(near: &Path, far: &Path, numbers: usize) -> (u64, f64) {
    let mirror = Mirror::to(far).at_most_per_second(BANDWIDTH);
    let builder = Checkpointer::<Vec<f64>>::builder(near).history(false).mirror(mirror);
    let mut checkpoints = builder.open().unwrap();
    let bytes = checkpoints.save(&vec![0.5; numbers]).unwrap().bytes;
    let begun = Instant::now();
    checkpoints.wait_for_mirror(Duration::from_secs(600)).unwrap();
    (bytes, begun.elapsed().as_secs_f64())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    // `cargo test --benches` only checks that it runs.
    let measure = std::env::args().any(|argument| argument == "--bench");
    let mut places =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let near = places.next().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    let far = places.next().unwrap_or_else(|| near.clone());
    let directory = |parent: &Path| tempfile::Builder::new().prefix("mirror").tempdir_in(parent).unwrap();
    let (near, far) = (directory(&near), directory(&far));
    let (megabytes, rounds, count) = if measure { (64, 10, 6) } else { (1, 1, 1) };
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let numbers = megabytes << 17;
        without.extend(saves(&near.path().join("without.ckpt"), None, numbers, count));
        let far = far.path().join("far.ckpt");
        with.extend(saves(&near.path().join("with.ckpt"), Some(&far), numbers, count));
    }
    let (without, with) = (median(&mut without), median(&mut with));
    let (alone, of_it) = (near.path().join("alone.ckpt"), far.path().join("of_it.ckpt"));
    let (bytes, seconds) = mirrored(&alone, &of_it, megabytes << 17);
    if measure {
        let ratio = with.as_secs_f64() / without.as_secs_f64();
        println!("a save of {megabytes} MiB, in {} and {}", near.path().display(), far.path().display());
        println!("without a mirror {without:?}, with one that copies {} MiB/s {with:?}", BANDWIDTH >> 20);
        println!("  {ratio:.3} times; at most {RATIO}: {}", if ratio <= RATIO { "kept" } else { "BROKEN" });
        let rate = bytes as f64 / seconds;
        let verdict = if rate <= BANDWIDTH as f64 { "kept" } else { "BROKEN" };
        println!("  {:.1} MiB/s to the mirror; at most {}: {verdict}", rate / 1_048_576.0, BANDWIDTH >> 20);
    }
}
