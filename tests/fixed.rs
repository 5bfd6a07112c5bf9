//! Fixed arrays of any length: those that the macro recognises, and those that need
//! `checkpointed::fixed`.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;

use checkpointed::{Checkpoint, Checkpointer, Plain, checkpointed, schema::Schema};
use serde::{Deserialize, Serialize};

const AXES: usize = 3;
const LINES: usize = 5_000;

type Grid = [[f64; 40]; 8];

fn saved<T: Checkpoint>(state: &T) -> (tempfile::TempDir, Checkpointer<T>) {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<T>::open(directory.path()).unwrap();
    checkpoints.save(state).unwrap();
    (directory, checkpoints)
}

#[test]
fn a_load_into_rows_of_a_named_length_reuses_their_memory() {
    #[checkpointed]
    struct Rows {
        short: Vec<[f64; AXES]>,
        long: Vec<[f32; 100]>,
        spare: Vec<[f32; 100]>,
        slice: Box<[[u16; 100]]>,
        nested: Vec<[[f64; AXES]; 40]>,
        option: Option<Vec<[i32; AXES]>>,
        boxed: [Vec<f64>; AXES],
        inner: Vec<[Vec<u8>; AXES]>,
    }
    let rows = |value: u8| {
        let mut spare = Vec::with_capacity(1001);
        spare.resize(1000, [value.into(); 100]);
        Rows {
            short: vec![[value.into(); AXES]; LINES],
            long: vec![[value.into(); 100]; LINES],
            spare,
            slice: vec![[value.into(); 100]; LINES].into(),
            nested: vec![[[value.into(); AXES]; 40]; LINES],
            option: Some(vec![[value.into(); AXES]; 2 * LINES]),
            boxed: [vec![value.into(); 10_000], vec![value.into(); 20_000], vec![value.into(); 30_000]],
            inner: vec![[vec![value; 100_000], vec![value; 200_000], vec![value; 300_000]]],
        }
    };
    let addresses = |rows: &Rows| {
        let mut addresses = vec![
            rows.short.as_ptr().addr(),
            rows.long.as_ptr().addr(),
            rows.spare.as_ptr().addr(),
            rows.slice.as_ptr().addr(),
            rows.nested.as_ptr().addr(),
            rows.option.as_ref().unwrap().as_ptr().addr(),
        ];
        addresses.extend(rows.boxed.iter().map(|row| row.as_ptr().addr()));
        addresses.extend(rows.inner[0].iter().map(|row| row.as_ptr().addr()));
        addresses
    };
    let (_directory, mut checkpoints) = saved(&rows(7));
    let mut loaded = rows(0);
    let before = addresses(&loaded);
    assert!(checkpoints.load_into(&mut loaded).unwrap());
    assert_eq!(addresses(&loaded), before);
    let expected = rows(7);
    assert!(loaded.short == expected.short && loaded.long == expected.long && loaded.spare == expected.spare);
    assert!(loaded.slice == expected.slice && loaded.nested == expected.nested);
    assert!(
        loaded.option == expected.option && loaded.boxed == expected.boxed && loaded.inner == expected.inner
    );
}

/// A type of another crate, which only derives serde's traits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Foreign {
    #[serde(with = "checkpointed::fixed")]
    grid: Grid,
    #[serde(with = "checkpointed::fixed")]
    rows: Vec<[f32; 100]>,
    #[serde(with = "checkpointed::fixed")]
    boxed: Option<Box<[u8; 500]>>,
    #[serde(with = "checkpointed::fixed")]
    short: [u8; 4],
    #[serde(with = "checkpointed::fixed")]
    sorted: BTreeMap<String, [i32; 50]>,
    #[serde(with = "checkpointed::fixed")]
    hashed: HashMap<u8, Box<[[bool; 40]]>>,
    after: String,
}

fn foreign() -> Foreign {
    Foreign {
        grid: std::array::from_fn(|row| std::array::from_fn(|column| (row * 40 + column) as f64)),
        rows: vec![[1.5; 100]; 3],
        boxed: Some(Box::new([9; 500])),
        short: [1, 2, 3, 4],
        sorted: [("a".to_owned(), [-5; 50]), ("b".to_owned(), [5; 50])].into(),
        hashed: [(1, vec![[true; 40]; 2].into())].into(),
        after: "the end".to_owned(),
    }
}

