//! A partial load takes what fits by its name, keeps the rest, and is never silent.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use checkpointed::{Appended, CheckpointReader, Checkpointer, Error, checkpointed, reports::Matching};

use crate::common::file_of;

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

mod before {
    use super::BTreeMap;

    #[checkpointed::checkpointed(name = "pretrained")]
    #[derive(Clone)]
    pub(super) struct Pretrained {
        pub(super) epoch: u64,
        pub(super) encoder: Encoder,
        pub(super) head: Vec<f64>,
        pub(super) small: u32,
        pub(super) large: u32,
        pub(super) length: Feet,
        pub(super) tables: BTreeMap<String, Vec<f32>>,
        pub(super) scaler: Scaler,
        pub(super) gone: String,
    }

    #[checkpointed::checkpointed]
    #[derive(Clone)]
    pub(super) struct Encoder {
        pub(super) weights: Vec<f32>,
        pub(super) bias: Vec<f32>,
        pub(super) old: u8,
    }

    #[checkpointed::checkpointed]
    #[derive(Clone)]
    pub(super) struct Feet(pub(super) f64);

    #[checkpointed::checkpointed(name = "scaler")]
    #[derive(Clone)]
    pub(super) struct Scaler {
        pub(super) percent: f64,
    }
}

fn pretrained() -> before::Pretrained {
    before::Pretrained {
        epoch: 90,
        encoder: before::Encoder { weights: vec![0.5; 50_000], bias: vec![0.25; 7], old: 1 },
        head: vec![0.1; 10],
        small: 200,
        large: 70_000,
        length: before::Feet(3.0),
        tables: BTreeMap::from([("a".to_owned(), vec![1.0; 300])]),
        scaler: before::Scaler { percent: 50.0 },
        gone: "gone".to_owned(),
    }
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Model {
    tables: BTreeMap<String, Vec<f32>>,
    #[serde(alias = "encoder")]
    trunk: Trunk,
    /// 0.1 is no `f32`.
    head: Vec<f32>,
    small: u8,
    large: u16,
    length: Metres,
    scaler: Scaler,
    added: Vec<f64>,
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Trunk {
    bias: Vec<f32>,
    weights: Vec<f64>,
    depth: u64,
}

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Metres(f64);

#[checkpointed(name = "scaler", version = 2, migrate(from = 1, with = Scaler::of_percent))]
#[derive(Clone, Debug, PartialEq)]
struct Scaler {
    factor: f64,
}

impl Scaler {
    fn of_percent(before::Scaler { percent }: before::Scaler) -> Scaler {
        Scaler { factor: percent / 100.0 }
    }
}

fn model() -> Model {
    Model {
        tables: BTreeMap::from([("b".to_owned(), Vec::new())]),
        trunk: Trunk { bias: vec![9.0], weights: vec![9.0; 40_000], depth: 12 },
        head: vec![9.0; 20_000],
        small: 9,
        large: 9,
        length: Metres(9.0),
        scaler: Scaler { factor: 9.0 },
        added: vec![9.0; 30_000],
    }
}

#[test]
fn each_field_that_fits_is_taken_and_each_other_is_told() {
    let (_parent, path) = nowhere();
    Checkpointer::open(&path).unwrap().save(&pretrained()).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let telling = Arc::clone(&told);
    let mut reader = CheckpointReader::<Model>::builder(&path)
        .on_warning(move |warning| telling.lock().unwrap().push(warning.to_string()))
        .open()
        .unwrap();
    let mut state = model();
    let matching: Matching = reader.load_matching(&mut state).unwrap().unwrap();

    let expected = Model {
        tables: pretrained().tables,
        trunk: Trunk { bias: vec![0.25; 7], weights: vec![0.5; 50_000], depth: 12 },
        small: 200,
        scaler: Scaler { factor: 0.5 },
        ..model()
    };
    assert_eq!(state, expected);
    assert_eq!(matching.taken, ["tables", "trunk.bias", "trunk.weights", "small", "scaler"]);
    assert_eq!((matching.generation(), matching.is_complete()), (1, false));
    let lines: Vec<String> = matching.to_string().lines().map(str::to_owned).collect();
    let parts = [
        "trunk.depth: not loaded, it is not in the checkpoint",
        "head: not loaded, head[0]: 0.1 cannot be an f32",
        "large: not loaded, large: ",
        "length: not loaded, type Feet in the checkpoint, type Metres in this program",
        "added: not loaded, it is not in the checkpoint",
        "epoch: only in the checkpoint",
        "gone: only in the checkpoint",
        "trunk.old: only in the checkpoint",
    ];
    assert_eq!(lines.len(), parts.len(), "{lines:#?}");
    for (line, part) in lines.iter().zip(parts) {
        assert!(line.contains(part), "{line} is not about {part}");
    }
    let differences: Vec<String> = matching.differences.iter().map(ToString::to_string).collect();
    assert!(differences.contains(&"small: u32 in the checkpoint, u8 in this program".to_owned()));
    let told = told.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("trunk.depth: not loaded") && told[0].contains("gone: only in"), "{told:?}");
}

#[test]
fn the_same_state_is_taken_whole_and_without_a_warning() {
    let (_parent, path) = nowhere();
    Checkpointer::open(&path).unwrap().save(&model()).unwrap();
    let told = Arc::new(Mutex::new(0));
    let telling = Arc::clone(&told);
    let builder = CheckpointReader::<Model>::builder(&path);
    let mut reader = builder.on_warning(move |_| *telling.lock().unwrap() += 1).open().unwrap();
    let mut state = Model { small: 1, added: Vec::new(), ..model() };
    let matching = reader.load_matching(&mut state).unwrap().unwrap();
    assert!(matching.is_complete() && matching.unused.is_empty() && matching.differences.is_empty());
    assert_eq!((state, *told.lock().unwrap()), (model(), 0));
}

#[test]
fn a_state_that_is_no_struct_is_taken_whole_or_refused() {
    let (_parent, path) = nowhere();
    Checkpointer::<Vec<u16>>::open(&path).unwrap().save(&vec![7; 100]).unwrap();
    let mut state = vec![0_u64; 3];
    let matching = CheckpointReader::open(&path).unwrap().load_matching(&mut state).unwrap().unwrap();
    assert_eq!((state, matching.taken), (vec![7; 100], vec![String::new()]));
    let mut text = "unchanged".to_owned();
    let error = CheckpointReader::open(&path).unwrap().load_matching(&mut text).unwrap_err();
    assert!(error.to_string().contains("no field of the checkpoint fits"), "{error}");
    assert_eq!(text, "unchanged");
}

#[test]
fn a_checkpoint_without_a_common_field_is_refused() {
    #[checkpointed]
    #[derive(Clone, Debug, Default, PartialEq)]
    struct Other {
        #[serde(default)]
        pressure: f64,
    }
    let (_parent, path) = nowhere();
    Checkpointer::open(&path).unwrap().save(&pretrained()).unwrap();
    let mut state = Other { pressure: 3.0 };
    let error = CheckpointReader::open(&path).unwrap().load_matching(&mut state).unwrap_err();
    assert!(matches!(error, Error::SchemaMismatch { .. }), "{error:?}");
    assert!(error.to_string().contains("pressure: not loaded, it is not in the checkpoint"), "{error}");
    assert_eq!(state, Other { pressure: 3.0 });
}

#[test]
fn without_a_generation_nothing_changes() {
    let (_parent, path) = nowhere();
    let mut state = model();
    assert!(CheckpointReader::open(&path).unwrap().load_matching(&mut state).unwrap().is_none());
    assert_eq!(state, model());
}

#[test]
fn a_damaged_generation_is_passed_over() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::open(&path).unwrap();
    checkpoints.save(&pretrained()).unwrap();
    checkpoints.save(&before::Pretrained { small: 7, ..pretrained() }).unwrap();
    // The last array of the newest: the damage shows only while it is read.
    let mut bytes = std::fs::read(file_of(&path, 2)).unwrap();
    let at = bytes.windows(19).position(|window| window == b"encoder/weights.npy").unwrap();
    bytes[at + 100_000] ^= 1;
    std::fs::write(file_of(&path, 2), bytes).unwrap();
    let mut state = model();
    let matching = CheckpointReader::open(&path).unwrap().load_matching(&mut state).unwrap().unwrap();
    assert_eq!((matching.generation(), state.small), (1, 200));
    std::fs::write(file_of(&path, 1), "damage").unwrap();
    let error = CheckpointReader::open(&path).unwrap().load_matching(&mut state).unwrap_err();
    assert!(matches!(error, Error::NoneUsable { .. }), "{error:?}");
    assert_eq!(state.small, 200);
}

