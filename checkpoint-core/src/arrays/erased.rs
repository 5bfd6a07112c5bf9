//! Recognises values by their type where generics hide it. The one module with unsafe code.
//!
//! All proofs are of this shape: a registry, whose field is private here, has a function under the `TypeId` of each
//! type that the function takes. What is found under `typeid::of::<T>()` then takes a `T`, but for lifetimes: that is
//! what the documentation of `typeid` says. Lifetimes make no difference, since the types are [`NoLifetimes`].
//!
//! A program is built with all rows of numbers that there are, hundreds of types. So each of them
//! has the few functions that must know it, of a few instructions each, and everything else is done
//! with bytes.
#![allow(unsafe_code, reason = "a value whose type was found out must be taken as one of that type")]

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::any::TypeId;
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
use std::any::type_name;
use std::collections::HashMap;
use std::fmt;
use std::mem::{ManuallyDrop, MaybeUninit};
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
use super::table::{self, ById};
use super::{Array, Dtype, Kind, Whole};

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

/// The address of the first row, and the number of rows, of the sequence that the reference at an
/// address borrows.
///
/// Safety: the address is that of a reference `&Vec<R>`, or `&[R]`, of the `R` that the function
/// was made for.
type View = unsafe fn(*const ()) -> (*const u8, usize);

/// Writes a `Vec<R>` to an address, made of the address of its first row, its length, and its
/// capacity.
///
/// Safety: `R` is the type that the function was made for. The last address may be written to as a
/// `Vec<R>`, and the rest is what `Vec::from_raw_parts` asks for.
type MakeVec = unsafe fn(*mut u8, usize, usize, *mut ());

/// A type `R` of rows, and what must know it.
pub(super) struct RowType {
    pub(super) kind: Kind,
    layout: Layout,
    /// Those of `&Vec<R>`, `&[R]` and `Vec<R>`.
    ids: fn() -> [TypeId; 3],
    /// That of the visitor with which a `Vec<R>` asks for its elements. No proof relies on it.
    visitor: fn() -> TypeId,
    view_vec: View,
    view_slice: View,
    make_vec: MakeVec,
    /// The largest byte of its values.
    largest: u8,
}

impl RowType {
    /// That of numbers of any bytes, and of fixed arrays of them.
    pub(super) const fn of<R: Pod + NoLifetimes>(kind: Kind, visitor: fn() -> TypeId) -> RowType {
        RowType::new::<R>(kind, visitor, u8::MAX)
    }

    /// That of the one type of numbers of which not every byte is a value.
    pub(super) const fn of_bool(visitor: fn() -> TypeId) -> RowType {
        let dtype = Dtype { descr: "|b1", size: 1, is_i128: false };
        RowType::new::<bool>(Kind { dtype, inner: &[] }, visitor, true as u8)
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

/// What a type that is registered is to the rows under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// `&Vec<R>`
    VecBehind,
    /// `&[R]`
    SliceBehind,
    /// `Vec<R>`
    Vec,
    /// What a `Vec<R>` asks for its elements with.
    Visitor,
}

/// The types that have to do with rows. Empty where numbers do not lie in memory as they are
/// written, so that all are encoded one by one.
static REGISTRY: LazyLock<HashMap<TypeId, (Role, &'static RowType), ById>> = LazyLock::new(|| {
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

/// The rows to which the type with this identity has that role.
fn rows_under(id: TypeId, role: Role) -> Option<&'static RowType> {
    REGISTRY.get(&id).and_then(|(found, row)| (*found == role).then_some(*row))
}

/// The kind of rows that are `R`s.
#[cfg(any(feature = "nalgebra", feature = "ndarray"))]
pub(super) fn kind_of_rows<R: 'static>() -> Option<Kind> {
    rows_under(TypeId::of::<&'static [R]>(), Role::SliceBehind).map(|row| row.kind)
}

/// The kind of array that a visitor of type `V` makes a `Vec` of, and nothing else.
pub(crate) fn visitor_reads<V>() -> Option<Kind> {
    rows_under(typeid::of::<V>(), Role::Visitor).map(|row| row.kind)
}

/// The kind of array that a `Vec` of type `T` is.
pub(crate) fn vec_kind<T>() -> Option<Kind> {
    rows_of_vec(typeid::of::<T>()).map(|row| row.kind)
}

/// The rows of the `Vec` with this identity.
pub(super) fn rows_of_vec(id: TypeId) -> Option<&'static RowType> {
    rows_under(id, Role::Vec)
}

/// The array that `sequence` borrows, if it is a `&Vec` or a slice of numbers.
pub(crate) fn view<I>(sequence: &I) -> Option<Array<'_>> {
    // SAFETY: the identity is that of the type whose value is borrowed for the lifetime of the
    // result.
    unsafe { view_behind(typeid::of::<I>(), std::ptr::from_ref(sequence).cast(), &()) }
}

