use checkpointed::{Checkpointer, Error, Plain, checkpointed};
use serde::{Deserialize, Serialize};

/// A type of another crate.
#[derive(Serialize, Deserialize)]
struct Solver {
    step: f64,
}

#[checkpointed]
struct Run<S> {
    solver: S,
}

#[checkpointed]
struct Holder {
    as_a_field: Run<Solver>,
}

fn main() -> Result<(), Error> {
    Checkpointer::<Holder>::open("run.ckpt")?;
    Checkpointer::<Run<Plain<Solver>>>::open("run.ckpt")?;
    Checkpointer::<Run<Solver>>::open("run.ckpt")?;
    Ok(())
}
