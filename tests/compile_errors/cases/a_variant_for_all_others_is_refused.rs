use checkpointed::checkpointed;

#[checkpointed]
enum Kind {
    Known,
    #[serde(other)]
    Unknown,
}

fn main() {}
