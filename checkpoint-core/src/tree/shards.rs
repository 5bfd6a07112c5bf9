//! The blocks of sharded arrays in a state, and the values that all members of a group have alike.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::ops::Range;

use super::file::File;
use super::members::Label;
use super::node::Node;
use super::numbers::numbers;
use super::sameness::{Order, fingerprint};
use super::walk::{Count, Place, TOO_MANY, Trouble, Walker, damaged};
use crate::base::limits::VALUE_DEPTH_BY_NAME;
use crate::codec::bytes::Flag;
use crate::error::Error;
use crate::schema::{Body, Definition, Element, Fields, Schema, Type};

/// The name of the type of a block, in a schema. No type in a program has such a name.
pub(crate) const SHARDED: &str = "group::Sharded";

/// The fields of a block.
pub(crate) const SHARDED_FIELDS: [&str; 4] = ["shape", "offset", "extent", "data"];

/// The name of the type of a value that all members have alike.
pub(crate) const SHARED: &str = "group::Shared";

/// The most dimensions of a sharded array: as many as numpy has at most.
const DIMENSIONS: u64 = 64;

/// One block of a sharded array, as a state has it.
#[derive(Clone, Debug)]
pub(crate) struct ShardedValue {
    /// Where in the state. The variants of enums are steps of their own.
    pub(crate) path: String,
    /// Its bytes in the state.
    pub(crate) bytes: Range<usize>,
    /// The type of its numbers, with a complex number as the two that it is.
    pub(crate) number: Element,
    /// The bytes of one element.
    pub(crate) row: u64,
    /// The lengths of the dimensions of one element; none of a number.
    pub(crate) inner: Vec<u64>,
    /// The shape of the whole array, and of that this block.
    pub(crate) shape: Vec<u64>,
    pub(crate) offset: Vec<u64>,
    pub(crate) extent: Vec<u64>,
    pub(crate) data: BlockData,
}

/// Where the elements of a block are.
#[derive(Clone, Debug)]
pub(crate) enum BlockData {
    /// In the array of this number.
    Apart(usize),
    /// In these bytes of the state.
    Here(Range<usize>),
}

/// What the members of a group must agree on in a state.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) sharded: Vec<ShardedValue>,
    /// The path of each value that is the same on all members, and a number that equal values have
    /// in common.
    pub(crate) shared: Vec<(String, u64)>,
    /// A number that states have in common whose blocks are in the same places: in lists of the
    /// same length, maps with the same keys, options that are there, the same variants.
    pub(crate) form: u64,
}

impl Definition {
    /// The type of the elements, if values of this type are blocks of sharded arrays.
    fn sharded(&self) -> Option<&Type> {
        let Body::Struct(Fields::Named(fields)) = &self.body else { return None };
        let is_named = self.name == SHARDED && fields.iter().map(|field| &field.name).eq(SHARDED_FIELDS);
        let [shape, offset, extent, data] = fields.get(..).filter(|_| is_named)? else { return None };
        let is_list = |field: &crate::schema::Field| field.ty == Type::Seq(Box::new(Type::U64));
        match &data.ty {
            Type::Seq(element) if [shape, offset, extent].into_iter().all(is_list) => Some(element),
            _ => None,
        }
    }

    /// True if values of this type are the same on all members.
    fn is_shared(&self) -> bool {
        self.name == SHARED && matches!(self.body, Body::Struct(Fields::Newtype(_)))
    }
}

/// Which definitions of a schema have a block, or a value that is the same on all members, in them.
struct Holders<'a> {
    schema: &'a Schema,
    holds: Vec<bool>,
}

