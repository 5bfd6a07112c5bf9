use checkpointed::checkpointed;

#[checkpointed]
#[serde(rename(serialize = "Written", deserialize = "Read"))]
#[serde(rename_all(deserialize = "camelCase"))]
struct State {
    #[serde(rename(serialize = "written"))]
    x: u8,
    #[serde(rename(serialize = "a", deserialize = "b"))]
    y: u8,
}

fn main() {}
