//! [`PipelineBuilder`]: how a pipeline directory is opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use super::commands::Commands;
use super::files::Files;
use super::project::Project;
use super::requests::asked;
use super::users::Users;
use super::{Pipeline, commands, folder};
use crate::base::callback::Callback;
use crate::environment;
use crate::error::Error;
use crate::run::builder::Builder;
use crate::run::checkpointer::Checkpointer;
use crate::run::options::{Options, reading_options, stopping_options, writing_options};
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::stop::{self, SharedStop};
use crate::store::{
    Claiming, Directory, Disk, Guard, Home as _, Place, RealDisk, WithinGuard, name, warn_of_strangers,
};

/// The settings of a [`Pipeline`] that is about to be opened. They hold for everything that it
/// keeps: the outputs, the steps' own checkpoints, the hashes of input files.
///
/// A pipeline stops for the same reasons as a [`Checkpointer`]: signals and times, if it is told
/// to, and [requests](crate::stop::request_halt) in its directory. A step that runs then is told by
/// its [own checkpoints](crate::pipeline::StepContext::checkpointer) or by
/// [`should_stop`](crate::pipeline::StepContext::should_stop); no other one begins. The error is
/// [`Error::StepStopped`], with the [exit code](Error::exit_code) of a stop.
///
/// ```
/// use std::time::{Duration, Instant};
/// use checkpointed::{Access, Key, Pipeline, Protection};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("analysis.pipeline");
/// let pipeline = Pipeline::builder(&path)
///     .protection(Protection::new().authenticate(Key::from_bytes([7; 32])))
///     .wait_for(Duration::from_secs(60))
///     .access(Access::GroupReads)
///     .stop_on_signals()
///     .stop_before_deadline()
///     .open()?;
/// # pipeline.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `open` is called"]
pub struct PipelineBuilder {
    path: Place,
    options: Options,
    stop: stop::Settings,
    project: Option<Place>,
    shared: bool,
}

impl PipelineBuilder {
    reading_options!(options);
    writing_options!(options);
    stopping_options!(stop);

    pub(super) fn new(path: &Path) -> PipelineBuilder {
        PipelineBuilder {
            path: Place::of(path),
            options: Options::default(),
            stop: stop::Settings::default(),
            project: None,
            shared: false,
        }
    }

    /// Sets the directory of the project; by default, that in which the pipeline directory lies.
    /// Files in there are known by their paths from there, so a project that is moved or copied as
    /// a whole reuses everything.
    pub fn project(mut self, path: impl AsRef<Path>) -> Self {
        self.project = Some(Place::of(path.as_ref()));
        self
    }

    /// Sets if several processes may run the pipeline at the same time, such as the tasks of an
    /// array job; they may not by default.
    ///
    /// Each step is run by one of them. Another one that comes to the step waits until it is done
    /// ([`StepEvent::Waiting`](crate::pipeline::StepEvent::Waiting)), and takes its output; if the
    /// first one is killed, the other runs the step, from its last checkpoint on. In
    /// [`parallel`](Pipeline::parallel), a process turns to other steps meanwhile. All processes
    /// open the pipeline so, and are runs of the same program. A request to stop is for all of
    /// them. The file system must have locks that hold between them.
    ///
    /// ```
    /// use checkpointed::{Error, Pipeline};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// let path = directory.path().join("analysis.pipeline");
    /// let first = Pipeline::builder(&path).shared(true).open()?;
    /// let second = Pipeline::builder(&path).shared(true).open()?; // in another process, mostly
    /// first.step("load").run(|_| Ok::<u64, Error>(7))?;
    /// let load = second.step("load").run(|_| Ok::<u64, Error>(8))?;
    /// assert_eq!(*load.load()?, 7);
    /// # Ok(())
    /// # }
    /// ```
    pub fn shared(mut self, shared: bool) -> Self {
        self.shared = shared;
        self
    }

    /// Opens the directory, and creates it if it is absent.
    ///
    /// # Errors
    /// Those of [`Pipeline::open`]. [`Error::InvalidSetting`] also for a [`Protection`] that can
    /// encrypt and not decrypt, or that has a least generation; [`Error::InvalidKey`] if a key lies
    /// in the directory.
    pub fn open(self) -> Result<Pipeline, Error> {
        let disk = Arc::new(RealDisk::with(self.options.access));
        self.open_on(disk)
    }

