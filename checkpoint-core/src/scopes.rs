//! [`Scopes`]: nested functions and loops that each keep their own part of one checkpoint.

mod frame;
mod scope;

use std::any::TypeId;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

pub use self::frame::Stack;
use self::frame::{Calls, Frame};
pub use self::scope::Scope;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::evolution::Program;
use crate::outcome::{LoadReport, StopReason};
use crate::outputs::{self, Age, Counted};
use crate::run::builder::Builder;
use crate::run::checkpointer::Checkpointer;
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
            self.warn_of_equal_calls("", name);
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
        Ok(Scope::new(self, restored))
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

/// True if a scope has variables. One without them cannot tell its calls apart, and so keeps none.
fn has_variables<T: 'static>() -> bool {
    TypeId::of::<T>() != TypeId::of::<()>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
