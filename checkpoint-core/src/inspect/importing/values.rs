//! Imported values → the bytes of a state, and their schema.

use std::io::Write;

use super::{Imported, ImportedArray};
use crate::arrays::{Array, ArraySink as _, Kind, inner_of_rows};
use crate::base::limits::{FIXED_ARRAY_OF_SERDE, VALUE_DEPTH_IMPORTED};
use crate::container::{self, ContainerWriter};
use crate::error::Error;
use crate::schema::{self, Body, Definition, Element, Field, Fields, Grid, Schema, Type, path_step};
use crate::state::ExpectedSchema;

/// Writes the arrays of a value. Returns the rest of it too, and its schema.
pub(super) fn write<W: Write>(
    container: ContainerWriter<W>,
    value: &Imported,
    expected: Option<&ExpectedSchema>,
) -> Result<(ContainerWriter<W>, Vec<u8>, Schema), Error> {
    let nothing = Schema { root: Type::Unit, types: Vec::new() };
    let program = expected.map_or(&nothing, ExpectedSchema::schema);
    let (types, state, name) = (Vec::new(), Vec::new(), String::new());
    let mut import = Import { container, types, state, arrays: 0, program, name, depth: 0 };
    let root = import.value(value, expected.map(|_| &program.root), true)?;
    let Import { container, types, state, .. } = import;
    let schema = Schema { root, types };
    if !container::is_readable(&schema) {
        return Err(refused("its lists are inside each other too deep to be described in JSON".to_owned()));
    }
    Ok((container, state, schema))
}

/// The import of one value after the other.
struct Import<'a, W: Write> {
    container: ContainerWriter<W>,
    types: Vec<Definition>,
    state: Vec<u8>,
    /// The number of arrays so far.
    arrays: u64,
    program: &'a Schema,
    /// The path of the present value, as in the names of arrays.
    name: String,
    /// The number of values that it is inside of.
    depth: usize,
}

impl<'a, W: Write> Import<'a, W> {
    /// Writes a value, and returns its type. `wanted` is that of the program, if it is known.
    /// `is_array` tells if numbers may become an array of their own here.
    fn value(&mut self, value: &Imported, wanted: Option<&'a Type>, is_array: bool) -> Result<Type, Error> {
        let wanted = wanted.map(|wanted| self.bare(wanted));
        Ok(match value {
            Imported::Null => Type::Unit,
            Imported::Bool(truth) => self.put(&[u8::from(*truth)], Type::Bool),
            Imported::Unsigned(number) => self.put(&number.to_le_bytes(), Type::U64),
            Imported::Signed(number) => self.put(&number.to_le_bytes(), Type::I64),
            Imported::Float(number) => self.put(&number.to_le_bytes(), Type::F64),
            Imported::String(text) => {
                self.count(text.len());
                self.put(text.as_bytes(), Type::String)
            }
            Imported::Array(array) => self.array(array, wanted, is_array)?,
            Imported::Fields(fields) => {
                let definition = wanted.and_then(|wanted| definition_of(self.program, wanted));
                let known = definition.map(|definition| &definition.body);
                let mut written = Vec::new();
                for (name, value) in fields {
                    let ty = match (known, wanted) {
                        (Some(Body::Struct(Fields::Named(known))), _) => {
                            known.iter().find(|field| field.name == *name).map(|field| &field.ty)
                        }
                        (_, Some(Type::Map(_, value))) => Some(&**value),
                        _ => None,
                    };
                    let ty = self.inside(name, |import| import.value(value, ty, is_array))?;
                    written.push(Field { name: name.clone(), ty });
                }
                let body = Body::Struct(Fields::Named(written));
                self.define(definition.filter(|definition| !definition.foreign), body)
            }
            Imported::List(values) => {
                let mut types = Vec::new();
                let start = self.state.len();
                for (place, value) in values.iter().enumerate() {
                    let ty = match wanted {
                        Some(Type::Seq(element) | Type::Array(element, _)) => Some(&**element),
                        Some(Type::Tuple(members)) => members.get(place),
                        _ => None,
                    };
                    let name = place.to_string();
                    types.push(self.inside(&name, |import| import.value(value, ty, is_array))?);
                }
                let is_uniform = types.windows(2).all(|pair| pair[0] == pair[1]);
                match types.first().filter(|_| is_uniform).cloned() {
                    Some(element) => {
                        // The number of elements comes before them.
                        let length = (values.len() as u64).to_le_bytes();
                        self.state.splice(start..start, length);
                        Type::Seq(Box::new(element))
                    }
                    None => Type::Tuple(types),
                }
            }
        })
    }

