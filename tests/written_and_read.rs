//! What a type's `Serialize` writes is what its `Deserialize` reads, or it is refused when it is
//! saved.
//!
//! The types are as another crate may have them: with serde's own derives, or written by hand.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Debug};

use checkpointed::{CheckpointReader, Checkpointer, Plain, checkpointed};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::ser::{SerializeSeq as _, SerializeStruct as _, SerializeTuple as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::common::saved::{comes_back, loaded, refusal, saved, says};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[allow(dead_code, reason = "what is skipped is never made")]
enum Setting {
    Off,
    #[serde(skip)]
    Internal,
    Heat(f64),
    #[serde(skip)]
    Broken,
    Cool {
        degrees: f64,
    },
    Dry(u8, u8),
}

#[test]
fn a_skipped_variant_does_not_turn_one_into_the_next() {
    comes_back(vec![Setting::Cool { degrees: 20.0 }, Setting::Heat(20.0), Setting::Dry(1, 2), Setting::Off]);
    comes_back(BTreeMap::from([(7_u8, Some(Setting::Heat(1.0)))]));
}

/// Numbers its variants from the end.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
enum Backwards {
    First,
    Second,
    Third,
}

impl Serialize for Backwards {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (index, name) = match self {
            Backwards::First => (2, "First"),
            Backwards::Second => (7, "Second"),
            Backwards::Third => (0, "Third"),
        };
        serializer.serialize_unit_variant("Backwards", index, name)
    }
}

#[test]
fn variants_go_by_their_names_and_not_by_their_numbers() {
    comes_back([Backwards::First, Backwards::Second, Backwards::Third]);
}

#[derive(Debug, Serialize, Deserialize)]
#[allow(dead_code, reason = "it is only read")]
struct Shifted {
    #[serde(skip_serializing, default)]
    read: u32,
    #[serde(skip_deserializing)]
    written: u32,
    both: u32,
}

#[test]
fn a_field_written_in_the_place_of_another_is_refused() {
    let why = refusal(vec![Shifted { read: 1, written: 2, both: 3 }]);
    says(
        &why,
        &[
            "[0]: ",
            "`Shifted`",
            "writes the field `written`",
            "reads `read`",
            "checkpointed::self_describing",
        ],
    );
}

#[derive(Debug, Serialize, Deserialize)]
struct OnlyWritten {
    both: u32,
    #[serde(skip_deserializing)]
    written: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[allow(dead_code, reason = "it is only read")]
struct OnlyRead {
    both: u32,
    #[serde(skip_serializing, default)]
    read: u32,
}

#[test]
fn a_field_that_only_one_side_has_is_refused() {
    let why = refusal(BTreeMap::from([("a".to_owned(), OnlyWritten { both: 1, written: 2 })]));
    says(&why, &["[a]: ", "writes the field `written`, which its Deserialize does not read"]);
    let why = refusal((7_u8, OnlyRead { both: 1, read: 2 }));
    says(&why, &["[1]: ", "does not write the field `read`, which its Deserialize reads"]);
}

#[derive(Debug, Serialize, Deserialize)]
struct Narrowed {
    #[serde(deserialize_with = "narrow")]
    count: u64,
}

fn narrow<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    u32::deserialize(deserializer).map(u64::from)
}

/// Writes wide nanoseconds and reads narrower ones, as a date's own functions may.
#[derive(Debug, Serialize, Deserialize)]
struct Stamped {
    #[serde(with = "nanoseconds")]
    at: Option<i64>,
}

mod nanoseconds {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_some(&i128::from(*at)),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
        Option::<i64>::deserialize(deserializer)
    }
}

#[test]
fn a_number_of_another_width_is_refused() {
    let why = refusal(vec![Narrowed { count: 1 }]);
    says(
        &why,
        &["[0].count: ", "writes u64 where its Deserialize reads u32", "checkpointed::self_describing"],
    );
    let why = refusal(Stamped { at: Some(7) });
    says(&why, &["at: ", "writes i128 where its Deserialize reads i64"]);
    comes_back(vec![0_u8; 3]);
}

/// Writes a sequence of floats and reads one of integers.
#[derive(Debug)]
struct Floats(Vec<f64>);

impl Serialize for Floats {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Floats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Floats, D::Error> {
        let read = Vec::<u64>::deserialize(deserializer)?;
        Ok(Floats(read.into_iter().map(f64::from_bits).collect()))
    }
}

