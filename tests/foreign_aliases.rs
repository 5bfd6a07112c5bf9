//! Types of other crates that hold one another and give aliases to their fields: each name is known
//! of its own field, at every level.

use std::collections::BTreeMap;
use std::fmt::Debug;

use checkpointed::{CheckpointReader, Plain, checkpointed};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::common::saved::{comes_back, saved};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Outer {
    count: u8,
    #[serde(alias = "former")]
    inner: Inner,
    #[serde(alias = "former_pair", alias = "oldest_pair")]
    pair: (Inner, Innermost<u16>),
    #[serde(alias = "former_form")]
    forms: Vec<Form>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Inner {
    #[serde(alias = "former", alias = "a", alias = "z")]
    innermost: Innermost<bool>,
    #[serde(alias = "former_list")]
    list: Vec<Innermost<String>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Innermost<T> {
    #[serde(alias = "former")]
    value: T,
    #[serde(alias = "again")]
    next: Option<Box<Innermost<T>>>,
    last: u8,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Form {
    One {
        #[serde(alias = "former")]
        inner: Innermost<u16>,
        #[serde(alias = "a")]
        size: u64,
    },
    Other {
        #[serde(alias = "former")]
        map: BTreeMap<u8, Form>,
        last: u8,
    },
    #[serde(alias = "Gone")]
    Done,
}

fn innermost<T: Clone>(value: &T) -> Innermost<T> {
    let next = Innermost { value: value.clone(), next: None, last: 2 };
    Innermost { value: value.clone(), next: Some(Box::new(next)), last: 1 }
}

fn inner() -> Inner {
    Inner { innermost: innermost(&true), list: vec![innermost(&"text".to_owned())] }
}

#[test]
fn aliases_at_every_level_are_saved_and_loaded() {
    let one = Form::One { inner: innermost(&7), size: 8 };
    let other = Form::Other { map: BTreeMap::from([(3, one.clone()), (4, Form::Done)]), last: 5 };
    let forms = vec![Form::Done, other, one];
    comes_back(Outer { count: 9, inner: inner(), pair: (inner(), innermost(&6)), forms });
}

/// All numbers are accepted, and those behind the last variant are that one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Status {
    #[serde(alias = "running", alias = "started")]
    Running(u8),
    Done {
        #[serde(alias = "result")]
        count: u16,
    },
    Failed,
    #[serde(other)]
    Unknown,
}

#[test]
fn aliases_of_variants_beside_one_for_all_others_are_saved() {
    let all = [Status::Running(1), Status::Done { count: 2 }, Status::Failed, Status::Unknown];
    for status in all.clone() {
        comes_back(status);
    }
    comes_back(all);
    let now = loaded_as::<_, [Later; 2]>([Status::Unknown, Status::Failed]).0;
    assert_eq!(now, [Later::Unknown, Later::Failed]);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Status")]
enum Later {
    Failed,
    Unknown,
}

/// A type of another crate around types of this one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Around<T> {
    within: T,
}

#[checkpointed]
#[derive(Debug, PartialEq)]
struct Own {
    count: u8,
    #[serde(alias = "old")]
    part: OwnPart,
}

#[checkpointed]
#[derive(Debug, PartialEq)]
struct OwnPart {
    #[serde(alias = "q")]
    value: bool,
    last: u8,
}

#[test]
fn aliases_of_own_types_below_a_foreign_one_are_saved() {
    comes_back(Around { within: Own { count: 1, part: OwnPart { value: true, last: 2 } } });
}

/// What is loaded from a state of another type, and the lines of the report.
#[track_caller]
fn loaded_as<A, B>(state: A) -> (B, Vec<String>)
where
    A: Serialize + DeserializeOwned + Debug + 'static,
    B: Serialize + DeserializeOwned + Debug + 'static,
{
    let directory = saved(&Plain(state)).unwrap();
    let mut reader = CheckpointReader::<Plain<B>>::open(directory.path()).unwrap();
    let loaded = reader.load().unwrap().unwrap().0;
    let differences = &reader.last_load().unwrap().differences;
    (loaded, differences.iter().map(ToString::to_string).collect())
}

mod before {
    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    pub(super) struct Particle {
        pub(super) place: Place,
        #[serde(alias = "m")]
        pub(super) mass: i64,
    }

    #[derive(Debug, Serialize, Deserialize)]
    pub(super) struct Place {
        #[serde(alias = "z")]
        pub(super) height: i64,
        pub(super) width: i64,
    }
}

mod after {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Particle {
        #[serde(alias = "place")]
        pub(super) position: Place,
        #[serde(alias = "m")]
        pub(super) mass: i64,
        #[serde(default, alias = "s")]
        pub(super) spin: i64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Place {
        #[serde(default)]
        pub(super) depth: i64,
        #[serde(alias = "h", alias = "height")]
        pub(super) elevation: i64,
        pub(super) width: i64,
    }
}

#[test]
fn a_change_beside_nested_aliases_loads_and_is_told_by_name() {
    let place = before::Place { height: 1, width: 2 };
    let (loaded, lines) = loaded_as::<_, after::Particle>(before::Particle { place, mass: 3 });
    let position = after::Place { depth: 0, elevation: 1, width: 2 };
    assert_eq!(loaded, after::Particle { position, mass: 3, spin: 0 });
    assert_eq!(
        lines,
        [
            "spin: absent in the checkpoint, i64 in this program",
            "place → position: Place",
            "position.depth: absent in the checkpoint, i64 in this program",
            "position.height → elevation: i64",
        ]
    );
}

mod phase {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Phase")]
    pub(super) enum Before {
        #[serde(alias = "Cooling")]
        CoolDown,
        Idle,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Phase")]
    pub(super) enum Split {
        Cooling,
        CoolDown,
        Idle,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Phase")]
    pub(super) enum Moved {
        Idle,
        CoolDown,
        Warm,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct State<P> {
        pub(super) phase: P,
    }
}

/// The refusal of a state as one of another type.
#[track_caller]
fn not_loaded_as<A, B>(state: A) -> String
where
    A: Serialize + DeserializeOwned + Debug + 'static,
    B: Serialize + DeserializeOwned + Debug + 'static,
{
    let directory = saved(&Plain(state)).unwrap();
    let mut reader = CheckpointReader::<Plain<B>>::open(directory.path()).unwrap();
    reader.load().unwrap_err().to_string()
}

#[test]
fn a_variant_whose_name_is_not_known_is_no_text() {
    use phase::{Before, State};
    let known = loaded_as::<_, State<String>>(State { phase: Before::Idle }).0;
    assert_eq!(known.phase, "Idle");
    let text = not_loaded_as::<_, State<String>>(State { phase: Before::CoolDown });
    assert!(text.contains("one of CoolDown, Cooling"), "{text}");
    let keys = |phase| State { phase: BTreeMap::from([(1_u8, [phase])]) };
    let text = not_loaded_as::<_, State<BTreeMap<u8, [String; 1]>>>(keys(Before::CoolDown));
    assert!(text.contains("one of CoolDown, Cooling"), "{text}");
}

/// The field, or what is around it, has another name now.
#[test]
fn a_renamed_place_gives_no_value_to_another_variant() {
    use phase::{Before, Moved, Split, State};

    #[checkpointed(name = "run")]
    #[derive(Debug, PartialEq)]
    struct Run<P> {
        #[serde(alias = "phase")]
        stage: P,
    }

    #[checkpointed(name = "run")]
    #[derive(Debug, PartialEq)]
    struct Former<P> {
        phase: P,
    }

    #[checkpointed(name = "Choice")]
    #[derive(Debug, PartialEq)]
    enum Kept<P> {
        Nothing,
        #[serde(alias = "Old")]
        New(P),
    }

    #[checkpointed(name = "Choice")]
    #[derive(Debug, PartialEq)]
    enum Old<P> {
        Nothing,
        Old(P),
    }
    // As in a field of the same name.
    assert_eq!(loaded_as::<_, Run<Before>>(Former { phase: Before::CoolDown }).0.stage, Before::CoolDown);
    assert_eq!(loaded_as::<_, Run<Moved>>(Former { phase: Before::CoolDown }).0.stage, Moved::CoolDown);
    let text = not_loaded_as::<_, Run<Split>>(Former { phase: Before::CoolDown });
    assert!(text.contains("one of CoolDown, Cooling"), "{text}");
    let new = loaded_as::<_, State<Kept<Before>>>(State { phase: Old::Old(Before::CoolDown) }).0;
    assert_eq!(new.phase, Kept::New(Before::CoolDown));
    let text = not_loaded_as::<_, State<Kept<Split>>>(State { phase: Old::Old(Before::CoolDown) });
    assert!(text.contains("one of CoolDown, Cooling"), "{text}");
    // What the program has no more is no obstacle.
    let pair = loaded_as::<_, Without>(With { count: 7, state: Before::CoolDown }).0;
    assert_eq!(pair, Without { count: 7 });
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "With")]
struct Without {
    count: u8,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct With {
    count: u8,
    state: phase::Before,
}

#[test]
fn an_alias_that_became_a_variant_takes_no_values_of_others() {
    use phase::{Before, Moved, Split, State};
    let text = not_loaded_as::<_, State<Split>>(State { phase: Before::CoolDown });
    assert!(text.contains("one of CoolDown, Cooling"), "{text}");
    let (loaded, _) = loaded_as::<_, State<Split>>(State { phase: Before::Idle });
    assert_eq!(loaded.phase, Split::Idle);
    for (before, after) in [(Before::CoolDown, Moved::CoolDown), (Before::Idle, Moved::Idle)] {
        assert_eq!(loaded_as::<_, State<Moved>>(State { phase: before }).0.phase, after);
    }
}

/// The names stand in another order than the numbers, so that the form of one is that of another.
#[derive(Clone, Debug, PartialEq)]
enum Colour {
    Red,
    Green,
    Blue,
}

impl Serialize for Colour {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (number, name) = match self {
            Colour::Red => (0, "Red"),
            Colour::Green => (1, "Green"),
            Colour::Blue => (2, "Blue"),
        };
        serializer.serialize_unit_variant("Colour", number, name)
    }
}

impl<'de> Deserialize<'de> for Colour {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Colour, D::Error> {
        struct Read;
        impl<'de> serde::de::Visitor<'de> for Read {
            type Value = Colour;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a colour")
            }

            fn visit_enum<A: serde::de::EnumAccess<'de>>(self, data: A) -> Result<Colour, A::Error> {
                let (number, content) = data.variant::<u32>()?;
                serde::de::VariantAccess::unit_variant(content)?;
                match number {
                    0 => Ok(Colour::Red),
                    1 => Ok(Colour::Green),
                    _ => Ok(Colour::Blue),
                }
            }
        }
        deserializer.deserialize_enum("Colour", &["Blue", "Green", "Red"], Read)
    }
}

#[test]
fn a_variant_with_another_number_than_its_own_is_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = checkpointed::Checkpointer::open(directory.path()).unwrap();
    checkpoints.save(&Plain(Colour::Green)).unwrap();
    let error = checkpoints.save(&Plain(Colour::Red)).unwrap_err();
    assert!(matches!(error, checkpointed::Error::NotReadBack { .. }), "{error}");
    assert_eq!(checkpoints.load().unwrap(), Some(Plain(Colour::Green)));
}

#[test]
fn an_unchanged_enum_with_aliases_is_found_in_another_place() {
    use phase::Before::{self, CoolDown, Idle};
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Pair<T> {
        first: T,
        second: T,
    }
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Named<T> {
        list: T,
    }
    let list = || Named { list: vec![CoolDown, Idle] };
    assert_eq!(loaded_as::<_, Named<(Before, Before)>>(list()).0.list, (CoolDown, Idle));
    let pair = loaded_as::<_, Named<Pair<Before>>>(list()).0.list;
    assert_eq!(pair, Pair { first: CoolDown, second: Idle });
    let array = || Named { list: [CoolDown, Idle] };
    let pair = loaded_as::<_, Named<(Before, Option<Before>)>>(array()).0.list;
    assert_eq!(pair, (CoolDown, Some(Idle)));
    let tuple = || Named { list: (CoolDown, Idle) };
    let pair = loaded_as::<_, Named<Pair<Before>>>(tuple()).0.list;
    assert_eq!(pair, Pair { first: CoolDown, second: Idle });
    let entries = [("first".to_owned(), CoolDown), ("second".to_owned(), Idle)];
    let map = Named { list: BTreeMap::from(entries) };
    let pair = loaded_as::<_, Named<Pair<Before>>>(map).0.list;
    assert_eq!(pair, Pair { first: CoolDown, second: Idle });

    #[checkpointed(name = "Choice")]
    #[derive(Debug, PartialEq)]
    enum Apart<T> {
        Both(T, T),
    }

    #[checkpointed(name = "Choice")]
    #[derive(Debug, PartialEq)]
    enum Together<T> {
        Both((T, T)),
    }
    let apart = Named { list: Apart::Both(CoolDown, Idle) };
    let both = loaded_as::<_, Named<Together<Before>>>(apart).0.list;
    assert_eq!(both, Together::Both((CoolDown, Idle)));
}

/// Neither field tells its name: none complains of a second one.
#[derive(Debug, Default, PartialEq, Serialize)]
struct Silent {
    a: u32,
    b: f32,
}

impl<'de> Deserialize<'de> for Silent {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Silent, D::Error> {
        struct Read;
        impl<'de> serde::de::Visitor<'de> for Read {
            type Value = Silent;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a and b")
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Silent, A::Error> {
                let (a, b) = (seq.next_element()?, seq.next_element()?);
                let both = a.zip(b).map(|(a, b)| Silent { a, b });
                both.ok_or_else(|| serde::de::Error::missing_field("b"))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Silent, A::Error> {
                let (mut read, mut fields) = (Silent::default(), 0);
                while let Some(key) = map.next_key::<String>()? {
                    fields += 1;
                    match &*key {
                        "a" => read.a = map.next_value()?,
                        "b" | "c" => read.b = map.next_value()?,
                        _ => drop(map.next_value::<serde::de::IgnoredAny>()?),
                    }
                }
                if fields < 2 { Err(serde::de::Error::missing_field("b")) } else { Ok(read) }
            }
        }
        deserializer.deserialize_struct("Silent", &["a", "b", "c"], Read)
    }
}

#[test]
fn a_field_that_may_be_any_is_taken_for_none() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(rename = "Silent")]
    struct Before {
        a: u32,
        b: u32,
    }
    let directory = saved(&Plain(Before { a: 3, b: 7 })).unwrap();
    let loaded = CheckpointReader::<Plain<Silent>>::open(directory.path()).unwrap().load();
    assert!(loaded.is_err() || loaded.unwrap().unwrap().0 == Silent { a: 3, b: 7.0 });
}

/// The program has names of its own now, and the former ones as aliases.
#[test]
fn a_hidden_name_is_looked_for_among_former_names() {
    use phase::{Before, State};

    #[checkpointed(name = "Phase")]
    #[derive(Debug, PartialEq)]
    enum One {
        #[serde(alias = "CoolDown")]
        Chill,
        Idle,
    }

    #[checkpointed(name = "Phase")]
    #[derive(Debug, PartialEq)]
    enum Both {
        Cooling,
        #[serde(alias = "CoolDown")]
        Chill,
        Idle,
    }

    #[checkpointed(name = "Phase")]
    #[derive(Debug, PartialEq)]
    enum Two {
        #[serde(alias = "CoolDown")]
        Chill,
        #[serde(alias = "Cooling")]
        Cold,
        Idle,
    }
    let before = || State { phase: Before::CoolDown };
    assert_eq!(loaded_as::<_, State<One>>(before()).0.phase, One::Chill);
    for text in [not_loaded_as::<_, State<Both>>(before()), not_loaded_as::<_, State<Two>>(before())] {
        assert!(text.contains("one of CoolDown, Cooling"), "{text}");
    }
}

/// serde takes the first field that has a name, or had it.
#[test]
#[allow(unreachable_patterns, reason = "it is the case that rustc warns of")]
fn a_name_that_two_fields_have_is_that_of_the_first() {
    #[derive(Debug, Serialize, Deserialize)]
    #[serde(rename = "Pair")]
    struct Old {
        a: u64,
        b: u64,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Pair")]
    struct New {
        #[serde(alias = "a")]
        c: f64,
        #[serde(alias = "b")]
        a: u64,
    }
    let directory = saved(&Plain(Old { a: 3, b: 4 })).unwrap();
    let loaded = CheckpointReader::<Plain<New>>::open(directory.path()).unwrap().load();
    assert!(loaded.is_err() || loaded.unwrap().unwrap().0 == New { c: 3.0, a: 4 });
}
