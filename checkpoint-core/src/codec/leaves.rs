//! The bytes of values without parts: those of bincode 1 with integers of fixed width,
//! little-endian. No other module names bincode.

use std::io::{self, Write as _};

use bincode::config::{FixintEncoding, WithOtherIntEncoding};
use bincode::{DefaultOptions, ErrorKind, Options as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer as _};

use super::{Failure, NoMemory, Result, bytes};

/// The bytes of the length of a text.
const LENGTH: usize = size_of::<u64>();

fn options() -> WithOtherIntEncoding<DefaultOptions, FixintEncoding> {
    DefaultOptions::new().with_fixint_encoding()
}

/// Bytes in memory. A lack of memory is an error and no abort.
struct Growing<'a>(&'a mut Vec<u8>);

impl io::Write for Growing<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.0.capacity() - self.0.len() {
            grow(self.0, bytes.len())?;
        }
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes room for this number of bytes more.
#[cold]
fn grow(bytes: &mut Vec<u8>, more: usize) -> io::Result<()> {
    let wanted = (bytes.len() as u64).saturating_add(more as u64);
    let no_memory = |_| NoMemory { part: "the encoded state".to_owned(), bytes: wanted };
    bytes.try_reserve(more).map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, no_memory(error)))
}

/// Appends bytes as they are.
#[inline]
pub(super) fn append(into: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    Growing(into).write_all(bytes).map_err(refused_by_memory)
}

/// Appends a number, a bool or a char.
#[inline]
pub(super) fn write<T: Serialize>(into: &mut Vec<u8>, value: T) -> Result<()> {
    value.serialize(&mut bincode::Serializer::new(Growing(into), options())).map_err(|error| refused(*error))
}

/// Appends text or bytes: a length, then that number of bytes.
#[inline]
pub(super) fn write_bytes(into: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    bincode::Serializer::new(Growing(into), options()).serialize_bytes(bytes).map_err(|error| refused(*error))
}

/// Takes a number, a bool or a char from the front of `bytes`.
#[inline]
pub(super) fn read<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T> {
    T::deserialize(&mut bincode::Deserializer::with_reader(bytes, options())).map_err(|error| refused(*error))
}

/// Takes a text from the front of `bytes`.
#[inline]
pub(super) fn read_text<'de>(bytes: &mut &'de [u8]) -> Result<&'de str> {
    let all = *bytes;
    let text = <&str>::deserialize(&mut bincode::Deserializer::from_slice(all, options()))
        .map_err(|error| refused(*error))?;
    *bytes = all.get(LENGTH + text.len()..).unwrap_or_default();
    Ok(text)
}

#[cold]
fn refused_by_memory(error: io::Error) -> Failure {
    error.downcast::<NoMemory>().map_or_else(|error| Failure::new(error.to_string()), Failure::caused)
}

/// The error of bincode in the words of this library.
#[cold]
fn refused(error: ErrorKind) -> Failure {
    match error {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => bytes::ends(),
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::OutOfMemory => refused_by_memory(error),
        ErrorKind::InvalidCharEncoding => Failure::new("a char is not UTF-8"),
        ErrorKind::InvalidUtf8Encoding(why) => Failure::new(format!("a string is not UTF-8: {why}")),
        ErrorKind::SizeLimit => Failure::new("a length is larger than the data"),
        other => Failure::new(other.to_string()),
    }
}
