//! [`Sharded`]: a block of an array that all members of a group have together.

use std::cell::Cell;

use serde::de::{self, DeserializeOwned};
use serde::ser::{Error as _, SerializeStruct as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Group;
use super::plan::{self, Region};
use crate::arrays::{self, ArrayPool, Whole};
use crate::schema::{Body, Field, Fields, Type};
use crate::state::{Checkpoint, Types};
use crate::tree::{SHARDED, SHARDED_FIELDS};
use crate::{codec, trace};

/// A block of an array that the members of a group have together, each another block.
///
/// A checkpoint of four members loads into six, or into one, and rows load into columns: the state
/// to load into says which block this member wants, and only that is read.
///
/// ```
/// use checkpointed::group::{Alone, Sharded};
///
/// # fn main() -> Result<(), checkpointed::group::ShardError> {
/// let mut heat = Sharded::<f64>::rows([1000, 500], &Alone)?;
/// heat.data_mut()[0] = 100.0;
/// assert_eq!(heat.shape(), [1000, 500]);
/// assert_eq!(heat.extent(), [1000, 500]); // a group of one has all of it
/// # Ok(())
/// # }
/// ```
///
/// It may be anywhere in a state: in a struct, in a list or a map, in an `Option`. In a checkpoint
/// the block is an ordinary array of its extent.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharded<T> {
    shape: Vec<u64>,
    offset: Vec<u64>,
    extent: Vec<u64>,
    data: Vec<T>,
}

/// The reason that numbers are no block of an array.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// The array has no dimensions, or more elements than can be counted.
    #[error(
        "an array of shape {shape:?} cannot be sharded: it needs a dimension, and fewer elements than 2^64"
    )]
    #[non_exhaustive]
    Shape {
        /// The lengths of its dimensions.
        shape: Vec<u64>,
    },
    /// The block is not inside the array.
    #[error("the block at {offset:?} of extent {extent:?} is not inside an array of shape {shape:?}")]
    #[non_exhaustive]
    Outside {
        /// The lengths of the dimensions of the array.
        shape: Vec<u64>,
        /// The first index of the block in each dimension.
        offset: Vec<u64>,
        /// The length of the block in each dimension.
        extent: Vec<u64>,
    },
    /// The block has another number of elements than the data.
    #[error("a block of extent {extent:?} does not have {found} elements")]
    #[non_exhaustive]
    Length {
        /// The length of the block in each dimension.
        extent: Vec<u64>,
        /// The number of elements that there are.
        found: u64,
    },
    /// The grid of blocks does not have one block for each member of the group.
    #[error("a grid of {grid:?} blocks does not give one block of {shape:?} to each of {members} members")]
    #[non_exhaustive]
    Grid {
        /// The lengths of the dimensions of the array.
        shape: Vec<u64>,
        /// The number of blocks in each dimension.
        grid: Vec<u64>,
        /// The number of members.
        members: u64,
    },
    /// The block does not fit into memory.
    #[error("there is no memory for a block of extent {extent:?}")]
    #[non_exhaustive]
    Memory {
        /// The length of the block in each dimension.
        extent: Vec<u64>,
    },
}

mod sealed {
    use crate::schema::Type;
    use crate::state::Types;

    pub trait Sealed {
        /// Adds the type to `types`, and returns how to refer to it.
        fn schema(types: &mut Types) -> Type;
    }
}

/// A type of elements that an array in a checkpoint may have: numbers, `bool`, and fixed arrays of
/// numbers, of one dimension and up to 32 elements, or of two and up to 4 each.
pub trait ShardElement: sealed::Sealed + Serialize + DeserializeOwned + Copy + Default + 'static {}

