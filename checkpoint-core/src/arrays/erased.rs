//! Recognises values by their type where generics hide it.
//!
//! All proofs have this shape. A registry, with a private field in this module, has a function
//! under the `TypeId` of each type that the function accepts. The function found under
//! `typeid::of::<T>()` then accepts a `T`, except for lifetimes, as the documentation of `typeid`
//! states. Lifetimes make no difference, because the types are [`NoLifetimes`].
//!
//! Every program contains all types of rows of numbers, hundreds of them. So each type has only
//! those few functions that must know it, of a few instructions each. All other work is done on
//! bytes.
#![allow(unsafe_code, reason = "a value of a recognised type must be used as one of that type")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::TypeId;
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use std::any::type_name;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ops::RangeInclusive;
use std::ptr::NonNull;
use std::sync::LazyLock;

use bytemuck::{NoUninit, Pod};
#[cfg(feature = "nalgebra")]
use nalgebra::{Const, Dim, Dyn, OPoint, Quaternion, SMatrix, Scalar, VecStorage};

#[cfg(feature = "ndarray")]
use ndarray::CowArray;

#[cfg(feature = "nalgebra")]
use super::grid::{self, CONTRADICTIONS};
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use super::grid::{AsGrid, GRIDS, Grid};
use super::table;
use super::{Array, Kind, Whole};
use crate::base::hashed::IsHashed;
use crate::schema::Element;

/// A type without lifetimes.
///
/// # Safety
/// Neither the type nor any type that is a part of it has a lifetime as a parameter. So no other
/// type differs from it in lifetimes alone.
pub(crate) unsafe trait NoLifetimes: Sized + 'static {}

macro_rules! without_lifetimes {
    ($($type:ty),*) => {$(
        // SAFETY: a type that is written out here, without parameters.
        unsafe impl NoLifetimes for $type {}
    )*};
}

without_lifetimes!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64, bool, char);
without_lifetimes!(Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6);
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

// SAFETY: the type has no lifetimes as parameters, and neither has `T`.
unsafe impl<T: NoLifetimes> NoLifetimes for RangeInclusive<T> {}

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
// SAFETY: the parameters are three types without lifetimes, and the storage that nalgebra makes of
// them.
#[cfg(feature = "nalgebra")]
unsafe impl<T, R, C> NoLifetimes for nalgebra::Matrix<T, R, C, VecStorage<T, R, C>>
where
    T: NoLifetimes,
    R: NoLifetimes + Dim,
    C: NoLifetimes + Dim,
{
}
// SAFETY: the parameters are two types without lifetimes, and the storage that ndarray makes of the
// first.
#[cfg(feature = "ndarray")]
unsafe impl<T: NoLifetimes, D: NoLifetimes> NoLifetimes for ndarray::Array<T, D> {}
// SAFETY: as above.
#[cfg(feature = "ndarray")]
unsafe impl<T: NoLifetimes, D: NoLifetimes> NoLifetimes for ndarray::ArcArray<T, D> {}

/// Takes the address of a reference to a sequence. Returns the address of the first row of that
/// sequence, and the number of rows.
///
/// Safety: the address is that of a reference `&Vec<R>`, or `&[R]`, to the `R` that the function
/// was made for.
type View = unsafe fn(*const ()) -> (*const u8, usize);

/// Makes a `Vec<R>` of the address of its first row, its length and its capacity, and writes it to
/// an address.
///
/// Safety: `R` is the type that the function was made for. The last address may be written to as a
/// `Vec<R>`, and the other arguments meet the conditions of `Vec::from_raw_parts`.
type MakeVec = unsafe fn(*mut u8, usize, usize, *mut ());

/// A type `R` of rows, and the functions that must know it.
pub(super) struct RowType {
    pub(super) kind: Kind,
    layout: Layout,
    /// The identities of `&Vec<R>`, `&[R]` and `Vec<R>`.
    ids: fn() -> [TypeId; 3],
    /// The identity of the visitor that a `Vec<R>` requests its elements with. No proof relies on
    /// it.
    visitor: fn() -> TypeId,
    view_vec: View,
    view_slice: View,
    make_vec: MakeVec,
    /// The largest byte of its values.
    largest: u8,
}

