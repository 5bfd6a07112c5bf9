#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Checkpointer, Error, Plain, ReadBack};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Serialize + DeserializeOwned")]
struct Field<T>(#[serde(with = "super")] T);

/// Saves the value as a field, and loads it again.
fn saved<T: Serialize + DeserializeOwned + 'static>(value: T) -> Result<T, Error> {
    let directory = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<Plain<Field<T>>>::builder(directory.path());
    let mut checkpoints = builder.read_back(ReadBack::Never).durable(false).open()?;
    checkpoints.save(&Plain(Field(value)))?;
    Ok(checkpoints.load()?.unwrap().0.0)
}

fn stays<T: Serialize + DeserializeOwned + PartialEq + Clone + Debug + 'static>(value: &T) {
    assert_eq!(saved(value.clone()).unwrap(), *value);
}

fn refused<T: Serialize + DeserializeOwned + Debug + 'static>(value: T, why: &str) {
    let error = saved(value).unwrap_err();
    assert!(matches!(error, Error::Encode { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(why) && text.contains("checkpointed::self_describing"), "{text}");
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
enum Key {
    Number(u8),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Variant {
    Unit,
    One(Option<f64>),
    Two(u8, f32),
    Named { float: f64 },
}

#[test]
fn what_json_keeps_comes_back_as_it_was() {
    stays(&vec![0.1, -0.0, f64::MAX, f64::MIN_POSITIVE, 5e-324]);
    stays(&(0.1_f32, f32::MAX, u128::MAX, i128::MIN, u64::MAX, i64::MIN));
    stays(&(None::<u8>, Some(1), (), 'é', "text".to_owned(), true));
    stays(&HashMap::from([(1_u64, "a".to_owned()), (u64::MAX, String::new())]));
    stays(&BTreeMap::from([(true, 1), (false, 2)]));
    stays(&BTreeMap::from([("1".to_owned(), vec![Some(1)]), (String::new(), vec![None])]));
    stays(&vec![Variant::Unit, Variant::One(None), Variant::Two(1, 0.1), Variant::Named { float: 0.5 }]);
    stays(&serde_json::json!({"a": [1, 0.5, null, {"b": "text"}]}));
}

#[test]
fn what_json_would_lose_is_refused_when_it_is_saved() {
    for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        refused(float, "is no number in JSON");
        refused(vec![Some(float)], "is no number in JSON");
        refused(BTreeMap::from([(1, (0, float))]), "is no number in JSON");
        refused(Variant::Named { float }, "is no number in JSON");
        refused(Variant::One(Some(float)), "is no number in JSON");
        #[allow(clippy::cast_possible_truncation, reason = "they stay what they are")]
        let single = float as f32;
        refused(Variant::Two(0, single), "is no number in JSON");
    }
    refused(Some(None::<u8>), "is the same as `None`");
    refused(vec![Some(Some(1)), Some(None)], "is the same as `None`");
    refused(Some(()), "is the same as `None`");
    refused(Some(serde_json::Value::Null), "is the same as `None`");
    refused(BTreeMap::from([((1, 2), 3)]), "key must be a string");
    refused(BTreeMap::from([(vec![1], 3)]), "key must be a string");
    let mixed = [(Key::Number(1), 1), (Key::Text("1".to_owned()), 2)];
    refused(BTreeMap::from(mixed), "keys of more than one kind");
}

#[test]
fn a_key_that_is_no_text_is_refused_though_passed_over() {
    #[derive(Debug, Default, Deserialize)]
    #[serde(transparent)]
    struct Passing(BTreeMap<Option<Vec<u8>>, u8>);
    impl Serialize for Passing {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            for (key, value) in &self.0 {
                let _ = serde::ser::SerializeMap::serialize_entry(&mut map, key, value);
            }
            serde::ser::SerializeMap::end(map)
        }
    }
    for key in [None, Some(vec![1])] {
        refused(Passing([(key, 1)].into()), "key must be a string");
    }
    refused(Passing([(Some(vec![1]), 1), (None, 2)].into()), "key must be a string");
}

#[test]
fn what_is_too_deep_for_json_is_refused_when_it_is_saved() {
    let deep = |depth: usize| (0..depth).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    stays(&deep(127));
    refused(deep(128), "nested more than 127 deep");
    let deep =
        |depth: usize| (0..depth).fold(serde_json::json!(1), |inner, _| serde_json::json!({"a": inner}));
    stays(&deep(127));
    refused(deep(128), "nested more than 127 deep");
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum List {
        End,
        Newtype(Box<List>),
        Tuple(u8, Box<List>),
        Named { next: Box<List> },
    }
    let newtypes = |depth: usize| (0..depth).fold(List::End, |inner, _| List::Newtype(Box::new(inner)));
    stays(&newtypes(127));
    refused(newtypes(128), "nested more than 127 deep");
    let tuples = |depth: usize| (0..depth).fold(List::End, |inner, _| List::Tuple(1, Box::new(inner)));
    stays(&tuples(63));
    refused(tuples(64), "nested more than 127 deep");
    let named = |depth: usize| (0..depth).fold(List::End, |inner, _| List::Named { next: Box::new(inner) });
    stays(&named(63));
    refused(named(64), "nested more than 127 deep");
}

#[test]
fn a_float_comes_back_by_way_of_the_buffers_of_serde() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Buffered {
        Single(f32),
    }
    let check = |bits: &[u32]| {
        let numbers: Vec<f32> = bits.iter().map(|bits| f32::from_bits(*bits)).collect();
        stays(&numbers);
        stays(&numbers.iter().map(|number| Buffered::Single(*number)).collect::<Vec<_>>());
    };
    // The text of the first one, as an `f64`, is half-way between two `f32`s.
    check(&[0x15ae_43fd, 0x95ae_43fd, 1, 0x007f_ffff, 0x3dcc_cccd, 0x7f7f_ffff, 0x4b7f_ffff]);
    assert_eq!(super::text_of(&0.1_f32).unwrap(), "0.1");
    assert_eq!(super::text_of(&0.3_f32).unwrap(), "0.3");
}

