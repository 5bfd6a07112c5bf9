//! Going back to an earlier generation.

use crate::error::Error;
use crate::outcome::Rewound;
use crate::run::checkpointer::Checkpointer;
use crate::state::Checkpoint;

impl<T: Checkpoint> Checkpointer<T> {
    /// Goes back to a generation: those after it are set aside, durably, and every later load takes
    /// it. The next save gets a number that was never used.
    ///
    /// Generations that are aside stay, whatever the retention, and a rewind to one of them brings
    /// it back, with those from which its run had gone on. `ckpt rewind DIR N` does the same,
    /// `ckpt list DIR` shows them, and `ckpt prune --rewound DIR` removes them. A pin keeps its
    /// effect.
    ///
    /// Each call goes back. A program that says it at each start, and also after a crash, uses
    /// [`Builder::rewind`](crate::Builder::rewind).
    ///
    /// ```
    /// use checkpointed::Checkpointer;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(10).open()?;
    /// for step in 1..=3 {
    ///     checkpoints.save(&step)?;
    /// }
    /// assert_eq!(checkpoints.rewind(1)?.set_aside, [2, 3]);
    /// assert_eq!(checkpoints.load()?, Some(1));
    /// assert_eq!(checkpoints.save(&20)?.generation, 4);
    ///
    /// // The first way was better.
    /// checkpoints.rewind(3)?;
    /// assert_eq!(checkpoints.load()?, Some(3));
    /// assert_eq!(checkpoints.generations()?, [1, 2, 3]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`]; the error of that generation if it is damaged, of which all
    /// bytes are verified, or if this program cannot load its type; [`Error::OtherKind`] where a
    /// group saved it; [`Error::TooOld`] where the program allows only newer ones: then nothing is
    /// changed. [`Error::InvalidSetting`] for another place than a directory. [`Error::Output`]
    /// where a file of the state ([`Appended`]) has not what the generation counts on, and nothing
    /// is changed either: see below. After another error, what was moved is moved back: at once or,
    /// while the disk refuses that, before the next load or save. Where the program is killed, a
    /// load finds the newest of before or the target. In each case, a second call goes on.
    ///
    /// # Outputs
    /// A load after a rewind cuts the files of the state, and keeps what it cuts beside them:
    /// `chain.csv.cut-at-300` has what came behind the first 300 bytes of `chain.csv`. To go
    /// forward again to a generation that counts on it, put the file together from its first 300
    /// bytes and that one.
    ///
    /// [`Appended`]: crate::Appended
    pub fn rewind(&mut self, generation: u64) -> Result<Rewound, Error> {
        let _warnings = self.inner.saver.run.warnings.enter();
        self.inner.saver.writer()?;
        let has_mirror = self.inner.saver.run.mirroring().is_some();
        let lengths = self.inner.reader.check_rewind(generation, has_mirror, &self.inner.outputs)?;
        let rewound = self.inner.saver.writer()?.rewind(generation, false)?;
        if let Some(writer) = self.inner.saver.settled_writer() {
            self.inner.reader.note_metrics(writer)?;
        }
        self.inner.outputs.went_back(generation, lengths);
        self.inner.saver.run.rewound(&rewound);
        self.inner.unloaded = self.inner.unloaded.map(|_| generation);
        Ok(rewound)
    }
}
