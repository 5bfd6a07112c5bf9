//! Processes without MPI that count primes together: they meet in a directory, save together, and
//! go on together, also as another number of processes.
//!
//! ```text
//! cargo run --release -p checkpointed-examples --example workers -- --workers 4 --until 20000000
//! ```
//!
//! Kill one of them, or stop all with ctrl+c, and start the same command again, with any number of
//! workers: the count in the last line is the same.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use checkpointed::group::{Group, GroupCheckpointer, Meeting, Shared};
use checkpointed::{Checkpointer, checkpointed};
use clap::Parser;

#[derive(Parser)]
struct Options {
    /// The number of processes.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// Counts the primes below this number.
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    until: u64,
    /// The checkpoint directory. The processes meet in a directory beside it.
    #[arg(long, default_value = "primes.ckpt")]
    dir: PathBuf,
    /// The number of this process; without it, the program starts all of them.
    #[arg(long, hide = true)]
    rank: Option<u16>,
}

/// The part of one process.
#[checkpointed]
#[derive(Default)]
struct Part {
    /// The numbers below this one are done.
    done: Shared<u64>,
    /// The primes that this process found among them.
    found: u64,
}

/// The numbers that the processes share out at a time.
const BLOCK: u64 = 10_000;

fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.rank {
        None => start(&options),
        Some(rank) => work(&options, rank.into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("workers: {error}");
        ExitCode::FAILURE
    })
}

/// Starts all processes, and ends with the highest of their exit codes.
fn start(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    // Ctrl+c reaches the workers too: they save, and this waits for them.
    signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::new(AtomicBool::new(false)))?;
    let start = |rank: u16| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1)).args(["--rank", &rank.to_string()]);
        command.spawn()
    };
    let workers = (0..options.workers).map(start).collect::<Result<Vec<_>, _>>()?;
    let mut highest = 0;
    for mut worker in workers {
        // A worker that was killed has no code.
        highest = highest.max(worker.wait()?.code().unwrap_or(1));
    }
    Ok(u8::try_from(highest).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The work of one process.
fn work(options: &Options, rank: usize) -> Result<ExitCode, Box<dyn Error>> {
    let group = Meeting::at(meeting(&options.dir), rank, options.workers.into(), Duration::from_secs(60))?;
    let mut checkpoints = Checkpointer::<Part>::builder(&options.dir).stop_on_signals().open_group(&group)?;
    // Another number of processes: the first one takes over the primes that the others found.
    checkpoints.on_resize(move |old, part| {
        part.found = 0;
        for of in (0..old.size()).filter(|_| rank == 0) {
            part.found += old.load(of)?.found;
        }
        Ok(())
    });
    let mut part = checkpoints.load_or_default()?;
    while *part.done < options.until && !is_stopping(&mut checkpoints)? {
        let block = *part.done..(*part.done + BLOCK).min(options.until);
        *part.done = block.end;
        part.found += block.skip(rank).step_by(group.size()).filter(is_prime).count() as u64;
        checkpoints.save_if_due(&part)?;
    }
    let found = group.all_gather(&part.found.to_le_bytes())?;
    let all: u64 =
        found.iter().filter_map(|bytes| Some(u64::from_le_bytes(bytes[..].try_into().ok()?))).sum();
    let finished = checkpoints.finish(&part)?;
    if rank == 0 {
        println!("{all} primes below {}", *part.done);
    }
    Ok(finished.exit_code())
}

fn is_stopping(checkpoints: &mut GroupCheckpointer<Part, &Meeting>) -> Result<bool, checkpointed::Error> {
    Ok(checkpoints.should_stop()?.is_some())
}

/// The directory where the processes meet.
fn meeting(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_owned();
    name.push(".meeting");
    dir.with_file_name(name)
}

fn is_prime(number: &u64) -> bool {
    *number >= 2
        && (2..).take_while(|factor| factor * factor <= *number).all(|factor| !number.is_multiple_of(factor))
}
