//! The claim on a directory: new files, the reuse of retired ones, and their removal.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::blocks::{Known, KnownFiles, Rewriting};
use super::disk::Disk;
use super::draft::{Target, Temporary, remove_temporary};
use super::rewind::parents_in;
use super::{Directory, gone};
use crate::base::warnings::warn;
use crate::error::Error;
use crate::outcome::Rewound;
use crate::store::{Claim, Claiming, Draft, Guard, Home, name};

/// The right to save to a directory, which this process has locked.
#[derive(Debug)]
pub(super) struct DirectoryClaim {
    directory: Directory,
    /// The same directory, for readers.
    home: Arc<dyn Home>,
    durable: bool,
    guard: Arc<Guard>,
    /// Generations that were found pinned when they were to be removed: they stay while a pin has
    /// their number.
    pinned: BTreeSet<u64>,
    /// A rewind that failed, and that could not be taken back yet.
    half_rewound: Option<HalfRewound>,
    /// A retired generation, under a temporary name, for the next save to overwrite.
    spare: Option<Retired>,
    /// Other retired files, which another process held when they were to be overwritten.
    held: Vec<PathBuf>,
    /// The generations by which others go, after rewinds.
    parents: BTreeSet<u64>,
    /// True if equal states give different bytes, as where they are encrypted: no blocks are
    /// compared.
    varies: bool,
    files: Arc<Mutex<KnownFiles>>,
}

/// A generation whose name was taken away.
#[derive(Debug)]
struct Retired {
    path: PathBuf,
    known: Option<Known>,
}

/// A rewind that failed in the middle.
#[derive(Clone, Copy, Debug)]
struct HalfRewound {
    /// The newest generation before it.
    newest: u64,
    /// The highest number that was used before it.
    highest: u64,
}

impl DirectoryClaim {
    /// Creates the directory where it is absent, takes its lock, and removes the leftovers of a
    /// crash.
    pub(super) fn take(directory: Directory, claiming: &Claiming) -> Result<DirectoryClaim, Error> {
        let guard = Guard::take(&*directory.disk, &directory.path, claiming)?;
        let directory = directory.guarded(&guard);
        let Directory { path, disk, .. } = &directory;
        warn_of_strangers(path, claiming);
        let names = disk.list(path).map_err(|source| Error::io("list", path, source))?;
        // A killed process left these. No other program writes here: the lock is ours.
        for name in names.iter().filter(|name| name::is_temporary(name)) {
            let temporary = path.join(name);
            if !directory.gives_name_back(&names, &temporary) {
                remove_unless_held(&**disk, &temporary);
            }
        }
        if claiming.durable {
            // A process that was killed between its rename and its sync left a generation that
            // exists now, but may not survive a power cut. A program that loads it may publish
            // results; so it is made durable first.
            disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))?;
        }
        let names = match names.iter().any(|name| name::parent(name).is_some()) {
            true => directory.end_rewind(claiming.durable)?,
            false => names,
        };
        Ok(DirectoryClaim {
            home: Arc::new(directory.clone()),
            parents: parents_in(&names),
            directory,
            durable: claiming.durable,
            guard,
            pinned: BTreeSet::new(),
            half_rewound: None,
            spare: None,
            held: Vec::new(),
            varies: claiming.varies,
            files: Arc::default(),
        })
    }

    fn files(&self) -> MutexGuard<'_, KnownFiles> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the name of a generation away. `None` where it stays for now.
    fn retire(&mut self, generation: u64) -> io::Result<Option<Retired>> {
        // Another directory with a generation of this number may have come in its place.
        self.guard.check_place().map_err(io::Error::other)?;
        // This only looks at the name: there may be thousands of pins.
        if self.pinned.contains(&generation) && self.directory.has_pin(generation) {
            return Ok(None);
        }
        self.pinned.remove(&generation);
        let known = self.files().take(generation);
        let place = self.directory.location(generation);
        let (directory, durable, parents) = (&self.directory, self.durable, &mut self.parents);
        let is_parent = parents.contains(&generation);
        // Before its name goes: a process that is killed in between has lost none of them.
        let before = is_parent.then_some(|| leave_children(directory, generation, durable, parents));
        let rename = || directory.retire(generation, durable, before);
        let (retired, known) = Known::renamed(known, (&*directory.disk, &place), rename)?;
        if retired.is_none() && self.directory.has_pin(generation) {
            self.pinned.insert(generation);
        }
        Ok(retired.map(|path| Retired { path, known }))
    }
}

