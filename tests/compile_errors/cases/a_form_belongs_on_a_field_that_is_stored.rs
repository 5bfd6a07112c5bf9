use checkpointed::checkpointed;

#[checkpointed(as = "u32")]
struct OnTheType {
    x: u8,
}

#[checkpointed]
struct Skipped {
    #[serde(skip)]
    #[checkpointed(as = "u32")]
    x: u8,
}

#[checkpointed]
struct Twice {
    #[checkpointed(as = "u32", as = "u64")]
    x: u32,
}

#[checkpointed]
struct NoType {
    #[checkpointed(as = "not a type")]
    x: u32,
}

#[checkpointed]
struct Other {
    #[checkpointed(version = 2)]
    x: u32,
}

#[checkpointed]
struct Bare {
    #[checkpointed]
    x: u32,
}

#[checkpointed]
enum OfAVariant {
    #[checkpointed(as = "u32")]
    Plain(u32),
}

struct NoCheckpoint;

#[checkpointed]
struct Unknown {
    #[checkpointed(as = "NoCheckpoint")]
    x: u32,
}

fn main() {}
