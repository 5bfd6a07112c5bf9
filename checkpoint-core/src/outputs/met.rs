//! The outputs that a state has, found while it is encoded or decoded.
//!
//! While [`saving`] is on the stack, an output that is serialized in this thread adds itself to a
//! list; while [`loading`] is, one that is decoded. A format of another library inside a field,
//! such as JSON text, makes no difference.

use std::sync::Arc;

use super::of_run::{Counted, Found, OfRun};
use super::value::Value;
use crate::base::lasting::{self, Lasting, Restore};

thread_local! {
    /// The save that encodes a state in this thread.
    static SAVING: Lasting<Saving> = const { lasting::nothing() };
    /// The outputs that this thread has decoded.
    static LOADING: Lasting<Found> = const { lasting::nothing() };
}

struct Saving {
    run: Arc<OfRun>,
    counted: Vec<Counted>,
}

/// Does `encode`, and returns the outputs that it met, and those of parts that were encoded
/// earlier. A panic in there ends the save.
pub(crate) fn saving<R>(run: &Arc<OfRun>, encode: impl FnOnce() -> R) -> (R, Vec<Counted>) {
    let ended = EndsSave(run);
    let (encoded, mut counted) = saving_part(run, encode);
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

/// Does `encode`, and returns the outputs that it met.
pub(crate) fn saving_part<R>(run: &Arc<OfRun>, encode: impl FnOnce() -> R) -> (R, Vec<Counted>) {
    let saving = Saving { run: Arc::clone(run), counted: Vec::new() };
    let scope = Restore::set(&SAVING, saving);
    let encoded = encode();
    let counted = scope.take().map(|saving| saving.counted).unwrap_or_default();
    (encoded, counted)
}

/// Does `decode`, and returns the outputs that it made.
pub(crate) fn loading<R>(decode: impl FnOnce() -> R) -> (R, Found) {
    let scope = Restore::set(&LOADING, Vec::new());
    let decoded = decode();
    let found = scope.take().unwrap_or_default();
    (decoded, found)
}

/// The run that saves in this thread, if one does.
pub(super) fn run_that_saves() -> Option<Arc<OfRun>> {
    lasting::look(&SAVING, |saving| saving.as_ref().map(|saving| Arc::clone(&saving.run)))
}

/// Adds a value that is being encoded, with the number of bytes that were encoded for it.
pub(super) fn add_saved(value: &Arc<Value>, length: u64) {
    lasting::look(&SAVING, |saving| {
        if let Some(Saving { run, counted }) = saving {
            counted.push(run.count(value, length));
        }
    });
}

/// Adds a value that was decoded.
pub(super) fn add_loaded(value: &Arc<Value>) {
    lasting::look(&LOADING, |loading| {
        if let Some(found) = loading {
            found.push(Arc::downgrade(value));
        }
    });
}
