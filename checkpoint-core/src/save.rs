//! One save, from the parts of a state to a generation that is there to stay.

use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};

use crate::container::{ContainerWriter, Manifest};
use crate::error::Error;
use crate::run::{Progress, Watcher};
use crate::seal::Sealed;
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
    /// How long the program waited for it: all of that, or in the background only for the copy of the state.
    pub stall: Duration,
}

/// The container of a save, on its way to a temporary file.
pub(crate) type Output<'o, 'a> = ContainerWriter<BufWriter<&'o mut Sealed<Told<'a>>>>;

/// How many bytes are written from one word of it to the next.
const TELL_EVERY: u64 = 8 << 20;

/// A temporary file of which somebody is told how it grows.
pub(crate) struct Told<'a> {
    file: &'a mut Temporary,
    watcher: &'a Watcher,
    generation: u64,
    written: u64,
    told: u64,
}

impl Write for Told<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.written += length as u64;
        if self.written - self.told >= TELL_EVERY {
            self.told = self.written;
            let (generation, bytes) = (self.generation, self.written);
            self.watcher.tell(|| Progress::Writing { generation, bytes });
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Why the parts of a state could not be written.
pub(crate) enum Failure {
    /// The disk refused.
    Write(io::Error),
    /// The state could not be encoded.
    Encode(Error),
}

/// Writes a container and publishes it as the generation that its manifest names. `fill` writes the arrays, and returns
/// the bytes of the rest of the state. The program waited for `stall`, or waits for all of it.
pub(crate) fn save<'s>(
    writer: &mut Writer,
    manifest: Manifest,
    begun: Instant,
    stall: Option<Duration>,
    watcher: &Watcher,
    fill: impl FnOnce(&mut Output<'_, '_>) -> Result<&'s [u8], Failure>,
) -> Result<Saved, Error> {
    let generation = manifest.generation;
    let metrics = writer.retention().metrics(&manifest.metadata);
    let mut temporary = writer.begin()?;
    let path = temporary.path().to_owned();
    let failed = |source| Error::writing("write", &path, source);
    let told = Told { file: &mut temporary, watcher, generation, written: 0, told: 0 };
    let mut seal = writer.protection().seal(told).map_err(failed)?;
    let buffered = BufWriter::with_capacity(1 << 16, &mut seal);
    let container = ContainerWriter::new(buffered).compressed(writer.compression()).map_err(failed)?;
    let mut container = container.tagged(writer.protection().tag_key());
    match fill(&mut container) {
        Ok(state) => drop(container.finish(state, manifest).map_err(failed)?),
        Err(Failure::Write(error)) => return Err(failed(error)),
        Err(Failure::Encode(error)) => return Err(error),
    }
    let bytes = seal.finish().map_err(failed)?.written;
    let sealed = temporary.seal(writer.durable())?;
    writer.publish(sealed, generation, metrics)?;
    let duration = begun.elapsed();
    let stall = stall.unwrap_or(duration);
    let path = writer.path();
    tracing::info!(path = %path.display(), generation, bytes, ?stall, ?duration, "saved");
    Ok(Saved { generation, bytes, duration, stall })
}
