//! Tags: keyed checksums, which only who has the key can make.
//!
//! Each chunk of a part has one in the manifest, and the manifest has one of itself, so that with the last one right all
//! of the file is what somebody with the key wrote. The CRC-32 stay beside them: they are what zip tools know.

use std::fmt;
use std::fmt::Write as _;

use serde::de::{Deserialize, Deserializer, Error};
use serde::{Serialize, Serializer};

/// A BLAKE3 hash, in JSON as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tag(blake3::Hash);

impl Tag {
    /// What stands in the manifest while its own tag is made.
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
    /// Takes the one way in which a tag is written, and no other.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tag, D::Error> {
        let text = String::deserialize(deserializer)?;
        let tag = blake3::Hash::from_hex(&text).ok().map(Tag).filter(|tag| tag.text() == text);
        tag.ok_or_else(|| D::Error::custom("a tag is 64 lower-case hexadecimal digits"))
    }
}

/// The tag of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Authentication {
    /// Which key made it.
    pub(crate) key: String,
    /// What it made of the manifest, which has zeros in this place.
    pub(crate) tag: Tag,
}

/// A key as it is used here: one for chunks, one for manifests.
#[derive(Clone)]
pub(crate) struct TagKey {
    pub(crate) id: String,
    pub(crate) chunks: [u8; 32],
    pub(crate) manifest: [u8; 32],
}

impl TagKey {
    /// What makes the tag of a chunk.
    pub(super) fn of_chunk(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.chunks)
    }

    /// The tag of a chunk that is there in pieces.
    pub(super) fn tag(&self, pieces: &[&[u8]]) -> Tag {
        let mut hasher = self.of_chunk();
        pieces.iter().for_each(|piece| {
            hasher.update(piece);
        });
        of_chunk(&hasher)
    }

    /// What goes into a manifest before its tag is made.
    pub(super) fn unmade(&self) -> Authentication {
        Authentication { key: self.id.clone(), tag: Tag::NONE }
    }

    /// Makes the tag of a manifest, and writes it into its text.
    pub(super) fn seal(&self, json: &mut [u8]) -> Option<()> {
        let tag = Tag(blake3::keyed_hash(&self.manifest, json));
        place_of(json)?.copy_from_slice(tag.text().as_bytes());
        Some(())
    }

    /// Whether the text of a manifest has the tag that this key makes of it.
    pub(super) fn has_sealed(&self, json: &[u8], found: &Authentication) -> bool {
        let mut json = json.to_owned();
        let Some(place) = place_of(&mut json) else { return false };
        if *place != *found.tag.text().as_bytes() {
            return false;
        }
        place.copy_from_slice(Tag::NONE.text().as_bytes());
        // Takes the same time wherever they differ.
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

/// Where a manifest has its tag: in its last field.
fn place_of(json: &mut [u8]) -> Option<&mut [u8]> {
    const BEFORE: &[u8] = b"\"tag\":\"";
    let start = json.windows(BEFORE.len()).rposition(|window| window == BEFORE)? + BEFORE.len();
    json.get_mut(start..start + 64)
}
