//! Long fixed arrays as one sequence of all their elements: writing, reading, and finding their
//! schema.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

use super::arrangement::{Arrangement, shape};
use crate::arrays::{self, Whole};
use crate::{codec, trace};

/// Writes all elements of `rows` in one sequence. Its entry has the dimensions `outer` and then
/// those of a row.
pub(super) fn write<T, A: Arrangement<T>, S: Serializer>(
    rows: &[T],
    outer: Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let leaves = A::flat(rows);
    match arrays::view(&leaves) {
        Some(mut array) => {
            let (lengths, _) = shape::<T, A>();
            array.outer = Some(outer.into_iter().chain(lengths).collect());
            serializer.collect_seq(Whole(array))
        }
        None => serializer.collect_seq(leaves),
    }
}

/// True if fixed arrays are one sequence for this serializer.
pub(super) fn is_written<S, T, A: Arrangement<T>>() -> bool {
    codec::is_writer::<S>() && shape::<T, A>().1
}

/// True if they are one sequence for this deserializer: the codec's, or the tracer.
pub(super) fn is_read<D, T, A: Arrangement<T>>() -> bool {
    shape::<T, A>().1 && (codec::is_reader::<D>() || trace::is_tracer::<D>())
}

/// Reads all rows from one sequence.
pub(super) fn read<'de, T, A: Arrangement<T>, D: Deserializer<'de>>(
    is_vec: bool,
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let leaves = if codec::is_reader::<D>() {
        Vec::deserialize(deserializer)?
    } else {
        sample::<T, A, D>(is_vec, deserializer)?
    };
    let count = leaves.len();
    A::gather(leaves).ok_or_else(|| D::Error::custom(format!("{count} elements are no whole number of rows")))
}

/// The elements of the rows that the tracer gives. It gives one number for each row, and the row is
/// filled with it. Elements that are no numbers are given one by one.
fn sample<'de, T, A: Arrangement<T>, D: Deserializer<'de>>(
    is_vec: bool,
    deserializer: D,
) -> Result<Vec<A::Leaf>, D::Error> {
    let (lengths, _) = shape::<T, A>();
    let dimensions = Dimensions(&lengths, PhantomData);
    let leaves: Vec<A::Leaf> = if is_vec {
        deserializer.deserialize_newtype_struct(trace::GRIDS, dimensions)?
    } else {
        dimensions.visit_newtype_struct(deserializer)?
    };
    if arrays::vec_kind::<Vec<A::Leaf>>().is_none() {
        return Ok(leaves);
    }
    let row = lengths.iter().try_fold(1_u64, |product, length| product.checked_mul(*length));
    let filled = row.and_then(|row| arrays::repeated(&leaves, row));
    filled.ok_or_else(|| D::Error::custom("there is no memory for a fixed array"))
}

pub(super) fn exactly_one<T, E: serde::de::Error>(mut rows: Vec<T>) -> Result<Vec<T>, E> {
    let found = rows.len();
    rows.truncate(1);
    if found == 1 { Ok(rows) } else { Err(E::custom(format!("{found} fixed arrays where one belongs"))) }
}

/// Tells the tracer one dimension after the other, then reads the elements.
struct Dimensions<'l, L>(&'l [u64], PhantomData<L>);

impl<'de, L: DeserializeOwned> Visitor<'de> for Dimensions<'_, L> {
    type Value = Vec<L>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the elements of fixed arrays")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<L>, D::Error> {
        let Some((length, inner)) = self.0.split_first() else {
            return Vec::deserialize(deserializer);
        };
        let length = usize::try_from(*length).map_err(D::Error::custom)?;
        deserializer.deserialize_tuple_struct(trace::GRID, length, Dimensions(inner, self.1))
    }
}
