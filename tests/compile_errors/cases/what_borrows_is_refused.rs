use checkpointed::checkpointed;
use std::borrow::Cow;

#[checkpointed]
struct Borrowed<'a> {
    text: Cow<'a, str>,
}

#[checkpointed]
struct Static {
    text: &'static str,
    #[serde(borrow)]
    cow: Cow<'static, str>,
    nested: Vec<Option<&'static [u8]>>,
}

fn main() {}
