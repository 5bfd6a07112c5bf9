//! The manifest: the JSON entry that describes everything else in a checkpoint.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::ser::Error as _;
use serde::{Deserialize, Serialize};

use super::checksum::{self, CHUNK, Crc32};
use super::config::{Config, ConfigDifference};
use super::metadata::{Metadata, MetadataValue};
use super::tag::{Authentication, Tag, TagKey};
use super::zip::Entry;
use super::{FORMAT_VERSION, GROUP, SCOPES};
use crate::base::host;
use crate::codec::{CODEC, Observed};
use crate::evolution::Program;
use crate::schema::{Body, Fields, Schema, Type};

/// The description of a checkpoint, as stored in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Manifest {
    pub(crate) format_version: u32,
    pub(crate) library: String,
    pub(crate) name: String,
    pub(crate) version: u32,
    pub(crate) generation: u64,
    #[serde(with = "time")]
    pub(crate) created: SystemTime,
    pub(crate) host: String,
    pub(crate) process: u32,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub(crate) metadata: Metadata,
    /// The configuration of the run, if its program gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) configuration: Option<Config>,
    pub(crate) codec: String,
    pub(crate) schema: Schema,
    /// Every other entry of the file, in order; empty until they are written.
    pub(crate) parts: Vec<PartRecord>,
    /// The tag of the manifest. It is the last field, so that its place in the text is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authentication: Option<Authentication>,
}

/// The record of one part: its length and its checksums.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartRecord {
    pub(crate) name: String,
    /// The length in the file, in bytes.
    pub(crate) length: u64,
    /// The length and checksum of the unpacked bytes, where the part is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unpacked: Option<Unpacked>,
    /// The CRC-32 of each chunk of 1 MiB, of its bytes in the file.
    pub(crate) crc32: Vec<Crc32>,
    /// The tag of each chunk, if there is a key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) blake3: Vec<Tag>,
}

impl PartRecord {
    /// The unpacked length and the checksum of the whole part. `None` where the record contradicts
    /// itself.
    pub(super) fn whole(&self) -> Option<(u64, u32)> {
        match &self.unpacked {
            Some(unpacked) => Some((unpacked.length, unpacked.crc32.0)),
            None => Some((self.length, checksum::combined(&self.crc32, self.length)?)),
        }
    }
}

/// The unpacked form of a compressed part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unpacked {
    pub(crate) method: Method,
    pub(crate) length: u64,
    pub(crate) crc32: Crc32,
}

/// The compression of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Method {
    Zstd,
}

impl Method {
    /// The feature that unpacking needs.
    pub(crate) fn feature(self) -> &'static str {
        match self {
            Method::Zstd => "zstd",
        }
    }
}

/// The version of the format: the only field that is read before the rest is known to be of this
/// format.
#[derive(Deserialize)]
pub(super) struct FormatVersion {
    pub(super) format_version: u32,
}

/// The greatest length in bytes of the manifest of a file with these other entries. A real manifest
/// is far shorter, and a forged length may be far longer.
pub(super) fn longest(entries: &[Entry]) -> u64 {
    const ALL_BUT_THE_PARTS: u64 = 16 << 20;
    const PART: u64 = 640;
    const CHECKSUM: u64 = 16 + 80;
    let of_part = |entry: &Entry| {
        PART + entry.name.len() as u64 + (entry.length / CHUNK as u64).saturating_mul(CHECKSUM)
    };
    entries.iter().map(of_part).fold(ALL_BUT_THE_PARTS, u64::saturating_add)
}

/// True if a manifest with this schema can be read back: the parser refuses JSON that is nested too
/// deep.
pub(crate) fn is_readable(schema: &Schema) -> bool {
    let json = serde_json::to_vec(&BTreeMap::from([("schema", schema)]));
    json.is_ok_and(|json| serde_json::from_slice::<BTreeMap<String, Schema>>(&json).is_ok())
}

