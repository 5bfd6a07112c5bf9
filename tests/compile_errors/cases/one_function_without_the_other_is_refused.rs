use checkpointed::checkpointed;
use serde::{Deserialize, Deserializer, Serializer};

#[checkpointed]
struct State {
    #[serde(serialize_with = "write")]
    x: u8,
    #[serde(deserialize_with = "read")]
    y: u8,
}

fn write<S: Serializer>(value: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::from(*value))
}

fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    u8::deserialize(deserializer)
}

fn main() {}
