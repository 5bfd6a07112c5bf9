//! What `load_field` of 1 MiB costs in a checkpoint of 4 GiB, beside one read of as many bytes.
//!
//! `cargo bench -p checkpointed-benches --bench load_field [DIRECTORY]`; the directory is on the
//! disk to measure, and has 5 GiB of space. It needs 5 GiB of memory.

#![allow(clippy::unwrap_used, reason = "a failure ends the measurement")]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use checkpointed::{CheckpointReader, Checkpointer, checkpointed};

/// The limit in the promise.
const RATIO: f64 = 3.0;

const MIB: usize = (1 << 20) / size_of::<f64>();

#[checkpointed]
struct State {
    before: Vec<Vec<f64>>,
    field: Vec<f64>,
    behind: Vec<Vec<f64>>,
}

/// Drops the file from the page cache of this system. A virtual disk may have it in another one.
fn forget(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}

fn timed<R>(work: impl FnOnce() -> R) -> Duration {
    let begun = Instant::now();
    black_box(work());
    begun.elapsed()
}

/// The median, the least and the greatest, sorted.
fn sorted(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_unstable_by(f64::total_cmp);
    (figures[figures.len() / 2], figures[0], figures[figures.len() - 1])
}

/// Measures both in turns. The page cache has the file, or has nothing of it.
fn measure(path: &Path, offset: u64, rounds: usize, is_cached: bool) {
    let generation = path.join(format!("{:020}.ckpt", 1));
    let mut file = File::open(&generation).unwrap();
    // Its memory is there.
    let mut buffer = vec![1; 1 << 20];
    let mut reader = CheckpointReader::<State>::open(path).unwrap();
    let (mut fields, mut reads, mut ratios) = (vec![], vec![], vec![]);
    for round in 0..=rounds {
        let (mut field, mut raw) = (Duration::ZERO, Duration::ZERO);
        for turn in 0..2 {
            if !is_cached {
                forget(&generation);
            }
            if (round + turn) % 2 == 0 {
                field = timed(|| reader.load_field::<Vec<f64>>("field").unwrap().unwrap());
            } else {
                raw = timed(|| {
                    file.seek(SeekFrom::Start(offset)).unwrap();
                    file.read_exact(&mut buffer).unwrap();
                });
            }
        }
        // The first fills the page cache.
        if round > 0 {
            fields.push(field.as_secs_f64() * 1e3);
            reads.push(raw.as_secs_f64() * 1e3);
            ratios.push(field.as_secs_f64() / raw.as_secs_f64());
        }
    }
    let cached = if is_cached { "in the page cache" } else { "not cached" };
    for (name, figures) in [("load_field", fields.clone()), ("read", reads.clone())] {
        let (median, least, most) = sorted(figures);
        println!("{cached}: {name:<10} {median:.3} ms [{least:.3} … {most:.3}]");
    }
    let (_, least, most) = sorted(ratios);
    let ratio = sorted(fields).0 / sorted(reads).0;
    let verdict = if ratio <= RATIO { "" } else { "  MISSED" };
    println!("  load_field / read {ratio:.2} [{least:.2} … {most:.2}]   goal {RATIO}{verdict}");
}

fn main() {
    // `cargo test --benches` only checks that it runs.
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let directory = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let parent = tempfile::tempdir_in(directory.as_deref().unwrap_or(env!("CARGO_TARGET_TMPDIR"))).unwrap();
    let rounds = if is_measured { 41 } else { 1 };
    // The other arrays are as long as the field, or 256 times as long.
    for (name, arrays, mebibytes) in [("4097 arrays of 1 MiB", 2048, 1), ("17 arrays", 8, 256)] {
        let (arrays, mebibytes) = if is_measured { (arrays, mebibytes) } else { (2, 1) };
        let path = parent.path().join("run.ckpt");
        let side = || vec![vec![0.5; mebibytes * MIB]; arrays];
        let field: Vec<f64> = (0..MIB).map(|number| number as f64).collect();
        let state = State { before: side(), field, behind: side() };
        Checkpointer::<State>::builder(&path).history(false).open().unwrap().save(&state).unwrap();
        let generation = path.join(format!("{:020}.ckpt", 1));
        let length = fs::metadata(&generation).unwrap().len();
        // The field is in the middle, and so are the bytes of the read.
        let offset = (length - (1 << 20)) / 2 / 4096 * 4096;
        drop(state);
        println!("{name}: a file of {} MiB", length >> 20);
        measure(&path, offset, rounds, true);
        measure(&path, offset, rounds, false);
        fs::remove_dir_all(&path).unwrap();
    }
}
