//! `ckpt list`: lists the generations of a checkpoint directory, and the reasons to keep them.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::Protection;
use checkpointed_core::inspect::{self, Kind};
use serde::Serialize;

use crate::failure::Failure;
use crate::generation::Generation;
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text::{self, Cell};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory, or the URL of a place in an object store
    directory: PathBuf,
}

#[derive(Debug, Serialize)]
pub(crate) struct Listing {
    path: PathBuf,
    kind: &'static str,
    /// The process that has it open for saving.
    running: Option<String>,
    /// The rules of the last run.
    keeps: Option<String>,
    halt_requested: bool,
    requeue_requested: bool,
    bytes: u64,
    temporaries: usize,
    temporary_bytes: u64,
    /// The files of damaged outputs that a pipeline moved out of the way.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    set_aside: Vec<PathBuf>,
    /// The generations that rewinds set aside.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rewound: Vec<u64>,
    /// The newest generation in the history, if the directory has none.
    missing: Option<u64>,
    generations: Vec<Generation>,
}

impl Answer for Listing {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<Vec<Cell>> = self.generations.iter().map(Generation::cells).collect();
        let titles = ["generation", "age", "size", "state", "stall", "save", "metadata", "kept as"];
        if rows.is_empty() {
            writeln!(output, "no checkpoints")?;
        } else {
            text::table(output, &titles, &rows)?;
            writeln!(output, "\n{} in all", text::bytes(self.bytes))?;
        }
        if let Some(missing) = self.missing {
            writeln!(
                output,
                "the history names generation {missing}, which is not there: if this is a copy, make it again with \
                 `ckpt copy`"
            )?;
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
        for path in &self.set_aside {
            writeln!(
                output,
                "damaged, and moved out of the way: {}",
                text::plain(&path.display().to_string())
            )?;
        }
        if let Some(newest) = self.rewound.last() {
            let numbers = self.rewound.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            writeln!(
                output,
                "set aside by a rewind: {numbers}; `ckpt rewind DIR {newest}` brings that back"
            )?;
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
    let overview = match place::home(&arguments.directory)? {
        Some(home) => inspect::overview_in(&home, protection)?,
        None => inspect::overview(&arguments.directory, protection)?,
    };
    let has_rules = overview.retention.is_some();
    let generation = |generation| Generation::of(generation, has_rules);
    output.answer(&Listing {
        path: overview.path,
        kind: match overview.kind {
            Kind::Pipeline => "pipeline",
            Kind::Scopes => "scopes",
            Kind::Group => "group",
            _ => "checkpoints",
        },
        running: overview.holder,
        keeps: overview.retention.map(|retention| retention.to_string()),
        halt_requested: overview.halt_requested,
        requeue_requested: overview.requeue_requested,
        bytes: overview.generations.iter().map(|generation| generation.bytes).sum(),
        temporaries: overview.temporaries,
        temporary_bytes: overview.temporary_bytes,
        set_aside: overview.set_aside.into_iter().map(|aside| aside.path).collect(),
        rewound: overview.rewound.into_iter().map(|aside| aside.generation).collect(),
        missing: overview.missing,
        generations: overview.generations.into_iter().map(generation).collect(),
    })?;
    Ok(Verdict::Well)
}
