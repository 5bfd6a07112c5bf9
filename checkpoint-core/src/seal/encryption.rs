//! Encryption, in the format of age: a holder of the recipient's identity can read a checkpoint,
//! also with `age --decrypt`.
//!
//! Format: <https://age-encryption.org/v1>. Its payload is a row of chunks of 64 KiB. Each is
//! encrypted and authenticated with its place, and with a mark on the last, so that any part of the
//! file can be read by itself.

use std::fmt;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use age::stream::{StreamReader, StreamWriter};
use age::x25519;
use age::{Decryptor, Encryptor};

use super::{Protection, secret};
use crate::base::limits::{AGE_HEADER, AGE_RECIPIENTS, AGE_RECIPIENTS_WRITTEN};
use crate::container::{Refusal, Source};
use crate::error::Error;

impl Protection {
    /// Encrypts each checkpoint for this recipient, and refuses to load unencrypted ones. Call it
    /// once for each recipient. Needs the feature `encryption`.
    ///
    /// A recipient is a public key of [age](https://age-encryption.org), such as
    /// `age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kudqfc4s5q4uq3p`. A program with only a
    /// recipient can save. To load, and so to restart, it needs the identity too, see
    /// [`decrypt_with`](Protection::decrypt_with). Anyone can have the public key, so encryption
    /// does not prove the author of a checkpoint: [`authenticate`](Protection::authenticate) does.
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

    /// Decrypts with this identity, such as `AGE-SECRET-KEY-1…`, and encrypts for it; `age-keygen`
    /// makes one. Needs the feature `encryption`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it is no such identity.
    pub fn decrypt_with(mut self, identity: &str) -> Result<Protection, Error> {
        let parsed = parsed(identity)?;
        let encryption = self.keys_of_encryption();
        encryption.recipients.push(parsed.to_public());
        encryption.identities.push(parsed);
        Ok(self)
    }

    /// Like [`decrypt_with`](Protection::decrypt_with), with the identities in a file of
    /// `age-keygen`. On Unix, only the owner of the file may have permission to read it. It must
    /// not be in the checkpoint directory.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where the file cannot be read, other users may read it, or it has no
    /// identity; later, where it is in the directory.
    pub fn decrypt_with_file(self, path: impl AsRef<Path>) -> Result<Protection, Error> {
        self.identities_of(path.as_ref(), Protection::decrypt_with)
    }

    /// Decrypts with this identity too, and does not encrypt for it, such as the old one after a
    /// change of keys. Needs the feature `encryption`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it is no such identity.
    pub fn accept_identity(mut self, identity: &str) -> Result<Protection, Error> {
        let parsed = parsed(identity)?;
        self.keys_of_encryption().accepted.push(parsed);
        Ok(self)
    }

    /// Like [`accept_identity`](Protection::accept_identity), with the identities in a file, as
    /// [`decrypt_with_file`](Protection::decrypt_with_file) takes it.
    ///
    /// # Errors
    /// As [`decrypt_with_file`](Protection::decrypt_with_file).
    pub fn accept_identity_file(self, path: impl AsRef<Path>) -> Result<Protection, Error> {
        self.identities_of(path.as_ref(), Protection::accept_identity)
    }

    /// Adds the identities in a file.
    fn identities_of(
        mut self,
        path: &Path,
        add: impl Fn(Protection, &str) -> Result<Protection, Error>,
    ) -> Result<Protection, Error> {
        let refuse = |why: String| Error::InvalidKey { origin: path.display().to_string(), why };
        let (text, file) = secret::read(path)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut found = false;
        for line in lines {
            self = add(self, line).map_err(|_| refuse("it holds a line that is no identity".to_owned()))?;
            found = true;
        }
        self.keys_of_encryption().files.push(file);
        if found { Ok(self) } else { Err(refuse("it holds no identity".to_owned())) }
    }

    fn keys_of_encryption(&mut self) -> &mut Keys {
        Arc::make_mut(&mut self.encryption.get_or_insert_default().0)
    }
}

/// The identity of a text, which stays out of the message: it is a secret.
fn parsed(identity: &str) -> Result<x25519::Identity, Error> {
    let parsed = identity.trim().parse::<x25519::Identity>();
    parsed.map_err(|why| invalid("the text", "identity, as `AGE-SECRET-KEY-1…`", why))
}

fn invalid(origin: &str, what: &str, why: &str) -> Error {
    Error::InvalidKey { origin: origin.to_owned(), why: format!("it is no {what}: {why}") }
}

/// The recipients that can read a checkpoint, and the identities of this reader.
#[derive(Clone, Default)]
pub(super) struct Encryption(Arc<Keys>);

