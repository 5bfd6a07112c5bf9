//! Features of `serde_json` that any package of a program switches on for all of it, since cargo
//! builds each package once: `arbitrary_precision`, with which a float comes as a map where
//! its type is not known, and `raw_value`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use checkpointed::history::{self, Event};
use checkpointed::{Checkpoint, Checkpointer, Error, Metadata, ReadBack, checkpointed};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

/// Saves a state that is read back, and loads it.
fn through<T: Checkpoint>(state: &T) -> Result<T, Error> {
    let directory = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<T>::builder(directory.path()).read_back(ReadBack::Always);
    let mut checkpoints = builder.open()?;
    checkpoints.save(state)?;
    Ok(checkpoints.load()?.unwrap())
}

#[test]
fn floats_in_metadata_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let metadata = Metadata::new()
        .with("loss", 0.25)
        .with("largest", f64::MAX)
        .with("least", -5e-324)
        .with("none", f64::NAN)
        .with("step", u64::MAX)
        .with("shift", i64::MIN)
        .with("converged", false);
    let mut checkpoints = Checkpointer::<u64>::open(directory.path()).unwrap();
    checkpoints.save_with(&1, metadata.clone()).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(1));
    let manifest = checkpoints.manifest(1).unwrap();
    for (name, value) in metadata.iter().filter(|(name, _)| *name != "none") {
        assert_eq!(manifest.metadata().get(name), Some(value), "{name}");
    }
    assert!(manifest.metadata().get("none").unwrap().as_f64().unwrap().is_nan());
}

#[test]
fn each_line_of_the_history_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<u64>::open(directory.path()).unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.load().unwrap();
    drop(checkpoints);
    let read = history::read(directory.path()).unwrap();
    let saved = |event: &Event| matches!(event, Event::Save { total, .. } if !total.is_zero());
    assert!(read.records.iter().any(|record| saved(&record.event)), "{:?}", read.records);
    assert_eq!((read.runs(), read.failures()), (1, 0));
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct InBoth {
    #[serde(with = "checkpointed::json")]
    text: Value,
    #[serde(with = "checkpointed::self_describing")]
    bytes: Value,
}

#[test]
fn numbers_in_described_fields_come_back() {
    let values = || json!({ "a": [0.1, 1e300, -0.0, 7, u64::MAX, null], "b": { "c": Some(0.5) } });
    let state = InBoth { text: values(), bytes: values() };
    assert_eq!(through(&state).unwrap(), state);
}

/// A build without the features reads the same bytes.
#[test]
fn numbers_in_bytes_are_numbers_for_each_build() {
    let plain = r#"{"a": [7, -7, 0.1, 1e300, 1.0, -0.0, 18446744073709551615, -9223372036854775808]}"#;
    let longer = "[0.10, 1e400, 18446744073709551616, -0, 0.30000000000000000001, 1E5]";
    for (text, is_plain) in [(plain, true), (longer, false)] {
        let value: Value = serde_json::from_str(text).unwrap();
        let state = InBoth { text: Value::Null, bytes: value };
        assert_eq!(through(&state).unwrap(), state);
        let written = checkpointed::self_describing::serialize(&state.bytes, serde_json::value::Serializer);
        let written: Vec<u8> = serde_json::from_value(written.unwrap()).unwrap();
        let is_map = written.windows(7).any(|bytes| bytes == b"private");
        assert_eq!(is_map, !is_plain, "{text}");
    }
}

#[checkpointed]
#[derive(Debug)]
struct Raw {
    #[serde(with = "checkpointed::json")]
    text: Option<Box<RawValue>>,
}

#[test]
fn a_raw_null_is_not_taken_for_none() {
    let raw = |text: &str| Raw { text: Some(RawValue::from_string(text.to_owned()).unwrap()) };
    for text in ["1", "\"null\"", "[null, 0.10]"] {
        assert_eq!(through(&raw(text)).unwrap().text.unwrap().get(), text);
    }
    assert!(through(&Raw { text: None }).unwrap().text.is_none());
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Raw>::open(directory.path()).unwrap();
    // One that the first save had no form of is no better.
    checkpoints.save(&raw("1")).unwrap();
    let error = checkpoints.save(&raw("null")).unwrap_err();
    assert!(error.to_string().contains("is the same as `None`"), "{error}");
}

#[test]
fn a_float_that_a_buffer_of_serde_hides_is_not_saved() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Number {
        Float(f64),
    }
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct InJson {
        #[serde(with = "checkpointed::json")]
        number: Number,
    }
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Described {
        #[serde(with = "checkpointed::self_describing")]
        number: Number,
    }
    let error = through(&InJson { number: Number::Float(0.5) }).unwrap_err();
    assert!(matches!(error, Error::NotReadBack { .. }), "{error}");
    assert_eq!(through(&Described { number: Number::Float(0.5) }).unwrap().number, Number::Float(0.5));
}
