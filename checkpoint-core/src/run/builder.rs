//! [`Builder`]: how a checkpoint directory is opened.

use std::fmt;
use std::marker::PhantomData;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::callback::Callback;
use crate::base::warnings::{self, Taker, Warning};
use crate::container::Compression;
use crate::environment;
use crate::error::Error;
use crate::history::Journal;
use crate::outcome::{ExitCodes, Progress, Signal};
use crate::run::checkpointer::Checkpointer;
use crate::run::failures::OnFailedSave;
use crate::run::lifecycle::{Run, Watch};
use crate::run::read_back::{Net, ReadBack};
use crate::run::reader::CheckpointReader;
use crate::run::saver::Saver;
use crate::schedule::{Pacer, Schedule};
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::stop::{self, Stop};
use crate::store::{
    Access, Claiming, Directory, Disk, Metric, Metrics, Place, RealDisk, Retention, Settings, Writer,
};

/// The settings of a [`Checkpointer`] that is about to be opened.
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
#[derive(Clone)]
#[must_use = "nothing is opened until `open` is called"]
pub struct Builder<T> {
    path: Place,
    access: Access,
    claiming: Claiming,
    durable: bool,
    keep_last: usize,
    keep_every: Option<u64>,
    keep_best: Vec<(Metric, usize)>,
    compression: Compression,
    protection: Protection,
    branch_from: Option<Place>,
    read_back: ReadBack,
    background: bool,
    schedule: Schedule,
    stop: stop::Settings,
    history: bool,
    watch: Watch,
    /// Whether the environment has a say: not in what the library keeps for itself.
    is_of_library: bool,
    /// `None` for the machine's.
    disk: Option<Arc<dyn Disk>>,
    state: PhantomData<fn() -> T>,
}

impl<T: Checkpoint> Builder<T> {
    pub(crate) fn new(path: &Path) -> Builder<T> {
        Builder {
            path: Place::of(path),
            access: Access::default(),
            claiming: Claiming::default(),
            durable: true,
            keep_last: 2,
            keep_every: None,
            keep_best: Vec::new(),
            compression: Compression::None,
            protection: Protection::new(),
            branch_from: None,
            read_back: ReadBack::default(),
            background: false,
            schedule: Schedule::default(),
            stop: stop::Settings::default(),
            history: true,
            watch: Watch::default(),
            is_of_library: false,
            disk: None,
            state: PhantomData,
        }
    }

    /// How many generations are kept, counted from the newest; 2 unless said otherwise. Older ones are removed after
    /// each save, unless another rule keeps them. At least 1; with 1 there is none to fall back to should the file be
    /// damaged later.
    pub fn keep_last(mut self, generations: usize) -> Builder<T> {
        self.keep_last = generations;
        self
    }

    /// Keeps every generation whose number `n` divides, for as long as the directory exists.
    pub fn keep_every(mut self, n: u64) -> Builder<T> {
        self.keep_every = Some(n);
        self
    }

    /// Keeps the best generations by a number in their metadata, so many as said, besides the newest ones; may be called
    /// for several metrics. See [`Metric`].
    pub fn keep_best(mut self, metric: Metric, generations: usize) -> Builder<T> {
        self.keep_best.push((metric, generations));
        self
    }

    /// Whether a save waits until it is on the disk; it does unless said otherwise.
    ///
    /// With `false` a save does not ask the operating system to write anything down. What this loses: after a power
    /// cut or a crash of the *operating system*, the newest generations may be missing, empty or damaged, and even
    /// all of them. A load still never takes a damaged one for good. A crash or a kill of the *program* loses
    /// nothing, as before.
    pub fn durable(mut self, durable: bool) -> Builder<T> {
        self.durable = durable;
        self
    }

    /// Begins where another run is: while this directory has no generation of its own, loads come from the
    /// directory at `path`, which is never changed. The saves go into this one, so the two runs part here. A load fails
    /// ([`Error::NothingToBranchFrom`]) where neither has any.
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
    pub fn branch_from(mut self, path: impl AsRef<Path>) -> Builder<T> {
        self.branch_from = Some(Place::of(path.as_ref()));
        self
    }

