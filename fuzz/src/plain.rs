//! A fuzz target without a fuzzer. It runs a number of inputs of random bytes, or as many as fit
//! into a number of seconds; or one input, given in hexadecimal. It needs no special compiler, and
//! a failure names the input.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a panic, as in the targets")]

use std::env;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 6] = [
    ("container", checkpointed_fuzz::container),
    ("manifest", checkpointed_fuzz::manifest),
    ("schema", checkpointed_fuzz::schema),
    ("npy", checkpointed_fuzz::npy),
    ("load", checkpointed_fuzz::load),
    ("structure", checkpointed_fuzz::structure),
];

/// Longer inputs add nothing.
const LONGS: u32 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let target = arguments.first().and_then(|name| TARGETS.iter().find(|target| target.0 == name.as_str()));
    let (Some((name, target)), Some(much)) = (target, arguments.get(1)) else {
        eprintln!(
            "usage: plain TARGET RUNS|SECONDSs [SEED], or plain TARGET 0xINPUT, such as: plain structure 120s"
        );
        return ExitCode::from(2);
    };
    if let Some(digits) = much.strip_prefix("0x") {
        let input: Vec<u8> = digits
            .as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect();
        // The first call prepares the checkpoints to change.
        for run in 1..=3 {
            let begun = Instant::now();
            target(&input);
            println!("run {run}: {:.1?}", begun.elapsed());
        }
        return ExitCode::SUCCESS;
    }
    let seconds = much.strip_suffix('s').map(|seconds| seconds.parse().unwrap());
    let runs: u64 = if seconds.is_some() { u64::MAX } else { much.parse().unwrap() };
    let first: u64 = arguments.get(2).map_or(0, |seed| seed.parse().unwrap());
    let begun = Instant::now();
    let (mut done, mut slowest) = (0, (Duration::ZERO, 0));
    for seed in (first..).take(usize::try_from(runs).unwrap_or(usize::MAX)) {
        if seconds.is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds)) {
            break;
        }
        let input = checkpointed_fuzz::random(seed, LONGS);
        let one = Instant::now();
        if catch_unwind(|| target(&input)).is_err() {
            eprintln!("{name} fails for the input of seed {seed}: plain {name} 1 {seed}");
            return ExitCode::FAILURE;
        }
        slowest = slowest.max((one.elapsed(), seed));
        done += 1;
        if done % 1_000_000 == 0 {
            println!("{done} runs, {:.0?}, the slowest {:.1?} (seed {})", begun.elapsed(), slowest.0, slowest.1);
        }
    }
    println!("{done} runs, {:.0?}, the slowest {:.1?} (seed {})", begun.elapsed(), slowest.0, slowest.1);
    ExitCode::SUCCESS
}
