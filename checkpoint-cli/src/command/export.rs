//! `ckpt export`: writes a checkpoint, or a part of it, in another format.

use std::fs;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use checkpointed_core::Protection;
use checkpointed_core::inspect::{self, Array, File, Node};
use clap::ValueEnum;
use serde::Serialize;
use tempfile::NamedTempFile;

use super::group::whole;
use super::show;
use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;
use crate::text;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A checkpoint, or a directory. A directory stands for its newest checkpoint that can be
    /// opened, or for generation 42 with @42. So does the URL of a place in an object store
    checkpoint: PathBuf,
    /// A field, such as model/layers; without it, the whole state
    path: Option<String>,
    /// The format: all values as JSON, or arrays alone
    #[arg(long, value_enum)]
    to: Form,
    /// The file to write; without it, standard output, but only JSON is written to a terminal
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, requires = "output")]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// All values, with arrays as lists
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

/// Writes the requested part in the requested format.
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

/// A temporary file with the permissions of the file that it replaces, or else those of any new
/// file.
fn new_file(target: &Path, folder: &Path) -> io::Result<NamedTempFile> {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    // The system takes those of the umask away.
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder)?;
    match fs::symlink_metadata(target) {
        Ok(former) if former.is_file() => temporary.as_file().set_permissions(former.permissions())?,
        _ => {}
    }
    Ok(temporary)
}

/// Standard output, with the cause of its first failure: a reader that has seen enough is none.
struct Piped<W> {
    inner: W,
    failure: Option<io::ErrorKind>,
}

impl<W> Piped<W> {
    fn noted<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result {
            self.failure.get_or_insert(error.kind());
        }
        result
    }
}

impl<W: Write> Write for Piped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        self.noted(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.inner.flush();
        self.noted(flushed)
    }
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
        let mut piped = Piped { inner: io::stdout().lock(), failure: None };
        let written = {
            let mut buffered = BufWriter::new(&mut piped);
            let written = find_and_write(arguments, protection, &mut buffered, Path::new("standard output"));
            // What is left after a failure is not written.
            drop(buffered.into_parts());
            written
        };
        return match (written, piped.failure) {
            (Err(_), Some(io::ErrorKind::BrokenPipe)) => {
                Err(Failure::Output(io::ErrorKind::BrokenPipe.into()))
            }
            (written, _) => written.map(|()| Verdict::Well),
        };
    };
    output.can_name([place::local(target)?])?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let exists = |source| Failure::NotWritten { path: target.clone(), source };
    // The name never shows half a file, and an old file stays until the new one is complete.
    let temporary = new_file(target, folder).map_err(exists)?;
    let mut buffered = BufWriter::new(temporary);
    find_and_write(arguments, protection, &mut buffered, target)?;
    let temporary = buffered.into_inner().map_err(|error| exists(error.into_error()))?;
    // Otherwise a power cut could leave the name and half a file.
    temporary.as_file().sync_all().map_err(exists)?;
    let file = match arguments.force {
        true => temporary.persist(target),
        false => temporary.persist_noclobber(target),
    };
    let bytes = file.map_err(|error| exists(error.error))?.metadata().map_err(exists)?.len();
    output.answer(&Exported { file: target.clone(), bytes })?;
    Ok(Verdict::Well)
}
