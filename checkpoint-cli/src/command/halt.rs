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

/// What was recorded after the last record that was there before.
fn after(before: Option<&Record>, mut records: Vec<Record>) -> Vec<Record> {
    let known = before.and_then(|before| records.iter().rposition(|record| record == before));
    match (known, before) {
        (Some(known), _) => records.split_off(known + 1),
        // The file may have been replaced in the meantime.
        (None, Some(before)) => {
            records.retain(|record| record.time > before.time);
            records
        }
        (None, None) => records,
    }
}

/// True if another run has begun, so that the one before it has ended.
fn has_successor(new: &[Record]) -> bool {
    new.iter().any(|record| matches!(record.event, Event::Start { .. }))
}

/// The end of the run that was asked, which is the first one: a program that is started again at
/// once may have recorded its own.
fn first_end(new: Vec<Record>) -> Option<End> {
    let is_of_successor = |record: &Record| matches!(record.event, Event::Start { .. } | Event::Died { .. });
    new.into_iter().take_while(|record| !is_of_successor(record)).find_map(|record| match record.event {
        Event::End(end) => Some(end),
        _ => None,
    })
}

/// True if another program than the first has the directory. Processes that share a pipeline take
/// turns in the name that it has.
fn is_another(directory: &Path, first: Option<&str>, holder: Option<&str>) -> bool {
    let is_named = |holder: &str| holder.starts_with("process ");
    let differs = first
        .zip(holder)
        .is_some_and(|(first, holder)| first != holder && is_named(first) && is_named(holder));
    differs && !directory.join("users").is_dir()
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
    // A program that is started again meanwhile is the one that is asked.
    let mut running = inspect::holder(directory)?;
    let mut before = records(directory).pop();
    loop {
        let now = inspect::holder(directory)?;
        if now == running {
            break;
        }
        (running, before) = (now, records(directory).pop());
    }
    if again {
        request_requeue(directory, message)?
    } else {
        request_halt(directory, message)?
    }
    let begun = Instant::now();
    let is_late = || timeout.is_some_and(|timeout| begun.elapsed().as_secs_f64() > timeout);
    let mut ended = None;
    while *wait && running.is_some() && ended != Some(true) {
        let holder = inspect::holder(directory)?;
        let is_over = holder.is_none() || is_another(directory, running.as_deref(), holder.as_deref());
        ended = Some(is_over || has_successor(&after(before.as_ref(), records(directory))));
        if ended == Some(false) {
            if is_late() {
                break;
            }
            thread::sleep(LOOK);
        }
    }
    let end = match ended {
        Some(true) => {
            let new = after(before.as_ref(), records(directory));
            first_end(new).or_else(|| end_of_pipeline(directory, again))
        }
        _ => None,
    };
    let has_saved = matches!(end, Some(End::Stopped(_) | End::Completed));
    output.answer(&Asked { again, running, ended, end })?;
    Ok(if ended.is_some() && !has_saved { Verdict::NotSo } else { Verdict::Well })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(second: u32, event: &str) -> Record {
        let mut record =
            json!({ "time": format!("2026-01-01T00:00:{second:02}Z"), "at": 1.0, "event": event });
        match event {
            "start" => {
                record["host"] = "node".into();
                record["process"] = second.into();
                record["schedule"] = "".into();
            }
            "end" => record["end"] = "completed".into(),
            _ => {}
        }
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn only_the_first_end_after_the_request_counts() {
        let old = [record(1, "start"), record(2, "end"), record(3, "start"), record(4, "alive")];
        let all = |new: &[Record]| after(old.last(), [&old[..], new].concat());
        assert!(first_end(all(&[])).is_none() && !has_successor(&all(&[])));
        assert!(first_end(all(&[record(5, "end")])).is_some());
        assert!(has_successor(&all(&[record(5, "end"), record(6, "start")])));
        assert!(first_end(all(&[record(6, "start"), record(7, "end")])).is_none(), "that of a successor");
        // The file that had the last record is gone: only later ones are new.
        let new = after(old.last(), vec![record(2, "end"), record(5, "end")]);
        assert_eq!(new, [record(5, "end")]);
    }

    #[test]
    fn another_process_is_told_from_one_without_a_name() {
        let directory = tempfile::tempdir().unwrap();
        let is_another = |first, holder| is_another(directory.path(), first, holder);
        let (one, two) = (Some("process 1 on node"), Some("process 2 on node"));
        assert!(is_another(one, two) && !is_another(one, one) && !is_another(one, None));
        assert!(!is_another(one, Some("a program that left no name")));
        std::fs::create_dir(directory.path().join("users")).unwrap();
        assert!(!is_another(one, two), "they share it");
    }
}
