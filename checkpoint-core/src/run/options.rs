//! The settings that all builders of a directory share: each is given and documented once.

use std::time::Duration;

use crate::base::warnings::Warnings;
use crate::container::Compression;
use crate::error::Error;
use crate::seal::Protection;
use crate::store::{Access, Claiming};

/// The settings of a directory that do not depend on the state.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) protection: Protection,
    pub(crate) compression: Compression,
    pub(crate) durable: bool,
    pub(crate) access: Access,
    /// The time to wait for a program that has the directory open.
    pub(crate) wait: Duration,
    /// True to accept a file system without locks.
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
    /// Checks that they are valid, before anything is created or written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |(setting, why)| Error::InvalidSetting { setting, why };
        if !self.protection.can_save() {
            return Err(wrong((
                "a protection with `accept_identity` alone".to_owned(),
                "a save would be encrypted for nobody: add `decrypt_with` or `encrypt_to`",
            )));
        }
        self.compression.check().map_err(wrong)
    }

    /// The settings of the claim on the directory.
    pub(crate) fn claiming(&self) -> Claiming {
        Claiming {
            durable: self.durable,
            wait: self.wait,
            without_lock: self.without_lock,
            authenticated: self.protection.tag_key().is_some(),
            varies: self.protection.encrypts(),
            with_group: self.access == Access::GroupWrites,
            ..Claiming::default()
        }
    }
}

/// The methods of a builder that set the protection and the destination of warnings. Readers have
/// these too.
macro_rules! reading_options {
    ($($at:ident).+) => {
        /// Sets the protection: authentication of the author of checkpoints, and encryption; none
        /// by default.
        ///
        /// See [`Protection`](crate::Protection). A directory to branch from must have the same
        /// protection.
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
            self.$($at).+.protection = protection;
            self
        }

        /// Takes the warnings, such as that of a damaged generation that was skipped.
        ///
        /// They stay events of [`tracing`], but no longer go to standard error. By default, a
        /// warning is one line on standard error if the program never set a subscriber for
        /// `tracing`. `CHECKPOINT_WARNINGS=off` in the environment prevents that; with
        /// `CHECKPOINT_WARNINGS=stderr` the line is written with a subscriber too. If the function
        /// panics, that warning is treated as without the function.
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
            self.$($at).+.warnings.taker = Some(taker);
            self
        }

        /// Sets if warnings go to standard error.
        ///
        /// By default, they do if the program never set a subscriber for [`tracing`].
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
            self.$($at).+.warnings.to_stderr = Some(to_stderr);
            self
        }
    };
}

/// The methods of a builder that set how a directory is written.
macro_rules! writing_options {
    ($($at:ident).+) => {
        /// Sets if a save waits until it is on the disk; it does by default.
        ///
        /// With `false`, a save does not ask the operating system to sync anything. Then a power
        /// cut or a crash of the *operating system* can leave the newest checkpoints missing, empty
        /// or damaged, and even all of them. A load still never accepts a damaged one. A crash or a
        /// kill of the *program* loses nothing, as before.
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
            self.$($at).+.durable = durable;
            self
        }

        /// Sets the compression of the parts of a checkpoint; none by default. See
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
            self.$($at).+.compression = compression;
            self
        }

        /// Gives other users access to the files of the directory; by default, only the user of the
        /// program has access.
        ///
        /// Files get these permissions when they are written, whatever the umask, and the group of
        /// the directory if that has the set-group-id bit (`chmod g+s`).
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
            self.$($at).+.access = access;
            self
        }

        /// Sets the time to wait for another program that has the directory open; zero by default.
        /// For a tool, such as `ckpt prune`, it is at least 30 seconds.
        ///
        /// Meanwhile the log names that program. So a job that is started again may begin before
        /// its predecessor has ended. A signal on which the program is to stop, or the end of its
        /// time, ends the wait with [`Error::StoppedWaiting`](crate::Error::StoppedWaiting). Let
        /// `main` end with its [`exit_code`](crate::Error::exit_code), so that a batch system
        /// starts the program again.
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
            self.$($at).+.wait = longest;
            self
        }

        /// Sets if the directory must be locked; it must by default.
        ///
        /// With `false`, a file system without locks is accepted (an available lock is still
        /// taken). Then nothing keeps a second program from saving there, and from removing what
        /// this one saved.
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
            self.$($at).+.without_lock = !required;
            self
        }
    };
}

/// The methods of a builder that set the reasons to stop.
macro_rules! stopping_options {
    ($($at:ident).+) => {
        /// Stops on SIGINT, SIGTERM, SIGUSR1 and SIGUSR2:
        /// [`should_stop`](crate::Checkpointer::should_stop) then returns the signal, and a save is
        /// due. A second SIGINT ends the program immediately, as it would without this.
        pub fn stop_on_signals(self) -> Self {
            self.stop_on(crate::outcome::Signal::DEFAULT)
        }

        /// Like [`stop_on_signals`](Self::stop_on_signals), for these signals.
        pub fn stop_on(mut self, signals: &[crate::outcome::Signal]) -> Self {
            self.$($at).+.signals = signals.to_vec();
            self
        }

        /// Stops when the program has run for this time, counted from the opening of the directory:
        /// early enough for one more save.
        pub fn time_limit(mut self, limit: std::time::Duration) -> Self {
            self.$($at).+.time_limit = Some(limit);
            self
        }

        /// Stops ahead of the time at which a batch system ends the job: early enough for one more
        /// save. The time comes from Slurm, PBS, or the variable `CHECKPOINT_DEADLINE`; without
        /// one, nothing happens. An invalid deadline in the variable is an error of opening. See
        /// `docs/batch.md`.
        pub fn stop_before_deadline(mut self) -> Self {
            self.$($at).+.deadline = true;
            self
        }

        /// Sets the exit codes of a run that was stopped and is to be started again, and of one
        /// that a user halted; [`EXIT_REQUEUE`](crate::stop::EXIT_REQUEUE) and
        /// [`EXIT_HALTED`](crate::stop::EXIT_HALTED) by default.
        /// [`Finished::exit_code`](crate::Finished::exit_code) and
        /// [`Error::exit_code`](crate::Error::exit_code) return them. The variables
        /// `CHECKPOINT_EXIT_REQUEUE` and `CHECKPOINT_EXIT_HALTED` go before this: the code that a
        /// batch system expects is known where the program is started.
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
        pub fn exit_codes(mut self, requeue: u8, halted: u8) -> Self {
            self.$($at).+.exit_codes = crate::outcome::ExitCodes { requeue, halted };
            self
        }
    };
}

pub(crate) use {reading_options, stopping_options, writing_options};
