//! The meaning of a state changes while its checkpoints stay: tests `#[checkpointed(migrate(…))]`.

#![allow(clippy::needless_pass_by_value, reason = "a migration takes the older state")]

use std::collections::BTreeMap;
use std::convert::Infallible;

use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Error, Scopes, checkpointed,
    evolution::{Difference, DifferenceKind},
};

/// An older program, with its types under the names that the next versions give them.
#[checkpointed(name = "state")]
#[derive(Debug, PartialEq)]
struct StateV1 {
    step: u32,
    feet: Vec<f64>,
}

#[checkpointed(name = "state", version = 2, migrate(from = 1, with = metres))]
#[derive(Debug, PartialEq)]
struct StateV2 {
    step: u64,
    metres: Vec<f64>,
}

fn metres(old: StateV1) -> StateV2 {
    StateV2 { step: old.step.into(), metres: old.feet.iter().map(|feet| feet * 0.25).collect() }
}

#[checkpointed(name = "state", version = 3, migrate(from = 2, with = State::split))]
#[derive(Debug, PartialEq)]
struct State {
    step: u64,
    halves: [Vec<f64>; 2],
}

impl State {
    fn split(mut old: StateV2) -> Result<State, String> {
        if old.metres.len() % 2 == 1 {
            return Err(format!("{} lengths are no two halves", old.metres.len()));
        }
        let second = old.metres.split_off(old.metres.len() / 2);
        Ok(State { step: old.step, halves: [old.metres, second] })
    }
}

fn saved<T: Checkpoint>(state: &T) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::open(directory.path()).unwrap().save(state).unwrap();
    directory
}

fn load<T: Checkpoint>(directory: &tempfile::TempDir) -> Result<(T, Vec<Difference>), Error> {
    let mut reader = CheckpointReader::<T>::open(directory.path()).unwrap();
    let state = reader.load()?.unwrap();
    Ok((state, reader.last_load().unwrap().differences.clone()))
}

fn lines(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

#[test]
fn an_older_version_becomes_the_present_one() {
    let metres = vec![0.5, 1.0, 1.5, 2.0];
    let directory = saved(&StateV2 { step: 7, metres });
    let (state, differences) = load::<State>(&directory).unwrap();
    assert_eq!(state, State { step: 7, halves: [vec![0.5, 1.0], vec![1.5, 2.0]] });
    assert_eq!(lines(&differences), ["the state: migrated from version 2 to version 3"]);
    assert_eq!(differences[0].kind, DifferenceKind::Migrated);
}

#[test]
fn migrations_are_chained_over_the_types_that_they_take() {
    let directory = saved(&StateV1 { step: 7, feet: vec![4.0; 4] });
    let (state, differences) = load::<State>(&directory).unwrap();
    assert_eq!(state, State { step: 7, halves: [vec![1.0; 2], vec![1.0; 2]] });
    assert_eq!(
        lines(&differences),
        [
            "the state: migrated from version 1 to version 2",
            "the state: migrated from version 2 to version 3"
        ]
    );
}

#[test]
fn large_arrays_are_migrated_and_saved_as_the_present_version() {
    let directory = saved(&StateV1 { step: 7, feet: vec![4.0; 100_000] });
    let mut checkpoints = Checkpointer::<State>::open(directory.path()).unwrap();
    let mut state = State { step: 0, halves: [vec![0.0; 50_000], vec![0.0; 50_000]] };
    assert!(checkpoints.load_into(&mut state).unwrap());
    assert_eq!(state, State { step: 7, halves: [vec![1.0; 50_000], vec![1.0; 50_000]] });
    checkpoints.save(&state).unwrap();
    drop(checkpoints);
    let (again, differences) = load::<State>(&directory).unwrap();
    assert_eq!((again, differences), (state, Vec::new()));
    let mut reader = CheckpointReader::<State>::open(directory.path()).unwrap();
    assert_eq!(reader.load_generation(1).unwrap().step, 7);
}

#[test]
fn a_direct_migration_goes_before_a_chain() {
    #[checkpointed(
        name = "state", version = 3, migrate(from = 1, with = direct), migrate(from = 2, with = unreached)
    )]
    #[derive(Debug, PartialEq)]
    struct Direct {
        step: u32,
    }
    fn unreached(_: StateV2) -> Result<Direct, Infallible> {
        Ok(Direct { step: 0 })
    }
    fn direct(old: StateV1) -> Direct {
        Direct { step: old.step }
    }
    let directory = saved(&StateV1 { step: 7, feet: Vec::new() });
    assert_eq!(load::<Direct>(&directory).unwrap().0, Direct { step: 7 });
}