    /// How long to wait for another program that has the directory open; not at all unless said otherwise. Meanwhile the
    /// log says for whom. A job that is started again may so begin before its predecessor has ended.
    ///
    /// ```
    /// use std::time::Duration;
    /// use checkpointed::{Checkpointer, Error};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let former = Checkpointer::<u64>::open(&path)?;
    /// let wait = Duration::from_millis(100);
    /// let next = Checkpointer::<u64>::builder(&path).wait_for(wait).open();
    /// assert!(matches!(next, Err(Error::InUse { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_for(mut self, longest: Duration) -> Builder<T> {
        self.claiming.wait = longest;
        self
    }

    /// Whether the directory must be locked; it must unless said otherwise. With `false` a file system without locks is
    /// used all the same (a lock that can be had is still taken): then nothing keeps a second program from saving there,
    /// and from removing what this one saved.
    pub fn require_lock(mut self, required: bool) -> Builder<T> {
        self.claiming.without_lock = !required;
        self
    }

    /// Who else may use the files of the directory; only the user who runs the program unless said otherwise. Files get
    /// these rights when they are written, whatever the umask says, and the group of the directory where that has the
    /// set-group-id bit (`chmod g+s`).
    ///
    /// ```
    /// use checkpointed::{Access, Checkpointer};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path).access(Access::GroupReads).open()?;
    /// checkpoints.save(&1)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn access(mut self, access: Access) -> Builder<T> {
        self.access = access;
        self
    }

    /// Which saves are loaded again, and compared with what was saved, before they count; [`ReadBack::Auto`] unless said
    /// otherwise.
    ///
    /// It finds what no compiler can: a `Serialize` and a `Deserialize` that do not agree, and values that have no form in a
    /// checkpoint. Such a save is an error ([`Error::NotReadBack`]) that says which value came back as another one, and
    /// what was saved before stays. Maps and sets may come back in another order, as those of a `HashMap` do.
    ///
    /// A state that is read back exists twice for a moment, and one of the two is dropped: a type whose `Drop` does something
    /// to the world, such as removing a file that it names, needs [`ReadBack::Never`].
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
    pub fn read_back(mut self, read_back: ReadBack) -> Builder<T> {
        self.read_back = read_back;
        self
    }

    /// How the parts of a checkpoint are packed; not at all unless said otherwise. See [`Compression`].
    pub fn compression(mut self, compression: Compression) -> Builder<T> {
        self.compression = compression;
        self
    }

    /// Who may have written the checkpoints, and who may read them; anybody unless said otherwise. See [`Protection`]. The
    /// directory that is branched from must be protected alike.
    pub fn protection(mut self, protection: Protection) -> Builder<T> {
        self.protection = protection;
        self
    }

    /// Whether [`save_if_due`](Checkpointer::save_if_due) saves in the background; it waits for the disk unless said
    /// otherwise. In the background the program waits for a copy in memory only, which needs as much memory as the state.
    pub fn background(mut self, background: bool) -> Builder<T> {
        self.background = background;
        self
    }

    /// When [`save_if_due`](Checkpointer::save_if_due) saves; [`Schedule::adaptive`] unless said otherwise.
    pub fn schedule(mut self, schedule: Schedule) -> Builder<T> {
        self.schedule = schedule;
        self
    }

    /// Whether the run is written down in `history.jsonl` in the directory; it is unless said otherwise. See
    /// [`history`](crate::history).
    pub fn history(mut self, history: bool) -> Builder<T> {
        self.history = history;
        self
    }

    /// Stops on SIGINT, SIGTERM, SIGUSR1 and SIGUSR2: [`should_stop`](Checkpointer::should_stop) says so, and a save is due.
    /// A second SIGINT ends the program at once, as it would without this.
    pub fn stop_on_signals(self) -> Builder<T> {
        self.stop_on(Signal::DEFAULT)
    }

    /// As [`stop_on_signals`](Builder::stop_on_signals), on the signals that are given.
    pub fn stop_on(mut self, signals: &[Signal]) -> Builder<T> {
        self.stop.signals = signals.to_vec();
        self
    }

    /// Stops when the program has run for so long, counted from the opening of the directory: early enough for one more
    /// save before.
    pub fn time_limit(mut self, limit: Duration) -> Builder<T> {
        self.stop.time_limit = Some(limit);
        self
    }

    /// Stops ahead of the time at which a batch system ends the job: early enough for one more save before. The time is
    /// that of Slurm, of PBS, or of the variable `CHECKPOINT_DEADLINE`; where there is none, nothing happens. A deadline in
    /// the variable that is not understood is an error of the opening. See `docs/batch.md`.
    pub fn stop_before_deadline(mut self) -> Builder<T> {
        self.stop.deadline = true;
        self
    }

    /// The exit codes that [`Finished::exit_code`](crate::Finished::exit_code) gives: for a run that was stopped and is to be
    /// started again, and for one that a user halted; [`EXIT_REQUEUE`](crate::stop::EXIT_REQUEUE) and
    /// [`EXIT_HALTED`](crate::stop::EXIT_HALTED) unless said otherwise. The variables `CHECKPOINT_EXIT_REQUEUE` and
    /// `CHECKPOINT_EXIT_HALTED` count before this: which code a batch system takes is known where the program is started.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// // Grid Engine starts a job again that ends with 99.
    /// let checkpoints = Checkpointer::<u64>::builder(&path).exit_codes(99, 0).open()?;
    /// # drop(checkpoints);
    /// # Ok(())
    /// # }
    /// ```
    pub fn exit_codes(mut self, requeue: u8, halted: u8) -> Builder<T> {
        self.stop.exit_codes = ExitCodes { requeue, halted };
        self
    }

    /// What [`save_if_due`](Checkpointer::save_if_due) does about a save that failed though the program is not to blame: it returns
    /// the error unless said otherwise. See [`OnFailedSave`], which can also make room on a full disk.
    pub fn on_failed_save(mut self, on_failed_save: OnFailedSave) -> Builder<T> {
        self.watch.on_failed_save = on_failed_save;
        self
    }

    /// Takes the warnings of this checkpointer, such as that of a damaged generation that was passed over. They are events of
    /// [`tracing`] besides, and go to standard error no more.
    ///
    /// Unless said otherwise, and where the program never set a subscriber for `tracing`, a warning is one line on standard
    /// error. `CHECKPOINT_WARNINGS=off` in the environment leaves that out; with `CHECKPOINT_WARNINGS=stderr` the line is
    /// written whatever there is of subscribers. A function that panics is given no more warnings of the kind that it cannot
    /// take: they go to standard error.
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    /// use std::sync::mpsc;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// Checkpointer::<u64>::open(&path)?.save(&1)?;
    /// Checkpointer::<u64>::open(&path)?.save(&2)?;
    /// std::fs::write(path.join("00000000000000000002.ckpt"), "damage").unwrap();
    ///
    /// let (sender, warnings) = mpsc::channel();
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path)
    ///     .on_warning(move |warning| sender.send(warning.to_string()).unwrap_or_default())
    ///     .open()?;
    /// assert_eq!(checkpoints.load()?, Some(1));
    /// assert!(warnings.recv().unwrap().contains("generation 2 cannot be used"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_warning(mut self, taker: impl Fn(&Warning) + Send + Sync + 'static) -> Builder<T> {
        self.watch.warnings.taker = Some(Taker(Arc::new(taker)));
        self
    }

    /// Whether warnings go to standard error; unless said otherwise they do where the program never set a subscriber for
    /// [`tracing`].
    pub fn warnings_to_stderr(mut self, to_stderr: bool) -> Builder<T> {
        self.watch.warnings.to_stderr = Some(to_stderr);
        self
    }

    /// Calls `watcher` whenever a save begins, goes on, ends or fails: for a progress bar. Saves in the background call it
    /// from their thread. A watcher that panics is not called any more, and disturbs no save.
    ///
    /// ```
    /// use checkpointed::{Checkpointer, Progress};
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
    pub fn on_progress(mut self, watcher: impl Fn(&Progress) + Send + Sync + 'static) -> Builder<T> {
        self.watch.watcher = Callback::new("on_progress", watcher);
        self
    }

    /// The directory is one that the library keeps for itself: what the environment says is not meant for it.
    pub(crate) fn of_library(mut self) -> Builder<T> {
        self.is_of_library = true;
        self
    }

    /// What the environment says goes before what the program says.
    fn with_environment(mut self) -> Result<Builder<T>, Error> {
        let _warnings = self.watch.warnings.enter();
        environment::warn_of_unknown();
        environment::check_warnings()?;
        if let Some(generations) = environment::count(environment::KEEP)? {
            self.keep_last = generations;
        }
        if let Some(value) = environment::variable(environment::EVERY)? {
            let schedule = Schedule::parse(&value);
            self.schedule = schedule.map_err(|why| environment::invalid(environment::EVERY, &value, why))?;
        }
        if let Some(background) = environment::switch(environment::BACKGROUND)? {
            self.background = background;
        }
        if let Some(limit) = environment::time(environment::TIME_LIMIT)? {
            self.stop.time_limit = Some(limit);
        }
        if let Some(value) = environment::variable(environment::ON_FAILED_SAVE)? {
            let policy = OnFailedSave::parse(&value);
            let policy =
                policy.map_err(|why| environment::invalid(environment::ON_FAILED_SAVE, &value, why))?;
            self.watch.on_failed_save = policy.with_room_of(self.watch.on_failed_save);
        }
        if !self.stop.deadline && environment::variable(environment::DEADLINE)?.is_some() {
            warnings::warn(format!(
                "{} does nothing: the program does not ask for deadlines, by `stop_before_deadline`",
                environment::DEADLINE
            ));
        }
        Ok(self)
    }

    /// Another disk in the place of the machine's.
    #[cfg(test)]
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Builder<T> {
        self.disk = Some(disk);
        self
    }

    /// The directory belongs to one around it, and is opened as that was.
    pub(crate) fn inside(mut self, disk: Arc<dyn Disk>, access: Access, claiming: Claiming) -> Builder<T> {
        (self.disk, self.access, self.claiming) = (Some(disk), access, claiming);
        self
    }

    /// Opens the directory, and creates it where it is absent.
    ///
    /// What the environment says goes before these settings:
    ///
    /// | variable | values | in the place of |
    /// |---|---|---|
    /// | `CHECKPOINT_EVERY` | `10min`, `1000 steps`, `1%`, `adaptive` | [`schedule`](Builder::schedule), with its bounds |
    /// | `CHECKPOINT_KEEP` | `5` | [`keep_last`](Builder::keep_last) |
    /// | `CHECKPOINT_BACKGROUND` | `on`, `off` | [`background`](Builder::background) |
    /// | `CHECKPOINT_TIME_LIMIT` | `2h`, `90min`, `3600s` | [`time_limit`](Builder::time_limit) |
    /// | `CHECKPOINT_DEADLINE` | a time, or as above | heard where the program asks to [`stop_before_deadline`](Builder::stop_before_deadline) |
    /// | `CHECKPOINT_ON_FAILED_SAVE` | `stop`, `go-on`, `go-on for 2h`, `go-on 10 times` | [`on_failed_save`](Builder::on_failed_save) |
    /// | `CHECKPOINT_WARNINGS` | `off`, `stderr` | [`warnings_to_stderr`](Builder::warnings_to_stderr) |
    /// | `CHECKPOINT_EXIT_REQUEUE`, `CHECKPOINT_EXIT_HALTED` | `99`, `0` | [`exit_codes`](Builder::exit_codes) |
    ///
    /// Any other variable that begins with `CHECKPOINT_` is warned of, once, unless the program read a [`Key`](crate::Key) from it.
    ///
    /// # Errors
    /// As [`Checkpointer::open`], and [`Error::InvalidSetting`], also where a variable has a value that is not understood.
    pub fn open(self) -> Result<Checkpointer<T>, Error> {
        let begun = Instant::now();
        let builder = if self.is_of_library { self } else { self.with_environment()? };
        let _warnings = builder.watch.warnings.enter();
        builder.open_at(begun)
    }

    fn open_at(self, begun: Instant) -> Result<Checkpointer<T>, Error> {
        let retention = self.retention()?;
        self.schedule.check()?;
        let wrong = |(setting, why)| Error::InvalidSetting { setting, why };
        self.compression.check().map_err(wrong)?;
        let path = self.path.absolute()?;
        let disk = self.disk.unwrap_or_else(|| Arc::new(RealDisk::with(self.access)));
        let directory = Directory::new(&path, Arc::clone(&disk));
        let mut reader = CheckpointReader::new(directory.clone(), self.protection.clone())?;
        // Its numbers are its own.
        let of_other = self.protection.clone().at_least(0);
        let branched_from = self.branch_from.map(|place| place.absolute()).transpose()?;
        let branched_from =
            branched_from.map(|path| CheckpointReader::open_protected(path, of_other)).transpose()?;
        let (durable, compression, protection) = (self.durable, self.compression, self.protection);
        let with_group = self.access == Access::GroupWrites;
        let settings = Settings { durable, retention, compression, protection, with_group };
        // Before anything is made or written down: what is asked for may make no sense.
        let mut stop = Stop::new(&self.stop, &path, begun)?;
        let mut writer = Writer::open(directory, settings, &Claiming { durable, ..self.claiming })?;
        stop.begin(writer.claim());
        reader.read_from(writer.directory().clone());
        if self.history && writer.has_none() {
            reader.look_for_missing();
        }
        note_metrics(&mut writer, &reader)?;
        let (schedule, kept) = (self.schedule.to_string(), writer.retention().clone());
        let (journal, past) = Journal::open(disk, &path, self.history, schedule, kept);
        let pacer = Pacer::new(self.schedule, past);
        let run = Run::new(begun, pacer, stop, journal, self.watch, Arc::clone(writer.claim()));
        let net = Net::of::<T>(self.read_back, reader.program());
        // The library itself saves without loading where that is right.
        let unloaded = writer.newest().filter(|_| !self.is_of_library);
        let saver = Saver::new(writer, net, run);
        Ok(Checkpointer::new(reader, branched_from, saver, self.background, unloaded))
    }
}

