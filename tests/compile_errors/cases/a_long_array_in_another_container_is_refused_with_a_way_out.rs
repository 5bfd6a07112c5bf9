use checkpointed::Checkpoint;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

type Grid = [f64; 64];

/// Without serde's derives, only this library's errors about `Grid` are shown.
#[derive(Checkpoint)]
struct Alias {
    grid: Grid,
}

impl Serialize for Alias {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Alias {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Alias, D::Error> {
        unimplemented!()
    }
}

fn main() {}
