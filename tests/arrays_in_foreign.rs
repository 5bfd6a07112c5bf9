//! Fixed arrays that serde does not know, in types inside containers of other crates.
//!
//! `Plain` stands for such a container: nothing but serde tells what is in it.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Arc;

use checkpointed::schema::Schema;
use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, Plain, checkpointed};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

/// Saves the states, one after the other, and loads and loads into each of them.
fn each_comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug + Clone + 'static>(states: &[T]) {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Plain<T>>::open(directory.path()).unwrap();
    for state in states {
        let state = Plain(state.clone());
        checkpoints.save(&state).unwrap();
        let mut reader = CheckpointReader::<Plain<T>>::open(directory.path()).unwrap();
        assert_eq!(reader.load().unwrap().unwrap(), state);
        let mut into = Plain(states[0].clone());
        assert!(reader.load_into(&mut into).unwrap());
        assert_eq!(into, state);
    }
}

#[checkpointed]
#[derive(Debug, Clone, PartialEq)]
struct Cell {
    one: [f64; 64],
    many: [[f64; 40]; 3],
    names: [String; 33],
    shared: Arc<[f64; 64]>,
    boxed: Box<[u16; 100]>,
    counted: Rc<[Option<u8>; 34]>,
    maybe: Option<[i64; 64]>,
    rows: Vec<[String; 33]>,
    numbers: Vec<[f32; 50]>,
    by_name: HashMap<String, [f64; 64]>,
    pairs: [(u8, String); 33],
    flags: [bool; 40],
    last: u64,
}

fn cell(number: u8) -> Cell {
    let number = f64::from(number);
    Cell {
        one: std::array::from_fn(|place| number + place as f64),
        many: [[number; 40], [0.5; 40], [-1.0; 40]],
        names: std::array::from_fn(|place| format!("{number} {place}")),
        shared: Arc::new([number; 64]),
        boxed: Box::new([7; 100]),
        counted: Rc::new(std::array::from_fn(|place| (place % 2 == 0).then_some(3))),
        maybe: None,
        rows: Vec::new(),
        numbers: Vec::new(),
        by_name: HashMap::new(),
        pairs: std::array::from_fn(|place| (1, place.to_string())),
        flags: [true; 40],
        last: 11,
    }
}

fn filled(number: u8) -> Cell {
    Cell {
        maybe: Some([-5; 64]),
        rows: vec![std::array::from_fn(|place| place.to_string()); 2],
        numbers: vec![[0.25; 50]; 3],
        by_name: [("a".to_owned(), [f64::from(number); 64])].into(),
        ..cell(number)
    }
}

#[test]
fn fixed_arrays_inside_foreign_containers_come_back() {
    each_comes_back(&[cell(1), filled(2)]);
    // Empty at first, and filled later.
    each_comes_back(&[vec![], vec![cell(1)], vec![cell(1), filled(2)]]);
    each_comes_back(&[BTreeMap::new(), BTreeMap::from([("x".to_owned(), (filled(3), 7_u16))])]);
}

#[test]
fn a_type_has_the_same_schema_however_it_is_reached() {
    let marked = Schema::of::<Cell>();
    let traced = Schema::of::<Plain<Cell>>();
    let words = |schema: &Schema| {
        let definition = schema.types.iter().find(|definition| definition.name == "Cell").unwrap();
        serde_json::to_value(&definition.body).unwrap()
    };
    assert_eq!(words(&traced), words(&marked));
}

mod wrapped {
    use super::*;

    #[checkpointed]
    #[derive(Debug, Clone, PartialEq)]
    pub(super) struct Newtype<T>(pub(super) [T; 40]);

    #[checkpointed]
    #[derive(Debug, Clone, PartialEq)]
    #[serde(transparent)]
    pub(super) struct Transparent<T, const N: usize> {
        pub(super) values: Box<[[T; N]; 2]>,
    }

