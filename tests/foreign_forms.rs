//! Types of other crates whose form depends on their data, or whose serde code is at odds with
//! itself: each comes back as it was, or is refused with the place and a way out.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::marker::PhantomData;

use checkpointed::{CheckpointReader, Error, Plain, checkpointed};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::{SerializeStruct as _, SerializeTuple};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::common::saved::{comes_back, loaded, refusal, saved, says};

/// The parts of a value, as code that was written by hand hands them over.
trait Parts: Sized {
    /// How many are asked for.
    const ASKED: usize;

    /// How many are written.
    fn count(&self) -> usize;

    fn write<S: SerializeTuple>(&self, parts: &mut S) -> Result<(), S::Error>;

    fn read<'de, A: SeqAccess<'de>>(parts: A) -> Result<Self, A::Error>;
}

#[derive(Clone, Debug, PartialEq)]
struct Hand<P>(P);

impl<P: Parts> Serialize for Hand<P> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_tuple(self.0.count())?;
        self.0.write(&mut parts)?;
        parts.end()
    }
}

impl<'de, P: Parts> Deserialize<'de> for Hand<P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hand<P>, D::Error> {
        struct Reading<P>(PhantomData<P>);

        impl<'de, P: Parts> Visitor<'de> for Reading<P> {
            type Value = P;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("parts")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<P, A::Error> {
                P::read(parts)
            }
        }

        deserializer.deserialize_tuple(P::ASKED, Reading(PhantomData)).map(Hand)
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(parts: &mut A) -> Result<T, A::Error> {
    parts.next_element()?.ok_or_else(|| A::Error::custom("too few parts"))
}

/// A number or a text, after what tells which.
#[derive(Clone, Debug, PartialEq)]
enum Either {
    Number(u32),
    Text(String),
}

/// A type of tags: a number comes after the one, a text after the other, and no other is there.
trait Tag: Serialize + DeserializeOwned + PartialEq + Clone + Debug {
    fn of_number() -> Self;
    fn of_text() -> Self;
}

macro_rules! tags {
    ($($tag:ty: $number:expr, $text:expr;)*) => {$(
        impl Tag for $tag {
            fn of_number() -> $tag {
                $number
            }

            fn of_text() -> $tag {
                $text
            }
        }
    )*};
}

tags! {
    bool: false, true;
    u8: 1, 0;
    i16: 3, 2;
    u64: 128, 1;
    char: 'a', '0';
    f64: 1.0, 0.5;
    Option<u8>: None, Some(1);
    Vec<u8>: vec![1, 1], Vec::new();
    String: "1".to_owned(), "UTC".to_owned();
    (bool, bool): (false, false), (true, true);
    Way: Way::There, Way::Back;
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Way {
    There,
    Back,
}

#[derive(Clone, Debug, PartialEq)]
struct Tagged<T>(Either, PhantomData<T>);

fn number<T>(number: u32) -> Hand<Tagged<T>> {
    Hand(Tagged(Either::Number(number), PhantomData))
}

fn text<T>(text: &str) -> Hand<Tagged<T>> {
    Hand(Tagged(Either::Text(text.to_owned()), PhantomData))
}

impl<T: Tag> Parts for Tagged<T> {
    const ASKED: usize = 3;

    fn count(&self) -> usize {
        3
    }

    fn write<S: SerializeTuple>(&self, parts: &mut S) -> Result<(), S::Error> {
        match &self.0 {
            Either::Number(number) => {
                parts.serialize_element(&T::of_number())?;
                parts.serialize_element(number)?;
            }
            Either::Text(text) => {
                parts.serialize_element(&T::of_text())?;
                parts.serialize_element(text)?;
            }
        }
        parts.serialize_element(&7_u16)
    }

    fn read<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<Tagged<T>, A::Error> {
        let tag: T = next(&mut parts)?;
        let either = if tag == T::of_number() {
            Either::Number(next(&mut parts)?)
        } else if tag == T::of_text() {
            Either::Text(next(&mut parts)?)
        } else {
            return Err(A::Error::custom("another tag"));
        };
        let _: u16 = next(&mut parts)?;
        Ok(Tagged(either, PhantomData))
    }
}

fn both_ways<T: Tag + 'static>() {
    comes_back(vec![number::<T>(1), text("two"), number(3)]);
    comes_back(vec![text::<T>("two")]);
    comes_back(vec![number::<T>(3)]);
}

#[test]
fn a_form_that_a_tag_tells_is_written_and_read() {
    both_ways::<bool>();
    both_ways::<u8>();
    both_ways::<i16>();
    both_ways::<u64>();
    both_ways::<char>();
    both_ways::<f64>();
    both_ways::<Option<u8>>();
    both_ways::<Vec<u8>>();
    both_ways::<String>();
    both_ways::<(bool, bool)>();
    both_ways::<Way>();
}

#[test]
fn a_form_that_a_tag_tells_is_found_inside_other_types() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Outer {
        Nothing,
        Single { of: Option<Box<Hand<Tagged<u8>>>> },
        Many(BTreeMap<String, Vec<Inner>>, u8),
    }

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        checked: std::num::NonZeroU8,
        tagged: Hand<Tagged<i16>>,
        within: Vec<Outer>,
    }

    let one = std::num::NonZeroU8::MIN;
    let single = |of| Outer::Single { of: Some(Box::new(of)) };
    let inner = |tagged, within| Inner { checked: one, tagged, within };
    let many = vec![
        inner(number(1), vec![single(text("in")), Outer::Nothing]),
        inner(text("two"), vec![single(number(3))]),
    ];
    comes_back(vec![single(number(1)), single(text("two")), Outer::Many([(String::new(), many)].into(), 4)]);
}

