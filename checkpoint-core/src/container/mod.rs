//! Parts → one file: a zip archive, its entries uncompressed unless asked for, described by a manifest, its last entry.
//!
//! The bytes of a container are a function of its parts and its manifest alone: no optional fields, no dates, no
//! comments. So the reader need not judge a header, it computes what the header must be and compares. Every byte
//! of a file is thereby either equal to the one possible value or covered by a checksum. `docs/format.md`
//! describes the file for those who write another reader.

mod arrays;
mod checksum;
mod compression;
mod equality;
#[cfg(test)]
mod forged;
mod headers;
#[cfg(test)]
mod ignored;
mod manifest;
mod metadata;
mod npz;
#[cfg_attr(not(feature = "zstd"), path = "without_zstd.rs")]
mod pack;
mod parallel;
mod part;
mod reader;
mod source;
mod stream;
mod tag;
mod writer;
mod zip;

pub(crate) use arrays::Arrays;
pub use compression::Compression;
pub(crate) use equality::is_equal;
#[cfg(test)]
pub(crate) use ignored::{Ignored, ignore, is_ignored};
pub use manifest::Manifest;
pub(crate) use manifest::{is_readable, time};
pub use metadata::{IntoMetadata, Metadata, MetadataValue};
pub(crate) use npz::CopyFailure;
pub(crate) use reader::Container;
pub(crate) use source::{Memory, Refusal, Source, begins_with};
pub(crate) use stream::{PartFacts, PartStream};
pub(crate) use tag::TagKey;
pub(crate) use writer::{ContainerWriter, is_out_of_band};
pub(crate) use zip::MAGIC;

/// The name of the part that holds everything but arrays.
pub(crate) const STATE: &str = "state.bincode";

/// The name of the state of a program in scopes.
pub(crate) const SCOPES: &str = "Scopes";

/// The name of the manifest's entry, always the last.
const MANIFEST: &str = "checkpoint.json";

/// The version of the file format that this library writes, and the highest that it reads.
pub(crate) const FORMAT_VERSION: u32 = 1;
