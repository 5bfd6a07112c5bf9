//! Tests the differences that `ckpt diff` finds between two checkpoints.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpointed::{Checkpoint, Checkpointer, Metadata, Scopes, checkpointed};
use serde_json::{Value, json};

fn ckpt(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The checkpoint directory with this state.
fn saved<T: Checkpoint>(parent: &Path, name: &str, state: &T) -> PathBuf {
    let path = parent.join(name);
    Checkpointer::<T>::open(&path).unwrap().save(state).unwrap();
    path
}

/// The differences between two states: the path and the kind of each.
fn between<A: Checkpoint, B: Checkpoint>(before: &A, after: &B) -> Vec<(String, Value)> {
    let parent = tempfile::tempdir().unwrap();
    let (a, b) = (saved(parent.path(), "a", before), saved(parent.path(), "b", after));
    let (code, out, err) = ckpt(&["--json", "diff", text(&a), text(&b)]);
    let found: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{err}"));
    let differences = found["differences"].as_array().unwrap();
    assert_eq!(code, i32::from(!differences.is_empty()), "{err}");
    assert_eq!(found["total"], differences.len());
    let pair = |difference: &Value| (difference["path"].as_str().unwrap().to_owned(), difference.clone());
    differences.iter().map(pair).collect()
}

#[checkpointed]
#[derive(Clone)]
enum Phase {
    Idle,
    Run { step: u64 },
}

#[checkpointed]
#[derive(Clone)]
struct Old {
    step: u32,
    gone: u8,
    phase: Phase,
    note: Option<String>,
    layers: BTreeMap<String, Vec<f64>>,
    counts: HashMap<(u8, String), u64>,
    queue: Vec<String>,
    grid: Vec<[f64; 3]>,
}

#[checkpointed]
#[derive(Clone)]
struct New {
    added: bool,
    phase: Phase,
    step: u64,
    note: Option<String>,
    layers: BTreeMap<String, Vec<f64>>,
    counts: HashMap<(u8, String), u64>,
    queue: Vec<String>,
    grid: Vec<[f64; 3]>,
}

fn old() -> Old {
    Old {
        step: 7,
        gone: 1,
        phase: Phase::Run { step: 3 },
        note: None,
        layers: BTreeMap::from([("a/b".into(), vec![1.0, f64::NAN]), ("same".into(), vec![2.0])]),
        counts: (0..50).map(|key| ((key, "k".repeat(40)), u64::from(key))).collect(),
        queue: vec!["x".into(), "y".into()],
        grid: vec![[0.0, 0.5, 1.0], [1.5, 2.0, -0.0]],
    }
}

#[test]
fn equal_states_do_not_differ_however_they_are_written() {
    assert!(between(&old(), &old()).is_empty());
    // A hash map has another order in each program.
    let (mut shuffled, mut order) = (old(), old().counts.into_iter().collect::<Vec<_>>());
    order.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    shuffled.counts = order.into_iter().collect();
    assert!(between(&old(), &shuffled).is_empty());
    // Zero equals zero, and NaN equals NaN, in all their bit patterns.
    assert!(between(&vec![0.0, f64::NAN], &vec![-0.0, -f64::NAN]).is_empty());
    assert!(between(&(0.0, f64::NAN), &(-0.0, -f64::NAN)).is_empty());
}

#[test]
fn each_change_is_found_at_its_path() {
    let mut after = old();
    after.phase = Phase::Run { step: 4 };
    after.note = Some("late".into());
    after.layers.get_mut("a/b").unwrap()[0] = 1.25;
    after.layers.insert("new".into(), vec![]);
    after.counts.insert((3, "k".repeat(40)), 33);
    after.queue.push("z".into());
    after.grid[1][2] = 9.0;
    let found = between(&old(), &after);
    let paths: Vec<(&str, &Value)> = found.iter().map(|(path, what)| (&**path, &what["change"])).collect();
    let key = format!("counts/(3, {})", "k".repeat(40));
    assert_eq!(
        paths,
        [
            ("phase/step", &json!("value")),
            ("note", &json!("value")),
            ("layers/a%2Fb", &json!("elements")),
            ("layers/new", &json!("added")),
            (&key, &json!("value")),
            ("queue/2", &json!("added")),
            ("grid", &json!("elements")),
        ]
    );
    assert_eq!((&found[0].1["before"]["value"], &found[0].1["after"]["value"]), (&json!(3), &json!(4)));
    let grid = &found[6].1;
    assert_eq!((&grid["elements"], &grid["different"]), (&json!(6), &json!(1)));
    let largest = json!({"index": [1, 2], "before": -0.0, "after": 9.0, "distance": 9.0});
    assert_eq!(grid["largest"], largest);

    after.phase = Phase::Idle;
    let found = between(&old(), &after);
    assert_eq!((&*found[0].0, &found[0].1["after"]["variant"]), ("phase", &json!("Idle")));
}

#[test]
fn another_version_of_a_type_is_compared_by_its_field_names() {
    let Old { phase, note, layers, counts, queue, grid, .. } = old();
    let found = between(&old(), &New { added: true, phase, step: 7, note, layers, counts, queue, grid });
    let paths: Vec<(&str, &Value)> = found.iter().map(|(path, what)| (&**path, &what["change"])).collect();
    assert_eq!(
        paths,
        [("step", &json!("type")), ("gone", &json!("removed")), ("added", &json!("added"))],
        "{found:?}"
    );
    assert_eq!((&found[0].1["before"], &found[0].1["after"]), (&json!("u32"), &json!("u64")));
}

#[test]
fn numbers_of_other_types_are_compared_without_rounding() {
    assert_eq!(between(&(u64::MAX, 1_u8), &(u64::MAX as f64, 1.0_f32)).len(), 2);
    let kind =
        |found: &[(String, Value)]| found.iter().map(|(_, what)| what["change"].clone()).collect::<Vec<_>>();
    assert_eq!(kind(&between(&(u64::MAX,), &(u64::MAX as f64,))), ["value"]);
    assert_eq!(kind(&between(&(1_u64 << 60,), &((1_u64 << 60) as f64,))), ["type"]);
    assert_eq!(kind(&between(&(-1_i64,), &(u64::MAX,))), ["value"]);
    assert_eq!(kind(&between(&vec![1_i32, -2], &vec![1_i64, -2])), ["type"]);
    let widened = between(&vec![0.1_f32, 2.0], &vec![0.1_f64, 2.0]);
    assert_eq!((&widened[0].1["change"], &widened[0].1["different"]), (&json!("elements"), &json!(1)));
    // A value that became optional is compared with the earlier value.
    assert!(between(&(3_u8,), &(Some(3_u8),)).is_empty());
    assert_eq!(kind(&between(&(3_u8,), &(None::<u8>,))), ["value"]);
}

#[test]
fn a_number_that_became_nan_is_the_largest_difference() {
    let (mut before, mut after) = (vec![1.0; 200_000], vec![1.0; 200_000]);
    (after[7], after[199_999]) = (1e300, f64::NAN);
    let largest = |found: Vec<(String, Value)>| found[0].1["largest"].clone();
    let told = largest(between(&before, &after));
    assert_eq!(
        (&told["index"], &told["after"], &told["distance"]),
        (&json!([199_999]), &json!("NaN"), &json!("NaN"))
    );
    before[199_999] = f64::NAN;
    assert_eq!(largest(between(&before, &after))["index"], json!([7]), "both are NaN, so they do not differ");
}

#[test]
fn an_array_of_another_length_is_another_value() {
    let found = between(&vec![1.0, 2.0], &vec![1.0, 2.0, 3.0]);
    assert_eq!(found[0].1["change"], "value");
    assert_eq!(
        (&found[0].1["before"]["array"]["shape"], &found[0].1["after"]["array"]["shape"]),
        (&json!([2]), &json!([3]))
    );
}

#[test]
fn what_scopes_keep_is_compared_as_what_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("nested.ckpt");
    let mut scopes = Scopes::open(&path).unwrap();
    let mut outer = scopes.enter::<(u64, Vec<f64>)>("outer").unwrap();
    outer.save(&(3, vec![0.5, 1.0])).unwrap();
    outer.save(&(4, vec![0.5, 1.5])).unwrap();
    let (code, out, err) = ckpt(&["diff", text(&path)]);
    assert_eq!(code, 1, "{err}");
    assert!(out.contains("frames/0/kept/0  3 → 4"), "{out}");
    assert!(out.contains("frames/0/kept/1  1 of 2 elements differ, most at [1]: 1 → 1.5"), "{out}");
}