/// So many bytes follow as a first one says, of up to eight that are asked for.
#[derive(Clone, Debug, PartialEq)]
struct Counted(Vec<u8>);

impl Parts for Counted {
    const ASKED: usize = 9;

    fn count(&self) -> usize {
        self.0.len() + 1
    }

    fn write<S: SerializeTuple>(&self, parts: &mut S) -> Result<(), S::Error> {
        parts.serialize_element(&u8::try_from(self.0.len()).unwrap())?;
        self.0.iter().try_for_each(|byte| parts.serialize_element(byte))
    }

    fn read<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<Counted, A::Error> {
        let count: u8 = next(&mut parts)?;
        (0..count).map(|_| next(&mut parts)).collect::<Result<_, _>>().map(Counted)
    }
}

/// Two of four that it asks for.
#[derive(Clone, Debug, PartialEq)]
struct Fewer(u8, String);

impl Parts for Fewer {
    const ASKED: usize = 4;

    fn count(&self) -> usize {
        2
    }

    fn write<S: SerializeTuple>(&self, parts: &mut S) -> Result<(), S::Error> {
        parts.serialize_element(&self.0)?;
        parts.serialize_element(&self.1)
    }

    fn read<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<Fewer, A::Error> {
        Ok(Fewer(next(&mut parts)?, next(&mut parts)?))
    }
}

#[test]
fn a_number_of_parts_that_the_data_tell_is_written_and_read() {
    comes_back(vec![Hand(Counted(vec![1, 2, 3])), Hand(Counted(Vec::new())), Hand(Counted(vec![4; 8]))]);
    comes_back((Hand(Counted(vec![1])), 2_u8, vec![Hand(Fewer(3, "four".to_owned())); 2]));
}

/// A struct with a second field where the first one says so.
#[derive(Clone, Debug, PartialEq)]
struct Maybe(Option<u64>);

impl Serialize for Maybe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Maybe", 1 + usize::from(self.0.is_some()))?;
        fields.serialize_field("has", &self.0.is_some())?;
        if let Some(number) = &self.0 {
            fields.serialize_field("number", number)?;
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for Maybe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Maybe, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Maybe;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("struct Maybe")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<Maybe, A::Error> {
                Ok(Maybe(if next(&mut fields)? { Some(next(&mut fields)?) } else { None }))
            }
        }

        deserializer.deserialize_struct("Maybe", &["has", "number"], Fields)
    }
}

