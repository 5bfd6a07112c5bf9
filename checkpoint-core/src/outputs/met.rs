//! The outputs that a state has, found while it is encoded or decoded.
//!
//! While [`saving`] is on the stack, an output that is serialized in this thread adds itself to a
//! list; while [`loading`] is, one that is decoded. A format of another library inside a field,
//! such as JSON text, makes no difference. What a function of the program does that is called
//! meanwhile, as for a warning or for progress, is no part of the state.

use std::sync::Arc;

use super::of_run::{Counted, Found, OfRun};
use super::value::Value;
use crate::base::lasting::{self, Lasting, Restore};
use crate::base::panics::calls;

thread_local! {
    /// The save that encodes a state in this thread.
    static SAVING: Lasting<Saving> = const { lasting::nothing() };
    /// The outputs that this thread has decoded.
    static LOADING: Lasting<Loading> = const { lasting::nothing() };
}

struct Saving {
    run: Arc<OfRun>,
    counted: Vec<Counted>,
    /// True for a part of the state that a later save has.
    is_part: bool,
    /// The functions of the program that the thread was in when it began.
    calls: u32,
}

struct Loading {
    found: Found,
    calls: u32,
}

/// Does `encode`, and returns the outputs that it met, and those of parts that were encoded
/// earlier. A panic in there ends the save.
pub(crate) fn saving<R>(run: &Arc<OfRun>, encode: impl FnOnce() -> R) -> (R, Vec<Counted>) {
    let ended = EndsSave(run);
    let (encoded, mut counted) = counting(run, false, encode);
    std::mem::forget(ended);
    counted.extend(run.counted_before());
    (encoded, counted)
}

/// Ends a save without a checkpoint.
struct EndsSave<'a>(&'a OfRun);

impl Drop for EndsSave<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Does `encode` for a part of the state that a later save has, and returns the outputs that it
/// met.
#[cfg(feature = "scopes")]
pub(crate) fn saving_part<R>(run: &Arc<OfRun>, encode: impl FnOnce() -> R) -> (R, Vec<Counted>) {
    counting(run, true, encode)
}

fn counting<R>(run: &Arc<OfRun>, is_part: bool, encode: impl FnOnce() -> R) -> (R, Vec<Counted>) {
    let saving = Saving { run: Arc::clone(run), counted: Vec::new(), is_part, calls: calls() };
    let scope = Restore::set(&SAVING, saving);
    let encoded = encode();
    let counted = scope.take().map(|saving| saving.counted).unwrap_or_default();
    (encoded, counted)
}

/// Does `decode`, and returns the outputs that it made.
pub(crate) fn loading<R>(decode: impl FnOnce() -> R) -> (R, Found) {
    let scope = Restore::set(&LOADING, Loading { found: Vec::new(), calls: calls() });
    let decoded = decode();
    let found = scope.take().map(|loading| loading.found).unwrap_or_default();
    (decoded, found)
}

/// Looks at the save of this thread, unless a function of the program was called since it began.
fn look_at_save<R>(look: impl FnOnce(&mut Saving) -> R) -> Option<R> {
    lasting::look(&SAVING, |saving| saving.as_mut().filter(|saving| saving.calls == calls()).map(look))
}

/// The run that saves in this thread, if one does.
pub(super) fn run_that_saves() -> Option<Arc<OfRun>> {
    look_at_save(|saving| Arc::clone(&saving.run))
}

/// Adds a value that is being encoded, with the number of bytes that were encoded for it.
pub(super) fn add_saved(value: &Arc<Value>, length: u64) {
    look_at_save(|saving| saving.counted.push(saving.run.count(value, length, saving.is_part)));
}

