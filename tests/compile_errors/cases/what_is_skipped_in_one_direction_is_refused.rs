use checkpointed::checkpointed;

#[checkpointed]
struct State {
    #[serde(skip_serializing, default)]
    read: u8,
    #[serde(skip_deserializing)]
    written: u8,
    #[serde(skip_serializing, skip_deserializing)]
    neither: u8,
}

#[checkpointed]
enum Event {
    #[serde(skip_serializing)]
    Read,
    #[serde(skip_deserializing)]
    Written,
}

fn main() {}