#[checkpointed]
struct Chain {
    step: u64,
    samples: Appended,
    logs: Vec<Appended>,
}

#[test]
fn an_output_stays_that_of_the_run_and_goes_on() {
    let parent = tempfile::tempdir().unwrap();
    let at = |name: &str| parent.path().join(name);
    let chain = |name: &str, step| Chain {
        step,
        samples: Appended::at(at(&format!("{name}.csv"))),
        logs: vec![Appended::at(at(&format!("{name}.log")))],
    };
    let mut old = chain("old", 5);
    writeln!(old.samples, "old").unwrap();
    Checkpointer::open(at("old.ckpt")).unwrap().save(&old).unwrap();

    let mut new = chain("new", 0);
    writeln!(new.samples, "one").unwrap();
    let mut reader = CheckpointReader::open(at("old.ckpt")).unwrap();
    let matching = reader.load_matching(&mut new).unwrap().unwrap();
    assert_eq!((new.step, &matching.taken[..]), (5, &["step".to_owned()][..]));
    assert!(matching.to_string().contains("samples: not loaded, an output belongs to its run"));
    writeln!(new.samples, "two").unwrap();
    writeln!(new.logs[0], "log").unwrap();
    let mut checkpoints = Checkpointer::open(at("new.ckpt")).unwrap();
    checkpoints.save(&new).unwrap();
    drop(new);
    let mut new: Chain = checkpoints.load().unwrap().unwrap();
    writeln!(new.samples, "three").unwrap();
    checkpoints.finish(&new).unwrap();
    assert_eq!(std::fs::read_to_string(at("new.csv")).unwrap(), "one\ntwo\nthree\n");
    assert_eq!(std::fs::read_to_string(at("new.log")).unwrap(), "log\n");
    assert_eq!(std::fs::read_to_string(at("old.csv")).unwrap(), "old\n");
}

