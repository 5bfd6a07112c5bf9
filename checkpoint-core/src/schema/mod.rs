//! The schema of a state: its type and field names, widths and nesting, as the manifest records
//! them.
//!
//! bincode is positional: two different structs of the same size decode into each other without a
//! sign. So every checkpoint carries the schema of the type that wrote it, and a load compares it
//! with the reader's before it decodes anything (see `evolution::compare`). If they differ, the
//! bytes are read by the names in the schema of the writer (see `evolution::resolve`).

use std::fmt;

use crate::base::limits::TYPE_IN_WORDS;
use serde::{Deserialize, Serialize};

pub(crate) mod element;
pub(crate) mod float16;
pub(crate) mod former;
pub(crate) mod hidden;
pub(crate) mod path;
mod wrappers;

pub(crate) use element::Element;
pub(crate) use float16::Float16;
pub(crate) use former::Former;
pub(crate) use path::{is_array_name, path_step};
pub(crate) use wrappers::{chain, chain_in_options, own_version, version, version_in_options, wrapped};

/// The schema of a state: the type of its root, and the definitions that it refers to.
///
/// Recursive types are possible because a struct or an enum is referred to by its place in
/// [`types`](Schema::types).
///
/// ```
/// let schema = checkpointed::schema::Schema::of::<Vec<(String, f64)>>();
/// assert_eq!(schema.to_string(), "Vec<(String, f64)>");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    /// The state itself.
    pub root: Type,
    /// Every struct and enum that occurs in it, each once.
    pub types: Vec<Definition>,
}

/// A part of a state with a form that could not be found out. See [`Schema::opaque_parts`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpaquePart {
    /// The place in the state, as in [`Difference::path`](crate::evolution::Difference::path).
    pub path: String,
    /// The name of its type, and the reason why its form is unknown, if there is one.
    pub name: String,
}

impl fmt::Display for OpaquePart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.name)
    }
}

/// One type, as it is encoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Type {
    /// `()`, and any other type that takes no space.
    Unit,
    /// `bool`.
    Bool,
    /// `u8`.
    U8,
    /// `u16`.
    U16,
    /// `u32`.
    U32,
    /// `u64`, and `usize` on every platform.
    U64,
    /// `u128`.
    U128,
    /// `i8`.
    I8,
    /// `i16`.
    I16,
    /// `i32`.
    I32,
    /// `i64`, and `isize` on every platform.
    I64,
    /// `i128`.
    I128,
    /// `f32`.
    F32,
    /// `f64`.
    F64,
    /// `char`.
    Char,
    /// `String` and its like.
    String,
    /// A string of bytes; encoded like a sequence of `u8`.
    Bytes,
    /// `Option<T>`.
    Option(Box<Type>),
    /// Any number of one type: `Vec<T>`, sets, queues.
    Seq(Box<Type>),
    /// Keys and values.
    Map(Box<Type>, Box<Type>),
    /// A fixed number of types.
    Tuple(Vec<Type>),
    /// A fixed number of one type: `[T; N]`.
    Array(Box<Type>, u64),
    /// Fixed arrays of any length with all elements in one sequence: `[[T; 64]; 3]`, or a `Vec` of
    /// them.
    Grid(Grid),
    /// The struct or enum at this place of [`Schema::types`].
    Named(usize),
    /// A type from elsewhere. Its form could not be found out, and only its name is compared. In a
    /// checkpoint the written values may tell its form: see [`Definition::observed`].
    Opaque(String),
    /// A type that could be saved but never loaded, with the reason. No checkpoint is written with
    /// one.
    Unsupported(String),
}

/// Fixed arrays with all elements in one sequence, the last dimension fastest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// The type of the elements.
    pub element: Box<Type>,
    /// The lengths of the dimensions of one array, outermost first.
    pub lengths: Vec<u64>,
    /// True for any number of such arrays, false for one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_vec: bool,
}

