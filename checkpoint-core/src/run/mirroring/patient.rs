//! A mirror that the run itself reads, with patience: a request that hangs holds up a thread, and
//! not the program.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

use crate::base::panics::caught;
use crate::base::warnings::Warnings;
use crate::container::Source;
use crate::error::Error;
use crate::store::{Claim, Claiming, Home};

/// A mirror whose requests are made by a thread, one after another. Once it gave no answer, it is
/// asked nothing more.
#[derive(Debug)]
pub(super) struct Patient {
    home: Arc<dyn Home>,
    line: Arc<Line>,
}

impl Patient {
    /// Starts the thread. It waits for each answer at most for this time.
    pub(super) fn new(home: Arc<dyn Home>, longest: Duration, warnings: &Warnings) -> Result<Patient, Error> {
        let (requests, received) = mpsc::channel::<Request>();
        let warnings = warnings.clone();
        let thread = std::thread::Builder::new().name("checkpoint-mirror".to_owned());
        let thread = thread.spawn(move || {
            let _warnings = warnings.enter();
            received.into_iter().for_each(|request| request());
        });
        thread.map_err(|source| Error::io("start a thread for the mirror", home.path(), source))?;
        Ok(Patient { home, line: Arc::new(Line { requests, longest, hangs: AtomicBool::new(false) }) })
    }

    fn ask<R: Send + 'static>(
        &self,
        request: impl FnOnce(Arc<dyn Home>) -> R + Send + 'static,
    ) -> io::Result<R> {
        let home = Arc::clone(&self.home);
        self.line.ask(move || request(home))
    }

    /// Asks for something that has errors of its own.
    fn try_ask<R: Send + 'static>(
        &self,
        request: impl FnOnce(Arc<dyn Home>) -> Result<R, Error> + Send + 'static,
    ) -> Result<R, Error> {
        self.ask(request).unwrap_or_else(|source| Err(Error::io("ask", self.path(), source)))
    }
}

impl Home for Patient {
    fn path(&self) -> &Path {
        self.home.path()
    }

    fn location(&self, generation: u64) -> PathBuf {
        let location = self.ask(move |home| home.location(generation));
        location.unwrap_or_else(|_| self.path().join(generation.to_string()))
    }

    fn check(&self) -> Result<(), Error> {
        self.try_ask(|home| home.check())
    }

    fn generations(&self) -> Result<Vec<u64>, Error> {
        self.try_ask(|home| home.generations())
    }

    fn set_aside(&self) -> Result<Vec<u64>, Error> {
        self.try_ask(|home| home.set_aside())
    }

    /// What cannot be asked for may be there: no older one is taken in its place.
    fn has(&self, generation: u64) -> bool {
        self.ask(move |home| home.has(generation)).unwrap_or(true)
    }

    fn open(&self, generation: u64) -> io::Result<Box<dyn Source>> {
        let source: Arc<dyn Source> = self.ask(move |home| home.open(generation))??.into();
        Ok(Box::new(PatientSource {
            length: source.length(),
            source: Some(source),
            line: Arc::clone(&self.line),
        }))
    }

    fn pin(&self, generation: u64) -> Result<(), Error> {
        self.try_ask(move |home| home.pin(generation))
    }

    fn unpin(&self, generation: u64) -> Result<(), Error> {
        self.try_ask(move |home| home.unpin(generation))
    }

    fn pinned(&self, generations: &[u64]) -> BTreeSet<u64> {
        let all = generations.to_vec();
        self.ask(move |home| home.pinned(&all)).unwrap_or_else(|_| generations.iter().copied().collect())
    }

    fn claim(&self, claiming: &Claiming) -> Result<Box<dyn Claim>, Error> {
        let claiming = claiming.clone();
        self.try_ask(move |home| home.claim(&claiming))
    }
}

/// A file of such a mirror.
struct PatientSource {
    /// `None` once it is dropped.
    source: Option<Arc<dyn Source>>,
    length: u64,
    line: Arc<Line>,
}

impl PatientSource {
    fn ask<R: Send + 'static>(
        &self,
        request: impl FnOnce(Arc<dyn Source>) -> R + Send + 'static,
    ) -> io::Result<R> {
        let source = self.source.clone().ok_or(io::ErrorKind::NotConnected)?;
        self.line.ask(move || request(source))
    }
}

impl Source for PatientSource {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let length = buffer.len();
        let read = self.ask(move |source| -> io::Result<Vec<u8>> {
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
            bytes.resize(length, 0);
            source.read_exact_at(&mut bytes, offset).map(|()| bytes)
        });
        buffer.copy_from_slice(&read??);
        Ok(())
    }

    fn will_read(&self, offset: u64, length: u64) {
        let _ = self.ask(move |source| source.will_read(offset, length));
    }

    fn will_read_only(&self, offset: u64, length: u64) {
        let _ = self.ask(move |source| source.will_read_only(offset, length));
    }
}

impl Drop for PatientSource {
    /// To close a file can hang, too.
    fn drop(&mut self) {
        let source = self.source.take();
        let _ = self.line.ask(move || drop(source));
    }
}

type Request = Box<dyn FnOnce() + Send>;

/// The way to the thread.
struct Line {
    requests: Sender<Request>,
    longest: Duration,
    /// True once a request had no answer.
    hangs: AtomicBool,
}

impl Line {
    /// Waits until the thread has done this. What it does later than that is dropped there.
    fn ask<R: Send + 'static>(&self, request: impl FnOnce() -> R + Send + 'static) -> io::Result<R> {
        let no_answer = || {
            let why = format!("no answer within {:?}", self.longest);
            io::Error::new(io::ErrorKind::TimedOut, why)
        };
        let ended = || io::Error::new(io::ErrorKind::NotConnected, "the thread that reads it has ended");
        let (answer, answered) = mpsc::sync_channel(1);
        let request = move || drop(answer.send(caught(request)));
        if self.hangs.load(Ordering::Relaxed) {
            // Dropped here, what it holds could hang.
            let _ = self.requests.send(Box::new(request));
            return Err(no_answer());
        }
        self.requests.send(Box::new(request)).map_err(|_| ended())?;
        match answered.recv_timeout(self.longest) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(message)) => {
                Err(io::Error::new(io::ErrorKind::NotConnected, format!("a panic in its code: {message}")))
            }
            Err(RecvTimeoutError::Timeout) => {
                self.hangs.store(true, Ordering::Relaxed);
                Err(no_answer())
            }
            Err(RecvTimeoutError::Disconnected) => Err(ended()),
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Line").field("longest", &self.longest).finish_non_exhaustive()
    }
}