/// Elements of which an earlier one tells what the later ones are, through a seed.
#[derive(Clone, Debug, PartialEq)]
struct Seeded {
    is_wide: bool,
    numbers: Vec<u64>,
}

struct Width(bool);

impl<'de> DeserializeSeed<'de> for Width {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        if self.0 { u64::deserialize(deserializer) } else { u8::deserialize(deserializer).map(u64::from) }
    }
}

impl Serialize for Seeded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut parts = serializer.serialize_tuple(3)?;
        parts.serialize_element(&self.is_wide)?;
        for number in &self.numbers {
            if self.is_wide {
                parts.serialize_element(number)?;
            } else {
                parts.serialize_element(&u8::try_from(*number).unwrap())?;
            }
        }
        parts.end()
    }
}

impl<'de> Deserialize<'de> for Seeded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seeded, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Seeded;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("numbers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Seeded, A::Error> {
                let is_wide = next(&mut parts)?;
                let mut numbers = Vec::new();
                while let Some(number) = parts.next_element_seed(Width(is_wide))? {
                    numbers.push(number);
                }
                Ok(Seeded { is_wide, numbers })
            }
        }

        deserializer.deserialize_tuple(3, Reading)
    }
}

#[test]
fn fields_and_seeds_that_the_data_tell_are_written_and_read() {
    comes_back((vec![Maybe(None), Maybe(Some(1)), Maybe(None)], 2_u8));
    let wide = Seeded { is_wide: true, numbers: vec![1 << 40, 2] };
    comes_back(vec![Seeded { is_wide: false, numbers: vec![3, 4] }, wide]);
}

/// A number, or after a tag that no sample is, a text.
#[derive(Clone, Debug, PartialEq)]
struct Rare(Either);

impl Parts for Rare {
    const ASKED: usize = 2;

    fn count(&self) -> usize {
        2
    }

    fn write<S: SerializeTuple>(&self, parts: &mut S) -> Result<(), S::Error> {
        match &self.0 {
            Either::Number(number) => {
                parts.serialize_element(&0_u32)?;
                parts.serialize_element(number)
            }
            Either::Text(text) => {
                parts.serialize_element(&7_654_321_u32)?;
                parts.serialize_element(text)
            }
        }
    }

    fn read<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<Rare, A::Error> {
        match next::<u32, _>(&mut parts)? {
            7_654_321 => next(&mut parts).map(Either::Text),
            _ => next(&mut parts).map(Either::Number),
        }
        .map(Rare)
    }
}

#[test]
fn a_form_that_no_sample_shows_is_refused_with_a_way_out() {
    let rare = || vec![Hand(Rare(Either::Number(1))), Hand(Rare(Either::Text("two".to_owned())))];
    let why = refusal((1_u8, rare()));
    says(&why, &["[1][1][1]: ", "writes a string where its Deserialize reads u32", "depends on its data"]);
    says(&why, &["#[serde(with = \"checkpointed::self_describing\")] on its field"]);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct State {
        #[serde(with = "checkpointed::self_describing")]
        rare: Vec<Hand<Rare>>,
    }
    let state = State { rare: rare() };
    assert_eq!(loaded::<State>(&saved(&state).unwrap()).unwrap(), state);
}

/// Three layouts, of which the newest is written and all are read.
#[derive(Clone, Debug, PartialEq)]
struct Versioned(u64);

impl Parts for Versioned {
    const ASKED: usize = 2;

    fn count(&self) -> usize {
        2
    }

    fn write<S: SerializeTuple>(&self, parts: &mut S) -> Result<(), S::Error> {
        parts.serialize_element(&3_u16)?;
        parts.serialize_element(&self.0)
    }

    fn read<'de, A: SeqAccess<'de>>(mut parts: A) -> Result<Versioned, A::Error> {
        match next::<u16, _>(&mut parts)? {
            1 => next::<u8, _>(&mut parts).map(|number| Versioned(number.into())),
            2 => next::<u32, _>(&mut parts).map(|number| Versioned(number.into())),
            3 => next(&mut parts).map(Versioned),
            _ => Err(A::Error::custom("another version")),
        }
    }
}

