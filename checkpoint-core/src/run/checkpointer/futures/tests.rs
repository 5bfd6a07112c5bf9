use std::sync::{Arc, Mutex};

use crate::Checkpointer;

#[test]
fn the_error_of_a_dropped_last_save_goes_to_the_warnings() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let told = Arc::new(Mutex::new(Vec::new()));
    let taker = Arc::clone(&told);
    let builder = Checkpointer::<u64>::builder(&path);
    let builder = builder.on_warning(move |warning| taker.lock().unwrap().push(warning.clone()));
    let checkpoints = builder.open().unwrap();
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    drop(checkpoints.finish_in_background(7));
    let told = told.lock().unwrap();
    let is_told = told.iter().any(|warning| warning.is_error && warning.message.contains("last save failed"));
    assert!(is_told, "{told:?}");
}

#[test]
fn the_error_is_told_where_no_thread_could_start() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let told = Arc::new(Mutex::new(Vec::new()));
    let taker = Arc::clone(&told);
    let builder = Checkpointer::<u64>::builder(&path);
    let builder = builder.on_warning(move |warning| taker.lock().unwrap().push(warning.to_string()));
    let checkpoints = builder.open().unwrap();
    std::fs::rename(&path, path.with_extension("away")).unwrap();
    let mut finishing = checkpoints.finish_in_background(7);
    // As it is without a thread: the end is there already.
    finishing.thread.take().unwrap().join().unwrap();
    drop(finishing);
    assert!(told.lock().unwrap().iter().any(|warning| warning.contains("last save failed")));
}
