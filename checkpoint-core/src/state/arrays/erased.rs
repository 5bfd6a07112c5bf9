//! Recognises values by their type where generics hide it. The one module with unsafe code.
//!
//! All proofs are of this shape: a registry, whose field is private here, has a function under the `TypeId` of each
//! type that the function takes. What is found under `typeid::of::<T>()` then takes a `T`, but for lifetimes: that is
//! what the documentation of `typeid` says. Lifetimes make no difference, since the types are [`NoLifetimes`].
#![allow(unsafe_code, reason = "a value whose type was found out must be taken as one of that type")]

#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use std::any::type_name;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::mem::ManuallyDrop;

use bytemuck::NoUninit;
#[cfg(feature = "nalgebra")]
use nalgebra::{Const, Dim, Dyn, OPoint, Quaternion, SMatrix, Scalar, VecStorage};

#[cfg(feature = "ndarray")]
use ndarray::CowArray;

#[cfg(feature = "nalgebra")]
use super::grid::{self, CONTRADICTIONS};
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use super::grid::{AsGrid, GRIDS, Grid};
use super::table::{ById, TABLE};
use super::{Array, Kind, Whole};

/// A type without lifetimes.
///
/// # Safety
/// Neither the type nor any type that is a part of it has a lifetime as a parameter. So there is no other type that is
/// the same but for lifetimes.
pub(super) unsafe trait NoLifetimes: Sized + 'static {}

macro_rules! without_lifetimes {
    ($($type:ty),*) => {$(
        // SAFETY: a type that is written out here, without parameters.
        unsafe impl NoLifetimes for $type {}
    )*};
}

without_lifetimes!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool);
#[cfg(feature = "half")]
without_lifetimes!(half::f16, half::bf16);
#[cfg(feature = "ndarray")]
without_lifetimes!(
    ndarray::Ix0,
    ndarray::Ix1,
    ndarray::Ix2,
    ndarray::Ix3,
    ndarray::Ix4,
    ndarray::Ix5,
    ndarray::Ix6,
    ndarray::IxDyn
);
#[cfg(feature = "nalgebra")]
without_lifetimes!(Dyn);

// SAFETY: the one parameter that is a type has no lifetimes.
unsafe impl<T: NoLifetimes, const N: usize> NoLifetimes for [T; N] {}
// SAFETY: as above.
#[cfg(feature = "num-complex")]
unsafe impl<T: NoLifetimes> NoLifetimes for num_complex::Complex<T> {}
// SAFETY: no parameter is a type.
#[cfg(feature = "nalgebra")]
unsafe impl<const N: usize> NoLifetimes for Const<N> {}
// SAFETY: the parameters that are types are `T`, and those of nalgebra made of it and of numbers.
#[cfg(feature = "nalgebra")]
unsafe impl<T: NoLifetimes, const R: usize, const C: usize> NoLifetimes for SMatrix<T, R, C> {}
// SAFETY: as above.
#[cfg(feature = "nalgebra")]
unsafe impl<T: NoLifetimes + Scalar, const N: usize> NoLifetimes for OPoint<T, Const<N>> {}
// SAFETY: the one parameter has no lifetimes.
#[cfg(feature = "nalgebra")]
unsafe impl<T: NoLifetimes> NoLifetimes for Quaternion<T> {}
// SAFETY: the parameters are three types without lifetimes, and the storage that nalgebra makes of them.
#[cfg(feature = "nalgebra")]
unsafe impl<T, R, C> NoLifetimes for nalgebra::Matrix<T, R, C, VecStorage<T, R, C>>
where
    T: NoLifetimes,
    R: NoLifetimes + Dim,
    C: NoLifetimes + Dim,
{
}
// SAFETY: the parameters are two types without lifetimes, and the storage that ndarray makes of the first.
#[cfg(feature = "ndarray")]
unsafe impl<T: NoLifetimes, D: NoLifetimes> NoLifetimes for ndarray::Array<T, D> {}
// SAFETY: as above.
#[cfg(feature = "ndarray")]
unsafe impl<T: NoLifetimes, D: NoLifetimes> NoLifetimes for ndarray::ArcArray<T, D> {}

/// Reads the bytes of the sequence that the reference at an address borrows.
///
/// Safety: the address is that of a reference `&'a Vec<R>`, or `&'a [R]`, of the `R` that the function was made for.
type View = for<'a> unsafe fn(*const (), &'a ()) -> &'a [u8];

/// How to look at sequences of numbers, by the types of references to them.
#[derive(Debug, Default)]
pub(super) struct Views(HashMap<TypeId, (View, Kind), ById>);