impl RowType {
    /// Makes the row type of numbers that may have any bytes, or of fixed arrays of them.
    pub(super) const fn of<R: Pod + NoLifetimes>(kind: Kind, visitor: fn() -> TypeId) -> RowType {
        RowType::new::<R>(kind, visitor, u8::MAX)
    }

    /// Makes the row type of `bool`, the one type of numbers with bytes that are no values.
    pub(super) const fn of_bool(visitor: fn() -> TypeId) -> RowType {
        RowType::new::<bool>(Kind { element: Element::Bool, inner: &[] }, visitor, true as u8)
    }

    const fn new<R: NoUninit + NoLifetimes>(kind: Kind, visitor: fn() -> TypeId, largest: u8) -> RowType {
        let layout = Layout::new::<R>();
        assert!(
            layout.size() > 0 && layout.size() as u64 == kind.row(),
            "a row has the size that its kind says"
        );
        RowType {
            kind,
            layout,
            ids: ids::<R>,
            visitor,
            view_vec: view_vec::<R>,
            view_slice: view_slice::<R>,
            make_vec: make_vec::<R>,
            largest,
        }
    }
}

impl fmt::Debug for RowType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(formatter)
    }
}

fn ids<R: NoLifetimes>() -> [TypeId; 3] {
    [TypeId::of::<&'static Vec<R>>(), TypeId::of::<&'static [R]>(), TypeId::of::<Vec<R>>()]
}

/// A [`View`] of a `&Vec<R>`.
///
/// # Safety
/// As [`View`] says.
unsafe fn view_vec<R>(address: *const ()) -> (*const u8, usize) {
    // SAFETY: by the contract the address is that of a `&Vec<R>`.
    let values = unsafe { *address.cast::<&Vec<R>>() };
    (values.as_ptr().cast(), values.len())
}

/// A [`View`] of a `&[R]`.
///
/// # Safety
/// As [`View`] says.
unsafe fn view_slice<R>(address: *const ()) -> (*const u8, usize) {
    // SAFETY: by the contract the address is that of a `&[R]`.
    let values = unsafe { *address.cast::<&[R]>() };
    (values.as_ptr().cast(), values.len())
}

/// A [`MakeVec`] of a `Vec<R>`.
///
/// # Safety
/// As [`MakeVec`] says.
unsafe fn make_vec<R>(first: *mut u8, length: usize, capacity: usize, into: *mut ()) {
    // SAFETY: by the contract these are the parts of a `Vec<R>`.
    let values = unsafe { Vec::from_raw_parts(first.cast::<R>(), length, capacity) };
    // SAFETY: by the contract the address may be written to as a `Vec<R>`.
    unsafe { into.cast::<Vec<R>>().write(values) };
}

/// The role of a registered type for its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// `&Vec<R>`
    VecBehind,
    /// `&[R]`
    SliceBehind,
    /// `Vec<R>`
    Vec,
    /// The visitor that a `Vec<R>` requests its elements with.
    Visitor,
}

/// The types that concern rows. Empty where the layout of numbers in memory differs from that in
/// the file: there, all numbers are encoded one by one.
static REGISTRY: LazyLock<HashMap<TypeId, (Role, &'static RowType), IsHashed>> = LazyLock::new(|| {
    let mut registry = HashMap::default();
    if cfg!(target_endian = "little") {
        let rows = table::rows();
        registry.reserve(4 * rows.clone().count());
        for row in rows {
            let [vec_behind, slice_behind, vec] = (row.ids)();
            registry.insert(vec_behind, (Role::VecBehind, row));
            registry.insert(slice_behind, (Role::SliceBehind, row));
            registry.insert(vec, (Role::Vec, row));
            registry.insert((row.visitor)(), (Role::Visitor, row));
        }
    }
    registry
});

