use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Instant;

use serde::{Deserialize, Serialize, Serializer};

use super::*;
use crate::reports::Progress;
use crate::run::checkpointer::background::Waits;
use crate::run::stamp::{Notes, Stamp, is_marked};
use crate::stop::request_halt;
use crate::{Builder, CheckpointReader, Plain, Schedule};

const LONG: Duration = Duration::from_secs(60);

/// Waits for a long time until something is there.
#[track_caller]
fn until<R>(mut found: impl FnMut() -> Option<R>) -> R {
    let begun = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < LONG, "it did not come");
        sleep(Duration::from_millis(1));
    }
}

fn every(milliseconds: u64) -> Schedule {
    Schedule::every(Duration::from_millis(milliseconds))
}

fn builder<T: Checkpoint>(path: &Path, milliseconds: u64) -> Builder<T> {
    Checkpointer::builder(path).schedule(every(milliseconds))
}

/// The worker has the lock when the save begins, and reads the new input before it gives it back.
#[test]
fn an_input_that_changed_while_a_save_waited_marks_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let changed = Arc::new(AtomicBool::new(false));
    let look = {
        let changed = Arc::clone(&changed);
        move || {
            let names = changed.load(Ordering::SeqCst).then(|| "data.csv".to_owned());
            Notes { changed: names.into_iter().collect(), ..Notes::default() }
        }
    };
    let (begun, begins) = channel();
    let builder = Checkpointer::<u64>::builder(&path).stamped(Stamp::new(look, &Arc::default()));
    let builder = builder.on_progress(move |progress| {
        if matches!(progress, Progress::Started { .. }) {
            let _ = begun.send(());
        }
    });
    let (mut checkpoints, state) = (builder.open().unwrap(), Mutex::new(1));
    let held = state.lock().unwrap();
    std::thread::scope(|scope| {
        let saving = scope.spawn(|| checkpoints.begin_locked(&SaveReason::Asked, &state));
        begins.recv_timeout(LONG).unwrap();
        changed.store(true, Ordering::SeqCst);
        drop(held);
        saving.join().unwrap().unwrap();
    });
    changed.store(false, Ordering::SeqCst);
    let saved = checkpoints.wait().unwrap().unwrap();
    assert!(is_marked(&checkpoints.manifest(saved.generation).unwrap()));
    let saved = checkpoints.save(&2).unwrap();
    assert!(!is_marked(&checkpoints.manifest(saved.generation).unwrap()));
}

#[test]
fn saves_go_on_after_a_reason_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let state = Arc::new(Mutex::new(1_u64));
    let saver = Autosaver::start(builder(&path, 100).open().unwrap(), Arc::clone(&state)).unwrap();
    request_halt(&path, "enough").unwrap();
    until(|| saver.should_stop());
    let mut reader = CheckpointReader::<u64>::open(&path).unwrap();
    until(|| reader.load().unwrap());
    // A worker that takes its time changes the state still.
    *state.lock().unwrap() = 2;
    until(|| reader.load().unwrap().filter(|state| *state == 2));
    let finished = saver.finish().unwrap();
    assert!(matches!(finished.stopped, Some(StopReason::Halt { .. })));
}

static REFUSES: AtomicBool = AtomicBool::new(false);

#[derive(Clone, Deserialize)]
struct Moody;

impl Serialize for Moody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match REFUSES.load(Ordering::SeqCst) {
            true => Err(serde::ser::Error::custom("not now")),
            false => serializer.serialize_unit_struct("Moody"),
        }
    }
}

#[test]
fn a_failed_save_for_a_stop_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let checkpoints = builder::<Plain<Moody>>(&path, 2000).open().unwrap();
    REFUSES.store(true, Ordering::SeqCst);
    request_halt(&path, "enough").unwrap();
    let saver = Autosaver::start(checkpoints, Arc::new(Mutex::new(Plain(Moody)))).unwrap();
    until(|| saver.check().err());
    assert!(saver.should_stop().is_some());
    REFUSES.store(false, Ordering::SeqCst);
    until(|| saver.check().unwrap_or_default());
    saver.finish().unwrap();
}

#[test]
fn a_halt_stands_where_the_end_returns_an_earlier_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let state = Arc::new(Mutex::new(1_u64));
    let saver = Autosaver::start(builder::<u64>(&path, 1).open().unwrap(), Arc::clone(&state)).unwrap();
    saver.shared.status().error = Some(ended());
    request_halt(&path, "enough").unwrap();
    until(|| saver.should_stop());
    assert!(saver.finish().is_err() && path.join("halt").exists());
}

#[test]
fn a_stop_is_heard_by_the_thread_that_holds_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let state = Arc::new(Mutex::new(1_u64));
    let saver = Autosaver::start(builder(&path, 1).open().unwrap(), Arc::clone(&state)).unwrap();
    until(|| saver.check().unwrap());
    let held = state.lock().unwrap();
    // By now the thread waits for the lock, or will.
    sleep(Duration::from_millis(200));
    request_halt(&path, "enough").unwrap();
    let reason = until(|| saver.should_stop());
    drop(held);
    assert_eq!(saver.finish().unwrap().stopped, Some(reason));
}

#[test]
fn a_stop_is_heard_while_a_callback_of_a_save_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let (sender, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let builder = builder::<u64>(&path, 1).on_progress(move |_| {
        let _ = wait.lock().unwrap().recv();
    });
    let saver = Autosaver::start(builder.open().unwrap(), Arc::new(Mutex::new(1))).unwrap();
    sleep(Duration::from_millis(200));
    request_halt(&path, "enough").unwrap();
    until(|| saver.should_stop());
    drop(sender);
    saver.finish().unwrap();
}

#[test]
fn the_wait_for_a_lock_is_no_stall() {
    const HELD: Duration = Duration::from_secs(2);
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = builder::<u64>(directory.path(), 1).open().unwrap();
    let lend = &mut |copy: &mut Copier<'_>| {
        sleep(HELD);
        copy(&mut encoder(&1_u64));
        Ok(())
    };
    let inner = &mut checkpoints.inner;
    let begun = inner.begin_save_from(&SaveReason::Asked, Waits::ForTheCopy, lend, Metadata::new());
    let stall = begun.ok().unwrap().stall;
    assert!(stall < HELD, "{stall:?}");
    let saved = checkpoints.wait().unwrap().unwrap();
    assert_eq!(saved.stall, stall);
}

#[test]
fn a_save_that_cannot_begin_is_put_off() {
    let directory = tempfile::tempdir().unwrap();
    let mut other = Checkpointer::<u64>::open(directory.path()).unwrap();
    other.save(&1).unwrap();
    drop(other);
    let name = |number: u64| directory.path().join(format!("{number:020}.ckpt"));
    std::fs::rename(name(1), name(u64::MAX)).unwrap();
    let told = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&told);
    let builder = builder::<u64>(directory.path(), 2000).on_warning(move |warning| {
        *counter.lock().unwrap() += u32::from(warning.message.contains("autosaver failed"));
    });
    let saver = Autosaver::start(builder.open().unwrap(), Arc::new(Mutex::new(1))).unwrap();
    let begun = Instant::now();
    let error = until(|| saver.check().err());
    assert!(matches!(error, Error::NoMoreGenerations { .. }), "{error}");
    sleep(Duration::from_secs(1));
    drop(saver);
    // After the first one, a quarter of the interval passes before each.
    let most = 2 + begun.elapsed().as_millis() / 500;
    let told = u128::from(*told.lock().unwrap());
    assert!(told <= most, "{told} warnings, {most} at most");
}
