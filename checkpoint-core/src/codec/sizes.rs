//! Sizes of values on the stack, from their schema.

use super::stack::Room;
use crate::schema::{Body, Element, Fields, Grid, Schema, Type};

impl Room {
    /// The room on the stack for the types of a schema.
    pub(crate) fn of(schema: &Schema) -> Room {
        Room::for_types_up_to(Sizes::largest(schema))
    }
}

/// Computes the bytes that values take on the stack.
struct Sizes<'a> {
    schema: &'a Schema,
    /// The size of each definition, once it is known. A definition contains itself behind a pointer
    /// only.
    known: Vec<Option<usize>>,
    largest: usize,
}

impl Sizes<'_> {
    /// The size of the largest type that may be behind a pointer, or is the state.
    fn largest(schema: &Schema) -> usize {
        let mut sizes = Sizes { schema, known: vec![None; schema.types.len()], largest: 0 };
        for place in 0..schema.types.len() {
            sizes.definition(place);
        }
        sizes.ty(&schema.root);
        sizes.largest
    }

    fn definition(&mut self, place: usize) -> usize {
        const POINTER: usize = size_of::<usize>();
        let Some(definition) = self.schema.types.get(place) else { return POINTER };
        if let Some(known) = self.known.get(place).copied().flatten() {
            return known;
        }
        if let Some(known) = self.known.get_mut(place) {
            *known = Some(POINTER);
        }
        let size = match &definition.body {
            Body::Struct(fields) => self.fields(fields),
            Body::Enum(variants) => {
                let largest = variants.iter().map(|variant| self.fields(&variant.fields)).max().unwrap_or(0);
                largest.saturating_add(POINTER)
            }
        };
        self.largest = self.largest.max(size);
        if let Some(known) = self.known.get_mut(place) {
            *known = Some(size);
        }
        size
    }

    fn fields(&mut self, fields: &Fields) -> usize {
        match fields {
            Fields::Unit => 0,
            Fields::Newtype(inner) => self.ty(inner),
            Fields::Tuple(members) => self.sum(members.iter()),
            Fields::Named(fields) => self.sum(fields.iter().map(|field| &field.ty)),
        }
    }

    fn sum<'t>(&mut self, types: impl Iterator<Item = &'t Type>) -> usize {
        // Rust pads each by less than its alignment.
        types.fold(0_usize, |sum, ty| sum.saturating_add(self.ty(ty)).saturating_add(8))
    }

    fn ty(&mut self, ty: &Type) -> usize {
        let size = match ty {
            Type::Named(place) => self.definition(*place),
            Type::Option(inner) => self.ty(inner).saturating_add(16),
            Type::Tuple(members) => self.sum(members.iter()),
            Type::Array(element, length) => {
                let length = usize::try_from(*length).unwrap_or(usize::MAX);
                self.ty(element).saturating_mul(length)
            }
            // The file has one sequence, and the stack has all of its elements.
            Type::Grid(Grid { element, lengths, is_vec: false }) => {
                let factors = lengths.iter().map(|length| usize::try_from(*length).unwrap_or(usize::MAX));
                factors.fold(self.ty(element), usize::saturating_mul)
            }
            Type::Grid(grid) => {
                self.ty(&grid.element);
                32
            }
            Type::Seq(inner) => {
                self.ty(inner);
                32
            }
            Type::Map(key, value) => {
                self.ty(key);
                self.ty(value);
                64
            }
            Type::Unit => 0,
            Type::Char => 4,
            other => Element::of(other).map_or(32, Element::size),
        };
        self.largest = self.largest.max(size);
        size
    }
}
