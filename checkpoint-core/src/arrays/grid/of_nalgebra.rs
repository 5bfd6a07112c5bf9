//! Matrices and vectors of the `nalgebra` crate.
//!
//! A matrix with a size known only at run time has its elements in a `Vec`, column after column. In
//! C order that is the transposed matrix, so the entry of one with `r` rows and `c` columns has the
//! shape `(c, r)`. A vector has one dimension.
//!
//! A fixed matrix is a tuple of its elements to serde, as a fixed array is, and the library treats
//! it the same way: a `Vec<Vector3<f64>>` is written as a `Vec<[f64; 3]>`, a `Vec<Matrix2<f64>>` as
//! a `Vec<[f64; 4]>`.

use std::any::TypeId;
use std::sync::LazyLock;

use bytemuck::NoUninit;
use nalgebra::{Const, Dim, Dyn, Matrix, RawStorage, Scalar, U1, VecStorage};

use super::{AsGrid, Grid, Lengths, add_grid};
use crate::arrays::erased::{Contradictions, Grids, NoLifetimes};
use crate::arrays::{Array, Kind};

type InVec<A, R, C> = Matrix<A, R, C, VecStorage<A, R, C>>;

/// Calls a macro for each kind of matrix with its elements in a `Vec`.
macro_rules! each_size {
    ($do:ident) => {
        $do!(Dyn, Dyn);
        $do!(Dyn, Const<1>);
        $do!(Dyn, Const<2>);
        $do!(Dyn, Const<3>);
        $do!(Dyn, Const<4>);
        $do!(Dyn, Const<5>);
        $do!(Dyn, Const<6>);
        $do!(Const<1>, Dyn);
        $do!(Const<2>, Dyn);
        $do!(Const<3>, Dyn);
        $do!(Const<4>, Dyn);
        $do!(Const<5>, Dyn);
        $do!(Const<6>, Dyn);
    };
}

/// Adds the matrices and vectors with a size known only at run time.
pub(super) fn add<A: NoUninit + NoLifetimes + Scalar>(grids: &mut Grids) {
    macro_rules! add {
        ($rows:ty, $columns:ty) => {
            add_grid::<A, InVec<A, $rows, $columns>>(grids);
        };
    }
    each_size!(add);
}

impl<A: NoUninit + Scalar, R: Dim, C: Dim> AsGrid for InVec<A, R, C>
where
    VecStorage<A, R, C>: RawStorage<A, R, C>,
{
    fn as_grid(&self, kind: Kind) -> Option<Grid<'_>> {
        let (rows, columns) = (self.nrows() as u64, self.ncols() as u64);
        let is_vector = TypeId::of::<R>() == TypeId::of::<U1>() || TypeId::of::<C>() == TypeId::of::<U1>();
        let outer = if is_vector { None } else { Some(vec![columns, rows]) };
        let bytes = bytemuck::cast_slice(self.data.as_slice());
        let lengths = [(R::try_to_usize(), rows), (C::try_to_usize(), columns)];
        let lengths = lengths.map(|(fixed, length)| fixed.is_none().then_some(length));
        Some(Grid { array: Array { kind, outer, bytes }, lengths: Lengths::After(lengths) })
    }
}

/// The checks of matrices, by the type in which `nalgebra` reads one: its elements, then its
/// dimensions.
///
/// `nalgebra` multiplies the dimensions without a check for overflow. Two forged dimensions with a
/// product beyond the range of a number would make a matrix without elements that claims to have
/// many.
pub(in crate::arrays) static CONTRADICTIONS: LazyLock<Contradictions> = LazyLock::new(|| {
    let mut contradictions = Contradictions::default();
    macro_rules! add {
            ($($element:ty),+) => {$({
                macro_rules! add_size {
                    ($rows:ty, $columns:ty) => {
                        contradictions.insert::<$element, $rows, $columns>();
                    };
                }
                each_size!(add_size);
            })+};
        }
    add!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool);
    #[cfg(feature = "num-complex")]
    add!(num_complex::Complex<f32>, num_complex::Complex<f64>);
    #[cfg(feature = "half")]
    add!(half::f16, half::bf16);
    contradictions
});

/// True if the dimensions do not match the number of the elements.
pub(in crate::arrays) fn contradicts<A, R: Dim, C: Dim>(matrix: &(Vec<A>, R, C)) -> bool {
    let (values, rows, columns) = matrix;
    rows.value().checked_mul(columns.value()) != Some(values.len())
}
