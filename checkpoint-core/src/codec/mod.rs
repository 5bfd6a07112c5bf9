//! The bytes of everything but arrays: those of bincode 1 with integers of fixed width,
//! little-endian.
//!
//! Values without parts are in [`leaves`], and bincode reads them. This module adds the rest, so
//! that all that is written can be read again, and no forged length makes a load run for ever:
//!
//! - The writer compares the values of a type's `Serialize` with the schema, which tells the reads
//!   of its `Deserialize` ([`forms`]). It compares variants by their names, fields by names and
//!   number, and values without parts by their types. A difference is refused at the save. Written
//!   values complete a schema that does not describe them ([`observed`]).
//! - A field that `skip_serializing_if` leaves out would shift everything after it. It is refused.
//! - A sequence that does not know its length in advance gets it at its end.
//! - All sequences together announce no more elements than there are bytes, plus an allowance for
//!   elements that take no space (`Vec<()>`). Bytes back every other length.
//! - An array of numbers leaves a reference in the state, and is kept elsewhere.
//! - A value of which serde writes only a part is replaced or refused, where it is recognised
//!   ([`partial`]).
//! - Values inside each other get the stack that they need ([`stack`]).
//!
//! [`guise`] tells the way in which the two sides recognise each other through serde.

pub(crate) mod bytes;
mod failure;
mod forms;
mod guise;
mod leaf;
mod leaves;
mod novel;
mod observed;
mod partial;
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
pub(crate) use self::novel::{Keys, Lengthy, Named, Place};
pub(crate) use self::observed::Observed;
pub(crate) use self::partial::partial;
pub(crate) use self::reader::Reader;
pub(crate) use self::stack::Room;
use self::writer::Writer;
use super::arrays::{ArraySink, ArraySource};
use crate::base::limits::{ELEMENTS_WITHOUT_BYTES, VALUE_DEPTH, WALK_STEPS_PER_BYTE};

/// The name of the format in the manifest.
pub(crate) const CODEC: &str = "bincode-1";

/// Replaces the length of an array that is kept elsewhere. Its number follows.
const OUT_OF_BAND: u64 = u64::MAX;

type Result<T> = std::result::Result<T, Failure>;

/// Encodes one value, as [`encode`] does, whatever its type.
pub(crate) type Encode<'a> = dyn FnMut(&Forms, &mut Vec<u8>, &mut dyn ArraySink) -> Result<Observed> + 'a;

/// The [`Encode`] of a value.
pub(crate) fn encoder<T: Serialize + ?Sized>(
    value: &T,
) -> impl FnMut(&Forms, &mut Vec<u8>, &mut dyn ArraySink) -> Result<Observed> {
    move |forms, into, arrays| encode(value, forms, into, arrays)
}

/// The [`Encode`] of a value that is borrowed from the parts of a state. Its type is not that of
/// the state.
pub(crate) fn encoder_of_borrowed<T: Serialize + ?Sized>(
    value: &T,
) -> impl FnMut(&Forms, &mut Vec<u8>, &mut dyn ArraySink) -> Result<Observed> {
    move |forms, into, arrays| {
        let observed = encode(value, forms, into, arrays)?;
        forms.is_borrowed();
        Ok(observed)
    }
}

/// Appends the encoding of `value`, and gives its arrays to `arrays`. The value will be read in
/// `forms`. Returns the observed forms of the parts with unknown forms. After an error, `into` is
/// as before.
///
/// # Errors
/// Fails if the value's own `Serialize` fails, or writes a value that could not be read again. The
/// error has the path of that value.
pub(crate) fn encode<T: Serialize + ?Sized>(
    value: &T,
    forms: &Forms,
    into: &mut Vec<u8>,
    arrays: &mut dyn ArraySink,
) -> Result<Observed> {
    encode_by(&mut |writer| writer.root(value), forms, into, arrays)
}

/// The part of it that is not built once more for each type.
fn encode_by(
    write: &mut dyn FnMut(&mut Writer<'_>) -> Result<()>,
    forms: &Forms,
    into: &mut Vec<u8>,
    arrays: &mut dyn ArraySink,
) -> Result<Observed> {
    let start = into.len();
    let slots = forms.slots();
    let mut writer = Writer::new(into, forms, &slots, arrays);
    let (written, noted) = novel::noting(|| forms.room().at_start(|| write(&mut writer)));
    let result = match (writer.end(), written) {
        (Err(failure), _) | (Ok(_), Err(failure)) => Err(failure),
        (Ok((elements, _)), Ok(())) if elements > allowed_elements(into.len() - start) => Err(Failure::new(
            format!("{elements} elements, most of which take no space, are more than can be read again"),
        )),
        (Ok((_, observed)), Ok(())) => {
            forms.learn(noted);
            Ok(observed)
        }
    };
    if result.is_err() {
        into.truncate(start);
    }
    result
}

/// Decodes a value from all of `bytes`, with its arrays from `arrays`. The value is in a box,
/// because it may be too large for the stack of the caller. `room` is the need of its types on the
/// stack.
///
/// # Errors
/// Fails if the bytes are not the encoding of a `T`.
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

/// The most elements that all sequences in this number of bytes may announce.
///
/// An element that takes space has at least one byte that belongs to no element inside it. So there
/// are at most as many of them as bytes, however deeply sequences are nested.
pub(crate) fn allowed_elements(bytes: usize) -> u64 {
    (bytes as u64).saturating_add(ELEMENTS_WITHOUT_BYTES)
}

/// The most values that a state of so many bytes may have. Any walk through all of them by a schema
/// counts them, with fields and members: a forged schema has any number of these around each other.
pub(crate) fn most_values(bytes: usize) -> u64 {
    (bytes as u64).saturating_mul(WALK_STEPS_PER_BYTE).saturating_add(ELEMENTS_WITHOUT_BYTES)
}

#[cold]
fn too_deep() -> Failure {
    Failure::new(format!(
        "values are nested more than {VALUE_DEPTH} deep; store a long list as a Vec, and note that a cycle of `Rc` or `Arc` looks \
         so, since each pointer is written with what it points to"
    ))
}

#[cfg(all(test, not(shuttle)))]
mod tests;
