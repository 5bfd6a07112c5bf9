//! One difference between a checkpoint and a program, and the advice for it.

use std::fmt;

/// One place where the state of a checkpoint differs from that of the program that reads it.
///
/// ```text
/// particles[].mass: f32 in the checkpoint, f64 in this program
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The kind of the difference.
    pub kind: DifferenceKind,
    /// The place in the state: `.` leads to a field, `[]` to the elements of a sequence and the
    /// values of a map, `[key]` to its keys, `::` to a variant. Empty for the state itself. A
    /// renamed field or variant has both names, `old → new`.
    pub path: String,
    /// The type, version or members in the checkpoint.
    pub checkpoint: String,
    /// The type, version or members in the program.
    pub program: String,
}

/// The kind of a difference between the state of a checkpoint and that of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// A field or a variant that only the program has. Such a field gets its default.
    Missing,
    /// A field or a variant that only the checkpoint has. Its value is dropped.
    Extra,
    /// A field or a variant of the program that the checkpoint has under an alias, with both types
    /// if they differ.
    Renamed,
    /// A type that changed its name alone: a struct with named fields or an enum of the program, or
    /// a type with the former name that the program gives it (`was_type`).
    TypeRenamed,
    /// Another type, and the program does not give it as a former name. It is not loaded: only the
    /// name tells the meaning of a type of another crate, or of a struct without named fields.
    OtherType,
    /// A value of another type. It is converted, and keeps its value.
    Converted,
    /// Fields or variants in another order. They are found by their names.
    Reordered,
    /// Another version of a type, and no migration from it. It is not loaded: the author declared
    /// that it has another meaning.
    Version,
    /// An older version of a type that a migration accepts.
    Migrated,
    /// The comparison ended here, because there is too much to compare. It is not loaded.
    Uncompared,
}

impl Difference {
    /// True if the value of the checkpoint can be looked up in the program's type.
    pub(crate) fn may_resolve(&self) -> bool {
        use DifferenceKind::{OtherType, Uncompared, Version};
        !matches!(self.kind, OtherType | Uncompared | Version)
    }

    /// True if both sides encode the value in the same bytes.
    pub(crate) fn is_name_alone(&self) -> bool {
        self.kind == DifferenceKind::TypeRenamed
    }

    /// The advice for a difference that is not loaded.
    pub(crate) fn way_out(&self) -> &'static str {
        match self.kind {
            DifferenceKind::Version => {
                ", and no migration from the one to the other (`migrate(from = …, with = …)` on the type, or on \
                 the state if the type is inside of one that has only serde's traits)"
            }
            DifferenceKind::OtherType => {
                ": another type may mean something else; if it is the same under another name, say so by `was_type = \
                 \"…\"`, in #[checkpointed(…)] on the type if it is yours, or else on the field"
            }
            _ => "",
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { kind, path, checkpoint, program } = self;
        let path = if path.is_empty() { "the state" } else { path };
        match kind {
            DifferenceKind::Migrated => write!(formatter, "{path}: migrated from {checkpoint} to {program}"),
            DifferenceKind::Renamed if checkpoint == program => write!(formatter, "{path}: {program}"),
            DifferenceKind::Renamed => write!(formatter, "{path}: {checkpoint} → {program}"),
            _ => write!(formatter, "{path}: {checkpoint} in the checkpoint, {program} in this program"),
        }
    }
}
