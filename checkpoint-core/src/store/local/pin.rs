//! Pins: files that keep a generation, whatever retention says.
//!
//! A pin identifies its generation by the length of that file and a hash of its end. So a pin whose
//! generation is gone does not keep a later one of the same number. An empty file, as `touch` makes
//! it, pins any generation with the number.
//!
//! When a pin and retention meet, both [hold](super::disk::Disk::hold) the file of the generation,
//! the pin shared and retention exclusively, so one of them comes first. Where a file system has no
//! locks, or a user makes the pin by other means, each looks once more after it has acted: the pin
//! for the generation, retention for a pin. So does the removal of all that another program reads
//! for long.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::Hold;
use super::real::{ATTEMPTS, BETWEEN_ATTEMPTS};
use super::{Directory, gone};
use crate::base::warnings::warn;
use crate::container::Source;
use crate::error::Error;
use crate::store::likeness::Likeness;
use crate::store::{Home, name};

/// The greatest length of a pin.
const LONGEST: u64 = 1024;

/// The content of a pin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pinned {
    generation: u64,
    #[serde(flatten)]
    file: Likeness,
}

impl Pinned {
    fn of(generation: u64, file: &dyn Source) -> io::Result<Pinned> {
        Ok(Pinned { generation, file: Likeness::of(file)? })
    }
}

impl Directory {
    /// Pins a generation, see [`Home::pin`].
    pub(super) fn keep(&self, generation: u64) -> Result<(), Error> {
        let (file, path) = (self.location(generation), self.pin_of(generation));
        let _held = match self.hold_shared(generation) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.no_such(generation)?),
            held => held.map_err(|source| Error::io("open", &file, source))?,
        };
        let pinned = match self.open(generation).and_then(|source| Pinned::of(generation, &*source)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.no_such(generation)?),
            // A damaged generation is pinned by its number.
            Err(_) => Vec::new(),
            Ok(pinned) => serde_json::to_vec(&pinned).unwrap_or_default(),
        };
        let mut is_new = !self.is_pinned(generation, &file);
        if is_new {
            // This is the pin of a former generation of that number.
            self.remove_pin(generation)?;
            match self.disk.create_small(&path, &pinned) {
                // Another caller pins it at this moment.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => is_new = false,
                result => result.map_err(|source| Error::writing("create", &path, source))?,
            }
        }
        let synced = self.disk.sync_directory(&self.path);
        let is_there = self.has(generation);
        if is_new && (synced.is_err() || !is_there) {
            self.remove_pin(generation)?;
        }
        synced.map_err(|source| Error::writing("sync", &self.path, source))?;
        if is_there { Ok(()) } else { Err(self.no_such(generation)?) }
    }

    /// Takes the name of a generation away, and returns the temporary name of its file. `None`
    /// where it stays, because it is pinned, or another program reads it; a later call may succeed.
    /// `before` runs once neither is the case.
    pub(super) fn retire(
        &self,
        generation: u64,
        durable: bool,
        before: Option<impl FnOnce()>,
    ) -> io::Result<Option<PathBuf>> {
        // A program that pins the generation holds it too: so either the pin exists by now, or it
        // is refused.
        let _held = match self.disk.hold(&self.location(generation), false) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            held => held?,
        };
        if let Some(before) = before {
            if self.is_pinned(generation, &self.location(generation)) {
                return Ok(None);
            }
            before();
        }
        self.take_name(generation, durable)
    }

    /// The same of a generation that another program may hold; `None` where it is pinned.
    pub(super) fn take_name(&self, generation: u64, durable: bool) -> io::Result<Option<PathBuf>> {
        let path = self.location(generation);
        if self.is_pinned(generation, &path) {
            return Ok(None);
        }
        self.remove_replaced(generation)?;
        let retired = self.disk.rename_to_temporary(&path, &self.path)?;
        // This pin was made by other means, or without locks.
        if self.is_pinned(generation, &retired) {
            self.disk.rename(&retired, &path)?;
            if durable {
                self.disk.sync_directory(&self.path)?;
            }
            return Ok(None);
        }
        Ok(Some(retired))
    }

    /// True if a pin has this number, whatever its content.
    pub(crate) fn has_pin(&self, generation: u64) -> bool {
        self.disk.exists(&self.pin_of(generation))
    }

    /// True if a pin keeps the generation with this file, and where that is unknown.
    pub(crate) fn is_pinned(&self, generation: u64, file: &Path) -> bool {
        if !self.has_pin(generation) {
            return false;
        }
        let pinned = match self.content_of_pin(generation) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            pinned => pinned.ok().flatten(),
        };
        let Some(pinned) = pinned else { return true };
        self.likeness_of(generation, file).map_or(true, |found| found == pinned)
    }

    /// The file that a pin names; `None` for a pin that names none.
    fn content_of_pin(&self, generation: u64) -> io::Result<Option<Pinned>> {
        let file = self.disk.open(&self.pin_of(generation))?;
        let mut bytes = vec![0; usize::try_from(file.length().min(LONGEST)).unwrap_or(0)];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    /// The content of a pin of this file. A lock on a file that the caller holds would be waited
    /// for. None is needed: what is pinned is not overwritten.
    fn likeness_of(&self, generation: u64, file: &Path) -> io::Result<Pinned> {
        self.disk.open_unpublished(file, None).and_then(|source| Pinned::of(generation, &*source))
    }

    /// Gives a pinned generation its name back that retention has taken, and could not give back,
    /// or was killed before. Returns true if the temporary file is such a one; then it is none to
    /// remove. `names` are those in the directory.
    pub(super) fn gives_name_back(&self, names: &[OsString], temporary: &Path) -> bool {
        let there: BTreeSet<u64> = names.iter().filter_map(|name| name::generation(name)).collect();
        let nameless =
            names.iter().filter_map(|name| name::pinned(name)).filter(|number| !there.contains(number));
        for generation in nameless {
            let Ok(Some(pinned)) = self.content_of_pin(generation) else { continue };
            if !self.likeness_of(generation, temporary).is_ok_and(|found| found == pinned) {
                continue;
            }
            let path = self.location(generation);
            match self.disk.rename(temporary, &path) {
                Ok(()) => warn(format!("{} is pinned, and has its name again", path.display())),
                Err(error) => warn(format!(
                    "{} is pinned, and its file {} could not be given its name: {error}",
                    path.display(),
                    temporary.display()
                )),
            }
            return true;
        }
        false
    }

    /// Keeps retention from taking the file away while the result lives.
    fn hold_shared(&self, generation: u64) -> io::Result<Option<Box<dyn Hold>>> {
        let path = self.location(generation);
        for _ in 0..ATTEMPTS {
            match self.disk.hold(&path, true) {
                // Retention has it for a moment; another program may have it for long.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(BETWEEN_ATTEMPTS);
                }
                held => return held.map(Some),
            }
        }
        Ok(None)
    }

    fn no_such(&self, generation: u64) -> Result<Error, Error> {
        let available = self.generations()?;
        Ok(Error::NoSuchGeneration { path: self.path.clone(), generation, available })
    }

    fn pin_of(&self, generation: u64) -> PathBuf {
        self.path.join(name::of_pin(generation))
    }

    pub(super) fn remove_pin(&self, generation: u64) -> Result<(), Error> {
        let path = self.pin_of(generation);
        gone(self.disk.remove(&path)).map_err(|source| Error::writing("remove", &path, source))
    }
}
