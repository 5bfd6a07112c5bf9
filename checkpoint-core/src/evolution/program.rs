//! A program's knowledge of the type of its state, and of the older versions that it can convert.

use std::any::TypeId;
use std::cmp::Reverse;
use std::collections::HashMap;

use super::resolve::Conversion;
use crate::codec::{Forms, Room};
use crate::schema::{Former, Schema, Type, chain};

/// Tells the types of a program from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A type of this program.
    Type(TypeId),
    /// A type of another one, whose schema has it at this place.
    Place(usize),
}

/// One step from an older version of a type.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) from: u32,
    /// The type that it accepts.
    pub(crate) old: Type,
    pub(crate) conversion: Conversion,
}

/// A migration, the version that it leads to, and the type of the program that has it.
pub(crate) struct Step<'a> {
    pub(crate) migration: &'a Migration,
    pub(crate) to: u32,
    pub(crate) program: Key,
}

/// The knowledge that the types of a program give besides their schema.
#[derive(Debug)]
pub(crate) struct Told {
    /// The name of the state; empty where its type has none of its own.
    pub(crate) name: String,
    /// The version of the state.
    pub(crate) version: u32,
    /// The types that declare their versions themselves, by their places.
    pub(crate) ids: HashMap<usize, Key>,
    /// The migrations, by the type that they lead to.
    pub(crate) migrations: HashMap<Key, Vec<Migration>>,
    /// True if code that was not derived, or not by this library, writes or reads any value.
    pub(crate) has_foreign_parts: bool,
    /// The former names of the definitions and their members, by their places.
    pub(crate) former: HashMap<usize, Former>,
}

/// A program's full knowledge of the type of its state: its form, and the older types that it can
/// be made of.
#[derive(Debug)]
pub(crate) struct Program {
    /// The name of the state; empty where its type has none of its own.
    name: String,
    /// The version of the state.
    version: u32,
    /// The schema of the state, as the manifest has it.
    schema: Schema,
    /// The same, followed by the types that migrations accept.
    extended: Schema,
    /// The types that declare their versions themselves, by their places. A type that only serde
    /// describes declares none.
    ids: HashMap<usize, Key>,
    /// The migrations by the type that they lead to, the newest first.
    migrations: HashMap<Key, Vec<Migration>>,
    has_foreign_parts: bool,
    /// The former names of the definitions and their members, by their places.
    former: HashMap<usize, Former>,
    /// The forms in which the values are read.
    forms: Forms,
    /// The stack that its types need, also those that migrations accept.
    room: Room,
}

impl Program {
    /// Collects the knowledge about a type: `schema` is its schema, `extended` the same with the
    /// types that migrations accept.
    pub(crate) fn new(schema: Schema, extended: Schema, told: Told) -> Program {
        let Told { name, version, ids, mut migrations, has_foreign_parts, former } = told;
        migrations.values_mut().for_each(|list| list.sort_by_key(|migration| Reverse(migration.from)));
        let (forms, room) = (Forms::of(&schema), Room::of(&extended));
        Program { name, version, schema, extended, ids, migrations, has_foreign_parts, former, forms, room }
    }

    /// The knowledge of another program, as far as types go: its values cannot be read with it.
    pub(crate) fn elsewhere(extended: Schema, told: Told) -> Program {
        let nothing = Schema { root: Type::Unit, types: Vec::new() };
        Program { schema: extended.clone(), extended, ..Program::new(nothing.clone(), nothing, told) }
    }

    /// All migrations: the place of the type that each leads to, the version that it is from, and
    /// the type that it accepts.
    pub(crate) fn all_migrations(&self) -> Vec<(usize, u32, &Type)> {
        let mut all: Vec<(usize, u32, &Type)> = self
            .ids
            .iter()
            .filter_map(|(place, key)| Some((*place, self.migrations.get(key)?)))
            .flat_map(|(place, list)| list.iter().map(move |step| (place, step.from, &step.old)))
            .collect();
        all.sort_by_key(|(place, from, _)| (*place, *from));
        all
    }