/// Writes its fields in another order than it reads them.
#[derive(Debug, Deserialize)]
#[allow(dead_code, reason = "they are only read")]
struct Reordered {
    first: u16,
    second: u16,
}

impl Serialize for Reordered {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Reordered", 2)?;
        fields.serialize_field("second", &self.second)?;
        fields.serialize_field("first", &self.first)?;
        fields.end()
    }
}

/// Writes three numbers and reads two.
#[derive(Debug)]
struct Longer;

impl Serialize for Longer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (1_u8, 2_u8, 3_u8).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Longer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Longer, D::Error> {
        <(u8, u8)>::deserialize(deserializer).map(|_| Longer)
    }
}

#[test]
fn other_arrays_orders_and_lengths_are_refused() {
    says(&refusal((0_u8, Floats(vec![1.5; 10_000]))), &["[1]: ", "an array of <f8 where", "reads u64"]);
    let why = refusal(Reordered { first: 1, second: 2 });
    says(&why, &["writes the field `second` where its Deserialize reads `first`"]);
    says(&refusal(Some(Longer)), &["writes 3 values where its Deserialize reads 2 values"]);
}

#[test]
fn what_differs_only_in_names_that_take_no_space_is_saved() {
    /// Writes a struct and reads a tuple, and the other way round.
    #[derive(Debug, PartialEq)]
    struct Point(u8, u16);

    impl Serialize for Point {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut fields = serializer.serialize_struct("Point", 2)?;
            fields.serialize_field("x", &self.0)?;
            fields.serialize_field("y", &self.1)?;
            fields.end()
        }
    }

    impl<'de> Deserialize<'de> for Point {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Point, D::Error> {
            <(u8, u16)>::deserialize(deserializer).map(|(x, y)| Point(x, y))
        }
    }

    /// Writes a map as a sequence of pairs.
    #[derive(Debug, PartialEq, Deserialize)]
    struct Pairs(BTreeMap<u8, String>);

    impl Serialize for Pairs {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(&self.0)
        }
    }

    comes_back(vec![Point(1, 2)]);
    comes_back(Pairs([(1, "one".to_owned()), (2, String::new())].into()));
}

#[test]
fn a_type_that_passes_over_a_failure_is_not_saved() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "it is only read")]
    struct Lenient(Vec<Narrowed>);

    impl Serialize for Lenient {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut elements = serializer.serialize_seq(Some(self.0.len()))?;
            for element in &self.0 {
                let _ = elements.serialize_element(element);
            }
            elements.end()
        }
    }

    says(&refusal(Lenient(vec![Narrowed { count: 1 }])), &["[0].count: ", "writes u64"]);
}

/// A number that no sample is, so that its form and that of what follows it cannot be found out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Odd(u32);

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Odd, D::Error> {
        match u32::deserialize(deserializer)? {
            number @ 7_654_321.. => Ok(Odd(number)),
            number => Err(D::Error::custom(format!("{number} is too small"))),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Started,
    Measured { values: Vec<f64>, by: Option<String> },
    Moved(i8, i8),
    Named(String),
}

/// What is behind the number is not known.
#[derive(Clone, Debug, PartialEq)]
struct Entry<E>(Odd, E);

impl<E: Serialize> Serialize for Entry<E> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.0, &self.1).serialize(serializer)
    }
}

impl<'de, E: Deserialize<'de>> Deserialize<'de> for Entry<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Entry<E>, D::Error> {
        <(Odd, E)>::deserialize(deserializer).map(|(odd, rest)| Entry(odd, rest))
    }
}

/// Needs a context to be read in, which is not there when the form of the type is found out.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Contextual<E>(E);

thread_local! {
    static CONTEXT: Cell<bool> = const { Cell::new(false) };
}

impl<'de, E: Deserialize<'de>> Deserialize<'de> for Contextual<E> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Contextual<E>, D::Error> {
        if CONTEXT.get() {
            E::deserialize(deserializer).map(Contextual)
        } else {
            Err(D::Error::custom("there is no context"))
        }
    }
}