macro_rules! elements {
    ($($number:ty: $schema:expr;)*) => {$(
        elements!(just $number: $schema);
        elements!(of $number: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
        elements!(of [$number; 2]: 2 3 4);
        elements!(of [$number; 3]: 2 3 4);
        elements!(of [$number; 4]: 2 3 4);
    )*};
    (just $element:ty: $schema:expr) => {
        impl ShardElement for $element {}

        impl sealed::Sealed for $element {
            fn schema(types: &mut Types) -> Type {
                let schema: fn(&mut Types) -> Type = $schema;
                schema(types)
            }
        }
    };
    (of $row:ty: $($length:literal)*) => {$(
        elements!(just [$row; $length]: |types| {
            Type::Array(Box::new(<$row as sealed::Sealed>::schema(types)), $length)
        });
    )*};
}

elements! {
    u8: |_| Type::U8;
    u16: |_| Type::U16;
    u32: |_| Type::U32;
    u64: |_| Type::U64;
    u128: |_| Type::U128;
    usize: |_| Type::U64;
    i8: |_| Type::I8;
    i16: |_| Type::I16;
    i32: |_| Type::I32;
    i64: |_| Type::I64;
    i128: |_| Type::I128;
    isize: |_| Type::I64;
    f32: |_| Type::F32;
    f64: |_| Type::F64;
}
elements!(just bool: |_| Type::Bool);
#[cfg(feature = "num-complex")]
elements! {
    num_complex::Complex<f32>: crate::state::derived::<Self>;
    num_complex::Complex<f64>: crate::state::derived::<Self>;
}
#[cfg(feature = "half")]
elements! {
    half::f16: crate::state::derived::<Self>;
    half::bf16: crate::state::derived::<Self>;
}

impl<T> Sharded<T> {
    /// A block of an array of this shape, with its elements in C order: the last index goes
    /// fastest.
    ///
    /// ```
    /// use checkpointed::group::Sharded;
    ///
    /// // The second of two blocks of three columns each.
    /// let right = Sharded::new(&[2, 6], &[0, 3], &[2, 3], vec![4, 5, 6, 10, 11, 12]).unwrap();
    /// assert_eq!(right.data()[3], 10); // the element at [1, 3] of the whole
    /// ```
    ///
    /// # Errors
    /// [`ShardError::Shape`], [`ShardError::Outside`] and [`ShardError::Length`].
    pub fn new(
        shape: &[u64],
        offset: &[u64],
        extent: &[u64],
        data: Vec<T>,
    ) -> Result<Sharded<T>, ShardError> {
        let elements = check(shape, offset, extent)?;
        if elements != data.len() as u64 {
            return Err(ShardError::Length { extent: extent.to_vec(), found: data.len() as u64 });
        }
        let (shape, offset, extent) = (shape.to_vec(), offset.to_vec(), extent.to_vec());
        Ok(Sharded { shape, offset, extent, data })
    }

    /// The elements of this block in C order: the last index goes fastest.
    #[must_use]
    pub fn data(&self) -> &[T] {
        &self.data
    }

    /// The elements of this block, to be changed.
    pub fn data_mut(&mut self) -> &mut [T] {
        &mut self.data
    }

    /// The elements of this block, which is given up.
    #[must_use]
    pub fn into_data(self) -> Vec<T> {
        self.data
    }

    /// The lengths of the dimensions of the whole array.
    #[must_use]
    pub fn shape(&self) -> &[u64] {
        &self.shape
    }

    /// The first index of this block in each dimension of the whole array.
    #[must_use]
    pub fn offset(&self) -> &[u64] {
        &self.offset
    }

    /// The lengths of the dimensions of this block.
    #[must_use]
    pub fn extent(&self) -> &[u64] {
        &self.extent
    }
}

impl<T: ShardElement> Sharded<T> {
    /// This member's rows of an array of this shape, all zero: the first dimension is split evenly.
    /// Member `i` of `p` has the rows from `n·i/p` to `n·(i+1)/p`, rounded down.
    ///
    /// # Errors
    /// [`ShardError::Shape`], and [`ShardError::Memory`].
    pub fn rows(shape: impl AsRef<[u64]>, group: &impl Group) -> Result<Sharded<T>, ShardError> {
        let shape = shape.as_ref();
        let mut grid = vec![1; shape.len()];
        if let Some(first) = grid.first_mut() {
            *first = group.size() as u64;
        }
        Sharded::blocks(shape, grid, group)
    }

    /// This member's block of an array of this shape, all zero. `grid` has the number of blocks in
    /// each dimension, one block for each member; each dimension is split as in
    /// [`rows`](Sharded::rows), and members go through the grid in C order.
    ///
    /// ```
    /// use checkpointed::group::{Alone, Sharded};
    ///
    /// let heat = Sharded::<f64>::blocks([5, 8], [1, 1], &Alone).unwrap();
    /// assert_eq!(heat.data().len(), 40);
    /// ```
    ///
    /// # Errors
    /// [`ShardError::Grid`], [`ShardError::Shape`] and [`ShardError::Memory`].
    pub fn blocks(
        shape: impl AsRef<[u64]>,
        grid: impl AsRef<[u64]>,
        group: &impl Group,
    ) -> Result<Sharded<T>, ShardError> {
        let (shape, grid, members) = (shape.as_ref(), grid.as_ref(), group.size() as u64);
        if shape.is_empty() || plan::volume(shape).is_none() {
            return Err(ShardError::Shape { shape: shape.to_vec() });
        }
        if grid.len() != shape.len() || plan::volume(grid) != Some(members) {
            let (shape, grid) = (shape.to_vec(), grid.to_vec());
            return Err(ShardError::Grid { shape, grid, members });
        }
        let mut number = group.rank() as u64;
        let (mut offset, mut extent) = (vec![0; shape.len()], vec![0; shape.len()]);
        let lengths = offset.iter_mut().zip(&mut extent).zip(shape.iter().zip(grid));
        for ((offset, extent), (length, parts)) in lengths.rev() {
            (*offset, *extent) = plan::part(*length, *parts, number % parts);
            number /= parts;
        }
        let elements = check(shape, &offset, &extent)?;
        let memory = || ShardError::Memory { extent: extent.clone() };
        let mut data = Vec::new();
        let elements = usize::try_from(elements).map_err(|_| memory())?;
        data.try_reserve_exact(elements).map_err(|_| memory())?;
        data.resize(elements, T::default());
        Ok(Sharded { shape: shape.to_vec(), offset, extent, data })
    }
}

/// Checks that a block is inside an array. Returns the number of its elements.
fn check(shape: &[u64], offset: &[u64], extent: &[u64]) -> Result<u64, ShardError> {
    if shape.is_empty() || plan::volume(shape).is_none() {
        return Err(ShardError::Shape { shape: shape.to_vec() });
    }
    match plan::volume(extent).filter(|_| Region { offset, extent }.is_within(shape)) {
        Some(elements) => Ok(elements),
        None => {
            let (shape, offset, extent) = (shape.to_vec(), offset.to_vec(), extent.to_vec());
            Err(ShardError::Outside { shape, offset, extent })
        }
    }
}

impl<T> Default for Sharded<T> {
    /// An empty array. It wants no block: if a group of the same size loads into it, each member
    /// gets the block that it saved.
    fn default() -> Sharded<T> {
        Sharded { shape: vec![0], offset: vec![0], extent: vec![0], data: Vec::new() }
    }
}

#[cfg(feature = "ndarray")]
#[cfg_attr(docsrs, doc(cfg(feature = "ndarray")))]
impl<T> Sharded<T> {
    /// The block as an array of the `ndarray` crate, of this member's extent.
    ///
    /// # Panics
    /// Never: a block has as many elements as its extent says.
    #[must_use]
    pub fn view(&self) -> ndarray::ArrayViewD<'_, T> {
        let view = ndarray::ArrayView::from_shape(self.dimensions(), &self.data);
        view.unwrap_or_else(|error| unreachable!("a block of another extent: {error}"))
    }

    /// The block as an array of the `ndarray` crate, to be changed.
    ///
    /// # Panics
    /// Never: a block has as many elements as its extent says.
    pub fn view_mut(&mut self) -> ndarray::ArrayViewMutD<'_, T> {
        let view = ndarray::ArrayViewMut::from_shape(self.dimensions(), &mut self.data);
        view.unwrap_or_else(|error| unreachable!("a block of another extent: {error}"))
    }

    fn dimensions(&self) -> Vec<usize> {
        self.extent.iter().map(|length| usize::try_from(*length).unwrap_or(usize::MAX)).collect()
    }
}

