//! Types with a name or a version of their own inside types that only serde describes. No migration
//! runs there, so another version is refused: it never loads as if it were the same.

#![allow(clippy::needless_pass_by_value, reason = "a migration takes the older state")]

use std::collections::BTreeMap;
use std::ops::Bound;

use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Error, Pipeline, Plain, checkpointed, schema::Schema,
};
use serde::{Deserialize, Serialize};

/// Serde alone describes this one.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrap<T> {
    inner: T,
}

mod before {
    use super::{Deserialize, Serialize, checkpointed};

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    pub(super) struct Length {
        pub(super) value: f64,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    pub(super) struct Pair(pub(super) f64, pub(super) f64);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    pub(super) struct Feet(pub(super) f64);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    #[serde(expecting = "a way of ours")]
    pub(super) enum Way {
        Feet(f64),
        Unknown,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Transparent(pub(super) Length);
}

mod after {
    use super::{Deserialize, Serialize, before, checkpointed};

    #[checkpointed(version = 2, migrate(from = 1, with = metres))]
    #[derive(Debug, PartialEq)]
    pub(super) struct Length {
        pub(super) value: f64,
    }

    fn metres(old: before::Length) -> Length {
        Length { value: old.value * 0.25 }
    }

    #[checkpointed(version = 2)]
    #[derive(Debug, PartialEq)]
    pub(super) struct Pair(pub(super) f64, pub(super) f64);

    #[checkpointed(name = "Feet", version = 2)]
    #[derive(Debug, PartialEq)]
    pub(super) struct Metres(pub(super) f64);

    #[checkpointed(version = 2)]
    #[derive(Debug, PartialEq)]
    #[serde(expecting = "a way of ours")]
    pub(super) enum Way {
        Feet(f64),
        Unknown,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub(super) struct Transparent(pub(super) Length);
}

/// Loads a state as another type.
fn loads<T: Checkpoint, U: Checkpoint>(state: &T) -> Result<U, Error> {
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::open(directory.path()).unwrap().save(state).unwrap();
    CheckpointReader::<U>::open(directory.path()).unwrap().load().map(Option::unwrap)
}

#[track_caller]
fn is_refused<T: Checkpoint, U: Checkpoint>(old: &T, own: &T) {
    // The same program loads it.
    loads::<T, T>(own).unwrap();
    let Err(error) = loads::<T, U>(old) else { panic!("it loaded") };
    let error = error.to_string();
    assert!(error.contains("version 1") && error.contains("version 2"), "{error}");
    assert!(error.contains("or on the state if the type is inside of one"), "{error}");
}

#[test]
fn another_version_in_a_type_of_serde_is_refused() {
    let feet = || before::Length { value: 10.0 };
    let map = || BTreeMap::from([(1_u8, Wrap { inner: vec![feet()] })]);
    type New<T> = Plain<Wrap<T>>;
    is_refused::<_, New<after::Length>>(&Plain(Wrap { inner: feet() }), &Plain(Wrap { inner: feet() }));
    is_refused::<_, Plain<BTreeMap<u8, Wrap<Vec<after::Length>>>>>(&Plain(map()), &Plain(map()));
    let bound = || Plain(Bound::Included(feet()));
    is_refused::<_, Plain<Bound<after::Length>>>(&bound(), &bound());
    let pair = || Plain(Wrap { inner: before::Pair(1.0, 2.0) });
    is_refused::<_, New<after::Pair>>(&pair(), &pair());
    let length = || Plain(Wrap { inner: before::Feet(1.0) });
    is_refused::<_, New<after::Metres>>(&length(), &length());
    let way = |way| Plain(Wrap { inner: way });
    is_refused::<_, New<after::Way>>(&way(before::Way::Feet(1.0)), &way(before::Way::Unknown));
    let within = || Plain(before::Transparent(feet()));
    is_refused::<_, Plain<after::Transparent>>(&within(), &within());
}

#[test]
fn the_same_version_in_a_type_of_serde_loads() {
    let state = Plain(Wrap { inner: after::Length { value: 2.5 } });
    assert_eq!(loads::<_, Plain<Wrap<after::Length>>>(&state).unwrap(), state);
    let state = Plain(Wrap { inner: (after::Way::Feet(1.0), after::Pair(1.0, 2.0)) });
    assert_eq!(loads::<_, Plain<Wrap<(after::Way, after::Pair)>>>(&state).unwrap(), state);
    let schema = Schema::of::<Plain<Wrap<after::Way>>>();
    assert!(schema.types.iter().any(|ty| ty.name == "Way" && ty.version == 2), "{schema:?}");
}

/// As the first program knew it.
#[checkpointed(name = "state")]
struct StateV1 {
    lengths: Wrap<Vec<LengthV1>>,
}

#[checkpointed(name = "Length")]
#[derive(Debug, PartialEq)]
struct LengthV1 {
    value: f64,
}

#[checkpointed(name = "state", version = 2, migrate(from = 1, with = in_metres))]
struct State {
    lengths: Wrap<Vec<after::Length>>,
}

fn in_metres(old: StateV1) -> State {
    let lengths = old.lengths.inner.iter().map(|old| after::Length { value: old.value * 0.25 });
    State { lengths: Wrap { inner: lengths.collect() } }
}

/// The first program.
#[checkpointed(name = "state")]
struct First {
    lengths: Wrap<Vec<before::Length>>,
}

#[test]
fn the_state_around_a_type_of_serde_migrates_for_it() {
    let old = First { lengths: Wrap { inner: vec![before::Length { value: 10.0 }] } };
    let new: State = loads(&old).unwrap();
    assert_eq!(new.lengths.inner, [after::Length { value: 2.5 }]);
}

/// The name that the author gave counts, as everywhere.
#[test]
fn a_renamed_type_with_its_name_loads_in_a_type_of_serde() {
    let old = Plain(Wrap { inner: (before::Length { value: 10.0 }, 1_u8) });
    let new: Plain<Wrap<(LengthV1, u8)>> = loads(&old).unwrap();
    assert_eq!(new.0.inner.0, LengthV1 { value: 10.0 });
    let schema = Schema::of::<Plain<Wrap<after::Metres>>>();
    assert!(schema.types.iter().any(|ty| ty.name == "Feet" && ty.version == 2), "{schema:?}");
}

#[test]
fn where_the_library_knows_the_type_its_migration_runs() {
    let old = vec![(Some(before::Length { value: 10.0 }), 1_u8)];
    let new = loads::<_, Vec<(Option<after::Length>, u8)>>(&old).unwrap();
    assert_eq!(new, [(Some(after::Length { value: 2.5 }), 1)]);
}

#[test]
fn a_step_with_another_version_inside_its_output_runs_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.pipeline");
    let pipeline = Pipeline::open(&path).unwrap();
    let step = pipeline.step("measure");
    let old = step.run(|_| Ok::<_, Error>(Plain(Wrap { inner: before::Length { value: 10.0 } }))).unwrap();
    assert_eq!(old.load().unwrap().0.inner, before::Length { value: 10.0 });
    drop((old, pipeline));
    let pipeline = Pipeline::open(&path).unwrap();
    let step = pipeline.step("measure");
    let new = step.run(|_| Ok::<_, Error>(Plain(Wrap { inner: after::Length { value: 2.5 } }))).unwrap();
    assert_eq!(new.load().unwrap().0.inner, after::Length { value: 2.5 });
}
