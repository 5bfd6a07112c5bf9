//! Writes arrays of numbers: a reference to an array that is kept elsewhere, or a copy of its
//! bytes.

use crate::arrays::{Array, Kind};
use crate::codec::forms::{Expected, Form, Id};
use crate::codec::parts::Frame;
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
            observed.rows(id, dimensions, kind.element);
        };
        if !self.forms.fits(element, kind, &mut observe) {
            return Err(self.mismatch(self.forms.expect(element), &kind.describe()));
        }
        let is_as_read = self.forms.has_rows(element, kind);
        self.fitting = (is_known && is_as_read).then_some((element, *kind));
        Ok(is_as_read)
    }

    /// Writes an array. Its bytes are those of its elements one after the other, so that an array
    /// that stays in the state is copied.
    pub(super) fn write_array(&mut self, next: Expected, frame: Frame, mut array: Array<'_>) -> Result<()> {
        let (sequence, element) = match next.seq() {
            Some(element) => (next, element),
            None => self.other_seq(next)?,
        };
        let is_as_read =
            self.fitting.is_some_and(|(form, kind)| form == element && kind.is_surely(&array.kind))
                || self.fit(element, &array.kind)?;
        let rows = array.rows();
        let form = *self.forms.get(sequence.id());
        if let Form::Grid { place, .. } = form {
            self.check_count(place, rows)?;
            array.outer = self.forms.grid(place).map(|grid| grid.dimensions(rows));
        }
        // A reader of a map does not look for its elements in an array; every other one does.
        let may_be_apart = is_as_read && !matches!(form, Form::Map { .. });
        if may_be_apart && self.arrays.takes(array.bytes.len()) {
            let put = self.arrays.put(path::name(self.steps(frame).iter(), self.bytes), array);
            let number = put.map_err(|cause| self.note(frame, Failure::caused(cause)))?;
            return [OUT_OF_BAND, number, rows]
                .into_iter()
                .try_for_each(|value| leaves::append(self.bytes, value.to_le_bytes()));
        }
        self.elements = self.elements.saturating_add(rows);
        leaves::append(self.bytes, rows.to_le_bytes())?;
        leaves::append_all(self.bytes, array.bytes)
    }
}
