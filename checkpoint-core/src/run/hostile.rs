//! Attacks: files that are consistent in themselves, with every checksum right, and yet not written
//! by the program; and other users of the file system.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::arrays::ArraySink;
use crate::base::heard::warnings;
use crate::container::ContainerWriter;
use crate::run::in_memory::{Numbers, forged};
use crate::{Checkpoint, CheckpointReader, Checkpointer, Error, Plain, schema::Schema};

/// Loads a forged checkpoint: these bytes as the state of a `T`, and these numbers as its only
/// array.
fn loads<T: Checkpoint>(array: Vec<u64>, state: &[u8]) -> Result<Option<T>, Error> {
    let directory = tempfile::tempdir().unwrap();
    let bytes = forged::<T>(Schema::of::<T>(), &[Numbers::U64(array)], state).unwrap();
    fs::write(directory.path().join("00000000000000000001.ckpt"), bytes).unwrap();
    CheckpointReader::<T>::open(directory.path()).unwrap().load()
}

/// A reference to array 0.
fn reference(rows: u64) -> Vec<u8> {
    [u64::MAX, 0, rows].iter().flat_map(|number| number.to_le_bytes()).collect()
}

#[test]
fn the_forger_can_write_a_file_that_loads() {
    assert_eq!(loads::<Vec<u64>>(vec![7, 8], &reference(2)).unwrap(), Some(vec![7, 8]));
}

#[test]
fn numbers_are_never_taken_for_lengths_or_for_other_numbers() {
    for number in [u64::MAX, 1 << 46, 6 << 30, 2] {
        loads::<Vec<String>>(vec![number], &reference(1)).unwrap_err();
        loads::<Vec<Vec<()>>>(vec![number], &reference(1)).unwrap_err();
        loads::<Vec<Option<u64>>>(vec![number], &reference(1)).unwrap_err();
    }
    loads::<VecDeque<u8>>(vec![1 << 40, 2], &reference(2)).unwrap_err();
    loads::<VecDeque<u64>>(vec![1, 2], &reference(1)).unwrap_err();
    let whole = loads::<VecDeque<u64>>(vec![1, 2], &reference(2)).unwrap();
    assert_eq!(whole, Some(VecDeque::from([1, 2])));
}

