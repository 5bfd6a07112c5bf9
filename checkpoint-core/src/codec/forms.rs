//! The schema of the program as a table, which the writer walks through in step with what it is handed.
//!
//! A [`Form`] is what the bytes of a value are for the one who reads them: without the names of structs, and without
//! wrappers, which take no space.

use std::collections::HashMap;

use super::stack::Room;
use crate::arrays::{Dtype, Kind};
use crate::schema::{Body, Field, Fields, Float16, Grid, Schema, Type, Variant, hidden};

/// A place in the table; or, from [`Id::FREE`] on, one of what is observed where the schema says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(pub(super) u32);

impl Id {
    /// The first of those that are observed.
    pub(super) const FREE: u32 = 1 << 31;

    /// The one that is observed under this number.
    pub(super) fn free(number: usize) -> Id {
        Id(u32::try_from(number).unwrap_or(Id::FREE - 1).saturating_add(Id::FREE))
    }

    fn of(place: usize) -> Id {
        // A schema of 2^31 types would not fit into a manifest.
        Id(u32::try_from(place).unwrap_or(Id::FREE - 1))
    }
}

/// A value without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leaf {
    Unit,
    Bool,
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    /// The bits of a float of 16 bits, which to serde are a `u16`.
    F16,
    /// The same of the upper half of an `f32`.
    Bf16,
    F32,
    F64,
    Char,
    String,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Leaf(Leaf),
    Option(Id),
    Seq(Id),
    /// Fixed arrays of these elements, all in one sequence; which, is at that place.
    Grid {
        element: Id,
        place: u32,
    },
    /// The entry with the key, behind which is that of the value; and both as one value.
    Map {
        first: u32,
        pair: Id,
    },
    /// The first entry and how many there are. They may have names.
    Product {
        first: u32,
        count: u32,
    },
    Repeated(Id, u64),
    /// The first of the variants, which are entries with the form of their content.
    Enum {
        first: u32,
        count: u32,
    },
    /// The same as another: what a wrapper is while the table is made.
    Same(Id),
    /// Nothing is known of it: what is written is observed.
    Free,
    /// A wrapper around itself, or a type that is refused before anything is saved. No value has it.
    Never,
}

/// A form together with its place, as the writer holds them against each value: two words, which are copied and looked at
/// as words. A copy that is put together of smaller pieces is slow to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    /// The place, and above it the kind of the form; of a leaf, which.
    head: u64,
    /// The first entry or the place of the parts, and above it their number.
    parts: u64,
}

/// Some entries, one after the other: the first and how many there are, in one word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entries(u64);

#[allow(clippy::cast_possible_truncation, reason = "the word holds two numbers of 32 bits")]
impl Entries {
    #[inline]
    pub(super) fn new(first: u32, count: u32) -> Entries {
        Entries(u64::from(count) << 32 | u64::from(first))
    }

    #[inline]
    pub(super) fn first(self) -> u32 {
        self.0 as u32
    }

    #[inline]
    pub(super) fn count(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The one of this number.
    #[inline]
    pub(super) fn get(self, number: u32) -> Option<u32> {
        (number < self.count()).then(|| self.first() + number)
    }
}

/// The kinds of forms that a writer knows at a look.
mod kind {
    pub(super) const OTHER: u64 = 0;
    pub(super) const LEAF: u64 = 1;
    pub(super) const OPTION: u64 = 2;
    pub(super) const SEQ: u64 = 3;
    pub(super) const PRODUCT: u64 = 4;
    pub(super) const ENUM: u64 = 5;
}

#[allow(clippy::cast_possible_truncation, reason = "each word holds two numbers of 32 bits")]
impl Expected {
    fn new(id: Id, form: Form) -> Expected {
        let (kind, parts) = match form {
            Form::Leaf(leaf) => (kind::LEAF | (leaf as u64) << 8, 0),
            Form::Option(inner) => (kind::OPTION, u64::from(inner.0)),
            Form::Seq(element) => (kind::SEQ, u64::from(element.0)),
            Form::Product { first, count } => (kind::PRODUCT, Entries::new(first, count).0),
            Form::Enum { first, count } => (kind::ENUM, Entries::new(first, count).0),
            _ => (kind::OTHER, 0),
        };
        Expected { head: kind << 32 | u64::from(id.0), parts }
    }

