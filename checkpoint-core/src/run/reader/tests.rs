use std::cell::RefCell;
use std::fs;

use serde::{Deserialize, Deserializer, Serialize};

use crate::state::Plain;
use crate::{CheckpointReader, Checkpointer, Error, ReadBack};

thread_local! {
    /// What happens while the next state is decoded.
    static MEANWHILE: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// A value that is decoded before the array behind it is read.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct First;

impl<'de> Deserialize<'de> for First {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<First, D::Error> {
        <()>::deserialize(deserializer)?;
        MEANWHILE.take().into_iter().for_each(|meanwhile| meanwhile());
        Ok(First)
    }
}

#[test]
fn a_file_that_is_written_over_while_it_is_read_is_no_damage() {
    type State = (Plain<First>, Vec<u64>);
    let parent = tempfile::tempdir().unwrap();
    let (path, other) = (parent.path().join("run.ckpt"), parent.path().join("other.ckpt"));
    let name = |number: u64| format!("{number:020}.ckpt");
    let mut saved =
        Checkpointer::<State>::builder(&other).keep_last(9).read_back(ReadBack::Never).open().unwrap();
    for number in 1..=2 {
        saved.save(&(Plain(First), vec![number; 100_000])).unwrap();
    }
    // A save beside a reader whose lock did not count does this.
    let overwrite = |number: u64| {
        let (old, new, next) = (path.join(name(number)), path.join(name(2)), other.join(name(2)));
        let retired = path.join("retired");
        Box::new(move || {
            let length = fs::read(&old).unwrap().len();
            fs::write(&old, vec![0; length]).unwrap();
            fs::rename(&old, retired).unwrap();
            fs::copy(next, new).unwrap();
        })
    };
    let mut reader = CheckpointReader::<State>::open(&path).unwrap();
    for by_number in [false, true] {
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        fs::copy(other.join(name(1)), path.join(name(1))).unwrap();
        MEANWHILE.set(Some(overwrite(1)));
        if by_number {
            let error = reader.load_generation(1).unwrap_err();
            assert!(matches!(error, Error::NoSuchGeneration { .. }), "{error:?}");
        } else {
            assert_eq!(reader.load().unwrap().unwrap().1, [2; 100_000]);
            assert!(reader.last_load().unwrap().skipped.is_empty());
        }
        assert!(MEANWHILE.take().is_none());
    }
}
