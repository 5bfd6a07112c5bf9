use checkpointed::pipeline::step;

struct Unmarked;

#[step]
fn make() -> Unmarked {
    Unmarked
}

fn main() {}
