use checkpointed::checkpointed;

#[checkpointed]
#[serde(tag = "type")]
enum Internally {
    A { x: u8 },
    B,
}

#[checkpointed]
#[serde(tag = "type", content = "value")]
enum Adjacently {
    A { x: u8 },
    B,
}

#[checkpointed]
#[serde(tag = "type")]
struct Struct {
    x: u8,
}

fn main() {}
