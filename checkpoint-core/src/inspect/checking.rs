//! Tells what a load of a checkpoint by a program would do, without the program.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::File;
use crate::container::GROUP;
use crate::evolution::{self, Compared, Difference, DifferenceKind};
use crate::state::ExpectedSchema;

/// What a load of a checkpoint by a program would do, field by field.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Check {
    /// The path of the checkpoint.
    pub path: PathBuf,
    /// The number of the generation.
    pub generation: u64,
    /// The differences between the two, each with what becomes of it.
    pub fields: Vec<CheckedField>,
}

/// One difference between a checkpoint and a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CheckedField {
    /// The place in the state, as in [`Difference::path`]; empty for the state itself.
    pub path: String,
    /// The type or the version in the checkpoint.
    pub checkpoint: String,
    /// The type or the version in the program.
    pub program: String,
    /// What a load makes of it.
    pub outcome: Outcome,
}

/// What a load makes of a field that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// It is found by its name, and its value is the same.
    Found,
    /// Its values are converted. A load refuses one that does not fit.
    Converted,
    /// A migration of the program makes it of the older value.
    Migrated,
    /// Only the checkpoint has it: it is dropped.
    Dropped,
    /// Only the program has it: it gets its default.
    Default,
    /// Only the program has it, and its type is of another crate: it gets its default if it has one.
    Unknown,
    /// Only the checkpoint has this variant: a load refuses a value of it.
    RefusedIfUsed,
    /// A load refuses the checkpoint because of it.
    Refused,
}

impl Outcome {
    /// True if a load may fail because of it.
    #[must_use]
    pub fn depends_on_values(self) -> bool {
        matches!(self, Outcome::Converted | Outcome::Migrated | Outcome::Unknown | Outcome::RefusedIfUsed)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Outcome::Found => "found by its name",
            Outcome::Converted => "converted, if every value fits",
            Outcome::Migrated => "migrated",
            Outcome::Dropped => "dropped",
            Outcome::Default => "gets its default",
            Outcome::Unknown => "gets its default, if it has one; refused otherwise",
            Outcome::RefusedIfUsed => "refused, if a value has it",
            Outcome::Refused => "refused",
        })
    }
}

impl Check {
    /// True if a load by the program would refuse the checkpoint, whatever its values are.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.fields.iter().any(|field| field.outcome == Outcome::Refused)
    }

    /// True if the values decide, at some of the fields, if the checkpoint loads.
    #[must_use]
    pub fn depends_on_values(&self) -> bool {
        self.fields.iter().any(|field| field.outcome.depends_on_values())
    }
}

/// Compares a checkpoint with the types that a program loads. It reads only the manifest.
///
/// ```
/// use checkpointed::inspect::{self, File, Outcome};
/// use checkpointed::{Checkpointer, ExpectedSchema, Protection};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// Checkpointer::open(&path)?.save(&(7_u32, "text".to_owned()))?;
/// let file = File::open_generation(&path, 1, &Protection::new())?;
/// let check = inspect::check(&file, &ExpectedSchema::of::<(u64, String)>());
/// assert_eq!((check.fields[0].path.as_str(), check.fields[0].outcome), (".0", Outcome::Converted));
/// assert!(inspect::check(&file, &ExpectedSchema::of::<(u64, f64)>()).is_refused());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn check(file: &File, expected: &ExpectedSchema) -> Check {
    let manifest = file.manifest();
    let program = expected.program();
    let Compared { differences, has_more, defaults, impossible, .. } =
        evolution::compare(manifest.schema(), &program);
    let state = |checkpoint: &str, program: &str| CheckedField {
        path: String::new(),
        checkpoint: checkpoint.to_owned(),
        program: program.to_owned(),
        outcome: Outcome::Refused,
    };
    let mut fields = Vec::new();
    let (name, found) = (expected.name(), manifest.name());
    if (found == GROUP) != (name == GROUP) {
        fields.push(state("a group of states", "one state: check a part of it, in `ranks`"));
    } else if !name.is_empty() && ![name, ""].contains(&found) && !program.was_called(found) {
        fields.push(state(&format!("name {found}"), &format!("name {name}")));
    }
    let is_migrated =
        |difference: &Difference| difference.kind == DifferenceKind::Migrated && difference.path.is_empty();
    let has_version =
        |difference: &Difference| difference.kind == DifferenceKind::Version && difference.path.is_empty();
    if manifest.version() != expected.version()
        && !differences.iter().any(|difference| is_migrated(difference) || has_version(difference))
    {
        let version = |version: u32| format!("version {version}");
        fields.push(state(&version(manifest.version()), &version(expected.version())));
    }
    fields.extend(differences.into_iter().map(|difference| {
        let outcome = match difference.kind {
            DifferenceKind::Converted if impossible.contains(&difference.path) => Outcome::Refused,
            _ => outcome(&difference, defaults.get(&difference.path).copied()),
        };
        let Difference { path, checkpoint, program, .. } = difference;
        CheckedField { path, checkpoint, program, outcome }
    }));
    if has_more {
        fields.push(state("more differences than are listed", "too many for a load"));
    }
    Check { path: file.path().to_owned(), generation: manifest.generation(), fields }
}

/// What a load makes of a difference. `default` is what is known of the default of a field that the
/// checkpoint lacks.
fn outcome(difference: &Difference, default: Option<Option<bool>>) -> Outcome {
    match difference.kind {
        DifferenceKind::Missing => match default {
            Some(Some(true)) => Outcome::Default,
            Some(Some(false)) => Outcome::Refused,
            Some(None) => Outcome::Unknown,
            // A variant that only the program has.
            None => Outcome::Found,
        },
        DifferenceKind::Extra if difference.checkpoint == "a variant" => Outcome::RefusedIfUsed,
        DifferenceKind::Extra => Outcome::Dropped,
        DifferenceKind::Renamed => match difference.checkpoint == difference.program {
            true => Outcome::Found,
            false => Outcome::Converted,
        },
        DifferenceKind::TypeRenamed | DifferenceKind::Reordered => Outcome::Found,
        DifferenceKind::Converted => Outcome::Converted,
        DifferenceKind::Migrated => Outcome::Migrated,
        DifferenceKind::OtherType | DifferenceKind::Version | DifferenceKind::Uncompared => Outcome::Refused,
    }
}
