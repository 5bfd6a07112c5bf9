//! The mark of a checkpoint whose state was computed from inputs that changed meanwhile.

use std::fmt;
use std::sync::Arc;

use crate::container::Metadata;

/// The name of the mark in the metadata of a generation; its value names the inputs.
pub(crate) const INPUTS_CHANGED: &str = "inputs that changed while the state was computed";

/// Looks at the inputs of a state just before it is saved, and marks the save where they changed.
#[derive(Clone, Default)]
pub(crate) struct Stamp(Option<Arc<Look>>);

/// Returns the names of the inputs that changed.
type Look = dyn Fn() -> Vec<String> + Send + Sync;

impl Stamp {
    pub(crate) fn new(look: impl Fn() -> Vec<String> + Send + Sync + 'static) -> Stamp {
        Stamp(Some(Arc::new(look)))
    }

    /// Adds the mark to the metadata of a save, where an input changed.
    pub(crate) fn mark(&self, metadata: Metadata) -> Metadata {
        let changed = self.0.as_ref().map(|look| look()).unwrap_or_default();
        if changed.is_empty() { metadata } else { metadata.with(INPUTS_CHANGED, changed.join(", ")) }
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_some() { "stamp" } else { "none" })
    }
}
