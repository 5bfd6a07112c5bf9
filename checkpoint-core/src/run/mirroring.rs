//! The thread that copies the generations of a run to its mirror.
//!
//! The run tells it of each save, and never waits for it. It tells the run by [`State`] how far it
//! is. It works on one thing at a time, and gives up a copy that is half done when the run ends.

use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::panics::caught;
use crate::base::warnings::{self, Warnings, warn};
use crate::error::{Error, Skipped};
use crate::run::mirror::Mirror as Settings;
use crate::store::mirror::{Far, Mirror, Near, Records, Standing, Timing, restore};
use crate::store::{Disk, Home, Process, Writer};

/// The longest time that opening a directory with checkpoints waits for its mirror.
const FIRST: Duration = Duration::from_secs(60);

/// The longest pause before a mirror that failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The longest time that the end of a run waits for the thread, which may hang in a request.
const TO_END: Duration = Duration::from_secs(10);

/// The mirror of a run.
#[derive(Debug)]
pub(crate) struct Mirroring {
    shared: Arc<Shared>,
    /// What the directory remembers of the mirror.
    records: Records,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
    wait_at_finish: Duration,
    process: Process,
}

/// The state that the run and the thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    begun: Instant,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The newest generation that the run has acknowledged; `None` until the run has begun.
    newest: Option<u64>,
    /// The newest generation that the mirror is known to have.
    mirrored: Option<u64>,
    /// A generation that the run waits for.
    asked: Option<u64>,
    /// The last task that succeeded.
    done: Option<Task>,
    /// True to try again at once.
    hurries: bool,
    /// The number of attempts that were begun.
    attempts: u64,
    /// The last attempt, if it failed, and the reason.
    failing: Option<(u64, String)>,
    /// The reason that the mirror gets no more copies in this run.
    ended: Option<String>,
    /// The generation after which all are to be removed.
    discards: Option<u64>,
    discarded: Option<Result<(), Error>>,
    /// The mirror, for reading, once it is known to be of this run.
    home: Option<Arc<dyn Home>>,
    /// Generations that a restore found damaged at the mirror, of which the thread does not know yet.
    damaged: Vec<u64>,
    /// The first contact, until the run takes it.
    first: Option<Result<Start, Error>>,
    /// True if the run no longer waits for the first contact.
    is_late: bool,
    is_to_end: bool,
    has_ended: bool,
}

/// The generations to copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Task {
    up_to: u64,
    asked: Option<u64>,
}

/// What the run learns when the mirror is first reached.
#[derive(Debug)]
struct Start {
    home: Arc<dyn Home>,
    standing: Standing,
    /// The highest number that was used there.
    newest: Option<u64>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most until this moment.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, until: Option<Instant>) -> MutexGuard<'a, State> {
        match until {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let time = until.saturating_duration_since(Instant::now());
                self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    /// Tells the thread of a generation that was acknowledged.
    pub(crate) fn saved(&self, generation: u64) {
        self.state().newest = Some(generation);
        self.changed.notify_all();
    }
}

impl Timing for Shared {
    fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    fn wait(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        let state = self.state();
        if !state.is_to_end && state.discards.is_none() {
            drop(Shared::wait(self, state, until));
        }
    }

    fn is_to_end(&self) -> bool {
        let state = self.state();
        state.is_to_end || state.discards.is_some()
    }
}

