use checkpointed::checkpointed;

#[checkpointed(owned = "Twice", owned = "Again")]
struct Double<'a> {
    step: &'a u64,
}

#[checkpointed(owned = "no name")]
struct Wrong<'a> {
    step: &'a u64,
}

#[checkpointed(owned = "Choice")]
enum Either<'a> {
    One(&'a u64),
}

#[checkpointed(owned = "Whole")]
struct Nothing {
    step: u64,
}

#[checkpointed(owned = "Callback")]
struct Dynamic<'a> {
    work: &'a dyn Fn(),
}

#[checkpointed(owned = "Rows")]
struct Slice<'a> {
    rows: &'a [[f64; 64]],
}

fn main() {}
