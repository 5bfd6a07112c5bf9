//! [`Scope`]: one function, or loop, of [`Scopes`], with its variables and its work.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use super::frame::{Calls, Frame, Stack};
use super::{Scopes, has_variables};
use crate::base::warnings::warn;
use crate::container::Metadata;
use crate::error::Error;
use crate::outcome::{Decision, SaveReason, Saved};
use crate::run::checkpointer::{Checkpointer, Turn};
use crate::run::embedded;
use crate::state::Checkpoint;

/// A function, or a loop, with variables of its own. Functions that it calls use it like the
/// [`Scopes`] themselves.
pub struct Scope<'a, T> {
    scopes: &'a mut Scopes,
    depth: usize,
    restored: Option<T>,
    variables: PhantomData<fn(T)>,
}

impl<'a, T> Scope<'a, T> {
    /// The innermost scope of these, with the variables that a restart gave it.
    pub(super) fn new(scopes: &'a mut Scopes, restored: Option<T>) -> Scope<'a, T> {
        Scope { depth: scopes.stack.frames.len(), scopes, restored, variables: PhantomData }
    }
}

impl<T: Checkpoint> Scope<'_, T> {
    /// The saved variables, if a restart came back to this scope; `Some(())` in one that has none.
    /// It gives them once.
    pub fn restored(&mut self) -> Option<T> {
        self.restored.take()
    }

    /// The number of times that a scope of this name was entered, this time included, over all runs
    /// that belong together. A call that a restart does again counts once. It is no counter of
    /// turns: the variables must tell one call from the next.
    #[must_use]
    pub fn call(&self) -> u64 {
        self.scopes.stack.frames.get(self.depth - 1).map_or(0, |frame| frame.call)
    }

    /// Notes the variables, in memory: a scope that is entered from here on saves them with its
    /// own. Call it before every call that may save.
    ///
    /// A restart gives back the variables that were kept before the interrupted call. Keep them as
    /// they are on the way back to that call: count a turn after it, not before. Until the program
    /// has come back to the call, these variables and the results of work [done once](Scope::once)
    /// stay, and this changes nothing: other variables than those that the restart gave back are an
    /// error, because the scopes inside belong to these. So count restarts, take a time, or change
    /// a setting behind the call, and keep no `HashSet` that was made anew: it has another order.
    ///
    /// What the program does between this call and the next one is done again. So write to an
    /// [output](crate::Appended) behind the call, or in the function whose scope counts it.
    ///
    /// Two calls with the same variables are one and the same to a restart, as if the first were
    /// tried again. So let the variables tell the calls of a turn apart, by a number or a phase, or
    /// make each call inside of [`once`](Scope::once). A warning tells of such calls. Behind a
    /// call, the same variables do not say that it has ended: what comes there is done again with
    /// it.
    ///
    /// A scope without variables (`()`) keeps nothing: it could not tell its calls apart.
    ///
    /// # Errors
    /// [`Error::Encode`]; [`Error::OtherVariables`] on the way back.
    pub fn keep(&mut self, variables: &T) -> Result<(), Error> {
        self.leave_forgotten();
        let is_coming_back = !self.scopes.restored.is_empty();
        let is_over = self.scopes.is_cut_short || (is_coming_back && self.scopes.is_behind_stop());
        if has_variables::<T>() && is_over {
            // These may count the half of some work: those before its call stay.
            self.scopes.frame()?.calls = Calls::Kept;
        } else if has_variables::<T>() && is_coming_back {
            // Until they are found to be the same.
            self.scopes.frame()?.calls = Calls::NotKept;
            self.scopes.check_loaded(variables)?;
            let frame = self.scopes.frame()?;
            frame.begin_again();
            frame.calls = Calls::Kept;
        }
        if self.scopes.is_cut_short || is_coming_back || !has_variables::<T>() {
            return Ok(());
        }
        let (saves, counted) = (self.scopes.saves, Arc::clone(&self.scopes.counted));
        let frame = self.scopes.frame()?;
        frame.begin_again();
        let was_told = std::mem::take(&mut frame.was_told);
        // Set first: if the variables panic, nothing is kept.
        let before = std::mem::replace(&mut frame.calls, Calls::Failed);
        let has_called = matches!(before, Calls::Entered | Calls::Again);
        // Results that a restart found, and that the program did not get yet, are of the turn with
        // these variables.
        if !frame.done.is_empty() && (was_told || has_called || self.scopes.differences(variables)?.is_some())
        {
            self.scopes.frame()?.done.clear();
        }
        let frame = self.scopes.frame()?;
        let former = frame.kept.take();
        // The bytes from the disk may be of another machine, and have the outputs at another place.
        let loaded = frame.loaded.clone().filter(|_| has_called && frame.newest_at == 0);
        let (former, mut bytes) = match has_called {
            true => (loaded.or(former), Vec::new()),
            false => (None, former.unwrap_or_default()),
        };
        let outputs = self.scopes.encode(variables, &mut bytes)?;
        let path = self.scopes.checkpoints.path();
        let is_again = match former {
            Some(former) => {
                embedded::are_same(&embedded::open(path, &former)?, &embedded::open(path, &bytes)?)
            }
            None => false,
        };
        let of_run = Arc::clone(self.scopes.checkpoints.outputs());
        let frame = self.scopes.frame()?;
        if frame.done.is_empty() {
            frame.lengths.clear();
            frame.outputs.clear();
        }
        frame.note(outputs, &of_run);
        if is_again {
            // They do not tell that the call has ended, so a restart makes it again.
            frame.calls = Calls::Again;
        } else {
            frame.calls = Calls::Kept;
            (frame.newest_at, frame.counted) = (saves, counted);
        }
        frame.kept = Some(bytes);
        self.scopes.promise_kept();
        Ok(())
    }

