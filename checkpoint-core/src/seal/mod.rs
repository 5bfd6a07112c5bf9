//! Who may have written a checkpoint, and who may read it. Both are off unless asked for.
//!
//! The tags are made and compared where the checksums are (`container/tag.rs`). Encryption is around the whole file:
//! the container does not know of it.

#[cfg(feature = "encryption")]
mod encryption;
#[cfg(not(feature = "encryption"))]
#[path = "without_encryption.rs"]
mod encryption;
mod key;
mod secret;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use self::encryption::{Encryption, Stream};
pub use self::key::Key;
use crate::container::{self, Refusal, Source, TagKey};
use crate::error::Error;

/// What protects the checkpoints of a directory from people: tags that a stranger cannot make, encryption, and a number below
/// which no generation is taken for the newest.
///
/// The same protection is given to whoever saves, by [`Builder::protection`](crate::Builder::protection), and to whoever
/// loads, by [`CheckpointReader::builder`](crate::CheckpointReader::builder). A [`Pipeline`](crate::pipeline::Pipeline) and
/// [`Scopes`](crate::scopes::Scopes) take it from their builders too.
///
/// ```
/// use checkpointed::{CheckpointReader, Checkpointer, Error, Key, Protection};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// let protection = Protection::new().authenticate(Key::from_hex(&"4f".repeat(32))?);
/// let mut checkpoints = Checkpointer::<u64>::builder(&path).protection(protection.clone()).open()?;
/// checkpoints.save(&7)?;
/// assert_eq!(checkpoints.load()?, Some(7));
/// drop(checkpoints);
///
/// // Somebody without the key puts a newer one there:
/// Checkpointer::<u64>::open(&path)?.save(&8)?;
/// let refused = CheckpointReader::<u64>::builder(&path).protection(protection).open()?.load();
/// assert!(matches!(refused, Err(Error::NotAuthentic { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// The first makes tags, and all are known.
    keys: Vec<Key>,
    encryption: Option<Encryption>,
    at_least: u64,
    /// The names of the runs whose tags are known; that of the first makes tags. Without any, tags are of no run.
    runs: Vec<String>,
    /// The directory inside of a pipeline's that tags are bound to; empty for one that stands alone.
    place: String,
}

impl Protection {
    /// None yet.
    #[must_use]
    pub fn new() -> Protection {
        Protection::default()
    }

    /// Tags each checkpoint with this key, and loads none whose tags were not made with it: the file of a stranger, one that was
    /// changed, or an older one under the name of a newer.
    ///
    /// The tags are BLAKE3 keyed hashes: of each MiB of the file, and of the manifest that lists them. The checkpoint stays
    /// readable for everybody, also for programs that know nothing of tags.
    #[must_use]
    pub fn authenticate(mut self, key: Key) -> Protection {
        self.keys.insert(0, key);
        self
    }

    /// Takes checkpoints with tags of this key too: that of before a change of keys.
    #[must_use]
    pub fn accept(mut self, key: Key) -> Protection {
        self.keys.push(key);
        self
    }