    #[checkpointed]
    #[derive(Debug, Clone, PartialEq)]
    #[allow(clippy::large_enum_variant, reason = "arrays without a box are what is tested")]
    pub(super) enum Either {
        Nothing,
        Fixed([f32; 64]),
        Named { rows: Vec<[u8; 64]>, more: [Newtype<i16>; 33] },
        Two(Option<Arc<[u8; 64]>>, u8),
    }

    /// Contains itself, through a fixed array.
    #[checkpointed]
    #[derive(Debug, Clone, PartialEq)]
    pub(super) struct Node {
        pub(super) value: f64,
        pub(super) children: [Option<Box<Node>>; 33],
        pub(super) rows: Vec<[Box<Either>; 34]>,
    }
}

#[test]
fn fixed_arrays_in_enums_wrappers_and_recursion_come_back() {
    use wrapped::{Either, Newtype, Node, Transparent};

    each_comes_back(&[vec![Newtype([1_u8; 40])], vec![]]);
    each_comes_back(&[Vec::new(), vec![Newtype(std::array::from_fn(|place| vec![place.to_string()]))]]);
    each_comes_back(&[(Transparent { values: Box::new([[1.5_f64; 50]; 2]) }, 3_u8)]);
    each_comes_back(&[(Transparent { values: Box::new([[1.5_f64; 3]; 2]) }, 3_u8)]);
    let named = Either::Named { rows: vec![[1; 64]; 2], more: std::array::from_fn(|_| Newtype([-1; 40])) };
    let all = [
        Either::Nothing,
        Either::Fixed([0.5; 64]),
        named.clone(),
        Either::Two(Some(Arc::new([9; 64])), 1),
        Either::Two(None, 2),
    ];
    each_comes_back(&[Vec::new(), all.to_vec()]);
    let leaf = || Node { value: 1.0, children: [const { None }; 33], rows: Vec::new() };
    let mut inner = leaf();
    inner.children[32] = Some(Box::new(leaf()));
    inner.rows.push(std::array::from_fn(|place| {
        Box::new(if place == 3 { named.clone() } else { Either::Nothing })
    }));
    let mut root = leaf();
    root.children[0] = Some(Box::new(inner));
    each_comes_back(&[vec![leaf()], vec![root]]);
}

/// Refuses zero.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Positive(f64);

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Positive, D::Error> {
        match f64::deserialize(deserializer)? {
            number if number > 0.0 => Ok(Positive(number)),
            _ => Err(D::Error::custom("it is not positive")),
        }
    }
}

/// A distribution, whose weights are not all zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Weights")]
struct Distribution(Weights);

#[checkpointed]
#[derive(Debug, Clone, PartialEq)]
struct Weights {
    values: [f64; 64],
}

impl TryFrom<Weights> for Distribution {
    type Error = &'static str;

    fn try_from(weights: Weights) -> Result<Distribution, &'static str> {
        if weights.values.iter().sum::<f64>() > 0.0 { Ok(Distribution(weights)) } else { Err("all are zero") }
    }
}

#[test]
fn fixed_arrays_of_what_refuses_zeros_come_back() {
    #[checkpointed]
    #[derive(Debug, Clone, PartialEq)]
    struct Holder {
        values: [Positive; 40],
        distribution: Distribution,
        behind: u16,
    }
    let holder = Holder {
        values: std::array::from_fn(|_| Positive(2.0)),
        distribution: Distribution(Weights { values: [0.25; 64] }),
        behind: 7,
    };
    each_comes_back(&[vec![], vec![holder]]);
}

