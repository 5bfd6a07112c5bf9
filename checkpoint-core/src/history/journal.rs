//! Writes the history. The log reports a fault of it once; the program never sees one.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::record::{End, Event, Record};
use super::{FILE, FORMER, History, LONGEST, Lived};
use crate::base::host;
use crate::base::warnings::warn;
use crate::outcome::{SaveReason, Saved};
use crate::schedule::Past;
use crate::store::{Files, Home, Log, Retention};

/// A run writes a sign of life after a silence of this part of its time so far, …
const PART_OF_LIFE: u32 = 16;
/// … but not more often than this, …
const SHORTEST_SILENCE: Duration = Duration::from_millis(500);
/// … and not less often. The history of a killed run ends at most this time, and one step, too
/// early.
const LONGEST_SILENCE: Duration = Duration::from_secs(300);

/// Writes the history of a directory; does nothing if the user turned it off, or after a failure.
#[derive(Debug)]
pub(crate) struct Journal {
    home: Arc<dyn Home>,
    log: Option<Box<dyn Log>>,
    /// True if the last line is incomplete: because of a crash, or a full disk.
    torn: bool,
    /// True after the log reported a fault.
    warned: bool,
    /// The start of this run.
    start: Option<Record>,
    /// The time of the next sign of life.
    alive: Duration,
    /// The facts about the run before this one, if it failed. `None` after its lost work was
    /// recorded.
    died: Option<Lived>,
}

impl Journal {
    /// Begins a run, and records the failure of the run before it, if it failed.
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
        if !wanted || journal.home.files().is_none() {
            return (journal, Past::default());
        }
        let mut history = History::of(&*journal.home).unwrap_or_else(|error| {
            warn(format!("the history of earlier runs cannot be read: {error}"));
            History { torn: true, ..History::default() }
        });
        journal.torn = history.torn;
        // A line that is cut short says no more than that a run was killed.
        let damaged = history.unknown_lines - history.cut_short;
        if damaged > 0 {
            let path = journal.home.path().display();
            let lines = if damaged == 1 { "line" } else { "lines" };
            warn(format!("the history in {path} has {damaged} {lines} that cannot be read: skipped"));
        }
        match open_log(&*journal.home) {
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

    /// True if nothing was written for so long that a sign of life is due.
    pub(crate) fn is_silent(&self, now: Duration) -> bool {
        now >= self.alive
    }

    /// Writes a sign of life, if it is due. It costs a line that is not synced.
    pub(crate) fn alive(&mut self, now: Duration) {
        if self.is_silent(now) {
            self.write(now, Event::Alive);
        }
    }

    /// Stops writing: this process was forked from the process of the run.
    pub(crate) fn abandon(&mut self) {
        self.log = None;
        self.alive = Duration::MAX;
    }

    pub(crate) fn restarted(&mut self, now: Duration, generation: u64) {
        // A program may load more than once, but the work was lost only once.
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
        let Saved { generation, bytes, written, stall, duration: total } = *saved;
        let written = Some(written).filter(|written| *written < bytes);
        self.write(now, Event::Save { generation, bytes, written, stall, total, interval, reason, why });
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

    pub(crate) fn rewound(&mut self, now: Duration, generation: u64) {
        self.write(now, Event::Rewind { generation });
    }

    /// Records a rewind between two runs, in a history that there is already.
    pub(crate) fn rewound_between_runs(home: &Arc<dyn Home>, generation: u64) {
        if home.files().is_none_or(|files| files.open_file(FILE).is_err()) {
            return;
        }
        let torn = History::of(&**home).is_ok_and(|history| history.torn);
        let log = open_log(&**home).ok();
        let (home, alive) = (Arc::clone(home), Duration::ZERO);
        let mut journal = Journal { home, log, torn, warned: false, start: None, alive, died: None };
        journal.rewound(Duration::ZERO, generation);
    }

    pub(crate) fn ended(&mut self, now: Duration, end: End) {
        self.write(now, Event::End(end));
    }

    /// Appends a line. Returns its record, even after a failed write.
    fn write(&mut self, at: Duration, event: Event) -> Record {
        let record = Record { time: SystemTime::now(), at, event };
        self.append(&[&record]);
        // Every line is a sign of life. A failed one is not tried again before the next is due.
        self.alive = at.saturating_add((at / PART_OF_LIFE).clamp(SHORTEST_SILENCE, LONGEST_SILENCE));
        record
    }

    /// Appends a line for each record, all in one call. The next line is tried even after a
    /// failure: a disk that was full for a moment must not keep a run from recording its end.
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

    /// Puts the file aside, and begins a new one with a summary of it.
    fn rotate(&mut self, history: &History) {
        let renamed = files(&*self.home).and_then(|files| files.rename_log(FILE, FORMER));
        match renamed.and_then(|()| open_log(&*self.home)) {
            Ok(log) => {
                self.log = Some(log);
                self.torn = false;
                let event = history.summary_before(self.start.as_ref());
                let summary = Record { time: SystemTime::now(), at: Duration::ZERO, event };
                // The start is repeated: without it, this run could neither be counted nor be
                // missed once the former file is gone.
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

    /// Warns once: a fault of one line is a fault of the next.
    fn warn(&mut self, error: &std::io::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            let path = self.home.path().join(FILE);
            warn(format!(
                "the history {} cannot be written, the program continues without it: {error}",
                path.display()
            ));
        }
    }
}

fn files(home: &dyn Home) -> std::io::Result<&dyn Files> {
    home.files().ok_or_else(|| std::io::ErrorKind::Unsupported.into())
}

fn open_log(home: &dyn Home) -> std::io::Result<Box<dyn Log>> {
    files(home)?.open_log(FILE)
}
