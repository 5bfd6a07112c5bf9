//! The settings of a checkpointer, and the start of a run with them.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Instant;

use crate::base::callback::Callback;
use crate::container::Config;
use crate::environment;
use crate::error::Error;
use crate::evolution::Program;
use crate::history::Journal;
use crate::outcome::Progress;
use crate::outputs::{OfRun, Running};
use crate::run::checkpointer::Inner;
use crate::run::configuration::ConfigChanges;
use crate::run::failures::OnFailedSave;
use crate::run::lifecycle::{Run, Watch};
use crate::run::mirror::Mirror;
use crate::run::mirroring::Mirroring;
use crate::run::options::Options;
use crate::run::read_back::{Net, ReadBack};
use crate::run::reader::{Functions, Reader};
use crate::run::saver::Saver;
use crate::run::stamp::Stamp;
use crate::run::watcher::Watcher;
use crate::schedule::{Pacer, Schedule};
use crate::state::Checkpoint;
use crate::stop::{self, Stop};
use crate::store::{
    ByAge, Claiming, Directory, Disk, Home, Metric, Place, RealDisk, Retention, Settings, WithinGuard, Writer,
};

/// The settings that a program chose.
#[derive(Clone)]
pub(super) struct Chosen {
    pub(super) path: Place,
    /// `None` for a directory.
    pub(super) home: Option<Arc<dyn Home>>,
    pub(super) options: Options,
    pub(super) mirror: Option<Mirror>,
    /// The guard of an outer directory; dangling where there is none.
    pub(super) within: WithinGuard,
    pub(super) keep_last: usize,
    pub(super) keep_every: Option<u64>,
    pub(super) keep_best: Vec<(Metric, usize)>,
    pub(super) keep_every_of: Vec<(String, u64)>,
    pub(super) keep_by_age: Vec<ByAge>,
    pub(super) branch_from: Option<Place>,
    pub(super) branch_at: Option<u64>,
    pub(super) rewind: Option<u64>,
    pub(super) read_back: ReadBack,
    pub(super) background: bool,
    pub(super) schedule: Schedule,
    pub(super) stop: stop::Settings,
    pub(super) history: bool,
    pub(super) watcher: Callback<Progress>,
    /// True to write a line on standard error for each save.
    pub(super) saves_to_stderr: bool,
    pub(super) on_failed_save: OnFailedSave,
    /// True for a directory that the library keeps for itself: the environment does not change it.
    pub(super) is_of_library: bool,
    pub(super) stamp: Stamp,
    /// True for the part of one member of a group.
    pub(super) is_part: bool,
    /// The number of its job, where the group is in a place without locks.
    pub(super) job: Option<u64>,
    /// The configuration of the run, or the reason that there is none.
    pub(super) config: Option<Result<Config, String>>,
    pub(super) config_changes: ConfigChanges,
    /// True to keep what a load cuts off outputs.
    pub(super) keep_cut_outputs: bool,
    /// The directory of the whole group, in the part of one member; `None` for another place.
    pub(super) whole: Option<Place>,
    /// `None` for the real disk.
    pub(super) disk: Option<Arc<dyn Disk>>,
}

impl Chosen {
    pub(super) fn new(path: &Path) -> Chosen {
        Chosen {
            path: Place::of(path),
            home: None,
            options: Options::default(),
            mirror: None,
            within: Weak::new(),
            keep_last: 2,
            keep_every: None,
            keep_best: Vec::new(),
            keep_every_of: Vec::new(),
            keep_by_age: Vec::new(),
            branch_from: None,
            branch_at: None,
            rewind: None,
            read_back: ReadBack::default(),
            background: false,
            schedule: Schedule::default(),
            stop: stop::Settings::default(),
            history: true,
            watcher: Callback::default(),
            saves_to_stderr: false,
            on_failed_save: OnFailedSave::default(),
            is_of_library: false,
            stamp: Stamp::default(),
            is_part: false,
            job: None,
            config: None,
            config_changes: ConfigChanges::default(),
            keep_cut_outputs: false,
            whole: None,
            disk: None,
        }
    }

    /// The place to open.
    pub(super) fn home(&self) -> Result<Arc<dyn Home>, Error> {
        Ok(match &self.home {
            Some(home) => Arc::clone(home),
            None => Arc::new(Directory::new(&self.path.absolute()?, self.opened_disk())),
        })
    }

