//! Makes a checkpoint of values from elsewhere, which a program then loads by their names.

mod values;

use std::fmt;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::base::limits::VALUE_DEPTH_IMPORTED;
use crate::base::warnings::warn;
use crate::container::{ContainerWriter, Manifest, Metadata};
use crate::error::Error;
use crate::evolution::Program;
use crate::run::save::open_unpublished;
use crate::schema::Element;
use crate::seal::Protection;
use crate::state::ExpectedSchema;
use crate::store::{Claim, Claiming, Directory, Home as _, Published, RealDisk, absolute};

/// The number of the generation.
const FIRST: u64 = 1;

/// A value to import.
#[derive(Debug)]
#[non_exhaustive]
pub enum Imported {
    /// No value: `None`, if it is loaded as an option.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer that is not negative.
    Unsigned(u64),
    /// A negative integer.
    Signed(i64),
    /// A float.
    Float(f64),
    /// A text.
    String(String),
    /// Numbers of one type.
    Array(ImportedArray),
    /// Values with names.
    Fields(Vec<(String, Imported)>),
    /// Values without names.
    List(Vec<Imported>),
}

impl Imported {
    /// The most values inside each other that are imported.
    pub const MOST_DEPTH: usize = VALUE_DEPTH_IMPORTED;
}

/// An array to import: in C order, little-endian.
pub struct ImportedArray {
    /// The type of the numbers.
    pub element: Element,
    /// The lengths of its dimensions, the outermost first. Without one it is a single number.
    pub shape: Vec<u64>,
    /// Returns the bytes, or says why there are none. It is called when the array is written, so
    /// that one array at a time is in memory.
    pub read: Box<dyn Fn() -> Result<Vec<u8>, String>>,
}

impl fmt::Debug for ImportedArray {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ImportedArray { element, shape, .. } = self;
        formatter
            .debug_struct("ImportedArray")
            .field("element", element)
            .field("shape", shape)
            .finish_non_exhaustive()
    }
}

/// A checkpoint that was made of imported values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ImportReport {
    /// The directory.
    pub path: PathBuf,
    /// The number of the generation.
    pub generation: u64,
    /// The length of its file, in bytes.
    pub bytes: u64,
}

/// Makes a new directory with one checkpoint of these values. A program finds them there by their
/// names, with [`load`](crate::Checkpointer::load) or
/// [`load_matching`](crate::CheckpointReader::load_matching).
///
/// With the schema of the program, the checkpoint gets the name and the versions of its state, and
/// the arrays of the `ndarray` crate get their form. Without it, any program takes the state for
/// its own, if its types have version 1.
///
/// ```
/// use checkpointed::inspect::{self, Element, Imported, ImportedArray};
/// use checkpointed::{Checkpointer, ExpectedSchema, checkpointed};
///
/// #[checkpointed]
/// struct Model { layers: Vec<Layer>, rate: f32 }
///
/// #[checkpointed]
/// struct Layer { weights: Vec<[f64; 2]> }
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("warm.ckpt");
/// let bytes: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0].iter().flat_map(|number| number.to_le_bytes()).collect();
/// let read = Box::new(move || Ok(bytes.clone()));
/// let weights = ImportedArray { element: Element::F32, shape: vec![2, 2], read };
/// let layer = Imported::Fields(vec![("weights".to_owned(), Imported::Array(weights))]);
/// let model = Imported::Fields(vec![
///     ("layers".to_owned(), Imported::List(vec![layer])),
///     ("rate".to_owned(), Imported::Float(0.5)),
/// ]);
/// inspect::import(&path, &model, Some(&ExpectedSchema::of::<Model>()))?;
///
/// let model: Model = Checkpointer::open(&path)?.load()?.expect("it was imported");
/// assert_eq!((&model.layers[0].weights[..], model.rate), (&[[1.0, 2.0], [3.0, 4.0]][..], 0.5));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NameTaken`] if the directory has checkpoints; [`Error::Encode`] for an array whose
/// bytes are not those of its shape, or that could not be read, and for values that are inside each
/// other too deep to be loaded; the errors of a save. No checkpoint is there then. A directory that
/// was made for it is gone, and one that was there before keeps its files.
pub fn import(
    path: impl AsRef<Path>,
    value: &Imported,
    expected: Option<&ExpectedSchema>,
) -> Result<ImportReport, Error> {
    import_to(&Directory::new(&absolute(path)?, Arc::new(RealDisk::default())), value, expected)
}

