//! The secret key that tags checkpoints.

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::secret;
use crate::error::Error;

/// 32 secret bytes that tag checkpoints, so that forged ones are refused.
///
/// Store it with the other secrets of the program, never in the checkpoint directory. `openssl rand
/// -hex 32` makes one.
///
/// ```
/// use checkpointed::Key;
///
/// let key = Key::from_bytes([7; 32]); // from a vault, say
/// assert_eq!(format!("{key:?}"), format!("Key({})", key.id()));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; 32],
    file: Option<PathBuf>,
}

impl Key {
    /// Takes a key that the program has.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Key {
        Key { bytes, file: None }
    }

    /// Parses a key of 64 hexadecimal digits, without the space around them.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it is anything else.
    pub fn from_hex(text: &str) -> Result<Key, Error> {
        Key::parse(text, "the text")
    }

    /// Reads the key from an environment variable, as 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where the variable is not set, or has another form.
    pub fn from_env(variable: &str) -> Result<Key, Error> {
        let origin = format!("the environment variable {variable}");
        crate::environment::ask(variable);
        match std::env::var(variable) {
            Ok(text) => Key::parse(&text, &origin),
            Err(why) => Err(Error::InvalidKey { origin, why: why.to_string() }),
        }
    }

    /// Reads the key from a file, as 64 hexadecimal digits. On Unix, only the owner of the file may
    /// have permission to read it.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where the file cannot be read, other users may read it, or it has
    /// another form.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Key, Error> {
        let path = path.as_ref();
        let (text, file) = secret::read(path)?;
        Ok(Key { file: Some(file), ..Key::parse(&text, &path.display().to_string())? })
    }

    fn parse(text: &str, origin: &str) -> Result<Key, Error> {
        let text = text.trim().as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes: Option<Vec<u8>> = text
            .chunks(2)
            .map(|pair| match *pair {
                [high, low] => Some(digit(high)? << 4 | digit(low)?),
                _ => None,
            })
            .collect();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.map(Key::from_bytes).ok_or_else(|| Error::InvalidKey {
            origin: origin.to_owned(),
            why: "a key is 64 hexadecimal digits, as `openssl rand -hex 32` makes them".to_owned(),
        })
    }

    /// Returns 16 hexadecimal digits that identify the key in checkpoints and messages. They reveal
    /// nothing of the key.
    #[must_use]
    pub fn id(&self) -> String {
        id_of(&self.derived(ID))
    }

    /// Derives the key for one use. Source: the BLAKE3 specification, 2.3; its contexts keep the
    /// uses apart.
    pub(super) fn derived(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.bytes)
    }

    /// The file of the key, if it is known.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// The context of the identifier of a key.
pub(super) const ID: &str = "checkpointed 2026 id of a key";

/// The context of the tags for a directory inside a pipeline's.
pub(super) const PLACE: &str = "checkpointed 2026 place inside of a pipeline";

/// The first 8 bytes, in hexadecimal.
pub(super) fn id_of(bytes: &[u8; 32]) -> String {
    bytes.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for Key {
    /// Leaves out the secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Key({})", self.id())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_hexadecimal_digits_and_nothing_else() {
        let digits = "00ff".repeat(16);
        assert_eq!(
            Key::from_hex(&format!(" {digits}\n")).unwrap(),
            Key::from_hex(&digits.to_uppercase()).unwrap()
        );
        for wrong in
            ["", "00", &digits[1..], &format!("{digits}0"), &digits.replace('f', "g"), &"é".repeat(32)]
        {
            let error = Key::from_hex(wrong).unwrap_err();
            assert!(error.to_string().contains("64 hexadecimal digits"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_holds_no_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "ab".repeat(32)).unwrap();
        Key::from_file(file.path()).unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = Key::from_file(file.path()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn the_secret_is_in_no_message() {
        let key = Key::from_bytes([0xab; 32]);
        assert!(!format!("{key:?}").contains("abab"));
        assert_ne!(key.id(), Key::from_bytes([0xac; 32]).id());
    }
}
