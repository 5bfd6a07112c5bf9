//! `ckpt list`: what is in a checkpoint directory, and why.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use checkpointed_core::inspect::{self, GenerationOverview, Kind, Overview};
use checkpointed_core::{Metadata, MetadataValue, Protection};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::text::{self, BAD, BOLD, Cell, WARNING};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory
    directory: PathBuf,
}

#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    path: PathBuf,
    kind: &'static str,
    /// Who has it open for saving.
    running: Option<String>,
    /// The rules of the last run.
    keeps: Option<String>,
    halt_requested: bool,
    requeue_requested: bool,
    bytes: u64,
    temporaries: usize,
    temporary_bytes: u64,
    /// The newest generation that the history names, where there are none.
    missing: Option<u64>,
    generations: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    generation: u64,
    path: PathBuf,
    bytes: u64,
    created: Option<String>,
    host: Option<String>,
    name: Option<String>,
    version: Option<u32>,
    metadata: BTreeMap<String, MetadataValue>,
    stall: Option<f64>,
    total: Option<f64>,
    kept: Vec<String>,
    /// Why it cannot be used.
    problem: Option<String>,
    #[serde(skip)]
    age: String,
}

impl Row {
    fn of(overview: GenerationOverview) -> Row {
        let GenerationOverview { generation, path, bytes, manifest, stall, total, kept, .. } = overview;
        let (manifest, problem) = match manifest {
            Ok(manifest) => (Some(manifest), None),
            Err(problem) => (None, Some(problem)),
        };
        let manifest = manifest.as_ref();
        Row {
            generation,
            path,
            bytes,
            created: manifest.map(|manifest| text::time(manifest.created())),
            age: manifest.map(|manifest| text::age_of(manifest.created())).unwrap_or_default(),
            host: manifest.map(|manifest| manifest.host().to_owned()),
            name: manifest.map(|manifest| manifest.name().to_owned()),
            version: manifest.map(checkpointed_core::Manifest::version),
            metadata: manifest.map(|manifest| values(manifest.metadata())).unwrap_or_default(),
            stall: stall.map(|stall| stall.as_secs_f64()),
            total: total.map(|total| total.as_secs_f64()),
            kept: kept.iter().map(ToString::to_string).collect(),
            problem,
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let seconds = |seconds: Option<f64>| {
            let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
            Cell::right(duration.map(text::duration).unwrap_or_default())
        };
        let state = match (&self.name, self.version) {
            (Some(name), Some(1) | None) => text::plain(name),
            (Some(name), Some(version)) => format!("{}, version {version}", text::plain(name)),
            (None, _) => String::new(),
        };
        let kept = match (&self.problem, &self.kept[..]) {
            (Some(problem), _) => Cell::left(text::plain(problem)).styled(BAD),
            (None, []) => Cell::left("goes with the next save").styled(WARNING),
            (None, reasons) => Cell::left(text::plain(&reasons.join(", "))),
        };
        vec![
            Cell::right(self.generation.to_string()).styled(BOLD),
            Cell::right(self.age.clone()),
            Cell::right(text::bytes(self.bytes)),
            Cell::left(state),
            seconds(self.stall),
            seconds(self.total),
            Cell::left(described(&self.metadata)),
            kept,
        ]
    }
}

pub(crate) fn values(metadata: &Metadata) -> BTreeMap<String, MetadataValue> {
    metadata.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// Metadata in one line, cut where it is long.
pub(crate) fn described(metadata: &BTreeMap<String, MetadataValue>) -> String {
    const LONGEST: usize = 40;
    let entries: Vec<String> = metadata.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let line = text::plain(&entries.join(", "));
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

impl Answer for Listing {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<Vec<Cell>> = self.generations.iter().map(Row::cells).collect();
        let titles = ["generation", "age", "size", "state", "stall", "save", "metadata", "kept as"];
        if rows.is_empty() {
            writeln!(output, "no checkpoints")?;
            if let Some(missing) = self.missing {
                writeln!(
                    output,
                    "the history names generation {missing}, which is not there: if this is a copy, make it again with \
                     `ckpt copy`"
                )?;
            }
        } else {
            text::table(output, &titles, &rows)?;
            writeln!(output, "\n{} in all", text::bytes(self.bytes))?;
        }
        if self.kind == "pipeline" {
            writeln!(output, "a pipeline: `ckpt steps` shows its steps")?;
        }
        if let Some(keeps) = &self.keeps {
            writeln!(output, "the last run keeps {}", text::plain(keeps))?;
        }
        if let Some(running) = &self.running {
            writeln!(output, "in use by {}", text::plain(running))?;
        }
        if self.halt_requested {
            writeln!(output, "asked to save and stop")?;
        }
        if self.requeue_requested {
            writeln!(output, "asked to save, stop and be started again")?;
        }
        if self.temporaries > 0 {
            let why = if self.running.is_some() { "" } else { ", to be removed by the next start" };
            let length = text::bytes(self.temporary_bytes);
            writeln!(output, "temporary files: {} of {length}{why}", self.temporaries)?;
        }
        Ok(())
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let Overview {
        path,
        kind,
        generations,
        holder,
        retention,
        halt_requested,
        requeue_requested,
        temporaries,
        temporary_bytes,
        missing,
        ..
    } = inspect::overview(&arguments.directory, protection)?;
    output.answer(&Listing {
        path,
        kind: match kind {
            Kind::Pipeline => "pipeline",
            Kind::Scopes => "scopes",
            _ => "checkpoints",
        },
        running: holder,
        keeps: retention.map(|retention| retention.to_string()),
        halt_requested,
        requeue_requested,
        bytes: generations.iter().map(|generation| generation.bytes).sum(),
        temporaries,
        temporary_bytes,
        missing,
        generations: generations.into_iter().map(Row::of).collect(),
    })?;
    Ok(Verdict::Well)
}