#[test]
fn options_that_are_too_deep_for_json_are_refused() {
    /// No text has it, so none is read.
    #[derive(Serialize)]
    struct Inner(Option<Box<Inner>>);
    let chain = |depth: usize| (0..depth).fold(Inner(None), |inner, _| Inner(Some(Box::new(inner))));
    let why = |depth: usize| super::text_of(&chain(depth)).unwrap_err().to_string();
    assert!(why(200).contains("is the same as `None`"), "{}", why(200));
    assert!(why(10_000).contains("options are nested more than 254 deep"), "{}", why(10_000));
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Node {
        next: Option<Option<Box<Node>>>,
    }
    let list = |depth: usize| {
        (1..depth).fold(Node { next: None }, |next, _| Node { next: Some(Some(Box::new(next))) })
    };
    stays(&list(127));
    refused(list(128), "nested more than 127 deep");
}

#[test]
fn json_that_is_too_deep_inside_of_json_is_refused() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Node {
        #[serde(with = "super")]
        next: Option<Box<Node>>,
    }
    let list =
        |depth: usize| (1..depth).fold(Node { next: None }, |next, _| Node { next: Some(Box::new(next)) });
    // The whole field is the first text.
    stays(&list(11));
    refused(list(12), "more than 12 deep inside each other");
    refused(list(14), "more than 12 deep inside each other");
}

/// A text that cannot be written.
#[derive(Debug)]
struct NoText;

impl std::fmt::Display for NoText {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

impl Serialize for NoText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[test]
fn a_display_that_fails_is_an_error() {
    let error = super::text_of(&vec![NoText]).unwrap_err().to_string();
    assert!(error.contains("writes the text of its Display, and that fails"), "{error}");
    let error = super::text_of(&std::iter::once((1, NoText)).collect::<HashMap<_, _>>()).unwrap_err();
    assert!(error.to_string().contains("that fails"), "{error}");
}