fn import_to(
    home: &Directory,
    value: &Imported,
    expected: Option<&ExpectedSchema>,
) -> Result<ImportReport, Error> {
    let path = home.path().to_owned();
    let taken = || Error::NameTaken { operation: "create", path: path.clone() };
    if !home.generations()?.is_empty() || !home.set_aside()?.is_empty() {
        return Err(taken());
    }
    let is_new = !home.exists();
    let mut claim = home.claim(&Claiming { durable: true, is_tool: true, ..Claiming::default() })?;
    if !claim.home().generations()?.is_empty() {
        return Err(taken());
    }
    let written = write(&mut *claim, value, expected);
    if written.is_err() && is_new {
        // The error tells more than that of a removal.
        let _ = claim.clear(false);
    }
    Ok(ImportReport { bytes: written?, generation: FIRST, path })
}

/// Writes the values as the first generation. Returns the length of its file.
fn write(claim: &mut dyn Claim, value: &Imported, expected: Option<&ExpectedSchema>) -> Result<u64, Error> {
    let mut draft = claim.begin(FIRST)?;
    let file = draft.path().to_owned();
    let failed = |source| Error::writing("write", &file, source);
    let mut output = BufWriter::new(&mut *draft);
    let container = ContainerWriter::new(&mut output);
    let (container, state, schema) = values::write(container, value, expected)?;
    let mut manifest = Manifest { schema, ..Manifest::of(&Program::of::<()>(), FIRST, Metadata::new()) };
    if let Some(expected) = expected {
        (manifest.name, manifest.version) = (expected.name().to_owned(), expected.version());
    }
    let bytes = container.finish(&state, manifest).map_err(failed)?;
    output.flush().map_err(failed)?;
    drop(output);
    let sealed = draft.seal()?;
    let unpublished = sealed.path().to_owned();
    let opened = sealed.open().map_err(|source| Error::io("open", &unpublished, source))?;
    if let Some(source) = opened {
        open_unpublished(&Protection::new(), (claim.home().path(), FIRST), &unpublished, source)?;
    }
    claim.guard().check()?;
    let Published { is_there, outcome } = sealed.publish();
    if outcome.is_err() && is_there && !matches!(claim.remove_at_once(FIRST), Ok(true)) {
        // Only its name could not be made durable, and a reader may hold it.
        warn(format!(
            "{} may have a checkpoint, whose name is not durable, of this import, which failed: remove it, or import again elsewhere",
            claim.home().path().display()
        ));
    }
    outcome.map(|()| bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::faults::{EIO, Fault, FaultyDisk};

    /// Imports with this fault of the disk, in place of a run that stopped before its first save or
    /// of nothing.
    fn imported(is_new: bool, fault: Option<(usize, Fault)>) -> (bool, Vec<String>, Vec<String>) {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("warm.ckpt");
        if !is_new {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("history.jsonl"), "").unwrap();
        }
        let disk = FaultyDisk::default();
        let home = Directory::new(&path, Arc::new(disk.clone()));
        disk.plan(fault);
        let is_imported = import_to(&home, &Imported::Unsigned(7), None).is_ok();
        let names = fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.map(|name| name.to_str().unwrap().to_owned()).collect();
        names.sort_unstable();
        (is_imported, names, disk.asked())
    }

    #[test]
    fn an_import_that_fails_leaves_no_checkpoint() {
        for (is_new, before) in [(true, &[][..]), (false, &["history.jsonl"])] {
            let (is_imported, names, operations) = imported(is_new, None);
            assert!(is_imported && names.contains(&"00000000000000000001.ckpt".to_owned()));
            assert!(operations.last().unwrap().starts_with("sync directory"), "{operations:?}");
            for (place, operation) in operations.iter().enumerate() {
                let (is_imported, mut names, _) = imported(is_new, Some((place, Fault::Error(EIO))));
                names.retain(|name| name != ".lock");
                assert!(!is_imported && names == before, "{operation}: {names:?}");
            }
            // What the disk garbles is seen before it gets its name.
            let last = operations.iter().rposition(|asked| asked.starts_with("write")).unwrap();
            let (is_imported, mut names, asked) = imported(is_new, Some((last, Fault::Garbled)));
            names.retain(|name| name != ".lock");
            assert!(!is_imported && names == before, "{names:?}");
            assert!(!asked.iter().any(|asked| asked.starts_with("rename to")), "{asked:?}");
        }
    }
}
