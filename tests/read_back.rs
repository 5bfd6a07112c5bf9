//! The first save of a run is loaded again before it counts: a state that does not load unchanged
//! is not saved.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use checkpointed::{
    Checkpoint, Checkpointer, Error, Key, Pipeline, Plain, Protection, ReadBack, Scopes, checkpointed,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::common::age::{IDENTITY, RECIPIENT};

/// Writes a number, and reads its double.
#[derive(Clone, Debug, Default, PartialEq)]
struct Doubling(f64);

impl Serialize for Doubling {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Doubling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Doubling, D::Error> {
        f64::deserialize(deserializer).map(|number| Doubling(number * 2.0))
    }
}

/// Writes values that it does not read.
#[derive(Clone, Debug, Default, PartialEq)]
struct Positive(i32);

impl Serialize for Positive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Positive, D::Error> {
        match i32::deserialize(deserializer)? {
            number if number < 0 => Err(D::Error::custom("a positive number is not negative")),
            number => Ok(Positive(number)),
        }
    }
}

/// Reads its elements from last to first.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reversed(Vec<f64>);

impl Serialize for Reversed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Reversed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Reversed, D::Error> {
        Vec::deserialize(deserializer).map(|mut elements| {
            elements.reverse();
            Reversed(elements)
        })
    }
}

/// Comes back with another end.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Retouched(String);

impl<'de> Deserialize<'de> for Retouched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Retouched, D::Error> {
        String::deserialize(deserializer).map(|text| Retouched(text + "!"))
    }
}

#[checkpointed]
#[derive(Clone, Debug, Default, PartialEq)]
struct Run<F> {
    step: u64,
    field: F,
    #[serde(default)]
    energies: Vec<f64>,
}

/// A run with a field that has hand-written serde code.
type Of<F> = Run<Plain<F>>;

fn run<F>(step: u64, field: F) -> Of<F> {
    Run { step, field: Plain(field), energies: vec![0.5; 10] }
}

/// The files in a directory besides the lock and the history.
fn files(path: &Path) -> Vec<String> {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| name.ends_with(".ckpt") || name.ends_with(".tmp")).collect();
    names.sort();
    names
}

fn refused(result: Result<impl Debug, Error>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::NotReadBack { .. }), "{error}");
    let text = error.to_string();
    for part in ["checkpointed::self_describing", "read_back", "untouched"] {
        assert!(text.contains(part), "{text}");
    }
    text
}

#[test]
fn what_does_not_come_back_as_it_was_is_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut checkpoints = Checkpointer::<Of<Doubling>>::open(path).unwrap();
    // Twice zero is zero, so this save is accepted.
    checkpoints.save(&run(1, Doubling(0.0))).unwrap();
    drop(checkpoints);

    let mut checkpoints = Checkpointer::<Of<Doubling>>::builder(path).keep_last(1).open().unwrap();
    for _ in 0..3 {
        let text = refused(checkpoints.save(&run(2, Doubling(1.5))));
        assert!(text.contains("`field` was 1.5, and came back as 3"), "{text}");
        assert_eq!(files(path), ["00000000000000000001.ckpt"]);
    }
    assert_eq!(checkpoints.load().unwrap(), Some(run(1, Doubling(0.0))));
    // The next valid save gets the next generation.
    assert_eq!(checkpoints.save(&run(3, Doubling(0.0))).unwrap().generation, 2);
}

/// A value of which no sample can be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Order(String);

impl TryFrom<String> for Order {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Order, &'static str> {
        if text.starts_with("ORD-") { Ok(Order(text)) } else { Err("an order begins with ORD-") }
    }
}

impl From<Order> for String {
    fn from(order: Order) -> String {
        order.0
    }
}

/// Its variants have other numbers when they are read.
#[allow(dead_code, reason = "one is only there for its number")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shifted {
    A(u8),
    #[serde(skip_deserializing)]
    B(u8),
    C(u8),
    D(u8),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Behind<V>(Order, V);

fn behind<V>(value: V) -> Of<Behind<V>> {
    run(1, Behind(Order("ORD-1".to_owned()), value))
}

#[test]
fn a_new_form_in_a_part_of_unknown_form_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Of<Behind<Shifted>>>::open(directory.path()).unwrap();
    checkpoints.save(&behind(Shifted::A(1))).unwrap();
    refused(checkpoints.save(&behind(Shifted::C(5))));
    checkpoints.save(&behind(Shifted::A(2))).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(behind(Shifted::A(2))));

    let directory = tempfile::tempdir().unwrap();
    type Any = Option<serde_json::Value>;
    let mut checkpoints = Checkpointer::<Of<Behind<Any>>>::open(directory.path()).unwrap();
    checkpoints.save(&behind(None)).unwrap();
    refused(checkpoints.save(&behind(Some(serde_json::json!({ "a": 1 })))));
    refused(checkpoints.save(&behind(Some(serde_json::json!(2)))));
    assert_eq!(checkpoints.load().unwrap(), Some(behind(None)));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Task {
    id: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(flatten)]
    extra: BTreeMap<String, String>,
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct InCbor<V: Serialize + serde::de::DeserializeOwned + 'static> {
    #[serde(with = "checkpointed::self_describing")]
    value: V,
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct AsJson<V: Serialize + serde::de::DeserializeOwned + 'static> {
    #[serde(with = "checkpointed::json")]
    value: V,
}

/// Saves the values one after the other. All but the first have a form that does not load.
fn only_the_first_is_saved<S: Checkpoint + Clone + Debug + PartialEq>(values: &[S]) {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<S>::open(directory.path()).unwrap();
    for (number, value) in values.iter().enumerate() {
        match number {
            0 => drop(checkpoints.save(value).unwrap()),
            _ => drop(refused(checkpoints.save(value))),
        }
    }
    assert_eq!(checkpoints.load().unwrap().as_ref(), values.first());
}

#[test]
fn a_field_that_is_left_out_for_the_first_time_is_read_back() {
    let task = |tags: &[&str]| Task { id: 1, tags: tags.iter().map(ToString::to_string).collect() };
    let values = [task(&["x"]), task(&[]), task(&[])];
    only_the_first_is_saved(&values.clone().map(|value| InCbor { value }));
    only_the_first_is_saved(&values.map(|value| AsJson { value }));
}

#[test]
fn another_set_of_keys_is_read_back() {
    let row = |tags: usize, extra: &[&str]| Row {
        name: "a".to_owned(),
        tags: vec![String::new(); tags],
        extra: extra.iter().map(|key| ((*key).to_owned(), "v".to_owned())).collect(),
    };
    // One without `tags`, and one that has the key of a field.
    let values = [row(1, &["a"]), row(0, &["a"]), row(1, &["name"]), row(1, &["a", "name"])];
    only_the_first_is_saved(&values.clone().map(|value| InCbor { value }));
    only_the_first_is_saved(&values.map(|value| AsJson { value }));
}