/// The rows for which the type with this identity has that role.
fn rows_under(id: TypeId, role: Role) -> Option<&'static RowType> {
    REGISTRY.get(&id).and_then(|(found, row)| (*found == role).then_some(*row))
}

/// The kind of rows of type `R`.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
pub(super) fn kind_of_rows<R: 'static>() -> Option<Kind> {
    rows_under(TypeId::of::<&'static [R]>(), Role::SliceBehind).map(|row| row.kind)
}

/// The kind of array that a visitor of type `V` makes a `Vec` of, if it does nothing else.
pub(crate) fn visitor_reads<V>() -> Option<Kind> {
    rows_under(typeid::of::<V>(), Role::Visitor).map(|row| row.kind)
}

/// The kind of array in a `Vec` of type `T`.
pub(crate) fn vec_kind<T>() -> Option<Kind> {
    rows_of_vec(typeid::of::<T>()).map(|row| row.kind)
}

/// The rows of the `Vec` with this identity.
pub(super) fn rows_of_vec(id: TypeId) -> Option<&'static RowType> {
    rows_under(id, Role::Vec)
}

/// The array that `sequence` borrows, if it is a `&Vec` or a slice of numbers.
pub(crate) fn view<I>(sequence: &I) -> Option<Array<'_>> {
    // SAFETY: the identity is that of the type of the value, which is borrowed for the lifetime of
    // the result.
    unsafe { view_behind(typeid::of::<I>(), std::ptr::from_ref(sequence).cast(), &()) }
}

/// The array that the value at an address borrows, if it is a `&Vec` or a slice of numbers.
///
/// # Safety
/// The address is that of a value that is borrowed for `'a`, and `id` is the result of `typeid` for
/// the type of that value.
unsafe fn view_behind<'a>(id: TypeId, address: *const (), _: &'a ()) -> Option<Array<'a>> {
    let (role, row) = REGISTRY.get(&id)?;
    let view = match role {
        Role::VecBehind => row.view_vec,
        Role::SliceBehind => row.view_slice,
        Role::Vec | Role::Visitor => return None,
    };
    // SAFETY: `RowType::new` alone makes a row type, of functions and identities for one `R`. The
    // value has the identity of `&'static Vec<R>`, or of `&'static [R]`. So it is one of these
    // except for lifetimes, and `R` has none: it is a `&'i Vec<R>`, or a `&'i [R]`. The role
    // selects the function for this one.
    let (first, length) = unsafe { view(address) };
    // SAFETY: `first` and `length` are those of a slice of `R`s that the `&'i` refers to. The slice
    // lives at least as long as any borrow of that reference, and `'a` is such a borrow. The layout
    // is that of `R`, so these are the bytes of that slice, no more than `isize::MAX`. They are
    // initialised, because `R` is `NoUninit`.
    let bytes = unsafe { std::slice::from_raw_parts(first, length * row.layout.size()) };
    Some(Array { kind: row.kind, outer: None, bytes })
}