impl Mirroring {
    /// Reaches the mirror of a directory that was just claimed, copies what it has more, and starts
    /// the thread.
    ///
    /// # Errors
    /// The two levels are of two runs; the directory is empty, and the mirror cannot be asked; or
    /// the mirror has checkpoints, and none is usable.
    pub(crate) fn open(
        settings: &Settings,
        far: Far,
        writer: &mut Writer,
        disk: Arc<dyn Disk>,
        warnings: &Warnings,
    ) -> Result<Mirroring, Error> {
        let path = far.home.path().to_owned();
        let records = Records::new(Arc::clone(&disk), writer.path(), &path);
        let near = Near { home: Arc::clone(writer.home()), disk };
        let (begun, state, changed) = (Instant::now(), Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { begun, state, changed });
        let worker = Worker {
            shared: Arc::clone(&shared),
            far,
            near,
            mirror: None,
            pause: settings.retry,
            first_pause: settings.retry,
        };
        let warnings = warnings.clone();
        let thread = std::thread::Builder::new().name("checkpoint-mirror".to_owned());
        let thread = thread.spawn(move || worker.run(&warnings));
        let thread = thread.map_err(|source| Error::io("start a thread for the mirror", &path, source))?;
        let wait_at_finish = settings.wait_at_finish;
        let (thread, process) = (Some(thread), Process::current());
        let mirroring = Mirroring { shared, records, thread, path, wait_at_finish, process };
        mirroring.begin(writer)?;
        Ok(mirroring)
    }