#[test]
fn generations_are_named_behind_their_directory() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run@home.ckpt");
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=3 {
        checkpoints.save_with(&(state * 10), Metadata::new().with("loss", 1.0 / state as f64)).unwrap();
    }
    let at = |generation: u64| format!("{}@{generation}", text(&path));
    let shown = |arguments: &[&str]| ckpt(arguments).1;
    assert!(shown(&["show", &at(2)]).contains("state  u64  20"));
    assert!(shown(&["diff", text(&path)]).contains("the state  20 → 30"), "without a second, the two newest");
    let out = shown(&["diff", &at(1), &at(3)]);
    assert!(out.contains("the state  10 → 30") && out.contains("metadata loss  1 → 0.333"), "{out}");
    assert_eq!(ckpt(&["diff", &at(1), &at(1)]).0, 0);
    let (code, _, err) = ckpt(&["show", &at(7)]);
    assert_eq!(code, 3);
    assert!(err.contains('7') && err.contains('3'), "it says which there are: {err}");
    let (code, _, err) = ckpt(&["diff", &at(1)]);
    assert_eq!(code, 3);
    assert!(err.contains("give a second one"), "{err}");
}

#[test]
fn all_differences_are_counted_and_the_first_shown() {
    let before: Vec<(u32, bool)> = (0..100_000).map(|number| (number, false)).collect();
    let mut after = before.clone();
    after.iter_mut().for_each(|(number, _)| *number += 1);
    after.extend(vec![(0, true); 50_000]);
    let parent = tempfile::tempdir().unwrap();
    let (a, b) = (saved(parent.path(), "a", &before), saved(parent.path(), "b", &after));
    let (code, out, _) = ckpt(&["--json", "diff", text(&a), text(&b), "--most", "5"]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &found["total"], found["differences"].as_array().unwrap().len()),
        (1, &json!(150_000), 5)
    );
}