    fn array(
        &mut self,
        array: &ImportedArray,
        wanted: Option<&'a Type>,
        is_array: bool,
    ) -> Result<Type, Error> {
        let ImportedArray { element, shape, read } = array;
        let wrong = |why: String| {
            let name = if self.name.is_empty() { "the array" } else { &self.name };
            refused(format!("{name}: {why}"))
        };
        let bytes = read().map_err(wrong)?;
        let count = shape.iter().try_fold(1_u64, |count, length| count.checked_mul(*length));
        let length = count.and_then(|count| count.checked_mul(element.size() as u64));
        if length != Some(bytes.len() as u64) {
            return Err(wrong(format!(
                "{} bytes are not an array of {element} of shape {shape:?}",
                bytes.len()
            )));
        }
        if *element == Element::Bool && bytes.iter().any(|byte| *byte > 1) {
            return Err(wrong("a truth value is neither 0 nor 1".to_owned()));
        }
        let row = self.number(*element);
        let Some((first, inner)) = shape.split_first() else { return Ok(self.put(&bytes, row)) };
        let total = count.unwrap_or_default();
        if let Some(definition) = wanted.and_then(|wanted| definition_of(self.program, wanted))
            && let Some(ty) = self.of_ndarray(definition, shape, &row)
        {
            self.numbers(*element, shape, total, &bytes, is_array)?;
            return Ok(ty);
        }
        let is_long = inner.iter().any(|length| *length > FIXED_ARRAY_OF_SERDE);
        let is_known = inner_of_rows(element.descr(), inner);
        if is_long || !is_known {
            self.numbers(*element, shape, total, &bytes, is_array)?;
            let (element, lengths) = (Box::new(row), inner.to_vec());
            return Ok(Type::Grid(Grid { element, lengths, is_vec: true }));
        }
        self.numbers(*element, shape, *first, &bytes, is_array)?;
        let row = inner.iter().rev().fold(row, |row, length| Type::Array(Box::new(row), *length));
        Ok(Type::Seq(Box::new(row)))
    }

    /// Writes a sequence of this many rows: apart from the state where that pays.
    fn numbers(
        &mut self,
        element: Element,
        shape: &[u64],
        rows: u64,
        bytes: &[u8],
        is_array: bool,
    ) -> Result<(), Error> {
        if !is_array || bytes.is_empty() || !self.container.takes(bytes.len()) {
            self.state.extend_from_slice(&rows.to_le_bytes());
            self.state.extend_from_slice(bytes);
            return Ok(());
        }
        let name = if self.name.is_empty() { "state" } else { &self.name };
        let kind = Kind { element, inner: &[] };
        let array = Array { kind, outer: Some(shape.to_vec()), bytes };
        self.container
            .put(format!("{name}.npy"), array)
            .map_err(|cause| refused(format!("the array {name} could not be written: {cause}")))?;
        for number in [u64::MAX, self.arrays, rows] {
            self.state.extend_from_slice(&number.to_le_bytes());
        }
        self.arrays += 1;
        Ok(())
    }

