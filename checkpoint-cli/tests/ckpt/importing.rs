//! `ckpt import` makes a checkpoint of other files, which a program loads by its names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpointed::{CheckpointReader, Checkpointer, ExpectedSchema, checkpointed};

#[checkpointed]
#[derive(Debug, Default, PartialEq)]
struct Model {
    layers: Vec<Layer>,
    rate: f64,
    epoch: u32,
    phase: Option<Phase>,
    note: Option<String>,
    flags: Vec<bool>,
    sizes: (u8, i16),
}

#[checkpointed]
#[derive(Debug, Default, PartialEq)]
struct Layer {
    weights: Vec<[f32; 3]>,
    bias: Vec<f64>,
}

#[checkpointed]
#[derive(Debug, PartialEq)]
enum Phase {
    Warm,
    Cold,
}

fn ckpt(arguments: &[&str], paths: &[&Path]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(arguments).args(paths).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("warm.ckpt");
    (parent, path)
}

#[test]
fn json_is_loaded_by_the_names_of_the_program() {
    let (parent, path) = nowhere();
    let file = parent.path().join("model.json");
    fs::write(
        &file,
        r#"{"layers": [{"weights": [[1, 2, 3], [0.5, -4, 1e3]], "bias": [0, -1]}, {"weights": [], "bias": [0.1]}],
            "rate": 1, "epoch": 7, "phase": "Cold", "note": null, "flags": [true, false], "sizes": [200, -7]}"#,
    )
    .unwrap();
    let (code, text) = ckpt(&["import"], &[&file, &path]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("as generation 1 of"), "{text}");
    let expected = Model {
        layers: vec![
            Layer { weights: vec![[1.0, 2.0, 3.0], [0.5, -4.0, 1000.0]], bias: vec![0.0, -1.0] },
            Layer { weights: Vec::new(), bias: vec![0.1] },
        ],
        rate: 1.0,
        epoch: 7,
        phase: Some(Phase::Cold),
        note: None,
        flags: vec![true, false],
        sizes: (200, -7),
    };
    let mut checkpoints = Checkpointer::<Model>::open(&path).unwrap();
    let model = checkpoints.load().unwrap().unwrap();
    assert_eq!(model, expected);
    checkpoints.finish(&model).unwrap();
    assert_eq!(CheckpointReader::<Model>::open(&path).unwrap().load().unwrap(), Some(expected));
    assert_eq!(ckpt(&["verify"], &[&path]).0, 0);
}

