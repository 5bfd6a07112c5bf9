//! The arrays of a state that is about to be loaded anew: the next ones take their memory, which is warm.

use std::any::{Any, TypeId};
use std::collections::HashMap;

use super::table::TABLE;

/// Shorter arrays, in bytes, are not worth the trouble.
const SHORTEST: usize = 64 << 10;

/// Arrays that are to be written over.
#[derive(Debug, Default)]
pub struct ArrayPool(HashMap<TypeId, Vec<Box<dyn Any>>>);

impl ArrayPool {
    /// Takes the elements of `values`, if they are an array worth it. `false` where its elements could not be numbers.
    pub(crate) fn lend<T: 'static>(&mut self, values: &mut Vec<T>) -> bool {
        let vec = TypeId::of::<Vec<T>>();
        if !TABLE.owned.contains_key(&vec) {
            return false;
        }
        if size_of_val(&values[..]) >= SHORTEST {
            self.0.entry(vec).or_default().push(Box::new(std::mem::take(values)));
        }
        true
    }

    /// An array of so many elements, in the order in which they were lent.
    pub(super) fn take<T: 'static>(&mut self, length: usize) -> Option<Vec<T>> {
        let lent = self.0.get_mut(&TypeId::of::<Vec<T>>())?;
        let place = lent
            .iter()
            .position(|values| values.downcast_ref::<Vec<T>>().is_some_and(|v| v.len() == length))?;
        lent.remove(place).downcast().ok().map(|values| *values)
    }
}