#[test]
fn what_a_migration_refuses_is_an_error_and_no_fallback() {
    let directory = saved(&StateV2 { step: 7, metres: vec![0.0; 2] });
    Checkpointer::open(directory.path()).unwrap().save(&StateV2 { step: 8, metres: vec![0.0; 3] }).unwrap();
    let error = load::<State>(&directory).unwrap_err();
    let Error::SchemaMismatch { why, .. } = &error else { panic!("{error}") };
    assert_eq!(why, "the migration from version 2 refused it: 3 lengths are no two halves");
    let error = error.to_string();
    assert!(error.contains("change the migration") && !error.contains("serde(default)"), "{error}");
}

#[test]
fn the_older_type_may_differ_from_what_was_written() {
    mod then {
        #[checkpointed::checkpointed(name = "state", version = 2)]
        pub(super) struct State {
            pub(super) metres: std::collections::VecDeque<f32>,
            pub(super) forgotten: String,
            pub(super) step: u8,
        }
    }
    let metres = [0.5, 1.5].into();
    let directory = saved(&then::State { metres, forgotten: "x".to_owned(), step: 7 });
    let (state, differences) = load::<State>(&directory).unwrap();
    assert_eq!(state, State { step: 7, halves: [vec![0.5], vec![1.5]] });
    assert_eq!(differences.last().unwrap().kind, DifferenceKind::Migrated);
    assert!(differences.len() > 2, "{differences:?}");
}

#[test]
fn a_version_without_a_migration_is_refused_with_a_way_out() {
    #[checkpointed(name = "state", version = 5)]
    struct Fifth {
        step: u64,
    }
    let directory = saved(&StateV2 { step: 7, metres: Vec::new() });
    let error = load::<Fifth>(&directory).map(|(fifth, _)| fifth.step).unwrap_err();
    assert!(matches!(error, Error::VersionUnknown { found: 2, expected: 5, .. }), "{error}");
    assert!(error.to_string().contains("#[checkpointed(version = 5, migrate(from = 2, with = "), "{error}");
    let newer = saved(&Fifth { step: 7 });
    let error = load::<State>(&newer).unwrap_err();
    assert!(error.to_string().ends_with("load it with the newer program that wrote it"), "{error}");
}

mod inside {
    use checkpointed::checkpointed;

    pub(super) mod then {
        use super::checkpointed;

        #[checkpointed]
        pub(crate) struct Particle {
            pub(crate) grams: f64,
        }

        #[checkpointed]
        pub(crate) struct Charge(pub(crate) i64);

        #[checkpointed]
        pub(crate) enum Phase {
            #[allow(dead_code, reason = "a variant that only older files could have")]
            Warm,
            Run(u64),
        }

        #[checkpointed(name = "world")]
        pub(crate) struct World {
            pub(crate) first: Particle,
            pub(crate) all: Vec<Particle>,
            pub(crate) named: std::collections::BTreeMap<String, Option<Particle>>,
            pub(crate) pairs: Vec<(Particle, Charge)>,
            pub(crate) phase: Phase,
        }
    }

    #[checkpointed(version = 2, migrate(from = 1, with = kilograms))]
    #[derive(Debug, PartialEq)]
    pub(super) struct Particle {
        pub(super) kilograms: f64,
    }

    fn kilograms(old: then::Particle) -> Particle {
        Particle { kilograms: old.grams / 1024.0 }
    }

    #[checkpointed(version = 4, migrate(from = 1, with = charge))]
    #[derive(Debug, PartialEq)]
    pub(super) struct Charge(pub(super) i128);

    fn charge(old: then::Charge) -> Charge {
        Charge(old.0.into())
    }

    #[checkpointed(version = 2, migrate(from = 1, with = phase))]
    #[derive(Debug, PartialEq)]
    pub(super) enum Phase {
        Run { steps: u64 },
        Warm,
    }

    fn phase(old: then::Phase) -> Phase {
        match old {
            then::Phase::Warm => Phase::Warm,
            then::Phase::Run(tens) => Phase::Run { steps: tens * 10 },
        }
    }

    #[checkpointed(name = "world")]
    #[derive(Debug, PartialEq)]
    pub(super) struct World {
        pub(super) first: Particle,
        pub(super) all: Vec<Particle>,
        pub(super) named: std::collections::BTreeMap<String, Option<Particle>>,
        pub(super) pairs: Vec<(Particle, Charge)>,
        pub(super) phase: Phase,
    }
}

