#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Error, read, write};
use crate::{Checkpointer, Plain, ReadBack};

/// A value in this form, and in a checkpoint.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "T: Serialize + DeserializeOwned")]
struct Field<T>(#[serde(with = "super")] T);

fn through<T: Serialize + DeserializeOwned>(value: &T) -> Result<T, Error> {
    let bytes = write::to_bytes(value)?;
    let read = read::from_bytes(&bytes)?;
    assert!(read::from_bytes::<serde::de::IgnoredAny>(&bytes).is_ok(), "it is passed over as a whole");
    Ok(read)
}

/// Checks that a value comes back as it was: by itself, from a text, and from a checkpoint.
fn stays<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: T) {
    assert_eq!(through(&value).unwrap(), value);
    let field = Plain(Field(value));
    let text = serde_json::to_string(&field).unwrap();
    assert_eq!(serde_json::from_str::<Plain<Field<T>>>(&text).unwrap(), field);
    let directory = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<Plain<Field<T>>>::builder(directory.path());
    let mut checkpoints = builder.read_back(ReadBack::Always).durable(false).open().unwrap();
    checkpoints.save(&field).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(field));
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Nothing,
    Number(i128),
    Pair(u8, Option<Option<()>>),
    Named { x: f32, y: Option<String> },
    Unit(()),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Float(f64),
    Text(String),
    List(Vec<Untagged>),
    Map(BTreeMap<String, Untagged>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Buffered {
    Inside { unit: Option<()>, json: Option<serde_json::Value> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flattened {
    #[serde(flatten)]
    buffered: Buffered,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Bare {
    Json(Option<serde_json::Value>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Empty,
    One { value: Option<Option<u8>>, list: Vec<f64> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    own: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sometimes: Option<u8>,
    #[serde(flatten)]
    rest: HashMap<String, Untagged>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Empty;

#[test]
fn numbers_come_back_as_they_were() {
    stays((u8::MAX, u16::MAX, u32::MAX, u64::MAX, u128::MAX));
    stays((i8::MIN, i16::MIN, i32::MIN, i64::MIN, i128::MIN));
    stays((0_u128, -1_i128, i128::from(i64::MIN) - 1, u128::from(u64::MAX) + 1, i128::MAX));
    stays((0_i8, -1_i8, 23_u8, 24_u8, -24_i64, -25_i64, 0_u64));
    stays((true, false, 'é', '\u{10ffff}', '\0'));
    stays(vec![0.1, f64::MIN_POSITIVE, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY]);
    stays(vec![0.1_f32, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, f32::NEG_INFINITY]);
}

/// Reads a value as another type.
fn reads<T: Serialize, U: DeserializeOwned>(value: &T) -> Result<U, String> {
    read::from_bytes(&write::to_bytes(value).unwrap()).map_err(|error: Error| error.to_string())
}

#[test]
fn a_number_keeps_its_value_in_another_type_or_is_refused() {
    assert_eq!(reads::<_, f32>(&0.5_f64), Ok(0.5));
    assert_eq!(reads::<_, f64>(&0.1_f32), Ok(f64::from(0.1_f32)));
    assert!(reads::<_, f32>(&f64::NAN).unwrap().is_nan());
    assert_eq!(reads::<_, f32>(&f64::INFINITY), Ok(f32::INFINITY));
    assert_eq!(reads::<_, f32>(&0.1_f64), Err("0.1 is no value of f32".to_owned()));
    assert_eq!(reads::<_, f32>(&f64::MAX), Err(format!("{} is no value of f32", f64::MAX)));
    assert_eq!(reads::<_, f32>(&(-16_777_216_i64)), Ok(-16_777_216.0));
    assert_eq!(reads::<_, f32>(&(-16_777_217_i64)), Err("-16777217 is no value of f32".to_owned()));
    assert_eq!(
        reads::<_, Vec<f64>>(&vec![0, 1_u64 << 53, u64::MAX - 2047]).unwrap()[2],
        (u64::MAX - 2047) as f64
    );
    for number in [(1_u64 << 53) + 1, u64::MAX] {
        assert_eq!(reads::<_, Vec<f64>>(&vec![1, number]), Err(format!("{number} is no value of f64")));
    }
    assert_eq!(reads::<_, f64>(&u128::MAX), Err(format!("{} is no value of f64", u128::MAX)));
    assert!(reads::<_, f64>(&i128::MIN).is_err(), "serde makes no float of such an integer");
    assert!(reads::<_, u8>(&300_u16).is_err());
    let saturated = "invalid value: integer `300`, expected u8".to_owned();
    assert_eq!(reads::<_, Vec<std::num::Saturating<u8>>>(&vec![300_u16]), Err(saturated));
    let negative = "invalid value: integer `-7`, expected u64".to_owned();
    assert_eq!(reads::<_, std::num::Saturating<u64>>(&-7_i8), Err(negative));
    assert_eq!(reads::<_, std::num::Saturating<u64>>(&(1_i128 << 63)), Ok(std::num::Saturating(1 << 63)));
    assert_eq!(reads::<_, u64>(&i128::from(u64::MAX)), Ok(u64::MAX));
    assert!(reads::<_, u64>(&(1_i128 << 64)).unwrap_err().contains("18446744073709551616"));
}

#[test]
fn floats_keep_their_bits() {
    for bits in [0, 1 << 63, 0x7ff0_0000_0000_0001, 0x7ff8_0000_00c0_ffee, 0xfff8_0000_0000_0000] {
        assert_eq!(through(&f64::from_bits(bits)).unwrap().to_bits(), bits);
        assert_eq!(through(&vec![Some(f64::from_bits(bits))]).unwrap()[0].unwrap().to_bits(), bits);
        let Untagged::Float(float) = through(&Untagged::Float(f64::from_bits(bits))).unwrap() else {
            panic!()
        };
        assert_eq!(float.to_bits(), bits);
    }
    for bits in [0, 1 << 31, 0x7fc0_beef, 0xffc0_0000] {
        assert_eq!(through(&f32::from_bits(bits)).unwrap().to_bits(), bits);
    }
}

#[test]
fn options_in_options_come_back_as_they_were() {
    stays(vec![None, Some(None), Some(Some(7_u8))]);
    stays(vec![None, Some(None), Some(Some(None)), Some(Some(Some(())))]);
    stays(vec![None, Some(())]);
    stays((Some(Empty), Some(Some(Empty)), ()));
    stays(vec![Some(Shape::Unit(())), None]);
    stays(BTreeMap::from([(None, 1), (Some(None), 2), (Some(Some(3_u8)), 3)]));
    stays((Some(json!(null)), Some(json!([null, {"a": null}]))));
    stays(Tagged::One { value: Some(None), list: vec![f64::INFINITY] });
    stays(Tagged::One { value: None, list: Vec::new() });
}

#[test]
fn maps_take_keys_of_any_type() {
    stays(BTreeMap::from([((1_u8, "a".to_owned()), 1), ((2, String::new()), 2)]));
    stays(BTreeMap::from([(vec![1_i64, -2], "x".to_owned()), (Vec::new(), String::new())]));
    stays(BTreeMap::from([(u128::MAX, ()), (0, ())]));
    stays(BTreeMap::from([(true, 1), (false, 2)]));
    stays(BTreeMap::from([((), 1)]));
    stays(HashMap::from([("a\0/".to_owned(), 1), (String::new(), 2)]));
}

#[test]
fn enums_and_structs_come_back_as_they_were() {
    stays(vec![
        Shape::Nothing,
        Shape::Number(i128::MIN),
        Shape::Pair(1, Some(None)),
        Shape::Pair(1, None),
        Shape::Named { x: 0.1, y: None },
        Shape::Unit(()),
    ]);
    stays(Some(Shape::Nothing));
    stays(BTreeMap::from([("Number".to_owned(), 1)]));
    stays((Empty, ((), Empty), Vec::<()>::new(), vec![(), ()]));
    stays(Tagged::Empty);
    stays(Buffered::Inside { unit: Some(()), json: Some(serde_json::Value::Null) });
    stays(Buffered::Inside { unit: None, json: None });
    stays(Flattened { buffered: Buffered::Inside { unit: Some(()), json: Some(serde_json::Value::Null) } });
    stays(Bare::Json(Some(serde_json::Value::Null)));
    stays(Bare::Json(None));
    let list = Untagged::List(vec![Untagged::Float(0.5), Untagged::Text("x".to_owned())]);
    stays(Untagged::Map(BTreeMap::from([("a".to_owned(), list.clone())])));
    let rest = HashMap::from([("b".to_owned(), list)]);
    stays(Flat { own: 1, sometimes: None, rest: rest.clone() });
    stays(Flat { own: 1, sometimes: Some(2), rest });
    stays(json!({"a": [1, -2, 0.5, "text", true, null, {}], "": u64::MAX}));
}

#[test]
fn bytes_and_borrowed_values_come_back() {
    struct Raw(Vec<u8>);
    impl Serialize for Raw {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_bytes(&self.0)
        }
    }
    for length in [0, 1, 23, 24, 255, 256, 70_000] {
        let bytes = write::to_bytes(&Raw(vec![7; length])).unwrap();
        assert_eq!(read::from_bytes::<&[u8]>(&bytes).unwrap(), vec![7; length]);
    }
    let bytes = write::to_bytes(&("text", Some("other"))).unwrap();
    assert_eq!(read::from_bytes::<(&str, Option<&str>)>(&bytes).unwrap(), ("text", Some("other")));
}

#[test]
fn a_changed_type_finds_its_fields_by_their_names() {
    #[derive(Debug, PartialEq, Serialize)]
    struct Before {
        dropped: Vec<Shape>,
        b: u8,
        a: f32,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    struct After {
        a: f64,
        b: i64,
        #[serde(default)]
        added: Option<u8>,
    }
    let dropped = vec![Shape::Named { x: 1.0, y: None }, Shape::Nothing, Shape::Pair(1, Some(None))];
    let bytes = write::to_bytes(&Before { dropped, b: 7, a: 0.5 }).unwrap();
    assert_eq!(read::from_bytes::<After>(&bytes).unwrap(), After { a: 0.5, b: 7, added: None });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    next: Option<Box<Node>>,
    #[serde(with = "super")]
    inside: Option<Box<Node>>,
}

/// Runs a test of depth on a small stack: an overflow would end the process.
fn on_little_stack(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(2 << 20);
        builder.spawn_scoped(scope, test).unwrap().join().unwrap();
    });
}

/// Puts a value inside others until it is not written. Returns how often that was possible.
fn deepest<T: Serialize + DeserializeOwned + PartialEq + Debug>(mut value: T, wrap: impl Fn(T) -> T) -> u32 {
    for depth in 0..1000 {
        match write::to_bytes(&value) {
            Ok(bytes) => assert_eq!(read::from_bytes::<T>(&bytes).unwrap(), value, "depth {depth}"),
            Err(error) => {
                assert!(error.0.contains("nested more than 256 deep"), "{error}");
                return depth - 1;
            }
        }
        value = wrap(value);
    }
    panic!("any depth is written")
}

#[test]
fn what_is_too_deep_to_be_read_is_not_written() {
    on_little_stack(|| {
        for is_inside in [false, true] {
            let mut deepest = 0;
            let mut node = Node { next: None, inside: None };
            for depth in 0..5000 {
                match through(&node) {
                    Ok(read) => {
                        assert_eq!(read, node);
                        deepest = depth;
                    }
                    Err(error) => {
                        assert!(error.0.contains("nested more than 256 deep"), "{error}");
                        break;
                    }
                }
                let inner = Some(Box::new(node));
                node = if is_inside {
                    Node { next: None, inside: inner }
                } else {
                    Node { next: inner, inside: None }
                };
            }
            assert!((60..300).contains(&deepest), "{deepest}");
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Tree {
            Leaf,
            Node(Box<Tree>),
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Linked {
            kind: Tree,
            next: Option<Box<Linked>>,
        }
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Pair {
            End,
            Two(Tree, Box<Pair>),
            Named { kind: Tree, next: Box<Pair> },
        }
        assert_eq!(deepest(Tree::Leaf, |inner| Tree::Node(Box::new(inner))), 255);
        let linked = |next| Linked { kind: Tree::Leaf, next };
        assert_eq!(deepest(linked(None), |inner| linked(Some(Box::new(inner)))), 127);
        assert_eq!(deepest(Pair::End, |inner| Pair::Two(Tree::Leaf, Box::new(inner))), 127);
        let named = |inner| Pair::Named { kind: Tree::Leaf, next: Box::new(inner) };
        assert_eq!(deepest(Pair::End, named), 127);
        let mut list = Untagged::List(Vec::new());
        (0..200)
            .for_each(|_| list = Untagged::List(vec![std::mem::replace(&mut list, Untagged::Float(0.0))]));
        assert_eq!(through(&list).unwrap(), list);
    });
}

#[test]
fn forged_bytes_are_refused_without_a_panic_and_without_memory() {
    on_little_stack(|| {
        let huge = |head: u8| vec![head | 27, 0x7f, 255, 255, 255, 255, 255, 255, 255];
        for major in 0..8_u8 {
            for bytes in
                [huge(major << 5), [huge(major << 5), vec![0x60; 100]].concat(), vec![(major << 5) | 31]]
            {
                let _ = read::from_bytes::<Untagged>(&bytes);
                let _ = read::from_bytes::<serde_json::Value>(&bytes);
                let _ = read::from_bytes::<Vec<Shape>>(&bytes);
                let _ = read::from_bytes::<(String, i128)>(&bytes);
            }
        }
        // A forger may nest marks to any depth.
        let tag = write::to_bytes(&Some(None::<u8>)).unwrap()[..5].to_vec();
        for step in [vec![0x9f], vec![0xbf], vec![0xa1], vec![0xa1, 0x61, b'a'], vec![0x81], tag] {
            let bytes = step.repeat(100_000);
            assert!(read::from_bytes::<serde_json::Value>(&bytes).is_err());
            assert!(read::from_bytes::<Untagged>(&bytes).is_err());
            assert!(read::from_bytes::<serde::de::IgnoredAny>(&bytes).is_err());
            assert!(read::from_bytes::<Node>(&bytes).is_err());
        }
        // Fields of this form inside each other, without end.
        let mut bytes = write::to_bytes(&None::<u8>).unwrap();
        for _ in 0..2000 {
            let head = u32::try_from(bytes.len()).unwrap().to_be_bytes();
            let node = [b"\xbf\x64next\xf6\x66inside\x5a".to_vec(), head.to_vec(), bytes, vec![0xff]];
            bytes = node.concat();
        }
        assert!(read::from_bytes::<Node>(&bytes).unwrap_err().0.contains("nested more than"));
        // More data after the value.
        let bytes = [write::to_bytes(&1_u8).unwrap(), vec![0]].concat();
        assert!(read::from_bytes::<u8>(&bytes).unwrap_err().0.contains("more data"));
        // Each byte of a value is replaced by any other.
        let whole =
            write::to_bytes(&vec![Shape::Named { x: 1.0, y: None }, Shape::Pair(1, Some(None))]).unwrap();
        for place in 0..whole.len() {
            for byte in 0..=255 {
                let mut bytes = whole.clone();
                bytes[place] = byte;
                let _ = read::from_bytes::<Vec<Shape>>(&bytes);
                let _ = read::from_bytes::<serde_json::Value>(&bytes[..place]);
            }
        }
    });
}

#[test]
fn a_panic_leaves_no_depth_behind() {
    struct Panicking;
    impl Serialize for Panicking {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            std::panic::resume_unwind(Box::new("told to"))
        }
    }
    for _ in 0..300 {
        assert!(std::panic::catch_unwind(|| write::to_bytes(&vec![Some(Panicking)])).is_err());
    }
    stays(vec![1]);
}

/// A value, or nothing if it cannot be read.
#[derive(Debug, PartialEq)]
struct Lenient<T>(Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Lenient<T>, D::Error> {
        Ok(Lenient(T::deserialize(deserializer).ok()))
    }
}

#[test]
fn a_failure_within_a_value_is_never_passed_over() {
    fn fails<R: DeserializeOwned + Debug>(value: impl Serialize) {
        let bytes = write::to_bytes(&(value, 9_u8)).unwrap();
        // The failure is that of the value, not of one read in its stead.
        let error = read::from_bytes::<(Lenient<R>, u8)>(&bytes).unwrap_err().to_string();
        assert!(error.contains("1000"), "{error}");
    }
    #[derive(Serialize)]
    enum Written {
        Named { x: String },
    }
    fails::<Vec<u8>>(vec![1_u64, 1000, 9]);
    fails::<BTreeMap<u8, u8>>(BTreeMap::from([(1_u64, 1_u64), (1000, 9)]));
    fails::<BTreeMap<u8, u8>>(BTreeMap::from([(1_u64, 1000_u64), (2, 9)]));
    fails::<(Vec<u8>, u8)>((vec![1000_u64], 9_u8));
    fails::<Shape>(Written::Named { x: "1000".to_owned() });
}

#[test]
fn a_value_that_was_read_whole_may_be_passed_over() {
    fn passes<R: DeserializeOwned + Debug + PartialEq>(value: impl Serialize) {
        let bytes = write::to_bytes(&(value, 9_u8)).unwrap();
        let found = read::from_bytes::<(Lenient<R>, u8)>(&bytes).unwrap();
        assert_eq!(found, (Lenient(None), 9));
    }
    passes::<u8>(1000_u64);
    passes::<u8>("text");
    passes::<Option<u8>>(Some(1000_u64));
    passes::<(u8, u8)>((1_u8, 1000_u64));
    passes::<BTreeMap<u8, u8>>(BTreeMap::from([(1_u64, 1000_u64)]));
    passes::<Shape>(BTreeMap::from([("Named", BTreeMap::from([("x", "no number")]))]));
}

/// Reads nothing of what it is given.
#[derive(Debug, PartialEq)]
struct Nothing;

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Nothing, D::Error> {
        Ok(Nothing)
    }
}

#[test]
fn a_failure_passed_over_does_not_come_again_forever() {
    // A sequence and a map without an end, of bytes with which no value begins.
    for start in [0x9f, 0xbf] {
        let bytes = [start, 0xf0, 0xf0, 0xff];
        let error = read::from_bytes::<Vec<Lenient<u8>>>(&bytes).unwrap_err().to_string();
        assert!(!error.is_empty());
        read::from_bytes::<HashMap<u8, Lenient<u8>>>(&bytes).unwrap_err();
    }
    read::from_bytes::<Vec<Nothing>>(&[0x9f, 1, 0xff]).unwrap_err();
    read::from_bytes::<BTreeMap<u8, Lenient<u8>>>(&[0xbf, 1, 0xf0, 0xff]).unwrap_err();
}

#[test]
fn a_display_that_fails_is_an_error() {
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
    let error = write::to_bytes(&vec![Some(NoText)]).unwrap_err().to_string();
    assert!(error.contains("writes the text of its Display, and that fails"), "{error}");
}

/// The feature `arbitrary_precision` of `serde_json`, which this build does not have, makes such a
/// map of a number.
#[test]
fn a_number_that_this_build_cannot_read_is_refused() {
    let number = |text: &str| BTreeMap::from([("$serde_json::private::Number", text.to_owned())]);
    for text in ["0.10", "1e400", "18446744073709551616", "7"] {
        let bytes = write::to_bytes(&number(text)).unwrap();
        let inside = write::to_bytes(&vec![Some(number(text))]).unwrap();
        let all = [
            read::from_bytes::<serde_json::Value>(&bytes).unwrap_err(),
            read::from_bytes::<serde_json::Value>(&inside).unwrap_err(),
            read::from_bytes::<Vec<Option<Untagged>>>(&inside).unwrap_err(),
        ];
        for error in all {
            assert!(error.0.contains("arbitrary_precision"), "{error}");
        }
    }
}