#[test]
fn what_was_written_completes_what_could_not_be_found_out() {
    let state = vec![
        Contextual(Event::Named("a".to_owned())),
        Contextual(Event::Measured { values: vec![0.5; 4], by: None }),
        Contextual(Event::Started),
        Contextual(Event::Measured { values: vec![], by: Some("b".to_owned()) }),
    ];
    let before = Plain(state);
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::open(directory.path()).unwrap();
    let mut reader = CheckpointReader::<Plain<Vec<Contextual<Event>>>>::open(directory.path()).unwrap();
    CONTEXT.set(true);
    checkpoints.save(&before).unwrap();
    assert_eq!(reader.load().unwrap().unwrap(), before);
    CONTEXT.set(false);
    assert!(reader.last_load().unwrap().differences.is_empty());
    let schema = format!("{:?}", reader.manifest(1).unwrap().schema());
    says(&schema, &["observed: true", "Measured", "values", "Named", "F64"]);

    // Other variants, in another order, with other types inside.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Changed {
        Named(String),
        Added,
        Measured {
            by: Option<String>,
            values: VecDeque<f64>,
            #[serde(default)]
            note: u8,
        },
        Started,
    }
    let measured = |values: [f64; 4], count: usize, by: Option<&str>| {
        let values = values.into_iter().take(count).collect();
        Contextual(Changed::Measured { values, by: by.map(str::to_owned), note: 0 })
    };
    let expected = [
        Contextual(Changed::Named("a".to_owned())),
        measured([0.5; 4], 4, None),
        Contextual(Changed::Started),
        measured([0.5; 4], 0, Some("b")),
    ];
    let mut reader = CheckpointReader::<Plain<Vec<Contextual<Changed>>>>::open(directory.path()).unwrap();
    CONTEXT.set(true);
    assert_eq!(reader.load().unwrap().unwrap().0, expected);
    CONTEXT.set(false);
}

#[test]
fn a_changed_state_beside_a_completed_part_loads() {
    #[checkpointed(name = "state")]
    struct Before {
        gone: Entry<(u16, String)>,
        kept: Entry<Vec<u32>>,
    }
    #[checkpointed(name = "state")]
    #[derive(Debug, PartialEq)]
    struct After {
        kept: Entry<Vec<u32>>,
        #[serde(default)]
        added: u8,
    }
    let odd = Odd(u32::MAX);
    let gone = Entry(odd, (3, "gone".to_owned()));
    let directory = saved(&Before { gone, kept: Entry(odd, vec![1, 2]) }).unwrap();
    let after = loaded::<After>(&directory).unwrap();
    assert_eq!(after, After { kept: Entry(odd, vec![1, 2]), added: 0 });
}

/// Text for small numbers, and the number itself for large ones.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Varying(u8);

impl Serialize for Varying {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_tuple(3)?;
        parts.serialize_element(&(self.0 < 100))?;
        if self.0 < 100 {
            parts.serialize_element(&self.0.to_string())?;
        } else {
            parts.serialize_element(&self.0)?;
        }
        parts.serialize_element(&7_u16)?;
        parts.end()
    }
}

impl<'de> Deserialize<'de> for Varying {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Varying, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Varying;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a number")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Varying, A::Error> {
                let number = if parts.next_element()? == Some(true) {
                    let text: Option<String> = parts.next_element()?;
                    text.and_then(|text| text.parse().ok())
                } else {
                    parts.next_element()?.filter(|number| *number >= 100)
                };
                let number = number.ok_or_else(|| A::Error::custom("no number"))?;
                match parts.next_element::<u16>()? {
                    Some(_) => Ok(Varying(number)),
                    None => Err(A::Error::custom("it is too short")),
                }
            }
        }

        deserializer.deserialize_tuple(3, Parts)
    }
}

#[test]
fn a_form_that_depends_on_the_data_stays_unknown_and_loads() {
    let state = vec![Varying(3), Varying(200), Varying(9)];
    comes_back(state.clone());
    let directory = saved(&Plain(state.clone())).unwrap();
    let reader = CheckpointReader::<Plain<Vec<Varying>>>::open(directory.path()).unwrap();
    says(&format!("{:?}", reader.manifest(1).unwrap().schema()), &["Opaque"]);

    // Also beside a change.
    #[derive(Serialize, Deserialize)]
    struct Before {
        varying: Vec<Varying>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Before")]
    struct After {
        #[serde(default)]
        added: u8,
        varying: Vec<Varying>,
    }
    let directory = saved(&Plain(Before { varying: state.clone() })).unwrap();
    assert_eq!(loaded::<Plain<After>>(&directory).unwrap().0, After { added: 0, varying: state });
}

/// Takes a `u32` and no other number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Exactly(u32);

impl<'de> Deserialize<'de> for Exactly {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Exactly, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = u32;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a u32")
            }

            fn visit_u32<E: serde::de::Error>(self, number: u32) -> Result<u32, E> {
                Ok(number)
            }
        }

        deserializer.deserialize_u32(Number).map(Exactly)
    }
}

