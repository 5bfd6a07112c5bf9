use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::*;
use crate::container::Source;
use crate::store::{Claim, Claiming, Directory, Home, RealDisk};
use crate::{Checkpointer, Protection};

/// A directory that notes the bytes that are read of its files.
#[derive(Clone, Debug)]
struct Noting {
    directory: Directory,
    read: Arc<Mutex<Vec<Range<u64>>>>,
}

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

impl Noting {
    fn at(path: &Path) -> Noting {
        let directory = Directory::new(path, Arc::new(RealDisk::default()));
        Noting { directory, read: Arc::default() }
    }

    /// The bytes that were read since the last call.
    fn taken(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.read.lock().unwrap())
    }
}

impl Home for Noting {
    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn location(&self, generation: u64) -> PathBuf {
        self.directory.location(generation)
    }

    fn check(&self) -> Result<(), Error> {
        self.directory.check()
    }

    fn generations(&self) -> Result<Vec<u64>, Error> {
        self.directory.generations()
    }

    fn set_aside(&self) -> Result<Vec<u64>, Error> {
        self.directory.set_aside()
    }

    fn has(&self, generation: u64) -> bool {
        self.directory.has(generation)
    }

    fn open(&self, generation: u64) -> std::io::Result<Box<dyn Source>> {
        let source = self.directory.open(generation)?;
        Ok(Box::new(NotingSource { source, read: Arc::clone(&self.read) }))
    }

    fn pin(&self, generation: u64) -> Result<(), Error> {
        self.directory.pin(generation)
    }

    fn unpin(&self, generation: u64) -> Result<(), Error> {
        self.directory.unpin(generation)
    }

    fn pinned(&self, generations: &[u64]) -> BTreeSet<u64> {
        self.directory.pinned(generations)
    }

    fn claim(&self, claiming: &Claiming) -> Result<Box<dyn Claim>, Error> {
        self.directory.claim(claiming)
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
    let home = Noting::at(&path);
    let mut reader = CheckpointReader::<State>::open_in(home.clone()).unwrap();
    // The place of the array, from the whole file.
    let container = reader.container(1).unwrap();
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
fn damage_elsewhere_is_not_seen_and_damage_inside_is_passed_over() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::open(&path).unwrap();
    checkpoints.save(&state(4, 1000)).unwrap();
    let mut newer = state(4, 1000);
    newer.1[2].fill(0.5);
    checkpoints.save(&newer).unwrap();
    let mut reader = CheckpointReader::<State>::open(&path).unwrap();
    let container = reader.container(2).unwrap();
    let (array, length) = (container.extent(2), container.length());
    let rest = container.extent(container.state_number()).start;
    let file = reader.home.location(2);
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
