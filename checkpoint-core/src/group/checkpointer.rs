//! [`GroupCheckpointer`]: saves the states of all members as one checkpoint.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Group;
use super::accepted::Accepted;
use super::calls::Calls;
use super::leftovers::Leftovers;
use super::reshard::OnResize;
use super::save::Pending;
use super::table::Table;
use super::turns::Turns;
use crate::base::warnings::{Warnings, warn};
use crate::container::{IntoMetadata, Manifest, Metadata};
use crate::error::Error;
use crate::outcome::{Decision, ExitCodes, LoadReport, SaveReason, SaveStarted, Saved, StopReason};
use crate::outputs;
use crate::run::builder::Builder;
use crate::run::checkpointer::Checkpointer;
use crate::run::finished::Finished;
use crate::schedule::Due;
use crate::state::Checkpoint;
use crate::store::{Home, Metric};

/// Saves the states of all members of a [`Group`] as one checkpoint, and loads the same one on all
/// of them.
///
/// Use it like a [`Checkpointer`]; [`open_group`](Builder::open_group) makes it. A save exists when
/// the parts of all members are on the disk. Until then the save before it counts on all. An error
/// of one member is an error of all: the others get [`Error::Member`], and nothing is saved.
///
/// **Every member makes the same calls in the same order.** All methods that take `&mut self` are
/// calls of the whole group, but for `abort_on_panic` and `on_resize`; so is `finish`. If the calls
/// of two members differ, the next call in which members wait for each other is an error on all:
/// [`Error::CallsDiffer`], which names both calls. Not
/// noticed is a skipped [`save_if_due`](GroupCheckpointer::save_if_due) at which no one waits: the
/// later saves then have states of different turns. If the number of the turn is a
/// [`Shared`](super::Shared) field of the state, such a save is an error on all.
///
/// ```
/// use checkpointed::group::{Alone, Group};
/// use checkpointed::Checkpointer;
///
/// fn run(group: impl Group) -> Result<std::process::ExitCode, checkpointed::Error> {
/// #   let directory = tempfile::tempdir().unwrap();
/// #   let path = directory.path().join("run.ckpt");
///     let mut checkpoints = Checkpointer::<u64>::builder(&path).stop_on_signals().open_group(group)?;
///     let mut step = checkpoints.load_or_default()?;
///     while step < 1000 {
///         step += 1; // together with the other members
///         checkpoints.save_if_due(&step)?;
///         if checkpoints.should_stop()?.is_some() {
///             break;
///         }
///     }
///     Ok(checkpoints.finish(&step)?.exit_code())
/// }
///
/// assert_eq!(run(Alone).unwrap(), std::process::ExitCode::SUCCESS);
/// ```
///
/// A member that panics ends the group: the others would wait for it for ever. See
/// [`abort_on_panic`](GroupCheckpointer::abort_on_panic).
pub struct GroupCheckpointer<T: Checkpoint, G: Group> {
    pub(super) calls: Calls<G>,
    pub(super) turns: Turns,
    pub(super) part: Checkpointer<T>,
    /// The table's checkpoints, with rank 0.
    pub(super) root: Option<Checkpointer<Table>>,
    pub(super) leftovers: Leftovers,
    /// The mark of this member's directory.
    pub(super) accepted: Accepted,
    pub(super) path: PathBuf,
    pub(super) builder: Builder<T>,
    /// The place of the group, to open the parts of other members for reading.
    pub(super) home: Arc<dyn Home>,
    pub(super) warnings: Warnings,
    background: bool,
    exit_codes: ExitCodes,
    /// The agreed reason to stop, and the member that had it.
    stop: Option<(usize, StopReason)>,
    /// True if a state was saved because of it.
    is_stop_saved: bool,
    /// A save in the background that is not yet accepted.
    pub(super) pending: Option<Pending>,
    /// The newest generation and its attempt, if this run saved or loaded it.
    pub(super) newest: Option<(u64, String)>,
    pub(super) report: Option<LoadReport>,
    /// The function of the program for a state that a group of another size saved.
    pub(super) on_resize: Option<Arc<OnResize<T>>>,
}

