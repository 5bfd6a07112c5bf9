//! Copies one generation from one level to the other: byte for byte, verified by its own checksums
//! before it gets its name.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::pace::{Pace, Timing};
use crate::container::{Container, Manifest, Source};
use crate::error::{Error, once_more};
use crate::seal::Protection;
use crate::store::likeness::Likeness;
use crate::store::{Draft, Home, Sealed};

/// What was learned by reading all of a file.
#[derive(Debug)]
pub(super) enum Condition {
    /// Every checksum is right; this is its manifest.
    Whole(Box<Manifest>),
    /// It is encrypted for others, and only its author could have damaged it unnoticed.
    Sealed,
    /// It is broken for good.
    Damaged(Error),
}

/// Reads all of a file, and compares every checksum.
///
/// # Errors
/// It could not be found out: the file is out of reach, or not for this program.
pub(super) fn examine(
    source: Box<dyn Source>,
    path: &Path,
    generation: u64,
    protection: &Protection,
) -> Result<Condition, Error> {
    let verified = protection.open(source).and_then(|source| {
        let container = Container::open(source, &protection.tag_keys())?;
        container.verify()?;
        Ok(container.manifest().clone())
    });
    match verified.map_err(|refusal| Error::refused(path, refusal)) {
        Ok(manifest) if manifest.generation() == generation => {
            Ok(Condition::Whole(Box::new(manifest.clone())))
        }
        Ok(manifest) => {
            let found = manifest.generation();
            let why = format!("it is generation {found} under the name of generation {generation}");
            Ok(Condition::Damaged(Error::Damaged { path: path.to_owned(), part: "name".to_owned(), why }))
        }
        Err(Error::Encrypted { .. }) if !protection.can_open() || !protection.encrypts() => {
            Ok(Condition::Sealed)
        }
        Err(error) if error.is_lasting_damage() => Ok(Condition::Damaged(error)),
        Err(error) => Err(error),
    }
}

/// Examines a generation of a home, and once more where its device did not give it. An absent one
/// is [`io::ErrorKind::NotFound`].
pub(super) fn examine_at(
    home: &dyn Home,
    generation: u64,
    protection: &Protection,
) -> Result<Condition, Error> {
    let path = home.location(generation);
    once_more(|| match home.open(generation).map_err(|source| Error::io("open", &path, source)) {
        Ok(source) => examine(source, &path, generation, protection),
        Err(error) if error.is_lasting_damage() && !is_absent(&error) => Ok(Condition::Damaged(error)),
        Err(error) => Err(error),
    })
}

/// The manifest of a generation.
pub(super) fn manifest_at(
    home: &dyn Home,
    generation: u64,
    protection: &Protection,
) -> Result<Manifest, Error> {
    let path = home.location(generation);
    once_more(|| {
        let source = home.open(generation).map_err(|source| Error::io("open", &path, source))?;
        let opened = protection.open(source);
        let opened = opened.and_then(|source| Container::open(source, &protection.tag_keys()));
        Ok(opened.map_err(|refusal| Error::refused(&path, refusal))?.manifest().clone())
    })
}

/// True for the error of a file that is not there.
pub(super) fn is_absent(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// A copy that is complete, verified, and has no name yet.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) sealed: Box<dyn Sealed>,
    pub(super) likeness: Likeness,
    /// The manifest, where it can be read.
    pub(super) manifest: Option<Box<Manifest>>,
}

/// The end of a copy that is not an error.
#[derive(Debug)]
pub(super) enum Copied {
    Ready(Ready),
    /// Retention removed the generation meanwhile.
    Gone,
    /// The original is damaged.
    Damaged(Error),
    /// The device does not give the original, which may be whole.
    Unread(Error),
    /// The work is to end.
    Ended,
}

/// The side whose checksums decide whether the original is whole. Where a copy can be read before
/// it is published, its own are compared too; elsewhere the bytes that were sent, with a second
/// read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verify {
    /// The original, before it is sent: a mirror may be slow to read from, or give nothing back
    /// before it is published.
    Original,
    /// The copy, before it is published.
    Copy,
}

