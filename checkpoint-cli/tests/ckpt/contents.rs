//! Tests the view that `ckpt` gives of a checkpoint, without the program that wrote it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpointed::{CheckpointReader, Checkpointer, Protection, Scopes, checkpointed, inspect};
use serde_json::{Value, json};

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Idle,
    Run { step: u64 },
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct State {
    step: u64,
    wide: u128,
    energy: f64,
    phases: Vec<Phase>,
    layers: BTreeMap<String, Vec<f64>>,
    points: Vec<[f32; 3]>,
    note: Option<String>,
}

fn state() -> State {
    State {
        step: 7,
        wide: u128::MAX,
        energy: f64::NAN,
        phases: vec![Phase::Idle, Phase::Run { step: 9 }],
        layers: BTreeMap::from([("a/b".into(), vec![1.0, 2.0, f64::NAN])]),
        points: vec![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        note: Some("\u{1b}[31mred".into()),
    }
}

fn ckpt(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn saved() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::<State>::open(&path).unwrap();
    checkpoints.save(&state()).unwrap();
    checkpoints.save(&state()).unwrap();
    (parent, path)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let (code, out, err) = ckpt(&[&["--json"], arguments].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// The member of that name.
fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    value["members"].as_array().unwrap().iter().find(|member| member["name"] == name).unwrap()
}

#[test]
fn show_knows_every_field_with_its_type_and_value() {
    let (_parent, path) = saved();
    let shown = json(&["show", text(&path)]);
    assert_eq!((&shown["generation"], &shown["name"]), (&json!(2), &json!("State")));
    let state = &shown["state"];
    assert_eq!(member(state, "step")["value"], 7);
    assert_eq!(member(state, "wide")["value"], u128::MAX.to_string());
    assert_eq!(member(state, "energy")["value"], "NaN");
    assert_eq!(member(state, "phases")["members"][1]["variant"], "Run");
    let points = &member(state, "points")["array"];
    assert_eq!((&points["dtype"], &points["shape"]), (&json!("<f4"), &json!([2, 3])));
    assert_eq!(points["summary"]["statistics"]["max"], 6.0);
    assert_eq!(points["summary"]["statistics"]["mean"], 3.5);

    let (code, out, _) = ckpt(&["show", text(&path)]);
    assert_eq!(code, 0);
    assert!(out.contains("step  u64  7") && out.contains("Run"), "{out}");
    assert!(!out.contains('\u{1b}'), "nothing that a terminal obeys: {out:?}");
}

#[test]
fn one_field_is_shown_by_the_path_that_its_array_has() {
    let (_parent, path) = saved();
    let shown = json(&["show", text(&path), "layers/a%2Fb"]);
    let array = &shown["state"]["array"];
    assert_eq!(array["summary"]["statistics"]["nan"], 1);
    assert_eq!(array["summary"]["first"], json!([1.0, 2.0, "NaN"]));
    assert_eq!(json(&["show", text(&path), "phases/1/step"])["state"]["value"], 9);
    let (code, _, err) = ckpt(&["show", text(&path), "phases/7"]);
    assert_eq!(code, 3);
    assert!(err.contains("phases"), "{err}");
}

#[test]
fn fixed_arrays_are_nested_lists_wherever_they_are_kept() {
    #[checkpointed]
    #[derive(Clone)]
    struct Grid([[u8; 2]; 40]);
    #[checkpointed]
    struct Grids {
        grids: Vec<Grid>,
        rows: Vec<[[u16; 33]; 2]>,
        words: [[String; 2]; 33],
        none: Vec<[u8; 33]>,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    // Those behind the first 256 arrays are inline.
    let state = Grids {
        grids: vec![Grid([[1, 2]; 40]); 300],
        rows: vec![[[3; 33]; 2]; 3],
        words: std::array::from_fn(|_| ["a".to_owned(), "b".to_owned()]),
        none: Vec::new(),
    };
    Checkpointer::<Grids>::open(&path).unwrap().save(&state).unwrap();
    let (code, out, err) = ckpt(&["export", text(&path), "--to", "json"]);
    assert_eq!(code, 0, "{err}");
    let expected = json!({
        "grids": vec![vec![[1, 2]; 40]; 300],
        "rows": vec![vec![vec![3; 33]; 2]; 3],
        "words": vec![["a", "b"]; 33],
        "none": [],
    });
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), expected);
}

#[test]
fn what_scopes_keep_is_shown_as_what_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("nested.ckpt");
    let mut scopes = Scopes::open(&path).unwrap();
    scopes.enter::<(u64, Vec<f64>)>("outer").unwrap().save(&(3, vec![0.5])).unwrap();
    assert_eq!(json(&["show", text(&path), "frames/0/kept/0"])["state"]["value"], 3);
}

#[test]
fn verify_says_what_is_whole_and_what_a_restart_takes() {
    let (_parent, path) = saved();
    let (code, out, _) = ckpt(&["verify", text(&path)]);
    assert_eq!(code, 0);
    assert!(out.contains("a restart takes generation 2"), "{out}");
    let newest = path.join("00000000000000000002.ckpt");
    let mut bytes = fs::read(&newest).unwrap();
    let array = bytes.windows(4).position(|window| window == 4.0_f32.to_le_bytes()).unwrap();
    bytes[array] ^= 1;
    fs::write(&newest, &bytes).unwrap();
    let (code, out, _) = ckpt(&["--json", "verify", text(&path)]);
    assert_eq!(code, 1);
    let verified: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&verified["restart"], &verified["whole"]), (&json!(1), &json!(false)));
    let problems = verified["checkpoints"][1]["parts"].as_array().unwrap();
    let damaged: Vec<&Value> = problems.iter().filter(|part| part["problem"].is_string()).collect();
    assert_eq!(damaged[0]["name"], "points.npy");
    assert_eq!(damaged.len(), 1);
    let (code, ..) = ckpt(&["verify", text(&path.join("00000000000000000001.ckpt"))]);
    assert_eq!(code, 0);
}