/// Saves the values one after the other. Only the last one has a form that does not load.
fn only_the_last_is_refused<S: Checkpoint + Clone + Debug + PartialEq>(values: &[S]) {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<S>::open(directory.path()).unwrap();
    let (last, before) = values.split_last().unwrap();
    for value in before {
        checkpoints.save(value).unwrap();
    }
    refused(checkpoints.save(last));
    refused(checkpoints.save(last));
    assert_eq!(checkpoints.load().unwrap().as_ref(), before.last());
}

fn only_the_last_is_refused_in_both<V>(values: &[V])
where
    V: Clone + Debug + PartialEq + Serialize + serde::de::DeserializeOwned + 'static,
{
    let each = || values.iter().cloned();
    only_the_last_is_refused(&each().map(|value| InCbor { value }).collect::<Vec<_>>());
    only_the_last_is_refused(&each().map(|value| AsJson { value }).collect::<Vec<_>>());
}

#[test]
fn another_set_of_fields_is_read_back() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Rule {
        ByTime { seconds: u64 },
        BySize { bytes: u64 },
        Either { seconds: u64, bytes: u64 },
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Inner {
        Rule(Rule),
    }
    let rules =
        [Rule::ByTime { seconds: 1 }, Rule::BySize { bytes: 2 }, Rule::Either { seconds: 1, bytes: 2 }];
    only_the_last_is_refused_in_both(&rules);
    only_the_last_is_refused_in_both(&rules.map(Inner::Rule));
}

/// The forms of these sets of fields have one sum, if each name counts by itself.
#[test]
fn sets_of_fields_whose_names_share_bits_are_told_apart() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Line {
        Full { x1: f64, y1: f64, x2: f64, y2: f64 },
        Main { x1: Option<f64>, y2: Option<f64> },
        Anti { x2: f64, y1: f64 },
    }
    let full = Line::Full { x1: 0.5, y1: 1.5, x2: 2.5, y2: 3.5 };
    let main = Line::Main { x1: Some(0.5), y2: Some(1.5) };
    only_the_last_is_refused_in_both(&[full, main, Line::Anti { x2: 3.5, y1: 4.5 }]);
}

/// Saves a value first of all, with each setting that reads it back. It must be refused.
fn first_is_refused<S: Checkpoint>(value: &S) -> String {
    let save = |setting| {
        let directory = tempfile::tempdir().unwrap();
        let builder = Checkpointer::<S>::builder(directory.path()).read_back(setting);
        refused(builder.open().unwrap().save(value))
    };
    save(ReadBack::Auto);
    save(ReadBack::Always)
}

#[test]
fn a_value_encoded_like_another_one_is_not_saved() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Number {
        Single(f32),
        Double(f64),
    }
    let text = first_is_refused(&AsJson { value: Number::Double(0.1) });
    assert!(text.contains("as another variant of an `untagged` enum"), "{text}");
    // The two are the same number.
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<AsJson<Number>>::open(directory.path()).unwrap();
    checkpoints.save(&AsJson { value: Number::Double(0.5) }).unwrap();

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Counts<K: Ord> {
        ByKey(BTreeMap<K, u8>),
        ByName(BTreeMap<String, u8>),
    }
    first_is_refused(&AsJson { value: Counts::ByKey(BTreeMap::from([(1_u64, 2)])) });
    first_is_refused(&AsJson { value: Counts::ByKey(BTreeMap::from([(true, 2)])) });

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Values {
        Map(BTreeMap<String, f64>),
        Struct { a: f64 },
    }
    first_is_refused(&AsJson { value: Values::Struct { a: 1.0 } });
    first_is_refused(&InCbor { value: Values::Struct { a: 1.0 } });

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Unit {
        X,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Texts {
        Text(String),
        Unit(Unit),
        Char(char),
    }
    for value in [Texts::Unit(Unit::X), Texts::Char('x')] {
        first_is_refused(&AsJson { value: vec![value.clone()] });
        first_is_refused(&InCbor { value: vec![value] });
    }
}

#[test]
fn a_described_field_in_another_one_hides_no_difference() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Note {
        #[serde(with = "checkpointed::json")]
        body: serde_json::Value,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Entry {
        Labels(BTreeMap<String, String>),
        Note(Note),
    }
    let value = Entry::Note(Note { body: serde_json::json!({ "a": 1 }) });
    first_is_refused(&InCbor { value: value.clone() });
    first_is_refused(&AsJson { value });
}

#[checkpointed(owned = "WithRow")]
struct RowParts<'a> {
    #[serde(with = "checkpointed::self_describing")]
    row: &'a Row,
    #[serde(with = "checkpointed::json")]
    note: &'a serde_json::Value,
}

#[test]
fn a_described_field_of_a_borrowed_state_is_saved() {
    let row = Row { name: "a".to_owned(), tags: vec![String::new()], extra: BTreeMap::new() };
    let note = serde_json::json!({ "a": [1, "b"] });
    let directory = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<WithRow>::builder(directory.path());
    let mut checkpoints = builder.read_back(ReadBack::Always).open().unwrap();
    checkpoints.save_parts(&RowParts { row: &row, note: &note }).unwrap();
    let loaded = checkpoints.load().unwrap().unwrap();
    checkpoints.save(&loaded).unwrap();
    assert_eq!((&loaded.row, &loaded.note), (&row, &note));
    let note = serde_json::json!(null);
    checkpoints.finish_parts(&RowParts { row: &row, note: &note }).unwrap();
}

