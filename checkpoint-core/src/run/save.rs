//! One save, from the parts of a state to a durable generation.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::codec::{self, NoMemory};
use crate::container::{Container, ContainerWriter, Manifest, Refusal, Source};
use crate::error::Error;
use crate::outcome::{Progress, Saved};
use crate::outputs::{self, Counted};
use crate::run::lifecycle::SaveContext;
use crate::run::read_back::Net;
use crate::run::stamp;
use crate::run::watcher::Watcher;
use crate::seal::{Protection, Sealed};
use crate::store::{Draft, Writer};

/// The container of a save, on its way to a draft.
pub(crate) type Output<'o, 'a> = ContainerWriter<BufWriter<&'o mut Sealed<ProgressWriter<'a>>>>;

/// Writes the arrays of a state, and puts the bytes of its rest into a buffer; may complete the
/// manifest. Returns the outputs that the state counts on.
pub(crate) type Fill<'f> =
    dyn FnMut(&mut Output<'_, '_>, &mut Vec<u8>, &mut Manifest) -> Result<Vec<Counted>, Failure> + 'f;

/// The number of bytes between two reports of progress.
const REPORT_EVERY: u64 = 8 << 20;

/// A file writer that reports progress.
pub(crate) struct ProgressWriter<'a> {
    file: &'a mut dyn Draft,
    watcher: &'a Watcher,
    generation: u64,
    written: u64,
    reported: u64,
}

impl Write for ProgressWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.file.write(bytes)?;
        self.written += length as u64;
        if self.written - self.reported >= REPORT_EVERY {
            self.reported = self.written;
            let (generation, bytes) = (self.generation, self.written);
            self.watcher.tell(|| Progress::Writing { generation, bytes });
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The reason that the parts of a state could not be written.
pub(crate) enum Failure {
    /// The disk failed.
    Write(io::Error),
    /// The state could not be encoded.
    Encode(Error),
}

impl Failure {
    /// Tells apart the reasons of a failed encoding: the disk, the memory, or the state itself.
    pub(crate) fn of_encoding(
        failure: codec::Failure,
        path: &Path,
        name: impl FnOnce() -> String,
    ) -> Failure {
        let failure = match failure.into_source::<io::Error>() {
            Ok(failure) => return Failure::Write(failure),
            Err(failure) => failure,
        };
        Failure::Encode(match failure.into_source::<NoMemory>() {
            Ok(NoMemory { part, bytes }) => Error::NoMemory { path: path.to_owned(), part, bytes },
            Err(failure) => Error::Encode { name: name(), why: failure.into_sentence() },
        })
    }
}

/// The input of a save.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) manifest: Manifest,
    pub(crate) begun: Instant,
    /// The time that the program waited; by default, the whole time of the save.
    pub(crate) stall: Option<Duration>,
}

/// Writes a container, and publishes it as the generation that its manifest names. `fill` puts the
/// bytes of the rest of the state into `rest`.
///
/// If the disk is full and the program wants it, room is made, and `fill` is called once more.
pub(crate) fn save(
    writer: &mut Writer,
    net: &mut Net,
    order: Order,
    context: &SaveContext,
    rest: &mut Vec<u8>,
    fill: &mut Fill<'_>,
) -> Result<Saved, Error> {
    let again = context.makes_room.then(|| order.clone());
    let place = writer.path().to_owned();
    let mut counts = Counts::default();
    let mut attempt = |writer: &mut Writer, order| {
        let saved = write(writer, net, order, context, rest, fill, &mut counts);
        let may_exist = saved.is_err() && std::mem::take(&mut counts.is_publishing);
        if may_exist {
            outputs::leave_open(&counts.counted);
        }
        (saved, may_exist)
    };
    let (mut outcome, may_exist) = attempt(writer, order);
    // The full disk of an output gets no room from here. A generation that may exist has its number
    // already.
    let is_full = matches!(&outcome, Err(Error::NoSpace { path, .. }) if path.starts_with(&place));
    if is_full
        && !may_exist
        && let Some(order) = again
    {
        // Until the second attempt, no file goes back below what this save counts on.
        match make_room(writer, order.manifest.generation) {
            Ok(true) => (outcome, _) = attempt(writer, order),
            Ok(false) => {}
            Err(error) => outcome = Err(error),
        }
    }
    if outcome.is_err() {
        outputs::abandon(&counts.counted);
    }
    counts.is_settled = true;
    outcome
}

/// The outputs that a save counts on. A panic leaves them as an error does.
#[derive(Default)]
struct Counts {
    counted: Vec<Counted>,
    /// True once the generation may exist.
    is_publishing: bool,
    /// True once the outcome of the save is known.
    is_settled: bool,
}