fn old_world() -> inside::then::World {
    use inside::then::{Charge, Particle, Phase, World};
    let particle = |grams| Particle { grams };
    World {
        first: particle(1024.0),
        all: vec![particle(512.0), particle(2048.0)],
        named: [("a".to_owned(), Some(particle(256.0))), ("b".to_owned(), None)].into(),
        pairs: vec![(particle(0.0), Charge(-1))],
        phase: Phase::Run(4),
    }
}

fn new_world() -> inside::World {
    use inside::{Charge, Particle, Phase, World};
    let particle = |kilograms| Particle { kilograms };
    World {
        first: particle(1.0),
        all: vec![particle(0.5), particle(2.0)],
        named: BTreeMap::from([("a".to_owned(), Some(particle(0.25))), ("b".to_owned(), None)]),
        pairs: vec![(particle(0.0), Charge(-1))],
        phase: Phase::Run { steps: 40 },
    }
}

#[test]
fn types_inside_the_state_are_migrated_wherever_they_are() {
    let (world, differences) = load::<inside::World>(&saved(&old_world())).unwrap();
    assert_eq!(world, new_world());
    let migrated: Vec<_> =
        differences.iter().filter(|found| found.kind == DifferenceKind::Migrated).collect();
    let paths: Vec<&str> = migrated.iter().map(|difference| difference.path.as_str()).collect();
    assert_eq!(paths, ["first", "pairs[].1", "phase"]);
    assert_eq!(migrated[1].to_string(), "pairs[].1: migrated from version 1 to version 4");
}

#[test]
fn variables_of_a_scope_are_migrated() {
    let directory = tempfile::tempdir().unwrap();
    let mut scopes = Scopes::open(directory.path()).unwrap();
    let mut scope = scopes.enter::<inside::then::World>("work").unwrap();
    scope.save(&old_world()).unwrap();
    drop(scope);
    drop(scopes);
    let mut scopes = Scopes::open(directory.path()).unwrap();
    assert!(scopes.restore().unwrap());
    let mut scope = scopes.enter::<inside::World>("work").unwrap();
    assert_eq!(scope.restored(), Some(new_world()));
}

#[test]
fn another_version_inside_is_found_behind_an_alias_too() {
    mod then {
        #[checkpointed::checkpointed]
        pub(super) struct Length {
            pub(super) value: f64,
        }
        #[checkpointed::checkpointed(name = "state")]
        pub(super) struct State {
            pub(super) step: u64,
            pub(super) length: Length,
        }
    }
    #[checkpointed(version = 2)]
    #[derive(Debug)]
    #[allow(dead_code, reason = "it is never made")]
    struct Length {
        value: f64,
    }
    #[checkpointed(name = "state")]
    #[derive(Debug)]
    #[allow(dead_code, reason = "it is never made")]
    struct Renamed {
        step: u64,
        #[serde(alias = "length")]
        width: Length,
    }
    #[checkpointed(name = "state")]
    #[derive(Debug)]
    #[allow(dead_code, reason = "it is never made")]
    struct Optional {
        step: u64,
        length: Option<Length>,
    }
    let directory = saved(&then::State { step: 7, length: then::Length { value: 1.0 } });
    let errors = [load::<Renamed>(&directory).unwrap_err(), load::<Optional>(&directory).unwrap_err()];
    for (error, field) in errors.iter().zip(["width", "length"]) {
        let Error::SchemaMismatch { why, .. } = error else { panic!("{error}") };
        let expected = format!("{field}: version 1 in the checkpoint, version 2 in this program");
        assert!(why.starts_with(&expected), "{why}");
    }
}

#[test]
fn a_migration_is_found_behind_an_alias_and_an_option() {
    #[checkpointed(name = "length")]
    struct LengthV1 {
        feet: f64,
    }
    #[checkpointed(name = "state")]
    struct Before {
        one: LengthV1,
        two: LengthV1,
        all: Vec<LengthV1>,
    }
    #[checkpointed(name = "length", version = 2, migrate(from = 1, with = in_metres))]
    #[derive(Debug, PartialEq)]
    struct Length {
        metres: f64,
    }
    fn in_metres(old: LengthV1) -> Length {
        Length { metres: old.feet * 0.5 }
    }
    #[checkpointed(name = "state")]
    #[derive(Debug, PartialEq)]
    struct After {
        #[serde(alias = "one")]
        first: Length,
        two: Option<Length>,
        all: [Length; 2],
    }
    let feet = |feet| LengthV1 { feet };
    let directory = saved(&Before { one: feet(2.0), two: feet(4.0), all: vec![feet(6.0), feet(8.0)] });
    let metres = |metres| Length { metres };
    let expected = After { first: metres(1.0), two: Some(metres(2.0)), all: [metres(3.0), metres(4.0)] };
    assert_eq!(load::<After>(&directory).unwrap().0, expected);
}

