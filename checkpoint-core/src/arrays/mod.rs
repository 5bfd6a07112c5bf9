//! Numeric arrays are stored outside the encoded state, as raw bytes, and never element by element.
//!
//! serde has no arrays: a `Vec<f64>` is a sequence, and its elements are written one after the
//! other. But every contiguous sequence first passes *itself* to the serializer, through
//! `Serializer::collect_seq`, and a `Vec` requests its elements with a visitor type of its own.
//! [`erased`] recognises both by their types. So an array is found wherever it is in the state,
//! inside maps, enums, generics and types from other crates, while every other format sees the type
//! as usual. An array that is not recognised is encoded like everything else.

mod copied;
mod erased;
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
mod grid;
#[cfg(test)]
pub(crate) mod none;
mod npy;
mod pool;
mod repeated;
mod table;

use std::error::Error;

use self::erased::{Memory, RowType};
use crate::schema::Element;
pub(crate) use copied::Copied;
pub(crate) use npy::{ArrayHeader, header as npy_header};
pub use pool::ArrayPool;
pub(crate) use repeated::repeated;

#[cfg(feature = "nalgebra")]
pub(crate) use erased::contradicts;
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
pub(crate) use erased::grid;
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
pub(crate) use grid::{Grid, Lengths};

pub(crate) use erased::{Forgotten, group, vec_kind, view, visitor_reads, whole};

/// A contiguous array of numbers, borrowed from the state.
#[derive(Clone, Debug)]
pub(crate) struct Array<'a> {
    pub(crate) kind: Kind,
    /// The lengths of the dimensions that the rows are arranged in, unless there is only one.
    pub(crate) outer: Option<Vec<u64>>,
    pub(crate) bytes: &'a [u8],
}

/// The name of a newtype that stands for a `Vec`: its visitor makes a `Vec` of a sequence, as the
/// visitor of `Vec` itself does.
pub(crate) const ROWS: &str = "\0rows";

/// An array disguised as a sequence, to pass it through the interface of a serializer. Only the
/// serializer of this library gets one.
#[derive(Debug)]
pub(crate) struct Whole<'a>(pub(crate) Array<'a>);

impl IntoIterator for Whole<'_> {
    type Item = u8;
    type IntoIter = std::iter::Empty<u8>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::empty()
    }
}

/// The type of the rows of an array: a number, or a fixed array of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) element: Element,
    /// The lengths of the dimensions after the first.
    pub(crate) inner: &'static [u64],
}

impl Kind {
    /// The bytes of one row; never 0.
    pub(crate) const fn row(&self) -> u64 {
        let (mut bytes, mut dimension) = (self.element.size() as u64, 0);
        while dimension < self.inner.len() {
            bytes *= self.inner[dimension];
            dimension += 1;
        }
        bytes
    }

    /// True if it is this kind by the address of its lengths. Equal kinds at other addresses give
    /// false.
    #[inline]
    pub(crate) fn is_surely(&self, other: &Kind) -> bool {
        self.element == other.element && std::ptr::eq(self.inner, other.inner)
    }

    /// The name of an array of this kind in messages.
    pub(crate) fn describe(&self) -> String {
        let number = match self.element {
            Element::U128 | Element::I128 => self.element.name(),
            other => other.descr(),
        };
        match self.inner {
            [] => format!("an array of {number}"),
            inner => format!("an array of {number} in rows of {inner:?}"),
        }
    }

    /// Reads an array of a source as the `Vec` type `T`.
    pub(crate) fn read<T>(self, source: &mut dyn ArraySource, array: Reference) -> Result<T, Cause> {
        let rows = erased::rows_of_vec(typeid::of::<T>());
        self.read_memory(rows, source, array)?.into_vec().ok_or_else(|| {
            if self.element == Element::Bool {
                format!("array {} has a byte that is neither 0 nor 1", array.number).into()
            } else {
                of_another_type(array)
            }
        })
    }

    /// Reads straight into the memory of the new `Vec`. It is that of an array which the state had
    /// before. Otherwise it is zeroed memory that the system has not touched, so that a large array
    /// is neither cleared first nor copied.
    fn read_memory(
        self,
        rows: Option<&'static RowType>,
        source: &mut dyn ArraySource,
        array: Reference,
    ) -> Result<Memory, Cause> {
        let rows = rows.filter(|rows| rows.kind == self).ok_or_else(|| of_another_type(array))?;
        source.check(array, self)?;
        let no_memory = || format!("there is no memory for an array of {} rows", array.rows);
        let length = usize::try_from(array.rows).map_err(|_| no_memory())?;
        let mut memory = match source.pool().take(rows, length) {
            Some(memory) => memory,
            None => Memory::zeroed(rows, length).ok_or_else(no_memory)?,
        };
        source.fill(array, memory.bytes())?;
        Ok(memory)
    }

