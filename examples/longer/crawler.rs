//! A crawler with tokio: its frontier and the pages that it has, with several fetches at a time.
//!
//! ```text
//! cargo run --release -p checkpointed-examples --example crawler -- --pages 20000
//! ```
//!
//! Kill it, stop it by ctrl+c, or give it little time (`CHECKPOINT_DEADLINE=5s`), and start the
//! same command again: the last line is the same. A page whose fetch was cut short stays in the
//! frontier.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use checkpointed::{Checkpointer, Error, Schedule, checkpointed};
use clap::Parser;
use tokio::task::JoinSet;

#[derive(Parser)]
struct Options {
    /// The number of pages of the web.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pages: u64,
    /// The number of fetches at a time.
    #[arg(long, value_name = "N", default_value = "16")]
    at_a_time: NonZeroUsize,
    /// A page whose server does not answer the first time.
    #[arg(long, value_name = "NUMBER")]
    fail: Option<u64>,
    /// The checkpoint directory.
    #[arg(long, default_value = "crawl.ckpt")]
    dir: PathBuf,
}

#[checkpointed]
struct Crawl {
    /// Pages to fetch. A page leaves it once its content is there, so that fetches in flight are
    /// made again after a restart.
    frontier: BTreeSet<u64>,
    /// The content of each page.
    contents: BTreeMap<u64, u64>,
}

impl Crawl {
    fn start() -> Crawl {
        Crawl { frontier: BTreeSet::from([0]), contents: BTreeMap::new() }
    }

    fn add(&mut self, Page { number, content, links }: Page) {
        self.frontier.remove(&number);
        self.contents.insert(number, content);
        self.frontier.extend(links.into_iter().filter(|link| !self.contents.contains_key(link)));
    }
}

struct Page {
    number: u64,
    content: u64,
    links: Vec<u64>,
}

/// Fetches a page of a web that needs no network.
async fn fetch(number: u64, pages: u64, fails: bool) -> Page {
    assert!(!fails, "no answer for page {number}");
    tokio::time::sleep(Duration::from_micros(number % 7 * 300)).await;
    let links = [2 * number + 1, 2 * number + 2, number * number % pages];
    let links = links.into_iter().filter(|link| *link < pages).collect();
    Page { number, content: number.wrapping_mul(0x9E37_79B9_7F4A_7C15), links }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Error> {
    let Options { pages, at_a_time, mut fail, dir } = Options::parse();
    let mut checkpoints = Checkpointer::<Crawl>::builder(dir)
        .stop_on_signals()
        .stop_before_deadline()
        .background(true)
        .schedule(Schedule::adaptive().at_most(Duration::from_millis(200)))
        .open()?;
    let mut crawl = checkpoints.load_or_else(Crawl::start)?;

    let mut in_flight = HashMap::new();
    let mut fetches = JoinSet::new();
    loop {
        for number in &crawl.frontier {
            if in_flight.len() == at_a_time.get() {
                break;
            }
            if !in_flight.values().any(|other| other == number) {
                let fails = fail.take_if(|page| page == number).is_some();
                in_flight.insert(fetches.spawn(fetch(*number, pages, fails)).id(), *number);
            }
        }
        tokio::select! {
            _ = checkpoints.stopped() => break,
            page = fetches.join_next_with_id() => match page {
                Some(Ok((task, page))) => {
                    in_flight.remove(&task);
                    crawl.add(page);
                    checkpoints.save_if_due(&crawl)?;
                }
                // Its page is still in the frontier, and is fetched again.
                Some(Err(failed)) => {
                    let number = in_flight.remove(&failed.id());
                    eprintln!("the fetch of page {number:?} failed: {failed}");
                }
                None => break,
            },
        }
    }

    let (count, sum) =
        (crawl.contents.len(), crawl.contents.values().fold(0, |sum: u64, content| sum ^ content));
    let finished = checkpoints.finish_in_background(crawl).await?;
    match &finished.stopped {
        Some(reason) => eprintln!("stopped after {count} pages: {reason}"),
        None => println!("{count} pages, {sum:016x}"),
    }
    Ok(finished.exit_code())
}