#[test]
fn types_that_differ_in_their_names_alone_are_not_mixed_up() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Degrees<C, K> {
        C(C),
        K(K),
    }
    macro_rules! refuses {
        ($first:expr, $second:expr) => {{
            let (first, mut second) = (Degrees::C($first), Degrees::K($second));
            stays(&InCbor { value: first.clone() });
            stays(&AsJson { value: first.clone() });
            first_is_refused(&InCbor { value: second.clone() });
            first_is_refused(&AsJson { value: second.clone() });
            only_the_last_is_refused_in_both(&[first.clone(), second.clone()]);
            second = first;
            stays(&InCbor { value: vec![second] });
        }};
    }
    mod celsius {
        use super::{Deserialize, Serialize};
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) struct Celsius {
            pub(super) degrees: f64,
        }
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) struct InOne(pub(super) f64);
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) struct InTwo(pub(super) f64, pub(super) u8);
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) enum Cold {
            Yes,
            By(f64),
        }
    }
    mod kelvin {
        use super::{Deserialize, Serialize};
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) struct Kelvin {
            pub(super) degrees: f64,
        }
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) struct AlsoInOne(pub(super) f64);
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) struct AlsoInTwo(pub(super) f64, pub(super) u8);
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) enum Hot {
            Yes,
            By(f64),
        }
    }
    refuses!(celsius::Celsius { degrees: 0.5 }, kelvin::Kelvin { degrees: 0.5 });
    refuses!(celsius::InOne(0.5), kelvin::AlsoInOne(0.5));
    refuses!(celsius::InTwo(0.5, 1), kelvin::AlsoInTwo(0.5, 1));
    refuses!(celsius::Cold::Yes, kelvin::Hot::Yes);
    refuses!(celsius::Cold::By(0.5), kelvin::Hot::By(0.5));
}

#[test]
fn a_variant_that_comes_back_as_a_map_is_not_saved() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Rule {
        Threshold(f64),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Either {
        Map(BTreeMap<String, f64>),
        Rule(Rule),
    }
    first_is_refused(&InCbor { value: Either::Rule(Rule::Threshold(0.5)) });
    first_is_refused(&AsJson { value: Either::Rule(Rule::Threshold(0.5)) });
}

/// Each map that is loaded has an order of its own.
#[test]
fn what_an_order_changes_in_described_fields_is_no_fault() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Any {
        Flag(bool),
        Number(f64),
        Text(String),
        List(Vec<Any>),
        Map(HashMap<String, Any>),
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Open {
        #[serde(flatten)]
        extra: HashMap<String, Any>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        set: HashSet<(u8, Option<char>)>,
        numbers: HashMap<u64, Any>,
    }
    let any = |number: usize| match number % 4 {
        0 => Any::Flag(true),
        1 => Any::Number(number as f64),
        2 => Any::Text("a".to_owned()),
        _ => Any::List(vec![Any::Number(0.5), Any::Flag(false)]),
    };
    for count in [3, 60, 70, 5000] {
        let named = || (0..count).map(|number| (format!("name {number}"), any(number)));
        let mut extra: HashMap<String, Any> = named().collect();
        extra.insert("inside".to_owned(), Any::Map(named().collect()));
        let set = (0..200).map(|number| (number, (number % 2 == 0).then_some('a'))).collect();
        let numbers = (0..200_u8).map(|number| (number.into(), any(number.into()))).collect();
        let value = Open { extra, note: None, set, numbers };
        stays(&InCbor { value: value.clone() });
        stays(&AsJson { value });
    }
}

#[test]
fn keys_that_are_data_do_not_hide_a_new_set_of_fields() {
    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct Both {
        #[serde(with = "checkpointed::self_describing")]
        seen: HashMap<String, f64>,
        #[serde(with = "checkpointed::json")]
        counts: BTreeMap<String, u8>,
        #[serde(with = "checkpointed::self_describing")]
        row: Row,
    }
    for count in [2100, 5000] {
        let names = || (0..count).map(|number| format!("name {number}"));
        let both = |tags: usize| Both {
            seen: names().map(|name| (name, 0.5)).collect(),
            counts: names().map(|name| (name, 1)).collect(),
            row: Row { name: "a".to_owned(), tags: vec![String::new(); tags], extra: BTreeMap::new() },
        };
        only_the_last_is_refused(&[both(1), both(0)]);
    }
}

#[test]
fn too_many_sets_of_keys_are_told_once() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&told);
    let directory = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<InCbor<Vec<BTreeMap<String, u8>>>>::builder(directory.path());
    let builder = builder.on_warning(move |warning| taken.lock().unwrap().push(warning.message.clone()));
    let mut checkpoints = builder.durable(false).open().unwrap();
    let maps = |numbers: std::ops::Range<u32>| InCbor {
        value: numbers.map(|number| BTreeMap::from([(format!("name {number}"), 1)])).collect(),
    };
    checkpoints.save(&maps(0..4000)).unwrap();
    assert!(told.lock().unwrap().is_empty());
    checkpoints.save(&maps(4000..4100)).unwrap();
    checkpoints.save(&maps(4100..9000)).unwrap();
    let told = told.lock().unwrap();
    assert!(told.len() == 1 && told[0].contains("4096 different sets of keys"), "{told:?}");
}

#[test]
fn variants_and_characters_are_keys_that_a_type_may_need() {
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Axis {
        Min,
        Max,
    }
    /// Needs both keys.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(try_from = "BTreeMap<K, f64>", bound(deserialize = "K: Ord + Deserialize<'de>"))]
    struct Bounds<K: Ord>(BTreeMap<K, f64>);
    impl<K: Ord> TryFrom<BTreeMap<K, f64>> for Bounds<K> {
        type Error = &'static str;
        fn try_from(map: BTreeMap<K, f64>) -> Result<Bounds<K>, &'static str> {
            if map.len() == 2 { Ok(Bounds(map)) } else { Err("both bounds are needed") }
        }
    }
    let both = Bounds(BTreeMap::from([(Axis::Min, 0.5), (Axis::Max, 1.5)]));
    only_the_last_is_refused_in_both(&[both, Bounds(BTreeMap::from([(Axis::Min, 0.5)]))]);
    let both = Bounds(BTreeMap::from([('a', 0.5), ('b', 1.5)]));
    only_the_last_is_refused_in_both(&[both, Bounds(BTreeMap::from([('a', 0.5)]))]);
}

#[test]
fn the_way_out_for_an_address_in_a_buffer_is_told() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Node {
        At { address: std::net::IpAddr },
    }
    let value = Node::At { address: std::net::Ipv4Addr::LOCALHOST.into() };
    let text = first_is_refused(&InCbor { value: value.clone() });
    assert!(text.contains("comes back from `checkpointed::json` alone"), "{text}");
    stays(&AsJson { value });
}

#[test]
fn another_member_or_number_of_them_is_read_back() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Sample {
        Timed(f64, u64),
        Counted(u64, u64),
    }
    only_the_last_is_refused_in_both(&[Sample::Timed(0.5, 3), Sample::Counted(2, 3)]);
    let within = |sample| ((1.5, 2), [sample]);
    only_the_last_is_refused_in_both(&[Sample::Timed(0.5, 3), Sample::Counted(2, 3)].map(within));

    /// Takes the first two members of three.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    #[serde(untagged)]
    enum Point {
        Flat(f64, f64),
        Solid(f64, f64, f64),
    }
    impl<'de> Deserialize<'de> for Point {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Point, D::Error> {
            let members = Vec::<f64>::deserialize(deserializer)?;
            let member = |number: usize| members.get(number).copied().unwrap_or_default();
            Ok(Point::Flat(member(0), member(1)))
        }
    }
    only_the_last_is_refused_in_both(&[Point::Flat(0.5, 1.5), Point::Solid(0.5, 1.5, 2.5)]);
}