#[test]
fn what_cannot_be_read_is_a_difference_and_the_rest_is_compared() {
    let parent = tempfile::tempdir().unwrap();
    let state = (vec![1.0; 9], 5_u64, vec![2.0; 9]);
    let (a, b) =
        (saved(parent.path(), "a", &state), saved(parent.path(), "b", &(vec![1.0; 9], 6_u64, vec![2.0; 9])));
    let file = b.join("00000000000000000001.ckpt");
    let mut bytes = std::fs::read(&file).unwrap();
    let place = bytes.windows(8).position(|window| window == 1.0_f64.to_le_bytes()).unwrap();
    bytes[place] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let (code, out, _) = ckpt(&["diff", text(&a), text(&b)]);
    assert_eq!(code, 1);
    assert!(out.contains("! 0  ") && out.contains("damaged") && out.contains("1  5 → 6"), "{out}");
}

#[test]
fn the_configurations_of_two_checkpoints_are_shown_and_compared() {
    let parent = tempfile::tempdir().unwrap();
    let saved = |name: &str, configuration: &Value| {
        let path = parent.path().join(name);
        let builder = Checkpointer::<u64>::builder(&path).config(configuration);
        builder.open().unwrap().save(&7).unwrap();
        path
    };
    let a = saved("a", &json!({"rate": 0.1, "kind": {"name": "adam\u{1b}[31m"}}));
    let b = saved("b", &json!({"rate": 0.01, "kind": {"name": "adam\u{1b}[31m"}, "epochs": 3}));
    let (code, out, _) = ckpt(&["show", text(&a)]);
    assert_eq!(code, 0);
    assert!(out.contains("configuration rate  0.1\n") && out.contains("configuration kind/name"), "{out}");
    assert!(!out.contains('\u{1b}'), "{out}");
    let (code, out, _) = ckpt(&["diff", text(&a), text(&b)]);
    assert_eq!(code, 0, "the states are the same");
    assert!(out.contains("configuration rate  0.1 → 0.01"), "{out}");
    assert!(out.contains("configuration epochs  nothing → 3"), "{out}");
    let (_, out, _) = ckpt(&["--json", "diff", text(&a), text(&b)]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["configuration"], json!({"epochs": [null, "3"], "rate": ["0.1", "0.01"]}));
    let (_, out, _) = ckpt(&["--json", "show", text(&a)]);
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(found["configuration"]["rate"], "0.1");
}
