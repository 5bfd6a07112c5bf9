//! The programs with forged checkpoints, and all operations on a checkpoint.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use checkpointed::inspect::{self, Array, File, Limits};
use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Error, Plain, Protection, Scopes, checkpointed, history,
};
use serde::{Deserialize, Serialize};

#[checkpointed]
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Idle,
    Warm(f64),
    Run { step: u64, label: String },
    Pair(Box<Phase>, Option<Box<Phase>>),
}

#[checkpointed]
#[derive(Clone, Debug)]
pub(crate) struct Every {
    step: u32,
    wide: (u128, i128, char, bool),
    phase: Phase,
    nothing: Vec<()>,
    note: Option<Option<String>>,
    layers: BTreeMap<String, Vec<f64>>,
    points: Vec<[f32; 3]>,
    truth: Vec<bool>,
    queue: VecDeque<(u8, String)>,
    fixed: [[i16; 2]; 40],
    bytes: Vec<u8>,
}

/// A later version of the same program.
#[checkpointed(name = "Every")]
#[derive(Debug)]
pub(crate) struct Later {
    #[serde(default)]
    added: Vec<String>,
    step: u64,
    wide: (u128, i128, char, bool),
    phase: Phase,
    layers: BTreeMap<String, VecDeque<f64>>,
    points: Vec<Vec<f64>>,
    truth: Vec<bool>,
    queue: Vec<(u64, Option<String>)>,
    fixed: Vec<Vec<i64>>,
    note: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct List {
    value: u64,
    next: Option<Box<List>>,
}

fn every() -> Every {
    let phase = Phase::Run { step: 9, label: "é".into() };
    Every {
        step: 7,
        wide: (u128::MAX, i128::MIN, '🦀', true),
        phase: Phase::Pair(Box::new(phase), Some(Box::new(Phase::Warm(f64::NAN)))),
        nothing: vec![(); 5],
        note: Some(Some("note".into())),
        layers: BTreeMap::from([("a/b".into(), vec![1.0; 70]), (String::new(), vec![])]),
        points: vec![[1.0, 2.0, 3.0]; 30],
        truth: vec![true, false, true],
        queue: (0..9).map(|number| (number, "x".repeat(number.into()))).collect(),
        fixed: [[3, -3]; 40],
        bytes: (0..200).collect(),
    }
}

/// A load. It may fail with any error.
pub(crate) type Load = fn(&Path) -> Result<(), Error>;

/// A checkpoint, and the programs that load it: first the one that wrote it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) file: Vec<u8>,
    pub(crate) loads: Vec<Load>,
}

fn load<T: Checkpoint>(directory: &Path) -> Result<(), Error> {
    CheckpointReader::<T>::open(directory)?.load().map(drop)
}

fn load_into<T: Checkpoint + Default>(directory: &Path) -> Result<(), Error> {
    CheckpointReader::<T>::open(directory)?.load_into(&mut T::default()).map(drop)
}

pub(crate) const NAME: &str = "00000000000000000001.ckpt";

fn file_of<T: Checkpoint>(state: &T) -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::<T>::open(directory.path()).unwrap().save(state).unwrap();
    fs::read(directory.path().join(NAME)).unwrap()
}

pub(crate) fn cases() -> Vec<Case> {
    let list = (0..100).fold(List::default(), |next, value| List { value, next: Some(Box::new(next)) });
    let scopes = tempfile::tempdir().unwrap();
    let mut stack = Scopes::open(scopes.path()).unwrap();
    stack.enter::<(u64, Vec<f64>)>("outer").unwrap().save(&(3, vec![0.5; 20])).unwrap();
    drop(stack);
    let fields: Vec<Vec<u64>> = (0..40).map(|length| vec![length; 9]).collect();
    vec![
        Case {
            name: "every",
            file: file_of(&every()),
            loads: vec![load::<Every>, load::<Later>, load::<Plain<List>>, load::<u64>],
        },
        Case {
            name: "array",
            file: file_of(&vec![0.5_f64; 300]),
            loads: vec![
                load::<Vec<f64>>,
                load_into::<Vec<f64>>,
                load::<VecDeque<f64>>,
                load::<Vec<f32>>,
                load::<Vec<u64>>,
                load::<Vec<Vec<f64>>>,
                load::<String>,
            ],
        },
        Case {
            name: "nested",
            file: file_of(&fields),
            loads: vec![load::<Vec<Vec<u64>>>, load::<Vec<Vec<f64>>>, load::<Vec<Vec<Option<u32>>>>],
        },
        Case { name: "list", file: file_of(&Plain(list)), loads: vec![load::<Plain<List>>, load::<Every>] },
        Case {
            name: "scopes",
            file: fs::read(scopes.path().join(NAME)).unwrap(),
            loads: vec![|directory| {
                let mut scopes = Scopes::open(directory)?;
                scopes.restore()?;
                scopes.enter::<(u64, Vec<f64>)>("outer").map(|mut outer| drop(outer.restored()))
            }],
        },
        Case {
            name: "zeros",
            file: file_of(&(vec![(); 100], [(); 7], Vec::<Vec<()>>::new(), ((), [0_u8; 0]))),
            loads: vec![
                load::<(Vec<()>, [(); 7], Vec<Vec<()>>, ((), [u8; 0]))>,
                load::<(Vec<Option<()>>, Vec<()>, Vec<Vec<u8>>, (u8, Vec<u8>))>,
            ],
        },
    ]
}

/// The outcome for a file.
pub(crate) struct Outcome {
    /// True if the program that wrote it loads it.
    pub(crate) loads: bool,
    /// True if `verify` finds it intact.
    pub(crate) is_whole: bool,
}

/// Runs every operation of users on a file. None may panic, or take long, or take much memory.
pub(crate) fn tried(case: &Case, file: &[u8], directory: &Path) -> Outcome {
    let path: PathBuf = directory.join(NAME);
    fs::write(&path, file).unwrap();
    let outcomes: Vec<bool> = case.loads.iter().map(|load| load(directory).is_ok()).collect();
    let verdict = inspect::verify(&path, &Protection::new());
    if let Ok(forged) = File::open(&path, &Protection::new()) {
        looked_at(&forged);
        let original = directory.join("original");
        fs::write(&original, &case.file).unwrap();
        if let Ok(original) = File::open(&original, &Protection::new()) {
            drop(original.root().compare(&forged.root(), &Limits::default()));
            drop(forged.root().compare(&original.root(), &Limits::default()));
        }
    }
    drop(inspect::overview(directory, &Protection::new()));
    drop(history::read(directory));
    Outcome { loads: outcomes[0], is_whole: verdict.is_whole() }
}

/// Does the work of `ckpt show` and `ckpt export`.
fn looked_at(file: &File) {
    drop(serde_json::to_vec(&file.header()));
    if let Ok(outline) = file.root().outline(&Limits::default()) {
        drop(serde_json::to_vec(&outline));
    }
    drop(serde_json::to_writer(io::sink(), &file.root()));
    let arrays: Vec<Array<'_>> = file.arrays().flatten().collect();
    drop(inspect::write_npz(file, &arrays, &mut io::sink(), Path::new("sink")));
    drop(inspect::write_safetensors(file, &arrays, &mut io::sink(), Path::new("sink")));
    for path in ["step", "phase/0", "layers/a%2Fb", "0", "frames/0/kept/0", "next/next/next", "queue/3/1"] {
        drop(file.find(path).map(drop));
    }
}
