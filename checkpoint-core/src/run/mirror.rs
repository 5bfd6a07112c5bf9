//! [`Mirror`]: the settings of a second place that gets copies of the checkpoints.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::seal::Protection;
use crate::store::mirror::{Far, Wanted};
use crate::store::{Claiming, Directory, Disk, Home, Place, Retention};

/// The time that `finish` waits for the mirror, unless the program says otherwise.
const WAIT: Duration = Duration::from_secs(600);

/// A second place for checkpoints, such as a directory on another disk or an object store: a thread
/// copies each new generation there, for [`Builder::mirror`](crate::Builder::mirror).
///
/// The program saves to its own directory, as fast as without a mirror. The mirror follows: it gets
/// the newest generation, then the newest after that, and leaves out those between if it is slower
/// than the saves. It has its own retention. When the program starts again, it goes on from the
/// newest generation that is whole on either level.
///
/// The thread opens a few files of its own. Near the limit of open files of the process
/// (`ulimit -n`) it may take the last one from a save, which then fails.
///
/// ```
/// use std::time::Duration;
/// use checkpointed::{CheckpointReader, Checkpointer, Mirror};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let (scratch, project) = (directory.path().join("scratch.ckpt"), directory.path().join("project.ckpt"));
/// let mirror = Mirror::to(&project).keep_last(3).at_most_per_second(200 << 20);
/// let mut checkpoints = Checkpointer::<u64>::builder(&scratch).mirror(mirror).open()?;
/// checkpoints.save(&7)?;
/// let finished = checkpoints.finish(&8)?;
/// assert_eq!(finished.mirrored, Some(2));
/// # std::fs::remove_dir_all(&scratch).unwrap();
///
/// // The machine, and its disk, are lost. Another one has the mirror:
/// let mirror = Mirror::to(&project);
/// let mut checkpoints = Checkpointer::<u64>::builder(&scratch).mirror(mirror).open()?;
/// assert_eq!(checkpoints.load()?, Some(8));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Mirror {
    to: To,
    every: u64,
    keep_last: Option<usize>,
    keep_every: Option<u64>,
    per_second: Option<u64>,
    pub(crate) wait_at_finish: Duration,
    /// `None` for the real disk.
    disk: Option<Arc<dyn Disk>>,
    /// The first pause before the mirror is tried again.
    pub(crate) retry: Duration,
    pub(crate) patience: Patience,
}

/// The longest times that a run waits for the thread of its mirror, which may hang in a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// At the start of a program whose directory has checkpoints, and before a load falls back.
    pub(crate) first: Duration,
    /// At the start of a program whose directory is empty.
    pub(crate) first_of_empty: Duration,
    /// For each request while a generation is copied back.
    pub(crate) restore: Duration,
    /// For a removal.
    pub(crate) discard: Duration,
    /// At the end of the run.
    pub(crate) end: Duration,
}

const PATIENCE: Patience = Patience {
    first: Duration::from_secs(60),
    first_of_empty: Duration::from_secs(600),
    restore: Duration::from_secs(600),
    discard: Duration::from_secs(600),
    end: Duration::from_secs(10),
};

#[derive(Clone)]
enum To {
    Directory(Place),
    Home(Arc<dyn Home>),
}

impl Mirror {
    /// A mirror in another directory, which is created where it is absent. Its parent must exist: a
    /// disk that is not mounted is told by that. Neither directory may lie in the other.
    pub fn to(path: impl AsRef<Path>) -> Mirror {
        Mirror::new(To::Directory(Place::of(path.as_ref())))
    }

    /// A mirror in another place than a directory, such as an `ObjectHome` of the package
    /// `checkpointed-object-store`.
    pub fn in_home(home: impl Home + 'static) -> Mirror {
        Mirror::new(To::Home(Arc::new(home)))
    }

    fn new(to: To) -> Mirror {
        Mirror {
            to,
            every: 1,
            keep_last: None,
            keep_every: None,
            per_second: None,
            wait_at_finish: WAIT,
            disk: None,
            retry: Duration::from_secs(1),
            patience: PATIENCE,
        }
    }

    /// Copies a generation once its number is at least this much greater than that of the last
    /// copied one; 1 by default. The last generation of a run that ends by
    /// [`finish`](crate::Checkpointer::finish) is always copied.
    #[must_use]
    pub fn every(mut self, generations: u64) -> Mirror {
        self.every = generations;
        self
    }

    /// Limits the copying to this number of bytes per second, on average over a second; no limit by
    /// default. What a restart copies back is not limited.
    #[must_use]
    pub fn at_most_per_second(mut self, bytes: u64) -> Mirror {
        self.per_second = Some(bytes);
        self
    }