    /// Binds the tags to a name that the program gives: a checkpoint of another run, which has the same key and another name, is
    /// refused like one of another key, also if its file was put into this directory.
    ///
    /// A tag says who wrote a checkpoint and as which generation, but not in which directory: whoever can write there can copy
    /// files from one run to another. Give each run that must not be taken for another its own name, from where the key comes
    /// from; a name in the directory could be copied as well. A run that was saved without a name is taken on with
    /// [`accept_run("")`](Protection::accept_run).
    ///
    /// ```
    /// use checkpointed::{Checkpointer, CheckpointReader, Error, Key, Protection};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let of_run = |name| Protection::new().authenticate(Key::from_bytes([7; 32])).for_run(name);
    /// Checkpointer::<u64>::builder(&path).protection(of_run("patient 12")).open()?.save(&7)?;
    ///
    /// let other = CheckpointReader::<u64>::builder(&path).protection(of_run("patient 13"));
    /// let refused = other.open()?.load();
    /// assert!(matches!(refused, Err(Error::NotAuthentic { .. })));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn for_run(mut self, name: impl Into<String>) -> Protection {
        self.runs.insert(0, name.into());
        self
    }

    /// Takes checkpoints of this run too: of the one that is [branched from](crate::Builder::branch_from), or of the same before
    /// it had another name. An empty name stands for none.
    #[must_use]
    pub fn accept_run(mut self, name: impl Into<String>) -> Protection {
        if self.runs.is_empty() {
            self.runs.push(String::new());
        }
        self.runs.push(name.into());
        self
    }

    /// Takes nothing for the newest checkpoint that is older than this generation, be it that newer ones are missing.
    ///
    /// Whoever can write into the directory can also remove from it, and put back how it was last week: no tag
    /// tells. So a program that keeps the number of its last save elsewhere, as
    /// [`Saved::generation`](crate::Saved::generation), can give it here.
    #[must_use]
    pub fn at_least(mut self, generation: u64) -> Protection {
        self.at_least = generation;
        self
    }

    /// That of a directory inside of a pipeline's that has this one. It has generations of its own.
    pub(crate) fn of_place(&self, place: &str) -> Protection {
        Protection { place: place.to_owned(), at_least: 0, ..self.clone() }
    }

    /// Whether it sets a generation below which none is taken for the newest.
    pub(crate) fn is_dated(&self) -> bool {
        self.at_least > 0
    }

    /// Makes sure that no key lies beside what it protects.
    pub(crate) fn check(&self, directory: &Path) -> Result<(), Error> {
        let Ok(directory) = directory.canonicalize() else { return Ok(()) };
        let identities = self.encryption.iter().flat_map(Encryption::files).map(PathBuf::as_path);
        let mut files = self.keys.iter().filter_map(Key::file).chain(identities);
        let inside = files.find(|file| file.starts_with(&directory));
        match inside {
            Some(file) => Err(Error::InvalidKey {
                origin: file.display().to_string(),
                why: "it is in the directory that it protects: keep it elsewhere".to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// What makes the tags of a new checkpoint.
    pub(crate) fn tag_key(&self) -> Option<TagKey> {
        let run = self.runs.first().map_or("", String::as_str);
        self.keys.first().map(|key| tag_key(key, run, &self.place))
    }

    /// What may have made the tags of a checkpoint. Without any, tags do not count.
    pub(crate) fn tag_keys(&self) -> Vec<TagKey> {
        let runs = if self.runs.is_empty() { &[String::new()][..] } else { &self.runs };
        self.keys.iter().flat_map(|key| runs.iter().map(|run| tag_key(key, run, &self.place))).collect()
    }

    /// What a container is read from, decrypted if it is encrypted.
    pub(crate) fn open(&self, source: Box<dyn Source>) -> Result<Box<dyn Source>, Refusal> {
        match (&self.encryption, container::begins_with(&*source, MAGIC)?) {
            (Some(encryption), true) => encryption.open(source),
            (Some(_), false) if container::begins_with(&*source, &container::MAGIC)? => {
                Err(Refusal::NotEncrypted)
            }
            (None, true) => Err(Refusal::Encrypted("no identity was given to decrypt it with".to_owned())),
            (_, false) => Ok(source),
        }
    }

    /// Whether what is saved with it can also be loaded with it. Who only has a recipient to encrypt for can save alone.
    pub(crate) fn can_open(&self) -> bool {
        self.encryption.as_ref().is_none_or(Encryption::can_open)
    }

    /// Whether what is saved is encrypted.
    pub(crate) fn encrypts(&self) -> bool {
        self.encryption.is_some()
    }

    /// What a container is written to.
    pub(crate) fn seal<W: Write>(&self, output: W) -> io::Result<Sealed<W>> {
        match &self.encryption {
            Some(encryption) => encryption.seal(output).map(Sealed::Encrypted),
            None => Ok(Sealed::Open(output)),
        }
    }

    /// The least generation that may be the newest.
    pub(crate) fn least(&self) -> u64 {
        self.at_least
    }
}

/// What makes tags for a run, for none where it has no name, and for a place inside of a pipeline, if there is one.
fn tag_key(key: &Key, run: &str, place: &str) -> TagKey {
    let derived = |context: &str| {
        let of_run = match run {
            "" => key.derived(context),
            name => *blake3::keyed_hash(&key.derived(context), name.as_bytes()).as_bytes(),
        };
        match place {
            "" => of_run,
            // Another derivation than that of runs: no run has a name that makes the tags of a step.
            place => blake3::derive_key(key::PLACE, &[&of_run, place.as_bytes()].concat()),
        }
    };
    TagKey {
        id: key::id_of(&derived(key::ID)),
        chunks: derived("checkpointed 2026 tag of a chunk"),
        manifest: derived("checkpointed 2026 tag of a manifest"),
    }
}

/// How a file of age begins. Source: <https://age-encryption.org/v1>.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// A file on its way to the disk, encrypted or not.
pub(crate) enum Sealed<W: Write> {
    Open(W),
    Encrypted(Stream<W>),
}

impl<W: Write> Sealed<W> {
    /// Writes what is left, without which an encrypted file is not whole.
    pub(crate) fn finish(self) -> io::Result<W> {
        match self {
            Sealed::Open(output) => Ok(output),
            Sealed::Encrypted(stream) => stream.finish(),
        }
    }
}

impl<W: Write> Write for Sealed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sealed::Open(output) => output.write(bytes),
            Sealed::Encrypted(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sealed::Open(output) => output.flush(),
            Sealed::Encrypted(stream) => stream.flush(),
        }
    }
}