#[test]
fn a_type_that_reads_older_layouts_is_saved_in_its_newest() {
    #[derive(Serialize, Deserialize)]
    struct Before {
        versioned: Vec<Hand<Versioned>>,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Before")]
    struct After {
        #[serde(default)]
        added: u8,
        versioned: Vec<Hand<Versioned>>,
    }
    let versioned = vec![Hand(Versioned(1 << 40)); 3];
    comes_back(versioned.clone());
    let directory = saved(&Plain(Before { versioned: versioned.clone() })).unwrap();
    assert_eq!(loaded::<Plain<After>>(&directory).unwrap().0, After { added: 0, versioned });
}

macro_rules! enums_with_a_skipped_variant {
    ($($name:ident: $(#[$first:meta])* A, $(#[$second:meta])* B, $(#[$third:meta])* C, $(#[$fourth:meta])* D;)*) => {$({
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        #[allow(dead_code, reason = "what is skipped is never made")]
        enum $name {
            $(#[$first])*
            A(u32),
            $(#[$second])*
            B(u32),
            $(#[$third])*
            C(u32),
            $(#[$fourth])*
            D(u32),
        }

        for value in [$name::A(1), $name::B(2), $name::C(3), $name::D(4)] {
            // A skipped variant cannot be saved, and all others come back.
            if serde_json::to_string(&value).is_ok() {
                comes_back(vec![value]);
            }
        }
    })*};
}

#[test]
fn aliases_do_not_hide_a_skipped_variant_in_any_order() {
    enums_with_a_skipped_variant! {
        First: #[serde(skip)] A, #[serde(alias = "z")] B, C, D;
        Second: A, #[serde(skip)] B, #[serde(alias = "a")] C, D;
        Third: #[serde(alias = "z", alias = "a")] A, B, #[serde(skip)] C, D;
        Fourth: A, #[serde(alias = "M")] B, C, #[serde(skip)] D;
        Between: A, #[serde(skip)] B, #[serde(alias = "0", alias = "B", alias = "x")] C, #[serde(alias = "q")] D;
        Two: #[serde(alias = "q")] A, #[serde(skip)] B, #[serde(skip)] C, #[serde(alias = "A1")] D;
        Every: #[serde(skip)] A, #[serde(alias = "1")] B, #[serde(alias = "2")] C, #[serde(alias = "3")] D;
    }
}

#[test]
fn an_alias_in_a_foreign_type_is_one_line_of_the_report() {
    mod before {
        use super::*;

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(super) struct Particle {
            pub(super) speed: Vec<f32>,
            pub(super) phase: Phase,
        }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(super) enum Phase {
            Solid,
            Wet { depth: u8 },
            Gone,
        }
    }
    mod after {
        use super::*;

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(super) struct Particle {
            #[serde(alias = "speed", alias = "v")]
            pub(super) celerity: Vec<f64>,
            pub(super) phase: Phase,
        }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(super) enum Phase {
            Solid,
            #[serde(alias = "Wet")]
            Liquid {
                #[serde(alias = "depth")]
                height: u16,
            },
            Gone,
        }
    }
    let phases = [before::Phase::Solid, before::Phase::Wet { depth: 2 }, before::Phase::Gone];
    let wanted = [after::Phase::Solid, after::Phase::Liquid { height: 2 }, after::Phase::Gone];
    for (phase, wanted) in phases.into_iter().zip(wanted) {
        let state = Plain(before::Particle { speed: vec![1.5; 3], phase });
        let directory = saved(&state).unwrap();
        let mut reader = CheckpointReader::<Plain<after::Particle>>::open(directory.path()).unwrap();
        let loaded = reader.load().unwrap().unwrap().0;
        assert_eq!(loaded, after::Particle { celerity: vec![1.5; 3], phase: wanted });
        let differences = &reader.last_load().unwrap().differences;
        let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "speed → celerity: Vec<f32> → Vec<f64>",
                "phase::Wet → ::Liquid|Wet: a variant",
                "phase::Liquid|Wet.depth → height: u8 → u16",
            ]
        );
    }
}

/// Takes no sample, so that what is behind it is known from what is written alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Odd(u32);

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Odd, D::Error> {
        match u32::deserialize(deserializer)? {
            number @ 7_654_321.. => Ok(Odd(number)),
            _ => Err(D::Error::custom("too small")),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct List {
    value: u16,
    rest: Option<Box<List>>,
}

#[test]
fn a_long_list_of_unknown_form_loads_beside_a_change() {
    #[derive(Serialize, Deserialize)]
    struct Before {
        list: (Odd, List),
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Before")]
    struct After {
        #[serde(default)]
        added: u8,
        list: (Odd, List),
    }
    for length in [1, 23, 24, 25, 26, 500] {
        let mut list = List { value: 0, rest: None };
        for value in 1..length {
            list = List { value, rest: Some(Box::new(list)) };
        }
        let list = (Odd(u32::MAX), list);
        comes_back(list.clone());
        let directory = saved(&Plain(Before { list: list.clone() })).unwrap();
        assert_eq!(loaded::<Plain<After>>(&directory).unwrap().0, After { added: 0, list });
    }
}

#[test]
fn a_long_list_of_unknown_form_that_changed_loads_or_is_refused() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Wider {
        value: u64,
        rest: Option<Box<Wider>>,
    }
    for length in [1, 10, 11, 12, 13, 25, 500] {
        let mut before = List { value: 0, rest: None };
        let mut after = Wider { value: 0, rest: None };
        for value in 1..length {
            before = List { value, rest: Some(Box::new(before)) };
            after = Wider { value: value.into(), rest: Some(Box::new(after)) };
        }
        let directory = saved(&Plain((Odd(u32::MAX), before))).unwrap();
        match loaded::<Plain<(Odd, Wider)>>(&directory) {
            Ok(loaded) => assert_eq!(loaded.0.1, after),
            Err(error @ Error::SchemaMismatch { .. }) => says(&error.to_string(), &["List behind Odd"]),
            Err(error) => panic!("{length}: another error: {error}"),
        }
    }
}

/// Writes an array of one type of numbers and reads one of another.
#[derive(Clone)]
struct Recast<W, R>(Vec<W>, PhantomData<R>);

impl<W: Serialize, R> Serialize for Recast<W, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, W, R: Deserialize<'de>> Deserialize<'de> for Recast<W, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Recast<W, R>, D::Error> {
        Vec::<R>::deserialize(deserializer).map(|_| panic!("one type of numbers was read as another"))
    }
}

fn is_refused<W: Serialize + Clone + 'static, R: DeserializeOwned + 'static>(number: W) {
    for length in [1, 100_000] {
        let state = Plain((1_u8, Recast::<W, R>(vec![number.clone(); length], PhantomData)));
        match saved(&state) {
            Err(Error::Encode { why, .. }) => says(&why, &["[1]", "where its Deserialize reads"]),
            Err(error) => panic!("another error: {error}"),
            Ok(_) => panic!(
                "{length} of {} were saved to be read as {}",
                std::any::type_name::<W>(),
                std::any::type_name::<R>()
            ),
        }
    }
}

#[test]
fn an_array_of_one_type_of_numbers_is_never_read_as_another() {
    macro_rules! pairs {
        ($($one:ty: $value:expr, $other:ty: $also:expr;)*) => {$(
            is_refused::<$one, $other>($value);
            is_refused::<$other, $one>($also);
        )*};
    }
    pairs! {
        u128: 1, i128: 1;
        u64: 1, i64: 1;
        u64: 1, f64: 1.0;
        i64: 1, f64: 1.0;
        u32: 1, i32: 1;
        u32: 1, f32: 1.0;
        u16: 1, i16: 1;
        u8: 1, i8: 1;
        u8: 1, bool: true;
        i8: 1, bool: true;
        usize: 1, i64: 1;
        isize: 1, u64: 1;
        u32: 1, char: 'a';
        [u128; 2]: [1; 2], [i128; 2]: [1; 2];
        [u64; 2]: [1; 2], u128: 1;
        (u64, u64): (1, 1), [f64; 2]: [1.0; 2];
    }
}
