use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::*;
use crate::container::Source;
use crate::store::scripted::{Script, Scripted};
use crate::{Checkpointer, Protection};

/// The bytes of the files of a directory that are read.
#[derive(Default)]
struct Reads(Arc<Mutex<Vec<Range<u64>>>>);

struct NotingSource {
    source: Box<dyn Source>,
    read: Arc<Mutex<Vec<Range<u64>>>>,
}

impl Source for NotingSource {
    fn length(&self) -> u64 {
        self.source.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.read.lock().unwrap().push(offset..offset + buffer.len() as u64);
        self.source.read_exact_at(buffer, offset)
    }
}

impl Script for Reads {
    fn opened(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        Box::new(NotingSource { source, read: Arc::clone(&self.0) })
    }
}

impl Reads {
    /// The bytes that were read since the last call.
    fn taken(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// The number of elements of an array of 1 MiB.
const MIB: usize = (1 << 20) / size_of::<f64>();

type State = (u64, Vec<Vec<f64>>);

fn state(arrays: u32, length: usize) -> State {
    (7, (0..arrays).map(|array| vec![f64::from(array); length]).collect())
}

#[test]
fn a_field_is_read_without_the_other_arrays() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    Checkpointer::open(&path).unwrap().save(&state(16, MIB)).unwrap();
    let home = Scripted::new(&path, Reads::default());
    let mut reader = CheckpointReader::<State>::open_in(home.clone()).unwrap();
    // The place of the array, from the whole file.
    let container = reader.reader.container(1).unwrap();
    let array = container.extent(9);
    let rest = container.extent(container.state_number()).start;
    home.taken();

    let field = reader.load_field::<Vec<f64>>("1/9").unwrap().unwrap();
    assert!(field == vec![9.0; MIB]);
    let read = home.taken();
    let is_within = |read: &Range<u64>, of: &Range<u64>| of.start <= read.start && read.end <= of.end;
    for read in &read {
        assert!(is_within(read, &array) || rest <= read.start, "{read:?}: {array:?}, {rest}");
    }
    let bytes: u64 = read.iter().map(|read| read.end - read.start).sum();
    assert!(bytes < (1 << 20) + (32 << 10), "{bytes}");
    assert!(read.len() <= 12, "{read:?}");

    // A number takes no array at all.
    assert_eq!(reader.load_field::<u64>("0").unwrap(), Some(7));
    assert!(home.taken().iter().all(|read| rest <= read.start));
}

#[test]
fn damage_elsewhere_is_not_seen_that_inside_is_passed_over() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::open(&path).unwrap();
    checkpoints.save(&state(4, 1000)).unwrap();
    let mut newer = state(4, 1000);
    newer.1[2].fill(0.5);
    checkpoints.save(&newer).unwrap();
    let mut reader = CheckpointReader::<State>::open(&path).unwrap();
    let container = reader.reader.container(2).unwrap();
    let (array, length) = (container.extent(2), container.length());
    let rest = container.extent(container.state_number()).start;
    let file = reader.reader.home.location(2);
    let whole = fs::read(&file).unwrap();
    // Some bytes of each part are damaged in turn.
    let places = (0..length).filter(|place| place % 211 == 0 || *place >= rest && place % 17 == 0);
    for place in places {
        let mut bytes = whole.clone();
        bytes[usize::try_from(place).unwrap()] ^= 4;
        fs::write(&file, bytes).unwrap();
        let field = reader.load_field::<Vec<f64>>("1/2").unwrap().unwrap();
        let is_read = array.contains(&place) || rest <= place;
        let expected = if is_read { 2.0 } else { 0.5 };
        assert!(field == vec![expected; 1000], "byte {place}");
        let alone = reader.load_generation_field::<Vec<f64>>(2, "1/2");
        assert_eq!(alone.is_err(), is_read, "byte {place}");
    }
    for length in [0, 3, 100, whole.len() - 1] {
        fs::write(&file, &whole[..length]).unwrap();
        let field = reader.load_field::<Vec<f64>>("1/2").unwrap().unwrap();
        assert!(field == vec![2.0; 1000], "{length} bytes");
    }
}

#[test]
fn a_path_in_messages_continues_that_of_the_field() {
    for (field, inside, expected) in [
        ("", "", ""),
        ("a/b", "", "a/b"),
        ("", "x[].y", "x[].y"),
        ("/a/b/", "x", "a/b.x"),
        ("a", "[].y", "a[].y"),
        ("a", "::One", "a::One"),
    ] {
        assert_eq!(joined(field, inside), expected);
    }
}

#[test]
fn keys_are_needed_for_a_field_as_for_a_load() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let with = |byte| Protection::new().authenticate(crate::Key::from_bytes([byte; 32]));
    let mut checkpoints = Checkpointer::builder(&path).protection(with(1)).open().unwrap();
    checkpoints.save(&state(2, 1000)).unwrap();
    let open = |protection| CheckpointReader::<State>::builder(&path).protection(protection).open().unwrap();
    assert!(open(with(1)).load_field::<Vec<f64>>("1/1").unwrap() == Some(vec![1.0; 1000]));
    let refused = open(with(2)).load_field::<Vec<f64>>("1/1").unwrap_err();
    assert!(matches!(refused, Error::NotAuthentic { .. }), "{refused}");
    let old = open(with(1).at_least(2)).load_field::<Vec<f64>>("1/1").unwrap_err();
    assert!(matches!(old, Error::TooOld { .. }), "{old}");
}

