//! The folders of a pipeline directory, and the step that each belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::seal::Protection;
use crate::store::name;

/// The name of a step's folder: letters, digits, `_`, `-` and dots stay; a dot at the beginning and
/// each byte of anything else becomes `%` and two hexadecimal digits.
pub(super) fn folder(step: &str) -> String {
    let mut name = String::new();
    let mut bytes = [0; 4];
    for (place, letter) in step.char_indices() {
        // Parts of a Korean syllable, which some file systems join.
        let is_part = ('\u{1100}'..='\u{11ff}').contains(&letter);
        match letter {
            '_' | '-' => name.push(letter),
            '.' if place > 0 => name.push(letter),
            _ if letter.is_alphanumeric() && !is_part => name.push(letter),
            _ => {
                letter.encode_utf8(&mut bytes).bytes().for_each(|byte| name.push_str(&format!("%{byte:02X}")))
            }
        }
    }
    name
}

/// The place of a step's outputs in a pipeline directory.
pub(super) fn place_of(step: &str) -> String {
    format!("{}/{}", name::STEPS, folder(step))
}

/// The step that a folder is named after.
pub(super) fn name_of(folder_name: &OsStr) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = folder_name.to_str()?.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        bytes.push(match (first, behind) {
            (b'%', [high, low, behind @ ..]) => {
                rest = behind;
                u8::from_str_radix(str::from_utf8(&[*high, *low]).ok()?, 16).ok()?
            }
            _ => *first,
        });
    }
    let name = String::from_utf8(bytes).ok()?;
    // Only a name that is written as `folder` writes it.
    (OsStr::new(&folder(&name)) == folder_name).then_some(name)
}

impl Protection {
    /// The protection of the checkpoints of one step, made from that of their
    /// [`Pipeline`](crate::pipeline::Pipeline).
    ///
    /// A pipeline binds the tags of each output to its step, so that the output of another step is
    /// refused. A program that opens the directory of a step like any other checkpoint directory
    /// needs this protection. The functions of [`inspect`](crate::inspect) take the step from the
    /// path.
    ///
    /// ```
    /// use checkpointed::{CheckpointReader, Error, Key, Pipeline, Protection};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("analysis.pipeline");
    /// let protection = Protection::new().authenticate(Key::from_bytes([7; 32]));
    /// let pipeline = Pipeline::builder(&path).protection(protection.clone()).open()?;
    /// pipeline.step("fit").run(|_| Ok::<u64, Error>(7))?;
    ///
    /// let of_step = protection.of_step("fit");
    /// let builder = CheckpointReader::<u64>::builder(path.join("steps/fit"));
    /// let mut reader = builder.protection(of_step).open()?;
    /// assert_eq!(reader.load()?, Some(7));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn of_step(&self, step: &str) -> Protection {
        self.of_place(&place_of(step))
    }
}

/// The steps in a pipeline directory, each with its checkpoint directory.
pub(super) fn steps(pipeline: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let path = pipeline.join(name::STEPS);
    let entries = std::fs::read_dir(&path).map_err(|source| Error::io("list", &path, source))?;
    let mut steps = BTreeMap::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::io("list", &path, source))?;
        if let Some(step) = name_of(&entry.file_name()).filter(|_| entry.path().is_dir()) {
            steps.insert(step, entry.path());
        }
    }
    Ok(steps)
}

/// The steps that were begun and not finished, and have checkpoints of their own.
pub(super) fn in_progress(pipeline: &Path) -> Result<BTreeSet<String>, Error> {
    let path = pipeline.join(name::PROGRESS);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(source) => return Err(Error::io("list", &path, source)),
    };
    let step = |name: &OsStr| name_of(OsStr::new(name.to_str()?.rsplit_once('@')?.0));
    let mut steps = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::io("list", &path, source))?;
        steps.extend(step(&entry.file_name()));
    }
    Ok(steps)
}
