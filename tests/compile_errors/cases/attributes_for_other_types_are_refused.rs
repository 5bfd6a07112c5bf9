use checkpointed::checkpointed;

mod other {
    pub struct Duration {
        secs: i64,
    }

    impl Duration {
        pub fn secs(&self) -> i64 {
            self.secs
        }
    }
}

#[checkpointed]
#[serde(remote = "other::Duration")]
struct Duration {
    #[serde(getter = "other::Duration::secs")]
    secs: i64,
}

impl From<Duration> for other::Duration {
    fn from(_: Duration) -> Self {
        unimplemented!()
    }
}

fn main() {}
