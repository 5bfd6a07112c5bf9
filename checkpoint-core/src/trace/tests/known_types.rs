//! Types like those of other crates: their refusals are written down here after their sources,
//! without the crates.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde::de::{EnumAccess, MapAccess, Unexpected, VariantAccess};

use super::*;

/// A string that a function takes.
macro_rules! parsed {
    ($($(#[$doc:meta])* $name:ident: $accepts:expr;)*) => {$(
        $(#[$doc])*
        #[derive(PartialEq, Eq, PartialOrd, Ord)]
        struct $name;

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let accepts: fn(&str) -> bool = $accepts;
                let text = String::deserialize(deserializer)?;
                if accepts(&text) { Ok($name) } else { Err(D::Error::custom("does not parse")) }
            }
        }
    )*};
}

/// A string of bytes that a function takes.
macro_rules! from_bytes {
    ($($name:ident: $accepts:expr;)*) => {$(
        struct $name;

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Bytes;
                impl Visitor<'_> for Bytes {
                    type Value = $name;
                    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        formatter.write_str("bytes")
                    }
                    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<$name, E> {
                        let accepts: fn(&[u8]) -> bool = $accepts;
                        if accepts(bytes) { Ok($name) } else { Err(E::custom("other bytes")) }
                    }
                }
                deserializer.deserialize_bytes(Bytes)
            }
        }
    )*};
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

parsed! {
    Ulid: |text| text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    UuidSimple: |text| text.len() == 32 && is_hex(text);
    UuidUrn: |text| text.strip_prefix("urn:uuid:").is_some_and(|rest| rest.len() == 36);
    UuidBraced: |text| text.len() == 38 && text.starts_with('{') && text.ends_with('}');
    NotNil: |text| text.len() == 36 && !text.bytes().all(|byte| byte == b'0' || byte == b'-');
    Zoned: |text| text.contains('T') && text.contains('+') && text.ends_with(']');
    Weekday: |text| ["Mon", "Tue"].contains(&text);
    Month: |text| ["January", "February"].contains(&text);
    JsonMap: |text| serde_json::from_str::<HashMap<String, u8>>(text).is_ok();
    JsonList: |text| serde_json::from_str::<Vec<u8>>(text).is_ok();
    Network: |text| text.split_once('/').is_some_and(|(address, _)| address.parse::<std::net::IpAddr>().is_ok());
}

from_bytes! {
    FiveBytes: |bytes| bytes.len() == 5;
    HashBytes: |bytes| bytes.len() == 48;
    NotNilBytes: |bytes| bytes.len() == 16 && bytes.iter().any(|byte| *byte != 0);
    Roaring: |bytes| bytes.get(..4) == Some(&[0x3A, 0x30, 0, 0]) && bytes.get(4..8) == Some(&[0; 4]);
}

#[test]
fn texts_and_bytes_of_known_formats_are_accepted() {
    assert_eq!(text::<BTreeMap<Ulid, f64>>(), "Map<String, f64>");
    assert_eq!(
        text::<(
            UuidSimple,
            UuidUrn,
            UuidBraced,
            NotNil,
            Zoned,
            Weekday,
            Month,
            JsonMap,
            JsonList,
            Network,
            u8
        )>(),
        "(String, String, String, String, String, String, String, String, String, String, u8)"
    );
    assert_eq!(
        text::<(FiveBytes, HashBytes, NotNilBytes, Roaring, u8)>(),
        "(bytes, bytes, bytes, bytes, u8)"
    );
}

/// `time::OffsetDateTime`: year, day of the year, hour, minute, second, nanosecond, offset in
/// hours, minutes, seconds.
#[derive(Deserialize)]
#[serde(try_from = "(i32, u16, u8, u8, u8, u32, i8, i8, i8)")]
struct OffsetDateTime;

impl TryFrom<(i32, u16, u8, u8, u8, u32, i8, i8, i8)> for OffsetDateTime {
    type Error = String;
    fn try_from(parts: (i32, u16, u8, u8, u8, u32, i8, i8, i8)) -> Result<Self, String> {
        let (_, day, hour, ..) = parts;
        if (1..=366).contains(&day) && hour < 24 { Ok(OffsetDateTime) } else { Err("no date".to_owned()) }
    }
}

/// `sprs::CsMat`: an empty matrix has one pointer, and no indices nor values.
#[derive(Deserialize)]
#[serde(try_from = "Sparse")]
struct Matrix;

#[derive(Deserialize)]
struct Sparse {
    storage: Order,
    rows: usize,
    columns: usize,
    pointers: Vec<usize>,
    indices: Vec<usize>,
    values: Vec<f64>,
}

#[derive(Deserialize)]
enum Order {
    Rows,
    Columns,
}

impl TryFrom<Sparse> for Matrix {
    type Error = String;
    fn try_from(sparse: Sparse) -> Result<Self, String> {
        let outer = match sparse.storage {
            Order::Rows => sparse.rows,
            Order::Columns => sparse.columns,
        };
        let count = sparse.pointers.last().unwrap_or(&0) - sparse.pointers.first().unwrap_or(&0);
        let fits = sparse.pointers.len() == outer + 1
            && (count, count) == (sparse.indices.len(), sparse.values.len())
            && sparse.indices.iter().all(|index| *index < sparse.columns);
        if fits { Ok(Matrix) } else { Err("no matrix".to_owned()) }
    }
}

/// `petgraph::Graph<N, E, Undirected>`.
#[derive(Deserialize)]
struct Graph {
    nodes: Vec<u8>,
    #[serde(deserialize_with = "undirected")]
    edge_property: (),
    edges: Vec<Option<(u32, u32, f64)>>,
}

