//! What a step made: loaded when somebody wants it, and then shared.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::arrays::{Array, ArraySink, Cause};
use crate::codec::{Failure, Forms, encode};
use crate::error::Error;
use crate::run::reader::CheckpointReader;
use crate::schema::Schema;
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::store::Directory;

/// The output of a step. A clone is the same output; what is in memory is shared.
pub struct Output<T> {
    pub(super) pipeline: u64,
    pub(super) step: String,
    /// The hash of what it is.
    pub(super) identity: String,
    pub(super) version: u64,
    place: Arc<Place<T>>,
}

struct Place<T> {
    directory: Directory,
    protection: Protection,
    memory: Mutex<Option<Arc<T>>>,
}

impl<T: Checkpoint> Output<T> {
    pub(super) fn new(
        pipeline: u64,
        step: &str,
        identity: String,
        version: u64,
        (directory, protection): (Directory, Protection),
        value: Option<T>,
    ) -> Output<T> {
        let place = Place { directory, protection, memory: Mutex::new(value.map(Arc::new)) };
        Output { pipeline, step: step.to_owned(), identity, version, place: Arc::new(place) }
    }

    /// The output itself: what is in memory, or else loaded now.
    ///
    /// # Errors
    /// [`Error::OutputUnusable`] where its file is damaged or gone, and what else may be wrong with it.
    pub fn load(&self) -> Result<Arc<T>, Error> {
        // Held while it is loaded: two threads that want it load it once.
        let mut memory = self.place.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = &*memory {
            return Ok(Arc::clone(value));
        }
        let Place { directory, protection, .. } = &*self.place;
        let reader = CheckpointReader::new(Arc::new(directory.clone()), protection.clone());
        let loaded = reader?.load_generation(self.version);
        let value = loaded.map_err(|error| match error {
            error if error.is_damage() || matches!(error, Error::NoSuchGeneration { .. }) => {
                Error::OutputUnusable { step: self.step.clone(), source: Box::new(error) }
            }
            error => error,
        })?;
        Ok(Arc::clone(memory.insert(Arc::new(value))))
    }

    /// Frees the memory that it takes here; who has it still keeps it. The next [`load`](Output::load) reads it again.
    pub fn unload(&self) {
        self.place.memory.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The name of the step.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// Which version of the step's output it is.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl<T> Clone for Output<T> {
    fn clone(&self) -> Output<T> {
        Output {
            pipeline: self.pipeline,
            step: self.step.clone(),
            identity: self.identity.clone(),
            version: self.version,
            place: Arc::clone(&self.place),
        }
    }
}

impl<T> fmt::Debug for Output<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = formatter.debug_struct("Output");
        output.field("step", &self.step).field("version", &self.version).finish_non_exhaustive()
    }
}

/// The hash of a value: equal for equal values of the same type, but for those whose order is left to chance, as that of a
/// `HashMap`.
pub(super) fn identity<T: Checkpoint>(value: &T) -> Result<String, String> {
    let mut hashed = Hashed::default();
    // The bytes say nothing of the names of fields: after these were exchanged, the same bytes are another value.
    let schema = Schema::of::<T>();
    let forms = Forms::of(&schema);
    let kind = (T::NAME, T::VERSION, schema);
    hashed.hasher.update(&serde_json::to_vec(&kind).map_err(|error| error.to_string())?);
    let mut rest = Vec::new();
    encode(value, &forms, &mut rest, &mut hashed).map_err(Failure::into_sentence)?;
    hashed.hasher.update(&rest);
    Ok(hashed.hasher.finalize().to_hex().to_string())
}

/// Takes every array, and remembers no more of it than the hash.
#[derive(Default)]
struct Hashed {
    hasher: blake3::Hasher,
    count: u64,
}

impl ArraySink for Hashed {
    fn takes(&self, _: usize) -> bool {
        true
    }

    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, Cause> {
        for bytes in [name.as_bytes(), &array.header(), array.bytes] {
            self.hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
        }
        self.count += 1;
        Ok(self.count - 1)
    }
}
