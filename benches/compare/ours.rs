//! Measures this library, with its checksums and its syncs.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use checkpointed::{Checkpoint, CheckpointReader, Checkpointer};

use crate::raw::{cache, forget};
use crate::rounds::{Case, Outcome, timed};

pub(crate) const FIRST: &str = "ours: first durable save";
pub(crate) const RECYCLED: &str = "ours: durable save, recycling";
/// The time of all threads on processors, during a save as above.
pub(crate) const PROCESSOR: &str = "ours: durable save, recycling, time on processors";
pub(crate) const STALL: &str = "ours: stall of a background save";
pub(crate) const BACKGROUND: &str = "ours: background save, until durable";
pub(crate) const LOAD: &str = "ours: load";
pub(crate) const LOAD_INTO: &str = "ours: load_into";
pub(crate) const LOAD_COLD: &str = "ours: load, not cached";

/// A checkpointer that recycles from its next save on, because it has retired a generation.
pub(crate) fn recycling<T: Checkpoint>(folder: &Path, state: &T) -> Outcome<Checkpointer<T>> {
    let mut checkpoints = Checkpointer::open(folder)?;
    for _ in 0..4 {
        checkpoints.save(state)?;
    }
    Ok(checkpoints)
}

/// A first save into a new directory, then saves that recycle.
pub(crate) fn saves<'a, T: Checkpoint>(folder: &Path, state: &'a T) -> Outcome<Vec<Case<'a>>> {
    let mut cases = vec![first(&folder.join("first.ckpt"), state)];
    cases.extend(recycling_saves(folder, state)?);
    Ok(cases)
}

/// A durable save into a new directory, without the time to open it.
pub(crate) fn first<'a, T: Checkpoint>(folder: &Path, state: &'a T) -> Case<'a> {
    let folder = folder.to_owned();
    Case::new(FIRST, move || {
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        let mut checkpoints = Checkpointer::open(&folder)?;
        crate::rounds::settle(&folder);
        Ok(timed(|| Ok(checkpoints.save(state)?))?.0)
    })
}

/// The saves that a long run repeats, with one checkpointer.
pub(crate) fn recycling_saves<'a, T: Checkpoint>(folder: &Path, state: &'a T) -> Outcome<Vec<Case<'a>>> {
    let mut checkpoints = recycling(&folder.join("recycled.ckpt"), state)?;
    checkpoints.save_in_background(state)?;
    checkpoints.wait()?;
    let shared = Rc::new(RefCell::new(checkpoints));
    let [save, stall, background] = [Rc::clone(&shared), Rc::clone(&shared), Rc::clone(&shared)];
    let mut cases = vec![
        Case::new(RECYCLED, move || Ok(timed(|| Ok(save.borrow_mut().save(state)?))?.0)),
        Case::new(STALL, move || {
            let mut checkpoints = stall.borrow_mut();
            let (stall, _) = timed(|| Ok(checkpoints.save_in_background(state)?))?;
            checkpoints.wait()?;
            Ok(stall)
        }),
        Case::new(BACKGROUND, move || {
            let mut checkpoints = background.borrow_mut();
            let (duration, _) = timed(|| {
                checkpoints.save_in_background(state)?;
                Ok(checkpoints.wait()?)
            })?;
            Ok(duration)
        }),
    ];
    if time_on_processors().is_some() {
        cases.push(Case::new(PROCESSOR, move || {
            let before = time_on_processors();
            shared.borrow_mut().save(state)?;
            let both = before.zip(time_on_processors()).ok_or("the time on processors is unknown")?;
            Ok(both.1 - both.0)
        }));
    }
    Ok(cases)
}

/// The time that all threads of this process were on processors; `None` where that is unknown.
fn time_on_processors() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        time.try_into().ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The newest generation after [`saves`].
pub(crate) fn checkpoint_file(folder: &Path) -> Outcome<PathBuf> {
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder.join("first.ckpt"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "ckpt") {
            files.push(path);
        }
    }
    Ok(files.into_iter().max().ok_or("there is no checkpoint")?)
}

/// Loads the checkpoints of [`saves`].
pub(crate) fn loads<'a, T: Checkpoint + Clone + 'a>(folder: &Path, state: &T) -> Outcome<Vec<Case<'a>>> {
    let file = checkpoint_file(folder)?;
    let open = || CheckpointReader::<T>::open(folder.join("first.ckpt"));
    let (mut reader, mut into, mut cold) = (open()?, open()?, open()?);
    let mut warm = state.clone();
    let files = [file.clone(), file.clone(), file];
    let [one, two, three] = files;
    Ok(vec![
        Case::new(LOAD, move || {
            cache(&one)?;
            let (duration, state) = timed(|| Ok(reader.load()?))?;
            state.map(|_| duration).ok_or_else(|| "nothing was loaded".into())
        }),
        Case::new(LOAD_INTO, move || {
            cache(&two)?;
            let (duration, loaded) = timed(|| Ok(into.load_into(&mut warm)?))?;
            loaded.then_some(duration).ok_or_else(|| "nothing was loaded".into())
        }),
        Case::new(LOAD_COLD, move || {
            forget(&three)?;
            let (duration, state) = timed(|| Ok(cold.load()?))?;
            state.map(|_| duration).ok_or_else(|| "nothing was loaded".into())
        }),
    ])
}
