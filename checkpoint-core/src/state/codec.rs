//! The bytes of everything but arrays: bincode 1's frozen format, fixed-width and little-endian.
//!
//! The only module that names bincode, with the two below it. bincode writes and reads the values; this module adds
//! what it leaves open, in both directions, so that whatever is written can be read again, and no forged length makes
//! a load run for ever:
//!
//! - a field that `skip_serializing_if` leaves out would shift everything after it; it is refused when writing;
//! - a sequence that does not know its length in advance gets it when it ends;
//! - all sequences together announce no more elements than there are bytes, plus an allowance for elements that take
//!   no space (`Vec<()>`), which is the only case where a length is not backed by bytes;
//! - an array of numbers leaves no more than a reference behind, and is kept elsewhere.

mod reader;
mod rows;
mod writer;

use std::io;

use bincode::config::{FixintEncoding, WithOtherIntEncoding};
use bincode::{DefaultOptions, ErrorKind, Options as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::reader::Reader;
use self::writer::Writer;
use super::arrays::{ArraySink, ArraySource};

/// What the manifest calls the format.
pub(crate) const CODEC: &str = "bincode-1";

/// How many elements may be announced that no byte stands for.
pub(crate) const ELEMENTS_WITHOUT_BYTES: u64 = 1 << 20;

/// Stands in the place of a length where an array is kept elsewhere; its number follows.
pub(crate) const OUT_OF_BAND: u64 = u64::MAX;

/// How many values may be inside each other. Every level takes some of the stack, when it is written and when it is
/// read, and a stack that overflows ends the process: what is too deep to be read must not be saved.
const DEEPEST: u32 = 2048;

type Options = WithOtherIntEncoding<DefaultOptions, FixintEncoding>;
type Result<T> = std::result::Result<T, bincode::Error>;

fn options() -> Options {
    DefaultOptions::new().with_fixint_encoding()
}

/// Appends the encoding of `value`, and gives its arrays to `arrays`; after an error `into` is as it was.
///
/// # Errors
/// Where the value's own `Serialize` fails, or writes something that could not be read again.
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    into: &mut Vec<u8>,
    arrays: &mut dyn ArraySink,
) -> std::result::Result<(), String> {
    let start = into.len();
    let mut writer = Writer::new(into, arrays);
    let result = writer.value(value);
    let elements = writer.elements();
    let result = match result {
        Err(error) => Err(sentence(&error)),
        Ok(()) if elements > allowed_elements(into.len() - start) => {
            Err(format!("{elements} elements, most of which take no space, are more than can be read again"))
        }
        Ok(()) => Ok(()),
    };
    if result.is_err() {
        into.truncate(start);
    }
    result
}

/// The value that `bytes`, all of them, encode, with its arrays from `arrays`.
///
/// # Errors
/// Where the bytes are not the encoding of a `T`.
pub(crate) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    arrays: &mut dyn ArraySource,
) -> std::result::Result<T, String> {
    let mut reader = Reader::new(bytes, allowed_elements(bytes.len()), arrays);
    let value = T::deserialize(&mut reader).map_err(|error| sentence(&error))?;
    if reader.ended() { Ok(value) } else { Err("there is more data than the value takes".to_owned()) }
}

/// Every element that takes space has at least one byte that belongs to no element inside it, so there are at most
/// as many of them as bytes, however deeply sequences are nested.
pub(super) fn allowed_elements(bytes: usize) -> u64 {
    (bytes as u64).saturating_add(ELEMENTS_WITHOUT_BYTES)
}

/// Whether this is what [`encode`] writes with, and not the serializer of another format.
pub(super) fn is_writer<S>() -> bool {
    typeid::of::<S>() == typeid::of::<&'static mut Writer<'static>>()
}

/// Whether this is what [`decode`] reads with.
pub(super) fn is_reader<D>() -> bool {
    typeid::of::<D>() == typeid::of::<&'static mut Reader<'static, 'static>>()
}

fn refusal(why: String) -> bincode::Error {
    ErrorKind::Custom(why).into()
}

#[cold]
fn too_deep() -> bincode::Error {
    refusal(format!(
        "values are nested more than {DEEPEST} deep; store a long list as a Vec, and note that a cycle of `Rc` or `Arc` looks \
         so, since each pointer is written with what it points to"
    ))
}

fn sentence(error: &ErrorKind) -> String {
    match error {
        ErrorKind::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the data ends before the value is complete".to_owned()
        }
        ErrorKind::Io(error) => error.to_string(),
        ErrorKind::InvalidUtf8Encoding(error) => format!("a string is not UTF-8: {error}"),
        ErrorKind::InvalidBoolEncoding(byte) => format!("a bool is 0 or 1, not {byte}"),
        ErrorKind::InvalidCharEncoding => "a char is not UTF-8".to_owned(),
        ErrorKind::InvalidTagEncoding(tag) => format!("an option starts with 0 or 1, not {tag}"),
        ErrorKind::DeserializeAnyNotSupported => "a type decides while reading what comes next \
            (deserialize_any), which bincode cannot tell; write \
            #[serde(with = \"checkpointed::self_describing\")] on its field"
            .to_owned(),
        ErrorKind::SizeLimit => "a length is larger than the data".to_owned(),
        ErrorKind::SequenceMustHaveLength => "a sequence does not know its length".to_owned(),
        ErrorKind::Custom(message) => message.clone(),
    }
}

#[cfg(test)]
mod tests;
