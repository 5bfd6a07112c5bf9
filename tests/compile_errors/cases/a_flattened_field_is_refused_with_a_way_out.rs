use checkpointed::checkpointed;

#[checkpointed]
struct State {
    step: u64,
    #[serde(flatten)]
    rest: Rest,
}

#[checkpointed]
struct Rest {
    x: f64,
}

#[checkpointed]
enum Event {
    Started {
        #[serde(flatten)]
        rest: Rest,
    },
}

fn main() {}
