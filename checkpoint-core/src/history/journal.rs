//! Writes the history. Whatever goes wrong with it is told to the log, once, and never to the program.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::record::{End, Event, Record};
use super::{FILE, FORMER, History, LONGEST, Lived};
use crate::host;
use crate::save::Saved;
use crate::schedule::Past;
use crate::store::{Disk, Log};

/// How often a run says that it still lives.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);

/// Writes the history of a directory; does nothing where that is not wanted, or failed.
#[derive(Debug)]
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    directory: std::path::PathBuf,
    log: Option<Box<dyn Log>>,
    /// Whether the last line was not ended: by a crash, or because the disk was full.
    torn: bool,
    /// Whether the log was told of trouble.
    warned: bool,
    /// The start of this run.
    start: Option<Record>,
    /// When the last line was written, by the machine's clock and by that of the run.
    last: Option<(SystemTime, Duration)>,
    /// When the next sign of life is due.
    alive: Duration,
    /// When the run before this one, if it failed, is known to have lived last, by the clock.
    died: Option<SystemTime>,
}

impl Journal {
    /// Begins a run, and says what is known of those before it.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        wanted: bool,
        schedule: String,
        retention: String,
    ) -> (Journal, Past) {
        let directory = directory.to_owned();
        let mut journal = Journal {
            disk,
            directory,
            log: None,
            torn: false,
            warned: false,
            start: None,
            last: None,
            alive: SIGN_OF_LIFE,
            died: None,
        };
        if !wanted {
            return (journal, Past::default());
        }
        let mut history = History::of(&*journal.disk, &journal.directory).unwrap_or_else(|error| {
            tracing::warn!(%error, "the history of earlier runs cannot be read");
            History { torn: true, ..History::default() }
        });
        journal.torn = history.torn;
        if history.unknown_lines > 0 {
            let (path, lines) = (journal.directory.display(), history.unknown_lines);
            tracing::warn!(%path, lines, "some lines of the history are not understood");
        }
        match journal.disk.open_log(&journal.directory.join(FILE)) {
            Ok(log) => journal.log = Some(log),
            Err(error) => journal.give_up(&error),
        }
        let modified = journal.log.as_ref().and_then(|log| log.modified().ok());
        if let Some(Lived { ran, until }) = history.unfinished(modified) {
            journal.died = until;
            history.records.push(journal.write(Duration::ZERO, Event::Died { ran }));
        }
        let (host, process) = (host::name(), std::process::id());
        let start = journal.write(Duration::ZERO, Event::Start { host, process, schedule, retention });
        journal.start = Some(start.clone());
        history.records.push(start);
        if journal.log.as_ref().is_some_and(|log| log.length().is_ok_and(|length| length > LONGEST)) {
            journal.rotate(&history);
        }
        (journal, history.past())
    }

    /// Says, now and then, that the run goes on.
    pub(crate) fn alive(&mut self, now: Duration) {
        if now >= self.alive {
            self.alive = now.saturating_add(SIGN_OF_LIFE);
            // Counted from the last line, so that it is right also where the machine's clock was set since then.
            if let (Some(log), Some((time, at))) = (&mut self.log, self.last)
                && let Some(present) = time.checked_add(now.saturating_sub(at))
                && let Err(error) = log.set_modified(present)
            {
                self.warn(&error);
            }
        }
    }

    /// Writes nothing from now on: this is a process that was forked from the one whose run it is.
    pub(crate) fn abandon(&mut self) {
        self.log = None;
    }

    pub(crate) fn restarted(&mut self, now: Duration, generation: u64, created: SystemTime) {
        // A program may load more than once; the work was lost once.
        let lost = self.died.take().and_then(|died| died.duration_since(created).ok());
        self.write(now, Event::Restart { generation, lost });
    }

    pub(crate) fn saved(&mut self, now: Duration, saved: &Saved, interval: Option<Duration>, why: String) {
        let Saved { generation, bytes, stall, duration: total } = *saved;
        self.write(now, Event::Save { generation, bytes, stall, total, interval, why });
        if self.log.as_ref().is_some_and(|log| log.length().is_ok_and(|length| length > LONGEST)) {
            let history = History::of(&*self.disk, &self.directory).unwrap_or_default();
            self.rotate(&history);
        }
    }

    pub(crate) fn failed(&mut self, now: Duration, generation: u64, error: String) {
        self.write(now, Event::Failure { generation, error });
    }

    pub(crate) fn ended(&mut self, now: Duration, end: End) {
        self.write(now, Event::End(end));
    }

    /// Appends a line. Returns its record, also where it could not be written.
    fn write(&mut self, at: Duration, event: Event) -> Record {
        let record = Record { time: SystemTime::now(), at, event };
        if self.append(&[&record]) {
            self.last = Some((record.time, at));
            // That it was written now is a sign of life too.
            self.alive = at.saturating_add(SIGN_OF_LIFE);
        }
        record
    }

    /// Appends a line for each record, all by one call. Where that fails the next is tried all the same: a disk that was full
    /// for a moment must not keep a run from saying that it ended.
    fn append(&mut self, records: &[&Record]) -> bool {
        let Some(log) = &mut self.log else { return false };
        let mut lines = if self.torn { b"\n".to_vec() } else { Vec::new() };
        for record in records {
            if let Err(error) = serde_json::to_writer(&mut lines, record) {
                self.warn(&error.into());
                return false;
            }
            lines.push(b'\n');
        }
        let outcome = log.append(&lines);
        self.torn = outcome.is_err();
        outcome.map_err(|error| self.warn(&error)).is_ok()
    }

    /// Puts the file aside, and begins a new one with what it says in short.
    fn rotate(&mut self, history: &History) {
        let (file, former) = (self.directory.join(FILE), self.directory.join(FORMER));
        let rotated = match self.disk.remove(&former) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => self.disk.rename(&file, &former).and_then(|()| self.disk.open_log(&file)),
        };
        match rotated {
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
            let path = self.directory.join(FILE);
            tracing::warn!(path = %path.display(), %error, "the history cannot be written; the program goes on");
        }
    }
}
