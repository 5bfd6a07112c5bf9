//! One value of a state as it was encoded, to be decoded alone.

use std::ops::Range;

use super::node::{Form, Node};
use crate::error::Error;
use crate::schema::{Fields, Schema, Type};

/// A value of a state, as it was encoded.
pub(crate) struct Field<'a> {
    /// The type of the value, as the root of a schema of its own.
    pub(crate) schema: Schema,
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// The numbers of its arrays.
    pub(crate) arrays: Range<usize>,
}

impl<'a> Node<'a> {
    /// The value as it was encoded.
    ///
    /// # Errors
    /// An error if the state is damaged or cannot be understood.
    pub(crate) fn encoded(&self) -> Result<Field<'a>, Error> {
        let root = match self.form {
            Form::Type(ty) => ty.clone(),
            Form::Content(_, fields) => content(fields),
        };
        let schema = Schema { root, types: self.file.schema().types.clone() };
        let state = self.file.state()?;
        if self.is_root() {
            // Also where the form of some part is unknown.
            let arrays = 0..self.file.container().state_number();
            return Ok(Field { schema, bytes: state, arrays });
        }
        let end = self.end()?;
        let bytes = state.get(self.place.offset..end.offset).unwrap_or_default();
        Ok(Field { schema, bytes, arrays: self.place.array..end.array })
    }
}

/// The content of a variant as a type: that of its values, one after the other.
fn content(fields: &Fields) -> Type {
    match fields {
        Fields::Unit => Type::Unit,
        Fields::Newtype(ty) => ty.clone(),
        Fields::Tuple(types) => Type::Tuple(types.clone()),
        Fields::Named(fields) => Type::Tuple(fields.iter().map(|field| field.ty.clone()).collect()),
    }
}
