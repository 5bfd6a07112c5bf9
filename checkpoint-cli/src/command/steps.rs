//! `ckpt steps` and `ckpt redo`: show the steps of a pipeline, and make the next run repeat some.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use checkpointed_core::pipeline::{self, StepOverview};
use checkpointed_core::{Protection, inspect};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text::{self, BOLD, Cell, DIM, WARNING};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The pipeline directory
    pipeline: PathBuf,
    /// Show all versions that are kept, each with the inputs that it was made from
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Steps {
    /// The process that runs it now.
    running: Option<String>,
    steps: Vec<Step>,
    #[serde(skip)]
    all: bool,
}

#[derive(Debug, Serialize)]
struct Step {
    step: String,
    state: &'static str,
    /// The reasons that the next run will repeat it, as far as they are known.
    why: Vec<String>,
    in_progress: bool,
    redo: bool,
    versions: Vec<Version>,
}

#[derive(Debug, Serialize)]
struct Version {
    version: u64,
    created: String,
    took: f64,
    bytes: u64,
    step_version: u32,
    parameters: std::collections::BTreeMap<String, String>,
    inputs: Vec<String>,
    files: Vec<String>,
    /// The files that it produced.
    produced: Vec<String>,
    #[serde(skip)]
    age: String,
}

impl Step {
    fn of(overview: StepOverview) -> Step {
        let StepOverview { step, versions, in_progress, redo, mut stale, .. } = overview;
        if redo {
            stale.insert(0, "a user asked for it".to_owned());
        }
        let state = match (versions.is_empty(), stale.is_empty()) {
            (true, _) if in_progress => "begun",
            (true, _) => "never finished",
            (false, true) => "done",
            (false, false) => "to be run again",
        };
        let versions = versions.into_iter().map(|version| Version {
            version: version.version,
            created: text::time(version.created),
            age: text::age_of(version.created),
            took: version.took.as_secs_f64(),
            bytes: version.bytes,
            step_version: version.step_version,
            parameters: version.parameters,
            inputs: version.inputs,
            files: version.files,
            produced: version.produced,
        });
        Step { step, state, why: stale, in_progress, redo, versions: versions.collect() }
    }

    fn cells(&self, version: Option<&Version>) -> Vec<Cell> {
        let took = version.and_then(|version| Duration::try_from_secs_f64(version.took).ok());
        let state = Cell::left(self.state);
        let state = if self.why.is_empty() { state } else { state.styled(WARNING) };
        vec![
            Cell::left(text::plain(&self.step)).styled(BOLD),
            state,
            Cell::right(version.map(|version| version.version.to_string()).unwrap_or_default()),
            Cell::right(version.map(|version| version.age.clone()).unwrap_or_default()),
            Cell::right(took.map(text::duration).unwrap_or_default()),
            Cell::right(version.map(|version| text::bytes(version.bytes)).unwrap_or_default()),
            Cell::left(text::plain(&self.why.join("; "))),
        ]
    }
}

impl Answer for Steps {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<_> = self.steps.iter().map(|step| step.cells(step.versions.last())).collect();
        let titles = ["step", "state", "version", "made", "took", "size", "why"];
        text::table(output, &titles, &rows)?;
        if self.all {
            for step in &self.steps {
                for version in &step.versions {
                    let name = format!("{} version {}", text::plain(&step.step), version.version);
                    writeln!(output, "\n{BOLD}{name}{BOLD:#}  {DIM}{}{DIM:#}", version.created)?;
                    for (name, value) in &version.parameters {
                        writeln!(output, "  {} = {}", text::plain(name), text::plain(value))?;
                    }
                    version
                        .inputs
                        .iter()
                        .try_for_each(|input| writeln!(output, "  takes {}", text::plain(input)))?;
                    version
                        .files
                        .iter()
                        .try_for_each(|file| writeln!(output, "  reads {}", text::plain(file)))?;
                    version
                        .produced
                        .iter()
                        .try_for_each(|file| writeln!(output, "  produces {}", text::plain(file)))?;
                }
            }
        }
        if let Some(running) = &self.running {
            writeln!(output, "in use by {}", text::plain(running))?;
        }
        Ok(())
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let path = place::directory(&arguments.pipeline)?;
    let steps = pipeline::steps(path, protection)?.into_iter().map(Step::of).collect();
    let running = inspect::holder(path)?;
    output.answer(&Steps { running, steps, all: arguments.all })?;
    Ok(Verdict::Well)
}
