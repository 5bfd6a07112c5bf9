//! Writes the history. Whatever goes wrong with it is told to the log, once, and never to the program.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::record::{End, Event, Record};
use super::{FILE, FORMER, History, LONGEST, Lived};
use crate::base::host;
use crate::base::warnings::warn;
use crate::outcome::{SaveReason, Saved};
use crate::schedule::Past;
use crate::store::{Home, Log, Retention};

/// A run says that it still lives when nothing else was written for this part of the time that it has gone on, …
const PART_OF_LIFE: u32 = 16;
/// … but not more often than this, …
const SHORTEST_SILENCE: Duration = Duration::from_millis(500);
/// … nor more seldom. At most so much of a run that is killed is not known of, and one step of it.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// Writes the history of a directory; does nothing where that is not wanted, or failed.
#[derive(Debug)]
pub(crate) struct Journal {
    home: Arc<dyn Home>,
    log: Option<Box<dyn Log>>,
    /// Whether the last line was not ended: by a crash, or because the disk was full.
    torn: bool,
    /// Whether the log was told of trouble.
    warned: bool,
    /// The start of this run.
    start: Option<Record>,
    /// When the next sign of life is due.
    alive: Duration,
    /// What is known of the run before this one, if it failed, until its work was said to be lost.
    died: Option<Lived>,
}

impl Journal {
    /// Begins a run, and says what is known of those before it.
    pub(crate) fn open(
        home: Arc<dyn Home>,
        wanted: bool,
        schedule: String,
        retention: Retention,
    ) -> (Journal, Past) {
        let mut journal = Journal {
            home,
            log: None,
            torn: false,
            warned: false,
            start: None,
            alive: SHORTEST_SILENCE,
            died: None,
        };
        if !wanted {
            return (journal, Past::default());
        }
        let mut history = History::of(&*journal.home).unwrap_or_else(|error| {
            warn(format!("the history of earlier runs is not known: {error}"));
            History { torn: true, ..History::default() }
        });
        journal.torn = history.torn;
        if history.unknown_lines > 0 {
            let (path, lines) = (journal.home.path().display(), history.unknown_lines);
            warn(format!("{lines} lines of the history in {path} are not understood, and passed over"));
        }
        match journal.home.open_log(FILE) {
            Ok(log) => journal.log = Some(log),
            Err(error) => journal.give_up(&error),
        }
        if let Some(lived) = history.unfinished() {
            history.records.push(journal.write(Duration::ZERO, Event::Died { ran: lived.ran }));
            journal.died = Some(lived);
        }
        let (host, process, retention) = (host::name(), std::process::id(), Some(retention));
        let start = journal.write(Duration::ZERO, Event::Start { host, process, schedule, retention });
        journal.start = Some(start.clone());
        history.records.push(start);
        if journal.log.as_ref().is_some_and(|log| log.length().is_ok_and(|length| length > LONGEST)) {
            journal.rotate(&history);
        }
        (journal, history.past())
    }

    /// Whether nothing was written for so long that the run is to say that it goes on.
    pub(crate) fn is_silent(&self, now: Duration) -> bool {
        now >= self.alive
    }

    /// Says so, if it is time. It costs a line that is not synced.
    pub(crate) fn alive(&mut self, now: Duration) {
        if self.is_silent(now) {
            self.write(now, Event::Alive);
        }
    }

    /// Writes nothing from now on: this is a process that was forked from the one whose run it is.
    pub(crate) fn abandon(&mut self) {
        self.log = None;
        self.alive = Duration::MAX;
    }

    pub(crate) fn restarted(&mut self, now: Duration, generation: u64) {
        // A program may load more than once; the work was lost once.
        let lost = self.died.take().map(|lived| lived.since(generation));
        self.write(now, Event::Restart { generation, lost });
    }

    pub(crate) fn saved(
        &mut self,
        now: Duration,
        saved: &Saved,
        interval: Option<Duration>,
        reason: &SaveReason,
    ) {
        let why = reason.to_string();
        let reason = reason.into();
        let Saved { generation, bytes, stall, duration: total } = *saved;
        self.write(now, Event::Save { generation, bytes, stall, total, interval, reason, why });
        if self.log.as_ref().is_some_and(|log| log.length().is_ok_and(|length| length > LONGEST)) {
            let history = History::of(&*self.home).unwrap_or_default();
            self.rotate(&history);
        }
    }

    pub(crate) fn failed(&mut self, now: Duration, generation: u64, error: String) {
        self.write(now, Event::Failure { generation, error });
    }

    pub(crate) fn discarded(&mut self, now: Duration, generation: u64) {
        self.write(now, Event::Discard { generation });
    }

    pub(crate) fn ended(&mut self, now: Duration, end: End) {
        self.write(now, Event::End(end));
    }

    /// Appends a line. Returns its record, also where it could not be written.
    fn write(&mut self, at: Duration, event: Event) -> Record {
        let record = Record { time: SystemTime::now(), at, event };
        self.append(&[&record]);
        // Whatever was written is a sign of life too. What could not be written is tried no sooner than this.
        self.alive = at.saturating_add((at / PART_OF_LIFE).clamp(SHORTEST_SILENCE, LONGEST_SILENCE));
        record
    }

    /// Appends a line for each record, all by one call. Where that fails the next is tried all the same: a disk that was full
    /// for a moment must not keep a run from saying that it ended.
    fn append(&mut self, records: &[&Record]) {
        let Some(log) = &mut self.log else { return };
        let mut lines = if self.torn { b"\n".to_vec() } else { Vec::new() };
        for record in records {
            if let Err(error) = serde_json::to_writer(&mut lines, record) {
                return self.warn(&error.into());
            }
            lines.push(b'\n');
        }
        let outcome = log.append(&lines);
        self.torn = outcome.is_err();
        if let Err(error) = outcome {
            self.warn(&error);
        }
    }

    /// Puts the file aside, and begins a new one with what it says in short.
    fn rotate(&mut self, history: &History) {
        match self.home.rename_log(FILE, FORMER).and_then(|()| self.home.open_log(FILE)) {
            Ok(log) => {
                self.log = Some(log);
                self.torn = false;
                let event = history.summary_before(self.start.as_ref());
                let summary = Record { time: SystemTime::now(), at: Duration::ZERO, event };
                // With the start: or this run could neither be counted nor be missed, once the former file is gone.
                let start = self.start.clone();
                let both: Vec<&Record> = std::iter::once(&summary).chain(&start).collect();
                self.append(&both);
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &std::io::Error) {
        self.log = None;
        self.warn(error);
    }

    /// Says so once: what goes wrong with one line goes wrong with the next.
    fn warn(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            let path = self.home.path().join(FILE);
            warn(format!(
                "the history {} cannot be written, the program goes on without: {error}",
                path.display()
            ));
        }
    }
}