    /// The places of the types that declare their versions themselves, lowest first.
    pub(crate) fn places_that_tell(&self) -> Vec<usize> {
        let mut places: Vec<usize> = self.ids.keys().copied().collect();
        places.sort_unstable();
        places
    }

    /// All former names, by the places of the definitions.
    pub(crate) fn all_former(&self) -> &HashMap<usize, Former> {
        &self.former
    }

    /// The former names of the definition at this place, and of its members.
    pub(crate) fn former(&self, place: usize) -> Option<&Former> {
        self.former.get(&place)
    }

    /// The name of the state; empty where its type has none of its own.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name of the state in messages.
    pub(crate) fn shown_name(&self) -> String {
        if self.name.is_empty() { self.schema.to_string() } else { self.name.clone() }
    }

    /// The version of the state.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// True if the state itself had this name before.
    pub(crate) fn was_called(&self, name: &str) -> bool {
        let Type::Named(place) = &self.schema.root else { return false };
        self.former(*place).is_some_and(|former| former.types().iter().any(|former| former == name))
    }

    /// The schema for the manifest.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// True if code that was not derived, or not by this library, writes or reads any of its
    /// values: writer and reader may disagree there.
    pub(crate) fn has_foreign_parts(&self) -> bool {
        self.has_foreign_parts
    }

    /// The forms in which its values are written, which are those in which they are read.
    pub(crate) fn forms(&self) -> &Forms {
        &self.forms
    }

    pub(crate) fn room(&self) -> Room {
        self.room
    }

    pub(crate) fn extended(&self) -> &Schema {
        &self.extended
    }

    /// The versions of the types that declare them.
    pub(crate) fn versions(&self) -> HashMap<Key, u32> {
        let of_place = |(place, id): (&usize, &Key)| Some((*id, self.extended.types.get(*place)?.version));
        self.ids.iter().filter_map(of_place).collect()
    }

    /// True if the type, or the one that it wraps, declares its version.
    pub(crate) fn tells(&self, ty: &Type) -> bool {
        let mut chain = chain(&self.extended, ty);
        chain.any(|ty| matches!(ty, Type::Named(place) if self.ids.contains_key(place)))
    }

    /// The migrations to a type, with the type's version and its key.
    fn migrations(&self, ty: &Type) -> Option<(&[Migration], u32, Key)> {
        let Type::Named(place) = ty else { return None };
        let (version, id) = (self.extended.types.get(*place)?.version, *self.ids.get(place)?);
        Some((self.migrations.get(&id)?, version, id))
    }

    /// The last step from a value of this version to one of this type.
    pub(crate) fn step_from(&self, version: u32, ty: &Type) -> Option<Step<'_>> {
        let (migrations, to, program) = self.migrations(ty)?;
        if to == version {
            return None;
        }
        let direct = migrations.iter().find(|migration| migration.from == version);
        let migration = direct.or_else(|| {
            let mut later = migrations.iter().filter(|migration| migration.from > version);
            later.find(|migration| self.reaches(version, &migration.old, migration.from))
        })?;
        Some(Step { migration, to, program })
    }

    /// The type that the first of the steps takes, of which this is the last.
    pub(crate) fn first<'a>(&'a self, version: u32, step: &Step<'a>) -> &'a Type {
        let mut old = &step.migration.old;
        while let Some(earlier) = self.step_from(version, old) {
            old = &earlier.migration.old;
        }
        old
    }

    /// True if the type can be made of a value of that version. Each step is to an older version,
    /// so the recursion ends.
    fn reaches(&self, version: u32, ty: &Type, below: u32) -> bool {
        let Some((migrations, ..)) = self.migrations(ty) else { return false };
        migrations.iter().filter(|migration| migration.from < below).any(|migration| {
            migration.from == version || self.reaches(version, &migration.old, migration.from)
        })
    }
}