impl<T> Builder<T> {
    fn retention(&self) -> Result<Retention, Error> {
        let invalid = |setting: &str, why| Err(Error::InvalidSetting { setting: setting.to_owned(), why });
        let Some(last) = NonZeroUsize::new(self.keep_last) else {
            return invalid("keep_last(0)", "at least the newest generation must be kept");
        };
        let every = self.keep_every.map(NonZeroU64::new);
        if every == Some(None) {
            return invalid(
                "keep_every(0)",
                "no number can be divided by 0; leave the setting out to keep none",
            );
        }
        Ok(Retention { last, every: every.flatten(), best: self.keep_best.clone() })
    }
}

/// Reads what retention goes by, of the generations that earlier runs left.
fn note_metrics<T: Checkpoint>(writer: &mut Writer, reader: &CheckpointReader<T>) -> Result<(), Error> {
    if writer.retention().best.is_empty() {
        return Ok(());
    }
    for generation in reader.generations()? {
        let metrics = match reader.manifest(generation) {
            Ok(manifest) => writer.retention().metrics(manifest.metadata()),
            Err(error) if error.is_damage() => continue,
            Err(_) => Metrics::Unread,
        };
        writer.note_metrics(generation, metrics);
    }
    Ok(())
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("path", &self.path)
            .field("durable", &self.durable)
            .field("keep_last", &self.keep_last)
            .field("keep_every", &self.keep_every)
            .field("keep_best", &self.keep_best)
            .field("branch_from", &self.branch_from)
            .finish()
    }
}
