//! What a save costs a program that reads its state meanwhile (`save_while`): the stall, the work
//! beside it, the memory, and the time until it is durable.
//!
//! `cargo bench -p checkpointed-benches --bench save_while [DIRECTORY]`; the directory is on the
//! disk to measure. The work needs a core, and the save another one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure ends the measurement")]

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use checkpointed::Checkpointer;

/// 256 MiB of numbers.
const NUMBERS: usize = (256 << 20) / size_of::<f64>();
const ROUNDS: usize = 9;

/// One step of a solver with two buffers: reads the state, and writes the next one.
fn step(state: &[f64], next: &mut [f64]) {
    for (next, near) in next[1..].iter_mut().zip(state.windows(3)) {
        *next = 0.25 * near[0] + 0.5 * near[1] + 0.25 * near[2];
    }
}

fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// A number of kB in `/proc/self/status`, in MiB.
fn resident(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|other: char| !other.is_ascii_digit()).parse::<f64>().unwrap() / 1024.0
}

fn main() {
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let parent = match directory {
        Some(directory) => tempfile::tempdir_in(directory).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let builder = Checkpointer::<Vec<f64>>::builder(parent.path().join("run.ckpt")).history(false);
    let mut checkpoints = builder.open().unwrap();
    let mut state: Vec<f64> = (0..NUMBERS).map(|number| number as f64).collect();
    // All of its memory is there from the beginning.
    let mut next = state.clone();
    // The files that are written over are there.
    for _ in 0..3 {
        checkpoints.save(&state).unwrap();
    }
    let (mut copies, mut alone, mut beside, mut stalls) = (vec![], vec![], vec![], vec![]);
    let (mut foreground, mut durable) = (vec![], vec![]);
    let _ = fs::write("/proc/self/clear_refs", "5");
    let memory = resident("VmRSS");
    for _ in 0..ROUNDS {
        state[0] += 1.0;
        foreground.push(timed(|| checkpoints.save(&state).unwrap()));
        state[0] += 1.0;
        durable.push(timed(|| checkpoints.save_while(&state, || ()).unwrap()));
        copies.push(timed(|| next.copy_from_slice(black_box(&state))));
        // As many steps as take twice the time of a save.
        let steps = 2 * foreground[0].as_micros() / timed(|| step(&state, &mut next)).as_micros() + 1;
        let work = |state: &[f64], next: &mut [f64]| {
            let begun = Instant::now();
            (0..steps).for_each(|_| step(black_box(state), next));
            (begun, Instant::now())
        };
        let (begun, ended) = work(&state, &mut next);
        alone.push(ended - begun);
        state[0] += 1.0;
        let called = Instant::now();
        let (_, (begun, ended)) = checkpoints.save_while(&state, || work(&state, &mut next)).unwrap();
        let returned = Instant::now();
        beside.push(ended - begun);
        stalls.push((begun - called) + (returned - ended));
    }
    let above = resident("VmHWM") - memory;
    let (copy, alone, beside, stall) = (median(copies), median(alone), median(beside), median(stalls));
    let (foreground, durable) = (median(foreground), median(durable));
    println!(
        "256 MiB: copy {copy:.1} ms, stall {stall:.2} ms, save {foreground:.1} ms, save_while {durable:.1} ms"
    );
    println!("work alone {alone:.1} ms, beside a save {beside:.1} ms");
    let goal = |what: &str, figure: f64, goal: f64| {
        let verdict = if figure <= goal { "" } else { "  MISSED" };
        println!("{what:<60} {figure:>8.2}   goal {goal:>5.2}{verdict}");
    };
    goal("stall / a copy in memory", stall / copy, 0.05);
    goal("work during a save / work alone", beside / alone, 1.25);
    goal("memory above the state, MiB", above, 16.0);
    goal("time until durable / a save in the foreground", durable / foreground, 1.1);
}