    /// Of what is observed under this place.
    pub(super) fn free(id: Id) -> Expected {
        Expected::new(id, Form::Free)
    }

    /// The place.
    #[inline]
    pub(super) fn id(self) -> Id {
        Id(self.head as u32)
    }

    #[inline]
    fn is(self, kind: u64) -> bool {
        self.head >> 32 == kind
    }

    #[inline]
    pub(super) fn is_leaf(self, leaf: Leaf) -> bool {
        self.is(kind::LEAF | (leaf as u64) << 8)
    }

    /// What an option holds.
    #[inline]
    pub(super) fn option(self) -> Option<Id> {
        self.is(kind::OPTION).then_some(Id(self.parts as u32))
    }

    /// The elements of a sequence.
    #[inline]
    pub(super) fn seq(self) -> Option<Id> {
        self.is(kind::SEQ).then_some(Id(self.parts as u32))
    }

    /// The entries of a product of so many parts.
    #[inline]
    pub(super) fn product_of(self, length: usize) -> Option<Entries> {
        (self.is(kind::PRODUCT) && self.parts >> 32 == length as u64).then_some(Entries(self.parts))
    }

    /// The entry of that variant of an enum.
    #[inline]
    pub(super) fn variant(self, index: u32) -> Option<u32> {
        if self.is(kind::ENUM) { Entries(self.parts).get(index) } else { None }
    }
}

/// A part of a product, or a variant, while a state is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The name that it was found to have, so that a look at the address is enough.
    pub(super) known: &'static str,
    pub(super) expected: Expected,
}

/// What is to be written as the name of a field or of a variant.
#[derive(Debug)]
enum Name {
    /// There is none.
    Any,
    Exactly(Box<str>),
    /// Aliases hide which.
    OneOf(Vec<Box<str>>),
    /// It may be that of another one as well.
    Unclear(Vec<Box<str>>),
}

/// How many elements fixed arrays have.
#[derive(Debug)]
pub(super) struct Lengths {
    /// Of the dimensions of one array, outermost first.
    lengths: Vec<u64>,
    /// True for any number of arrays, false for one.
    is_vec: bool,
}

impl Lengths {
    fn of_one(&self) -> u64 {
        self.lengths.iter().fold(1, |product, length| product.saturating_mul(*length))
    }

    /// True if so many elements are such arrays.
    pub(super) fn takes(&self, count: u64) -> bool {
        let one = self.of_one();
        if self.is_vec { one > 0 && count.is_multiple_of(one) } else { count == one }
    }

    pub(super) fn describe(&self) -> String {
        let words = if self.is_vec { "fixed arrays" } else { "a fixed array" };
        format!("{words} of {:?} values", self.lengths)
    }

    /// The dimensions that so many elements have.
    pub(super) fn dimensions(&self, count: u64) -> Vec<u64> {
        let arrays = self.is_vec.then(|| count / self.of_one().max(1));
        arrays.into_iter().chain(self.lengths.iter().copied()).collect()
    }
}

/// The forms of all types in a schema.
#[derive(Debug)]
pub(crate) struct Forms {
    forms: Vec<Form>,
    /// The same, as the writer looks at them.
    expected: Vec<Expected>,
    entries: Vec<Id>,
    /// The names of the entries.
    names: Vec<Name>,
    grids: Vec<Lengths>,
    root: Id,
    /// That of a `u8`.
    byte: Id,
    /// How many parts have a form that nothing is known of.
    unknown: usize,
    room: Room,
}

impl Forms {
    pub(crate) fn of(schema: &Schema) -> Forms {
        let mut table = Table {
            leaves: HashMap::new(),
            forms: Vec::new(),
            entries: Vec::new(),
            names: Vec::new(),
            grids: Vec::new(),
            unknown: 0,
        };
        // Each definition has its place, so that types may contain themselves.
        table.forms.resize(schema.types.len(), Form::Never);
        for (place, definition) in schema.types.iter().enumerate() {
            let form = match (Float16::of(definition), &definition.body) {
                (Some(Float16::Half), _) => Form::Leaf(Leaf::F16),
                (Some(Float16::Brain), _) => Form::Leaf(Leaf::Bf16),
                (None, Body::Struct(fields)) => table.fields(fields),
                (None, Body::Enum(variants)) => table.variants(variants),
            };
            table.forms[place] = form;
        }
        let root = table.ty(&schema.root);
        table.finish(root, Room::of(schema))
    }

