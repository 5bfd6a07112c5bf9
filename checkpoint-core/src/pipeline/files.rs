//! The content of input files, by its hash, which is worked out again only if the file has changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::checkpointer::Checkpointer;
use crate::error::Error;
use crate::state::Plain;

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
    pub(super) fn open(directory: &Path) -> Result<Files, Error> {
        let mut checkpoints = Checkpointer::<Memory>::builder(directory).history(false).open()?;
        // What is lost can be worked out again.
        let seen = checkpoints.load().unwrap_or_else(|error| {
            tracing::warn!(%error, "the hashes of files are worked out again");
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
        if now.duration_since(found.modified).is_ok_and(|age| age > TOO_FRESH) {
            self.seen.insert(name, found);
            self.checkpoints.save(&Plain(self.seen.clone()))?;
        }
        Ok(hash)
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

/// A path as the key has it.
pub(super) fn name(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
