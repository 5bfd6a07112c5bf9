//! `ckpt watch`: shows the events in a directory, and warns if there are none.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anstream::eprintln;
use checkpointed_core::history::{self, End, Event, History, Record};
use checkpointed_core::inspect::{self, File};
use checkpointed_core::{MetadataValue, Protection};
use serde::Serialize;

use crate::failure::Failure;
use crate::generation::{described, values};
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text::{self, BAD, BOLD, DIM, GOOD, WARNING};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, which may be created later
    directory: PathBuf,
    /// The expected time between saves, in seconds; without it, the history of the directory gives
    /// it
    #[arg(long, value_name = "SECONDS")]
    every: Option<f64>,
    /// End after this number of saves
    #[arg(long, value_name = "SAVES")]
    count: Option<u64>,
    /// End after this number of seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<f64>,
}

/// An event, in the form of the history.
#[derive(Debug, Serialize)]
struct Happened {
    time: String,
    #[serde(flatten)]
    event: Event,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, MetadataValue>,
}

impl Answer for Happened {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        write!(output, "{DIM}{}{DIM:#}  ", self.time)?;
        match &self.event {
            Event::Start { host, process, schedule, .. } => {
                let host = text::plain(host);
                writeln!(output, "process {process} on {host} begins, saves {}", text::plain(schedule))
            }
            Event::Restart { generation, lost } => {
                let lost = lost.map(|lost| format!(", at least {} to be repeated", text::duration(lost)));
                writeln!(output, "continues from generation {generation}{}", lost.unwrap_or_default())
            }
            Event::Rewind { generation } => {
                writeln!(output, "{WARNING}rewound{WARNING:#} to generation {generation}")
            }
            Event::Save { generation, bytes, stall, total, .. } => {
                let (length, total) = (text::bytes(*bytes), text::duration(*total));
                let metadata = described(&self.metadata);
                let gap = if metadata.is_empty() { "" } else { "  " };
                let stall = text::duration(*stall);
                writeln!(
                    output,
                    "{GOOD}saved{GOOD:#} {BOLD}{generation}{BOLD:#}  {length} in {total}, stall {stall}{gap}{metadata}"
                )
            }
            Event::Failure { generation, error } => {
                writeln!(output, "{BAD}failed{BAD:#} to save {generation}: {}", text::plain(error))
            }
            Event::Died { ran } => {
                writeln!(
                    output,
                    "{BAD}the previous run failed{BAD:#} after at least {}",
                    text::duration(*ran)
                )
            }
            Event::End(End::Completed) => writeln!(output, "{GOOD}complete{GOOD:#}"),
            Event::End(End::Stopped(by)) => {
                writeln!(output, "{WARNING}stopped{WARNING:#} by {}", text::plain(by))
            }
            Event::End(_) => writeln!(output, "closed"),
            _ => writeln!(output, "something that this version of ckpt does not know"),
        }
    }
}

/// The time between two looks at the directory.
const LOOK: Duration = Duration::from_millis(200);

/// The number of intervals without a save after which a warning is due.
const LATE: f64 = 2.0;

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let Arguments { directory, every, count, timeout } = arguments;
    place::directory(directory)?;
    let begun = Instant::now();
    let mut told = history::read(directory).map(|history| history.records).unwrap_or_default();
    let mut saves = 0;
    let mut since = Instant::now();
    let mut warned = false;
    loop {
        let history = history::read(directory)?;
        for record in new(&told, &history) {
            if let Event::Save { .. } = record.event {
                saves += 1;
                since = Instant::now();
                warned = false;
            }
            // The saves of a run already show that it continues.
            if !matches!(record.event, Event::Alive) {
                output.answer(&happened(directory, protection, record))?;
            }
            if count.is_some_and(|count| saves >= count) {
                return Ok(Verdict::Well);
            }
        }
        let expected = every.or_else(|| interval(&history));
        told = history.records;
        let waited = since.elapsed();
        if let Some(expected) = expected
            && !warned
            && waited.as_secs_f64() > LATE * expected
            && is_running(directory, &told)
        {
            warned = true;
            let expected = Duration::try_from_secs_f64(expected).unwrap_or_default();
            let (waited, expected) = (text::duration(waited), text::duration(expected));
            eprintln!("{WARNING}no save for {waited}{WARNING:#}, where one was expected every {expected}");
        }
        if timeout.is_some_and(|timeout| begun.elapsed().as_secs_f64() > timeout) {
            return Ok(if warned { Verdict::NotSo } else { Verdict::Well });
        }
        thread::sleep(LOOK);
    }
}

/// The records that were not shown yet. The file may have been replaced in the meantime.
fn new<'h>(told: &[Record], history: &'h History) -> &'h [Record] {
    let known = told.last().and_then(|last| history.records.iter().rposition(|record| record == last));
    let later = |last: &Record| history.records.iter().position(|record| record.time > last.time);
    let from = match (known, told.last()) {
        (Some(place), _) => Some(place + 1),
        (None, Some(last)) => later(last),
        (None, None) => Some(0),
    };
    from.and_then(|from| history.records.get(from..)).unwrap_or_default()
}

fn happened(directory: &PathBuf, protection: &Protection, record: &Record) -> Happened {
    let file = match record.event {
        Event::Save { generation, .. } => File::open_generation(directory, generation, protection).ok(),
        _ => None,
    };
    let metadata = file.map(|file| values(file.manifest().metadata())).unwrap_or_default();
    Happened { time: text::time(record.time), event: record.event.clone(), metadata }
}

/// The greater of the aimed interval and the longest time between two saves of the last run, in
/// seconds.
fn interval(history: &History) -> Option<f64> {
    let run = history.records.iter().rposition(|record| matches!(record.event, Event::Start { .. }));
    let records = history.records.get(run?..)?;
    let aimed = records.iter().rev().find_map(|record| match record.event {
        Event::Save { interval, .. } => interval,
        _ => None,
    });
    let saves: Vec<SystemTime> = records
        .iter()
        .filter(|record| matches!(record.event, Event::Save { .. }))
        .map(|record| record.time)
        .collect();
    let gaps = saves.windows(2).filter_map(|pair| pair[1].duration_since(pair[0]).ok());
    let longest = gaps.map(|gap| gap.as_secs_f64()).reduce(f64::max);
    aimed.map(|aimed| aimed.as_secs_f64()).into_iter().chain(longest).reduce(f64::max)
}

/// True if a save can be expected: a program has the directory open, or the last run has neither
/// ended nor been found dead.
fn is_running(directory: &PathBuf, records: &[Record]) -> bool {
    let is_open = inspect::holder(directory).is_ok_and(|holder| holder.is_some());
    // A rewind between two runs is of neither: its time since the start of a run is zero.
    let is_of_no_run = |record: &Record| match record.event {
        Event::Summary { .. } => true,
        Event::Rewind { .. } => record.at.is_zero(),
        _ => false,
    };
    let last = records.iter().rev().find(|record| !is_of_no_run(record));
    is_open || last.is_some_and(|last| !matches!(last.event, Event::End(_)))
}