#[test]
fn a_fixed_array_in_a_foreign_container_evolves() {
    mod before {
        use super::*;

        #[checkpointed]
        #[derive(Debug, Clone, PartialEq)]
        pub(super) struct Row {
            pub(super) values: [f32; 64],
            pub(super) rows: Vec<[[u8; 40]; 2]>,
            pub(super) names: [String; 33],
        }
    }
    mod after {
        use super::*;

        #[checkpointed]
        #[derive(Debug, Clone, PartialEq)]
        pub(super) struct Row {
            pub(super) names: [String; 33],
            pub(super) rows: Vec<[[u64; 40]; 2]>,
            pub(super) values: [f64; 64],
            #[serde(default)]
            pub(super) new: bool,
        }
    }
    let names: [String; 33] = std::array::from_fn(|place| place.to_string());
    let old = before::Row { values: [0.5; 64], rows: vec![[[1; 40], [2; 40]]; 3], names: names.clone() };
    let new = after::Row { values: [0.5; 64], rows: vec![[[1; 40], [2; 40]]; 3], names, new: false };
    let directory = tempfile::tempdir().unwrap();
    let state = Plain(BTreeMap::from([(1_u8, old)]));
    Checkpointer::open(directory.path()).unwrap().save(&state).unwrap();
    let mut reader = CheckpointReader::<Plain<BTreeMap<u8, after::Row>>>::open(directory.path()).unwrap();
    assert_eq!(reader.load().unwrap().unwrap().0, BTreeMap::from([(1_u8, new.clone())]));
    let mut into = Plain(BTreeMap::from([(9_u8, new.clone())]));
    assert!(reader.load_into(&mut into).unwrap());
    assert_eq!(into.0, BTreeMap::from([(1_u8, new)]));
}

/// A type of another crate whose form depends on its data: it can only be read by position.
#[derive(Debug, Clone, PartialEq)]
enum Tagged {
    Number(u64),
    Text(String),
}

impl Serialize for Tagged {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Tagged::Number(number) => (0_u8, number).serialize(serializer),
            Tagged::Text(text) => (1_u8, text).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Tagged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tagged, D::Error> {
        struct Both;
        impl<'de> serde::de::Visitor<'de> for Both {
            type Value = Tagged;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a tag and a value")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut parts: A) -> Result<Tagged, A::Error> {
                let missing = || A::Error::custom("a part is missing");
                match parts.next_element::<u8>()?.ok_or_else(missing)? {
                    0 => parts.next_element()?.map(Tagged::Number).ok_or_else(missing),
                    _ => parts.next_element()?.map(Tagged::Text).ok_or_else(missing),
                }
            }
        }
        deserializer.deserialize_tuple(2, Both)
    }
}

#[test]
fn what_did_not_change_in_a_fixed_array_is_read_as_before() {
    #[checkpointed(name = "Part")]
    #[derive(Debug, Clone, PartialEq)]
    struct Before {
        tagged: Tagged,
    }
    #[checkpointed(name = "Part")]
    #[derive(Debug, Clone, PartialEq)]
    struct After {
        #[serde(default)]
        new: u8,
        tagged: Tagged,
    }
    #[checkpointed(name = "State")]
    #[derive(Debug, Clone, PartialEq)]
    struct State<T: Checkpoint> {
        one: Box<[T; 33]>,
        rows: Vec<[[T; 2]; 40]>,
    }
    let tagged = |place: usize| {
        if place.is_multiple_of(2) { Tagged::Number(place as u64) } else { Tagged::Text(place.to_string()) }
    };
    let before = |place| Before { tagged: tagged(place) };
    let after = |place| After { new: 0, tagged: tagged(place) };
    let state = State {
        one: Box::new(std::array::from_fn(before)),
        rows: vec![std::array::from_fn(|_| std::array::from_fn(before)); 2],
    };
    let wanted = State {
        one: Box::new(std::array::from_fn(after)),
        rows: vec![std::array::from_fn(|_| std::array::from_fn(after)); 2],
    };
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::open(directory.path()).unwrap().save(&state).unwrap();
    let loaded = CheckpointReader::<State<After>>::open(directory.path()).unwrap().load();
    assert_eq!(loaded.unwrap().unwrap(), wanted);
}
