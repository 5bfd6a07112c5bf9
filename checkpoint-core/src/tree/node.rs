//! One value of a state, found by the schema.

use super::array::Array;
use super::element::Number;
use super::file::File;
use super::members::{Inside, Members};
use super::walk::{Count, Place, Rest, TOO_MANY, Trouble, Walker, damaged, rest_of};
use crate::codec::bytes::Flag;
use crate::codec::most_values;
use crate::error::Error;
use crate::schema::{Body, Fields, Float16, Grid, Type, hidden};

/// One value of a state. It holds the place of the value; nothing is decoded before it is asked
/// for.
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    pub(super) file: &'a File,
    pub(super) form: Form<'a>,
    pub(super) place: Place,
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form<'a> {
    Type(&'a Type),
    /// The content of a variant of that enum.
    Content(&'a str, &'a Fields),
}

/// The content of a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// `()`, and any other value without content.
    Unit,
    /// A number, or `true` or `false`.
    Number(Number),
    /// A character.
    Char(char),
    /// Text.
    Text(&'a str),
    /// A string of bytes. If it was written as a sequence, it may be an array instead.
    Bytes(&'a [u8]),
    /// `None`, or `Some` value.
    Option(Option<Node<'a>>),
    /// Any number of values of one type, or a fixed number, that are not an array.
    Sequence(Members<'a>),
    /// Values that each have a type of their own.
    Tuple(Members<'a>),
    /// Keys and values.
    Map(Members<'a>),
    /// Fields with names.
    Struct(Members<'a>),
    /// A variant of an enum, and its content.
    Variant(&'a str, Option<Node<'a>>),
    /// An array that is kept apart.
    Array(Array<'a>),
    /// A value of this type. Its form is not in the checkpoint, and no value behind it can be read.
    Opaque(&'a str),
}

impl<'a> Value<'a> {
    /// The values in this one.
    #[must_use]
    pub fn members(&self) -> Option<Members<'a>> {
        match self {
            Value::Sequence(members)
            | Value::Tuple(members)
            | Value::Map(members)
            | Value::Struct(members) => Some(members.clone()),
            _ => None,
        }
    }
}

impl<'a> Node<'a> {
    pub(super) fn of_type(file: &'a File, ty: &'a Type, place: Place) -> Node<'a> {
        Node { file, form: Form::Type(ty), place }
    }

    /// Its type, as a Rust programmer would write it.
    #[must_use]
    pub fn type_name(&self) -> String {
        let schema = self.file.schema();
        match self.form {
            Form::Content(name, _) => name.to_owned(),
            Form::Type(ty) => schema.describe(ty),
        }
    }

    /// The length of the value in bytes: in the rest of the state, and in arrays.
    ///
    /// # Errors
    /// An error if the state is damaged or cannot be understood.
    pub fn bytes(&self) -> Result<u64, Error> {
        let end = self.end()?;
        let arrays = (self.place.array..end.array).filter_map(|number| self.file.container.part(number));
        Ok((end.offset - self.place.offset) as u64 + arrays.map(|array| array.bytes).sum::<u64>())
    }

    /// True if it has the same type as a value of another checkpoint with the same schema.
    pub(super) fn is_of_form_of(&self, other: &Node<'_>) -> bool {
        self.form == other.form
    }

    /// True for a string of bytes, also if it is kept apart.
    pub(super) fn is_bytes(&self) -> bool {
        let types = &self.file.schema().types;
        let Form::Type(mut ty) = self.form else { return false };
        for _ in 0..=types.len() {
            let Type::Named(place) = ty else { break };
            match types.get(*place).map(|definition| &definition.body) {
                Some(Body::Struct(Fields::Newtype(inner))) => ty = inner,
                _ => break,
            }
        }
        *ty == Type::Bytes
    }

    /// All bytes of a value that has no arrays.
    pub(super) fn raw(&self) -> Option<&'a [u8]> {
        let end = self.end().ok().filter(|end| end.array == self.place.array)?;
        self.file.state().ok()?.get(self.place.offset..end.offset)
    }

    /// The parts to be passed over to reach its end.
    pub(super) fn content(&self) -> Rest<'a> {
        match self.form {
            Form::Type(ty) => Rest::Elements(ty, 1),
            Form::Content(_, fields) => rest_of(fields).unwrap_or(Rest::Types([].iter())),
        }
    }

    /// The arrays in it, in the order of the file.
    ///
    /// # Errors
    /// An error if the state is damaged or cannot be understood.
    pub fn arrays(&self) -> Result<Vec<Array<'a>>, Error> {
        let file = self.file;
        if self.is_root() {
            return file.arrays().collect();
        }
        (self.place.array..self.end()?.array).map(|number| Array::new(file, number, None)).collect()
    }

    /// True for the whole state.
    pub(super) fn is_root(&self) -> bool {
        let is_its_type = matches!(self.form, Form::Type(ty) if *ty == self.file.schema().root);
        self.place == Place::default() && is_its_type
    }

    /// The content of the value.
    ///
    /// # Errors
    /// An error if the state is damaged, or an array that it refers to.
    pub fn value(&self) -> Result<Value<'a>, Error> {
        let mut walker = self.walker()?;
        match self.form {
            Form::Type(ty) => self.of(&mut walker, ty),
            Form::Content(_, fields) => self.of_fields(&mut walker, fields),
        }
    }

    /// The beginning of the value behind it.
    pub(super) fn end(&self) -> Result<Place, Error> {
        let mut walker = self.walker()?;
        let passed = match self.form {
            Form::Type(ty) => walker.skip(ty),
            Form::Content(_, fields) => walker.skip_fields(fields),
        };
        passed.map_err(|trouble| self.file.trouble(trouble))?;
        Ok(walker.place)
    }

    pub(super) fn walker(&self) -> Result<Walker<'a>, Error> {
        self.file.walker(self.place)
    }

    fn at(&self, form: Form<'a>, place: Place) -> Node<'a> {
        Node { file: self.file, form, place }
    }

    fn of(&self, walker: &mut Walker<'a>, mut ty: &'a Type) -> Result<Value<'a>, Error> {
        let schema = self.file.schema();
        // There cannot be more wrappers than definitions, unless they go in a circle.
        for _ in 0..=schema.types.len() {
            let Type::Named(place) = ty else { return self.of_bare(walker, ty) };
            let Some(definition) = schema.types.get(*place) else { break };
            if let Some(float) = Float16::of(definition) {
                let bits = walker.take().map_err(|trouble| self.file.trouble(trouble))?;
                return Ok(Value::Number(Number::Single(float.value(u16::from_le_bytes(bits)))));
            }
            match &definition.body {
                Body::Struct(Fields::Newtype(inner)) => ty = inner,
                Body::Struct(fields) => return self.of_fields(walker, fields),
                Body::Enum(variants) => {
                    let variant = walker.variant(variants).map_err(|trouble| self.file.trouble(trouble))?;
                    let name = hidden::label(&variant.name);
                    let content = match &variant.fields {
                        Fields::Unit => None,
                        Fields::Newtype(inner) => Some(self.at(Form::Type(inner), walker.place)),
                        fields => Some(self.at(Form::Content(name, fields), walker.place)),
                    };
                    return Ok(Value::Variant(name, content));
                }
            }
        }
        Err(self.file.damaged("the schema has a type that only contains itself".to_owned()))
    }

    fn of_fields(&self, walker: &mut Walker<'a>, fields: &'a Fields) -> Result<Value<'a>, Error> {
        let members = |inside| Members::new(self.file, inside, walker.place);
        match fields {
            Fields::Unit => Ok(Value::Unit),
            Fields::Newtype(ty) => self.of(walker, ty),
            Fields::Tuple(types) => Ok(Value::Tuple(members(Inside::Types(types)))),
            Fields::Named(fields) => Ok(Value::Struct(members(Inside::Fields(fields)))),
        }
    }

    fn of_bare(&self, walker: &mut Walker<'a>, ty: &'a Type) -> Result<Value<'a>, Error> {
        let value = self.read(walker, ty).map_err(|trouble| self.file.trouble(trouble))?;
        let element = match (value, ty) {
            (Some(value), _) => return Ok(value),
            (None, Type::Seq(element) | Type::Grid(Grid { element, .. })) => &**element,
            (None, Type::Bytes) => &Type::U8,
            (None, _) => return Err(self.file.damaged("a type without a form".to_owned())),
        };
        match walker.count().map_err(|trouble| self.file.trouble(trouble))? {
            Count::Here(length) if *ty == Type::Bytes => {
                let bytes = walker.take_slice(length).map_err(|trouble| self.file.trouble(trouble))?;
                Ok(Value::Bytes(bytes))
            }
            Count::Here(count) => {
                self.admit(walker, &[element], count).map_err(|trouble| self.file.trouble(trouble))?;
                let members = Members::new(self.file, Inside::Elements(element, count), walker.place);
                match ty {
                    Type::Grid(grid) => members.in_shape_of(grid).map(Value::Sequence),
                    _ => Ok(Value::Sequence(members)),
                }
            }
            Count::Apart(apart) => {
                let array = Array::new(self.file, apart.number, Some(leaf_of(self.file, element)))?;
                Ok(Value::Array(array))
            }
        }
    }

    /// Refuses more values than there may be: a forged state can announce any number of members
    /// that take no bytes.
    fn admit(&self, walker: &Walker<'a>, types: &[&Type], count: u64) -> Result<(), Trouble> {
        let are_empty = types.iter().all(|ty| self.file.layout.length(ty) == Some(0));
        if are_empty && count > most_values(walker.bytes.len()) { damaged(TOO_MANY) } else { Ok(()) }
    }

    /// Reads any value but sequences and bytes.
    fn read(&self, walker: &mut Walker<'a>, ty: &'a Type) -> Result<Option<Value<'a>>, Trouble> {
        macro_rules! number {
            ($type:ty, $variant:ident) => {
                Value::Number(Number::$variant(<$type>::from_le_bytes(walker.take()?).into()))
            };
        }
        Ok(Some(match ty {
            Type::Unit => Value::Unit,
            Type::Bool => Value::Number(Number::Bool(walker.flag(Flag::Bool)?)),
            Type::U8 => number!(u8, Unsigned),
            Type::U16 => number!(u16, Unsigned),
            Type::U32 => number!(u32, Unsigned),
            Type::U64 => number!(u64, Unsigned),
            Type::U128 => number!(u128, Unsigned),
            Type::I8 => number!(i8, Signed),
            Type::I16 => number!(i16, Signed),
            Type::I32 => number!(i32, Signed),
            Type::I64 => number!(i64, Signed),
            Type::I128 => number!(i128, Signed),
            Type::F32 => number!(f32, Single),
            Type::F64 => number!(f64, Double),
            Type::Char => Value::Char(walker.character()?),
            Type::String => Value::Text(walker.text()?),
            Type::Option(inner) => {
                let is_some = walker.flag(Flag::Option)?;
                Value::Option(is_some.then(|| self.at(Form::Type(inner), walker.place)))
            }
            Type::Map(key, value) => {
                let count = walker.length()?;
                self.admit(walker, &[key, value], count)?;
                Value::Map(Members::new(self.file, Inside::Entries(key, value, count), walker.place))
            }
            Type::Tuple(types) => Value::Tuple(Members::new(self.file, Inside::Types(types), walker.place)),
            Type::Array(element, count) => {
                self.admit(walker, &[element], *count)?;
                Value::Sequence(Members::new(self.file, Inside::Elements(element, *count), walker.place))
            }
            Type::Opaque(name) | Type::Unsupported(name) => Value::Opaque(name),
            Type::Bytes | Type::Seq(_) | Type::Grid(_) | Type::Named(_) => return Ok(None),
        }))
    }

    /// The checkpoint in this value, if its bytes are one, such as those that a
    /// [`Scope`](crate::scopes::Scope) keeps. `name` is the end of its path.
    ///
    /// # Errors
    /// An error if the bytes cannot be read.
    pub fn embedded(&self, name: &str) -> Result<Option<File>, Error> {
        const START: [u8; 4] = *b"PK\x03\x04";
        let bytes = match self.value()? {
            Value::Bytes(bytes) if bytes.starts_with(&START) => bytes.to_vec(),
            Value::Sequence(members) => match members.plain_bytes() {
                Some(bytes) if bytes.starts_with(&START) => bytes.to_vec(),
                _ => return Ok(None),
            },
            Value::Array(array) if array.dtype() == "|u1" && array.shape().len() == 1 => {
                let first = array.first(START.len())?;
                if !first.iter().map(|byte| byte.as_f64()).eq(START.map(f64::from)) {
                    return Ok(None);
                }
                let mut bytes = Vec::new();
                array.read(|piece| {
                    bytes.extend_from_slice(piece);
                    Ok(())
                })?;
                bytes
            }
            _ => return Ok(None),
        };
        Ok(self.file.embedded(name, bytes))
    }
}