    /// The disk, with the access that the options give others.
    pub(super) fn opened_disk(&self) -> Arc<dyn Disk> {
        let access = self.options.access;
        self.disk.clone().unwrap_or_else(|| Arc::new(RealDisk::with(access)))
    }

    /// Applies the environment, which goes before the settings of the program.
    pub(super) fn with_environment(mut self) -> Result<Chosen, Error> {
        let _warnings = self.options.warnings.enter();
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
        self.stop = self.stop.in_environment()?;
        if let Some(to_stderr) = environment::saves_to_stderr()? {
            self.saves_to_stderr = to_stderr;
        }
        if let Some(value) = environment::variable(environment::ON_FAILED_SAVE)? {
            let policy = OnFailedSave::parse(&value);
            let policy =
                policy.map_err(|why| environment::invalid(environment::ON_FAILED_SAVE, &value, why))?;
            self.on_failed_save = policy.with_room_of(self.on_failed_save);
        }
        Ok(self)
    }

    /// Opens the place for states of this type.
    pub(super) fn open<T: Checkpoint>(self, begun: Instant) -> Result<Inner, Error> {
        self.open_for(Functions::of::<T>(), Net::of::<T>, begun)
    }

    /// Opens the place for the states of a program.
    fn open_for(
        self,
        functions: Functions,
        net: fn(ReadBack, Arc<Program>) -> Net,
        begun: Instant,
    ) -> Result<Inner, Error> {
        let retention = self.retention()?;
        if self.branch_at.is_some() && self.branch_from.is_none() {
            return Err(Error::InvalidSetting {
                setting: "at".to_owned(),
                why: "it chooses a generation of another run: say which by `branch_from`; to go back in this one, use \
                      `rewind`",
            });
        }
        self.schedule.check()?;
        self.options.check()?;
        let home = self.home()?;
        let outer = self.whole.as_ref().map(Place::absolute).transpose()?;
        let of_run = outer.or_else(|| self.home.is_none().then(|| home.path().to_owned()));
        let claiming = Claiming { within: self.within.clone(), job: self.job, ..self.options.claiming() };
        let retention_of_mirror = &retention;
        let far = self.mirror.as_ref().map(|mirror| {
            if self.home.is_some() {
                let setting = format!("the mirror of {}", home.path().display());
                let why = "only a directory of this machine can have a mirror: save to the place itself";
                return Err(Error::InvalidSetting { setting, why });
            }
            let claiming = Claiming { within: Weak::new(), ..claiming.clone() };
            let (protection, disk) = (&self.options.protection, self.opened_disk());
            mirror.far(claiming, retention_of_mirror, protection, &disk)
        });
        if far.is_some() && self.stamp.is_of_step() {
            return Err(Error::InvalidSetting {
                setting: "the mirror of checkpoints inside a step".to_owned(),
                why: "they go when the step is done, and the mirror would give them to the next work of the step",
            });
        }
        let (far, disk) = (far.transpose()?, self.opened_disk());
        let mut watcher = Watcher::new(self.watcher);
        if self.saves_to_stderr {
            watcher = watcher.with_lines_of(of_run.as_deref().unwrap_or(home.path()));
        }
        let outputs = OfRun::new(Arc::clone(&disk), of_run, self.options.durable, self.keep_cut_outputs);
        let Options { protection, compression, warnings, .. } = self.options;
        let configuration = self.config.transpose().map_err(|why| Error::InvalidSetting {
            setting: format!("the value given to `config`, of which {why},"),
            why: "a configuration is a value with few and small parts, such as the arguments of the program",
        })?;
        let reader = Reader::new(Arc::clone(&home), protection.clone(), functions)?;
        let reader = reader.configured(configuration);
        let mut reader = reader.warning(warnings.clone());
        // The other directory numbers its own generations.
        let of_other = protection.clone().at_least(0);
        let branched_from = self.branch_from.map(|place| place.absolute()).transpose()?;
        let branched_from =
            branched_from.map(|path| Reader::new(directory(&path), of_other, functions)).transpose()?;
        let branched_from =
            branched_from.map(|origin| origin.only_at(self.branch_at).warning(warnings.clone()));
        let settings = Settings { retention, compression, protection, is_part: self.is_part };
        // This comes before anything is created or written: a setting may be invalid.
        let mut stop = Stop::new(&self.stop, home.path(), begun)?;
        if home.files().is_none() {
            stop = stop.without_requests();
        }
        // Those that the start makes, and takes away where the mirror refuses it.
        let absent = home.path().ancestors().filter(|_| far.is_some());
        let absent = absent.take_while(|path| disk.is_directory(path).is_none());
        let absent: Vec<PathBuf> = absent.map(Path::to_path_buf).collect();
        let waiting = Claiming { until: Some(stop.until()), ..claiming.clone() };
        let mut writer = Writer::open(&*home, settings, &waiting)?;
        // A request that comes while the mirror is asked is meant for this run.
        stop.begin(writer.guard());
        let was_empty = writer.newest().is_none();
        let mirroring = match (&self.mirror, far) {
            (Some(mirror), Some(mut far)) => {
                far.claiming.until.clone_from(&waiting.until);
                let origin = branched_from.as_ref().map(Reader::shared_home);
                match Mirroring::open(mirror, far, &mut writer, origin.as_ref(), Arc::clone(&disk), &warnings)
                {
                    Ok(mirroring) => Some(mirroring),
                    Err(error) => {
                        // `ckpt copy` refuses to copy a mirror back to a directory that is there.
                        writer.leave(&absent, &*disk);
                        return Err(error);
                    }
                }
            }
            _ => None,
        };
        reader.read_from(Arc::clone(writer.home()));
        let rewound = match self.rewind {
            // The mirror was added after the rewind: a directory with a mirror does not go back.
            Some(generation) if mirroring.is_some() && was_empty && writer.newest().is_some() => {
                writer.note_rewind(generation)?;
                None
            }
            Some(generation) => reader.rewind_once(&mut writer, generation, mirroring.is_some(), &outputs)?,
            None => None,
        };
        if self.history {
            reader.look_for_missing(writer.newest());
            // The number of a save that was lost is not that of another one. A history whose number
            // is out of all reason takes none away.
            if let Some(lost) = reader.missing_generation().filter(|lost| *lost <= u64::MAX / 2) {
                writer.skip_to(lost.saturating_add(1));
            }
        }
        reader.note_metrics(&mut writer)?;
        let (schedule, kept) = (self.schedule.to_string(), writer.retention().clone());
        let (journal, past) = Journal::open(Arc::clone(writer.home()), self.history, schedule, kept);
        let pacer = Pacer::new(self.schedule, past);
        let watch = Watch { watcher, warnings, on_failed_save: self.on_failed_save };
        let run = Run::new(begun, pacer, stop, journal, watch, Arc::clone(writer.guard()));
        let mut run = run.mirrored_by(mirroring);
        if let Some(rewound) = rewound {
            run.rewound(&rewound);
        }
        let run = if self.is_part { run.of_part() } else { run };
        let net = net(self.read_back, reader.program());
        // The library itself saves without loading where that is right.
        let unloaded = writer.newest().filter(|_| !self.is_of_library);
        let saver = Saver::new(writer, net, run);
        Ok(Inner {
            reader,
            branched_from,
            _running: Running::new(&outputs),
            saver,
            stamp: self.stamp,
            outputs,
            config_changes: self.config_changes,
            claiming,
            background: self.background,
            unloaded,
            buffer: Vec::new(),
        })
    }

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
        let every_of = self.keep_every_of.iter().map(|(name, n)| Some((name.clone(), NonZeroU64::new(*n)?)));
        let Some(every_of) = every_of.collect() else {
            return invalid("keep_every_of(…, 0)", "no number can be divided by 0");
        };
        if self.keep_by_age.iter().any(|rule| rule.one_in.is_zero()) {
            return invalid("keep_one_in", "the interval is longer than nothing");
        }
        let (best, by_age) = (self.keep_best.clone(), self.keep_by_age.clone());
        Ok(Retention { last, every: every.flatten(), best, every_of, by_age })
    }
}

fn directory(path: &Path) -> Arc<dyn Home> {
    Arc::new(Directory::new(path, Arc::new(RealDisk::default())))
}
