//! The content of input files as hashes. A hash is computed again only if the file has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::builder::Workshop;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::run::checkpointer::Checkpointer;
use crate::state::Plain;
use crate::store::name::FILES;

/// A file that was changed this recently may be changed once more without a new time of its last
/// change, so its hash is not remembered.
const TOO_FRESH: Duration = Duration::from_secs(3);

/// The facts remembered about a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    length: u64,
    modified: SystemTime,
    /// The identity of the file, whatever its name, and the last change of it or its name.
    inode: u64,
    changed: (i64, i64),
    hash: String,
}

type Memory = Plain<BTreeMap<String, Seen>>;

/// An input file as a step found it.
#[derive(Debug)]
pub(super) struct Input {
    /// The name in the key.
    pub(super) name: String,
    /// Absolute: the program may change its directory.
    path: PathBuf,
    seen: Seen,
    /// True if any later change shows in the facts seen.
    shows_changes: bool,
}

impl Input {
    pub(super) fn hash(&self) -> &str {
        &self.seen.hash
    }

    /// True if the file was not changed since, not even to be put back.
    pub(super) fn is_unchanged(&self) -> Result<bool, Error> {
        let failed = |source| Error::io("read", &self.path, source);
        let file = match open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(failed)?,
        };
        let mut found = look(&file).map_err(failed)?;
        found.hash.clone_from(&self.seen.hash);
        if found != self.seen || self.shows_changes {
            return Ok(found == self.seen);
        }
        Ok(hash(&file).map_err(failed)? == self.seen.hash)
    }
}

/// The input files of a step as they were before its work, and the names of those that changed
/// since.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    files: Vec<Input>,
    /// The names of the files that were found changed. A name stays here if its file is put back.
    changed: Mutex<BTreeSet<String>>,
}

impl Inputs {
    pub(super) fn add(&mut self, input: Input) {
        self.files.push(input);
    }

    /// Looks at the files again, and returns the names of all that changed since the work began.
    ///
    /// # Errors
    /// The last error of reading a file. That file counts as changed.
    pub(super) fn changed(&self) -> (Vec<String>, Option<Error>) {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut failed = None;
        for input in &self.files {
            let is_unchanged = input.is_unchanged().unwrap_or_else(|error| {
                failed = Some(error);
                false
            });
            if !is_unchanged {
                changed.insert(input.name.clone());
            }
        }
        (changed.iter().cloned().collect(), failed)
    }
}

/// The hashes of files. They are themselves kept in a checkpoint directory.
#[derive(Debug)]
pub(super) struct Files {
    checkpoints: Checkpointer<Memory>,
    seen: BTreeMap<String, Seen>,
}

impl Files {
    pub(super) fn open(workshop: &Workshop) -> Result<Files, Error> {
        // Not synced: a file that a power cut leaves half-written is found damaged, and lost hashes
        // can be computed again.
        let builder = workshop.builder::<Memory>(FILES).durable(false).history(false).of_library();
        let mut checkpoints = builder.open()?;
        let seen = checkpoints.load().unwrap_or_else(|error| {
            warn(format!(
                "the hashes of input files are worked out again, those that are kept cannot be used: {error}"
            ));
            None
        });
        Ok(Files { checkpoints, seen: seen.map(|Plain(seen)| seen).unwrap_or_default() })
    }

    /// Looks at a file, and computes the hash of its content if that is not known.
    pub(super) fn input(&mut self, given: &Path) -> Result<Input, Error> {
        let failed = |source| Error::io("read", given, source);
        let path = std::path::absolute(given).map_err(failed)?;
        let name = name(given);
        let now = SystemTime::now();
        let file = open(&path).map_err(failed)?;
        // If a page is dirty already, a second store to it through a memory map does not change the
        // time. After the sync no page is dirty.
        let shows_stores = file.sync_data().is_ok() && has_times_of_stores(&file);
        let mut seen = look(&file).map_err(failed)?;
        let shows_changes = shows_stores && seen.is_settled(now);
        let place = self::name(&path);
        if let Some(known) = self.seen.get(&place).filter(|_| shows_changes) {
            seen.hash.clone_from(&known.hash);
            if seen == *known {
                return Ok(Input { name, path, seen, shows_changes });
            }
        }
        seen.hash = hash(&file).map_err(failed)?;
        if shows_changes {
            self.seen.insert(place, seen.clone());
            // A step must not fail for this: a hash that is not remembered only costs time.
            if let Err(error) = self.checkpoints.save(&Plain(self.seen.clone())) {
                warn(format!(
                    "the hashes of input files are not remembered, and worked out again next time: {error}"
                ));
            }
        }
        Ok(Input { name, path, seen, shows_changes })
    }
}

