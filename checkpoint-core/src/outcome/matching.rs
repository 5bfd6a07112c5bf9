//! The outcome of a partial load.

use std::fmt;
use std::path::PathBuf;

use crate::container::Manifest;
use crate::evolution::Difference;

/// The outcome of a [partial load](crate::CheckpointReader::load_matching), field by field. It
/// displays as one line for each field that was not taken.
///
/// Paths are those of [`Difference::path`]: `.` leads to a field.
#[derive(Clone, Debug)]
#[non_exhaustive]
#[must_use = "some fields may not be loaded"]
pub struct Matching {
    /// The directory that the fields were loaded from.
    pub path: PathBuf,
    /// The manifest of the loaded generation.
    pub manifest: Manifest,
    /// The fields that were taken from the checkpoint.
    pub taken: Vec<String>,
    /// The fields of the program that keep their values, each with the reason.
    pub kept: Vec<KeptField>,
    /// The fields that only the checkpoint has.
    pub unused: Vec<String>,
    /// The conversions of the fields that were taken, as in
    /// [`LoadReport::differences`](crate::reports::LoadReport::differences).
    pub differences: Vec<Difference>,
}

/// A field that was not taken from a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptField {
    /// Its place in the state; empty for the whole state.
    pub path: String,
    /// The reason.
    pub why: String,
}

impl Matching {
    /// Returns the generation that was loaded.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.manifest.generation()
    }

    /// Returns true if every field of the program was taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.kept.is_empty()
    }
}

impl fmt::Display for KeptField {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "the state" } else { &self.path };
        write!(formatter, "{path}: not loaded, {}", self.why)
    }
}

impl fmt::Display for Matching {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unused = self.unused.iter().map(|path| format!("{path}: only in the checkpoint"));
        let lines: Vec<String> = self.kept.iter().map(ToString::to_string).chain(unused).collect();
        formatter.write_str(&lines.join("\n"))
    }
}
