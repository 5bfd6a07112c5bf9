//! `ckpt check`: tells what a load of a checkpoint by a program would do.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use checkpointed_core::inspect::{self, Check, CheckedField, FieldOutcome};
use checkpointed_core::{ExpectedSchema, Protection};

use super::show;
use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::text::plain;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A checkpoint, or a directory. A directory stands for its newest checkpoint that can be
    /// opened, or for generation 42 with @42. So does the URL of a place in an object store
    checkpoint: PathBuf,
    /// The schema that the program prints, by `ExpectedSchema::of::<State>()`; - for standard input
    schema: PathBuf,
}

impl Answer for Check {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        for CheckedField { path, checkpoint, program, outcome, .. } in &self.fields {
            let path = if path.is_empty() { "the state" } else { path };
            let (path, checkpoint, program) = (plain(path), plain(checkpoint), plain(program));
            writeln!(output, "{path}: {checkpoint} in the checkpoint, {program} in the program: {outcome}")?;
        }
        let file = plain(&self.path.display().to_string());
        let refused = self.fields.iter().filter(|field| field.outcome == FieldOutcome::Refused).count();
        match (refused, self.fields.is_empty()) {
            (0, true) => writeln!(output, "{file} loads as it is"),
            (0, false) if self.depends_on_values() => {
                writeln!(output, "{file} loads with these changes, unless a value stands against it")
            }
            (0, false) => writeln!(output, "{file} loads with these changes"),
            (refused, _) => writeln!(output, "{file} does not load, because of {refused} of these"),
        }
    }
}

/// Reads the schema that a program printed.
pub(super) fn schema(path: &Path) -> Result<ExpectedSchema, Failure> {
    let unread = |why: String| Failure::NotRead { path: path.to_owned(), why };
    let mut text = String::new();
    match path.to_str() {
        Some("-") => {
            io::stdin().read_to_string(&mut text).map_err(|error| unread(error.to_string()))?;
        }
        _ => text = std::fs::read_to_string(path).map_err(|error| unread(error.to_string()))?,
    }
    text.trim().parse().map_err(unread)
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let expected = schema(&arguments.schema)?;
    let check = inspect::check(&show::open(&arguments.checkpoint, protection)?, &expected);
    let verdict = if check.is_refused() { Verdict::NotSo } else { Verdict::Well };
    output.answer(&check)?;
    Ok(verdict)
}