#[test]
fn an_array_whose_name_means_something_elsewhere_is_not_written() {
    for name in
        ["../../etc/passwd.npy", "/etc/passwd.npy", "a//b.npy", "a/.npy", "\0.npy", "\x1b[2J.npy", "state"]
    {
        let mut container = ContainerWriter::new(std::io::sink());
        let written = container.put(name.to_owned(), crate::arrays::view(&&vec![1_u64]).unwrap());
        assert!(written.unwrap_err().to_string().contains("could not be read again"), "{name:?}");
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct List {
    value: u64,
    next: Option<Box<List>>,
}

fn list(length: u64) -> List {
    (0..length).fold(List::default(), |next, value| List { value, next: Some(Box::new(next)) })
}

#[test]
fn a_state_nested_too_deep_to_be_read_is_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Plain<List>>::open(directory.path()).unwrap();
    checkpoints.save(&Plain(list(1000))).unwrap();
    let error = checkpoints.save(&Plain(list(2500))).unwrap_err();
    assert!(error.to_string().contains("nested more than 2048 deep"), "{error}");
    assert_eq!(checkpoints.load().unwrap(), Some(Plain(list(1000))));
}

#[test]
fn a_type_with_too_deep_a_schema_is_refused_before_any_save() {
    type Four<T> = ((((T,),),),);
    type Sixteen<T> = Four<Four<Four<Four<T>>>>;
    type Deep = Sixteen<Sixteen<Sixteen<Sixteen<u64>>>>;
    let directory = tempfile::tempdir().unwrap();
    let fits = Checkpointer::<Sixteen<Sixteen<Sixteen<u64>>>>::open(directory.path().join("fits.ckpt"));
    let mut fits = fits.unwrap();
    fits.save(&Default::default()).unwrap();
    assert!(fits.load().unwrap().is_some());
    let error = Checkpointer::<Deep>::open(directory.path().join("deep.ckpt")).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    assert!(error.to_string().contains("nested too deep"), "{error}");
    assert!(!directory.path().join("deep.ckpt").exists());
}

#[test]
fn a_forged_depth_is_an_error_and_no_overflow_of_the_stack() {
    let state: Vec<u8> = std::iter::repeat_n([0, 0, 0, 0, 0, 0, 0, 0, 1], 1_000_000).flatten().collect();
    loads::<Plain<List>>(vec![1], &state).unwrap_err();
}

#[test]
fn arrays_that_refer_to_one_another_are_an_error() {
    #[derive(Default, Serialize, Deserialize)]
    struct Tree(BTreeMap<u16, Tree>);

    // Each array has eight entries in as many rows: the map in the next array, and seven empty
    // ones.
    let array = |number: u64, rows: u64| {
        let reference = [u64::MAX, number + 1, rows].map(u64::to_le_bytes);
        let first = [0, 0].into_iter().chain(reference.into_iter().flatten());
        let bytes: Vec<u8> = first.chain((1..8).flat_map(|key| [key, 0, 0, 0, 0, 0, 0, 0, 0, 0])).collect();
        let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
        let row = |row: &[u8]| [float(&row[..4]), float(&row[4..8]), float(&row[8..])];
        Numbers::Rows(bytes.chunks(12).map(row).collect())
    };
    for count in [20_000, 2] {
        let loaded = move || {
            let directory = tempfile::tempdir().unwrap();
            let mut arrays: Vec<Numbers> = (1..count).map(|number| array(number - 1, 8)).collect();
            // The last map is empty.
            arrays.extend([array(count - 1, 0), Numbers::Rows(Vec::new())]);
            let schema = Schema::of::<Plain<Tree>>();
            let state = reference(8);
            let bytes = forged::<Plain<Tree>>(schema, &arrays, &state).unwrap();
            fs::write(directory.path().join("00000000000000000001.ckpt"), bytes).unwrap();
            let loaded = CheckpointReader::<Plain<Tree>>::open(directory.path()).unwrap().load();
            loaded.map(drop).unwrap_err().to_string()
        };
        let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(loaded).unwrap();
        let error = thread.join().unwrap();
        assert!(error.contains("an array refers to another"), "{count} arrays: {error}");
    }
}

#[test]
fn bytes_that_were_written_as_a_sequence_are_read() {
    #[derive(Debug, PartialEq)]
    struct Blob(Vec<u8>);

    impl Serialize for Blob {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            self.0.serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Blob {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;

            impl serde::de::Visitor<'_> for Visitor {
                type Value = Blob;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("bytes")
                }

                fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                    Ok(Blob(bytes))
                }
            }

            deserializer.deserialize_byte_buf(Visitor)
        }
    }

    fn comes_back<T: Checkpoint + Debug + PartialEq>(state: &T) {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpointer::<T>::open(directory.path()).unwrap();
        checkpoints.save(state).unwrap();
        assert_eq!(checkpoints.load().unwrap().as_ref(), Some(state));
    }

    comes_back(&Plain(Blob((0..100).collect())));
    // There are more arrays than entries: the rest stays in the bytes of the state.
    comes_back(&Plain((0..300).map(|length| Blob(vec![7; length])).collect::<Vec<_>>()));
}

#[test]
fn another_programs_lock_on_the_newest_file_loses_no_work() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<u64>::open(directory.path()).unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.save(&2).unwrap();
    let held = File::open(directory.path().join("00000000000000000002.ckpt")).unwrap();
    held.lock().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
}

