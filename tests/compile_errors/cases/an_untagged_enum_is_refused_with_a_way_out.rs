use checkpointed::checkpointed;

#[checkpointed]
#[serde(untagged)]
enum Setting {
    Number(f64),
    Text(String),
}

#[checkpointed]
enum LastResort {
    Number(f64),
    #[serde(untagged)]
    Text(String),
}

fn main() {}
