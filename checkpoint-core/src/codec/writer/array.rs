//! Writes arrays of numbers: a reference to an array that is kept elsewhere, or a copy of its bytes.

use crate::arrays::{Array, Kind};
use crate::codec::forms::{Form, Id};
use crate::codec::writer::Writer;
use crate::codec::{Failure, OUT_OF_BAND, Result, leaves};
use crate::schema::path;

impl Writer<'_> {
    /// Checks that the rows of arrays of this kind are of this form. Returns false if they have the
    /// same bytes but other dimensions of length 1.
    fn fit(&mut self, element: Id, kind: &Kind) -> Result<bool> {
        let (observed, mut is_known) = (&mut self.observed, true);
        let mut observe = |id, dimensions: &[u64]| {
            is_known = false;
            observed.rows(id, dimensions, kind.dtype.element());
        };
        if !self.forms.fits(element, kind, &mut observe) {
            self.go_to(element);
            return Err(self.mismatch(&kind.describe()));
        }
        let is_as_read = self.forms.has_rows(element, kind);
        self.fitting = (is_known && is_as_read).then_some((element, *kind));
        Ok(is_as_read)
    }

    /// True if every reader of the next form also looks for its elements in an array. A reader of a
    /// map does not.
    fn may_be_apart(&self) -> bool {
        !matches!(self.forms.get(self.next.id()), Form::Map { .. })
    }

    /// Writes an array. Its bytes are those of its elements one after the other, so that an array that
    /// stays in the state is copied.
    pub(super) fn write_array(&mut self, mut array: Array<'_>) -> Result<()> {
        let element = self.seq()?;
        let is_as_read =
            self.fitting.is_some_and(|(form, kind)| form == element && kind.is_surely(&array.kind))
                || self.fit(element, &array.kind)?;
        let rows = array.rows();
        if let Form::Grid { place, .. } = *self.forms.get(self.next.id()) {
            self.check_count(place, rows)?;
            array.outer = self.forms.grid(place).map(|grid| grid.dimensions(rows));
        }
        if is_as_read && self.may_be_apart() && self.arrays.takes(array.bytes.len()) {
            let put = self.arrays.put(path::name(self.steps().iter(), self.bytes), array);
            let number = put.map_err(|cause| self.note(Failure::caused(cause)))?;
            return [OUT_OF_BAND, number, rows]
                .into_iter()
                .try_for_each(|value| leaves::write(self.bytes, value));
        }
        self.elements = self.elements.saturating_add(rows);
        leaves::write(self.bytes, rows)?;
        leaves::append(self.bytes, array.bytes)
    }
}
