//! Recognises values by their type where generics hide it. The one module with unsafe code.
#![allow(unsafe_code, reason = "a value whose type was found out must be taken as one of that type")]

use std::any::Any;
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use std::any::type_name;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use bytemuck::NoUninit;
#[cfg(feature = "nalgebra")]
use nalgebra::Dim;

#[cfg(feature = "nalgebra")]
use super::grid::{self, CONTRADICTIONS};
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use super::grid::{AsGrid, GRIDS, Grid};
use super::table::TABLE;
use super::{Array, Kind, Whole};

/// Reads the bytes of the sequence that the reference at an address borrows.
///
/// Safety: the address is that of a `&Vec<R>`, or a `&[R]`, of the `R` that the function was made for, and the
/// reference outlives `'a`.
pub(super) type View = for<'a> unsafe fn(*const (), PhantomData<&'a ()>) -> &'a [u8];

/// The array that `sequence` borrows, if it is a `&Vec` or a slice of numbers.
pub(crate) fn view<I>(sequence: &I) -> Option<Array<'_>> {
    let (view, kind) = TABLE.borrowed.get(&typeid::of::<I>())?;
    let address = std::ptr::from_ref(sequence).cast::<()>();
    // SAFETY: `typeid::of::<I>()` is `TypeId::of::<X>()` for the `X` under which `view` stands in the table, and by the
    // documentation of `typeid`, `I` is then `X` but for lifetimes. `Table::add_row` enters `view_vec::<R>` under
    // `&'static Vec<R>` and `view_slice::<R>` under `&'static [R]`, with `R: 'static`; so `I` is a `&'i Vec<R>`, or a
    // `&'i [R]`, for some `'i`. The address is that of an `I`, borrowed for the lifetime of the result, and what a
    // `&'i` refers to lives at least as long as any borrow of it.
    let bytes = unsafe { view(address, PhantomData) };
    Some(Array { kind: *kind, outer: None, bytes })
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

/// A [`View`] of a `&Vec<R>`.
///
/// # Safety
/// As [`View`] says.
pub(super) unsafe fn view_vec<'a, R: NoUninit>(address: *const (), _: PhantomData<&'a ()>) -> &'a [u8] {
    // SAFETY: by the contract the address is that of a `&Vec<R>` that outlives `'a`.
    let values: &'a Vec<R> = unsafe { *address.cast::<&'a Vec<R>>() };
    bytemuck::cast_slice(values)
}

/// A [`View`] of a `&[R]`.
///
/// # Safety
/// As [`View`] says.
pub(super) unsafe fn view_slice<'a, R: NoUninit>(address: *const (), _: PhantomData<&'a ()>) -> &'a [u8] {
    // SAFETY: by the contract the address is that of a `&[R]` that outlives `'a`.
    let values: &'a [R] = unsafe { *address.cast::<&'a [R]>() };
    bytemuck::cast_slice(values)
}

/// The kind of array that a visitor of type `V` makes a `Vec` of, and nothing else.
pub(crate) fn visitor_reads<V>() -> Option<Kind> {
    TABLE.visitors.get(&typeid::of::<V>()).copied()
}

/// The kind of array that a `Vec` of type `T` is.
pub(crate) fn vec_kind<T>() -> Option<Kind> {
    TABLE.owned.get(&typeid::of::<T>()).copied()
}

/// The value, if it is a `T`. The value's type has no lifetimes but `'static`.
pub(crate) fn owned<T>(value: Box<dyn Any>) -> Option<T> {
    if (*value).type_id() != typeid::of::<T>() {
        return None;
    }
    let value = Box::into_raw(value).cast::<T>();
    // SAFETY: the value's `TypeId` is `typeid::of::<T>()`, so by the documentation of `typeid` its type is `T` but for
    // lifetimes. The only values that come here are the `Vec<R>` of `Table`, with `R` a number or an array of numbers:
    // such a type has no lifetimes, so `T` is that type. The pointer comes from `Box::into_raw` of a box of it.
    Some(*unsafe { Box::from_raw(value) })
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
    let (view, kind) = GRIDS.get(&typeid::of::<T>())?;
    let address = std::ptr::from_ref(value).cast::<()>();
    // SAFETY: `grid::add_grid` enters `view_grid::<G>` under the `TypeId` of `G` and `view_grid_behind::<G>` under that of
    // `&'static G`. By the documentation of `typeid`, `T` is the type that the view stands under but for lifetimes: a `G`,
    // or a `&'i G` for some `'i`. The address is that of a `T`, borrowed for the lifetime of the result, and what a `&'i`
    // refers to lives at least as long as any borrow of it. An array of numbers has no lifetimes of its own but that of
    // the elements which a `CowArray` may borrow; it outlives the borrow of the `T`, and of the elements `as_grid`, which
    // is written for whatever owns them, takes no more than a slice that lives as long as that borrow.
    unsafe { view(address, *kind, PhantomData) }
}

/// Looks at a `G`.
///
/// # Safety
/// The address is that of a `G` which is borrowed for `'a`.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
pub(super) unsafe fn view_grid<'a, G: AsGrid + 'static>(
    address: *const (),
    kind: Kind,
    _: PhantomData<&'a ()>,
) -> Option<Grid<'a>> {
    // SAFETY: by the contract the address is that of a `G` which is borrowed for `'a`.
    let array: &'a G = unsafe { &*address.cast() };
    array.as_grid(kind)
}

/// Looks at the `G` behind a reference.
///
/// # Safety
/// The address is that of a `&G` that outlives `'a`.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
pub(super) unsafe fn view_grid_behind<'a, G: AsGrid + 'static>(
    address: *const (),
    kind: Kind,
    _: PhantomData<&'a ()>,
) -> Option<Grid<'a>> {
    // SAFETY: by the contract the address is that of a `&G` that outlives `'a`.
    let array: &'a G = unsafe { *address.cast::<&'a G>() };
    array.as_grid(kind)
}

/// Whether `value` is what a matrix of numbers is read as, and its dimensions are not those of its elements.
#[cfg(feature = "nalgebra")]
pub(crate) fn contradicts<T>(value: &T) -> bool {
    let Some(contradicts) = CONTRADICTIONS.get(&typeid::of::<T>()) else { return false };
    // SAFETY: `typeid::of::<T>()` is the `TypeId` of the `(Vec<A>, R, C)` under which `contradicts_matrix::<A, R, C>` was
    // entered, so by the documentation of `typeid`, `T` is that type but for lifetimes, of which it has none. The address
    // is that of a `T`, borrowed for the call.
    unsafe { contradicts(std::ptr::from_ref(value).cast()) }
}

/// Whether the dimensions of a `(Vec<A>, R, C)` are not those of its elements.
///
/// # Safety
/// The address is that of a `(Vec<A>, R, C)` which is borrowed for the call.
#[cfg(feature = "nalgebra")]
pub(super) unsafe fn contradicts_matrix<A, R: Dim, C: Dim>(address: *const ()) -> bool {
    // SAFETY: by the contract the address is that of such a value, which is borrowed for the call.
    grid::contradicts(unsafe { &*address.cast::<(Vec<A>, R, C)>() })
}
