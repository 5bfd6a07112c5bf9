//! [`Checkpoint`] for the arrays of the `ndarray` crate.

use ndarray::{ArcArray, Array, CowArray, Dimension};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arrays::ArrayPool;
use crate::schema::Type;
use crate::state::{Checkpoint, Types};
use crate::trace;

impl<A, D> Checkpoint for Array<A, D>
where
    A: Serialize + DeserializeOwned + 'static,
    D: Dimension + Serialize + DeserializeOwned + 'static,
{
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        types.import::<Self>(trace::trace::<Self>)
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        let (shape, count) = (self.raw_dim(), self.len());
        if !self.is_standard_layout() {
            return;
        }
        // Without dimensions there is always one element, and nothing worth lending.
        let Ok(empty) = Array::from_shape_vec(D::zeros(self.ndim()), Vec::new()) else { return };
        let (mut values, offset) = std::mem::replace(self, empty).into_raw_vec_and_offset();
        // A part of an array may have memory before and behind it.
        values.drain(..offset.unwrap_or(0));
        values.truncate(count);
        pool.lend(&mut values);
        // A part that was not taken stays as it was.
        if let Ok(array) = Array::from_shape_vec(shape, values) {
            *self = array;
        }
    }
}

/// Arrays that may share or borrow their elements. Each is read as one that owns them alone.
macro_rules! checkpoints {
    ($($array:ty),+) => {$(
        impl<A, D> Checkpoint for $array
        where
            A: Serialize + DeserializeOwned + 'static,
            D: Dimension + Serialize + DeserializeOwned + 'static,
        {
            const NAME: &'static str = "";

            fn schema(types: &mut Types) -> Type {
                types.import::<Self>(trace::trace::<Self>)
            }
        }
    )+};
}

checkpoints!(ArcArray<A, D>, CowArray<'static, A, D>);
