//! Measures saves and loads that need not be durable: the time of the library itself, without the
//! disk.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use checkpointed::{Checkpoint, Checkpointer, checkpointed};

use crate::options::Options;
use crate::report::Report;
use crate::rounds::{Case, Outcome, interleave, timed};

const BY_HAND: &str = "by hand: bincode into a Vec, write";
const SAVE: &str = "ours: save, not durable";
const LOAD: &str = "ours: load";

#[checkpointed]
struct Counter {
    count: u64,
}

#[checkpointed]
struct Particle {
    id: u32,
    energy: f64,
    phase: Phase,
}

#[checkpointed]
enum Phase {
    Idle,
    Moving { speed: f64 },
    Decayed(u32),
}

pub(crate) fn measure(folder: &Path, options: &Options, report: &mut Report) -> Outcome<()> {
    let folder = folder.join("small");
    fs::create_dir_all(&folder)?;
    let phase = |id: u32| match id % 3 {
        0 => Phase::Idle,
        1 => Phase::Moving { speed: 1.0 },
        _ => Phase::Decayed(id),
    };
    let count = u32::try_from(options.records / 2)?;
    let particles: Vec<Particle> =
        (0..count).map(|id| Particle { id, energy: 0.5, phase: phase(id) }).collect();
    let arrays = vec![vec![1.5; 128]; 256];
    let mut rows = Rows { folder: &folder, options, report };
    rows.of("a counter", &Counter { count: 7 }, 256)?;
    rows.of(&format!("{count} small structs with enums"), &particles, 1)?;
    rows.of("256 arrays of 128 numbers", &arrays, 16)?;
    Ok(fs::remove_dir_all(&folder)?)
}

struct Rows<'a> {
    folder: &'a Path,
    options: &'a Options,
    report: &'a mut Report,
}

impl Rows<'_> {
    /// Prints one table. Each measurement is this number of saves or loads.
    fn of<T: Checkpoint>(&mut self, title: &str, state: &T, at_once: u32) -> Outcome<()> {
        let Rows { folder, options, report } = self;
        let (by_hand, ours) = (folder.join("by-hand"), folder.join(title));
        let bytes = usize::try_from(bincode::serialized_size(state)?)?;
        let open = || Checkpointer::<T>::builder(&ours).durable(false).open();
        let mut checkpoints = open()?;
        let save = Case::new(SAVE, || {
            repeat(at_once, || {
                checkpoints.save(state)?;
                Ok(())
            })
        });
        let reference =
            Case::new(BY_HAND, || repeat(at_once, || Ok(fs::write(&by_hand, bincode::serialize(state)?)?)));
        let mut measured = interleave(vec![reference, save], options.rounds, folder)?;
        drop(checkpoints);
        let mut checkpoints = open()?;
        let load = Case::new(LOAD, || {
            repeat(at_once, || {
                black_box(checkpoints.load()?);
                Ok(())
            })
        });
        measured.extend(interleave(vec![load], options.rounds, folder)?);
        report.table(&format!("Saves and loads of {title}, not durable"), bytes, &measured, BY_HAND);
        Ok(())
    }
}

fn repeat(times: u32, mut work: impl FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let (duration, ()) = timed(|| (0..times).try_for_each(|_| work()))?;
    Ok(duration / times)
}