/// Checks every byte of the state, and every array that it refers to.
pub(crate) fn check(file: &File) -> Result<(), Error> {
    let root = file.root();
    let mut walker = root.walker()?;
    let check = |apart: super::walk::Apart, row: &Type| {
        let wrong = |why: &str| damaged(format!("array {}: {why}", apart.number));
        let array = match Array::new(file, apart.number, Some(leaf_of(file, row))) {
            Ok(array) => array,
            Err(error) => return damaged(error.to_string()),
        };
        if !array.element().fits(leaf_of(file, row)) {
            return wrong("its type is not that of the field it belongs to");
        }
        let is_whole = if apart.rows == 0 { array.is_empty() } else { array.len() % apart.rows == 0 };
        if is_whole { Ok(()) } else { wrong("its shape is not that of the field it belongs to") }
    };
    walker.check = Some(&check);
    walker.skip(&file.schema().root).map_err(|trouble| file.trouble(trouble))?;
    let (bytes, arrays) = (walker.place.offset, walker.place.array);
    if bytes != file.state()?.len() {
        return Err(file.damaged("there is more data than the value takes".to_owned()));
    }
    match file.container.part(arrays) {
        Some(part) if part.name != crate::container::STATE => {
            Err(file.damaged(format!("the state does not refer to {}", part.name)))
        }
        _ => Ok(()),
    }
}

/// The type of the numbers in rows of this type.
fn leaf_of<'t>(file: &'t File, mut ty: &'t Type) -> &'t Type {
    let types = &file.schema().types;
    for _ in 0..=types.len().saturating_add(64) {
        ty = match ty {
            Type::Array(element, _) => element,
            Type::Named(place) => match types.get(*place).map(|definition| &definition.body) {
                Some(Body::Struct(Fields::Newtype(inner))) => inner,
                _ => return ty,
            },
            _ => return ty,
        };
    }
    ty
}