    /// Waits for the first contact, and copies what the mirror has more.
    fn begin(&self, writer: &mut Writer) -> Result<(), Error> {
        let is_empty = writer.known().is_empty();
        // Without checkpoints, nothing can be done before the mirror is asked.
        let until = if is_empty { None } else { Instant::now().checked_add(FIRST) };
        let first = {
            let mut state = self.shared.state();
            while state.first.is_none() && until.is_none_or(|until| Instant::now() < until) {
                state = self.shared.wait(state, until);
            }
            state.is_late = true;
            state.first.take()
        };
        let first = first.unwrap_or_else(|| {
            let source =
                std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {FIRST:?}"));
            Err(Error::io("open the mirror", &self.path, source))
        });
        match first {
            Ok(start) => self.restart(writer, start)?,
            Err(source) if is_away(&source) && is_empty => return Err(self.unreachable(writer, source)),
            Err(source) if !is_empty && !is_fatal(&source) => {
                self.warn_of_failure(&source.to_string());
                self.shared.state().failing = Some((0, source.to_string()));
            }
            Err(error) => return Err(error),
        }
        self.shared.state().newest = writer.newest();
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Goes on from the newest of both levels.
    fn restart(&self, writer: &mut Writer, start: Start) -> Result<(), Error> {
        let Start { home, standing, newest } = start;
        match standing {
            Standing::Behind => {}
            Standing::Apart { near, far } => {
                let (path, mirror) = (writer.path().to_owned(), self.path.clone());
                return Err(Error::MirrorApart { path, mirror, newest: near, newest_there: far });
            }
            Standing::Ahead { near } => {
                let (restored, tried) = restore(&*home, (writer, &self.records), near, &self.timing())?;
                self.note_damaged(&tried);
                let (path, mirror) = (writer.path().display(), self.path.display());
                match (restored, near) {
                    (Some(generation), Some(near)) => warn(format!(
                        "the mirror {mirror} is newer than {path}, whose newest checkpoint is generation {near}: \
                         generation {generation} was copied here, and the program goes on from it"
                    )),
                    (Some(generation), None) => warn(format!(
                        "{path} has no usable checkpoint: generation {generation} was copied here from its mirror {mirror}"
                    )),
                    (None, Some(near)) => warn(format!(
                        "the mirror {mirror} has checkpoints after generation {near} of {path}, and none of them can \
                         be used: the program goes on from generation {near}"
                    )),
                    (None, None) => return Err(Error::NoneUsable { path: self.path.clone(), tried }),
                }
            }
        }
        // The number of a generation of the mirror is not used for another one.
        if let Some(newest) = newest {
            writer.skip_to(newest.saturating_add(1));
        }
        Ok(())
    }

    fn timing(&self) -> Arc<dyn Timing> {
        Arc::<Shared>::clone(&self.shared)
    }

    /// What the thread must be told of.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// The newest generation that the mirror is known to have.
    pub(crate) fn mirrored(&self) -> Option<u64> {
        // In a forked process, the thread of its parent may hold the mutex.
        if self.process.is_current() { self.shared.state().mirrored } else { None }
    }

    /// Copies the newest usable generation of the mirror back, if it is newer than this one. Returns
    /// true if there is one. A mirror that gets no more copies in this run may be of another one:
    /// nothing is taken from it.
    ///
    /// # Errors
    /// [`Error::MirrorUnreachable`]: an older generation in the place of one that the mirror may
    /// have would give work up in silence.
    pub(crate) fn restore(&self, writer: &mut Writer, better_than: Option<u64>) -> Result<bool, Error> {
        if !self.process.is_current() {
            return Ok(false);
        }
        let Some(home) = self.asked_home().map_err(|source| self.unreachable(writer, source))? else {
            return Ok(false);
        };
        let timing: Arc<dyn Timing> = Arc::new(Unhurried);
        let restored =
            home.check().and_then(|()| restore(&*home, (&mut *writer, &self.records), better_than, &timing));
        match restored {
            Ok((restored, tried)) => {
                self.note_damaged(&tried);
                let Some(generation) = restored else { return Ok(false) };
                warn(format!(
                    "generation {generation} of {} was copied back from its mirror {}",
                    writer.path().display(),
                    self.path.display()
                ));
                Ok(true)
            }
            Err(error @ Error::TakenOver { .. }) => {
                warn(format!("the mirror cannot replace what is damaged: {error}"));
                Ok(false)
            }
            Err(error) if is_away(&error) => Err(self.unreachable(writer, error)),
            Err(error) => Err(error),
        }
    }

    /// The mirror, for reading. If it was away, waits for one more attempt. `None` if it gets no
    /// more copies in this run.
    fn asked_home(&self) -> Result<Option<Arc<dyn Home>>, Error> {
        let until = Instant::now().checked_add(FIRST);
        let mut state = self.shared.state();
        let before = state.attempts;
        if state.home.is_none() {
            state.hurries = true;
            self.shared.changed.notify_all();
        }
        loop {
            if state.ended.is_some() || state.home.is_some() {
                return Ok(state.home.clone());
            }
            let failed = state.failing.as_ref().filter(|(attempt, _)| *attempt > before);
            let is_over = state.newest.is_none() || until.is_some_and(|until| Instant::now() >= until);
            if failed.is_some() || is_over {
                let why = state.failing.as_ref().map_or("it gave no answer", |(_, why)| why);
                return Err(Error::io("open the mirror", &self.path, std::io::Error::other(why)));
            }
            state = self.shared.wait(state, until);
        }
    }

    fn unreachable(&self, writer: &Writer, source: Error) -> Error {
        let (path, mirror) = (writer.path().to_owned(), self.path.clone());
        Error::MirrorUnreachable { path, mirror, source: Box::new(source) }
    }

    /// Tells the thread of generations that are damaged at the mirror.
    fn note_damaged(&self, tried: &[Skipped]) {
        self.shared.state().damaged.extend(tried.iter().map(|skipped| skipped.generation));
    }

    /// Waits until the mirror has this generation.
    ///
    /// # Errors
    /// [`Error::NotMirrored`]: the time is over, the mirror is out of reach, or it gets no more
    /// copies.
    pub(crate) fn wait(&self, generation: u64, longest: Duration) -> Result<(), Error> {
        let until = Instant::now().checked_add(longest);
        let not_yet = |why: String| Err(Error::NotMirrored { mirror: self.path.clone(), generation, why });
        if !self.process.is_current() {
            return not_yet("this process was forked from the one that mirrors".to_owned());
        }
        let mut state = self.shared.state();
        let newest = generation;
        // A save that failed may have left a generation, which is no promise of the directory.
        let Some(generation) = state.newest.map(|acknowledged| acknowledged.min(newest)) else {
            return not_yet("no save is acknowledged".to_owned());
        };
        (state.asked, state.hurries) = (Some(generation), true);
        self.shared.changed.notify_all();
        let before = state.attempts;
        loop {
            if state.mirrored.is_some_and(|mirrored| mirrored >= newest) {
                return Ok(());
            }
            if generation < newest && state.mirrored.is_some_and(|mirrored| mirrored >= generation) {
                return not_yet(format!(
                    "its save is not acknowledged; the mirror has generation {generation}"
                ));
            }
            if let Some(why) = &state.ended {
                return not_yet(why.clone());
            }
            match &state.failing {
                Some((attempt, why)) if *attempt > before => return not_yet(why.clone()),
                _ => {}
            }
            if state.done.is_some_and(|done| done.asked == Some(generation) && done.up_to >= generation) {
                return not_yet("the directory does not have it whole".to_owned());
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                let why = format!("it took longer than {longest:?}");
                return not_yet(state.failing.as_ref().map_or(why, |(_, why)| why.clone()));
            }
            state = self.shared.wait(state, until);
        }
    }

    /// Waits at the end of a run until the mirror has its last generation. Returns the newest that
    /// the mirror has.
    pub(crate) fn finish(&self, generation: Option<u64>) -> Option<u64> {
        if let Some(generation) = generation
            && let Err(error) = self.wait(generation, self.wait_at_finish)
        {
            let mirrored = self.mirrored();
            let has = mirrored.map_or_else(
                || "is not known to have any".to_owned(),
                |mirrored| format!("has those up to generation {mirrored}"),
            );
            warn(format!(
                "{error}; it {has}: the program ends nevertheless, and its next start copies what is missing"
            ));
        }
        self.mirrored()
    }

    /// Removes the generations of the mirror after this one.
    pub(crate) fn discard_newer(&self, generation: u64) -> Result<(), Error> {
        let mut state = self.shared.state();
        let former = state.newest.replace(generation);
        (state.discards, state.hurries) = (Some(generation), true);
        self.shared.changed.notify_all();
        let outcome = loop {
            if let Some(outcome) = state.discarded.take() {
                break outcome;
            }
            if state.has_ended {
                let why = "its thread has ended".to_owned();
                break Err(Error::NotMirrored { mirror: self.path.clone(), generation, why });
            }
            state = self.shared.wait(state, None);
        };
        state.discards = None;
        if outcome.is_err() {
            state.newest = former;
        }
        drop(state);
        self.shared.changed.notify_all();
        outcome
    }

    fn warn_of_failure(&self, why: &str) {
        warn_of_failure(&self.path, why);
    }
}

fn warn_of_failure(mirror: &std::path::Path, why: &str) {
    warn(format!(
        "the mirror {} gets no copies for now, it is tried again, and saves go on in the directory of the program: {why}",
        mirror.display()
    ));
}

/// True for the failure of a first contact that stops a program whose directory has checkpoints.
fn is_fatal(error: &Error) -> bool {
    matches!(
        error,
        Error::InUse { .. }
            | Error::MirrorApart { .. }
            | Error::TakenOver { .. }
            | Error::OtherProcess { .. }
            | Error::InvalidSetting { .. }
            | Error::NoneUsable { .. }
            | Error::Panicked { .. }
    )
}

/// True for an error after which this run copies nothing more to its mirror.
fn is_final(error: &Error) -> bool {
    matches!(error, Error::MirrorApart { .. } | Error::TakenOver { .. } | Error::OtherProcess { .. })
}

/// True if a mirror may come back by itself.
fn is_away(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() != std::io::ErrorKind::PermissionDenied)
}

