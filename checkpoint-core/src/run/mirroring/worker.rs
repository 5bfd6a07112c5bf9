//! The thread of a mirror. It works on one thing at a time, and gives up a copy that is half done
//! when the run ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::{Discard, Discarding, Shared, Start, State, Task};
use super::{is_final, warn_of_failure};
use crate::base::panics::caught;
use crate::base::warnings::{self, Warnings, warn};
use crate::error::Error;
use crate::store::mirror::{Far, Mirror, Near, Timing};

/// The longest pause before a mirror that failed is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Greater numbers of a mirror are passed over, unless the run goes on from them: a file of any
/// name can be put there, and after the greatest number no save would be possible.
const GREATEST: u64 = u64::MAX / 2;

/// The thread.
pub(super) struct Worker {
    shared: Arc<Shared>,
    far: Far,
    near: Near,
    mirror: Option<Mirror>,
    /// True if the mirror is known to have nothing that this run lacks.
    is_compared: bool,
    pause: Duration,
    first_pause: Duration,
}

/// The next work of the thread.
enum Next {
    Update(Task),
    /// Look whether the mirror still has what it had; this is the number of the look.
    Look(u64),
    Discard(Discard),
    End,
}

impl Worker {
    pub(super) fn new(shared: &Arc<Shared>, far: Far, near: Near, first_pause: Duration) -> Worker {
        let shared = Arc::clone(shared);
        Worker { shared, far, near, mirror: None, is_compared: false, pause: first_pause, first_pause }
    }

    pub(super) fn run(mut self, warnings: &Warnings) {
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
        shared.tell();
    }

    fn work(&mut self) {
        let first = self.first();
        {
            let mut state = self.shared.state();
            if state.is_late || first.is_err() {
                // The run goes on by itself: it must be compared once more.
                self.is_compared = false;
            } else if let Ok(Start { home, .. }) = &first {
                state.home = Some(Arc::clone(home));
            }
            if !state.is_late {
                state.first = Some(first);
            }
        }
        self.shared.tell();
        loop {
            match self.next() {
                Next::End => return,
                Next::Discard(discard) => self.discard(discard),
                Next::Look(number) => self.look(number),
                Next::Update(task) => self.attempt(task),
            }
        }
    }

    /// The first contact. The run can go on from a mirror that is ahead.
    fn first(&mut self) -> Result<Start, Error> {
        let (home, standing) = match self.far.reach(&self.near, true) {
            Ok((mirror, standing)) => {
                let home = Arc::clone(mirror.home());
                (self.mirror, self.is_compared) = (Some(mirror), true);
                (home, standing)
            }
            // It gets no copies for now. What it has more can be read all the same.
            Err(error) if cannot_be_written(&error) => match self.far.more_to_read(&self.near)? {
                Some(ahead) => (Arc::clone(&self.far.home), ahead),
                None => return Err(error),
            },
            Err(error) => return Err(error),
        };
        let used = home.generations()?.into_iter().chain(home.set_aside()?);
        let used = used.filter(|number| *number <= GREATEST).max();
        Ok(Start { home, standing, used })
    }

    fn discard(&mut self, Discard { number, after }: Discard) {
        let timing: Arc<dyn Timing> = Arc::new(Discarding { shared: Arc::clone(&self.shared), number });
        let outcome = self.reached().and_then(|mirror| mirror.discard_newer(after, &timing));
        // Some may be removed, whatever the outcome.
        let mirrored = self.mirror.as_ref().and_then(|mirror| mirror.newest().ok().flatten());
        let mut state = self.shared.state();
        (state.mirrored, state.done) = (mirrored, None);
        // The run may have given up to wait.
        if state.discards.is_some_and(|discard| discard.number == number) {
            state.discards = None;
            state.discarded = Some((number, outcome));
        }
        drop(state);
        self.shared.tell();
    }