/// Lengths, which are too few for an array of their own in the file.
struct Lengths<'a>(&'a [u64]);

impl Serialize for Lengths<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().copied())
    }
}

thread_local! {
    static IS_WITHOUT_DATA: Cell<bool> = const { Cell::new(false) };
}

/// Calls `work`, during which blocks are written without their elements. So a block can be written
/// after a load has taken its memory: its shape and its place are still there.
pub(super) fn without_data<R>(work: impl FnOnce() -> R) -> R {
    struct Before(bool);

    impl Drop for Before {
        fn drop(&mut self) {
            IS_WITHOUT_DATA.set(self.0);
        }
    }

    let _before = Before(IS_WITHOUT_DATA.replace(true));
    work()
}

/// The elements, which our codec writes as an array of the block's extent.
struct Data<'a, T>(&'a Sharded<T>);

impl<T: Serialize> Serialize for Data<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let data = &self.0.data;
        if IS_WITHOUT_DATA.get() {
            return serializer.collect_seq(data.iter().take(0));
        }
        let extent = &self.0.extent;
        if plan::volume(extent) != Some(data.len() as u64) {
            return Err(S::Error::custom(format!(
                "a block of extent {extent:?} has no elements any more: a load that failed has taken them"
            )));
        }
        match arrays::view(&data).filter(|_| codec::is_writer::<S>()) {
            Some(mut array) => {
                array.outer = Some(extent.clone());
                serializer.collect_seq(Whole(array))
            }
            None => serializer.collect_seq(data),
        }
    }
}

