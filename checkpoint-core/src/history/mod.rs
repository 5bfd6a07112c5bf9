//! What happened in a checkpoint directory: its runs, saves, failures and restarts, one JSON object in each line of
//! `history.jsonl`.
//!
//! The file is for people, for tools, and for [`Schedule::adaptive`](crate::Schedule::adaptive), which learns from it how
//! often a run fails. Nothing depends on it: it is not synced, a line that is torn or not understood is passed over, and
//! where it cannot be written the program goes on. Beyond 1 MiB it becomes `history.1.jsonl`, in the place of an older one,
//! and a new file begins with a summary of the runs before the present one, and with its start.
//!
//! A run that ends says so, with its reason. One that never did has failed, and the next run notes until when it lived. A
//! program that calls [`save_if_due`](crate::Checkpointer::save_if_due) or [`should_stop`](crate::Checkpointer::should_stop)
//! gives a sign of life: a line, where nothing else was written for a sixteenth of the time that it has gone on, though not more
//! often than twice a second, and every five minutes at least. What a killed run did behind its last line, nobody knows: how
//! long failed runs went on, and the work that was lost with them, are at least what is said. All of it is told by a clock that
//! nobody sets: `at` in each record.
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
use crate::schedule::{Cost, Past};
use crate::store::{Directory, Home, RealDisk, absolute};

/// The file that is written.
pub(crate) const FILE: &str = "history.jsonl";

/// The one before it.
const FORMER: &str = "history.1.jsonl";

/// Both, oldest first.
pub(crate) const FILES: [&str; 2] = [FORMER, FILE];

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
    /// Whether the last line of the file that is written to was not ended.
    torn: bool,
}

/// A run that never said that it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lived {
    /// How long it is known to have gone on.
    pub(crate) ran: Duration,
    /// When it began its saves.
    saves: BTreeMap<u64, Duration>,
}

impl Lived {
    /// How long it is known to have gone on since it saved a generation; all of it, if another run did.
    fn since(&self, generation: u64) -> Duration {
        let begun = self.saves.get(&generation).copied().unwrap_or_default();
        self.ran.saturating_sub(begun)
    }
}

/// Reads the history of a checkpoint directory. Where there is none, it is empty.
///
/// # Errors
/// Where there is one that cannot be read.
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

    /// The generation that the history of a directory says was saved last. What is wrong with the history is no error: no
    /// load depends on it.
    pub(crate) fn last_saved(home: &dyn Home) -> Option<u64> {
        let history = History::of(home).ok()?;
        history.records.iter().rev().find_map(|record| match record.event {
            // After a discard, those that were saved before it are not missing.
            Event::Save { generation, .. } | Event::Discard { generation } => Some(generation),
            _ => None,
        })
    }

    /// Adds the records of a file. The summary and the start at the beginning of one repeat what the file before it says in
    /// full.
    fn add(&mut self, text: &[u8]) {
        let is_first = self.records.is_empty();
        let begun = self.begun().cloned();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice::<Record>(line) {
                Ok(Record { event: Event::Summary { .. }, .. }) if !is_first => {}
                Ok(record) if begun.as_ref() == Some(&record) => {}
                Ok(record) => self.records.push(record),
                Err(_) => {
                    self.unknown_lines += 1;
                    self.records.extend(record::end_in(line));
                }
            }
        }
        self.torn = text.last().is_some_and(|last| *last != b'\n');
    }

    /// All that was before a run, given its start, and in short.
    fn summary_before(&self, start: Option<&Record>) -> Event {
        let end = self.records.iter().rposition(|record| Some(record) == start).unwrap_or(self.records.len());
        let records = self.records.get(..end).unwrap_or_default().to_vec();
        let before = History { records, ..History::default() };
        let (runs, failures) = (before.runs(), before.failures());
        Event::Summary { runs, failures, observed: before.observed(), lost: before.lost() }
    }

    /// How many runs there were.
    #[must_use]
    pub fn runs(&self) -> u64 {
        let started =
            self.records.iter().filter(|record| matches!(record.event, Event::Start { .. })).count();
        self.summary().map_or(0, |summary| summary.runs).saturating_add(started as u64)
    }

    /// How many of them ended without saying so, as far as a later run noticed it.
    #[must_use]
    pub fn failures(&self) -> u64 {
        let died = self.records.iter().filter(|record| matches!(record.event, Event::Died { .. })).count();
        self.summary().map_or(0, |summary| summary.failures).saturating_add(died as u64)
    }

    /// How long all runs together went on, at least: of those that failed, only what is known.
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

    /// How much work the restarts repeated, at least: from the save that each went on from to the last sign of life of the run
    /// before it.
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

    /// The last run, if it has not said that it ended.
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

    /// What the schedule goes by.
    pub(crate) fn past(&self) -> Past {
        let cost = self.records.iter().rev().find_map(|record| match &record.event {
            Event::Save { stall, total, .. } => Some(Cost { stall: *stall, total: *total }),
            _ => None,
        });
        let (failures, observed, fruitless) = (self.failures(), self.observed(), self.fruitless());
        Past { failures, observed, fruitless, cost }
    }

    /// How many of the last runs failed one after the other and saved nothing.
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
                | Event::Failure { .. } => {}
            }
        }
        fruitless
    }
}

/// What the files before the present ones said.
#[derive(Clone, Copy)]
struct Summary {
    runs: u64,
    failures: u64,
    observed: Duration,
    lost: Duration,
}

/// The end of a file: all of it, as long as nobody but us wrote to it.
fn read_tail(home: &dyn Home, name: &str) -> std::io::Result<Vec<u8>> {
    let source = home.open_file(name)?;
    let length = source.length().min(2 * LONGEST);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    source.read_exact_at(&mut bytes, source.length() - length)?;
    Ok(bytes)
}
