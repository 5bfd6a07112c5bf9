//! The files in `tests/compatibility/`, written by released versions of the library, are read for
//! ever, with these values.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Error, Metadata, Pipeline, Scopes, checkpointed, history,
};
use nalgebra::{DMatrix, Vector3};
use ndarray::{Array2, array};

/// Copies the stored files, so that they are never changed.
pub(crate) fn kept(name: &str) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let from = crate::common::root().join("tests/compatibility").join(name);
    let to = parent.path().join("kept");
    copy(&from, &to);
    (parent, to)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[track_caller]
pub(crate) fn assert_reads<T: Checkpoint + PartialEq + std::fmt::Debug>(name: &str, expected: &T) {
    let (_parent, path) = kept(name);
    let mut reader = CheckpointReader::<T>::open(path).unwrap();
    assert_eq!(reader.load().unwrap().as_ref(), Some(expected));
    assert!(reader.last_load().unwrap().differences.is_empty());
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
enum Phase {
    Idle,
    Wait(u32),
    Move(i8, i8),
    Run { step: u64 },
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Unit;

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Metres(f64);

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Values {
    integers: (u8, i8, u16, i16, u32, i32, u64, i64),
    sizes: (usize, isize),
    wide: (u128, i128),
    floats: (f32, f64),
    truth: [bool; 2],
    characters: (char, char, char, char),
    text: String,
    nothing: (),
    unit: Unit,
    metres: Metres,
    phases: Vec<Phase>,
    none: Option<u8>,
    some: Option<Option<String>>,
    map: BTreeMap<String, Vec<Phase>>,
    by_number: BTreeMap<(u8, bool), i16>,
}

fn values() -> Values {
    Values {
        integers: (u8::MAX, i8::MIN, u16::MAX, i16::MIN, u32::MAX, i32::MIN, u64::MAX, i64::MIN),
        sizes: (7, -7),
        wide: (u128::MAX, i128::MIN),
        floats: (-0.0, f64::INFINITY),
        truth: [true, false],
        characters: ('a', 'é', '€', '🦀'),
        text: "säve\0".into(),
        nothing: (),
        unit: Unit,
        metres: Metres(5e-324),
        phases: vec![Phase::Idle, Phase::Wait(7), Phase::Move(-1, 1), Phase::Run { step: 9 }],
        none: None,
        some: Some(Some("inside".into())),
        map: BTreeMap::from([("a/b".into(), vec![Phase::Idle]), (String::new(), Vec::new())]),
        by_number: BTreeMap::from([((1, true), -2)]),
    }
}

#[test]
fn values_of_every_kind() {
    assert_reads("values", &values());
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Arrays {
    /// Floats as bits: a signalling NaN among them.
    signals: Vec<u64>,
    floats: Vec<f64>,
    empty: Vec<u16>,
    points: Vec<[f32; 3]>,
    truth: Vec<bool>,
    wide: Vec<i128>,
    /// Longer than serde's own longest.
    fixed: [[i16; 40]; 2],
    rows: Vec<[u8; 33]>,
    grid: Array2<f64>,
    matrix: DMatrix<f32>,
    vectors: Vec<Vector3<f64>>,
    /// More than 256 arrays: the last ones are inside the encoded state.
    many: Vec<Vec<u8>>,
}

fn arrays() -> Arrays {
    Arrays {
        signals: vec![0x7ff0_0000_0000_0001, u64::MAX],
        floats: vec![0.1, -0.0, f64::MAX],
        empty: Vec::new(),
        points: vec![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        truth: vec![true, false, true],
        wide: vec![i128::MIN, -1],
        fixed: [[7; 40], [-7; 40]],
        rows: vec![[1; 33], [2; 33]],
        grid: array![[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
        matrix: DMatrix::from_row_slice(2, 3, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        vectors: vec![Vector3::new(1.0, 2.0, 3.0)],
        many: (0..300_u16).map(|number| vec![number.to_le_bytes()[0]; 2]).collect(),
    }
}

#[test]
fn arrays_of_every_kind() {
    assert_reads("arrays", &arrays());
}

#[test]
fn compressed_parts() {
    assert_reads("compressed", &vec![0.25_f64; 5000]);
}

#[test]
fn what_was_said_of_a_save() {
    let (_parent, path) = kept("values");
    let reader = CheckpointReader::<Values>::open(path).unwrap();
    let manifest = reader.manifest(1).unwrap();
    let loss = manifest.metadata().get("loss").and_then(checkpointed::MetadataValue::as_f64);
    assert!(loss.is_some_and(f64::is_nan));
    assert_eq!(manifest.metadata().get("note").and_then(|value| value.as_str()), Some("the first"));
    assert_eq!((manifest.name(), manifest.version()), ("Values", 1));
}

#[test]
fn scopes_go_on_where_they_were() {
    let (_parent, path) = kept("scopes");
    let mut scopes = Scopes::open(path).unwrap();
    assert!(scopes.restore().unwrap());
    // They were saved before scopes counted outputs, and noted the work that they were entered in.
    let differences = &scopes.checkpointer().last_load().unwrap().differences;
    let paths: Vec<&str> = differences.iter().map(|difference| difference.path.as_str()).collect();
    assert_eq!(paths, ["frames[].work", "frames[].lengths"]);
    let mut outer = scopes.enter::<(u64, String)>("outer").unwrap();
    assert_eq!(outer.restored(), Some((3, "kept".to_owned())));
    assert_eq!(outer.once("sum", |_| -> Result<u64, Error> { panic!("it was done") }).unwrap(), 5);
    let mut inner = outer.enter::<Vec<f64>>("inner").unwrap();
    assert_eq!(inner.restored(), Some(vec![0.5, 1.5]));
}

#[test]
fn pipelines_reuse_what_they_made() {
    let (_parent, path) = kept("pipeline");
    let reports = pipeline(&path);
    assert_eq!(reports, ["load: Reused", "scale: Reused"]);
}

/// Returns the event of each step.
fn pipeline(path: &Path) -> Vec<String> {
    let pipeline = Pipeline::open(path).unwrap();
    let load = pipeline.step("load").version(2).run(|_| Ok::<_, Error>(vec![1.0_f64, 2.0])).unwrap();
    let scale = pipeline.step("scale").param("factor", &BTreeMap::from([("x", 3.0)])).input(&load);
    let scaled = scale.run(|_| Ok::<_, Error>(vec![3.0_f64, 6.0])).unwrap();
    assert_eq!(*scaled.load().unwrap(), [3.0, 6.0]);
    let outcome =
        |report: &checkpointed::pipeline::StepReport| format!("{}: {:?}", report.step, report.outcome);
    pipeline.finish().unwrap().iter().map(outcome).collect()
}

#[test]
fn the_history_tells_the_same() {
    let (_parent, path) = kept("values");
    let history = history::read(path).unwrap();
    assert_eq!((history.runs(), history.failures(), history.unknown_lines), (1, 0, 0));
    let saves = history.records.iter().filter(|record| matches!(record.event, history::Event::Save { .. }));
    assert_eq!(saves.count(), 1);
}

mod versions {
    use super::*;

    #[checkpointed(name = "chain")]
    #[derive(Debug, PartialEq)]
    pub(super) struct V1 {
        pub(super) feet: Vec<f64>,
    }

    #[checkpointed(name = "chain", version = 2, migrate(from = 1, with = in_metres))]
    #[derive(Debug, PartialEq)]
    pub(super) struct V2 {
        pub(super) metres: Vec<f64>,
    }

    fn in_metres(old: V1) -> V2 {
        V2 { metres: old.feet.into_iter().map(|feet| feet * 0.25).collect() }
    }

    #[checkpointed(name = "chain", version = 3, migrate(from = 2, with = summed))]
    #[derive(Debug, PartialEq)]
    pub(super) struct V3 {
        pub(super) metres: Vec<f64>,
        pub(super) sum: f64,
    }

    fn summed(old: V2) -> V3 {
        V3 { sum: old.metres.iter().sum(), metres: old.metres }
    }

    #[test]
    fn every_older_version_becomes_the_newest() {
        for name in ["chain-1", "chain-2", "chain-3"] {
            let (_parent, path) = kept(name);
            let loaded = CheckpointReader::<V3>::open(path).unwrap().load().unwrap();
            assert_eq!(loaded, Some(V3 { metres: vec![1.0, 2.0], sum: 3.0 }), "{name}");
        }
    }
}

pub(crate) fn missing(name: &str) -> Option<PathBuf> {
    let path = crate::common::root().join("tests/compatibility").join(name);
    (!path.exists()).then_some(path)
}

/// Removes the lock, which names this machine.
pub(crate) fn tidy(path: &Path) {
    fs::remove_file(path.join(".lock")).unwrap();
}

/// Makes the files. It only writes missing ones: a released file is never made again.
#[test]
#[ignore = "adds what is missing to tests/compatibility: cargo test -p checkpointed-tests --test main compatibility:: -- --ignored"]
fn add_what_is_missing() {
    fn save<T: Checkpoint>(name: &str, state: &T, compress: bool) {
        let Some(path) = missing(name) else { return };
        let mut builder = Checkpointer::<T>::builder(&path);
        if compress {
            builder = builder.compression(checkpointed::Compression::Zstd(3));
        }
        let metadata = Metadata::new().with("note", "the first").with("loss", f64::NAN).with("epoch", 1_i64);
        builder.open().unwrap().save_with(state, metadata).unwrap();
        tidy(&path);
    }
    save("values", &values(), false);
    save("arrays", &arrays(), false);
    save("compressed", &vec![0.25_f64; 5000], true);
    save("chain-1", &versions::V1 { feet: vec![4.0, 8.0] }, false);
    save("chain-2", &versions::V2 { metres: vec![1.0, 2.0] }, false);
    save("chain-3", &versions::V3 { metres: vec![1.0, 2.0], sum: 3.0 }, false);
    if let Some(path) = missing("scopes") {
        let mut scopes = Scopes::open(&path).unwrap();
        let mut outer = scopes.enter::<(u64, String)>("outer").unwrap();
        outer.keep(&(3, "kept".to_owned())).unwrap();
        outer.once("sum", |_| Ok::<_, Error>(5_u64)).unwrap();
        outer.enter::<Vec<f64>>("inner").unwrap().save(&vec![0.5, 1.5]).unwrap();
        drop(outer);
        drop(scopes);
        tidy(&path);
    }
    if let Some(path) = missing("pipeline") {
        pipeline(&path);
        tidy(&path);
        for step in ["steps/load", "steps/scale", "files"] {
            let _ = fs::remove_file(path.join(step).join(".lock"));
        }
    }
    crate::compatibility_forms::add_what_is_missing();
}
