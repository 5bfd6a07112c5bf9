use checkpointed::checkpointed;

fn from_v1(old: u8) -> Twice {
    Twice { x: old }
}

#[checkpointed(version = 3, migrate(from = 1, with = from_v1), migrate(from = 1, with = from_v1))]
struct Twice {
    x: u8,
}

#[checkpointed(version = 2, migrate(from = 2, with = from_v1))]
struct Same;

#[checkpointed(migrate(from = 1, with = from_v1))]
struct NoVersion;

#[checkpointed(version = 2, migrate(with = from_v1))]
struct NoFrom;

#[checkpointed(version = 2, migrate(from = 1))]
struct NoWith;

#[checkpointed(version = 2, migrate)]
struct Nothing;

#[checkpointed(version = 2, migrate(from = 1, with = "from_v1"))]
struct Text;

#[checkpointed(version = 2, migrate(from = 1, with = |old: u8| old))]
struct Closure;

#[checkpointed(version = 2, migrate(from = "1", with = from_v1))]
struct NoNumber;

#[checkpointed(version = 2, migrate(from = 1, from = 1, with = from_v1))]
struct FromTwice;

#[checkpointed(version = 2, migrate(from = 1, by = from_v1))]
struct Unknown;

#[checkpointed(version = 2, migrate(from = 1, with = from_v1))]
#[serde(transparent)]
struct Transparent {
    x: u8,
}

fn main() {}
