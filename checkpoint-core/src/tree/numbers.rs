//! The numbers that the elements of an array consist of, by their type in a schema.

use crate::schema::{Body, Fields, Float16, Grid, Schema, Type};

/// The type of the numbers that a type of elements consists of, their bytes, and the lengths of the
/// dimensions of one element.
pub(super) fn numbers(schema: &Schema, ty: &Type) -> Option<(&'static str, u64, Vec<u64>)> {
    let (mut ty, mut inner) = (ty, Vec::new());
    // There cannot be more wrappers than definitions, unless they go in a circle.
    for _ in 0..=schema.types.len() + 8 {
        ty = match ty {
            Type::Array(element, length) => {
                inner.push(*length);
                element
            }
            // To serde, a complex number is a pair.
            Type::Tuple(members) => {
                let (first, others) = members.split_first()?;
                if others.iter().any(|other| other != first) {
                    return None;
                }
                inner.push(members.len() as u64);
                first
            }
            Type::Grid(Grid { element, lengths, is_vec: false }) => {
                inner.extend(lengths);
                element
            }
            Type::Named(place) => {
                let definition = schema.types.get(*place)?;
                if let Some(float) = Float16::of(definition) {
                    return Some((float.descr(), 2, inner));
                }
                match &definition.body {
                    Body::Struct(Fields::Newtype(element)) => element,
                    _ => return None,
                }
            }
            number => {
                let (descr, size) = match number {
                    Type::Bool => ("|b1", 1),
                    Type::U8 => ("|u1", 1),
                    Type::U16 => ("<u2", 2),
                    Type::U32 => ("<u4", 4),
                    Type::U64 => ("<u8", 8),
                    Type::U128 | Type::I128 => ("|V16", 16),
                    Type::I8 => ("|i1", 1),
                    Type::I16 => ("<i2", 2),
                    Type::I32 => ("<i4", 4),
                    Type::I64 => ("<i8", 8),
                    Type::F32 => ("<f4", 4),
                    Type::F64 => ("<f8", 8),
                    _ => return None,
                };
                return Some((descr, size, inner));
            }
        };
    }
    None
}