#[test]
fn a_field_comes_from_the_generation_that_a_branch_chose() {
    let parent = tempfile::tempdir().unwrap();
    let (origin, path) = (parent.path().join("run.ckpt"), parent.path().join("branch.ckpt"));
    let mut other = Checkpointer::<(u64, u8)>::builder(&origin).keep_last(9).open().unwrap();
    for step in 1..=4 {
        other.save(&(step, 0)).unwrap();
    }
    let builder = Checkpointer::<(u64, u8)>::builder(&path).branch_from(&origin).at(2);
    let mut checkpoints = builder.open().unwrap();
    assert_eq!(checkpoints.load_field::<u64>("0").unwrap(), Some(2));
    assert_eq!(checkpoints.load().unwrap(), Some((2, 0)));
    assert_eq!(checkpoints.load_generation_field::<u64>(2, "0").unwrap(), 2);
    fs::remove_file(origin.join(format!("{:020}.ckpt", 2))).unwrap();
    assert!(matches!(checkpoints.load_field::<u64>("0"), Err(Error::NoSuchGeneration { .. })));
    drop(checkpoints);

    let builder = Checkpointer::<(u64, u8)>::builder(parent.path().join("newest.ckpt"));
    let mut checkpoints = builder.branch_from(&origin).open().unwrap();
    assert_eq!(checkpoints.load_generation_field::<u64>(3, "0").unwrap(), 3);
    checkpoints.save(&(9, 0)).unwrap();
    assert!(checkpoints.load_generation_field::<u64>(3, "0").is_err());
}

/// Saves a state, and opens a reader of it.
fn reader<T: Checkpoint>(path: &Path, state: &T) -> CheckpointReader<()> {
    Checkpointer::<T>::open(path).unwrap().save(state).unwrap();
    CheckpointReader::open(path).unwrap()
}

#[test]
fn a_key_is_found_as_it_is_shown_before_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let keys = ["a%2Fb", "a/b", "é"].map(str::to_owned);
    let map: BTreeMap<String, u64> = keys.into_iter().zip(1..).collect();
    let mut reader = reader(directory.path(), &map);
    let mut load = |path: &str| reader.load_field::<u64>(path).unwrap().unwrap();
    assert_eq!((load("a%252Fb"), load("a%2Fb"), load("é"), load("%C3%A9")), (1, 2, 3, 3));
}

#[test]
fn a_path_of_two_keys_is_an_error_and_no_value() {
    let directory = tempfile::tempdir().unwrap();
    let long = "x".repeat(300);
    let map: BTreeMap<(String, u8), u64> =
        [((long.clone(), 1), 1), ((long, 2), 2), (("short".to_owned(), 3), 3)].into();
    let mut reader = reader(directory.path(), &map);
    let file = crate::inspect::newest(directory.path(), &Protection::new(), 0).unwrap().unwrap();
    let members = file.root().value().unwrap().members().unwrap();
    let steps: Vec<String> = members.map(|member| member.unwrap().label.step()).collect();
    assert_eq!(steps.iter().collect::<BTreeSet<_>>().len(), 2, "{steps:?}");
    assert_eq!(reader.load_field::<u64>("(short, 3)").unwrap(), Some(3));
    let cut = steps.iter().find(|step| step.starts_with("(x")).unwrap();
    let error = reader.load_field::<u64>(cut).unwrap_err();
    assert!(matches!(error, Error::AmbiguousField { .. }), "{error}");

    let pairs = [(("a, b", "c"), 1), (("a", "b, c"), 2)];
    let pairs = pairs.map(|((one, two), value)| ((one.to_owned(), two.to_owned()), value));
    let directory = tempfile::tempdir().unwrap();
    let mut reader = self::reader(directory.path(), &BTreeMap::<(String, String), u64>::from(pairs));
    let error = reader.load_field::<u64>("(a, b, c)").unwrap_err();
    assert!(matches!(error, Error::AmbiguousField { .. }), "{error}");
}

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Kelvins(f64);

#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Celsius(f64);

macro_rules! temperature {
    ($type:ty, $version:literal) => {
        impl Checkpoint for $type {
            const NAME: &'static str = "temperature";
            const VERSION: u32 = $version;

            fn schema(types: &mut crate::traits::Types) -> crate::schema::Type {
                f64::schema(types)
            }
        }
    };
}

temperature!(Kelvins, 1);
temperature!(Celsius, 2);

#[test]
fn a_whole_state_of_another_version_is_no_field() {
    let directory = tempfile::tempdir().unwrap();
    let mut reader = reader(directory.path(), &Kelvins(300.0));
    let error = reader.load_field::<Celsius>("").unwrap_err();
    assert!(matches!(error, Error::VersionUnknown { found: 1, expected: 2, .. }), "{error}");
    assert!(matches!(reader.load_field::<Celsius>("/"), Err(Error::VersionUnknown { .. })));
    assert_eq!(reader.load_field::<Kelvins>("").unwrap(), Some(Kelvins(300.0)));
}

#[test]
fn a_field_that_is_damaged_comes_back_from_the_mirror() {
    let parent = tempfile::tempdir().unwrap();
    let (path, far) = (parent.path().join("near.ckpt"), parent.path().join("far.ckpt"));
    let builder = Checkpointer::<u64>::builder(&path).mirror(crate::Mirror::to(&far));
    let mut checkpoints = builder.open().unwrap();
    for state in 1..=2 {
        checkpoints.save(&state).unwrap();
        checkpoints.wait_for_mirror(std::time::Duration::from_secs(600)).unwrap();
    }
    let file = path.join(format!("{:020}.ckpt", 2));
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert_eq!(checkpoints.load_field::<u64>("").unwrap(), Some(2));
}
