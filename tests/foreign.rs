//! Types of other crates: their form is found part by part, given by the author, or named as
//! unknown.

#![allow(clippy::type_complexity, clippy::rc_clone_in_vec_init, reason = "types in types are what is tested")]

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, Error, Plain, checkpointed, schema::Schema};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A type of another crate that accepts only one text, and no sample.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Picky(String);

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Picky, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "open sesame" { Ok(Picky(text)) } else { Err(D::Error::custom("no")) }
    }
}

fn picky() -> Picky {
    Picky("open sesame".to_owned())
}

fn lines(schema: &Schema) -> Vec<String> {
    schema.opaque_parts().iter().map(ToString::to_string).collect()
}

/// Saves one state and loads it as the other.
fn load_as<A: Checkpoint, B: Checkpoint>(state: &A) -> Result<B, Error> {
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::open(directory.path()).unwrap().save(state).unwrap();
    CheckpointReader::<B>::open(directory.path())?.load().map(Option::unwrap)
}

fn assert_round_trip<T: Checkpoint + Debug + PartialEq>(state: &T) {
    assert_eq!(&load_as::<T, T>(state).unwrap(), state);
}

#[test]
fn a_part_that_refuses_all_samples_hides_no_other() {
    #[checkpointed]
    struct Before {
        pairs: Vec<(Picky, u16)>,
        maps: HashMap<String, (Picky, [u8; 2])>,
        results: Option<Box<Result<(Picky, u8), (Picky, char)>>>,
        arrays: [(Picky, u8); 2],
        ranges: Range<Picky>,
        shared: Arc<(Picky, u8)>,
        keys: BTreeMap<Picky, u8>,
    }
    #[checkpointed(name = "Before")]
    struct After {
        pairs: Vec<(Picky, u32)>,
        maps: HashMap<String, (Picky, [u16; 2])>,
        results: Option<Box<Result<(Picky, u64), (Picky, char)>>>,
        arrays: [(Picky, i32); 2],
        ranges: Range<Picky>,
        shared: Arc<(Picky, u16)>,
        keys: BTreeMap<Picky, f64>,
    }
    let before = Before {
        pairs: vec![(picky(), 1)],
        maps: [("a".to_owned(), (picky(), [2, 3]))].into(),
        results: Some(Box::new(Ok((picky(), 4)))),
        arrays: [(picky(), 5), (picky(), 6)],
        ranges: picky()..picky(),
        shared: Arc::new((picky(), 7)),
        keys: [(picky(), 8)].into(),
    };
    assert_eq!(lines(&Schema::of::<Before>()), [""; 0]);
    let after: After = load_as(&before).unwrap();
    assert_eq!((after.pairs, after.maps), (vec![(picky(), 1)], [("a".to_owned(), (picky(), [2, 3]))].into()));
    assert_eq!(after.results, Some(Box::new(Ok((picky(), 4)))));
    assert_eq!((after.arrays, after.shared), ([(picky(), 5), (picky(), 6)], Arc::new((picky(), 7))));
    assert_eq!((after.ranges, after.keys), (picky()..picky(), [(picky(), 8.0)].into()));
}

#[test]
fn a_type_with_the_name_of_a_container_is_no_container() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Vec<T> {
        only: T,
    }
    type Option<T> = (T, Picky);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct State {
        own: Vec<(u8, Picky)>,
        alias: Option<u8>,
        std: std::vec::Vec<(Picky, u8)>,
    }

    let schema = Schema::of::<State>();
    assert!(schema.types.iter().any(|definition| definition.name == "Vec"), "{schema:?}");
    assert_round_trip(&State {
        own: Vec { only: (1, picky()) },
        alias: (2, picky()),
        std: std::vec![(picky(), 3)],
    });
}

