//! [`Builder`]: the settings with which a checkpoint directory is opened.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::callback::Callback;
use crate::container::Config;
use crate::error::Error;
use crate::outcome::{ExitCodes, Progress};
use crate::run::checkpointer::Checkpointer;
use crate::run::configuration::ConfigChanges;
use crate::run::failures::OnFailedSave;
use crate::run::mirror::Mirror;
use crate::run::opening::Chosen;
use crate::run::options::{Options, reading_options, stopping_options, writing_options};
use crate::run::read_back::ReadBack;
use crate::run::stamp::Stamp;
use crate::schedule::Schedule;
use crate::state::Checkpoint;
use crate::stop::{self, SharedStop};
use crate::store::{ByAge, Disk, Home, Metric, Place, WithinGuard};

/// The settings of a [`Checkpointer`] to open, or of [`Scopes`](crate::scopes::Scopes), which use
/// one.
///
/// ```
/// use checkpointed::Checkpointer;
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let checkpoints = Checkpointer::<Vec<f64>>::builder(&path).keep_last(5).open()?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is opened until `open` is called"]
pub struct Builder<T, O = Checkpointer<T>> {
    chosen: Chosen,
    opened: PhantomData<fn() -> (T, O)>,
}

impl<T, O> Builder<T, O> {
    reading_options!(chosen.options);
    writing_options!(chosen.options);
    stopping_options!(chosen.stop);

    pub(crate) fn new(path: &Path) -> Self {
        Builder { chosen: Chosen::new(path), opened: PhantomData }
    }

    /// Opens another place than a directory.
    pub(crate) fn in_home(mut self, home: Arc<dyn Home>) -> Self {
        self.chosen.home = Some(home);
        self
    }

    /// Sets the number of newest generations to keep; 2 by default. Older ones are removed after
    /// each save, unless another rule keeps them. At least 1; with 1 there is no older one to load
    /// if the file is damaged later.
    pub fn keep_last(mut self, generations: usize) -> Self {
        self.chosen.keep_last = generations;
        self
    }

    /// Keeps every generation whose number `n` divides, for as long as the directory exists.
    pub fn keep_every(mut self, n: u64) -> Self {
        self.chosen.keep_every = Some(n);
        self
    }

    /// Keeps this number of the best generations by a number in their metadata, besides the newest
    /// ones. Call it once for each metric. See [`Metric`].
    pub fn keep_best(mut self, metric: Metric, generations: usize) -> Self {
        self.chosen.keep_best.push((metric, generations));
        self
    }