    /// Saves the variables, together with those that the scopes around this one kept. What scopes
    /// that were left have written to their outputs is durable then. It [keeps](Scope::keep) the
    /// variables, too, and so forgets the results of work done [once](Scope::once): between such
    /// work, save only if the variables count it. On the way back to a scope inside, it saves again
    /// what was loaded, and other variables are an error.
    ///
    /// # Errors
    /// Those of [`Checkpointer::save`] and [`keep`](Scope::keep). [`Error::ScopeStopped`] if a
    /// function that was [told to stop](Scopes::should_stop) has returned: what was kept before its
    /// call is saved then, if the last save does not have more. Also if a function was told on the
    /// way back to a scope inside of it: the last save stands then. [`Error::InvalidSetting`] in a
    /// scope without variables behind a call that it did not make inside of [`once`](Scope::once).
    pub fn save(&mut self, variables: &T) -> Result<Saved, Error> {
        self.leave_forgotten();
        self.scopes.settle(true);
        if self.scopes.must_not_save() {
            self.scopes.has_saved_for_stop |= self.scopes.is_saved() && self.scopes.checkpoints.is_to_stop();
            return Err(self.scopes.stopped());
        }
        if !has_variables::<T>() && self.is_behind_call() {
            return Err(Error::InvalidSetting {
                setting: format!("a save of scope {:?} behind a call", self.scopes.active()),
                why: "the scope has no variables that count the call, and so a restart would do all of it again: make \
                      the call inside `once`, and save behind that",
            });
        }
        self.keep(variables)?;
        let saved = self.scopes.saved(|checkpoints, stack| checkpoints.save(stack))?;
        self.scopes.count_save();
        self.scopes.turn += 1;
        self.scopes.has_saved_for_stop |= self.scopes.checkpoints.is_to_stop();
        // What was saved was kept before the function that was stopped, and not these variables.
        if self.scopes.is_cut_short { Err(self.scopes.stopped()) } else { Ok(saved) }
    }

    /// Saves if the [`Schedule`](crate::Schedule) says so, or if the program is to stop.
    ///
    /// After a restart the program comes back to the scope inside of which the checkpoint was
    /// saved. On the way there, this saves nothing: all that there is to save is in that
    /// checkpoint, and a reason to stop counts as saved. Other variables than those that were
    /// loaded are an error there if the function gives them first, or behind a call. Later ones are
    /// not looked at, but for a warning if a save is due.
    ///
    /// Once a function that was [told to stop](Scopes::should_stop) has returned, it saves at most
    /// what was kept before the call of that function. Behind a call outside of
    /// [`once`](Scope::once), it saves no variables that do not count the call (the same, or none)
    /// if the last save is of that call: a restart goes on inside. It does if they count fewer
    /// bytes of an output than that: the call may write to it again then.
    ///
    /// # Errors
    /// Those of [`save`](Scope::save), but for [`Error::ScopeStopped`].
    pub fn save_if_due(&mut self, variables: &T) -> Result<Decision, Error> {
        let decision = self.decide(variables)?;
        self.scopes.turn += 1;
        Ok(decision)
    }

