//! `ckpt halt` and `ckpt requeue`: ask a program to save and stop, for good or to be started again.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use checkpointed_core::history::{self, End, Event, Record};
use checkpointed_core::{
    inspect,
    stop::{request_halt, request_requeue},
};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, or that of a pipeline
    directory: PathBuf,
    /// A message for the program and its history
    #[arg(default_value = "")]
    message: String,
    /// Wait until the program has ended, and say if it saved
    #[arg(long)]
    wait: bool,
    /// Wait for at most this number of seconds
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Asked {
    /// True if the program must be started again.
    #[serde(skip)]
    again: bool,
    /// The process that has the directory open for saving.
    running: Option<String>,
    /// True if it ended during the wait.
    ended: Option<bool>,
    /// The end that it recorded.
    end: Option<End>,
}

impl Answer for Asked {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        match (&self.running, self.ended) {
            (None, _) if self.again => {
                writeln!(output, "no program is seen to save there now; one that starts drops the request")
            }
            (None, _) => writeln!(output, "no program saves there now; the next one will stop at once"),
            (Some(_), Some(true)) => match &self.end {
                Some(End::Stopped(_)) => writeln!(output, "it has saved and stopped"),
                Some(End::Completed) => {
                    writeln!(output, "it has finished its work and saved, and did not stop for this")
                }
                _ => writeln!(output, "it has ended without saying that it saved"),
            },
            (Some(who), Some(false)) => writeln!(output, "{} has not stopped yet", text::plain(who)),
            (Some(who), None) => {
                let again = if self.again { ", and to be started again" } else { "" };
                writeln!(output, "{} was asked to save and stop{again}", text::plain(who))
            }
        }
    }
}

/// The records of a history. A directory with an unreadable one is asked all the same.
fn records(directory: &Path) -> Vec<Record> {
    history::read(directory).map(|history| history.records).unwrap_or_default()
}

/// The last end that was recorded after these records.
fn end_after(before: Option<&Record>, mut records: Vec<Record>) -> Option<End> {
    let known = before.and_then(|before| records.iter().rposition(|record| record == before));
    let new = records.split_off(known.map_or(0, |known| known + 1));
    new.into_iter().rev().find_map(|record| match record.event {
        Event::End(end) => Some(end),
        _ => None,
    })
}

/// The end that a pipeline shows, which has no history: it removes the request that it met.
fn end_of_pipeline(directory: &Path, again: bool) -> Option<End> {
    let request = if again { "requeue" } else { "halt" };
    let is_there = |name: &str| directory.join(name).symlink_metadata().is_ok();
    let has_stopped = is_there("steps") && !is_there("history.jsonl") && !is_there(request);
    has_stopped.then(|| End::Stopped(format!("the {request} file")))
}

/// The time between two checks if the program has ended.
const LOOK: Duration = Duration::from_millis(50);

pub(crate) fn run(arguments: &Arguments, again: bool, output: &mut Output) -> Result<Verdict, Failure> {
    let Arguments { directory, message, wait, timeout } = arguments;
    let directory = place::directory(directory)?;
    let before = records(directory).pop();
    let running = inspect::holder(directory)?;
    if again {
        request_requeue(directory, message)?
    } else {
        request_halt(directory, message)?
    }
    let begun = Instant::now();
    let is_late = || timeout.is_some_and(|timeout| begun.elapsed().as_secs_f64() > timeout);
    let mut ended = None;
    while *wait && running.is_some() && ended != Some(true) {
        ended = Some(inspect::holder(directory)?.is_none());
        if ended == Some(false) {
            if is_late() {
                break;
            }
            thread::sleep(LOOK);
        }
    }
    let end = match ended {
        Some(true) => {
            end_after(before.as_ref(), records(directory)).or_else(|| end_of_pipeline(directory, again))
        }
        _ => None,
    };
    let has_saved = matches!(end, Some(End::Stopped(_) | End::Completed));
    output.answer(&Asked { again, running, ended, end })?;
    Ok(if ended.is_some() && !has_saved { Verdict::NotSo } else { Verdict::Well })
}