impl<'a> Holders<'a> {
    fn of(schema: &'a Schema) -> Holders<'a> {
        let is_one = |definition: &Definition| definition.sharded().is_some() || definition.is_shared();
        let mut holders = Holders { schema, holds: schema.types.iter().map(is_one).collect() };
        // The definitions that refer to each one.
        let mut users = vec![Vec::new(); schema.types.len()];
        for (place, definition) in schema.types.iter().enumerate() {
            definition.types().for_each(|ty| refer(ty, place, &mut users));
        }
        let mut new: Vec<usize> = (0..users.len()).filter(|place| holders.definition(*place)).collect();
        while let Some(place) = new.pop() {
            for user in std::mem::take(&mut users[place]) {
                if !std::mem::replace(&mut holders.holds[user], true) {
                    new.push(user);
                }
            }
        }
        holders
    }

    fn definition(&self, place: usize) -> bool {
        self.holds.get(place).copied().unwrap_or(false)
    }

    fn ty(&self, ty: &Type) -> bool {
        match ty {
            Type::Named(place) => self.definition(*place),
            Type::Option(inner) | Type::Seq(inner) | Type::Array(inner, _) => self.ty(inner),
            // What a key says of its own cannot be changed, so it is a value as any other.
            Type::Map(_, value) => self.ty(value),
            Type::Tuple(members) => members.iter().any(|member| self.ty(member)),
            _ => false,
        }
    }

    /// True if all values of the type are alike.
    fn is_nothing(&self, ty: &Type, depth: usize) -> bool {
        match ty {
            Type::Unit => true,
            Type::Tuple(members) => members.iter().all(|member| self.is_nothing(member, depth + 1)),
            Type::Named(place) if depth < DEEPEST => {
                let body = self.schema.types.get(*place).map(|definition| &definition.body);
                let is_nothing = |fields: &Fields| fields.types().all(|ty| self.is_nothing(ty, depth + 1));
                matches!(body, Some(Body::Struct(fields)) if is_nothing(fields))
            }
            _ => false,
        }
    }
}

/// Notes which definitions a type of the one at `place` refers to, as far as blocks may be there.
fn refer(ty: &Type, place: usize, users: &mut [Vec<usize>]) {
    match ty {
        Type::Named(other) => users.get_mut(*other).into_iter().for_each(|users| users.push(place)),
        Type::Option(inner) | Type::Seq(inner) | Type::Array(inner, _) | Type::Map(_, inner) => {
            refer(inner, place, users);
        }
        Type::Tuple(members) => members.iter().for_each(|member| refer(member, place, users)),
        _ => {}
    }
}

/// How many types inside each other are looked at, and how many fields are named: a forged schema
/// has any number of both.
const DEEPEST: usize = 100;
const NAMED: usize = 50;

/// Finds the fields of which nothing says how a group of another size takes them.
struct Neither<'h> {
    holders: &'h Holders<'h>,
    path: Vec<String>,
    /// The definitions that are being looked at, from the outside to the inside.
    open: Vec<usize>,
    /// The definitions in which nothing was found.
    clean: Vec<bool>,
    found: Vec<String>,
}

impl Neither<'_> {
    fn ty(&mut self, ty: &Type) {
        if self.found.len() >= NAMED {
            return;
        }
        if !self.holders.ty(ty) || self.open.len() >= DEEPEST {
            if !self.holders.is_nothing(ty, 0) {
                let path = self.path.join(".").replace(".[]", "[]");
                self.found.push(if path.is_empty() { "the whole state".to_owned() } else { path });
            }
            return;
        }
        match ty {
            Type::Option(inner) => self.ty(inner),
            Type::Seq(inner) | Type::Array(inner, _) | Type::Map(_, inner) => {
                self.inside("[]", |neither| neither.ty(inner));
            }
            Type::Tuple(members) => self.numbered(members),
            Type::Named(place) if !self.open.contains(place) => self.named(*place),
            _ => {}
        }
    }

    fn named(&mut self, place: usize) {
        let Some(definition) = self.holders.schema.types.get(place) else { return };
        let is_clean = self.clean.get(place).copied().unwrap_or(true);
        if is_clean || definition.sharded().is_some() || definition.is_shared() {
            return;
        }
        let before = self.found.len();
        self.open.push(place);
        match &definition.body {
            Body::Struct(fields) => self.fields(fields),
            Body::Enum(variants) => {
                for variant in variants {
                    self.inside(&variant.name, |neither| neither.fields(&variant.fields));
                }
            }
        }
        self.open.pop();
        if let Some(clean) = self.clean.get_mut(place) {
            *clean = self.found.len() == before;
        }
    }

    fn fields(&mut self, fields: &Fields) {
        match fields {
            Fields::Unit => {}
            Fields::Newtype(ty) => self.ty(ty),
            Fields::Tuple(types) => self.numbered(types),
            Fields::Named(fields) => {
                for field in fields {
                    self.inside(&field.name, |neither| neither.ty(&field.ty));
                }
            }
        }
    }

    fn numbered(&mut self, types: &[Type]) {
        for (number, ty) in types.iter().enumerate() {
            self.inside(&number.to_string(), |neither| neither.ty(ty));
        }
    }

    fn inside(&mut self, step: &str, work: impl FnOnce(&mut Self)) {
        self.path.push(step.to_owned());
        work(self);
        self.path.pop();
    }
}

