//! Migrations: how a value of an older version of a type becomes one of the version that the program has.

use std::any::TypeId;
use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::fmt;

use super::Checkpoint;
use super::codec::{Forms, Room};
use super::former::Former;
use super::resolve::Conversion;
use super::schema::{Body, Fields, Schema, Type, Types};

/// What a migration returns: the new value, or a `Result` of it.
#[diagnostic::on_unimplemented(
    message = "a migration to `{New}` returns that, or a `Result` of it, not `{Self}`",
    label = "not a migration to `{New}`"
)]
pub trait Migrated<New> {
    /// The new value, or why there is none.
    ///
    /// # Errors
    /// What the migration said.
    fn migrated(self) -> Result<New, String>;
}

impl<New> Migrated<New> for New {
    fn migrated(self) -> Result<New, String> {
        Ok(self)
    }
}

impl<New, E: fmt::Display> Migrated<New> for Result<New, E> {
    fn migrated(self) -> Result<New, String> {
        self.map_err(|error| error.to_string())
    }
}

/// A migration whose older type was not described yet.
pub(super) struct Pending {
    into: TypeId,
    from: u32,
    old: fn(&mut Types) -> Type,
    conversion: Conversion,
}

impl Pending {
    pub(super) fn new<const FROM: u32, New, Old, R, F>(migration: F) -> Pending
    where
        New: Checkpoint,
        Old: Checkpoint,
        R: Migrated<New>,
        F: Fn(Old) -> R + Send + Sync + 'static,
    {
        const {
            assert!(
                Old::VERSION == FROM,
                "the type that a migration takes must have the version that it is from: write `version = …` on it"
            );
            assert!(FROM < New::VERSION, "a migration is from an older version");
        }
        Pending {
            into: TypeId::of::<New>(),
            from: FROM,
            old: Old::schema,
            conversion: Conversion::new(FROM, migration),
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pending").field("from", &self.from).finish_non_exhaustive()
    }
}

/// One step from an older version of a type.
#[derive(Debug)]
pub(super) struct Migration {
    pub(super) from: u32,
    /// The type that it takes.
    pub(super) old: Type,
    pub(super) conversion: Conversion,
}

/// A migration, the version that it leads to, and the type of the program that has it.
pub(super) struct Step<'a> {
    pub(super) migration: &'a Migration,
    pub(super) to: u32,
    pub(super) program: TypeId,
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
    pub(crate) fn of<T: Checkpoint>() -> Program {
        let mut types = Types::default();
        let root = T::schema(&mut types);
        let schema = Schema { root: root.clone(), types: types.definitions.clone() };
        let has_foreign_parts = types.has_foreign_parts;
        let mut migrations: HashMap<TypeId, Vec<Migration>> = HashMap::new();
        let mut seen = HashSet::new();
        // What a migration takes may have migrations itself.
        while let Some(Pending { into, from, old, conversion }) = types.migrations.pop() {
            // It is told of each time that its type is met.
            if seen.insert((into, from)) {
                let old = old(&mut types);
                // It has another name in Rust than in the checkpoint, which knows it as the newer one.
                if let (Some(new), Type::Named(place)) = (types.place_of(into), &old) {
                    let mut names: Vec<String> =
                        types.former.get(&new).map_or(&[][..], Former::types).to_vec();
                    names.push(types.definitions[new].name.clone());
                    let former = types.former.entry(*place).or_default();
                    names.iter().for_each(|name| former.add_type(name));
                }
                migrations.entry(into).or_default().push(Migration { from, old, conversion });
            }
        }
        migrations.values_mut().for_each(|list| list.sort_by_key(|migration| Reverse(migration.from)));
        let extended = Schema { root, types: types.definitions };
        let (forms, room) = (Forms::of(&schema), Room::of(&extended));
        let (ids, former) = (types.defined, types.former);
        Program { schema, extended, ids, migrations, has_foreign_parts, former, forms, room }
    }

    /// What the definition at this place, and its members, were called before.
    pub(super) fn former(&self, place: usize) -> Option<&Former> {
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

    pub(super) fn extended(&self) -> &Schema {
        &self.extended
    }

    /// The versions of the types that tell them.
    pub(super) fn versions(&self) -> HashMap<TypeId, u32> {
        let of_place = |(place, id): (&usize, &TypeId)| Some((*id, self.extended.types.get(*place)?.version));
        self.ids.iter().filter_map(of_place).collect()
    }

    /// Whether the type, or the one that it wraps, tells its version.
    pub(super) fn tells(&self, ty: &Type) -> bool {
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
    pub(super) fn step_from(&self, version: u32, ty: &Type) -> Option<Step<'_>> {
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

/// The type, the one that it wraps, and so on: as a program sees them, all of these are at one place.
pub(super) fn chain<'a>(schema: &'a Schema, ty: &'a Type) -> impl Iterator<Item = &'a Type> {
    // There cannot be more wrappers than definitions, unless they go in a circle.
    std::iter::successors(Some(ty), |ty| wrapped(schema, ty)).take(schema.types.len() + 1)
}

/// What a type wraps, if it does nothing else.
pub(super) fn wrapped<'a>(schema: &'a Schema, ty: &Type) -> Option<&'a Type> {
    let Type::Named(place) = ty else { return None };
    match &schema.types.get(*place)?.body {
        Body::Struct(Fields::Newtype(inner)) => Some(inner),
        _ => None,
    }
}

/// The version of a type: of the first in it that is not the usual 1.
pub(super) fn version(schema: &Schema, ty: &Type) -> u32 {
    let mut versions = chain(schema, ty).map(|ty| own_version(schema, ty));
    versions.find(|version| *version != 1).unwrap_or(1)
}

/// The version that a type tells, whatever it wraps.
pub(super) fn own_version(schema: &Schema, ty: &Type) -> u32 {
    match ty {
        Type::Named(place) => schema.types.get(*place).map_or(1, |definition| definition.version),
        _ => 1,
    }
}
