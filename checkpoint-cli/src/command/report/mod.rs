//! `ckpt report`: shows the history of a directory, as one HTML file with plots, or in a few lines.

mod axis;
mod markup;
mod page;
mod plot;
mod ranks;
mod runs;
mod summary;
mod tables;
mod thin;
mod timeline;
mod units;

use std::fs::{self, File};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use checkpointed_core::Protection;
use serde::Serialize;

use summary::{Summary, summary};

use crate::failure::Failure;
use crate::output::{Answer, Output, Verdict};
use crate::place;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The checkpoint directory
    directory: PathBuf,
    /// Write a page with plots: one self-contained HTML file, which replaces an older report of
    /// that name
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    directory: String,
    /// The page that was written.
    output: Option<String>,
    #[serde(flatten)]
    summary: Summary,
}

impl Answer for Report {
    fn write(&self, text: &mut dyn Write) -> io::Result<()> {
        for (name, value, detail) in page::figures(&self.summary, SystemTime::now()) {
            writeln!(text, "{name:<20} {value:>12}  {detail}")?;
        }
        match &self.output {
            Some(output) => writeln!(text, "written to {output}"),
            None => Ok(()),
        }
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    protection: &Protection,
    output: &mut Output,
) -> Result<Verdict, Failure> {
    let directory = place::directory(&arguments.directory)?;
    arguments.output.as_deref().map(place::local).transpose()?;
    // A missing directory is empty for a program that would save there, but it is an error for a
    // user who asks for its history.
    fs::read_dir(directory).map_err(|source| Failure::Directory { path: directory.to_owned(), source })?;
    let summary = summary(directory, protection)?;
    if let Some(file) = &arguments.output {
        let page = page::html(&name_of(directory), &summary, SystemTime::now());
        write(file, &page)?;
    }
    let shown = |path: &Path| path.display().to_string();
    let written = arguments.output.as_deref().map(shown);
    output.answer(&Report { directory: shown(directory), output: written, summary })?;
    Ok(Verdict::Well)
}

/// The name of the directory for people.
fn name_of(directory: &Path) -> String {
    let whole = fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    whole.file_name().map_or_else(|| whole.display().to_string(), |name| name.to_string_lossy().into_owned())
}

/// Writes the page. It does not replace a file that is no page, because that may be a checkpoint.
fn write(file: &Path, page: &str) -> Result<(), Failure> {
    let failed = |source| Failure::Page { path: file.to_owned(), source };
    match fs::metadata(file) {
        Ok(found) if found.is_file() && found.len() > 0 => {
            let mut start = Vec::new();
            let length = page::START.len() as u64;
            File::open(file).and_then(|file| file.take(length).read_to_end(&mut start)).map_err(failed)?;
            if start != page::START.as_bytes() {
                return Err(Failure::NotAPage { path: file.to_owned() });
            }
        }
        _ => {}
    }
    fs::write(file, page).map_err(failed)
}
