//! What a program knows of the type of its state, and what it can make of older versions.

use std::any::TypeId;
use std::cmp::Reverse;
use std::collections::HashMap;

use super::resolve::Conversion;
use crate::codec::{Forms, Room};
use crate::schema::{Former, Schema, Type, chain};

/// One step from an older version of a type.
#[derive(Debug)]
pub(crate) struct Migration {
    pub(crate) from: u32,
    /// The type that it takes.
    pub(crate) old: Type,
    pub(crate) conversion: Conversion,
}

/// A migration, the version that it leads to, and the type of the program that has it.
pub(crate) struct Step<'a> {
    pub(crate) migration: &'a Migration,
    pub(crate) to: u32,
    pub(crate) program: TypeId,
}

/// What the types of a program tell besides their schema.
#[derive(Debug)]
pub(crate) struct Told {
    /// The types that tell their versions themselves, by their places.
    pub(crate) ids: HashMap<usize, TypeId>,
    /// By the type that they lead to.
    pub(crate) migrations: HashMap<TypeId, Vec<Migration>>,
    /// Whether any value is written or read by code that was not derived, or not by us.
    pub(crate) has_foreign_parts: bool,
    /// What the definitions and their members were called before, by their places.
    pub(crate) former: HashMap<usize, Former>,
}

/// All that a program knows of the type of its state: what it looks like, and what it can be made of.
#[derive(Debug)]
pub(crate) struct Program {
    /// The schema of the state, as the manifest has it.
    schema: Schema,
    /// The same, and behind it the types that migrations take.
    extended: Schema,
    /// The types that tell their versions themselves, by their places. A type that serde alone describes tells none.
    ids: HashMap<usize, TypeId>,
    /// By the type that they lead to, the newest first.
    migrations: HashMap<TypeId, Vec<Migration>>,
    has_foreign_parts: bool,
    /// What the definitions and their members were called before, by their places.
    former: HashMap<usize, Former>,
    /// In which form the values are read.
    forms: Forms,
    /// What its types need of the stack, those that migrations take too.
    room: Room,
}

impl Program {
    /// What was found out of a type: its schema, the same with the types that migrations take, and so on.
    pub(crate) fn new(schema: Schema, extended: Schema, told: Told) -> Program {
        let Told { ids, mut migrations, has_foreign_parts, former } = told;
        migrations.values_mut().for_each(|list| list.sort_by_key(|migration| Reverse(migration.from)));
        let (forms, room) = (Forms::of(&schema), Room::of(&extended));
        Program { schema, extended, ids, migrations, has_foreign_parts, former, forms, room }
    }

    /// What the definition at this place, and its members, were called before.
    pub(crate) fn former(&self, place: usize) -> Option<&Former> {
        self.former.get(&place)
    }

    /// Whether the state itself had this name before.
    pub(crate) fn was_called(&self, name: &str) -> bool {
        let Type::Named(place) = &self.schema.root else { return false };
        self.former(*place).is_some_and(|former| former.types().iter().any(|former| former == name))
    }

    /// What goes into the manifest.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Whether any of its values is written or read by code that was not derived, or not by us: there the two may disagree.
    pub(crate) fn has_foreign_parts(&self) -> bool {
        self.has_foreign_parts
    }

    /// The forms that its values are written in, because they are read in these.
    pub(crate) fn forms(&self) -> &Forms {
        &self.forms
    }

    pub(crate) fn room(&self) -> Room {
        self.room
    }

    pub(crate) fn extended(&self) -> &Schema {
        &self.extended
    }

    /// The versions of the types that tell them.
    pub(crate) fn versions(&self) -> HashMap<TypeId, u32> {
        let of_place = |(place, id): (&usize, &TypeId)| Some((*id, self.extended.types.get(*place)?.version));
        self.ids.iter().filter_map(of_place).collect()
    }

    /// Whether the type, or the one that it wraps, tells its version.
    pub(crate) fn tells(&self, ty: &Type) -> bool {
        let mut chain = chain(&self.extended, ty);
        chain.any(|ty| matches!(ty, Type::Named(place) if self.ids.contains_key(place)))
    }

    /// The migrations to a type, with its version and which type it is.
    fn migrations(&self, ty: &Type) -> Option<(&[Migration], u32, TypeId)> {
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

    /// Whether the type can be made of a value of that version. Each step is to an older version, so there is an end.
    fn reaches(&self, version: u32, ty: &Type, below: u32) -> bool {
        let Some((migrations, ..)) = self.migrations(ty) else { return false };
        migrations.iter().filter(|migration| migration.from < below).any(|migration| {
            migration.from == version || self.reaches(version, &migration.old, migration.from)
        })
    }
}
