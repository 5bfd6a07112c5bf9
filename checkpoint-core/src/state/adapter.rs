//! Fixed arrays of any length. serde knows none that is longer than 32.
//!
//! The macro writes down the structure of a field: `Rows<Fixed<Same>>` stands for `Vec<[T; N]>`. If
//! one of the lengths is more than 32, the checkpoint has all elements in one sequence. If these
//! are numbers, it is an array like any other (`flat`). Shorter arrays, and all arrays in other
//! formats, look as in serde: as tuples.

mod arrangement;
mod containers;
mod elements;
mod flat;
mod maps;

use std::any::Any;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::SerializeTuple as _;
use serde::{Deserializer, Serialize, Serializer};

use self::arrangement::shape;
pub use self::arrangement::{Arrangement, Fixed, Same};
pub use self::containers::{Boxed, BoxedRows, Maybe, Rows, Shared};
use self::elements::{Elements, Via};
pub use self::maps::Values;
use super::Types;
use crate::arrays::{self, ArrayPool};
use crate::schema::{Grid, Type};

/// Lends the memory of an element that is no number. The caller knows its type.
type LendLeaf<'a> = &'a mut dyn FnMut(&mut dyn Any, &mut ArrayPool);

/// Writes, reads and describes an `F`.
#[diagnostic::on_unimplemented(
    message = "`{F}` has a fixed array longer than 32, and is none of the containers that may hold one",
    label = "a fixed array longer than 32",
    note = "they are `Vec`, `Box`, `Arc`, `Rc`, `Option`, and as values `HashMap` and `BTreeMap`, all of the standard library; in others take `Vec<T>` or `Box<[T]>` instead of `[T; N]`"
)]
pub trait Adapter<F>: Sized {
    /// Like `Serialize::serialize`.
    #[expect(clippy::missing_errors_doc, reason = "those of the serializer")]
    fn write<S: Serializer>(value: &F, serializer: S) -> Result<S::Ok, S::Error>;

    /// Like `Deserialize::deserialize`.
    #[expect(clippy::missing_errors_doc, reason = "those of the deserializer")]
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<F, D::Error>;

    /// The value as it is written inside of another one. It may be itself: its type tells of it.
    fn part(value: &F) -> impl Serialize {
        Via::<F, Self>(value, PhantomData)
    }

    /// The type in a checkpoint, made from the type of the elements.
    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type;

    /// Gives up the memory of large arrays.
    fn lend(value: &mut F, pool: &mut ArrayPool, leaf: LendLeaf<'_>);
}

/// The functions for serde's attribute `with`.
#[derive(Debug)]
pub struct FixedArrays<A>(PhantomData<A>);

impl<A> FixedArrays<A> {
    /// Writes a field.
    #[expect(clippy::missing_errors_doc, reason = "those of the serializer")]
    pub fn serialize<F, S: Serializer>(value: &F, serializer: S) -> Result<S::Ok, S::Error>
    where
        A: Adapter<F>,
    {
        A::write(value, serializer)
    }

    /// Reads a field.
    #[expect(clippy::missing_errors_doc, reason = "those of the deserializer")]
    pub fn deserialize<'de, F, D: Deserializer<'de>>(deserializer: D) -> Result<F, D::Error>
    where
        A: Adapter<F>,
    {
        A::read(deserializer)
    }

    /// The schema of a field; `leaf` gives that of its elements.
    pub fn schema<F>(types: &mut Types, mut leaf: impl FnMut(&mut Types) -> Type) -> Type
    where
        A: Adapter<F>,
    {
        A::schema(types, &mut leaf)
    }

    /// Gives up the memory of a field's large arrays. `leaf` gives up that of its elements, which
    /// are `L`s.
    pub fn lend_arrays<F, L: 'static>(
        value: &mut F,
        pool: &mut ArrayPool,
        mut leaf: impl FnMut(&mut L, &mut ArrayPool),
    ) where
        A: Adapter<F>,
    {
        A::lend(value, pool, &mut |element, pool| {
            if let Some(element) = element.downcast_mut() {
                leaf(element, pool);
            }
        });
    }
}

/// The schema of an option, made from that of its value.
#[must_use]
pub fn option(value: Type) -> Type {
    Type::Option(Box::new(value))
}

/// The schema of a map, made from those of its keys and values.
#[must_use]
pub fn map(key: Type, value: Type) -> Type {
    Type::Map(Box::new(key), Box::new(value))
}

fn short_schema(lengths: &[u64], types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
    let element = leaf(types);
    lengths.iter().rev().fold(element, |inner, length| Type::Array(Box::new(inner), *length))
}

impl<T: Serialize + DeserializeOwned + 'static> Adapter<T> for Same {
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }

    fn part(value: &T) -> impl Serialize {
        value
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        leaf(types)
    }

    fn lend(value: &mut T, pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
        leaf(value, pool);
    }
}

impl<T, A, const N: usize> Adapter<[T; N]> for Fixed<A>
where
    A: Adapter<T> + Arrangement<T>,
{
    fn write<S: Serializer>(value: &[T; N], serializer: S) -> Result<S::Ok, S::Error> {
        if flat::is_written::<S, [T; N], Self>() {
            return flat::write::<[T; N], Self, S>(std::slice::from_ref(value), None, serializer);
        }
        let mut tuple = serializer.serialize_tuple(N)?;
        for element in value {
            tuple.serialize_element(&A::part(element))?;
        }
        tuple.end()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[T; N], D::Error> {
        if flat::is_read::<D, [T; N], Self>() {
            let rows = flat::exactly_one(flat::read::<[T; N], Self, D>(false, deserializer)?)?;
            return rows.into_iter().next().ok_or_else(|| D::Error::custom("a fixed array is missing"));
        }
        let elements = deserializer.deserialize_tuple(N, Elements::<T, A>(Some(N), PhantomData))?;
        elements.try_into().map_err(|_| D::Error::custom(format!("a fixed array has {N} elements")))
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        match shape::<[T; N], Self>() {
            (lengths, true) => Type::Grid(Grid { element: Box::new(leaf(types)), lengths, is_vec: false }),
            (lengths, false) => short_schema(&lengths, types, leaf),
        }
    }

    fn lend(value: &mut [T; N], pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
        lend_each::<T, A>(value, pool, leaf);
    }
}

fn lend_each<T, A: Adapter<T> + Arrangement<T>>(values: &mut [T], pool: &mut ArrayPool, leaf: LendLeaf<'_>) {
    // Numbers have no memory of their own.
    if arrays::vec_kind::<Vec<A::Leaf>>().is_none() {
        values.iter_mut().for_each(|value| A::lend(value, pool, leaf));
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
