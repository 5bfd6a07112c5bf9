//! `ckpt check` says of a checkpoint and a program what a load then does.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, ExpectedSchema, checkpointed};
use serde_json::Value;

mod before {
    use super::checkpointed;

    #[checkpointed(name = "run")]
    pub(super) struct Run {
        pub(super) step: u32,
        pub(super) speed: Vec<f32>,
        pub(super) scratch: Vec<f64>,
        pub(super) phase: Phase,
        pub(super) length: Length,
        pub(super) scale: Scale,
    }

    #[checkpointed]
    pub(super) enum Phase {
        Idle,
        Old(u64),
    }

    #[checkpointed]
    pub(super) struct Length(pub(super) f64);

    #[checkpointed]
    pub(super) struct Scale {
        pub(super) percent: f64,
    }
}

#[checkpointed]
enum Phase {
    Idle,
    New,
}

#[checkpointed(was_type = "Length")]
struct Metres(f64);

#[checkpointed(version = 2, migrate(from = 1, with = Scale::of_percent))]
struct Scale {
    factor: f64,
}

impl Scale {
    fn of_percent(before::Scale { percent }: before::Scale) -> Scale {
        Scale { factor: percent / 100.0 }
    }
}

#[checkpointed(name = "run")]
struct Run {
    step: u64,
    #[serde(alias = "speed")]
    celerity: Vec<f32>,
    phase: Phase,
    length: Metres,
    scale: Scale,
    note: Option<String>,
    #[serde(default)]
    seed: u64,
}

fn saved() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let run = before::Run {
        step: 7,
        speed: vec![0.5; 1000],
        scratch: vec![1.0],
        phase: before::Phase::Idle,
        length: before::Length(2.0),
        scale: before::Scale { percent: 50.0 },
    };
    Checkpointer::open(&path).unwrap().save(&run).unwrap();
    (parent, path)
}

/// The answer of `ckpt check` about a program with this state, by its exit code.
fn check<T: Checkpoint>(directory: &Path) -> (i32, String, String) {
    check_text(directory, &ExpectedSchema::of::<T>().to_string())
}

fn check_text(directory: &Path, schema: &str) -> (i32, String, String) {
    let file = directory.with_extension("schema");
    fs::write(&file, schema).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).arg("check").arg(directory).arg(&file).output();
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn each_difference_is_told_with_what_becomes_of_it() {
    let (_parent, path) = saved();
    let (code, text, errors) = check::<Run>(&path);
    let mut lines: Vec<&str> = text.lines().collect();
    let last = lines.pop().unwrap();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "length: type Length in the checkpoint, type Metres in the program: found by its name",
            "note: absent in the checkpoint, Option<String> in the program: gets its default",
            "phase::New: absent in the checkpoint, a variant in the program: found by its name",
            "phase::Old: a variant in the checkpoint, absent in the program: refused, if a value has it",
            "scale: version 1 in the checkpoint, version 2 in the program: migrated",
            "scratch: Vec<f64> in the checkpoint, absent in the program: dropped",
            "seed: absent in the checkpoint, u64 in the program: gets its default",
            "speed → celerity: Vec<f32> in the checkpoint, Vec<f32> in the program: found by its name",
            "step: u32 in the checkpoint, u64 in the program: converted, if every value fits",
        ],
        "{errors}"
    );
    assert!(last.ends_with("loads with these changes, unless a value stands against it"), "{last}");
    assert_eq!(code, 0);
    let run = CheckpointReader::<Run>::open(&path).unwrap().load().unwrap().unwrap();
    assert_eq!((run.step, run.scale.factor, run.celerity.len()), (7, 0.5, 1000));
    assert_eq!(check::<before::Run>(&path).1.lines().count(), 1);
}

#[test]
fn what_is_refused_by_the_check_is_refused_by_the_load() {
    #[checkpointed(name = "run")]
    struct NoDefault {
        step: u32,
        added: u64,
    }
    #[checkpointed(name = "run")]
    struct OtherKind {
        step: String,
    }
    #[checkpointed(name = "run")]
    struct OtherType {
        length: before::Scale,
        step: u32,
    }
    #[checkpointed(name = "run", version = 2)]
    struct Later {
        step: u32,
    }
    #[checkpointed(name = "other")]
    struct Other {
        step: u32,
    }
    fn both<T: Checkpoint>(path: &Path, part: &str) {
        let (code, text, _) = check::<T>(path);
        let loaded = CheckpointReader::<T>::open(path).unwrap().load().map(drop);
        assert_eq!((code, loaded.is_err()), (1, true), "{text}");
        assert!(text.contains(part) && text.contains("does not load"), "{text}");
    }
    let (_parent, path) = saved();
    both::<NoDefault>(&path, "added: absent in the checkpoint, u64 in the program: refused");
    both::<OtherKind>(&path, "step: u32 in the checkpoint, String in the program: refused");
    both::<OtherType>(&path, "length: ");
    both::<Later>(&path, "the state: version 1 in the checkpoint, version 2 in the program: refused");
    both::<Other>(&path, "the state: name run in the checkpoint, name other in the program: refused");
    both::<Vec<u64>>(&path, "the state: run in the checkpoint, Vec<u64> in the program: refused");
}

#[test]
fn the_schema_comes_from_standard_input_too() {
    let (_parent, path) = saved();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
    command.args(["--json", "check"]).arg(&path).arg("-").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let text = format!("{}\n", ExpectedSchema::of::<Run>());
    running.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let of = |path: &str| {
        let fields = answer["fields"].as_array().unwrap();
        fields.iter().find(|field| field["path"] == path).unwrap()["outcome"].clone()
    };
    assert_eq!(
        (of("seed"), of("step"), of("scale")),
        ("default".into(), "converted".into(), "migrated".into())
    );
    assert_eq!(answer["generation"], 1);
}

#[test]
fn a_wrong_schema_is_a_clear_error() {
    let (_parent, path) = saved();
    let good = ExpectedSchema::of::<Run>().to_string();
    for (text, part) in [
        (String::new(), "it is not the schema of a program"),
        ("{}".to_owned(), "it is not the schema of a program"),
        (good[..good.len() / 2].to_owned(), "let the program print it again"),
        (
            good.replacen("\"expected_schema\":1", "\"expected_schema\":9", 1),
            "a newer version of the library",
        ),
        (good.replacen("{\"named\":0}", "{\"named\":99}", 1), "types that it does not have"),
    ] {
        let (code, _, errors) = check_text(&path, &text);
        assert!(code == 3 && errors.contains(part), "{code} {errors}");
    }
    for endless in ["{\"named\":0}", "{\"option\":{\"named\":0}}"] {
        let schema = format!(
            "{{\"expected_schema\":1,\"name\":\"\",\"version\":1,\"told\":[0],\"schema\":{{\"root\":{{\"named\":0}},\
            \"types\":[{{\"name\":\"A\",\"version\":1,\"struct\":{{\"newtype\":{endless}}}}}]}}}}"
        );
        let (code, text, errors) = check_text(&path, &schema);
        assert!(code == 0 && text.contains("the state: "), "{code} {text} {errors}");
    }
}
