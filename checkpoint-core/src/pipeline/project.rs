//! [`Project`]: the directory from which the files of a pipeline are named, so that a project that
//! is moved as a whole keeps the names.

use std::io;
use std::path::{Component, Path, PathBuf};

use super::pattern::is_not_there;

/// The beginning of the name of a file outside of the project that was given by a relative path.
const OUTSIDE: &str = "./";

/// The directory from which files are named.
#[derive(Clone, Debug)]
pub(super) struct Project {
    root: PathBuf,
    /// The same without symbolic links.
    real: Option<PathBuf>,
}

impl Project {
    pub(super) fn new(root: &Path) -> Project {
        Project { root: without_dots(root), real: root.canonicalize().ok() }
    }

    /// The directory as a pipeline directory sees it: only points where it is inside of the
    /// project, and so true wherever the project is moved. `None` if it is no text.
    pub(super) fn seen_from(&self, pipeline: &Path) -> Option<String> {
        match pipeline.strip_prefix(&self.root) {
            Ok(inside) => Some(vec![".."; inside.components().count()].join("/")),
            Err(_) => self.root.to_str().map(str::to_owned),
        }
    }

    /// The project that a pipeline directory sees so.
    pub(super) fn seen(pipeline: &Path, project: &str) -> Project {
        let parts = project.split('/');
        match parts.clone().all(|part| part == "..") {
            true => Project::new(pipeline.ancestors().nth(parts.count()).unwrap_or(pipeline)),
            false => Project::new(Path::new(project)),
        }
    }

    /// True for the path of the directory, as it is given or without links.
    pub(super) fn is_root(&self, path: &Path) -> bool {
        path == self.root || self.real.as_deref() == Some(path)
    }

    /// The name of a file in keys and records, and its absolute path. Inside of the project, it is
    /// the path from there. Outside, it is the path as the program gives it.
    pub(super) fn name(&self, given: &Path) -> io::Result<(String, PathBuf)> {
        let path = without_dots(&std::path::absolute(given)?);
        let name = match self.within(&path) {
            Some(within) if within.as_os_str().is_empty() => ".".to_owned(),
            Some(within) => as_text(&within),
            None if given.is_relative() => format!("{OUTSIDE}{}", as_text(given)),
            None => as_text(&path),
        };
        Ok((name, path))
    }

    fn within(&self, path: &Path) -> Option<PathBuf> {
        if let Ok(within) = path.strip_prefix(&self.root) {
            return Some(within.to_owned());
        }
        // One of the two paths may lead through a link.
        let (parent, name) = (path.parent()?.canonicalize().ok()?, path.file_name()?);
        Some(parent.strip_prefix(self.real.as_ref()?).ok()?.join(name))
    }

    /// The path of a file with this name. Relative paths outside of the project start at
    /// `directory`, where it is known. `None` if the name does not tell.
    pub(super) fn path_of(&self, name: &str, directory: Option<&Path>) -> Option<PathBuf> {
        if let Some(outside) = name.strip_prefix(OUTSIDE) {
            return (!outside.starts_with('"')).then(|| Some(directory?.join(outside)))?;
        }
        // A path that is no text.
        (!name.starts_with('"')).then(|| self.root.join(name))
    }

    /// True if the file with this name is gone. If it may not be looked at, or the project or the
    /// directory where the name begins is gone too, as on another machine, nothing can be said of
    /// it.
    pub(super) fn is_missing(&self, name: &str, directory: Option<&Path>) -> bool {
        let start = if name.starts_with(OUTSIDE) { directory } else { Some(&*self.root) };
        let is_known = Path::new(name).is_absolute() || start.is_some_and(Path::is_dir);
        let is_there = |path: PathBuf| path.try_exists().unwrap_or_else(|error| !is_not_there(&error));
        is_known && self.path_of(name, directory).is_some_and(|path| !is_there(path))
    }
}

/// The path without links, dots included. What does not exist yet is taken as it is written.
pub(super) fn real(path: &Path) -> PathBuf {
    let found = path.ancestors().find_map(|above| Some((above, above.canonicalize().ok()?)));
    let Some((above, mut found)) = found else { return path.to_owned() };
    found.extend(path.components().skip(above.components().count()));
    found
}

/// True if a file has one of these paths too, by a hard link.
pub(super) fn is_linked<'a>(path: &Path, others: impl Iterator<Item = &'a PathBuf>) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        // Most files have one name, so that no other has to be looked at.
        let Some(found) = path.metadata().ok().filter(|found| found.is_file() && found.nlink() > 1) else {
            return false;
        };
        let same = (found.dev(), found.ino());
        let mut others = others.filter_map(|other| other.metadata().ok());
        others.any(|other| (other.dev(), other.ino()) == same)
    }
    #[cfg(not(unix))]
    {
        let _ = (path, others);
        false
    }
}

fn without_dots(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

/// A path as text: different for each path, also if it is no text; but `./a` is `a`.
pub(super) fn as_text(path: &Path) -> String {
    let path = without_dots(path);
    match path.to_str() {
        // A text that begins with a quotation mark could be taken for such a path.
        Some(text) if !text.starts_with('"') => text.to_owned(),
        _ => format!("{path:?}"),
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn each_path_has_a_name_of_its_own() {
        let paths: [&[u8]; 5] = [b"a", b"\xff", b"\xfe", b"\"\\xFF\"", b"\\xFF"];
        let mut names: Vec<String> =
            paths.iter().map(|path| as_text(Path::new(OsStr::from_bytes(path)))).collect();
        assert_eq!(names[0], "a");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), paths.len(), "{names:?}");
    }

    #[test]
    fn a_path_has_the_same_name_however_it_is_written() {
        for path in ["a/b", "./a/b", "a/./b", "a//b", "././a/b/"] {
            assert_eq!(as_text(Path::new(path)), "a/b", "{path}");
        }
        // If one of the folders is a link, these are two files.
        assert_ne!(as_text(Path::new("a/../b")), as_text(Path::new("b")));
    }

    #[test]
    fn names_begin_at_the_project_and_lead_back() {
        let directory = tempfile::tempdir().unwrap();
        let real = directory.path().join("real");
        std::fs::create_dir_all(real.join("data")).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&real, &link).unwrap();
        for root in [&real, &link] {
            let project = Project::new(root);
            for given in [real.join("data/a.csv"), link.join("data/./a.csv")] {
                assert_eq!(project.name(&given).unwrap().0, "data/a.csv", "{given:?} in {root:?}");
            }
            assert_eq!(project.path_of("data/a.csv", None), Some(root.join("data/a.csv")));
            let outside = directory.path().join("b.csv");
            let name = project.name(&outside).unwrap().0;
            assert_eq!(project.path_of(&name, None), Some(outside));
            // No project file has the name of one outside.
            assert_eq!(project.name(Path::new("b.csv")).unwrap().0, "./b.csv");
            assert_eq!(project.path_of("./b.csv", Some(root)), Some(root.join("b.csv")));
            assert_eq!(project.path_of("./b.csv", None), None);
        }
    }
}
