//! A counter in an object store that continues: kill it, and start it again.
//!
//! ```text
//! cargo run --example counter -- --url s3://bucket/counter.ckpt [--every 1s] [--count 10]
//! ```
//!
//! It prints one number a line. A number that was printed is in the store.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use checkpointed::{Checkpointer, checkpointed};
use checkpointed_object_store::ObjectHome;

#[checkpointed]
#[derive(Default)]
struct Counter {
    count: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut url, mut every, mut count) = (None, Duration::from_secs(1), u64::MAX);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--url" => url = Some(value),
            "--every" => every = seconds(&value)?,
            "--count" => count = value.parse()?,
            _ => return Err(format!("{name} is none of --url, --every and --count").into()),
        }
    }
    let url = url.ok_or("give the place: --url s3://bucket/counter.ckpt")?;
    let mut checkpoints = Checkpointer::<Counter>::builder_in(ObjectHome::from_url(&url)?).open()?;
    let mut counter = checkpoints.load_or_default()?;
    for _ in 0..count {
        counter.count += 1;
        // The save comes before the output, so that a number that was shown is never counted again.
        checkpoints.save(&counter)?;
        writeln!(io::stdout(), "{}", counter.count)?;
        std::thread::sleep(every);
    }
    Ok(())
}

/// Parses a time in seconds, such as `0.5` or `2s`.
fn seconds(value: &str) -> Result<Duration, Box<dyn Error>> {
    Ok(Duration::try_from_secs_f64(value.trim_end_matches('s').trim().parse()?)?)
}