    /// Waits for work.
    fn next(&self) -> Next {
        let mut state = self.shared.state();
        let retry = Instant::now().checked_add(self.pause);
        loop {
            if state.is_to_end {
                return Next::End;
            }
            if let Some(discard) = state.discards {
                return Next::Discard(discard);
            }
            if state.looked != state.looks && state.ended.is_none() {
                state.attempts += 1;
                return Next::Look(state.looks);
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

    /// Looks whether the mirror is still the place that was opened, and what it has. What it lost
    /// is copied again by the next work.
    fn look(&mut self, number: u64) {
        let shared = Arc::clone(&self.shared);
        let outcome = self.reached().and_then(Mirror::look);
        let mut complaint = None;
        let mut state = shared.state();
        state.looked = number;
        match outcome {
            Ok(newest) => {
                if newest < state.mirrored {
                    state.done = None;
                }
                state.mirrored = newest;
            }
            Err(error) => {
                state.done = None;
                complaint = failed(&mut state, &error);
            }
        }
        let is_failing = state.failing.is_some();
        drop(state);
        // Callbacks of the program run here.
        self.complain(complaint);
        if is_failing {
            self.give_up_if_lost();
        }
        shared.tell();
    }

    /// Does the work once, and tells the outcome.
    fn attempt(&mut self, task: Task) {
        let shared = Arc::clone(&self.shared);
        let timing: Arc<dyn Timing> = Arc::<Shared>::clone(&shared);
        let outcome = self.reached().and_then(|mirror| {
            let mirrored = shared.state().mirrored;
            let at_once = task.asked.is_some_and(|asked| asked <= task.up_to && mirrored < Some(asked));
            mirror.update(task.up_to, at_once, &timing)
        });
        let counted = self.mirror.as_ref().and_then(Mirror::counted);
        let path = self.far.home.path();
        let mut was_away = false;
        let mut complaint = None;
        let mut state = shared.state();
        match outcome {
            Ok(updated) => {
                was_away = state.failing.take().is_some();
                if updated.newest.is_some() || !updated.is_unfinished {
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
                complaint = failed(&mut state, &error);
            }
        }
        let (mirrored, is_failing) = (state.mirrored, state.failing.is_some());
        drop(state);
        // Callbacks of the program run here.
        if was_away {
            let mirrored = mirrored.map_or("none".to_owned(), |mirrored| mirrored.to_string());
            warn(format!("the mirror {} is back: its newest generation is {mirrored}", path.display()));
        }
        self.complain(complaint);
        if is_failing {
            self.pause = (2 * self.pause).min(LONGEST_PAUSE);
            self.give_up_if_lost();
        }
        shared.tell();
    }

    /// Tells the user of a failure.
    fn complain(&self, complaint: Option<Complaint>) {
        let path = self.far.home.path();
        match complaint {
            Some(Complaint::Ended(why)) => warnings::error(format!(
                "the mirror {} gets no more copies in this run, what is saved from now on is in the directory of the \
                 program alone: {why}",
                path.display()
            )),
            Some(Complaint::Failing(why)) => warn_of_failure(path, &why),
            None => {}
        }
    }

    /// Tells the user that the directory of the mirror is gone, with this generation.
    fn warn_of_lost_place(&self, lost: Option<u64>) {
        let Some(lost) = lost else { return };
        warn(format!(
            "the mirror {} does not have generation {lost} any more: its directory was removed, moved or replaced, or its \
             disk is not mounted; what {} has is copied again once it can be written",
            self.far.home.path().display(),
            self.near.home.path().display()
        ));
    }

    /// Gives up a lock on a directory that is gone, so that it is taken again. Another program that
    /// has the mirror is never pushed out.
    fn give_up_if_lost(&mut self) {
        let lost = self.mirror.as_ref().and_then(|mirror| mirror.check().err());
        match lost {
            None | Some(Error::TakenOver { .. }) => {}
            Some(error) => {
                self.mirror = None;
                let mut state = self.shared.state();
                state.home = None;
                if matches!(error, Error::DirectoryReplaced { .. }) {
                    // What was copied went with the directory.
                    let lost = state.mirrored.take();
                    state.done = None;
                    drop(state);
                    self.warn_of_lost_place(lost);
                }
            }
        }
    }

    /// The mirror, reached once more if it was lost.
    fn reached(&mut self) -> Result<&mut Mirror, Error> {
        if let Some(why) = &self.shared.state().ended {
            return Err(Error::io("copy to the mirror", self.far.home.path(), std::io::Error::other(&**why)));
        }
        self.give_up_if_lost();
        if self.mirror.is_none() {
            // The run has gone on from an older one than that of a mirror that is ahead.
            let (mirror, _) = self.far.reach(&self.near, false)?;
            (self.mirror, self.is_compared) = (Some(mirror), true);
        }
        let lost = self.lost();
        let mirror = self.mirror.as_mut().ok_or(lost)?;
        if !self.is_compared {
            mirror.compare_again(false)?;
            self.is_compared = true;
        }
        let mut state = self.shared.state();
        state.home = Some(Arc::clone(mirror.home()));
        mirror.note_damaged(std::mem::take(&mut state.damaged));
        Ok(mirror)
    }

    fn lost(&self) -> Error {
        let source = std::io::Error::from(std::io::ErrorKind::NotConnected);
        Error::io("open the mirror", self.far.home.path(), source)
    }
}

/// True for the error of a place that may be read all the same.
fn cannot_be_written(error: &Error) -> bool {
    matches!(error, Error::NotWritable { .. } | Error::NoSpace { .. })
}

/// What the user is told of a failure, with its reason.
enum Complaint {
    /// The mirror gets no more copies in this run.
    Ended(String),
    /// It gets none for now. Told once.
    Failing(String),
}

/// Notes the failure of an attempt.
fn failed(state: &mut State, error: &Error) -> Option<Complaint> {
    let why = error.to_string();
    if is_final(error) {
        state.ended = Some(why.clone());
        state.home = None;
        return Some(Complaint::Ended(why));
    }
    let is_new = state.failing.is_none();
    state.failing = Some((state.attempts, why.clone()));
    is_new.then_some(Complaint::Failing(why))
}