#[test]
fn a_file_that_others_can_reach_is_not_recycled() {
    let directory = tempfile::tempdir().unwrap();
    let file = |generation: u64| directory.path().join(format!("{generation:020}.ckpt"));
    let mut checkpoints = Checkpointer::<u64>::open(directory.path()).unwrap();
    checkpoints.save(&1).unwrap();
    fs::set_permissions(file(1), fs::Permissions::from_mode(0o666)).unwrap();
    for state in 2..=6 {
        checkpoints.save(&state).unwrap();
        assert_eq!(fs::metadata(file(state)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_users_own_file_named_as_the_lock_is_not_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let precious = directory.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    fs::create_dir(directory.path().join("run.ckpt")).unwrap();
    fs::hard_link(&precious, directory.path().join("run.ckpt/.lock")).unwrap();
    Checkpointer::<u64>::open(directory.path().join("run.ckpt")).unwrap().save(&1).unwrap();
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn a_state_that_swallows_the_error_of_an_array_is_not_saved() {
    let mut container = ContainerWriter::new(FullAfter(500));
    let array = vec![1_u64; 1000];
    container.put("a.npy".to_owned(), crate::arrays::view(&&array).unwrap()).unwrap_err();
    let manifest = {
        let directory = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpointer::<u64>::open(directory.path()).unwrap();
        checkpoints.save(&1).unwrap();
        checkpoints.manifest(1).unwrap()
    };
    container.finish(&[], manifest).unwrap_err();
}

/// A disk that is full once, and then has space again.
struct FullAfter(usize);

impl std::io::Write for FullAfter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self.0.checked_sub(bytes.len()) {
            Some(left) => self.0 = left,
            None => {
                self.0 = usize::MAX;
                return Err(std::io::ErrorKind::StorageFull.into());
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_directory_open_to_other_users_is_warned_of_without_a_key() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let open = || drop(Checkpointer::<u64>::open(&path).unwrap());
    assert_eq!(warnings(open), [""; 0], "one of our own");
    for (mode, who) in [(0o777, "everybody"), (0o1777, "everybody"), (0o775, "the group")] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let warned = warnings(open).concat();
        assert!(warned.contains(who) && warned.contains("run.ckpt"), "{mode:o}: {warned}");
        let protection = crate::Protection::new().authenticate(crate::Key::from_bytes([1; 32]));
        let protected = || {
            let builder = Checkpointer::<u64>::builder(&path).protection(protection);
            drop(builder.open().unwrap());
        };
        assert_eq!(warnings(protected), [""; 0], "{mode:o}");
    }
}

#[test]
fn a_new_directory_is_closed_to_others_whatever_the_umask() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("above/run.ckpt");
    drop(Checkpointer::<u64>::open(&path).unwrap());
    for made in [&path, path.parent().unwrap()] {
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o022, 0);
    }
}

#[test]
fn links_under_every_name_of_ours_lead_to_no_write_elsewhere() {
    let parent = tempfile::tempdir().unwrap();
    let victim = parent.path().join("victim");
    let names = [
        "history.jsonl",
        "history.1.jsonl",
        "halt",
        ".lock",
        "00000000000000000002.pin",
        "00000000000000000007.ckpt",
    ];
    for name in names {
        fs::write(&victim, "mine").unwrap();
        let path = parent.path().join(format!("{name}.of"));
        {
            let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(1).open().unwrap();
            for state in 0..3 {
                checkpoints.save(&state).unwrap();
            }
        }
        let _ = fs::remove_file(path.join(name));
        std::os::unix::fs::symlink(&victim, path.join(name)).unwrap();
        // Whether it continues or is refused: nothing is written through the link, and earlier
        // checkpoints exist.
        if let Ok(mut checkpoints) = Checkpointer::<u64>::builder(&path).keep_last(1).open() {
            let _ = checkpoints.save(&3);
            let _ = checkpoints.pin(checkpoints.generations().unwrap()[0]);
            let _ = crate::stop::request_halt(&path, "stop");
            let _ = checkpoints.finish(&4);
        }
        let newest = crate::inspect::Retention::newest(std::num::NonZeroUsize::MIN);
        let _ = crate::inspect::prune(&path, &crate::Protection::new(), Some(newest), false);
        assert_eq!(fs::read_to_string(&victim).unwrap(), "mine", "{name}");
        let loaded = CheckpointReader::<u64>::open(&path).unwrap().load();
        assert!(matches!(loaded, Ok(Some(2..=4))), "{name}: {loaded:?}");
    }
}
