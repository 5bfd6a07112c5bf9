//! What a load came to.

use std::path::PathBuf;
use std::time::Duration;

use crate::container::Manifest;
use crate::error::Skipped;
use crate::evolution::Difference;

/// What the last load found.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadReport {
    /// The directory that the state was loaded from.
    pub path: PathBuf,
    /// What the loaded generation says of itself.
    pub manifest: Manifest,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
    /// The newer generations that could not be used, newest first, each with its reason.
    pub skipped: Vec<Skipped>,
    /// The newest generation that the history says was saved, where even the newest that is there is older: it was lost,
    /// as by a copy that is not complete.
    pub missing: Option<u64>,
    /// In what the program's state differs from the one that was saved. It was found by its names: what is missing
    /// has its default, what is extra was dropped, what is converted has the same value. Empty where nothing changed.
    pub differences: Vec<Difference>,
}

impl LoadReport {
    /// The generation that was loaded.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.manifest.generation()
    }
}