/// The time of a caller that waits for the end.
#[derive(Debug)]
struct Unhurried;

impl Timing for Unhurried {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wait(&self, _: Duration) {}

    fn is_to_end(&self) -> bool {
        false
    }
}

impl Drop for Mirroring {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if !self.process.is_current() {
            // A forked process does not have the thread; its parent's may hold the mutex.
            std::mem::forget(thread);
            return;
        }
        let mut state = self.shared.state();
        state.is_to_end = true;
        self.shared.changed.notify_all();
        let until = Instant::now().checked_add(TO_END);
        while !state.has_ended && until.is_none_or(|until| Instant::now() < until) {
            state = self.shared.wait(state, until);
        }
        let has_ended = state.has_ended;
        drop(state);
        if has_ended {
            let _ = thread.join();
        } else {
            warn(format!("the mirror {} does not answer, and is left behind", self.path.display()));
        }
    }
}

/// The thread.
struct Worker {
    shared: Arc<Shared>,
    far: Far,
    near: Near,
    mirror: Option<Mirror>,
    pause: Duration,
    first_pause: Duration,
}

/// The next work of the thread.
enum Next {
    Update(Task),
    Discard(u64),
    End,
}

impl Worker {
    fn run(mut self, warnings: &Warnings) {
        let _warnings = warnings.enter();
        let shared = Arc::clone(&self.shared);
        let outcome = caught(|| self.work());
        // The claim on the mirror is given back before the run goes on.
        drop(self);
        let mut state = shared.state();
        if let Err(message) = outcome {
            let why = format!("its thread panicked: {message}");
            warnings::error(format!("a mirror gets no more copies in this run: {why}"));
            state.first.get_or_insert_with(|| {
                Err(Error::Panicked { name: "the mirror".to_owned(), message: message.clone() })
            });
            state.ended = Some(why);
        }
        state.has_ended = true;
        drop(state);
        shared.changed.notify_all();
    }