/// True if a state of this schema has a block, or a value that is the same on all members.
pub(crate) fn is_sharded(schema: &Schema) -> bool {
    Holders::of(schema).ty(&schema.root)
}

/// The fields of which nothing says how a group of another size takes them, in short and in order.
pub(crate) fn neither(schema: &Schema) -> Vec<String> {
    let (path, open, clean, found) = (Vec::new(), Vec::new(), vec![false; schema.types.len()], Vec::new());
    let mut neither = Neither { holders: &Holders::of(schema), path, open, clean, found };
    neither.ty(&schema.root);
    neither.found
}

/// What is asked of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The blocks, and what else the members of a group must agree on.
    All,
    /// The blocks alone.
    Blocks,
    /// The blocks of a state whose arrays are left out.
    BlocksWithoutData,
}

/// Finds the blocks in a state. Reads no data of blocks.
///
/// # Errors
/// Where the state is damaged or cannot be understood.
pub(crate) fn survey(file: &File, asked: Asked) -> Result<Survey, Error> {
    let holders = Holders::of(file.schema());
    let root = &file.schema().root;
    if !holders.ty(root) {
        return Ok(Survey::default());
    }
    let walker = file.walker(Place::default())?;
    let left = file.most_values();
    let mut surveyor = Surveyor { file, holders, walker, asked, left, survey: Survey::default() };
    surveyor.value(root, &mut String::new(), 0)?;
    Ok(surveyor.survey)
}

struct Surveyor<'a> {
    file: &'a File,
    holders: Holders<'a>,
    walker: Walker<'a>,
    asked: Asked,
    /// How many more values are looked at: a forged state announces any number.
    left: u64,
    survey: Survey,
}

impl<'a> Surveyor<'a> {
    fn value(&mut self, ty: &'a Type, path: &mut String, depth: u32) -> Result<(), Error> {
        if depth > VALUE_DEPTH_BY_NAME {
            return Err(self.file.damaged("its sharded arrays are nested too deep".to_owned()));
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| self.file.damaged(TOO_MANY.to_owned()))?;
        if !self.holders.ty(ty) {
            return self.told(|walker| walker.skip(ty));
        }
        match ty {
            Type::Option(inner) => {
                let is_some = self.told(|walker| walker.flag(Flag::Option))?;
                self.note(path, if is_some { "some" } else { "none" });
                if is_some { self.value(inner, path, depth + 1) } else { Ok(()) }
            }
            Type::Seq(inner) => match self.told(Walker::count)? {
                Count::Here(count) => self.elements(inner, count, path, depth),
                Count::Apart(_) => Err(self.file.damaged("an array has no blocks in it".to_owned())),
            },
            Type::Array(inner, count) => self.elements(inner, *count, path, depth),
            Type::Map(key, value) => {
                let count = self.told(Walker::length)?;
                self.note(path, &count.to_string());
                for _ in 0..count {
                    let node = Node::of_type(self.file, key, self.walker.place);
                    // Different keys can be the same as text.
                    let print = match self.asked {
                        Asked::All => fingerprint(&node, Order::OfAll)?,
                        Asked::Blocks | Asked::BlocksWithoutData => 0,
                    };
                    let step = Label::Key(node).step();
                    self.told(|walker| walker.skip(key))?;
                    self.inside(&step, path, |surveyor, path| {
                        surveyor.note(path, &format!("key {print}"));
                        surveyor.value(value, path, depth + 1)
                    })?;
                }
                Ok(())
            }
            Type::Tuple(types) => self.numbered(types, path, depth),
            Type::Named(place) => {
                let schema: &'a Schema = self.file.schema();
                let Some(definition) = schema.types.get(*place) else { return Ok(()) };
                self.named(ty, definition, path, depth)
            }
            _ => Ok(()),
        }
    }

    fn named(
        &mut self,
        ty: &'a Type,
        definition: &'a Definition,
        path: &mut String,
        depth: u32,
    ) -> Result<(), Error> {
        if let Some(element) = definition.sharded() {
            let block = self.block(element, path)?;
            self.survey.sharded.push(block);
            return Ok(());
        }
        if definition.is_shared() {
            if self.asked == Asked::All {
                let node = Node::of_type(self.file, ty, self.walker.place);
                self.survey.shared.push((path.clone(), fingerprint(&node, Order::OfAll)?));
            }
            return self.told(|walker| walker.skip(ty));
        }
        match &definition.body {
            Body::Struct(fields) => self.fields(fields, path, depth),
            Body::Enum(variants) => {
                let variant = self.told(|walker| walker.variant(variants))?;
                self.note(path, &variant.name);
                self.inside(&variant.name, path, |surveyor, path| {
                    surveyor.fields(&variant.fields, path, depth)
                })
            }
        }
    }

