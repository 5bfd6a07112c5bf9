use checkpointed::checkpointed;

#[checkpointed]
#[serde(into = "u8")]
#[derive(Clone)]
struct OnlyInto(u8);

#[checkpointed]
#[serde(from = "u8")]
struct OnlyFrom(u8);

#[checkpointed]
#[serde(try_from = "u16", into = "u8")]
#[derive(Clone)]
struct Different(u8);

impl From<OnlyInto> for u8 {
    fn from(value: OnlyInto) -> u8 {
        value.0
    }
}

impl From<u8> for OnlyFrom {
    fn from(value: u8) -> Self {
        OnlyFrom(value)
    }
}

impl From<Different> for u8 {
    fn from(value: Different) -> u8 {
        value.0
    }
}

impl TryFrom<u16> for Different {
    type Error = std::num::TryFromIntError;

    fn try_from(value: u16) -> Result<Self, Self::Error> {
        value.try_into().map(Different)
    }
}

fn main() {}
