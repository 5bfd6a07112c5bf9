//! Sets of input files: the files in a directory, and those that match a pattern.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};
use walkdir::WalkDir;

/// As in a shell: `*` does not match a separator, nor a dot at the beginning of a name.
const AS_IN_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// More files than these are one entry of the key.
pub(super) const MOST_NAMED: usize = 1000;

/// A declared set of files, as of the start of its step.
#[derive(Debug)]
pub(super) struct Set {
    /// The name in the key, if it is one entry there.
    pub(super) name: String,
    kind: Kind,
    /// The directory of the pipeline, which is in no set.
    pipeline: PathBuf,
}

#[derive(Debug)]
enum Kind {
    /// All files in a directory, whose path is absolute.
    Directory(PathBuf),
    /// All files that match a pattern, which is absolute.
    Matching(String),
}

impl Set {
    pub(super) fn directory(name: String, path: PathBuf, pipeline: &Path) -> Set {
        Set { name, kind: Kind::Directory(path), pipeline: pipeline.to_owned() }
    }

    /// The files that match a pattern. A relative one starts at the working directory.
    pub(super) fn matching(name: String, pattern: &str, pipeline: &Path) -> io::Result<Set> {
        let absolute = if Path::new(pattern).is_absolute() {
            pattern.to_owned()
        } else {
            let directory = std::env::current_dir()?;
            let directory = directory.to_str().ok_or_else(|| {
                invalid("the working directory is no text, so a pattern cannot start there")
            })?;
            let pattern = pattern.trim_start_matches("./");
            format!("{}/{pattern}", Pattern::escape(directory))
        };
        Pattern::new(&absolute).map_err(invalid)?;
        Ok(Set { name, kind: Kind::Matching(absolute), pipeline: pipeline.to_owned() })
    }

    /// The absolute paths of its files.
    pub(super) fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        match &self.kind {
            Kind::Directory(path) => self.in_directory(path),
            Kind::Matching(pattern) => self.that_match(pattern),
        }
    }

    fn in_directory(&self, directory: &Path) -> io::Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        if !std::fs::metadata(directory)?.is_dir() {
            return Err(invalid("it is not a directory: give a file by `file`"));
        }
        let walk = WalkDir::new(directory).follow_links(true).into_iter();
        for entry in walk.filter_entry(|entry| entry.path() != self.pipeline) {
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

    fn that_match(&self, pattern: &str) -> io::Result<BTreeSet<PathBuf>> {
        let mut files = BTreeSet::new();
        for path in glob::glob_with(pattern, AS_IN_A_SHELL).map_err(invalid)? {
            let path = path.map_err(|error| io::Error::new(error.error().kind(), error.to_string()))?;
            if path.is_file() && !path.starts_with(&self.pipeline) {
                files.insert(path);
            }
        }
        Ok(files)
    }

    /// True if a file with this absolute path is in the set, or would be if it existed.
    pub(super) fn has(&self, path: &Path) -> bool {
        match &self.kind {
            Kind::Directory(directory) => path.starts_with(directory),
            Kind::Matching(pattern) => {
                Pattern::new(pattern).is_ok_and(|pattern| pattern.matches_path_with(path, AS_IN_A_SHELL))
            }
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

/// The entry of a key that stands for many files.
pub(super) fn together<'a>(files: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut count = 0_usize;
    for (name, hash) in files {
        for text in [name, hash] {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        count += 1;
    }
    format!("{count} files, {}", hasher.finalize().to_hex())
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}
