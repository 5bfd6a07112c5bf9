use checkpointed::{CheckpointReader, Checkpointer, Error};

struct State {
    step: u64,
}

fn main() -> Result<(), Error> {
    Checkpointer::<State>::open("run.ckpt")?;
    CheckpointReader::<State>::open("run.ckpt")?;
    Ok(())
}
