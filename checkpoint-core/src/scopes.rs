//! [`Scopes`]: nested functions and loops that each keep their own part of one checkpoint.

mod frame;

use std::any::TypeId;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Arc;

pub use self::frame::Stack;
use self::frame::{Calls, Frame};
use crate::base::warnings::warn;
use crate::container::Metadata;
use crate::error::Error;
use crate::evolution::Program;
use crate::outcome::{Decision, LoadReport, SaveReason, Saved, StopReason};
use crate::outputs::{self, Age, Counted};
use crate::run::builder::Builder;
use crate::run::checkpointer::{Checkpointer, Turn};
use crate::run::finished::Finished;
use crate::run::read_back::Net;
use crate::run::{embedded, reader};
use crate::state::Checkpoint;
use crate::tree;

/// The most calls of the functions of one name that are looked at for equal variables: the first
/// ones tell.
const MOST_LOOKS: u32 = 16;

/// Checkpoints of a program with its state spread over functions that call each other. Each
/// function [enters](Scopes::enter) a scope of its own and gives its variables.
///
/// A save writes the whole stack at once, in one file: the variables of the function that saves,
/// and those that each function waiting for it [kept](Scope::keep) last. So the parts never
/// disagree, whenever the program is killed. After [`restore`](Scopes::restore) each function finds
/// its own variables again when the program comes back to it.
///
/// ```
/// use checkpointed::{Error, Scopes};
///
/// fn outer(scopes: &mut Scopes) -> Result<u64, Error> {
///     let mut scope = scopes.enter::<(u64, u64)>("outer")?;
///     let (mut i, mut sum) = scope.restored().unwrap_or((0, 0));
///     while i < 3 {
///         scope.keep(&(i, sum))?;
///         sum = inner(&mut scope, sum)?;
///         i += 1;
///     }
///     Ok(sum)
/// }
///
/// fn inner(scopes: &mut Scopes, start: u64) -> Result<u64, Error> {
///     let mut scope = scopes.enter::<(u64, u64)>("inner")?;
///     let (mut i, mut sum) = scope.restored().unwrap_or((0, start));
///     while i < 10 {
///         scope.save(&(i, sum))?;
///         sum += i;
///         i += 1;
///     }
///     Ok(sum)
/// }
///
/// # fn main() -> Result<(), Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("nested.ckpt");
/// let mut scopes = Scopes::open(&path)?;
/// scopes.restore()?;
/// assert_eq!(outer(&mut scopes)?, 135);
/// scopes.finish()?;
/// # Ok(())
/// # }
/// ```
///
/// Put code that runs in sequence, instead of in a loop that counts, into [`once`](Scope::once).
pub struct Scopes {
    checkpoints: Checkpointer<Stack>,
    stack: Stack,
    /// The scopes that a restart is still to come back to, outermost first.
    restored: Vec<Frame>,
    /// The age of the generation that they are from.
    age: Age,
    /// The calls of the program itself, outside all scopes.
    calls: Calls,
    /// The number of times that each scope was entered, by its name.
    counted: Arc<BTreeMap<String, u64>>,
    /// The types met so far: to find out about one takes time, and a scope may be entered often.
    programs: HashMap<TypeId, Known>,
    /// The number of saving calls so far. Each looks for a reason to stop.
    turn: u64,
    /// The turn that began when the last scope of a restart was entered.
    came_back: u64,
    /// The turn in which the program last asked whether it must stop, outside all scopes.
    asked: u64,
    /// True if it was told to stop there.
    is_told: bool,
    /// True if a save was made after the reason to stop was found.
    has_saved_for_stop: bool,
    /// True if a function that was told to stop has returned. No new variables are saved then:
    /// those around it would count its work as done.
    is_cut_short: bool,
    /// True if the library refused something, in the present work done once if there is one.
    has_refused: bool,
    /// The number of looks for calls with the same variables, by the name of the scope.
    looks: BTreeMap<String, u32>,
    /// True once it was told that a save is due and nothing is saved on the way back.
    is_warned_of_way: bool,
    /// The number of saves so far. A scope that a restart comes back to counts as one: the last
    /// save has it.
    saves: u64,
    /// The number of the last one that succeeded, or that is not known to have failed.
    last_saved: u64,
    /// The generation that the last one saves in the background, and the number of the one before
    /// that succeeded.
    started: Option<(u64, u64)>,
}

/// The facts about a type of variables.
#[derive(Debug)]
struct Known {
    program: Arc<Program>,
    net: Net,
}

