//! The program's work while its disk records, and the expected state afterwards.

use std::path::Path;

use checkpointed::{CheckpointReader, Checkpointer, Error, Pipeline, checkpointed};

use crate::device::{Device, Event, Promise};

/// A state that shows a mixture of two states.
#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    number: u64,
    small: Vec<u64>,
    large: Vec<u64>,
}

impl State {
    fn of(number: u64, length: usize) -> State {
        State { number, small: vec![number; 10], large: vec![number; length] }
    }
}

fn directory(root: &Path) -> std::path::PathBuf {
    root.join("project/run.ckpt")
}

fn open(root: &Path, durable: bool) -> Result<Checkpointer<State>, Error> {
    Checkpointer::builder(directory(root)).durable(durable).open()
}

/// Saves small states and large ones, in the foreground and in the background, over retired files,
/// in two runs; then runs a pipeline.
pub fn run(root: &Path, disk: &Device, durable: bool) -> Result<(), Error> {
    let mut number = 0;
    for lengths in [&[100, 100, 100, 100, 400_000, 400_000, 400_000, 400_000, 50][..], &[100, 400_000, 100, 100, 100]] {
        let mut checkpoints = open(root, durable)?;
        if let Some(state) = checkpoints.load()? {
            assert_eq!(state.number, number);
        }
        for (place, length) in lengths.iter().enumerate() {
            number += 1;
            disk.note(Event::Begun(Promise::State(number)));
            let state = State::of(number, *length);
            if place % 3 == 2 {
                checkpoints.save_in_background(&state)?;
                checkpoints.wait()?;
            } else {
                checkpoints.save(&state)?;
            }
            disk.note(Event::Told(Promise::State(number)));
        }
    }
    let pipeline = Pipeline::open(root.join("steps.pipeline"))?;
    for number in 1..=4 {
        disk.note(Event::Begun(Promise::Step(number)));
        pipeline.step(&format!("step{number}")).run(|_| Ok::<_, Error>(State::of(number, 500)))?;
        disk.note(Event::Told(Promise::Step(number)));
    }
    Ok(())
}

/// The acknowledgements to the program before the power went, and the work that it had begun.
#[derive(Clone, Copy, Debug, Default)]
pub struct Promised {
    told: u64,
    begun: u64,
    steps: u64,
}

impl Promised {
    pub fn advance(&mut self, event: &Event) {
        match event {
            Event::Told(Promise::State(number)) => self.told = *number,
            Event::Begun(Promise::State(number)) => self.begun = *number,
            Event::Told(Promise::Step(number)) => self.steps = *number,
            _ => {}
        }
    }
}

/// Returns the broken promise as an error.
pub fn check(root: &Path, promised: &Promised, saves_again: bool) -> Result<(), String> {
    let failed = |error: Error| error.to_string();
    let loaded = CheckpointReader::<State>::open(directory(root)).and_then(|mut reader| reader.load()).map_err(failed)?;
    let number = loaded.as_ref().map_or(0, |state| state.number);
    if number < promised.told || number > promised.begun {
        return Err(format!("{number} is there, {promised:?}"));
    }
    if loaded.is_some_and(|state| state != State::of(number, state.large.len())) {
        return Err(format!("{number} is a mixture"));
    }
    for step in 1..=promised.steps {
        let path = root.join(format!("steps.pipeline/steps/step{step}"));
        let output = CheckpointReader::<State>::open(path).and_then(|mut reader| reader.load()).map_err(failed)?;
        if output != Some(State::of(step, 500)) {
            return Err(format!("the output of step {step} is lost"));
        }
    }
    if saves_again {
        let mut checkpoints = open(root, true).map_err(failed)?;
        let next = State::of(1000, 300);
        checkpoints.save(&next).map_err(failed)?;
        if checkpoints.load().map_err(failed)? != Some(next) {
            return Err("what was saved afterwards is not loaded".to_owned());
        }
    }
    Ok(())
}