    fn work(&mut self) {
        let first = self.reach();
        let first = first.and_then(|standing| {
            let mirror = self.mirror.as_ref().ok_or_else(|| self.lost())?;
            let newest = mirror.home().generations()?.last().copied();
            let newest = newest.max(mirror.home().set_aside()?.last().copied());
            Ok(Start { home: Arc::clone(mirror.home()), standing, newest })
        });
        let is_compared = {
            let mut state = self.shared.state();
            let is_compared = !state.is_late && first.is_ok();
            if let (true, Ok(Start { home, standing: Standing::Behind | Standing::Ahead { .. }, .. })) =
                (is_compared, &first)
            {
                state.home = Some(Arc::clone(home));
            }
            if !state.is_late {
                state.first = Some(first);
            }
            is_compared
        };
        self.shared.changed.notify_all();
        if !is_compared {
            // The run goes on by itself: it must be compared once more.
            self.mirror = None;
        }
        loop {
            match self.next() {
                Next::End => return,
                Next::Discard(generation) => {
                    let outcome = self.reached().and_then(|mirror| mirror.discard_newer(generation));
                    // Some may be removed, whatever the outcome.
                    let mirrored = self.mirror.as_ref().and_then(|mirror| mirror.newest().ok().flatten());
                    let mut state = self.shared.state();
                    (state.mirrored, state.done) = (mirrored, None);
                    state.discards = None;
                    state.discarded = Some(outcome);
                    drop(state);
                    self.shared.changed.notify_all();
                }
                Next::Update(task) => self.attempt(task),
            }
        }
    }

    /// Waits for work.
    fn next(&self) -> Next {
        let mut state = self.shared.state();
        let retry = Instant::now().checked_add(self.pause);
        loop {
            if state.is_to_end {
                return Next::End;
            }
            if let Some(generation) = state.discards.filter(|_| state.discarded.is_none()) {
                return Next::Discard(generation);
            }
            let task = state.newest.map(|up_to| Task { up_to, asked: state.asked });
            let mut until = None;
            if let Some(task) = task.filter(|task| state.ended.is_none() && Some(*task) != state.done) {
                let is_time = retry.is_none_or(|retry| Instant::now() >= retry);
                if state.failing.is_none() || state.hurries || is_time {
                    state.hurries = false;
                    state.attempts += 1;
                    return Next::Update(task);
                }
                until = retry;
            }
            state = self.shared.wait(state, until);
        }
    }

