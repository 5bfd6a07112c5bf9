use checkpointed::{Checkpoint, checkpointed};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

struct Inner {
    x: u8,
}

/// Without serde's derives, only this library's errors about `Inner` are shown.
#[derive(Checkpoint)]
struct Outer {
    step: u64,
    inner: Inner,
    tuple: Vec<(u8, Inner, String)>,
}

impl Serialize for Outer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.step)
    }
}

impl<'de> Deserialize<'de> for Outer {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Outer, D::Error> {
        unimplemented!()
    }
}

#[checkpointed]
struct Holder {
    outer: Outer,
}

fn main() {}