    fn decide(&mut self, variables: &T) -> Result<Decision, Error> {
        let turn = self.scopes.checkpoints.turn();
        self.scopes.has_refused |= turn.is_err();
        let turn = turn?;
        self.leave_forgotten();
        let is_coming_back = !self.scopes.restored.is_empty();
        // The scopes inside belong to the variables that were loaded, due or not.
        let is_first = is_coming_back && *self.scopes.calls() != Calls::Kept;
        let why = match turn {
            Turn::Save(why) => why,
            Turn::Pass(decision) => {
                if is_first {
                    self.keep(variables)?;
                }
                return Ok(decision);
            }
        };
        let is_for_stop = matches!(why, SaveReason::Stopping(_));
        self.scopes.settle(is_for_stop);
        if self.scopes.must_not_save() {
            self.scopes.has_saved_for_stop |= is_for_stop && self.scopes.is_saved();
            self.scopes.frame()?.calls = Calls::Kept;
            return Ok(Decision::NotDue);
        }
        if is_coming_back {
            if is_first {
                self.keep(variables)?;
            } else if !is_for_stop {
                self.warn_of_way(variables);
            }
            self.scopes.has_saved_for_stop |= is_for_stop;
            return Ok(Decision::NotDue);
        }
        self.keep(variables)?;
        // If the call failed, it may write to its outputs again only once a save has gone back,
        // too.
        let has_gone_back = has_variables::<T>() && self.scopes.checkpoints.outputs().has_gone_back();
        if self.is_behind_call() && self.scopes.is_saved() && !has_gone_back {
            self.scopes.has_saved_for_stop |= is_for_stop;
            return Ok(Decision::NotDue);
        }
        let save = |checkpoints: &mut Checkpointer<Stack>, stack: &Stack| {
            checkpoints.made_because(why, stack, Metadata::new())
        };
        let before = self.scopes.last_saved;
        let decision = self.scopes.saved(save)?;
        if !matches!(decision, Decision::Failed { .. }) {
            self.scopes.count_save();
        }
        if let Decision::Started { started, .. } = &decision {
            self.scopes.started = Some((started.generation, before));
        }
        self.scopes.has_saved_for_stop |= is_for_stop && decision.is_saved();
        Ok(decision)
    }

    /// Warns, once, where a save is due on the way back, and the function has new variables: a
    /// program that does not come back saves nothing.
    fn warn_of_way(&mut self, variables: &T) {
        let Some(expected) = self.scopes.restored.first().map(|expected| expected.name.clone()) else {
            return;
        };
        if self.scopes.is_warned_of_way || !matches!(self.scopes.differences(variables), Ok(Some(_))) {
            return;
        }
        self.scopes.is_warned_of_way = true;
        let _warnings = self.scopes.checkpoints.warnings().enter();
        warn(format!(
            "a save of scope `{}` is due, and nothing is saved until the program has come back to scope `{expected}`, where \
             the checkpoint was saved",
            self.scopes.active()
        ));
    }

    /// True if the scope has called another one outside of work done once, and its variables do not
    /// tell so: a restart does that again, and goes on inside of it if the last save is from there.
    fn is_behind_call(&mut self) -> bool {
        match self.scopes.calls() {
            Calls::Again => true,
            calls => !has_variables::<T>() && *calls == Calls::Entered,
        }
    }

    /// Leaves the scopes inside this one that were forgotten (`mem::forget`) instead of dropped:
    /// the compiler proves that they are used no more.
    fn leave_forgotten(&mut self) {
        self.scopes.leave(self.depth);
    }

