//! A program changes while its checkpoints stay: tests the effect of each change of a type.
//!
//! Each row of the table saves one type and loads another one, which then has the right value or is
//! refused with the place. `serde_json` gets the same two types: it does the same, or the row gives
//! the reason.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::num::Saturating;

use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Error, Scopes, checkpointed, evolution::DifferenceKind,
};

/// Declares the types of one version of a program.
macro_rules! types {
    ($($item:item)*) => {$(
        #[checkpointed]
        #[derive(Debug, PartialEq)]
        $item
    )*};
}

/// A checkpoint, and the same state as JSON.
struct Saved {
    directory: tempfile::TempDir,
    json: String,
}

fn saved<T: Checkpoint>(state: &T) -> Saved {
    let directory = tempfile::tempdir().unwrap();
    Checkpointer::open(directory.path()).unwrap().save(state).unwrap();
    Saved { directory, json: serde_json::to_string(state).unwrap() }
}

impl Saved {
    fn load<T: Checkpoint>(&self) -> Result<T, String> {
        let loaded = CheckpointReader::<T>::open(self.directory.path()).unwrap().load();
        loaded.map(Option::unwrap).map_err(|error| match error {
            Error::SchemaMismatch { why, .. } => why,
            other => panic!("{other}"),
        })
    }
}

/// The outcome for a state: the value, or the beginning of the message.
type Outcome<T> = Result<T, &'static str>;
type Row = Box<dyn FnOnce(&Saved) -> [String; 2]>;

fn both<T: Checkpoint + PartialEq + Debug>(ours: Outcome<T>, json: Option<T>) -> Row {
    Box::new(move |saved| {
        let found =
            [saved.load::<T>(), serde_json::from_str::<T>(&saved.json).map_err(|error| error.to_string())];
        let shown = found.each_ref().map(|found| match found {
            Ok(_) => "loads".to_owned(),
            Err(why) => why.clone(),
        });
        match (&found[0], &ours) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(why), Err(expected)) => assert!(why.starts_with(expected), "{why:?} for {expected:?}"),
            (found, expected) => panic!("{found:?} for {expected:?}"),
        }
        assert_eq!(found[1].as_ref().ok(), json.as_ref(), "serde_json: {:?}", found[1]);
        shown
    })
}

/// The state loads, here and from JSON. The value is evaluated twice, because a state need not be
/// `Clone`.
macro_rules! loads {
    ($value:expr) => {
        both(Ok($value), Some($value))
    };
}

/// The state is refused, here and from JSON.
fn refused<T: Checkpoint + PartialEq + Debug>(message: &'static str) -> Row {
    both::<T>(Err(message), None)
}

/// `serde_json` has another outcome, for a reason.
fn unlike_json<T: Checkpoint + PartialEq + Debug>(ours: Outcome<T>, json: Option<T>, reason: &str) -> Row {
    assert!(!reason.is_empty());
    both(ours, json)
}

/// Runs the rows and prints them.
fn table(rows: Vec<(&str, Saved, Row)>) {
    for (change, saved, row) in rows {
        println!("{change}");
        let [ours, json] = row(&saved);
        println!("    here: {ours}\n    JSON: {json}");
    }
}

