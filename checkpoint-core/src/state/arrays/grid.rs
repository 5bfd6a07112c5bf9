//! Arrays of the `ndarray` crate, whose own serialization gives its elements away one by one.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::LazyLock;

use bytemuck::NoUninit;
use ndarray::{Array, Dimension, Ix0, Ix1, Ix2, Ix3, Ix4, Ix5, Ix6, IxDyn};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::table::{ById, TABLE};
use super::{ArrayPool, Kind, erased};
use crate::state::schema::{Type, Types};
use crate::state::{Checkpoint, trace};

/// What `ndarray` writes before the dimensions, and checks when it reads.
pub(crate) const GRID_VERSION: u8 = 1;

/// An array of numbers in any number of dimensions, in C order, borrowed from the state.
#[derive(Debug)]
pub(crate) struct Grid<'a> {
    pub(crate) kind: Kind,
    pub(crate) shape: Vec<u64>,
    /// Whether the number of dimensions is not part of the type.
    pub(crate) is_dynamic: bool,
    pub(crate) bytes: &'a [u8],
}

/// How to look at an array whose type is not known to the one who looks. `None` where its elements do not lie in
/// memory in C order, as those of a transposed one.
pub(super) type ViewGrid =
    for<'a> unsafe fn(*const (), Kind, std::marker::PhantomData<&'a ()>) -> Option<Grid<'a>>;

/// By the type of the array.
pub(super) static GRIDS: LazyLock<HashMap<TypeId, (ViewGrid, Kind), ById>> = LazyLock::new(|| {
    let mut grids = HashMap::default();
    macro_rules! add {
        ($($element:ty),+) => {$(
            add::<$element, Ix0>(&mut grids);
            add::<$element, Ix1>(&mut grids);
            add::<$element, Ix2>(&mut grids);
            add::<$element, Ix3>(&mut grids);
            add::<$element, Ix4>(&mut grids);
            add::<$element, Ix5>(&mut grids);
            add::<$element, Ix6>(&mut grids);
            add::<$element, IxDyn>(&mut grids);
        )+};
    }
    add!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool);
    #[cfg(feature = "num-complex")]
    add!(num_complex::Complex<f32>, num_complex::Complex<f64>);
    #[cfg(feature = "half")]
    add!(half::f16, half::bf16);
    grids
});

fn add<A: NoUninit, D: Dimension + 'static>(grids: &mut HashMap<TypeId, (ViewGrid, Kind), ById>) {
    // Absent where numbers do not lie in memory as they are written.
    if let Some((_, kind)) = TABLE.borrowed.get(&TypeId::of::<&'static [A]>()) {
        grids.insert(TypeId::of::<Array<A, D>>(), (erased::view_grid::<A, D>, *kind));
    }
}

/// The array as it is written.
pub(super) fn of_array<A: NoUninit, D: Dimension>(array: &Array<A, D>, kind: Kind) -> Option<Grid<'_>> {
    Some(Grid {
        kind,
        shape: array.shape().iter().map(|length| *length as u64).collect(),
        is_dynamic: D::NDIM.is_none(),
        bytes: bytemuck::cast_slice(array.as_slice()?),
    })
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