#[test]
fn a_field_that_serde_alone_describes_is_no_older_version() {
    mod with {
        use serde::{Deserialize, Deserializer, Serialize, Serializer};
        pub(super) fn serialize<S: Serializer>(length: &super::Metres, to: S) -> Result<S::Ok, S::Error> {
            length.serialize(to)
        }
        pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<super::Metres, D::Error> {
            super::Metres::deserialize(from)
        }
    }
    #[checkpointed(name = "state")]
    #[derive(Debug, PartialEq)]
    struct Before {
        #[serde(with = "with")]
        foreign: Metres,
        own: Metres,
        gone: u8,
    }
    #[checkpointed(name = "state")]
    #[derive(Debug, PartialEq)]
    struct After {
        #[serde(with = "with")]
        foreign: Metres,
        own: Metres,
    }
    let length = Metres { value: 1.0 };
    let directory = saved(&Before { foreign: length.clone(), own: length.clone(), gone: 1 });
    assert_eq!(load::<After>(&directory).unwrap().0, After { foreign: length.clone(), own: length });
}

/// Used by the test above; its module must see it.
#[checkpointed(version = 2, migrate(from = 1, with = Metres::doubled))]
#[derive(Clone, Debug, PartialEq)]
struct Metres {
    value: f64,
}

impl Metres {
    fn doubled((value,): (f64,)) -> Metres {
        Metres { value: value * 2.0 }
    }
}

/// A migration makes a value that may only lend references that live for ever. A reader must not
/// get it if its type differs from that in a lifetime alone.
mod lifetimes {
    use std::fmt;
    use std::marker::PhantomData;
    use std::sync::Mutex;

    use checkpointed::{
        Checkpoint, checkpointed,
        schema::{Body, Fields, Type},
        traits::Types,
    };
    use serde::de::Visitor;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{load, saved};

    static KEPT: Mutex<Option<&'static str>> = Mutex::new(None);

    struct Contra<'a>(fn(&'a str));

    fn keep(text: &'static str) {
        *KEPT.lock().unwrap() = Some(text);
    }

    impl Serialize for Contra<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_newtype_struct("Contra", &7_u8)
        }
    }

    impl<'de, 'a> Deserialize<'de> for Contra<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Contra<'a>, D::Error> {
            struct Number<'a>(PhantomData<fn() -> Contra<'a>>);

            impl<'de, 'a> Visitor<'de> for Number<'a> {
                type Value = Contra<'a>;

                fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                    formatter.write_str("a number")
                }

                fn visit_newtype_struct<D: Deserializer<'de>>(
                    self,
                    deserializer: D,
                ) -> Result<Contra<'a>, D::Error> {
                    u8::deserialize(deserializer).map(|_| Contra(|_| ()))
                }
            }

            deserializer.deserialize_newtype_struct("Contra", Number(PhantomData))
        }
    }

    #[checkpointed(name = "contra")]
    struct OldContra(u8);

    impl Checkpoint for Contra<'static> {
        const NAME: &'static str = "contra";
        const VERSION: u32 = 2;

        fn schema(types: &mut Types) -> Type {
            types.migrate::<1, Self, _, _, _>(|_: OldContra| Contra(keep));
            types.define::<Self>(Self::NAME, Self::VERSION, |_| Body::Struct(Fields::Newtype(Type::U8)))
        }
    }

    /// Passes a text with a short life to the type that it reads.
    #[derive(Debug, PartialEq, Serialize)]
    struct Holder(u8);

    impl<'de> Deserialize<'de> for Holder {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Holder, D::Error> {
            fn read<'de, 'a, D: Deserializer<'de>>(deserializer: D, text: &'a str) -> Result<(), D::Error> {
                let contra = Contra::<'a>::deserialize(deserializer)?;
                (contra.0)(text);
                Ok(())
            }
            let text = String::from("it does not live long");
            read(deserializer, &text).map(|()| Holder(7))
        }
    }

    impl Checkpoint for Holder {
        const NAME: &'static str = "contra";
        const VERSION: u32 = 2;

        fn schema(types: &mut Types) -> Type {
            Contra::schema(types)
        }
    }

    #[test]
    fn a_migrated_value_never_becomes_a_type_of_other_lifetimes() {
        let directory = saved(&OldContra(3));
        assert_eq!(load::<Holder>(&directory).unwrap().0, Holder(7));
        assert_eq!(*KEPT.lock().unwrap(), None, "a freed text is kept");
    }
}