    pub(super) fn open_on(self, disk: Arc<dyn Disk>) -> Result<Pipeline, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let begun = Instant::now();
        let PipelineBuilder { path, options, stop, project, shared } = self;
        let warnings = options.warnings.clone();
        let _warnings = warnings.enter();
        let path = path.absolute()?;
        let project = project.map(|project| project.absolute()).transpose()?;
        options.check()?;
        check(&options.protection, &path)?;
        if shared && options.without_lock {
            return Err(Error::InvalidSetting {
                setting: "`shared` with `require_lock(false)`".to_owned(),
                why: "only locks keep two processes out of one step: leave one of the two out",
            });
        }
        environment::warn_of_unknown();
        environment::check_warnings()?;
        let mut commands = Commands::parse(&commands::of_the_environment()?)?;
        // This comes before anything is created or written: a setting may be invalid.
        let stop = Arc::new(SharedStop::new(&stop.in_environment()?, &path, begun)?);
        let waiting = Claiming { until: stop.until(), ..options.claiming() };
        let guard = match shared {
            true => Guard::take_shared(options.access, &path, &waiting)?,
            false => Guard::take(&*disk, &path, &waiting)?,
        };
        warn_of_strangers(&path, &waiting);
        let wait = options.wait;
        let options = Options { wait: Duration::ZERO, ..options };
        let within = Arc::downgrade(&guard);
        let workshop = Workshop { path: path.clone(), disk, options, stop, shared, within };
        workshop.stop.join(&guard);
        let begin = || workshop.stop.begin(&guard);
        let users = match shared {
            true => Some(Users::join(&workshop, wait, begin, |kind| workshop.stop.meet_for_all(kind))?),
            false => {
                begin();
                None
            }
        };
        // Before the requests are read: what another process makes for one of them is newer.
        let at_open = newest_versions(&workshop)?;
        // A request by a file counts like a command of this run.
        commands.redo = asked(&path)?;
        let root = project.unwrap_or_else(|| path.parent().unwrap_or(&path).to_owned());
        Ok(Pipeline {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            files: Mutex::new(Files::open(&workshop)?),
            users,
            at_open,
            project: Project::new(&root),
            commands,
            watcher: Callback::default(),
            book: Mutex::default(),
            workshop,
            guard,
        })
    }
}

/// The newest version of each step, in a pipeline that other processes may run at the same time:
/// later ones are theirs.
fn newest_versions(workshop: &Workshop) -> Result<BTreeMap<String, u64>, Error> {
    let mut newest = BTreeMap::new();
    if !workshop.shared || !workshop.path.join(name::STEPS).is_dir() {
        return Ok(newest);
    }
    for (step, path) in folder::steps(&workshop.path)? {
        let versions = Directory::new(&path, Arc::clone(&workshop.disk)).generations()?;
        newest.extend(versions.last().map(|version| (step, *version)));
    }
    Ok(newest)
}

/// Checks that a pipeline can use a protection: it reads what it saved, and has no generations of
/// its own.
fn check(protection: &Protection, path: &Path) -> Result<(), Error> {
    protection.check(path)?;
    let invalid = |setting: &str, why| Err(Error::InvalidSetting { setting: setting.to_owned(), why });
    if protection.is_dated() {
        return invalid(
            "the protection of a pipeline with `at_least`",
            "each step has generations of its own: leave it out",
        );
    }
    if !protection.can_open() {
        return invalid(
            "the protection of a pipeline with `encrypt_to`",
            "a pipeline reads what it saved: give it the identity too, by `decrypt_with`",
        );
    }
    Ok(())
}

/// The settings for the directories inside a pipeline's.
#[derive(Clone, Debug)]
pub(super) struct Workshop {
    /// The pipeline directory.
    pub(super) path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) options: Options,
    /// The reasons to stop the pipeline.
    pub(super) stop: Arc<SharedStop>,
    /// True if other processes may run the pipeline at the same time.
    pub(super) shared: bool,
    /// The lock of the pipeline.
    pub(super) within: WithinGuard,
}

impl Workshop {
    /// The settings for the checkpoints in a place inside the pipeline directory.
    pub(super) fn builder<T: Checkpoint>(&self, place: &str) -> Builder<T> {
        let options = Options { protection: self.protection(place), ..self.options.clone() };
        let within = Weak::clone(&self.within);
        Checkpointer::builder(self.path.join(place)).inside(Arc::clone(&self.disk), options, within)
    }

    /// Removes the request to stop that a step met. One to several processes stays for the others.
    pub(super) fn meet_stop(&self) {
        if !self.shared {
            self.stop.meet();
        }
    }

    /// The protection for such a place. Its tags are valid in no other place.
    pub(super) fn protection(&self, place: &str) -> Protection {
        self.options.protection.of_place(place)
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::Key;
    use crate::base::heard::warnings;

    #[test]
    fn a_pipeline_tells_who_else_may_write_to_its_directory() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        drop(Pipeline::open(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o707)).unwrap();
        let told = |protection: Protection| {
            warnings(|| drop(Pipeline::builder(&path).protection(protection).open().unwrap()))
        };
        let [warning] = &told(Protection::new())[..] else { panic!("one warning") };
        assert!(warning.starts_with("everybody can add checkpoints to"), "{warning}");
        let key = Protection::new().authenticate(Key::from_bytes([7; 32]));
        assert!(told(key).is_empty());
    }
}
