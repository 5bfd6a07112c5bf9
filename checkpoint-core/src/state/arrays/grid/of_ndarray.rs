//! Arrays of the `ndarray` crate.

use bytemuck::NoUninit;
use ndarray::{
    ArcArray, Array, ArrayBase, CowArray, Data, Dimension, Ix0, Ix1, Ix2, Ix3, Ix4, Ix5, Ix6, IxDyn,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{AsGrid, Grid, Lengths, add_grid};
use crate::state::arrays::erased::{Grids, NoLifetimes, kind_of_rows};
use crate::state::arrays::{self, ArrayPool, Kind};
use crate::state::schema::{Type, Types};
use crate::state::{Checkpoint, trace};

/// What `ndarray` writes before the dimensions, and checks when it reads.
const VERSION: u8 = 1;

/// Adds arrays of any number of dimensions, whatever owns their elements.
pub(super) fn add<A: NoUninit + NoLifetimes>(grids: &mut Grids) {
    macro_rules! add {
        ($($dimension:ty),+) => {$(
            add_grid::<A, Array<A, $dimension>>(grids);
            add_grid::<A, ArcArray<A, $dimension>>(grids);
            if let Some(kind) = kind_of_rows::<A>() {
                grids.insert_cow::<A, $dimension>(kind);
            }
        )+};
    }
    add!(Ix0, Ix1, Ix2, Ix3, Ix4, Ix5, Ix6, IxDyn);
}

impl<A: NoUninit, S: Data<Elem = A>, D: Dimension> AsGrid for ArrayBase<S, D> {
    fn as_grid(&self, kind: Kind) -> Option<Grid<'_>> {
        let shape: Vec<u64> = self.shape().iter().map(|length| *length as u64).collect();
        let (lengths, is_counted) = (shape.clone(), D::NDIM.is_none());
        let bytes = bytemuck::cast_slice(self.as_slice()?);
        let array = arrays::Array { kind, outer: Some(shape), bytes };
        Some(Grid { array, lengths: Lengths::Before { version: VERSION, lengths, is_counted } })
    }
}

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
        // What was not taken stays what it was.
        if let Ok(array) = Array::from_shape_vec(shape, values) {
            *self = array;
        }
    }
}

/// Arrays whose elements may be shared or borrowed. Each is read as one that owns them alone.
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