/// The array that the value at an address borrows, if it is a `&Vec` or a slice of numbers.
///
/// # Safety
/// The address is that of a value which is borrowed for `'a`, and `id` is what `typeid` gives for
/// the type of the value.
unsafe fn view_behind<'a>(id: TypeId, address: *const (), _: &'a ()) -> Option<Array<'a>> {
    let (role, row) = REGISTRY.get(&id)?;
    let view = match role {
        Role::VecBehind => row.view_vec,
        Role::SliceBehind => row.view_slice,
        Role::Vec | Role::Visitor => return None,
    };
    // SAFETY: `RowType::new` alone makes a row type, of functions and identities for one `R`. The
    // value has the identity of `&'static Vec<R>`, or of `&'static [R]`. So it is one of these but
    // for lifetimes, of which `R` has none: a `&'i Vec<R>`, or a `&'i [R]`, of which the function
    // looks at the one that the role says.
    let (first, length) = unsafe { view(address) };
    // SAFETY: `first` and `length` are those of a slice of `R`s, which the `&'i` refers to, and
    // what it refers to lives at least as long as any borrow of it, which `'a` is one of. The
    // layout is that of `R`, so these are the bytes of that slice, no more than `isize::MAX`. They
    // are initialised, because `R` is `NoUninit`.
    let bytes = unsafe { std::slice::from_raw_parts(first, length * row.layout.size()) };
    Some(Array { kind: row.kind, outer: None, bytes })
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

/// The memory of a `Vec` of rows, whatever rows these are.
///
/// Invariant: `first`, `length` and `capacity` are the parts of a `Vec` of the row type's `R`, but
/// for the values of the rows: their bytes are initialised, and not yet known to be values. So the
/// memory is an allocation of `capacity` rows by the global allocator, with the alignment of `R`,
/// or there is none where `capacity` is 0. Nothing else owns it.
pub(super) struct Memory {
    rows: &'static RowType,
    first: NonNull<u8>,
    length: usize,
    capacity: usize,
}

impl Memory {
    /// So many rows of zeros, in memory that comes from the system untouched. `None` where there is
    /// not so much.
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

    /// The memory of `values`. They are given back where these are no rows.
    pub(super) fn of<T: 'static>(values: Vec<T>) -> Result<Memory, Vec<T>> {
        let Some(rows) = rows_of_vec(TypeId::of::<Vec<T>>()) else { return Err(values) };
        // `T` is the `R` of these rows: their types of a `Vec` are the same, and `R` has no
        // lifetimes. So the parts are those of a `Vec<R>`, and the bytes of its values are
        // initialised, because `R` is `NoUninit`.
        let mut values = ManuallyDrop::new(values);
        let (length, capacity) = (values.len(), values.capacity());
        // SAFETY: a `Vec` says that its pointer is never null.
        let first = unsafe { NonNull::new_unchecked(values.as_mut_ptr().cast()) };
        Ok(Memory { rows, first, length, capacity })
    }

    /// How many rows there are, of what type.
    pub(super) fn is_of(&self, rows: &'static RowType, length: usize) -> bool {
        std::ptr::eq(self.rows, rows) && self.length == length
    }

    /// The bytes of all rows.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: by the invariant these are initialised bytes of one allocation, or none at all,
        // which `self` owns and which are borrowed with it. Whatever is written to them, they stay
        // initialised.
        unsafe { std::slice::from_raw_parts_mut(self.first.as_ptr(), self.length * self.rows.layout.size()) }
    }

    /// The `Vec`, if it is a `T`, and all bytes are those of values.
    pub(super) fn into_vec<T>(mut self) -> Option<T> {
        let is_this = rows_of_vec(typeid::of::<T>()).is_some_and(|rows| std::ptr::eq(rows, self.rows));
        let largest = self.rows.largest;
        if !is_this || (largest != u8::MAX && self.bytes().iter().any(|byte| *byte > largest)) {
            return None;
        }
        let memory = ManuallyDrop::new(self);
        let mut values = MaybeUninit::<T>::uninit();
        // SAFETY: `RowType::new` alone makes a row type, and `T` has the identity of its `Vec<R>`:
        // as `R` has no lifetimes, `T` is `Vec<R>`, which may be written to `values`. By the
        // invariant the parts are those of a `Vec<R>`, which nothing else owns any more, and its
        // bytes are initialised. They are values: any bytes are those of an `R` that is `Pod`, as
        // `RowType::of` asks for, and the `bool` of `RowType::of_bool` has none but 0 and 1.
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
            // SAFETY: by the invariant it is an allocation of the global allocator, of so many
            // rows, each with the size and the alignment of this layout, and nothing else owns it.
            // Rows are numbers, which have nothing to drop.
            unsafe { dealloc(self.first.as_ptr(), layout) };
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Memory").field("rows", &self.rows).field("length", &self.length).finish()
    }
}

/// The layout of so many rows. `None` where there is no memory of that size.
fn layout_of(rows: &RowType, count: usize) -> Option<Layout> {
    // The size of a type is a multiple of its alignment, so there is nothing between the rows.
    Layout::from_size_align(rows.layout.size().checked_mul(count)?, rows.layout.align()).ok()
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
