use checkpointed::checkpointed;

#[checkpointed]
struct Same {
    #[serde(rename = "x")]
    a: u32,
    #[serde(rename = "x")]
    b: u32,
}

#[checkpointed]
struct Alias {
    #[serde(alias = "velocity")]
    speed: f64,
    velocity: f64,
}

#[checkpointed]
enum Kind {
    #[serde(alias = "Old", alias = "Older")]
    First,
    #[serde(alias = "Old")]
    Second { #[serde(rename = "n")] count: u32, n: u32 },
}

#[checkpointed]
struct Fine {
    #[serde(alias = "a", alias = "b")]
    a: u32,
    #[serde(skip)]
    b: u32,
}

fn main() {}