    /// For a value of which nothing is known.
    #[cfg(test)]
    pub(crate) fn unknown() -> Forms {
        Forms::of(&Schema { root: Type::Opaque("anything".to_owned()), types: Vec::new() })
    }

    pub(super) fn root(&self) -> Id {
        self.root
    }

    /// How many parts are free.
    pub(super) fn unknown_parts(&self) -> usize {
        self.unknown
    }

    pub(super) fn byte(&self) -> Id {
        self.byte
    }

    pub(crate) fn room(&self) -> Room {
        self.room
    }

    /// The form at a place.
    #[inline]
    pub(super) fn get(&self, id: Id) -> &Form {
        self.forms.get(id.0 as usize).unwrap_or(&Form::Free)
    }

    /// The fixed arrays at a place in their list.
    pub(super) fn grid(&self, place: u32) -> Option<&Lengths> {
        self.grids.get(place as usize)
    }

    /// Where in that list those of a form are, if it is one of fixed arrays.
    pub(super) fn grid_at(&self, id: Id) -> Option<u32> {
        match self.get(id) {
            Form::Grid { place, .. } => Some(*place),
            _ => None,
        }
    }

    /// The form at a place, with the place.
    #[inline]
    pub(super) fn expect(&self, id: Id) -> Expected {
        self.expected.get(id.0 as usize).copied().unwrap_or(Expected::free(id))
    }

    /// All entries, of which no name was seen yet.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.entries.iter().map(|id| Slot { known: UNSEEN, expected: self.expect(*id) }).collect()
    }

    fn entry(&self, place: u32) -> Id {
        self.entries.get(place as usize).copied().unwrap_or(Id(Id::FREE))
    }

    /// Whether an entry may have this name.
    pub(super) fn is_named(&self, place: u32, name: &str) -> bool {
        match self.names.get(place as usize) {
            Some(Name::Any) => true,
            Some(Name::Exactly(known)) => **known == *name,
            Some(Name::OneOf(names)) => names.iter().any(|known| **known == *name),
            Some(Name::Unclear(_)) | None => false,
        }
    }

    /// Whether the name of an entry is known for sure.
    pub(super) fn is_certain(&self, place: u32) -> bool {
        matches!(self.names.get(place as usize), Some(Name::Exactly(_)))
    }

    /// Whether this may be the name of one or another entry.
    pub(super) fn is_unclear(&self, place: u32, name: &str) -> bool {
        match self.names.get(place as usize) {
            Some(Name::Unclear(names)) => names.iter().any(|known| **known == *name),
            _ => false,
        }
    }

    /// What messages call an entry.
    pub(super) fn name(&self, place: u32) -> String {
        match self.names.get(place as usize) {
            Some(Name::Exactly(name)) => format!("`{name}`"),
            Some(Name::OneOf(names) | Name::Unclear(names)) => {
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" or ")
            }
            Some(Name::Any) | None => "a value without a name".to_owned(),
        }
    }

    /// The form without products of one value around it, which take no space either.
    pub(super) fn within(&self, form: &Form) -> Option<Id> {
        match *form {
            Form::Product { first, count: 1 } => Some(self.entry(first)),
            Form::Repeated(element, 1) => Some(element),
            _ => None,
        }
    }

    /// The parts of a value that is written as two, if it is one of two parts.
    pub(super) fn pair(&self, id: Id) -> Option<(Id, Id)> {
        match *self.get(id) {
            Form::Product { first, count: 2 } => Some((self.entry(first), self.entry(first + 1))),
            Form::Repeated(element, 2) => Some((element, element)),
            ref form => self.pair(self.within(form)?),
        }
    }

    /// What a message says that a form is.
    pub(super) fn describe(&self, id: Id) -> String {
        let words = match *self.get(id) {
            Form::Leaf(leaf) => return leaf.name().to_owned(),
            Form::Option(_) => "an option",
            Form::Seq(_) => "a sequence",
            Form::Grid { place, .. } => return self.grid(place).map(Lengths::describe).unwrap_or_default(),
            Form::Map { .. } => "a map",
            Form::Product { count, .. } => return format!("{count} values"),
            Form::Repeated(_, length) => return format!("{length} values"),
            Form::Enum { .. } => "an enum",
            Form::Free | Form::Same(_) | Form::Never => "a value that cannot be",
        };
        words.to_owned()
    }

    /// Whether rows of this kind are what a form has; the first part of them that is free is given to `observe`, with
    /// the dimensions that are left.
    pub(super) fn fits(&self, id: Id, kind: &Kind, observe: &mut dyn FnMut(Id, &[u64])) -> bool {
        self.fits_rows(id, (kind.inner, kind.dtype), false, observe)
    }

    /// True if rows that fit have exactly the dimensions of the form.
    pub(super) fn has_rows(&self, id: Id, kind: &Kind) -> bool {
        self.fits_rows(id, (kind.inner, kind.dtype), true, &mut |_, _| {})
    }

    /// Compares rows with a form. Dimensions of length 1 take no space. If `is_strict` is false,
    /// there may be more or fewer of them.
    fn fits_rows(
        &self,
        id: Id,
        (dimensions, dtype): (&[u64], Dtype),
        is_strict: bool,
        observe: &mut dyn FnMut(Id, &[u64]),
    ) -> bool {
        let form = *self.get(id);
        if form == Form::Free {
            observe(id, dimensions);
            return true;
        }
        match (dimensions, form, dtype.float()) {
            // A complex number is, to serde, a pair of floats.
            ([], _, Some(float)) => self.fits_rows(id, (&[2], float), is_strict, observe),
            ([length, inner @ ..], Form::Repeated(element, count), _) if count == *length => {
                self.fits_rows(element, (inner, dtype), is_strict, observe)
            }
            ([length, inner @ ..], Form::Product { first, count }, _) if u64::from(count) == *length => {
                let mut parts = (first..first + count).map(|place| self.entry(place));
                parts.all(|part| self.fits_rows(part, (inner, dtype), is_strict, observe))
            }
            ([], Form::Leaf(leaf), None) => Leaf::of_dtype(dtype) == leaf,
            _ if is_strict => false,
            ([1, inner @ ..], _, _) => self.fits_rows(id, (inner, dtype), false, observe),
            _ => self
                .within(&form)
                .is_some_and(|within| self.fits_rows(within, (dimensions, dtype), false, observe)),
        }
    }
}

