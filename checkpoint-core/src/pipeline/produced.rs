//! The files that a step produces: part of its output.
//!
//! A file counts by its content. After the work it is synced and hashed, and only then the output is
//! saved, with the hashes in its record. So a kill leaves either a version whose record has the
//! content of the files, or no version. Before a version is taken, the files are compared with its
//! record. No other trace of the files is needed: a version whose files are not there as they were
//! produced is not taken, whatever happened to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::SystemTime;

use super::builder::Workshop;
use super::copies::Copies;
use super::decide::Kept;
use super::files::{Files, Seen, hash, look, look_for_good, open};
use super::key::ProducedFile;
use super::project::{Project, real};
use super::report::Reason;
use crate::error::Error;

/// The files that a step declares, by name, with their absolute paths.
pub(super) type Declared = BTreeMap<String, PathBuf>;

/// The declared files that are there before the work, each with its facts. The hash is among them
/// where a change of the content may not show in the others.
pub(super) struct Before {
    found: BTreeMap<String, Seen>,
}

impl Before {
    /// Looks at the files. Where one was changed so recently that a further change could get the same
    /// time, waits until no change can.
    ///
    /// # Errors
    /// The reason, in words, why a file cannot be looked at. The half of a killed run would otherwise
    /// count as written by this one.
    pub(super) fn look(declared: &Declared) -> Result<Before, String> {
        let now = SystemTime::now();
        let mut found = BTreeMap::new();
        for (name, path) in declared {
            let seen = facts(path, now).map_err(|error| {
                format!("{name}, which it produces, cannot be looked at before its work: {error}")
            })?;
            found.extend(seen.map(|seen| (name.clone(), seen)));
        }
        let now = SystemTime::now();
        thread::sleep(found.values().map(|seen| seen.time_to_next_tick(now)).max().unwrap_or_default());
        Ok(Before { found })
    }

    /// True if the file was not written since.
    fn has(&self, name: &str, file: &File, now: &Seen) -> io::Result<bool> {
        let Some(before) = self.found.get(name) else { return Ok(false) };
        let mut now = now.clone();
        now.hash.clone_from(&before.hash);
        Ok(now == *before && (before.hash.is_empty() || before.hash == hash(file)?))
    }
}

/// The facts of a file, with its hash if a change may not show in the others. `None` if no file is
/// there.
fn facts(path: &Path, now: SystemTime) -> io::Result<Option<Seen>> {
    let file = match open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        // Another thing has its place. The same error of the system is another one.
        Err(error) if error.kind() == ErrorKind::InvalidInput && error.raw_os_error().is_none() => {
            return Ok(None);
        }
        file => file?,
    };
    let (mut seen, shows_changes) = look_for_good(&file, now)?;
    if !shows_changes {
        seen.hash = hash(&file)?;
    }
    Ok(Some(seen))
}

/// The directories around a file, in which the step or a killed run of it may have made names: up to
/// that of the project, or outside of it as far as the file system goes. They are those of each path
/// of the file: as it is given, and without links.
fn around(path: &Path, project: &Project) -> BTreeSet<PathBuf> {
    let link = path.parent().zip(path.file_name()).map(|(parent, name)| real(parent).join(name));
    let mut directories = BTreeSet::new();
    for path in [path.to_owned(), real(path)].into_iter().chain(link) {
        for directory in path.ancestors().skip(1) {
            directories.insert(directory.to_owned());
            if project.is_root(directory) || project.is_root(&real(directory)) || is_mounted(directory) {
                break;
            }
        }
    }
    directories
}

/// True if another file system begins at this directory.
fn is_mounted(directory: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let above = directory.parent().and_then(|parent| parent.metadata().ok());
        // A link lies in the file system above it.
        let found = directory.symlink_metadata().ok();
        found.zip(above).is_some_and(|(found, above)| found.dev() != above.dev())
    }
    #[cfg(not(unix))]
    {
        let _ = directory;
        false
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
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(format!("it did not produce {name}: there is no {}", path.display()));
            }
            file => file.map_err(failed)?,
        };
        let seen = look(&file).map_err(failed)?;
        if !may_be_old && before.has(name, &file, &seen).map_err(failed)? {
            if path.is_symlink() {
                return Err(format!(
                    "{name} is a link to a file that it did not write: write that file in each run, or a copy of it in \
                     place of the link"
                ));
            }
            return Err(format!(
                "it did not write {name}, and the file of an earlier run is still there: write it in each run, or \
                 remove it first"
            ));
        }
        if workshop.options.durable {
            workshop.disk.sync_file(path).map_err(failed)?;
            directories.extend(around(path, project));
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
            // The step made no names in a directory that the program may not open or change.
            Err(error)
                if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {}
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
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(Some(String::new())),
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

    #[cfg(unix)]
    #[test]
    fn each_name_is_synced_that_a_step_can_have_made() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().canonicalize().unwrap();
        let path = |name: &str| directory.join(name);
        std::fs::create_dir_all(path("project/made")).unwrap();
        std::fs::create_dir_all(path("a/b")).unwrap();
        symlink("project", path("link")).unwrap();
        symlink("../../a/b", path("project/made/away")).unwrap();
        for file in ["a/b/out", "project/made/out"] {
            std::fs::write(path(file), "1").unwrap();
        }
        symlink("../a/b/out", path("project/out")).unwrap();
        let project = Project::new(&path("project"));
        let outside = ["a/b", "a", ""];
        for (file, expected) in [
            // The step may have removed and made again what was there before.
            ("a/b/out", &[][..]),
            ("project/made/away/out", &["project/made/away", "project/made", "project"]),
            ("project/out", &["project"]),
        ] {
            let found = around(&path(file), &project);
            for name in outside.iter().chain(expected) {
                assert!(found.contains(&path(name)), "{file}: {name} is not in {found:?}");
            }
        }
        // Inside of the project, nothing further up is synced.
        let inside = |names: &[&str]| names.iter().map(|name| path(name)).collect::<BTreeSet<_>>();
        let found = around(&path("project/made/out"), &project);
        assert_eq!(found, inside(&["project/made", "project"]));
        let found = around(&path("link/made/out"), &project);
        assert_eq!(found, inside(&["link/made", "link", "project/made", "project"]));
        // Nor is another file system, but the name of a link to there.
        #[cfg(target_os = "linux")]
        {
            symlink("/proc/self", path("project/made/proc")).unwrap();
            let found = around(&path("project/made/proc/status"), &project);
            assert!(["project/made", "project"].iter().all(|name| found.contains(&path(name))), "{found:?}");
            assert!(found.contains(Path::new("/proc")) && !found.contains(Path::new("/")), "{found:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_cannot_be_looked_at_is_not_absent() {
        let directory = tempfile::tempdir().unwrap();
        let look = |name: &str| {
            let declared = Declared::from([(name.to_owned(), directory.path().join(name))]);
            Before::look(&declared).map(|before| before.found.contains_key(name))
        };
        std::fs::write(directory.path().join("file"), "1").unwrap();
        assert_eq!(look("file"), Ok(true));
        std::fs::create_dir(directory.path().join("directory")).unwrap();
        for absent in ["nothing", "directory", "file/below"] {
            assert_eq!(look(absent), Ok(false), "{absent}");
        }
        // An error of the system that is easily made: a link to itself.
        std::os::unix::fs::symlink("loop", directory.path().join("loop")).unwrap();
        let error = look("loop").unwrap_err();
        assert!(error.starts_with("loop, which it produces, cannot be looked at"), "{error}");
    }
}
