//! One difference, and what may be done about it.

use std::fmt;

/// One place where the state of a checkpoint differs from that of the program that reads it.
///
/// ```text
/// particles[].mass: f32 in the checkpoint, f64 in this program
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// In what they differ.
    pub kind: DifferenceKind,
    /// Where in the state: `.` leads to a field, `[]` to the elements of a sequence and the values of a map, `[key]`
    /// to its keys, `::` to a variant. Empty for the state itself. What was renamed has both names, `old → new`.
    pub path: String,
    /// What the checkpoint holds there.
    pub checkpoint: String,
    /// What the program expects there.
    pub program: String,
}

/// In what the state of a checkpoint and that of a program differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DifferenceKind {
    /// A field or a variant that only the program has. Such a field gets its default.
    Missing,
    /// A field or a variant that only the checkpoint has. What it holds is dropped.
    Extra,
    /// A field or a variant that the checkpoint has under an alias of it, with the types of both if they differ.
    Renamed,
    /// A type that has another name, and is the same apart from it: a struct with named fields or
    /// an enum of the program, or a type that the program says had that name (`was_type`).
    TypeRenamed,
    /// Another type, of which the program does not say that it had that name. It is not loaded: of
    /// the types of other crates, and of structs without names of fields, no more than the name
    /// tells what they mean.
    OtherType,
    /// A value of another type. It is converted, and is the same afterwards.
    Converted,
    /// Fields or variants in another order. They are found by their names.
    Reordered,
    /// Another version of a type, and no migration from it. It is not loaded: its author said that it means something
    /// else.
    Version,
    /// An older version of a type, which a migration takes.
    Migrated,
    /// Here the comparison ended, because there is too much to compare. It is not loaded.
    Uncompared,
}

impl Difference {
    /// Whether what was saved on the one side can be looked for on the other.
    pub(crate) fn may_resolve(&self) -> bool {
        use DifferenceKind::{OtherType, Uncompared, Version};
        !matches!(self.kind, OtherType | Uncompared | Version)
    }

    /// Whether what was saved on the one side is the same, byte by byte, on the other.
    pub(crate) fn is_name_alone(&self) -> bool {
        self.kind == DifferenceKind::TypeRenamed
    }

    /// What its author may do about a difference that is not loaded.
    pub(crate) fn way_out(&self) -> &'static str {
        match self.kind {
            DifferenceKind::Version => {
                ", and no migration from the one to the other (`migrate(from = …, with = …)` on the type)"
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
        if checkpoint.is_empty() && program.is_empty() {
            return formatter.write_str(path);
        }
        let path = if path.is_empty() { "the state" } else { path };
        match kind {
            DifferenceKind::Migrated => write!(formatter, "{path}: migrated from {checkpoint} to {program}"),
            DifferenceKind::Renamed if checkpoint == program => write!(formatter, "{path}: {program}"),
            DifferenceKind::Renamed => write!(formatter, "{path}: {checkpoint} → {program}"),
            _ => write!(formatter, "{path}: {checkpoint} in the checkpoint, {program} in this program"),
        }
    }
}