/// A struct that is read from a sequence alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Sequence {
    length: u64,
    text: String,
}

impl<'de> Deserialize<'de> for Sequence {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sequence, D::Error> {
        struct Parts;

        impl<'de> Visitor<'de> for Parts {
            type Value = Sequence;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Sequence, A::Error> {
                match (parts.next_element()?, parts.next_element()?) {
                    (Some(length), Some(text)) => Ok(Sequence { length, text }),
                    _ => Err(A::Error::custom("it is too short")),
                }
            }
        }

        deserializer.deserialize_struct("Sequence", &["length", "text"], Parts)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Parts {
    One(Exactly),
    Two(Sequence, Exactly),
    Named { exactly: Exactly, sequence: Sequence },
}

#[test]
fn what_did_not_change_is_read_as_if_nothing_had_changed() {
    #[derive(Serialize, Deserialize)]
    struct Before {
        exactly: Vec<Exactly>,
        gone: u8,
        sequence: BTreeMap<String, Sequence>,
        parts: (u8, Vec<Parts>),
        wrapped: Option<Exactly>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Before")]
    struct After {
        parts: (u16, Vec<Parts>),
        exactly: Vec<Exactly>,
        sequence: BTreeMap<String, Sequence>,
        wrapped: Option<Exactly>,
    }
    let sequence = || Sequence { length: 7, text: "seven".to_owned() };
    let parts = || {
        let named = Parts::Named { exactly: Exactly(4), sequence: sequence() };
        vec![Parts::One(Exactly(2)), Parts::Two(sequence(), Exactly(3)), named]
    };
    let map = || BTreeMap::from([("a".to_owned(), sequence())]);
    let before = Before {
        exactly: vec![Exactly(1)],
        gone: 1,
        sequence: map(),
        parts: (8, parts()),
        wrapped: Some(Exactly(5)),
    };
    let after =
        After { parts: (8, parts()), exactly: vec![Exactly(1)], sequence: map(), wrapped: Some(Exactly(5)) };
    let directory = saved(&Plain(before)).unwrap();
    assert_eq!(loaded::<Plain<After>>(&directory).unwrap().0, after);
}

/// Reads a text that lies in the input, and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        <&str>::deserialize(deserializer).map(|text| Text(text.to_owned()))
    }
}

/// Writes an array of bytes, and reads bytes that lie in the input.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Bytes(Vec<u8>);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        <&[u8]>::deserialize(deserializer).map(|bytes| Bytes(bytes.to_vec()))
    }
}

#[test]
fn borrowed_data_is_read_from_changed_and_unchanged_states() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Borrowing {
        set: fixedbitset::FixedBitSet,
        text: Text,
        bytes: Bytes,
        more: Vec<(Bytes, Text)>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Borrowing")]
    struct Changed {
        more: Vec<(Bytes, Text)>,
        #[serde(default)]
        added: u8,
        text: Text,
        set: fixedbitset::FixedBitSet,
        bytes: Bytes,
    }
    /// The same in other wrappers, so that no part is the same as before.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Borrowing")]
    struct Wrapped {
        text: Option<Text>,
        bytes: Option<Bytes>,
        more: Vec<(Option<Bytes>, Option<Text>)>,
    }
    let mut set = fixedbitset::FixedBitSet::with_capacity(300);
    set.extend([1, 77, 299]);
    let (text, bytes) = (Text("täxt".to_owned()), Bytes(vec![7; 100_000]));
    let more = vec![(Bytes(vec![]), Text(String::new())), (Bytes(vec![1; 3]), text.clone())];
    let state = Borrowing { set: set.clone(), text: text.clone(), bytes: bytes.clone(), more: more.clone() };
    comes_back(state.clone());

    let directory = saved(&Plain(state)).unwrap();
    let changed = loaded::<Plain<Changed>>(&directory).unwrap().0;
    let expected = Changed { more: more.clone(), added: 0, text: text.clone(), set, bytes: bytes.clone() };
    assert_eq!(changed, expected);
    let wrapped = loaded::<Plain<Wrapped>>(&directory).unwrap().0;
    let more = more.into_iter().map(|(bytes, text)| (Some(bytes), Some(text))).collect();
    assert_eq!(wrapped, Wrapped { text: Some(text), bytes: Some(bytes), more });
}