/// The limits of a copy.
pub(super) struct Conduct<'a> {
    pub(super) pace: &'a mut Pace,
    pub(super) timing: &'a Arc<dyn Timing>,
}

/// A source that is read at a pace, so that no save waits for the disk.
struct Paced {
    source: Box<dyn Source>,
    pace: Mutex<Pace>,
    timing: Arc<dyn Timing>,
}

impl Source for Paced {
    fn length(&self) -> u64 {
        self.source.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        pace.before(buffer.len() as u64, &*self.timing);
        if self.timing.is_to_end() {
            // Readers try an interrupted read again by themselves, without an end.
            return Err(io::Error::other("the run ends, or discards what is copied"));
        }
        self.source.read_exact_at(buffer, offset)
    }
}

/// A source that is read at the pace of reading.
fn paced(source: Box<dyn Source>, pace: &Pace, timing: &Arc<dyn Timing>) -> Paced {
    Paced { source, pace: Mutex::new(pace.for_reading()), timing: Arc::clone(timing) }
}

/// Copies a generation into a draft. The caller publishes it.
pub(super) fn copy(
    from: &dyn Home,
    generation: u64,
    protection: &Protection,
    how: (Verify, impl FnOnce() -> Result<Box<dyn Draft>, Error>),
    conduct: Conduct<'_>,
) -> Result<Copied, Error> {
    let copied = try_copy(from, generation, protection, how, conduct);
    let is_damage = match &copied {
        Ok(Copied::Damaged(_) | Copied::Unread(_)) => true,
        Ok(_) => false,
        Err(error) => error.is_damage(),
    };
    // Where a lock was not to be had, a save may have written over the file once it was retired.
    if is_damage && !from.has(generation) { Ok(Copied::Gone) } else { copied }
}