#[test]
fn an_attribute_marks_fixed_arrays_that_the_macro_cannot_see() {
    let (directory, mut checkpoints) = saved(&Plain(foreign()));
    assert_eq!(checkpoints.load().unwrap().unwrap().0, foreign());
    let file = std::fs::read(crate::common::file_of(directory.path(), 1)).unwrap();
    let file = String::from_utf8_lossy(&file);
    for name in ["grid", "rows", "boxed", "sorted/a", "sorted/b", "hashed/1"] {
        assert!(file.contains(&format!("{name}.npy")), "{name}");
    }
    assert!(file.contains("'shape': (8, 40), ") && file.contains("'shape': (3, 100), "));
    let text = serde_json::to_string(&foreign()).unwrap();
    assert_eq!(serde_json::from_str::<Foreign>(&text).unwrap(), foreign());
    assert!(text.contains(r#""short":[1,2,3,4]"#), "{text}");
}

#[test]
fn the_attribute_and_the_macro_give_the_same_schema() {
    #[checkpointed(name = "Fields")]
    struct Seen {
        grid: [[f64; 40]; 8],
        rows: Vec<[f32; 100]>,
        short: Option<[u8; 4]>,
        after: String,
    }
    #[derive(Serialize, Deserialize, Checkpoint)]
    #[checkpoint(name = "Fields")]
    struct Told {
        #[serde(with = "checkpointed::fixed")]
        grid: Grid,
        #[serde(with = "checkpointed::fixed")]
        rows: Vec<[f32; 100]>,
        #[serde(with = "checkpointed::fixed")]
        short: Option<[u8; 4]>,
        after: String,
    }
    assert_eq!(Schema::of::<Seen>(), Schema::of::<Told>());
    let seen =
        Seen { grid: [[2.5; 40]; 8], rows: vec![[1.5; 100]], short: Some([1; 4]), after: "end".to_owned() };
    let (directory, checkpoints) = saved(&seen);
    drop(checkpoints);
    let told = Checkpointer::<Told>::open(directory.path()).unwrap().load().unwrap().unwrap();
    assert_eq!(
        (told.grid, told.rows, told.short, told.after),
        (seen.grid, seen.rows, seen.short, seen.after)
    );
}

#[test]
fn generic_arrays_and_those_in_maps_and_pointers_are_written() {
    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct Generic<T, K: Eq + Hash, const N: usize> {
        array: [T; N],
        rows: Vec<[T; N]>,
        others: Vec<T>,
        pairs: HashMap<K, Option<T>>,
        #[serde(default)]
        absent: Option<K>,
        #[serde(skip)]
        cache: Vec<T>,
    }
    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    enum Choice<T, const N: usize> {
        Array([T; N], u8),
        One { value: T },
        None,
    }
    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct Holders {
        by_name: HashMap<String, [f64; 64]>,
        sorted: Option<BTreeMap<Key, Vec<[f32; 40]>>>,
        shared: Arc<[f64; 64]>,
        local: Option<Rc<[[u8; 40]; 2]>>,
        texts: Arc<[String; 33]>,
    }
    #[checkpointed]
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Key {
        Left,
        Right(u8),
    }

    fn assert_round_trip<T: Checkpoint + std::fmt::Debug + PartialEq>(state: &T) -> String {
        let (directory, mut checkpoints) = saved(state);
        assert_eq!(checkpoints.load().unwrap().as_ref(), Some(state));
        let file = std::fs::read(crate::common::file_of(directory.path(), 1)).unwrap();
        String::from_utf8_lossy(&file).into_owned()
    }
    let numbers = Generic::<f64, String, 100> {
        array: [1.5; 100],
        rows: vec![[2.5; 100]; 3],
        others: vec![3.5; 2],
        pairs: [("a".to_owned(), Some(4.5))].into(),
        absent: None,
        cache: Vec::new(),
    };
    let file = assert_round_trip(&numbers);
    assert!(
        file.contains("'shape': (100,), ") && file.contains("'shape': (3, 100), "),
        "arrays of their own"
    );
    assert_round_trip(&Generic::<String, u8, 3> {
        array: std::array::from_fn(|place| place.to_string()),
        rows: Vec::new(),
        others: vec!["text".to_owned()],
        pairs: [(1, None)].into(),
        absent: Some(2),
        cache: Vec::new(),
    });
    assert_round_trip(&vec![Choice::Array([1_u16; 50], 2), Choice::One { value: 3 }, Choice::None]);

    let holders = Holders {
        by_name: [("a".to_owned(), [0.5; 64]), ("b".to_owned(), [1.5; 64])].into(),
        sorted: Some([(Key::Left, vec![[2.5; 40]; 2]), (Key::Right(1), Vec::new())].into()),
        shared: Arc::new([3.5; 64]),
        local: Some(Rc::new([[4; 40]; 2])),
        texts: Arc::new(std::array::from_fn(|place| place.to_string())),
    };
    let file = assert_round_trip(&holders);
    for name in ["by_name/a.npy", "by_name/b.npy", "shared.npy"] {
        assert!(file.contains(name), "{name}");
    }
    let names: Vec<String> =
        Schema::of::<Holders>().types.iter().map(|definition| definition.name.clone()).collect();
    assert!(names.contains(&"Key".to_owned()), "{names:?}");
}
