//! How many bytes the values of a type have, where all have as many: such values are passed over without being looked at.

use crate::state::{Body, Fields, Schema, Type};

/// Types are looked into so deep. What is deeper is taken for a type of no fixed length, which is never wrong.
const DEEPEST: u32 = 100;

/// The fixed lengths of the definitions of a schema.
#[derive(Debug)]
pub(super) struct Layout(Vec<Known>);

#[derive(Clone, Copy, Debug)]
enum Known {
    NotYet,
    /// It is being found out, so a type that meets it contains itself.
    Open,
    Fixed(u64),
    Varies,
}

impl Layout {
    pub(super) fn of(schema: &Schema) -> Layout {
        let mut layout = Layout(vec![Known::NotYet; schema.types.len()]);
        for place in 0..schema.types.len() {
            layout.define(schema, place, 0);
        }
        layout
    }

    fn define(&mut self, schema: &Schema, place: usize, depth: u32) -> Option<u64> {
        match self.0.get(place)? {
            Known::Fixed(length) => return Some(*length),
            Known::Open | Known::Varies => return None,
            Known::NotYet => {}
        }
        self.set(place, Known::Open);
        let length = match schema.types.get(place).map(|definition| &definition.body) {
            Some(Body::Struct(fields)) if depth < DEEPEST => self.fields(schema, fields, depth + 1),
            _ => None,
        };
        self.set(place, length.map_or(Known::Varies, Known::Fixed));
        length
    }

    fn set(&mut self, place: usize, known: Known) {
        if let Some(entry) = self.0.get_mut(place) {
            *entry = known;
        }
    }

    fn fields(&mut self, schema: &Schema, fields: &Fields, depth: u32) -> Option<u64> {
        match fields {
            Fields::Unit => Some(0),
            Fields::Newtype(ty) => self.find(schema, ty, depth),
            Fields::Tuple(types) => self.sum(schema, types.iter(), depth),
            Fields::Named(fields) => self.sum(schema, fields.iter().map(|field| &field.ty), depth),
        }
    }

    fn sum<'t>(
        &mut self,
        schema: &Schema,
        mut types: impl Iterator<Item = &'t Type>,
        depth: u32,
    ) -> Option<u64> {
        types.try_fold(0_u64, |sum, ty| sum.checked_add(self.find(schema, ty, depth)?))
    }

    fn find(&mut self, schema: &Schema, ty: &Type, depth: u32) -> Option<u64> {
        match ty {
            Type::Named(place) => self.define(schema, *place, depth),
            Type::Tuple(members) => self.sum(schema, members.iter(), depth),
            Type::Array(element, length) => self.find(schema, element, depth)?.checked_mul(*length),
            other => of_scalar(other),
        }
    }

    /// The length of the values of a type, if all have the same.
    pub(super) fn length(&self, ty: &Type) -> Option<u64> {
        match ty {
            Type::Named(place) => match self.0.get(*place)? {
                Known::Fixed(length) => Some(*length),
                _ => None,
            },
            Type::Tuple(members) => {
                members.iter().try_fold(0_u64, |sum, ty| sum.checked_add(self.length(ty)?))
            }
            Type::Array(element, length) => self.length(element)?.checked_mul(*length),
            other => of_scalar(other),
        }
    }
}

/// The length of a number and the like.
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
