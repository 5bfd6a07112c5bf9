#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "values are written down where they are tested")]

mod depth;
mod random;
mod swallowed;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Debug;
use std::process::Command;
use std::{env, io, iter};

use serde::de::DeserializeOwned;
use serde::ser::{SerializeSeq as _, SerializeTuple as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Forms, NoMemory};
use crate::Plain;
use crate::arrays::none::{decode, encode, encode_as_read};
use crate::arrays::{Array, ArrayPool, ArraySink, ArraySource, Cause, Kind, Reference};
use crate::base::limits::ELEMENTS_WITHOUT_BYTES;
use crate::codec;
use crate::state::adapter::{Fixed, FixedArrays, Rows, Same};

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).unwrap();
    bytes
}

fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: T) {
    let value = Plain(value);
    let mut ours = Vec::new();
    encode_as_read(&value, &mut ours).unwrap();
    assert_eq!(ours, bincode::serialize(&value).unwrap(), "bincode writes something else");
    assert_eq!(ours, bytes(&value), "something else is written where nothing is known");
    assert_eq!(decode::<Plain<T>>(&ours).unwrap(), value);
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(i8, i64),
    Polygon { corners: Vec<(f32, f32)>, name: Option<String> },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Metres(f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    flag: bool,
    wide: (u128, i128),
    narrow: (u8, u16, u32, u64, i8, i16, i32, i64),
    letter: char,
    text: String,
    nothing: (),
    length: Metres,
    shapes: Vec<Shape>,
    names: BTreeMap<String, Option<Box<Everything>>>,
    grid: [[u16; 3]; 2],
}

fn everything() -> Everything {
    Everything {
        flag: true,
        wide: (u128::MAX - 1, i128::MIN),
        narrow: (1, 2, 3, 4, -1, -2, -3, i64::MIN),
        letter: '雪',
        text: "ein längerer Text".to_owned(),
        nothing: (),
        length: Metres(-0.0),
        shapes: vec![
            Shape::Point,
            Shape::Circle(1.5),
            Shape::Line(-1, 2),
            Shape::Polygon { corners: vec![(0.0, 1.0)], name: Some(String::new()) },
        ],
        names: BTreeMap::new(),
        grid: [[1, 2, 3], [4, 5, 6]],
    }
}

#[test]
fn each_kind_of_value_is_written_as_by_bincode_and_comes_back() {
    let mut value = everything();
    value.names.insert("none".to_owned(), None);
    value.names.insert("some".to_owned(), Some(Box::new(everything())));
    comes_back(value);
    comes_back(HashMap::from([(1_u8, 'a'), (2, 'ß')]));
    comes_back(vec![(); 3]);
    comes_back(Err::<u8, String>("no".to_owned()));
    comes_back(std::time::Duration::new(3, 7));
    comes_back(std::net::IpAddr::from([127, 0, 0, 1]));
    comes_back(std::path::PathBuf::from("/tmp/ä"));
    comes_back(std::ffi::CString::new("c").unwrap());
}

#[test]
fn the_payload_of_a_nan_survives() {
    for bits in [0x7ff8_0000_0000_0001, 0xfff4_dead_beef_0123, (-0.0_f64).to_bits()] {
        assert_eq!(decode::<f64>(&bytes(&f64::from_bits(bits))).unwrap().to_bits(), bits);
    }
    assert_eq!(decode::<f32>(&bytes(&f32::from_bits(0xffa1_2345))).unwrap().to_bits(), 0xffa1_2345);
}

#[test]
fn encoding_appends_and_an_error_leaves_what_was_there() {
    let mut bytes = vec![9, 9];
    encode(&7_u16, &mut bytes).unwrap();
    assert_eq!(bytes, [9, 9, 7, 0]);
    let skipping = Skipping { kept: 1, skipped: None, after: 2 };
    encode(&skipping, &mut bytes).unwrap_err();
    assert_eq!(bytes, [9, 9, 7, 0]);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Skipping {
    kept: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u32>,
    after: u32,
}

#[derive(Serialize)]
enum SkippingVariant {
    Named {
        #[serde(skip_serializing_if = "Option::is_none")]
        skipped: Option<u32>,
    },
}

#[test]
fn a_skipped_field_is_refused_by_name() {
    let error = encode(&Skipping { kept: 1, skipped: None, after: 2 }, &mut Vec::new()).unwrap_err();
    for part in ["`skipped`", "`Skipping`", "skip_serializing_if", "checkpointed::self_describing"] {
        assert!(error.contains(part), "{error}");
    }
    let error = encode(&SkippingVariant::Named { skipped: None }, &mut Vec::new()).unwrap_err();
    assert!(error.contains("`skipped` of `Named`"), "{error}");
    comes_back(Skipping { kept: 1, skipped: Some(3), after: 2 });
}

struct UnknownLength(Vec<u16>);

impl Serialize for UnknownLength {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().filter(|number| **number != 0))
    }
}