impl Scopes {
    /// Opens a checkpoint directory with the usual settings.
    ///
    /// # Errors
    /// Those of [`Checkpointer::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Scopes, Error> {
        Scopes::builder(path).open()
    }

    /// Settings for a directory, to be changed and then opened: those of a [`Checkpointer`].
    ///
    /// ```
    /// use checkpointed::{Schedule, Scopes};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("nested.ckpt");
    /// let every_fifth = Schedule::every_steps(5);
    /// let scopes = Scopes::builder(&path).schedule(every_fifth).open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder(path: impl AsRef<Path>) -> Builder<Stack, Scopes> {
        Builder::new(path.as_ref())
    }

    /// Loads the newest checkpoint, so that the scopes that were active find their variables again.
    /// Returns `false` if there is none, or if the last run came to its end; then all begins
    /// afresh, as without this call.
    ///
    /// # Errors
    /// Those of [`Checkpointer::load`]; [`Error::ScopeActive`] inside a scope.
    pub fn restore(&mut self) -> Result<bool, Error> {
        if let Some(active) = self.stack.frames.last() {
            return Err(Error::ScopeActive { name: active.name.clone() });
        }
        let Stack { calls, frames } = self.checkpoints.load()?.unwrap_or_default();
        if let Some(generation) = self.checkpoints.last_load().map(LoadReport::generation) {
            self.age = self.checkpoints.age_of(generation);
        }
        let is_begun = !frames.is_empty();
        if is_begun {
            let of_run = self.checkpoints.outputs();
            let counted = of_run.in_parts(frames.iter().flat_map(|frame| frame.lengths.iter()));
            let unread = self.checkpoints.last_load().and_then(|load| load.unread().first().copied());
            of_run.promise(counted, unread)?;
        }
        // The program may have begun before, in this very process.
        self.counted = Arc::new(if is_begun { calls } else { BTreeMap::new() });
        self.restored = frames;
        self.calls = Calls::Kept;
        (self.is_told, self.is_cut_short, self.has_refused) = (false, false, false);
        self.checkpoints.leaves_stopped(false);
        self.promise_kept();
        Ok(is_begun)
    }

    /// Enters a scope. Drop the result to leave it. `T` is the type of the variables; `()` if there
    /// are none.
    ///
    /// # Errors
    /// [`Error::ScopeNotKept`] if the scope around this one has not kept its variables since it
    /// entered the last one. A scope without variables may enter one, and more inside of
    /// [`once`](Scope::once): a restart does the former again, unless it was interrupted there.
    /// [`Error::OtherScope`] if a restart has to come back to another scope at this place. The
    /// errors of loading the variables, if their type is not `T`.
    pub fn enter<T: Checkpoint>(&mut self, name: &str) -> Result<Scope<'_, T>, Error> {
        if !matches!(self.calls(), Calls::Restored | Calls::Kept | Calls::Again) {
            return Err(Error::ScopeNotKept { outer: self.active(), entered: name.to_owned() });
        }
        self.known::<T>()?;
        let work = self.stack.frames.last().map(|frame| frame.doing.clone()).unwrap_or_default();
        // A function that was told to stop may call what it calls behind its work. The last save
        // stands then, with all that a restart has to come back to.
        let is_late = self.is_behind_stop();
        if work.is_empty() && !is_late {
            self.warn_of_equal_calls(&work, name);
        }
        let expected = self.restored.first().filter(|_| !is_late);
        if let Some(expected) = expected.filter(|expected| !expected.is_of(name, &work)) {
            let expected = match expected.work.as_deref() {
                None | Some("") => expected.name.clone(),
                Some(work) => format!("{}` of the work `{work}", expected.name),
            };
            self.has_refused = true;
            return Err(Error::OtherScope { outer: self.active(), entered: name.to_owned(), work, expected });
        }
        let is_restored = expected.is_some();
        // Decoded before the frame is taken: if this fails, a restart has still to come back to it.
        let kept = expected.and_then(|expected| expected.kept.clone());
        let restored = kept.map(|kept| self.decode(name, &kept)).transpose()?;
        let frame = if is_restored {
            // To know them again, on the way back and while there are results of their turn.
            let has_results = self.restored.first().is_some_and(|expected| !expected.done.is_empty());
            let is_asked = has_variables::<T>() && (self.restored.len() > 1 || has_results);
            let asked = restored.as_ref().filter(|_| is_asked);
            let loaded = asked.map(|variables| self.known_again(variables)).transpose()?;
            // The last save has all of it.
            self.count_save();
            // What was asked before is no reason to stop at once: this scope may save. If it fails
            // before that, again and again, it is one.
            if self.restored.len() == 1 && self.turn != self.came_back {
                self.turn += 1;
                self.came_back = self.turn;
            }
            let counted = Arc::clone(&self.counted);
            Frame { loaded, counted, calls: Calls::Restored, ..self.restored.remove(0) }
        } else {
            let mut without_variables = Vec::new();
            if !has_variables::<T>() {
                self.encode(&(), &mut without_variables)?;
            }
            let call = Arc::make_mut(&mut self.counted).entry(name.to_owned()).or_default();
            *call = call.saturating_add(1);
            let frame = Frame::new(name.to_owned(), *call);
            let (calls, kept) = match has_variables::<T>() {
                true => (Calls::NotKept, None),
                false => (Calls::Kept, Some(without_variables)),
            };
            let (newest_at, counted) = (self.saves, Arc::clone(&self.counted));
            Frame { work: Some(work), kept, calls, newest_at, counted, is_late, ..frame }
        };
        if let Some(outer) = self.stack.frames.last_mut() {
            outer.enters();
        } else {
            self.calls = Calls::Entered;
        }
        self.stack.frames.push(frame);
        Ok(Scope { depth: self.stack.frames.len(), scopes: self, restored, variables: PhantomData })
    }

    /// Returns the reason to stop, like [`Checkpointer::should_stop`], once the variables are
    /// saved: [`save_if_due`](Scope::save_if_due) finds the reason, saves, and only then this
    /// function returns it. So a loop that saves in each turn loses nothing.
    ///
    /// A function that asks again, and has not called a function that saves meanwhile, gets the
    /// reason at once. Save before [`finish`](Scopes::finish) then, or it is an error.
    ///
    /// A function that got the reason may save its variables once more, and returns before its work
    /// is done. What it calls nevertheless may count on the half: a scope that it enters saves
    /// nothing, and work done [`once`](Scope::once) is not remembered.
    ///
    /// If it was saved inside, that save stands, and the next run goes on there: around it,
    /// [`save_if_due`](Scope::save_if_due) does nothing. If it was not, that saves what was kept
    /// before the call, and the next run calls the function again. [`keep`](Scope::keep) changes
    /// nothing any more, and [`save`](Scope::save) is an error.
    ///
    /// ```
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut scopes = checkpointed::Scopes::open(&path)?;
    /// scopes.restore()?;
    /// let mut scope = scopes.enter::<u64>("loop")?;
    /// let mut i = scope.restored().unwrap_or(0);
    /// while i < 100 && scope.should_stop().is_none() {
    ///     i += 1;
    ///     scope.save_if_due(&i)?;
    /// }
    /// drop(scope);
    /// scopes.finish()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn should_stop(&mut self) -> Option<&StopReason> {
        let turn = self.turn;
        let asked = self.stack.frames.last_mut().map_or(&mut self.asked, |frame| &mut frame.asked);
        let has_asked = std::mem::replace(asked, turn) == turn;
        let may_tell = self.has_saved_for_stop || self.is_behind_stop() || has_asked;
        if !may_tell || self.checkpoints.should_stop().is_none() {
            return None;
        }
        // On the way back, the checkpoint has all that there is.
        self.has_saved_for_stop |= !self.restored.is_empty();
        match self.stack.frames.last_mut() {
            Some(frame) => {
                frame.is_told = true;
                // The scope would count on the half of this work.
                self.is_cut_short |= !frame.doing.is_empty();
            }
            None => self.is_told = true,
        }
        self.checkpoints.should_stop()
    }

    /// Sets a number that the program counts, as [`Checkpointer::count`] does.
    pub fn count(&mut self, name: &str, value: u64) {
        self.checkpoints.count(name, value);
    }

    /// The checkpointer, with its information about loads and saves.
    #[must_use]
    pub fn checkpointer(&self) -> &Checkpointer<Stack> {
        &self.checkpoints
    }

    /// Ends the run. If the run came to its own end, that is saved, and the next one begins afresh;
    /// if it was to [stop](Scopes::should_stop), the save for that stands.
    ///
    /// All that the program wrote to [outputs](crate::Appended) that a scope has saved is durable
    /// before that.
    ///
    /// Do not call it after an error of the program: a scope that was left looks done. If the run
    /// is dropped instead, the next one goes on from its last save.
    ///
    /// # Errors
    /// Those of [`Checkpointer::finish`]. [`Error::OtherScope`] if the program did not come back to
    /// all scopes that [`restore`](Scopes::restore) found: then it has not come to its end, and
    /// their last save stands. [`Error::StoppedUnsaved`] if it was told to stop and has not saved
    /// since.
    pub fn finish(self) -> Result<Finished, Error> {
        if self.checkpoints.is_stopping() {
            if !self.has_saved_for_stop {
                return Err(Error::StoppedUnsaved { path: self.checkpoints.path().to_owned() });
            }
            return self.checkpoints.finish_without_saving();
        }
        self.check_restored()?;
        // A function that was left may have written more than it saved.
        self.checkpoints.outputs().sync_rest()?;
        self.checkpoints.finish(&Stack::default())
    }

    fn known<T: Checkpoint>(&mut self) -> Result<&mut Known, Error> {
        let _warnings = self.checkpoints.warnings().enter();
        Ok(match self.programs.entry(TypeId::of::<T>()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let program = Arc::new(reader::program_of::<T>()?);
                let net = Net::of::<T>(self.checkpoints.read_back(), Arc::clone(&program));
                entry.insert(Known { program, net })
            }
        })
    }

    fn decode<T: Checkpoint>(&mut self, name: &str, bytes: &[u8]) -> Result<T, Error> {
        let decoded = self.decoded(name, bytes);
        self.has_refused |= decoded.is_err();
        decoded
    }

    fn decoded<T: Checkpoint>(&mut self, name: &str, bytes: &[u8]) -> Result<T, Error> {
        let _warnings = self.checkpoints.warnings().enter();
        let path = self.checkpoints.path().to_owned();
        let decoded = embedded::decode::<T>(&path, name, &self.known::<T>()?.program, bytes)?;
        let outputs = self.checkpoints.outputs();
        outputs.check_part(&decoded.outputs, self.age)?;
        outputs.open(&decoded.outputs)?;
        Ok(*decoded.state)
    }

    /// Replaces `bytes` by an encoded value, and checks that the value can be read from them.
    /// Returns the outputs in it.
    fn encode<T: Checkpoint>(&mut self, value: &T, bytes: &mut Vec<u8>) -> Result<Vec<Counted>, Error> {
        let _warnings = self.checkpoints.warnings().enter();
        let path = self.checkpoints.path().to_owned();
        let of_run = Arc::clone(self.checkpoints.outputs());
        let Known { program, net } = self.known::<T>()?;
        let (encoded, counted) = outputs::saving_part(&of_run, || embedded::encode(value, program, bytes));
        encoded?;
        if net.wants(bytes.len() as u64) {
            net.check(&path, embedded::open(&path, bytes)?)?;
        }
        net.let_through();
        Ok(counted)
    }

    /// Saves, with the outputs of all scopes: their parts are encoded already. What a restart has
    /// still to come back to is saved as it was loaded.
    fn saved<R>(
        &mut self,
        save: impl FnOnce(&mut Checkpointer<Stack>, &Stack) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let of_run = Arc::clone(self.checkpoints.outputs());
        // A restart calls again what was called since.
        let counted = self.stack.frames.last().map_or(&self.counted, |frame| &frame.counted);
        self.stack.calls.clone_from(counted);
        // A frame that a restart found has counts, and no value yet.
        let mut parts = of_run.in_parts(self.frames().flat_map(|frame| frame.lengths.iter()));
        parts.extend(self.frames().flat_map(|frame| frame.outputs.iter().cloned()));
        let whole = (!self.restored.is_empty())
            .then(|| Stack { calls: self.stack.calls.clone(), frames: self.frames().cloned().collect() });
        of_run.set_parts(parts);
        let stack = whole.as_ref().unwrap_or(&self.stack);
        let saved = of_run.sync_rest().and_then(|()| save(&mut self.checkpoints, stack));
        self.has_refused |= saved.is_err();
        // They know the run, and it would know them for ever.
        of_run.set_parts(Vec::new());
        saved
    }

    /// The active scopes, and those that a restart is still to come back to.
    fn frames(&self) -> impl Iterator<Item = &Frame> {
        self.stack.frames.iter().chain(&self.restored)
    }

    /// Warns where the active scope kept the same variables before this call as before the last
    /// one, or before this work as before that of the same name: for a restart, the two are one.
    fn warn_of_equal_calls(&mut self, work: &str, name: &str) {
        let path = self.checkpoints.path();
        let Some(outer) = self.stack.frames.last_mut() else { return };
        let Some(kept) = &outer.kept else { return };
        let looks = match self.looks.get_mut(&outer.name) {
            Some(looks) => looks,
            None => self.looks.entry(outer.name.clone()).or_default(),
        };
        if *looks >= MOST_LOOKS {
            return;
        }
        *looks += 1;
        let Some(print) = embedded::print(path, kept) else { return };
        let before = outer.called.insert(work.to_owned(), (name.to_owned(), print));
        if let Some((before, _)) = before.filter(|(_, before)| *before == print) {
            *looks = MOST_LOOKS;
            let (what, outer) = (if work.is_empty() { "a call of " } else { "the work " }, &outer.name);
            let _warnings = self.checkpoints.warnings().enter();
            warn(format!(
                "scope `{outer}` kept the same variables before {what}`{before}` and {what}`{name}`: a restart cannot \
                 tell them apart, and may go on with the wrong one; if the second is not the first one tried again, let \
                 the variables count the calls, or make each inside `once`, with a name of its own"
            ));
        }
    }

    /// Has the outputs keep the bytes that the next save counts on.
    fn promise_kept(&self) {
        let counts = self.frames().flat_map(|frame| frame.lengths.iter());
        self.checkpoints.outputs().promise_kept(counts);
    }

    /// The active scope.
    fn frame(&mut self) -> Result<&mut Frame, Error> {
        // Every scope puts its frame there, and takes it away last.
        self.stack.frames.last_mut().ok_or_else(|| Error::ScopeActive { name: String::new() })
    }

    /// Checks that a save would not forget a scope that the restart has not come back to yet.
    fn check_restored(&self) -> Result<(), Error> {
        let Some(expected) = self.restored.first() else { return Ok(()) };
        let (entered, work, expected) = (String::new(), String::new(), expected.name.clone());
        Err(Error::OtherScope { outer: self.active(), entered, work, expected })
    }

    /// Leaves all scopes inside of this many.
    fn leave(&mut self, depth: usize) {
        let left = self.stack.frames.get(depth..).unwrap_or_default();
        if left.is_empty() {
            return;
        }
        let has_outputs = left.iter().any(|frame| !frame.lengths.is_empty());
        self.is_cut_short |= left.iter().any(|frame| frame.is_told);
        // The next run calls these again, and counts them then.
        for frame in left.iter().filter(|frame| frame.is_late) {
            if let Some(calls) = Arc::make_mut(&mut self.counted).get_mut(&frame.name) {
                *calls = calls.saturating_sub(1);
            }
        }
        let left = self.stack.frames.split_off(depth);
        if !self.restored.is_empty() {
            // A function that failed on the way back is called again, and goes on from there.
            let left = left.into_iter().filter(|frame| !frame.is_late).map(Frame::left_on_the_way);
            self.restored.splice(0..0, left);
        }
        if has_outputs {
            self.promise_kept();
        }
    }

    /// True once a function was told to stop that is still active, or that has returned: what the
    /// program does from there on may count on the half of some work.
    fn is_behind_stop(&self) -> bool {
        self.is_told || self.is_cut_short || self.stack.frames.iter().any(|frame| frame.is_told)
    }

    /// True if the last save has all that the active scopes had kept before the stop, or more.
    fn is_saved(&self) -> bool {
        let before = self.stack.frames.iter().rev().find(|frame| !frame.is_late);
        !self.restored.is_empty() || self.last_saved > before.map_or(0, |frame| frame.newest_at)
    }

    /// Counts a save.
    fn count_save(&mut self) {
        self.saves += 1;
        self.last_saved = self.saves;
    }

    /// Finds out if the last save in the background has failed, or waits for its end.
    fn settle(&mut self, waits: bool) {
        let Some((generation, before)) = self.started else { return };
        let Some(has_saved) = self.checkpoints.has_saved(generation, waits) else { return };
        self.started = None;
        if !has_saved {
            self.last_saved = before;
        }
    }

    /// True if a save would take the place of a better one, for the stop or inside of a function
    /// that was stopped, or if it would be of a function behind that one.
    fn must_not_save(&self) -> bool {
        let is_late = || self.stack.frames.iter().any(|frame| frame.is_late);
        let is_on_the_way = !self.restored.is_empty() && self.is_behind_stop();
        is_on_the_way || is_late() || (self.is_cut_short && self.is_saved())
    }

    /// The error of a save that did not take new variables. It has the exit code of a stop if the
    /// last save has all that there is to save.
    fn stopped(&mut self) -> Error {
        let name = self.active();
        if !self.is_saved() {
            return Error::ScopeStopped { name, exit_code: 1 };
        }
        self.checkpoints.leaves_stopped(true);
        Error::ScopeStopped { name, exit_code: self.checkpoints.exit_code_of_stop() }
    }

    /// Encodes variables on the way back, to know them again.
    fn known_again<T: Checkpoint>(&mut self, variables: &T) -> Result<Vec<u8>, Error> {
        let _warnings = self.checkpoints.warnings().enter();
        let of_run = Arc::clone(self.checkpoints.outputs());
        let program = Arc::clone(&self.known::<T>()?.program);
        let mut bytes = Vec::new();
        let encoded = outputs::saving_part(&of_run, || embedded::encode(variables, &program, &mut bytes)).0;
        self.has_refused |= encoded.is_err();
        encoded?;
        Ok(bytes)
    }

    /// Checks on the way back that variables are those of the last save: they are the ones that
    /// belong to the scopes inside. A scope without variables has nothing to tell turns apart.
    fn check_loaded<T: Checkpoint>(&mut self, variables: &T) -> Result<(), Error> {
        let Some(expected) = self.restored.first().filter(|_| has_variables::<T>()) else { return Ok(()) };
        let expected = expected.name.clone();
        match self.differences(variables)? {
            None => Ok(()),
            Some(how) => {
                self.has_refused = true;
                Err(Error::OtherVariables { scope: self.active(), expected, how })
            }
        }
    }

    /// The differences between variables and those that a restart gave the active scope.
    fn differences<T: Checkpoint>(&mut self, variables: &T) -> Result<Option<String>, Error> {
        let Some(loaded) = self.frame()?.loaded.clone() else {
            return Ok(Some("it had kept none".to_owned()));
        };
        let bytes = self.known_again(variables)?;
        let path = self.checkpoints.path();
        let (loaded, now) = (embedded::open(path, &loaded)?, embedded::open(path, &bytes)?);
        if embedded::are_same(&loaded, &now) {
            return Ok(None);
        }
        // A map that was made anew has another order.
        let (loaded, now) = (tree::File::of(path, loaded), tree::File::of(path, now));
        if tree::same_in_order(&loaded, &now) {
            return Ok(None);
        }
        Ok(tree::same_values(&loaded, &now).err().or_else(|| Some("they are in another order".to_owned())))
    }

    /// The name of the active scope; empty outside all scopes.
    fn active(&self) -> String {
        self.stack.frames.last().map(|frame| frame.name.clone()).unwrap_or_default()
    }

    /// The right of the active scope to call others.
    fn calls(&mut self) -> &mut Calls {
        self.stack.frames.last_mut().map_or(&mut self.calls, |frame| &mut frame.calls)
    }
}