/// The JSON of a manifest. Some of its numbers change from one save to the next: spaces replace the
/// digits that they lack of the longest of their kind. So a file is as long as its predecessor
/// where the state has the same shape. A file that is overwritten then keeps its length, and the
/// file system has no new length to make durable. With a key, the manifest gets its tag.
pub(super) fn to_json(manifest: &mut Manifest, key: Option<&TagKey>) -> serde_json::Result<Vec<u8>> {
    manifest.authentication = key.map(TagKey::unmade);
    let mut bytes = serde_json::to_vec(manifest)?;
    let numbers =
        [(manifest.generation.to_string(), LONGEST_U64), (manifest.process.to_string(), LONGEST_U32)];
    let values = manifest.metadata.iter().filter_map(|(_, value)| {
        let longest = match value {
            MetadataValue::Bool(_) => LONGEST_BOOL,
            MetadataValue::Integer(_) => LONGEST_I64,
            MetadataValue::Float(_) => LONGEST_F64,
            MetadataValue::Text(_) => return None,
        };
        Some((serde_json::to_string(value).ok()?, longest))
    });
    let spaces: usize =
        numbers.into_iter().chain(values).map(|(text, longest)| longest.saturating_sub(text.len())).sum();
    bytes.resize(bytes.len() + spaces, b' ');
    if let Some(key) = key {
        key.seal(&mut bytes).ok_or_else(|| serde_json::Error::custom("it has no place for a tag"))?;
    }
    Ok(bytes)
}

const LONGEST_U64: usize = "18446744073709551615".len();
const LONGEST_U32: usize = "4294967295".len();
const LONGEST_I64: usize = "-9223372036854775808".len();
const LONGEST_F64: usize = "-2.2250738585072014e-308".len();
const LONGEST_BOOL: usize = "false".len();

/// The library and its version, as stored in the manifest.
const LIBRARY: &str = concat!("checkpointed ", env!("CARGO_PKG_VERSION"));

impl Manifest {
    /// The manifest of a new checkpoint, without its parts.
    pub(crate) fn of(program: &Program, generation: u64, metadata: Metadata) -> Manifest {
        Manifest {
            format_version: FORMAT_VERSION,
            library: LIBRARY.to_owned(),
            name: program.name().to_owned(),
            version: program.version(),
            generation,
            created: SystemTime::now(),
            host: host::name(),
            process: std::process::id(),
            metadata,
            configuration: None,
            codec: CODEC.to_owned(),
            schema: program.schema().clone(),
            parts: Vec::new(),
            authentication: None,
        }
    }

    /// Completes the schema with the forms of parts that were only seen during encoding.
    pub(crate) fn complete(&mut self, observed: &Observed) {
        if let Some(schema) = observed.complete(&self.schema).filter(is_readable) {
            self.schema = schema;
        }
    }

    /// The number of the checkpoint in its directory.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// True for the table of a group.
    pub(crate) fn is_of_group(&self) -> bool {
        is_of_group(&self.name, &self.schema)
    }

    /// True for the stack that `Scopes` save.
    pub(crate) fn is_of_scopes(&self) -> bool {
        self.name == SCOPES && has_fields(&self.schema, &["calls", "frames"])
    }

    /// False for bytes that this version of the library cannot decode.
    pub(crate) fn has_known_codec(&self) -> bool {
        self.codec == CODEC
    }

    /// The name of the state that was saved (see [`Checkpoint::NAME`](crate::Checkpoint::NAME)).
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version of the state that was saved (see
    /// [`Checkpoint::VERSION`](crate::Checkpoint::VERSION)).
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The schema of the state that was saved.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The time at which the save began, by the clock of the machine that saved.
    #[must_use]
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// The name of the machine that saved.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The number of the process that saved.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.process
    }

    /// The library that saved, with its version.
    #[must_use]
    pub fn library(&self) -> &str {
        &self.library
    }

    /// The configuration of the run that saved: pairs of a path, such as `optimizer/rate`, and a
    /// value as text, sorted by path. There are none if its program gave no
    /// [configuration](crate::Builder::config).
    pub fn configuration(&self) -> impl Iterator<Item = (&str, &str)> {
        self.configuration.iter().flat_map(Config::iter)
    }

