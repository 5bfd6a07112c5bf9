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

/// A state that goes on between two saves.
pub(crate) trait Advance {
    /// Changes every block of the state, so that a save leaves nothing out.
    fn advance(&mut self);
}

/// A first save into a new directory, then saves that recycle.
pub(crate) fn saves<'a, T: Checkpoint + Advance + Clone + 'a>(
    folder: &Path,
    state: &'a T,
) -> Outcome<Vec<Case<'a>>> {
    let mut cases = vec![first(&folder.join("first.ckpt"), state)];
    cases.extend(recycling_saves(folder, state.clone())?);
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

/// A checkpointer, and the state that it saves.
struct Run<T: Checkpoint> {
    checkpoints: Checkpointer<T>,
    state: T,
}

/// The saves that a long run repeats, with one checkpointer, each of a state that has changed
/// everywhere.
pub(crate) fn recycling_saves<'a, T: Checkpoint + Advance + 'a>(
    folder: &Path,
    state: T,
) -> Outcome<Vec<Case<'a>>> {
    let mut checkpoints = recycling(&folder.join("recycled.ckpt"), &state)?;
    checkpoints.save_in_background(&state)?;
    checkpoints.wait()?;
    let run = Rc::new(RefCell::new(Run { checkpoints, state }));
    let case = |name: &str, work: fn(&mut Run<T>) -> Outcome<Duration>| {
        let run = Rc::clone(&run);
        Case::new(name, move || {
            let mut run = run.borrow_mut();
            run.state.advance();
            work(&mut run)
        })
    };
    let mut cases = vec![
        case(RECYCLED, |run| Ok(timed(|| Ok(run.checkpoints.save(&run.state)?))?.0)),
        case(STALL, |run| {
            let (stall, _) = timed(|| Ok(run.checkpoints.save_in_background(&run.state)?))?;
            run.checkpoints.wait()?;
            Ok(stall)
        }),
        case(BACKGROUND, |run| {
            let (duration, _) = timed(|| {
                run.checkpoints.save_in_background(&run.state)?;
                Ok(run.checkpoints.wait()?)
            })?;
            Ok(duration)
        }),
    ];
    if time_on_processors().is_some() {
        cases.push(case(PROCESSOR, |run| {
            let before = time_on_processors();
            run.checkpoints.save(&run.state)?;
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
