//! A type that passes over a failure of its parts never goes on at a wrong place.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, Error, Plain, checkpointed};
use serde::de::Error as _;
use serde::ser::{SerializeMap as _, SerializeSeq as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Refuses odd numbers, and only when it is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Even(u64);

impl<'de> Deserialize<'de> for Even {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Even, D::Error> {
        match u64::deserialize(deserializer)? {
            number if number % 2 == 0 => Ok(Even(number)),
            number => Err(D::Error::custom(format!("{number} is odd"))),
        }
    }
}

fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    Ok(T::deserialize(deserializer).unwrap_or_default())
}

/// Loads what was saved second: the first save of a run is read back at once.
fn loaded_after<W: Checkpoint, R: Checkpoint>(first: &W, second: &W) -> Result<R, Error> {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<W>::open(directory.path()).unwrap();
    checkpoints.save(first).unwrap();
    checkpoints.save(second).unwrap();
    drop(checkpoints);
    Ok(CheckpointReader::<R>::open(directory.path())?.load()?.unwrap())
}

fn refusal<W: Checkpoint, R: Checkpoint + Debug>(first: &W, second: &W) -> String {
    match loaded_after::<W, R>(first, second) {
        Err(error) => error.to_string(),
        Ok(loaded) => panic!("it loads as {loaded:?}"),
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct List {
    #[serde(default, deserialize_with = "or_default")]
    list: Vec<Even>,
    tail: Vec<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Map {
    #[serde(default, deserialize_with = "or_default")]
    map: BTreeMap<Even, u64>,
    tail: Vec<u64>,
}

#[test]
fn a_failure_within_a_value_is_never_passed_over() {
    // Read on from where the list failed, the rest would be a tail of 1 and 9.
    let list = List { list: vec![Even(1), Even(2)], tail: vec![9] };
    let why = refusal::<_, Plain<List>>(&Plain(List::default()), &Plain(list));
    assert!(why.contains("1 is odd"), "{why}");
    // The last key is refused, and its value would be read as the length of the tail.
    let map = Map { map: [(Even(3), 2)].into(), tail: vec![9] };
    let why = refusal::<_, Plain<Map>>(&Plain(Map::default()), &Plain(map));
    assert!(why.contains("3 is odd"), "{why}");
}

#[test]
fn a_failure_within_a_value_of_a_changed_state_is_refused() {
    #[checkpointed(name = "State")]
    #[derive(Debug, Clone, Default, PartialEq)]
    struct Before {
        list: List,
    }
    #[checkpointed(name = "State")]
    #[derive(Debug, Clone, Default, PartialEq)]
    struct After {
        #[serde(default)]
        new: u8,
        list: List,
    }
    let state = Before { list: List { list: vec![Even(1), Even(2)], tail: vec![9] } };
    let why = refusal::<_, After>(&Before::default(), &state);
    assert!(why.contains("list") && why.contains("1 is odd"), "{why}");
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct One {
    #[serde(default, deserialize_with = "or_default")]
    one: Even,
    #[serde(default, deserialize_with = "or_default")]
    pair: (u8, Even),
    tail: Vec<u64>,
}

#[test]
fn a_value_that_was_read_whole_may_be_replaced_by_a_default() {
    let state = Plain(One { one: Even(5), pair: (1, Even(7)), tail: vec![9] });
    let loaded: Plain<One> = loaded_after(&Plain(One::default()), &state).unwrap();
    assert_eq!(loaded.0, One { one: Even(0), pair: (0, Even(0)), tail: vec![9] });
    // So it is in the unchanged part of a changed state.
    #[checkpointed(name = "State")]
    #[derive(Debug, Clone, Default, PartialEq)]
    struct Before {
        one: One,
    }
    #[checkpointed(name = "State")]
    #[derive(Debug, Clone, Default, PartialEq)]
    struct After {
        #[serde(default)]
        new: u8,
        one: One,
    }
    let loaded: After = loaded_after(&Before::default(), &Before { one: state.0 }).unwrap();
    assert_eq!(loaded, After { new: 0, one: One { tail: vec![9], ..One::default() } });
}

#[test]
fn a_changed_value_is_not_replaced_by_a_default() {
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "One")]
    struct Before {
        one: String,
    }
    #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "One")]
    struct After {
        #[serde(default, deserialize_with = "or_default")]
        one: u64,
    }
    let state = Plain(Before { one: "seven".to_owned() });
    let why = refusal::<_, Plain<After>>(&Plain(Before::default()), &state);
    assert!(why.contains("one"), "{why}");
}

/// Writes what it can of its values, and passes over the others.
#[derive(Debug, Default, Deserialize)]
struct Lossy {
    map: BTreeMap<String, Mutex<Vec<u64>>>,
    list: Vec<Mutex<u64>>,
}

impl Serialize for Lossy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Map<'a>(&'a BTreeMap<String, Mutex<Vec<u64>>>);
        impl Serialize for Map<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut map = serializer.serialize_map(None)?;
                for (key, value) in self.0 {
                    let _ = map.serialize_entry(key, value);
                }
                map.end()
            }
        }
        struct List<'a>(&'a [Mutex<u64>]);
        impl Serialize for List<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut list = serializer.serialize_seq(None)?;
                for value in self.0 {
                    let _ = list.serialize_element(value);
                }
                list.end()
            }
        }
        let mut fields = serializer.serialize_struct("Lossy", 2)?;
        fields.serialize_field("map", &Map(&self.map))?;
        fields.serialize_field("list", &List(&self.list))?;
        fields.end()
    }
}

