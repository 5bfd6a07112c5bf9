//! A state of eight bytes: its save is nothing but the protocol.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use crate::goals::Goals;
use crate::options::Options;
use crate::others::publish;
use crate::ours::{RECYCLED, recycling};
use crate::report::Report;
use crate::rounds::{Case, Outcome, interleave, timed};

pub(crate) const BY_HAND: &str = "by hand: 64 bytes, tempfile, fsync, rename, fsync";

/// The number of saves in one measurement: a single save depends too much on the disk at that
/// moment.
const AT_ONCE: u32 = 8;

pub(crate) fn measure(
    folder: &Path,
    options: &Options,
    report: &mut Report,
    goals: &mut Goals,
) -> Outcome<()> {
    let folder = folder.join("counter");
    fs::create_dir_all(&folder)?;
    let by_hand = folder.join("by-hand");
    let mut checkpoints = recycling(&folder.join("counter.ckpt"), &0_u64)?;
    let mut count = 0;
    let cases = vec![
        Case::new(BY_HAND, || repeat(|| publish(&by_hand, |file| Ok(file.write_all(&[7; 64])?)))),
        Case::new(RECYCLED, || {
            repeat(|| {
                count += 1;
                checkpoints.save(&count)?;
                Ok(())
            })
        }),
    ];
    let saves = interleave(cases, options.rounds * 3, &folder)?;
    report.table("Saves of a counter", 8, &saves, BY_HAND);
    goals.counter(&saves);
    drop(checkpoints);
    Ok(fs::remove_dir_all(&folder)?)
}

fn repeat(mut work: impl FnMut() -> Outcome<()>) -> Outcome<Duration> {
    let (duration, ()) = timed(|| (0..AT_ONCE).try_for_each(|_| work()))?;
    Ok(duration / AT_ONCE)
}
