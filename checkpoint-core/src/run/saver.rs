//! Saves in the background: a copy of the state, and the thread that writes it.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::arrays::{Array, ArraySink, Cause, Kind};
use crate::base::panics::caught;
use crate::base::streaming;
use crate::base::threads::{
    Builder, JoinHandle, Receiver, SendError, Sender, TryRecvError, channel, current,
};
use crate::base::warnings;
use crate::codec::NoMemory;
use crate::container::Manifest;
use crate::error::Error;
use crate::outcome::{Decision, SaveReason, Saved};
use crate::outputs::{self, Counted};
use crate::run::lifecycle::{Run, SaveContext, SaveOutcome};
use crate::run::mirroring::Mirroring;
use crate::run::read_back::{Net, ReadBack};
use crate::run::save::{self, Failure, Order, Output};
use crate::store::Writer;

/// A copy of the parts of a state. Its memory is kept from one save to the next: it stays warm, and
/// a state that does not grow needs no more of it.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    /// The bytes of the state, without its arrays.
    pub(crate) state: Vec<u8>,
    arrays: Vec<StagedArray>,
    /// The number of these that belong to the present save.
    used: usize,
    /// The outputs in the state, with their lengths at the time of the copy.
    pub(crate) outputs: Vec<Counted>,
}

#[derive(Debug)]
struct StagedArray {
    name: String,
    kind: Kind,
    outer: Option<Vec<u64>>,
    bytes: Vec<u8>,
}

impl Staging {
    /// Empties the copy, and keeps its memory.
    fn clear(&mut self) {
        self.state.clear();
        self.outputs.clear();
        self.used = 0;
    }

    /// Frees the memory of arrays that the state no longer has.
    fn trim(&mut self) {
        self.arrays.truncate(self.used);
    }
}

/// Writes the copies of arrays as if the state itself wrote them.
fn write(arrays: &[StagedArray], output: &mut Output<'_, '_>) -> Result<(), Failure> {
    for StagedArray { name, kind, outer, bytes } in arrays {
        let put = output.put(name.clone(), Array { kind: *kind, outer: outer.clone(), bytes });
        if let Err(cause) = put {
            return Err(Failure::Write(cause.downcast().map_or_else(io::Error::other, |error| *error)));
        }
    }
    Ok(())
}

impl ArraySink for Staging {
    fn takes(&self, bytes: usize) -> bool {
        crate::container::is_out_of_band(self.used, bytes)
    }

    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, Cause> {
        let number = self.used;
        let Array { kind, outer, bytes: copied } = array;
        // The memory of the array that was there before is used again.
        let mut bytes =
            self.arrays.get_mut(number).map(|staged| std::mem::take(&mut staged.bytes)).unwrap_or_default();
        bytes.clear();
        if bytes.try_reserve_exact(copied.len()).is_err() {
            let (part, bytes) = (format!("a copy of {name}"), copied.len() as u64);
            return Err(NoMemory { part, bytes }.into());
        }
        streaming::append(&mut bytes, copied);
        let staged = StagedArray { name, kind, outer, bytes };
        match self.arrays.get_mut(number) {
            Some(former) => *former = staged,
            None => self.arrays.push(staged),
        }
        self.used += 1;
        Ok(number as u64)
    }
}

/// Makes the saves of a directory: it has the writer, or has lent it to the thread that saves in
/// the background.
///
/// Nothing is shared with that thread. Writer and copy go to it and come back, so only one of the
/// two can save.
#[derive(Debug)]
pub(crate) struct Saver {
    /// The run to notify when a save completes. It is dropped first: the last line of the run is
    /// written while the directory is still ours.
    pub(crate) run: Run,
    pub(crate) read_back: ReadBack,
    stage: Stage,
    worker: Option<Worker>,
    /// While this is here, the thread has a copy and does not begin to write it.
    held: Option<Sender<()>>,
    /// The outcome of the last background save, until the program gets it.
    completed: Option<Completed>,
}