#[test]
fn what_a_migration_makes_is_read_as_it_would_be_saved() {
    #[checkpointed(name = "model")]
    struct Before {
        weights: Vec<f32>,
        flags: Vec<bool>,
    }
    #[checkpointed(name = "model", version = 2, migrate(from = 1, with = Model::made))]
    #[derive(Debug, PartialEq)]
    struct Model {
        weights: Vec<Vec<f32>>,
        flags: Vec<bool>,
        #[serde(skip)]
        scratch: u8,
    }
    impl Model {
        fn made(old: Before) -> Model {
            let weights = vec![old.weights.clone(), old.weights, vec![0.5; 3]];
            Model { weights, flags: old.flags, scratch: 7 }
        }
    }
    let (weights, flags) = (vec![1.5_f32; 100_000], vec![true; 100_000]);
    let directory = saved(&vec![Before { weights: weights.clone(), flags: flags.clone() }]);
    let expected = Model { weights: vec![weights.clone(), weights, vec![0.5; 3]], flags, scratch: 0 };
    assert_eq!(load::<Vec<Model>>(&directory).unwrap().0, [expected]);
}

/// The versions of a struct with fields that change their meaning one by one.
mod fields {
    use checkpointed::checkpointed;

    #[checkpointed(name = "body")]
    pub(super) struct BodyV1 {
        pub(super) step: u32,
        pub(super) velocity: [f64; 2],
        pub(super) celsius: f64,
        #[serde(rename = "label")]
        pub(super) name: String,
    }

    #[checkpointed(name = "body", version = 2)]
    pub(super) struct BodyV2 {
        pub(super) step: u64,
        pub(super) speed: f64,
        pub(super) direction: f64,
        pub(super) celsius: f64,
        pub(super) label: String,
    }

    /// The newest has all that is needed for both.
    #[checkpointed(name = "body", version = 3)]
    #[derive(Debug, PartialEq)]
    pub(super) struct Body {
        pub(super) step: u64,
        #[checkpointed(was("velocity", from = 1, with = norm))]
        pub(super) speed: f64,
        #[checkpointed(was("velocity", from = 1, with = angle))]
        pub(super) direction: f64,
        #[checkpointed(was("celsius", from = 1..=2, with = kelvin))]
        pub(super) temperature: f64,
        pub(super) label: String,
        #[serde(default)]
        pub(super) added: Option<Vec<f64>>,
    }

    fn norm(velocity: [f64; 2]) -> f64 {
        velocity[0].hypot(velocity[1])
    }

    fn angle(velocity: [f64; 2]) -> f64 {
        velocity[1].atan2(velocity[0])
    }

    fn kelvin(celsius: f64) -> Result<f64, String> {
        let kelvin = celsius + 273.0;
        if kelvin >= 0.0 { Ok(kelvin) } else { Err(format!("{celsius} °C is too cold")) }
    }

    /// Several former fields become one.
    #[checkpointed]
    pub(super) struct PairV1 {
        pub(super) x: Vec<f64>,
        pub(super) y: Vec<f64>,
    }

    #[checkpointed(version = 2)]
    #[serde(rename = "PairV1")]
    #[derive(Debug, PartialEq)]
    pub(super) struct Pair {
        #[checkpointed(was("y", "x", with = zipped))]
        pub(super) points: Vec<[f64; 2]>,
    }

    /// What a checkpoint lacks is that of a default value.
    #[checkpointed(name = "buoy")]
    pub(super) struct BuoyV1 {
        pub(super) depth: f64,
        pub(super) name: String,
    }

    #[checkpointed(name = "buoy", version = 2)]
    #[serde(default)]
    #[derive(Debug, PartialEq)]
    pub(super) struct Buoy {
        #[checkpointed(was("depth", with = in_metres))]
        pub(super) metres: f64,
        pub(super) name: String,
        pub(super) colour: String,
        #[serde(default = "lights")]
        pub(super) lights: u8,
    }

    impl Default for Buoy {
        fn default() -> Buoy {
            Buoy { metres: 1.0, name: "none".to_owned(), colour: "red".to_owned(), lights: 1 }
        }
    }

    fn lights() -> u8 {
        2
    }

    /// The same, with a function that makes the default value.
    #[checkpointed(name = "buoy", version = 2)]
    #[serde(default = "Moored::new")]
    #[derive(Debug, PartialEq)]
    pub(super) struct Moored {
        #[checkpointed(was("depth", with = in_metres))]
        pub(super) metres: f64,
        pub(super) name: String,
        pub(super) chain: Vec<u8>,
    }

