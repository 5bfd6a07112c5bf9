//! Numeric arrays, which leave the state on a road of their own: as bytes, in one piece, never element by element.
//!
//! serde knows no arrays: a `Vec<f64>` is a sequence whose elements are written one after the other. But every
//! contiguous sequence hands *itself* to the serializer first, through `Serializer::collect_seq`, and a `Vec` asks for
//! its elements with a visitor type of its own. [`erased`] recognises both by their types. So an array is found
//! wherever it is in the state, inside maps, enums, generics and types from other crates, while in every other format
//! the same type looks as it always does. What is not recognised is encoded like everything else.

mod erased;
#[cfg(test)]
pub(crate) mod none;
mod npy;
mod pool;
mod table;

use std::any::Any;

pub use pool::ArrayPool;

pub(super) use erased::{owned, view, visitor_reads};

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dtype {
    /// As numpy writes it: byte order, kind, bytes.
    pub(crate) descr: &'static str,
    /// The bytes of one element.
    pub(crate) size: u64,
}

/// A contiguous array of numbers, borrowed from the state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Array<'a> {
    pub(crate) kind: Kind,
    pub(crate) bytes: &'a [u8],
}

/// Reads the `Vec` that a source holds under a number.
type ReadVec = fn(&mut dyn ArraySource, u64, Kind) -> Result<Box<dyn Any>, String>;

/// What the rows of an array are: a number, or a fixed array of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) dtype: Dtype,
    /// The lengths of the dimensions after the first.
    pub(crate) inner: &'static [u64],
    read: ReadVec,
}

impl Kind {
    /// The bytes of one row; never 0.
    pub(crate) fn row(&self) -> u64 {
        self.inner.iter().product::<u64>() * self.dtype.size
    }

    /// The `Vec` that a source holds under a number.
    pub(super) fn read(self, source: &mut dyn ArraySource, number: u64) -> Result<Box<dyn Any>, String> {
        (self.read)(source, number, self)
    }

    /// How many rows an array with this header and so many bytes of data has. `None` where there is no such array.
    pub(crate) fn rows_of(header: &[u8], bytes: u64) -> Option<u64> {
        let mut kinds = table::TABLE.visitors.values();
        kinds.find_map(|kind| {
            let rows = bytes / kind.row();
            (bytes.is_multiple_of(kind.row()) && kind.header(rows) == header).then_some(rows)
        })
    }

    /// The header of an array of so many rows.
    pub(crate) fn header(&self, rows: u64) -> Vec<u8> {
        npy::header(self.dtype, rows, self.inner, rows.saturating_mul(self.row()))
    }
}

impl Array<'_> {
    /// How many rows it has.
    pub(crate) fn rows(&self) -> u64 {
        self.bytes.len() as u64 / self.kind.row()
    }

    /// What comes before its bytes in a `.npy` entry.
    pub(crate) fn header(&self) -> Vec<u8> {
        self.kind.header(self.rows())
    }
}

/// Where the arrays of a state go during a save.
pub(crate) trait ArraySink {
    /// Whether an array of so many bytes shall leave the state's own bytes.
    fn takes(&self, bytes: usize) -> bool;

    /// Takes an array, and returns the number under which it is found again: 0, 1, 2, …
    fn put(&mut self, name: String, array: Array<'_>) -> Result<u64, String>;
}

/// Where the arrays of a state come from during a load.
pub(crate) trait ArraySource {
    /// Arrays whose memory may be taken.
    fn pool(&mut self) -> &mut ArrayPool;

    /// How many rows of this kind the array of that number has. Nothing needs to be allocated to answer.
    fn rows(&mut self, number: u64, kind: Kind) -> Result<usize, String>;

    /// Fills `buffer` with all of its bytes, and verifies them.
    fn fill(&mut self, number: u64, buffer: &mut [u8]) -> Result<(), String>;

    /// All of its bytes, verified, with the number of its rows, when nothing is known of what they are.
    fn bytes(&mut self, number: u64) -> Result<(u64, Vec<u8>), String>;
}
