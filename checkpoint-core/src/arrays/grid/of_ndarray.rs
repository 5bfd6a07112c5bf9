//! Arrays of the `ndarray` crate.

use bytemuck::NoUninit;
use ndarray::{ArcArray, Array, ArrayBase, Data, Dimension, Ix0, Ix1, Ix2, Ix3, Ix4, Ix5, Ix6, IxDyn};

use super::{AsGrid, Grid, Lengths, add_grid};
use crate::arrays::erased::{Grids, NoLifetimes, kind_of_rows};
use crate::arrays::{self, Kind};

/// The version that `ndarray` writes before the dimensions, and checks when it reads.
const VERSION: u8 = 1;

/// Adds arrays of any number of dimensions, for each kind of owner of the elements.
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