impl Grid {
    /// The number of dimensions around an element.
    pub(crate) fn depth(&self) -> usize {
        self.lengths.len() + usize::from(self.is_vec)
    }

    /// True if both have the same shape.
    pub(crate) fn has_shape_of(&self, other: &Grid) -> bool {
        self.lengths == other.lengths && self.is_vec == other.is_vec
    }
}

/// A struct or an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Its name, as given by its author or the type's own; never a module path.
    pub name: String,
    /// Its version, as given by its author; 1 if none was given.
    pub version: u32,
    /// True if only serde describes it, as it does the types of other crates. If two such types
    /// have the same form, only the name tells them apart.
    #[serde(default, skip_serializing_if = "is_false")]
    pub foreign: bool,
    /// True if it stands for a type of a form that the type did not tell. Then it wraps the form
    /// that was seen when the values of this checkpoint were written, under the name of the type.
    #[serde(default, skip_serializing_if = "is_false")]
    pub observed: bool,
    /// Its content.
    #[serde(flatten)]
    pub body: Body,
}

/// The content of a struct or an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Body {
    /// A struct.
    Struct(Fields),
    /// An enum, its variants in the order of their numbers.
    Enum(Vec<Variant>),
}

/// One variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its name, as serde writes it.
    pub name: String,
    /// Its content.
    pub fields: Fields,
}

/// The fields of a struct or of a variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fields {
    /// None.
    Unit,
    /// One without a name; encoded as if the wrapper were not there.
    Newtype(Type),
    /// Several without names.
    Tuple(Vec<Type>),
    /// Fields with names.
    Named(Vec<Field>),
}

/// One named field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name, as serde writes it.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Schema {
    /// True if every reference leads to a definition, as in every schema that this library writes.
    pub(crate) fn is_closed(&self) -> bool {
        fn closed(ty: &Type, count: usize) -> bool {
            match ty {
                Type::Named(place) => *place < count,
                Type::Option(inner) | Type::Seq(inner) | Type::Array(inner, _) => closed(inner, count),
                Type::Grid(grid) => closed(&grid.element, count),
                Type::Map(key, value) => closed(key, count) && closed(value, count),
                Type::Tuple(members) => members.iter().all(|member| closed(member, count)),
                _ => true,
            }
        }
        let count = self.types.len();
        closed(&self.root, count)
            && self.types.iter().all(|definition| definition.types().all(|ty| closed(ty, count)))
    }

    /// Gives each type of unknown form, in order: those of each definition, then those of the root.
    pub(crate) fn each_opaque(&mut self, take: &mut dyn FnMut(&mut Type)) {
        fn within(ty: &mut Type, take: &mut dyn FnMut(&mut Type)) {
            match ty {
                Type::Opaque(_) => take(ty),
                Type::Option(inner) | Type::Seq(inner) | Type::Array(inner, _) => within(inner, take),
                Type::Grid(grid) => within(&mut grid.element, take),
                Type::Map(key, value) => {
                    within(key, take);
                    within(value, take);
                }
                Type::Tuple(members) => members.iter_mut().for_each(|member| within(member, take)),
                _ => {}
            }
        }
        for definition in &mut self.types {
            definition.types_mut(&mut |ty| within(ty, take));
        }
        within(&mut self.root, take);
    }

    /// The type in words, as a Rust programmer would write it. A long one is cut off.
    pub(crate) fn describe(&self, ty: &Type) -> String {
        let mut text = String::new();
        self.write(ty, &mut text);
        if let Some((end, _)) = text.char_indices().nth(TYPE_IN_WORDS) {
            text.truncate(end);
            text.push('…');
        }
        text
    }

    fn write(&self, ty: &Type, text: &mut String) {
        // A forged type has any length, and its inner types are described too.
        if text.len() > TYPE_IN_WORDS {
            return;
        }
        let between = |text: &mut String, open: &str, members: &[&Type], close: &str| {
            text.push_str(open);
            for (number, member) in members.iter().enumerate() {
                text.push_str(if number == 0 { "" } else { ", " });
                self.write(member, text);
            }
            text.push_str(close);
        };
        let word = match ty {
            Type::Unit => "()",
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::U128 => "u128",
            Type::I8 => "i8",
            Type::I16 => "i16",
            Type::I32 => "i32",
            Type::I64 => "i64",
            Type::I128 => "i128",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "String",
            Type::Bytes => "bytes",
            Type::Option(inner) => return between(text, "Option<", &[inner], ">"),
            Type::Seq(inner) => return between(text, "Vec<", &[inner], ">"),
            Type::Map(key, value) => return between(text, "Map<", &[key, value], ">"),
            Type::Tuple(members) => {
                let members: Vec<&Type> = members.iter().take(TYPE_IN_WORDS + 1).collect();
                return between(text, "(", &members, ")");
            }
            Type::Array(inner, length) => return between(text, "[", &[inner], &format!("; {length}]")),
            Type::Grid(grid) => {
                let lengths = &grid.lengths[..grid.lengths.len().min(TYPE_IN_WORDS)];
                let (open, close) = if grid.is_vec { ("Vec<", ">") } else { ("", "") };
                let open = format!("{open}{}", "[".repeat(lengths.len()));
                let sizes: String = lengths.iter().rev().map(|length| format!("; {length}]")).collect();
                return between(text, &open, &[&grid.element], &format!("{sizes}{close}"));
            }
            Type::Named(place) => match self.types.get(*place) {
                Some(definition) => &definition.name,
                None => return text.push_str(&format!("type {place}")),
            },
            Type::Opaque(name) => name,
            Type::Unsupported(why) => {
                text.push_str("unsupported: ");
                why
            }
        };
        let end = word.char_indices().nth(TYPE_IN_WORDS + 1).map_or(word.len(), |(end, _)| end);
        text.push_str(&word[..end]);
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.describe(&self.root))
    }
}

