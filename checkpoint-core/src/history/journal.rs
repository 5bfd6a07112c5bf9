//! Writes the history. Whatever goes wrong with it is told to the log, once, and never to the program.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::record::{End, Event, Record};
use super::{FILE, FORMER, History, LONGEST};
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
    /// Goes before the next line: ends the one that a crash may have torn.
    before: Vec<u8>,
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
        let mut journal =
            Journal { disk, directory, log: None, before: b"\n".to_vec(), alive: SIGN_OF_LIFE, died: None };
        if !wanted {
            return (journal, Past::default());
        }
        let mut history = History::of(&*journal.disk, &journal.directory).unwrap_or_else(|error| {
            tracing::warn!(%error, "the history of earlier runs cannot be read");
            History::default()
        });
        if history.unknown_lines > 0 {
            let (path, lines) = (journal.directory.display(), history.unknown_lines);
            tracing::warn!(%path, lines, "some lines of the history are not understood");
        }
        match journal.disk.open_log(&journal.directory.join(FILE)) {
            Ok(log) => journal.log = Some(log),
            Err(error) => journal.give_up(&error),
        }
        let modified = journal.log.as_ref().and_then(|log| log.modified().ok());
        if let Some(ran) = history.unfinished(modified) {
            let begun = history.begun();
            journal.died = begun.and_then(|begun| begun.checked_add(ran));
            history.records.extend(journal.write(Duration::ZERO, Event::Died { ran }));
        }
        let (host, process) = (host::name(), std::process::id());
        history
            .records
            .extend(journal.write(Duration::ZERO, Event::Start { host, process, schedule, retention }));
        if journal.log.as_ref().is_some_and(|log| log.length().is_ok_and(|length| length > LONGEST)) {
            journal.rotate(&history);
        }
        (journal, history.past())
    }

    /// Says, now and then, that the run goes on.
    pub(crate) fn alive(&mut self, now: Duration) {
        if now >= self.alive {
            self.alive = now.saturating_add(SIGN_OF_LIFE);
            if let Some(Err(error)) = self.log.as_mut().map(|log| log.touch()) {
                self.give_up(&error);
            }
        }
    }

    pub(crate) fn restarted(&mut self, now: Duration, generation: u64, created: SystemTime) {
        let lost = self.died.and_then(|died| died.duration_since(created).ok());
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
    fn write(&mut self, at: Duration, event: Event) -> Option<Record> {
        let record = Record { time: SystemTime::now(), at, event };
        let mut line = std::mem::take(&mut self.before);
        serde_json::to_writer(&mut line, &record).ok()?;
        line.push(b'\n');
        let log = self.log.as_mut()?;
        if let Err(error) = log.append(&line) {
            self.give_up(&error);
        }
        // That it was written now is a sign of life too.
        self.alive = at.saturating_add(SIGN_OF_LIFE);
        Some(record)
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
                let (runs, failures, observed) = (history.runs(), history.failures(), history.observed());
                self.write(Duration::ZERO, Event::Summary { runs, failures, observed });
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn give_up(&mut self, error: &std::io::Error) {
        self.log = None;
        let path = self.directory.join(FILE);
        tracing::warn!(path = %path.display(), %error, "the history cannot be written; the program goes on without");
    }
}
