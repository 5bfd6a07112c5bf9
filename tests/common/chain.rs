//! A program with outputs, and the files that it leaves.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use checkpointed::{Appended, Checkpointer, Error, checkpointed, reports::OutputFault};

#[checkpointed]
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) step: u64,
    pub(crate) value: u64,
    pub(crate) samples: Appended,
    pub(crate) log: Appended,
}

impl Chain {
    pub(crate) fn new(directory: &Path) -> Chain {
        let at = |name: &str| Appended::at(directory.join(name));
        Chain { step: 0, value: 1, samples: at("chain.csv"), log: at("chain.log") }
    }

    pub(crate) fn advance(&mut self) {
        self.step += 1;
        self.value = self.value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        writeln!(self.samples, "{},{}", self.step, self.value).unwrap();
        if self.step.is_multiple_of(7) {
            // Longer than the buffer now and then.
            let length = if self.step.is_multiple_of(70) { 70_000 } else { 70 };
            writeln!(self.log, "{}", "=".repeat(length)).unwrap();
        }
    }
}

pub(crate) fn open(directory: &Path) -> Checkpointer<Chain> {
    Checkpointer::open(directory.join("run.ckpt")).unwrap()
}

pub(crate) fn content(directory: &Path, name: &str) -> Vec<u8> {
    fs::read(directory.join(name)).unwrap()
}

/// The files after this number of steps without an interruption.
pub(crate) fn expected(steps: u64) -> (Vec<u8>, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::new(directory.path());
    (0..steps).for_each(|_| chain.advance());
    open(directory.path()).finish(&chain).unwrap();
    (content(directory.path(), "chain.csv"), content(directory.path(), "chain.log"))
}

pub(crate) fn assert_files(directory: &Path, steps: u64) {
    let (samples, log) = expected(steps);
    assert!(content(directory, "chain.csv") == samples, "the samples after {steps} steps");
    assert!(content(directory, "chain.log") == log, "the log after {steps} steps");
}

pub(crate) fn fault(error: &Error) -> OutputFault {
    match error {
        Error::Output { fault, .. } => *fault,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn fault_of(error: &std::io::Error) -> OutputFault {
    fault(error.get_ref().unwrap().downcast_ref().unwrap())
}

/// Saves a new chain twice, each time after this number of steps.
pub(crate) fn saved_twice(directory: &Path, steps: u64) {
    let mut chain = Chain::new(directory);
    let mut checkpoints = open(directory);
    for _ in 0..2 {
        (0..steps).for_each(|_| chain.advance());
        checkpoints.save(&chain).unwrap();
    }
}

/// Values that may count bytes of one file.
#[checkpointed]
#[derive(Clone)]
pub(crate) struct Several {
    pub(crate) values: Vec<Appended>,
}

pub(crate) fn several(directory: &Path) -> Checkpointer<Several> {
    Checkpointer::open(directory.join("several.ckpt")).unwrap()
}

/// An output with `now`, and a clone of it from when it had `best`.
pub(crate) fn best_and_now(path: &Path) -> (Appended, Appended) {
    let mut now = Appended::at(path.join("chain.csv"));
    now.write_all(b"best").unwrap();
    let best = now.clone();
    now.write_all(b",now").unwrap();
    (best, now)
}
