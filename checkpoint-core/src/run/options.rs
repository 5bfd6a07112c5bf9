//! How a directory is used, whoever uses it: the settings that every builder has, given and documented once.

use std::time::Duration;

use crate::base::warnings::Warnings;
use crate::container::Compression;
use crate::error::Error;
use crate::seal::Protection;
use crate::store::{Access, Claiming};

/// The settings of a directory that do not depend on what is saved there.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) protection: Protection,
    pub(crate) compression: Compression,
    pub(crate) durable: bool,
    pub(crate) access: Access,
    /// How long to wait for a program that has the directory open.
    pub(crate) wait: Duration,
    /// Whether a file system without locks will do.
    pub(crate) without_lock: bool,
    pub(crate) warnings: Warnings,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            protection: Protection::new(),
            compression: Compression::None,
            durable: true,
            access: Access::default(),
            wait: Duration::ZERO,
            without_lock: false,
            warnings: Warnings::default(),
        }
    }
}

impl Options {
    /// Makes sure that they make sense, before anything is made or written down.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |(setting, why)| Error::InvalidSetting { setting, why };
        self.compression.check().map_err(wrong)
    }

    /// How the directory is claimed.
    pub(crate) fn claiming(&self) -> Claiming {
        Claiming {
            durable: self.durable,
            wait: self.wait,
            without_lock: self.without_lock,
            ..Claiming::default()
        }
    }
}

/// The methods of a builder that say who may write and read what is saved, and where warnings go. Readers have these too.
macro_rules! reading_options {
    () => {
        /// Who may have written the checkpoints, and who may read them; anybody unless said otherwise.
        ///
        /// See [`Protection`](crate::Protection). A directory that is branched from must be protected alike.
        ///
        /// ```
        /// use checkpointed::{CheckpointReader, Checkpointer, Key, Protection};
        ///
        /// # fn main() -> Result<(), checkpointed::Error> {
        /// # let directory = tempfile::tempdir().unwrap();
        /// # let path = directory.path().join("run.ckpt");
        /// let protection = Protection::new().authenticate(Key::from_bytes([7; 32])); // from a vault, say
        /// let builder = Checkpointer::<u64>::builder(&path).protection(protection.clone());
        /// builder.open()?.save(&7)?;
        ///
        /// let mut reader = CheckpointReader::<u64>::builder(&path).protection(protection).open()?;
        /// assert_eq!(reader.load()?, Some(7));
        /// # Ok(())
        /// # }
        /// ```
        pub fn protection(mut self, protection: crate::seal::Protection) -> Self {
            self.options.protection = protection;
            self
        }

        /// Takes the warnings, such as that of a damaged generation that was passed over.
        ///
        /// They are events of [`tracing`] besides, and go to standard error no more. Unless said otherwise, and where the
        /// program never set a subscriber for `tracing`, a warning is one line on standard error.
        /// `CHECKPOINT_WARNINGS=off` in the environment leaves that out; with `CHECKPOINT_WARNINGS=stderr` the line is
        /// written whatever there is of subscribers. A function that panics is given no more warnings of the kind that it
        /// cannot take: they go to standard error.
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
        pub fn on_warning(
            mut self,
            taker: impl Fn(&crate::base::warnings::Warning) + Send + Sync + 'static,
        ) -> Self {
            let taker = crate::base::warnings::Taker(std::sync::Arc::new(taker));
            self.options.warnings.taker = Some(taker);
            self
        }

        /// Whether warnings go to standard error.
        ///
        /// Unless said otherwise they do where the program never set a subscriber for [`tracing`].
        ///
        /// ```
        /// use checkpointed::Checkpointer;
        ///
        /// # fn main() -> Result<(), checkpointed::Error> {
        /// # let directory = tempfile::tempdir().unwrap();
        /// # let path = directory.path().join("run.ckpt");
        /// let checkpoints = Checkpointer::<u64>::builder(&path).warnings_to_stderr(true).open()?;
        /// # drop(checkpoints);
        /// # Ok(())
        /// # }
        /// ```
        pub fn warnings_to_stderr(mut self, to_stderr: bool) -> Self {
            self.options.warnings.to_stderr = Some(to_stderr);
            self
        }
    };
}

/// The methods of a builder that say how a directory is written.
macro_rules! writing_options {
    () => {
        /// Whether a save waits until it is on the disk; it does unless said otherwise.
        ///
        /// With `false` a save does not ask the operating system to write anything down. What this loses: after a power
        /// cut or a crash of the *operating system*, the newest checkpoints may be missing, empty or damaged, and even
        /// all of them. A load still never takes a damaged one for good. A crash or a kill of the *program* loses
        /// nothing, as before.
        ///
        /// ```
        /// use checkpointed::Checkpointer;
        ///
        /// # fn main() -> Result<(), checkpointed::Error> {
        /// # let directory = tempfile::tempdir().unwrap();
        /// # let path = directory.path().join("run.ckpt");
        /// Checkpointer::<u64>::builder(&path).durable(false).open()?.save(&1)?;
        /// # Ok(())
        /// # }
        /// ```
        pub fn durable(mut self, durable: bool) -> Self {
            self.options.durable = durable;
            self
        }

        /// How the parts of a checkpoint are packed; not at all unless said otherwise. See
        /// [`Compression`](crate::Compression).
        ///
        /// ```
        /// use checkpointed::{Checkpointer, Compression};
        ///
        /// # fn main() -> Result<(), checkpointed::Error> {
        /// # let directory = tempfile::tempdir().unwrap();
        /// # let path = directory.path().join("run.ckpt");
        /// let mut checkpoints =
        ///     Checkpointer::<u64>::builder(&path).compression(Compression::None).open()?;
        /// # checkpoints.save(&1)?;
        /// # Ok(())
        /// # }
        /// ```
        pub fn compression(mut self, compression: crate::container::Compression) -> Self {
            self.options.compression = compression;
            self
        }

        /// Who else may use the files of the directory; only the user who runs the program unless said otherwise.
        ///
        /// Files get these rights when they are written, whatever the umask says, and the group of the directory where
        /// that has the set-group-id bit (`chmod g+s`).
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
        pub fn access(mut self, access: crate::store::Access) -> Self {
            self.options.access = access;
            self
        }

        /// How long to wait for another program that has the directory open; not at all unless said otherwise.
        ///
        /// Meanwhile the log says for whom. A job that is started again may so begin before its predecessor has ended.
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
        pub fn wait_for(mut self, longest: std::time::Duration) -> Self {
            self.options.wait = longest;
            self
        }

        /// Whether the directory must be locked; it must unless said otherwise.
        ///
        /// With `false` a file system without locks is used all the same (a lock that can be had is still taken): then
        /// nothing keeps a second program from saving there, and from removing what this one saved.
        ///
        /// ```
        /// use checkpointed::Checkpointer;
        ///
        /// # fn main() -> Result<(), checkpointed::Error> {
        /// # let directory = tempfile::tempdir().unwrap();
        /// # let path = directory.path().join("run.ckpt");
        /// let checkpoints = Checkpointer::<u64>::builder(&path).require_lock(false).open()?;
        /// # drop(checkpoints);
        /// # Ok(())
        /// # }
        /// ```
        pub fn require_lock(mut self, required: bool) -> Self {
            self.options.without_lock = !required;
            self
        }
    };
}

pub(crate) use {reading_options, writing_options};
