//! The fixed lengths of types: if all values of a type have the same length, they are passed over
//! without a look at them.

use crate::schema::{Body, Definition, Fields, Schema, Type};

/// The fixed lengths of the definitions of a schema.
#[derive(Debug)]
pub(super) struct Layout(Vec<Known>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    NotYet,
    /// It is being computed, so a type that meets it contains itself.
    Open,
    Fixed(u64),
    Varies,
}

impl Layout {
    pub(super) fn of(schema: &Schema) -> Layout {
        let mut layout = Layout(vec![Known::NotYet; schema.types.len()]);
        for place in 0..schema.types.len() {
            layout.define(schema, place);
        }
        layout
    }

    /// Computes the length of a definition, after those that it refers to. These are in a list
    /// instead of on the stack: a forged schema nests any number of them.
    fn define(&mut self, schema: &Schema, place: usize) {
        let mut open = vec![place];
        while let Some(place) = open.last().copied() {
            let Some(definition) = schema.types.get(place) else { return };
            match self.known(place) {
                Known::NotYet => {
                    self.set(place, Known::Open);
                    let referred = referred(definition);
                    open.extend(referred.into_iter().filter(|place| self.known(*place) == Known::NotYet));
                }
                Known::Open => {
                    let length = self.of_definition(definition);
                    self.set(place, length.map_or(Known::Varies, Known::Fixed));
                    open.pop();
                }
                Known::Fixed(_) | Known::Varies => {
                    open.pop();
                }
            }
        }
    }

    fn known(&self, place: usize) -> Known {
        self.0.get(place).copied().unwrap_or(Known::Varies)
    }

    fn set(&mut self, place: usize, known: Known) {
        if let Some(entry) = self.0.get_mut(place) {
            *entry = known;
        }
    }

    fn of_definition(&self, definition: &Definition) -> Option<u64> {
        match &definition.body {
            Body::Enum(_) => None,
            Body::Struct(Fields::Unit) => Some(0),
            Body::Struct(Fields::Newtype(ty)) => self.length(ty),
            Body::Struct(Fields::Tuple(types)) => self.sum(types.iter()),
            Body::Struct(Fields::Named(fields)) => self.sum(fields.iter().map(|field| &field.ty)),
        }
    }

    fn sum<'t>(&self, mut types: impl Iterator<Item = &'t Type>) -> Option<u64> {
        types.try_fold(0_u64, |sum, ty| sum.checked_add(self.length(ty)?))
    }

    /// The length of the values of a type, if all have the same length.
    pub(super) fn length(&self, ty: &Type) -> Option<u64> {
        match ty {
            Type::Named(place) => match self.known(*place) {
                Known::Fixed(length) => Some(length),
                _ => None,
            },
            Type::Tuple(members) => self.sum(members.iter()),
            Type::Array(element, length) => self.length(element)?.checked_mul(*length),
            other => of_scalar(other),
        }
    }
}

/// The definitions that a struct consists of. Types without a fixed length are left out.
fn referred(definition: &Definition) -> Vec<usize> {
    fn collect(ty: &Type, places: &mut Vec<usize>) {
        match ty {
            Type::Named(place) => places.push(*place),
            Type::Tuple(members) => members.iter().for_each(|member| collect(member, places)),
            Type::Array(element, _) => collect(element, places),
            _ => {}
        }
    }
    let mut places = Vec::new();
    match &definition.body {
        Body::Struct(Fields::Newtype(ty)) => collect(ty, &mut places),
        Body::Struct(Fields::Tuple(types)) => types.iter().for_each(|ty| collect(ty, &mut places)),
        Body::Struct(Fields::Named(fields)) => {
            fields.iter().for_each(|field| collect(&field.ty, &mut places));
        }
        Body::Struct(Fields::Unit) | Body::Enum(_) => {}
    }
    places
}

/// The length of a number or another simple type.
fn of_scalar(ty: &Type) -> Option<u64> {
    match ty {
        Type::Unit => Some(0),
        Type::Bool | Type::U8 | Type::I8 => Some(1),
        Type::U16 | Type::I16 => Some(2),
        Type::U32 | Type::I32 | Type::F32 => Some(4),
        Type::U64 | Type::I64 | Type::F64 => Some(8),
        Type::U128 | Type::I128 => Some(16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(length: usize, last: &Type) -> Schema {
        let types = (0..length).map(|place| {
            let inner = if place + 1 == length { last.clone() } else { Type::Named(place + 1) };
            let body = Body::Struct(Fields::Tuple(vec![inner, Type::Unit]));
            Definition { name: "Link".to_owned(), version: 1, foreign: false, observed: false, body }
        });
        Schema { root: Type::Named(0), types: types.collect() }
    }

    #[test]
    fn a_length_is_known_however_deep_its_type_is() {
        for (last, length) in [
            (Type::Unit, Some(0)),
            (Type::Array(Box::new(Type::U16), 3), Some(6)),
            (Type::String, None),
            (Type::Named(0), None),
            (Type::Named(7), None),
        ] {
            let schema = chain(100_000, &last);
            let layout = Layout::of(&schema);
            for place in [0, 1, 50_000, 99_999] {
                assert_eq!(layout.length(&Type::Named(place)), length, "{place} of {last:?}");
            }
        }
        assert_eq!(Layout::of(&chain(3, &Type::Named(9))).length(&Type::Named(0)), None);
    }
}
