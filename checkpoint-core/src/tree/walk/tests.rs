#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde::{Deserialize, Serialize};

use crate::inspect::File;
use crate::{Checkpoint, Checkpointer, Plain};

/// A name comes behind the nested part: to find it, all of that part is passed over.
#[derive(Serialize, Deserialize)]
struct Tree {
    inner: Vec<Tree>,
    name: String,
}

fn steps_to_look_at<T: Checkpoint>(state: &T) -> (u64, usize) {
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::<T>::open(directory.path()).unwrap().save(state).unwrap();
    let file =
        File::open(directory.path().join("00000000000000000001.ckpt"), &crate::Protection::new()).unwrap();
    let json = serde_json::to_vec(&file.root()).unwrap();
    let steps = file.ends.lock().steps;
    (steps, json.len())
}

#[test]
fn each_value_is_passed_over_a_few_times_however_deep_it_is() {
    let leaf = || Tree { inner: Vec::new(), name: String::new() };
    let deep = (0..110).fold(leaf(), |tree, _| {
        let inner = (0..20).map(|_| leaf()).chain([tree]).collect();
        Tree { inner, name: "a".to_owned() }
    });
    let trees = 110 * 21;
    let (steps, length) = steps_to_look_at(&Plain(deep));
    assert!(length > trees * 20, "{length}");
    assert!(steps < trees as u64 * 20, "{steps} steps for {trees} trees");
}