    fn fields(&mut self, fields: &'a Fields, path: &mut String, depth: u32) -> Result<(), Error> {
        match fields {
            Fields::Unit => Ok(()),
            Fields::Newtype(ty) => self.value(ty, path, depth + 1),
            Fields::Tuple(types) => self.numbered(types, path, depth),
            Fields::Named(fields) => fields.iter().try_for_each(|field| {
                self.inside(&field.name, path, |surveyor, path| surveyor.value(&field.ty, path, depth + 1))
            }),
        }
    }

    fn numbered(&mut self, types: &'a [Type], path: &mut String, depth: u32) -> Result<(), Error> {
        types.iter().enumerate().try_for_each(|(number, ty)| {
            self.inside(&number.to_string(), path, |surveyor, path| surveyor.value(ty, path, depth + 1))
        })
    }

    fn elements(&mut self, ty: &'a Type, count: u64, path: &mut String, depth: u32) -> Result<(), Error> {
        self.note(path, &count.to_string());
        (0..count).try_for_each(|number| {
            self.inside(&number.to_string(), path, |surveyor, path| surveyor.value(ty, path, depth + 1))
        })
    }

    /// Does something with the path of a value inside this one.
    fn inside(
        &mut self,
        step: &str,
        path: &mut String,
        work: impl FnOnce(&mut Self, &mut String) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let length = path.len();
        if length > 0 {
            path.push('/');
        }
        path.push_str(step);
        let outcome = work(self, path);
        path.truncate(length);
        outcome
    }

    /// Adds to the form of the state. In any order, as maps have one of their own.
    fn note(&mut self, path: &str, what: &str) {
        let mut hasher = DefaultHasher::new();
        (path, what).hash(&mut hasher);
        self.survey.form = self.survey.form.wrapping_add(hasher.finish());
    }

    fn block(&mut self, element: &Type, path: &str) -> Result<ShardedValue, Error> {
        let Some((number, inner)) = numbers(self.file.schema(), element) else {
            return Err(self.file.damaged(format!("the elements of {path} are no numbers")));
        };
        let start = self.walker.place.offset;
        let (shape, offset, extent) = (self.told(lengths)?, self.told(lengths)?, self.told(lengths)?);
        let row = inner.iter().try_fold(number.size() as u64, |row, length| row.checked_mul(*length));
        let impossible = || self.file.damaged(format!("the block {path} has impossible lengths"));
        let row = row.ok_or_else(impossible)?;
        let elements = extent.iter().try_fold(1_u64, |count, length| count.checked_mul(*length));
        let (count, data) = match self.walker.count().map_err(|trouble| self.file.trouble(trouble))? {
            Count::Apart(apart) => (apart.rows, BlockData::Apart(apart.number)),
            Count::Here(count) => {
                let begin = self.walker.place.offset;
                let bytes = count.saturating_mul(row);
                self.told(|walker| walker.take_slice(bytes).map(drop))?;
                (count, BlockData::Here(begin..self.walker.place.offset))
            }
        };
        let is_whole = elements == Some(count) || self.asked == Asked::BlocksWithoutData;
        let is_one =
            is_whole && elements.is_some() && shape.len() == offset.len() && shape.len() == extent.len();
        if !is_one || shape.is_empty() {
            return Err(self.file.damaged(format!("the block {path} has impossible lengths")));
        }
        let (path, bytes) = (path.to_owned(), start..self.walker.place.offset);
        Ok(ShardedValue { path, bytes, number, row, inner, shape, offset, extent, data })
    }

    fn told<R>(&mut self, work: impl FnOnce(&mut Walker<'a>) -> Result<R, Trouble>) -> Result<R, Error> {
        work(&mut self.walker).map_err(|trouble| self.file.trouble(trouble))
    }
}

/// A short list of lengths.
fn lengths(walker: &mut Walker<'_>) -> Result<Vec<u64>, Trouble> {
    match walker.count()? {
        Count::Here(count) if count <= DIMENSIONS => {
            (0..count).map(|_| walker.take().map(u64::from_le_bytes)).collect()
        }
        _ => damaged("the lengths of a block are no short list"),
    }
}
