//! Patterns of paths: the files that match one, as in a shell.
//!
//! The library `glob` matches each name. Its own listing of files leaves out what cannot be looked
//! at, and fails on names that are no text.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::project::real;

/// As in a shell, `*` does not match a dot at the beginning of a name.
const AS_IN_A_SHELL: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// A pattern of paths.
#[derive(Debug)]
pub(super) struct PathPattern {
    /// The path before the first wildcard, from the root on.
    start: PathBuf,
    /// The same without links.
    real_start: PathBuf,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Name(PathBuf),
    Matching(Pattern),
    /// `**`: any directories, or none.
    Any,
}

impl Part {
    fn new(name: &str) -> io::Result<Part> {
        if name == "**" {
            return Ok(Part::Any);
        }
        if !name.contains(['*', '?', '[']) {
            return Ok(Part::Name(name.into()));
        }
        let pattern = Pattern::new(name);
        pattern.map(Part::Matching).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))
    }
}

/// True if a name matches. In one that is no text, what is none counts as a letter.
fn matches(pattern: &Pattern, name: &OsStr) -> bool {
    pattern.matches_with(&name.to_string_lossy(), AS_IN_A_SHELL)
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

impl PathPattern {
    /// A relative pattern starts at the working directory.
    pub(super) fn new(pattern: &str) -> io::Result<PathPattern> {
        let mut start =
            if Path::new(pattern).is_absolute() { PathBuf::new() } else { std::env::current_dir()? };
        let mut parts = Vec::new();
        for component in Path::new(pattern).components() {
            let part = match component {
                Component::Prefix(_) | Component::RootDir => Part::Name(component.as_os_str().into()),
                Component::CurDir => continue,
                Component::ParentDir => Part::Name("..".into()),
                Component::Normal(name) => Part::new(&name.to_string_lossy())?,
            };
            match (part, parts.last()) {
                (Part::Name(name), None) => start.push(name),
                (Part::Any, Some(Part::Any)) => {}
                (part, _) => parts.push(part),
            }
        }
        if let Some(Part::Any) = parts.last() {
            parts.push(Part::new("*")?);
        }
        Ok(PathPattern { real_start: real(&start), start, parts })
    }

    /// The files that match, by their absolute paths, without those that are `left_out`.
    ///
    /// # Errors
    /// An error if a directory cannot be listed, or if anything that matches cannot be looked at:
    /// it may be a file.
    pub(super) fn files(&self, left_out: impl Fn(&Path) -> bool) -> io::Result<BTreeSet<PathBuf>> {
        let mut search = Search { left_out: &left_out, files: BTreeSet::new() };
        search.look(&self.start, &self.parts, true)?;
        Ok(search.files)
    }

    /// True if a file matches, or would match if it existed. `path` is absolute, and `target` is
    /// the same path without links.
    pub(super) fn has(&self, path: &Path, target: &Path) -> bool {
        let has = |start: &Path, path: &Path| {
            let Ok(path) = path.strip_prefix(start) else { return false };
            has(&self.parts, &path.components().collect::<Vec<_>>())
        };
        has(&self.start, path) || has(&self.real_start, target)
    }
}

fn has(parts: &[Part], path: &[Component<'_>]) -> bool {
    let (Some((part, parts)), Some((first, rest))) = (parts.split_first(), path.split_first()) else {
        return parts.is_empty() && path.is_empty();
    };
    let first = first.as_os_str();
    match part {
        Part::Name(name) => name.as_os_str() == first && has(parts, rest),
        Part::Matching(pattern) => matches(pattern, first) && has(parts, rest),
        Part::Any => has(parts, path) || (!is_hidden(first) && has_below(parts, rest)),
    }
}

/// The same behind `**`.
fn has_below(parts: &[Part], path: &[Component<'_>]) -> bool {
    has(parts, path)
        || path
            .split_first()
            .is_some_and(|(first, rest)| !is_hidden(first.as_os_str()) && has_below(parts, rest))
}

struct Search<'a> {
    left_out: &'a dyn Fn(&Path) -> bool,
    files: BTreeSet<PathBuf>,
}

impl Search<'_> {
    /// Looks for what matches the rest of the pattern from a path on. `may_be_link` is true if the
    /// path may lead away from a directory that is not left out.
    fn look(&mut self, path: &Path, parts: &[Part], may_be_link: bool) -> io::Result<()> {
        let Some((part, rest)) = parts.split_first() else { return self.take(path, may_be_link) };
        match part {
            Part::Name(name) => self.look(&path.join(name), rest, true),
            Part::Matching(pattern) => self.list(path, |search, path, kind| {
                let is_match = path.file_name().is_some_and(|name| matches(pattern, name));
                if is_match { search.look(path, rest, kind.is_symlink()) } else { Ok(()) }
            }),
            Part::Any => {
                self.look(path, rest, may_be_link)?;
                self.list(path, |search, path, kind| {
                    let is_next = kind.is_dir() && !path.file_name().is_some_and(is_hidden);
                    if is_next { search.look(path, parts, false) } else { Ok(()) }
                })
            }
        }
    }

    fn take(&mut self, path: &Path, may_be_link: bool) -> io::Result<()> {
        match fs::metadata(path) {
            Ok(found) if found.is_file() && !(may_be_link && (self.left_out)(path)) => {
                self.files.insert(path.to_owned());
            }
            Err(error) if is_not_there(&error) => {}
            Err(error) => return Err(at(path, &error)),
            Ok(_) => {}
        }
        Ok(())
    }

    fn list(
        &mut self,
        directory: &Path,
        mut then: impl FnMut(&mut Self, &Path, fs::FileType) -> io::Result<()>,
    ) -> io::Result<()> {
        if (self.left_out)(directory) {
            return Ok(());
        }
        let entries = match fs::read_dir(directory) {
            Err(error) if is_not_there(&error) => return Ok(()),
            entries => entries.map_err(|error| at(directory, &error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| at(directory, &error))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| at(&path, &error))?;
            then(self, &path, kind)?;
        }
        Ok(())
    }
}

/// True for a path that leads to nothing, or through a file.
pub(super) fn is_not_there(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
