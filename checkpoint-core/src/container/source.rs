//! The source of the bytes of a container, and the reasons to refuse them.

use std::fmt;
use std::io;

use super::manifest::Method;

/// A source of bytes: a file, or any other that can be read from any place.
pub trait Source: Send + Sync {
    /// The length in bytes.
    fn length(&self) -> u64;

    /// Fills `buffer` from `offset` on. Fewer bytes are an error.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Announces a read, so that the disk can fetch several places at a time.
    fn will_read(&self, _offset: u64, _length: u64) {}

    /// The way to these bytes past the cache of the system, where that has not got them. It is
    /// faster for several threads that read of them at a time.
    fn past_cache(&self, _offset: u64, _length: u64) -> Option<Box<dyn Source + '_>> {
        None
    }

    /// Announces that these bytes will be read and none around them, so that a source that is far
    /// away asks for no others.
    fn will_read_only(&self, _offset: u64, _length: u64) {}
}

/// Bytes in memory that are read as a file.
///
/// ```
/// use checkpointed::home::{Memory, Source};
///
/// let mut part = [0; 2];
/// Memory([1, 2, 3]).read_exact_at(&mut part, 1).unwrap();
/// assert_eq!(part, [2, 3]);
/// ```
#[derive(Debug)]
pub struct Memory<B>(
    /// The bytes of the file.
    pub B,
);

impl<B: AsRef<[u8]> + Send + Sync> Source for Memory<B> {
    fn length(&self) -> u64 {
        self.0.as_ref().len() as u64
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.0.as_ref();
        let part = usize::try_from(offset).ok().and_then(|start| bytes.get(start..)?.get(..buffer.len()));
        buffer.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The reason that a container cannot be read.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The file never was a container.
    NotACheckpoint,
    /// The file has the format of a later library.
    FormatTooNew(u32),
    /// This part of the file is not as it was written.
    Damaged { part: String, why: String },
    /// The file has no tag, and the reader demands one.
    NotTagged,
    /// The tag was made with another key than those of the reader.
    OtherKey(String),
    /// The file is encrypted, and could not be decrypted, for this reason.
    Encrypted(String),
    /// The file is not encrypted, and the reader demands it.
    NotEncrypted,
    /// The file could not be read.
    Unreadable(io::Error),
    /// A part does not fit into the free memory.
    NoMemory { part: String, bytes: u64 },
    /// A part has a compression that this library was built without.
    #[cfg_attr(feature = "zstd", allow(dead_code, reason = "only said by the other build"))]
    Packed { part: String, method: Method },
}

impl std::error::Error for Refusal {}

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

/// True if a file begins with these bytes.
pub(crate) fn begins_with(source: &dyn Source, magic: &[u8]) -> Result<bool, Refusal> {
    if source.length() < magic.len() as u64 {
        return Ok(false);
    }
    let mut start = vec![0; magic.len()];
    source.read_exact_at(&mut start, 0).map_err(Refusal::Unreadable)?;
    Ok(start == magic)
}

/// The number of bytes of the list of entries, or of the manifest, that are read at a time.
const STEP: u64 = 1 << 20;

/// Reads the list of entries or the manifest. Neither has a gap of this size. A sparse file can
/// claim any length: this finds it out before it takes memory and time for that length.
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

/// Reads `length` bytes. The file must be that long.
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

/// Allocates memory for bytes of the file. The length was checked against that of the file; but a
/// sparse file can have any length without taking space.
pub(super) fn allocate(length: u64, part: &str) -> Result<Vec<u8>, Refusal> {
    let memory =
        usize::try_from(length).ok().and_then(|length| bytemuck::allocation::try_zeroed_vec(length).ok());
    memory.ok_or_else(|| Refusal::NoMemory { part: part.to_owned(), bytes: length })
}

pub(super) fn fill(source: &dyn Source, buffer: &mut [u8], offset: u64, part: &str) -> Result<(), Refusal> {
    source.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged(part, "the file became shorter while it was read"),
        // Decryption says this.
        io::ErrorKind::InvalidData => damaged(part, error.to_string()),
        _ => Refusal::Unreadable(error),
    })
}