#[test]
fn fields_are_found_by_their_names() {
    table(vec![
        (
            "added with a default",
            {
                types! { struct State { step: u64 } }
                saved(&State { step: 7 })
            },
            {
                types! { struct State { #[serde(default)] energy: f64, step: u64 } }
                loads!(State { step: 7, energy: 0.0 })
            },
        ),
        (
            "added without a default",
            {
                types! { struct State { step: u64 } }
                saved(&State { step: 7 })
            },
            {
                types! { struct State { step: u64, energy: f64 } }
                refused::<State>("missing field `energy`")
            },
        ),
        (
            "added as an option",
            {
                types! { struct State { step: u64 } }
                saved(&State { step: 7 })
            },
            {
                types! { struct State { step: u64, note: Option<String> } }
                loads!(State { step: 7, note: None })
            },
        ),
        (
            "removed",
            {
                types! { struct State { old: Vec<BTreeMap<String, Option<(char, i8)>>>, step: u64 } }
                let map = BTreeMap::from([("a".to_owned(), Some(('é', -1))), ("b".to_owned(), None)]);
                saved(&State { old: vec![map], step: 7 })
            },
            {
                types! { struct State { step: u64 } }
                loads!(State { step: 7 })
            },
        ),
        (
            "removed between arrays",
            {
                types! { struct State { first: Vec<f64>, gone: Vec<[u16; 3]>, fixed: [i8; 40], last: Vec<u8> } }
                saved(&State { first: vec![0.5], gone: vec![[1; 3]], fixed: [1; 40], last: vec![2, 3] })
            },
            {
                types! { struct State { first: Vec<f64>, last: Vec<u8> } }
                loads!(State { first: vec![0.5], last: vec![2, 3] })
            },
        ),
        (
            "removed, and unknown fields are denied",
            {
                types! { struct State { step: u64, old: u8 } }
                saved(&State { step: 7, old: 1 })
            },
            {
                types! { #[serde(deny_unknown_fields)] struct State { step: u64 } }
                refused::<State>("unknown field `old`")
            },
        ),
        (
            "reordered",
            {
                types! { struct State { width: u32, height: u32 } }
                saved(&State { width: 3, height: 4 })
            },
            {
                types! { struct State { height: u32, width: u32 } }
                loads!(State { width: 3, height: 4 })
            },
        ),
        (
            "renamed, with an alias",
            {
                types! { struct State { count: u64 } }
                saved(&State { count: 7 })
            },
            {
                types! { struct State { #[serde(alias = "count")] steps: u64 } }
                loads!(State { steps: 7 })
            },
        ),
        (
            "renamed, without an alias",
            {
                types! { struct State { step: u64, count: u64 } }
                saved(&State { step: 1, count: 7 })
            },
            {
                types! { struct State { step: u64, counted: u64 } }
                refused::<State>("missing field `counted`")
            },
        ),
        (
            "nothing in common, and a default for all",
            {
                types! { struct State { count: u64 } }
                saved(&State { count: 7 })
            },
            {
                types! { #[derive(Default)] #[serde(default)] struct State { momentum: f32, noise: f32 } }
                unlike_json::<State>(
                    Err("not one field is in both: count in the checkpoint, momentum, noise in this program"),
                    Some(State::default()),
                    "a state of which nothing is left is a state that was lost",
                )
            },
        ),
        (
            "an array removed inside an enum inside a list",
            {
                types! { enum Layer { Dense { weights: Vec<f32>, old: Vec<f32> }, Flat } struct State { layers: Vec<Layer> } }
                let dense = || Layer::Dense { weights: vec![1.0], old: vec![2.0] };
                saved(&State { layers: vec![dense(), Layer::Flat, dense()] })
            },
            {
                types! { enum Layer { Dense { weights: Vec<f32> }, Flat } struct State { layers: Vec<Layer> } }
                loads!({
                    let dense = || Layer::Dense { weights: vec![1.0] };
                    State { layers: vec![dense(), Layer::Flat, dense()] }
                })
            },
        ),
        (
            "added inside a map",
            {
                types! { struct Phase { since: u32 } struct State { phases: BTreeMap<String, Phase> } }
                saved(&State { phases: BTreeMap::from([("a".to_owned(), Phase { since: 3 })]) })
            },
            {
                types! {
                    struct Phase { since: u32, #[serde(default)] until: u32 }
                    struct State { phases: BTreeMap<String, Phase> }
                }
                loads!(State { phases: BTreeMap::from([("a".to_owned(), Phase { since: 3, until: 0 })]) })
            },
        ),
        (
            "added deep inside, without a default",
            {
                types! { struct Phase { since: u32 } struct State { phases: Vec<BTreeMap<u8, (bool, Option<Phase>)>> } }
                saved(&State {
                    phases: vec![BTreeMap::new(), BTreeMap::from([(1, (true, Some(Phase { since: 3 })))])],
                })
            },
            {
                types! {
                    struct Phase { since: u32, until: u32 }
                    struct State { phases: Vec<BTreeMap<u8, (bool, Option<Phase>)>> }
                }
                refused::<State>("phases[1][].1: missing field `until`")
            },
        ),
        (
            "added to a recursive type",
            {
                types! { struct State { value: u8, next: Option<Box<State>> } }
                saved(&State { value: 1, next: Some(Box::new(State { value: 2, next: None })) })
            },
            {
                types! { struct State { value: u16, #[serde(default)] name: String, next: Option<Box<State>> } }
                loads!({
                    let last = State { value: 2, name: String::new(), next: None };
                    State { value: 1, name: String::new(), next: Some(Box::new(last)) }
                })
            },
        ),
        (
            "renamed with an alias, and of another type",
            {
                types! { struct State { step: u64, speed: Vec<f32> } }
                saved(&State { step: 1, speed: vec![0.5] })
            },
            {
                types! { struct State { step: u64, #[serde(alias = "speed")] celerity: Vec<f64> } }
                loads!(State { step: 1, celerity: vec![0.5] })
            },
        ),
        (
            "another name for the type of a field, and a field more in it",
            {
                types! { struct Point { x: f64 } struct State { at: Point } }
                saved(&State { at: Point { x: 1.5 } })
            },
            {
                types! { struct Place { x: f64, #[serde(default)] y: f64 } struct State { at: Place } }
                loads!(State { at: Place { x: 1.5, y: 0.0 } })
            },
        ),
        (
            "a map becomes a struct",
            {
                types! { struct State { limits: BTreeMap<String, u8> } }
                saved(&State { limits: BTreeMap::from([("low".to_owned(), 1), ("high".to_owned(), 9)]) })
            },
            {
                types! { struct Limits { low: u8, high: u16 } struct State { limits: Limits } }
                loads!(State { limits: Limits { low: 1, high: 9 } })
            },
        ),
        (
            "a struct becomes a map",
            {
                types! { struct Limits { low: u8, high: u8 } struct State { limits: Limits } }
                saved(&State { limits: Limits { low: 1, high: 9 } })
            },
            {
                types! { struct State { limits: BTreeMap<String, u8> } }
                loads!(State { limits: BTreeMap::from([("low".to_owned(), 1), ("high".to_owned(), 9)]) })
            },
        ),
        (
            "a tuple becomes a struct",
            {
                types! { struct State { limits: (u8, u8) } }
                saved(&State { limits: (1, 9) })
            },
            {
                types! { struct Limits { low: u8, high: u8 } struct State { limits: Limits } }
                loads!(State { limits: Limits { low: 1, high: 9 } })
            },
        ),
        (
            "a tuple gets longer",
            {
                types! { struct State { limits: (u8, u8) } }
                saved(&State { limits: (1, 9) })
            },
            {
                types! { struct State { limits: (u8, u8, u8) } }
                refused::<State>("limits: invalid length 2")
            },
        ),
        (
            "a tuple gets shorter",
            {
                types! { struct State { limits: (u8, u8, u8) } }
                saved(&State { limits: (1, 9, 5) })
            },
            {
                types! { struct State { limits: (u8, u8) } }
                refused::<State>("limits: it is longer than the value in this program")
            },
        ),
    ]);
}

#[test]
fn wrappers_and_options_come_and_go() {
    table(vec![
        (
            "a newtype is put around it",
            {
                types! { struct State { step: u64, old: u8 } }
                saved(&State { step: 7, old: 1 })
            },
            {
                types! { struct Step(u64); struct State { step: Step } }
                loads!(State { step: Step(7) })
            },
        ),
        (
            "two newtypes are taken away",
            {
                types! { struct Inner(u32); struct Step(Inner); struct State { step: Step } }
                saved(&State { step: Step(Inner(7)) })
            },
            {
                types! { struct State { step: u64 } }
                loads!(State { step: 7 })
            },
        ),
        (
            "a value becomes optional",
            {
                types! { struct State { limits: Vec<f64> } }
                saved(&State { limits: vec![1.0, 2.0] })
            },
            {
                types! { struct State { limits: Option<Vec<f64>> } }
                loads!(State { limits: Some(vec![1.0, 2.0]) })
            },
        ),
        (
            "an option becomes a value, and is there",
            {
                types! { struct State { limit: Option<u8> } }
                saved(&State { limit: Some(3) })
            },
            {
                types! { struct State { limit: u8 } }
                loads!(State { limit: 3 })
            },
        ),
        (
            "an option becomes a value, and is not there",
            {
                types! { struct State { limit: Vec<Option<u8>> } }
                saved(&State { limit: vec![Some(3), None] })
            },
            {
                types! { struct State { limit: Vec<u8> } }
                refused::<State>("limit[1]: invalid type: Option value, expected u8")
            },
        ),
        (
            "a box, and a change inside",
            {
                types! { struct State { inner: Box<(u8, u8)> } }
                saved(&State { inner: Box::new((1, 2)) })
            },
            {
                types! { struct State { inner: (u8, u16) } }
                loads!(State { inner: (1, 2) })
            },
        ),
    ]);
}

/// Declares types of another crate: they only have serde's traits.
macro_rules! foreign {
    ($($item:item)*) => {$(
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        $item
    )*};
}

const NOT_NAMED: &str = ": another type may mean something else";

/// The message about a type that became another.
fn another_type(place: &str, before: &str, after: &str) -> &'static str {
    let message =
        format!("{place}: type {before} in the checkpoint, type {after} in this program{NOT_NAMED}");
    message.leak()
}

const UNNAMED: &str = "in JSON one type is as good as any other of its form";

#[test]
fn another_type_of_the_same_form_is_refused_unless_it_is_named() {
    table(vec![
        (
            "a generator of another crate becomes another one",
            {
                foreign! { struct StarStar { s: [u64; 4] } }
                types! { struct State { rng: StarStar } }
                saved(&State { rng: StarStar { s: [1, 2, 3, 4] } })
            },
            {
                foreign! { struct PlusPlus { s: [u64; 4] } }
                types! { struct State { rng: PlusPlus } }
                unlike_json::<State>(
                    Err(another_type("rng", "StarStar", "PlusPlus")),
                    Some(State { rng: PlusPlus { s: [1, 2, 3, 4] } }),
                    UNNAMED,
                )
            },
        ),
        (
            "the same deep inside, beside another change",
            {
                foreign! { struct StarStar { s: [u64; 4] } }
                types! { struct State { chains: BTreeMap<u8, Vec<(u8, Option<StarStar>)>> } }
                let chain = vec![(1, Some(StarStar { s: [1, 2, 3, 4] }))];
                saved(&State { chains: BTreeMap::from([(1, chain)]) })
            },
            {
                foreign! { struct PlusPlus { s: [u64; 4] } }
                types! { struct State { chains: BTreeMap<u16, Vec<(u8, Option<PlusPlus>)>> } }
                let chain = vec![(1, Some(PlusPlus { s: [1, 2, 3, 4] }))];
                unlike_json::<State>(
                    Err(another_type("chains[][].1", "StarStar", "PlusPlus")),
                    Some(State { chains: BTreeMap::from([(1, chain)]) }),
                    UNNAMED,
                )
            },
        ),
        (
            "it has another name in its crate now, and the field says so",
            {
                foreign! { struct Pcg32 { state: u64 } }
                types! { struct State { rngs: Vec<Option<Pcg32>>, step: u8 } }
                saved(&State { rngs: vec![Some(Pcg32 { state: 7 }), None], step: 1 })
            },
            {
                foreign! { struct Lcg64Xsh32 { state: u64 } }
                types! { struct State { #[checkpointed(was_type = "Pcg32")] rngs: Vec<Option<Lcg64Xsh32>>, step: u16 } }
                loads!(State { rngs: vec![Some(Lcg64Xsh32 { state: 7 }), None], step: 1 })
            },
        ),
        (
            "one field says so, and another does not",
            {
                foreign! { struct Old { state: u64 } }
                types! { struct State { first: Old, second: Vec<Old> } }
                saved(&State { first: Old { state: 7 }, second: vec![Old { state: 8 }] })
            },
            {
                foreign! { struct New { state: u64 } }
                types! { struct State { #[checkpointed(was_type = "Old")] first: New, second: Vec<New> } }
                unlike_json::<State>(
                    Err(another_type("second[]", "Old", "New")),
                    Some(State { first: New { state: 7 }, second: vec![New { state: 8 }] }),
                    UNNAMED,
                )
            },
        ),
        (
            "an enum of another crate, in a field of a variant, which says so",
            {
                foreign! { enum Weekday { Monday } }
                types! { enum State { At(Weekday), Between { from: Weekday } } }
                saved(&vec![State::At(Weekday::Monday), State::Between { from: Weekday::Monday }])
            },
            {
                foreign! { enum Day { Monday } }
                types! {
                    enum State {
                        At(#[checkpointed(was_type = "Weekday")] Day),
                        Between { #[checkpointed(was_type = "Weekday")] from: Day },
                    }
                }
                loads!(vec![State::At(Day::Monday), State::Between { from: Day::Monday }])
            },
        ),
        (
            "a newtype of another crate",
            {
                foreign! { struct Feet(f64); }
                types! { struct State { lengths: Vec<Feet> } }
                saved(&State { lengths: vec![Feet(1.0)] })
            },
            {
                foreign! { struct Metres(f64); }
                types! { struct State { lengths: Vec<Metres> } }
                unlike_json::<State>(
                    Err(another_type("lengths[]", "Feet", "Metres")),
                    Some(State { lengths: vec![Metres(1.0)] }),
                    UNNAMED,
                )
            },
        ),
        (
            "a newtype of the program",
            {
                types! { struct Feet(f64); struct State { lengths: Vec<Feet> } }
                saved(&State { lengths: vec![Feet(1.0)] })
            },
            {
                types! { struct Metres(f64); struct State { lengths: Vec<Metres> } }
                unlike_json::<State>(
                    Err(another_type("lengths[]", "Feet", "Metres")),
                    Some(State { lengths: vec![Metres(1.0)] }),
                    UNNAMED,
                )
            },
        ),
        (
            "a newtype of the program that says what it was",
            {
                types! { struct Length(f64); struct State { lengths: Vec<Length> } }
                saved(&State { lengths: vec![Length(1.0)] })
            },
            {
                #[checkpointed(was_type = "Span", was_type = "Length")]
                #[derive(Debug, PartialEq)]
                struct Metres(f64);
                types! { struct State { lengths: Vec<Metres>, #[serde(default)] new: u8 } }
                loads!(State { lengths: vec![Metres(1.0)], new: 0 })
            },
        ),
        (
            "a tuple struct of the program",
            {
                types! { struct Polar(f64, f64); struct State { at: Polar } }
                saved(&State { at: Polar(1.0, 2.0) })
            },
            {
                types! { struct Cartesian(f64, f64); struct State { at: Cartesian } }
                unlike_json::<State>(
                    Err(another_type("at", "Polar", "Cartesian")),
                    Some(State { at: Cartesian(1.0, 2.0) }),
                    UNNAMED,
                )
            },
        ),
        (
            "a type of another crate becomes one of the program, of the same name",
            {
                foreign! { struct Polar { radius: f64 } }
                types! { struct State { at: Polar } }
                saved(&State { at: Polar { radius: 1.0 } })
            },
            {
                types! { struct Polar { radius: f64 } struct State { at: Polar } }
                loads!(State { at: Polar { radius: 1.0 } })
            },
        ),
        (
            "a tuple becomes a tuple struct, and a tuple struct of another crate becomes a tuple",
            {
                foreign! { struct Polar(f64, f64); }
                types! { struct State { at: Polar, to: (u8, u8) } }
                saved(&State { at: Polar(1.0, 2.0), to: (1, 2) })
            },
            {
                types! { struct Point(u8, u8); struct State { at: (f64, f64), to: Point } }
                loads!(State { at: (1.0, 2.0), to: Point(1, 2) })
            },
        ),
        (
            "an option around it, and a sequence of a tuple, do not hide it",
            {
                foreign! { struct Old { x: u8 } }
                types! { struct State { one: Old, two: Option<Old>, all: Vec<Old>, pair: (Old, Old) } }
                let old = |x| Old { x };
                saved(&State { one: old(1), two: Some(old(2)), all: vec![old(3)], pair: (old(4), old(5)) })
            },
            {
                foreign! { struct Old { x: u8 } #[derive(PartialOrd, Eq, Ord)] struct New { x: u8 } }
                types! { struct State { one: Option<Old>, two: Old, all: BTreeSet<New>, pair: Vec<Old> } }
                unlike_json::<State>(
                    Err(another_type("all[]", "Old", "New")),
                    Some(State {
                        one: Some(Old { x: 1 }),
                        two: Old { x: 2 },
                        all: BTreeSet::from([New { x: 3 }]),
                        pair: vec![Old { x: 4 }, Old { x: 5 }],
                    }),
                    UNNAMED,
                )
            },
        ),
        (
            "an option of another type",
            {
                foreign! { struct Old { x: u8 } }
                types! { struct State { one: Old } }
                saved(&State { one: Old { x: 1 } })
            },
            {
                foreign! { struct New { x: u8 } }
                types! { struct State { one: Option<New> } }
                unlike_json::<State>(
                    Err(another_type("one", "Old", "New")),
                    Some(State { one: Some(New { x: 1 }) }),
                    UNNAMED,
                )
            },
        ),
        (
            "a tuple that becomes a struct",
            {
                foreign! { struct Old { x: u8 } }
                types! { struct State { pair: (u8, Old) } }
                saved(&State { pair: (1, Old { x: 1 }) })
            },
            {
                foreign! { struct New { x: u8 } }
                types! { struct Pair { first: u8, second: New } struct State { pair: Pair } }
                unlike_json::<State>(
                    Err(another_type("pair.second", "Old", "New")),
                    Some(State { pair: Pair { first: 1, second: New { x: 1 } } }),
                    UNNAMED,
                )
            },
        ),
        (
            "a tuple struct with a further member",
            {
                foreign! { struct Old { x: u8 } }
                types! { struct Pair(Old, u8); struct State { pair: Pair } }
                saved(&State { pair: Pair(Old { x: 1 }, 2) })
            },
            {
                foreign! { struct New { x: u8 } }
                types! { struct Pair(New, u8, #[serde(default)] u8); struct State { pair: Pair } }
                unlike_json::<State>(
                    Err(another_type("pair[]", "Old", "New")),
                    Some(State { pair: Pair(New { x: 1 }, 2, 0) }),
                    UNNAMED,
                )
            },
        ),
        (
            "long rows that become lists",
            {
                types! { struct Old(u8); struct State { rows: Vec<[Old; 40]> } }
                saved(&State { rows: vec![[(); 40].map(|()| Old(1))] })
            },
            {
                types! { struct New(u8); struct State { rows: Vec<Vec<New>> } }
                unlike_json::<State>(
                    Err(another_type("rows[][]", "Old", "New")),
                    Some(State { rows: vec![(0..40).map(|_| New(1)).collect()] }),
                    UNNAMED,
                )
            },
        ),
        (
            "an array that becomes a longer struct",
            {
                types! { struct Metres(u8); struct State { place: [Metres; 2] } }
                saved(&State { place: [Metres(1), Metres(2)] })
            },
            {
                types! {
                    #[derive(Default)] struct Feet(u8);
                    struct Metres(u8);
                    struct Place { x: Metres, y: Metres, #[serde(default)] z: Feet }
                    struct State { place: Place }
                }
                loads!(State { place: Place { x: Metres(1), y: Metres(2), z: Feet(0) } })
            },
        ),
        (
            "a list that becomes a struct",
            {
                foreign! { struct Old { x: u8 } }
                types! { struct State { all: Vec<Old> } }
                saved(&State { all: vec![Old { x: 1 }, Old { x: 2 }] })
            },
            {
                foreign! { struct New { x: u8 } }
                types! { struct Pair { first: New, second: New } struct State { all: Pair } }
                unlike_json::<State>(
                    Err(another_type("all.first", "Old", "New")),
                    Some(State { all: Pair { first: New { x: 1 }, second: New { x: 2 } } }),
                    UNNAMED,
                )
            },
        ),
        (
            "a map that becomes a struct",
            {
                foreign! { struct Old { x: u8 } }
                types! { struct State { all: BTreeMap<String, Old> } }
                saved(&State { all: BTreeMap::from([("a".to_owned(), Old { x: 1 })]) })
            },
            {
                foreign! { struct New { x: u8 } }
                types! { struct All { a: New } struct State { all: All } }
                unlike_json::<State>(
                    Err(another_type("all.a", "Old", "New")),
                    Some(State { all: All { a: New { x: 1 } } }),
                    UNNAMED,
                )
            },
        ),
        (
            "the state itself is of another crate",
            {
                foreign! { struct Old { x: u8 } }
                saved(&checkpointed::Plain(Old { x: 1 }))
            },
            {
                foreign! { struct New { x: u8 } }
                unlike_json(
                    Err(another_type("the state", "Old", "New")),
                    Some(checkpointed::Plain(New { x: 1 })),
                    UNNAMED,
                )
            },
        ),
    ]);
}

#[test]
fn a_state_that_says_its_former_name_loads() {
    let saved = {
        types! { struct Simulation { step: u64 } }
        saved(&Simulation { step: 7 })
    };
    #[checkpointed(was_type = "Simulation")]
    #[derive(Debug, PartialEq)]
    struct Run {
        step: u64,
    }
    let mut checkpoints = Checkpointer::<Run>::open(saved.directory.path()).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(Run { step: 7 }));
    let differences = &checkpoints.last_load().unwrap().differences;
    assert_eq!(
        differences.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["the state: type Simulation in the checkpoint, type Run in this program"]
    );
    assert_eq!(differences[0].kind, DifferenceKind::TypeRenamed);
    types! { struct Walk { step: u64 } }
    let error = CheckpointReader::<Walk>::open(saved.directory.path()).unwrap().load().unwrap_err();
    assert!(matches!(error, Error::OtherState { .. }), "{error}");
}

#[test]
fn another_name_of_a_struct_with_fields_is_reported() {
    let saved = {
        types! { struct Part { mass: f32 } struct State { parts: Vec<Part>, best: Part } }
        saved(&State { parts: vec![Part { mass: 0.5 }], best: Part { mass: 1.5 } })
    };
    types! { struct Piece { mass: f32 } struct State { parts: Vec<Piece>, best: Piece } }
    let mut reader = CheckpointReader::<State>::open(saved.directory.path()).unwrap();
    let expected = State { parts: vec![Piece { mass: 0.5 }], best: Piece { mass: 1.5 } };
    assert_eq!(reader.load().unwrap(), Some(expected));
    let differences = &reader.last_load().unwrap().differences;
    let lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["parts[]: type Part in the checkpoint, type Piece in this program"]);
}

#[test]
fn what_was_renamed_is_one_line_of_the_report() {
    let saved = {
        types! {
            struct Part { x: f32, old: u8 }
            enum Phase { Warm(u8), Run { since: u8 } }
            struct State { speed: Vec<f32>, keys: BTreeMap<u8, (u8, f32)>, part: Part, phase: Vec<Phase>, same: u8 }
        }
        let phase = vec![Phase::Warm(1), Phase::Run { since: 2 }];
        let keys = BTreeMap::from([(1, (2, 0.5))]);
        saved(&State { speed: vec![0.5], keys, part: Part { x: 0.5, old: 1 }, phase, same: 3 })
    };
    types! {
        struct Part { x: f64 }
        enum Phase { #[serde(alias = "Warm")] Hot(u16), Run { #[serde(alias = "start", alias = "since")] begun: u8 } }
        struct State {
            #[serde(alias = "speed")] celerity: Vec<f64>,
            #[serde(alias = "keys")] table: BTreeMap<u16, (u16, f64)>,
            #[serde(alias = "part")] piece: Part,
            #[serde(alias = "same")] equal: u8,
            phase: Vec<Phase>,
        }
    }
    let mut reader = CheckpointReader::<State>::open(saved.directory.path()).unwrap();
    let expected = State {
        celerity: vec![0.5],
        table: BTreeMap::from([(1, (2, 0.5))]),
        piece: Part { x: 0.5 },
        equal: 3,
        phase: vec![Phase::Hot(1), Phase::Run { begun: 2 }],
    };
    assert_eq!(reader.load().unwrap(), Some(expected));
    let differences = &reader.last_load().unwrap().differences;
    let mut lines: Vec<String> = differences.iter().map(ToString::to_string).collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "keys → table: Map<u8, (u8, f32)> → Map<u16, (u16, f64)>",
            "part → piece: Part",
            "phase[]::Hot: u8 in the checkpoint, u16 in this program",
            "phase[]::Run.since → begun: u8",
            "phase[]::Warm → ::Hot: a variant",
            "piece.old: u8 in the checkpoint, absent in this program",
            "piece.x: f32 in the checkpoint, f64 in this program",
            "same → equal: u8",
            "speed → celerity: Vec<f32> → Vec<f64>",
            "the state: fields speed, keys, part, phase, same in the checkpoint, fields celerity, table, piece, equal, phase in this program",
        ]
    );
}

#[test]
fn variants_are_found_by_their_names() {
    table(vec![
        (
            "added in front, and reordered",
            {
                types! { enum State { Warm, Run { since: u32 } } }
                saved(&State::Run { since: 3 })
            },
            {
                types! { #[allow(dead_code, reason = "never made")] enum State { Cold, Run { since: u32 }, Warm } }
                loads!(State::Run { since: 3 })
            },
        ),
        (
            "removed, and not in use",
            {
                types! { #[allow(dead_code, reason = "never made")] enum State { Cold, Warm(u8) } }
                saved(&State::Warm(1))
            },
            {
                types! { enum State { Warm(u8) } }
                loads!(State::Warm(1))
            },
        ),
        (
            "removed, and in use",
            {
                types! { enum Phase { Cold, Warm } struct State { phases: Vec<Phase> } }
                saved(&State { phases: vec![Phase::Warm, Phase::Cold] })
            },
            {
                types! { enum Phase { Warm } struct State { phases: Vec<Phase> } }
                refused::<State>("phases[1]: unknown variant `Cold`, expected `Warm`")
            },
        ),
        (
            "renamed, with an alias",
            {
                types! { enum State { Warm(u8) } }
                saved(&State::Warm(1))
            },
            {
                types! { enum State { #[serde(alias = "Warm")] Hot(u8) } }
                loads!(State::Hot(1))
            },
        ),
        (
            "the fields of a variant change",
            {
                types! { enum State { Run { since: u32, old: Vec<f32> } } }
                saved(&State::Run { since: 3, old: vec![1.0] })
            },
            {
                types! { enum State { Run { #[serde(default)] until: u32, since: u64 } } }
                loads!(State::Run { since: 3, until: 0 })
            },
        ),
        (
            "the fields of a variant have nothing in common, and have defaults",
            {
                types! { enum State { Run { since: u32 } } }
                saved(&State::Run { since: 3 })
            },
            {
                types! { enum State { Run { #[serde(default)] until: u32 } } }
                unlike_json::<State>(
                    Err("::Run: not one field is in both: since in the checkpoint, until in this program"),
                    Some(State::Run { until: 0 }),
                    "as for structs",
                )
            },
        ),
        (
            "a variant that held nothing holds something",
            {
                types! { enum State { Warm } }
                saved(&State::Warm)
            },
            {
                types! { enum State { Warm { #[serde(default)] since: u32 } } }
                refused::<State>("::Warm: invalid type: unit value, expected struct variant State::Warm")
            },
        ),
        (
            "a struct inside a variant becomes its fields",
            {
                types! { struct Run { since: u32 } enum State { Run(Run) } }
                saved(&State::Run(Run { since: 3 }))
            },
            {
                types! { enum State { Run { since: u64 } } }
                loads!(State::Run { since: 3 })
            },
        ),
        (
            "the fields of a variant become a struct inside it",
            {
                types! { enum State { Run { since: u32 } } }
                saved(&State::Run { since: 3 })
            },
            {
                types! { struct Run { since: u64 } enum State { Run(Run) } }
                loads!(State::Run(Run { since: 3 }))
            },
        ),
        (
            "a name becomes text",
            {
                types! { enum Phase { Warm } struct State { phase: Phase } }
                saved(&State { phase: Phase::Warm })
            },
            {
                types! { struct State { phase: String } }
                loads!(State { phase: "Warm".to_owned() })
            },
        ),
        (
            "text becomes a name",
            {
                types! { struct State { phase: String } }
                saved(&State { phase: "Warm".to_owned() })
            },
            {
                types! { enum Phase { Warm } struct State { phase: Phase } }
                loads!(State { phase: Phase::Warm })
            },
        ),
        (
            "a number becomes a name",
            {
                types! { struct State { phase: u32 } }
                saved(&State { phase: 0 })
            },
            {
                types! { enum Phase { Warm } struct State { phase: Phase } }
                refused::<State>("phase: invalid type: integer `0`")
            },
        ),
    ]);
}

#[test]
fn numbers_keep_their_value() {
    table(vec![
        ("u32 to u64", saved(&u32::MAX), loads!(u64::from(u32::MAX))),
        ("u64 to u32 that fits", saved(&7_u64), loads!(7_u32)),
        (
            "u64 to u32 that does not fit",
            {
                types! { struct State { steps: Vec<(u8, u64)> } }
                saved(&State { steps: vec![(1, 1), (2, 5_000_000_000)] })
            },
            {
                types! { struct State { steps: Vec<(u8, u32)> } }
                refused::<State>("steps[1].1: invalid value: integer `5000000000`, expected u32")
            },
        ),
        ("u32 to i64", saved(&7_u32), loads!(7_i64)),
        ("i32 to u32", saved(&7_i32), loads!(7_u32)),
        (
            "a negative i32 to u32",
            saved(&-7_i32),
            refused::<u32>("invalid value: integer `-7`, expected u32"),
        ),
        ("u64 to i128", saved(&u64::MAX), loads!(i128::from(u64::MAX))),
        ("i128 to u8", saved(&200_i128), loads!(200_u8)),
        ("i128 beyond i64 to u64", saved(&(1_i128 << 63)), loads!(1_u64 << 63)),
        ("the greatest u64 as i128 to u64", saved(&i128::from(u64::MAX)), loads!(u64::MAX)),
        (
            "i128 beyond u64 to u64",
            saved(&(1_i128 << 64)),
            refused::<u64>("invalid value: integer `18446744073709551616`, expected u64"),
        ),
        ("u32 to a Saturating<u8> that fits", saved(&200_u32), loads!(Saturating(200_u8))),
        (
            "u32 to a Saturating<u8> that does not fit",
            {
                types! { struct State { counts: Vec<u32> } }
                saved(&State { counts: vec![1, 300] })
            },
            {
                types! { struct State { counts: Vec<Saturating<u8>> } }
                unlike_json(
                    Err("counts[1]: invalid value: integer `300`, expected u8"),
                    Some(State { counts: vec![Saturating(1), Saturating(255)] }),
                    "serde takes the nearest value; a restart must not change a value without a word",
                )
            },
        ),
        (
            "a negative i64 to a Saturating<u64>",
            saved(&-7_i64),
            unlike_json(
                Err("invalid value: integer `-7`, expected u64"),
                Some(Saturating(0_u64)),
                "as above",
            ),
        ),
        ("u128 to u64 that does not fit", saved(&u128::MAX), refused::<u64>("")),
        ("f32 to f64", saved(&0.5_f32), loads!(0.5_f64)),
        (
            "a third as f32 to f64",
            saved(&0.1_f32),
            unlike_json(
                Ok(f64::from(0.1_f32)),
                Some(0.1),
                "the value is kept; JSON has the shortest decimal for the f32, which is another number",
            ),
        ),
        ("f64 to f32 that fits", saved(&0.25_f64), loads!(0.25_f32)),
        (
            "f64 to f32 that does not fit",
            saved(&0.1_f64),
            unlike_json(
                Err("0.1 cannot be an f32 without changing its value"),
                Some(0.1_f32),
                "JSON rounds; a restart must not change a value without a word",
            ),
        ),
        ("u32 to f64", saved(&7_u32), loads!(7.0_f64)),
        (
            "u64 to f64 that does not fit",
            saved(&u64::MAX),
            unlike_json(
                Err("18446744073709551615 cannot be an f64 without changing its value"),
                Some(18_446_744_073_709_551_615_f64),
                "as above",
            ),
        ),
        ("f64 to u64", saved(&2.0_f64), refused::<u64>("invalid type: floating point `2.0`, expected u64")),
        ("bool to u8", saved(&true), refused::<u8>("invalid type: boolean `true`, expected u8")),
        ("u8 to bool", saved(&1_u8), refused::<bool>("invalid type: integer `1`, expected a boolean")),
        ("char to String", saved(&'é'), loads!("é".to_owned())),
        ("String of one to char", saved(&"é".to_owned()), loads!('é')),
        ("u64 to String", saved(&7_u64), refused::<String>("invalid type: integer `7`, expected a string")),
        ("keys of a map", saved(&BTreeMap::from([(7_u32, 1_u8)])), loads!(BTreeMap::from([(7_u64, 1_u16)]))),
        (
            "pairs to a map",
            saved(&VecDeque::from([(7_u32, 1_u8)])),
            refused::<BTreeMap<u32, u8>>("invalid type: sequence, expected a map"),
        ),
    ]);
}

#[test]
fn arrays_change_like_other_values() {
    table(vec![
        ("Vec<f32> to Vec<f64>", saved(&vec![0.5_f32, 1.5]), loads!(vec![0.5_f64, 1.5])),
        ("Vec<u64> to Vec<u8> that fits", saved(&vec![1_u64, 255]), loads!(vec![1_u8, 255])),
        (
            "Vec<u64> to Vec<u8> that does not fit",
            saved(&vec![1_u64, 256]),
            refused::<Vec<u8>>("[1]: invalid value: integer `256`, expected u8"),
        ),
        ("Vec<i128> to Vec<i64>", saved(&vec![-1_i128, 2]), loads!(vec![-1_i64, 2])),
        ("Vec<bool> to a tuple", saved(&vec![true, false]), loads!((true, false))),
        ("Vec<u32> to a set of u64", saved(&vec![3_u32, 1]), loads!(BTreeSet::from([1_u64, 3]))),
        ("a set of u32 to Vec<u64>", saved(&BTreeSet::from([1_u32, 3])), loads!(vec![1_u64, 3])),
        ("rows of f32 to f64", saved(&vec![[0.5_f32; 3]; 2]), loads!(vec![[0.5_f64; 3]; 2])),
        ("rows of one to numbers in lists", saved(&vec![[0.5_f32]; 2]), loads!(vec![vec![0.5_f64]; 2])),
        (
            "matrices to lists",
            saved(&vec![[[1_u8, 2], [3, 4]]]),
            loads!(vec![vec![vec![1_u8, 2], vec![3, 4]]]),
        ),
        ("lists to rows", saved(&vec![vec![1_u8, 2], vec![3, 4]]), loads!(vec![[1_u8, 2], [3, 4]])),
        ("longer rows", saved(&vec![[1_u8; 2]]), refused::<Vec<[u8; 3]>>("[0]: invalid length 2")),
        ("shorter rows", saved(&vec![[1_u8; 3]]), refused::<Vec<[u8; 2]>>("[0]: it is longer than")),
        ("Vec to a fixed array", saved(&vec![1.0_f64, 2.0]), loads!([1.0_f64, 2.0])),
        ("a fixed array to Vec", saved(&[1.0_f64, 2.0]), loads!(vec![1.0_f64, 2.0])),
        (
            "kept apart to written out, beside a change",
            {
                types! { struct State { values: Vec<f64>, rows: Vec<[u8; 2]> } }
                saved(&State { values: vec![0.5], rows: vec![[1, 2]] })
            },
            {
                types! { struct State { values: VecDeque<f64>, rows: VecDeque<[u8; 2]>, #[serde(default)] new: u8 } }
                loads!(State { values: VecDeque::from([0.5]), rows: VecDeque::from([[1, 2]]), new: 0 })
            },
        ),
        (
            "written out to kept apart, beside a change",
            {
                types! { struct State { values: VecDeque<f64>, rows: VecDeque<[u8; 2]> } }
                saved(&State { values: VecDeque::from([0.5]), rows: VecDeque::from([[1, 2]]) })
            },
            {
                types! { struct State { values: Vec<f64>, rows: Vec<[u8; 2]>, #[serde(default)] new: u8 } }
                loads!(State { values: vec![0.5], rows: vec![[1, 2]], new: 0 })
            },
        ),
        (
            "long fixed arrays beside a change",
            {
                types! { struct State { one: [f64; 40], two: Box<[[u8; 50]; 2]>, rows: Vec<[i16; 33]>, old: Vec<[i8; 64]> } }
                let rows = vec![[-1; 33]; 3];
                saved(&State { one: [0.5; 40], two: Box::new([[1; 50], [2; 50]]), rows, old: vec![[1; 64]] })
            },
            {
                types! { struct State { one: [f64; 40], two: Box<[[u8; 50]; 2]>, rows: Vec<[i16; 33]> } }
                loads!(State { one: [0.5; 40], two: Box::new([[1; 50], [2; 50]]), rows: vec![[-1; 33]; 3] })
            },
        ),
        (
            "long fixed arrays of wider numbers, and to lists",
            {
                types! { struct State { one: [f32; 40], two: [[u8; 50]; 2], rows: Vec<[i16; 33]> } }
                saved(&State { one: [0.5; 40], two: [[1; 50], [2; 50]], rows: vec![[-1; 33]; 3] })
            },
            {
                types! { struct State { one: [f64; 40], two: Vec<Vec<u8>>, rows: Vec<VecDeque<i32>> } }
                loads!(State {
                    one: [0.5; 40],
                    two: vec![vec![1; 50], vec![2; 50]],
                    rows: vec![VecDeque::from([-1; 33]); 3]
                })
            },
        ),
        (
            "lists to long fixed arrays",
            {
                types! { struct State { one: Vec<f64>, rows: Vec<Vec<u8>> } }
                saved(&State { one: vec![0.5; 40], rows: vec![vec![1; 33]] })
            },
            {
                types! { struct State { one: [f64; 40], rows: Vec<[u8; 33]> } }
                loads!(State { one: [0.5; 40], rows: vec![[1; 33]] })
            },
        ),
        (
            "a long fixed array gets longer",
            {
                types! { struct State { one: [f64; 40] } }
                saved(&State { one: [0.5; 40] })
            },
            {
                types! { struct State { one: [f64; 41] } }
                refused::<State>("one: invalid length 40")
            },
        ),
        (
            "arrays of ndarray beside a change",
            {
                types! { struct State { grid: ndarray::Array2<f32>, old: ndarray::Array1<u8>, dynamic: ndarray::ArrayD<u8> } }
                saved(&State {
                    grid: ndarray::arr2(&[[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]]),
                    old: ndarray::arr1(&[1]),
                    dynamic: ndarray::arr2(&[[1, 2, 3]]).into_dyn(),
                })
            },
            {
                types! { struct State { grid: ndarray::Array2<f64>, dynamic: ndarray::ArrayD<u8> } }
                loads!(State {
                    grid: ndarray::arr2(&[[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]]),
                    dynamic: ndarray::arr2(&[[1, 2, 3]]).into_dyn(),
                })
            },
        ),
        (
            "an array of ndarray gets another number of dimensions",
            saved(&ndarray::arr1(&[1_u8, 2])),
            refused::<ndarray::Array2<u8>>("dim: "),
        ),
    ]);
}

#[test]
fn the_report_of_a_load_lists_each_difference() {
    let saved = {
        types! { struct Part { mass: f32 } struct State { step: u64, parts: Vec<Part>, old: Vec<u8> } }
        saved(&State { step: 7, parts: vec![Part { mass: 0.5 }], old: vec![1] })
    };
    types! {
        struct Part { mass: f64 }
        struct State { parts: Vec<Part>, step: u64, #[serde(default)] new: u8 }
    }
    let expected = || State { step: 7, parts: vec![Part { mass: 0.5 }], new: 0 };
    let mut checkpoints = Checkpointer::<State>::open(saved.directory.path()).unwrap();
    let mut state = State { step: 0, parts: vec![], new: 9 };
    assert!(checkpoints.load_into(&mut state).unwrap());
    assert_eq!(state, expected());
    let differences = &checkpoints.last_load().unwrap().differences;
    let found: Vec<_> =
        differences.iter().map(|difference| (difference.path.as_str(), difference.kind)).collect();
    let expected_differences = [
        ("old", DifferenceKind::Extra),
        ("new", DifferenceKind::Missing),
        ("", DifferenceKind::Reordered),
        ("parts[].mass", DifferenceKind::Converted),
    ];
    assert_eq!(found, expected_differences);
    assert_eq!(differences[3].to_string(), "parts[].mass: f32 in the checkpoint, f64 in this program");

    // The next save has the new form, and loads without a report.
    checkpoints.save(&state).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(expected()));
    assert!(checkpoints.last_load().unwrap().differences.is_empty());
    assert_eq!(checkpoints.load_generation(1).unwrap(), expected());
    assert_eq!(checkpoints.last_load().unwrap().differences.len(), 4);
}

#[test]
fn a_change_that_cannot_be_followed_is_an_error_that_says_all() {
    let saved = {
        types! { struct State { step: u64, parts: Vec<(u8, f64)> } }
        saved(&State { step: 7, parts: vec![(1, 0.5), (2, 0.1)] })
    };
    types! { struct State { step: u64, parts: Vec<(u8, f32)> } }
    let error =
        CheckpointReader::<State>::open(saved.directory.path()).unwrap().load().unwrap_err().to_string();
    for part in [
        "00000000000000000001.ckpt was saved from a different `State`",
        "parts[1].1: 0.1 cannot be an f32 without changing its value",
        "parts[].1: f64 in the checkpoint, f32 in this program",
        "#[serde(default)]",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_failure_that_the_type_passes_over_does_not_load() {
    /// Reads anything but a number as zero.
    #[derive(Debug, PartialEq, serde::Serialize)]
    struct Lenient(u8);

    impl<'de> serde::Deserialize<'de> for Lenient {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Lenient, D::Error> {
            Ok(Lenient(u8::deserialize(deserializer).unwrap_or(0)))
        }
    }
    let saved = {
        types! { struct State { codes: VecDeque<u16>, step: u64 } }
        saved(&State { codes: VecDeque::from([1, 2, 3]), step: 7 })
    };
    types! { struct State { codes: Lenient, step: u64 } }
    // The rest of the sequence would be read as the step.
    let why = saved.load::<State>().unwrap_err();
    assert!(why.starts_with("codes: invalid type: sequence, expected u8"), "{why}");
}

#[test]
fn the_variables_of_a_scope_change_like_a_state() {
    let directory = tempfile::tempdir().unwrap();
    {
        types! { struct Variables { i: u32, field: Vec<f64>, old: Vec<u8> } }
        let mut scopes = Scopes::open(directory.path()).unwrap();
        let mut scope = scopes.enter::<Variables>("solve").unwrap();
        scope.save(&Variables { i: 7, field: vec![0.5], old: vec![1] }).unwrap();
    }
    types! { struct Variables { field: Vec<f64>, i: u64 } }
    let mut scopes = Scopes::open(directory.path()).unwrap();
    assert!(scopes.restore().unwrap());
    let mut scope = scopes.enter::<Variables>("solve").unwrap();
    assert_eq!(scope.restored(), Some(Variables { field: vec![0.5], i: 7 }));
}
