//! The kept copies of produced files: one file for each content, named by its hash, in a folder of
//! the step.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::files::{hash, open};
use super::folder::folder;
use super::key::ProducedFile;
use super::pattern::is_not_there;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::store::{Disk, check_file_size, is_temporary, name, temporary_name};

/// The bytes that are copied at a time.
const BLOCK: usize = 1 << 20;

/// The copies of the files of one step.
#[derive(Debug)]
pub(super) struct Copies {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    durable: bool,
}

impl Copies {
    pub(super) fn new(pipeline: &Path, step: &str, disk: &Arc<dyn Disk>, durable: bool) -> Copies {
        let path = pipeline.join(name::PRODUCED).join(folder(step));
        Copies { path, disk: Arc::clone(disk), durable }
    }

    fn place(&self, hash: &str) -> PathBuf {
        self.path.join(hash)
    }

    pub(super) fn has(&self, hash: &str) -> bool {
        // The hash comes from a record, and is to lead nowhere else.
        is_hash(hash) && self.place(hash).is_file()
    }

    /// Keeps a copy of a file that a step has just produced. The copy is durable before this
    /// returns.
    pub(super) fn keep(&self, path: &Path, produced: &ProducedFile) -> Result<(), Error> {
        self.create()?;
        let place = self.place(&produced.hash);
        let failed = |source| Error::writing("copy to", &place, source);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_file() && found.len() == produced.bytes => {
                // It may come from a run that was killed before its syncs, or that makes none.
                if self.durable {
                    self.disk.sync_file(&place).map_err(failed)?;
                    self.disk.sync_directory(&self.path).map_err(failed)?;
                }
                return Ok(());
            }
            // A power cut has shortened it.
            Ok(_) => self.disk.remove(&place).map_err(failed)?,
            Err(_) => {}
        }
        let new = self.disk.create_temporary(&self.path).map_err(failed)?;
        let (temporary, mut output) = (new.path, new.output);
        let copied = open(path).and_then(|mut file| {
            let hash = copy(&mut file, &mut output)?;
            output.finish()?;
            if hash != produced.hash {
                return Err(io::Error::other("the file is still written to after the step has ended"));
            }
            if self.durable {
                output.sync()?;
            }
            match self.disk.rename(&temporary, &place) {
                // Another process keeps the same content.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.disk.remove(&temporary),
                outcome => outcome,
            }?;
            if self.durable { self.disk.sync_directory(&self.path) } else { Ok(()) }
        });
        copied.map_err(|source| {
            let _ = self.disk.remove(&temporary);
            failed(source)
        })
    }

    fn create(&self) -> Result<(), Error> {
        if self.path.is_dir() {
            return Ok(());
        }
        let all = self.path.parent().unwrap_or(&self.path);
        for path in [all, &self.path] {
            let failed = |source| Error::writing("create", path, source);
            self.disk.create_directory(path).map_err(failed)?;
            if let Some(parent) = path.parent().filter(|_| self.durable) {
                self.disk.sync_directory(parent).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Puts a copy in the place of a file. What is there and is no version of the step is moved
    /// aside. `false` if the copy is damaged; then it is removed.
    pub(super) fn restore(
        &self,
        file: &ProducedFile,
        to: &Path,
        known: &BTreeSet<String>,
    ) -> Result<bool, Error> {
        let to = &*written_by(to).map_err(|source| Error::writing("restore", to, source))?;
        let failed = |source| Error::writing("restore", to, source);
        let parent = to.parent().unwrap_or(Path::new("/"));
        // The error of a path through a file does not name that file.
        fs::create_dir_all(parent).map_err(|source| Error::writing("create", parent, source))?;
        // Written here, so that a kill leaves nothing in the user's directory, unless that is on
        // another file system.
        for directory in [&*self.path, parent] {
            let Some(temporary) = self.whole_copy(file, directory, to)? else { return Ok(false) };
            self.set_aside(to, known).map_err(failed)?;
            match temporary.persist(to) {
                Err(error) if error.error.kind() == io::ErrorKind::CrossesDevices => continue,
                outcome => outcome.map_err(|error| failed(error.error))?,
            };
            break;
        }
        if self.durable {
            self.disk.sync_directory(parent).map_err(failed)?;
        }
        Ok(true)
    }

    /// A temporary file with the content of a copy. `None` if the copy is damaged; then it is
    /// removed.
    fn whole_copy(
        &self,
        file: &ProducedFile,
        directory: &Path,
        to: &Path,
    ) -> Result<Option<NamedTempFile>, Error> {
        let failed = |source| Error::writing("restore", to, source);
        #[cfg_attr(not(unix), allow(unused_mut))]
        let mut builder = temporary_name();
        #[cfg(unix)]
        {
            // Its owner's until it has its own permissions. If none are recorded, the umask sets
            // them.
            let mode = file.mode.map_or(0o666, |_| 0o600);
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
        }
        let mut temporary = builder.tempfile_in(directory).map_err(failed)?;
        let place = self.place(&file.hash);
        let mut source = open(&place).map_err(|source| Error::io("read", &place, source))?;
        let length = source.metadata().map_err(|source| Error::io("look at", &place, source))?.len();
        check_file_size(length).map_err(failed)?;
        if copy(&mut source, temporary.as_file_mut()).map_err(failed)? != file.hash {
            self.disk.remove(&place).map_err(|source| Error::writing("remove", &place, source))?;
            return Ok(None);
        }
        #[cfg(unix)]
        if let Some(mode) = file.mode {
            use std::os::unix::fs::PermissionsExt;
            let permissions = fs::Permissions::from_mode(mode & 0o777);
            if let Err(error) = temporary.as_file().set_permissions(permissions) {
                // Some file systems have no such permissions.
                warn(format!("{} is put back without its permissions: {error}", to.display()));
            }
        }
        if self.durable {
            temporary.as_file().sync_all().map_err(failed)?;
        }
        Ok(Some(temporary))
    }

    /// Moves away a file with a content that no kept version has, as a user may have changed it,
    /// and anything that is no file.
    fn set_aside(&self, path: &Path, known: &BTreeSet<String>) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Err(error) if is_not_there(&error) => return Ok(()),
            Err(error) => return Err(error),
            Ok(found) if found.is_file() && known.contains(&hash(&open(path)?)?) => return Ok(()),
            Ok(_) => {}
        }
        let name = path.file_name().unwrap_or_default().to_os_string();
        for number in 1_u32.. {
            let mut aside = name.clone();
            aside.push(if number == 1 { ".changed".to_owned() } else { format!(".changed-{number}") });
            let aside = path.with_file_name(aside);
            match self.disk.rename(path, &aside) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                outcome => outcome?,
            }
            warn(format!(
                "{} was changed since the step produced it, and was moved to {}",
                path.display(),
                aside.display()
            ));
            break;
        }
        Ok(())
    }

    /// Removes the copies that no version has, and what a killed program left.
    pub(super) fn keep_only(&self, hashes: &BTreeSet<&str>) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let file = entry.file_name();
            let is_obsolete = file.to_str().is_some_and(|name| is_hash(name) && !hashes.contains(name));
            if (is_obsolete || is_temporary(&file))
                && let Err(error) = self.disk.remove(&entry.path())
                && error.kind() != io::ErrorKind::NotFound
            {
                warn(format!(
                    "{}, the copy of a file that no version has, cannot be removed: {error}",
                    entry.path().display()
                ));
            }
        }
    }
}

/// The path of the file that a step writes through this one. A link to a file stays one. A link to
/// anything else, as a device, or to nothing, is not followed.
fn written_by(path: &Path) -> io::Result<PathBuf> {
    match fs::metadata(path) {
        Ok(found) if found.is_file() => path.canonicalize(),
        Err(error) if !is_not_there(&error) => Err(error),
        Ok(_) | Err(_) => Ok(path.to_owned()),
    }
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Copies the rest of a file, and returns its hash.
fn copy(file: &mut File, output: &mut dyn Write) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    let mut block = vec![0; BLOCK];
    loop {
        let length = match file.read(&mut block) {
            Ok(0) => return Ok(hasher.finalize().to_hex().to_string()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            length => length?,
        };
        hasher.update(&block[..length]);
        output.write_all(&block[..length])?;
    }
}
