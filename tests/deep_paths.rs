//! States with array paths that are too long for a name, and with names that are alike.

use std::collections::{BTreeMap, HashMap};

use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, checkpointed};

/// Saves four times, so that retention removes the first saves, and loads.
fn stays<T: Checkpoint + PartialEq + std::fmt::Debug>(state: &T) {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<T>::builder(directory.path()).durable(false).open().unwrap();
    for _ in 0..4 {
        checkpoints.save(state).unwrap();
    }
    drop(checkpoints);
    let mut reader = CheckpointReader::<T>::open(directory.path()).unwrap();
    let loaded = reader.load().unwrap().unwrap();
    assert!(loaded == *state, "it came back as another state");
    assert!(reader.last_load().unwrap().skipped.is_empty());
}

#[checkpointed]
#[derive(Debug, PartialEq)]
struct Chain {
    next: Option<Box<Chain>>,
    data: Vec<f64>,
}

#[checkpointed]
#[derive(Debug, Default, PartialEq)]
struct Tree {
    data: Vec<f64>,
    nodes: BTreeMap<String, Tree>,
}

#[checkpointed]
#[derive(Debug, PartialEq)]
enum Deep {
    End,
    Inside { inner: Box<Deep>, data: Vec<u16> },
    Newtype(Box<Deep>),
}

#[checkpointed]
#[derive(Debug, PartialEq)]
struct Branch {
    data: Vec<i32>,
    nodes: Vec<Branch>,
}

#[test]
fn a_list_of_any_depth_is_loaded_as_it_was_saved() {
    for depth in [1, 100, 199, 200, 201, 202, 240] {
        let mut chain = Chain { next: None, data: vec![0.5] };
        for number in 0..depth {
            chain = Chain { next: Some(Box::new(chain)), data: vec![f64::from(number); 3] };
        }
        stays(&chain);
    }
}

#[test]
fn maps_enums_and_vecs_in_themselves_come_back_too() {
    let mut tree = Tree { data: vec![1.0], nodes: BTreeMap::new() };
    let mut deep = Deep::End;
    let mut branch = Branch { data: vec![1], nodes: Vec::new() };
    for number in 0..130 {
        let name = if number % 2 == 0 { "left" } else { "rechts, unten" };
        tree = Tree { data: vec![f64::from(number)], nodes: BTreeMap::from([(name.to_owned(), tree)]) };
        deep = Deep::Inside { inner: Box::new(deep), data: vec![7; 2] };
        deep = Deep::Newtype(Box::new(deep));
        branch = Branch { data: vec![number], nodes: vec![branch] };
    }
    stays(&tree);
    stays(&deep);
    stays(&branch);
}

/// Tests paths of every length around the length at which they are cut.
#[test]
fn a_path_is_cut_at_every_place_and_loads() {
    for length in (780..1010).step_by(7) {
        for inner in [1, 2, 3, 40, 200, 255] {
            let mut tree = Tree { data: vec![1.5], nodes: BTreeMap::new() };
            tree = Tree { data: Vec::new(), nodes: BTreeMap::from([("k".repeat(inner), tree)]) };
            let mut left = length;
            while left > 0 {
                let key = "w".repeat(left.min(150));
                left -= key.len();
                tree = Tree { data: vec![2.5], nodes: BTreeMap::from([(key, tree)]) };
            }
            stays(&tree);
        }
    }
}

#[test]
fn keys_of_any_text_give_names_that_can_be_read_again() {
    let mut keys: Vec<String> = [
        "",
        ".",
        "..",
        "...",
        "/",
        "//",
        "a/b",
        "a",
        "\0",
        "\u{1b}[31m",
        "a\nb",
        "~",
        "a~1",
        "%",
        ".npy",
        "a.npy",
    ]
    .map(str::to_owned)
    .to_vec();
    // Their kept parts are equal, and they are very long.
    keys.extend((0..5).map(|number| format!("{}{number}", "é".repeat(300))));
    keys.extend([199, 200, 201, 5000, 100_000].map(|length| "k".repeat(length)));
    let flat: HashMap<String, Vec<f64>> =
        keys.iter().enumerate().map(|(number, key)| (key.clone(), vec![number as f64; 2])).collect();
    stays(&flat);
    let nested: BTreeMap<String, BTreeMap<String, Vec<f64>>> = keys
        .iter()
        .map(|key| (key.clone(), keys.iter().map(|inner| (inner.clone(), vec![0.25])).take(8).collect()))
        .collect();
    stays(&nested);
}

#[test]
fn keys_that_lead_to_one_name_are_kept_apart() {
    // A key that is neither text nor a number is written as its bytes: two maps of one field have
    // the same names.
    let pairs = BTreeMap::from([((1_u8, 2_u8), vec![1.0_f64]), ((2, 1), vec![2.0])]);
    let flags = vec![BTreeMap::from([(false, vec![3.0_f64]), (true, vec![4.0])]); 3];
    stays(&(pairs, flags));
}