/// Bytes of any number.
#[derive(Clone, Debug, PartialEq)]
struct Bytes(Vec<u8>);

/// Sixteen bytes.
#[derive(Clone, Debug, PartialEq)]
struct Id([u8; 16]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

/// Writes numbers, and reads bytes.
impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

macro_rules! reads_bytes {
    ($($type:ident)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("bytes")
                    }
                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$type, E> {
                        bytes.try_into().map($type).map_err(E::custom)
                    }
                }
                deserializer.deserialize_bytes(Visitor)
            }
        }
    )*};
}

reads_bytes!(Bytes Id);

#[test]
fn a_list_or_bytes_of_another_length_are_read_back() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Span {
        Pair(f64, f64),
        List(Vec<f64>),
    }
    let lists = [3, 4, 2].map(|length| Span::List(vec![0.5; length]));
    only_the_last_is_refused_in_both(&lists);
    only_the_last_is_refused_in_both(&lists.map(|list| vec![list]));

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Point {
        x: f64,
        #[serde(default)]
        y: f64,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Place<K: Ord> {
        Point(Point),
        List(Vec<f64>),
        Map(BTreeMap<K, f64>),
    }
    only_the_last_is_refused_in_both(&[3, 1].map(|length| Place::<String>::List(vec![0.5; length])));
    // The fields of a struct may have numbers in the place of names.
    let map = |keys: &[u64]| Place::Map(keys.iter().map(|key| (*key, 0.5)).collect());
    only_the_last_is_refused(&[map(&[7, 8, 9]), map(&[0])].map(|value| InCbor { value }));

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Blob {
        Id(Id),
        Bytes(Bytes),
    }
    let blobs = [15, 400, 16].map(|length| Blob::Bytes(Bytes(vec![1; length])));
    only_the_last_is_refused(&blobs.map(|value| InCbor { value }));

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Word {
        Char(char),
        Text(String),
        List(Vec<u8>),
    }
    let text = |text: &str| Word::Text(text.to_owned());
    only_the_last_is_refused_in_both(&["ab", "", "a"].map(text));
    // The length of another value is none of a text.
    only_the_last_is_refused_in_both(&[text("ab"), Word::List(vec![1]), text("a")]);
}

#[test]
fn a_list_that_grows_is_not_read_back_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<WithList>::builder(directory.path());
    let mut checkpoints = builder.durable(false).open().unwrap();
    let before = LISTS.load(Ordering::Relaxed);
    for step in 0..200 {
        checkpoints.save(&WithList { list: List((0..step).collect()) }).unwrap();
    }
    // Those up to 32, of 48, of 64, and of any other length.
    assert_eq!(LISTS.load(Ordering::Relaxed) - before, 36);
}

static LISTS: AtomicUsize = AtomicUsize::new(0);

/// Counts how often it is read.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct List(Vec<u64>);

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List, D::Error> {
        LISTS.fetch_add(1, Ordering::Relaxed);
        Vec::deserialize(deserializer).map(List)
    }
}

#[checkpointed]
struct WithList {
    #[serde(with = "checkpointed::self_describing")]
    list: List,
}

#[test]
fn long_tuples_have_few_forms() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Wide {
        Table(Box<[[[Option<bool>; 30]; 30]; 30]>),
    }
    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct Both {
        #[serde(with = "checkpointed::self_describing")]
        before: Wide,
        #[serde(with = "checkpointed::self_describing")]
        behind: Phase,
    }
    // The forms of the table leave room for those behind it.
    let both = |behind| Both { before: Wide::Table(Box::new([[[Some(true); 30]; 30]; 30])), behind };
    only_the_last_is_refused(&[both(Phase::Idle), both(Phase::Sum { total: 1 })]);
}

#[test]
fn an_integer_of_another_sign_or_size_is_read_back() {
    /// A number that its visitor takes only as it comes in these methods.
    macro_rules! by_hand {
        ($type:ident: $serialize:ident($number:ty) $deserialize:ident $($visit:ident($visited:ty))+) => {
            #[derive(Clone, Debug, PartialEq)]
            struct $type($number);

            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.$serialize(self.0)
                }
            }

            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$type, D::Error> {
                    struct Visitor;
                    impl serde::de::Visitor<'_> for Visitor {
                        type Value = $type;
                        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                            formatter.write_str("a number")
                        }
                        $(fn $visit<E: serde::de::Error>(self, number: $visited) -> Result<$type, E> {
                            <$number>::try_from(number).map($type).map_err(E::custom)
                        })+
                    }
                    deserializer.$deserialize(Visitor)
                }
            }
        };
    }
    by_hand!(Signed: serialize_i64(i64) deserialize_any visit_i64(i64));
    by_hand!(Unsigned: serialize_i64(i64) deserialize_any visit_u64(u64));
    by_hand!(Mixed: serialize_u64(u64) deserialize_i64 visit_i64(i64) visit_u64(u64));
    by_hand!(Wide: serialize_u128(u128) deserialize_any visit_u64(u64));
    by_hand!(Low: serialize_i128(i128) deserialize_any visit_i64(i64));
    only_the_last_is_refused_in_both(&[Signed(-1), Signed(i64::MIN), Signed(5)]);
    only_the_last_is_refused_in_both(&[Unsigned(5), Unsigned(i64::MAX), Unsigned(-1)]);
    only_the_last_is_refused(&[Mixed(1), Mixed(u64::MAX)].map(|value| InCbor { value }));
    only_the_last_is_refused_in_both(&[Wide(1), Wide(u64::MAX.into()), Wide(1 << 64)]);
    only_the_last_is_refused_in_both(&[Low(-1), Low(i64::MIN.into()), Low(i128::from(i64::MIN) - 1)]);

    by_hand!(InText: serialize_i64(i64) deserialize_i64 visit_i64(i64));
    only_the_last_is_refused(&[InText(-1), InText(5)].map(|value| AsJson { value }));
}