    impl Moored {
        fn new() -> Moored {
            Moored { metres: 1.0, name: "none".to_owned(), chain: vec![1, 2] }
        }
    }

    /// The same name with another meaning: feet became metres.
    #[checkpointed(name = "plank")]
    pub(super) struct PlankV1 {
        pub(super) length: f64,
    }

    #[checkpointed(name = "plank", version = 2)]
    pub(super) struct Plank {
        #[checkpointed(was("length", with = in_metres))]
        pub(super) length: f64,
    }

    fn in_metres(feet: f64) -> f64 {
        feet * 0.25
    }

    /// A field whose meaning changed twice under one name: Fahrenheit, kelvin, Celsius.
    #[checkpointed(name = "thermo")]
    pub(super) struct ThermoV1 {
        pub(super) heat: f64,
        pub(super) gain: u8,
    }

    #[checkpointed(name = "thermo", version = 2)]
    pub(super) struct ThermoV2 {
        pub(super) heat: f64,
        pub(super) gain: u8,
    }

    #[checkpointed(name = "thermo", version = 3)]
    #[derive(Debug, PartialEq)]
    pub(super) struct Twice {
        #[checkpointed(was("heat", from = 2, with = in_celsius))]
        pub(super) heat: f64,
        pub(super) gain: u8,
    }

    fn in_celsius(kelvin: f64) -> f64 {
        kelvin - 273.0
    }

    fn zipped(y: Vec<f64>, x: Vec<f64>) -> Vec<[f64; 2]> {
        x.into_iter().zip(y).map(|(x, y)| [x, y]).collect()
    }
}

#[test]
fn a_field_is_made_of_former_ones() {
    use fields::{Body, BodyV1, BodyV2, Pair, PairV1, Plank, PlankV1, Twice};

    let body = |step, speed, direction| {
        let (temperature, label, added) = (300.0, "a".to_owned(), None);
        Body { step, speed, direction, temperature, label, added }
    };
    let v1 = BodyV1 { step: 7, velocity: [3.0, 4.0], celsius: 27.0, name: "a".to_owned() };
    let (loaded, differences) = load::<Body>(&saved(&v1)).unwrap();
    assert_eq!(loaded, body(7, 5.0, 4.0_f64.atan2(3.0)));
    assert!(differences.iter().any(|difference| difference.kind == DifferenceKind::Migrated));
    let v2 = BodyV2 { step: 8, speed: 1.0, direction: 2.0, celsius: 27.0, label: "a".to_owned() };
    assert_eq!(load::<Body>(&saved(&v2)).unwrap().0, body(8, 1.0, 2.0));
    assert_eq!(load::<Body>(&saved(&body(9, 1.0, 2.0))).unwrap().0, body(9, 1.0, 2.0));
    let error = load::<Body>(&saved(&BodyV2 { celsius: -300.0, ..v2 })).unwrap_err();
    assert!(error.to_string().contains("-300 °C is too cold"), "{error}");

    let pair = PairV1 { x: vec![1.0, 2.0], y: vec![3.0, 4.0] };
    let points = vec![[1.0, 3.0], [2.0, 4.0]];
    assert_eq!(load::<Pair>(&saved(&pair)).unwrap().0, Pair { points });
    assert_eq!(load::<Plank>(&saved(&PlankV1 { length: 8.0 })).unwrap().0.length, 2.0);
    assert_eq!(load::<Plank>(&saved(&Plank { length: 8.0 })).unwrap().0.length, 8.0);
    let old = fields::BuoyV1 { depth: 8.0, name: "a".to_owned() };
    let (name, colour) = ("a".to_owned(), "red".to_owned());
    let buoy = fields::Buoy { metres: 2.0, name: name.clone(), colour, lights: 2 };
    assert_eq!(load::<fields::Buoy>(&saved(&old)).unwrap().0, buoy);
    let moored = fields::Moored { metres: 2.0, name, chain: vec![1, 2] };
    assert_eq!(load::<fields::Moored>(&saved(&old)).unwrap().0, moored);
    // A version that no `from` names is refused, whatever its fields are called.
    let error = load::<Twice>(&saved(&fields::ThermoV1 { heat: 20.0, gain: 1 })).unwrap_err();
    assert!(error.to_string().contains("add a migration"), "{error}");
    let v2 = fields::ThermoV2 { heat: 300.0, gain: 2 };
    assert_eq!(load::<Twice>(&saved(&v2)).unwrap().0, Twice { heat: 27.0, gain: 2 });
    // Inside another state, too.
    let several = vec![BodyV1 { step: 1, ..v1 }];
    assert_eq!(load::<Vec<Body>>(&saved(&several)).unwrap().0[0].speed, 5.0);
}