struct UnknownMap(Vec<(u16, UnknownLength)>);

impl Serialize for UnknownMap {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().filter(|(key, _)| *key != 0).map(|(key, value)| (key, value)))
    }
}

struct WrongLength(usize);

impl Serialize for WrongLength {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0))?;
        seq.serialize_element(&7_u8)?;
        seq.serialize_element(&8_u8)?;
        seq.end()
    }
}

struct ShortTuple;

impl Serialize for ShortTuple {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(2)?;
        tuple.serialize_element(&7_u8)?;
        tuple.end()
    }
}

#[test]
fn sequences_of_unknown_or_wrong_length_can_be_read_again() {
    assert_eq!(decode::<Vec<u16>>(&bytes(&UnknownLength(vec![1, 0, 2]))).unwrap(), [1, 2]);
    assert!(decode::<Vec<u16>>(&bytes(&UnknownLength(vec![]))).unwrap().is_empty());
    let nested = UnknownMap(vec![
        (1, UnknownLength(vec![3, 0])),
        (0, UnknownLength(vec![])),
        (2, UnknownLength(vec![])),
    ]);
    let read = decode::<BTreeMap<u16, Vec<u16>>>(&bytes(&nested)).unwrap();
    assert_eq!(read, BTreeMap::from([(1, vec![3]), (2, vec![])]));
    for announced in [0, 2, 5] {
        assert_eq!(decode::<Vec<u8>>(&bytes(&WrongLength(announced))).unwrap(), [7, 8]);
    }
}

#[test]
fn a_tuple_that_is_shorter_than_announced_is_refused() {
    let error = encode(&ShortTuple, &mut Vec::new()).unwrap_err();
    assert!(error.contains("announced 2 fields and wrote 1"), "{error}");
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = bytes(&everything());
    bytes.push(0);
    let error = decode::<Everything>(&bytes).unwrap_err();
    assert_eq!(error, "there is more data than the value takes");
    assert!(decode::<()>(&[0]).is_err());
}

#[test]
fn truncated_bytes_are_refused_wherever_they_end() {
    let bytes = bytes(&everything());
    for length in 0..bytes.len() {
        assert!(decode::<Everything>(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
    }
    assert_eq!(decode::<u64>(&[0; 7]).unwrap_err(), "the data ends before the value is complete");
}

#[test]
fn any_changed_byte_gives_a_value_or_an_error() {
    let bytes = bytes(&everything());
    for place in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut forged = bytes.clone();
            forged[place] ^= change;
            let _ = decode::<Everything>(&forged);
        }
    }
}

#[test]
fn a_forged_length_is_refused_without_allocating_it() {
    for length in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let forged = length.to_le_bytes();
        decode::<String>(&forged).unwrap_err();
        decode::<std::ffi::CString>(&forged).unwrap_err();
        decode::<Vec<u8>>(&forged).unwrap_err();
        decode::<Vec<[u64; 32]>>(&forged).unwrap_err();
        decode::<HashMap<u64, String>>(&forged).unwrap_err();
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Nothing {}

#[test]
fn a_forged_number_of_empty_elements_does_not_run_for_ever() {
    let error = decode::<Vec<()>>(&(u64::MAX - 1).to_le_bytes()).unwrap_err();
    assert!(error.contains("announces 18446744073709551614 elements"), "{error}");
    decode::<Vec<Nothing>>(&(u64::MAX - 1).to_le_bytes()).unwrap_err();
    decode::<BTreeMap<(), ()>>(&(u64::MAX - 1).to_le_bytes()).unwrap_err();
    // Each small enough, but many of them.
    let mut forged = 1000_u64.to_le_bytes().to_vec();
    (0..1000).for_each(|_| forged.extend(ELEMENTS_WITHOUT_BYTES.to_le_bytes()));
    decode::<Vec<Vec<()>>>(&forged).unwrap_err();
}

#[test]
fn what_could_not_be_read_for_its_length_is_not_written_either() {
    let most = usize::try_from(ELEMENTS_WITHOUT_BYTES).unwrap();
    assert_eq!(decode::<Vec<()>>(&bytes(&vec![(); most])).unwrap().len(), most);
    let error = encode(&vec![(); most + 100], &mut Vec::new()).unwrap_err();
    assert!(error.contains("take no space"), "{error}");
}

#[test]
fn nested_sequences_announce_no_more_elements_than_bytes() {
    comes_back(vec![vec![vec![1_u8; 40]; 40]; 40]);
    comes_back(vec![vec![Some(vec![false; 3]); 1000]; 3]);
}

#[test]
fn errors_are_sentences() {
    assert_eq!(decode::<bool>(&[2]).unwrap_err(), "a bool is 0 or 1, not 2");
    assert_eq!(decode::<Option<u8>>(&[7]).unwrap_err(), "an option starts with 0 or 1, not 7");
    assert!(
        decode::<String>(&[1, 0, 0, 0, 0, 0, 0, 0, 0xff]).unwrap_err().starts_with("a string is not UTF-8")
    );
    assert_eq!(decode::<char>(&[0xff; 4]).unwrap_err(), "a char is not UTF-8");
    assert!(decode::<Shape>(&[9, 0, 0, 0]).unwrap_err().contains("variant index"));
    assert!(decode::<serde_json::Value>(&[0]).unwrap_err().contains("checkpointed::self_describing"));
}

#[derive(Serialize, Deserialize)]
struct List {
    next: Option<Box<List>>,
}

#[test]
fn a_list_of_a_thousand_boxes_comes_back() {
    let list = (0..1000).fold(List { next: None }, |list, _| List { next: Some(Box::new(list)) });
    let bytes = bytes(&list);
    assert_eq!(bytes.len(), 1001);
    let list: List = decode(&bytes).unwrap();
    assert_eq!(self::bytes(&list), bytes);
}

/// Writes an array of one type of numbers and reads one of another.
#[cfg(feature = "half")]
struct Recast<W, R>(Vec<W>, std::marker::PhantomData<R>);

#[cfg(feature = "half")]
impl<W: Serialize, R> Serialize for Recast<W, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(feature = "half")]
impl<'de, W, R: Deserialize<'de>> Deserialize<'de> for Recast<W, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Recast<W, R>, D::Error> {
        Vec::<R>::deserialize(deserializer).map(|_| panic!("one type of numbers was read as another"))
    }
}

