//! The numbers that the elements of an array consist of, by their type in a schema.

use crate::schema::{Body, Element, Fields, Float16, Grid, Schema, Type};

/// The type of the numbers that a type of elements consists of, and the lengths of the dimensions
/// of one element.
pub(super) fn numbers(schema: &Schema, ty: &Type) -> Option<(Element, Vec<u64>)> {
    let (mut ty, mut inner) = (ty, Vec::new());
    // There cannot be more wrappers than definitions, unless they go in a circle.
    for _ in 0..=schema.types.len() + 8 {
        ty = match ty {
            Type::Array(element, length) => {
                inner.push(*length);
                element
            }
            // serde sees a complex number as a pair.
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
                    return Some((float.element(), inner));
                }
                match &definition.body {
                    Body::Struct(Fields::Newtype(element)) => element,
                    _ => return None,
                }
            }
            number => {
                return Element::of(number).map(|element| (element, inner));
            }
        };
    }
    None
}