#[test]
fn texts_keys_lists_and_objects_are_different_forms() {
    /// Reads objects alone.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    #[serde(transparent)]
    struct Object(serde_json::Value);
    impl<'de> Deserialize<'de> for Object {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Object, D::Error> {
            let value = serde_json::Value::deserialize(deserializer)?;
            if value.is_object() { Ok(Object(value)) } else { Err(D::Error::custom("it is no object")) }
        }
    }
    // The keys of an object are texts, and it is no list.
    only_the_last_is_refused_in_both(&[serde_json::json!({ "a": 1 }), "a".into()].map(Object));
    only_the_last_is_refused_in_both(&[serde_json::json!({}), serde_json::json!([])].map(Object));

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Unit {
        Name,
    }
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Content {
        Name(String),
    }
    /// Reads variants with content alone.
    #[derive(Clone, Debug, PartialEq, Serialize)]
    #[serde(untagged)]
    enum Either {
        Unit(Unit),
        Content(Content),
    }
    impl<'de> Deserialize<'de> for Either {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Either, D::Error> {
            Content::deserialize(deserializer).map(Either::Content)
        }
    }
    let content = Either::Content(Content::Name("a".to_owned()));
    only_the_last_is_refused_in_both(&[content, Either::Unit(Unit::Name)]);
}

#[test]
fn texts_that_differ_beyond_what_is_shown_are_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Of<Retouched>>::open(directory.path()).unwrap();
    let text = refused(checkpoints.save(&run(1, Retouched("long".repeat(1000)))));
    assert!(text.contains("`field` came back as another value, also shown as \"longlong"), "{text}");
}

#[test]
fn what_is_written_and_not_read_is_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Of<Positive>>::open(directory.path()).unwrap();
    let text = refused(checkpoints.save(&run(1, Positive(-1))));
    assert!(text.contains("a positive number is not negative"), "{text}");
    assert!(files(directory.path()).is_empty());
    checkpoints.save(&run(1, Positive(1))).unwrap();
}

#[test]
fn an_array_that_is_not_in_c_order_comes_back() {
    let elements = || (0..6_u8).map(f64::from).collect();
    let columns = || ndarray::Array2::from_shape_vec((3, 2), elements()).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints =
        Checkpointer::<Of<(ndarray::Array2<f64>, Doubling)>>::open(directory.path()).unwrap();
    let text = refused(checkpoints.save(&run(1, (columns().reversed_axes(), Doubling(1.5)))));
    assert!(text.contains("was 1.5, and came back as 3"), "{text}");
    let state = run(1, (columns().reversed_axes(), Doubling(0.0)));
    checkpoints.save(&state).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(state));
}

/// Reads the rows of a matrix from the last one to the first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct UpsideDown(ndarray::Array2<f64>);

impl<'de> Deserialize<'de> for UpsideDown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<UpsideDown, D::Error> {
        let mut matrix = ndarray::Array2::deserialize(deserializer)?;
        matrix.invert_axis(ndarray::Axis(0));
        Ok(UpsideDown(matrix.as_standard_layout().into_owned()))
    }
}

#[test]
fn elements_that_are_not_in_c_order_keep_their_order() {
    let columns = ndarray::Array2::from_shape_fn((3, 2), |(row, column)| (10 * row + column) as f64);
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Of<UpsideDown>>::open(directory.path()).unwrap();
    let text = refused(checkpoints.save(&run(1, UpsideDown(columns.reversed_axes()))));
    assert!(text.contains("6 of 6 elements came back as others"), "{text}");
    checkpoints.save(&run(1, UpsideDown(ndarray::Array2::zeros((2, 3)).reversed_axes()))).unwrap();
}

#[test]
fn an_array_in_another_order_of_memory_is_no_difference() {
    use checkpointed::inspect::{Change, File, Limits};

    let rows = ndarray::Array2::from_shape_fn((3, 2), |(row, column)| (10 * row + column) as f64);
    let mut columns = rows.clone().reversed_axes().as_standard_layout().into_owned().reversed_axes();
    assert!(!columns.is_standard_layout() && columns == rows);
    let directory = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<Of<ndarray::Array2<f64>>>::builder(directory.path());
    let mut checkpoints = builder.keep_last(3).open().unwrap();
    checkpoints.save(&run(1, rows)).unwrap();
    checkpoints.save(&run(1, columns.clone())).unwrap();
    columns[(2, 1)] = 7.0;
    checkpoints.save(&run(1, columns)).unwrap();
    let file = |generation| File::open_generation(directory.path(), generation, &Protection::new()).unwrap();
    let (first, second, third) = (file(1), file(2), file(3));
    assert_eq!(first.root().compare(&second.root(), &Limits::default()).total, 0);
    assert_eq!(second.root().compare(&first.root(), &Limits::default()).total, 0);
    for (before, after) in [(&first, &third), (&third, &first)] {
        let found = before.root().compare(&after.root(), &Limits::default());
        let Change::Elements(change) = &found.differences[0].change else { panic!("{found:?}") };
        let largest = change.largest.as_ref().unwrap();
        assert_eq!((found.total, change.different, &largest.index[..]), (1, 1, &[2, 1][..]));
        assert!((largest.distance - 14.0).abs() < 1e-12);
    }
}

#[test]
fn the_elements_of_an_array_come_back_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Of<Reversed>>::open(directory.path()).unwrap();
    let text = refused(checkpoints.save(&run(1, Reversed(vec![1.0, 2.0, 3.0, f64::NAN]))));
    assert!(text.contains("`field` 4 of 4 elements came back as others"), "{text}");
    checkpoints.save(&run(1, Reversed(vec![1.0, f64::NAN, 1.0]))).unwrap();
}

/// Writes and reads like its content, with hand-written code.
#[derive(Clone, Debug, Default, PartialEq)]
struct ByHand<T>(T);

impl<T: Serialize> Serialize for ByHand<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByHand<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByHand<T>, D::Error> {
        T::deserialize(deserializer).map(ByHand)
    }
}

fn stays<T: Checkpoint + Debug + PartialEq>(state: &T) {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<T>::builder(directory.path())
        .read_back(ReadBack::Always)
        .durable(false)
        .open()
        .unwrap();
    checkpoints.save(state).unwrap();
    assert!(checkpoints.load().unwrap().as_ref() == Some(state));
}

