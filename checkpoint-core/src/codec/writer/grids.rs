//! Writes arrays of other crates as their own types do.

use serde::Serializer as _;

use crate::arrays::{Grid, Lengths};
use crate::codec::forms::Id;
use crate::codec::observed::Style;
use crate::codec::parts::{Parts, Source};
use crate::codec::writer::Writer;
use crate::codec::{Result, leaves};

impl Writer<'_> {
    /// Writes an array as its own type does.
    pub(super) fn write_grid(&mut self, grid: Grid<'_>) -> Result<()> {
        let names = match grid.lengths {
            #[cfg(feature = "ndarray")]
            Lengths::Before { .. } => Some(["v", "dim", "data"]),
            #[cfg(feature = "nalgebra")]
            Lengths::After(_) => None,
        };
        let style = if names.is_some() { Style::Fields("Array") } else { Style::Tuple };
        let parts = match self.product(style, 3).and_then(|parts| self.named_as_read(parts, names)) {
            Ok(parts) => parts,
            Err(failure) => return Err(self.note(failure)),
        };
        let [first, second, third] = [0_u32, 1, 2].map(|number| {
            let name = names.map_or("", |names| names.get(number as usize).copied().unwrap_or_default());
            self.part(parts, number, name)
        });
        let written = match grid.lengths {
            #[cfg(feature = "ndarray")]
            Lengths::Before { version, lengths, is_counted } => {
                self.go_to(first);
                self.value(&version)?;
                self.go_to(second);
                self.write_lengths(&lengths, is_counted)?;
                self.go_to(third);
                self.write_array(grid.array)
            }
            #[cfg(feature = "nalgebra")]
            Lengths::After(lengths) => {
                self.go_to(first);
                let written = self.write_array(grid.array);
                for (part, length) in [second, third].into_iter().zip(lengths) {
                    self.go_to(part);
                    match length {
                        Some(length) => self.value(&length)?,
                        None => self.value(&())?,
                    }
                }
                written
            }
        };
        written.map_err(|failure| self.note(failure))
    }

    /// Checks that the reader asks for exactly these parts of an array of another crate.
    fn named_as_read(&mut self, parts: Parts, names: Option<[&'static str; 3]>) -> Result<Parts> {
        const OWNER: &str = "Array";
        let (Parts { entries, source: Source::Entries }, Some(names)) = (parts, names) else {
            return Ok(parts);
        };
        for (number, name) in (0..).zip(names) {
            if !entries.get(number).is_some_and(|entry| self.go_to_named(entry, name)) {
                return Err(self.unlike_read(OWNER, entries, number, name));
            }
        }
        if entries.count() == 3 { Ok(parts) } else { Err(self.other_number(OWNER, entries, 3, 3)) }
    }

    /// The form of a part of an array of another crate.
    fn part(&mut self, parts: Parts, number: u32, name: &'static str) -> Id {
        match parts.source {
            Source::Entries => self.entry(parts.entries.first().saturating_add(number)).id(),
            Source::Repeated(form) => form,
            Source::Free(id) => self.observed.part(id, number as usize, name),
        }
    }

    /// Writes the lengths of the dimensions: as a sequence if their number is not part of the type,
    /// and otherwise as a tuple.
    #[cfg(feature = "ndarray")]
    fn write_lengths(&mut self, lengths: &[u64], is_counted: bool) -> Result<()> {
        let next = self.next;
        let mut written = || {
            if is_counted {
                let element = self.seq()?;
                self.elements = self.elements.saturating_add(lengths.len() as u64);
                leaves::write(self.bytes, lengths.len() as u64)?;
                return lengths.iter().try_for_each(|length| {
                    self.go_to(element);
                    self.serialize_u64(*length)
                });
            }
            let parts = self.product(Style::Tuple, lengths.len())?;
            (0..).zip(lengths).try_for_each(|(number, length)| {
                let part = self.part(parts, number, "");
                self.go_to(part);
                self.serialize_u64(*length)
            })
        };
        let written = written();
        self.next = next;
        written.map_err(|failure| self.note(failure))
    }
}