mod counted {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::checkpointed;

    pub(super) static LOADED: AtomicU32 = AtomicU32::new(0);

    #[checkpointed]
    #[derive(Default)]
    pub(super) struct Row<N> {
        pub(super) a: N,
        pub(super) b: N,
        pub(super) c: N,
        pub(super) d: N,
        pub(super) e: N,
        pub(super) f: N,
        pub(super) g: N,
        pub(super) h: N,
    }

    #[checkpointed]
    #[derive(Default)]
    pub(super) struct Table<N> {
        pub(super) rows: Row<Row<N>>,
    }

    /// Counts how often a state is made.
    #[checkpointed]
    #[derive(Default)]
    pub(super) struct Counting<N> {
        pub(super) table: Table<N>,
        #[serde(skip, default = "count")]
        pub(super) _counts: (),
    }

    fn count() {
        LOADED.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn few_loads_find_the_field_that_does_not_fit() {
    use counted::{Counting, LOADED, Row, Table};
    use std::sync::atomic::Ordering;

    let (_parent, path) = nowhere();
    let mut large = Counting::<u64>::default();
    large.table.rows.d.e = 300;
    large.table.rows.a.a = 5;
    large.table.rows.h.h = 7;
    Checkpointer::open(&path).unwrap().save(&large).unwrap();
    let mut small = Counting::<u8> {
        table: Table { rows: Row { d: Row { e: 9, ..Row::default() }, ..Row::default() } },
        ..Counting::default()
    };
    LOADED.store(0, Ordering::Relaxed);
    let matching = CheckpointReader::open(&path).unwrap().load_matching(&mut small).unwrap().unwrap();
    let rows = &small.table.rows;
    assert_eq!((rows.d.e, rows.a.a, rows.h.h), (9, 5, 7));
    assert_eq!((matching.taken.len(), matching.kept.len()), (63, 1));
    assert_eq!(matching.kept[0].path, "table.rows.d.e");
    let loaded = LOADED.load(Ordering::Relaxed);
    assert!((1..=10).contains(&loaded), "the state was made {loaded} times");
}

#[checkpointed]
struct Raw {
    first: u64,
    second: u64,
}

/// It accepts no more than ten in all.
#[checkpointed]
#[serde(try_from = "Raw", into = "Raw")]
#[derive(Clone, Debug, PartialEq)]
struct Shares {
    first: u64,
    second: u64,
}

impl TryFrom<Raw> for Shares {
    type Error = &'static str;

    fn try_from(Raw { first, second }: Raw) -> Result<Shares, &'static str> {
        if first + second > 10 { Err("more than all") } else { Ok(Shares { first, second }) }
    }
}

impl From<Shares> for Raw {
    fn from(Shares { first, second }: Shares) -> Raw {
        Raw { first, second }
    }
}

#[test]
fn fields_that_fit_alone_and_not_together_are_an_error() {
    let (_parent, path) = nowhere();
    Checkpointer::open(&path).unwrap().save(&Raw { first: 6, second: 6 }).unwrap();
    let mut shares = Shares { first: 1, second: 2 };
    let error = CheckpointReader::open(&path).unwrap().load_matching(&mut shares).unwrap_err();
    assert!(error.to_string().contains("more than all"), "{error}");
    assert_eq!(shares, Shares { first: 1, second: 2 });
}

#[test]
fn a_state_that_no_load_would_make_is_an_error() {
    #[checkpointed]
    struct Others {
        other: u64,
    }

    let (parent, path) = nowhere();
    Checkpointer::open(&path).unwrap().save(&Others { other: 6 }).unwrap();
    Checkpointer::open(parent.path().join("one.ckpt")).unwrap().save(&Raw { first: 6, second: 6 }).unwrap();
    for path in [path, parent.path().join("one.ckpt")] {
        let mut shares = Shares { first: 100, second: 100 };
        let error = CheckpointReader::open(&path).unwrap().load_matching(&mut shares).unwrap_err();
        assert!(matches!(error, Error::SchemaMismatch { .. } | Error::Decode { .. }), "{error}");
        assert_eq!(shares, Shares { first: 100, second: 100 });
    }
}

#[test]
fn a_struct_in_another_newtype_is_not_taken() {
    mod then {
        #[checkpointed::checkpointed]
        pub(super) struct Lengths {
            pub(super) a: f64,
        }
        #[checkpointed::checkpointed]
        pub(super) struct Feet(pub(super) Lengths);
        #[checkpointed::checkpointed(name = "state")]
        pub(super) struct State {
            pub(super) size: Feet,
            pub(super) step: u64,
        }
    }
    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct Lengths {
        a: f64,
    }
    #[checkpointed]
    #[derive(Clone, Debug, PartialEq)]
    struct Metres(Lengths);
    #[checkpointed(name = "state")]
    #[derive(Clone, Debug, PartialEq)]
    struct State {
        size: Metres,
        step: u64,
    }
    let (_parent, path) = nowhere();
    let before = then::State { size: then::Feet(then::Lengths { a: 3.0 }), step: 7 };
    Checkpointer::open(&path).unwrap().save(&before).unwrap();
    let mut reader = CheckpointReader::<State>::open(&path).unwrap();
    assert!(reader.load().is_err());
    let mut state = State { size: Metres(Lengths { a: 1.0 }), step: 0 };
    let matching = reader.load_matching(&mut state).unwrap().unwrap();
    assert_eq!(state, State { size: Metres(Lengths { a: 1.0 }), step: 7 });
    let lines: Vec<String> = matching.to_string().lines().map(str::to_owned).collect();
    assert!(lines.iter().any(|line| line.starts_with("size: not loaded, type Feet")), "{lines:?}");
}
