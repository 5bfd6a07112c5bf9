//! The files that a step produces: part of its output.
//!
//! A file counts by its content. After the work it is synced and hashed, and only then the output
//! is saved, with the hashes in its record. So a kill leaves either a version whose record has the
//! content of the files, or no version. Before a version is taken, the files are compared with its
//! record. No other trace of the files is needed: a version whose files are not there as they were
//! produced is not taken, whatever happened to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::SystemTime;

use super::builder::Workshop;
use super::copies::Copies;
use super::decide::Kept;
use super::files::{Files, Look, Seen, hash, look, look_for_good, open};
use super::key::ProducedFile;
use super::pattern::is_not_there;
use super::project::{Project, real};
use super::report::Reason;
use crate::base::file_system::has_times_of_stores;
use crate::error::Error;

/// The files that a step declares, by name, with their absolute paths.
pub(super) type Declared = BTreeMap<String, PathBuf>;

/// The declared files that are there before the work, each with its facts. The hash is among them
/// where a change of the content may not show in the others.
pub(super) struct Before {
    found: BTreeMap<String, Seen>,
}

impl Before {
    /// Looks at the files. Where one was changed so recently that a further change could get the
    /// same time, waits until no change can.
    ///
    /// # Errors
    /// The reason, in words, why a file cannot be looked at. The half of a killed run would
    /// otherwise count as written by this one.
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

    /// The facts of a file before the work, as text; see [`Seen::facts`].
    fn facts(&self, name: &str) -> Option<String> {
        self.found.get(name).map(Seen::facts)
    }

    /// True if the file was not written since.
    fn has(&self, name: &str, file: &File, now: &Seen) -> io::Result<bool> {
        let Some(before) = self.found.get(name) else { return Ok(false) };
        let mut now = now.clone();
        now.hash.clone_from(&before.hash);
        Ok(now == *before && (before.hash.is_empty() || before.hash == hash(file)?))
    }
}

/// The produced files at the saves of a step's own: each is durable before a checkpoint counts on
/// it.
#[derive(Debug, Default)]
pub(super) struct Saved {
    declared: Declared,
    /// The facts of the files that were there before the work.
    before: Facts,
    /// The facts of the files that were synced, by name.
    synced: Mutex<Facts>,
}

impl Saved {
    pub(super) fn new(declared: &Declared, before: &Before) -> Saved {
        let before = before.found.iter().map(|(name, seen)| (name.clone(), seen.facts())).collect();
        Saved { declared: declared.clone(), before, synced: Mutex::default() }
    }

    /// Syncs the files that this run has written, and those of `former` that are as they were.
    /// Returns their facts as text; an empty one if there are none. A file that cannot be synced is
    /// left out: then no later run counts on it.
    pub(super) fn look(&self, former: &Facts, project: &Project, workshop: &Workshop) -> String {
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut directories = BTreeSet::new();
        self.wait_for_tick(&synced);
        for (name, path) in &self.declared {
            let found = open(path).and_then(|file| look(&file)).ok().map(|seen| seen.facts());
            if found.is_some() && synced.get(name) == found.as_ref() {
                continue;
            }
            synced.remove(name);
            let Some(facts) = found else { continue };
            if self.before.get(name) == Some(&facts) && former.get(name) != Some(&facts) {
                continue;
            }
            if workshop.options.durable {
                if workshop.disk.sync_file(path).is_err() {
                    continue;
                }
                directories.extend(around(path, project));
            }
            synced.insert(name.clone(), facts);
        }
        let is_synced = directories.iter().rev().all(|directory| sync_names(workshop, directory).is_ok());
        if !is_synced {
            synced.clear();
        }
        if synced.is_empty() { String::new() } else { serde_json::to_string(&*synced).unwrap_or_default() }
    }

    /// Waits until a further change of a file that was just written gets another time.
    fn wait_for_tick(&self, synced: &Facts) {
        let now = SystemTime::now();
        let seen = |path: &PathBuf| open(path).and_then(|file| look(&file)).ok();
        let files = self.declared.iter().filter_map(|(name, path)| Some((name, seen(path)?)));
        let fresh = files.filter(|(name, seen)| synced.get(*name) != Some(&seen.facts()));
        thread::sleep(fresh.map(|(_, seen)| seen.time_to_next_tick(now)).max().unwrap_or_default());
    }
}

/// The facts of files as text, by their names.
pub(super) type Facts = BTreeMap<String, String>;

/// A file that the loaded checkpoint counts on, and that is not as it was then: it was another one
/// or gone before the work, and the step has not written it.
pub(super) fn stale<'f>(declared: &Declared, before: &Before, former: &'f Facts) -> Option<&'f str> {
    let is_stale = |name: &String, facts: &String| {
        let Some(path) = declared.get(name) else { return false };
        let was = before.facts(name);
        let is = open(path).and_then(|file| look(&file)).ok().map(|seen| seen.facts());
        was.as_ref() != Some(facts) && is == was
    };
    former.iter().find(|(name, facts)| is_stale(name, facts)).map(|(name, _)| &**name)
}

