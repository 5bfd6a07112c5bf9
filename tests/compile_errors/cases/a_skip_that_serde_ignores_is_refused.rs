use checkpointed::checkpointed;

#[checkpointed]
struct Wrapper(#[serde(skip)] u8);

fn main() {}
