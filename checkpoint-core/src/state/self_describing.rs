//! A field in a form that describes each value, for types that no positional format can carry.
//!
//! A checkpoint writes values one after the other without their types. Types that decide what to
//! read while they read cannot be read back from that: `serde_json::Value`, types with serde's
//! `flatten`, `untagged` or `tag`, and trait objects of `typetag`. In this form they can:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Options {
//!     name: String,
//!     #[serde(with = "checkpointed::self_describing")]
//!     extra: serde_json::Value,
//! }
//! ```
//!
//! It keeps every value of serde's data model: NaN with its bits, infinities, `Some(None)` and
//! `Some(())`, maps with keys of any type, integers of 128 bits, bytes, and the names of fields and
//! variants. To the checkpoint the whole field is one string of bytes: its arrays are not stored
//! apart, and `ckpt` shows its bytes. These are CBOR (RFC 8949), which many programs read.
//!
//! A changed type finds its fields by their names. A number of another type keeps its value, or is
//! refused; only in a type that reads by way of serde's buffers (`flatten`, `untagged`, `tag`) does
//! serde itself round an `f64` to an `f32`, or a large integer to a float, and take the nearest number
//! for a `Saturating`. Nothing else is noticed:
//! the form has no versions and no names of types, and no migration runs in it. Where the meaning
//! of such a field changes, raise the version of the state that has it.
//!
//! Any package of a program can switch on the feature `arbitrary_precision` of `serde_json` for all
//! of it. Numbers are kept as before. One that only this feature keeps, such as 0.10 or an integer
//! of more than 64 bits, is refused by a build without it.
//!
//! Limits of serde stay: a type that reads by way of serde's buffers (`flatten`, `untagged`, `tag`)
//! cannot hold an integer of 128 bits in that part, nor a type with a text for people and another
//! form for machines, such as an `IpAddr`, which [`json`](super::json) takes. Such a value is
//! refused when it is [read back](crate::Builder::read_back): a save is read back when a value in
//! such a field has a form that none had before.

mod read;
#[cfg(all(test, not(shuttle)))]
mod tests;
mod write;

use std::cell::Cell;
use std::fmt;

use crate::base::limits::VALUE_DEPTH_SELF_DESCRIBING;
use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserializer, Serialize, Serializer};

/// Writes the value as bytes in the self-describing form.
///
/// # Errors
/// An error if the value's own `Serialize` fails, or values are more than 256 deep inside each
/// other.
pub fn serialize<T: Serialize + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let bytes = write::to_bytes(value).map_err(S::Error::custom)?;
    serializer.serialize_bytes(&bytes)
}

/// Reads the value from bytes in the self-describing form.
///
/// # Errors
/// An error if the bytes are not in this form, or not of this type.
pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let bytes = deserializer.deserialize_byte_buf(Bytes)?;
    read::from_bytes(&bytes).map_err(D::Error::custom)
}

/// The value of these bytes, all of them, if they are a value with parts.
pub(crate) fn read_whole<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    read::has_parts(bytes).then(|| read::from_bytes(bytes).ok()).flatten()
}

/// Takes bytes in any form that the format around them may have.
struct Bytes;

impl<'de> Visitor<'de> for Bytes {
    type Value = Vec<u8>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the bytes of a value in the self-describing form")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
        Ok(bytes.to_vec())
    }

    fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }

    /// Text formats have no bytes, and write numbers instead.
    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<u8>, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = sequence.next_element()? {
            bytes.push(byte);
        }
        Ok(bytes)
    }
}

/// The mark before a `Some` with a content that would be taken for `None`, or for such a `Some`:
/// `Some(None)`, `Some(Some(None))`. The letters are `ckpt`; no standard gives the number a
/// meaning.
const SOME: u64 = 0x636b_7074;

/// The name that `serde_json` gives a number, and its only field, where a package of the program
/// switched on the feature `arbitrary_precision`. The field is the text of the number.
const NUMBER: &str = "$serde_json::private::Number";

/// True if this build has that feature. Without it, `serde_json` makes a map of such a number.
fn has_any_precision() -> bool {
    serde_json::from_str::<serde_json::Number>("1e400").is_ok()
}

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// One value that has others inside, while it is written or read.
struct Level;

impl Level {
    fn enter() -> Result<Level, Error> {
        let depth = DEPTH.get();
        if depth == VALUE_DEPTH_SELF_DESCRIBING {
            return Err(Error(format!(
                "values are nested more than {VALUE_DEPTH_SELF_DESCRIBING} deep in the self-describing form; store a long list as a Vec"
            )));
        }
        DEPTH.set(depth + 1);
        Ok(Level)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

/// The type writes the text of its `Display`, which fails.
fn display_fails() -> Error {
    Error("its Serialize writes the text of its Display, and that fails".to_owned())
}

/// The reason why a value cannot be written or read.
#[derive(Debug)]
struct Error(String);

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl serde::ser::Error for Error {
    fn custom<M: fmt::Display>(message: M) -> Error {
        Error(message.to_string())
    }
}

impl serde::de::Error for Error {
    fn custom<M: fmt::Display>(message: M) -> Error {
        Error(message.to_string())
    }
}
