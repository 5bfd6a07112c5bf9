//! Parts → one file: a zip archive. Its last entry, the manifest, describes the others.
//! Entries are uncompressed by default.
//!
//! The bytes of a container are a function of its parts and its manifest alone: no optional fields,
//! no dates, no comments. So the reader need not judge a header: it computes the only valid header,
//! and compares. Every byte of a file thus either equals the one possible value, or has a checksum.
//! `docs/format.md` describes the file for authors of other readers.

mod arrays;
mod checksum;
mod compression;
mod config;
mod equality;
#[cfg(test)]
pub(crate) mod forge;
#[cfg(test)]
mod forged;
mod headers;
mod manifest;
mod metadata;
mod npz;
#[cfg_attr(not(feature = "zstd"), path = "without_zstd.rs")]
mod pack;
mod parallel;
mod part;
#[cfg(feature = "group")]
mod pieces;
mod reader;
mod source;
mod stream;
mod tag;
mod writer;
mod zip;

pub(crate) use arrays::Arrays;
pub use compression::Compression;
pub(crate) use config::Config;
pub use config::ConfigDifference;
pub(crate) use equality::is_equal;
pub use manifest::Manifest;
pub(crate) use manifest::{is_of_group, is_readable, time};
pub use metadata::{IntoMetadata, Metadata, MetadataValue};
pub(crate) use npz::CopyFailure;
#[cfg(feature = "group")]
pub(crate) use pieces::Piece;
pub(crate) use reader::Container;
pub use source::{Memory, Source};
pub(crate) use source::{Refusal, begins_with};
pub(crate) use stream::{PartFacts, PartStream};
pub(crate) use tag::TagKey;
pub(crate) use writer::{ContainerWriter, is_out_of_band};
pub(crate) use zip::MAGIC;

/// The name of the part that holds the state, without its arrays.
pub(crate) const STATE: &str = "state.bincode";

/// The name of the state of a program that uses scopes.
pub(crate) const SCOPES: &str = "Scopes";

/// The name of the state of a group: the table of its shards.
pub(crate) const GROUP: &str = "Group";

/// The name of the entry of the manifest, always the last.
const MANIFEST: &str = "checkpoint.json";

/// The version of the file format that this library writes, and the highest that it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
