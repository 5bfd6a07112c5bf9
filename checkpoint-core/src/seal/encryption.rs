//! Encryption, in the format of age: whoever has the recipient's identity can read a checkpoint, with `age --decrypt` too.
//!
//! Format: <https://age-encryption.org/v1>. Its payload is a row of chunks of 64 KiB, each encrypted and authenticated
//! with its place and with whether it is the last, so that any part of the file can be read by itself.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use age::stream::{StreamReader, StreamWriter};
use age::x25519;
use age::{Decryptor, Encryptor};

use super::{Protection, secret};
use crate::container::{Refusal, Source};
use crate::error::Error;

impl Protection {
    /// Encrypts each checkpoint for this recipient, and loads none that is not encrypted; may be called for several. Needs the
    /// feature `encryption`.
    ///
    /// A recipient is a public key of [age](https://age-encryption.org), such as
    /// `age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kudqfc4s5q4uq3p`. Who has it can save; to load, and so to go on after a
    /// restart, takes the identity as well, see [`decrypt_with`](Protection::decrypt_with). Since anybody can have the
    /// public key, encryption does not say who wrote a checkpoint: for that there is
    /// [`authenticate`](Protection::authenticate).
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it is no such recipient.
    pub fn encrypt_to(mut self, recipient: &str) -> Result<Protection, Error> {
        let recipient = recipient.trim();
        let parsed = recipient.parse::<x25519::Recipient>();
        let parsed = parsed.map_err(|why| invalid(recipient, "recipient, as `age1…`", why))?;
        self.keys_of_encryption().recipients.push(parsed);
        Ok(self)
    }

    /// Decrypts with this identity, such as `AGE-SECRET-KEY-1…`, and encrypts for it; `age-keygen` makes one. Needs the feature
    /// `encryption`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it is no such identity.
    pub fn decrypt_with(mut self, identity: &str) -> Result<Protection, Error> {
        let parsed = identity.trim().parse::<x25519::Identity>();
        // Not the text itself, which is a secret.
        let parsed = parsed.map_err(|why| invalid("the text", "identity, as `AGE-SECRET-KEY-1…`", why))?;
        let encryption = self.keys_of_encryption();
        encryption.recipients.push(parsed.to_public());
        encryption.identities.push(parsed);
        Ok(self)
    }

    /// As [`decrypt_with`](Protection::decrypt_with), with the identities in a file of `age-keygen`. On Unix nobody but its owner
    /// may be allowed to read it, and it must not lie in the checkpoint directory.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it cannot be read, may be read by others, or has none; later, where it lies in the directory.
    pub fn decrypt_with_file(mut self, path: impl AsRef<Path>) -> Result<Protection, Error> {
        let path = path.as_ref();
        let refuse = |why: String| Error::InvalidKey { origin: path.display().to_string(), why };
        let (text, file) = secret::read(path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut found = false;
        for line in lines {
            self = self
                .decrypt_with(line)
                .map_err(|_| refuse("it holds a line that is no identity".to_owned()))?;
            found = true;
        }
        self.keys_of_encryption().files.push(file);
        if found { Ok(self) } else { Err(refuse("it holds no identity".to_owned())) }
    }

    fn keys_of_encryption(&mut self) -> &mut Keys {
        Arc::make_mut(&mut self.encryption.get_or_insert_default().0)
    }
}

fn invalid(origin: &str, what: &str, why: &str) -> Error {
    Error::InvalidKey { origin: origin.to_owned(), why: format!("it is no {what}: {why}") }
}

/// Who can read what is written, and who is reading.
#[derive(Clone, Default)]
pub(super) struct Encryption(Arc<Keys>);

#[derive(Clone, Default)]
struct Keys {
    recipients: Vec<x25519::Recipient>,
    identities: Vec<x25519::Identity>,
    /// Where these were read from, as far as that is known.
    files: Vec<PathBuf>,
}

impl fmt::Debug for Encryption {
    /// Not the secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recipients = self.0.recipients.iter().map(ToString::to_string);
        formatter.debug_list().entries(recipients).finish()
    }
}

impl Encryption {
    /// Where identities were read from.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.0.files
    }

    /// Whether there is an identity. Each of them is also a recipient, so what is saved can be decrypted with it.
    pub(super) fn can_open(&self) -> bool {
        !self.0.identities.is_empty()
    }

    /// Finds out the key of a file. Nothing else is decrypted yet.
    pub(super) fn open(&self, source: Box<dyn Source>) -> Result<Box<dyn Source>, Refusal> {
        if self.0.identities.is_empty() {
            return Err(Refusal::Encrypted("only a recipient was given, to save with".to_owned()));
        }
        let damaged = |why: String| Refusal::Damaged { part: "encryption".to_owned(), why };
        let decryptor = Decryptor::new(At { source, place: 0 }).map_err(|error| match error {
            age::DecryptError::Io(error) if !is_damage(&error) => Refusal::Unreadable(error),
            other => damaged(other.to_string()),
        })?;
        let identities = self.0.identities.iter().map(|identity| identity as &dyn age::Identity);
        let mut reader = decryptor.decrypt(identities).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => {
                Refusal::Encrypted("it was encrypted for somebody else".to_owned())
            }
            other => damaged(other.to_string()),
        })?;
        let length = reader.seek(SeekFrom::End(0)).map_err(|error| match is_damage(&error) {
            true => damaged(error.to_string()),
            false => Refusal::Unreadable(error),
        })?;
        Ok(Box::new(Decrypted { reader: Mutex::new(reader), length }))
    }
}

/// Whether what is read is wrong, rather than the reading.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// A file that is decrypted where it is read.
struct Decrypted {
    /// It has the last chunk at hand, and so serves one reader at a time.
    reader: Mutex<StreamReader<At>>,
    length: u64,
}

impl Source for Decrypted {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader.seek(SeekFrom::Start(offset))?;
        reader.read_exact(buffer)
    }
}

/// A source that is read from a place on.
struct At {
    source: Box<dyn Source>,
    place: u64,
}

impl Read for At {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.length().saturating_sub(self.place);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..length) else { return Ok(0) };
        self.source.read_exact_at(buffer, self.place)?;
        self.place += length as u64;
        Ok(length)
    }
}

impl Seek for At {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.source.length().checked_add_signed(by),
            SeekFrom::Current(by) => self.place.checked_add_signed(by),
        };
        self.place = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.place)
    }
}

/// What encrypts on its way.
pub(super) type Stream<W> = StreamWriter<W>;

impl Encryption {
    pub(super) fn seal<W: Write>(&self, output: W) -> io::Result<Stream<W>> {
        let recipients = self.0.recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
        encryptor.wrap_output(output)
    }
}