/// A value that no `Serialize` can write: a thread panicked while it held the lock.
fn poisoned<T: Send>(value: T) -> Mutex<T> {
    let mutex = Mutex::new(value);
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            let _held = mutex.lock().unwrap();
            std::panic::resume_unwind(Box::new("told to"))
        });
        let _: Result<(), _> = holder.join();
    });
    assert!(mutex.is_poisoned());
    mutex
}

#[test]
fn a_part_that_could_not_be_written_is_never_left_out() {
    #[checkpointed]
    struct Described {
        #[serde(with = "checkpointed::self_describing")]
        lossy: Lossy,
        tail: u8,
    }
    #[checkpointed]
    struct InJson {
        #[serde(with = "checkpointed::json")]
        lossy: Lossy,
        tail: u8,
    }
    let good = || Lossy {
        map: [("a".to_owned(), Mutex::new(vec![1])), ("b".to_owned(), Mutex::new(vec![2]))].into(),
        list: vec![Mutex::new(3), Mutex::new(4)],
    };
    let map = |lost: &[&str]| {
        let mut map = good().map;
        lost.iter().for_each(|key| drop(map.insert((*key).to_owned(), poisoned(vec![5]))));
        Lossy { map, list: Vec::new() }
    };
    let list = |list: Vec<Mutex<u64>>| Lossy { list, ..Lossy::default() };
    let cases: [&dyn Fn() -> Lossy; 7] = [
        &|| map(&["a"]),
        &|| map(&["b"]),
        &|| map(&["a", "b"]),
        &|| Lossy { map: [("a".to_owned(), poisoned(vec![5]))].into(), list: Vec::new() },
        &|| list(vec![poisoned(1), Mutex::new(2)]),
        &|| list(vec![Mutex::new(1), poisoned(2), poisoned(3)]),
        &|| list(vec![poisoned(1)]),
    ];
    for (number, lost) in cases.iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpointer::<Described>::open(directory.path()).unwrap();
        checkpoints.save(&Described { lossy: good(), tail: 7 }).unwrap();
        let error = checkpoints.save(&Described { lossy: lost(), tail: 7 }).unwrap_err();
        assert!(error.to_string().contains("lock poison"), "case {number}: {error}");
        assert!(matches!(error, Error::Encode { .. }), "case {number}: {error:?}");
        let directory = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpointer::<InJson>::open(directory.path()).unwrap();
        checkpoints.save(&InJson { lossy: good(), tail: 7 }).unwrap();
        let error = checkpoints.save(&InJson { lossy: lost(), tail: 7 }).unwrap_err();
        assert!(error.to_string().contains("lock poison"), "case {number} in JSON: {error}");
        assert!(matches!(error, Error::Encode { .. }), "case {number} in JSON: {error:?}");
    }
}