impl Leaf {
    pub(super) fn name(self) -> &'static str {
        match self {
            Leaf::Unit => "()",
            Leaf::Bool => "bool",
            Leaf::U8 => "u8",
            Leaf::U16 => "u16",
            Leaf::U32 => "u32",
            Leaf::U64 => "u64",
            Leaf::U128 => "u128",
            Leaf::I8 => "i8",
            Leaf::I16 => "i16",
            Leaf::I32 => "i32",
            Leaf::I64 => "i64",
            Leaf::I128 => "i128",
            Leaf::F16 => "f16",
            Leaf::Bf16 => "bf16",
            Leaf::F32 => "f32",
            Leaf::F64 => "f64",
            Leaf::Char => "char",
            Leaf::String => "a string",
            Leaf::Bytes => "bytes",
        }
    }

    fn of(ty: &Type) -> Option<Leaf> {
        Some(match ty {
            Type::Unit => Leaf::Unit,
            Type::Bool => Leaf::Bool,
            Type::U8 => Leaf::U8,
            Type::U16 => Leaf::U16,
            Type::U32 => Leaf::U32,
            Type::U64 => Leaf::U64,
            Type::U128 => Leaf::U128,
            Type::I8 => Leaf::I8,
            Type::I16 => Leaf::I16,
            Type::I32 => Leaf::I32,
            Type::I64 => Leaf::I64,
            Type::I128 => Leaf::I128,
            Type::F32 => Leaf::F32,
            Type::F64 => Leaf::F64,
            Type::Char => Leaf::Char,
            Type::String => Leaf::String,
            Type::Bytes => Leaf::Bytes,
            _ => return None,
        })
    }

    pub(super) fn ty(self) -> Type {
        match self {
            Leaf::Unit => Type::Unit,
            Leaf::Bool => Type::Bool,
            Leaf::U8 => Type::U8,
            Leaf::U16 | Leaf::F16 | Leaf::Bf16 => Type::U16,
            Leaf::U32 => Type::U32,
            Leaf::U64 => Type::U64,
            Leaf::U128 => Type::U128,
            Leaf::I8 => Type::I8,
            Leaf::I16 => Type::I16,
            Leaf::I32 => Type::I32,
            Leaf::I64 => Type::I64,
            Leaf::I128 => Type::I128,
            Leaf::F32 => Type::F32,
            Leaf::F64 => Type::F64,
            Leaf::Char => Type::Char,
            Leaf::String => Type::String,
            Leaf::Bytes => Type::Bytes,
        }
    }

    /// The numbers of an array.
    pub(super) fn of_dtype(dtype: Dtype) -> Leaf {
        match dtype.descr {
            "|b1" => Leaf::Bool,
            "|u1" => Leaf::U8,
            "<u2" => Leaf::U16,
            "<u4" => Leaf::U32,
            "<u8" => Leaf::U64,
            "|i1" => Leaf::I8,
            "<i2" => Leaf::I16,
            "<i4" => Leaf::I32,
            "<i8" => Leaf::I64,
            "<f2" => Leaf::F16,
            "|V2" => Leaf::Bf16,
            "<f4" => Leaf::F32,
            "<f8" => Leaf::F64,
            _ if dtype.is_i128 => Leaf::I128,
            _ => Leaf::U128,
        }
    }
}

