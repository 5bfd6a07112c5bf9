use checkpointed::checkpointed;

fn same(old: u8) -> u8 {
    old
}

#[checkpointed(version = 2)]
struct NoName {
    #[checkpointed(was(with = same))]
    x: u8,
}

#[checkpointed(version = 2)]
struct NoFunction {
    #[checkpointed(was("y"))]
    x: u8,
}

#[checkpointed]
struct NoVersion {
    #[checkpointed(was("y", with = same))]
    x: u8,
}

#[checkpointed(version = 2)]
struct Generic<T> {
    #[checkpointed(was("y", with = same))]
    x: u8,
    t: T,
}

#[checkpointed(version = 2)]
struct Tuple(#[checkpointed(was("y", with = same))] u8);

#[checkpointed(version = 2)]
enum Variants {
    A {
        #[checkpointed(was("y", with = same))]
        x: u8,
    },
}

#[checkpointed(version = 2, migrate(from = 1, with = whole))]
struct Both {
    #[checkpointed(was("y", with = same))]
    x: u8,
}

#[checkpointed(version = 2)]
struct Still {
    #[checkpointed(was("y", with = same))]
    x: u8,
    y: u8,
}

#[checkpointed(version = 2)]
struct OtherType {
    #[checkpointed(was("y", with = same))]
    x: String,
}

#[checkpointed(version = 3)]
struct Twice {
    #[checkpointed(was("x", with = same))]
    x: u8,
    #[checkpointed(was("z", from = 1, with = same))]
    y: u8,
}

#[checkpointed(version = 3)]
struct TwiceWithFrom {
    #[checkpointed(was("x", from = 2, with = same))]
    x: u8,
    #[checkpointed(was("z", from = 1..=2, with = same))]
    y: u8,
}

#[checkpointed(version = 3)]
struct Backwards {
    #[checkpointed(was("y", from = 2..=1, with = same))]
    x: u8,
}

#[checkpointed(version = 2000)]
struct TooMany {
    #[checkpointed(was("y", from = 1..=1999, with = same))]
    x: u8,
}

#[checkpointed(version = 3)]
struct OpenEnd {
    #[checkpointed(was("y", from = 1.., with = same))]
    x: u8,
}

fn whole(old: u8) -> Both {
    Both { x: old }
}

fn main() {}
