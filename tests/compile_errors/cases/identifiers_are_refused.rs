use checkpointed::Checkpoint;
use serde::Deserialize;

#[derive(Deserialize, Checkpoint)]
#[serde(field_identifier)]
enum Field {
    X,
}

#[derive(Deserialize, Checkpoint)]
#[serde(variant_identifier)]
enum Variant {
    X,
}

fn main() {}
