//! `ckpt export`: a checkpoint, or a part of it, in the form of others.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use checkpointed_core::Protection;
use checkpointed_core::inspect::{self, Array, File, Node};
use clap::ValueEnum;
use serde::Serialize;

use super::group::whole;
use super::show;
use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A checkpoint; or a directory, of which the newest that can be opened is taken, or with @42 generation 42
    checkpoint: PathBuf,
    /// A field, such as model/layers; else all of it
    path: Option<String>,
    /// The form: all values as JSON; or arrays alone
    #[arg(long, value_enum)]
    to: Form,
    /// The file to write; else standard output, unless that is a terminal and the form is not JSON
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "output")]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// All values, arrays as lists
    Json,
    /// One array, for numpy.load
    Npy,
    /// All arrays, for numpy.load
    Npz,
    /// All arrays, for safetensors
    Safetensors,
}

#[derive(Debug, Serialize)]
struct Exported {
    file: PathBuf,
    bytes: u64,
}

impl Answer for Exported {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        writeln!(output, "{}: {}", self.file.display(), text::bytes(self.bytes))
    }
}

/// Writes what was asked for.
fn write(
    form: Form,
    file: &File,
    node: &Node<'_>,
    output: &mut dyn Write,
    target: &Path,
) -> Result<(), Failure> {
    let arrays = || -> Result<Vec<Array<'_>>, Failure> { Ok(node.arrays()?) };
    match form {
        Form::Json => {
            serde_json::to_writer(&mut *output, node)?;
            writeln!(output)?;
        }
        Form::Npy => match &arrays()?[..] {
            [array] => inspect::write_npy(array, output, target)?,
            several => return Err(Failure::NotOneArray(several.len())),
        },
        Form::Npz => inspect::write_npz(file, &arrays()?, output, target)?,
        Form::Safetensors => inspect::write_safetensors(file, &arrays()?, output, target)?,
    }
    output.flush()?;
    Ok(())
}

fn find_and_write(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut dyn Write,
    target: &Path,
) -> Result<(), Failure> {
    let file = whole(show::open(&arguments.checkpoint, protection)?, protection)?;
    let path = arguments.path.as_deref().unwrap_or_default();
    show::at(&file, path, &mut |file, node| write(arguments.to, file, node, output, target))
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let Some(target) = &arguments.output else {
        if arguments.to != Form::Json && io::stdout().is_terminal() {
            return Err(Failure::Terminal);
        }
        let mut buffered = BufWriter::new(io::stdout().lock());
        find_and_write(arguments, protection, &mut buffered, Path::new("standard output"))?;
        return Ok(Verdict::Well);
    };
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let exists = |source| Failure::NotWritten { path: target.clone(), source };
    // Half a file is never seen under the name, and what is there stays until the other is whole.
    let temporary = tempfile::NamedTempFile::new_in(folder).map_err(exists)?;
    let mut buffered = BufWriter::new(temporary);
    find_and_write(arguments, protection, &mut buffered, target)?;
    let temporary = buffered.into_inner().map_err(|error| exists(error.into_error()))?;
    let file = match arguments.force {
        true => temporary.persist(target),
        false => temporary.persist_noclobber(target),
    };
    let bytes = file.map_err(|error| exists(error.error))?.metadata().map_err(exists)?.len();
    output.answer(&Exported { file: target.clone(), bytes })?;
    Ok(Verdict::Well)
}