#[test]
fn maps_and_sets_may_come_back_in_another_order() {
    for count in [0, 1, 2, 3, 100, 300] {
        let names = || (0..count).map(|number| format!("name {number}"));
        stays(&ByHandState(ByHand(names().collect::<HashSet<String>>())));
        stays(&ByHandState(ByHand((0..count).collect::<HashSet<u32>>())));
        // Beyond 256, the order decides which arrays are entries of the file.
        let arrays = names().map(|name| (name, vec![0.5, -0.0, 1.0])).collect::<HashMap<_, Vec<f64>>>();
        stays(&ByHandState(ByHand(arrays)));
        let rows = names().map(|name| (name, vec![[1_u16, 2], [3, 4]])).collect::<HashMap<_, _>>();
        stays(&ByHandState(ByHand(rows)));
        let sets = || {
            let some = HashSet::from([(1_u8, None), (2, Some(true))]);
            HashMap::from([(1_u64, some), (2, HashSet::new())])
        };
        let nested = names().map(|name| (name, sets())).collect::<HashMap<_, _>>();
        stays(&ByHandState(ByHand(nested)));
        let table: HashMap<String, HashSet<u8>> =
            names().map(|name| (name, HashSet::from([1, 2, 3]))).collect();
        let in_forms = |nested| InForms { bytes: table.clone(), text: table.clone(), nested };
        stays(&in_forms(Some(Box::new(in_forms(None)))));
        let in_order: BTreeSet<String> = names().collect();
        stays(&ByHandState(ByHand((in_order, names().collect::<HashSet<_>>(), vec![f64::NAN; 0]))));
    }
}

/// Fields with bytes that the checkpoint does not examine.
#[checkpointed]
#[derive(Debug, PartialEq)]
struct InForms {
    #[serde(with = "checkpointed::self_describing")]
    bytes: HashMap<String, HashSet<u8>>,
    #[serde(with = "checkpointed::json")]
    text: HashMap<String, HashSet<u8>>,
    #[serde(with = "checkpointed::self_describing")]
    nested: Option<Box<InForms>>,
}

#[test]
fn a_value_that_changes_inside_a_form_of_its_own_is_found() {
    #[checkpointed]
    struct State {
        #[serde(with = "checkpointed::self_describing")]
        bytes: (HashMap<u8, u8>, Vec<Doubling>),
        #[serde(with = "checkpointed::json")]
        text: (HashMap<u8, u8>, Vec<Doubling>),
    }
    let map = || (0..50).map(|number| (number, number)).collect::<HashMap<u8, u8>>();
    let state =
        |bytes, text| State { bytes: (map(), vec![Doubling(bytes)]), text: (map(), vec![Doubling(text)]) };
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<State>::open(directory.path()).unwrap();
    assert!(refused(checkpoints.save(&state(1.0, 0.0))).contains("`bytes` came back as another value"));
    assert!(refused(checkpoints.save(&state(0.0, 1.0))).contains("`text` was"));
    checkpoints.save(&state(0.0, 0.0)).unwrap();
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct ByHandState<T>(T);

impl<T: Serialize + serde::de::DeserializeOwned + 'static> Checkpoint for ByHandState<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut checkpointed::traits::Types) -> checkpointed::schema::Type {
        Plain::<T>::schema(types)
    }
}

#[test]
fn a_value_that_changes_is_found_behind_a_map_in_another_order() {
    type State = (HashMap<String, u64>, HashSet<String>, Doubling);
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Plain<State>>::open(directory.path()).unwrap();
    let map = (0..50).map(|number| (format!("{number}"), number)).collect();
    let set = (0..50).map(|number| format!("{number}")).collect();
    let text = refused(checkpoints.save(&Plain((map, set, Doubling(2.5)))));
    assert!(text.contains("as it was saved: `2` was 2.5, and came back as 5\n"), "{text}");
}

#[test]
fn an_element_of_a_set_that_changes_is_found() {
    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
    struct Lower(String);
    impl<'de> Deserialize<'de> for Lower {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lower, D::Error> {
            String::deserialize(deserializer).map(|text| Lower(text.to_lowercase()))
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Plain<HashSet<Lower>>>::open(directory.path()).unwrap();
    let set = |names: [&str; 3]| Plain(names.map(|name| Lower(name.to_owned())).into_iter().collect());
    refused(checkpoints.save(&set(["a", "B", "c"])));
    checkpoints.save(&set(["a", "b", "c"])).unwrap();
}

/// Counts its reads, except those of the tracer's threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Counted(u64);

static READ: AtomicUsize = AtomicUsize::new(0);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Counted, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if number == 77 {
            READ.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Counted(number))
    }
}

#[test]
fn only_the_first_save_is_read_back_unless_told_otherwise() {
    for (setting, expected) in
        [(None, 1), (Some(ReadBack::Auto), 1), (Some(ReadBack::Always), 3), (Some(ReadBack::Never), 0)]
    {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = Checkpointer::<Of<Counted>>::builder(directory.path());
        if let Some(setting) = setting {
            builder = builder.read_back(setting);
        }
        let mut checkpoints = builder.open().unwrap();
        let before = READ.load(Ordering::Relaxed);
        for step in 0..3 {
            checkpoints.save(&run(step, Counted(77))).unwrap();
        }
        assert_eq!(READ.load(Ordering::Relaxed) - before, expected, "{setting:?}");
    }
}

/// A part with serde's buffers, which have no integers of 128 bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Phase {
    Idle,
    Short { count: u64 },
    Sum { total: u128 },
}

