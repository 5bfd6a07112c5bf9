use checkpointed::checkpointed;

struct Foreign;

fn to_another(old: u8) -> String {
    old.to_string()
}

fn from_a_foreign_one(_: Foreign) -> Unsaved {
    Unsaved
}

#[checkpointed(version = 2, migrate(from = 1, with = to_another))]
struct Wrong;

#[checkpointed(version = 2, migrate(from = 1, with = from_a_foreign_one))]
struct Unsaved;

fn main() {}