#[test]
fn what_no_retention_is_known_of_is_not_said_to_be_removed() {
    let (parent, path) = nowhere();
    let file = parent.path().join("model.json");
    fs::write(&file, r#"{"rate": 1}"#).unwrap();
    assert_eq!(ckpt(&["import"], &[&file, &path]).0, 0);
    let (code, text) = ckpt(&["list"], &[&path]);
    assert!(code == 0 && !text.contains("removed by the next save"), "{text}");
    // Where the rules of the last run are known, what no rule keeps is told.
    let kept = parent.path().join("kept.ckpt");
    let mut checkpoints = Checkpointer::<u64>::builder(&kept).keep_last(3).open().unwrap();
    (0..3).for_each(|state| assert!(checkpoints.save(&state).is_ok()));
    drop(checkpoints);
    drop(Checkpointer::<u64>::builder(&kept).keep_last(1).open().unwrap());
    let (code, text) = ckpt(&["list"], &[&kept]);
    assert!(code == 0 && text.contains("removed by the next save"), "{text}");
}

#[test]
fn with_the_schema_of_the_program_its_answer_is_told() {
    #[checkpointed(name = "fit", version = 3)]
    #[derive(Debug, PartialEq)]
    struct Fit {
        rate: f64,
        inner: Inner,
    }
    #[checkpointed(version = 2)]
    #[derive(Debug, PartialEq)]
    struct Inner {
        steps: Vec<u16>,
    }
    let (parent, path) = nowhere();
    let (file, schema) = (parent.path().join("fit.json"), parent.path().join("schema.json"));
    fs::write(&schema, ExpectedSchema::of::<Fit>().to_string()).unwrap();
    fs::write(&file, r#"{"rate": 0.5, "inner": {"steps": [1, 2, 3]}, "more": "text"}"#).unwrap();
    let schema_text = schema.to_str().unwrap();
    let (code, text) = ckpt(&["import", "--schema", schema_text], &[&file, &path]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("more: String in the checkpoint, absent in the program: dropped"), "{text}");
    let fit = CheckpointReader::<Fit>::open(&path).unwrap().load().unwrap();
    assert_eq!(fit, Some(Fit { rate: 0.5, inner: Inner { steps: vec![1, 2, 3] } }));

    let other = parent.path().join("other.ckpt");
    fs::write(&file, r#"{"rate": "fast"}"#).unwrap();
    let (code, text) = ckpt(&["import", "--schema", schema_text], &[&file, &other]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("rate: String in the checkpoint, f64 in the program: refused"), "{text}");
    assert!(text.contains("inner: absent in the checkpoint, Inner in the program: refused"), "{text}");
}

fn exported(format: &str) -> (tempfile::TempDir, PathBuf, PathBuf) {
    let (parent, path) = nowhere();
    let source = parent.path().join("source.ckpt");
    let layer = |value: f32| Layer { weights: vec![[value; 3]; 400], bias: vec![0.25; 300] };
    let model = Model { layers: vec![layer(1.0), layer(2.0)], rate: 9.0, ..Model::default() };
    Checkpointer::open(&source).unwrap().save(&model).unwrap();
    let file = parent.path().join(format!("model.{format}"));
    let arguments = ["export", "--to", format, "--output", file.to_str().unwrap()];
    let field = Path::new(if format == "npy" { "layers/1/weights" } else { "" });
    let (code, text) = ckpt(&arguments, &[&source, field]);
    assert_eq!(code, 0, "{text}");
    (parent, file, path)
}

#[test]
fn one_array_goes_to_one_field() {
    let (_parent, file, path) = exported("npy");
    assert_eq!(ckpt(&["import", "--field", "encoder/weights"], &[&file, &path]).0, 0);
    let mut reader = CheckpointReader::<()>::open(&path).unwrap();
    let weights = reader.load_field::<Vec<[f64; 3]>>("encoder/weights").unwrap().unwrap();
    assert_eq!((weights.len(), weights[399]), (400, [2.0; 3]));
}

#[test]
fn arrays_with_names_start_a_program_warm() {
    for format in ["npz", "safetensors"] {
        let (parent, file, path) = exported(format);
        let (code, text) = ckpt(&["import"], &[&file, &path]);
        assert_eq!(code, 0, "{text}");
        let mut model = Model { rate: 0.5, ..Model::default() };
        let matching = CheckpointReader::open(&path).unwrap().load_matching(&mut model).unwrap().unwrap();
        assert_eq!(matching.taken, ["layers", "flags"]);
        assert_eq!((model.layers.len(), model.rate), (2, 0.5));
        assert_eq!((model.layers[1].weights[399], model.layers[0].bias[299]), ([2.0; 3], 0.25));

        // As the keys of a map, the names stay whole.
        let flat = parent.path().join("flat.ckpt");
        assert_eq!(ckpt(&["import", "--flat"], &[&file, &flat]).0, 0);
        let map = CheckpointReader::<BTreeMap<String, Vec<[f32; 3]>>>::open(&flat).unwrap();
        let manifest = map.manifest(1).unwrap();
        assert!(format!("{:?}", manifest.schema()).contains("layers/1/weights"), "{format}");
    }
}

#[test]
fn a_wrong_file_leaves_nothing_behind() {
    let (parent, path) = nowhere();
    let mut short = b"\x93NUMPY\x01\x00\x40\x00".to_vec();
    short.extend(format!("{:<63}\n", "{'descr': '<f8', 'fortran_order': False, 'shape': (9,), }").bytes());
    let cases: [(&str, &[u8], &str); 6] = [
        ("a.json", b"{\"rate\": ", "EOF"),
        ("b.json", b"\xff\xfe", "expected value"),
        ("c.npy", b"not an array", "does not begin as one"),
        ("d.npy", &short, "fewer bytes than the 72"),
        ("e.bin", b"", "--from json, npy, npz or safetensors"),
        ("missing.json", b"", "No such file"),
    ];
    for (name, bytes, part) in cases {
        let file = parent.path().join(name);
        if !name.starts_with("missing") {
            fs::write(&file, bytes).unwrap();
        }
        let (code, text) = ckpt(&["import"], &[&file, &path]);
        assert!(code == 3 && text.contains(part), "{name}: {code} {text}");
        assert!(!path.exists(), "{name}");
    }
}

#[test]
fn a_directory_with_checkpoints_is_left_alone() {
    let (parent, path) = nowhere();
    let file = parent.path().join("seven.json");
    fs::write(&file, "7").unwrap();
    Checkpointer::<u64>::open(&path).unwrap().save(&1).unwrap();
    let (code, text) = ckpt(&["import"], &[&file, &path]);
    assert!(code == 3 && text.contains("warm.ckpt"), "{text}");
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(1));
    let fresh = parent.path().join("fresh.ckpt");
    assert_eq!(ckpt(&["import"], &[&file, &fresh]).0, 0);
    assert_eq!(Checkpointer::<u8>::open(&fresh).unwrap().load().unwrap(), Some(7));
}

#[test]
fn an_import_with_a_key_is_refused_before_it_begins() {
    let (parent, path) = nowhere();
    let (file, key) = (parent.path().join("seven.json"), parent.path().join("key"));
    fs::write(&file, "7").unwrap();
    fs::write(&key, "ab".repeat(32)).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (code, text) = ckpt(&["--key-file", key.to_str().unwrap(), "import"], &[&file, &path]);
    assert!(code == 3 && text.contains("has no tags"), "{code} {text}");
    assert!(!path.exists());
}

#[test]
fn a_field_of_thousands_of_steps_is_refused() {
    let (parent, path) = nowhere();
    let file = parent.path().join("seven.json");
    fs::write(&file, "7").unwrap();
    let (code, text) = ckpt(&["import", "--field", &"a/".repeat(60_000)], &[&file, &path]);
    assert!(code == 3 && text.contains("60000 steps"), "{code} {text}");
    assert!(!path.exists());
}

#[test]
fn a_name_of_a_million_steps_is_refused() {
    let (parent, path) = nowhere();
    let file = parent.path().join("deep.safetensors");
    let name = "a.".repeat(1_000_000);
    let mut header =
        format!("{{\"{name}b\":{{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}}}").into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let bytes = [&(header.len() as u64).to_le_bytes(), &header[..], &[7]].concat();
    fs::write(&file, bytes).unwrap();
    let (code, text) = ckpt(&["import"], &[&file, &path]);
    assert!(code == 3 && text.contains("1000001 steps") && text.len() < 1000, "{code}");
    assert!(!path.exists());
    assert_eq!(ckpt(&["import", "--flat"], &[&file, &path]).0, 0);
}
