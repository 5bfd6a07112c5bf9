//! Sets of input files: the files in a directory, and those that match a pattern.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::pattern::{PathPattern, is_not_there};
use super::project::real;

/// More files than these are one entry of the key.
pub(super) const MOST_NAMED: usize = 1000;

/// A declared set of files, as of the start of its step.
#[derive(Debug)]
pub(super) struct Set {
    /// The name in the key, if it is one entry there.
    pub(super) name: String,
    kind: Kind,
    /// The directory of the pipeline, without links: it is in no set, whatever path leads there.
    pipeline: PathBuf,
}

#[derive(Debug)]
enum Kind {
    /// All files in a directory.
    Directory {
        /// Absolute.
        path: PathBuf,
        /// The same without links.
        real: PathBuf,
    },
    /// All files that match a pattern.
    Matching(PathPattern),
}

impl Set {
    pub(super) fn directory(name: String, path: PathBuf, pipeline: &Path) -> Set {
        let kind = Kind::Directory { real: real(&path), path };
        Set { name, kind, pipeline: real(pipeline) }
    }

    /// The files that match a pattern. A relative one starts at the working directory.
    pub(super) fn matching(name: String, pattern: &str, pipeline: &Path) -> io::Result<Set> {
        Ok(Set { name, kind: Kind::Matching(PathPattern::new(pattern)?), pipeline: real(pipeline) })
    }

    /// True for a path that leads to the pipeline, or into it.
    fn is_of_pipeline(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| path.starts_with(&self.pipeline))
    }

    /// The absolute paths of its files.
    pub(super) fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        match &self.kind {
            Kind::Directory { path, .. } => self.in_directory(path),
            Kind::Matching(pattern) => pattern.files(|path| self.is_of_pipeline(path)),
        }
    }

    fn in_directory(&self, directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        if !std::fs::metadata(directory)?.is_dir() {
            return Err(invalid("it is not a directory: give a file by `file`"));
        }
        if self.is_of_pipeline(directory) {
            return Err(invalid(
                "it lies in the directory of the pipeline: take the output of a step by `input`",
            ));
        }
        let walk = WalkDir::new(directory).follow_links(true).into_iter();
        let may_lead_there = |entry: &DirEntry| entry.file_type().is_dir() || entry.path_is_symlink();
        for entry in walk.filter_entry(|entry| !(may_lead_there(entry) && self.is_of_pipeline(entry.path())))
        {
            // A link that leads to nothing is no file, as for a pattern: Emacs locks by such links.
            if entry.as_ref().is_err_and(is_dangling) {
                continue;
            }
            let entry = entry.map_err(|error| {
                let place = error.path().map(|path| path.display().to_string()).unwrap_or_default();
                let why = error.to_string();
                let kind = error.into_io_error().map_or(io::ErrorKind::Other, |error| error.kind());
                io::Error::new(kind, if why.contains(&place) { why } else { format!("{place}: {why}") })
            })?;
            if !entry.file_type().is_dir() {
                files.insert(entry.into_path());
            }
        }
        Ok(files)
    }

    /// True if a file is in the set, or would be if it existed. `path` is absolute, and `target` is
    /// the same path without links.
    pub(super) fn has(&self, path: &Path, target: &Path) -> bool {
        match &self.kind {
            Kind::Directory { path: directory, real } => {
                path.starts_with(directory) || target.starts_with(real)
            }
            Kind::Matching(pattern) => pattern.has(path, target),
        }
    }

    /// Checks that the files can be all of the set: a pattern that none matches is most likely
    /// misspelt.
    pub(super) fn check(&self, files: &BTreeSet<PathBuf>) -> io::Result<()> {
        match self.kind {
            Kind::Matching(_) if files.is_empty() => {
                Err(io::Error::new(io::ErrorKind::NotFound, "no file matches it"))
            }
            _ => Ok(()),
        }
    }
}

/// True for the error of a link whose target is not there.
fn is_dangling(error: &walkdir::Error) -> bool {
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    error.io_error().is_some_and(is_not_there) && error.path().is_some_and(is_link)
}

/// The hash of many files, by their names and their hashes.
pub(super) fn together<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut hasher = blake3::Hasher::new();
    for text in files.flat_map(|(name, hash)| [name, hash]) {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_that_leads_to_nothing_is_in_no_set() {
        let parent = tempfile::tempdir().unwrap();
        let (data, pipeline) = (parent.path().join("data"), parent.path().join("p"));
        fs::create_dir(&data).unwrap();
        fs::write(data.join("data.csv"), "1").unwrap();
        symlink("data.csv", data.join("link")).unwrap();
        let expected = BTreeSet::from(["data.csv", "link"].map(|name| data.join(name)));
        let directory = Set::directory("data".to_owned(), data.clone(), &pipeline);
        let pattern = data.join("*").display().to_string();
        let matching = Set::matching("data".to_owned(), &pattern, &pipeline).unwrap();
        for target in ["anna@machine.1234:5678", "data.csv/nothing"] {
            symlink(target, data.join(".#data.csv")).unwrap();
            assert_eq!(directory.files().unwrap(), expected, "{target}");
            assert_eq!(matching.files().unwrap(), expected, "{target}");
            fs::remove_file(data.join(".#data.csv")).unwrap();
        }
        // One that leads to itself may stand for anything.
        symlink("..", data.join("loop")).unwrap();
        assert!(directory.files().is_err());
    }
}