impl From<Checkpointer<Stack>> for Scopes {
    /// Makes scopes of an open directory.
    fn from(checkpoints: Checkpointer<Stack>) -> Scopes {
        Scopes {
            checkpoints,
            stack: Stack::default(),
            restored: Vec::new(),
            age: Age::Newest,
            calls: Calls::default(),
            counted: Arc::default(),
            programs: HashMap::new(),
            turn: 1,
            came_back: 0,
            asked: 0,
            is_told: false,
            has_saved_for_stop: false,
            is_cut_short: false,
            has_refused: false,
            looks: BTreeMap::new(),
            is_warned_of_way: false,
            saves: 0,
            last_saved: 0,
            started: None,
        }
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.stack.frames.iter().map(|frame| frame.name.as_str()).collect();
        formatter.debug_struct("Scopes").field("active", &names).finish_non_exhaustive()
    }
}

/// A function, or a loop, with variables of its own. Functions that it calls use it like the
/// [`Scopes`] themselves.
pub struct Scope<'a, T> {
    scopes: &'a mut Scopes,
    depth: usize,
    restored: Option<T>,
    variables: PhantomData<fn(T)>,
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
    /// one entered another directly since it kept its variables. [`Error::InvalidSetting`] if work
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

/// True if a scope has variables. One without them cannot tell its calls apart, and so keeps none.
fn has_variables<T: 'static>() -> bool {
    TypeId::of::<T>() != TypeId::of::<()>()
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
