//! Records the events of a checkpoint directory: its runs, saves, failures and restarts, one JSON
//! object in each line of `history.jsonl`.
//!
//! The file is for people, for tools, and for [`Schedule::adaptive`](crate::Schedule::adaptive),
//! which learns from it how often a run fails. Nothing depends on it: it is not synced, a torn or
//! unknown line is skipped, and the program continues without it if it cannot be written. Beyond 1
//! MiB it becomes `history.1.jsonl`, in the place of an older one. The new file begins with a
//! summary of the runs before the present one, and with the start of the present one.
//!
//! A run that ends records its end and the reason. A run without an end has failed, and the next
//! run notes its last sign of life. A program that calls
//! [`save_if_due`](crate::Checkpointer::save_if_due) or
//! [`should_stop`](crate::Checkpointer::should_stop) gives signs of life. Each is a line, written
//! after a silence of a sixteenth of the time so far, but at most twice a second, and at least
//! every five minutes. The history lacks the work of a killed run after its last line: so the time
//! of failed runs, and the work lost with them, are lower bounds. All times come from a clock that
//! cannot be set: `at` in each record.
//!
//! ```
//! use checkpointed::{Checkpointer, history};
//!
//! # fn main() -> Result<(), checkpointed::Error> {
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
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use journal::Journal;
pub use record::{End, Event, ReasonKind, Record};

use crate::error::Error;
use crate::schedule::{Cost, Past, REMEMBERED};
use crate::store::{Directory, Home, RealDisk, absolute, name};

/// The current file.
pub(crate) const FILE: &str = name::HISTORY;

/// The previous file.
const FORMER: &str = name::FORMER_HISTORY;

/// Both files, oldest first.
pub(crate) const FILES: [&str; 2] = [FORMER, FILE];

/// A longer file is replaced by a new one.
const LONGEST: u64 = 1 << 20;

/// The result of [`read`].
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// The records, oldest first.
    pub records: Vec<Record>,
    /// The number of unreadable lines: torn, damaged, or of a later version of this library.
    pub unknown_lines: usize,
    /// Those of them that only lack their end: the writer was killed, or its disk was full.
    cut_short: usize,
    /// True if the last line of the current file is incomplete.
    torn: bool,
}

/// A run without a recorded end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lived {
    /// The time until its last sign of life.
    pub(crate) ran: Duration,
    /// The times when its saves began.
    saves: BTreeMap<u64, Duration>,
}

impl Lived {
    /// The time from the save of a generation to the last sign of life; the whole time if another
    /// run saved it.
    fn since(&self, generation: u64) -> Duration {
        let begun = self.saves.get(&generation).copied().unwrap_or_default();
        self.ran.saturating_sub(begun)
    }
}

/// Reads the history of a checkpoint directory. It is empty if there is none.
///
/// # Errors
/// If the history exists, but cannot be read.
pub fn read(directory: impl AsRef<Path>) -> Result<History, Error> {
    History::of(&Directory::new(&absolute(directory)?, Arc::new(RealDisk::default())))
}