    /// Does the work once, and tells the outcome.
    fn attempt(&mut self, task: Task) {
        let shared = Arc::clone(&self.shared);
        let timing: Arc<dyn Timing> = Arc::<Shared>::clone(&shared);
        let mirrored = shared.state().mirrored;
        let at_once = task.asked.is_some_and(|asked| asked <= task.up_to && mirrored < Some(asked));
        let outcome = self.reached().and_then(|mirror| mirror.update(task.up_to, at_once, &timing));
        let counted = self.mirror.as_ref().and_then(Mirror::counted);
        let path = self.far.home.path();
        let mut was_away = false;
        let mut complaint = None;
        let mut state = shared.state();
        match outcome {
            Ok(updated) => {
                was_away = state.failing.take().is_some();
                if updated.newest.is_some() {
                    state.mirrored = updated.newest;
                }
                if !updated.is_unfinished {
                    state.done = Some(task);
                }
                self.pause = self.first_pause;
            }
            Err(error) => {
                // The newest may have arrived, and the rest of the work failed.
                state.mirrored = counted.or(state.mirrored);
                let why = error.to_string();
                let attempt = state.attempts;
                if is_final(&error) {
                    state.ended = Some(why.clone());
                    state.home = None;
                    complaint = Some((true, why));
                } else {
                    if state.failing.is_none() {
                        complaint = Some((false, why.clone()));
                    }
                    state.failing = Some((attempt, why));
                }
            }
        }
        let (mirrored, is_failing) = (state.mirrored, state.failing.is_some());
        drop(state);
        // Callbacks of the program run here.
        if was_away {
            let mirrored = mirrored.map_or("none".to_owned(), |mirrored| mirrored.to_string());
            warn(format!("the mirror {} is back: its newest generation is {mirrored}", path.display()));
        }
        match complaint {
            Some((true, why)) => warnings::error(format!(
                "the mirror {} gets no more copies in this run, what is saved from now on is in the directory of the \
                 program alone: {why}",
                path.display()
            )),
            Some((false, why)) => warn_of_failure(path, &why),
            None => {}
        }
        if is_failing {
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
            // A lock on a directory that is gone is taken again; another program that has the mirror
            // is never pushed out.
            let lost = self.mirror.as_ref().and_then(|mirror| mirror.check().err());
            if lost.is_some_and(|error| !matches!(error, Error::TakenOver { .. })) {
                self.mirror = None;
                shared.state().home = None;
            }
        }
        shared.changed.notify_all();
    }

    /// The mirror, reached once more if it was lost.
    fn reached(&mut self) -> Result<&mut Mirror, Error> {
        if let Some(why) = &self.shared.state().ended {
            return Err(Error::io("copy to the mirror", self.far.home.path(), std::io::Error::other(&**why)));
        }
        if self.mirror.is_none() {
            let standing = self.reach()?;
            let newest = self.near.home.generations()?.last().copied().unwrap_or(0);
            let apart = match standing {
                Standing::Behind => None,
                Standing::Apart { near, far } => Some((near, far)),
                // The run has gone on from an older one.
                Standing::Ahead { .. } => {
                    let there = self.mirror.as_ref().map(|mirror| mirror.home().generations()).transpose()?;
                    Some((newest, there.and_then(|there| there.last().copied()).unwrap_or(0)))
                }
            };
            if let Some((near, far)) = apart {
                let error = self.mirror.take().map(|mirror| mirror.apart(near, far));
                return Err(error.unwrap_or_else(|| self.lost()));
            }
            self.shared.state().home = self.mirror.as_ref().map(|mirror| Arc::clone(mirror.home()));
        }
        let lost = self.lost();
        let mirror = self.mirror.as_mut().ok_or(lost)?;
        mirror.note_damaged(std::mem::take(&mut self.shared.state().damaged));
        Ok(mirror)
    }

    fn reach(&mut self) -> Result<Standing, Error> {
        let mut mirror = self.far.reach(&self.near)?;
        let standing = mirror.standing()?;
        self.mirror = Some(mirror);
        Ok(standing)
    }

    fn lost(&self) -> Error {
        let source = std::io::Error::from(std::io::ErrorKind::NotConnected);
        Error::io("open the mirror", self.far.home.path(), source)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