#[test]
#[cfg(feature = "half")]
fn the_two_floats_of_16_bits_and_integers_are_kept_apart() {
    fn refused<W: Serialize + 'static, R: DeserializeOwned + 'static>(number: W) {
        let state = Plain(Recast::<W, R>(vec![number], std::marker::PhantomData));
        let why = encode_as_read(&state, &mut Vec::new()).unwrap_err();
        assert!(why.contains("where its Deserialize reads"), "{why}");
    }
    use half::{bf16, f16};
    refused::<f16, bf16>(f16::ONE);
    refused::<bf16, f16>(bf16::ONE);
    refused::<f16, u16>(f16::ONE);
    refused::<u16, f16>(1);
    refused::<bf16, u16>(bf16::ONE);
    refused::<u16, bf16>(1);
    comes_back((f16::ONE, vec![bf16::ONE; 3], [f16::NEG_ONE; 2]));
}

/// Refuses every array, as a full disk does.
#[derive(Default)]
struct Full(ArrayPool);

fn full() -> Cause {
    io::Error::from(io::ErrorKind::StorageFull).into()
}

impl ArraySink for Full {
    fn takes(&self, _: usize) -> bool {
        true
    }

    fn put(&mut self, _: String, _: Array<'_>) -> Result<u64, Cause> {
        Err(full())
    }
}

impl ArraySource for Full {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.0
    }

    fn check(&mut self, _: Reference, _: Kind) -> Result<(), Cause> {
        Err(full())
    }

    fn fill(&mut self, _: Reference, _: &mut [u8]) -> Result<(), Cause> {
        Err(full())
    }

    fn bytes(&mut self, _: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        Err(full())
    }

    fn skip(&mut self, _: Reference) -> Result<(), Cause> {
        Err(full())
    }
}

/// Continues if its array cannot be written or read.
#[derive(Debug)]
struct Lenient(Vec<f64>);

impl Serialize for Lenient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(2)?;
        let _ = tuple.serialize_element(&self.0);
        tuple.serialize_element(&7_u8)?;
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lenient, D::Error> {
        struct Members;

        impl<'de> serde::de::Visitor<'de> for Members {
            type Value = Lenient;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an array and a number")
            }

            fn visit_seq<S: serde::de::SeqAccess<'de>>(self, mut members: S) -> Result<Lenient, S::Error> {
                let array = members.next_element().ok().flatten();
                members.next_element::<u8>()?;
                Ok(Lenient(array.unwrap_or_default()))
            }
        }

        deserializer.deserialize_tuple(2, Members)
    }
}