#[derive(Clone, Default)]
struct Keys {
    recipients: Vec<x25519::Recipient>,
    /// Each is a recipient too.
    identities: Vec<x25519::Identity>,
    /// Others, for which nothing is encrypted.
    accepted: Vec<x25519::Identity>,
    /// The files of the identities, as far as they are known.
    files: Vec<PathBuf>,
}

impl fmt::Debug for Encryption {
    /// Leaves out the secrets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recipients = self.0.recipients.iter().map(ToString::to_string);
        formatter.debug_list().entries(recipients).finish()
    }
}

impl Encryption {
    /// The files of the identities.
    pub(super) fn files(&self) -> &[PathBuf] {
        &self.0.files
    }

    /// True if it can decrypt what is saved.
    pub(super) fn can_open(&self) -> bool {
        !self.0.identities.is_empty()
    }

    pub(super) fn can_save(&self) -> bool {
        !self.0.recipients.is_empty()
    }

    /// Finds the key of a file. Decrypts nothing else yet.
    pub(super) fn open(&self, source: Box<dyn Source>) -> Result<Box<dyn Source>, Refusal> {
        let Keys { identities, accepted, .. } = &*self.0;
        if identities.is_empty() && accepted.is_empty() {
            return Err(Refusal::Encrypted("only a recipient was given, to save with".to_owned()));
        }
        let damaged = |why: String| Refusal::Damaged { part: "encryption".to_owned(), why };
        check_header(&*source).map_err(|error| match is_damage(&error) {
            true => damaged(error.to_string()),
            false => Refusal::Unreadable(error),
        })?;
        // It parses the header anew for each line, and for each byte without a buffer.
        let buffered = BufReader::new(At { source, place: 0 });
        let decryptor = Decryptor::new_buffered(buffered).map_err(|error| match error {
            age::DecryptError::Io(error) if !is_damage(&error) => Refusal::Unreadable(error),
            other => damaged(other.to_string()),
        })?;
        let identities = identities.iter().chain(accepted);
        let identities = identities.map(|identity| identity as &dyn age::Identity);
        let mut reader = decryptor.decrypt(identities).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => {
                Refusal::Encrypted("it was encrypted for another recipient".to_owned())
            }
            age::DecryptError::Io(error) if !is_damage(&error) => Refusal::Unreadable(error),
            other => damaged(other.to_string()),
        })?;
        let length = reader.seek(SeekFrom::End(0)).map_err(|error| match is_damage(&error) {
            true => damaged(error.to_string()),
            false => Refusal::Unreadable(error),
        })?;
        Ok(Box::new(Decrypted { reader: Mutex::new(reader), length }))
    }
}

/// Refuses a header that no writer makes, before any of it is parsed: that takes the square of its
/// length.
fn check_header(source: &dyn Source) -> io::Result<()> {
    let length = usize::try_from(source.length()).unwrap_or(usize::MAX).min(AGE_HEADER);
    let mut header = vec![0; length];
    source.read_exact_at(&mut header, 0)?;
    let has = |begin: &'static [u8]| move |bytes: &&[u8]| bytes.starts_with(begin);
    let mut lines = header.split(|byte| *byte == b'\n');
    let recipients = lines.by_ref().take_while(|line| !has(b"--- ")(line)).filter(has(b"-> ")).count();
    // The line may be the last of these bytes, and end behind them.
    let is_ended = header.windows(5).any(|bytes| bytes == b"\n--- ");
    if is_ended && recipients <= AGE_RECIPIENTS {
        return Ok(());
    }
    let why = format!(
        "it has no end of a header in its first {AGE_HEADER} bytes, or more than {AGE_RECIPIENTS} recipients"
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// True if the file is wrong, rather than the reading of it.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// A file that is decrypted where it is read.
struct Decrypted {
    /// The reader keeps the last chunk, and so serves one caller at a time.
    reader: Mutex<StreamReader<BufReader<At>>>,
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

/// A reader at a place of a source.
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

/// A writer that encrypts.
pub(super) type Stream<W> = StreamWriter<W>;

impl Encryption {
    pub(super) fn seal<W: Write>(&self, output: W) -> io::Result<Stream<W>> {
        let count = self.0.recipients.len();
        if count > AGE_RECIPIENTS_WRITTEN {
            let why = format!(
                "{count} recipients: encrypt to at most {AGE_RECIPIENTS_WRITTEN}, so that it can be read"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let recipients = self.0.recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(recipients).map_err(io::Error::other)?;
        encryptor.wrap_output(output)
    }
}