impl<T: Serialize> Serialize for Sharded<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let [shape, offset, extent, data] = SHARDED_FIELDS;
        let mut fields = serializer.serialize_struct(SHARDED, SHARDED_FIELDS.len())?;
        fields.serialize_field(shape, &Lengths(&self.shape))?;
        fields.serialize_field(offset, &Lengths(&self.offset))?;
        fields.serialize_field(extent, &Lengths(&self.extent))?;
        fields.serialize_field(data, &Data(self))?;
        fields.end()
    }
}

/// A block as serde reads it, before it is checked.
#[derive(Deserialize)]
#[serde(rename = "group::Sharded", deny_unknown_fields)]
struct Read<T> {
    shape: Vec<u64>,
    offset: Vec<u64>,
    extent: Vec<u64>,
    data: Vec<T>,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Sharded<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Sharded<T>, D::Error> {
        let Read { shape, offset, extent, data } = Read::deserialize(deserializer)?;
        // The values of a tracer are made up, and no block of anything.
        if trace::is_tracer::<D>() {
            return Ok(Sharded { shape, offset, extent, data });
        }
        Sharded::new(&shape, &offset, &extent, data).map_err(de::Error::custom)
    }
}

impl<T: ShardElement> Checkpoint for Sharded<T> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        types.define_derived::<Self>(SHARDED, 1, |types| {
            let [shape, offset, extent, data] = SHARDED_FIELDS;
            let field = |name: &str, element| {
                let ty = Type::Seq(Box::new(element));
                Field { name: name.to_owned(), ty }
            };
            let lengths = [shape, offset, extent].map(|name| field(name, Type::U64));
            let data = field(data, T::schema(types));
            Body::Struct(Fields::Named(lengths.into_iter().chain([data]).collect()))
        })
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        pool.lend(&mut self.data);
    }
}
