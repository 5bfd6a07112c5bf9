use checkpointed::checkpointed;
use std::collections::HashMap;

#[checkpointed(version = "two")]
#[serde(rename_all(serialize = "camelCase"))]
struct State<'a> {
    step: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    losses: Vec<f64>,
    #[serde(skip_serializing, default)]
    cache: HashMap<String, f64>,
    name: &'a str,
    #[serde(flatten)]
    extra: HashMap<String, String>,
}

fn main() {}
