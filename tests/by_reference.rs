//! A struct of references is saved as the state that owns its parts: the same checkpoint, without a
//! clone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use checkpointed::schema::Schema;
use checkpointed::{
    CheckpointReader, Checkpointer, Error, ReadBack, Schedule, checkpointed, reports::Decision,
    traits::Borrowed,
};

#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct Grid {
    cells: Vec<f64>,
    shape: [u32; 2],
}

#[checkpointed(owned = "Inner")]
#[derive(Clone, Copy, Debug)]
struct InnerParts<'a> {
    label: &'a str,
    #[serde(default)]
    counts: &'a [u16],
}

/// All the ways in which parts are borrowed.
#[checkpointed(owned = "State", name = "all parts", version = 3)]
#[derive(Debug)]
struct Parts<'a> {
    step: u64,
    grid: &'a Grid,
    rows: &'a [[f32; 3]],
    twice: &'a &'a Vec<u8>,
    changed: &'a mut Vec<i64>,
    text: &'a str,
    file: &'a Path,
    copied: Cow<'a, [u32]>,
    maybe: Option<&'a Grid>,
    pair: (&'a str, u8),
    named: BTreeMap<String, &'a [f64]>,
    long: &'a [[f64; 40]; 2],
    own_long: [u8; 33],
    inner: InnerParts<'a>,
    #[serde(rename = "renamed")]
    other: &'a Option<String>,
    #[serde(with = "checkpointed::self_describing")]
    described: &'a Vec<(u8, String)>,
    #[serde(skip)]
    scratch: &'a [u8],
}

/// The state with the same parts, written by hand.
fn state() -> State {
    let grid = Grid { cells: (0..20_000).map(f64::from).collect(), shape: [100, 200] };
    State {
        step: 7,
        grid: grid.clone(),
        rows: vec![[1.0, 2.0, 3.0]; 500],
        twice: vec![1, 2, 3],
        changed: vec![-1; 300],
        text: "déjà vu".to_owned(),
        file: PathBuf::from("out.csv"),
        copied: vec![5; 10],
        maybe: Some(grid),
        pair: ("one".to_owned(), 1),
        named: BTreeMap::from([("a".to_owned(), vec![0.5; 700]), ("b".to_owned(), Vec::new())]),
        long: [[0.25; 40]; 2],
        own_long: [9; 33],
        inner: Inner { label: "inner".to_owned(), counts: vec![3; 5] },
        other: Some("other".to_owned()),
        described: vec![(1, "x".to_owned())],
        scratch: Vec::new(),
    }
}

fn parts(state: &mut State) -> Parts<'_> {
    Parts {
        step: state.step,
        grid: &state.grid,
        rows: &state.rows,
        twice: Box::leak(Box::new(&state.twice)),
        changed: &mut state.changed,
        text: &state.text,
        file: &state.file,
        copied: Cow::Borrowed(&state.copied),
        maybe: state.maybe.as_ref(),
        pair: (&state.pair.0, state.pair.1),
        named: state.named.iter().map(|(name, values)| (name.clone(), &values[..])).collect(),
        long: &state.long,
        own_long: state.own_long,
        inner: InnerParts { label: &state.inner.label, counts: &state.inner.counts },
        other: &state.other,
        described: &state.described,
        scratch: &[1, 2, 3],
    }
}

fn file(directory: &Path, generation: u64) -> Vec<u8> {
    std::fs::read(crate::common::file_of(directory, generation)).unwrap()
}

/// The parts of a checkpoint, without its manifest, which has the time, and its header of 30 bytes.
fn content(bytes: &[u8]) -> &[u8] {
    let end = bytes.windows(15).position(|window| window == b"checkpoint.json").unwrap();
    &bytes[..end - 30]
}

