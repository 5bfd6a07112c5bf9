//! The end of a run: the same state is never saved twice in a row, and a different one always is.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Run, file_of};
use checkpointed::history::{self, End, Event};
use checkpointed::{
    CheckpointReader, Checkpointer, Compression, Error, Key, Metadata, Protection, Schedule, Scopes,
    checkpointed, stop::request_halt,
};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn generations(path: &Path) -> Vec<u64> {
    CheckpointReader::<Run>::open(path).unwrap().generations().unwrap()
}

/// A state with arrays of more than one chunk, and of less.
#[checkpointed]
#[derive(Clone, Debug, Default, PartialEq)]
struct Field {
    step: u64,
    long: Vec<f64>,
    short: Vec<[f32; 3]>,
    names: BTreeMap<String, u64>,
}

fn field() -> Field {
    let names = BTreeMap::from([("one".to_owned(), 1), ("two".to_owned(), 2)]);
    Field { step: 7, long: vec![0.25; 300_000], short: vec![[1.0, 2.0, 3.0]; 10], names }
}

#[test]
fn the_loop_of_the_readme_saves_its_last_state_once() {
    for background in [false, true] {
        let (_parent, path) = nowhere();
        let builder = || {
            Checkpointer::<Run>::builder(&path).schedule(Schedule::every_steps(1000)).background(background)
        };
        let mut checkpoints = builder().open().unwrap();
        checkpoints.save(&Run::after(1)).unwrap();
        request_halt(&path, "enough").unwrap();
        let mut run = Run::after(1);
        while checkpoints.should_stop().is_none() {
            run = Run::after(run.step + 1);
            checkpoints.save_if_due(&run).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // The loop calls it once more if the reason to stop comes in the middle of an iteration.
        checkpoints.save_if_due(&run).unwrap();
        let finished = checkpoints.finish(&run).unwrap();
        assert!(finished.saved.is_none() && finished.stopped.is_some());
        assert_eq!(generations(&path), [1, 2], "the only other one is not pushed out by a copy");
        let mut reader = CheckpointReader::open(&path).unwrap();
        assert_eq!(reader.load().unwrap(), Some(run));
        let last = history::read(&path).unwrap().records.pop().unwrap();
        assert!(matches!(last.event, Event::End(End::Stopped(_))), "{last:?}");
    }
}

#[test]
fn a_finished_program_that_is_started_again_adds_nothing() {
    let (_parent, path) = nowhere();
    for start in 0..5 {
        let mut checkpoints = Checkpointer::<Field>::open(&path).unwrap();
        let loaded = checkpoints.load_or_default().unwrap();
        let state = if start == 0 { field() } else { loaded };
        let finished = checkpoints.finish(&state).unwrap();
        assert_eq!(finished.saved.is_some(), start == 0, "{start}");
        assert_eq!(CheckpointReader::<Field>::open(&path).unwrap().generations().unwrap(), [1]);
    }
    assert_eq!(CheckpointReader::open(&path).unwrap().load().unwrap(), Some(field()));
}

#[test]
fn a_state_that_differs_anywhere_is_saved() {
    type Change = fn(&mut Field);
    let changes: [Change; 9] = [
        |field| field.step += 1,
        |field| field.long[0] = 0.5,
        |field| field.long[299_999] = -0.25,
        |field| field.long.push(0.25),
        |field| field.long.truncate(1),
        |field| field.short[9][2] = 3.5,
        |field| field.short.clear(),
        |field| *field.names.get_mut("two").unwrap() = 3,
        |field| {
            field.names.insert("three".to_owned(), 3);
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let (_parent, path) = nowhere();
        let mut checkpoints = Checkpointer::<Field>::open(&path).unwrap();
        let mut state = field();
        checkpoints.save(&state).unwrap();
        change(&mut state);
        let saved = checkpoints.finish(&state).unwrap().saved;
        assert_eq!(saved.map(|saved| saved.generation), Some(2), "{number}");
        assert_eq!(CheckpointReader::open(&path).unwrap().load().unwrap(), Some(state), "{number}");
    }
}

#[test]
fn a_save_that_is_damaged_does_not_stand() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Field>::open(&path).unwrap();
    checkpoints.save(&field()).unwrap();
    let file = file_of(&path, 1);
    let mut bytes = fs::read(&file).unwrap();
    // In the data of an array, which only its checksum covers.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(checkpoints.finish(&field()).unwrap().saved.is_some());
    assert_eq!(CheckpointReader::open(&path).unwrap().load().unwrap(), Some(field()));

    let mut checkpoints = Checkpointer::<Field>::open(&path).unwrap();
    checkpoints.save(&Field::default()).unwrap();
    fs::remove_file(file_of(&path, 3)).unwrap();
    assert!(checkpoints.finish(&Field::default()).unwrap().saved.is_some(), "what is gone does not stand");
}

#[test]
fn what_is_to_be_said_of_a_state_is_said() {
    let (_parent, path) = nowhere();
    let words = |text: &str| Metadata::new().with("note", text);
    let mut checkpoints = Checkpointer::<Field>::open(&path).unwrap();
    checkpoints.save_with(&field(), words("on the way")).unwrap();
    let finished = checkpoints.finish_with(&field(), words("at the end")).unwrap();
    assert_eq!(finished.saved.map(|saved| saved.generation), Some(2));
    let checkpoints = Checkpointer::<Field>::open(&path).unwrap();
    assert!(checkpoints.finish_with(&field(), words("at the end")).unwrap().saved.is_none());
    let checkpoints = Checkpointer::<Field>::open(&path).unwrap();
    assert!(
        checkpoints.finish(&field()).unwrap().saved.is_none(),
        "nothing is to be said, and nothing is lost"
    );
}

#[test]
fn a_save_without_the_tag_that_is_wanted_does_not_stand() {
    let (_parent, path) = nowhere();
    let finish = |protection: Protection| {
        let checkpoints = Checkpointer::<Field>::builder(&path).protection(protection).open().unwrap();
        checkpoints.finish(&field()).unwrap().saved.is_some()
    };
    let (one, other) = (Key::from_bytes([1; 32]), Key::from_bytes([2; 32]));
    assert!(finish(Protection::new()));
    assert!(finish(Protection::new().authenticate(one.clone())));
    assert!(!finish(Protection::new().authenticate(one.clone())));
    assert!(finish(Protection::new().authenticate(other).accept(one)));
}

#[test]
fn how_a_save_is_packed_does_not_matter() {
    let (_parent, path) = nowhere();
    Checkpointer::<Field>::open(&path).unwrap().save(&field()).unwrap();
    let packed =
        Checkpointer::<Field>::builder(&path).compression(Compression::None).durable(false).open().unwrap();
    assert!(packed.finish(&field()).unwrap().saved.is_none());
}

#[test]
fn a_save_of_another_type_does_not_stand() {
    let (_parent, path) = nowhere();
    Checkpointer::<(u32, u32)>::open(&path).unwrap().save(&(1, 0)).unwrap();
    // This type has the same bytes.
    let checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    assert!(checkpoints.finish(&1).unwrap().saved.is_some());
}

#[test]
fn scopes_that_are_stopped_keep_what_they_saved() -> Result<(), Error> {
    let (_parent, path) = nowhere();
    for _ in 0..3 {
        Scopes::open(&path)?.finish()?;
    }
    assert_eq!(CheckpointReader::<checkpointed::scopes::Stack>::open(&path)?.generations()?, [1]);
    Ok(())
}