/// Opens a file. Opening a pipe would wait for a program that writes to it.
fn open(path: &Path) -> io::Result<File> {
    must_be_regular(&std::fs::metadata(path)?)?;
    File::open(path)
}

fn must_be_regular(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"))
}

/// The hash of the rest of a file.
fn hash(file: &File) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// True if a store through a memory map changes the time of the last change. In a memory file
/// system it does not, and an overlay file system may lie over such a one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_times_of_stores(file: &File) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    const HUGETLBFS: u64 = 0x9584_58f6;
    const OVERLAY: u64 = 0x794c_7630;
    rustix::fs::fstatfs(file).is_ok_and(|system| {
        // The type of this field has another sign and width on each machine.
        let kind = u64::try_from(system.f_type & 0xffff_ffff).unwrap_or_default();
        ![TMPFS, RAMFS, HUGETLBFS, OVERLAY].contains(&kind)
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn has_times_of_stores(_: &File) -> bool {
    true
}

impl Seen {
    /// True if its last change is so long ago that the next one gets another time. Both times
    /// count: the one of the content can be set to any value, as by copies that preserve it.
    fn is_settled(&self, now: SystemTime) -> bool {
        let is_old = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age > TOO_FRESH);
        let (seconds, nanoseconds) = self.changed;
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        let changed = since
            .and_then(|(seconds, nanoseconds)| {
                SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
            })
            .unwrap_or(SystemTime::UNIX_EPOCH);
        is_old(self.modified) && is_old(changed)
    }
}

/// Everything but the hash.
fn look(file: &File) -> io::Result<Seen> {
    let metadata = file.metadata()?;
    must_be_regular(&metadata)?;
    #[cfg(unix)]
    let (inode, changed) = {
        use std::os::unix::fs::MetadataExt;
        (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
    };
    #[cfg(not(unix))]
    let (inode, changed) = (0, (0, 0));
    let modified = metadata.modified()?;
    Ok(Seen { length: metadata.len(), modified, inode, changed, hash: String::new() })
}

/// A path as text for the key: different for each path, also if it is no text; but `./a` is `a`.
pub(super) fn name(path: &Path) -> String {
    let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    match path.to_str() {
        // A text that begins with a quotation mark could be taken for such a path.
        Some(text) if !text.starts_with('"') => text.to_owned(),
        _ => format!("{path:?}"),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn each_path_has_a_name_of_its_own() {
        let paths: [&[u8]; 5] = [b"a", b"\xff", b"\xfe", b"\"\\xFF\"", b"\\xFF"];
        let mut names: Vec<String> =
            paths.iter().map(|path| name(Path::new(OsStr::from_bytes(path)))).collect();
        assert_eq!(names[0], "a");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), paths.len(), "{names:?}");
    }

    #[test]
    fn a_path_has_the_same_name_however_it_is_written() {
        for path in ["a/b", "./a/b", "a/./b", "a//b", "././a/b/"] {
            assert_eq!(name(Path::new(path)), "a/b", "{path}");
        }
        // If one of the folders is a link, these are two files.
        assert_ne!(name(Path::new("a/../b")), name(Path::new("b")));
    }

    #[test]
    fn a_file_that_was_just_changed_is_never_settled() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let seen = |modified: u64, changed: i64| Seen {
            length: 1,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(modified),
            inode: 1,
            changed: (changed, 0),
            hash: String::new(),
        };
        assert!(seen(990, 990).is_settled(now));
        for (modified, changed) in [(990, 999), (999, 990), (2000, 990), (990, 2000)] {
            assert!(!seen(modified, changed).is_settled(now), "{modified} {changed}");
        }
    }
}
