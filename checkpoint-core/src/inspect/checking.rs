//! Tells what a load of a checkpoint by a program would do, without the program.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::File;
use crate::codec::CODEC;
use crate::evolution::{self, Compared, Difference, DifferenceKind};
use crate::run::{reader, stamp};
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
    pub outcome: FieldOutcome,
}

/// What a load makes of a field that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FieldOutcome {
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
    /// Only the program has it, and its type is of another crate: it gets its default if it has
    /// one.
    Unknown,
    /// Only the checkpoint has this variant: a load refuses a value of it.
    RefusedIfUsed,
    /// A load refuses the checkpoint because of it.
    Refused,
}

impl fmt::Display for FieldOutcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            FieldOutcome::Found => "found by its name",
            FieldOutcome::Converted => "converted, if every value fits",
            FieldOutcome::Migrated => "migrated",
            FieldOutcome::Dropped => "dropped",
            FieldOutcome::Default => "gets its default",
            FieldOutcome::Unknown => "gets its default, if it has one; refused otherwise",
            FieldOutcome::RefusedIfUsed => "refused, if a value has it",
            FieldOutcome::Refused => "refused",
        })
    }
}

impl Check {
    /// True if a load by the program would refuse the checkpoint, whatever its values are.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.fields.iter().any(|field| field.outcome == FieldOutcome::Refused)
    }

    /// True if the values decide, at some of the fields, if the checkpoint loads.
    #[must_use]
    pub fn depends_on_values(&self) -> bool {
        use FieldOutcome::{Converted, Migrated, RefusedIfUsed, Unknown};
        let may_fail = |outcome| matches!(outcome, Converted | Migrated | Unknown | RefusedIfUsed);
        self.fields.iter().any(|field| may_fail(field.outcome))
    }
}

/// Compares a checkpoint with the types that a program loads. It reads only the manifest.
///
/// ```
/// use checkpointed::inspect::{self, File, FieldOutcome};
/// use checkpointed::{Checkpointer, ExpectedSchema, Protection};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// Checkpointer::open(&path)?.save(&(7_u32, "text".to_owned()))?;
/// let file = File::open_generation(&path, 1, &Protection::new())?;
/// let check = inspect::check(&file, &ExpectedSchema::of::<(u64, String)>());
/// assert_eq!((check.fields[0].path.as_str(), check.fields[0].outcome), (".0", FieldOutcome::Converted));
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
        outcome: FieldOutcome::Refused,
    };
    let mut fields = Vec::new();
    if let Some(inputs) = stamp::mark_of(manifest) {
        fields.push(state(&format!("inputs that changed meanwhile: {inputs}"), "only inputs that stayed"));
    }
    if !manifest.has_known_codec() {
        fields.push(state(&format!("codec {}", manifest.codec), &format!("codec {CODEC}")));
    }
    let (name, version) = (expected.name(), expected.version());
    if !reader::is_of_kind(manifest, &program) {
        fields.push(state("a group of states", "one state: check a part of it, in `ranks`"));
    } else if !reader::has_name(manifest, &program) {
        fields.push(state(&format!("name {}", manifest.name()), &format!("name {name}")));
    }
    let is_told =
        |difference: &Difference| difference.kind == DifferenceKind::Version && difference.path.is_empty();
    if !reader::has_version(manifest, &program, &differences) && !differences.iter().any(is_told) {
        let (found, version) = (format!("version {}", manifest.version()), format!("version {version}"));
        fields.push(state(&found, &version));
    }
    fields.extend(differences.into_iter().map(|difference| {
        let outcome = match difference.kind {
            DifferenceKind::Converted if impossible.contains(&difference.path) => FieldOutcome::Refused,
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
fn outcome(difference: &Difference, default: Option<Option<bool>>) -> FieldOutcome {
    match difference.kind {
        DifferenceKind::Missing => match default {
            Some(Some(true)) => FieldOutcome::Default,
            Some(Some(false)) => FieldOutcome::Refused,
            Some(None) => FieldOutcome::Unknown,
            // A variant that only the program has.
            None => FieldOutcome::Found,
        },
        DifferenceKind::Extra if difference.checkpoint == "a variant" => FieldOutcome::RefusedIfUsed,
        DifferenceKind::Extra => FieldOutcome::Dropped,
        DifferenceKind::Renamed => match difference.checkpoint == difference.program {
            true => FieldOutcome::Found,
            false => FieldOutcome::Converted,
        },
        DifferenceKind::TypeRenamed | DifferenceKind::Reordered => FieldOutcome::Found,
        DifferenceKind::Converted => FieldOutcome::Converted,
        DifferenceKind::Migrated => FieldOutcome::Migrated,
        DifferenceKind::OtherType | DifferenceKind::Version | DifferenceKind::Uncompared => {
            FieldOutcome::Refused
        }
    }
}
