//! The arrays of a state that is about to be loaded anew: the next ones take their memory, which is warm.

use super::erased::{Memory, RowType, rows_of_vec};

/// Shorter arrays, in bytes, are not worth the trouble.
const SHORTEST: usize = 64 << 10;

/// Arrays that are to be written over.
#[derive(Debug, Default)]
pub struct ArrayPool(Vec<Memory>);

impl ArrayPool {
    /// Takes the elements of `values`, if they are an array worth it. `false` where its elements could not be numbers.
    pub(crate) fn lend<T: 'static>(&mut self, values: &mut Vec<T>) -> bool {
        if size_of_val(&values[..]) < SHORTEST {
            return rows_of_vec(typeid::of::<Vec<T>>()).is_some();
        }
        match Memory::of(std::mem::take(values)) {
            Ok(memory) => {
                self.0.push(memory);
                true
            }
            Err(taken) => {
                *values = taken;
                false
            }
        }
    }

    /// An array of so many rows, in the order in which they were lent.
    pub(super) fn take(&mut self, rows: &'static RowType, length: usize) -> Option<Memory> {
        let place = self.0.iter().position(|memory| memory.is_of(rows, length))?;
        Some(self.0.remove(place))
    }
}
