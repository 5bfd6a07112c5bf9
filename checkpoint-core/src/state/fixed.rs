//! Fixed arrays of any length, of which serde knows none that is longer than 32.
//!
//! The macro writes down how a field is made of them: `Rows<Fixed<Same>>` stands for `Vec<[T; N]>`. Where one of the
//! lengths is more than 32, the checkpoint has all elements in one sequence, which is an array like any other if they
//! are numbers. Shorter ones, and all of them in other formats, look as serde has them: as tuples.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::ser::{SerializeSeq as _, SerializeTuple as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::arrays::{self, Whole};
use super::codec;
use super::schema::{Body, Field, Fields, Type, Types};

/// The longest that serde knows. Its form is kept, and a small array in each of a million structs stays where it is.
const LONGEST_OF_SERDE: u64 = 32;

/// A type as it is.
#[derive(Debug)]
pub struct Same;
/// A fixed array.
#[derive(Debug)]
pub struct Fixed<A>(PhantomData<A>);
/// A fixed array in a box.
#[derive(Debug)]
pub struct Boxed<A>(PhantomData<A>);
/// A `Vec` of fixed arrays.
#[derive(Debug)]
pub struct Rows<A>(PhantomData<A>);
/// A boxed slice of fixed arrays.
#[derive(Debug)]
pub struct BoxedRows<A>(PhantomData<A>);
/// An `Option` of one of these.
#[derive(Debug)]
pub struct Maybe<A>(PhantomData<A>);

/// How a `T` lies in memory: as so many elements, one after the other.
pub trait Arrangement<T> {
    /// The type of the elements.
    type Leaf: Serialize + DeserializeOwned;

    /// The lengths of the dimensions of one `T`, outermost first.
    fn shape(lengths: &mut Vec<u64>);

    /// All elements.
    fn flat(values: &[T]) -> &[Self::Leaf];

    /// The same memory as `T`s. `None` where it holds no whole number of them.
    fn gather(leaves: Vec<Self::Leaf>) -> Option<Vec<T>>;
}

impl<T: Serialize + DeserializeOwned> Arrangement<T> for Same {
    type Leaf = T;

    fn shape(_: &mut Vec<u64>) {}

    fn flat(values: &[T]) -> &[T] {
        values
    }

    fn gather(leaves: Vec<T>) -> Option<Vec<T>> {
        Some(leaves)
    }
}

impl<T, A: Arrangement<T>, const N: usize> Arrangement<[T; N]> for Fixed<A> {
    type Leaf = A::Leaf;

    fn shape(lengths: &mut Vec<u64>) {
        lengths.push(N as u64);
        A::shape(lengths);
    }

    fn flat(values: &[[T; N]]) -> &[A::Leaf] {
        A::flat(values.as_flattened())
    }

    fn gather(leaves: Vec<A::Leaf>) -> Option<Vec<[T; N]>> {
        arrays::group(A::gather(leaves)?)
    }
}

/// The shape of one `T`, and whether its elements are kept in one sequence.
fn shape<T, A: Arrangement<T>>() -> (Vec<u64>, bool) {
    let mut lengths = Vec::new();
    A::shape(&mut lengths);
    let is_long = lengths.iter().any(|length| *length > LONGEST_OF_SERDE);
    // Nothing tells how many arrays an empty sequence is, or elements without a size.
    let is_there = size_of::<A::Leaf>() > 0 && !lengths.contains(&0);
    (lengths, is_long && is_there)
}

/// How an `F` is written, read, and described.
pub trait Adapter<F> {
    /// As `Serialize` has it.
    #[expect(clippy::missing_errors_doc, reason = "those of the serializer")]
    fn write<S: Serializer>(value: &F, serializer: S) -> Result<S::Ok, S::Error>;

    /// As `Deserialize` has it.
    #[expect(clippy::missing_errors_doc, reason = "those of the deserializer")]
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<F, D::Error>;

    /// The type in a checkpoint, made from that of the elements.
    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type;
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

    /// The schema of a field, whose elements are as `leaf` says.
    pub fn schema<F>(types: &mut Types, mut leaf: impl FnMut(&mut Types) -> Type) -> Type
    where
        A: Adapter<F>,
    {
        A::schema(types, &mut leaf)
    }
}