fn try_copy(
    from: &dyn Home,
    generation: u64,
    protection: &Protection,
    (verify, begin): (Verify, impl FnOnce() -> Result<Box<dyn Draft>, Error>),
    Conduct { pace, timing }: Conduct<'_>,
) -> Result<Copied, Error> {
    let path = from.location(generation);
    let failed = |source| Error::io("read", &path, source);
    let open = || match from.open(generation) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        source => source.map(Some).map_err(failed),
    };
    // It is held as by any reader, so that no save writes over it.
    let source = match once_more(open) {
        Ok(Some(source)) => source,
        Ok(None) => return Ok(Copied::Gone),
        Err(error) => return not_copied(error),
    };
    let mut manifest = None;
    if verify == Verify::Original {
        let examine = |source| examine(Box::new(paced(source, pace, timing)), &path, generation, protection);
        match once_more(|| open()?.map(examine).transpose()) {
            _ if timing.is_to_end() => return Ok(Copied::Ended),
            Ok(None) => return Ok(Copied::Gone),
            Ok(Some(Condition::Whole(found))) => manifest = Some(found),
            Ok(Some(Condition::Sealed)) => {}
            Ok(Some(Condition::Damaged(error))) => return Ok(Copied::Damaged(error)),
            // It is for another key: only its bytes can be copied.
            Err(Error::Encrypted { .. }) => {}
            // It stays as it is, and must not keep others from the mirror.
            Err(error) if is_lasting(&error) => return Ok(Copied::Damaged(error)),
            Err(error) if error.is_unread() => return Ok(Copied::Unread(error)),
            Err(error) => return Err(error),
        }
    }
    let likeness = match once_more(|| Likeness::of(&*source).map_err(failed)) {
        Ok(likeness) => likeness,
        Err(error) => return not_copied(error),
    };
    let mut draft = begin()?;
    let mut buffer = vec![0; pace.piece()];
    let (mut offset, length) = (0, source.length());
    let mut sum = crc32fast::Hasher::new();
    while offset < length {
        let piece = usize::try_from(length - offset).unwrap_or(usize::MAX).min(buffer.len());
        pace.before(piece as u64, &**timing);
        if timing.is_to_end() {
            return Ok(Copied::Ended);
        }
        let bytes = &mut buffer[..piece];
        if let Err(error) = once_more(|| source.read_exact_at(bytes, offset).map_err(failed)) {
            return not_copied(error);
        }
        sum.update(bytes);
        draft.write_all(bytes).map_err(|source| Error::writing("write", draft.path(), source))?;
        offset += piece as u64;
    }
    let sealed = draft.seal()?;
    let written = sealed.path().to_owned();
    let not_read_back = |source| Error::io("read back", &written, source);
    let reopen = || sealed.open().map_err(not_read_back);
    if let Some(copy) = reopen()? {
        let mut is_same = Likeness::of(&*copy).map_err(not_read_back)? == likeness;
        let examine = |copy| examine(Box::new(paced(copy, pace, timing)), &path, generation, protection);
        let condition = match examine(copy) {
            _ if timing.is_to_end() => return Ok(Copied::Ended),
            Err(Error::Encrypted { .. }) if verify == Verify::Original => Condition::Sealed,
            // It is the copy that is not given.
            Err(Error::Io { source, .. }) => return Err(not_read_back(source)),
            examined => examined?,
        };
        match condition {
            // The checksums of a whole file cover every byte of it.
            Condition::Whole(found) => manifest = Some(found),
            condition => {
                if let Some(copy) = reopen()? {
                    let expected = (length, sum.finalize());
                    is_same &= sum_of(&*copy, &mut buffer).map_err(not_read_back)? == expected;
                }
                // An original that was whole a moment ago is not damaged.
                is_same &= verify == Verify::Copy || matches!(condition, Condition::Sealed);
                if let (true, Condition::Damaged(error)) = (is_same, condition) {
                    return Ok(Copied::Damaged(error));
                }
            }
        }
        if !is_same {
            let why = "it was written, and other bytes are read back".to_owned();
            return Err(Error::Damaged { path: written, part: "copy".to_owned(), why });
        }
    } else {
        // The place gives nothing back yet: what was sent is compared with the original once more.
        let source = paced(source, pace, timing);
        let again = match once_more(|| sum_of(&source, &mut buffer).map_err(failed)) {
            _ if timing.is_to_end() => return Ok(Copied::Ended),
            Err(error) if error.is_unread() => return Ok(Copied::Unread(error)),
            again => again?,
        };
        if again != (length, sum.finalize()) {
            let why = "two reads of it gave other bytes: memory or a disk may be failing".to_owned();
            return Err(Error::Damaged { path, part: "copy".to_owned(), why });
        }
    }
    if timing.is_to_end() {
        return Ok(Copied::Ended);
    }
    Ok(Copied::Ready(Ready { sealed, likeness, manifest }))
}

/// The end of a copy whose original could not be read.
fn not_copied(error: Error) -> Result<Copied, Error> {
    match error {
        error if error.is_unread() => Ok(Copied::Unread(error)),
        error if error.is_damage() => Ok(Copied::Damaged(error)),
        error => Err(error),
    }
}

/// True if a file is not damaged, and this program will not be able to read it.
fn is_lasting(error: &Error) -> bool {
    match error {
        Error::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
        Error::NotAuthentic { .. }
        | Error::FormatTooNew { .. }
        | Error::NotEncrypted { .. }
        | Error::BuiltWithout { .. } => true,
        _ => false,
    }
}

/// The length of a file, and the checksum of all of it.
fn sum_of(file: &dyn Source, buffer: &mut [u8]) -> io::Result<(u64, u32)> {
    let (mut offset, length) = (0, file.length());
    let mut sum = crc32fast::Hasher::new();
    while offset < length {
        let piece = usize::try_from(length - offset).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..piece], offset)?;
        sum.update(&buffer[..piece]);
        offset += piece as u64;
    }
    Ok((length, sum.finalize()))
}