/// The array inside `sequence`, if it is a [`Whole`].
pub(crate) fn whole<I>(sequence: &I) -> Option<&Whole<'_>> {
    if typeid::of::<I>() != typeid::of::<Whole<'static>>() {
        return None;
    }
    // SAFETY: by the documentation of `typeid`, `I` is `Whole` except for its lifetime. That
    // lifetime outlives the borrow of the `I`, and `Whole` is covariant in it. So the address may
    // be used as a `&'b Whole<'b>` of that borrow.
    Some(unsafe { &*std::ptr::from_ref(sequence).cast::<Whole<'_>>() })
}

/// The memory of a `Vec` of rows of any type.
///
/// Invariant: `first`, `length` and `capacity` are the parts of a `Vec` of the row type's `R`,
/// except for the values of the rows: their bytes are initialised, but perhaps no values of `R`. So
/// the memory is an allocation of `capacity` rows by the global allocator, with the alignment of
/// `R`, or there is none where `capacity` is 0. Nothing else owns it.
pub(super) struct Memory {
    rows: &'static RowType,
    first: NonNull<u8>,
    length: usize,
    capacity: usize,
}

impl Memory {
    /// Allocates this number of rows of zeros, in fresh memory of the system. `None` if
    /// there is not enough memory.
    pub(super) fn zeroed(rows: &'static RowType, length: usize) -> Option<Memory> {
        if length == 0 {
            let first = NonNull::without_provenance(rows.layout.align().try_into().ok()?);
            return Some(Memory { rows, first, length, capacity: 0 });
        }
        let layout = layout_of(rows, length)?;
        // SAFETY: the layout has a size that is not 0: neither the length nor the size of a row is.
        let first = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Memory { rows, first, length, capacity: length })
    }

    /// Takes the memory of `values`. Returns them if they are no rows.
    pub(super) fn of<T: 'static>(values: Vec<T>) -> Result<Memory, Vec<T>> {
        let Some(rows) = rows_of_vec(TypeId::of::<Vec<T>>()) else { return Err(values) };
        // `T` is the `R` of these rows: their types of a `Vec` are the same, and `R` has no
        // lifetimes. So the parts are those of a `Vec<R>`, and the bytes of its values are
        // initialised, because `R` is `NoUninit`.
        let mut values = ManuallyDrop::new(values);
        let (length, capacity) = (values.len(), values.capacity());
        // SAFETY: the documentation of `Vec` states that its pointer is never null.
        let first = unsafe { NonNull::new_unchecked(values.as_mut_ptr().cast()) };
        Ok(Memory { rows, first, length, capacity })
    }

    /// The type of its rows.
    pub(super) fn rows(&self) -> &'static RowType {
        self.rows
    }

    /// The number of its rows.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The bytes of all rows.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: by the invariant these are initialised bytes of one allocation, or there are
        // none. `self` owns them, and they are borrowed together with it. They stay initialised
        // after any write.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.length * self.rows.layout.size()) }
    }

    /// Returns the `Vec`, if it is a `T` and all bytes are those of values.
    pub(super) fn into_vec<T>(mut self) -> Option<T> {
        let is_this = rows_of_vec(typeid::of::<T>()).is_some_and(|rows| std::ptr::eq(rows, self.rows));
        let largest = self.rows.largest;
        if !is_this || (largest != u8::MAX && self.bytes().iter().any(|byte| *byte > largest)) {
            return None;
        }
        let memory = ManuallyDrop::new(self);
        let mut values = MaybeUninit::<T>::uninit();
        // SAFETY: `RowType::new` alone makes a row type, and `T` has the identity of its `Vec<R>`.
        // `R` has no lifetimes, so `T` is `Vec<R>`, and may be written to `values`. By the
        // invariant the parts are those of a `Vec<R>` without another owner, and its bytes are
        // initialised. They are values: any bytes are those of a `Pod` type, which `RowType::of`
        // requires of `R`, and the bytes for the `bool` of `RowType::of_bool` are 0 or 1.
        unsafe {
            let make_vec = memory.rows.make_vec;
            make_vec(memory.first.as_ptr(), memory.length, memory.capacity, values.as_mut_ptr().cast());
            Some(values.assume_init())
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let Some(layout) = layout_of(self.rows, self.capacity) else { return };
        if self.capacity > 0 {
            // SAFETY: by the invariant it is an allocation of the global allocator, of this number
            // of rows, each with the size and the alignment of this layout, and nothing else owns
            // it. Rows are numbers, and have nothing to drop.
            unsafe { dealloc(self.first.as_ptr(), layout) };
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memory").field("rows", &self.rows).field("length", &self.length).finish()
    }
}

/// The layout of this number of rows. `None` if no memory can have that size.
fn layout_of(rows: &RowType, count: usize) -> Option<Layout> {
    // The size of a type is a multiple of its alignment, so there is nothing between the rows.
    Layout::from_size_align(rows.layout.size().checked_mul(count)?, rows.layout.align()).ok()
}

/// Groups the values into fixed arrays, without a copy if the capacity is a multiple of their
/// length. `None` if the number of values is no multiple, or the arrays take no space.
pub(crate) fn group<T, const N: usize>(mut values: Vec<T>) -> Option<Vec<[T; N]>> {
    if size_of::<[T; N]>() == 0 || !values.len().is_multiple_of(N) {
        return None;
    }
    if !values.capacity().is_multiple_of(N) {
        values = values.into_boxed_slice().into_vec();
    }
    let (rows, capacity) = (values.len() / N, values.capacity() / N);
    let first = ManuallyDrop::new(values).as_mut_ptr().cast::<[T; N]>();
    // SAFETY: `[T; N]` is `N` values of `T` one after the other, with the alignment of `T`
    // (reference, "Type layout"). `N` is not 0. The capacity is a multiple of `N`: either it was
    // before, or it is now the length, because a `Vec` made of a boxed slice takes over its
    // allocation, which has the size of the slice ("This doesn't need to reallocate", `into_vec`).
    // So the allocation is one of `capacity` rows, the first `rows` of them are initialised, and
    // nothing else owns it any more, as `Vec::from_raw_parts` requires.
    Some(unsafe { Vec::from_raw_parts(first, rows, capacity) })
}

/// Views an array, or the array behind a reference.
///
/// Safety: the address is that of a value of the type that the function was made for, and the value
/// is borrowed for `'a`.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
type ViewGrid = for<'a> unsafe fn(*const (), Kind, &'a ()) -> Option<Grid<'a>>;

