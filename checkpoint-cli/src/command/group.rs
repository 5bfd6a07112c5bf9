//! Checkpoints that a group of processes saved: their parts, and the whole of them.

use std::io::{self, Write};

use anstream::eprintln;
use checkpointed_core::Protection;
use checkpointed_core::inspect::{File, GroupArray, GroupFile, Header, Limits, Outline};
use serde::Serialize;

use super::show;
use crate::failure::Failure;
use crate::output::Answer;
use crate::text::{self, BOLD, Cell, DIM, WARNING};

/// A checkpoint that a group saved, in short.
#[derive(Debug, Serialize)]
pub(crate) struct GroupShown {
    #[serde(flatten)]
    header: Header,
    processes: usize,
    /// The arrays that the processes have together.
    arrays: Vec<GroupArray>,
    /// The fields that each process has by itself.
    fields_of_each: Vec<String>,
    /// What rank 0 saved.
    state: Outline,
    #[serde(skip)]
    colours: bool,
}

impl GroupShown {
    pub(crate) fn of(
        file: &File,
        group: &GroupFile,
        limits: &Limits,
        colours: bool,
    ) -> Result<GroupShown, Failure> {
        let first = group.part(0)?;
        Ok(GroupShown {
            header: file.header(),
            processes: group.size(),
            arrays: group.arrays().to_vec(),
            fields_of_each: group.fields_of_each()?,
            state: first.root().outline(limits)?,
            colours,
        })
    }
}

impl Answer for GroupShown {
    fn write(&self, output: &mut dyn Write) -> io::Result<()> {
        let processes = match self.processes {
            1 => "the part of one process".to_owned(),
            processes => format!("the parts of {processes} processes"),
        };
        show::write_header(output, &self.header, &processes)?;
        if !self.arrays.is_empty() {
            writeln!(output, "{DIM}arrays that the processes have together:{DIM:#}")?;
            let rows: Vec<Vec<Cell>> = self.arrays.iter().map(cells).collect();
            text::table(output, &["array", "type", "shape", "blocks"], &rows)?;
            writeln!(output)?;
        }
        if !self.fields_of_each.is_empty() {
            let fields = text::plain(&self.fields_of_each.join(", "));
            writeln!(output, "{DIM}each process has its own:{DIM:#} {fields}\n")?;
        }
        writeln!(output, "{DIM}what rank 0 saved (--rank shows another):{DIM:#}")?;
        show::tree(output, "state", &self.state, 0, self.colours)
    }
}

fn cells(array: &GroupArray) -> Vec<Cell> {
    let shape: Vec<String> = array.shape.iter().map(ToString::to_string).collect();
    let path = if array.path.is_empty() { "the state".to_owned() } else { text::plain(&array.path) };
    vec![
        Cell::left(path).styled(BOLD),
        Cell::left(text::plain(&array.dtype)),
        Cell::left(shape.join(" × ")),
        Cell::right(array.blocks.to_string()),
    ]
}

/// The file; of a checkpoint that a group saved, one with all of its parts put together. Says of
/// which fields that has only those of rank 0.
pub(crate) fn whole(file: File, protection: &Protection) -> Result<File, Failure> {
    let Some(group) = GroupFile::of(&file, protection)? else { return Ok(file) };
    let fields = group.fields_of_each()?;
    if !fields.is_empty() && group.size() > 1 {
        let fields = text::plain(&fields.join(", "));
        eprintln!(
            "{WARNING}each process has its own, and those of rank 0 are taken{WARNING:#}: {fields}; the parts of \
             the others are {}, and so on",
            text::plain(&group.path_of(1).display().to_string())
        );
    }
    Ok(group.assemble()?)
}
