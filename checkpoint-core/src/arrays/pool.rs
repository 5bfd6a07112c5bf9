//! Keeps the arrays of a state that is about to be replaced by a load: the new arrays take over
//! their memory, which is warm.

use std::collections::{HashMap, VecDeque};

use super::erased::{Memory, RowType, rows_of_vec};

/// Arrays that are shorter, in bytes, are not kept.
const SHORTEST: usize = 64 << 10;

/// Arrays that may be overwritten.
#[derive(Debug, Default)]
pub struct ArrayPool(HashMap<Size, VecDeque<Memory>>);

/// The type of the rows, by its address, and the number of rows.
type Size = (usize, usize);

fn size(rows: &'static RowType, length: usize) -> Size {
    (std::ptr::from_ref(rows).addr(), length)
}

impl ArrayPool {
    /// Takes the elements of `values`, if they are an array that is long enough. Returns `false` if
    /// the elements cannot be numbers.
    pub(crate) fn lend<T: 'static>(&mut self, values: &mut Vec<T>) -> bool {
        if size_of_val(&values[..]) < SHORTEST {
            return rows_of_vec(typeid::of::<Vec<T>>()).is_some();
        }
        match Memory::of(std::mem::take(values)) {
            Ok(memory) => {
                self.0.entry(size(memory.rows(), memory.length())).or_default().push_back(memory);
                true
            }
            Err(taken) => {
                *values = taken;
                false
            }
        }
    }

    /// Takes an array with this number of rows, in the order in which they were lent.
    pub(super) fn take(&mut self, rows: &'static RowType, length: usize) -> Option<Memory> {
        self.0.get_mut(&size(rows, length))?.pop_front()
    }
}
