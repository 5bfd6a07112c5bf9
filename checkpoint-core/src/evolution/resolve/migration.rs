//! Converts values of the writer that have another version than the reader's type.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ptr;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _, Visitor};

use super::cursor::Failure;
use super::other::Other;
use super::value::Value;
use crate::arrays::Copied;
use crate::codec::{self, Forms, Reader, Room};
use crate::evolution::program::Key;
use crate::schema::{self, Schema, Type};

/// The identity of a type: one for all references to a definition, and one for each place of any
/// other type.
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

/// A value of the newer type, as it would have been saved.
pub(super) struct Converted {
    bytes: Vec<u8>,
    arrays: Copied,
    room: Room,
}

type Convert = dyn Fn(Value<'_, '_>) -> Result<Converted, Failure> + Send + Sync;

/// Reads the older type, and converts it into the newer one.
///
/// The reader of the newer type then reads the result from its bytes. It cannot take the value
/// itself: its type may differ from that of the migration's result in lifetimes, and a `TypeId`
/// ignores lifetimes.
#[derive(Clone)]
pub(crate) struct Conversion(Arc<Convert>);

/// The begin of what a migration is said to refuse.
const MIGRATION: &str = "the migration from version";

/// True for the sentence of a failure that a migration itself is the reason of.
pub(crate) fn is_of_migration(why: &str) -> bool {
    why.contains(MIGRATION)
}

impl Conversion {
    /// Makes a conversion. `forms` are those in which a `New` is read.
    pub(crate) fn new<Old: DeserializeOwned, New: Serialize>(
        from: u32,
        forms: fn() -> Forms,
        migration: impl Fn(Old) -> Result<New, String> + Send + Sync + 'static,
    ) -> Conversion {
        let known = OnceLock::new();
        Conversion(Arc::new(move |value| {
            let forms = known.get_or_init(forms);
            let new = migration(Old::deserialize(value)?)
                .map_err(|why| Failure::custom(format!("{MIGRATION} {from} refused it: {why}")))?;
            let mut converted =
                Converted { bytes: Vec::new(), arrays: Copied::default(), room: forms.room() };
            codec::encode(&new, forms, &mut converted.bytes, &mut converted.arrays)
                .map_err(|why| Failure::custom(format!("the result of {MIGRATION} {from}: {why}")))?;
            Ok(converted)
        }))
    }
}

impl Conversion {
    /// Stands for a conversion of another process, which cannot run here.
    pub(crate) fn elsewhere() -> Conversion {
        Conversion(Arc::new(|_| Err(Failure::custom("the migration is in another program"))))
    }
}

impl fmt::Debug for Conversion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Conversion")
    }
}

/// The result of the comparison of the two schemas, as far as versions go.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The conversions, by the type of the checkpoint and that of the program.
    conversions: HashMap<(Identity, Key), (Conversion, Type)>,
    /// The version of each type of the program; empty where every type on both sides has version 1.
    versions: HashMap<Key, u32>,
    /// Types of the checkpoint that meet types of the program without a declared version. Either
    /// side may know its type only from serde, and then gives it version 1.
    untold: HashSet<Identity>,
}

impl Plan {
    pub(crate) fn new(versions: HashMap<Key, u32>, checkpoint: &Schema) -> Plan {
        let all_first = checkpoint.types.iter().all(|definition| definition.version == 1)
            && versions.values().all(|version| *version == 1);
        Plan { versions: if all_first { HashMap::new() } else { versions }, ..Plan::default() }
    }

    /// Adds a conversion. `old` is the type that it accepts.
    pub(crate) fn convert(&mut self, checkpoint: &Type, program: Key, conversion: Conversion, old: Type) {
        self.conversions.insert((Identity::of(checkpoint), program), (conversion, old));
    }

    pub(crate) fn note_untold(&mut self, checkpoint: &Type) {
        self.untold.insert(Identity::of(checkpoint));
    }