/// Leaves the generations that are aside, and that go by one that is to go, to the one before it.
fn leave_children(directory: &Directory, generation: u64, durable: bool, parents: &mut BTreeSet<u64>) {
    let left = directory.leave_children(generation, durable);
    match left.and_then(|()| directory.parents()) {
        Ok(now) => *parents = now,
        Err(error) => warn(format!(
            "a rewind to what went on from generation {generation} brings back no older ones: {error}"
        )),
    }
}

impl Claim for DirectoryClaim {
    fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    fn home(&self) -> &Arc<dyn Home> {
        &self.home
    }

    /// Overwrites a retired generation where possible: its space is allocated already, which is
    /// faster, and cannot run out.
    fn begin(&mut self, generation: u64) -> Result<Box<dyn Draft>, Error> {
        let Directory { path, disk, .. } = &self.directory;
        let target = Target {
            disk: Arc::clone(disk),
            directory: path.clone(),
            path: self.directory.location(generation),
            generation,
            files: Arc::clone(&self.files),
            durable: self.durable,
            process: self.guard.process(),
        };
        let mut recycled = None;
        let held = std::mem::take(&mut self.held).into_iter().map(|path| Retired { path, known: None });
        let spares = self.spare.take().into_iter().chain(held);
        for Retired { path: spare, known } in spares {
            if recycled.is_some() {
                self.held.push(spare);
                continue;
            }
            let rewriting = if self.varies { Rewriting::All } else { self.files().rewriting(known) };
            match Temporary::recycle(&spare, target.clone(), rewriting) {
                Ok(temporary) => recycled = Some(temporary),
                // Another process reads it, or writes it: it is never removed, but tried again.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.held.push(spare),
                Err(error) => {
                    tracing::debug!(path = %spare.display(), %error, "not recycled");
                    remove_temporary(&**disk, &spare);
                }
            }
        }
        Ok(Box::new(recycled.map_or_else(|| Temporary::create(target), Ok)?))
    }

    fn keep_for_good(&self, generation: u64) -> Result<(), Error> {
        let Directory { path: directory, disk, .. } = &self.directory;
        let path = self.directory.location(generation);
        if !self.durable {
            return Ok(());
        }
        disk.sync_file(&path).map_err(|source| Error::writing("sync", &path, source))?;
        disk.sync_directory(directory).map_err(|source| Error::writing("sync", directory, source))
    }

    fn move_aside(&mut self, generation: u64) -> Result<(), Error> {
        self.files().clear();
        self.directory.move_aside(generation).map(drop)
    }

    fn sync(&mut self) -> Result<(), Error> {
        let Directory { path, disk, .. } = &self.directory;
        if !self.durable {
            return Ok(());
        }
        disk.sync_directory(path).map_err(|source| Error::writing("sync", path, source))
    }

