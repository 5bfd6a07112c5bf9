//! The bytes of everything but arrays: those of bincode 1 with integers of fixed width, little-endian.
//!
//! bincode writes and reads the values without parts ([`leaves`]). This module adds what it leaves open, in both
//! directions, so that whatever is written can be read again, and no forged length makes a load run for ever:
//!
//! - what a type's `Serialize` writes is held against what its `Deserialize` reads, which the schema tells
//!   ([`forms`]). Variants go by their names, fields by names and number, values without parts by their types. What
//!   differs is refused when it is written. Where the schema knows nothing, what is written completes it
//!   ([`observed`]);
//! - a field that `skip_serializing_if` leaves out would shift everything after it; it is refused too;
//! - a sequence that does not know its length in advance gets it when it ends;
//! - all sequences together announce no more elements than there are bytes, plus an allowance for elements that take
//!   no space (`Vec<()>`), which is the only case where a length is not backed by bytes;
//! - an array of numbers leaves no more than a reference behind, and is kept elsewhere;
//! - values inside each other get the stack that they need ([`stack`]).
//!
//! How the two sides find each other through serde is told in [`guise`].

pub(crate) mod bytes;
mod failure;
mod forms;
mod guise;
mod leaf;
mod leaves;
mod observed;
mod parts;
mod reader;
mod rows;
mod sizes;
mod stack;
mod writer;

use serde::Serialize;
use serde::de::DeserializeOwned;
use typed_arena::Arena;

pub(crate) use self::failure::{Failure, NoMemory};
pub(crate) use self::forms::Forms;
pub(crate) use self::guise::{is_reader, is_writer};
pub(crate) use self::observed::Observed;
pub(crate) use self::reader::Reader;
pub(crate) use self::stack::Room;
use self::writer::Writer;
use super::arrays::{ArraySink, ArraySource};
use crate::base::limits::{ELEMENTS_WITHOUT_BYTES, VALUE_DEPTH};

/// What the manifest calls the format.
pub(crate) const CODEC: &str = "bincode-1";

/// Stands in the place of a length where an array is kept elsewhere; its number follows.
const OUT_OF_BAND: u64 = u64::MAX;

type Result<T> = std::result::Result<T, Failure>;

/// Appends the encoding of `value`, and gives its arrays to `arrays`; after an error `into` is as it was. `forms` are
/// those in which the value will be read. Returns what was found out of those that are not known.
///
/// # Errors
/// Where the value's own `Serialize` fails, or writes something that could not be read again; with the path of it.
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    forms: &Forms,
    into: &mut Vec<u8>,
    arrays: &mut dyn ArraySink,
) -> Result<Observed> {
    let start = into.len();
    let mut writer = Writer::new(into, forms, arrays);
    let written = forms.room().at_start(|| writer.value(value));
    let result = match (writer.end(), written) {
        (Err(failure), _) | (Ok(_), Err(failure)) => Err(failure),
        (Ok((elements, _)), Ok(())) if elements > allowed_elements(into.len() - start) => Err(Failure::new(
            format!("{elements} elements, most of which take no space, are more than can be read again"),
        )),
        (Ok((_, observed)), Ok(())) => Ok(observed),
    };
    if result.is_err() {
        into.truncate(start);
    }
    result
}

/// The value that `bytes`, all of them, encode, with its arrays from `arrays`. It is in a box, because it may be too
/// large for the stack of the caller. `room` is what its types need of the stack.
///
/// # Errors
/// Where the bytes are not the encoding of a `T`.
pub(crate) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    room: Room,
    arrays: &mut dyn ArraySource,
) -> Result<Box<T>> {
    let arena = Arena::new();
    let mut reader = Reader::new(bytes, &arena, allowed_elements(bytes.len()), room, arrays);
    let value = room.at_start(|| T::deserialize(&mut reader).map(Box::new));
    match reader.end(value) {
        (Ok(_), rest, _) if !rest.is_empty() => Err(Failure::new("there is more data than the value takes")),
        (value, ..) => value,
    }
}

/// Every element that takes space has at least one byte that belongs to no element inside it, so there are at most
/// as many of them as bytes, however deeply sequences are nested.
pub(crate) fn allowed_elements(bytes: usize) -> u64 {
    (bytes as u64).saturating_add(ELEMENTS_WITHOUT_BYTES)
}

#[cold]
fn too_deep() -> Failure {
    Failure::new(format!(
        "values are nested more than {VALUE_DEPTH} deep; store a long list as a Vec, and note that a cycle of `Rc` or `Arc` looks \
         so, since each pointer is written with what it points to"
    ))
}

#[cfg(test)]
mod tests;
