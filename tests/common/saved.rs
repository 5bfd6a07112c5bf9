//! Saves and loads the state of a test, or asserts that its save is refused.

use std::fmt::Debug;

use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, Error, Plain, ReadBack};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Saves a state without reading it back: only the rules of writing and reading stand between a
/// fault and the disk.
pub(crate) fn saved<T: Checkpoint>(state: &T) -> Result<tempfile::TempDir, Error> {
    saved_with(state, ReadBack::Never)
}

/// Saves a state.
pub(crate) fn saved_with<T: Checkpoint>(state: &T, read_back: ReadBack) -> Result<tempfile::TempDir, Error> {
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::builder(directory.path()).read_back(read_back).open()?.save(state)?;
    Ok(directory)
}

pub(crate) fn loaded<T: Checkpoint>(directory: &tempfile::TempDir) -> Result<T, Error> {
    Ok(CheckpointReader::<T>::open(directory.path())?.load()?.unwrap())
}

#[track_caller]
pub(crate) fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: T) {
    let state = Plain(value);
    let directory = saved(&state).unwrap_or_else(|error| panic!("{state:?}: {error}"));
    assert_eq!(loaded::<Plain<T>>(&directory).unwrap(), state);
}

/// The message of a refused save.
#[track_caller]
pub(crate) fn refusal<T: Serialize + DeserializeOwned + Debug + 'static>(value: T) -> String {
    match saved(&Plain(value)) {
        Err(error @ Error::Encode { .. }) => error.to_string(),
        Err(error) => panic!("another error: {error}"),
        Ok(directory) => panic!("it was saved, and loads as {:?}", loaded::<Plain<T>>(&directory)),
    }
}

#[track_caller]
pub(crate) fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}