impl Definition {
    pub(crate) fn types(&self) -> Box<dyn Iterator<Item = &Type> + '_> {
        match &self.body {
            Body::Struct(fields) => fields.types(),
            Body::Enum(variants) => Box::new(variants.iter().flat_map(|variant| variant.fields.types())),
        }
    }

    pub(crate) fn types_mut(&mut self, take: &mut dyn FnMut(&mut Type)) {
        let mut of = |fields: &mut Fields| match fields {
            Fields::Unit => {}
            Fields::Newtype(ty) => take(ty),
            Fields::Tuple(types) => types.iter_mut().for_each(&mut *take),
            Fields::Named(fields) => fields.iter_mut().for_each(|field| take(&mut field.ty)),
        };
        match &mut self.body {
            Body::Struct(fields) => of(fields),
            Body::Enum(variants) => variants.iter_mut().for_each(|variant| of(&mut variant.fields)),
        }
    }
}

impl Fields {
    pub(crate) fn types(&self) -> Box<dyn Iterator<Item = &Type> + '_> {
        match self {
            Fields::Unit => Box::new(std::iter::empty()),
            Fields::Newtype(ty) => Box::new(std::iter::once(ty)),
            Fields::Tuple(types) => Box::new(types.iter()),
            Fields::Named(fields) => Box::new(fields.iter().map(|field| &field.ty)),
        }
    }
}

pub(crate) fn shift(ty: &mut Type, offset: usize) {
    match ty {
        Type::Named(place) => *place += offset,
        Type::Option(inner) | Type::Seq(inner) | Type::Array(inner, _) => shift(inner, offset),
        Type::Grid(grid) => shift(&mut grid.element, offset),
        Type::Map(key, value) => {
            shift(key, offset);
            shift(value, offset);
        }
        Type::Tuple(members) => members.iter_mut().for_each(|member| shift(member, offset)),
        _ => {}
    }
}
