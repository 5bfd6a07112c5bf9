//! Where a value of the writer is of another version than the reader's type, and what makes the one of the other.

use std::any::{Any, TypeId};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ptr;
use std::sync::Arc;

use serde::de::{Error as _, Visitor};

use super::cursor::Failure;
use super::value::Value;
use crate::state::Checkpoint;
use crate::state::arrays;
use crate::state::migrate::{self, Migrated};
use crate::state::schema::{Schema, Type};

/// All references to one definition are the same type; other types are where they stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    Definition(usize),
    Inline(*const Type),
}

impl Identity {
    pub(crate) fn of(ty: &Type) -> Identity {
        match ty {
            Type::Named(place) => Identity::Definition(*place),
            ty => Identity::Inline(ptr::from_ref(ty)),
        }
    }
}

type Convert = dyn Fn(Value<'_, '_>) -> Result<Box<dyn Any>, Failure> + Send + Sync;

/// Reads the older type, and makes the newer one of it.
#[derive(Clone)]
pub(crate) struct Conversion(Arc<Convert>);

impl Conversion {
    pub(crate) fn new<New, Old, R, F>(from: u32, migration: F) -> Conversion
    where
        New: Checkpoint,
        Old: Checkpoint,
        R: Migrated<New>,
        F: Fn(Old) -> R + Send + Sync + 'static,
    {
        Conversion(Arc::new(move |value| {
            let new = migration(Old::deserialize(value)?).migrated();
            let new = new.map_err(|why| {
                Failure::custom(format!("the migration from version {from} refused it: {why}"))
            })?;
            Ok(Box::new(new))
        }))
    }
}

impl fmt::Debug for Conversion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Conversion")
    }
}

/// What the comparison of the two schemas found out about versions.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// By the type of the checkpoint and that of the program.
    conversions: HashMap<(Identity, TypeId), Conversion>,
    /// The version of each type of the program; empty where no type on either side has another than 1.
    versions: HashMap<TypeId, u32>,
    /// Types of the checkpoint for which the program has some that tell no version: either side may only know from serde
    /// what they are, and then says version 1 of whatever it is.
    untold: HashSet<Identity>,
}

impl Plan {
    pub(crate) fn new(versions: HashMap<TypeId, u32>, checkpoint: &Schema) -> Plan {
        let all_first = checkpoint.types.iter().all(|definition| definition.version == 1)
            && versions.values().all(|version| *version == 1);
        Plan { versions: if all_first { HashMap::new() } else { versions }, ..Plan::default() }
    }

    pub(crate) fn convert(&mut self, checkpoint: &Type, program: TypeId, conversion: Conversion) {
        self.conversions.insert((Identity::of(checkpoint), program), conversion);
    }

    pub(crate) fn note_untold(&mut self, checkpoint: &Type) {
        self.untold.insert(Identity::of(checkpoint));
    }

    /// Refuses a value of another version that the comparison did not come upon, such as one that is only found under an
    /// alias.
    fn check(&self, schema: &Schema, found: &Type, program: TypeId, is_wrapper: bool) -> Result<(), Failure> {
        let Some(version) = self.versions.get(&program).copied() else { return Ok(()) };
        let told: Vec<u32> = migrate::chain(schema, found)
            .map(|ty| migrate::own_version(schema, ty))
            .filter(|version| *version != 1)
            .collect();
        let fits = match version {
            // What a wrapper holds is looked at when its turn comes.
            1 => told.is_empty() || is_wrapper,
            _ if told.is_empty() => {
                migrate::chain(schema, found).any(|ty| self.untold.contains(&Identity::of(ty)))
            }
            version => told.contains(&version),
        };
        if fits {
            return Ok(());
        }
        let found = told.first().copied().unwrap_or(1);
        Err(Failure::custom(format!(
            "version {found} in the checkpoint, version {version} in this program, and no migration at this place"
        )))
    }
}

impl<'a> Value<'_, 'a> {
    /// The value made of an older version of it, where that is what the checkpoint has and the reader is the type's own.
    pub(super) fn migrated<'de, V: Visitor<'de>>(
        &mut self,
        is_wrapper: bool,
    ) -> Option<Result<V::Value, Failure>> {
        let plan: &'a Plan = self.cursor.plan();
        if plan.versions.is_empty() {
            return None;
        }
        let program = typeid::of::<V::Value>();
        let Some(conversion) = plan.conversions.get(&(Identity::of(self.ty), program)) else {
            return plan.check(self.cursor.schema(), self.ty, program, is_wrapper).err().map(Err);
        };
        let ty = self.ty;
        let converted = self.cursor.deeper(|cursor| (conversion.0)(Value { cursor, ty }));
        Some(converted.and_then(|new| {
            arrays::owned(new).ok_or_else(|| Failure::custom("a migration makes another type than is wanted"))
        }))
    }
}