/// The views of arrays of other crates, by the types of the arrays and of references to them.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
#[derive(Debug, Default)]
pub(super) struct Grids(HashMap<TypeId, (ViewGrid, Kind), IsHashed>);

#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
impl Grids {
    /// Adds `G` and `&G`, with elements of this kind.
    pub(super) fn insert<G: AsGrid + NoLifetimes>(&mut self, kind: Kind) {
        self.0.insert(TypeId::of::<G>(), (view_grid::<G>, kind));
        self.0.insert(TypeId::of::<&'static G>(), (view_grid_behind::<G>, kind));
    }

    /// Adds `CowArray<A, D>` and references to it, which borrow elements of this kind for any
    /// lifetime.
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

/// A value whose type is forgotten by the compiler.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forgotten<'v> {
    id: TypeId,
    address: *const (),
    value: PhantomData<&'v ()>,
}

impl<'v> Forgotten<'v> {
    #[inline]
    pub(crate) fn of<T: ?Sized>(value: &'v T) -> Forgotten<'v> {
        let address = std::ptr::from_ref(value).cast::<()>();
        Forgotten { id: typeid::of::<T>(), address, value: PhantomData }
    }

    /// The value as a `U`, if it is one, or a reference to one.
    pub(crate) fn as_one<U: NoLifetimes>(self) -> Option<&'v U> {
        if self.id == TypeId::of::<U>() {
            // SAFETY: `of` alone makes a `Forgotten`, of a `T` that is borrowed for `'v`, with its
            // id and its address. The ids are equal, so `T` is `U` except for lifetimes, and `U`
            // has none.
            return Some(unsafe { &*self.address.cast::<U>() });
        }
        if self.id == TypeId::of::<&'static U>() {
            // SAFETY: the same, and so `T` is a `&'i U`, where `'i` outlives `'v`, for which it is
            // borrowed.
            return Some(unsafe { *self.address.cast::<&'v U>() });
        }
        None
    }
}

/// Views `value` as an array, if it is one of numbers, of the `ndarray` or the `nalgebra` crate,
/// and in C order.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
pub(crate) fn grid<T: ?Sized>(value: &T) -> Option<Grid<'_>> {
    // No such array is smaller: a pointer, a length and a capacity, and a pointer or a length.
    // Elements of a collection come as references to them. So most values are not looked up.
    let is_reference = size_of_val(value) == size_of::<usize>() && type_name::<T>().starts_with('&');
    if size_of_val(value) < 4 * size_of::<usize>() && !is_reference {
        return None;
    }
    let (view, kind) = GRIDS.0.get(&typeid::of::<T>())?;
    let address = std::ptr::from_ref(value).cast::<()>();
    // SAFETY: `Grids::insert` and `Grids::insert_cow` alone enter views. `insert` enters
    // `view_grid::<G>` under `G` and `view_grid_behind::<G>` under `&'static G`. Then `T` is one of
    // these except for lifetimes, and `G` has none: it is a `G`, or a `&'i G`. `insert_cow` enters
    // `view_cow::<A, D>` and `view_cow_behind::<A, D>`, and then `T` is a `CowArray<'c, A, D>`, or
    // a `&'i CowArray<'c, A, D>`: `A` and `D` have no lifetimes either. The address is that of a
    // `T` that is borrowed for the lifetime of the result.
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
    // SAFETY: by the contract the address is that of a `G` that is borrowed for `'a`.
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
    // SAFETY: by the contract the address is that of a `&G` that is borrowed for `'a`. The `G`
    // lives at least as long as any borrow of a reference to it.
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
    // SAFETY: by the contract the address is that of a `CowArray` that is borrowed for `'a`. The
    // lifetime of the `CowArray` outlives `'a`, and the type is covariant in it, as `shorter`
    // shows: so during the borrow it is one of the lifetime `'a`.
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
    // SAFETY: as in `view_cow`. A reference is covariant too, and its referent lives at least as
    // long as any borrow of it.
    let array: &'a CowArray<'a, A, D> = unsafe { *address.cast::<&'a CowArray<'a, A, D>>() };
    array.as_grid(kind)
}

/// Compiles because `CowArray` is covariant in its lifetime.
#[cfg(feature = "ndarray")]
#[allow(dead_code, reason = "it is a proof")]
fn shorter<'a, 'b: 'a, A, D>(array: &'a CowArray<'b, A, D>) -> &'a CowArray<'a, A, D> {
    array
}

