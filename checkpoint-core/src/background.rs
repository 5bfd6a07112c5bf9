//! Saves that go on while the program does: a copy of the state, and the thread that writes it.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::container::Manifest;
use crate::error::Error;
use crate::read_back::{Net, ReadBack};
use crate::run::{Run, Watcher, Why};
use crate::save::{self, Failure, Output, Saved};
use crate::state::{Array, ArraySink, Kind};
use crate::store::Writer;
use crate::threads::{Builder, JoinHandle, Receiver, SendError, Sender, channel};

/// A copy of the parts of a state. Its memory is kept from one save to the next: it is as warm as it gets, and a state
/// that does not grow needs no more of it.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    /// The bytes of everything but arrays.
    pub(crate) state: Vec<u8>,
    arrays: Vec<StagedArray>,
    /// How many of these belong to the present save.
    used: usize,
}

#[derive(Debug)]
struct StagedArray {
    name: String,
    kind: Kind,
    outer: Option<Vec<u64>>,
    bytes: Vec<u8>,
}

impl Staging {
    /// Forgets what was copied, but not the memory.
    fn clear(&mut self) {
        self.state.clear();
        self.used = 0;
    }

    /// Gives back the memory of arrays that the state no longer has.
    fn trim(&mut self) {
        self.arrays.truncate(self.used);
    }

    /// Writes the copy as the state itself would have been written.
    fn write(&self, output: &mut Output<'_, '_>) -> Result<&[u8], Failure> {
        for StagedArray { name, kind, outer, bytes } in self.arrays.iter().take(self.used) {
            let put = output.put(name.clone(), Array { kind: *kind, outer: outer.clone(), bytes });
            if let Err(why) = put {
                return Err(Failure::Write(output.take_failure().unwrap_or_else(|| io::Error::other(why))));
            }
        }
        Ok(&self.state)
    }
}

impl ArraySink for Staging {
    fn takes(&self, bytes: usize) -> bool {
        crate::container::is_out_of_band(self.used, bytes)
    }

    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, String> {
        let number = self.used;
        match self.arrays.get_mut(number) {
            Some(staged) => {
                staged.name = name;
                staged.kind = array.kind;
                staged.outer = array.outer;
                staged.bytes.clear();
                staged.bytes.extend_from_slice(array.bytes);
            }
            None => {
                let Array { kind, outer, bytes } = array;
                self.arrays.push(StagedArray { name, kind, outer, bytes: bytes.to_vec() });
            }
        }
        self.used += 1;
        Ok(number as u64)
    }
}

/// Does the saves of a directory: it has the writer, or has lent it to the thread that saves in the background.
///
/// Nothing is shared with that thread. Writer and copy go to it and come back, so only one of the two can save.
#[derive(Debug)]
pub(crate) struct Saver {
    /// Absent while a save goes on in the background.
    idle: Option<Idle>,
    worker: Option<Worker>,
    /// What came of the last save in the background, until somebody is told.
    outcome: Option<Result<Saved, Error>>,
    /// What is to learn of it as soon as it is known.
    pub(crate) run: Run,
    pub(crate) read_back: ReadBack,
}

#[derive(Debug)]
struct Idle {
    writer: Writer,
    net: Net,
    staging: Staging,
}

#[derive(Debug)]
struct Job {
    idle: Idle,
    manifest: Manifest,
    begun: Instant,
    /// How long the program waited for the copy.
    stall: Duration,
    watcher: Watcher,
}

#[derive(Debug)]
struct Done {
    idle: Idle,
    generation: u64,
    outcome: Result<Saved, Error>,
}

#[derive(Debug)]
struct Worker {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
}

impl Saver {
    pub(crate) fn new(writer: Writer, net: Net, run: Run) -> Saver {
        let read_back = net.setting;
        let idle = Some(Idle { writer, net, staging: Staging::default() });
        Saver { idle, worker: None, outcome: None, run, read_back }
    }

    /// Whether a save goes on in the background.
    pub(crate) fn is_busy(&mut self) -> bool {
        // Asked for in each step of a program, so by the number of the process alone.
        if self.idle.is_none() && self.run.has_process_number() {
            let done = self.worker.as_ref().and_then(|worker| worker.done.try_recv().ok());
            self.take_back(done);
        }
        self.idle.is_none()
    }

    fn take_back(&mut self, done: Option<Done>) {
        if let Some(Done { idle, generation, outcome }) = done {
            self.run.landed(generation, outcome.as_ref().map_err(Error::to_string));
            self.idle = Some(idle);
            self.outcome = Some(outcome);
        }
    }