/// A newtype around a newtype, each of which has versions.
mod newtypes {
    use super::*;

    #[checkpointed(version = 2)]
    #[derive(Clone, Debug, PartialEq)]
    struct Kelvin(f64);

    /// As older programs had it.
    #[checkpointed(name = "Reading")]
    #[derive(Clone, Debug, PartialEq)]
    struct ReadingV1(Kelvin);

    #[checkpointed(name = "log")]
    #[derive(Debug, PartialEq)]
    struct Log<R> {
        last: R,
        step: u64,
    }

    fn before() -> tempfile::TempDir {
        saved(&Log { last: ReadingV1(Kelvin(300.0)), step: 1 })
    }

    fn fahrenheit(old: &Kelvin) -> f64 {
        old.0 * 1.8 - 459.67
    }

    #[test]
    fn the_version_of_a_newtype_is_not_that_of_the_type_inside() {
        #[checkpointed(version = 2, migrate(from = 1, with = Reading::new))]
        #[derive(Debug, PartialEq)]
        struct Reading(f64);
        impl Reading {
            fn new(old: ReadingV1) -> Reading {
                Reading(fahrenheit(&old.0))
            }
        }
        let (state, differences) = load::<Log<Reading>>(&before()).unwrap();
        assert_eq!(state, Log { last: Reading(fahrenheit(&Kelvin(300.0))), step: 1 });
        assert_eq!(lines(&differences), ["last: migrated from version 1 to version 2"]);
    }

    #[test]
    fn a_newtype_is_migrated_around_a_type_with_a_version() {
        #[checkpointed(version = 2, migrate(from = 1, with = Reading::new))]
        #[derive(Debug, PartialEq)]
        struct Reading(Kelvin);
        impl Reading {
            fn new(old: ReadingV1) -> Reading {
                Reading(Kelvin(old.0.0 + 1.0))
            }
        }
        let (state, _) = load::<Log<Reading>>(&before()).unwrap();
        assert_eq!(state, Log { last: Reading(Kelvin(301.0)), step: 1 });
    }

    #[test]
    fn each_step_of_a_newtype_is_of_its_own_version() {
        #[checkpointed(name = "Reading", version = 2, migrate(from = 1, with = ReadingV2::new))]
        struct ReadingV2(f64);
        impl ReadingV2 {
            fn new(old: ReadingV1) -> ReadingV2 {
                ReadingV2(fahrenheit(&old.0))
            }
        }
        #[checkpointed(version = 3, migrate(from = 2, with = Reading::new))]
        #[derive(Debug, PartialEq)]
        struct Reading {
            fahrenheit: f64,
        }
        impl Reading {
            fn new(old: ReadingV2) -> Reading {
                Reading { fahrenheit: old.0 }
            }
        }
        let (state, _) = load::<Log<Reading>>(&before()).unwrap();
        assert_eq!(state, Log { last: Reading { fahrenheit: fahrenheit(&Kelvin(300.0)) }, step: 1 });
    }

    #[test]
    fn the_inside_of_a_newtype_with_a_version_is_migrated() {
        #[checkpointed(name = "Pair", version = 2)]
        struct Before(Kelvin);
        #[checkpointed(name = "Kelvin", version = 3, migrate(from = 2, with = Celsius::new))]
        #[derive(Debug, PartialEq)]
        struct Celsius(f64);
        impl Celsius {
            fn new(old: Kelvin) -> Celsius {
                Celsius(old.0 - 273.0)
            }
        }
        #[checkpointed(name = "Pair", version = 2)]
        #[derive(Debug, PartialEq)]
        struct After(Celsius);
        #[checkpointed(name = "log")]
        struct Held<T> {
            pair: T,
        }
        let directory = saved(&Held { pair: Before(Kelvin(300.0)) });
        assert_eq!(load::<Held<After>>(&directory).unwrap().0.pair, After(Celsius(27.0)));
    }

