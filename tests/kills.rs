//! kill -9, again and again, at any moment of a program: a restart loads the last acknowledged
//! state, or the one that was being saved.
//!
//! 240 kills; `CHECKPOINTED_KILLS=10000 cargo test -p checkpointed-tests --release --test main
//! kills:: -- --nocapture` for as many as you like.

#![cfg(unix)]

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::common::{inside, names_in, once_more, temporaries_in};
use checkpointed::{CheckpointReader, Checkpointer, Error, Pipeline, checkpointed};

/// A state that is large enough to show a mixture of two states.
#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct State {
    number: u64,
    small: Vec<u64>,
    /// Long enough for the thread that writes with direct I/O.
    large: Vec<u64>,
}

impl State {
    fn of(number: u64, length: usize) -> State {
        State { number, small: vec![number; 10], large: vec![number; length] }
    }

    fn is_whole(&self) -> bool {
        self.small.iter().chain(&self.large).all(|number| *number == self.number)
    }
}

/// The work of a program until it is killed.
#[derive(Clone, Copy, Debug)]
struct Work {
    /// The name of the test that is run again as that program.
    test: &'static str,
    keep: usize,
    length: usize,
    background: bool,
    /// It is killed at some moment within this number of milliseconds: before the directory is
    /// open, or after several saves. The number grows where no save is reached.
    within: u64,
}

/// The program's note of its last acknowledged number. It is written after the save, and survives a
/// kill.
fn acknowledged(directory: &Path) -> u64 {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(directory.join("told")) {
        file.read_to_end(&mut bytes).unwrap();
    }
    let last = bytes.chunks_exact(8).next_back();
    last.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

fn note(told: &mut File, number: u64) {
    told.write_all(&number.to_le_bytes()).unwrap();
}

fn open_note(directory: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(directory.join("told")).unwrap()
}

/// The program: saves states with increasing numbers, for ever.
fn save_for_ever(directory: &Path, work: Work) {
    let mut told = open_note(directory);
    let builder = Checkpointer::<State>::builder(directory.join("run.ckpt")).keep_last(work.keep);
    let mut checkpoints = builder.open().unwrap();
    let mut number = checkpoints.load().unwrap().map_or(0, |state| state.number);
    // A loaded state counts as acknowledged too.
    note(&mut told, number);
    loop {
        number += 1;
        let state = State::of(number, work.length);
        if work.background {
            checkpoints.save_in_background(&state).unwrap();
            checkpoints.wait().unwrap();
        } else {
            checkpoints.save(&state).unwrap();
        }
        note(&mut told, number);
    }
}

/// Pseudo-random numbers that are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// The number of kills of each program.
fn kills() -> u64 {
    let all = std::env::var("CHECKPOINTED_KILLS").ok().map_or(240, |text| text.parse().unwrap());
    all / 4
}

/// Runs the program, kills it, and calls `check`, as many times as configured.
fn kill(test: &str, mut within: u64, seed: u64, mut check: impl FnMut(&Path, u64)) {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let (mut last, mut in_vain) = (0, 0);
    for cycle in 0..kills() {
        let mut program = once_more(test, &[], directory.path());
        let mut child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(random.below(within * 1000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "in cycle {cycle} it ended by itself: {status}");
        let told = acknowledged(directory.path());
        assert!(told >= last, "cycle {cycle}: {told} was noted after {last}");
        // A machine that is slow today gets more time.
        in_vain = if told == last { in_vain + 1 } else { 0 };
        if in_vain == 8 {
            (within, in_vain) = (within * 2, 0);
        }
        last = told;
        check(directory.path(), told);
    }
    println!("{test}: {} kills, {last} states", kills());
    assert!(last > 0, "it was never given the time to save");
}

fn check_state(directory: &Path, told: u64) {
    let path = directory.join("run.ckpt");
    let loaded = CheckpointReader::<State>::open(&path).unwrap().load().unwrap();
    let number = loaded.as_ref().map_or(0, |state| state.number);
    assert!(number == told || number == told + 1, "{told} was acknowledged, {number} is there");
    assert!(loaded.is_none_or(|state| state.is_whole()), "a mixture");
    if path.exists() {
        assert!(temporaries_in(&path).len() <= 2, "{:?}", names_in(&path));
    }
}

fn run(work: Work, seed: u64) {
    match inside() {
        Some(directory) => save_for_ever(&directory, work),
        None => kill(work.test, work.within, seed, check_state),
    }
}

#[test]
fn killed_while_it_saves() {
    let test = "killed_while_it_saves";
    run(Work { test, keep: 50, length: 1000, background: false, within: 25 }, 1);
}

#[test]
fn killed_while_it_writes_over_what_it_no_longer_keeps() {
    let test = "killed_while_it_writes_over_what_it_no_longer_keeps";
    run(Work { test, keep: 1, length: 300_000, background: false, within: 120 }, 2);
}

#[test]
fn killed_while_it_saves_in_the_background() {
    let test = "killed_while_it_saves_in_the_background";
    run(Work { test, keep: 2, length: 30_000, background: true, within: 40 }, 3);
}

/// The number of steps of a pipeline; when all are done the next pipeline begins.
const STEPS: u64 = 30;

fn pipeline(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number}.pipeline"))
}

#[test]
fn killed_in_a_pipeline_no_finished_step_is_done_again() {
    let test = "killed_in_a_pipeline_no_finished_step_is_done_again";
    if let Some(directory) = inside() {
        let mut told = open_note(&directory);
        let finished = acknowledged(&directory);
        for number in finished / STEPS.. {
            let pipeline = Pipeline::open(pipeline(&directory, number)).unwrap();
            for place in number * STEPS..(number + 1) * STEPS {
                let step = pipeline.step(&format!("step {}", place % STEPS));
                let made = step.run(|_| {
                    assert!(place >= finished, "step {place} is done again, {finished} were finished");
                    Ok::<_, Error>(State::of(place, 1000))
                });
                assert_eq!(*made.unwrap().load().unwrap(), State::of(place, 1000));
                note(&mut told, place.max(finished.saturating_sub(1)) + 1);
            }
            pipeline.finish().unwrap();
        }
    }
    kill(test, 60, 4, |directory, told| {
        if let Some(last) = told.checked_sub(1) {
            let step = format!("steps/step%20{}", last % STEPS);
            let step = pipeline(directory, last / STEPS).join(step);
            let state = CheckpointReader::<State>::open(step).unwrap().load().unwrap();
            assert_eq!(state, Some(State::of(last, 1000)));
        }
    });
}