    /// Waits until no save goes on. A process that was forked does not wait: it does not have the thread that saves.
    fn settle(&mut self) {
        if self.idle.is_none() && self.run.is_of_this_process() {
            let done = self.worker.as_ref().and_then(|worker| worker.done.recv().ok());
            self.take_back(done);
        }
    }

    /// The error of a save in the background that is known to have failed.
    pub(crate) fn check(&mut self) -> Result<(), Error> {
        let _ = self.is_busy();
        self.outcome.take_if(|outcome| outcome.is_err()).transpose().map(drop)
    }

    /// Waits until no save goes on; if the last one failed, that is the error.
    fn idle(&mut self) -> Result<&mut Idle, Error> {
        self.run.check_process()?;
        self.settle();
        self.check()?;
        // Only a thread that ended without giving the writer back leaves none.
        self.idle.as_mut().ok_or_else(|| gone(String::new()))
    }

    /// The writer, once no save goes on. If the last one failed, that is the error.
    pub(crate) fn writer(&mut self) -> Result<&mut Writer, Error> {
        self.idle().map(|idle| &mut idle.writer)
    }

    /// The writer and the net, once no save goes on. If the last one failed, that is the error.
    pub(crate) fn writer_and_net(&mut self) -> Result<(&mut Writer, &mut Net), Error> {
        self.idle().map(|idle| (&mut idle.writer, &mut idle.net))
    }

    /// The writer, once no save goes on, whatever came of the last one.
    pub(crate) fn settled_writer(&mut self) -> Option<&mut Writer> {
        self.settle();
        self.idle.as_mut().map(|idle| &mut idle.writer)
    }

    /// Where the copy of a state goes, empty.
    pub(crate) fn staging(&mut self) -> Result<&mut Staging, Error> {
        let staging = &mut self.idle()?.staging;
        staging.clear();
        Ok(staging)
    }

    /// Begins to save the copy.
    pub(crate) fn begin(&mut self, manifest: Manifest, begun: Instant, why: Why) -> Result<Duration, Error> {
        self.idle()?.staging.trim();
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::start().map_err(|source| {
                Error::io(
                    "start a thread to save in",
                    self.idle.as_ref().map_or("".as_ref(), |idle| idle.writer.path()),
                    source,
                )
            })?),
        };
        let stall = begun.elapsed();
        if let Some(idle) = self.idle.take() {
            // It is the outcome of this save that counts from now on.
            self.outcome = None;
            let job = Job { idle, manifest, begun, stall, watcher: self.run.watcher.clone() };
            if let Err(SendError(Job { idle, manifest, .. })) = worker.jobs.send(job) {
                self.idle = Some(idle);
                return Err(gone(manifest.name));
            }
            self.run.took_off(begun, why);
        }
        Ok(stall)
    }

    /// Waits until no save goes on, and tells what came of the last one, once.
    pub(crate) fn wait(&mut self) -> Result<Option<Saved>, Error> {
        self.run.check_process()?;
        self.settle();
        self.outcome.take().transpose()
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        if !self.run.is_of_this_process() {
            // A process that was forked has neither the thread nor what that does. To drop its channels could wait for it.
            std::mem::forget(self.worker.take());
            return;
        }
        self.settle();
        if let Some(Err(error)) = &self.outcome {
            tracing::error!(%error, "a save in the background failed, and nobody asked for its outcome");
        }
        if let Some(Worker { jobs, done, thread }) = self.worker.take() {
            drop((jobs, done));
            let _ = thread.join();
        }
    }
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let (jobs, to_do) = channel();
        let (report, done) = channel();
        let thread = Builder::new().name("checkpoint-saver".to_owned()).spawn(move || {
            for job in to_do {
                if report.send(run(job)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Worker { jobs, done, thread })
    }
}

fn run(Job { mut idle, manifest, begun, stall, watcher }: Job) -> Done {
    let (name, generation) = (manifest.name.clone(), manifest.generation);
    let Idle { writer, net, staging } = &mut idle;
    // Whatever a panic interrupts, the writer stays usable: a number may be used up, and a file removes itself.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        save::save(writer, net, manifest, begun, Some(stall), &watcher, |output| staging.write(output))
    }))
    .unwrap_or_else(|panic| Err(Error::Panicked { name, message: message(&*panic) }));
    Done { idle, generation, outcome }
}

/// The thread has ended though nobody told it to.
fn gone(name: String) -> Error {
    Error::Panicked { name, message: "its thread has ended".to_owned() }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests;
