//! The times of saves and of a restart: a block of `--bytes` on each rank. For `benches/peers`.
//!
//! ```text
//! mpirun -n 4 time_mpi --bytes 67108864 --saves 3 --dir PATH   # each beside one by hand
//! mpirun -n 4 time_mpi --bytes 67108864 --saves 0 --dir PATH   # a restart
//! ```
//!
//! With `--background 1` the time of a save is that for which the program waits. A save by hand is
//! a new file, a write, an `fsync` and a rename, by each rank alone.

use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use checkpointed::group::{Sharded, Shared};
use checkpointed::{Checkpointer, checkpointed};
use checkpointed_mpi::Mpi;
use mpi::collective::SystemOperation;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives as _};

/// The saves that are not counted: the directory has its retired files after them.
const WARM: u32 = 4;

#[checkpointed]
struct State {
    step: Shared<u64>,
    block: Sharded<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut bytes, mut saves, mut dir) = (64 << 10, 3, PathBuf::from("time.ckpt"));
    let mut in_background = false;
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--bytes" => bytes = value.parse()?,
            "--saves" => saves = value.parse()?,
            "--dir" => dir = value.into(),
            "--background" => in_background = value == "1",
            _ => return Err("usage: time_mpi [--bytes N] [--saves N] [--dir PATH]".into()),
        }
    }
    let universe = mpi::initialize().ok_or("MPI cannot be initialized")?;
    let world = universe.world();
    let group = Mpi::new(&world);
    let rows = u64::from(world.size().unsigned_abs());
    let mut block = Sharded::rows([rows, bytes / 8], &group)?;
    block.data_mut().fill(-1.0); // the pages are there
    let initial = State { step: Shared(0), block };

    let begun = begin(&world);
    let mut checkpoints = Checkpointer::<State>::builder(&dir).open_group(&group)?;
    let mut state = checkpoints.load_or_else(|| initial)?;
    if saves == 0 {
        end(&world, "restart", begun);
        let content = content(world.rank(), *state.step);
        let mut expected = state.block.data().to_vec();
        fill(&mut expected, content);
        if *state.step == 0 || state.block.data() != expected {
            return Err("what was loaded is not what was saved".into());
        }
        return Ok(());
    }
    let aside = PathBuf::from(format!("{}-by-hand", dir.display()));
    fs::create_dir_all(&aside)?;
    let path = aside.join(world.rank().to_string());
    for save in 0..WARM + saves {
        *state.step += 1;
        let content = content(world.rank(), *state.step);
        fill(state.block.data_mut(), content);
        let raw: Vec<u8> = state.block.data().iter().flat_map(|number| number.to_ne_bytes()).collect();
        let name = |counted, warm| if save < WARM { warm } else { counted };
        let begun = begin(&world);
        by_hand(&path, &raw)?;
        end(&world, name("hand", "warm-hand"), begun);
        let begun = begin(&world);
        if in_background {
            checkpoints.save_in_background(&state)?;
        } else {
            checkpoints.save(&state)?;
        }
        end(&world, name("save", "warm-save"), begun);
        checkpoints.wait()?;
    }
    Ok(())
}

/// What the first number of a block is.
fn content(rank: i32, step: u64) -> f64 {
    f64::from(rank) * 0.25 + step as f64 * 1e-3
}

fn fill(block: &mut [f64], first: f64) {
    for (place, number) in block.iter_mut().enumerate() {
        *number = place as f64 * 0.5 + first;
    }
}

fn by_hand(path: &Path, block: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension("tmp");
    let mut file = File::create(&temporary)?;
    file.write_all(block)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)
}

/// Nothing of other work waits for the disk. All ranks begin at the same time.
fn begin(world: &SimpleCommunicator) -> Instant {
    if world.rank() == 0 {
        black_box(Command::new("sync").status().ok());
    }
    world.barrier();
    Instant::now()
}

fn end(world: &SimpleCommunicator, what: &str, begun: Instant) {
    let (own, mut slowest) = (begun.elapsed().as_secs_f64() * 1e3, 0.0);
    world.all_reduce_into(&own, &mut slowest, SystemOperation::max());
    if world.rank() == 0 {
        println!("{what} {slowest:.4}");
    }
}
