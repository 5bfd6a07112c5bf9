//! The output of a step: loaded when a caller wants it, and then shared.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use super::decide::record_of;
use crate::arrays::{Array, ArraySink, Cause};
use crate::base::warnings::{Held, Warnings, warn};
use crate::codec::{Failure, Forms, encode};
use crate::error::Error;
use crate::run::reader::Reader;
use crate::schema::Schema;
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::store::{Directory, Home as _, Process};

/// The output of a step. A clone is the same output and shares the value in memory.
pub struct Output<T> {
    pub(super) pipeline: u64,
    pub(super) step: String,
    /// The hash of the value.
    pub(super) identity: String,
    pub(super) version: u64,
    place: Arc<Place<T>>,
}

pub(super) struct Place<T> {
    directory: Directory,
    protection: Protection,
    warnings: Warnings,
    /// The process that ran or reused the step.
    process: Process,
    memory: Mutex<Option<Arc<T>>>,
}

impl<T> Place<T> {
    pub(super) fn new(
        directory: Directory,
        protection: Protection,
        warnings: Warnings,
        value: Option<T>,
    ) -> Place<T> {
        let memory = Mutex::new(value.map(Arc::new));
        Place { directory, protection, warnings, process: Process::current(), memory }
    }

    /// The value in memory. `None` in a forked process that cannot have the lock.
    fn lock(&self) -> Option<MutexGuard<'_, Option<Arc<T>>>> {
        self.process.lock(&self.memory)
    }
}

impl<T: Checkpoint> Output<T> {
    pub(super) fn new(
        pipeline: u64,
        step: &str,
        identity: String,
        version: u64,
        place: Place<T>,
    ) -> Output<T> {
        Output { pipeline, step: step.to_owned(), identity, version, place: Arc::new(place) }
    }

    /// Returns the output: the value in memory, or else it is loaded now, and then shared. A
    /// function that takes a reference gets `&*output.load()?`.
    ///
    /// A damaged file is moved aside, with a warning: the next run of the program runs the step
    /// again.
    ///
    /// # Errors
    /// [`Error::OutputUnusable`] if its file is damaged, gone, or cannot be read, or if another
    /// output has its number by now. Another error if the protection refuses the file.
    pub fn load(&self) -> Result<Arc<T>, Error> {
        let _warnings = self.place.warnings.enter();
        // A function that takes the warnings may load it too.
        let _held = Held::begin();
        // Held while it is loaded, so that two threads load it only once.
        let mut memory = self.place.lock();
        if let Some(value) = memory.as_deref().and_then(Option::as_ref) {
            return Ok(Arc::clone(value));
        }
        let value = Arc::new(self.read()?);
        if let Some(memory) = memory.as_deref_mut() {
            *memory = Some(Arc::clone(&value));
        }
        Ok(value)
    }

    fn read(&self) -> Result<T, Error> {
        let Place { directory, protection, .. } = &*self.place;
        let mut reader = Reader::of::<T>(Arc::new(directory.clone()), protection.clone())?;
        let loaded = reader.load_one(self.version);
        reader.resolve_outputs();
        let value = loaded.map_err(|error| unusable(directory, &self.step, self.version, error))?;
        let record = reader.last_load().and_then(|report| record_of(&report.manifest));
        if record.is_none_or(|record| record.identity != self.identity) {
            let path = directory.location(self.version);
            let why = "another output has the number of this one by now".to_owned();
            let source = Box::new(Error::Damaged { path, part: "name".to_owned(), why });
            return Err(Error::OutputUnusable { step: self.step.clone(), set_aside: None, source });
        }
        Ok(value)
    }

    /// Frees the memory of the output here; other holders keep theirs. The next
    /// [`load`](Output::load) reads it again.
    pub fn unload(&self) {
        if let Some(mut memory) = self.place.lock() {
            memory.take();
        }
    }

    /// The name of the step.
    #[must_use]
    pub fn step(&self) -> &str {
        &self.step
    }

    /// The number of the version of the step's output.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }
}

/// True if the content of a file is not that of an output. An error of the system proves nothing
/// about the file: a file server that fails for a minute may have it whole.
pub(super) fn is_broken(error: &Error) -> bool {
    matches!(error, Error::Damaged { .. } | Error::NotACheckpoint { .. })
}

/// The error of a version that cannot be loaded. A damaged file is moved out of the way.
pub(super) fn unusable(directory: &Directory, step: &str, version: u64, error: Error) -> Error {
    let is_broken = is_broken(&error);
    if !is_broken && !matches!(error, Error::Io { .. } | Error::NoSuchGeneration { .. }) {
        return error;
    }
    // Only the pipeline that holds the directory changes it.
    let set_aside =
        if is_broken && directory.is_guarded() { set_aside(directory, step, version, &error) } else { None };
    Error::OutputUnusable { step: step.to_owned(), set_aside, source: Box::new(error) }
}

/// Moves the damaged file of a version out of the way, so that the step is run again. Warns, and
/// returns the new path; `None` if the file stays.
pub(super) fn set_aside(directory: &Directory, step: &str, version: u64, why: &Error) -> Option<PathBuf> {
    match directory.move_aside(version) {
        Ok(path) => {
            warn(format!(
                "version {version} of the output of step `{step}` is damaged, and was moved to {}, so that the step \
                 is run again: {why}",
                path.display()
            ));
            Some(path)
        }
        Err(error) => {
            warn(format!(
                "version {version} of the output of step `{step}` is damaged ({why}), and cannot be moved out of \
                 the way: {error}"
            ));
            None
        }
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

/// The hash of a value. It is equal for equal values of the same type, unless their order is
/// random, as that of a `HashMap`.
pub(super) fn identity<T: Checkpoint>(value: &T) -> Result<String, String> {
    let mut hashed = Hashed::default();
    // The bytes hold no names of fields: after two fields are swapped, the same bytes are another
    // value.
    let schema = Schema::of::<T>();
    let forms = Forms::of(&schema);
    let kind = (T::NAME, T::VERSION, schema);
    hashed.hasher.update(&serde_json::to_vec(&kind).map_err(|error| error.to_string())?);
    let mut rest = Vec::new();
    encode(value, &forms, &mut rest, &mut hashed).map_err(Failure::into_sentence)?;
    hashed.hasher.update(&rest);
    Ok(hashed.hasher.finalize().to_hex().to_string())
}

/// Takes every array, and remembers only its hash.
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
