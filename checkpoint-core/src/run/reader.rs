//! [`CheckpointReader`]: loads states from a directory, and changes nothing there.

mod decoding;
mod field;
mod generations;
mod matching;
mod missing;

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

pub(crate) use self::decoding::{
    Decoded, check_state, decode, decode_parts, has_name, has_version, is_of_kind, program_of,
};
pub(crate) use self::generations::{Functions, Reader};
pub(crate) use self::missing::pin_unread;
use crate::arrays::ArrayPool;
use crate::container::Manifest;
use crate::error::Error;
use crate::outcome::LoadReport;
use crate::run::options::{Options, reading_options};
#[cfg(test)]
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::store::{Home, Metric, Place};

/// Loads the states of a checkpoint directory without writing to it, and without a lock: also while
/// a program saves there, and without permission to write.
///
/// ```
/// use checkpointed::{CheckpointReader, Checkpointer};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let mut running = Checkpointer::<u64>::open(&path)?;
/// running.save(&7)?;
///
/// let mut onlooker = CheckpointReader::<u64>::open(&path)?;
/// assert_eq!(onlooker.load()?, Some(7));
/// # Ok(())
/// # }
/// ```
pub struct CheckpointReader<T> {
    reader: Reader,
    state: PhantomData<fn() -> T>,
}

// The bound is on the functions, so that an unmet bound shows its own message.
impl<T> CheckpointReader<T> {
    /// Opens a directory for reading. Reads nothing yet; a missing directory has no generations.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where `T` has a field that can never be loaded.
    pub fn open(path: impl AsRef<Path>) -> Result<CheckpointReader<T>, Error>
    where
        T: Checkpoint,
    {
        CheckpointReader::builder(path).open()
    }

    /// Opens another place than a directory for reading, such as an `ObjectHome` of the package
    /// `checkpointed-object-store`. Reads nothing yet.
    ///
    /// # Errors
    /// As [`open`](CheckpointReader::open).
    pub fn open_in(home: impl Home + 'static) -> Result<CheckpointReader<T>, Error>
    where
        T: Checkpoint,
    {
        CheckpointReader::builder_in(home).open()
    }

    /// Returns a builder with the default settings for reading another place than a directory.
    pub fn builder_in(home: impl Home + 'static) -> ReaderBuilder<T>
    where
        T: Checkpoint,
    {
        let path = Place::of(home.path());
        ReaderBuilder { path, home: Some(Arc::new(home)), options: Options::default(), state: PhantomData }
    }

    /// Returns a builder with the default settings for reading a directory.
    pub fn builder(path: impl AsRef<Path>) -> ReaderBuilder<T>
    where
        T: Checkpoint,
    {
        let path = Place::of(path.as_ref());
        ReaderBuilder { path, home: None, options: Options::default(), state: PhantomData }
    }
}

/// The settings of a [`CheckpointReader`] to open.
///
/// ```
/// use checkpointed::{CheckpointReader, Key, Protection};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let protection = Protection::new().authenticate(Key::from_bytes([7; 32])); // from a vault, say
/// let mut reader = CheckpointReader::<u64>::builder(&path).protection(protection).open()?;
/// assert_eq!(reader.load()?, None);
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is opened until `open` is called"]
pub struct ReaderBuilder<T> {
    path: Place,
    /// `None` for a directory.
    home: Option<Arc<dyn Home>>,
    options: Options,
    state: PhantomData<fn() -> T>,
}

impl<T> ReaderBuilder<T> {
    reading_options!(options);

    /// Opens the directory for reading. Reads nothing yet; a missing directory has no generations.
    ///
    /// # Errors
    /// As [`CheckpointReader::open`], and [`Error::InvalidKey`] where a key is stored in the
    /// directory.
    pub fn open(self) -> Result<CheckpointReader<T>, Error>
    where
        T: Checkpoint,
    {
        let Options { protection, warnings, .. } = self.options;
        let _warnings = warnings.enter();
        let reader = match self.home {
            Some(home) => Reader::of::<T>(home, protection)?,
            None => Reader::at::<T>(&self.path.absolute()?, protection)?,
        };
        Ok(CheckpointReader { reader: reader.warning(warnings.clone()), state: PhantomData })
    }
}

// A derived implementation would require `Clone` of the type.
impl<T> Clone for ReaderBuilder<T> {
    fn clone(&self) -> ReaderBuilder<T> {
        let (path, options) = (self.path.clone(), self.options.clone());
        ReaderBuilder { path, home: self.home.clone(), options, state: PhantomData }
    }
}

impl<T> fmt::Debug for ReaderBuilder<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ReaderBuilder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<T: Checkpoint> CheckpointReader<T> {
    #[cfg(test)]
    pub(crate) fn new(home: Arc<dyn Home>, protection: Protection) -> Result<CheckpointReader<T>, Error> {
        Ok(CheckpointReader { reader: Reader::of::<T>(home, protection)?, state: PhantomData })
    }

    /// Loads the newest undamaged generation; `None` where there is none at all.
    ///
    /// # Errors
    /// As [`Checkpointer::load`](crate::Checkpointer::load).
    pub fn load(&mut self) -> Result<Option<T>, Error> {
        let loaded = self.reader.load(&mut ArrayPool::default)?;
        self.reader.resolve_outputs();
        Ok(loaded.map(|state| *state))
    }

    /// Loads the newest undamaged generation into `state`. Returns false, with nothing changed,
    /// where there is no generation at all.
    ///
    /// # Errors
    /// As [`Checkpointer::load_into`](crate::Checkpointer::load_into).
    pub fn load_into(&mut self, state: &mut T) -> Result<bool, Error> {
        let loaded = self.reader.load_over(state)?;
        self.reader.resolve_outputs();
        Ok(loaded.map(|loaded| *state = *loaded).is_some())
    }

    /// Loads one generation.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation.
    pub fn load_generation(&mut self, generation: u64) -> Result<T, Error> {
        let state = self.reader.load_one(generation)?;
        self.reader.resolve_outputs();
        Ok(state)
    }

    /// Returns the report of the last load that found a generation.
    #[must_use]
    pub fn last_load(&self) -> Option<&LoadReport> {
        self.reader.last_load()
    }

    /// Returns the existing generations, oldest first.
    ///
    /// # Errors
    /// Fails if the directory cannot be listed.
    pub fn generations(&self) -> Result<Vec<u64>, Error> {
        self.reader.generations()
    }

    /// Returns the manifest of a generation: its time and author, its metadata, its schema.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation.
    pub fn manifest(&self, generation: u64) -> Result<Manifest, Error> {
        self.reader.manifest(generation)
    }

    /// Returns the best generation by a number in its metadata; `None` where none has that number.
    /// Skips damaged ones.
    ///
    /// # Errors
    /// Fails if the directory cannot be listed, or a generation cannot be read for a passing
    /// reason.
    pub fn best(&self, metric: &Metric) -> Result<Option<u64>, Error> {
        self.reader.best(metric)
    }

    /// Returns the absolute path of the checkpoint directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.reader.path()
    }
}

impl<T> fmt::Debug for CheckpointReader<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CheckpointReader").field("home", &self.reader.home).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
