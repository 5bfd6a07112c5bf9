//! Brings a mirror up to date by hand, and verifies it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::Error;
use crate::run::mirror::Mirror;
use crate::seal::Protection;
use crate::store::mirror::{Near, Standing, Timing, Updated};
use crate::store::{Claiming, Directory, Disk, RANKS, RealDisk, absolute, name};

/// The result of [`mirror`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Mirrored {
    /// The checkpoint directory.
    pub path: PathBuf,
    /// Its mirror.
    pub mirror: PathBuf,
    /// The newest generation of the mirror.
    pub newest: Option<u64>,
    /// The generations that were copied, in this order.
    pub copied: Vec<u64>,
    /// The generations of the mirror that were damaged, and were replaced.
    pub healed: Vec<u64>,
    /// The generations of the directory that are damaged. They were not copied.
    pub damaged: Vec<u64>,
    /// The generations of the mirror that are damaged, and that the directory does not have whole.
    pub damaged_there: Vec<u64>,
    /// The number of generations of the mirror that were read to their end; 0 if that was not asked
    /// for.
    pub verified: u64,
}

/// Copies the generations of a checkpoint directory that its mirror lacks, also while a program
/// saves there: newest first, byte for byte, each verified before it gets its name. One that was
/// interrupted goes on where it was when it is called again.
///
/// It copies all generations and removes none; with [`Mirror::keep_last`], it copies and keeps
/// those that the rules of the mirror keep. With `verify`, it then reads all of the mirror, and
/// replaces what is damaged there.
///
/// ```
/// use checkpointed::{CheckpointReader, Checkpointer, Mirror, Protection, inspect};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let (path, far) = (directory.path().join("run.ckpt"), directory.path().join("far.ckpt"));
/// let mut running = Checkpointer::<u64>::open(&path)?;
/// running.save(&7)?;
/// let mirrored = inspect::mirror(&path, &Mirror::to(&far), &Protection::new(), true)?;
/// assert_eq!(mirrored.copied, [1]);
/// assert_eq!(CheckpointReader::<u64>::open(&far)?.load()?, Some(7));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If there is no such directory, or it is that of a group or a pipeline; if the mirror cannot be
/// reached or is in use; [`Error::MirrorApart`] if each has what the other never had.
pub fn mirror(
    path: impl AsRef<Path>,
    mirror: &Mirror,
    protection: &Protection,
    verify: bool,
) -> Result<Mirrored, Error> {
    let path = absolute(path)?;
    if !fs::metadata(&path).map_err(|source| Error::io("mirror", &path, source))?.is_dir() {
        return Err(Error::NotADirectory { path });
    }
    for folder in [RANKS, name::STEPS] {
        if path.join(folder).is_dir() {
            let setting = format!("the mirror of {}", path.display());
            let why = "it is the directory of a group or a pipeline, whose parts must arrive together: `ckpt copy` copies it";
            return Err(Error::InvalidSetting { setting, why });
        }
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
    let home = Arc::new(Directory::new(&path, Arc::clone(&disk)));
    let near = Near { home, disk: Arc::clone(&disk), guard: None };
    let far = mirror.by_hand(Claiming { is_tool: true, ..Claiming::default() }, protection, &disk)?;
    let (mut reached, standing) = far.reach(&near, true)?;
    let timing: Arc<dyn Timing> = Arc::new(Timer(Instant::now()));
    let mut updated = Updated::default();
    // There is nothing to copy to a mirror that is ahead.
    if standing == Standing::Behind {
        updated = reached.update(u64::MAX, true, &timing)?;
    }
    let (mut verified, mut damaged_there) = (0, Vec::new());
    if verify {
        damaged_there = reached.heal(&timing, &mut updated)?;
    }
    let there = reached.home().generations()?;
    if verify {
        verified = there.len() as u64;
    }
    let Updated { copied, healed, damaged, .. } = updated;
    let newest = there.into_iter().rfind(|generation| !damaged_there.contains(generation));
    let copied = copied.into_iter().filter(|generation| !healed.contains(generation)).collect();
    let mirror = far.home.path().to_owned();
    Ok(Mirrored { path, mirror, newest, copied, healed, damaged, damaged_there, verified })
}

/// The time of a caller that waits for the end.
#[derive(Debug)]
struct Timer(Instant);

impl Timing for Timer {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn is_to_end(&self) -> bool {
        false
    }
}
