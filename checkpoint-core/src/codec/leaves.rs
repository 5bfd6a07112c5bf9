//! The bytes of values without parts: those of bincode 1 with integers of fixed width, little-endian. The only module
//! that names bincode.

use std::io;

use bincode::config::{FixintEncoding, WithOtherIntEncoding};
use bincode::{DefaultOptions, ErrorKind, Options as _};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer as _};

use super::{Failure, Result};

/// How many bytes the length of a text takes.
const LENGTH: usize = size_of::<u64>();

fn options() -> WithOtherIntEncoding<DefaultOptions, FixintEncoding> {
    DefaultOptions::new().with_fixint_encoding()
}

/// Appends a number, a bool or a char.
#[inline]
pub(super) fn write<T: Serialize>(into: &mut Vec<u8>, value: T) -> Result<()> {
    value.serialize(&mut bincode::Serializer::new(into, options())).map_err(|error| refused(*error))
}

/// Appends a text or bytes, which are both a length and so many bytes.
#[inline]
pub(super) fn write_bytes(into: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    bincode::Serializer::new(into, options()).serialize_bytes(bytes).map_err(|error| refused(*error))
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
pub(super) fn ends() -> Failure {
    Failure::new("the data ends before the value is complete")
}

/// What bincode says, in our words.
#[cold]
fn refused(error: ErrorKind) -> Failure {
    match error {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => ends(),
        ErrorKind::InvalidBoolEncoding(byte) => Failure::new(format!("a bool is 0 or 1, not {byte}")),
        ErrorKind::InvalidCharEncoding => Failure::new("a char is not UTF-8"),
        ErrorKind::InvalidUtf8Encoding(why) => Failure::new(format!("a string is not UTF-8: {why}")),
        ErrorKind::SizeLimit => Failure::new("a length is larger than the data"),
        other => Failure::new(other.to_string()),
    }
}
