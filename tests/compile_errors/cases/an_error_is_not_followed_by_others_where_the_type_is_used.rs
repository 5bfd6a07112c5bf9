use checkpointed::{Checkpoint, Checkpointer, Error, checkpointed};

#[checkpointed(version = "two")]
#[derive(Clone, Debug, Default)]
struct State<T: Clone, const N: usize = 1>
where
    T: Default
{
    inner: Inner,
    generic: T,
    numbers: [u8; 3],
}

#[checkpointed]
#[derive(Clone, Debug, Default)]
struct Inner {
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<u8>,
}

#[checkpointed]
struct Outer {
    state: Vec<State<u8>>,
}

fn is_checkpoint<T: Checkpoint>() {}

fn main() -> Result<(), Error> {
    let mut checkpoints = Checkpointer::<State<u8>>::open("state.ckpt")?;
    let state = checkpoints.load_or_default()?;
    checkpoints.save(&state)?;
    is_checkpoint::<Inner>();
    is_checkpoint::<Outer>();
    Ok(())
}
