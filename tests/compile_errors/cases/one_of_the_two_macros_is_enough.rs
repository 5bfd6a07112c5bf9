use checkpointed::{Checkpoint, checkpointed};

#[checkpointed(name = "a")]
#[checkpointed(version = 2)]
struct Twice;

#[derive(Checkpoint)]
#[checkpointed(name = "b")]
struct Both;

fn main() {}
