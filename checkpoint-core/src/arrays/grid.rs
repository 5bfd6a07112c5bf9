//! Views arrays of other crates that have a shape. Their own serialization passes on the elements
//! one by one, or apart from the shape.

#[cfg(feature = "nalgebra")]
mod of_nalgebra;
#[cfg(feature = "ndarray")]
mod of_ndarray;

use std::sync::LazyLock;

use bytemuck::NoUninit;

#[cfg(feature = "nalgebra")]
pub(super) use self::of_nalgebra::{CONTRADICTIONS, contradicts};
use super::erased::{Grids, NoLifetimes, kind_of_rows};
use super::{Array, Kind};

/// A shaped array of numbers, borrowed from the state.
#[derive(Debug)]
pub(crate) struct Grid<'a> {
    pub(crate) array: Array<'a>,
    pub(crate) lengths: Lengths,
}

/// The place where a type's own serialization writes the lengths of its dimensions.
#[derive(Debug)]
pub(crate) enum Lengths {
    /// `ndarray`: a version, then the lengths, then the elements. The number of the lengths
    /// precedes them if it is not part of the type.
    #[cfg(feature = "ndarray")]
    Before { version: u8, lengths: Vec<u64>, is_counted: bool },
    /// `nalgebra`: the elements, then each length that is not part of the type.
    #[cfg(feature = "nalgebra")]
    After([Option<u64>; 2]),
}

/// A type of such arrays.
pub(super) trait AsGrid {
    /// Views the array in the form in which it is written, with elements of this kind. `None` if
    /// the elements are not in C order in memory.
    fn as_grid(&self, kind: Kind) -> Option<Grid<'_>>;
}

/// The views, by the type of the array.
pub(super) static GRIDS: LazyLock<Grids> = LazyLock::new(|| {
    let mut grids = Grids::default();
    macro_rules! add {
        ($($element:ty),+) => {$(
            #[cfg(feature = "ndarray")]
            of_ndarray::add::<$element>(&mut grids);
            #[cfg(feature = "nalgebra")]
            of_nalgebra::add::<$element>(&mut grids);
        )+};
    }
    add!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool);
    #[cfg(feature = "num-complex")]
    add!(num_complex::Complex<f32>, num_complex::Complex<f64>);
    #[cfg(feature = "half")]
    add!(half::f16, half::bf16);
    grids
});

/// Adds the type `G`, which has elements of type `A`, and references to it.
fn add_grid<A: NoUninit, G: AsGrid + NoLifetimes>(grids: &mut Grids) {
    // There is no kind where the layout of numbers in memory differs from that in the file.
    if let Some(kind) = kind_of_rows::<A>() {
        grids.insert::<G>(kind);
    }
}
