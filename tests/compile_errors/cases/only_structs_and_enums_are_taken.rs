use checkpointed::checkpointed;

#[checkpointed]
fn state() {}

#[checkpointed]
type State = u8;

#[checkpointed]
const STATE: State = 1;

fn main() {
    state();
}