impl Views {
    /// Adds `&Vec<R>` and `&[R]`, whose elements are rows of this kind.
    pub(super) fn insert<R: NoUninit + NoLifetimes>(&mut self, kind: Kind) {
        self.0.insert(TypeId::of::<&'static Vec<R>>(), (view_vec::<R>, kind));
        self.0.insert(TypeId::of::<&'static [R]>(), (view_slice::<R>, kind));
    }

    /// The kind of rows that are `R`s.
    #[cfg(any(feature = "nalgebra", feature = "ndarray"))]
    pub(super) fn kind<R: 'static>(&self) -> Option<Kind> {
        self.0.get(&TypeId::of::<&'static [R]>()).map(|(_, kind)| *kind)
    }
}

/// The array that `sequence` borrows, if it is a `&Vec` or a slice of numbers.
pub(crate) fn view<I>(sequence: &I) -> Option<Array<'_>> {
    let (view, kind) = TABLE.views.0.get(&typeid::of::<I>())?;
    let address = std::ptr::from_ref(sequence).cast::<()>();
    // SAFETY: `Views::insert` alone enters views: `view_vec::<R>` under `&'static Vec<R>` and `view_slice::<R>` under
    // `&'static [R]`. So `I` is one of these but for lifetimes, of which `R` has none: a `&'i Vec<R>`, or a `&'i [R]`.
    // The address is that of an `I` which is borrowed for the lifetime of the result, and what a `&'i` refers to lives
    // at least as long as any borrow of it: in the meantime it is a reference of that lifetime.
    let bytes = unsafe { view(address, &()) };
    Some(Array { kind: *kind, outer: None, bytes })
}

/// A [`View`] of a `&Vec<R>`.
///
/// # Safety
/// As [`View`] says.
unsafe fn view_vec<'a, R: NoUninit>(address: *const (), _: &'a ()) -> &'a [u8] {
    // SAFETY: by the contract the address is that of a `&'a Vec<R>`.
    let values: &'a Vec<R> = unsafe { *address.cast::<&'a Vec<R>>() };
    bytemuck::cast_slice(values)
}

/// A [`View`] of a `&[R]`.
///
/// # Safety
/// As [`View`] says.
unsafe fn view_slice<'a, R: NoUninit>(address: *const (), _: &'a ()) -> &'a [u8] {
    // SAFETY: by the contract the address is that of a `&'a [R]`.
    let values: &'a [R] = unsafe { *address.cast::<&'a [R]>() };
    bytemuck::cast_slice(values)
}

/// The sequence, if it is an array in that guise.
pub(crate) fn whole<I>(sequence: &I) -> Option<&Whole<'_>> {
    if typeid::of::<I>() != typeid::of::<Whole<'static>>() {
        return None;
    }
    // SAFETY: by the documentation of `typeid`, `I` is `Whole` but for its lifetime. That outlives the borrow of the
    // `I`, and `Whole` is covariant in it, so a `&'b Whole<'b>` of that borrow is what the address may be used as.
    Some(unsafe { &*std::ptr::from_ref(sequence).cast::<Whole<'_>>() })
}

/// A `Vec` of numbers, whatever numbers these are.
pub(crate) struct Owned(Box<dyn Any>);

impl Owned {
    pub(super) fn new<R: NoLifetimes>(values: Vec<R>) -> Owned {
        Owned(Box::new(values))
    }

    /// The `Vec`, if it is a `T`.
    pub(crate) fn downcast<T>(self) -> Option<T> {
        if (*self.0).type_id() != typeid::of::<T>() {
            return None;
        }
        let values = Box::into_raw(self.0).cast::<T>();
        // SAFETY: `Owned::new` alone makes an `Owned`: of a box of a `Vec<R>`. Its `TypeId` is `typeid::of::<T>()`, so `T`
        // is `Vec<R>` but for lifetimes, of which `R` has none: it is that type. The pointer comes from `Box::into_raw`
        // of a box of it.
        Some(*unsafe { Box::from_raw(values) })
    }
}

impl fmt::Debug for Owned {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Owned")
    }
}

/// The kind of array that a visitor of type `V` makes a `Vec` of, and nothing else.
pub(crate) fn visitor_reads<V>() -> Option<Kind> {
    TABLE.visitors.get(&typeid::of::<V>()).copied()
}

/// The kind of array that a `Vec` of type `T` is.
pub(crate) fn vec_kind<T>() -> Option<Kind> {
    TABLE.owned.get(&typeid::of::<T>()).copied()
}

