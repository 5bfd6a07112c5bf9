//! [`PipelineBuilder`]: how a pipeline directory is opened.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::commands::Commands;
use super::files::Files;
use super::requests::asked;
use super::{Pipeline, commands};
use crate::base::callback::Callback;
use crate::environment;
use crate::error::Error;
use crate::run::builder::Builder;
use crate::run::checkpointer::Checkpointer;
use crate::state::Checkpoint;
use crate::store::{Access, Claim, Claiming, Disk, Place, RealDisk, name};

/// The settings of a [`Pipeline`] that is about to be opened.
///
/// ```
/// use std::time::Duration;
/// use checkpointed::{Access, Pipeline};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("analysis.pipeline");
/// let wait = Duration::from_secs(60);
/// let pipeline = Pipeline::builder(&path).wait_for(wait).access(Access::GroupReads).open()?;
/// # pipeline.finish()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is opened until `open` is called"]
pub struct PipelineBuilder {
    path: Place,
    access: Access,
    claiming: Claiming,
}

impl PipelineBuilder {
    pub(super) fn new(path: &Path) -> PipelineBuilder {
        let claiming = Claiming { durable: true, ..Claiming::default() };
        PipelineBuilder { path: Place::of(path), access: Access::default(), claiming }
    }

    /// As [`Builder::wait_for`](crate::Builder::wait_for).
    pub fn wait_for(mut self, longest: Duration) -> PipelineBuilder {
        self.claiming.wait = longest;
        self
    }

    /// As [`Builder::require_lock`](crate::Builder::require_lock).
    pub fn require_lock(mut self, required: bool) -> PipelineBuilder {
        self.claiming.without_lock = !required;
        self
    }

    /// As [`Builder::access`](crate::Builder::access).
    pub fn access(mut self, access: Access) -> PipelineBuilder {
        self.access = access;
        self
    }

    /// Opens the directory, and creates it where it is absent.
    ///
    /// # Errors
    /// As [`Pipeline::open`].
    pub fn open(self) -> Result<Pipeline, Error> {
        let disk = Arc::new(RealDisk::with(self.access));
        self.open_on(disk)
    }

    pub(super) fn open_on(self, disk: Arc<dyn Disk>) -> Result<Pipeline, Error> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let path = self.path.absolute()?;
        environment::warn_of_unknown();
        let mut commands = Commands::parse(&commands::of_the_environment()?)?;
        let claim = Claim::take(&*disk, &path, &self.claiming)?;
        let workshop = Workshop {
            disk,
            access: self.access,
            claiming: Claiming { within: Arc::downgrade(&claim), wait: Duration::ZERO, ..self.claiming },
        };
        // What a person asked for by a file is as if it had been asked for now.
        commands.redo = asked(&path)?;
        Ok(Pipeline {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            files: Mutex::new(Files::open(&path.join(name::FILES), &workshop)?),
            path,
            commands,
            watcher: Callback::default(),
            book: Mutex::default(),
            workshop,
            claim,
        })
    }
}

/// How the directories inside of a pipeline's are opened.
#[derive(Clone, Debug)]
pub(super) struct Workshop {
    pub(super) disk: Arc<dyn Disk>,
    access: Access,
    claiming: Claiming,
}

impl Workshop {
    pub(super) fn builder<T: Checkpoint>(&self, path: &Path) -> Builder<T> {
        Checkpointer::builder(path).inside(Arc::clone(&self.disk), self.access, self.claiming.clone())
    }
}
