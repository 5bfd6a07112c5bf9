//! An attacker's files: damaged in every way, and forged so that every checksum fits. For all of
//! them the answer is a state or an error, in bounded memory and bounded depth. `fuzz/` does the
//! same without end, guided by coverage.
//!
//! The tests take turns, so that an allocation of one does not count for another.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../common/age.rs"]
mod age;
mod allocation;
mod cases;
mod encrypted;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../common/forge.rs"]
mod forge;
mod mutation;
mod structure;
mod subjects;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;

use cases::{Case, NAME, Outcome, cases, tried};
use checkpointed::{CheckpointReader, Checkpointer};
use mutation::{Choices, Target, damage};

static TURN: Mutex<()> = Mutex::new(());

/// The number of files of each kind in each of the tests. `CHECKPOINTED_HOSTILE=100000` sets it.
fn budget() -> u64 {
    std::env::var("CHECKPOINTED_HOSTILE").ok().and_then(|count| count.parse().ok()).unwrap_or(40)
}

/// `CHECKPOINTED_HOSTILE_SEED=0x300c000000000706` repeats one, if it is within the budget.
fn only() -> Option<u64> {
    let seed = std::env::var("CHECKPOINTED_HOSTILE_SEED").ok()?;
    u64::from_str_radix(seed.trim_start_matches("0x"), 16).ok()
}

/// Random bytes, the same in every run.
fn random(seed: u64) -> Vec<u8> {
    mutation::random(seed, 12)
}

/// The memory that a load may take: a few buffers, as for every load, and the memory for the
/// description of each byte of the file.
fn allowed(length: usize) -> usize {
    (2 << 20) + 200 * length
}

/// Tries files made of each case, within the allowed memory.
fn try_all(kind: u64, make: impl Fn(&mut Vec<u8>, &mut Choices<'_>), check: impl Fn(&Case, &[u8], &Outcome)) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut most = 0;
    for (number, case) in cases().iter().enumerate() {
        for round in 0..budget() {
            let seed = kind << 60 | (number as u64) << 50 | round;
            if only().is_some_and(|only| only != seed) {
                continue;
            }
            let directory = tempfile::tempdir().unwrap();
            let choices = random(seed);
            let mut file = case.file.clone();
            make(&mut file, &mut Choices::new(&choices));
            let (outcome, used) = allocation::most_while(|| {
                // The panic message names the file.
                std::panic::catch_unwind(|| tried(case, &file, directory.path()))
            });
            let Ok(outcome) = outcome else { panic!("{} of seed {seed:#x} panics", case.name) };
            let limit = allowed(file.len().max(case.file.len()));
            assert!(
                used <= limit,
                "{} of seed {seed:#x}: {used} bytes for a file of {}",
                case.name,
                file.len()
            );
            most = most.max(used);
            check(case, &file, &outcome);
        }
    }
    println!("{most} bytes of memory at most");
}

#[test]
fn a_file_that_was_damaged_in_any_way_is_never_loaded() {
    try_all(
        1,
        |file, choices| {
            for _ in 0..=choices.byte() % 3 {
                if !file.is_empty() {
                    damage(file, choices);
                }
            }
        },
        |case, file, outcome| {
            if file != case.file {
                assert!(!outcome.loads && !outcome.is_whole, "{}: the damage was not noticed", case.name);
            }
        },
    );
}

fn forged(kind: u64, target: Target) {
    let check = |case: &Case, _: &[u8], outcome: &Outcome| {
        assert!(outcome.is_whole || !outcome.loads, "{}: what loads is whole", case.name);
    };
    let make = |file: &mut Vec<u8>, choices: &mut Choices<'_>| {
        for _ in 0..=choices.byte() % 3 {
            mutation::forge(file, target, choices);
        }
    };
    try_all(kind, make, check);
}

#[test]
fn a_forged_manifest_is_a_state_or_an_error() {
    forged(2, Target::Manifest);
}

#[test]
fn a_forged_schema_is_a_state_or_an_error() {
    forged(3, Target::Schema);
}

#[test]
fn a_forged_state_is_a_state_or_an_error() {
    forged(4, Target::State);
}

#[test]
fn a_forged_array_is_a_state_or_an_error() {
    forged(5, Target::Headers);
}

#[test]
fn a_file_that_is_forged_everywhere_is_a_state_or_an_error() {
    forged(6, Target::Everything);
}