    fn rewind(&mut self, generation: u64, note: bool) -> Result<Rewound, Error> {
        self.files().clear();
        self.end_rewind()?;
        let (before, aside) = (self.directory.generations()?, self.directory.set_aside()?);
        let highest = before.last().max(aside.last()).copied().unwrap_or(0);
        let rewound = self.directory.rewind(generation, self.durable);
        if matches!(&rewound, Err(error) if !matches!(error, Error::NoSuchGeneration { .. })) {
            // What comes next goes on from the newest of before. Where there was none, the target
            // is it.
            let newest = before.last().copied().unwrap_or(generation);
            self.half_rewound = Some(HalfRewound { newest, highest });
            if let Err(error) = self.end_rewind() {
                warn(format!(
                    "a rewind of {} failed, and cannot be taken back yet: {error}; until that is done, no old \
                     generations are removed",
                    self.directory.path.display()
                ));
            }
        }
        let rewound = rewound?;
        self.parents = self.directory.parents()?;
        if note {
            self.note_rewind(generation)?;
        }
        Ok(rewound)
    }

    fn end_rewind(&mut self) -> Result<bool, Error> {
        let Some(HalfRewound { newest, highest }) = self.half_rewound else { return Ok(false) };
        let now = self.directory.generations()?.last().copied();
        // A save came meanwhile: it is what the program goes on from.
        let newest = now.filter(|now| *now > highest).unwrap_or(newest);
        self.directory.rewind(newest, self.durable)?;
        self.parents = self.directory.parents()?;
        self.half_rewound = None;
        Ok(true)
    }

    fn note_rewind(&mut self, generation: u64) -> Result<(), Error> {
        self.directory.note_rewind(generation, self.durable)
    }

    fn clear(self: Box<Self>, with_pins: bool) -> Result<(), Error> {
        self.directory.clear(with_pins, self.durable)
    }

    fn remove_at_once(&mut self, generation: u64) -> io::Result<bool> {
        let Some(retired) = self.retire(generation)? else { return Ok(false) };
        gone(self.directory.disk.remove(&retired.path)).map(|()| true)
    }

    /// Keeps one file for a later save.
    fn remove(&mut self, generation: u64) -> io::Result<bool> {
        let Some(retired) = self.retire(generation)? else { return Ok(false) };
        // Without syncs, a power cut may leave nothing but the retired file.
        if self.durable && self.spare.is_none() {
            self.spare = Some(retired);
        } else {
            remove_temporary(&*self.directory.disk, &retired.path);
        }
        Ok(true)
    }
}

impl Drop for DirectoryClaim {
    fn drop(&mut self) {
        // In a forked process these files are the parent's.
        if self.guard.is_of_this_process() {
            let spare = self.spare.iter().map(|spare| &spare.path);
            for spare in spare.chain(&self.held) {
                remove_unless_held(&*self.directory.disk, spare);
            }
        }
    }
}

/// Removes a temporary file, unless another process reads or writes it: then a later start removes
/// it.
fn remove_unless_held(disk: &dyn Disk, path: &Path) {
    match disk.hold(path, false) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            tracing::debug!(path = %path.display(), "a temporary file is in use and stays");
        }
        _ => remove_temporary(disk, path),
    }
}

/// Tells of other users who may write to a directory. With a key, their files are refused.
pub(crate) fn warn_of_strangers(path: &Path, claiming: &Claiming) {
    if !claiming.authenticated
        && let Some(who) = strangers(path, claiming.with_group)
    {
        warn(format!(
            "{who} can add checkpoints to {}, or change existing ones: take that permission away \
             (`chmod go-w`), or authenticate yours with `Protection::authenticate`",
            path.display()
        ));
    }
}

/// Describes the other users who may create and replace names in a directory.
fn strangers(path: &Path, with_group: bool) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = path.metadata().ok()?;
        let (us, owner) = (rustix::process::geteuid().as_raw(), metadata.uid());
        if metadata.mode() & 0o002 != 0 {
            return Some("everybody".to_owned());
        }
        if metadata.mode() & 0o020 != 0 && !with_group {
            return Some(format!("the group {}", metadata.gid()));
        }
        (owner != us && owner != 0 && !with_group).then(|| format!("user {owner}, whose it is,"))
    }
    #[cfg(not(unix))]
    {
        let _ = (path, with_group);
        None
    }
}
