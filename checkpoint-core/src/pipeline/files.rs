//! The content of input files, by its hash, which is worked out again only if the file has changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::builder::Workshop;
use crate::checkpointer::Checkpointer;
use crate::error::Error;
use crate::state::Plain;
use crate::warnings::warn;

/// A file that was changed so shortly ago may be changed once more without another time of its last change: its hash
/// is not remembered.
const TOO_FRESH: Duration = Duration::from_secs(3);

/// What is remembered of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    length: u64,
    modified: SystemTime,
    /// Which file it is, whatever its name, and when it or its name was last changed.
    inode: u64,
    changed: (i64, i64),
    hash: String,
}

type Memory = Plain<BTreeMap<String, Seen>>;

/// The hashes of files, which are themselves kept in a checkpoint directory.
#[derive(Debug)]
pub(super) struct Files {
    checkpoints: Checkpointer<Memory>,
    seen: BTreeMap<String, Seen>,
}

impl Files {
    pub(super) fn open(directory: &Path, workshop: &Workshop) -> Result<Files, Error> {
        // Not synced: a file that a power cut leaves half-written is damaged, and what is lost can be worked out again.
        let builder = workshop.builder::<Memory>(directory).durable(false).history(false).of_library();
        let mut checkpoints = builder.open()?;
        let seen = checkpoints.load().unwrap_or_else(|error| {
            warn(format!(
                "the hashes of input files are worked out again, those that are kept cannot be used: {error}"
            ));
            None
        });
        Ok(Files { checkpoints, seen: seen.map(|Plain(seen)| seen).unwrap_or_default() })
    }

    /// The hash of a file's content.
    pub(super) fn hash(&mut self, path: &Path) -> Result<String, Error> {
        let failed = |source| Error::io("read", path, source);
        let name = name(path);
        let now = SystemTime::now();
        let file = File::open(path).map_err(failed)?;
        let mut found = look(&file).map_err(failed)?;
        if let Some(seen) = self.seen.get(&name) {
            found.hash.clone_from(&seen.hash);
            if found == *seen {
                return Ok(found.hash);
            }
        }
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file).map_err(failed)?;
        found.hash = hasher.finalize().to_hex().to_string();
        let hash = found.hash.clone();
        if found.is_settled(now) {
            self.seen.insert(name, found);
            // A step is not to fail for this, and what is not remembered costs no more than time.
            if let Err(error) = self.checkpoints.save(&Plain(self.seen.clone())) {
                warn(format!(
                    "the hashes of input files are not remembered, and worked out again next time: {error}"
                ));
            }
        }
        Ok(hash)
    }
}

impl Seen {
    /// Whether its last change is so long ago that the next one has another time. Both times count: the one of its content can
    /// be set to anything, as copies do that preserve it.
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
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"));
    }
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

/// A path as the key has it: another one for each path, also where it is no text.
pub(super) fn name(path: &Path) -> String {
    match path.to_str() {
        // What begins with a quotation mark could be what stands for such a path.
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
    fn a_file_that_was_changed_a_moment_ago_is_not_settled_whatever_the_time_of_its_content() {
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