/// Two variants that a reader cannot tell apart: it takes the first for both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Shape {
    Round { radius: f64 },
    Oval { radius: f64, other: f64 },
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Described {
    step: u64,
    #[serde(with = "checkpointed::self_describing")]
    phase: Phase,
    #[serde(with = "checkpointed::self_describing")]
    shapes: Vec<Shape>,
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct InJson {
    step: u64,
    #[serde(with = "checkpointed::json")]
    phase: Phase,
    #[serde(with = "checkpointed::json")]
    shapes: Vec<Shape>,
}

#[test]
fn a_new_form_in_a_described_field_is_read_back() {
    macro_rules! refuses {
        ($state:ident: $phase:expr, $shapes:expr) => {{
            let directory = tempfile::tempdir().unwrap();
            let mut checkpoints = Checkpointer::<$state>::open(directory.path()).unwrap();
            let good = |step| $state { step, phase: Phase::Idle, shapes: vec![Shape::Round { radius: 1.0 }] };
            checkpoints.save(&good(1)).unwrap();
            checkpoints.save(&$state { phase: Phase::Short { count: 2 }, ..good(2) }).unwrap();
            for step in 3..6 {
                refused(checkpoints.save(&$state { step, phase: $phase, shapes: $shapes }));
                let state = $state { step, phase: $phase, shapes: $shapes };
                assert!(checkpoints.save_in_background(&state).is_ok());
                refused(checkpoints.wait());
            }
            checkpoints.save(&good(6)).unwrap();
            // What was refused once is no known form.
            refused(checkpoints.save(&$state { step: 7, phase: $phase, shapes: $shapes }));
            drop(checkpoints);
            let mut again = Checkpointer::<$state>::open(directory.path()).unwrap();
            assert_eq!(again.load().unwrap(), Some(good(6)));
        }};
    }
    let oval = || vec![Shape::Oval { radius: 1.0, other: 2.0 }];
    refuses!(Described: Phase::Sum { total: 1 }, Vec::new());
    refuses!(Described: Phase::Idle, oval());
    refuses!(InJson: Phase::Sum { total: 1 }, Vec::new());
    refuses!(InJson: Phase::Idle, oval());
}

#[test]
fn a_float_of_another_width_is_another_form() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(untagged)]
    enum Number {
        Single(f32),
        Double(f64),
    }
    macro_rules! refuses {
        ($form:literal: $($good:expr),+ => $($bad:expr),+) => {{
            #[checkpointed]
            #[derive(Clone, Debug, PartialEq)]
            struct Holder {
                #[serde(with = $form)]
                number: Number,
            }
            let directory = tempfile::tempdir().unwrap();
            let mut checkpoints = Checkpointer::<Holder>::open(directory.path()).unwrap();
            for number in [$($good),+] {
                checkpoints.save(&Holder { number }).unwrap();
            }
            for number in [$($bad),+] {
                refused(checkpoints.save(&Holder { number: number.clone() }));
                checkpoints.save(&Holder { number: Number::Single(0.1) }).unwrap();
                refused(checkpoints.save(&Holder { number }));
            }
        }};
    }
    use Number::{Double, Single};
    refuses!("checkpointed::self_describing": Single(0.5) => Double(0.1), Double(0.5));
    refuses!("checkpointed::json": Single(0.5) => Double(0.123_456_789_012));
    // In JSON one half is the same text in both.
    refuses!("checkpointed::json": Double(0.5), Single(0.5) => Double(0.123_456_789_012), Double(1e300));
    let directory = tempfile::tempdir().unwrap();
    #[checkpointed]
    struct First {
        #[serde(with = "checkpointed::self_describing")]
        number: Number,
    }
    let mut checkpoints = Checkpointer::<First>::open(directory.path()).unwrap();
    refused(checkpoints.save(&First { number: Double(0.5) }));
    checkpoints.save(&First { number: Single(0.5) }).unwrap();
    refused(checkpoints.save(&First { number: Double(0.5) }));
}

#[test]
fn a_form_is_known_in_the_field_that_had_it() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Totals {
        total: u128,
    }
    #[checkpointed]
    struct Both {
        #[serde(with = "checkpointed::self_describing")]
        totals: Totals,
        #[serde(with = "checkpointed::self_describing")]
        phase: Phase,
    }
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Both>::open(directory.path()).unwrap();
    let both = |phase| Both { totals: Totals { total: 1 }, phase };
    checkpoints.save(&both(Phase::Short { count: 1 })).unwrap();
    refused(checkpoints.save(&both(Phase::Sum { total: 1 })));
    checkpoints.save(&both(Phase::Idle)).unwrap();
}

#[test]
fn a_form_that_was_read_back_is_not_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<WithText>::open(directory.path()).unwrap();
    let before = TEXTS.load(Ordering::Relaxed);
    for step in 0..5 {
        let list = vec![step; 40 + usize::try_from(step).unwrap()];
        let text = Text(serde_json::json!({ "step": step, "list": list }));
        checkpoints.save(&WithText { step, text }).unwrap();
    }
    assert_eq!(TEXTS.load(Ordering::Relaxed) - before, 1);
    let text = Text(serde_json::json!({ "step": 5, "list": vec![5; 40], "more": true }));
    checkpoints.save(&WithText { step: 5, text }).unwrap();
    assert_eq!(TEXTS.load(Ordering::Relaxed) - before, 2);
}

static TEXTS: AtomicUsize = AtomicUsize::new(0);

/// Counts how often it is read.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Text(serde_json::Value);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        TEXTS.fetch_add(1, Ordering::Relaxed);
        serde_json::Value::deserialize(deserializer).map(Text)
    }
}

#[checkpointed]
struct WithText {
    step: u64,
    #[serde(with = "checkpointed::self_describing")]
    text: Text,
}

static DROPPED: AtomicUsize = AtomicUsize::new(0);

/// The number of states that two saves of one make and drop.
fn made<T: Checkpoint>(state: &T) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<T>::open(directory.path()).unwrap();
    let before = DROPPED.load(Ordering::Relaxed);
    checkpoints.save(state).unwrap();
    checkpoints.save(state).unwrap();
    DROPPED.load(Ordering::Relaxed) - before
}

#[test]
fn a_type_whose_serde_code_is_derived_is_not_read_back() {
    macro_rules! counts_drops {
        ($($type:ident)*) => {$(
            impl Drop for $type {
                fn drop(&mut self) {
                    DROPPED.fetch_add(1, Ordering::Relaxed);
                }
            }
        )*};
    }

    #[checkpointed(name = "derived", version = 2)]
    struct Derived {
        numbers: Vec<f64>,
        text: Option<String>,
        map: HashMap<(u8, bool), Inner>,
        set: BTreeSet<u64>,
        fixed: [u8; 4],
        range: std::ops::Range<u32>,
        elapsed: std::time::Duration,
        address: Option<std::net::IpAddr>,
        inner: Result<Box<Inner>, ()>,
    }

    #[checkpointed]
    #[derive(Serialize, Deserialize)]
    enum Inner {
        Nothing,
        Some { number: u64 },
    }

    /// A type with hand-written serde code.
    #[derive(Serialize, Deserialize, Checkpoint)]
    struct Alone(u64);

    #[checkpointed]
    struct Function {
        #[serde(with = "checkpointed::self_describing")]
        number: u64,
    }

    #[checkpointed]
    struct Foreign {
        generator: rand_pcg::Pcg64,
    }

    #[checkpointed]
    struct Deep {
        deep: Vec<Option<Within>>,
    }

    #[checkpointed]
    struct Within(ByHand<u8>);

    counts_drops!(Derived Alone Function Foreign Deep);

    let inner = || Inner::Some { number: 1 };
    let derived = Derived {
        numbers: vec![1.0; 3],
        text: None,
        map: HashMap::from([((1, true), inner()), ((2, false), Inner::Nothing)]),
        set: BTreeSet::from([1]),
        fixed: [1; 4],
        range: 1..2,
        elapsed: std::time::Duration::from_secs(1),
        address: None,
        inner: Ok(Box::new(inner())),
    };
    assert_eq!(made(&derived), 0);
    assert_eq!(made(&Alone(1)), 1);
    assert_eq!(made(&Function { number: 1 }), 1);
    assert_eq!(made(&Foreign { generator: rand_pcg::Pcg64::new(1, 2) }), 1);
    assert_eq!(made(&Deep { deep: vec![Some(Within(ByHand(1)))] }), 1);
}

