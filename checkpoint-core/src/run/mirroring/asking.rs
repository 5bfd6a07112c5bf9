//! What a run asks of the thread of its mirror, and how long it waits for it.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::{Discard, Task};
use super::{Mirroring, is_away_from, is_over};
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::mirror::{Timing, restore};
use crate::store::{Home, Writer};

impl Mirroring {
    /// The newest generation that the last copy, or the last look, found at the mirror.
    pub(crate) fn mirrored(&self) -> Option<u64> {
        // In a forked process, the thread of its parent may hold the mutex.
        if self.process.is_current() { self.shared.state().mirrored } else { None }
    }

    /// Copies the newest usable generation of the mirror back, if it is newer than this one.
    /// Returns true if there is one. A mirror that gets no more copies in this run may be of
    /// another one: nothing is taken from it.
    ///
    /// # Errors
    /// [`Error::MirrorUnreachable`]: an older generation in the place of one that the mirror may
    /// have would give work up in silence.
    pub(crate) fn restore(&self, writer: &mut Writer, better_than: Option<u64>) -> Result<bool, Error> {
        if !self.process.is_current() {
            return Ok(false);
        }
        let Some(home) = self.asked_home().map_err(|why| self.unreachable(writer, why))? else {
            return Ok(false);
        };
        let timing: Arc<dyn Timing> = Arc::new(Unhurried);
        let restored = self.patient(home).and_then(|home| {
            home.check()?;
            restore(&*home, (&mut *writer, &self.records), better_than, &timing)
        });
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
            Err(error) if is_away_from(writer.path(), &error) => {
                Err(self.unreachable(writer, error.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// The mirror, for reading. If it was away, waits for one more attempt; the error is the reason
    /// that this failed. `None` if the mirror gets no more copies in this run.
    fn asked_home(&self) -> Result<Option<Arc<dyn Home>>, String> {
        let until = Instant::now().checked_add(self.patience.first);
        let mut state = self.shared.state();
        let before = state.attempts;
        if state.home.is_none() {
            state.hurries = true;
            self.shared.tell();
        }
        loop {
            if state.ended.is_some() || state.home.is_some() {
                return Ok(state.home.clone());
            }
            let failed = state.failing.as_ref().filter(|(attempt, _)| *attempt > before);
            if failed.is_some() || state.newest.is_none() || is_over(until) {
                let why = state.failing.as_ref().map(|(_, why)| why.clone());
                return Err(why.unwrap_or_else(|| "it gave no answer".to_owned()));
            }
            state = self.shared.wait(state, until);
        }
    }

    /// Waits until the mirror has this generation, by a look at its place.
    ///
    /// # Errors
    /// [`Error::NotMirrored`]: the time is over, the mirror is out of reach, or it gets no more
    /// copies.
    pub(crate) fn wait(&self, generation: u64, longest: Duration) -> Result<(), Error> {
        self.wait_with(generation, longest, longest)
    }

    /// The same, and waits for the look at most the second time, which is not the longer one.
    fn wait_with(&self, generation: u64, longest: Duration, for_look: Duration) -> Result<(), Error> {
        let until = Instant::now().checked_add(longest);
        let until_looked = Instant::now().checked_add(for_look);
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
        // What was there once may have been removed.
        state.looks += 1;
        let look = state.looks;
        self.shared.tell();
        let before = state.attempts;
        loop {
            let has_looked = state.looked >= look;
            let has = |generation: u64| has_looked && state.mirrored >= Some(generation);
            if has(newest) {
                return Ok(());
            }
            if generation < newest && has(generation) {
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
            let is_done = |task: Task| task.asked == Some(generation) && task.up_to >= generation;
            if has_looked && state.done.is_some_and(is_done) {
                return not_yet("the directory does not have it whole".to_owned());
            }
            let limit = if has_looked { until } else { until_looked };
            if is_over(limit) {
                let why = match state.mirrored >= Some(newest) {
                    true => {
                        format!("it had it, and gave no answer within {for_look:?} whether it still has it")
                    }
                    false => format!("it took longer than {longest:?}"),
                };
                return not_yet(state.failing.as_ref().map_or(why, |(_, why)| why.clone()));
            }
            state = self.shared.wait(state, limit);
        }
    }

    /// Waits at the end of a run until the mirror has its last generation. Returns the newest that
    /// the mirror is known to have. Where a copy confirmed the last one, it only looks for it, and
    /// does not wait long for a mirror that hangs.
    pub(crate) fn finish(&self, generation: Option<u64>) -> Option<u64> {
        let longest = self.wait_at_finish;
        let was_confirmed = generation.is_some() && self.mirrored() >= generation;
        if longest.is_zero() && was_confirmed {
            return self.mirrored();
        }
        let for_look = if was_confirmed { longest.min(self.patience.end) } else { longest };
        if let Some(generation) = generation
            && let Err(error) = self.wait_with(generation, longest, for_look)
        {
            let mirrored = self.mirrored();
            let has = mirrored.map_or_else(
                || "is not known to have any".to_owned(),
                |mirrored| format!("has those up to generation {mirrored}, as far as is known"),
            );
            warn(format!(
                "{error}; it {has}: the program ends nevertheless, and its next start copies what is missing"
            ));
        }
        self.mirrored()
    }

    /// Removes the generations of the mirror after this one.
    ///
    /// # Errors
    /// That of the mirror, also where it does not answer for long. Then some of them may be gone
    /// there; what the directory still has is copied again.
    pub(crate) fn discard_newer(&self, generation: u64) -> Result<(), Error> {
        let failed = |kind, why: String| {
            Err(Error::io("discard generations of the mirror", &self.path, io::Error::new(kind, why)))
        };
        if !self.process.is_current() {
            let why = "this process was forked from the one that mirrors".to_owned();
            return failed(io::ErrorKind::Other, why);
        }
        let longest = self.patience.discard;
        let until = Instant::now().checked_add(longest);
        let mut state = self.shared.state();
        let former = state.newest.replace(generation);
        state.discards_asked += 1;
        let number = state.discards_asked;
        (state.discards, state.hurries) = (Some(Discard { number, after: generation }), true);
        self.shared.tell();
        let outcome = loop {
            match state.discarded.take() {
                Some((of, outcome)) if of == number => break outcome,
                _ => {}
            }
            if state.has_ended {
                break failed(io::ErrorKind::Other, "its thread has ended".to_owned());
            }
            if is_over(until) {
                let why = format!(
                    "no answer within {longest:?}; nothing was removed from the directory, and what is missing at the mirror \
                     is copied again"
                );
                break failed(io::ErrorKind::TimedOut, why);
            }
            state = self.shared.wait(state, until);
        };
        state.discards = None;
        if outcome.is_err() {
            state.newest = former;
        }
        drop(state);
        self.shared.tell();
        outcome
    }
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