    /// Sets the number of newest generations that the mirror keeps; as many as the directory by
    /// default.
    #[must_use]
    pub fn keep_last(mut self, generations: usize) -> Mirror {
        self.keep_last = Some(generations);
        self
    }

    /// Keeps every generation at the mirror whose number `n` divides; by default those that the
    /// directory keeps so. What the directory keeps as the best, and what is pinned there, the
    /// mirror keeps too.
    #[must_use]
    pub fn keep_every(mut self, n: u64) -> Mirror {
        self.keep_every = Some(n);
        self
    }

    /// Sets the longest time that [`finish`](crate::Checkpointer::finish) waits until the mirror
    /// has the last generation; 10 minutes by default. It does not wait for a mirror that is out of
    /// reach. Where a copy confirmed that generation, it looks if it is still there, for at most 10
    /// seconds of this time; with zero, it does not look.
    #[must_use]
    pub fn wait_at_finish(mut self, longest: Duration) -> Mirror {
        self.wait_at_finish = longest;
        self
    }

    /// Sets another disk in place of the real one.
    #[cfg(test)]
    pub(crate) fn disk(mut self, disk: Arc<dyn Disk>) -> Mirror {
        self.disk = Some(disk);
        self
    }

    /// Sets the pause before the mirror is tried again.
    #[cfg(test)]
    pub(crate) fn retry(mut self, pause: Duration) -> Mirror {
        self.retry = pause;
        self
    }

    /// Sets the longest time that a run waits for its mirror.
    #[cfg(test)]
    pub(crate) fn patience(mut self, longest: Duration) -> Mirror {
        self.patience = Patience {
            first: longest,
            first_of_empty: longest,
            restore: longest,
            discard: longest,
            end: longest,
        };
        self
    }

    /// The place for a tool: it copies all generations and removes none, unless there are rules.
    pub(crate) fn by_hand(
        &self,
        claiming: Claiming,
        protection: &Protection,
        disk: &Arc<dyn Disk>,
    ) -> Result<Far, Error> {
        let rules = Retention::newest(NonZeroUsize::MIN);
        let far = self.far(claiming, &rules, protection, disk)?;
        Ok(match self.keep_last {
            Some(_) => far,
            None => Far { wanted: Wanted::All, ..far },
        })
    }

    /// The place that these settings name, for a directory with these rules. It is not looked at:
    /// its file system may hang.
    pub(crate) fn far(
        &self,
        claiming: Claiming,
        rules: &Retention,
        protection: &Protection,
        disk: &Arc<dyn Disk>,
    ) -> Result<Far, Error> {
        let invalid = |setting: &str, why| Error::InvalidSetting { setting: setting.to_owned(), why };
        let Some(every) = NonZeroU64::new(self.every) else {
            return Err(invalid("Mirror::every(0)", "1 copies each generation, 2 every second one"));
        };
        if self.per_second == Some(0) {
            let why = "nothing could be copied; leave the setting out for no limit";
            return Err(invalid("Mirror::at_most_per_second(0)", why));
        }
        let mut retention = rules.clone();
        if let Some(last) = self.keep_last {
            let why = "at least the newest generation must be kept";
            let last = NonZeroUsize::new(last);
            retention.last = last.ok_or_else(|| invalid("Mirror::keep_last(0)", why))?;
        }
        if let Some(every) = self.keep_every {
            let why = "no number can be divided by 0; leave the setting out";
            let every = NonZeroU64::new(every);
            retention.every = Some(every.ok_or_else(|| invalid("Mirror::keep_every(0)", why))?);
        }
        let (home, is_directory): (Arc<dyn Home>, bool) = match &self.to {
            To::Home(home) => (Arc::clone(home), false),
            To::Directory(place) => {
                let disk = self.disk.as_ref().unwrap_or(disk);
                (Arc::new(Directory::new(&place.absolute()?, Arc::clone(disk))), true)
            }
        };
        Ok(Far {
            home,
            is_directory,
            claiming: Claiming { durable: true, ..claiming },
            wanted: Wanted::Newest(every, retention),
            per_second: self.per_second,
            protection: protection.clone().at_least(0),
        })
    }
}

impl fmt::Debug for Mirror {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match &self.to {
            To::Directory(place) => format!("{place:?}"),
            To::Home(home) => home.path().display().to_string(),
        };
        formatter
            .debug_struct("Mirror")
            .field("to", &path)
            .field("every", &self.every)
            .field("keep_last", &self.keep_last)
            .field("keep_every", &self.keep_every)
            .field("at_most_per_second", &self.per_second)
            .field("wait_at_finish", &self.wait_at_finish)
            .finish()
    }
}