/// Stands for a name that was not seen yet, and is at the address of no other.
static UNSEEN: &str = "\0unseen";

/// A table that is being made.
struct Table {
    /// The places of forms without parts, each of which is there once.
    leaves: HashMap<u8, Id>,
    forms: Vec<Form>,
    entries: Vec<Id>,
    names: Vec<Name>,
    grids: Vec<Lengths>,
    unknown: usize,
}

impl Table {
    fn add(&mut self, form: Form) -> Id {
        self.forms.push(form);
        Id::of(self.forms.len() - 1)
    }

    fn leaf(&mut self, leaf: Leaf) -> Id {
        if let Some(id) = self.leaves.get(&(leaf as u8)) {
            return *id;
        }
        let id = self.add(Form::Leaf(leaf));
        self.leaves.insert(leaf as u8, id);
        id
    }

    /// The order is that of [`Schema::each_opaque`].
    fn ty(&mut self, ty: &Type) -> Id {
        if let Some(leaf) = Leaf::of(ty) {
            return self.leaf(leaf);
        }
        match ty {
            Type::Option(inner) => {
                let inner = self.ty(inner);
                self.add(Form::Option(inner))
            }
            Type::Seq(element) => {
                let element = self.ty(element);
                self.add(Form::Seq(element))
            }
            Type::Grid(grid) => {
                let element = self.ty(&grid.element);
                let place = Id::of(self.grids.len()).0;
                self.grids.push(Lengths { lengths: grid.lengths.clone(), is_vec: grid.is_vec });
                self.add(Form::Grid { element, place })
            }
            Type::Map(key, value) => {
                let parts = [self.ty(key), self.ty(value)];
                let first = self.entries(parts.into_iter().map(|part| (Name::Any, part)).collect());
                let pair = self.add(Form::Product { first, count: 2 });
                self.add(Form::Map { first, pair })
            }
            Type::Tuple(members) => {
                let product = self.product(members);
                self.add(product)
            }
            Type::Array(element, length) => {
                let element = self.ty(element);
                self.add(Form::Repeated(element, *length))
            }
            Type::Named(place) => Id::of(*place),
            Type::Opaque(_) => {
                self.unknown += 1;
                Id::free(self.unknown - 1)
            }
            _ => self.add(Form::Never),
        }
    }

    fn entries(&mut self, entries: Vec<(Name, Id)>) -> u32 {
        let first = self.entries.len();
        for (name, id) in entries {
            self.names.push(name);
            self.entries.push(id);
        }
        Id::of(first).0
    }

