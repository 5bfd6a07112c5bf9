//! Reads a state by the names in its writer's schema, so that another type than the writer's can
//! take it.
//!
//! bincode's bytes do not describe themselves, but the schema describes all of them. Together they
//! are self-describing, as JSON is: structs are maps of field names, variants go by name, newtypes
//! and options are transparent to a reader that does not ask for them. The reader's own
//! `Deserialize` then decides what loads, and what is an error. Two rules are stricter than
//! serde's: a float, or an integer that becomes one, keeps its value exactly or is refused; and a
//! struct is refused if it shares no field with the reader's.
//!
//! The schema comes from a file and is not trusted: places outside the list, and types that contain
//! themselves without end, are errors.

mod access;
mod cursor;
mod grid;
mod migration;
mod number;
mod other;
mod value;

use serde::de::DeserializeOwned;
use typed_arena::Arena;

use self::cursor::Cursor;
pub(crate) use self::migration::{Conversion, Identity, Plan, is_of_migration};
use self::other::Other;
use self::value::Value;
use crate::arrays::ArraySource;
use crate::codec::{Failure, Room};
use crate::evolution::Program;
use crate::schema::Schema;

/// Decodes all of `bytes` as a `T` of any form, by the schema of their writer. `plan` is the result
/// of comparing that schema, the very same object, with the `program`'s. Types that are the same on
/// both sides are read as [`decode`](crate::codec::decode) does. Without a program, no type is
/// known to be the same.
///
/// # Errors
/// If the bytes do not fit that schema, or no `T` can be made of them; with the path of the value.
pub(crate) fn decode_by_schema<T: DeserializeOwned>(
    bytes: &[u8],
    (schema, program): (&Schema, Option<&Program>),
    (plan, room): (&Plan, Room),
    arrays: &mut dyn ArraySource,
) -> Result<Box<T>, Failure> {
    let arena = Arena::new();
    let mut cursor = Cursor::new(bytes, (schema, program), (plan, room), &arena, arrays);
    let value = Value { cursor: &mut cursor, ty: &schema.root, other: Other::of_root(program) };
    let decoded = room.at_start(|| T::deserialize(value).map(Box::new));
    cursor.end(decoded)
}

/// True if `D` is the deserializer of [`decode_by_schema`].
pub(crate) fn is_value<D>() -> bool {
    typeid::of::<D>() == typeid::of::<Value<'static, 'static>>()
}

#[cfg(all(test, not(shuttle)))]
mod tests;