impl Drop for Counts {
    fn drop(&mut self) {
        if self.is_settled {
            return;
        }
        if self.is_publishing {
            outputs::leave_open(&self.counted);
        }
        outputs::abandon(&self.counted);
    }
}

/// Removes the generations that retention would remove after this one; none unless the newest is
/// undamaged.
fn make_room(writer: &mut Writer, generation: u64) -> Result<bool, Error> {
    let protection = writer.protection().clone();
    writer.make_room(generation, |source| {
        let source = protection.open(source)?;
        Container::open(source, &protection.tag_keys())?.verify()
    })
}

fn write(
    writer: &mut Writer,
    net: &mut Net,
    Order { mut manifest, begun, stall }: Order,
    context: &SaveContext,
    rest: &mut Vec<u8>,
    fill: &mut Fill<'_>,
    counts: &mut Counts,
) -> Result<Saved, Error> {
    let generation = manifest.generation;
    let watcher = &context.watcher;
    let metrics = writer.retention().metrics(&manifest);
    let mut draft = writer.begin(generation)?;
    let path = draft.path().to_owned();
    let can_be_opened = draft.can_be_opened();
    let failed = |source| Error::writing("write", &path, source);
    let file = ProgressWriter { file: &mut *draft, watcher, generation, written: 0, reported: 0 };
    let mut seal = writer.protection().seal(file).map_err(failed)?;
    let buffered = BufWriter::with_capacity(1 << 16, &mut seal);
    let container = ContainerWriter::new(buffered).compressed(writer.compression()).map_err(failed)?;
    let can_open = writer.protection().can_open();
    let is_checked = !can_open || !can_be_opened;
    let mut container = container.tagged(writer.protection().tag_key()).checked(is_checked);
    counts.counted = match fill(&mut container, rest, &mut manifest) {
        Ok(counted) => counted,
        Err(Failure::Write(error)) => return Err(failed(error)),
        Err(Failure::Encode(error)) => return Err(error),
    };
    let is_doubtful = stamp::is_marked(&manifest);
    container.finish(rest, manifest).map_err(failed)?;
    let bytes = seal.finish().map_err(failed)?.written;
    // This comes before the file has its name: no generation must count on bytes that a power cut
    // can take.
    outputs::sync_all(&mut counts.counted)?;
    let sealed = draft.seal()?;
    let written = sealed.written().unwrap_or(bytes);
    // This comes before the file has its name: a file that cannot be loaded must never be the
    // newest generation, nor replace an older one.
    let unpublished = sealed.path().to_owned();
    let read = |source| Error::io("open", &unpublished, source);
    let source = if can_open { sealed.open().map_err(read)? } else { None };
    let is_too_early = can_open && source.is_none() && net.wants(bytes);
    if let Some(source) = source {
        read_back(writer, net, &unpublished, source, generation)?;
    }
    counts.is_publishing = true;
    writer.publish(sealed, generation, metrics)?;
    if is_too_early {
        let source = writer.home().open(generation).map_err(read);
        let outcome = source.and_then(|source| read_back(writer, net, &unpublished, source, generation));
        if let Err(error) = outcome {
            writer.take_back(generation);
            return Err(error);
        }
    }
    outputs::acknowledge(&counts.counted, generation);
    if is_doubtful {
        writer.mark_doubtful(generation);
    }
    if let Some(mirror) = &context.mirror {
        mirror.saved(generation);
    }
    writer.retire(generation);
    net.let_through();
    let duration = begun.elapsed();
    let stall = stall.unwrap_or(duration);
    let path = writer.path();
    tracing::info!(path = %path.display(), generation, bytes, written, ?stall, ?duration, "saved");
    Ok(Saved { generation, bytes, written, duration, stall })
}

/// Opens the file as a load will open it. If the settings say so, it also loads the state and
/// compares it.
fn read_back(
    writer: &Writer,
    net: &Net,
    path: &Path,
    source: Box<dyn Source>,
    generation: u64,
) -> Result<(), Error> {
    let directory = writer.path();
    let container = open_unpublished(writer.protection(), (directory, generation), path, source)?;
    net.check(directory, container)
}

/// Opens the file of a new generation of a directory as a load will open it: its structure, its
/// manifest and the headers of its arrays.
pub(crate) fn open_unpublished(
    protection: &Protection,
    (directory, generation): (&Path, u64),
    path: &Path,
    source: Box<dyn Source>,
) -> Result<Container, Error> {
    let opened = protection.open(source).and_then(|source| {
        let container = Container::open(source, &protection.tag_keys())?;
        container.check_arrays()?;
        Ok(container)
    });
    opened.map_err(|refusal| match refusal {
        Refusal::Unreadable(_) | Refusal::NoMemory { .. } => Error::refused(path, refusal),
        refusal => Error::NotOpened { path: directory.to_owned(), generation, why: refusal.to_string() },
    })
}
