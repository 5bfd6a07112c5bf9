use checkpointed::checkpointed;

#[checkpointed]
enum Connection {
    Closed,
    #[serde(skip)]
    Open(std::thread::ThreadId),
    Waiting,
    #[serde(skip)]
    AtTheEnd,
}

fn main() {}
