//! Where the bytes of a container come from, and why they may be refused.

use std::fmt;
use std::io;

use super::manifest::Method;

/// What a container is read from: a file, or anything else that can be read from any place.
pub(crate) trait Source: Send + Sync {
    /// The length in bytes.
    fn length(&self) -> u64;

    /// Fills `buffer` from `offset` on; less than that is an error.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Says that these bytes will be read soon, so that a disk need not be waited for once for each of several places.
    fn will_read(&self, _offset: u64, _length: u64) {}
}

/// Bytes in memory, read as a file.
pub(crate) struct Memory(pub(crate) Vec<u8>);

impl Source for Memory {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let part = usize::try_from(offset).ok().and_then(|start| self.0.get(start..)?.get(..buffer.len()));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Why a file is not a container that can be read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It never was one.
    NotACheckpoint,
    /// It is one of a later library.
    FormatTooNew(u32),
    /// It was one, but this part of it is not as it was written.
    Damaged { part: String, why: String },
    /// It has no tag, and one is demanded.
    NotTagged,
    /// Its tag was made with a key that is not at hand.
    OtherKey(String),
    /// It is encrypted, and was not decrypted: why.
    Encrypted(String),
    /// It is not encrypted, and should be.
    NotEncrypted,
    /// The file could not be read.
    Unreadable(io::Error),
    /// A part does not fit into the memory there is.
    NoMemory { part: String, bytes: u64 },
    /// A part is compressed in a way that this library was built without.
    #[cfg_attr(feature = "zstd", allow(dead_code, reason = "only said by the other build"))]
    Packed { part: String, method: Method },
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotACheckpoint => formatter.write_str("it is not a checkpoint"),
            Refusal::FormatTooNew(version) => write!(formatter, "it has format version {version}"),
            Refusal::Damaged { part, why } => write!(formatter, "{part}: {why}"),
            Refusal::NotTagged => formatter.write_str("it has no tag"),
            Refusal::OtherKey(key) => write!(formatter, "its tag was made with the key {key}"),
            Refusal::Encrypted(why) => write!(formatter, "it is encrypted: {why}"),
            Refusal::NotEncrypted => formatter.write_str("it is not encrypted"),
            Refusal::Unreadable(error) => error.fmt(formatter),
            Refusal::NoMemory { part, bytes } => write!(formatter, "{part} needs {bytes} bytes of memory"),
            Refusal::Packed { part, method } => {
                write!(formatter, "{part} is compressed, and needs the feature {}", method.feature())
            }
        }
    }
}

pub(super) fn damaged(part: &str, why: impl Into<String>) -> Refusal {
    Refusal::Damaged { part: part.to_owned(), why: why.into() }
}

/// Whether a file begins with these bytes.
pub(crate) fn begins_with(source: &dyn Source, magic: &[u8]) -> Result<bool, Refusal> {
    if source.length() < magic.len() as u64 {
        return Ok(false);
    }
    let mut start = vec![0; magic.len()];
    source.read_exact_at(&mut start, 0).map_err(Refusal::Unreadable)?;
    Ok(start == magic)
}

/// How much of the list of entries, or of the manifest, is read at a time.
const STEP: u64 = 1 << 20;

/// Reads the list of entries or the manifest, neither of which has a gap of this size. A sparse file is as long as it
/// claims to be, but is found out before memory is taken, and time spent, for all of its length.
pub(super) fn read_dense(
    source: &dyn Source,
    offset: u64,
    length: u64,
    part: &str,
) -> Result<Vec<u8>, Refusal> {
    if length <= STEP {
        return read_bytes(source, offset, length, part);
    }
    let mut bytes = Vec::new();
    let mut read = 0;
    while read < length {
        let step = (length - read).min(STEP);
        let piece = read_bytes(source, offset.saturating_add(read), step, part)?;
        if step == STEP && piece.iter().all(|byte| *byte == 0) {
            return Err(damaged(part, "there is nothing where it should be"));
        }
        bytes
            .try_reserve(piece.len())
            .map_err(|_| Refusal::NoMemory { part: part.to_owned(), bytes: length })?;
        bytes.extend_from_slice(&piece);
        read += step;
    }
    Ok(bytes)
}

/// Reads `length` bytes, which the file is long enough to have.
pub(super) fn read_bytes(
    source: &dyn Source,
    offset: u64,
    length: u64,
    part: &str,
) -> Result<Vec<u8>, Refusal> {
    if offset.checked_add(length).is_none_or(|end| end > source.length()) {
        return Err(damaged(part, "it reaches beyond the end of the file"));
    }
    let mut bytes = allocate(length, part)?;
    fill(source, &mut bytes, offset, part)?;
    Ok(bytes)
}

/// Memory for what the file is long enough to have; but a sparse file has any length without taking any space.
pub(super) fn allocate(length: u64, part: &str) -> Result<Vec<u8>, Refusal> {
    let memory =
        usize::try_from(length).ok().and_then(|length| bytemuck::allocation::try_zeroed_vec(length).ok());
    memory.ok_or_else(|| Refusal::NoMemory { part: part.to_owned(), bytes: length })
}

pub(super) fn fill(source: &dyn Source, buffer: &mut [u8], offset: u64, part: &str) -> Result<(), Refusal> {
    source.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(part, "the file became shorter while it was read"),
        // Said by what decrypts.
        io::ErrorKind::InvalidData => damaged(part, error.to_string()),
        _ => Refusal::Unreadable(error),
    })
}
