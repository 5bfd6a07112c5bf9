//! Tags: keyed checksums that only a holder of the key can make.
//!
//! The manifest has one for each chunk of a part, and one of itself. So if the last is right, a
//! holder of the key wrote every byte of the file. The CRC-32 stay beside them, for zip tools.

use std::fmt;
use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A BLAKE3 hash, in JSON as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(blake3::Hash);

impl Tag {
    /// The placeholder in a manifest before its own tag is made.
    const NONE: Tag = Tag(blake3::Hash::from_bytes([0; 32]));

    fn text(self) -> String {
        self.0.as_bytes().iter().fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Tag {
    /// Accepts the one way of writing a tag, and no other.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tag, D::Error> {
        let text = String::deserialize(deserializer)?;
        let tag = blake3::Hash::from_hex(&text).ok().map(Tag).filter(|tag| tag.text() == text);
        tag.ok_or_else(|| D::Error::custom("a tag is 64 lower-case hexadecimal digits"))
    }
}

/// The tag of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Authentication {
    /// The name of the key that made it.
    pub(crate) key: String,
    /// The tag of the manifest with zeros in this place.
    pub(crate) tag: Tag,
}

/// The two keys that are derived from a user's key: one for chunks, one for manifests.
#[derive(Clone)]
pub(crate) struct TagKey {
    pub(crate) id: String,
    pub(crate) chunks: [u8; 32],
    pub(crate) manifest: [u8; 32],
}

impl TagKey {
    /// A hasher that makes the tag of a chunk.
    pub(super) fn of_chunk(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.chunks)
    }

    /// The tag of a chunk that comes in pieces.
    pub(super) fn tag(&self, pieces: &[&[u8]]) -> Tag {
        let mut hasher = self.of_chunk();
        pieces.iter().for_each(|piece| {
            hasher.update(piece);
        });
        of_chunk(&hasher)
    }

    /// The placeholder that a manifest has before its tag is made.
    pub(super) fn unmade(&self) -> Authentication {
        Authentication { key: self.id.clone(), tag: Tag::NONE }
    }

    /// Makes the tag of a manifest, and writes it into its text.
    pub(super) fn seal(&self, json: &mut [u8]) -> Option<()> {
        let tag = Tag(blake3::keyed_hash(&self.manifest, json));
        place_of(json)?.copy_from_slice(tag.text().as_bytes());
        Some(())
    }

    /// True if the text of a manifest has the tag that this key makes of it.
    pub(super) fn has_sealed(&self, json: &[u8], found: &Authentication) -> bool {
        let mut json = json.to_owned();
        let Some(place) = place_of(&mut json) else { return false };
        if *place != *found.tag.text().as_bytes() {
            return false;
        }
        place.copy_from_slice(Tag::NONE.text().as_bytes());
        // This comparison takes the same time wherever they differ.
        blake3::keyed_hash(&self.manifest, &json) == found.tag.0
    }
}

impl fmt::Debug for TagKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TagKey").field("id", &self.id).finish_non_exhaustive()
    }
}

pub(super) fn of_chunk(hasher: &blake3::Hasher) -> Tag {
    Tag(hasher.finalize())
}

/// The place of the tag in a manifest: in its last field.
fn place_of(json: &mut [u8]) -> Option<&mut [u8]> {
    const BEFORE: &[u8] = b"\"tag\":\"";
    let start = json.windows(BEFORE.len()).rposition(|window| window == BEFORE)? + BEFORE.len();
    json.get_mut(start..start + 64)
}
