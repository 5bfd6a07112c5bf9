//! [`Builder`]: how a checkpoint directory is opened.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checkpointer::Checkpointer;
use crate::error::Error;
use crate::reader::CheckpointReader;
use crate::state::Checkpoint;
use crate::store::{Directory, Disk, RealDisk, Settings, Writer};

/// The settings of a [`Checkpointer`] that is about to be opened.
///
/// ```
/// use checkpointed_core::Checkpointer;
///
/// # fn main() -> Result<(), checkpointed_core::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let checkpoints = Checkpointer::<Vec<f64>>::builder(&path).keep_last(5).open()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "nothing is opened until `open` is called"]
pub struct Builder<T> {
    path: PathBuf,
    settings: Settings,
    branch_from: Option<PathBuf>,
    when_busy: WhenBusy,
    disk: Arc<dyn Disk>,
    state: PhantomData<fn() -> T>,
}

/// What a save in the background does when the one before it still goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenBusy {
    /// It waits for it: every state that the program wanted saved is saved.
    #[default]
    Wait,
    /// It is left out: the program never waits for the disk.
    Skip,
}

impl<T: Checkpoint> Builder<T> {
    pub(crate) fn new(path: &Path) -> Builder<T> {
        Builder {
            path: path.to_owned(),
            settings: Settings { durable: true, keep_last: 2 },
            branch_from: None,
            when_busy: WhenBusy::default(),
            disk: Arc::new(RealDisk::default()),
            state: PhantomData,
        }
    }

    /// How many generations are kept, counted from the newest; 2 unless said otherwise. Older ones are removed after
    /// each save. At least 1; with 1 there is none to fall back to should the file be damaged later.
    pub fn keep_last(mut self, generations: usize) -> Builder<T> {
        self.settings.keep_last = generations;
        self
    }

    /// Whether a save waits until it is on the disk; it does unless said otherwise.
    ///
    /// With `false` a save does not ask the operating system to write anything down. What this loses: after a power
    /// cut or a crash of the *operating system*, the newest generations may be missing, empty or damaged, and even
    /// all of them. A load still never takes a damaged one for good. A crash or a kill of the *program* loses
    /// nothing, as before.
    pub fn durable(mut self, durable: bool) -> Builder<T> {
        self.settings.durable = durable;
        self
    }

    /// Begins where another run is: while this directory has no generation of its own, loads come from the
    /// directory at `path`, which is never changed. The saves go into this one, so the two runs part here. A load fails
    /// ([`Error::NothingToBranchFrom`]) where neither has any.
    ///
    /// ```
    /// use checkpointed_core::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed_core::Error> {
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
        self.branch_from = Some(path.as_ref().to_owned());
        self
    }

    /// What a save in the background does when the one before it still goes on; it waits unless said otherwise.
    pub fn when_busy(mut self, when_busy: WhenBusy) -> Builder<T> {
        self.when_busy = when_busy;
        self
    }

    /// Another disk in the place of the machine's.
    #[cfg(test)]
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Builder<T> {
        self.disk = disk;
        self
    }

    /// Opens the directory, and creates it where it is absent.
    ///
    /// # Errors
    /// As [`Checkpointer::open`], and [`Error::InvalidSetting`].
    pub fn open(self) -> Result<Checkpointer<T>, Error> {
        if self.settings.keep_last == 0 {
            let why = "at least the newest generation must be kept";
            return Err(Error::InvalidSetting { setting: "keep_last(0)".to_owned(), why });
        }
        let directory = Directory::new(&self.path, self.disk);
        let reader = CheckpointReader::new(directory.clone())?;
        let branched_from = self.branch_from.map(CheckpointReader::open).transpose()?;
        let writer = Writer::open(directory, self.settings)?;
        Ok(Checkpointer::new(reader, branched_from, writer, self.when_busy))
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("path", &self.path)
            .field("settings", &self.settings)
            .field("branch_from", &self.branch_from)
            .finish()
    }
}