/// Writes all elements of `rows` in one sequence, whose entry has the dimensions `outer` and then those of a row.
fn write_flat<T, A: Arrangement<T>, S: Serializer>(
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

fn read_flat<'de, T, A: Arrangement<T>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let leaves = Vec::<A::Leaf>::deserialize(deserializer)?;
    let count = leaves.len();
    A::gather(leaves).ok_or_else(|| D::Error::custom(format!("{count} elements are no whole number of rows")))
}

fn exactly_one<T, E: serde::de::Error>(mut rows: Vec<T>) -> Result<Vec<T>, E> {
    let found = rows.len();
    rows.truncate(1);
    if found == 1 { Ok(rows) } else { Err(E::custom(format!("{found} fixed arrays where one belongs"))) }
}

/// A struct around the sequence, which takes no space. Its field's name is the shape, because the names of fields are
/// compared and the length of a sequence is not.
fn long_schema(
    outer: &str,
    lengths: &[u64],
    types: &mut Types,
    leaf: &mut dyn FnMut(&mut Types) -> Type,
) -> Type {
    let shape = lengths.iter().rev().fold("_".to_owned(), |inner, length| format!("[{inner}; {length}]"));
    let name = if outer.is_empty() { shape } else { format!("{outer}<{shape}>") };
    let ty = Type::Seq(Box::new(leaf(types)));
    types.add(&name, Body::Struct(Fields::Named(vec![Field { name: name.clone(), ty }])))
}

fn short_schema(lengths: &[u64], types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
    let element = leaf(types);
    lengths.iter().rev().fold(element, |inner, length| Type::Array(Box::new(inner), *length))
}

impl<T: Serialize + DeserializeOwned> Adapter<T> for Same {
    fn write<S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        value.serialize(serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        T::deserialize(deserializer)
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        leaf(types)
    }
}

impl<T, A, const N: usize> Adapter<[T; N]> for Fixed<A>
where
    A: Adapter<T> + Arrangement<T>,
{
    fn write<S: Serializer>(value: &[T; N], serializer: S) -> Result<S::Ok, S::Error> {
        if codec::is_writer::<S>() && shape::<[T; N], Self>().1 {
            return write_flat::<[T; N], Self, S>(std::slice::from_ref(value), None, serializer);
        }
        let mut tuple = serializer.serialize_tuple(N)?;
        for element in value {
            tuple.serialize_element(&Via::<T, A>(element, PhantomData))?;
        }
        tuple.end()
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[T; N], D::Error> {
        if codec::is_reader::<D>() && shape::<[T; N], Self>().1 {
            let rows = exactly_one(read_flat::<[T; N], Self, D>(deserializer)?)?;
            return rows.into_iter().next().ok_or_else(|| D::Error::custom("a fixed array is missing"));
        }
        let elements = deserializer.deserialize_tuple(N, Elements::<T, A>(Some(N), PhantomData))?;
        elements.try_into().map_err(|_| D::Error::custom(format!("a fixed array has {N} elements")))
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        match shape::<[T; N], Self>() {
            (lengths, true) => long_schema("", &lengths, types, leaf),
            (lengths, false) => short_schema(&lengths, types, leaf),
        }
    }
}

impl<T, A, const N: usize> Adapter<Box<[T; N]>> for Boxed<Fixed<A>>
where
    A: Adapter<T> + Arrangement<T>,
{
    fn write<S: Serializer>(value: &Box<[T; N]>, serializer: S) -> Result<S::Ok, S::Error> {
        Fixed::<A>::write(&**value, serializer)
    }

    /// Never by way of the stack, which may be smaller than the array.
    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[T; N]>, D::Error> {
        let elements = if codec::is_reader::<D>() && shape::<[T; N], Fixed<A>>().1 {
            read_flat::<T, A, D>(deserializer)?
        } else {
            deserializer.deserialize_tuple(N, Elements::<T, A>(Some(N), PhantomData))?
        };
        let boxed = elements.into_boxed_slice().try_into();
        boxed.map_err(|_| D::Error::custom(format!("a fixed array has {N} elements")))
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        <Fixed<A> as Adapter<[T; N]>>::schema(types, leaf)
    }
}

impl<T, A: Adapter<T> + Arrangement<T>> Adapter<Vec<T>> for Rows<A> {
    fn write<S: Serializer>(value: &Vec<T>, serializer: S) -> Result<S::Ok, S::Error> {
        write_rows::<T, A, S>(value, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        let elements = Elements::<T, A>(None, PhantomData);
        match (codec::is_reader::<D>(), shape::<T, A>().1) {
            (true, true) => read_flat::<T, A, D>(deserializer),
            (true, false) => deserializer.deserialize_newtype_struct(arrays::ROWS, elements),
            (false, _) => deserializer.deserialize_seq(elements),
        }
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        match shape::<T, A>() {
            (lengths, true) => long_schema("Vec", &lengths, types, leaf),
            (lengths, false) => Type::Seq(Box::new(short_schema(&lengths, types, leaf))),
        }
    }
}

impl<T, A: Adapter<T> + Arrangement<T>> Adapter<Box<[T]>> for BoxedRows<A> {
    fn write<S: Serializer>(value: &Box<[T]>, serializer: S) -> Result<S::Ok, S::Error> {
        write_rows::<T, A, S>(value, serializer)
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[T]>, D::Error> {
        Rows::<A>::read(deserializer).map(Vec::into_boxed_slice)
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        <Rows<A> as Adapter<Vec<T>>>::schema(types, leaf)
    }
}

impl<T, A: Adapter<T>> Adapter<Option<T>> for Maybe<A> {
    fn write<S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_some(&Via::<T, A>(value, PhantomData)),
            None => serializer.serialize_none(),
        }
    }

    fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
        let read = Option::<Read<T, A>>::deserialize(deserializer)?;
        Ok(read.map(|read| read.0))
    }

    fn schema(types: &mut Types, leaf: &mut dyn FnMut(&mut Types) -> Type) -> Type {
        Type::Option(Box::new(A::schema(types, leaf)))
    }
}

