//! Writes arrays of other crates as their own types do.

use crate::arrays::{Grid, Lengths};
use crate::codec::forms::Expected;
#[cfg(feature = "ndarray")]
use crate::codec::leaf::Leaf;
use crate::codec::observed::Style;
use crate::codec::parts::{Frame, Parts, Source};
use crate::codec::writer::Writer;
use crate::codec::{Result, leaves};

impl Writer<'_> {
    /// Writes an array as its own type does.
    pub(super) fn write_grid(&mut self, next: Expected, frame: Frame, grid: Grid<'_>) -> Result<()> {
        let names = match grid.lengths {
            #[cfg(feature = "ndarray")]
            Lengths::Before { .. } => Some(["v", "dim", "data"]),
            #[cfg(feature = "nalgebra")]
            Lengths::After(_) => None,
        };
        let style = if names.is_some() { Style::Fields("Array") } else { Style::Tuple };
        let parts = self.product(next, style, 3).and_then(|parts| self.named_as_read(parts, names))?;
        let [first, second, third] = [0_u32, 1, 2].map(|number| {
            let name = names.map_or("", |names| names.get(number as usize).copied().unwrap_or_default());
            self.form_of_part(parts, number, name)
        });
        match grid.lengths {
            #[cfg(feature = "ndarray")]
            Lengths::Before { version, lengths, is_counted } => {
                self.value(first, frame, &version)?;
                self.write_lengths(second, &lengths, is_counted)?;
                self.write_array(third, frame, grid.array)
            }
            #[cfg(feature = "nalgebra")]
            Lengths::After(lengths) => {
                self.write_array(first, frame, grid.array)?;
                for (part, length) in [second, third].into_iter().zip(lengths) {
                    match length {
                        Some(length) => self.value(part, frame, &length)?,
                        None => self.value(part, frame, &())?,
                    }
                }
                Ok(())
            }
        }
    }

    /// Checks that the reader asks for exactly these parts of an array of another crate.
    fn named_as_read(&mut self, parts: Parts, names: Option<[&'static str; 3]>) -> Result<Parts> {
        const OWNER: &str = "Array";
        let (Parts { entries, source: Source::Entries }, Some(names)) = (parts, names) else {
            return Ok(parts);
        };
        for (number, name) in (0..).zip(names) {
            if entries.get(number).is_none_or(|entry| self.named(entry, name).is_none()) {
                return Err(self.unlike_read(OWNER, entries, number, name));
            }
        }
        if entries.count() == 3 { Ok(parts) } else { Err(self.other_number(OWNER, entries, 3, 3)) }
    }

    /// The form of a part of an array of another crate.
    fn form_of_part(&mut self, parts: Parts, number: u32, name: &'static str) -> Expected {
        match parts.source {
            Source::Entries => self.entry(parts.entries.first().saturating_add(number)),
            Source::Repeated(form) => form,
            Source::Free(id) => Expected::free(self.observed.part(id, number as usize, name)),
        }
    }

    /// Writes the lengths of the dimensions: as a sequence if their number is not part of the type,
    /// and otherwise as a tuple.
    #[cfg(feature = "ndarray")]
    fn write_lengths(&mut self, next: Expected, lengths: &[u64], is_counted: bool) -> Result<()> {
        if is_counted {
            let element = match next.seq() {
                Some(element) => element,
                None => self.other_seq(next)?.1,
            };
            let element = self.forms.expect(element);
            self.elements = self.elements.saturating_add(lengths.len() as u64);
            leaves::append(self.bytes, (lengths.len() as u64).to_le_bytes())?;
            return lengths.iter().try_for_each(|length| self.write_length(element, *length));
        }
        let parts = self.product(next, Style::Tuple, lengths.len())?;
        (0..).zip(lengths).try_for_each(|(number, length)| {
            let part = self.form_of_part(parts, number, "");
            self.write_length(part, *length)
        })
    }

    #[cfg(feature = "ndarray")]
    fn write_length(&mut self, next: Expected, length: u64) -> Result<()> {
        self.leaf(next, Leaf::U64)?;
        leaves::append(self.bytes, length.to_le_bytes())
    }
}
