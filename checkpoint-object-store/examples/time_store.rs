//! What a save to a store of S3 costs, beside one PUT of the same bytes by `object_store`: the
//! time, the time on processors, and the memory. `benches/stores.sh` starts servers, and runs it.
//!
//! ```text
//! cargo run --release --example time_store -- --url s3://bucket/prefix [--mib 256] [--rounds 9]
//! ```
//!
//! Credentials and the server come from the environment, by the names of `object_store`. It needs
//! Linux (`/proc`). What it writes is in a place of its own below the prefix. It removes that at
//! the end.

use std::error::Error;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use checkpointed::Checkpointer;
use checkpointed_object_store::ObjectHome;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{ClientConfigKey, ObjectStore, ObjectStoreExt as _};
use tokio::runtime::{Builder, Runtime};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The lengths of the states whose saves are measured for memory, in MiB.
const LENGTHS: [usize; 3] = [64, 256, 1024];

/// What a save may have above its state, in MiB: the default six parts of 16 MiB, and 16 MiB.
const MEMORY: f64 = 6.0 * 16.0 + 16.0;

/// The saves of a process that is measured for memory.
const SAVES: usize = 2;

/// The length of a small state, in numbers.
const SMALL: usize = 16;

fn main() -> Outcome<()> {
    let (mut url, mut mib, mut rounds, mut memory) = (None, 256, 9, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--url" => url = Some(value),
            "--mib" => mib = value.parse::<usize>()?.max(1),
            "--rounds" => rounds = value.parse::<usize>()?.max(1),
            // Of a process that this one starts.
            "--memory" => memory = Some(value.parse()?),
            _ => return Err(format!("{name} is none of --url, --mib and --rounds").into()),
        }
    }
    let url = url.ok_or("give a place: --url s3://bucket/prefix")?;
    if let Some(mib) = memory {
        println!("{}", memory_of_saves(&url, mib)?);
        return Ok(());
    }
    let place = format!("{}/time_store-{}", url.trim_end_matches('/'), std::process::id());
    let raw = Raw::new(&place)?;
    let measured = measure(&raw, &place, mib, rounds);
    raw.remove_all()?;
    measured
}

fn measure(raw: &Raw, place: &str, mib: usize, rounds: usize) -> Outcome<()> {
    println!("load of the machine {}", fs::read_to_string("/proc/loadavg")?.trim());
    let long = beside(raw, &format!("{place}/long"), numbers(mib), rounds)?;
    println!("{mib} MiB, {rounds} rounds");
    long.print();
    goal("save / one PUT", long.time(), 1.0);
    goal("processors: save / one PUT", long.processors(), 3.0);
    for mib in LENGTHS {
        let mut child = Command::new(std::env::current_exe()?);
        child.args(["--memory", &mib.to_string(), "--url", &format!("{place}/memory-{mib}")]);
        let output = child.output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let above = String::from_utf8(output.stdout)?.trim().parse::<f64>()?;
        goal(&format!("memory above a state of {mib} MiB, in MiB"), (above, above..above), MEMORY);
    }
    let rounds = rounds * 5;
    let short = beside(raw, &format!("{place}/short"), SMALL, rounds)?;
    println!("{} bytes, {rounds} rounds: a save is two requests", SMALL * size_of::<u64>());
    short.print();
    let (ratio, range) = short.time();
    println!("{:<42} {ratio:>8.2} [{:.2} … {:.2}]", "save / one PUT", range.start, range.end);
    println!("load of the machine {}", fs::read_to_string("/proc/loadavg")?.trim());
    Ok(())
}

/// The numbers of a state of this length.
fn numbers(mib: usize) -> usize {
    (mib << 20) / size_of::<u64>()
}

