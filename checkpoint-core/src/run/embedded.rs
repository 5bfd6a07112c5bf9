//! Encodes a value as a checkpoint in memory, with its schema and its checksums, to store it inside
//! another one.

#[cfg(feature = "scopes")]
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use crate::arrays::ArrayPool;
#[cfg(feature = "group")]
use crate::arrays::{Array, ArraySink, Cause};
use crate::codec;
use crate::container::{Container, ContainerWriter, Manifest, Memory, Metadata};
use crate::error::Error;
use crate::evolution::Program;
use crate::run::reader::{self, Decoded};
use crate::state::Checkpoint;

/// Replaces `bytes` by the checkpoint of a value.
pub(crate) fn encode<T: Checkpoint>(value: &T, program: &Program, bytes: &mut Vec<u8>) -> Result<(), Error> {
    let failed = |why: String| Error::Encode { name: program.shown_name(), why };
    bytes.clear();
    let mut container = ContainerWriter::new(bytes);
    let mut rest = Vec::new();
    let observed = codec::encode(value, program.forms(), &mut rest, &mut container)
        .map_err(|failure| failed(failure.into_sentence()))?;
    let mut manifest = Manifest::of(program, 0, Metadata::new());
    manifest.complete(&observed);
    container.finish(&rest, manifest).map(drop).map_err(|error| failed(error.to_string()))
}

/// A number that is practically never the same for two values of one type. `path` is for messages.
#[cfg(feature = "scopes")]
pub(crate) fn print(path: &Path, bytes: &[u8]) -> Option<u64> {
    let container = open(path, bytes).ok()?;
    let mut hasher = DefaultHasher::new();
    container.state().ok()?.hash(&mut hasher);
    container.sums().collect::<Option<Vec<_>>>()?.hash(&mut hasher);
    Some(hasher.finish())
}

/// True if two encoded values are the same, with their maps in one order. They may have been
/// encoded at different times.
#[cfg(feature = "scopes")]
pub(crate) fn are_same(one: &Container, other: &Container) -> bool {
    let sums = |container: &Container| container.sums().collect::<Option<Vec<_>>>();
    matches!((one.state(), other.state()), (Ok(one), Ok(other)) if one == other)
        && sums(one).is_some_and(|one| sums(other) == Some(one))
}

/// The container of a value without the data of its longer arrays: what else is in it, and where.
/// `path` is for messages.
#[cfg(feature = "group")]
pub(crate) fn without_arrays<T: Checkpoint>(
    path: &Path,
    value: &T,
    program: &Program,
) -> Result<Container, Error> {
    let failed = |why: String| Error::Encode { name: program.shown_name(), why };
    let (mut bytes, mut rest) = (Vec::new(), Vec::new());
    let mut hollow = Hollow(ContainerWriter::new(&mut bytes));
    let observed = codec::encode(value, program.forms(), &mut rest, &mut hollow)
        .map_err(|failure| failed(failure.into_sentence()))?;
    let mut manifest = Manifest::of(program, 0, Metadata::new());
    manifest.complete(&observed);
    hollow.0.finish(&rest, manifest).map_err(|error| failed(error.to_string()))?;
    open(path, &bytes)
}

/// Takes arrays, and keeps only their places.
#[cfg(feature = "group")]
struct Hollow<'a>(ContainerWriter<&'a mut Vec<u8>>);

#[cfg(feature = "group")]
impl ArraySink for Hollow<'_> {
    fn takes(&self, bytes: usize) -> bool {
        // Shorter ones take less space than an entry without data.
        bytes >= 1 << 10
    }

    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, Cause> {
        self.0.put(name, Array { outer: None, bytes: &[], ..array })
    }
}

/// The checkpoint of a value, opened. `path` is for messages.
pub(crate) fn container_of<T: Checkpoint>(
    path: &Path,
    value: &T,
    program: &Program,
) -> Result<Container, Error> {
    let mut bytes = Vec::new();
    encode(value, program, &mut bytes)?;
    Container::open(Box::new(Memory(bytes)), &[]).map_err(|refusal| Error::refused(path, refusal))
}

/// Decodes the value that [`encode`] encoded. `path` and `part` are for messages.
pub(crate) fn decode<T: Checkpoint>(
    path: &Path,
    part: &str,
    program: &Program,
    bytes: &[u8],
) -> Result<Decoded<T>, Error> {
    let path = path.join(part);
    let container = open(&path, bytes)?;
    reader::decode::<T>(&path, program, &container, &mut ArrayPool::default)
}

/// Opens the container that [`encode`] wrote. `path` is for messages.
pub(crate) fn open(path: &Path, bytes: &[u8]) -> Result<Container, Error> {
    Container::open(Box::new(Memory(bytes.to_vec())), &[]).map_err(|refusal| Error::refused(path, refusal))
}
