//! What a save costs of which only a part changed, beside one that writes everything.
//!
//! `cargo bench -p checkpointed-benches --bench changed [DIRECTORY]`: the disk to measure. It takes
//! six files of 256 MiB there, and three times that of memory.
//!
//! Three programs take turns. In each round, the first one saves a state that has changed in every
//! block. The other two save one that has changed in 10 % and in 1 % of the blocks, scattered,
//! since the save that wrote the file which this one writes over.

#![allow(clippy::unwrap_used, reason = "a failure ends the measurement")]

use std::path::Path;
use std::time::{Duration, Instant};

use checkpointed::{Checkpointer, reports::Saved};

/// The size of a block, in bytes and in numbers.
const BLOCK: usize = 64 << 10;
const NUMBERS: usize = BLOCK / 8;

/// After a save that changed everything, this number of saves compare nothing …
const PAUSE: usize = 8;

/// … and this number note the blocks of the two files again, all of which they write.
const NOTING: usize = 2;

struct Program {
    checkpoints: Checkpointer<Vec<f64>>,
    state: Vec<f64>,
    /// Every how many blocks one changes.
    every: usize,
    round: usize,
}

impl Program {
    /// A program whose two files have been written over once, so that the next save compares.
    fn new(path: &Path, blocks: usize, every: usize) -> Program {
        let builder = Checkpointer::<Vec<f64>>::builder(path).history(false).keep_last(1);
        let checkpoints = builder.warnings_to_stderr(false).open().unwrap();
        let mut program = Program { checkpoints, state: vec![0.5; blocks * NUMBERS], every, round: 0 };
        for _ in 0..4 {
            program.save();
        }
        program
    }

    /// Changes some blocks, and returns their number.
    fn change(&mut self) -> usize {
        let blocks = self.state.chunks_mut(NUMBERS).skip(self.round % self.every).step_by(self.every);
        blocks.map(|block| block[self.round % NUMBERS] += 1.0).count()
    }

    /// Changes everything.
    fn change_all(&mut self) {
        self.state.iter_mut().for_each(|number| *number += 1.0);
    }

    fn save(&mut self) -> (Saved, Duration) {
        let begun = Instant::now();
        let saved = self.checkpoints.save(&self.state).unwrap();
        (saved, begun.elapsed())
    }

    /// Saves twice, with changes of the same blocks: the second file differs from the one that it
    /// is written over in these alone. Returns the second save, and the number of changed bytes.
    fn measure(&mut self) -> (Saved, Duration, usize) {
        self.round += 1;
        self.change();
        self.save();
        let changed = self.change() * BLOCK;
        let (saved, time) = self.save();
        (saved, time, changed)
    }
}

fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}

fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

fn main() {
    // `cargo test --benches` only checks that it runs.
    let measure = std::env::args().any(|argument| argument == "--bench");
    let place = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let place = place.unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").to_owned());
    let directory = tempfile::Builder::new().prefix("changed").tempdir_in(place).unwrap();
    let (blocks, cycles) = if measure { (4096, 3) } else { (128, 1) };
    let before = load();
    let program = |name: &str, every| Program::new(&directory.path().join(name), blocks, every);
    let (mut full, mut tenth, mut hundredth) =
        (program("full.ckpt", 1), program("10.ckpt", 10), program("1.ckpt", 100));
    let (mut first, mut paused, mut noting) = (Vec::new(), Vec::new(), Vec::new());
    let (mut at_tenth, mut at_hundredth) = (Vec::new(), Vec::new());
    let mut surplus = 0_i64;
    for round in 0..cycles * (1 + PAUSE + NOTING) {
        full.change_all();
        let (saved, time) = full.save();
        assert_eq!(saved.written, saved.bytes);
        let kind = match round % (1 + PAUSE + NOTING) {
            0 => &mut first,
            place if place <= PAUSE => &mut paused,
            _ => &mut noting,
        };
        kind.push(time.as_secs_f64() * 1e3);
        for (program, times) in [(&mut tenth, &mut at_tenth), (&mut hundredth, &mut at_hundredth)] {
            let (saved, time, changed) = program.measure();
            if saved.written == saved.bytes {
                // Every sixteenth save over a file writes all of it.
                continue;
            }
            let most = changed as f64 * 1.15 + (1 << 20) as f64;
            assert!(saved.written as f64 <= most, "{} bytes for {changed}", saved.written);
            surplus = surplus.max(saved.written as i64 - changed as i64);
            times.push(time.as_secs_f64() * 1e3);
        }
    }
    if !measure {
        return;
    }
    let whole = median(&paused);
    let all: Vec<f64> = [&first[..], &paused, &noting].concat();
    println!("{} MiB in {}, load {before} and {}", blocks >> 4, directory.path().display(), load());
    println!("at most {surplus} bytes more than the changed blocks were written");
    println!("\n| changed | ms | ratio | goal |\n|---|---|---|---|");
    let row = |what: &str, time: f64, base: f64, goal: f64| {
        let ratio = time / base;
        let verdict = if ratio <= goal { "met" } else { "**missed**" };
        println!("| {what} | {time:.1} | {ratio:.2} | ≤ {goal}: {verdict} |");
    };
    println!("| everything, and nothing is compared: a full save | {whole:.1} | 1 | |");
    row("1 %", median(&at_hundredth), whole, 0.5);
    row("10 %", median(&at_tenth), whole, 0.65);
    row("everything, and blocks are compared", median(&first), whole, 1.2);
    row("everything, and blocks are noted", median(&noting), whole, 1.2);
    row("everything: the mean of all these, beside that of full ones", mean(&all), mean(&paused), 1.03);
}
