//! [`ExpectedSchema`]: the types that a program loads, to be asked about without the program.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Checkpoint;
use crate::evolution::{Conversion, Key, Migration, Program, Told};
use crate::schema::{Former, Schema, Type};

/// The form of [`ExpectedSchema`] in JSON.
const FORM: u32 = 1;

/// The types that a program loads: its schema, with its defaults, former names and migrations.
/// Displays as JSON, which `ckpt check` compares with a checkpoint before the program runs.
///
/// ```
/// use checkpointed::{ExpectedSchema, checkpointed};
///
/// #[checkpointed]
/// struct State { step: u64, field: Vec<f64> }
///
/// if std::env::args().any(|argument| argument == "--schema") {
///     println!("{}", ExpectedSchema::of::<State>());
///     return; // ./program --schema | ckpt check run.ckpt -
/// }
/// # let text = ExpectedSchema::of::<State>().to_string();
/// # assert_eq!(text.parse::<ExpectedSchema>().unwrap().to_string(), text);
/// ```
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExpectedSchema {
    expected_schema: u32,
    name: String,
    version: u32,
    /// With the types that migrations accept.
    schema: Schema,
    /// The places of the types that declare their versions themselves.
    told: Vec<usize>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    migrations: Vec<Step>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    former: BTreeMap<usize, Former>,
}

/// One migration.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Step {
    /// The place of the type that it leads to.
    into: usize,
    from: u32,
    old: Type,
}

impl ExpectedSchema {
    /// The types that a program with the state `T` loads.
    #[must_use]
    pub fn of<T: Checkpoint>() -> ExpectedSchema {
        let program = Program::of::<T>();
        let migrations = program.all_migrations().into_iter();
        let migrations = migrations.map(|(into, from, old)| Step { into, from, old: old.clone() }).collect();
        ExpectedSchema {
            expected_schema: FORM,
            name: T::NAME.to_owned(),
            version: T::VERSION,
            schema: program.extended().clone(),
            told: program.places_that_tell(),
            migrations,
            former: program.all_former().iter().map(|(place, former)| (*place, former.clone())).collect(),
        }
    }

    /// Returns the name of the state; empty where its type has none of its own.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the version of the state.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The schema, with the types that migrations accept.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The program's knowledge, without its functions.
    pub(crate) fn program(&self) -> Program {
        let mut migrations: HashMap<Key, Vec<Migration>> = HashMap::new();
        for Step { into, from, old } in &self.migrations {
            let migration = Migration { from: *from, old: old.clone(), conversion: Conversion::elsewhere() };
            migrations.entry(Key::Place(*into)).or_default().push(migration);
        }
        let ids = self.told.iter().map(|place| (*place, Key::Place(*place))).collect();
        let former = self.former.clone().into_iter().collect();
        let (name, version) = (self.name.clone(), self.version);
        let told = Told { name, version, ids, migrations, has_foreign_parts: true, former };
        Program::elsewhere(self.schema.clone(), told)
    }
}

impl fmt::Display for ExpectedSchema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for ExpectedSchema {
    type Err = String;

    /// Reads the JSON that a program printed.
    ///
    /// # Errors
    /// What is wrong with it, and what to do.
    fn from_str(text: &str) -> Result<ExpectedSchema, String> {
        #[derive(Deserialize)]
        struct FormOf {
            expected_schema: u32,
        }
        let again = "let the program print it again: `println!(\"{}\", ExpectedSchema::of::<State>())`";
        let wrong = |error| format!("it is not the schema of a program ({error}); {again}");
        let form: FormOf = serde_json::from_str(text).map_err(wrong)?;
        if form.expected_schema > FORM {
            return Err(format!(
                "a newer version of the library printed it, in form {}, and this one knows up to {FORM}",
                form.expected_schema
            ));
        }
        let expected: ExpectedSchema = serde_json::from_str(text).map_err(wrong)?;
        let count = expected.schema.types.len();
        let old = |step: &Step| Schema { root: step.old.clone(), types: expected.schema.types.clone() };
        let is_whole = expected.schema.is_closed()
            && expected.migrations.iter().all(|step| step.into < count && old(step).is_closed());
        if is_whole {
            Ok(expected)
        } else {
            Err(format!("it refers to types that it does not have; {again}"))
        }
    }
}