impl History {
    pub(crate) fn of(home: &dyn Home) -> Result<History, Error> {
        let mut history = History::default();
        for name in FILES {
            match read_tail(home, name) {
                Ok(text) => history.add(&text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => history.torn = false,
                Err(source) => return Err(Error::io("read", &home.path().join(name), source)),
            }
        }
        Ok(history)
    }

    /// The last saved generation according to the history of a directory. A fault of the history is
    /// no error: no load depends on it.
    pub(crate) fn last_saved(home: &dyn Home) -> Option<u64> {
        History::of(home).ok()?.last_save()
    }

    /// The last saved generation, if it should be there.
    pub(crate) fn last_save(&self) -> Option<u64> {
        self.records.iter().rev().find_map(|record| match record.event {
            // After a discard or a rewind, those that were saved before it are not missing.
            Event::Save { generation, .. } | Event::Discard { generation } | Event::Rewind { generation } => {
                Some(generation)
            }
            _ => None,
        })
    }

    /// Adds the records of a file. A summary and a start at its beginning repeat the content of the
    /// file before it.
    fn add(&mut self, text: &[u8]) {
        let is_first = self.records.is_empty();
        let begun = self.begun().cloned();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                Ok(Record { event: Event::Summary { .. }, .. }) if !is_first => {}
                Ok(record) if begun.as_ref() == Some(&record) => {}
                Ok(record) => self.records.push(record),
                Err(error) => {
                    self.unknown_lines += 1;
                    self.cut_short += usize::from(error.is_eof());
                    self.records.extend(record::end_in(line));
                }
            }
        }
        self.torn = text.last().is_some_and(|last| *last != b'\n');
    }

    /// Summarises everything before a run, given its start.
    fn summary_before(&self, start: Option<&Record>) -> Event {
        let end = self.records.iter().rposition(|record| Some(record) == start).unwrap_or(self.records.len());
        let records = self.records.get(..end).unwrap_or_default().to_vec();
        let before = History { records, ..History::default() };
        let (runs, failures) = (before.runs(), before.failures());
        Event::Summary { runs, failures, observed: before.observed(), lost: before.lost() }
    }

    /// Returns the number of runs.
    #[must_use]
    pub fn runs(&self) -> u64 {
        let started =
            self.records.iter().filter(|record| matches!(record.event, Event::Start { .. })).count();
        self.summary().map_or(0, |summary| summary.runs).saturating_add(started as u64)
    }

    /// Returns the number of runs that ended without a record, as far as a later run noticed it.
    #[must_use]
    pub fn failures(&self) -> u64 {
        let died = self.records.iter().filter(|record| matches!(record.event, Event::Died { .. })).count();
        self.summary().map_or(0, |summary| summary.failures).saturating_add(died as u64)
    }

    /// Returns the total time of all runs, as a lower bound: a failed run counts up to its last
    /// sign of life.
    #[must_use]
    pub fn observed(&self) -> Duration {
        let mut total = self.summary().map_or(Duration::ZERO, |summary| summary.observed);
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

    /// Returns the time of work that the restarts repeated, as a lower bound: from the save that
    /// each continued to the last sign of life of the run before it.
    #[must_use]
    pub fn lost(&self) -> Duration {
        let lost = self.records.iter().filter_map(|record| match &record.event {
            Event::Restart { lost, .. } => *lost,
            _ => None,
        });
        let before = self.summary().map_or(Duration::ZERO, |summary| summary.lost);
        lost.fold(before, Duration::saturating_add)
    }

    fn summary(&self) -> Option<Summary> {
        self.records.iter().find_map(|record| match record.event {
            Event::Summary { runs, failures, observed, lost } => {
                Some(Summary { runs, failures, observed, lost })
            }
            _ => None,
        })
    }

    /// The last run, if its end is not recorded.
    pub(crate) fn unfinished(&self) -> Option<Lived> {
        let mut last: Option<Lived> = None;
        for record in &self.records {
            match &record.event {
                Event::Start { .. } => last = Some(Lived { ran: record.at, saves: BTreeMap::new() }),
                Event::End { .. } | Event::Died { .. } | Event::Summary { .. } => last = None,
                event => {
                    let Some(last) = &mut last else { continue };
                    last.ran = last.ran.max(record.at);
                    if let Event::Save { generation, total, .. } = event {
                        last.saves.insert(*generation, record.at.saturating_sub(*total));
                    }
                }
            }
        }
        last
    }

    /// The start of the last run.
    fn begun(&self) -> Option<&Record> {
        self.records.iter().rev().find(|record| matches!(record.event, Event::Start { .. }))
    }

    /// The facts that the schedule uses.
    pub(crate) fn past(&self) -> Past {
        let saves = self.records.iter().rev().filter_map(|record| match &record.event {
            Event::Save { stall, total, .. } => Some(Cost { stall: *stall, total: *total }),
            _ => None,
        });
        let mut costs: Vec<Cost> = saves.take(REMEMBERED).collect();
        costs.reverse();
        let (failures, observed, fruitless) = (self.failures(), self.observed(), self.fruitless());
        Past { failures, observed, fruitless, costs }
    }

    /// The number of the last runs in a row that failed and saved nothing.
    fn fruitless(&self) -> u32 {
        let (mut fruitless, mut has_saved) = (0_u32, false);
        for record in &self.records {
            match record.event {
                Event::Start { .. } => has_saved = false,
                Event::Save { .. } => has_saved = true,
                Event::Died { .. } if !has_saved => fruitless = fruitless.saturating_add(1),
                Event::Died { .. } | Event::End(_) => fruitless = 0,
                Event::Summary { .. }
                | Event::Alive
                | Event::Restart { .. }
                | Event::Discard { .. }
                | Event::Rewind { .. }
                | Event::Failure { .. } => {}
            }
        }
        fruitless
    }
}

/// The totals of the files before the present ones.
#[derive(Clone, Copy)]
struct Summary {
    runs: u64,
    failures: u64,
    observed: Duration,
    lost: Duration,
}

/// The end of a file. It is the whole file, unless another program wrote to it.
fn read_tail(home: &dyn Home, name: &str) -> std::io::Result<Vec<u8>> {
    let files = home.files().ok_or(std::io::ErrorKind::NotFound)?;
    let source = files.open_file(name)?;
    let length = source.length().min(2 * LONGEST);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    source.read_exact_at(&mut bytes, source.length() - length)?;
    Ok(bytes)
}
