//! What happened in a checkpoint directory: its runs, saves, failures and restarts, one JSON object in each line of
//! `history.jsonl`.
//!
//! The file is for people, for tools, and for [`Schedule::adaptive`](crate::Schedule::adaptive), which learns from it how
//! often a run fails. Nothing depends on it: it is not synced, a line that is torn or not understood is passed over, and
//! where it cannot be written the program goes on. Beyond 1 MiB it becomes `history.1.jsonl`, in the place of an older one,
//! and a new file begins with a summary.
//!
//! A run that ends says so, with its reason. One that never did has failed, and the next run notes until when it lived: a
//! program that calls [`save_if_due`](crate::Checkpointer::save_if_due) gives a sign of life once a minute, as the time of
//! the file's last change.
//!
//! ```
//! use checkpointed_core::{Checkpointer, history};
//!
//! # fn main() -> Result<(), checkpointed_core::Error> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("run.ckpt");
//! let mut checkpoints = Checkpointer::<u64>::open(&path)?;
//! checkpoints.save(&1)?;
//! checkpoints.finish(&2)?;
//!
//! let history = history::read(&path)?;
//! assert_eq!((history.runs(), history.failures()), (1, 0));
//! # Ok(())
//! # }
//! ```

mod journal;
mod record;

use std::path::Path;
use std::time::{Duration, SystemTime};

pub(crate) use journal::Journal;
pub use record::{End, Event, Record};

use crate::error::Error;
use crate::schedule::{Cost, Past};
use crate::store::{Disk, RealDisk};

/// The file that is written.
pub(crate) const FILE: &str = "history.jsonl";

/// The one before it.
const FORMER: &str = "history.1.jsonl";

/// Beyond this length a new file is begun.
const LONGEST: u64 = 1 << 20;

/// What [`read`] found.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// Oldest first.
    pub records: Vec<Record>,
    /// How many lines could not be understood: torn, damaged, or of a later version of this library.
    pub unknown_lines: usize,
}

/// Reads the history of a checkpoint directory. Where there is none, it is empty.
///
/// # Errors
/// Where there is one that cannot be read.
pub fn read(directory: impl AsRef<Path>) -> Result<History, Error> {
    History::of(&RealDisk::default(), directory.as_ref())
}

impl History {
    pub(crate) fn of(disk: &dyn Disk, directory: &Path) -> Result<History, Error> {
        let mut history = History::default();
        for name in [FORMER, FILE] {
            let path = directory.join(name);
            match read_tail(disk, &path) {
                Ok(text) => history.add(&text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::io("read", &path, source)),
            }
        }
        Ok(history)
    }

    /// Adds the records of a file. The summary at the beginning of one repeats what the file before it says in full.
    fn add(&mut self, text: &[u8]) {
        let complete =
            |record: &Record| !matches!(record.event, Event::Summary { .. }) || self.records.is_empty();
        let mut records = Vec::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                Ok(record) if complete(&record) => records.push(record),
                Ok(_) => {}
                Err(_) => self.unknown_lines += 1,
            }
        }
        self.records.extend(records);
    }

    /// How many runs there were.
    #[must_use]
    pub fn runs(&self) -> u64 {
        let started =
            self.records.iter().filter(|record| matches!(record.event, Event::Start { .. })).count();
        started as u64 + self.summary().map_or(0, |(runs, _, _)| runs)
    }

    /// How many of them ended without saying so, as far as a later run noticed it.
    #[must_use]
    pub fn failures(&self) -> u64 {
        let died = self.records.iter().filter(|record| matches!(record.event, Event::Died { .. })).count();
        died as u64 + self.summary().map_or(0, |(_, failures, _)| failures)
    }

    /// How long all runs together went on, as far as that is known.
    #[must_use]
    pub fn observed(&self) -> Duration {
        let mut total = self.summary().map_or(Duration::ZERO, |(_, _, observed)| observed);
        let mut run = Duration::ZERO;
        for record in &self.records {
            match &record.event {
                Event::Start { .. } => {
                    total = total.saturating_add(run);
                    run = Duration::ZERO;
                }
                Event::Died { ran } => run = run.max(*ran),
                Event::Summary { .. } => {}
                _ => run = run.max(record.at),
            }
        }
        total.saturating_add(run)
    }

    /// How much work the restarts repeated: from the save that each went on from to the end of the run before it, as far as
    /// that is known.
    #[must_use]
    pub fn lost(&self) -> Duration {
        let lost = self.records.iter().filter_map(|record| match &record.event {
            Event::Restart { lost, .. } => *lost,
            _ => None,
        });
        lost.fold(Duration::ZERO, Duration::saturating_add)
    }

    fn summary(&self) -> Option<(u64, u64, Duration)> {
        self.records.iter().find_map(|record| match &record.event {
            Event::Summary { runs, failures, observed } => Some((*runs, *failures, *observed)),
            _ => None,
        })
    }

    /// Whether the last run has not said that it ended, and until when it is known to have lived.
    fn unfinished(&self, modified: Option<SystemTime>) -> Option<Duration> {
        let mut open: Option<(SystemTime, Duration)> = None;
        for record in &self.records {
            match &record.event {
                Event::Start { .. } => open = Some((record.time, Duration::ZERO)),
                Event::End { .. } | Event::Died { .. } | Event::Summary { .. } => open = None,
                _ => open = open.map(|(begun, at)| (begun, at.max(record.at))),
            }
        }
        // The clock may have been set meanwhile; then only the records count.
        let by_clock = |begun: SystemTime| modified?.duration_since(begun).ok();
        open.map(|(begun, at)| at.max(by_clock(begun).unwrap_or_default()))
    }

    /// When the last run began.
    fn begun(&self) -> Option<SystemTime> {
        self.records
            .iter()
            .rev()
            .find_map(|record| matches!(record.event, Event::Start { .. }).then_some(record.time))
    }

    /// What the schedule goes by.
    pub(crate) fn past(&self) -> Past {
        let cost = self.records.iter().rev().find_map(|record| match &record.event {
            Event::Save { stall, total, .. } => Some(Cost { stall: *stall, total: *total }),
            _ => None,
        });
        Past { failures: self.failures(), observed: self.observed(), cost }
    }
}

/// The end of a file: all of it, as long as nobody but us wrote to it.
fn read_tail(disk: &dyn Disk, path: &Path) -> std::io::Result<Vec<u8>> {
    let source = disk.open(path)?;
    let length = source.length().min(2 * LONGEST);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    source.read_exact_at(&mut bytes, source.length() - length)?;
    Ok(bytes)
}
