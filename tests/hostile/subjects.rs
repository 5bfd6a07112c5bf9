//! The types that forged checkpoints are read as. Neighbours are mostly one type before and after a
//! change.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use checkpointed::__private::{InMemory, Numbers, forged};
use checkpointed::{Checkpoint, Error, Plain, checkpointed, schema::Schema};
use serde::{Deserialize, Serialize};

use super::forge;

/// Declares types of the program.
macro_rules! own {
    ($($item:item)*) => {$(
        #[checkpointed]
        #[derive(Debug)]
        $item
    )*};
}

/// Declares types of another crate.
macro_rules! foreign {
    ($($item:item)*) => {$(
        #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        $item
    )*};
}

foreign! {
    struct Generator { s: [u64; 4], step: u8 }
    struct Other { s: [u64; 4], step: u8 }
    enum Weekday { Monday, Tuesday(u8), Wednesday { hour: i8 } }
    struct Feet(u32);
    struct Metres(u32);
    struct Marker;
}

own! {
    struct Flat { a: u8, b: u16, c: u32, d: u64, e: i8, f: i64 }
    struct Signed { a: i128, b: u128, c: i16, d: i32, e: bool, f: () }
    struct Floats { x: f32, y: f64, z: Option<f64> }
    struct Texts { a: String, b: char, c: Option<String>, d: bool }
    struct Nested { inner: Flat, list: Vec<Flat>, last: Option<Box<Flat>> }
    struct Maps { m: BTreeMap<String, u32>, n: BTreeMap<u16, Vec<String>>, o: BTreeMap<(u8, bool), ()> }
    enum Phase { Idle, Warm(f64), Pair(u8, String), Run { step: u64, label: String } }
    struct List { value: u64, next: Option<Box<List>> }
    struct Tree { children: Vec<Tree>, value: f32, name: String }
    struct Before { inner: Option<Box<Before>>, behind: String }
    enum Expression { Number(i64), Sum(Box<Expression>, Box<Expression>), Call { name: String, of: Vec<Expression> } }
    struct Newtype(u64);
    struct Twice(Newtype);
    struct Point(f64, f64);
    struct Pair<T> { first: T, second: T }
    struct Arrays { v: Vec<f64>, w: Vec<u8>, r: Vec<[f32; 3]>, s: Vec<i64>, t: Vec<bool> }
    struct Deep { layers: BTreeMap<String, Vec<f64>>, cells: Vec<Vec<u16>>, maybe: Option<Vec<u128>> }
    struct FixedArrays { short: [u8; 4], long: [f64; 40], grid: [[u8; 33]; 2], rows: Vec<[i16; 33]>, boxed: Box<[u32; 64]> }
    struct Empty {}
    struct Nothing;
    struct ManyEmpty { a: Vec<()>, b: Vec<Nothing>, c: [Empty; 3], d: Vec<Vec<()>> }
    struct Queues { a: VecDeque<i32>, b: BTreeSet<u32>, c: Box<[u16]>, d: VecDeque<String> }
    struct Holder { generator: Generator, all: Vec<(u16, Weekday)>, feet: Feet, range: Range<u32>, mark: Marker }
    struct Text { #[serde(with = "checkpointed::json")] inner: BTreeMap<String, u8>, after: u8 }
    #[serde(transparent)] struct Transparent { inner: Vec<u32> }
    #[serde(rename_all = "UPPERCASE")] enum Shouted { First, #[serde(rename = "2nd")] Second(u8) }
    struct Meter { kelvin: f64 }
    struct Wide { a: (u8, (u16, String), [u8; 2]), b: Option<Option<u8>>, c: Vec<Option<bool>>, d: [Option<char>; 2] }
}

/// Later versions of the types above, under their names.
mod later {
    use super::*;

    own! {
        #[serde(default)] #[derive(Default)] struct Flat { f: i128, a: u16, b: Option<u32>, c: u64, new: String }
        struct Floats { z: Option<f32>, x: f64, y: f64 }
        struct Texts { a: Vec<String>, b: String, c: Option<String>, #[serde(alias = "d")] flag: bool }
        struct Nested { inner: Option<Flat>, list: VecDeque<Flat> }
        struct Maps { m: BTreeMap<String, u64>, n: BTreeMap<u32, VecDeque<String>>, #[serde(default)] p: u8 }
        enum Phase { Cold, Warm(f64), #[serde(alias = "Pair")] Two(u16, String), Run { step: i64, #[serde(default)] note: u8 } }
        struct List { next: Option<Box<List>>, value: u32, #[serde(default)] more: Vec<f64> }
        struct Tree { value: f64, children: VecDeque<Tree> }
        enum Expression { Call { of: Vec<Expression>, name: String }, Number(i32), Sum(Box<(Expression, Expression)>) }
        struct Point { x: f64, y: f64 }
        struct Arrays { v: Vec<f32>, w: Vec<u64>, r: Vec<Vec<f64>>, t: (bool, bool) }
        struct Deep { layers: BTreeMap<String, VecDeque<f64>>, cells: Vec<[u16; 2]>, maybe: Vec<u64> }
        struct FixedArrays { long: Vec<f64>, grid: [[u16; 33]; 2], rows: Vec<Vec<i64>>, short: (u8, u8, u8, u8) }
        struct Queues { a: Vec<i64>, b: BTreeSet<u64>, d: BTreeSet<String> }
        struct Holder { #[checkpointed(was_type = "Generator")] generator: Other, feet: Metres, range: RangeInclusive<u32> }
        struct Wide { a: Vec<u8>, b: Option<u8>, c: Vec<bool>, d: Vec<Option<String>> }
    }

    #[checkpointed(was_type = "Newtype")]
    #[derive(Debug)]
    struct Counter(u32);

    #[checkpointed(name = "Meter", version = 2, migrate(from = 1, with = Meter::in_celsius))]
    #[derive(Debug)]
    struct Meter {
        celsius: f64,
    }

    impl Meter {
        #[allow(clippy::needless_pass_by_value, reason = "a migration takes the older value")]
        fn in_celsius(old: super::Meter) -> Result<Meter, String> {
            if old.kelvin.is_nan() {
                Err("no number".to_owned())
            } else {
                Ok(Meter { celsius: old.kelvin - 273.15 })
            }
        }
    }

    pub(super) fn subjects() -> Vec<(&'static str, Vec<Subject>)> {
        vec![
            ("Flat", vec![of::<Flat>("later::Flat")]),
            ("Floats", vec![of::<Floats>("later::Floats")]),
            ("Texts", vec![of::<Texts>("later::Texts")]),
            ("Nested", vec![of::<Nested>("later::Nested")]),
            ("Maps", vec![of::<Maps>("later::Maps")]),
            ("Phase", vec![of::<Phase>("later::Phase")]),
            ("List", vec![of::<List>("later::List")]),
            ("Tree", vec![of::<Tree>("later::Tree")]),
            ("Expression", vec![of::<Expression>("later::Expression")]),
            ("Newtype", vec![of::<Counter>("later::Counter")]),
            ("Point", vec![of::<Point>("later::Point")]),
            ("Arrays", vec![of::<Arrays>("later::Arrays")]),
            ("Deep", vec![of::<Deep>("later::Deep")]),
            ("FixedArrays", vec![of::<FixedArrays>("later::FixedArrays")]),
            ("Queues", vec![of::<Queues>("later::Queues")]),
            ("Holder", vec![of::<Holder>("later::Holder")]),
            ("Meter", vec![of::<Meter>("later::Meter")]),
            ("Wide", vec![of::<Wide>("later::Wide")]),
        ]
    }
}

/// A type, and all operations on a checkpoint of it.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) schema: Schema,
    /// True if every value of the schema is a value of the type.
    pub(crate) takes_all: bool,
    read: Box<Read>,
    forge: Forge,
}

type Forge = fn(Schema, &[Numbers], &[u8]) -> Result<Vec<u8>, String>;
type Read = dyn Fn(&[u8]) -> Result<(), Error> + Send + Sync;

impl Subject {
    /// A checkpoint that claims to have this schema; `None` if it cannot be written.
    pub(crate) fn forged(&self, schema: Schema, arrays: &[Numbers], state: &[u8]) -> Option<Vec<u8>> {
        (self.forge)(schema, arrays, state).ok()
    }

    /// Loads a checkpoint. A loaded value must save, load again unchanged, and save as the same
    /// bytes.
    pub(crate) fn read(&self, file: &[u8]) -> Result<(), Error> {
        (self.read)(file)
    }
}

fn of<T: Checkpoint + Debug>(name: &'static str) -> Subject {
    let program = InMemory::of::<T>();
    let read = move |file: &[u8]| {
        let state = program.decode::<T>(file)?;
        let saved = program.encode(&state).unwrap_or_else(|error| panic!("{name} loads, but: {error}"));
        let again = program.decode::<T>(&saved);
        let again = again.unwrap_or_else(|error| panic!("{name} was saved, but: {error}"));
        assert_eq!(format!("{state:?}"), format!("{again:?}"), "{name} is another state when it loads");
        let once_more = program.encode(&again).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(parts(&saved) == parts(&once_more), "{name} has other bytes when it is saved again");
        Ok(())
    };
    Subject { name, schema: Schema::of::<T>(), takes_all: true, read: Box::new(read), forge: forged::<T> }
}

/// A type that refuses some values of its schema.
fn some<T: Checkpoint + Debug>(name: &'static str) -> Subject {
    Subject { takes_all: false, ..of::<T>(name) }
}

/// The bytes of a file without its manifest, which holds the time.
fn parts(file: &[u8]) -> &[u8] {
    let manifest = forge::entries(file).pop().unwrap();
    &file[..manifest.local]
}

/// All subjects, each followed by its later versions.
pub(crate) fn subjects() -> Vec<Subject> {
    let first = vec![
        of::<Flat>("Flat"),
        of::<Signed>("Signed"),
        of::<Floats>("Floats"),
        of::<Texts>("Texts"),
        of::<Nested>("Nested"),
        of::<Maps>("Maps"),
        of::<Phase>("Phase"),
        of::<List>("List"),
        of::<Tree>("Tree"),
        of::<Before>("Before"),
        of::<Expression>("Expression"),
        of::<Newtype>("Newtype"),
        of::<Twice>("Twice"),
        of::<Point>("Point"),
        of::<Pair<u8>>("Pair<u8>"),
        of::<Pair<Option<String>>>("Pair<Option<String>>"),
        of::<Arrays>("Arrays"),
        of::<Deep>("Deep"),
        of::<FixedArrays>("FixedArrays"),
        of::<Empty>("Empty"),
        of::<Nothing>("Nothing"),
        of::<ManyEmpty>("ManyEmpty"),
        of::<Queues>("Queues"),
        of::<Holder>("Holder"),
        some::<Text>("Text"),
        of::<Transparent>("Transparent"),
        of::<Shouted>("Shouted"),
        of::<Meter>("Meter"),
        of::<Wide>("Wide"),
        of::<Plain<Generator>>("Plain<Generator>"),
        of::<Plain<Other>>("Plain<Other>"),
        of::<Plain<Vec<Weekday>>>("Plain<Vec<Weekday>>"),
        of::<Plain<BTreeMap<Weekday, Feet>>>("Plain<BTreeMap<Weekday, Feet>>"),
        some::<Plain<(Duration, u8)>>("Plain<(Duration, u8)>"),
        of::<Plain<Result<u8, String>>>("Plain<Result<u8, String>>"),
        of::<u64>("u64"),
        of::<i16>("i16"),
        of::<f64>("f64"),
        of::<String>("String"),
        of::<Vec<f64>>("Vec<f64>"),
        of::<Vec<Vec<u64>>>("Vec<Vec<u64>>"),
        of::<(u8, String, [i32; 3])>("(u8, String, [i32; 3])"),
        of::<BTreeMap<String, Vec<f32>>>("BTreeMap<String, Vec<f32>>"),
        of::<Option<Vec<u8>>>("Option<Vec<u8>>"),
    ];
    let mut later: BTreeMap<&str, Vec<Subject>> = later::subjects().into_iter().collect();
    let mut all = Vec::new();
    for subject in first {
        let newer = later.remove(subject.name);
        all.push(subject);
        all.extend(newer.into_iter().flatten());
    }
    assert!(later.is_empty(), "later versions of what is not there");
    all
}
