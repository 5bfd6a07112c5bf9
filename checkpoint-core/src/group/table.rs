//! The table of a group's checkpoint: the parts that belong together.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::blocks::Layout;
use crate::container::{Container, GROUP, Metadata, MetadataValue};
use crate::error::Error;
use crate::schema::Type;
use crate::state::{self, Checkpoint, Types};

/// The key in the metadata of a part that names the attempt.
pub(super) const ATTEMPT: &str = "checkpointed.attempt";

/// The key in the metadata of a part that has its rank.
pub(super) const RANK: &str = "checkpointed.rank";

/// The state that the first member saves: which parts are one checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Group")]
pub(crate) struct Table {
    /// The random name of the save, which each part has too: parts of two saves are never mixed.
    pub(crate) attempt: String,
    /// The number of members.
    pub(crate) size: usize,
    /// The parts, by rank.
    pub(crate) shards: Vec<Shard>,
    /// The arrays that several members hold blocks of.
    pub(crate) layout: Layout,
}

/// The part of one member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Shard {
    /// The length of its file in bytes.
    pub(crate) length: u64,
    /// The checksum of its manifest, which has those of its parts. `None` if the member can only
    /// encrypt, and not read.
    pub(crate) manifest_crc32: Option<u32>,
    /// The time that the member waited for its part.
    pub(crate) stall: Duration,
    /// The time until its part was on the disk.
    pub(crate) duration: Duration,
}

impl Checkpoint for Table {
    const NAME: &'static str = GROUP;

    fn schema(types: &mut Types) -> Type {
        state::derived::<Table>(types)
    }
}

impl Table {
    /// The metadata by which a part says that it belongs to this table.
    pub(super) fn mark(metadata: Metadata, attempt: &str, rank: usize) -> Metadata {
        metadata.with(ATTEMPT, attempt).with(RANK, rank as u64)
    }

    /// Checks that a container is the part of a member, as it was when the table was written.
    pub(super) fn check(&self, path: &Path, rank: usize, container: &Container) -> Result<(), Error> {
        let foreign =
            |why: String| Error::Damaged { path: path.to_owned(), part: "part of a group".to_owned(), why };
        let Some(shard) = self.shards.get(rank) else {
            return Err(foreign(format!("the table has no rank {rank}")));
        };
        let metadata = container.manifest().metadata();
        if metadata.get(ATTEMPT).and_then(MetadataValue::as_str) != Some(&self.attempt) {
            return Err(foreign("it belongs to another save: it was copied here, or restored".to_owned()));
        }
        let of_rank = MetadataValue::from(rank as u64);
        if metadata.get(RANK) != Some(&of_rank) {
            return Err(foreign(format!("it is not the part of rank {rank}")));
        }
        // The manifest has the checksums of all parts, so its own binds the whole file.
        if shard.manifest_crc32.is_some_and(|crc32| crc32 != container.manifest_crc32()) {
            return Err(foreign("it is not the file that the table describes".to_owned()));
        }
        Ok(())
    }
}