/// The parts of a group checkpointer that was just opened.
pub(super) struct Opened<T: Checkpoint> {
    pub(super) path: PathBuf,
    pub(super) builder: Builder<T>,
    pub(super) home: Arc<dyn Home>,
    pub(super) root: Option<Checkpointer<Table>>,
    pub(super) leftovers: Leftovers,
    pub(super) part: Checkpointer<T>,
    pub(super) accepted: Accepted,
    pub(super) background: bool,
    pub(super) exit_codes: ExitCodes,
}

/// The message of a member at a look. Rank 0 decides about the schedule.
#[derive(Serialize, Deserialize)]
struct Look {
    stop: Option<StopReason>,
    /// The time of a turn, and that of the last look.
    pace: Duration,
    cost: Duration,
    /// True if no save runs in the background.
    is_done: bool,
    due: Option<Due>,
    /// The steps, and the time, until a save may be due.
    steps: Option<u64>,
    time: Option<Duration>,
}

impl<T: Checkpoint, G: Group> GroupCheckpointer<T, G> {
    pub(super) fn new(calls: Calls<G>, opened: Opened<T>) -> GroupCheckpointer<T, G> {
        let Opened { path, builder, home, root, leftovers, part, accepted, background, exit_codes } = opened;
        part.outputs().is_part();
        GroupCheckpointer {
            calls,
            turns: Turns::new(),
            part,
            root,
            leftovers,
            accepted,
            path,
            warnings: builder.options().warnings.clone(),
            builder,
            home,
            background,
            exit_codes,
            stop: None,
            is_stop_saved: false,
            pending: None,
            newest: None,
            report: None,
            on_resize: None,
        }
    }

    /// The number of this member.
    #[must_use]
    pub fn rank(&self) -> usize {
        self.calls.rank()
    }

