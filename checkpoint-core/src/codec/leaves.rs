//! The bytes of values without parts: those of bincode 1 with integers of fixed width,
//! little-endian. They are written directly, which is faster, and read by bincode. No other module
//! names bincode.

use std::io;

use bincode::config::{FixintEncoding, WithOtherIntEncoding};
use bincode::{DefaultOptions, ErrorKind, Options as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Failure, NoMemory, Result, bytes};

/// The bytes of the length of a text.
const LENGTH: usize = size_of::<u64>();

fn options() -> WithOtherIntEncoding<DefaultOptions, FixintEncoding> {
    DefaultOptions::new().with_fixint_encoding()
}

/// Appends bytes of a fixed number. A lack of memory is an error and no abort.
#[inline]
pub(super) fn append<const N: usize>(into: &mut Vec<u8>, bytes: [u8; N]) -> Result<()> {
    if N > into.capacity() - into.len() {
        return append_more(into, bytes);
    }
    into.extend_from_slice(&bytes);
    Ok(())
}

/// Appends bytes that have no room yet. They come by value: the caller keeps them in registers.
#[cold]
#[inline(never)]
fn append_more<const N: usize>(into: &mut Vec<u8>, bytes: [u8; N]) -> Result<()> {
    grow(into, N)?;
    into.extend_from_slice(&bytes);
    Ok(())
}

/// Appends bytes as they are.
pub(super) fn append_all(into: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if bytes.len() > into.capacity() - into.len() {
        grow(into, bytes.len())?;
    }
    into.extend_from_slice(bytes);
    Ok(())
}

/// Appends text or bytes: a length, then that number of bytes.
#[inline]
pub(super) fn append_counted(into: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    append(into, (bytes.len() as u64).to_le_bytes())?;
    append_all(into, bytes)
}

/// Makes room for this number of bytes more.
#[cold]
fn grow(bytes: &mut Vec<u8>, more: usize) -> Result<()> {
    let wanted = (bytes.len() as u64).saturating_add(more as u64);
    bytes
        .try_reserve(more)
        .map_err(|_| Failure::caused(NoMemory { part: "the encoded state".to_owned(), bytes: wanted }))
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

/// The error of bincode in the words of this library.
#[cold]
fn refused(error: ErrorKind) -> Failure {
    match error {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => bytes::ends(),
        ErrorKind::InvalidCharEncoding => Failure::new("a char is not UTF-8"),
        ErrorKind::InvalidUtf8Encoding(why) => Failure::new(format!("a string is not UTF-8: {why}")),
        ErrorKind::SizeLimit => Failure::new("a length is larger than the data"),
        other => Failure::new(other.to_string()),
    }
}