    /// Copies the checkpoints to a second place, in a thread of its own: to a directory on another
    /// disk, or to an object store, for when the machine is lost with its disk. See [`Mirror`].
    ///
    /// A save does not wait for the mirror, and no failure of the mirror is one of a save: it is
    /// warned of when it begins and when it ends, and the mirror is tried again. [`Mirror`] names
    /// one exception, near the limit of open files.
    /// [`wait_for_mirror`](Checkpointer::wait_for_mirror) waits, and
    /// [`finish`](Checkpointer::finish) does for a while.
    ///
    /// Opening and loading take the newest generation that is whole on either level. A directory
    /// that is empty, or damaged, gets it from the mirror. Where each level has what the other
    /// never had, opening is an error ([`Error::MirrorApart`]), and nothing is changed.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Mirror};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let (scratch, project) = (directory.path().join("scratch.ckpt"), directory.path().join("project.ckpt"));
    /// let mut checkpoints = Checkpointer::<u64>::builder(&scratch).mirror(Mirror::to(&project)).open()?;
    /// checkpoints.save(&7)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn mirror(mut self, mirror: Mirror) -> Self {
        self.chosen.mirror = Some(mirror);
        self
    }

    /// Keeps, for as long as the directory exists, the first generation at or after each multiple
    /// of `n`, by a number in the metadata: the one of step 1000, of step 2000, and so on, wherever
    /// the run was stopped in between. [`Checkpointer::count`] puts such a number into the metadata
    /// of each save. Call it once for each name.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Schedule};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path)
    ///     .keep_last(1)
    ///     .keep_every_of("step", 1000)
    ///     .schedule(Schedule::every_of("step", 100))
    ///     .open()?;
    /// for step in 1..=2500 {
    ///     checkpoints.count("step", step);
    ///     checkpoints.save_if_due(&step)?;
    /// }
    /// let kept = checkpoints.generations()?;
    /// assert_eq!(kept, [10, 20, 25]); // of steps 1000, 2000 and 2500
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_every_of(mut self, name: impl Into<String>, n: u64) -> Self {
        self.chosen.keep_every_of.push((name.into(), n));
        self
    }

    /// Keeps the first generation of each interval, as long as it is not older than `up_to`: one an
    /// hour for a day, one a day for a month. Call it once for each interval. Times are those of
    /// the saves by the clock of the machine, ages are counted back from the newest save. One save
    /// with a clock that is ahead removes nothing: if it is more than `up_to` after the save before
    /// it, ages are counted from that one, until another save confirms it.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    /// use std::time::Duration;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// const HOUR: Duration = Duration::from_secs(3600);
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path)
    ///     .keep_one_in(HOUR, 24 * HOUR)
    ///     .keep_one_in(24 * HOUR, 30 * 24 * HOUR)
    ///     .open()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_one_in(mut self, interval: Duration, up_to: Duration) -> Self {
        self.chosen.keep_by_age.push(ByAge { one_in: interval, up_to });
        self
    }

    /// Branches from another run: while this directory has no generation, loads come from the
    /// directory at `path`, which is never changed. Saves go to this one, so the two runs part
    /// here. A load fails ([`Error::NothingToBranchFrom`]) where neither directory has a
    /// generation.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let (run, variant) = (directory.path().join("run.ckpt"), directory.path().join("variant.ckpt"));
    /// Checkpointer::<u64>::open(&run)?.save(&1000)?;
    ///
    /// let mut checkpoints = Checkpointer::<u64>::builder(&variant).branch_from(&run).open()?;
    /// assert_eq!(checkpoints.load()?, Some(1000));
    /// checkpoints.save(&1001)?;
    /// assert_eq!(checkpoints.load()?, Some(1001));
    /// # Ok(())
    /// # }
    /// ```
    pub fn branch_from(mut self, path: impl AsRef<Path>) -> Self {
        self.chosen.branch_from = Some(Place::of(path.as_ref()));
        self
    }

    /// Branches from this generation of the other run, in the place of its newest one: loads take
    /// it and no other, also where it is damaged. Used with [`branch_from`](Builder::branch_from).
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let (run, variant) = (directory.path().join("run.ckpt"), directory.path().join("variant.ckpt"));
    /// let mut checkpoints = Checkpointer::<u64>::open(&run)?;
    /// checkpoints.save(&1000)?;
    /// checkpoints.save(&2000)?;
    ///
    /// let mut branch = Checkpointer::<u64>::builder(&variant).branch_from(&run).at(1).open()?;
    /// assert_eq!(branch.generations()?, [1]);
    /// assert_eq!(branch.load()?, Some(1000));
    /// # Ok(())
    /// # }
    /// ```
    pub fn at(mut self, generation: u64) -> Self {
        self.chosen.branch_at = Some(generation);
        self
    }

    /// Goes back to a generation when the directory is opened, once: those after it are set aside,
    /// as by [`Checkpointer::rewind`]. The directory remembers it, so a program that says it at
    /// each start goes back at the first one only, and goes on from its newest save after that.
    /// Another number goes back once more. To go back to the same one twice, use
    /// `ckpt rewind DIR N`. A warning names what is set aside. `ckpt copy` takes the memory along,
    /// and a directory that was lost and came back from its [mirror](Builder::mirror) has it too.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// # let mut first = Checkpointer::<u64>::open(&path)?;
    /// # (first.save(&1)?, first.save(&2)?);
    /// # drop(first);
    /// for expected in [1, 10] {
    ///     let mut checkpoints = Checkpointer::<u64>::builder(&path).rewind(1).open()?;
    ///     assert_eq!(checkpoints.load()?, Some(expected));
    ///     checkpoints.save(&10)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn rewind(mut self, generation: u64) -> Self {
        self.chosen.rewind = Some(generation);
        self
    }

    /// Selects the saves that are loaded again, and compared with the state, before they count;
    /// [`ReadBack::Auto`] by default.
    ///
    /// It finds faults that no compiler can: a `Serialize` and a `Deserialize` that disagree, and
    /// values that have no form in a checkpoint. Such a save is an error ([`Error::NotReadBack`])
    /// that names the value that changed, and earlier checkpoints are untouched. Maps and sets may
    /// be read back in another order, as those of a `HashMap` are.
    ///
    /// A state that is read back exists twice for a moment, and one of the two is dropped: a type
    /// whose `Drop` has effects outside of the program, such as removing a file, needs
    /// [`ReadBack::Never`].
    ///
    /// ```
    /// use checkpointed::{Checkpointer, ReadBack};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints =
    ///     Checkpointer::<Vec<f64>>::builder(&path).read_back(ReadBack::Always).open()?;
    /// checkpoints.save(&vec![0.5, f64::NAN])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn read_back(mut self, read_back: ReadBack) -> Self {
        self.chosen.read_back = read_back;
        self
    }

    /// Sets if [`save_if_due`](Checkpointer::save_if_due) saves in the background; by default, it
    /// waits for the disk. In the background, the program only waits for a copy in memory, which
    /// needs as much memory as the state.
    pub fn background(mut self, background: bool) -> Self {
        self.chosen.background = background;
        self
    }

    /// Stores the configuration of the run, such as the arguments of the program, with each
    /// checkpoint, and compares it at a load: any value with serde's `Serialize`.
    ///
    /// Each setting that differs is a warning, such as
    /// `learning_rate: 0.1 in the checkpoint, 0.01 now`, and is in
    /// [`LoadReport::config_differences`](crate::reports::LoadReport::config_differences).
    /// [`config_changes`](Builder::config_changes) allows or refuses them. A checkpoint without a
    /// configuration is compared with none. `ckpt show` and `ckpt diff` have it too.
    ///
    /// In a group, the configuration of rank 0 counts. Floats are compared exactly; NaN equals NaN.
    /// Sequences are compared in their order. That of a `HashSet` is another one at each start, so
    /// a set must be a `BTreeSet`, or a sorted `Vec`; maps of any kind are compared by their keys.
    /// The configuration is not part of the state: the program goes on with its present one.
    /// Secrets do not belong in it.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// #[derive(serde::Serialize)]
    /// struct Arguments { learning_rate: f64 }
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let open = |learning_rate| {
    ///     Checkpointer::<u64>::builder(&path).config(&Arguments { learning_rate }).open()
    /// };
    /// open(0.1)?.save(&7)?;
    ///
    /// let mut checkpoints = open(0.01)?;
    /// checkpoints.load()?;
    /// let differences = &checkpoints.last_load().expect("it was saved").config_differences;
    /// assert_eq!(differences[0].to_string(), "learning_rate: 0.1 in the checkpoint, 0.01 now");
    /// # Ok(())
    /// # }
    /// ```
    pub fn config(mut self, configuration: &(impl serde::Serialize + ?Sized)) -> Self {
        self.chosen.config = Some(Config::of(configuration));
        self
    }

    /// Sets the reaction of a load to another [configuration](Builder::config) in the checkpoint;
    /// by default, each difference is a warning. See [`ConfigChanges`].
    pub fn config_changes(mut self, changes: ConfigChanges) -> Self {
        self.chosen.config_changes = changes;
        self
    }

    /// Keeps what a load cuts off a file that grows with the run, see
    /// [`Appended`](crate::Appended): in a file beside it, such as `chain.csv.cut-at-1200`. By
    /// default it is dropped, since the program writes it once more, unless the newest checkpoint
    /// is gone or damaged.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let checkpoints = Checkpointer::<u64>::builder(&path).keep_cut_outputs(true).open()?;
    /// # drop(checkpoints);
    /// # Ok(())
    /// # }
    /// ```
    pub fn keep_cut_outputs(mut self, keep: bool) -> Self {
        self.chosen.keep_cut_outputs = keep;
        self
    }

    /// Sets the schedule of [`save_if_due`](Checkpointer::save_if_due); [`Schedule::adaptive`] by
    /// default.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.chosen.schedule = schedule;
        self
    }

    /// Sets if the run is recorded in `history.jsonl` in the directory; it is by default. See
    /// [`history`](crate::history).
    pub fn history(mut self, history: bool) -> Self {
        self.chosen.history = history;
        self
    }

    /// Sets the reaction of [`save_if_due`](Checkpointer::save_if_due) to a failed save, where the
    /// program is not at fault; by default, it returns the error. See [`OnFailedSave`], which can
    /// also make room on a full disk.
    pub fn on_failed_save(mut self, on_failed_save: OnFailedSave) -> Self {
        self.chosen.on_failed_save = on_failed_save;
        self
    }

    /// Calls `watcher` when a save begins, makes progress, ends or fails: for a progress bar. Saves
    /// in the background call it from their thread. A watcher that panics is not called any more,
    /// and does not affect the save.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, reports::Progress};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<Vec<f64>>::builder(&path)
    ///     .on_progress(|progress| match progress {
    ///         Progress::Writing { generation, bytes } => eprint!("\r{generation}: {bytes} bytes"),
    ///         Progress::Saved(saved) => eprintln!("\r{}: saved in {:?}", saved.generation, saved.duration),
    ///         _ => {}
    ///     })
    ///     .open()?;
    /// checkpoints.save(&vec![0.0; 1000])?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_progress(mut self, watcher: impl Fn(&Progress) + Send + Sync + 'static) -> Self {
        self.chosen.watcher = Callback::new("on_progress", watcher);
        self
    }

    /// Sets if each save writes one line on standard error, with its number, its size and its time;
    /// it does not by default. So does a save that fails.
    ///
    /// ```text
    /// checkpointed: run.ckpt: saved generation 42, 256.0 MiB in 812.3ms, the program waited 28.1ms
    /// ```
    ///
    /// `CHECKPOINT_SAVES=stderr` in the environment does it for a program that does not. In a
    /// group, each member writes lines: let only rank 0 do it. With [`tracing`], each save is an
    /// event in any case.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path).saves_to_stderr(true).open()?;
    /// checkpoints.save(&7)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn saves_to_stderr(mut self, to_stderr: bool) -> Self {
        self.chosen.saves_to_stderr = to_stderr;
        self
    }

    /// Marks a directory that the library keeps for itself: the environment does not change its
    /// settings.
    pub(crate) fn of_library(mut self) -> Self {
        self.chosen.is_of_library = true;
        self
    }

    /// Marks the saves whose inputs changed.
    pub(crate) fn stamped(mut self, stamp: Stamp) -> Self {
        self.chosen.stamp = stamp;
        self
    }

    /// Stops for the reasons of the whole run too, and notes there when the program is told to
    /// stop.
    pub(crate) fn part_of(mut self, run: &Arc<SharedStop>, told: stop::Told) -> Self {
        self.chosen.stop = self.chosen.stop.part_of(run, told);
        self
    }

    /// The same settings for another state, or for another value to open.
    pub(crate) fn of<U, P>(self) -> Builder<U, P> {
        Builder { chosen: self.chosen, opened: PhantomData }
    }

    /// The settings for the table of a group: the members tell of the progress of their own parts.
    pub(crate) fn for_table(mut self) -> Self {
        (self.chosen.background, self.chosen.watcher) = (false, Callback::default());
        self.chosen.saves_to_stderr = false;
        self
    }

    /// The settings for the part of one member of a group, in a place of its own. The group keeps
    /// the history, the schedule and the rules; `stops` is true where the member looks for reasons
    /// to stop. `job` is the number of the claim on the outer place, if that has no locks.
    pub(crate) fn for_part(mut self, home: Arc<dyn Home>, stops: bool, job: Option<u64>) -> Self {
        let path = std::mem::replace(&mut self.chosen.path, Place::of(home.path()));
        self.chosen.whole = self.chosen.home.is_none().then_some(path);
        (self.chosen.home, self.chosen.job) = (Some(home), job);
        self.chosen.options.protection = self.chosen.options.protection.at_least(0);
        (self.chosen.background, self.chosen.history) = (false, false);
        self.chosen.on_failed_save = OnFailedSave::default();
        if !stops {
            self.chosen.stop =
                stop::Settings { exit_codes: self.chosen.stop.exit_codes, ..stop::Settings::default() };
        }
        (self.chosen.is_of_library, self.chosen.is_part) = (true, true);
        self
    }

    /// The settings that a group has in another way, or not at all: the first that is set, and the
    /// reason.
    pub(crate) fn not_for_groups(&self) -> Result<(), Error> {
        let refused = |setting: &str, why| Err(Error::InvalidSetting { setting: setting.to_owned(), why });
        if self.chosen.stamp.is_of_step() {
            return refused(
                "`open_group` inside of a step of a pipeline",
                "a step goes on from checkpoints of its own that one process saves: open them by \
                 `context.builder().open()`, or run the group without a pipeline",
            );
        }
        if self.chosen.branch_from.is_some() {
            return refused("branch_from", "a group cannot branch: copy the directory, with `ckpt copy`");
        }
        if self.chosen.mirror.is_some() {
            return refused(
                "mirror",
                "a group has no mirror: its table and all of its parts would have to arrive together; save to the far \
                 directory itself, or copy the directory with `ckpt copy`",
            );
        }
        if self.chosen.rewind.is_some() {
            return refused("rewind", "a group does not rewind: use `ckpt rewind` before it starts");
        }
        if self.chosen.schedule.counted().is_some() {
            return refused(
                "Schedule::every_of",
                "the members of a group agree on a schedule by calls or by time: use `every_steps`, `every`, or \
                 `adaptive`",
            );
        }
        if self.chosen.on_failed_save.makes_room() {
            return refused(
                "OnFailedSave::make_room",
                "a group makes no room: its members may be on different disks; keep fewer generations",
            );
        }
        Ok(())
    }

    /// The place to open.
    pub(crate) fn home(&self) -> Result<Arc<dyn Home>, Error> {
        self.chosen.home()
    }

    /// Applies the environment, which goes before the settings of the program.
    pub(crate) fn with_environment(self) -> Result<Self, Error> {
        Ok(Builder { chosen: self.chosen.with_environment()?, opened: PhantomData })
    }

    pub(crate) fn options(&self) -> &Options {
        &self.chosen.options
    }

    /// The exit codes, as the environment has them.
    pub(crate) fn exit_codes_in_environment(&self) -> Result<ExitCodes, Error> {
        self.chosen.stop.exit_codes.in_environment()
    }

    pub(crate) fn is_background(&self) -> bool {
        self.chosen.background
    }

    /// Sets another disk in place of the real one.
    #[cfg(test)]
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.chosen.disk = Some(disk);
        self
    }

    /// Opens the directory within a claimed outer one, with that one's disk and settings.
    pub(crate) fn inside(mut self, disk: Arc<dyn Disk>, options: Options, within: WithinGuard) -> Self {
        (self.chosen.disk, self.chosen.options, self.chosen.within) = (Some(disk), options, within);
        self
    }
}