    fn product(&mut self, members: &[Type]) -> Form {
        let members: Vec<(Name, Id)> = members.iter().map(|member| (Name::Any, self.ty(member))).collect();
        let count = Id::of(members.len()).0;
        Form::Product { first: self.entries(members), count }
    }

    fn fields(&mut self, fields: &Fields) -> Form {
        match fields {
            Fields::Unit => Form::Leaf(Leaf::Unit),
            Fields::Newtype(inner) => Form::Same(self.ty(inner)),
            Fields::Tuple(members) => self.product(members),
            Fields::Named(fields) => {
                let fields: Vec<(Name, Id)> =
                    fields.iter().map(|Field { name, ty }| (Name::of(name), self.ty(ty))).collect();
                let count = Id::of(fields.len()).0;
                Form::Product { first: self.entries(fields), count }
            }
        }
    }

    fn variants(&mut self, variants: &[Variant]) -> Form {
        let mut entries = Vec::new();
        for Variant { name, fields } in variants {
            let content = self.fields(fields);
            entries.push((Name::of(name), self.add(content)));
        }
        Name::tell_apart(&mut entries);
        let count = Id::of(entries.len()).0;
        Form::Enum { first: self.entries(entries), count }
    }

    /// Takes the wrappers away.
    fn finish(mut self, root: Id, room: Room) -> Forms {
        let table = self.forms.clone();
        let bare = |id: Id| {
            let mut id = id;
            for _ in 0..=table.len() {
                match table.get(id.0 as usize) {
                    Some(Form::Same(inner)) => id = *inner,
                    _ => return Some(id),
                }
            }
            None
        };
        let (never, byte) = (self.add(Form::Never), self.leaf(Leaf::U8));
        let bare = |id: Id| bare(id).unwrap_or(never);
        for form in &mut self.forms {
            match form {
                Form::Option(inner)
                | Form::Seq(inner)
                | Form::Grid { element: inner, .. }
                | Form::Repeated(inner, _) => *inner = bare(*inner),
                _ => {}
            }
        }
        self.entries.iter_mut().for_each(|entry| *entry = bare(*entry));
        let Table { forms, entries, names, grids, unknown, .. } = self;
        let expected = (0..).zip(&forms).map(|(place, form)| Expected::new(Id(place), *form)).collect();
        Forms { forms, expected, entries, names, grids, root: bare(root), byte, unknown, room }
    }
}

impl Name {
    /// Marks the names of variants that may be those of other variants too.
    fn tell_apart(variants: &mut [(Name, Id)]) {
        let mut times: HashMap<Box<str>, u32> = HashMap::new();
        for (name, _) in &*variants {
            match name {
                Name::Exactly(name) => *times.entry(name.clone()).or_default() += 1,
                Name::OneOf(names) => {
                    names.iter().for_each(|name| *times.entry(name.clone()).or_default() += 1)
                }
                Name::Any | Name::Unclear(_) => {}
            }
        }
        for (name, _) in variants {
            if let Name::OneOf(names) = name
                && names.iter().any(|name| times.get(name).is_some_and(|times| *times > 1))
            {
                *name = Name::Unclear(std::mem::take(names));
            }
        }
    }

    /// The name of a field or a variant as a schema has it. Where aliases hide it, that is all of them.
    fn of(name: &str) -> Name {
        if hidden::is_hidden(name) {
            Name::OneOf(hidden::names(name).map(Box::from).collect())
        } else {
            Name::Exactly(name.into())
        }
    }
}

impl Room {
    /// What the types of a schema need of the stack.
    pub(crate) fn of(schema: &Schema) -> Room {
        Room::for_types_up_to(Sizes::largest(schema))
    }
}

/// How many bytes values take on the stack.
struct Sizes<'a> {
    schema: &'a Schema,
    /// Of each definition, once it is known. One that meets itself does so behind a pointer.
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
            // One sequence in the file, and on the stack all of its elements.
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
            Type::Bool | Type::U8 | Type::I8 => 1,
            Type::U16 | Type::I16 => 2,
            Type::U32 | Type::I32 | Type::F32 | Type::Char => 4,
            Type::U64 | Type::I64 | Type::F64 => 8,
            Type::U128 | Type::I128 => 16,
            _ => 32,
        };
        self.largest = self.largest.max(size);
        size
    }
}