    /// The conversion of a type of the checkpoint, or of one in the options there: with that type.
    fn conversion_in<'c>(
        &self,
        schema: &'c Schema,
        found: &'c Type,
        program: Key,
    ) -> Option<(&(Conversion, Type), &'c Type)> {
        let mut is_inside = true;
        for ty in schema::chain_in_options(schema, found) {
            if is_inside && let Some(conversion) = self.conversions.get(&(Identity::of(ty), program)) {
                return Some((conversion, ty));
            }
            // The type inside of a version is not that version.
            if schema::own_version(schema, ty) != 1 {
                return None;
            }
            is_inside = matches!(ty, Type::Option(_)) || is_inside && !ptr::eq(ty, found);
        }
        None
    }

    fn version(&self, program: Key) -> Option<u32> {
        self.versions.get(&program).copied()
    }

    /// Refuses a value of another version that the comparison did not reach, such as one that is
    /// only found under an alias.
    fn check(&self, schema: &Schema, found: &Type, program: Key, is_wrapper: bool) -> Result<(), Failure> {
        let Some(version) = self.version(program) else { return Ok(()) };
        let told: Vec<u32> = schema::chain_in_options(schema, found)
            .map(|ty| schema::own_version(schema, ty))
            .filter(|version| *version != 1)
            .collect();
        let fits = match version {
            // The type inside a wrapper is checked when its turn comes.
            1 => told.is_empty() || is_wrapper,
            _ if told.is_empty() => {
                schema::chain_in_options(schema, found).any(|ty| self.untold.contains(&Identity::of(ty)))
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

/// A value whose version was looked at.
pub(super) enum Arrived<'r, 'a> {
    /// A value of the version of the reader, or of one that is not known.
    Present(Value<'r, 'a>),
    /// A value of an older version, and its conversion.
    Older(Value<'r, 'a>, &'a (Conversion, Type)),
    /// An empty option.
    Nothing,
}

impl<'r, 'a> Value<'r, 'a> {
    /// Looks at the version of the value, if the reader is of the type itself. Goes into options
    /// that the reader does not have, where the older version or a newtype is in them.
    pub(super) fn arrived<V: Visitor<'a>>(mut self, is_wrapper: bool) -> Result<Arrived<'r, 'a>, Failure> {
        let plan: &'a Plan = self.cursor.plan();
        if plan.versions.is_empty() {
            return Ok(Arrived::Present(self));
        }
        let (schema, program) = (self.cursor.schema(), Key::Type(typeid::of::<V::Value>()));
        if let Some((conversion, older)) = plan.conversion_in(schema, self.ty, program) {
            while !ptr::eq(self.ty, older) {
                match schema::wrapped(schema, self.ty) {
                    Some(inside) => self.ty = inside,
                    None if self.enter_option()? => {}
                    None => return Ok(Arrived::Nothing),
                }
            }
            return Ok(Arrived::Older(self, conversion));
        }
        if is_wrapper && self.other.is_no_option() {
            while matches!(self.ty, Type::Option(_)) {
                if !self.enter_option()? {
                    return Ok(Arrived::Nothing);
                }
            }
        }
        plan.check(schema, self.ty, program, is_wrapper)?;
        Ok(Arrived::Present(self))
    }

    /// The type inside a newtype of the checkpoint, for a newtype of the program. A version of the
    /// checkpoint is not that of a newtype that has none.
    pub(super) fn inside_newtype<V: Visitor<'a>>(&self) -> &'a Type {
        let (plan, schema) = (self.cursor.plan(), self.cursor.schema());
        let version = plan.version(Key::Type(typeid::of::<V::Value>())).unwrap_or(1);
        let is_kept = !plan.versions.is_empty() && version == 1 && schema::own_version(schema, self.ty) != 1;
        schema::wrapped(schema, self.ty).filter(|_| !is_kept).unwrap_or(self.ty)
    }

    /// Converts the value, and calls `read` on the bytes of the result.
    pub(super) fn convert<R>(
        self,
        (conversion, old): &'a (Conversion, Type),
        read: impl FnOnce(&mut Reader<'a, '_>) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let Value { cursor, ty, .. } = self;
        let other = Other::of_type(cursor.program(), old);
        cursor.deeper(|cursor| {
            let Converted { bytes, mut arrays, room } = (conversion.0)(Value { cursor, ty, other })?;
            let (bytes, arena): (&'a [u8], _) = (cursor.keep(bytes), cursor.arena());
            let elements = codec::allowed_elements(bytes.len());
            let mut reader = Reader::new(bytes, arena, elements, room, &mut arrays);
            let value = read(&mut reader);
            match reader.end(value) {
                (Ok(_), [_, ..], _) => {
                    Err(Failure::custom("the result of a migration is not read to its end"))
                }
                (value, ..) => value,
            }
        })
    }
}
