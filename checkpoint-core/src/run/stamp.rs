//! The checkpoints inside a step of a pipeline: the mark of one whose state was computed from inputs that
//! changed meanwhile, and the note that the step went on from an earlier one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::container::{Manifest, Metadata, MetadataValue};
use crate::error::Error;

/// The name of the mark in the metadata of a generation; its value names the inputs.
const INPUTS_CHANGED: &str = "inputs that changed while the state was computed";

/// The names of the inputs in the mark of a generation; `None` if it has none. With a mark, it is
/// never loaded.
pub(crate) fn mark_of(manifest: &Manifest) -> Option<&MetadataValue> {
    manifest.metadata().get(INPUTS_CHANGED)
}

/// True if a generation has the mark.
pub(crate) fn is_marked(manifest: &Manifest) -> bool {
    mark_of(manifest).is_some()
}

/// Looks at the inputs of a state just before it is saved, and marks the save where they changed. Notes
/// the loads.
#[derive(Clone, Default)]
pub(crate) struct Stamp {
    look: Option<Arc<Look>>,
    earlier: Arc<Earlier>,
}

/// The checkpoints that a step had before it began, and whether it went on from one of them.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    generations: BTreeSet<u64>,
    was_loaded: AtomicBool,
}

impl Earlier {
    pub(crate) fn new(generations: impl IntoIterator<Item = u64>) -> Earlier {
        Earlier { generations: generations.into_iter().collect(), was_loaded: AtomicBool::new(false) }
    }

    /// True if one of them was loaded, or a field of one.
    pub(crate) fn was_loaded(&self) -> bool {
        self.was_loaded.load(Ordering::Relaxed)
    }
}

/// Returns the names of the inputs that changed.
type Look = dyn Fn() -> Vec<String> + Send + Sync;

impl Stamp {
    /// Loads are noted for `earlier`.
    pub(crate) fn new(
        look: impl Fn() -> Vec<String> + Send + Sync + 'static,
        earlier: &Arc<Earlier>,
    ) -> Stamp {
        Stamp { look: Some(Arc::new(look)), earlier: Arc::clone(earlier) }
    }

    /// Notes that a generation was loaded, or a part of it. One of this run is not an earlier one.
    pub(crate) fn loaded(&self, generation: u64) {
        if self.earlier.generations.contains(&generation) {
            self.earlier.was_loaded.store(true, Ordering::Relaxed);
        }
    }

    /// Adds the mark to the metadata of a save, where an input changed.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if the metadata of the program has an entry of that name: its
    /// checkpoint would never be loaded.
    pub(crate) fn mark(&self, metadata: Metadata) -> Result<Metadata, Error> {
        if metadata.get(INPUTS_CHANGED).is_some() {
            return Err(Error::InvalidSetting {
                setting: format!("the metadata entry {INPUTS_CHANGED:?}"),
                why: "the library marks checkpoints of pipelines by this name: choose another",
            });
        }
        let changed = self.look.as_ref().map(|look| look()).unwrap_or_default();
        Ok(if changed.is_empty() { metadata } else { metadata.with(INPUTS_CHANGED, changed.join(", ")) })
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.look.is_some() { "stamp" } else { "none" })
    }
}