#[test]
fn parts_and_state_make_the_same_checkpoint() {
    let parent = tempfile::tempdir().unwrap();
    let builder = Checkpointer::<State>::builder(parent.path().join("run.ckpt"));
    let mut checkpoints = builder.read_back(ReadBack::Always).open().unwrap();
    let mut state = state();
    checkpoints.save(&state).unwrap();
    let borrowed = parts(&mut state);
    assert_eq!(borrowed.scratch, [1, 2, 3]);
    checkpoints.save_parts(&borrowed).unwrap();
    let (one, other) = (file(checkpoints.path(), 1), file(checkpoints.path(), 2));
    let (one, other) = (content(&one), content(&other));
    let differs = one.iter().zip(other).position(|(one, other)| one != other);
    assert_eq!(
        (one.len(), differs),
        (other.len(), None),
        "{:?}",
        differs.map(|at| {
            [one, other]
                .map(|bytes| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..at + 50]).into_owned())
        })
    );
    let manifests = [1, 2].map(|generation| checkpoints.manifest(generation).unwrap());
    assert_eq!(manifests[0].schema(), manifests[1].schema());
    assert_eq!((manifests[1].name(), manifests[1].version()), ("all parts", 3));
    assert_eq!(manifests[1].schema(), &Schema::of::<State>());
    let loaded = checkpoints.load().unwrap().unwrap();
    assert!(checkpoints.last_load().unwrap().differences.is_empty());
    assert_eq!(format!("{loaded:?}"), format!("{state:?}"));
}

#[test]
fn a_program_that_owns_its_state_now_loads_what_parts_saved() {
    #[checkpointed(name = "all parts", version = 3)]
    struct Later {
        step: u64,
        grid: Grid,
        text: String,
        inner: LaterInner,
    }
    #[checkpointed(name = "Inner")]
    struct LaterInner {
        label: String,
        counts: Vec<u16>,
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut state = state();
    Checkpointer::<State>::open(&path).unwrap().save_parts(&parts(&mut state)).unwrap();
    let later = CheckpointReader::<Later>::open(&path).unwrap().load().unwrap().unwrap();
    assert_eq!((later.step, later.grid, later.text), (7, state.grid, state.text));
    assert_eq!((later.inner.label.as_str(), later.inner.counts.len()), ("inner", 5));
}

#[test]
fn due_saves_and_the_last_one_take_parts_too() {
    for background in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let builder = Checkpointer::<State>::builder(parent.path().join("run.ckpt"));
        let builder = builder.schedule(Schedule::every_steps(2)).background(background);
        let mut checkpoints = builder.open().unwrap();
        let mut state = state();
        let mut saved = 0;
        for step in 1..=5 {
            state.step = step;
            let decision = checkpoints.save_parts_if_due(&parts(&mut state)).unwrap();
            saved += usize::from(decision.is_saved() || decision.is_started());
            assert!(background || decision.is_saved() == (step % 2 == 0), "{decision}");
            assert!(!matches!(decision, Decision::Failed { .. }));
            checkpoints.wait().unwrap();
        }
        assert_eq!(saved, 2);
        let path = checkpoints.path().to_owned();
        let last = checkpoints.finish_parts(&parts(&mut state)).unwrap();
        assert_eq!(last.saved.map(|saved| saved.generation), Some(3));
        let loaded = CheckpointReader::<State>::open(&path).unwrap().load().unwrap().unwrap();
        assert_eq!(loaded.step, 5);
        // The same parts are not saved twice.
        let again = Checkpointer::<State>::open(&path).unwrap();
        assert!(again.finish_parts(&parts(&mut state)).unwrap().saved.is_none());
    }
}

#[test]
fn parts_with_type_parameters_have_a_state_with_them() {
    #[checkpointed(owned = "Fit")]
    #[derive(Debug, Default)]
    struct FitParts<'a, T: PartialOrd + 'a>
    where
        T: Copy,
    {
        best: Option<&'a T>,
        values: &'a [T],
    }
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("fit.ckpt");
    let values = vec![3_u64, 4, 5];
    let mut checkpoints = Checkpointer::<Fit<u64>>::open(&path).unwrap();
    let mut fit = checkpoints.load_or_default().unwrap();
    assert!(fit.values.is_empty());
    checkpoints.save_parts(&FitParts { best: values.first(), values: &values }).unwrap();
    fit = checkpoints.load().unwrap().unwrap();
    assert_eq!((fit.best, fit.values), (Some(3), values));
}

/// A struct of references by hand, which is written in another form than its state.
struct Wrong(u32);

impl serde::Serialize for Wrong {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl Borrowed for Wrong {
    type Owned = Vec<u64>;
}

#[test]
fn parts_in_another_form_than_the_state_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Vec<u64>>::open(parent.path().join("run.ckpt")).unwrap();
    checkpoints.save(&vec![1, 2]).unwrap();
    let error = checkpoints.save_parts(&Wrong(7)).unwrap_err();
    assert!(matches!(error, Error::Encode { .. }), "{error}");
    assert_eq!(checkpoints.load().unwrap(), Some(vec![1, 2]));
}