#[test]
fn what_stays_unknown_is_listed_and_completed_by_a_save() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Foreign(Picky, u16);

    #[checkpointed]
    struct Before {
        step: u8,
        log: Vec<(Picky, Foreign)>,
    }
    #[checkpointed(name = "Before")]
    struct After {
        step: u16,
        log: Vec<(Picky, Foreign)>,
    }

    assert_eq!(
        lines(&Schema::of::<Before>()),
        ["log[].1.1: Foreign.1 behind Picky, of which no sample could be made"]
    );
    assert_eq!(
        lines(&Schema::of::<Plain<Vec<(Picky, u16)>>>()),
        ["[].1: u16 behind Picky, of which no sample could be made"]
    );
    let same: Before = load_as(&Before { step: 1, log: vec![(picky(), Foreign(picky(), 2))] }).unwrap();
    assert_eq!((same.step, same.log[0].1.1), (1, 2));
    // The saved values complete the form that no sample showed.
    let after: After = load_as(&same).unwrap();
    assert_eq!((after.step, after.log), (1, same.log));
}

#[test]
fn a_part_of_two_forms_loads_beside_a_change() {
    /// Accepts no sample, and writes a number or a text.
    #[derive(Clone, Debug, PartialEq)]
    enum Either {
        Number(u16),
        Text(String),
    }

    impl Serialize for Either {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Either::Number(number) => (picky(), 0_u8, number).serialize(serializer),
                Either::Text(text) => (picky(), 1_u8, text).serialize(serializer),
            }
        }
    }

    struct Parts;

    impl<'de> Visitor<'de> for Parts {
        type Value = Either;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("three values")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Either, A::Error> {
            let missing = || A::Error::custom("too few values");
            let _: Picky = parts.next_element()?.ok_or_else(missing)?;
            match parts.next_element()?.ok_or_else(missing)? {
                0_u8 => parts.next_element()?.map(Either::Number),
                _ => parts.next_element()?.map(Either::Text),
            }
            .ok_or_else(missing)
        }
    }

    impl<'de> Deserialize<'de> for Either {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Either, D::Error> {
            deserializer.deserialize_tuple(3, Parts)
        }
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Before {
        step: u8,
        log: Vec<Either>,
    }
    #[checkpointed(name = "Before")]
    #[derive(Debug)]
    struct After {
        step: u16,
        log: Vec<Either>,
    }

    let state = Before { step: 1, log: vec![Either::Number(2), Either::Text("three".to_owned())] };
    assert_round_trip(&state);
    // A part that is the same on both sides is read in one piece, in any form.
    let after: After = load_as(&state).unwrap();
    assert_eq!((after.step, after.log), (1, state.log));
}

/// A type that hangs on samples, but reads its own values.
#[derive(Clone, Debug, PartialEq)]
struct Patient(u32);

impl Serialize for Patient {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de> Deserialize<'de> for Patient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Patient, D::Error> {
        READS.fetch_add(1, Ordering::SeqCst);
        u32::deserialize(deserializer).map(Patient)
    }
}