/// Tries checkpoints of almost the right form, as many as the budget has for each type.
/// `CHECKPOINTED_HOSTILE_SECONDS=120` continues for that time, with another seed each time; a
/// failure names it.
#[test]
fn a_state_of_a_changed_schema_is_read_right_or_refused() {
    use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let seconds = std::env::var("CHECKPOINTED_HOSTILE_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let first = if seconds.is_some() { u64::from(since.subsec_nanos()) << 32 } else { 7 << 60 };
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let (mut runs, mut files, mut loads) = (0_u64, 0, 0);
    let goes_on = |runs| end.map_or(runs < budget() * 60, |end| Instant::now() < end);
    while goes_on(runs) {
        let seed = only().unwrap_or(first + runs);
        let tried = std::panic::catch_unwind(|| structure::tried(&mutation::random(seed, 64)));
        let Ok(tried) = tried else { panic!("seed {seed:#x} of a changed schema fails") };
        runs += 1;
        files += u64::from(tried.is_a_file);
        loads += tried.loads as u64;
    }
    println!("{runs} schemas, {files} checkpoints, {loads} loads");
    assert!(files > runs / 2 && loads > files / 2, "the inputs do not get far");
}

/// Definitions that claim to be observed forms of one another, without an end or in a long chain.
#[test]
fn observed_forms_without_an_end_are_an_error() {
    use checkpointed::schema::{Body, Definition, Fields, Schema, Type};
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let definition = |inner| Definition {
        name: "X".to_owned(),
        version: 1,
        foreign: true,
        observed: true,
        body: Body::Struct(Fields::Newtype(inner)),
    };
    let long = (1..=20_000).map(|next| if next == 20_000 { Type::U64 } else { Type::Named(next) });
    let subjects = subjects::subjects();
    for inside in [vec![Type::Named(0)], vec![Type::Named(1), Type::Named(0)], long.collect()] {
        let schema = Schema { root: Type::Named(0), types: inside.into_iter().map(definition).collect() };
        for subject in &subjects {
            let file = subject.forged(schema.clone(), &[], &7_u64.to_le_bytes()).unwrap();
            assert!(subject.read(&file).is_err(), "{}", subject.name);
        }
    }
}

/// Repeats the findings of fuzzing, in the form that the targets of `fuzz/` get. Each took seconds.
#[test]
fn what_fuzzing_found_is_a_state_or_an_error() {
    const FOUND: [(Target, &str); 2] = [
        (Target::Manifest, "ed6c062c400001604167656e65726003"),
        (Target::Everything, "c07272000000008eb6767c0202"),
    ];
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let cases = cases();
    for (target, input) in FOUND {
        let digits: Vec<u8> = input.bytes().filter(|byte| *byte != b' ').collect();
        let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(pair).collect();
        let mut choices = Choices::new(&bytes);
        let case = &cases[choices.below(cases.len())];
        let mut file = case.file.clone();
        for _ in 0..=choices.byte() % 4 {
            mutation::forge(&mut file, target, &mut choices);
        }
        let directory = tempfile::tempdir().unwrap();
        let outcome = tried(case, &file, directory.path());
        assert!(outcome.is_whole || !outcome.loads, "{}: what loads is whole", case.name);
    }
}

/// Flips each bit of a file of 64 KiB, over 524 288 bits, with `--ignored`. By default it flips
/// those of every 61st byte, and of the ends of the file, which have the structure.
fn flipped(every: usize) {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<(u64, Vec<u64>, String)>::open(directory.path()).unwrap();
    checkpoints.save(&(7, (0..8000).collect(), "text".repeat(160))).unwrap();
    drop(checkpoints);
    let path = directory.path().join(NAME);
    let bytes = fs::read(&path).unwrap();
    assert!((1 << 16..66_000).contains(&bytes.len()), "{}", bytes.len());
    let mut reader = CheckpointReader::<(u64, Vec<u64>, String)>::open(directory.path()).unwrap();
    assert!(reader.load().unwrap().is_some());
    let file = fs::File::options().write(true).open(&path).unwrap();
    let mut flips = 0;
    for (place, byte) in bytes.iter().enumerate() {
        if place % every != 0 && place > 128 && place + 1500 < bytes.len() {
            continue;
        }
        for bit in 0..8 {
            file.write_all_at(&[byte ^ 1 << bit], place as u64).unwrap();
            assert!(reader.load().is_err(), "bit {bit} of byte {place}");
            flips += 1;
        }
        file.write_all_at(&[*byte], place as u64).unwrap();
    }
    assert!(reader.load().unwrap().is_some());
    // The file is cut anywhere; each sector is zeroed; each replaces another.
    for length in (0..bytes.len()).step_by(every) {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(reader.load().is_err(), "the first {length} bytes");
    }
    for sector in (0..bytes.len()).step_by(512) {
        let range = sector..bytes.len().min(sector + 512);
        let mut zeroed = bytes.clone();
        zeroed[range.clone()].fill(0);
        let mut swapped = bytes.clone();
        let other = (sector + 512) % (bytes.len() / 512 * 512);
        (0..range.len().min(bytes.len() - other))
            .for_each(|offset| swapped.swap(sector + offset, other + offset));
        for damaged in [zeroed, swapped].into_iter().filter(|damaged| *damaged != bytes) {
            fs::write(&path, &damaged).unwrap();
            assert!(reader.load().is_err(), "the sector at {sector}");
        }
    }
    println!("{flips} bits of {} bytes flipped, each noticed", bytes.len());
}

#[test]
fn a_flipped_bit_of_a_long_file_is_noticed() {
    flipped(61);
}

#[test]
#[ignore = "takes minutes: cargo test -p checkpointed-tests --release --test hostile -- --ignored --nocapture"]
fn every_flipped_bit_of_a_long_file_is_noticed() {
    flipped(1);
}
