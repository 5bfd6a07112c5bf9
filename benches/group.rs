//! What a group costs: four members, as threads, each with a part of its own.
//!
//! `cargo bench -p checkpointed-benches --bench group [DIRECTORY]`; the directory is on the disk to
//! measure.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure ends the measurement")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use checkpointed::group::{Group, GroupCheckpointer, Threads};
use checkpointed::{Checkpointer, Schedule};

const MEMBERS: usize = 4;

/// Runs the work of each member in a thread of its own. Returns the times of the slowest, sorted.
fn members(rounds: usize, work: impl Fn(&Threads, usize) -> Vec<Duration> + Sync) -> Vec<Duration> {
    let work = &work;
    let times: Vec<Vec<Duration>> = std::thread::scope(|scope| {
        let threads: Vec<_> = Threads::new(MEMBERS)
            .into_iter()
            .map(|member| scope.spawn(move || work(&member, rounds)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let slowest = |round: usize| times.iter().map(|times| times[round]).max().unwrap();
    let mut slowest: Vec<Duration> = (0..rounds).map(slowest).collect();
    slowest.sort_unstable();
    slowest
}

fn median(times: &[Duration]) -> f64 {
    times[times.len() / 2].as_secs_f64()
}

/// All members begin at the same time.
fn timed<R>(member: &Threads, work: impl FnOnce() -> R) -> Duration {
    member.all_gather(b"").unwrap();
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

/// Each member saves into a directory of its own: the slowest.
fn alone(parent: &Path, numbers: usize, rounds: usize) -> f64 {
    let path = parent.join("alone");
    let times = members(rounds, |member, rounds| {
        let own = path.join(member.rank().to_string());
        let mut checkpoints = Checkpointer::<Vec<f64>>::builder(own).history(false).open().unwrap();
        let state = vec![0.5; numbers];
        (0..rounds).map(|_| timed(member, || checkpoints.save(&state).unwrap())).collect()
    });
    std::fs::remove_dir_all(path).unwrap();
    median(&times)
}

/// The members save as a group.
fn together(parent: &Path, numbers: usize, rounds: usize) -> f64 {
    let path = parent.join("together.ckpt");
    let times = members(rounds, |member, rounds| {
        let builder = Checkpointer::<Vec<f64>>::builder(&path).history(false);
        let mut group: GroupCheckpointer<_, &Threads> = builder.open_group(member).unwrap();
        let state = vec![0.5; numbers];
        (0..rounds).map(|_| timed(member, || group.save(&state).unwrap())).collect()
    });
    std::fs::remove_dir_all(path).unwrap();
    median(&times)
}

/// The stall of a save in the background, and in the same round a copy of the same state in warm
/// memory, by all members at once.
fn stall_and_copy(parent: &Path, numbers: usize, rounds: usize) -> (f64, f64) {
    let path = parent.join("background.ckpt");
    let copies = Mutex::new(vec![Duration::ZERO; rounds]);
    let stalls = members(rounds, |member, rounds| {
        let builder = Checkpointer::<Vec<f64>>::builder(&path).history(false);
        let mut group: GroupCheckpointer<_, &Threads> = builder.open_group(member).unwrap();
        let state = vec![0.5_f64; numbers];
        let mut copy = state.clone();
        let mut round = |round: usize| {
            let time = timed(member, || black_box(&mut copy).copy_from_slice(black_box(&state)));
            let mut copies = copies.lock().unwrap();
            copies[round] = copies[round].max(time);
            drop(copies);
            let stall = timed(member, || group.save_in_background(&state).unwrap());
            group.wait().unwrap();
            stall
        };
        (0..rounds).map(&mut round).collect()
    });
    std::fs::remove_dir_all(path).unwrap();
    let mut copies = copies.into_inner().unwrap();
    copies.sort_unstable();
    (median(&stalls), median(&copies))
}

/// The nanoseconds of a call of `save_if_due` where no look is agreed.
fn not_due(parent: &Path) -> f64 {
    const CALLS: u32 = 100_000_000;
    let builder = Checkpointer::<u64>::builder(parent.join("due.ckpt"));
    let builder = builder.schedule(Schedule::every(Duration::from_secs(3600)));
    let mut group = builder.open_group(checkpointed::group::Alone).unwrap();
    // The looks of the beginning are over.
    for step in 0..CALLS {
        group.save_if_due(&u64::from(step)).unwrap();
    }
    let begun = Instant::now();
    for step in 0..CALLS {
        black_box(group.save_if_due(black_box(&u64::from(step))).unwrap());
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn main() {
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let parent = match directory {
        Some(directory) => tempfile::tempdir_in(directory).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let parent = parent.path();
    let mut missed = 0;
    let mut goal = |what: &str, figure: f64, goal: f64| {
        let verdict = if figure <= goal { "" } else { "  MISSED" };
        missed += usize::from(figure > goal);
        println!("{what:<60} {figure:>8.2}   goal {goal:>5.2}{verdict}");
    };
    for (bytes, rounds, most) in [(64 << 20, 7, 1.10), (64 << 10, 101, 2.5)] {
        let numbers = bytes / size_of::<f64>();
        let (alone, together) = (alone(parent, numbers, rounds), together(parent, numbers, rounds));
        println!(
            "{} KiB each: alone {:.2} ms, as a group {:.2} ms",
            bytes >> 10,
            alone * 1e3,
            together * 1e3
        );
        goal("group save / the slowest member alone", together / alone, most);
    }
    let numbers = (64 << 20) / size_of::<f64>();
    let (stall, copy) = stall_and_copy(parent, numbers, 41);
    println!("64 MiB each: stall {:.2} ms, copy {:.2} ms", stall * 1e3, copy * 1e3);
    goal("stall of a background group save / a copy in memory", stall / copy, 1.15);
    goal("save_if_due where no look is agreed, in ns", not_due(parent), 20.0);
    if missed > 0 {
        println!("{missed} goals are missed");
    }
}
