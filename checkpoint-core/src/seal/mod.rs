//! Protection: authentication of the author of a checkpoint, and encryption. Both are off by
//! default.
//!
//! The container makes and compares the tags, where it does the checksums (`container/tag.rs`).
//! Encryption wraps the whole file, without the container's knowledge.

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

/// Protects the checkpoints of a directory from attackers: with tags that they cannot make,
/// encryption, and the lowest number that the newest generation may have.
///
/// Give the same protection to each program that saves, by
/// [`Builder::protection`](crate::Builder::protection), and to each that loads, by
/// [`CheckpointReader::builder`](crate::CheckpointReader::builder). The builders of a
/// [`Pipeline`](crate::pipeline::Pipeline) and of [`Scopes`](crate::scopes::Scopes) take it too.
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
/// // An attacker without the key puts a newer one there:
/// Checkpointer::<u64>::open(&path)?.save(&8)?;
/// let refused = CheckpointReader::<u64>::builder(&path).protection(protection).open()?.load();
/// assert!(matches!(refused, Err(Error::NotAuthentic { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// The first key makes tags, and tags of all are accepted.
    keys: Vec<Key>,
    encryption: Option<Encryption>,
    at_least: u64,
    /// The first name binds new tags, and tags of all are accepted. Without a name, tags are of no
    /// run.
    runs: Vec<String>,
    /// The directory inside of a pipeline's that binds the tags; empty outside of pipelines.
    place: String,
}

impl Protection {
    /// Creates a protection that does nothing yet.
    #[must_use]
    pub fn new() -> Protection {
        Protection::default()
    }

    /// Tags each checkpoint with this key, and loads none without its tags: it refuses an
    /// attacker's file, a changed one, and an older one under the name of a newer.
    ///
    /// The tags are BLAKE3 keyed hashes: of each MiB of the file, and of the manifest that lists
    /// them. The checkpoint stays readable by all programs, also by those that know nothing of
    /// tags.
    #[must_use]
    pub fn authenticate(mut self, key: Key) -> Protection {
        self.keys.insert(0, key);
        self
    }

    /// Accepts the tags of this key too, such as the old one after a change of keys.
    #[must_use]
    pub fn accept(mut self, key: Key) -> Protection {
        self.keys.push(key);
        self
    }

    /// Binds the tags to a name that the program gives. A checkpoint of another run with the same
    /// key and another name is refused, like one of another key, even if its file was copied to
    /// this directory.
    ///
    /// A tag proves the author of a checkpoint and its generation, but not its directory: an
    /// attacker with write access can copy files from one run to another. Give a name to each run
    /// that must not be confused with another, and store it with the key; a name in the directory
    /// could be copied as well. To restart a run that was saved without a name, call
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

    /// Accepts checkpoints of this run too: of the run to [branch
    /// from](crate::Builder::branch_from), or of this run under an earlier name. An empty name
    /// stands for a run without one.
    #[must_use]
    pub fn accept_run(mut self, name: impl Into<String>) -> Protection {
        if self.runs.is_empty() {
            self.runs.push(String::new());
        }
        self.runs.push(name.into());
        self
    }

    /// Refuses to load if the newest checkpoint is older than this generation, for example because
    /// newer ones are missing.
    ///
    /// An attacker with write access to the directory can also remove files, or restore those of
    /// last week: tags do not show that. A program that stores the number of its last save
    /// elsewhere, see [`Saved::generation`](crate::reports::Saved::generation), can give it here.
    #[must_use]
    pub fn at_least(mut self, generation: u64) -> Protection {
        self.at_least = generation;
        self
    }

    /// The protection of a directory inside of a pipeline's. It numbers its own generations.
    pub(crate) fn of_place(&self, place: &str) -> Protection {
        Protection { place: place.to_owned(), at_least: 0, ..self.clone() }
    }

    /// True if it sets the lowest number that the newest generation may have.
    pub(crate) fn is_dated(&self) -> bool {
        self.at_least > 0
    }

    /// Checks that no key is stored in the directory that it protects.
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

    /// The key that tags new checkpoints.
    pub(crate) fn tag_key(&self) -> Option<TagKey> {
        let run = self.runs.first().map_or("", String::as_str);
        self.keys.first().map(|key| tag_key(key, run, &self.place))
    }

    /// The keys of the tags that are accepted. Without any, tags do not count.
    pub(crate) fn tag_keys(&self) -> Vec<TagKey> {
        let runs = if self.runs.is_empty() { &[String::new()][..] } else { &self.runs };
        self.keys.iter().flat_map(|key| runs.iter().map(|run| tag_key(key, run, &self.place))).collect()
    }

    /// Decrypts a source, if it is encrypted.
    pub(crate) fn open(&self, source: Box<dyn Source>) -> Result<Box<dyn Source>, Refusal> {
        match (&self.encryption, container::begins_with(&*source, MAGIC)?) {
            (Some(encryption), true) => encryption.open(source),
            (Some(_), false) if container::begins_with(&*source, &container::MAGIC)? => {
                Err(Refusal::NotEncrypted)
            }
            // What is not encrypted is not looked into: its end could be that of a checkpoint.
            (Some(_), false) if source.length() > 0 => Err(Refusal::NotACheckpoint),
            (None, true) => Err(Refusal::Encrypted("no identity was given to decrypt it with".to_owned())),
            (_, false) => Ok(source),
        }
    }

    /// True if it can load what it saves. A program with only a recipient can save, and not load.
    pub(crate) fn can_open(&self) -> bool {
        self.encryption.as_ref().is_none_or(Encryption::can_open)
    }

    /// True if somebody can read what it encrypts.
    pub(crate) fn can_save(&self) -> bool {
        self.encryption.as_ref().is_none_or(Encryption::can_save)
    }

    /// True if it encrypts.
    pub(crate) fn encrypts(&self) -> bool {
        self.encryption.is_some()
    }

    /// Encrypts an output, if asked to.
    pub(crate) fn seal<W: Write>(&self, output: W) -> io::Result<Sealed<W>> {
        match &self.encryption {
            Some(encryption) => encryption.seal(output).map(Sealed::Encrypted),
            None => Ok(Sealed::Open(output)),
        }
    }

    /// The lowest number that the newest generation may have.
    pub(crate) fn least(&self) -> u64 {
        self.at_least
    }
}

/// The key that tags for a run, or for none where the name is empty, and for a place inside of a
/// pipeline, if there is one.
fn tag_key(key: &Key, run: &str, place: &str) -> TagKey {
    let derived = |context: &str| {
        let of_run = match run {
            "" => key.derived(context),
            name => *blake3::keyed_hash(&key.derived(context), name.as_bytes()).as_bytes(),
        };
        match place {
            "" => of_run,
            // This derivation differs from that of runs: no name of a run makes the tags of a step.
            place => blake3::derive_key(key::PLACE, &[&of_run, place.as_bytes()].concat()),
        }
    };
    TagKey {
        id: key::id_of(&derived(key::ID)),
        chunks: derived("checkpointed 2026 tag of a chunk"),
        manifest: derived("checkpointed 2026 tag of a manifest"),
    }
}

/// The first bytes of a file of age. Source: <https://age-encryption.org/v1>.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// A file on its way to the disk, encrypted or not.
pub(crate) enum Sealed<W: Write> {
    Open(W),
    Encrypted(Stream<W>),
}

impl<W: Write> Sealed<W> {
    /// Writes the last chunk, which completes an encrypted file.
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