impl<T: Checkpoint, O: From<Checkpointer<T>>> Builder<T, O> {
    /// Opens the directory, and creates it where it is absent.
    ///
    /// The environment goes before these settings:
    ///
    /// | variable | values | in the place of |
    /// |---|---|---|
    /// | `CHECKPOINT_EVERY` | `10min`, `1000 steps`, `100 of step`, `1%`, `adaptive` | [`schedule`](Builder::schedule), with its bounds |
    /// | `CHECKPOINT_KEEP` | `5` | [`keep_last`](Builder::keep_last) |
    /// | `CHECKPOINT_BACKGROUND` | `on`, `off` | [`background`](Builder::background) |
    /// | `CHECKPOINT_TIME_LIMIT` | `2h`, `90min`, `3600s` | [`time_limit`](Builder::time_limit) |
    /// | `CHECKPOINT_DEADLINE` | a time, or as above | used where the program calls [`stop_before_deadline`](Builder::stop_before_deadline) |
    /// | `CHECKPOINT_ON_FAILED_SAVE` | `stop`, `go-on`, `go-on for 2h`, `go-on 10 times` | [`on_failed_save`](Builder::on_failed_save) |
    /// | `CHECKPOINT_SAVES` | `off`, `stderr` | [`saves_to_stderr`](Builder::saves_to_stderr) |
    /// | `CHECKPOINT_WARNINGS` | `off`, `stderr` | [`warnings_to_stderr`](Builder::warnings_to_stderr) |
    /// | `CHECKPOINT_EXIT_REQUEUE`, `CHECKPOINT_EXIT_HALTED` | `99`, `0` | [`exit_codes`](Builder::exit_codes) |
    ///
    /// Any other variable that begins with `CHECKPOINT_` gets one warning, but for
    /// `CHECKPOINT_STEPS` of pipelines, and any from which the program read a
    /// [`Key`](crate::Key). `CHECKPOINT_DIR` and `CHECKPOINT_KEY` are left to scripts and programs,
    /// and do nothing by themselves.
    ///
    /// # Errors
    /// As [`Checkpointer::open`], and [`Error::InvalidSetting`], also where a variable has an
    /// invalid value.
    pub fn open(self) -> Result<O, Error> {
        let begun = Instant::now();
        let builder = if self.chosen.is_of_library { self } else { self.with_environment()? };
        let _warnings = builder.chosen.options.warnings.enter();
        builder.open_at(begun)
    }

    /// Opens the directory as it was chosen, whatever the environment says.
    pub(crate) fn open_at(self, begun: Instant) -> Result<O, Error> {
        self.chosen.open::<T>(begun).map(|inner| Checkpointer::new(inner).into())
    }
}

// A derived implementation would require `Clone` of both types.
impl<T, O> Clone for Builder<T, O> {
    fn clone(&self) -> Self {
        Builder { chosen: self.chosen.clone(), opened: PhantomData }
    }
}

impl<T, O> fmt::Debug for Builder<T, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("path", &self.chosen.path)
            .field("durable", &self.chosen.options.durable)
            .field("keep_last", &self.chosen.keep_last)
            .field("keep_every", &self.chosen.keep_every)
            .field("keep_best", &self.chosen.keep_best)
            .field("branch_from", &self.chosen.branch_from)
            .finish()
    }
}