    /// The number of members.
    #[must_use]
    pub fn size(&self) -> usize {
        self.calls.size()
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &G {
        self.calls.group()
    }

    /// Returns the absolute path of the checkpoint directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Sets if a member that panics [ends the group](Group::abort) when this is dropped. It does by
    /// default, and always while [`open_group`](Builder::open_group) runs. Without it, the others
    /// wait for the calls of that member, until they notice that it has ended.
    pub fn abort_on_panic(&mut self, aborts: bool) {
        self.calls.aborts = aborts;
    }

    /// Begins a call of all members.
    pub(super) fn begin(&mut self, name: impl Into<String>) -> Result<(), Error> {
        self.part.halves().1.run.check_process()?;
        self.calls.begin(name);
        Ok(())
    }

    /// Lets rank 0 do something with the table, and gives the outcome to all.
    fn by_first<B: Serialize + DeserializeOwned>(
        &mut self,
        name: impl Into<String>,
        work: impl FnOnce(&mut Checkpointer<Table>) -> Result<B, Error>,
    ) -> Result<B, Error> {
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        self.begin(name)?;
        // A list, because JSON does not tell `Some(())` from `None`.
        let mine = self.root.as_mut().map(work).transpose().map(Vec::from_iter);
        let all = self.calls.gather(mine)?;
        all.into_iter().flatten().next().ok_or_else(|| self.calls.lost("rank 0 gave no answer"))
    }

    /// Returns the existing generations, oldest first. Each of them was saved by all members.
    ///
    /// # Errors
    /// Fails if the directory cannot be listed.
    pub fn generations(&mut self) -> Result<Vec<u64>, Error> {
        self.by_first("generations", |root| root.generations())
    }

    /// Returns the manifest of a generation: its time and author, and the metadata of rank 0. Its
    /// schema is that of the table.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation.
    pub fn manifest(&mut self, generation: u64) -> Result<Manifest, Error> {
        self.by_first(format!("manifest({generation})"), |root| root.manifest(generation))
    }

    /// Returns the best generation by a number in the metadata of rank 0; `None` if none has
    /// that number.
    ///
    /// # Errors
    /// As [`CheckpointReader::best`](crate::CheckpointReader::best).
    pub fn best(&mut self, metric: &Metric) -> Result<Option<u64>, Error> {
        self.by_first(format!("best({metric})"), |root| root.best(metric))
    }

    /// Keeps a generation, with all parts, until [`unpin`](GroupCheckpointer::unpin), whatever the
    /// retention.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of writing the pin.
    pub fn pin(&mut self, generation: u64) -> Result<(), Error> {
        self.by_first(format!("pin({generation})"), |root| root.pin(generation))
    }

    /// Leaves a generation to the retention again, from the next save on.
    ///
    /// # Errors
    /// The error of removing the pin.
    pub fn unpin(&mut self, generation: u64) -> Result<(), Error> {
        self.by_first(format!("unpin({generation})"), |root| root.unpin(generation))
    }

    /// Returns the report of the last load that found a generation. It is the same on all members,
    /// but for the bytes and the time.
    #[must_use]
    pub fn last_load(&self) -> Option<&LoadReport> {
        self.report.as_ref()
    }

    /// Loads the newest generation without damage in any part. Returns `None` if there is no
    /// generation at all, as on the first run. All members load the same.
    ///
    /// # Errors
    /// As [`Checkpointer::load`], also if only another member has that error.
    pub fn load(&mut self) -> Result<Option<T>, Error> {
        Ok(self.loaded("load", None, None)?.map(|state| *state))
    }

    /// Loads the newest generation into an existing state: as [`Checkpointer::load_into`], and the
    /// state says which blocks of shared arrays this member wants. Returns false, with nothing
    /// changed, if there is no generation at all.
    ///
    /// # Errors
    /// As [`load`](GroupCheckpointer::load). The large arrays of the state may then be empty.
    pub fn load_into(&mut self, state: &mut T) -> Result<bool, Error> {
        let loaded = self.loaded("load_into", Some(state), None)?;
        // This comes last: the old state runs its own code when it is dropped.
        Ok(loaded.map(|loaded| *state = *loaded).is_some())
    }

    /// Loads the newest generation, or returns the default if there is none. The default says
    /// which blocks this member wants, as in [`load_into`](GroupCheckpointer::load_into).
    ///
    /// # Errors
    /// As [`load`](GroupCheckpointer::load).
    pub fn load_or_default(&mut self) -> Result<T, Error>
    where
        T: Default,
    {
        self.load_or_else(T::default)
    }

    /// Loads the newest generation, or returns the result of `initial` if there is none. `initial`
    /// is called in any case: its result says which blocks this member wants, as in
    /// [`load_into`](GroupCheckpointer::load_into).
    ///
    /// # Errors
    /// As [`load`](GroupCheckpointer::load).
    pub fn load_or_else(&mut self, initial: impl FnOnce() -> T) -> Result<T, Error> {
        let mut state = initial();
        Ok(match self.loaded("load_or_else", Some(&mut state), None)? {
            Some(loaded) => *loaded,
            None => state,
        })
    }

    /// Loads one generation. The next save is still numbered after the newest.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation on any member.
    pub fn load_generation(&mut self, generation: u64) -> Result<T, Error> {
        let name = format!("load_generation({generation})");
        let loaded = self.loaded(name, None, Some(generation))?;
        loaded.map(|state| *state).ok_or_else(|| self.calls.lost("nothing was loaded"))
    }

    /// Saves the states of all members as the next generation. Once this returned `Ok`, the parts
    /// of all members are durable.
    ///
    /// # Errors
    /// As [`Checkpointer::save`], and [`Error::Member`], if only another member failed. Earlier
    /// checkpoints are untouched, and the group may continue and save again. After
    /// [`Error::CallsDiffer`] and [`Error::GroupLost`] each further call fails too.
    pub fn save(&mut self, state: &T) -> Result<Saved, Error> {
        self.save_with(state, Metadata::new())
    }

    /// Saves with metadata. That of rank 0 is the metadata of the generation; each part has that of
    /// its member.
    ///
    /// # Errors
    /// As [`save`](GroupCheckpointer::save).
    pub fn save_with(&mut self, state: &T, metadata: impl IntoMetadata) -> Result<Saved, Error> {
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        self.begin("save")?;
        self.save_now(&SaveReason::Asked, state, metadata.into_metadata()).map_err(|failed| failed.error)
    }

    /// Saves if a save is due for the group: if the [`Schedule`](crate::Schedule) of rank 0 says
    /// so, or if any member must stop. Call it once in each turn of the program's loop.
    ///
    /// The members look together at an agreed turn, and whenever a number of steps is due. While
    /// all turns take the same time, they look about once a second, or more often where a look is
    /// quick. In between a call costs one comparison.
    ///
    /// # Errors
    /// As [`save`](GroupCheckpointer::save), and the error of a background save that has failed
    /// meanwhile.
    #[inline]
    pub fn save_if_due(&mut self, state: &T) -> Result<Decision, Error> {
        self.save_if_due_with(state, Metadata::new)
    }

    /// Like [`save_if_due`](GroupCheckpointer::save_if_due), with metadata. A function that makes
    /// the metadata is called only if the state is saved.
    ///
    /// # Errors
    /// As [`save_if_due`](GroupCheckpointer::save_if_due).
    #[inline]
    pub fn save_if_due_with(&mut self, state: &T, metadata: impl IntoMetadata) -> Result<Decision, Error> {
        if !self.turns.step() {
            return Ok(Decision::NotDue);
        }
        self.save_at_look(state, metadata)
    }

    #[cold]
    fn save_at_look(&mut self, state: &T, metadata: impl IntoMetadata) -> Result<Decision, Error> {
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        let (due, failed) = self.look("save_if_due")?;
        let reason = match (&self.stop, failed, due) {
            (Some((_, stop)), _, _) if !self.is_stop_saved => SaveReason::Stopping(stop.clone()),
            // The schedule tries again after a while, not at once.
            (_, Some(failed), _) => return Ok(failed),
            (_, None, Some(due)) if self.pending.is_none() => SaveReason::Due(due),
            _ => return Ok(Decision::NotDue),
        };
        let metadata = metadata.into_metadata();
        let is_stopping = matches!(reason, SaveReason::Stopping(_));
        let outcome = match self.background && !is_stopping {
            true => self
                .begin_in_background(&reason, state, metadata)
                .map(|started| Decision::Started { started, reason }),
            false => self.save_now(&reason, state, metadata).map(|saved| Decision::Saved { saved, reason }),
        };
        match outcome {
            Ok(decision) => {
                self.is_stop_saved |= is_stopping;
                Ok(decision)
            }
            Err(failed) => failed.tolerated.ok_or(failed.error),
        }
    }

    /// Looks together with the others: at the reasons to stop, the schedule, and the save in the
    /// background. Returns the reason of a save that is due, and the decision about a save in the
    /// background that failed.
    fn look(&mut self, name: &str) -> Result<(Option<Due>, Option<Decision>), Error> {
        self.begin(name)?;
        let (steps, pace) = self.turns.pace();
        let is_done = !self.part.halves().1.is_busy();
        let cost = self.turns.cost;
        let mut look = Look { stop: None, pace, cost, is_done, due: None, steps: None, time: None };
        match &mut self.root {
            Some(root) => {
                let run = &mut root.halves().1.run;
                (look.due, look.steps, look.time) = run.paced(steps);
                look.stop = run.should_stop().cloned();
            }
            None => look.stop = self.part.halves().1.run.should_stop().cloned(),
        }
        let begun = Instant::now();
        let all = self.calls.gather(Ok(look))?;
        self.turns.cost = begun.elapsed();
        let is_new = self.stop.is_none();
        if is_new {
            let mut stops = all.iter().enumerate();
            self.stop = stops.find_map(|(rank, look)| Some((rank, look.stop.clone()?)));
        }
        let [first, ..] = &all[..] else { return Ok((None, None)) };
        let slowest = all.iter().map(|look| look.pace).max().unwrap_or_default();
        let cost = all.iter().map(|look| look.cost).max().unwrap_or_default();
        let due = first.due.clone();
        // The next call that can save saves the last state.
        let is_stopping = self.stop.is_some() && !self.is_stop_saved;
        // While a save is on its way none is due, however late the schedule is.
        let (steps, time) = if self.pending.is_some() { (None, None) } else { (first.steps, first.time) };
        self.turns.agree(slowest, cost, if is_stopping { Some(1) } else { steps }, time);
        if let (true, Some((rank, reason))) = (is_new, &self.stop) {
            tracing::info!(rank, %reason, "the group stops");
            let run = match &mut self.root {
                Some(root) => &mut root.halves().1.run,
                None => &mut self.part.halves().1.run,
            };
            run.stop(reason.clone());
        }
        let mut failed = None;
        if self.pending.is_some() && all.iter().all(|look| look.is_done) {
            failed = match self.complete() {
                Ok(_) => None,
                Err(error) => Some(error.tolerated.ok_or(error.error)?),
            };
        }
        Ok((due, failed))
    }

    /// Returns the reason to stop that the group agreed on: the same on all members, in the same
    /// turn. It is the reason of one of them; see [`stopped_by`](GroupCheckpointer::stopped_by).
    ///
    /// # Errors
    /// [`Error::CallsDiffer`], [`Error::GroupLost`], and the error of a background save that has
    /// failed meanwhile.
    #[inline]
    pub fn should_stop(&mut self) -> Result<Option<&StopReason>, Error> {
        if self.turns.ask() {
            self.ask_at_look()?;
        }
        Ok(self.stop.as_ref().map(|(_, reason)| reason))
    }

    #[cold]
    fn ask_at_look(&mut self) -> Result<(), Error> {
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        self.look("should_stop").map(drop)
    }

    /// The member that had the reason to stop.
    #[must_use]
    pub fn stopped_by(&self) -> Option<usize> {
        self.stop.as_ref().map(|(rank, _)| *rank)
    }

    /// Copies the states of all members, and saves the copies while the program continues. If an
    /// earlier save still runs, the group waits for it.
    ///
    /// Each member writes its part in the background. The group accepts the save in the first call
    /// in which all parts are written: in [`save_if_due`](GroupCheckpointer::save_if_due) or
    /// [`should_stop`](GroupCheckpointer::should_stop) at an agreed turn, in
    /// [`wait`](GroupCheckpointer::wait), or in any later save. A save that is not accepted does
    /// not count.
    ///
    /// # Errors
    /// The error of the save before this one, if it failed: then no new save starts. Otherwise
    /// [`Error::Encode`], of any member.
    pub fn save_in_background(&mut self, state: &T) -> Result<SaveStarted, Error> {
        self.save_in_background_with(state, Metadata::new())
    }

    /// Like [`save_in_background`](GroupCheckpointer::save_in_background), with metadata.
    ///
    /// # Errors
    /// As [`save_in_background`](GroupCheckpointer::save_in_background).
    pub fn save_in_background_with(
        &mut self,
        state: &T,
        metadata: impl IntoMetadata,
    ) -> Result<SaveStarted, Error> {
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        self.begin("save_in_background")?;
        self.begin_in_background(&SaveReason::Asked, state, metadata.into_metadata())
            .map_err(|failed| failed.error)
    }

    /// Returns true while a save runs in the background of any member. Otherwise the save is
    /// accepted by now.
    ///
    /// # Errors
    /// The error of that save.
    pub fn is_saving(&mut self) -> Result<bool, Error> {
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        self.begin("is_saving")?;
        if self.pending.is_none() {
            return Ok(false);
        }
        let is_done = !self.part.halves().1.is_busy();
        if !self.calls.gather(Ok(is_done))?.into_iter().all(|is_done| is_done) {
            return Ok(true);
        }
        self.complete().map(|_| false).map_err(|failed| failed.error)
    }

    /// Waits for the save that runs in the background, and returns its outcome. Returns `None` if
    /// the outcomes of all saves are known.
    ///
    /// # Errors
    /// The error of the save, on any member. Earlier checkpoints are untouched.
    pub fn wait(&mut self) -> Result<Option<Saved>, Error> {
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        self.begin("wait")?;
        self.complete().map_err(|failed| failed.error)
    }

    /// Saves the states of all members, records the end of the run in the history, and closes the
    /// directory.
    ///
    /// Like [`Checkpointer::finish`], it saves nothing if the newest generation has the states of
    /// all members already. [`Finished`] is the same on all: so is the exit code.
    ///
    /// # Errors
    /// As [`save`](GroupCheckpointer::save). Also the error of an earlier background save, even if
    /// this save succeeds. The directory is closed in any case.
    pub fn finish(self, state: &T) -> Result<Finished, Error> {
        self.finish_with(state, Metadata::new())
    }

    /// Like [`finish`](GroupCheckpointer::finish), with metadata.
    ///
    /// # Errors
    /// As [`finish`](GroupCheckpointer::finish).
    pub fn finish_with(mut self, state: &T, metadata: impl IntoMetadata) -> Result<Finished, Error> {
        let metadata = metadata.into_metadata();
        let warnings = self.warnings.clone();
        let _warnings = warnings.enter();
        self.begin("finish")?;
        let before = match self.complete() {
            Err(failed) if self.calls.is_broken() => return Err(failed.error),
            before => before,
        };
        let stands = self.stands(state, &metadata);
        let saved = match self.calls.gather(Ok(stands))?.into_iter().all(|stands| stands) {
            true => {
                if let Some((generation, counted)) = self.part.outputs().take_unaccepted() {
                    outputs::accept(&counted, generation);
                }
                None
            }
            false => {
                let saved = self.save_now(&SaveReason::Finishing, state, metadata);
                Some(saved.map_err(|failed| failed.error)?)
            }
        };
        self.part.halves().1.run.end(before.is_ok());
        if let Some(root) = &mut self.root {
            root.halves().1.run.end(before.is_ok());
        }
        let stopped = self.stop.take().map(|(_, reason)| reason);
        let finished =
            Finished { saved, stopped, mirrored: None, exit_codes: self.exit_codes, removal: None };
        before.map(|_| finished).map_err(|failed| failed.error)
    }

    /// True if the newest generation has this member's state.
    fn stands(&mut self, state: &T, metadata: &Metadata) -> bool {
        let Some((generation, attempt)) = self.newest.clone() else { return false };
        if let Some(root) = &mut self.root {
            let newest = root.generations().ok().and_then(|mut all| all.pop());
            let writer = root.halves().1.settled_writer();
            // An earlier run may have left the table unsynced.
            if newest != Some(generation) || !writer.is_some_and(|writer| writer.keep_for_good(generation)) {
                return false;
            }
        }
        let metadata = match metadata.is_empty() {
            true => Metadata::new(),
            false => Table::mark(metadata.clone(), &attempt, self.calls.rank()),
        };
        self.part.stands_as(generation, state, &metadata)
    }
}

impl<T: Checkpoint, G: Group> Drop for GroupCheckpointer<T, G> {
    fn drop(&mut self) {
        // They know the run, and it would know them for ever.
        drop(self.part.outputs().take_unaccepted());
        if let Some(Pending { attempt, .. }) = &self.pending {
            let warnings = self.warnings.clone();
            let _warnings = warnings.enter();
            warn(format!(
                "generation {} of {} does not count: it was saved in the background, and the program did not wait for \
                 it, by `wait` or `finish`",
                attempt.generation,
                self.path.display()
            ));
        }
    }
}

impl<T: Checkpoint, G: Group> fmt::Debug for GroupCheckpointer<T, G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GroupCheckpointer")
            .field("path", &self.path)
            .field("rank", &self.calls.rank())
            .field("size", &self.calls.size())
            .finish_non_exhaustive()
    }
}