/// For any change to a file, verify and load agree, and show ends.
#[test]
fn verify_and_load_agree_on_every_changed_byte() {
    let (_parent, path) = saved();
    let newest = path.join("00000000000000000002.ckpt");
    fs::remove_file(path.join("00000000000000000001.ckpt")).unwrap();
    let whole = fs::read(&newest).unwrap();
    for place in 0..whole.len() {
        let mut changed = whole.clone();
        changed[place] ^= 1 << (place % 8);
        fs::write(&newest, &changed).unwrap();
        let loads = CheckpointReader::<State>::open(&path).unwrap().load().is_ok();
        assert_eq!(inspect::verify(&newest, &Protection::new()).is_whole(), loads, "byte {place}");
        if let Ok(file) = inspect::File::open(&newest, &Protection::new()) {
            let _ = file.root().outline(&inspect::Limits::default());
        }
    }
    for length in (0..whole.len()).step_by(7) {
        fs::write(&newest, &whole[..length]).unwrap();
        assert!(!inspect::verify(&newest, &Protection::new()).is_whole(), "{length} bytes");
    }
}

#[test]
fn a_newest_checkpoint_that_needs_a_key_is_no_damage() {
    let (_parent, path) = saved();
    fs::write(path.join("00000000000000000009.ckpt"), "age-encryption.org/v1\n-> X25519 x\n").unwrap();
    let (code, out, _) = ckpt(&["--json", "verify", text(&path)]);
    assert_eq!(code, 4);
    let verified: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(verified["restart"], Value::Null, "a load is refused too");
    assert!(CheckpointReader::<State>::open(&path).unwrap().load().is_err());
}

#[test]
fn a_file_of_somebody_else_is_told_and_code_3() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("letter.txt");
    fs::write(&path, "dear reader").unwrap();
    let (code, _, err) = ckpt(&["show", text(&path)]);
    assert_eq!(code, 3);
    assert!(err.contains("not a checkpoint"), "{err}");
    let (code, _, err) = ckpt(&["show", text(parent.path())]);
    assert_eq!(code, 3);
    assert!(err.contains("no checkpoint that can be opened"), "{err}");
}

#[test]
fn the_released_files_are_shown_and_whole() {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/compatibility");
    for name in ["values", "arrays", "compressed", "scopes", "chain-1", "pipeline/steps/load"] {
        assert_eq!(ckpt(&["verify", text(&kept.join(name))]).0, 0, "{name}");
        assert_eq!(ckpt(&["show", text(&kept.join(name))]).0, 0, "{name}");
    }
}

#[test]
fn values_are_exported_as_json_and_arrays_as_numpy_has_them() {
    let (parent, path) = saved();
    let (code, out, _) = ckpt(&["export", text(&path), "--to", "json"]);
    assert_eq!(code, 0);
    let exported: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(exported["points"], json!([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]));
    assert_eq!(exported["phases"], json!(["Idle", { "Run": { "step": 9 } }]));
    assert_eq!(exported["layers"]["a/b"], json!([1.0, 2.0, "NaN"]));
    assert_eq!(exported["wide"], u128::MAX.to_string());

    let target = parent.path().join("points.npy");
    let points = ["export", text(&path), "points", "--to", "npy", "--output", text(&target)];
    assert_eq!(ckpt(&points).0, 0);
    let (code, _, err) = ckpt(&points);
    assert_eq!(code, 3, "it is there already");
    assert!(err.contains("--force"), "{err}");
    let (all, tensors) = (parent.path().join("all.npz"), parent.path().join("all.safetensors"));
    assert_eq!(ckpt(&["export", text(&path), "--to", "npz", "-o", text(&all)]).0, 0);
    assert_eq!(ckpt(&["export", text(&path), "--to", "safetensors", "-o", text(&tensors)]).0, 0);
    let (code, _, err) = ckpt(&["export", text(&path), "--to", "npy", "-o", text(&parent.path().join("x"))]);
    assert_eq!(code, 3);
    assert!(err.contains("--to npz"), "{err}");
    let header = fs::read(&tensors).unwrap();
    let length = usize::try_from(u64::from_le_bytes(header[..8].try_into().unwrap())).unwrap();
    let tensors: Value = serde_json::from_slice(&header[8..8 + length]).unwrap();
    assert_eq!(tensors["points"]["shape"], json!([2, 3]));

    let script = "import numpy, sys; a, b = numpy.load(sys.argv[1]), numpy.load(sys.argv[2]); \
                  print(a.tolist(), sorted(b), (b['points'] == a).all())";
    let output = Command::new("python3").args(["-c", script]).args([&target, &all]).output();
    match output {
        Ok(output) if output.status.success() => {
            let printed = String::from_utf8(output.stdout).unwrap();
            assert_eq!(printed.trim(), "[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] ['layers/a%2Fb', 'points'] True");
        }
        _ => eprintln!("skipped: no numpy"),
    }
}