static READS: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_form_that_is_said_is_taken_and_nothing_is_run() {
    mod in_words {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};

        pub(super) fn serialize<S: Serializer>(value: &u8, serializer: S) -> Result<S::Ok, S::Error> {
            (value, "words").serialize(serializer)
        }

        pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
            <(u8, String)>::deserialize(deserializer).map(|(value, _)| value)
        }
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct State<T> {
        #[checkpointed(as = "u32")]
        patient: Patient,
        #[serde(with = "in_words")]
        #[checkpointed(as = "(u8, String)")]
        words: u8,
        #[checkpointed(as = "Vec<f64>")]
        generic: T,
        or: Either,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Either {
        One(#[checkpointed(as = "u32")] Patient),
        #[serde(with = "in_words")]
        #[checkpointed(as = "(u8, String)")]
        Other(u8),
    }

    #[derive(Serialize, Deserialize, Checkpoint)]
    #[checkpoint(name = "State")]
    struct Derived {
        #[checkpoint(as = "u32")]
        patient: Patient,
    }

    let reads = READS.load(Ordering::SeqCst);
    let schema = Schema::of::<State<Vec<f64>>>();
    assert_eq!(Schema::of::<Derived>().types.len(), 1);
    assert_eq!(READS.load(Ordering::SeqCst), reads);
    assert_eq!(schema.types.len(), 2, "{schema:?}");
    assert_round_trip(&State { patient: Patient(1), words: 2, generic: vec![3.0], or: Either::Other(4) });
    assert_round_trip(&State {
        patient: Patient(1),
        words: 2,
        generic: vec![3.0],
        or: Either::One(Patient(5)),
    });
    let derived: Derived =
        load_as(&State { patient: Patient(7), words: 2, generic: vec![3.0], or: Either::Other(4) }).unwrap();
    assert_eq!(derived.patient, Patient(7));
}

/// A conversion that panics on samples, with a message that a hook recognises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u32")]
struct Panics(u32);

const WORDS: &str = "a panic on a sample";

impl TryFrom<u32> for Panics {
    type Error = String;

    fn try_from(number: u32) -> Result<Panics, String> {
        assert!(number > 1000, "{WORDS}");
        Ok(Panics(number))
    }
}

#[test]
fn a_panic_on_a_sample_is_not_heard_of_whoever_sets_a_hook() {
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    let hook = || {
        std::panic::set_hook(Box::new(|panic| {
            if panic.payload_as_str().is_some_and(|words| words.contains(WORDS)) {
                HEARD.fetch_add(1, Ordering::SeqCst);
            }
        }));
    };
    let before = std::panic::take_hook();
    for _ in 0..3 {
        hook();
        assert_eq!(Schema::of::<Plain<Panics>>().to_string(), "u32");
        assert_eq!(Schema::of::<Plain<(Panics, u8)>>().opaque_parts().len(), 1);
    }
    assert_eq!(HEARD.load(Ordering::SeqCst), 0);
    // The hook still gets panics of the program itself.
    let panicked = std::panic::catch_unwind(|| Panics::try_from(1).unwrap());
    assert!(panicked.is_err());
    assert_eq!(HEARD.load(Ordering::SeqCst), 1);
    std::panic::set_hook(before);
}

#[test]
fn shared_pointers_come_back_as_copies() {
    #[checkpointed]
    #[derive(Debug, Default, PartialEq)]
    struct State {
        one: Arc<String>,
        same: Arc<String>,
        local: Option<Rc<Vec<f64>>>,
        slice: Arc<[f64]>,
        text: Rc<str>,
        nested: Vec<Rc<(Picky, u8)>>,
    }

    let text = Arc::new("shared".to_owned());
    let state = State {
        one: Arc::clone(&text),
        same: text,
        local: Some(Rc::new(vec![1.0; 3])),
        slice: vec![2.0; 20_000].into(),
        text: "text".into(),
        nested: vec![Rc::new((picky(), 1)); 2],
    };
    assert_eq!(lines(&Schema::of::<State>()), [""; 0]);
    assert_round_trip(&state);
    assert!(!Arc::ptr_eq(&load_as::<_, State>(&state).unwrap().one, &state.same));
    assert_round_trip(&Arc::new(vec![1_u8, 2]));
    assert_round_trip(&Rc::new(Some("text".to_owned())));
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<State>::open(directory.path()).unwrap();
    checkpoints.save(&state).unwrap();
    let file = std::fs::read(directory.path().join("00000000000000000001.ckpt")).unwrap();
    assert!(String::from_utf8_lossy(&file).contains("slice.npy"));
}

#[test]
fn a_load_into_a_pointer_that_nothing_shares_takes_its_memory() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Arc<Vec<f64>>>::open(directory.path()).unwrap();
    checkpoints.save(&Arc::new(vec![1.5; 20_000])).unwrap();
    let mut state = Arc::new(vec![0.0; 20_000]);
    let memory = state.as_ptr();
    assert!(checkpoints.load_into(&mut state).unwrap());
    assert_eq!((state.as_ptr(), state[19_999]), (memory, 1.5));
    let mut shared = Arc::clone(&state);
    assert!(checkpoints.load_into(&mut shared).unwrap());
    assert_ne!(shared.as_ptr(), memory);
    assert_eq!(*state, vec![1.5; 20_000]);
}

#[test]
fn a_weak_pointer_is_refused_before_anything_is_saved() {
    #[checkpointed]
    struct Node {
        parent: std::sync::Weak<u8>,
        local: Vec<std::rc::Weak<u8>>,
    }
    let directory = tempfile::tempdir().unwrap();
    let why = Checkpointer::<Node>::open(directory.path()).err().unwrap().to_string();
    for words in ["parent: a `Weak` is read as one that points to nothing", "local[]", "#[serde(skip)]"] {
        assert!(why.contains(words), "{words}: {why}");
    }
}