    /// Does some work once and remembers its result: when a restart comes back here, the result is
    /// there at once, and the work is not done again. The name tells it from other work of this
    /// scope. The result is forgotten when the scope [keeps](Scope::keep) or saves variables, or is
    /// left: keep them before the work of each turn, and save them behind all of it. A scope
    /// without variables (`()`) has the results until it is left. A name may come again once other
    /// variables are kept.
    ///
    /// Like [`keep`](Scope::keep), this saves nothing: call [`save_if_due`](Scope::save_if_due)
    /// behind it, in a scope without variables, or save inside of the work.
    ///
    /// A restart does a call outside of such work again, and with it what comes behind, until other
    /// variables are kept: results there are not remembered, and such work must not enter a scope.
    ///
    /// If a restart comes back to work that was interrupted inside of a scope, and the work has its
    /// result without that scope, that counts: it is done. If it has an output, save before you
    /// write to it: the newest checkpoint counts what the scope had written.
    ///
    /// Only the result is remembered. What the work changes beside it, as a variable around it or
    /// an [output](crate::Appended) that is not in the result, is lost in a restart. An error is
    /// not remembered either: if the program goes on after it, return it as the result, a `Result`.
    /// If the work was told to [stop](Scopes::should_stop), its result is returned, and not
    /// remembered.
    ///
    /// Work whose result was forgotten before the last save is done again on the way back there,
    /// and must not enter a scope then. So do what comes before a loop in a scope without
    /// variables, around the function that has the loop.
    ///
    /// ```
    /// use checkpointed::{Error, Scopes};
    ///
    /// # fn expensive(_: &mut Scopes) -> Result<u64, Error> { Ok(1) }
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("nested.ckpt");
    /// # let mut scopes = Scopes::open(&path)?;
    /// let mut program = scopes.enter::<()>("main")?;
    /// let first = program.once("first", |scopes| expensive(scopes))?;
    /// let second = program.once("second", |scopes| expensive(scopes))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `work`, [`Error::Encode`], and [`Error::ScopeNotKept`] if this scope has not
    /// [kept](Scope::keep) its variables yet, or could not, or if the work enters a scope, and this
    /// one entered another directly and has kept no other variables since. [`Error::InvalidSetting`] if work
    /// of this name is done already, as this one would get its result, or if the name is empty.
    pub fn once<R: Checkpoint, E: From<Error>>(
        &mut self,
        name: &str,
        work: impl FnOnce(&mut Scopes) -> Result<R, E>,
    ) -> Result<R, E> {
        self.leave_forgotten();
        let is_behind_stop = self.scopes.is_behind_stop();
        let frame = self.scopes.frame()?;
        if matches!(frame.calls, Calls::Failed | Calls::NotKept) {
            let (outer, entered) = (frame.name.clone(), name.to_owned());
            return Err(Error::ScopeNotKept { outer, entered }.into());
        }
        if name.is_empty() {
            return Err(Error::InvalidSetting {
                setting: format!("work without a name in scope {:?}", frame.name),
                why: "a restart finds the result of work by its name: give it one",
            }
            .into());
        }
        // A restart makes a direct call again, and with it all that comes behind: no result of that
        // is remembered. This work enters no scope either, which the call would meet there.
        let before = frame.calls;
        let is_behind_call = match before {
            Calls::Again => !frame.known.contains(name),
            before => before == Calls::Entered,
        };
        if frame.told.contains(name) {
            // Behind a stop, `keep` keeps nothing, and so this may be a new turn.
            if !is_behind_stop {
                return Err(Error::InvalidSetting {
                    setting: format!("the work {name:?} in scope {:?}", frame.name),
                    why: "work of this name is done once already, and this one would get its result: give it another \
                          name, or keep the variables of the new turn first",
                }
                .into());
            }
        } else if let Some(done) = frame.done.get(name).filter(|_| !(is_behind_stop && frame.was_told))
            && !is_behind_call
        {
            let done = done.clone();
            let result = self.scopes.decode(name, &done)?;
            self.scopes.frame()?.told.insert(name.to_owned());
            return Ok(result);
        }
        self.scopes.known::<R>()?;
        let frame = self.scopes.frame()?;
        frame.doing = name.to_owned();
        if before == Calls::Again {
            frame.calls = if is_behind_call { Calls::Entered } else { Calls::Kept };
        }
        let had_refused = std::mem::take(&mut self.scopes.has_refused);
        let result = catch_unwind(AssertUnwindSafe(|| work(self.scopes)));
        let has_refused = std::mem::replace(&mut self.scopes.has_refused, had_refused);
        self.scopes.has_refused |= has_refused;
        self.scopes.leave(self.depth);
        self.scopes.frame()?.doing.clear();
        *self.scopes.calls() = before;
        let result = result.unwrap_or_else(|panic| resume_unwind(panic))?;
        if self.scopes.is_behind_stop() {
            return Ok(result);
        }
        let mut bytes = Vec::new();
        let outputs = self.scopes.encode(&result, &mut bytes)?;
        // The program has not come back to the scopes inside of this work, and will not any more.
        let is_of_this = |inside: &Frame| inside.work.as_deref() == Some(name);
        if self.scopes.restored.first().is_some_and(is_of_this) && !has_refused {
            self.scopes.restored.clear();
        }
        let is_coming_back = !self.scopes.restored.is_empty();
        let of_run = Arc::clone(self.scopes.checkpoints.outputs());
        let (saves, counted) = (self.scopes.saves, Arc::clone(&self.scopes.counted));
        let frame = self.scopes.frame()?;
        let is_coming_back = is_coming_back || (has_variables::<T>() && frame.awaits_results());
        frame.told.insert(name.to_owned());
        // On the way back, the last save had forgotten the result.
        if !is_behind_call && !is_coming_back {
            frame.note(outputs, &of_run);
            frame.done.insert(name.to_owned(), bytes);
            (frame.newest_at, frame.counted) = (saves, counted);
            self.scopes.warn_of_equal_calls(name, name);
        }
        self.scopes.promise_kept();
        Ok(result)
    }
}

impl<T> Deref for Scope<'_, T> {
    type Target = Scopes;

    fn deref(&self) -> &Scopes {
        self.scopes
    }
}

impl<T> DerefMut for Scope<'_, T> {
    fn deref_mut(&mut self) -> &mut Scopes {
        self.scopes.leave(self.depth);
        self.scopes
    }
}

impl<T> Drop for Scope<'_, T> {
    fn drop(&mut self) {
        self.scopes.leave(self.depth - 1);
    }
}

impl<T> fmt::Debug for Scope<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.scopes.fmt(formatter)
    }
}