    /// The differences between the configurations of two checkpoints, by path: `before` is that of
    /// this one, `now` that of the other. None if one of them has no configuration.
    #[must_use]
    pub fn configuration_differences(&self, other: &Manifest) -> Vec<ConfigDifference> {
        match (&self.configuration, &other.configuration) {
            (Some(before), Some(now)) => before.differences(now),
            _ => Vec::new(),
        }
    }

    /// The metadata that the program added to the save.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }
}

/// True for the table of a group. The state of a program may have its name, and not its fields.
pub(crate) fn is_of_group(name: &str, schema: &Schema) -> bool {
    name == GROUP && has_fields(schema, &["attempt", "size", "shards"])
}

/// True if the state is a struct with these fields.
fn has_fields(schema: &Schema, names: &[&str]) -> bool {
    let Type::Named(place) = schema.root else { return false };
    let Some(Body::Struct(Fields::Named(fields))) = schema.types.get(place).map(|root| &root.body) else {
        return false;
    };
    names.iter().all(|name| fields.iter().any(|field| field.name == *name))
}

/// Times as RFC 3339 text in UTC, with nanoseconds.
pub(crate) mod time {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        // humantime knows the years 1970 to 9999. A clock outside of them must not stop a save.
        let from = SystemTime::UNIX_EPOCH;
        let until = from + std::time::Duration::from_secs(253_402_300_799);
        serializer.collect_str(&humantime::format_rfc3339_nanos((*time).clamp(from, until)))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        humantime::parse_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn manifest(generation: u64, process: u32, metadata: Metadata) -> Manifest {
        Manifest {
            format_version: 1,
            library: "checkpointed".to_owned(),
            name: String::new(),
            version: 1,
            generation,
            created: SystemTime::now(),
            host: "host".to_owned(),
            process,
            metadata,
            configuration: None,
            codec: "bincode-1".to_owned(),
            schema: Schema::of::<u64>(),
            parts: Vec::new(),
            authentication: None,
        }
    }

    #[test]
    fn a_manifest_is_as_long_whatever_its_numbers_are() {
        let longest = to_json(&mut manifest(u64::MAX, u32::MAX, Metadata::new()), None).unwrap();
        assert_eq!(longest.last(), Some(&b'}'), "no spaces where the numbers are the longest");
        for (generation, process) in [(1, 1), (9, 400), (10, 99_999), (u64::MAX, 3)] {
            let other = to_json(&mut manifest(generation, process, Metadata::new()), None).unwrap();
            assert_eq!(other.len(), longest.len());
            let read: Manifest = serde_json::from_slice(&other).unwrap();
            assert_eq!((read.generation, read.process), (generation, process));
        }
    }

    #[test]
    fn nor_does_it_matter_what_the_numbers_of_the_metadata_are() {
        let lengths = |values: Vec<MetadataValue>| {
            let of = |value: MetadataValue| {
                to_json(&mut manifest(1, 1, Metadata::new().with("key", value)), None).unwrap().len()
            };
            values.into_iter().map(of).collect::<HashSet<_>>().len()
        };
        let floats =
            [0.0, -0.0, 0.1, -1.5e-9, f64::MIN, f64::MIN_POSITIVE, -f64::MIN_POSITIVE, 5e-324, f64::MAX];
        let floats = floats.into_iter().chain([
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            -1.234_567_890_123_456_7e-300,
        ]);
        assert_eq!(lengths(floats.map(MetadataValue::from).collect()), 1);
        assert_eq!(
            lengths(
                [0, 7, -7, i64::MIN.into(), i64::MAX.into(), u64::MAX.into()]
                    .map(MetadataValue::Integer)
                    .to_vec()
            ),
            1
        );
        assert_eq!(lengths([true, false].map(MetadataValue::from).to_vec()), 1);
    }

    #[test]
    fn a_clock_before_1970_does_not_stop_a_save() {
        #[derive(Serialize)]
        struct At(#[serde(with = "time")] SystemTime);
        let early = SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(9);
        assert_eq!(serde_json::to_string(&At(early)).unwrap(), r#""1970-01-01T00:00:00.000000000Z""#);
    }
}