/// True if the dimensions of the matrix at an address do not match the number of its elements.
///
/// Safety: the address is that of a value of the type that the function was made for, and the value
/// is borrowed for the call.
#[cfg(feature = "nalgebra")]
type Contradicts = unsafe fn(*const ()) -> bool;

/// The checks of matrices, by the type in which `nalgebra` reads one: its elements, then its
/// dimensions.
#[cfg(feature = "nalgebra")]
#[derive(Debug, Default)]
pub(super) struct Contradictions(HashMap<TypeId, Contradicts, IsHashed>);

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

/// True if `nalgebra` reads a matrix of numbers as a `T`, and the dimensions in `value` do not
/// match the number of its elements.
#[cfg(feature = "nalgebra")]
pub(crate) fn contradicts<T>(value: &T) -> bool {
    let Some(contradicts) = CONTRADICTIONS.0.get(&typeid::of::<T>()) else { return false };
    // SAFETY: `Contradictions::insert` alone enters functions: `contradicts_matrix::<A, R, C>`
    // under `(Vec<A>, R, C)`. So `T` is that type except for lifetimes, and it has none. The
    // address is that of a `T`, borrowed for the call.
    unsafe { contradicts(std::ptr::from_ref(value).cast()) }
}

/// True if the dimensions of a `(Vec<A>, R, C)` do not match the number of its elements.
///
/// # Safety
/// As [`Contradicts`] says.
#[cfg(feature = "nalgebra")]
unsafe fn contradicts_matrix<A, R: Dim, C: Dim>(address: *const ()) -> bool {
    // SAFETY: by the contract the address is that of such a value, and it is borrowed for the call.
    grid::contradicts(unsafe { &*address.cast::<(Vec<A>, R, C)>() })
}