/// The same values in fixed arrays of them, without a copy if the memory is that of whole ones. `None` where the values
/// do not come out even, or take no space.
pub(crate) fn group<T, const N: usize>(mut values: Vec<T>) -> Option<Vec<[T; N]>> {
    if size_of::<[T; N]>() == 0 || !values.len().is_multiple_of(N) {
        return None;
    }
    if !values.capacity().is_multiple_of(N) {
        values = values.into_boxed_slice().into_vec();
    }
    let (rows, capacity) = (values.len() / N, values.capacity() / N);
    let first = ManuallyDrop::new(values).as_mut_ptr().cast::<[T; N]>();
    // SAFETY: `[T; N]` is `N` values of `T` one after the other, with the alignment of `T` (reference, "Type layout").
    // `N` is not 0, and the capacity is a multiple of it: it was, or it is the length since, as a `Vec` made of a boxed
    // slice takes over its allocation, which has the size of the slice ("This doesn't need to reallocate", `into_vec`). So the allocation is one of `capacity` rows, of which the first
    // `rows` are initialised, and nothing else owns it any more: what `Vec::from_raw_parts` asks.
    Some(unsafe { Vec::from_raw_parts(first, rows, capacity) })
}

/// Looks at an array, or at the one behind a reference.
///
/// Safety: the address is that of a value of the type that the function was made for, which is borrowed for `'a`.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
type ViewGrid = for<'a> unsafe fn(*const (), Kind, &'a ()) -> Option<Grid<'a>>;

/// How to look at arrays of other crates, by their types and by those of references to them.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
#[derive(Debug, Default)]
pub(super) struct Grids(HashMap<TypeId, (ViewGrid, Kind), ById>);

#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
impl Grids {
    /// Adds `G` and `&G`, whose elements are of this kind.
    pub(super) fn insert<G: AsGrid + NoLifetimes>(&mut self, kind: Kind) {
        self.0.insert(TypeId::of::<G>(), (view_grid::<G>, kind));
        self.0.insert(TypeId::of::<&'static G>(), (view_grid_behind::<G>, kind));
    }

    /// Adds `CowArray<A, D>` and references to it, which borrow elements of this kind for any lifetime.
    #[cfg(feature = "ndarray")]
    pub(super) fn insert_cow<A, D>(&mut self, kind: Kind)
    where
        A: NoUninit + NoLifetimes,
        D: ndarray::Dimension + NoLifetimes,
    {
        self.0.insert(TypeId::of::<CowArray<'static, A, D>>(), (view_cow::<A, D>, kind));
        self.0.insert(TypeId::of::<&'static CowArray<'static, A, D>>(), (view_cow_behind::<A, D>, kind));
    }
}

/// The array that `value` is, if it is one of numbers, of the `ndarray` or the `nalgebra` crate, and in C order.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
pub(crate) fn grid<T: ?Sized>(value: &T) -> Option<Grid<'_>> {
    // No such array is smaller: a pointer, a length and a capacity, and a pointer or a length. Elements of a collection
    // come as references to them. So most values are not looked up.
    let is_reference = size_of_val(value) == size_of::<usize>() && type_name::<T>().starts_with('&');
    if size_of_val(value) < 4 * size_of::<usize>() && !is_reference {
        return None;
    }
    let (view, kind) = GRIDS.0.get(&typeid::of::<T>())?;
    let address = std::ptr::from_ref(value).cast::<()>();
    // SAFETY: `Grids::insert` and `Grids::insert_cow` alone enter views. The one enters `view_grid::<G>` under `G` and
    // `view_grid_behind::<G>` under `&'static G`. So `T` is one of these but for lifetimes, of which `G` has none: a `G`,
    // or a `&'i G`. The other enters `view_cow::<A, D>` and `view_cow_behind::<A, D>`, and `T` is then a
    // `CowArray<'c, A, D>`, or a `&'i CowArray<'c, A, D>`: `A` and `D` have no lifetimes either. The address is that of a
    // `T` which is borrowed for the lifetime of the result.
    unsafe { view(address, *kind, &()) }
}

/// A [`ViewGrid`] of a `G`.
///
/// # Safety
/// As [`ViewGrid`] says.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
unsafe fn view_grid<'a, G: AsGrid + NoLifetimes>(
    address: *const (),
    kind: Kind,
    _: &'a (),
) -> Option<Grid<'a>> {
    // SAFETY: by the contract the address is that of a `G` which is borrowed for `'a`.
    let array: &'a G = unsafe { &*address.cast() };
    array.as_grid(kind)
}

