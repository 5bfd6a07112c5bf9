//! One save, from the parts of a state to a generation that is there to stay.

use std::io::{self, BufWriter};
use std::time::{Duration, Instant};

use crate::container::{ContainerWriter, Manifest};
use crate::error::Error;
use crate::store::{Temporary, Writer};

/// What a save wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// The number of the new generation: one more than the last.
    pub generation: u64,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// How long the save took, from its beginning until it was on the disk.
    pub duration: Duration,
}

/// The container of a save, on its way to a temporary file.
pub(crate) type Output<'a> = ContainerWriter<BufWriter<&'a mut Temporary>>;

/// Why the parts of a state could not be written.
pub(crate) enum Failure {
    /// The disk refused.
    Write(io::Error),
    /// The state could not be encoded.
    Encode(Error),
}

/// Writes a container and publishes it as the generation that its manifest names. `fill` writes the arrays, and returns
/// the bytes of the rest of the state.
pub(crate) fn save<'s>(
    writer: &mut Writer,
    manifest: Manifest,
    begun: Instant,
    fill: impl FnOnce(&mut Output<'_>) -> Result<&'s [u8], Failure>,
) -> Result<Saved, Error> {
    let generation = manifest.generation;
    let metrics = writer.retention().metrics(&manifest.metadata);
    let mut temporary = writer.begin()?;
    let path = temporary.path().to_owned();
    let failed = |source| Error::writing("write", &path, source);
    let buffered = BufWriter::with_capacity(1 << 16, &mut temporary);
    let mut container = ContainerWriter::new(buffered).compressed(writer.compression()).map_err(failed)?;
    let bytes = match fill(&mut container) {
        Ok(state) => container.finish(state, manifest).map_err(failed)?,
        Err(Failure::Write(error)) => return Err(failed(error)),
        Err(Failure::Encode(error)) => return Err(error),
    };
    let sealed = temporary.seal(writer.durable())?;
    writer.publish(sealed, generation, metrics)?;
    let duration = begun.elapsed();
    let path = writer.path();
    tracing::debug!(path = %path.display(), generation, bytes, ?duration, "saved");
    Ok(Saved { generation, bytes, duration })
}
