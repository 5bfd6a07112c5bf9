//! The secret that checkpoints are tagged with.

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::secret;
use crate::error::Error;

/// 32 secret bytes that tag checkpoints, so that those of a stranger are refused.
///
/// Take it from where the other secrets of the program come from, never from the checkpoint directory. `openssl rand -hex 32`
/// makes one.
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
    /// A key that the program has.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Key {
        Key { bytes, file: None }
    }

    /// A key as 64 hexadecimal digits; space around them is left out.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it is anything else.
    pub fn from_hex(text: &str) -> Result<Key, Error> {
        Key::parse(text, "the text")
    }

    /// The key in an environment variable, as 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where there is no such variable, or something else in it.
    pub fn from_env(variable: &str) -> Result<Key, Error> {
        let origin = format!("the environment variable {variable}");
        crate::environment::ask(variable);
        match std::env::var(variable) {
            Ok(text) => Key::parse(&text, &origin),
            Err(why) => Err(Error::InvalidKey { origin, why: why.to_string() }),
        }
    }

    /// The key in a file, as 64 hexadecimal digits. On Unix nobody but its owner may be allowed to read it.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] where it cannot be read, may be read by others, or holds something else.
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

    /// What tells keys apart, in checkpoints and in messages, and tells nothing of what they are: 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        id_of(&self.derived(ID))
    }

    /// The key for one use. Source: the BLAKE3 specification, 2.3, whose contexts keep the uses apart.
    pub(super) fn derived(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.bytes)
    }

    /// Where it was read from, if that is known.
    pub(super) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// For what is told of a key.
pub(super) const ID: &str = "checkpointed 2026 id of a key";

/// For the tags of what is in a directory inside of a pipeline's.
pub(super) const PLACE: &str = "checkpointed 2026 place inside of a pipeline";

/// The first 8 bytes, in hexadecimal.
pub(super) fn id_of(bytes: &[u8; 32]) -> String {
    bytes.iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for Key {
    /// Not the secret.
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
