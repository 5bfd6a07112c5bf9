//! The form of an output in a checkpoint.

use serde::{Deserialize, Serialize};

/// The file of an output, and the bytes of it that the checkpoint counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename = "Appended")]
pub(super) struct Stored {
    /// The path: relative to the directory that holds the checkpoint directory, or absolute.
    pub(super) path: String,
    /// The whole path of the checkpoint directory; empty outside of one.
    pub(super) run: String,
    /// The number of bytes.
    pub(super) length: u64,
    /// The hash of their end.
    pub(super) end: String,
    /// The number of the file on its device; 0 where it is not known.
    #[serde(default)]
    pub(super) inode: u64,
}
