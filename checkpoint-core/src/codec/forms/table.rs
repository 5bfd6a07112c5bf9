//! Makes the table of forms from a schema.

use std::collections::HashMap;

use super::{Expected, Form, Forms, Id, Leaf, Lengths, Name};
use crate::codec::novel::Met;
use crate::codec::stack::Room;
use crate::schema::{Body, Field, Fields, Float16, Schema, Type, Variant};

impl Forms {
    /// Makes the forms of a schema.
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
}

/// A table under construction.
struct Table {
    /// The places of the leaves. Each leaf is there once.
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

    /// Removes the wrappers.
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
        Forms {
            forms,
            expected,
            entries,
            names,
            grids,
            root: bare(root),
            byte,
            unknown,
            room,
            met: Met::default(),
        }
    }
}