#[test]
fn what_is_saved_unread_can_be_told_so() {
    let directory = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<Of<Doubling>>::builder(directory.path());
    let mut checkpoints = builder.read_back(ReadBack::Never).open().unwrap();
    checkpoints.save(&run(1, Doubling(1.5))).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(run(1, Doubling(3.0))));
}

#[test]
fn a_save_in_the_background_is_read_back_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Of<Doubling>>::open(directory.path()).unwrap();
    checkpoints.save_in_background(&run(1, Doubling(0.0))).unwrap();
    checkpoints.wait().unwrap();
    drop(checkpoints);
    let mut checkpoints = Checkpointer::<Of<Doubling>>::open(directory.path()).unwrap();
    checkpoints.save_in_background(&run(2, Doubling(1.0))).unwrap();
    refused(checkpoints.wait());
    checkpoints.save_in_background(&run(2, Doubling(1.0))).unwrap();
    // The next call returns the error.
    refused(checkpoints.save(&run(3, Doubling(0.0))));
    assert_eq!(checkpoints.load().unwrap(), Some(run(1, Doubling(0.0))));
    assert_eq!(files(directory.path()), ["00000000000000000001.ckpt"]);
    checkpoints.save(&run(3, Doubling(0.0))).unwrap();
}

/// Panics when it is read.
#[derive(Debug, Default, Serialize)]
struct Panicking(u64);

impl<'de> Deserialize<'de> for Panicking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Panicking, D::Error> {
        let number = u64::deserialize(deserializer)?;
        assert!(number != 78, "told to");
        Ok(Panicking(number))
    }
}

#[test]
fn a_panic_of_the_state_leaves_everything_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Of<Panicking>>::open(directory.path()).unwrap();
    let save = std::panic::AssertUnwindSafe(|| checkpoints.save(&run(1, Panicking(78))));
    assert!(std::panic::catch_unwind(save).is_err());
    assert!(files(directory.path()).is_empty());
    checkpoints.save_in_background(&run(1, Panicking(78))).unwrap();
    let error = checkpoints.wait().unwrap_err();
    assert!(matches!(error, Error::Panicked { .. }), "{error}");
    assert!(files(directory.path()).is_empty());
    assert_eq!(checkpoints.save(&run(1, Panicking(1))).unwrap().generation, 1);
}

#[test]
fn a_protected_save_is_read_back_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let protection = || Protection::new().authenticate(Key::from_hex(&"4f".repeat(32)).unwrap());
    let open =
        || Checkpointer::<Of<Doubling>>::builder(directory.path()).protection(protection()).open().unwrap();
    refused(open().save(&run(1, Doubling(1.0))));
    open().save(&run(1, Doubling(0.0))).unwrap();
}

#[test]
fn an_encrypted_save_is_read_back_where_it_can_be_decrypted() {
    let directory = tempfile::tempdir().unwrap();
    let open = |protection: Protection| {
        Checkpointer::<Of<Doubling>>::builder(directory.path()).protection(protection).open().unwrap()
    };
    refused(open(Protection::new().decrypt_with(IDENTITY).unwrap()).save(&run(1, Doubling(1.0))));
    open(Protection::new().decrypt_with(IDENTITY).unwrap()).save(&run(1, Doubling(0.0))).unwrap();
    // A program without an identity still saves.
    open(Protection::new().encrypt_to(RECIPIENT).unwrap()).save(&run(2, Doubling(1.0))).unwrap();
}

#[test]
fn a_compressed_save_is_read_back_too() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let builder = Checkpointer::<Of<Reversed>>::builder(directory.path());
        builder.compression(checkpointed::Compression::Zstd(3)).open().unwrap()
    };
    let ramp: Vec<f64> = (0..100_000).map(|number| f64::from(number / 100)).collect();
    refused(open().save(&run(1, Reversed(ramp))));
    open().save(&run(1, Reversed(vec![1.0; 100_000]))).unwrap();
}

#[test]
fn the_output_of_a_step_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let pipeline = Pipeline::open(directory.path().join("analysis.pipeline")).unwrap();
    let make = |_: &checkpointed::pipeline::StepContext| Ok::<_, Error>(run(1, Doubling(1.0)));
    refused(pipeline.step("first").run(make));
    let output = pipeline.step("second").read_back(ReadBack::Never).run(make).unwrap();
    assert_eq!(output.version(), 1);
    let inside = pipeline.step("third").run(|context| {
        let mut checkpoints = context.checkpointer::<Of<Doubling>>()?;
        checkpoints.save(&run(1, Doubling(1.0)))?;
        Ok::<u64, Error>(1)
    });
    assert!(inside.unwrap_err().to_string().contains("does not come back as it was saved"));
}

#[test]
fn what_a_scope_keeps_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut scopes = Scopes::open(directory.path()).unwrap();
    let mut scope = scopes.enter::<Of<Doubling>>("main").unwrap();
    refused(scope.keep(&run(1, Doubling(1.0))));
    refused(scope.save(&run(1, Doubling(1.0))));
    assert!(files(directory.path()).is_empty());
    scope.save(&run(1, Doubling(0.0))).unwrap();
    // Only the first save of each type is read back.
    scope.keep(&run(1, Doubling(1.0))).unwrap();
    let once = scope.once("reversed", |_| Ok::<_, Error>(Plain(Reversed(vec![1.0, 2.0]))));
    refused(once);
    drop(scope);
    drop(scopes);
    let mut scopes = Scopes::builder(directory.path()).read_back(ReadBack::Never).open().unwrap();
    scopes.enter::<Of<Doubling>>("main").unwrap().keep(&run(1, Doubling(1.0))).unwrap();
}

#[test]
fn variables_that_cannot_be_loaded_are_refused_on_entry() {
    #[derive(Debug, Serialize)]
    struct Unreadable(u64);
    impl<'de> Deserialize<'de> for Unreadable {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unreadable, D::Error> {
            deserializer.deserialize_any(serde::de::IgnoredAny).map(|_| Unreadable(0))
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let mut scopes = Scopes::open(directory.path()).unwrap();
    let error = scopes.enter::<Plain<Unreadable>>("main").unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error}");
    let mut scope = scopes.enter::<()>("main").unwrap();
    let once = scope.once("never", |_| -> Result<Plain<Unreadable>, Error> { panic!("it is not begun") });
    assert!(matches!(once.unwrap_err(), Error::Unsupported { .. }));
}
