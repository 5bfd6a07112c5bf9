//! The files that a step produces: part of its output.
//!
//! A file counts by its content. After the work it is synced and hashed, and only then the output is
//! saved, with the hashes in its record. So a kill leaves either a version whose record has the
//! content of the files, or no version. Before a version is taken, the files are compared with its
//! record. No other trace of the files is needed: a version whose files are not there as they were
//! produced is not taken, whatever happened to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
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

/// The declared files that are there before the work, each with its facts. The hash is among them
/// where a change of the content may not show in the others.
pub(super) struct Before {
    found: BTreeMap<String, Seen>,
    /// The directories that the names of each file are synced in if the step makes it.
    directories: BTreeMap<String, Vec<PathBuf>>,
}

impl Before {
    /// Looks at the files. Where one was changed so recently that a further change could get the same
    /// time, waits until no change can.
    pub(super) fn look(declared: &Declared, project: &Project) -> Before {
        let now = SystemTime::now();
        let facts = |path: &Path| {
            let file = open(path).ok()?;
            let (mut seen, shows_changes) = look_for_good(&file, now).ok()?;
            if !shows_changes {
                seen.hash = hash(&file).ok()?;
            }
            Some(seen)
        };
        let found = declared.iter().filter_map(|(name, path)| Some((name.clone(), facts(path)?)));
        let found: BTreeMap<_, _> = found.collect();
        let directories = declared.iter().map(|(name, path)| (name.clone(), around(path, project))).collect();
        let now = SystemTime::now();
        thread::sleep(found.values().map(|seen| seen.time_to_next_tick(now)).max().unwrap_or_default());
        Before { found, directories }
    }

    /// True if the file was not written since.
    fn has(&self, name: &str, file: &File, now: &Seen) -> io::Result<bool> {
        let Some(before) = self.found.get(name) else { return Ok(false) };
        let mut now = now.clone();
        now.hash.clone_from(&before.hash);
        Ok(now == *before && (before.hash.is_empty() || before.hash == hash(file)?))
    }
}

/// The directories around a file, up to that of the project. Outside of it, up to the deepest one that
/// exists before the work: a step makes no names further up, and those may not be its to sync.
fn around(path: &Path, project: &Project) -> Vec<PathBuf> {
    let is_inside = path.starts_with(project.root());
    let mut directories = Vec::new();
    for directory in path.ancestors().skip(1) {
        directories.push(directory.to_owned());
        if if is_inside { directory == project.root() } else { directory.is_dir() } {
            break;
        }
    }
    directories
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
        if !may_be_old && before.has(name, &file, &seen).map_err(failed)? {
            return Err(format!(
                "it did not write {name}, and the file of an earlier run is still there: write it in each run, or \
                 remove it first"
            ));
        }
        if workshop.options.durable {
            workshop.disk.sync_file(path).map_err(failed)?;
            directories.extend(before.directories.get(name).into_iter().flatten());
        }
        let hash = open(path).and_then(|file| hash(&file)).map_err(failed)?;
        let mode = mode(&file).map_err(failed)?;
        // It is opened again: another file may have the name by now.
        if open(path).and_then(|file| look(&file)).map_err(failed)? != seen {
            return Err(format!("{name} is still written to after the step has ended"));
        }
        produced.insert(name.clone(), ProducedFile { hash, bytes: seen.length, mode });
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

/// Takes out the versions whose files are not those that are declared, or are not there as they were
/// produced, unless kept copies can take their places; those are noted in the version.
///
/// A record may come from an attacker. So only declared paths are looked at, and written to.
pub(super) fn compare(
    kept: &mut Kept,
    declared: &Declared,
    files: &mut Files,
    copies: &Copies,
) -> Result<(), Error> {
    let mut contents: BTreeMap<&str, Option<String>> = BTreeMap::new();
    let mut lost = Vec::new();
    for version in kept.versions.iter_mut().filter(|version| version.fits) {
        let produced = &version.record.produced;
        let missing = declared.keys().filter(|name| !produced.contains_key(*name));
        let mut reasons: Vec<Reason> =
            missing.map(|name| Reason::Produces { path: name.into(), now: true }).collect();
        for (name, file) in produced {
            let Some((name, path)) = declared.get_key_value(name) else {
                reasons.push(Reason::Produces { path: name.into(), now: false });
                continue;
            };
            let content = match contents.get(&**name) {
                Some(content) => content,
                None => contents.entry(name).or_insert(content(files, path)?),
            };
            match content {
                Some(content) if *content == file.hash => {}
                _ if copies.has(&file.hash) => version.restore.push((name.clone(), path.clone())),
                Some(_) => reasons.push(Reason::ProducedChanged { path: name.into() }),
                None => reasons.push(Reason::ProducedGone { path: name.into() }),
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

/// The permissions of a file, without the special ones. `None` where files have no such numbers.
fn mode(file: &File) -> io::Result<Option<u32>> {
    let permissions = file.metadata()?.permissions();
    #[cfg(unix)]
    return Ok(Some(std::os::unix::fs::PermissionsExt::mode(&permissions) & 0o777));
    #[cfg(not(unix))]
    {
        let _ = permissions;
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn no_directory_is_synced_that_a_step_cannot_have_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::create_dir_all(path("project/made")).unwrap();
        let project = Project::new(&path("project"));
        for (file, expected) in [
            ("out", &[""][..]),
            ("a/b/out", &["a/b", "a", ""]),
            // A killed run may have made its directory, and left its name unsynced.
            ("project/made/out", &["project/made", "project"]),
        ] {
            let expected: Vec<PathBuf> = expected.iter().map(|name| path(name)).collect();
            let found = around(&path(file), &project);
            assert!(found.iter().eq(&expected), "{file}: {found:?}");
        }
    }
}
