//! A file that grows line by line, and that only this directory has.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::disk::Identity;
use super::output::check_limit;
use super::real::{Access, has_one_name, must_be_regular, no_follow_no_wait};
use crate::store::{Log, name};

#[derive(Debug)]
pub(super) struct FileLog {
    file: File,
    path: PathBuf,
    access: Access,
    /// The identity of the directory when the file was opened.
    directory: Option<Identity>,
}

impl FileLog {
    /// Opens a file to append lines to it, and creates it where it is absent. A file with another
    /// name too, as in a backup by hard links, is not changed: a copy takes its place.
    pub(super) fn open(path: &Path, access: Access) -> io::Result<FileLog> {
        let file = open(path)?;
        access.grant(&file);
        let directory = path.parent().unwrap_or(Path::new("/"));
        let place = Identity::of(&directory.metadata()?);
        if has_one_name(&must_be_regular(&file)?) {
            return Ok(FileLog { file, path: path.to_owned(), access, directory: place });
        }
        let mut copy = name::temporary().tempfile_in(directory)?;
        let mut former = File::open(path)?;
        check_limit(former.metadata()?.len())?;
        io::copy(&mut former, &mut copy)?;
        let modified = former.metadata()?.modified()?;
        copy.as_file().set_modified(modified)?;
        copy.persist(path).map_err(|error| error.error)?;
        let file = open(path)?;
        access.grant(&file);
        Ok(FileLog { file, path: path.to_owned(), access, directory: place })
    }

    /// Opens the file again, which was linked or removed, but no file of another directory.
    fn reopen(&mut self) -> io::Result<()> {
        let directory = self.path.parent().unwrap_or(Path::new("/"));
        if Identity::of(&directory.metadata()?) != self.directory {
            return Err(io::Error::other("another directory took the place of the one that was opened"));
        }
        *self = FileLog::open(&self.path, self.access)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    no_follow_no_wait(&mut options);
    options.open(path)
}

impl Log for FileLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let metadata = self.file.metadata()?;
        if !has_one_name(&metadata) {
            // It was linked or removed since it was opened.
            self.reopen()?;
        }
        check_limit(metadata.len().saturating_add(bytes.len() as u64))?;
        self.file.write_all(bytes)
    }

    fn length(&self) -> io::Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_backup_by_hard_links_does_not_grow() {
        let directory = tempfile::tempdir().unwrap();
        let (path, backup) = (directory.path().join("log"), directory.path().join("backup"));
        let mut log = FileLog::open(&path, Access::default()).unwrap();
        log.append(b"one\n").unwrap();
        fs::hard_link(&path, &backup).unwrap();
        log.append(b"two\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
        assert_eq!(fs::read(&backup).unwrap(), b"one\n");
        // Nor does it follow a link that was made before the log was opened.
        drop(log);
        fs::remove_file(&backup).unwrap();
        fs::hard_link(&path, &backup).unwrap();
        FileLog::open(&path, Access::default()).unwrap().append(b"three\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\nthree\n");
        assert_eq!(fs::read(&backup).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn a_removed_log_is_started_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let mut log = FileLog::open(&path, Access::default()).unwrap();
        fs::remove_file(&path).unwrap();
        log.append(b"line\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"line\n");
    }
}