/// Adds a value that was decoded.
pub(super) fn add_loaded(value: &Arc<Value>) {
    lasting::look(&LOADING, |loading| {
        if let Some(loading) = loading.as_mut().filter(|loading| loading.calls == calls()) {
            loading.found.push(Arc::downgrade(value));
        }
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use crate::reports::Progress;
    use crate::{Appended, Checkpointer};

    /// An output that grows with the run of another directory.
    fn of_another(parent: &Path) -> Appended {
        let mut other = Appended::at(parent.join("other.csv"));
        other.write_all(b"x\n").unwrap();
        Checkpointer::open(parent.join("other.ckpt")).unwrap().save(&other).unwrap();
        other
    }

    #[test]
    fn what_a_callback_encodes_is_no_part_of_a_save() {
        let parent = tempfile::tempdir().unwrap();
        let (other, told) = (of_another(parent.path()), Arc::new(AtomicUsize::new(0)));
        let encode = {
            let told = Arc::clone(&told);
            move || {
                assert!(serde_json::to_string(&other).unwrap().contains("other.csv"));
                told.fetch_add(1, Ordering::Relaxed);
            }
        };
        let (on_progress, on_warning) = (encode.clone(), encode);
        let builder = Checkpointer::builder(parent.path().join("long.ckpt")).on_progress(move |progress| {
            if matches!(progress, Progress::Writing { .. }) {
                on_progress();
            }
        });
        builder.open().unwrap().save(&vec![7_u8; 9 << 20]).unwrap();
        assert_eq!(told.load(Ordering::Relaxed), 1);

        fs::write(parent.path().join("a.csv"), "of another program").unwrap();
        let builder = Checkpointer::builder(parent.path().join("a.ckpt")).on_warning(move |_| on_warning());
        builder.open().unwrap().save(&Appended::at(parent.path().join("a.csv"))).unwrap();
        assert_eq!(told.load(Ordering::Relaxed), 2);
    }

    /// Does `work`, which must come to an end.
    fn must_end(work: impl FnOnce() + Send + 'static) {
        let (sender, receiver) = mpsc::channel();
        let worker = std::thread::spawn(move || {
            work();
            sender.send(()).unwrap();
        });
        if receiver.recv_timeout(Duration::from_secs(60)) != Err(mpsc::RecvTimeoutError::Timeout) {
            return worker.join().unwrap();
        }
        unreachable!("it waits for ever");
    }

    #[test]
    fn a_warning_about_an_output_may_look_at_it() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a.csv");
        fs::write(&path, "of another program").unwrap();
        let output: &'static Appended = Box::leak(Box::new(Appended::at(&path)));
        let told = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&told);
        let builder = Checkpointer::<Appended>::builder(parent.path().join("run.ckpt"));
        let builder = builder.on_warning(move |_| taken.lock().unwrap().push(output.len()));
        must_end(move || {
            builder.open().unwrap().save(output).unwrap();
        });
        assert_eq!(*told.lock().unwrap(), [0]);
    }

    #[test]
    fn a_warning_about_an_output_may_flush_a_clone_of_it() {
        let parent = tempfile::tempdir().unwrap();
        let (path, backup) = (parent.path().join("a.csv"), parent.path().join("backup"));
        let another: Arc<Mutex<Option<Appended>>> = Arc::default();
        let told = Arc::new(AtomicUsize::new(0));
        let (flushed, counted) = (Arc::clone(&another), Arc::clone(&told));
        let builder = Checkpointer::<Appended>::builder(parent.path().join("run.ckpt"));
        let builder = builder.on_warning(move |_| {
            if let Some(another) = &mut *flushed.lock().unwrap() {
                another.flush().unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        must_end(move || {
            let mut run = builder.open().unwrap();
            let mut output = Appended::at(&path);
            output.write_all(b"one\n").unwrap();
            run.save(&output).unwrap();
            let former = output.clone();
            output.write_all(b"two\n").unwrap();
            run.save(&output).unwrap();
            *another.lock().unwrap() = Some(output.clone());
            fs::hard_link(&path, &backup).unwrap();
            drop(std::mem::replace(&mut output, former));
            run.save(&output).unwrap();
            *another.lock().unwrap() = None;
        });
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }
}