    #[test]
    fn equal_versions_of_other_types_are_no_match() {
        #[checkpointed(version = 2)]
        #[derive(Debug, PartialEq)]
        struct Reading(f64);
        let error = load::<Log<Reading>>(&before()).unwrap_err().to_string();
        let said = "last: version 1 of Reading in the checkpoint, version 2 of Reading in this program";
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn a_newtype_around_a_version_takes_no_older_one() {
        #[checkpointed(name = "Kelvin")]
        struct Celsius(f64);
        #[checkpointed(name = "Kelvin", version = 3, migrate(from = 1, with = Rankine::first), migrate(from = 2, with = Rankine::second))]
        #[derive(Debug, PartialEq)]
        struct Rankine(f64);
        impl Rankine {
            fn first(old: Celsius) -> Rankine {
                Rankine((old.0 + 273.15) * 1.8)
            }
            fn second(old: Kelvin) -> Rankine {
                Rankine(old.0 * 1.8)
            }
        }
        #[checkpointed]
        #[derive(Debug, PartialEq)]
        struct Outer<T>(T);
        let log = |last| Log { last, step: 1 };
        let directory = saved(&log(Kelvin(300.0)));
        assert_eq!(load::<Log<Outer<Rankine>>>(&directory).unwrap().0.last, Outer(Rankine(540.0)));
        #[checkpointed(name = "log")]
        #[derive(Debug, PartialEq)]
        struct Told {
            #[checkpointed(was_type = "Kelvin")]
            last: Outer<Rankine>,
            step: u64,
        }
        assert_eq!(load::<Told>(&directory).unwrap().0, Told { last: Outer(Rankine(540.0)), step: 1 });
        // A changed step makes the value be found by its name.
        #[checkpointed(name = "log")]
        #[derive(Debug, PartialEq)]
        struct Wider<R> {
            last: R,
            step: u128,
        }
        let wider = load::<Wider<Outer<Kelvin>>>(&directory).unwrap().0;
        assert_eq!(wider, Wider { last: Outer(Kelvin(300.0)), step: 1 });
        #[checkpointed(name = "log")]
        #[derive(Debug, PartialEq)]
        struct Optional {
            #[checkpointed(was_type = "Kelvin")]
            last: Outer<Option<Kelvin>>,
            step: u128,
        }
        let optional = load::<Optional>(&directory).unwrap().0;
        assert_eq!(optional, Optional { last: Outer(Some(Kelvin(300.0))), step: 1 });
    }

    mod engine {
        #[checkpointed::checkpointed]
        #[derive(Debug, PartialEq)]
        pub(super) struct Model(pub(super) f64);
    }

    #[test]
    fn a_newtype_may_have_the_name_of_the_type_inside() {
        #[checkpointed(version = 2)]
        #[derive(Debug, PartialEq)]
        struct Model(engine::Model);
        #[checkpointed(name = "log")]
        #[derive(Debug, PartialEq)]
        struct Held {
            model: Model,
        }
        let held = || Held { model: Model(engine::Model(1.5)) };
        assert_eq!(load::<Held>(&saved(&held())).unwrap(), (held(), Vec::new()));
        let directory = saved(&Model(engine::Model(1.5)));
        assert_eq!(load::<Model>(&directory).unwrap().0, Model(engine::Model(1.5)));
    }

    #[test]
    fn a_name_that_a_field_accepts_is_not_that_of_a_newtype() {
        #[checkpointed(name = "Old", version = 2)]
        struct Old {
            value: f64,
        }
        #[checkpointed(name = "New", version = 3, migrate(from = 2, with = New::doubled))]
        #[derive(Debug, PartialEq)]
        struct New {
            value: f64,
        }
        impl New {
            fn doubled(old: Old) -> New {
                New { value: 2.0 * old.value }
            }
        }
        #[checkpointed]
        #[derive(Debug, PartialEq)]
        struct Outer(New);
        #[checkpointed(name = "log")]
        struct Before {
            value: Old,
        }
        #[checkpointed(name = "log")]
        #[derive(Debug, PartialEq)]
        struct After {
            #[checkpointed(was_type = "Old")]
            value: Outer,
        }
        let (state, _) = load::<After>(&saved(&Before { value: Old { value: 1.0 } })).unwrap();
        assert_eq!(state, After { value: Outer(New { value: 2.0 }) });
        // The wrapper keeps its version, and the type inside it has another name now.
        #[checkpointed(name = "Rng", version = 2)]
        struct Earlier(Seed);
        #[checkpointed(name = "OldRng")]
        struct Seed(u64);
        #[checkpointed(name = "NewRng")]
        #[derive(Debug, PartialEq)]
        struct NewRng(u64);
        #[checkpointed(version = 2)]
        #[derive(Debug, PartialEq)]
        struct Rng(#[checkpointed(was_type = "OldRng")] NewRng);
        let (state, _) = load::<Rng>(&saved(&Earlier(Seed(7)))).unwrap();
        assert_eq!(state, Rng(NewRng(7)));
    }
}
