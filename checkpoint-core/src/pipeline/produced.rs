//! The files that a step produces: part of its output.
//!
//! A file counts by its content. After the work it is synced and hashed, and only then the output is
//! saved, with the hashes in its record. So a kill leaves either a version whose record has the
//! content of the files, or no version. Before a version is taken, the files are compared with its
//! record. No other trace of the files is needed: a version whose files are not there as they were
//! produced is not taken, whatever happened to them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::builder::Workshop;
use super::copies::Copies;
use super::decide::Kept;
use super::files::{Files, Seen, hash, look, look_for_good, open};
use super::key::ProducedFile;
use super::project::Project;
use super::report::Reason;
use crate::error::Error;

/// The files that a step declares, by name, with their absolute paths.
pub(super) type Declared = BTreeMap<String, PathBuf>;

/// The facts of the declared files before the work. `None` for one that is not there, or whose facts
/// do not show each change.
pub(super) struct Before(BTreeMap<String, Option<Seen>>);

impl Before {
    pub(super) fn look(declared: &Declared) -> Before {
        let now = SystemTime::now();
        let facts = |path: &Path| {
            let (seen, shows_changes) = look_for_good(&open(path).ok()?, now).ok()?;
            shows_changes.then_some(seen)
        };
        Before(declared.iter().map(|(name, path)| (name.clone(), facts(path))).collect())
    }

    /// True if the file was not written since.
    fn has(&self, name: &str, now: &Seen) -> bool {
        self.0.get(name).is_some_and(|before| before.as_ref() == Some(now))
    }
}

/// Syncs the files after the work, and returns their content. `may_be_old` is true if a former run
/// of the program may have written some, which the step goes on from.
///
/// # Errors
/// The reason, in words, why a file does not count.
pub(super) fn collect(
    declared: &Declared,
    before: &Before,
    may_be_old: bool,
    project: &Project,
    workshop: &Workshop,
) -> Result<BTreeMap<String, ProducedFile>, String> {
    let mut produced = BTreeMap::new();
    let mut directories = BTreeSet::new();
    for (name, path) in declared {
        let failed = |error: io::Error| format!("{name}, which it produces: {error}");
        let file = match open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(format!("it did not produce {name}: there is no {}", path.display()));
            }
            file => file.map_err(failed)?,
        };
        let seen = look(&file).map_err(failed)?;
        if before.has(name, &seen) && !may_be_old {
            return Err(format!(
                "it did not write {name}, and the file of an earlier run is still there: write it in each run, or \
                 remove it first"
            ));
        }
        if workshop.options.durable {
            workshop.disk.sync_file(path).map_err(failed)?;
            for directory in path.ancestors().skip(1) {
                directories.insert(directory.to_owned());
                if directory == project.root() {
                    break;
                }
            }
        }
        let hash = hash(&file).map_err(failed)?;
        let is_program = is_program(&file).map_err(failed)?;
        // It is opened again: another file may have the name by now.
        if open(path).and_then(|file| look(&file)).map_err(failed)? != seen {
            return Err(format!("{name} is still written to after the step has ended"));
        }
        produced.insert(name.clone(), ProducedFile { hash, bytes: seen.length, is_program });
    }
    // The deepest first: the file's own name, and those of directories that the step may have made.
    for directory in directories.iter().rev() {
        match workshop.disk.sync_directory(directory) {
            // The step made no names in a directory that the program may not open.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            outcome => outcome.map_err(|error| format!("syncing {}: {error}", directory.display()))?,
        }
    }
    Ok(produced)
}

/// The identity of an output with its files.
pub(super) fn identity(value: String, produced: &BTreeMap<String, ProducedFile>) -> String {
    if produced.is_empty() {
        return value;
    }
    let files = produced.iter().map(|(name, file)| (name.as_str(), file.hash.as_str()));
    super::sets::together([("", value.as_str())].into_iter().chain(files))
}

/// Takes out the versions whose files are not there as they were produced, unless kept copies can
/// take their places; those are noted in the version.
pub(super) fn compare(
    kept: &mut Kept,
    declared: &Declared,
    project: &Project,
    files: &mut Files,
    copies: &Copies,
) -> Result<(), Error> {
    let mut contents: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut lost = Vec::new();
    for version in kept.versions.iter_mut().filter(|version| version.fits) {
        let mut reasons = Vec::new();
        for (name, file) in &version.record.produced {
            let directory = version.record.directory.as_deref().map(Path::new);
            let path = declared.get(name).cloned().or_else(|| project.path_of(name, directory));
            let content = match (contents.get(name), &path) {
                (Some(content), _) => content.clone(),
                (None, None) => None,
                (None, Some(path)) => content(files, path)?,
            };
            contents.insert(name.clone(), content.clone());
            if content.as_ref() == Some(&file.hash) {
                continue;
            }
            match path {
                Some(path) if copies.has(&file.hash) => version.restore.push((name.clone(), path)),
                _ if content.is_none() => reasons.push(Reason::ProducedGone { path: name.into() }),
                _ => reasons.push(Reason::ProducedChanged { path: name.into() }),
            }
        }
        if !reasons.is_empty() {
            lost.push((version.number, reasons));
        }
    }
    for (number, reasons) in lost {
        kept.lose_files(number, reasons);
    }
    Ok(())
}

/// The hash of a file; `None` if it is gone. Anything but a file in its place has no hash of a file.
fn content(files: &mut Files, path: &Path) -> Result<Option<String>, Error> {
    match files.look(path) {
        Ok(look) => Ok(Some(look.seen.hash)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(Some(String::new())),
        Err(source) => Err(Error::io("read", path, source)),
    }
}

fn is_program(file: &std::fs::File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    #[cfg(unix)]
    return Ok(std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0);
    #[cfg(not(unix))]
    {
        let _ = metadata;
        Ok(false)
    }
}