/// Numbers without a pattern (splitmix64): a server may compress what has one.
fn noise(numbers: usize) -> Vec<u64> {
    let of = |seed: u64| {
        let seed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let seed = (seed ^ (seed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        seed ^ (seed >> 31)
    };
    (1..=numbers as u64).map(|number| of(number.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

/// A median, and the least and the greatest.
type Figure = (f64, std::ops::Range<f64>);

fn figure(mut all: Vec<f64>) -> Figure {
    all.sort_unstable_by(f64::total_cmp);
    (all[all.len() / 2], all[0]..all[all.len() - 1])
}

/// Prints a figure, and if it reaches its goal.
fn goal(what: &str, (figure, range): Figure, most: f64) {
    let verdict = if figure <= most { "met" } else { "MISSED" };
    println!("{what:<42} {figure:>8.2} [{:.2} … {:.2}]   goal {most} {verdict}", range.start, range.end);
}

/// The seconds of one save or one PUT: by the clock, and on processors.
#[derive(Clone, Copy)]
struct Spent {
    clock: f64,
    processors: f64,
}

fn spent(work: impl FnOnce() -> Outcome<()>) -> Outcome<Spent> {
    let (processors, begun) = (on_processors()?, Instant::now());
    work()?;
    let clock = begun.elapsed().as_secs_f64();
    Ok(Spent { clock, processors: on_processors()? - processors })
}

/// Saves and PUTs, round by round.
struct Beside {
    saves: Vec<Spent>,
    puts: Vec<Spent>,
}

impl Beside {
    fn print(&self) {
        for (name, all) in [("save", &self.saves), ("one PUT", &self.puts)] {
            let of = |what: fn(&Spent) -> f64| figure(all.iter().map(|spent| what(spent) * 1e3).collect());
            let ((clock, range), (processors, on)) = (of(|spent| spent.clock), of(|spent| spent.processors));
            println!(
                "{name:<10} {clock:.1} ms [{:.1} … {:.1}], on processors {processors:.1} ms [{:.1} … {:.1}]",
                range.start, range.end, on.start, on.end
            );
        }
    }

    /// The ratio of the medians, and the range of the ratios round by round.
    fn ratio(&self, of: fn(&Spent) -> f64) -> Figure {
        let median = |all: &[Spent]| figure(all.iter().map(of).collect()).0;
        let each = self.saves.iter().zip(&self.puts).map(|(save, put)| of(save) / of(put));
        (median(&self.saves) / median(&self.puts), figure(each.collect()).1)
    }

    fn time(&self) -> Figure {
        self.ratio(|spent| spent.clock)
    }

    fn processors(&self) -> Figure {
        self.ratio(|spent| spent.processors)
    }
}

/// Measures saves beside PUTs. Each goes first in every other round. The first round is not
/// counted.
fn beside(raw: &Raw, place: &str, numbers: usize, rounds: usize) -> Outcome<Beside> {
    let builder = Checkpointer::<Vec<u64>>::builder_in(ObjectHome::from_url(place)?);
    let mut checkpoints = builder.open()?;
    let mut state = noise(numbers);
    let bytes: Vec<u8> = state.iter().flat_map(|number| number.to_le_bytes()).collect();
    let bytes = Bytes::from(bytes);
    let mut measured = Beside { saves: Vec::new(), puts: Vec::new() };
    for round in 0..=rounds {
        state[0] += 1;
        let (mut save, mut put) = (None, None);
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                save = Some(spent(|| Ok(checkpoints.save(&state).map(drop)?))?);
            } else {
                put = Some(spent(|| raw.put("put", bytes.clone()))?);
            }
        }
        if round > 0 {
            measured.saves.extend(save);
            measured.puts.extend(put);
        }
    }
    Ok(measured)
}

/// The store without the library, on a runtime of one thread.
struct Raw {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    runtime: Runtime,
}

impl Raw {
    fn new(place: &str) -> Outcome<Raw> {
        let rest = place.strip_prefix("s3://").ok_or("the form is s3://bucket/prefix")?;
        let (bucket, prefix) = rest.split_once('/').ok_or("the form is s3://bucket/prefix")?;
        let builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        let limit = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
        let store = Arc::new(builder.with_config(limit, "600 s").build()?);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Raw { store, prefix: Path::parse(prefix)?, runtime })
    }

    fn put(&self, name: &str, bytes: Bytes) -> Outcome<()> {
        let key = self.prefix.clone().join(name);
        self.runtime.block_on(self.store.put(&key, bytes.into()))?;
        Ok(())
    }

    fn remove_all(&self) -> Outcome<()> {
        let listed = self.store.list(Some(&self.prefix)).map_ok(|object| object.location);
        let removed = self.store.delete_stream(listed.boxed()).try_collect::<Vec<_>>();
        self.runtime.block_on(removed)?;
        Ok(())
    }
}

/// The most that saves take above the state alone, in MiB: with the client, its connections and its
/// certificates. For a process that does nothing else, so that no memory is there already.
fn memory_of_saves(place: &str, mib: usize) -> Outcome<f64> {
    let mut state = noise(numbers(mib));
    fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS")?;
    let mut checkpoints = Checkpointer::<Vec<u64>>::builder_in(ObjectHome::from_url(place)?).open()?;
    for _ in 0..SAVES {
        state[0] += 1;
        checkpoints.save(&state)?;
    }
    Ok(resident("VmHWM")? - before)
}

/// A number of kB in `/proc/self/status`, in MiB.
fn resident(name: &str) -> Outcome<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let number = line.trim_matches(|other: char| !other.is_ascii_digit());
    Ok(number.parse::<f64>()? / 1024.0)
}

/// The seconds that the threads of this process have had on processors.
fn on_processors() -> Outcome<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::read_dir("/proc/self/task")? {
        // `/proc/self/stat` has the same in steps of 10 ms.
        let spent = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanoseconds += spent.split(' ').next().ok_or("an empty file")?.parse::<f64>()?;
    }
    Ok(nanoseconds / 1e9)
}
