use checkpointed::Checkpoint;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Without serde's derives, only this library's errors about the array are shown.
#[derive(Checkpoint)]
struct Optional {
    rows: Vec<Option<[f64; 40]>>,
}

impl Serialize for Optional {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Optional {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Optional, D::Error> {
        unimplemented!()
    }
}

fn main() {}
