//! Migrations: a value of an older version of a type becomes one of the program's version.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{Checkpoint, Types};
use crate::codec::Forms;
use crate::evolution::{Conversion, Key, Migrated, Migration, Program, Told};
use crate::schema::{Former, Schema, Type};

/// A migration before its older type is described.
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
            conversion: Conversion::new(
                FROM,
                || Forms::of(&Schema::of::<New>()),
                move |old: Old| migration(old).migrated(),
            ),
        }
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pending").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Program {
    pub(crate) fn of<T: Checkpoint>() -> Program {
        let mut types = Types::default();
        let root = T::schema(&mut types);
        Program::described((T::NAME, T::VERSION), root, types)
    }

    /// The program whose state has this name and version, from the description of its type.
    fn described((name, version): (&str, u32), root: Type, mut types: Types) -> Program {
        let schema = Schema { root: root.clone(), types: types.definitions.clone() };
        let has_foreign_parts = types.has_foreign_parts;
        let mut migrations: HashMap<Key, Vec<Migration>> = HashMap::new();
        let mut seen = HashSet::new();
        // The older type of a migration may have migrations itself.
        while let Some(Pending { into, from, old, conversion }) = types.migrations.pop() {
            // Each place where the type is met announces the migration once more.
            if seen.insert((into, from)) {
                let old = old(&mut types);
                // The older type has another name in Rust. The checkpoint knows it by the name of
                // the newer one.
                if let (Some(new), Type::Named(place)) = (types.place_of(into), &old) {
                    let mut names: Vec<String> =
                        types.former.get(&new).map_or(&[][..], Former::types).to_vec();
                    names.push(types.definitions[new].name.clone());
                    let former = types.former.entry(*place).or_default();
                    names.iter().for_each(|name| former.add_type(name));
                }
                migrations.entry(Key::Type(into)).or_default().push(Migration { from, old, conversion });
            }
        }
        let extended = Schema { root, types: types.definitions };
        let ids = types.defined.into_iter().map(|(place, id)| (place, Key::Type(id))).collect();
        let name = name.to_owned();
        let told = Told { name, version, ids, migrations, has_foreign_parts, former: types.former };
        Program::new(schema, extended, told)
    }
}
