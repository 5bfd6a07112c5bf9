//! The schema of fixed arrays whose elements are in one sequence.
//!
//! It is a struct around that sequence, which takes no space. Its field's name is the shape, because the names of
//! fields are compared and the length of a sequence is not.

use super::{Body, Definition, Field, Fields, Type};

/// Fixed arrays, `[[_; 64]; 3]`, or any number of them, `Vec<[[_; 64]; 3]>`.
pub(crate) struct Shape {
    pub(crate) is_vec: bool,
    /// The lengths of the dimensions of one array, outermost first.
    pub(crate) lengths: Vec<u64>,
}

impl Shape {
    /// How that struct is called, and its field.
    pub(crate) fn name(&self) -> String {
        let shape =
            self.lengths.iter().rev().fold("_".to_owned(), |inner, length| format!("[{inner}; {length}]"));
        if self.is_vec { format!("Vec<{shape}>") } else { shape }
    }

    /// What a struct stands for, and the type of its sequence, if it is such a struct.
    pub(crate) fn of(definition: &Definition) -> Option<(Shape, &Type)> {
        let Body::Struct(Fields::Named(fields)) = &definition.body else { return None };
        let [Field { name, ty: ty @ Type::Seq(_) }] = &fields[..] else { return None };
        if *name != definition.name {
            return None;
        }
        let inner = name.strip_prefix("Vec<").and_then(|rest| rest.strip_suffix('>'));
        let (dimensions, lengths) = inner.unwrap_or(name).split_once('_')?;
        let lengths = lengths.strip_prefix("; ")?.strip_suffix(']')?.split("]; ");
        let mut lengths = lengths.map(|length| length.parse().ok()).collect::<Option<Vec<u64>>>()?;
        lengths.reverse();
        let is_shape = dimensions.len() == lengths.len() && dimensions.bytes().all(|byte| byte == b'[');
        is_shape.then_some((Shape { is_vec: inner.is_some(), lengths }, ty))
    }
}
