//! Reading a state by the names that its writer's schema gives it, so that another type than the writer's can take it.
//!
//! bincode's bytes say nothing of themselves; the schema says all of it. Together they describe themselves as JSON
//! does: structs are maps of field names, variants go by name, newtypes and options are transparent when they are not
//! asked for. What loads, and what is an error, is then the business of the reader's own `Deserialize`. Only two things
//! are stricter than in serde: a float, or an integer that becomes one, keeps its value exactly or is refused; and a
//! struct is not taken for one that shares no field with it.
//!
//! The schema comes from a file and is not believed: places outside the list, and types that contain themselves
//! without end, are errors.

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
pub(crate) use self::migration::{Conversion, Identity, Plan};
use self::other::Other;
use self::value::Value;
use crate::arrays::ArraySource;
use crate::codec::{Failure, Room};
use crate::evolution::Program;
use crate::schema::Schema;

/// The value that `bytes`, all of them, encode by the schema of their writer, taken as a `T` of whatever form. `plan` is
/// what came of the comparison of that schema, the very same object, with the `program`'s. What is the same on both sides
/// is read as [`decode`](crate::codec::decode) does. Without a program, nothing is known to be the same.
///
/// # Errors
/// Where the bytes are not of that schema, or `T` cannot be made of them; with the path of the value.
pub(crate) fn decode_by_schema<T: DeserializeOwned>(
    bytes: &[u8],
    (schema, program): (&Schema, Option<&Program>),
    (plan, room): (&Plan, Room),
    arrays: &mut dyn ArraySource,
) -> Result<Box<T>, Failure> {
    let arena = Arena::new();
    let mut cursor = Cursor::new(bytes, (schema, program), (plan, room), &arena, arrays);
    let other = program.map_or_else(Other::unknown, |program| {
        Other::of_type(Some(program.extended()), &program.extended().root)
    });
    let value = Value { cursor: &mut cursor, ty: &schema.root, other };
    let decoded = room.at_start(|| T::deserialize(value).map(Box::new));
    cursor.end(decoded)
}

/// Whether this is what [`decode_by_schema`] reads with.
pub(crate) fn is_value<D>() -> bool {
    typeid::of::<D>() == typeid::of::<Value<'static, 'static>>()
}

#[cfg(test)]
mod tests;
