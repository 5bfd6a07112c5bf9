//! The checkpoints inside a step of a pipeline: the mark of one whose state was computed from
//! inputs that changed meanwhile, the notes about the files of the step, and the note that the step
//! went on from an earlier one.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::container::{Manifest, Metadata, MetadataValue};
use crate::error::Error;
use crate::outputs::{self, Counted};

/// The name of the mark in the metadata of a generation; its value names the inputs.
const INPUTS_CHANGED: &str = "inputs that changed while the state was computed";

/// The name of a note in the metadata: the inputs with the content that the step found, which were
/// written to since. Such a state is loaded, but its output counts in one run only.
const INPUTS_WRITTEN: &str = "inputs that were written to while the state was computed";

/// The name of a note in the metadata: the files that the step produces, as they were at the save.
const PRODUCED: &str = "produced files at the save";

/// The names of the inputs in the mark of a generation; `None` if it has none. With a mark, it is
/// never loaded.
pub(crate) fn mark_of(manifest: &Manifest) -> Option<&MetadataValue> {
    manifest.metadata().get(INPUTS_CHANGED)
}

/// True if a generation has the mark.
pub(crate) fn is_marked(manifest: &Manifest) -> bool {
    mark_of(manifest).is_some()
}

/// Looks at the inputs of a state once its bytes are taken, and marks the save where they changed.
/// Notes the loads.
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
    notes: Mutex<Notes>,
}

/// A look at the files of a step at a save, or what the loaded checkpoints say of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// The names of the inputs whose content is another one.
    pub(crate) changed: BTreeSet<String>,
    /// The names of the inputs that were written to, and have the same content.
    pub(crate) written: BTreeSet<String>,
    /// The facts of the produced files, as text; empty where there are none.
    pub(crate) produced: String,
}

impl Earlier {
    pub(crate) fn new(generations: impl IntoIterator<Item = u64>) -> Earlier {
        Earlier { generations: generations.into_iter().collect(), ..Earlier::default() }
    }

    /// The notes of the earlier checkpoints that were loaded: the inputs of all, and the files of
    /// the last one.
    pub(crate) fn notes(&self) -> Notes {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True if one of them was loaded, or a field of one.
    pub(crate) fn was_loaded(&self) -> bool {
        self.was_loaded.load(Ordering::Relaxed)
    }
}

/// Looks at the files of the step.
type Look = dyn Fn() -> Notes + Send + Sync;

impl Stamp {
    /// Loads are noted for `earlier`.
    pub(crate) fn new(look: impl Fn() -> Notes + Send + Sync + 'static, earlier: &Arc<Earlier>) -> Stamp {
        Stamp { look: Some(Arc::new(look)), earlier: Arc::clone(earlier) }
    }

    /// True for the checkpoints inside a step.
    pub(crate) fn is_of_step(&self) -> bool {
        self.look.is_some()
    }

    /// Notes that a generation was loaded, or a part of it. One of this run is not an earlier one.
    pub(crate) fn loaded(&self, generation: u64, manifest: impl FnOnce() -> Option<Manifest>) {
        if !self.earlier.generations.contains(&generation) {
            return;
        }
        self.earlier.was_loaded.store(true, Ordering::Relaxed);
        let manifest = manifest();
        let text = |name: &str| manifest.as_ref()?.metadata().get(name)?.as_str().map(str::to_owned);
        let mut notes = self.earlier.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.produced = text(PRODUCED).unwrap_or_default();
        let written =
            text(INPUTS_WRITTEN).and_then(|text| serde_json::from_str::<BTreeSet<String>>(&text).ok());
        notes.written.extend(written.unwrap_or_default());
    }

    /// Checks the metadata that the program gives to a save.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if it has an entry with a name of a mark or a note: its checkpoint
    /// would not be loaded, or be taken for another.
    pub(crate) fn check(metadata: &Metadata) -> Result<(), Error> {
        let taken = [INPUTS_CHANGED, INPUTS_WRITTEN, PRODUCED];
        match taken.into_iter().find(|name| metadata.get(name).is_some()) {
            Some(name) => Err(Error::InvalidSetting {
                setting: format!("the metadata entry {name:?}"),
                why: "the library marks checkpoints of pipelines by this name: choose another",
            }),
            None => Ok(()),
        }
    }

    /// Adds the mark and the notes to a save whose state is encoded, with these outputs. What was
    /// changed while the save waited for the state, or encoded it, counts. The files have the bytes
    /// of the outputs before the look.
    ///
    /// # Errors
    /// That of an output.
    pub(crate) fn mark(&self, manifest: &mut Manifest, counted: &mut [Counted]) -> Result<(), Error> {
        let Some(look) = &self.look else { return Ok(()) };
        outputs::flush_all(counted)?;
        let mut metadata = std::mem::take(&mut manifest.metadata);
        let Notes { changed, mut written, produced } = look();
        // What the state was computed from before it was loaded counts, too.
        written.extend(self.earlier.notes().written);
        if !changed.is_empty() {
            let changed: Vec<String> = changed.into_iter().collect();
            metadata = metadata.with(INPUTS_CHANGED, changed.join(", "));
        }
        if !written.is_empty() {
            metadata = metadata.with(INPUTS_WRITTEN, serde_json::to_string(&written).unwrap_or_default());
        }
        manifest.metadata = if produced.is_empty() { metadata } else { metadata.with(PRODUCED, produced) };
        Ok(())
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.look.is_some() { "stamp" } else { "none" })
    }
}