fn write_rows<T, A, S>(rows: &[T], serializer: S) -> Result<S::Ok, S::Error>
where
    A: Adapter<T> + Arrangement<T>,
    S: Serializer,
{
    if codec::is_writer::<S>() {
        if shape::<T, A>().1 {
            return write_flat::<T, A, S>(rows, Some(rows.len() as u64), serializer);
        }
        if let Some(array) = arrays::view(&rows) {
            return serializer.collect_seq(Whole(array));
        }
    }
    let mut sequence = serializer.serialize_seq(Some(rows.len()))?;
    for row in rows {
        sequence.serialize_element(&Via::<T, A>(row, PhantomData))?;
    }
    sequence.end()
}

/// A borrowed value, written by its adapter.
struct Via<'a, T, A>(&'a T, PhantomData<A>);

impl<T, A: Adapter<T>> Serialize for Via<'_, T, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        A::write(self.0, serializer)
    }
}

/// A value that its adapter read.
struct Read<T, A>(T, PhantomData<A>);

impl<'de, T, A: Adapter<T>> Deserialize<'de> for Read<T, A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        A::read(deserializer).map(|value| Read(value, PhantomData))
    }
}

/// Reads elements one by one: so many, or all that there are.
struct Elements<T, A>(Option<usize>, PhantomData<(T, A)>);

impl<'de, T, A: Adapter<T>> Visitor<'de> for Elements<T, A> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(count) => write!(formatter, "an array of length {count}"),
            None => formatter.write_str("a sequence"),
        }
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Vec<T>, S::Error> {
        // The length may be forged, and memory for it is not there before the elements are.
        let expected = self.0.or(sequence.size_hint()).unwrap_or(0);
        let mut elements = Vec::with_capacity(expected.min(4096 / size_of::<T>().max(1)));
        while self.0 != Some(elements.len()) {
            match sequence.next_element::<Read<T, A>>()? {
                Some(element) => elements.push(element.0),
                None if self.0.is_some() => return Err(S::Error::invalid_length(elements.len(), &self)),
                None => break,
            }
        }
        Ok(elements)
    }
}

#[cfg(test)]
mod tests;
