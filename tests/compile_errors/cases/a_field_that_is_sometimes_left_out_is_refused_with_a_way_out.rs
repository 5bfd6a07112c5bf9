use checkpointed::checkpointed;

#[checkpointed]
struct State {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    best: Option<f64>,
}

fn main() {}