#[test]
fn the_error_of_a_sink_of_arrays_is_the_cause() {
    let state = (1_u8, Lenient(vec![0.5; 100]));
    let failure =
        codec::encode(&state, &Forms::unknown(), &mut Vec::new(), &mut Full::default()).unwrap_err();
    assert!(failure.to_string().starts_with("[1][0]: "), "{failure}");
    assert!(std::error::Error::source(&failure).is_some());
    assert_eq!(failure.into_source::<io::Error>().unwrap().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn the_error_of_a_source_of_arrays_is_the_cause() {
    let mut bytes = Vec::new();
    [u64::MAX, 0, 100].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    bytes.push(7);
    let room = Forms::unknown().room();
    let failure = codec::decode::<Lenient>(&bytes, room, &mut Full::default()).unwrap_err();
    let failure = failure.into_source::<NoMemory>().unwrap_err();
    assert_eq!(failure.into_source::<io::Error>().unwrap().kind(), io::ErrorKind::StorageFull);
}

#[cfg(target_os = "linux")]
#[test]
fn a_state_that_no_memory_holds_is_an_error() {
    struct Long;

    impl Serialize for Long {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(iter::repeat_n("x".repeat(1 << 20), 4096))
        }
    }

    const LITTLE_MEMORY: &str = "CHECKPOINTED_TEST_LITTLE_MEMORY";
    if env::var_os(LITTLE_MEMORY).is_some() {
        let (mut into, mut arrays) = (vec![1, 2, 3], Full::default());
        let failure = codec::encode(&Long, &Forms::unknown(), &mut into, &mut arrays).unwrap_err();
        assert!(failure.into_source::<NoMemory>().unwrap().bytes > 1 << 20);
        assert_eq!(into, [1, 2, 3]);
        return;
    }
    let name = "codec::tests::a_state_that_no_memory_holds_is_an_error";
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 1000000 && exec \"$0\" \"$@\""]).arg(env::current_exe().unwrap());
    let ended = limited.args(["--exact", name]).env(LITTLE_MEMORY, "").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.success() && said.contains("1 passed"), "{}: {ended:?}", ended.status);
}

#[test]
fn elements_that_are_left_unread_are_no_next_value() {
    #[derive(Debug)]
    struct First;
    impl<'de> Deserialize<'de> for First {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<First, D::Error> {
            struct One;
            impl<'de> serde::de::Visitor<'de> for One {
                type Value = First;
                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("a sequence")
                }
                fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<First, A::Error> {
                    seq.next_element::<u64>().map(|_| First)
                }
            }
            deserializer.deserialize_seq(One)
        }
    }
    // Without the check, the second list would be read from the elements left of the first.
    let mut bytes = Vec::new();
    encode(&(vec![7_u64, 1, 5], vec![9_u64]), &mut bytes).unwrap();
    let error = decode::<(First, Vec<u64>)>(&bytes).unwrap_err();
    assert!(error.contains("leaves 2 elements unread"), "{error}");
}

#[test]
fn a_tuple_that_never_ends_is_refused() {
    let (forms, mut bytes, mut arrays) = (Forms::unknown(), Vec::new(), Full::default());
    let slots = forms.slots();
    let mut writer = super::Writer::new(&mut bytes, &forms, &slots, &mut arrays);
    let mut tuple = writer.outermost().serialize_tuple(2).unwrap();
    // Begins where four thousand million values were written already.
    tuple.written = u32::MAX - 2;
    (0..5).for_each(|_| tuple.serialize_element(&()).unwrap());
    let why = tuple.end().unwrap_err().to_string();
    assert!(why.contains("announced 2 fields and wrote 4294967295"), "{why}");
}

/// Writes a sequence, and reads a fixed array.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct One(#[serde(deserialize_with = "one")] Vec<f64>);

fn one<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    FixedArrays::<Fixed<Same>>::deserialize::<[f64; 64], D>(deserializer).map(|one| one.to_vec())
}

/// Writes a sequence element by element, and reads fixed arrays.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Many(#[serde(deserialize_with = "many")] VecDeque<u8>);

fn many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VecDeque<u8>, D::Error> {
    let many = FixedArrays::<Rows<Fixed<Same>>>::deserialize::<Vec<[u8; 40]>, D>(deserializer)?;
    Ok(many.into_flattened().into())
}

#[test]
fn a_sequence_of_another_length_than_its_fixed_array_is_refused() {
    fn is_refused<T: Serialize + DeserializeOwned + 'static>(value: T, length: usize, read: &str) {
        let why = encode_as_read(&Plain((1_u8, value)), &mut Vec::new()).unwrap_err();
        let differs = format!("[1]: its Serialize writes {length} values where its Deserialize reads {read}");
        assert!(why.starts_with(&differs), "{why}");
    }
    comes_back((1_u8, One(vec![0.5; 64])));
    for length in [0, 10, 63, 65, 128] {
        is_refused(One(vec![0.5; length]), length, "a fixed array of [64] values");
    }
    for length in [0, 40, 120] {
        comes_back((1_u8, Many(vec![7; length].into())));
    }
    for length in [1, 39, 41] {
        is_refused(Many(vec![7; length].into()), length, "fixed arrays of [40] values");
    }
}
