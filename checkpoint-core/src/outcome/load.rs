//! The outcome of a load.

use std::path::PathBuf;
use std::time::Duration;

use crate::container::{ConfigDifference, Manifest};
use crate::error::Skipped;
use crate::evolution::Difference;

/// The outcome of the last load.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadReport {
    /// The directory that the state was loaded from.
    pub path: PathBuf,
    /// The manifest of the loaded generation.
    pub manifest: Manifest,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// The time that the load took.
    pub duration: Duration,
    /// The newer generations that could not be used, newest first, each with its reason.
    pub skipped: Vec<Skipped>,
    /// The newest generation according to the history, if even the newest one present is older: it
    /// was lost, for example by an incomplete copy.
    pub missing: Option<u64>,
    /// The differences between the program's state and the saved one. Values were found by their
    /// names: a missing one got its default, an extra one was dropped, a converted one kept its
    /// value. Empty if the types are the same.
    pub differences: Vec<Difference>,
    /// The differences between the [configuration](crate::Builder::config) in the checkpoint and
    /// that of the program, sorted by path; also those that the program allows. Empty where one of
    /// the two has none.
    pub config_differences: Vec<ConfigDifference>,
}

impl LoadReport {
    /// Returns the generation that was loaded.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.manifest.generation()
    }

    /// The skipped generations that the system did not give, newest first. They may be whole.
    #[cfg(feature = "scopes")]
    pub(crate) fn unread(&self) -> Vec<u64> {
        let unread = self.skipped.iter().filter(|skipped| skipped.error.is_unread());
        unread.map(|skipped| skipped.generation).collect()
    }
}