    /// Begins an array of the `ndarray` crate, in the form that serde gives it: a version, the
    /// shape and the elements. `None` for another type of the program.
    fn of_ndarray(&mut self, definition: &'a Definition, shape: &[u64], row: &Type) -> Option<Type> {
        let Body::Struct(Fields::Named(fields)) = &definition.body else { return None };
        let [version, dimensions, data] = &fields[..] else { return None };
        let names = [version, dimensions, data].map(|field| field.name.as_str());
        if names != ["v", "dim", "data"] || version.ty != Type::U8 || !definition.foreign {
            return None;
        }
        let ty = match self.bare(&dimensions.ty) {
            Type::Tuple(members) if members.len() == shape.len() => Type::Tuple(members.clone()),
            Type::Array(_, length) if *length == shape.len() as u64 => {
                Type::Array(Box::new(Type::U64), *length)
            }
            Type::U64 if shape.len() == 1 => Type::U64,
            Type::Seq(_) => Type::Seq(Box::new(Type::U64)),
            _ => return None,
        };
        self.state.push(1);
        if let Type::Seq(_) = ty {
            self.count(shape.len());
        }
        shape.iter().for_each(|length| self.state.extend_from_slice(&length.to_le_bytes()));
        let types = [version.ty.clone(), ty, Type::Seq(Box::new(row.clone()))];
        let fields = fields.iter().zip(types).map(|(field, ty)| Field { name: field.name.clone(), ty });
        Some(self.define(Some(definition), Body::Struct(Fields::Named(fields.collect()))))
    }

    /// The type of a number.
    fn number(&mut self, element: Element) -> Type {
        match element {
            Element::Bool => Type::Bool,
            Element::U8 => Type::U8,
            Element::U16 => Type::U16,
            Element::U32 => Type::U32,
            Element::U64 => Type::U64,
            Element::U128 => Type::U128,
            Element::I8 => Type::I8,
            Element::I16 => Type::I16,
            Element::I32 => Type::I32,
            Element::I64 => Type::I64,
            Element::I128 => Type::I128,
            Element::F32 => Type::F32,
            Element::F64 => Type::F64,
            Element::Complex32 => Type::Tuple(vec![Type::F32; 2]),
            Element::Complex64 => Type::Tuple(vec![Type::F64; 2]),
            Element::F16 | Element::Bf16 => {
                let body = Body::Struct(Fields::Newtype(Type::U16));
                let name = element.name().to_owned();
                self.add(Definition { name, version: 1, foreign: true, observed: false, body })
            }
        }
    }

    /// Adds a struct, with the name and the version that the program has for it.
    fn define(&mut self, like: Option<&Definition>, body: Body) -> Type {
        let name = like.map_or("Imported", |definition| &definition.name).to_owned();
        let (version, foreign) = like.map_or((1, false), |like| (like.version, like.foreign));
        self.add(Definition { name, version, foreign, observed: false, body })
    }

    fn add(&mut self, definition: Definition) -> Type {
        let known = self.types.iter().position(|known| *known == definition);
        Type::Named(known.unwrap_or_else(|| {
            self.types.push(definition);
            self.types.len() - 1
        }))
    }

    /// The program's type without options and wrappers.
    fn bare(&self, mut ty: &'a Type) -> &'a Type {
        for _ in 0..=self.program.types.len() {
            ty = match ty {
                Type::Option(inner) => inner,
                ty => match schema::wrapped(self.program, ty) {
                    Some(inner) => inner,
                    None => return ty,
                },
            };
        }
        ty
    }

    fn inside<R>(
        &mut self,
        step: &str,
        work: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        if self.depth == VALUE_DEPTH_IMPORTED {
            return Err(refused(format!(
                "values are inside each other more than {VALUE_DEPTH_IMPORTED} deep"
            )));
        }
        self.depth += 1;
        let length = self.name.len();
        if length > 0 {
            self.name.push('/');
        }
        self.name.push_str(&path_step(step));
        let result = work(self);
        self.name.truncate(length);
        self.depth -= 1;
        result
    }

    fn count(&mut self, length: usize) {
        self.state.extend_from_slice(&(length as u64).to_le_bytes());
    }

    fn put(&mut self, bytes: &[u8], ty: Type) -> Type {
        self.state.extend_from_slice(bytes);
        ty
    }
}

fn definition_of<'a>(schema: &'a Schema, ty: &Type) -> Option<&'a Definition> {
    match ty {
        Type::Named(place) => schema.types.get(*place),
        _ => None,
    }
}

fn refused(why: String) -> Error {
    Error::Encode { name: "import".to_owned(), why }
}