    /// The number of rows of this kind in an array with this header and this number of bytes of
    /// data. `None` if there is no such array, or if its header is not the only valid one.
    pub(crate) fn rows(&self, header: &[u8], bytes: u64) -> Option<u64> {
        let shape = npy::shape(header)?;
        let outer = shape.strip_suffix(self.inner)?;
        let rows = outer.iter().try_fold(1_u64, |rows, length| rows.checked_mul(*length))?;
        let is_this = rows.checked_mul(self.row()) == Some(bytes) && self.header(outer, bytes) == header;
        is_this.then_some(rows)
    }

    /// The kind that gives an array with this header and this number of bytes of data this number
    /// of rows, if there is one.
    pub(crate) fn of_rows(rows: u64, header: &[u8], bytes: u64) -> Option<Kind> {
        let descr = npy::descr(header)?;
        let kinds = table::rows().map(|row| row.kind).filter(|kind| kind.element.descr() == descr);
        // A row of one number has the same bytes as that number.
        kinds.filter(|kind| kind.rows(header, bytes) == Some(rows)).min_by_key(|kind| kind.inner.len())
    }

    /// The kind of an array with this header and this number of bytes, which a state with that many
    /// rows takes for the kind `wanted`, or for any. `None` where it cannot be that.
    pub(crate) fn found(rows: u64, header: &[u8], bytes: u64, wanted: Option<Kind>) -> Option<Kind> {
        if let Some(kind) = wanted.filter(|kind| kind.rows(header, bytes) == Some(rows)) {
            return Some(kind);
        }
        match (Kind::of_rows(rows, header, bytes)?, wanted) {
            (found, None) => Some(found),
            // Numbers of one schema can have two types: serde writes a complex number as two
            // floats.
            (found, Some(kind)) => found.has_the_bytes_of(&kind).then_some(kind),
        }
    }

    /// True if the rows of both kinds are the same numbers in the same bytes: a complex number is a
    /// pair of floats.
    pub(crate) fn has_the_bytes_of(&self, other: &Kind) -> bool {
        self.in_floats() == other.in_floats()
    }

    /// The type of the numbers, and the lengths of the dimensions of a row, with each complex
    /// number as a pair of floats.
    fn in_floats(&self) -> (&'static str, Vec<u64>) {
        in_floats(self.element, self.inner.to_vec())
    }

    /// The header of an array with rows arranged in dimensions of these lengths.
    fn header(&self, outer: &[u64], bytes: u64) -> Vec<u8> {
        npy::header(self.element, &[outer, self.inner].concat(), bytes)
    }
}

/// A type of numbers and a shape, with complex numbers as the pairs that they are.
fn in_floats(element: Element, mut shape: Vec<u64>) -> (&'static str, Vec<u64>) {
    let Some(float) = element.float() else { return (element.descr(), shape) };
    shape.push(2);
    (float.descr(), shape)
}

fn of_another_type(array: Reference) -> Cause {
    format!("array {} is of another type", array.number).into()
}

impl Array<'_> {
    /// The number of rows.
    pub(crate) fn rows(&self) -> u64 {
        self.bytes.len() as u64 / self.kind.row()
    }

    /// The header in front of its bytes in a `.npy` entry.
    pub(crate) fn header(&self) -> Vec<u8> {
        let rows = [self.rows()];
        self.kind.header(self.outer.as_deref().unwrap_or(&rows), self.bytes.len() as u64)
    }
}

/// True if a sequence of fixed arrays of these lengths may be an array of such rows.
#[cfg(feature = "inspect")]
pub(crate) fn inner_of_rows(descr: &str, inner: &[u64]) -> bool {
    table::rows().any(|row| row.kind.element.descr() == descr && row.kind.inner == inner)
}

/// The reference to an array in the bytes of the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    /// The number of the array: 0, 1, 2, … in the order in which the state wrote its arrays.
    pub(crate) number: u64,
    /// The number of rows.
    pub(crate) rows: u64,
}

/// The reason that a sink or a source refuses an array.
pub(crate) type Cause = Box<dyn Error + Send + Sync>;

/// The destination of the arrays of a state during a save.
pub(crate) trait ArraySink {
    /// True if an array of this number of bytes belongs outside the encoded state.
    fn takes(&self, bytes: usize) -> bool;

    /// Takes an array, and returns its number: 0, 1, 2, …
    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, Cause>;
}

/// The source of the arrays of a state during a load.
pub(crate) trait ArraySource {
    /// The arrays with memory that may be reused.
    fn pool(&mut self) -> &mut ArrayPool;

    /// Checks that an array has this kind and the length in its reference, before anything is
    /// allocated for it.
    fn check(&mut self, array: Reference, kind: Kind) -> Result<(), Cause>;

    /// Fills `buffer` with all of its bytes, and verifies them.
    fn fill(&mut self, array: Reference, buffer: &mut [u8]) -> Result<(), Cause>;

    /// Returns all of its bytes, verified, and their kind, for a caller that does not know the
    /// kind.
    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), Cause>;

    /// Skips an array that the program has no use for. Its bytes are neither read nor verified.
    fn skip(&mut self, array: Reference) -> Result<(), Cause>;
}

#[cfg(all(test, not(shuttle)))]
mod tests;