/// The place of the writer.
#[derive(Debug)]
enum Stage {
    /// Here: no save runs.
    Idle(Box<Idle>),
    /// With the thread, which will return it.
    InFlight(Flight),
    /// Nowhere: the thread has ended, and the writer with it.
    Lost,
}

#[derive(Debug)]
struct Idle {
    writer: Writer,
    net: Net,
    staging: Staging,
}

/// A save that runs in the background.
#[derive(Debug)]
struct Flight {
    name: String,
    begun: Instant,
    reason: SaveReason,
}

#[derive(Debug)]
struct Completed {
    saved: Result<Saved, Error>,
    outcome: SaveOutcome,
}

#[derive(Debug)]
struct Job {
    idle: Box<Idle>,
    order: Order,
    context: SaveContext,
    /// The thread waits until the other end is gone.
    held: Option<Receiver<()>>,
}

#[derive(Debug)]
struct Done {
    idle: Box<Idle>,
    generation: u64,
    saved: Result<Saved, Error>,
}

#[derive(Debug)]
struct Worker {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    thread: JoinHandle<()>,
    /// The task that waits for the end of the save.
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Saver {
    pub(crate) fn new(writer: Writer, net: Net, run: Run) -> Saver {
        let read_back = net.setting;
        let stage = Stage::Idle(Box::new(Idle { writer, net, staging: Staging::default() }));
        Saver { run, read_back, stage, worker: None, held: None, completed: None }
    }

    /// True while a save runs in the background.
    pub(crate) fn is_busy(&mut self) -> bool {
        // Each step of a program asks this, so the number of the process must do.
        if let (Stage::InFlight(_), Some(worker)) = (&self.stage, &self.worker)
            && self.run.has_process_number()
        {
            match worker.done.try_recv() {
                Ok(done) => self.take_back(Some(done)),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.take_back(None),
            }
        }
        matches!(self.stage, Stage::InFlight(_))
    }

    /// Wakes a task once the save that runs has ended.
    pub(crate) fn wake_when_done(&mut self, task: &Waker) {
        let Some(worker) = &self.worker else { return task.wake_by_ref() };
        // The code of the runtime runs outside of the lock.
        let task = task.clone();
        let before = worker.waker.lock().unwrap_or_else(PoisonError::into_inner).replace(task);
        drop(before);
    }

    /// Lets the thread write the copy that was held back.
    pub(crate) fn release(&mut self) {
        self.held = None;
    }

    /// Waits until no save runs. A forked process does not wait: it does not have the thread that
    /// saves.
    fn settle(&mut self) {
        self.release();
        if matches!(self.stage, Stage::InFlight(_)) && self.run.is_of_this_process() {
            let done = self.worker.as_ref().and_then(|worker| worker.done.recv().ok());
            self.take_back(done);
        }
    }

    /// Takes the writer back; there is none where the thread has ended. Callbacks run only when
    /// everything is in its place.
    fn take_back(&mut self, done: Option<Done>) {
        let Stage::InFlight(Flight { name, begun, reason }) = std::mem::replace(&mut self.stage, Stage::Lost)
        else {
            return;
        };
        let (generation, saved) = match done {
            Some(Done { idle, generation, saved }) => {
                self.stage = Stage::Idle(idle);
                (generation, saved)
            }
            None => (0, Err(gone(name))),
        };
        let completed = self.completed.insert(Completed { saved, outcome: SaveOutcome::Failed });
        completed.outcome = self.run.saved(begun, generation, &reason, completed.saved.as_ref());
    }

    /// Returns the decision about a background save that failed, if the program continues
    /// nevertheless.
    ///
    /// # Errors
    /// The error, if the program does not continue.
    pub(crate) fn check(&mut self) -> Result<Option<Decision>, Error> {
        let _ = self.is_busy();
        if self.completed.as_ref().is_some_and(|completed| completed.saved.is_err()) {
            // The error belongs to the process whose save failed.
            self.run.check_process()?;
        }
        match self.completed.take_if(|completed| completed.saved.is_err()) {
            Some(Completed { outcome: SaveOutcome::Tolerated(decision), .. }) => Ok(Some(decision)),
            Some(Completed { saved, .. }) => saved.map(|_| None),
            None => Ok(None),
        }
    }

    /// Returns the reason for a save that is due now, after one more step of the program. A save
    /// that is merely due does not wait for a running one.
    ///
    /// # Errors
    /// A save is due, and this process was forked from the one that saves: to wait for the running
    /// save of its parent would last forever.
    pub(crate) fn due(&mut self) -> Result<Option<SaveReason>, Error> {
        self.run.check_count()?;
        let Some(reason) = self.run.due() else { return Ok(None) };
        // Each step of a program asks this while a save runs, so the number of the process must do.
        if !self.run.has_process_number() {
            self.run.check_process()?;
        }
        Ok((matches!(reason, SaveReason::Stopping(_)) || !self.is_busy()).then_some(reason))
    }

    /// True if a save would be due after one more step of the program.
    ///
    /// # Errors
    /// As [`due`](Saver::due).
    pub(crate) fn is_due(&mut self) -> Result<bool, Error> {
        self.run.check_count()?;
        if !self.run.would_be_due() {
            return Ok(false);
        }
        if !self.run.has_process_number() {
            self.run.check_process()?;
        }
        Ok(self.run.is_to_stop() || !self.is_busy())
    }

    /// Waits until no save runs; returns the error of the last one, if it failed.
    fn idle(&mut self) -> Result<&mut Idle, Error> {
        self.run.check_process()?;
        self.settle();
        self.check()?;
        match &mut self.stage {
            Stage::Idle(idle) => Ok(idle),
            Stage::InFlight(Flight { name, .. }) => Err(gone(name.clone())),
            Stage::Lost => Err(gone(String::new())),
        }
    }

    /// The writer, once no save runs. Returns the error of the last one, if it failed.
    pub(crate) fn writer(&mut self) -> Result<&mut Writer, Error> {
        self.idle().map(|idle| &mut idle.writer)
    }

    /// The writer and the check of saves, once no save runs. Returns the error of the last save, if
    /// it failed.
    pub(crate) fn writer_and_net(&mut self) -> Result<(&mut Writer, &mut Net), Error> {
        self.idle().map(|idle| (&mut idle.writer, &mut idle.net))
    }

    /// The writer, once no save runs, whatever the outcome of the last one.
    pub(crate) fn settled_writer(&mut self) -> Option<&mut Writer> {
        self.settle();
        match &mut self.stage {
            Stage::Idle(idle) => Some(&mut idle.writer),
            Stage::InFlight(_) | Stage::Lost => None,
        }
    }

    /// The same, and the mirror of the run.
    pub(crate) fn settled_writer_and_mirror(&mut self) -> Option<(&mut Writer, Option<&Mirroring>)> {
        self.settle();
        match &mut self.stage {
            Stage::Idle(idle) => Some((&mut idle.writer, self.run.mirroring())),
            Stage::InFlight(_) | Stage::Lost => None,
        }
    }

    /// The empty destination of the copy of a state.
    pub(crate) fn staging(&mut self) -> Result<&mut Staging, Error> {
        let staging = &mut self.idle()?.staging;
        staging.clear();
        Ok(staging)
    }

    /// Forgets a copy whose save does not begin, so that its outputs are not kept open.
    pub(crate) fn forget_copy(&mut self) {
        if let Stage::Idle(idle) = &mut self.stage {
            idle.staging.clear();
        }
    }

    /// Starts to save the copy, or holds it back until its [release](Saver::release).
    pub(crate) fn begin(
        &mut self,
        manifest: Manifest,
        begun: Instant,
        reason: SaveReason,
        is_held: bool,
    ) -> Result<Duration, Error> {
        self.idle()?.staging.trim();
        let context = self.run.save_context();
        let worker = match &mut self.worker {
            Some(worker) => worker,
            none => none.insert(Worker::start().map_err(|source| {
                let path = match &self.stage {
                    Stage::Idle(idle) => idle.writer.path(),
                    Stage::InFlight(_) | Stage::Lost => "".as_ref(),
                };
                Error::io("start a thread to save in", path, source)
            })?),
        };
        let stall = begun.elapsed();
        let flight = Flight { name: manifest.name.clone(), begun, reason };
        match std::mem::replace(&mut self.stage, Stage::InFlight(flight)) {
            Stage::Idle(idle) => {
                // From now on, the outcome of this save counts.
                self.completed = None;
                let order = Order { manifest, begun, stall: Some(stall) };
                let (hold, held) = is_held.then(channel).unzip();
                self.held = hold;
                if let Err(SendError(Job { idle, order, .. })) =
                    worker.jobs.send(Job { idle, order, context, held })
                {
                    self.stage = Stage::Idle(idle);
                    return Err(gone(order.manifest.name));
                }
            }
            other => self.stage = other,
        }
        Ok(stall)
    }

    /// Waits until no save runs, and returns the outcome of the last one, once: what was saved, or
    /// the decision where a failure is tolerated.
    pub(crate) fn outcome(&mut self) -> Result<(Option<Saved>, Option<Decision>), Error> {
        self.settle();
        let decision = self.check()?;
        Ok((self.wait()?, decision))
    }

    /// Waits until no save runs, and returns the outcome of the last one, once.
    pub(crate) fn wait(&mut self) -> Result<Option<Saved>, Error> {
        self.run.check_process()?;
        self.settle();
        self.completed.take().map(|completed| completed.saved).transpose()
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        if !self.run.is_of_this_process() {
            // A forked process has neither the thread nor its work. Dropping its channels could
            // wait for it.
            std::mem::forget(self.worker.take());
            return;
        }
        let _warnings = self.run.warnings.enter();
        self.settle();
        if let Some(Completed { saved: Err(error), outcome: SaveOutcome::Failed }) = &self.completed {
            warnings::error(format!(
                "a save in the background failed, and the program did not ask for its outcome: {error}"
            ));
        }
        if let Some(Worker { jobs, done, thread, .. }) = self.worker.take() {
            drop((jobs, done));
            // A waker may own what is dropped here, and be dropped by that thread itself.
            if thread.thread().id() != current().id() {
                let _ = thread.join();
            }
        }
    }
}

impl Worker {
    fn start() -> io::Result<Worker> {
        let (jobs, to_do) = channel();
        let (report, done) = channel();
        let waker = Arc::new(Mutex::new(None::<Waker>));
        let waiting = Arc::clone(&waker);
        let thread = Builder::new().name("checkpoint-saver".to_owned()).spawn(move || {
            for job in to_do {
                if report.send(run(job)).is_err() {
                    break;
                }
                // This is code of the runtime, and runs without the lock.
                let waker = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
                let _ = caught(|| waker.into_iter().for_each(Waker::wake));
            }
        })?;
        Ok(Worker { jobs, done, thread, waker })
    }
}

fn run(Job { mut idle, order, context, held }: Job) -> Done {
    // Nothing is sent: it returns once the other end is dropped.
    let _ = held.map(|held| held.recv());
    let _warnings = context.warnings.enter();
    let (name, generation) = (order.manifest.name.clone(), order.manifest.generation);
    let Idle { writer, net, staging: Staging { state, arrays, outputs, .. } } = &mut *idle;
    let outputs = std::mem::take(outputs);
    // Whatever a panic interrupts, the writer stays usable: a number may be used up, and a file
    // removes itself.
    let saved = caught(|| {
        save::save(writer, net, order, &context, state, &mut |output, _, _| {
            write(arrays, output).map(|()| outputs.clone())
        })
    })
    .unwrap_or_else(|message| Err(Error::Panicked { name, message }));
    if saved.is_err() {
        // It may have failed before it had them from here, and the copy counted their bytes.
        outputs::abandon(&outputs);
    }
    Done { idle, generation, saved }
}

/// The error of a thread that ended by itself.
fn gone(name: String) -> Error {
    Error::Panicked { name, message: "its thread has ended".to_owned() }
}

#[cfg(test)]
mod tests;