#[derive(Deserialize, PartialEq)]
enum EdgeProperty {
    Directed,
    Other { text: String },
    Undirected(Vec<u8>),
}

fn undirected<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    match EdgeProperty::deserialize(deserializer)? {
        EdgeProperty::Undirected(_) => Ok(()),
        _ => Err(D::Error::custom("a directed graph")),
    }
}

/// `bitvec::BitArray<[u32; 4]>`.
#[derive(Deserialize)]
#[serde(try_from = "Bits")]
struct BitArray;

#[derive(Deserialize)]
struct Bits {
    order: BitOrder,
    head: Head,
    bits: u64,
    data: [u32; 4],
}

#[derive(Deserialize)]
#[serde(try_from = "(u8, u8)")]
struct Head;

parsed! { BitOrder: |text| text == "bitvec::order::Msb0"; }

impl TryFrom<(u8, u8)> for Head {
    type Error = String;
    fn try_from((width, index): (u8, u8)) -> Result<Self, String> {
        if width == 32 && index < width { Ok(Head) } else { Err("another width".to_owned()) }
    }
}

impl TryFrom<Bits> for BitArray {
    type Error = String;
    fn try_from(bits: Bits) -> Result<Self, String> {
        if bits.bits == 128 { Ok(BitArray) } else { Err("another length".to_owned()) }
    }
}

#[test]
fn values_that_must_go_together_are_found() {
    assert_eq!(text::<(OffsetDateTime, u8)>(), "((i32, u16, u8, u8, u8, u32, i8, i8, i8), u8)");
    for (text, last) in [
        (text::<(Matrix, char)>(), "(Sparse, char)"),
        (text::<(Graph, char)>(), "(Graph, char)"),
        (text::<(BitArray, char)>(), "(Bits, char)"),
        (
            text::<(OffsetDateTime, Matrix, Graph, BitArray, Vec<(Matrix, Graph)>, i8)>(),
            ", Vec<(Sparse, Graph)>, i8)",
        ),
    ] {
        assert!(text.contains(last) && !text.contains("of which no sample"), "{text}");
    }
}

/// A sequence, or a map, of elements that are read as different types, depending on their place.
struct Mixed<const IS_MAP: bool>;

impl<'de, const IS_MAP: bool> Deserialize<'de> for Mixed<IS_MAP> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Elements<const IS_MAP: bool>;
        impl<'de, const IS_MAP: bool> Visitor<'de> for Elements<IS_MAP> {
            type Value = Mixed<IS_MAP>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a number, then a text")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
                if elements.next_element::<u8>()?.is_some() {
                    elements.next_element::<String>()?;
                }
                Ok(Mixed)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                if entries.next_entry::<String, u8>()?.is_some() {
                    entries.next_entry::<String, String>()?;
                }
                Ok(Mixed)
            }
        }
        if IS_MAP {
            deserializer.deserialize_map(Elements::<IS_MAP>)
        } else {
            deserializer.deserialize_seq(Elements::<IS_MAP>)
        }
    }
}

#[test]
fn elements_of_different_types_are_opaque_and_not_guessed() {
    assert_eq!(text::<(Mixed<false>, u8)>(), "(Vec<u8, which is not always of one form>, u8)");
    assert_eq!(text::<(Mixed<true>, u8)>(), "(Map<String, u8, which is not always of one form>, u8)");
}

/// The value behind a pointer to a trait, as `typetag` reads it: its name, and then its content.
struct Behind;

trait Shape {}

impl<'de> Deserialize<'de> for Box<dyn Shape> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tagged<T: ?Sized>(PhantomData<T>);
        impl<'de> Visitor<'de> for Tagged<dyn Shape> {
            type Value = Box<dyn Shape>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a shape")
            }
            fn visit_enum<A: EnumAccess<'de>>(self, data: A) -> Result<Self::Value, A::Error> {
                data.variant::<u32>()?.1.unit_variant()?;
                Err(A::Error::invalid_type(Unexpected::Unit, &self))
            }
        }
        deserializer.deserialize_enum("Shape", &[], Tagged(PhantomData))
    }
}

impl Shape for Behind {}

#[test]
fn a_pointer_to_a_trait_is_named() {
    assert_eq!(
        text::<Vec<(u8, Box<dyn Shape>, u16)>>(),
        "Vec<(u8, Box<dyn Shape>, u16 behind Box<dyn Shape>, of which no sample could be made)>"
    );
}

#[test]
fn opening_a_directory_warns_of_what_stays_unknown() {
    use crate::base::heard::warnings;
    use crate::{CheckpointReader, Plain};

    let directory = tempfile::tempdir().unwrap();
    let open = || drop(CheckpointReader::<Plain<Vec<(Said, u16)>>>::open(directory.path()).unwrap());
    let warned = warnings(open);
    assert_eq!(warned.len(), 1, "{warned:?}");
    for words in ["[].1: u16 behind Said", "self_describing", "before the first save"] {
        assert!(warned[0].contains(words), "{words}: {warned:?}");
    }
    let open = || drop(CheckpointReader::<Plain<Vec<(Ulid, u16)>>>::open(directory.path()).unwrap());
    assert_eq!(warnings(open), [""; 0]);
}

parsed! { Said: |text| text == "open sesame"; }

impl serde::Serialize for Said {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("open sesame")
    }
}

impl serde::Serialize for Ulid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("01ARZ3NDEKTSV4RRFFQ69G5FAV")
    }
}