/// A [`ViewGrid`] of a `&G`.
///
/// # Safety
/// As [`ViewGrid`] says.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
unsafe fn view_grid_behind<'a, G: AsGrid + NoLifetimes>(
    address: *const (),
    kind: Kind,
    _: &'a (),
) -> Option<Grid<'a>> {
    // SAFETY: by the contract the address is that of a `&G` which is borrowed for `'a`, and what a reference refers to
    // lives at least as long as any borrow of it.
    let array: &'a G = unsafe { *address.cast::<&'a G>() };
    array.as_grid(kind)
}

/// A [`ViewGrid`] of a `CowArray<'_, A, D>`.
///
/// # Safety
/// As [`ViewGrid`] says, for a `CowArray` of any lifetime.
#[cfg(feature = "ndarray")]
unsafe fn view_cow<'a, A, D>(address: *const (), kind: Kind, _: &'a ()) -> Option<Grid<'a>>
where
    A: NoUninit + NoLifetimes,
    D: ndarray::Dimension + NoLifetimes,
{
    // SAFETY: by the contract the address is that of a `CowArray` which is borrowed for `'a`. Its lifetime outlives that,
    // and it is covariant in it, as `shorter` shows: in the meantime it is one of the lifetime `'a`.
    let array: &'a CowArray<'a, A, D> = unsafe { &*address.cast() };
    array.as_grid(kind)
}

/// A [`ViewGrid`] of a `&CowArray<'_, A, D>`.
///
/// # Safety
/// As [`ViewGrid`] says, for a reference to a `CowArray` of any lifetime.
#[cfg(feature = "ndarray")]
unsafe fn view_cow_behind<'a, A, D>(address: *const (), kind: Kind, _: &'a ()) -> Option<Grid<'a>>
where
    A: NoUninit + NoLifetimes,
    D: ndarray::Dimension + NoLifetimes,
{
    // SAFETY: as in `view_cow`; a reference is covariant too, and what it refers to lives at least as long as any borrow
    // of it.
    let array: &'a CowArray<'a, A, D> = unsafe { *address.cast::<&'a CowArray<'a, A, D>>() };
    array.as_grid(kind)
}

/// Compiles because `CowArray` is covariant in its lifetime.
#[cfg(feature = "ndarray")]
#[allow(dead_code, reason = "it is a proof")]
fn shorter<'a, 'b: 'a, A, D>(array: &'a CowArray<'b, A, D>) -> &'a CowArray<'a, A, D> {
    array
}

/// Whether the lengths of the matrix at an address are not those of its elements.
///
/// Safety: the address is that of a value of the type that the function was made for, which is borrowed for the call.
#[cfg(feature = "nalgebra")]
type Contradicts = unsafe fn(*const ()) -> bool;

/// By the type in which `nalgebra` reads a matrix: its elements, then its dimensions.
#[cfg(feature = "nalgebra")]
#[derive(Debug, Default)]
pub(super) struct Contradictions(HashMap<TypeId, Contradicts, ById>);

#[cfg(feature = "nalgebra")]
impl Contradictions {
    /// Adds `(Vec<A>, R, C)`.
    pub(super) fn insert<A, R, C>(&mut self)
    where
        A: NoLifetimes,
        R: Dim + NoLifetimes,
        C: Dim + NoLifetimes,
    {
        self.0.insert(TypeId::of::<(Vec<A>, R, C)>(), contradicts_matrix::<A, R, C>);
    }
}

/// Whether `value` is what a matrix of numbers is read as, and its dimensions are not those of its elements.
#[cfg(feature = "nalgebra")]
pub(crate) fn contradicts<T>(value: &T) -> bool {
    let Some(contradicts) = CONTRADICTIONS.0.get(&typeid::of::<T>()) else { return false };
    // SAFETY: `Contradictions::insert` alone enters functions: `contradicts_matrix::<A, R, C>` under `(Vec<A>, R, C)`. So
    // `T` is that type but for lifetimes, of which it has none. The address is that of a `T`, borrowed for the call.
    unsafe { contradicts(std::ptr::from_ref(value).cast()) }
}

/// Whether the dimensions of a `(Vec<A>, R, C)` are not those of its elements.
///
/// # Safety
/// As [`Contradicts`] says.
#[cfg(feature = "nalgebra")]
unsafe fn contradicts_matrix<A, R: Dim, C: Dim>(address: *const ()) -> bool {
    // SAFETY: by the contract the address is that of such a value, which is borrowed for the call.
    grid::contradicts(unsafe { &*address.cast::<(Vec<A>, R, C)>() })
}
