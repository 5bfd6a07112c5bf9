//! `save_while` and `save_if_due_while`: the state itself is saved by another thread, while the
//! program only reads it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;

use crate::common::{must_end, without_threads};
use checkpointed::{
    Checkpointer, Error, Metadata, Plain, Schedule,
    reports::{Decision, Progress},
};
use serde::{Deserialize, Serialize, Serializer};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

#[test]
fn the_work_runs_while_the_state_is_written() {
    must_end(|| {
        let (_parent, path) = nowhere();
        let (write, may_write) = channel();
        let (tell, is_writing) = channel();
        let may_write = Mutex::new(may_write);
        // The file goes on only once the work runs, and the work ends only once the file goes on.
        let watcher = move |progress: &Progress| {
            if matches!(progress, Progress::Writing { .. }) && may_write.lock().unwrap().recv().is_ok() {
                tell.send(thread::current().id()).unwrap();
            }
        };
        let mut checkpoints = Checkpointer::builder(&path).on_progress(watcher).open().unwrap();
        let state = vec![7_u8; 9 << 20];
        let work = || {
            write.send(()).unwrap();
            drop(write);
            is_writing.recv().unwrap()
        };
        let (saved, saver) = checkpoints.save_while(&state, work).unwrap();
        assert_ne!(saver, thread::current().id());
        assert_eq!(saved.generation, 1);
        assert!(saved.stall <= saved.duration, "{saved:?}");
        assert_eq!(checkpoints.load().unwrap().as_ref(), Some(&state));
    });
}

#[test]
fn the_saved_state_is_the_one_before_the_work() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Vec<f64>>::open(&path).unwrap();
    let mut field = vec![1.0; 10_000];
    for generation in 1..=5 {
        let doubled = || field.iter().map(|value| value * 2.0).collect::<Vec<f64>>();
        let (saved, next) =
            checkpoints.save_while_with(&field, Metadata::new().with("step", generation), doubled).unwrap();
        assert_eq!(saved.generation, generation);
        assert_eq!(checkpoints.load().unwrap().as_ref(), Some(&field));
        let manifest = checkpoints.manifest(generation).unwrap();
        assert_eq!(manifest.metadata().get("step"), Some(&generation.into()));
        field = next;
    }
}

#[test]
fn work_that_panics_leaves_a_durable_save() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| checkpoints.save_while(&1, || panic!("of the work"))));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"of the work"));
    assert_eq!(checkpoints.load().unwrap(), Some(1));
    assert_eq!(checkpoints.save_while(&2, || 20).unwrap().1, 20);
    assert_eq!(checkpoints.load().unwrap(), Some(2));
}

#[test]
fn a_state_that_panics_ends_neither_its_work_nor_the_next_save() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Plain<Bad>>::open(&path).unwrap();
    let mut worked = false;
    let bad = Plain(Bad(true));
    let panic = catch_unwind(AssertUnwindSafe(|| checkpoints.save_while(&bad, || worked = true)));
    assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"of the state"));
    assert!(worked);
    assert!(checkpoints.generations().unwrap().is_empty());
    checkpoints.save_while(&Plain(Bad(false)), || ()).unwrap();
    assert!(!checkpoints.load().unwrap().unwrap().0.0);
}

#[derive(Deserialize)]
struct Bad(bool);

impl Serialize for Bad {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.0, "of the state");
        serializer.serialize_newtype_struct("Bad", &self.0)
    }
}

#[test]
fn a_save_that_fails_beside_work_is_an_error_after_it() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.save(&1).unwrap();
    let away = path.with_extension("away");
    let mut value = 0;
    checkpoints.save_while(&2, || value = 20).unwrap();
    std::fs::rename(&path, &away).unwrap();
    let failed = checkpoints.save_while(&3, || value = 30);
    assert_eq!(value, 30);
    assert!(matches!(failed, Err(Error::DirectoryReplaced { .. } | Error::Io { .. })), "{failed:?}");
    std::fs::rename(&away, &path).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    checkpoints.save_while(&4, || value = 40).unwrap();
    assert_eq!((checkpoints.load().unwrap(), value), (Some(4), 40));
}

#[test]
fn each_call_is_one_step_of_the_schedule() {
    let (_parent, path) = nowhere();
    let schedule = Schedule::every_steps(3);
    let mut checkpoints = Checkpointer::<u64>::builder(&path).schedule(schedule).open().unwrap();
    let mut saved = Vec::new();
    for step in 1..=10_u64 {
        let (decision, next) = checkpoints.save_if_due_while(&step, || step + 1).unwrap();
        assert_eq!(next, step + 1);
        match decision {
            Decision::Saved { .. } => saved.push(step),
            other => assert!(matches!(other, Decision::NotDue), "{other:?}"),
        }
    }
    assert_eq!(saved, [3, 6, 9]);
    assert_eq!(checkpoints.load().unwrap(), Some(9));
}

#[test]
fn without_threads_the_state_is_saved_before_the_work() {
    without_threads("without_threads_the_state_is_saved_before_the_work", |path| {
        let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
        let (saved, value) = checkpoints.save_while(&7, || 70).unwrap();
        assert_eq!((saved.generation, value), (1, 70));
        assert_eq!(checkpoints.load().unwrap(), Some(7));
    });
}
