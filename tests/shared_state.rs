//! Tests saves of a state that other threads share, and the futures of saves and stops.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use checkpointed::stop::{StopReason, request_halt};
use checkpointed::{Appended, Autosaver, CheckpointReader, Checkpointer, Error, Plain, Schedule};
use serde::{Deserialize, Serialize};

use crate::common::must_end;

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn often() -> Schedule {
    Schedule::every(Duration::from_millis(1))
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_thread_saves_a_shared_state_whole() {
    let (_parent, path) = nowhere();
    let checkpoints = Checkpointer::<(u64, u64)>::builder(&path).schedule(often()).open().unwrap();
    let state = Arc::new(Mutex::new((0, 0)));
    let saver = Autosaver::start(checkpoints, Arc::clone(&state)).unwrap();
    let mut reader = CheckpointReader::<(u64, u64)>::open(&path).unwrap();
    // Half a change is never saved.
    while saver.check().unwrap().is_none_or(|saved| saved.generation < 3) {
        let mut both = state.lock().unwrap();
        both.0 += 1;
        std::thread::yield_now();
        both.1 += 1;
        drop(both);
        std::thread::yield_now();
        if let Some((one, two)) = reader.load().unwrap() {
            assert_eq!(one, two);
        }
    }
    let last = *state.lock().unwrap();
    saver.finish().unwrap();
    assert_eq!(reader.load().unwrap(), Some(last));
}

#[test]
fn a_shared_state_is_saved_for_a_stop_and_at_the_end_once() {
    let (_parent, path) = nowhere();
    let checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    let state = Arc::new(RwLock::new(1));
    let saver = Autosaver::start(checkpoints, Arc::clone(&state)).unwrap();
    request_halt(&path, "enough").unwrap();
    let reason = loop {
        if let Some(reason) = saver.should_stop() {
            break reason;
        }
        std::thread::yield_now();
    };
    assert!(matches!(reason, StopReason::Halt { .. }), "{reason}");
    while saver.check().unwrap().is_none() {
        std::thread::yield_now();
    }
    let finished = saver.finish().unwrap();
    assert_eq!((finished.saved, finished.stopped), (None, Some(reason)));
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(1));
}

#[test]
fn a_state_behind_a_poisoned_lock_is_not_saved() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).schedule(often()).open().unwrap();
    checkpoints.save(&1).unwrap();
    let state = Arc::new(Mutex::new(2));
    let thread = Arc::clone(&state);
    let panicked = std::thread::spawn(move || {
        let _guard = thread.lock().unwrap();
        panic!("in the middle of a change");
    });
    panicked.join().unwrap_err();
    let saver = Autosaver::start(checkpoints, Arc::clone(&state)).unwrap();
    let error = loop {
        if let Err(error) = saver.check() {
            break error;
        }
        std::thread::yield_now();
    };
    assert!(matches!(error, Error::Poisoned { .. }), "{error}");
    assert!(matches!(saver.finish().unwrap_err(), Error::Poisoned { .. }));
    // The last save stands, and the directory is closed.
    assert_eq!(Checkpointer::<u64>::open(&path).unwrap().load().unwrap(), Some(1));
}

#[derive(Clone, Default, Deserialize)]
struct Bomb;

impl Serialize for Bomb {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("as a Serialize of a program may")
    }
}

#[test]
fn a_state_whose_own_code_panics_does_not_poison_its_lock() {
    let (_parent, path) = nowhere();
    let checkpoints = Checkpointer::<Plain<Bomb>>::builder(&path).schedule(often()).open().unwrap();
    let state = Arc::new(Mutex::new(Plain(Bomb)));
    let saver = Autosaver::start(checkpoints, Arc::clone(&state)).unwrap();
    let error = loop {
        if let Err(error) = saver.check() {
            break error;
        }
        std::thread::yield_now();
    };
    assert!(matches!(error, Error::Panicked { .. }), "{error}");
    assert!(!state.is_poisoned());
    // As from `Checkpointer::finish`, the panic goes on, and without the lock.
    catch_unwind(AssertUnwindSafe(|| saver.finish())).unwrap_err();
    assert!(!state.is_poisoned());
}

#[test]
fn a_callback_may_lock_the_state_that_is_saved() {
    let (_parent, path) = nowhere();
    let state = Arc::new(Mutex::new(1_u64));
    let seen = Arc::clone(&state);
    let builder = Checkpointer::<u64>::builder(&path).schedule(often());
    let checkpoints = builder.on_progress(move |_| drop(seen.lock().unwrap())).open().unwrap();
    let saver = Autosaver::start(checkpoints, Arc::clone(&state)).unwrap();
    while saver.check().unwrap().is_none() {
        std::thread::yield_now();
    }
    saver.finish().unwrap();
}

#[test]
fn a_warning_may_lock_the_state_that_is_saved() {
    must_end(|| {
        let (parent, path) = nowhere();
        let log = parent.path().join("run.log");
        // The output gets another name, with a warning, while the state is copied.
        std::fs::write(&log, "of another program").unwrap();
        let state = Arc::new(Mutex::new(Appended::at(&log)));
        let (seen, told) = (Arc::clone(&state), Arc::new(AtomicUsize::new(0)));
        let counts = Arc::clone(&told);
        let builder = Checkpointer::<Appended>::builder(&path).schedule(often());
        let builder = builder.on_warning(move |_| {
            drop(seen.lock().unwrap());
            counts.fetch_add(1, Ordering::Relaxed);
        });
        let saver = Autosaver::start(builder.open().unwrap(), Arc::clone(&state)).unwrap();
        saver.finish().unwrap();
        assert!(told.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn an_autosaver_by_steps_is_refused() {
    let (_parent, path) = nowhere();
    for schedule in [Schedule::every_steps(1), Schedule::every_of("step", 1)] {
        let checkpoints = Checkpointer::<u64>::builder(&path).schedule(schedule).open().unwrap();
        let error = Autosaver::start(checkpoints, Arc::new(Mutex::new(1))).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
}

#[test]
fn a_stop_and_a_save_and_the_end_can_be_awaited() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Vec<u8>>::open(&path).unwrap();
    assert_eq!(block_on(checkpoints.saved()).unwrap(), None);
    checkpoints.save_in_background(&vec![1; 1 << 20]).unwrap();
    assert_eq!(block_on(checkpoints.saved()).unwrap().map(|saved| saved.generation), Some(1));
    let directory = path.clone();
    let asking = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        request_halt(&directory, "enough").unwrap();
    });
    let reason = block_on(checkpoints.stopped());
    asking.join().unwrap();
    let finished = block_on(checkpoints.finish_in_background(vec![2; 10])).unwrap();
    assert_eq!(finished.saved.map(|saved| saved.generation), Some(2));
    assert_eq!(finished.stopped, Some(reason));
    assert_eq!(Checkpointer::<Vec<u8>>::open(&path).unwrap().load().unwrap(), Some(vec![2; 10]));
}

#[test]
fn a_last_save_goes_on_when_its_future_is_dropped() {
    let (_parent, path) = nowhere();
    let checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    drop(checkpoints.finish_in_background(7));
    assert_eq!(Checkpointer::<u64>::open(&path).unwrap().load().unwrap(), Some(7));
}

#[test]
fn an_error_of_the_last_save_is_the_output_of_its_future() {
    let (_parent, path) = nowhere();
    let checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    let error = block_on(checkpoints.finish_in_background(7)).unwrap_err();
    assert!(matches!(error, Error::DirectoryReplaced { .. }), "{error}");
}
