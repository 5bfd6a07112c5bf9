//! A counter that continues: interrupt or kill it, and start it again.
//!
//! ```text
//! cargo run --example counter
//! ```
//!
//! Its checkpoints are in `counter.ckpt`. Remove that directory to start from 1.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use checkpointed::{Checkpointer, checkpointed};

#[checkpointed]
#[derive(Default)]
struct Counter {
    count: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut checkpoints = Checkpointer::<Counter>::open("counter.ckpt")?;
    let mut counter = checkpoints.load_or_default()?;
    loop {
        thread::sleep(Duration::from_secs(1));
        counter.count += 1;
        // The save comes before the output, so that a number that was shown is never counted again.
        checkpoints.save(&counter)?;
        writeln!(io::stdout(), "{}", counter.count)?;
    }
}
