//! `ckpt import`: makes a checkpoint of the values in another file.

use std::io::{self, Write};
use std::path::PathBuf;

use checkpointed_core::Protection;
use checkpointed_core::inspect::{self, File, ImportReport, Imported};

use super::check::schema;
use crate::arguments::Keys;
use crate::failure::Failure;
use crate::import::{Format, read};
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file with the values
    file: PathBuf,
    /// The checkpoint directory to make, which must have no checkpoints
    destination: PathBuf,
    /// The format of the file; without it, its name tells
    #[arg(long, value_enum)]
    from: Option<Format>,
    /// The schema that the program prints, by `ExpectedSchema::of::<State>()`: the checkpoint gets
    /// the name and the versions of its state, and what a load would make of it is shown
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// Put the values under this field of the state, such as model/encoder
    #[arg(long, value_name = "PATH")]
    field: Option<String>,
    /// Keep names such as layers.0.weight whole, for a program that has them as keys of a map
    #[arg(long)]
    flat: bool,
}

impl Answer for ImportReport {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let ImportReport { path, generation, bytes, .. } = self;
        writeln!(output, "imported {} as generation {generation} of {}", text::bytes(*bytes), path.display())
    }
}

pub(crate) fn run(arguments: &Arguments, keys: &Keys, output: &mut Output) -> Result<Verdict, Failure> {
    if keys.are_given() {
        return Err(Failure::KeysOfImport);
    }
    let Arguments { file, destination, .. } = arguments;
    let (file, destination) = (place::local(file)?, place::local(destination)?);
    output.can_name([destination])?;
    let unread = |why: String| Failure::NotRead { path: file.to_owned(), why };
    let format = arguments.from.or_else(|| Format::of(file)).ok_or_else(|| {
        unread(
            "its name does not tell its format: give it, by --from json, npy, npz or safetensors".to_owned(),
        )
    })?;
    let expected = arguments.schema.as_deref().map(schema).transpose()?;
    let mut value = read(file, format, arguments.flat).map_err(unread)?;
    let steps = arguments.field.iter().flat_map(|path| path.split('/')).filter(|step| !step.is_empty());
    let steps: Vec<&str> = steps.collect();
    if steps.len() > Imported::MOST_DEPTH {
        let (steps, most) = (steps.len(), Imported::MOST_DEPTH);
        return Err(unread(format!(
            "--field has {steps} steps, and values may be inside each other {most} deep"
        )));
    }
    for step in steps.into_iter().rev() {
        value = Imported::Fields(vec![(step.to_owned(), value)]);
    }
    let made = inspect::import(destination, &value, expected.as_ref())?;
    let check = match &expected {
        Some(expected) => {
            let file = File::open_generation(&made.path, made.generation, &Protection::new())?;
            Some(inspect::check(&file, expected))
        }
        None => None,
    };
    output.answer(&made)?;
    let Some(check) = check else { return Ok(Verdict::Well) };
    let verdict = if check.is_refused() { Verdict::NotSo } else { Verdict::Well };
    output.answer(&check)?;
    Ok(verdict)
}