/// The facts of a file, with its hash if a change may not show in the others. `None` if no file is
/// there.
fn facts(path: &Path, now: SystemTime) -> io::Result<Option<Seen>> {
    let file = match open(path) {
        Err(error) if is_not_there(&error) => return Ok(None),
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

/// The directories around a file, in which the step or a killed run of it may have made names: up
/// to that of the project, or outside of it as far as the file system goes. They are those of each
/// path of the file: as it is given, and without links.
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

/// Syncs the names in a directory. The step made none in one that the program may not open or
/// change.
fn sync_names(workshop: &Workshop, directory: &Path) -> io::Result<()> {
    match workshop.disk.sync_directory(directory) {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            Ok(())
        }
        outcome => outcome,
    }
}

/// A file that the step produced, and its facts.
pub(super) type Made = BTreeMap<String, (ProducedFile, Look)>;

/// The reason that a file does not count.
pub(super) enum Refused {
    /// In words.
    Why(String),
    /// The step has gone on from checkpoints of its own, and has left a file as it was. The file is
    /// not the one of those checkpoints.
    Stale(String),
}

impl From<String> for Refused {
    fn from(why: String) -> Refused {
        Refused::Why(why)
    }
}

/// Syncs the files after the work, and returns their content. `former` has the facts of those that
/// a former run has written, if the step goes on from its checkpoints.
///
/// # Errors
/// The reason why a file does not count.
pub(super) fn collect(
    declared: &Declared,
    before: &Before,
    former: Option<&Facts>,
    project: &Project,
    workshop: &Workshop,
) -> Result<Made, Refused> {
    let mut produced = BTreeMap::new();
    let mut directories = BTreeSet::new();
    for (name, path) in declared {
        let failed = |error: io::Error| format!("{name}, which it produces: {error}");
        let file = match open(path) {
            Err(error) if is_not_there(&error) => {
                // A part of what the checkpoints count on is gone.
                if former.is_some_and(|former| former.contains_key(name)) {
                    return Err(Refused::Stale(name.clone()));
                }
                return Err(format!("it did not produce {name}: there is no {}", path.display()).into());
            }
            file => file.map_err(failed)?,
        };
        let mut seen = look(&file).map_err(failed)?;
        if before.has(name, &file, &seen).map_err(failed)? {
            if let Some(former) = former {
                // The one that the checkpoints count on.
                if former.get(name).is_none_or(|facts| Some(facts) != before.facts(name).as_ref()) {
                    return Err(Refused::Stale(name.clone()));
                }
            } else if path.is_symlink() {
                return Err(Refused::Why(format!(
                    "{name} is a link to a file that it did not write: write that file in each run, or a copy of it in \
                     place of the link"
                )));
            } else {
                return Err(Refused::Why(format!(
                    "it did not write {name}, and the file of an earlier run is still there: write it in each run, or \
                     remove it first"
                )));
            }
        }
        if workshop.options.durable {
            workshop.disk.sync_file(path).map_err(failed)?;
            directories.extend(around(path, project));
        }
        // A later change shows in the facts, if the last one is old enough.
        let is_old = seen.time_to_next_tick(SystemTime::now()).is_zero();
        let shows_changes = is_old && workshop.options.durable && has_times_of_stores(&file);
        let hash = open(path).and_then(|file| hash(&file)).map_err(failed)?;
        let mode = mode(&file).map_err(failed)?;
        // It is opened again: another file may have the name by now.
        if open(path).and_then(|file| look(&file)).map_err(failed)? != seen {
            return Err(format!("{name} is still written to after the step has ended").into());
        }
        seen.hash.clone_from(&hash);
        let file = ProducedFile { hash, bytes: seen.length, mode };
        produced.insert(name.clone(), (file, Look { seen, shows_changes }));
    }
    // The deepest first: the file's own name, and those of directories that the step may have made.
    for directory in directories.iter().rev() {
        sync_names(workshop, directory)
            .map_err(|error| format!("syncing {}: {error}", directory.display()))?;
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

/// Takes out the versions whose files are not those that are declared, or are not there as they
/// were produced, unless kept copies can take their places; those are noted in the version.
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

/// The hash of a file; `None` if it is gone. Anything but a file in its place has no hash of a
/// file.
fn content(files: &mut Files, path: &Path) -> Result<Option<String>, Error> {
    match files.look(path) {
        Ok(look) => Ok(Some(look.seen.hash)),
        Err(error) if is_not_there(&error) => Ok(None),
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
