use checkpointed::{Checkpoint, checkpointed};
use serde::{Deserialize, Serialize};

#[checkpointed(nam = "state")]
struct Unknown;

#[checkpointed(name = "a", name = "b")]
struct Twice;

#[checkpointed(name = "")]
struct Empty;

#[checkpointed(name = 1)]
struct NoText;

#[checkpointed(version = "2")]
struct Text;

#[checkpointed(version = -1)]
struct Negative;

#[checkpointed(version = 4294967296)]
struct TooLarge;

#[checkpointed("state")]
struct NoName;

#[checkpointed(crate = "not a path")]
struct NoPath;

#[derive(Serialize, Deserialize, Checkpoint)]
struct Misplaced {
    #[checkpoint(version = 2)]
    x: u8,
}

#[checkpointed]
enum OnAVariant {
    #[checkpoint(was_type = "Old")]
    New,
}

#[checkpointed]
struct NotOfFields {
    #[checkpointed(name = "y")]
    x: u8,
}

fn main() {}
